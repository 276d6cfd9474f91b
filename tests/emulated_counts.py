"""Counts the operations and the waits of each kind of model on the emulated device (emulated_device.py), as a table.

python -m tests.emulated_counts
"""

from typing import Any

import torch

from pixelrnn.completion import cuda_graph, sample
from pixelrnn.model import MODELS
from pixelrnn.training import Settings
from pixelrnn.training.update import make_objective, make_optimizer, update
from tests.emulated_device import Device, emulated

PAPER = {"width": 32, "depth": 7}
KINDS = {  # name: kind of model, channels, levels, options
    "LSTM 2×256": ("SequenceRNN", 1, 2, {}),
    "with window 7 and a recurrent encoder": ("SequenceRNN", 1, 2, {"window": 7, "bidirectional": True}),
    "colour, `logistic_mixture`": ("SequenceRNN", 3, 256, {"likelihood": "logistic_mixture"}),
    "GRU 2×256": ("SequenceRNN", 1, 2, {"cell": "gru"}),
    "`gru_reset_before` 2×256": ("SequenceRNN", 1, 2, {"cell": "gru_reset_before"}),
    "PixelCNN 7×32": ("PixelCNN", 1, 2, PAPER),
    "Row LSTM 7×32": ("RowLSTM", 1, 2, PAPER),
    "Diagonal BiLSTM 7×32": ("DiagonalBiLSTM", 1, 2, PAPER),
    "`MultiScale` of Row LSTMs, 7×16 and 7×32": ("MultiScale", 1, 2, PAPER),
    "`InpaintingRNN`, colour, masks of its training": ("InpaintingRNN", 3, 256, {}),
}
SIDE, BATCH, LOOP = 28, 4, 10**9


def counts(device: Device, name: str) -> list[str]:
    """The cells of a row of the table."""
    kind, channels, levels, options = KINDS[name]
    torch.manual_seed(0)
    model, settings = MODELS[kind]((channels, SIDE, SIDE), levels, **options).to("cuda"), Settings(batch_size=BATCH)
    images = torch.randint(levels, (BATCH, channels, SIDE, SIDE), dtype=torch.uint8).to("cuda")
    found = []
    for records in (False, True):
        objective: Any = make_objective(model, settings)
        optimizer = make_optimizer(model, settings)
        if not records:
            objective.recordings = None
        if records and objective.recordings is None:
            found.append("")
            continue
        for _ in range(4 if records else 2):  # the first update makes the optimiser's state; the third one is recorded
            device.forget()
            update(objective, optimizer, images, settings, "mixed" if model.sees_ahead else None)
        found.append(f"{device.operations + device.replays:,}")
    found.append(str(device.waits.total()))
    before = cuda_graph.FEWEST
    for fewest in (LOOP, before) if model.position_as_tensor else (LOOP,):
        device.forget()
        cuda_graph.FEWEST = fewest
        sample(model, BATCH)
        found.append(f"{device.operations / model.pixels:.0f}")
        waits = device.waits.total()
    cuda_graph.FEWEST = before
    return [*found, *[""] * (5 - len(found)), str(waits)]


if __name__ == "__main__":
    print(
        "| | an update: operations | with a CUDA graph | waits | a step of sampling: operations | with a CUDA graph",
        end="",
    )
    print(" | a call of `sample`: waits |")
    print("|---|---|---|---|---|---|---|")
    with emulated() as device:
        for name in KINDS:
            print(f"| {name} | {' | '.join(counts(device, name))} |", flush=True)
