"""The state that a model carries from step to step: nested lists and tuples of tensors, batch first in each, or None."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Shared:
    """A tensor that several members of a batch share: member i has row index[i]. No step changes it."""

    rows: Tensor  # (images, …)
    index: Tensor  # int64 (batch,)


def pick(state: Any, index: Tensor) -> Any:
    """Select batch members of a state by index, int64 (new batch,); an index may repeat."""
    if isinstance(state, Tensor):
        return state.index_select(0, index)
    if state is None:
        return None
    if isinstance(state, Shared):
        return Shared(state.rows, state.index[index])
    return type(state)(pick(part, index) for part in state)


def leaves(state: Any) -> list[Tensor]:
    """List the tensors of a state that change from step to step."""
    if isinstance(state, Tensor):
        return [state]
    if state is None or isinstance(state, Shared):
        return []
    return [leaf for part in state for leaf in leaves(part)]


def detached(state: Any) -> Any:
    """The same state with its changing tensors detached, so that no gradient flows back through them."""
    if isinstance(state, Tensor):
        return state.detach()
    if state is None or isinstance(state, Shared):
        return state
    return type(state)(detached(part) for part in state)
