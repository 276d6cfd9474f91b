"""pixelrnn.train: training as a Python program asks for it, with images in memory."""

from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pixelrnn import checkpoint, distributed
from pixelrnn.datasets import Dataset, shuffled
from pixelrnn.errors import TrainingDiverged, UserError, note
from pixelrnn.files.arrays import Images
from pixelrnn.files.atomic import expanded
from pixelrnn.model import Model, check_model
from pixelrnn.options import lookup
from pixelrnn.pixels import check_images
from pixelrnn.training import loop
from pixelrnn.training.state import Progress, Settings


def train(
    model: Model,
    images: Images | Dataset,
    *,
    valid: Images | None = None,
    teacher: Model | None = None,
    folder: str | Path | None = None,
    seed: int = 0,
    progress: bool = True,
    **settings: Any,
) -> Progress:
    """Train `model` on its device. Afterwards it has the weights that were best on the validation images, and is in
    evaluation mode.

    images: uint8 (N, channels, height, width) with values in [0, model.levels), as a tensor, a NumPy array or a list of PIL
    pictures (see docs/python.md), or a data set from pixelrnn.datasets. valid: the validation images; None keeps a tenth of
    the images for it, always the same ones. teacher: a trained model on the same device, often an ensemble, from whose
    predictions the model learns as well. folder: keeps the run, as `pixelrnn train` does; a run that is there already goes on.
    None keeps nothing. progress: show how far it is.

    settings: epochs=20, batch_size=64, learning_rate=0.002, max_minutes, patience and the others that conf/train.yaml lists
    under `training`. The result says how many updates were made, how good the best model was, and what ended the run. Ctrl-C
    ends it after the current update, with result.stopped_by "SIGINT".

    Raises UserError for images that do not fit the model, an unknown setting, and a folder that holds another run;
    TrainingDiverged if the loss is no longer finite; the model then has the best weights so far, if there was a validation.
    """
    check_model(model)
    if teacher is not None:
        check_model(teacher, "teacher")
    for name in settings:
        lookup("setting", name, {field.name: field for field in fields(Settings)})
    data = images if isinstance(images, Dataset) else _dataset(model, images, valid)
    if data is images and valid is not None:
        raise UserError("valid=…: a data set has validation images of its own; leave valid out")
    with ExitStack() as until_done:
        if folder is None:
            folder = until_done.enter_context(TemporaryDirectory(prefix="pixelrnn-"))
            settings = {"samples": 0, **settings}  # pictures that nobody would see
        place = expanded(folder)
        try:
            at = loop.train(model, data, Settings(**settings), place, seed, progress, teacher=teacher)
        except TrainingDiverged:
            if distributed.by_main((place / "best").is_dir):
                _take_best(model, place)
            raise
        _take_best(model, place)
    return at


def _dataset(model: Model, images: Images, valid: Images | None) -> Dataset:
    """The images, and those for validation, as a data set without test images."""
    train = check_images(images, model.shape, model.levels)
    if valid is not None:
        held = check_images(valid, model.shape, model.levels)
    else:
        count, order = max(1, len(train) // 10), shuffled(len(train))
        held, train = train[order[:count]], train[order[count:]]
        if distributed.is_main():
            note(f"valid=None: validation takes {len(held):,} of the {len(order):,} images")
    if not len(train) or not len(held):
        raise UserError(
            f"there are {len(train)} images to train on and {len(held)} for validation; give at least one of each"
        )
    _, height, width = model.shape
    name = f"images {height}x{width}, {model.levels} levels (train {len(train):,} / valid {len(held):,})"
    return Dataset(name, model.levels, train, held, train[:0])


def _take_best(model: Model, folder: Path) -> None:
    """Give the model the averaged weights that the run in this folder found best, and what the run learnt of the images."""

    def read() -> tuple[dict[str, Any], dict[str, Any]]:
        best = (folder / "best").is_dir()
        if not best:
            note("the run ended before its first validation: the weights are the last ones, averaged")
        saved = checkpoint.load(folder / ("best" if best else "last"))
        return saved.state_dict(), saved.trained_on

    weights, model.trained_on = distributed.by_main(read)
    model.load_state_dict(weights)
    model.eval()
