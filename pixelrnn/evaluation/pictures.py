"""How near an InpaintingRNN's completions come to the originals, in pictures of any size, beside other fills."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from time import perf_counter
from typing import Any

import torch
from torch import Generator, Tensor

from pixelrnn import distributed
from pixelrnn.completion.fill import Progress
from pixelrnn.completion.windows import PictureCompletions, complete_windows, log_probs
from pixelrnn.errors import UserError
from pixelrnn.evaluation.baselines import Fill
from pixelrnn.evaluation.likelihoods import Likelihoods, quality
from pixelrnn.model import InpaintingRNN


@dataclass(frozen=True)
class Score:
    """How near one kind of answer comes to the originals on the hidden pixels: means over the pictures."""

    psnr: float  # dB
    ssim: float  # 1 for the original
    seconds: float | None  # a picture; None if the answer comes along with another one


@dataclass(frozen=True)
class Shown:
    """All answers to one of the pictures."""

    completions: PictureCompletions  # its picture is the original
    fills: dict[str, Tensor]  # uint8 (channels, height, width)


@dataclass(frozen=True)
class PictureReport:
    """The results of evaluate_pictures for one kind of hole."""

    likelihoods: Likelihoods  # -log p(hidden | observed) of the originals
    hidden: float  # share of the pixels
    coverage: float  # share of the hidden values that lie in their interval of 90 %, or at its ends
    scores: dict[str, Score]  # of the mean of the draws, of a draw, and of each of the fills
    shown: list[Shown] = field(repr=False)  # the first pictures

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without pictures."""
        numbers = asdict(replace(self, shown=[]))
        del numbers["shown"]
        return {**numbers, "likelihoods": self.likelihoods.as_dict()}


def evaluate_pictures(
    model: InpaintingRNN,
    pictures: Tensor,
    hidden: Tensor,
    count: int = 16,
    fills: Mapping[str, Fill] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    keep: int = 0,
) -> PictureReport:
    """Complete pictures, uint8 (pictures, channels, height, width) of any size, and compare with the originals.

    hidden bool (pictures, height, width); all on the CPU. count: draws for each mean. fills: other answers, such as
    classical_fills(). Picture k is completed with the seed seed + k, so that its result does not depend on the others.
    progress is called as in complete_windows, with the hidden pixels of all pictures. keep: for how many pictures the report
    has all answers, in `shown`. Raises UserError for pictures that do not fit the model, and if nothing is hidden in one.
    """
    if not len(pictures):
        raise UserError("there are no pictures; give at least one")
    rows, shown, mine = [], list[Shown](), distributed.shard(torch.arange(len(pictures))).tolist()
    names = [f"mean of {count}", "a draw", *(fills or {})]
    done, total = 0, int(hidden[mine].sum())
    for k in mine:
        generator, before = Generator(model.order.device).manual_seed(seed + k), done
        start = perf_counter()
        found = complete_windows(
            model,
            pictures[k],
            hidden[k],
            count,
            generator=generator,
            progress=progress and (lambda part, _, so_far: progress(before + part, total, so_far)),
        )
        answers, seconds = Shown(found, {}), [perf_counter() - start, 0.0]
        for name, fill in (fills or {}).items():
            start = perf_counter()
            answers.fills[name] = fill(pictures[k], hidden[k])
            seconds.append(perf_counter() - start)
        rows.append(_row(model, answers, seconds))
        if len(shown) < keep:
            shown.append(answers)
        done += int(hidden[k].sum())
    columns = torch.tensor(rows, dtype=torch.float64).view(-1, 3 + 3 * len(names)).T
    nats, values, covered, *scores = (distributed.gathered(column, len(pictures)) for column in columns)
    means = torch.stack(scores).mean(1).view(-1, 3).tolist()
    return PictureReport(
        Likelihoods.of(nats, values),
        float(hidden.double().mean()),
        float(covered.sum() / values.sum()),
        {
            name: Score(psnr, ssim, None if name == "a draw" else seconds)
            for name, (psnr, ssim, seconds) in zip(names, means, strict=True)
        },
        shown,
    )


def _row(model: InpaintingRNN, answers: Shown, seconds: list[float]) -> list[float]:
    """log p of the original, its hidden values, how many of them lie in their intervals; and of each answer its PSNR, its SSIM
    and its time."""
    found = answers.completions
    true = found.picture[:, found.hidden]
    row = [
        float(log_probs(model, found.picture, found.hidden, true[None])),
        true.numel(),
        float(((found.low <= true) & (true <= found.high)).sum()),
    ]
    for answer, time in zip([found.mean, found.draw(0), *answers.fills.values()], seconds, strict=True):
        near = quality(found.picture[None], answer[None, None], found.hidden, model.levels)
        row += [near.psnr, near.ssim, time]
    return row
