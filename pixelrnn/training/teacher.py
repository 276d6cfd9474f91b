"""Distillation: a model learns from the predictions of a trained one as well as from the images."""

import torch
from torch import Tensor

from pixelrnn.errors import UserError
from pixelrnn.model import InpaintingRNN, Model
from pixelrnn.pixels import to_sequence


class Teacher:
    """A trained model, often an ensemble, from whose distribution of each pixel another model learns.

    The loss of a pixel is the mean of two cross-entropies: with the pixel itself, and with the teacher's distribution given
    the same pixels (Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015; both here at temperature 1).
    A pixel says which value it has, and the teacher how likely all the others were.

    Raises UserError unless the teacher gives a distribution for each of the model's predictions.
    """

    def __init__(self, teacher: Model, model: Model):
        _check(teacher, model)
        if teacher is model:
            raise UserError("the teacher is the model itself; give another one, such as a copy.deepcopy of it")
        self.teacher = teacher.eval()
        same = (teacher.orders[:, None] == model.orders).all(-1)  # bool (the teacher's orders, the model's)
        if missing := int((~same.any(0)).sum()):
            raise UserError(
                f"{missing} of the model's {len(model.orders)} orders are not among the teacher's; make the model with the "
                "teacher's ordering and orders"
            )
        self.orders: list[int] = same.int().argmax(0).tolist()  # the teacher's index of each of the model's orders

    def log_prob(self, model: Model, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """The model's log p of the images or of their hidden pixels: (batch,) nats. Its gradient is that of minus the loss."""
        values = to_sequence(images, model.order)
        own = model.likelihood.level_log_probs(model(images, hidden), values)  # (batch, pixels, channels, levels)
        expected = self._probabilities(self.orders[model.cursor.index], images, hidden, values)
        of_pixels = own.gather(-1, values[..., None])[..., 0]
        taught = (of_pixels + (expected * own).sum(-1)) / 2
        log_probs = (of_pixels.detach() + taught - taught.detach()).sum(-1)
        return (log_probs if hidden is None else log_probs.where(model.in_order(hidden), 0.0)).sum(1)

    @torch.no_grad()
    def _probabilities(self, order: int, images: Tensor, hidden: Tensor | None, values: Tensor) -> Tensor:
        """The teacher's probabilities of all levels, in full precision: (batch, pixels, channels, levels)."""
        with self.teacher.along(order), torch.autocast(images.device.type, enabled=False):
            return self.teacher.likelihood.level_log_probs(self.teacher(images, hidden), values).exp()


def _check(teacher: Model, model: Model) -> None:
    if isinstance(model, InpaintingRNN):
        raise UserError("InpaintingRNN cannot learn from a teacher, because its training draws windows at random")
    for name in ("shape", "levels"):
        own, other = getattr(model, name), getattr(teacher, name)
        if own != other:
            raise UserError(f"the teacher has {name} {other}, and the model {own}; give a teacher of the same {name}")
    if model.sees_ahead and not teacher.sees_ahead:
        raise UserError(
            "the model sees observed pixels ahead, and the teacher does not, so it would teach to ignore them; give a teacher "
            "with an encoder, or make the model with bidirectional=false"
        )
