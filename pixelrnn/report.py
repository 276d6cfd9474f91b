"""What was done, in words and plain values: of models, orders and occlusions, and how completions were drawn."""

from typing import Any

from torch import Tensor

from pixelrnn import ordering as orderings
from pixelrnn.completion import Completions
from pixelrnn.data import digests
from pixelrnn.model import Model
from pixelrnn.notes import note


def describe(shape: tuple[int, int, int], levels: int) -> str:
    return f"{shape[1]}x{shape[2]} pixels, {shape[0]} channel{'s' if shape[0] > 1 else ''} and {levels} levels"


def describe_order(model: Model, index: int) -> str:
    """The ordering, in words, that is model.orders[index]."""
    names = [
        orderings.describe(spec) for spec in orderings.specs(model.arguments["ordering"], model.arguments["orders"])
    ]
    if len(names) != len(model.orders):  # some were the same
        return f"order {index + 1} of {len(model.orders)}"
    return names[index] if len(names) == 1 else f"{names[index]} ({index + 1} of {len(names)} orders)"


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
            f"{count:,} of the {len(images):,} images of {part} are, pixel for pixel, images that the model is trained on: "
            "what is measured on them flatters it"
        )
    return count


def how_drawn(model: Model, drawn: Completions, hidden: Tensor, rows: slice) -> dict[str, Any]:
    """How the completions of these rows, which have one mask, were drawn: for the report, the figure ("caption") and the
    terminal ("lines")."""
    i, effective, log_observed = rows.start, drawn.effective[rows], drawn.log_observed[rows]
    order, strategy, exact = drawn.orders[i], drawn.strategies[i], drawn.exact[i]
    with model.along(order):
        ahead = int(model.observed_ahead(hidden[i : i + 1]))
    name = describe_order(model, order)
    how = "with the encoder, " if model.sees_ahead else ""
    tempered = f", at temperature {drawn.temperature:g}" if drawn.temperature != 1 else ""
    rounded = f", {drawn.precision} products" if drawn.precision != "float32" else ""
    nearly = not tempered and (strategy == "particles" or not ahead or model.sees_ahead)
    near = "exact draws" if exact else "nearly draws" if nearly else "no draws"
    caption = f"{strategy}, {how}along {name}{tempered}{rounded}: {near} from p(hidden | observed)"
    lines = [f"strategy   {caption}"]
    if strategy == "particles":
        estimate = "" if tempered else f"; log p(observed) {float(log_observed.mean()):.2f} nats on average"
        lines.append(
            f"particles  effective number, the least on the way: {float(effective.mean()):.1f} on average, "
            f"{float(effective.min()):.1f} at worst (near 1 hardly more than one was left: take more, or a model that "
            f"sees ahead){estimate}"
        )
    elif ahead and not model.sees_ahead:
        lines.append(
            f"note       not a draw from p(hidden | observed): {ahead} observed pixels come after the first hidden one in the "
            "model's ordering, and it does not look at them (strategy=particles does)"
        )
    if tempered:
        way = "sharper" if drawn.temperature < 1 else "flatter"
        lines.append(f"note       each pixel is drawn from a {way} distribution than the model's: see temperature")
    about = {"strategy": strategy, "order": name, "exact": exact, "observed_ahead": ahead}
    return {**about, "caption": caption, "lines": lines}


def of_completions(drawn: Completions, image: int, nats: Tensor) -> list[dict[str, float]]:
    """Of each completion of an image: log p, its rank among them, 1 the likeliest, and what particles know if they were used.

    nats float64 (batch, count), by completion.log_probs.
    """
    ranks = nats[image].argsort(descending=True).argsort() + 1
    found: list[dict[str, float]] = []
    for k, rank in enumerate(ranks.tolist()):
        found.append({"log_prob_nats": float(nats[image, k]), "rank": rank})
        if drawn.strategies[image] == "particles":
            found[k]["effective_particles"] = float(drawn.effective[image, k])
            if drawn.temperature == 1:
                found[k]["log_prob_observed_nats"] = float(drawn.log_observed[image, k])
    return found
