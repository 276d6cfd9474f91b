"""Kill a training run again and again, resume it each time, and compare its files with those of an uninterrupted run.

python -m stress.crash kills=50 seed=0

Each start is a process of its own, which SIGKILL ends at a random moment. Prints the number of kills, and how many of
them left a half-written temporary file.
"""

import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch

from pixelrnn import SequenceRNN
from pixelrnn.datasets import Dataset
from pixelrnn.training import Settings
from pixelrnn.training import loop as training

SETTINGS = Settings(epochs=6, batch_size=8, validate_every=1, warmup_steps=2, samples=0)


def run(folder: Path) -> None:
    """Train for 30 updates, and validate and save after each."""
    images = torch.randint(4, (60, 1, 5, 5), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    data = Dataset("noise", 4, images[:40], images[40:50], images[50:])
    torch.manual_seed(1)
    model = SequenceRNN((1, 5, 5), 4, width=24, depth=2, dropout=0.1, window=3, bidirectional=True)
    training.train(model, data, SETTINGS, folder, seed=3, progress=False)


def start(folder: Path, kill_after: float | None, in_a_write: bool = False) -> int:
    """Run in a process of its own and return its exit code, negative for a signal.

    kill_after: the seconds until it is killed; None lets it end. in_a_write: wait further until it writes a file.
    """
    pid = os.fork()
    if pid == 0:
        try:
            run(folder)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", flush=True)
            os._exit(1)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        until = time.monotonic() + 5
        while in_a_write and time.monotonic() < until and not half_written(folder):
            pass
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def half_written(folder: Path) -> bool:
    places = (folder, folder / "best", folder / "last")
    return any(name.endswith(".tmp") for place in places if place.exists() for name in os.listdir(place))


def results(folder: Path) -> tuple[dict, bytes, list]:
    """Return everything that a run leaves, except times."""
    state = torch.load(folder / "last" / "training.pt", weights_only=True)
    del state["progress"]["seconds"]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    weights = b"".join((folder / kind / "model.safetensors").read_bytes() for kind in ("best", "last"))
    return state, weights, [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def same(one: object, two: object) -> bool:
    if isinstance(one, dict):
        return isinstance(two, dict) and one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return isinstance(two, list) and len(one) == len(two) and all(map(same, one, two))
    return torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two


def main(kills: int = 50, seed: int = 0) -> None:
    torch.set_num_threads(1)
    draw = random.Random(seed)
    training._draw = lambda *_: (
        None
    )  # drawing the learning curve takes most of the time, and a resumed run does not read it
    with tempfile.TemporaryDirectory() as place:
        whole = Path(place) / "whole"
        whole.mkdir()
        assert start(whole, None) == 0
        expected = results(whole)
        killed = writing = runs = 0
        while killed < kills:
            folder = Path(place) / f"run{runs}"
            folder.mkdir()
            runs += 1
            while (code := start(folder, draw.uniform(0.0, 0.5) if killed < kills else None, draw.random() < 0.5)) != 0:
                assert code == -signal.SIGKILL, f"the run ended by itself, with {code}"
                killed += 1
                writing += half_written(folder)
            state, weights, records = results(folder)
            assert same(state, expected[0]) and weights == expected[1] and records == expected[2], f"{folder} differs"
            assert not half_written(folder)
    print(
        f"{killed} kills in {runs} runs, {writing} of them while a file was written: each run ended as if there were none"
    )


if __name__ == "__main__":
    main(**{key: int(value) for key, value in (word.split("=") for word in sys.argv[1:])})
