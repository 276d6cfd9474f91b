"""What a visitor chooses of a draw, and what will come of it."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pixelrnn.completion.describe import in_words, manner
from pixelrnn.completion.parts import STRATEGIES
from pixelrnn.errors import UserError
from pixelrnn.model.orders import best_orders, observed_ahead
from pixelrnn.ui.shelf import Offer

MOST = 64  # images of one draw


def check_number(name: str, value: Any, least: float, most: float) -> float:
    """The value; UserError unless it is a number in this range."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        given = "empty" if value is None else value
        raise UserError(f"the {name} is {given}; it is a number from {least:,} to {most:,}")
    return value


@dataclass(frozen=True)
class Choice:
    """What a visitor chooses of a draw. of() takes what a browser sends."""

    count: int = 6
    temperature: float = 1.0
    seed: int = 0
    strategy: str = "auto"
    order: int | None = None  # None: the one with the fewest observed pixels after the first hidden one

    @classmethod
    def of(
        cls, count: Any, temperature: Any, seed: Any, strategy: Any = "auto", order: Any = None, orders: int = 1
    ) -> "Choice":
        """UserError for a value that is out of range."""
        check_number("number of images", count, 1, MOST)
        check_number("temperature", temperature, 0.05, 5)
        check_number("seed", seed, 0, 2**31 - 1)
        if strategy not in STRATEGIES:
            raise UserError(f"there is no strategy '{strategy}'; choose one of {', '.join(STRATEGIES)}")
        if order is not None:
            check_number("order", order, 0, orders - 1)
        return cls(int(count), float(temperature), int(seed), strategy, None if order is None else int(order))


@dataclass(frozen=True)
class Plan:
    """How a region will be completed."""

    order: int
    first: int  # the step of its first hidden pixel
    words: str


def plan(offer: Offer, hidden: Tensor, choice: Choice) -> Plan:
    """UserError where nothing is hidden."""
    if not bool(hidden.any()):
        raise UserError("nothing is hidden: paint over the pixels to complete, or take one of the occlusions")
    order = int(best_orders(hidden[None], offer.orders)) if choice.order is None else choice.order
    ahead = int(observed_ahead(hidden[None], offer.orders[order]))
    name, sees = offer.order_names[order], offer.model.sees_ahead
    how = manner(ahead, sees, choice.strategy, choice.temperature)
    words = (
        f"{int(hidden.sum())} of {hidden.numel()} pixels are hidden. Along {name}{', with the encoder' if sees else ''}: "
        f"{in_words(how, ahead, choice.temperature)}."
    )
    return Plan(order, int(hidden.flatten()[offer.orders[order]].nonzero()[0]), words)
