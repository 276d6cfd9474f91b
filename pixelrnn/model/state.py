"""The state that a model carries from step to step: nested lists and tuples of tensors, batch first in each, or None."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only


@dataclass(frozen=True)
class Shared:
    """A tensor that several members of a batch share: member i has row index[i]. No step changes it."""

    rows: Tensor  # (images, …)
    index: Tensor  # int64 (batch,)


def pick(state: Any, index: Tensor) -> Any:
    """Select batch members of a state by index, int64 (new batch,); an index may repeat."""

    def select(part: Tensor | Shared) -> Tensor | Shared:
        return Shared(part.rows, part.index[index]) if isinstance(part, Shared) else part.index_select(0, index)

    return tree_map_only((Tensor, Shared), select, state)


def leaves(state: Any) -> list[Tensor]:
    """List the tensors of a state that change from step to step."""
    return [leaf for leaf in tree_leaves(state) if isinstance(leaf, Tensor)]


def detached(state: Any) -> Any:
    """The same state with its changing tensors detached, so that no gradient flows back through them."""
    return tree_map_only(Tensor, Tensor.detach, state)
