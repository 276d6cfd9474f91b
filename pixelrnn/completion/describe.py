"""Models, orders, occlusions and completions in words, for the terminal, the figures, the page and the reports."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pixelrnn import ordering as orderings
from pixelrnn.completion.particles import ENOUGH
from pixelrnn.completion.parts import Completions
from pixelrnn.datasets import digests, divided_otherwise
from pixelrnn.errors import note
from pixelrnn.model import Ensemble, Model

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


def describe(shape: tuple[int, int, int], levels: int) -> str:
    """The form of an image, such as "28x28 pixels, 1 channel and 2 levels"."""
    return f"{shape[1]}x{shape[2]} pixels, {shape[0]} channel{'s' if shape[0] > 1 else ''} and {levels} levels"


def describe_order(model: Model, index: int) -> str:
    """model.orders[index] by the name of its ordering, such as "raster, flip_rows (the second of 4 orders)"."""
    specs = orderings.specs(model.arguments["ordering"], model.arguments["orders"])
    if len(specs) != len(model.orders):  # some were the same
        return f"order {index + 1} of {len(model.orders)}"
    name = orderings.describe(specs[index])
    if len(specs) == 1:
        return name
    number = f"the {ORDINALS[index]}" if index < len(ORDINALS) else f"number {index + 1}"
    return f"{name} ({number} of {len(specs)} orders)"


def describe_model(model: Model) -> str:
    """Kind, size and orders of a model, such as "lstm, 2 x 256, raster"; of an ensemble, those of each member."""
    if isinstance(model, Ensemble):
        return f"ensemble of {' + '.join(map(describe_model, model.members))}"
    spec = model.arguments
    kind, layers = type(model).__name__, f" ({spec['layer']})" if "layer" in spec else ""
    if "cell" in spec:
        kind, layers = (spec["cell"], "") if kind == "SequenceRNN" else (kind, f" ({spec['cell']})")
    encoder = ""
    if spec.get("bidirectional"):
        directions = "2 x " if spec["encoder"] == "recurrent" else ""
        encoder = f", {spec['encoder']} encoder {spec['encoder_depth']} x {directions}{spec['encoder_width']}"
    first = orderings.describe_first(spec["ordering"], spec["orders"])
    orders = first if len(model.orders) == 1 else f"{len(model.orders)} orders"
    return f"{kind}{layers}, {spec['depth']} x {spec['width']}{encoder}, {orders}"


def note_repeats(trained_on: Tensor | None, images: Tensor, part: str) -> int | None:
    """Count the images of a part that are among the training images, and tell the user.

    trained_on: the digests of the training images, uint8 (images, 16). Without them the count is None.
    """
    if trained_on is None:
        return None
    known = set(map(bytes, trained_on.numpy()))
    if count := sum(bytes(digest) in known for digest in digests(images).numpy()):
        note(
            f"images of {part} that the model was trained on, pixel for pixel: {count:,} of {len(images):,}; their likelihoods "
            "are too good"
        )
    return count


def note_seen(model: Model, data: Mapping[str, Any]) -> None:
    """Tell the user if the model was trained on validation images of `data`: on those of MNIST in another division, or on all
    of the training images (`with_valid` of a bundled model's data)."""
    if any(seen["name"] == data["name"] and seen.get("with_valid") for seen in model.data_seen):
        note(
            f"the model was trained on the validation images of data={data['name']} too; their likelihoods are too good, and "
            "only part=test is new to it"
        )
    if any(divided_otherwise(seen, data) for seen in model.data_seen):
        note(
            "the fixed binarisation of MNIST divides its 60,000 training images in another way than data=mnist: the model was "
            "trained on five in six of these validation images, in another binarisation; their likelihoods are too good, and "
            "only part=test is new to it"
        )


def manner(ahead: int, sees_ahead: bool, strategy: str, temperature: float) -> str:
    """How a draw relates to p(hidden | observed): "exact", "particles", "not conditioned" or "another distribution".

    ahead is the number of observed pixels after the first hidden one in the order; strategy is as in Options.
    """
    if ahead and not sees_ahead:
        return "not conditioned" if strategy == "ancestral" else "particles"
    return "exact" if temperature == 1 else "another distribution"


def in_words(how: str, ahead: int, temperature: float, effective: float | None = None, of: int = 0) -> str:
    """The sentence about a manner; effective is the smallest effective number of particles, if known, of so many."""
    parts = [f"samples at temperature {temperature:g}, not of p(hidden | observed)"] if temperature != 1 else []
    if how == "exact":
        parts.append("exact samples of p(hidden | observed)")
    elif how == "not conditioned":
        parts.append(f"not conditioned on {ahead:,} observed pixels that come later in the ordering")
    elif how == "particles" and effective is None:
        parts.append(f"estimated by particles, which take in {ahead:,} observed pixels that come later in the ordering")
    elif effective is not None and effective < ENOUGH:
        parts.append(f"a rough approximation (at worst {effective:.1f} of {of:,} particles were effective)")
    elif effective is not None:
        parts.append(f"estimated by particles (at least {math.floor(effective)} of {of:,} effective)")
    return "; ".join(parts)


def how_drawn(model: Model, drawn: Completions, rows: slice) -> dict[str, Any]:
    """How the completions of these rows, which share one mask, were drawn.

    Plain values for the report, and words: "caption" for the figure, "lines" for the terminal, "notes" for the user.
    """
    i, temperature = rows.start, drawn.temperature
    order, strategy = drawn.orders[i], drawn.strategies[i]
    with model.along(order):
        ahead = int(model.observed_ahead(drawn.hidden[i : i + 1]))
    name, how = describe_order(model, order), manner(ahead, model.sees_ahead, strategy, temperature)
    about = {"strategy": strategy, "order": name, "exact": drawn.exact[i], "how": how, "observed_ahead": ahead}
    least, of, particles, notes = None, 0, [], []
    if how == "particles":
        effective, used = drawn.effective[rows].flatten(), drawn.particles[rows].flatten()
        worst = int(effective.argmin())
        least, of = float(effective[worst]), int(used[worst])
        about |= {"effective_particles": least, "particles": int(used.max())}
        number = f"{of:,}" if bool((used == of).all()) else f"{int(used.min()):,} to {int(used.max()):,}"
        line = f"particles  {number} for each completion; the smallest effective number was {float(effective.mean()):.1f} on "
        line += f"average, {least:.1f} at worst"
        if temperature == 1:
            line += f"; log p(observed) {float(drawn.log_observed[rows].mean()):.2f} nats on average"
            if least < ENOUGH:
                notes.append(
                    "more particles (particles=4096) or a model with an encoder come nearer to p(hidden | observed)"
                )
        particles = [line]
    elif how == "not conditioned":
        notes.append("strategy=particles takes in the observed pixels that come later")
    if temperature != 1:
        way = "sharper" if temperature < 1 else "flatter"
        notes.append(f"at temperature {temperature:g} each pixel is drawn from a {way} distribution than the model's")
    encoder = "with the encoder, " if model.sees_ahead else ""
    caption = f"{strategy}, {encoder}along {name}: {in_words(how, ahead, temperature, least, of)}"
    return {**about, "caption": caption, "lines": [f"strategy   {caption}", *particles], "notes": notes}


def of_completions(drawn: Completions, image: int) -> list[dict[str, float]]:
    """For each completion of an image: log p, its rank (1 is the most probable), and the facts about its particles."""
    nats = drawn.log_probs[image]
    ranks = nats.argsort(descending=True).argsort() + 1
    found: list[dict[str, float]] = []
    for k, rank in enumerate(ranks.tolist()):
        found.append({"log_prob_nats": float(nats[k]), "rank": rank})
        if drawn.strategies[image] == "particles":
            found[k]["particles"] = int(drawn.particles[image, k])
            found[k]["effective_particles"] = float(drawn.effective[image, k])
            if drawn.temperature == 1:
                found[k]["log_prob_observed_nats"] = float(drawn.log_observed[image, k])
    return found
