"""What was done, in words and plain values: of models, orders and occlusions, and how completions were drawn."""

import math
from typing import Any

from torch import Tensor

from pixelrnn import ordering as orderings
from pixelrnn.completion.fill import Completions
from pixelrnn.completion.particles import ENOUGH
from pixelrnn.data import digests
from pixelrnn.model import Model
from pixelrnn.notes import note

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


def describe(shape: tuple[int, int, int], levels: int) -> str:
    return f"{shape[1]}x{shape[2]} pixels, {shape[0]} channel{'s' if shape[0] > 1 else ''} and {levels} levels"


def describe_order(model: Model, index: int) -> str:
    """The ordering, in words, that is model.orders[index]."""
    names = [
        orderings.describe(spec) for spec in orderings.specs(model.arguments["ordering"], model.arguments["orders"])
    ]
    if len(names) != len(model.orders):  # some were the same
        return f"order {index + 1} of {len(model.orders)}"
    if len(names) == 1:
        return names[0]
    number = f"the {ORDINALS[index]}" if index < len(ORDINALS) else f"number {index + 1}"
    return f"{names[index]} ({number} of {len(names)} orders)"


def describe_model(model: Model) -> str:
    spec = model.arguments
    kind = spec.get("cell") or type(model).__name__
    layers = f" ({spec['layer']})" if "layer" in spec else ""
    encoder = f", encoder {spec['encoder_depth']} x 2 x {spec['encoder_width']}" if spec.get("bidirectional") else ""
    orders = orderings.describe(spec["ordering"]) if len(model.orders) == 1 else f"{len(model.orders)} orders"
    return f"{kind}{layers}, {spec['depth']} x {spec['width']}{encoder}, {orders}"


def describe_occlusion(spec: dict[str, Any]) -> str:
    options = ", ".join(f"{key} {value}" for key, value in spec.items() if key != "name")
    return f"{spec['name']} ({options})" if options else spec["name"]


def note_repeats(trained_on: Tensor | None, images: Tensor, part: str) -> int | None:
    """Counts, and tells, how many of these images of a part are among the training images, whose digests are given."""
    if trained_on is None:
        return None
    known = set(map(bytes, trained_on.numpy()))
    if count := sum(bytes(digest) in known for digest in digests(images).numpy()):
        note(
            f"images of {part} that the model was trained on, pixel for pixel: {count:,} of {len(images):,}; what is measured on "
            "them flatters it"
        )
    return count


def manner(ahead: int, sees_ahead: bool, strategy: str, temperature: float) -> str:
    """How a draw relates to p(hidden | observed): "exact", "particles", "not conditioned", or of "another distribution".

    ahead is the number of observed pixels after the first hidden one in the order; strategy any of completion.STRATEGIES.
    """
    if ahead and not sees_ahead:
        return "not conditioned" if strategy == "ancestral" else "particles"
    return "exact" if temperature == 1 else "another distribution"


def in_words(how: str, ahead: int, temperature: float, effective: float | None = None, of: int = 0) -> str:
    """The sentence about a manner, with the effective number of particles, of so many, if it is known."""
    parts = [f"samples at temperature {temperature:g}, not of p(hidden | observed)"] if temperature != 1 else []
    if how == "exact":
        parts.append("exact samples of p(hidden | observed)")
    elif how == "not conditioned":
        parts.append(f"not conditioned on {ahead:,} observed pixels that come later in the ordering")
    elif how == "particles" and effective is None:
        parts.append(f"estimated by particles, which take in {ahead:,} observed pixels that come later in the ordering")
    elif effective is not None:
        good = f"estimated by particles (at least {math.floor(effective)} of {of:,} effective)"
        rough = f"a rough approximation (at worst {effective:.1f} of {of:,} particles were effective)"
        parts.append(rough if effective < ENOUGH else good)
    return "; ".join(parts)


def how_drawn(model: Model, drawn: Completions, hidden: Tensor, rows: slice) -> dict[str, Any]:
    """How the completions of these rows, which have one mask, were drawn: for the report, the figure ("caption"), the
    terminal ("lines") and as notes ("notes")."""
    i, effective, log_observed = rows.start, drawn.effective[rows].flatten(), drawn.log_observed[rows]
    order, strategy = drawn.orders[i], drawn.strategies[i]
    with model.along(order):
        ahead = int(model.observed_ahead(hidden[i : i + 1]))
    name, how = describe_order(model, order), manner(ahead, model.sees_ahead, strategy, drawn.temperature)
    about = {"strategy": strategy, "order": name, "exact": drawn.exact[i], "how": how, "observed_ahead": ahead}
    least, of, lines, notes = None, 0, [], []
    if how == "particles":
        worst = int(effective.argmin())
        least, used = float(effective[worst]), drawn.particles[rows].flatten()
        of = int(used[worst])
        about |= {"effective_particles": least, "particles": int(used.max())}
        number = f"{of:,}" if bool((used == of).all()) else f"{int(used.min()):,} to {int(used.max()):,}"
        estimate = (
            "" if drawn.temperature != 1 else f"; log p(observed) {float(log_observed.mean()):.2f} nats on average"
        )
        lines = [
            f"particles  {number} for each completion; the smallest effective number was {float(effective.mean()):.1f} on "
            f"average, {least:.1f} at worst{estimate}"
        ]
        if least < ENOUGH and drawn.temperature == 1:
            notes.append(
                "more particles (particles=4096), or a model that sees ahead, come nearer to p(hidden | observed)"
            )
    elif how == "not conditioned":
        notes.append("strategy=particles takes in the observed pixels that come later")
    if drawn.temperature != 1:
        way = "sharper" if drawn.temperature < 1 else "flatter"
        notes.append(
            f"at temperature {drawn.temperature:g} each pixel is drawn from a {way} distribution than the model's"
        )
    encoder = "with the encoder, " if model.sees_ahead else ""
    caption = f"{strategy}, {encoder}along {name}: {in_words(how, ahead, drawn.temperature, least, of)}"
    return {**about, "caption": caption, "lines": [f"strategy   {caption}", *lines], "notes": notes}


def of_completions(drawn: Completions, image: int, nats: Tensor) -> list[dict[str, float]]:
    """Of each completion of an image: log p, its rank among them, 1 the most probable, and what particles know if they were
    used.

    nats float64 (batch, count), by completion.log_probs.
    """
    ranks = nats[image].argsort(descending=True).argsort() + 1
    found: list[dict[str, float]] = []
    for k, rank in enumerate(ranks.tolist()):
        found.append({"log_prob_nats": float(nats[image, k]), "rank": rank})
        if drawn.strategies[image] == "particles":
            found[k]["particles"] = int(drawn.particles[image, k])
            found[k]["effective_particles"] = float(drawn.effective[image, k])
            if drawn.temperature == 1:
                found[k]["log_prob_observed_nats"] = float(drawn.log_observed[image, k])
    return found
