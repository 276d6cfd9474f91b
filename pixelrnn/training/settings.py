"""The options of training."""

from dataclasses import dataclass

from pixelrnn.errors import UserError
from pixelrnn.rules import check_rules


@dataclass(frozen=True)
class Settings:
    """How to train. conf/train.yaml lists the same names and explains each. Raises UserError for a value out of range."""

    epochs: int = 20
    max_minutes: float | None = None
    batch_size: int = 64
    accumulate: int = 1
    bptt: str = "full"
    segment: int | None = None
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warmup_steps: int = 100
    clip_norm: float = 1.0
    average_decay: float = 0.999
    validate_every: int | None = None
    valid_limit: int | None = 1000
    patience: int | None = None
    samples: int = 25
    occlusion: str | None = None
    first_order: float | None = None
    bf16: bool | None = None
    figures: str = "png"
    recoveries: int = 0
    resume: str = "auto"

    def __post_init__(self) -> None:
        check_rules(vars(self), "training.")
        if self.occlusion == "mask":
            raise UserError("training.occlusion=mask: one file hides the same pixels of all images; use mixed")
        if self.resume not in ("auto", "never"):
            raise UserError(
                f"training.resume={self.resume}: it is auto or never; give a run's folder on the command line, or in Python "
                "to train()"
            )
