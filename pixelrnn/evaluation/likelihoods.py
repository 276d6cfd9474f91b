"""Likelihoods over a data set, with their standard errors, and the PSNR and SSIM of completions."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from pixelrnn import distributed
from pixelrnn.completion.fill import complete_in_detail, is_exact
from pixelrnn.completion.parts import Options
from pixelrnn.errors import UserError, note
from pixelrnn.files.arrays import Images, as_masks
from pixelrnn.files.atomic import without_nan
from pixelrnn.model import Model, check_model
from pixelrnn.options import checked
from pixelrnn.pixels import check_hidden, check_images

LN2 = math.log(2)
PERFECT = 60.0  # dB of a completion without any error
# How evaluate_conditional found a number.
HOW = {
    "exact": "exact",
    "fill": "by the plain fill, not conditioned on observed pixels that come later",
    "particles": "estimated by particles",
}


@dataclass(frozen=True)
class Likelihoods:
    """Mean -log p over images: nats per image, and bits per dimension = nats / (dimensions · ln 2).

    dimensions is the number of predicted values: all channels of all pixels, or of the hidden ones; its mean if it differs
    between the images. The errors are standard errors over the images. bits_per_dim_error is that of a ratio of two means.
    """

    images: int
    dimensions: float
    nats: float
    nats_error: float
    bits_per_dim_error: float
    effective_particles: float = math.nan  # the smallest number along the order, averaged over the images
    log_probs: Tensor = field(default_factory=lambda: torch.empty(0), compare=False)  # float64 (images,): log p of each

    @classmethod
    def of(cls, log_probs: Tensor, dimensions: float | Tensor) -> "Likelihoods":
        """From log p of each image, float64 (N,) nats, and the dimensions, of all images or (N,) of each."""
        each = torch.as_tensor(dimensions, dtype=torch.float64).expand(len(log_probs))
        nats, mean = -log_probs.mean(), each.mean()
        of_nats, of_bits = _standard_error(log_probs), _standard_error(log_probs + each * (nats / mean))
        return cls(
            len(log_probs), float(mean), float(nats), of_nats, of_bits / (float(mean) * LN2), log_probs=log_probs
        )

    @property
    def bits_per_dim(self) -> float:
        return self.nats / (self.dimensions * LN2)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, which has no nan: a single image has no error. Those of each image are left out."""
        values = asdict(replace(self, log_probs=torch.empty(0)))
        values["bits_per_dim"] = self.bits_per_dim
        del values["log_probs"]
        return without_nan(values)

    def __repr__(self) -> str:
        return f"Likelihoods({self})"

    def __str__(self) -> str:
        return (
            f"{with_error(self.nats, self.nats_error)} nats per image, "
            f"{with_error(self.bits_per_dim, self.bits_per_dim_error, 4)} bits/dim over {self.images} "
            f"image{'s' if self.images > 1 else ''}"
        )


def _standard_error(values: Tensor) -> float:
    """The standard error of their mean; nan of a single one."""
    return float(values.std() / math.sqrt(len(values))) if len(values) > 1 else math.nan


def with_error(value: float, error: float, digits: int = 2) -> str:
    """A mean with its standard error, such as "79.34 ± 0.36"; the mean alone if the error is nan."""
    return f"{value:.{digits}f}" + ("" if math.isnan(error) else f" ± {error:.{digits}f}")


def evaluate(model: Model, images: Images, hidden: Images | None = None, *, batch_size: int = 100) -> Likelihoods:
    """-log p(x) of images, uint8 (N, channels, height, width); with hidden, -log p(hidden | observed).

    hidden bool (height, width) or (N, height, width). Both may be NumPy arrays or PIL pictures: see docs/python.md. Raises
    UserError for images that do not fit the model, and if it has no exact value for the mask.
    """
    check_model(model)
    hidden = None if hidden is None else as_masks(hidden)
    found = log_probs(model, images, hidden, batch_size)
    return Likelihoods.of(found, model.dimensions if hidden is None else _hidden_dimensions(model, hidden))


def evaluate_ensemble(model: Model, images: Images, *, batch_size: int = 100) -> Likelihoods:
    """-log of the mean of p(x) over the model's orders. A mean of distributions is a distribution."""
    check_model(model)
    check_orders(model)
    along = []
    for index in range(len(model.orders)):
        with model.along(index):
            along.append(log_probs(model, images, None, batch_size))
    return Likelihoods.of(torch.stack(along).logsumexp(0) - math.log(len(along)), model.dimensions)


def check_orders(model: Model) -> None:
    """UserError unless the model has several orders, over which p(x) can be averaged."""
    if len(model.orders) == 1:
        raise UserError(
            "ensemble=true averages p(x) over a model's orders; this one has a single order (model.orders=…)"
        )


def evaluate_conditional(
    model: Model,
    images: Images,
    hidden: Images,
    strategy: str = "ancestral",
    particles: int | str = "auto",
    *,
    generator: Generator | None = None,
    batch_size: int = 100,
) -> tuple[Likelihoods, str]:
    """-log p(hidden | observed) of the true values under hidden, bool (height, width), and how it was found.

    - "exact" if the model has an exact value.
    - "fill" with strategy "ancestral": the probability with which the ancestral fill draws the true values, along the
      order that leaves the fewest observed pixels ahead, and without looking at these.
    - "particles" otherwise: log p(x) - log p(observed) along that order, the second by sequential Monte Carlo. The estimate
      of p(observed) is unbiased for a fixed number of particles. Its logarithm, and so the nats, are too low on average,
      the less so the more particles there are.
    """
    check_model(model)
    Options(strategy=strategy, particles=particles)  # raises UserError for those that are out of range
    images, hidden = check_images(images, model.shape, model.levels), as_masks(hidden)
    check_hidden(hidden, images)
    if hidden.ndim != 2:
        raise UserError(
            f"hidden has shape {tuple(hidden.shape)}; all images have one mask here, {tuple(hidden.shape[1:])}: evaluate the "
            "images of each mask by themselves"
        )
    if is_exact(model, hidden.to(model.order.device)):
        return evaluate(model, images, hidden, batch_size=batch_size), "exact"
    how, effective = "fill" if strategy == "ancestral" else "particles", torch.zeros(2, dtype=torch.float64)

    def estimate(batch: Tensor, masks: Tensor) -> Tensor:
        if how == "fill":
            return model.fill_log_prob(batch, masks)
        asked: dict[str, Any] = {"strategy": "particles", "particles": particles}
        drawn = complete_in_detail(model, batch, masks, generator=generator, **asked)
        effective.add_(torch.stack([drawn.effective.sum(), torch.tensor(float(len(batch)))]))
        return model.log_prob(batch).cpu().double() - drawn.log_observed[:, 0]

    with model.along(int(model.best_orders(hidden[None].to(model.order.device)))):
        found = _in_batches(model, images, hidden, batch_size, estimate)
    total, images_done = distributed.all_reduce_sum(effective).tolist()
    mean = total / images_done if images_done else math.nan
    return replace(Likelihoods.of(found, _hidden_dimensions(model, hidden)), effective_particles=mean), how


def log_probs(model: Model, images: Images, hidden: Images | None = None, batch_size: int = 100) -> Tensor:
    """model.log_prob of many images, which may be on another device than the model: float64 (N,) nats."""
    if hidden is None:
        everything = torch.ones(model.shape[1:], dtype=torch.bool)
        return _in_batches(model, images, everything, batch_size, lambda batch, _: model.log_prob(batch))
    return _in_batches(model, images, hidden, batch_size, model.log_prob)


def _in_batches(
    model: Model, images: Images, hidden: Images, batch_size: int, function: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Apply a function to batches of images and masks on the model's device, without gradients: float64 (N,).

    Several processes share the batches, and each of them gets the whole result.
    """
    batch_size = checked("batch_size", batch_size)
    device, found = model.order.device, [torch.empty(0, dtype=torch.float64)]
    images = check_images(images, model.shape, model.levels)
    hidden = check_hidden(hidden, images)
    with model.evaluating():
        for rows in distributed.shard(torch.arange(len(images))).split(batch_size):
            if len(rows):
                found.append(function(images[rows].to(device), hidden[rows].to(device)).cpu().double())
    return distributed.gathered(torch.cat(found), len(images))


def _hidden_dimensions(model: Model, hidden: Tensor) -> Tensor:
    """How many values a mask hides, (), or each of several masks, (masks,)."""
    return model.shape[0] * hidden.flatten(-2).sum(-1).cpu()


@dataclass(frozen=True)
class Quality:
    """Means over images, of all their completions and of the best completion of each image."""

    images: int
    completions: int  # of each image
    psnr: float  # dB; at most PERFECT for one completion
    best_psnr: float
    ssim: float  # 1 for the original
    best_ssim: float


def quality(images: Tensor, completed: Tensor, hidden: Tensor, levels: int) -> Quality:
    """Compare completions, uint8 (batch, count, channels, height, width), with images, (batch, channels, height, width),
    on the pixels of hidden, bool (height, width)."""
    images, completed, hidden = images.cpu(), completed.cpu(), hidden.cpu()
    ssim = torch.tensor(
        [
            [_ssim(image, completion, hidden, levels) for completion in row]
            for image, row in zip(images, completed, strict=True)
        ]
    )
    found = psnr(images, completed, hidden, levels), ssim
    means = (float(value) for scores in found for value in (scores.mean(), scores.max(1).values.mean()))
    return Quality(len(images), completed.shape[1], *means)


def psnr(images: Tensor, completed: Tensor, hidden: Tensor, levels: int) -> Tensor:
    """The peak signal-to-noise ratio of each completion on the hidden pixels, as in `quality`: (batch, count) dB, at most
    PERFECT."""
    error = (completed.double() - images[:, None].double())[..., hidden].square().flatten(2).mean(2)
    return (20 * math.log10(levels - 1) - 10 * error.clamp_min(1e-12).log10()).clamp_max(PERFECT)


def note_without_ssim(shape: Sequence[int]) -> None:
    """Note that images of this shape, (…, height, width), have no SSIM, if they are too small for it."""
    if min(shape[-2:]) < 3:
        note("SSIM compares windows of at least 3x3 pixels, so images of this size have none")


def _ssim(image: Tensor, completion: Tensor, hidden: Tensor, levels: int) -> float:
    """Structural similarity (Wang et al. 2004) in windows around the hidden pixels."""
    from skimage.metrics import structural_similarity

    smaller = min(image.shape[1:])
    window = min(7, smaller if smaller % 2 else smaller - 1)
    if window < 3:  # an image of one or two rows has no structure
        return math.nan
    arrays = (picture.numpy().astype(np.float64) for picture in (image, completion))
    _, scores = structural_similarity(*arrays, win_size=window, data_range=levels - 1, channel_axis=0, full=True)
    return float(scores[:, hidden.numpy()].mean())
