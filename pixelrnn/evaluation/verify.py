"""Check that a model keeps its contract. A user can do so with any checkpoint, trained or not."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from pixelrnn.completion.fill import complete
from pixelrnn.errors import UserError
from pixelrnn.model import Model, check_model
from pixelrnn.model.orders import hidden_span
from pixelrnn.options import checked
from pixelrnn.ordering import check_order
from pixelrnn.pixels import to_sequence
from pixelrnn.products import packed

TOLERANCE = 1e-4


class VerificationError(UserError):
    """A model breaks its contract; the message says how, and where."""


def verify(model: Model, *, seed: int = 0) -> list[str]:
    """Check the model on random images, along each of its orders, and return one line for each property that holds.

    Raises VerificationError at the first violation: weights are not finite, an order is not a permutation, a distribution
    depends on a pixel not yet visited, the probabilities of the levels do not sum to 1, a channel depends on a later one,
    a step differs from the parallel pass, a completion changes an observed pixel, or an encoder sees a hidden pixel.
    """
    check_model(model)
    seed = checked("seed", seed)
    with model.evaluating():
        for index in reversed(range(len(model.orders))):
            with model.along(index):
                lines = list(_checks(model, Generator().manual_seed(seed)))
    return lines + [f"all of it along each of {len(model.orders)} orders"] * (len(model.orders) > 1)


def _checks(model: Model, generator: Generator) -> Iterator[str]:
    if broken := model.broken_weight():
        raise VerificationError(f"the weight {broken} holds a value that is not finite")
    yield "the weights are finite"
    try:
        check_order(model.order, model.pixels)
    except UserError as error:
        raise VerificationError(str(error)) from None
    yield f"the order visits each of the {model.pixels} pixels once"
    images = torch.randint(0, model.levels, (4, *model.shape), generator=generator, dtype=torch.uint8)
    images = images.to(model.order.device)
    chosen = torch.randperm(model.pixels, generator=generator)[:32].sort().values.tolist()
    everything = torch.ones_like(images[:, 0], dtype=torch.bool)
    if leak := _find_leak(model, images, everything, chosen):
        raise VerificationError(
            f"the future leaks: the pixel of step {leak[0]} changes the distribution of step {leak[1]}"
        )
    yield f"causal: {len(chosen)} pixels changed, no distribution at or before theirs did"
    yield _is_normalised(model, images)
    yield _channels_are_causal(model, images)
    yield _steps_equal_forward(model, images, everything, chosen)
    yield _observed_pixels_are_kept(model, images)
    if model.sees_ahead:
        hidden = torch.rand(everything.shape, generator=generator).to(images.device) < 0.5
        hidden.flatten(1)[:, model.order[-1]] = True
        if leak := _find_leak(model, images, hidden, chosen):
            raise VerificationError(
                f"the hidden pixel of step {leak[0]} changes the distribution of a hidden one before it"
            )
        yield "the encoder sees observed pixels only: no hidden value changes a distribution before it"
        _steps_equal_forward(model, images, hidden, chosen)


def _find_leak(model: Model, images: Tensor, hidden: Tensor, steps: list[int]) -> tuple[int, int] | None:
    """Change the hidden pixels of each of these steps. Return the first step that changes the distribution of a hidden
    pixel at or before it, and the step of that pixel; None if there is none."""
    parameters, hidden_at = model(images, hidden), model.in_order(hidden)
    limit = TOLERANCE * (1 + float(parameters.abs().max()))
    for t in steps:
        other = images.clone()
        pixel = other.flatten(2)[:, :, model.visits[t]]
        changed = (pixel.int() + 1) % model.levels  # 255 + 1 has to fit
        pixel.copy_(torch.where(hidden_at[:, t, None], changed, pixel))
        difference = (model(other, hidden) - parameters).abs().amax(2)[:, : t + 1]
        difference = difference.masked_fill(~hidden_at[:, : t + 1], 0).amax(0)
        if float(difference.max()) > limit:
            return t, int(difference.argmax())
    return None


def _is_normalised(model: Model, images: Tensor) -> str:
    values = to_sequence(images, model.order)
    total = model.likelihood.level_log_probs(model(images), values).logsumexp(-1)
    if float(total.abs().max()) > TOLERANCE:
        raise VerificationError(f"the levels' probabilities sum to {float(total.exp().max()):.6f} somewhere, not to 1")
    return "normalised: the levels' probabilities sum to 1 at every pixel"


def _channels_are_causal(model: Model, images: Tensor) -> str:
    parameters, values = model(images), to_sequence(images, model.order)
    before = model.likelihood.level_log_probs(parameters, values)
    for c in range(model.shape[0]):
        other = values.clone()
        other[..., c] = (other[..., c] + 1) % model.levels
        after = model.likelihood.level_log_probs(parameters, other)
        if not torch.allclose(before[..., : c + 1, :], after[..., : c + 1, :], atol=TOLERANCE):
            raise VerificationError(
                f"channel {c} of a pixel changes the distribution of itself or of an earlier channel"
            )
    return "the channels of a pixel see earlier channels only"


def _steps_equal_forward(model: Model, images: Tensor, hidden: Tensor, steps: list[int]) -> str:
    parameters = model(images, hidden)
    tolerance = TOLERANCE * (1 + float(parameters.abs().max()))
    with packed(model):
        state = model.begin(images, hidden)
        for t in range(hidden_span(hidden, model.order)[0], steps[-1] + 1):
            stepped, state = model.step(images, t, state)
            difference = float((stepped - parameters[:, t]).abs().max())
            if difference > tolerance:
                raise VerificationError(f"the sampler's step {t} differs by {difference:.2e} from the parallel pass")
    return f"the sampler's steps equal the parallel pass, up to step {steps[-1]}"


def _observed_pixels_are_kept(model: Model, images: Tensor) -> str:
    hidden = torch.zeros(model.pixels, dtype=torch.bool)
    hidden[model.order.cpu()[-max(1, model.pixels // 16) :]] = True  # the last sixteenth of the visit
    hidden = hidden.view(model.shape[1:]).to(images.device)
    completed = complete(model, images, hidden, generator=Generator(images.device).manual_seed(0))[:, 0]
    if not torch.equal(completed.masked_fill(hidden, 0), images.masked_fill(hidden, 0)):
        raise VerificationError("a completion changed an observed pixel")
    return "a completion keeps the observed pixels"
