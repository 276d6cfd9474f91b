"""The options of training."""

from dataclasses import dataclass

from pixelrnn.errors import UserError
from pixelrnn.files.atomic import FIGURES

CHOICES = {"bptt": ("full", "checkpointed", "truncated"), "optimizer": ("adamw", "rmsprop"), "figures": FIGURES}


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
        for name in ("epochs", "batch_size", "accumulate", "learning_rate", "clip_norm"):
            self._require(name, getattr(self, name) > 0, "it must be more than 0")
        for name in ("segment", "max_minutes", "validate_every", "valid_limit", "patience"):
            value = getattr(self, name)
            self._require(name, value is None or value > 0, "it must be more than 0, or null")
        for name in ("weight_decay", "warmup_steps", "samples", "recoveries"):
            self._require(name, getattr(self, name) >= 0, "it is 0 or more")
        for name, choices in CHOICES.items():
            self._require(name, getattr(self, name) in choices, f"it is {', '.join(choices[:-1])} or {choices[-1]}")
        share = self.first_order
        self._require("first_order", share is None or 0 <= share <= 1, "it is a share of the batches, in [0, 1]")
        self._require("average_decay", 0 <= self.average_decay < 1, "it is in [0, 1)")
        self._require("occlusion", self.occlusion != "mask", "one file hides the same pixels of all images; use mixed")
        resume = "it is auto or never; give a run's folder on the command line, or in Python to train()"
        self._require("resume", self.resume in ("auto", "never"), resume)

    def _require(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise UserError(f"training.{name}={getattr(self, name)}: {rule}")
