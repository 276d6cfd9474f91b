"""Several models as one: the members' predictions of each pixel are averaged, along one order."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pixelrnn import ordering as orderings
from pixelrnn.errors import UserError, note, printable
from pixelrnn.likelihood.average import Average
from pixelrnn.model.base import Model, ModelOptions
from pixelrnn.options import LONGEST


class Ensemble(Model):
    """p(x) = ∏_t p(x_t | x_<t), where log p(x_t | x_<t) is the mean of the members' log-probabilities, normalised again.

    members: models of the same shape, levels and orders, on one device. They may differ in kind, size and likelihood, but
    all of them see ahead, or none. They are copied, and put in evaluation mode: an ensemble is not trained. It completes
    images of its members' size only, also with members that complete pictures of any size. Raises UserError for members
    that do not fit together, or for a member that is an ensemble.
    """

    members: Any  # an nn.ModuleList of Model

    def __init__(self, members: Sequence[Model]):
        _check(members)
        first = members[0]
        options = ModelOptions(ordering=first.options.ordering, orders=first.options.orders)
        super().__init__(first.shape, first.levels, options, first.cursor.paths)
        self.orders = self.orders.to(first.orders.device)
        self.members = nn.ModuleList([copy.deepcopy(member) for member in members])
        for module in self.members.modules():
            if hasattr(module, "cursor"):  # one cursor for all, so that `along` moves all of them
                module.cursor = self.cursor
        self.likelihood = Average([member.likelihood for member in self.members])
        self.position_as_tensor = all(member.position_as_tensor for member in members)
        self.reads_observed = any(member.reads_observed for member in members)
        self.sees_ahead = first.sees_ahead
        self.arguments = {key: first.arguments[key] for key in ("shape", "levels", "ordering", "orders")}
        self.arguments["members"] = [
            {"model": type(member).__name__, "arguments": member.arguments} for member in members
        ]
        self._join_training(members)
        self.eval()

    def _join_training(self, members: Sequence[Model]) -> None:
        """Keep what the members were trained on, if it is the same."""
        known = [member.trained_on.get("data") or {} for member in members]
        before = [spec for member in members for spec in member.trained_on.get("before", [])]
        data = [{**spec, "root": None} for spec in known]  # the same files may lie in several folders
        if any(spec != data[0] for spec in data):
            names = ", ".join(str(spec.get("name", "unknown")) for spec in known)
            note(
                f"the ensemble's members were not trained on the same data, prepared in the same way ({names}), so the "
                "ensemble does not say what it was trained on"
            )
            before = [spec for member in members for spec in member.data_seen]
        elif known[0]:
            root = next((spec["root"] for spec in known if spec.get("root")), None)
            self.trained_on["data"] = {**known[0], "root": root}
            if typical := next((m.trained_on["typical"] for m in members if "typical" in m.trained_on), None):
                self.trained_on["typical"] = typical  # the ensemble's log p differs little from a member's
        if before:
            self.trained_on["before"] = before
        if all(member.train_digests is not None for member in members):
            for member in members:
                self.remember(member.train_digests)

    @property
    def parts(self) -> dict[str, Tensor]:
        return {name: mask for member in self.members for name, mask in member.parts.items()}

    def forward(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        return torch.cat([member(images, hidden) for member in self.members], -1)

    def begin(self, canvas: Tensor, hidden: Tensor) -> list[Any]:
        return [member.begin(canvas, hidden) for member in self.members]

    def kind(self, t: int) -> tuple[Any, ...] | None:
        kinds = tuple(member.kind(t) for member in self.members)
        return None if None in kinds else kinds

    def step(self, canvas: Tensor, t: int | Tensor, state: list[Any], kind: Any = None) -> tuple[Tensor, list[Any]]:
        kinds = [(own,) for own in kind] if kind else [()] * len(state)  # some members take no kind
        members = zip(self.members, state, kinds, strict=True)
        return _joined(member.step(canvas, t, own, *of_step) for member, own, of_step in members)

    def read(self, canvas: Tensor, start: int, stop: int, state: list[Any]) -> tuple[Tensor, list[Any]]:
        return _joined(member.read(canvas, start, stop, own) for member, own in zip(self.members, state, strict=True))


def _joined(results: Any) -> tuple[Tensor, list[Any]]:
    """The members' parameters side by side, and their states."""
    parameters, states = zip(*results, strict=True)
    return torch.cat(parameters, -1), list(states)


def _check(members: Sequence[Model]) -> None:
    """UserError, which names the first member that does not fit and the difference."""
    if not isinstance(members, Sequence) or not members:
        raise UserError(f"an ensemble is made of a list of models, at least one; got {printable(members, LONGEST)}")
    for i, member in enumerate(members, 1):
        if isinstance(member, Ensemble) or not isinstance(member, Model):
            raise UserError(
                f"member {i} of the ensemble is of type {type(member).__name__}; give models, not ensembles"
            )
    first = members[0]
    for i, member in enumerate(members[1:], 2):
        facts = [
            ("shape", member.shape, first.shape),
            ("levels", member.levels, first.levels),
            ("device", member.orders.device, first.orders.device),
        ]
        for name, own, other in facts:
            if own != other:
                raise UserError(
                    f"{_named(i, member)} has {name} {own}, and member 1 {other}; give members of the same {name}"
                )
        if not torch.equal(member.orders, first.orders):
            raise UserError(
                f"{_named(i, member)} visits the pixels along {_orders(member)}, and member 1 along {_orders(first)}; predictions "
                "along different orders cannot be averaged: give members of the same orders"
            )
        if member.sees_ahead != first.sees_ahead:
            one, other = ("sees", "does not") if member.sees_ahead else ("does not see", "does")
            raise UserError(
                f"{_named(i, member)} {one} ahead, and member 1 {other}; a completion would take in later observed "
                "pixels by some members only: give members that all have an encoder, or none"
            )


def _named(number: int, member: Model) -> str:
    return f"member {number} of the ensemble, a {type(member).__name__},"


def _orders(model: Model) -> str:
    specs = orderings.specs(model.arguments["ordering"], model.arguments["orders"])
    return " / ".join(orderings.describe(spec) for spec in specs)
