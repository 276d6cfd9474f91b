"""A new model begins with the weights of a saved one."""

from collections.abc import Set
from dataclasses import dataclass

import torch

from pixelrnn import ordering as orderings
from pixelrnn.errors import UserError
from pixelrnn.model import Model

# Options that must agree: otherwise no layer's weights would fit, or they would mean something else. So must the ordering.
SAME = ("cell", "layer", "width", "residual")


@dataclass(frozen=True)
class Inherited:
    """The parameters that a model took from a saved one. A module is listed by its name, such as "encoder"."""

    taken: int  # parameters that were copied
    parameters: int  # parameters of the new model
    new: list[str]  # modules of the new model that keep their initial weights
    left: list[str]  # modules of the saved model that have no place in the new one


def initialise(model: Model, saved: Model) -> Inherited:
    """Copy each weight of a saved model that has the same name and shape in `model`; the others stay as they are.

    A new encoder adds nothing at first: if all else is equal, the model computes what the saved one does until it is
    trained. Raises UserError if the models differ in kind, cell, layer, width, residual or first order.
    """
    differing = [] if type(saved) is type(model) else ["kind"]
    differing += [key for key in SAME if saved.arguments.get(key) != model.arguments.get(key)]
    if saved.shape[1:] == model.shape[1:]:
        same_order = torch.equal(saved.orders[0], model.orders[0])
    else:
        same_order = orderings.describe(saved.arguments["ordering"]) == orderings.describe(model.arguments["ordering"])
    differing += [] if same_order else ["ordering"]
    if differing:
        raise UserError(
            f"the model of init= and the configured one differ in {', '.join(differing)}; leave these options out to take "
            "them from the saved model"
        )
    weights, own = saved.state_dict(), model.state_dict()
    del weights["orders"], own["orders"]
    kept = {name: weight for name, weight in weights.items() if name in own and own[name].shape == weight.shape}
    model.load_state_dict(kept, strict=False)
    return Inherited(
        sum(weight.numel() for weight in kept.values()),
        sum(weight.numel() for weight in own.values()),
        _modules(own.keys() - kept.keys(), own.keys()),
        _modules(weights.keys() - kept.keys(), weights.keys()),
    )


def _modules(names: Set[str], all_names: Set[str]) -> list[str]:
    """Collapse parameter names to the largest modules they cover completely, such as "encoder" or "inputs.value"."""
    found = set()
    for name in names:
        words = name.split(".")
        prefixes = (".".join(words[:n]) for n in range(1, len(words)))
        covered = (p for p in prefixes if not any(other.startswith(f"{p}.") for other in all_names - names))
        found.add(next(covered, name))
    return sorted(found)
