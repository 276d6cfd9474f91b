"""Read mutated files. Each must be read, or refused in one line, within limits of time and memory.

python -m stress.fuzz minutes=10 seed=0 [only=picture] [into=outputs/fuzz]

Prints the number of inputs for each reader, and each distinct failure: the type of the exception and where it was raised,
or "slow", "memory", "crash". Saves the inputs that failed. Put a small one into tests/corpus/<reader>/: a test reads it.
"""

import io
import json
import os
import random
import resource
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import pixelrnn
from pixelrnn.checkpoint import CONFIG, WEIGHTS
from pixelrnn.completion.describe import describe_model, describe_order
from pixelrnn.errors import UserError
from pixelrnn.files.pictures import open_picture, read_mask
from pixelrnn.training.state import STATE, Progress
from pixelrnn.training.state import load as load_state
from pixelrnn.training.state import save as save_state

BATCH = 200  # inputs for each process; after a crash, a new process continues
SECONDS, GROWTH = 10.0, 2**30  # of one input; bytes of memory, above what the process began with
MOST = 4_000_000  # pixels


def pictures() -> Iterator[bytes]:
    """Yield a small file of each kind that is read, and of some that are not."""
    draw = np.random.default_rng(0)
    colour = Image.fromarray(draw.integers(0, 256, (9, 11, 3), dtype=np.uint8))
    smooth = Image.fromarray(np.arange(99, dtype=np.uint8).reshape(9, 11)).resize((40, 40))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "a camera", 72.0
    exif.get_ifd(0x8769)[0x9286] = b"a comment"
    grey, grey16 = colour.convert("L"), Image.fromarray(draw.integers(0, 65536, (9, 11), dtype=np.uint16))
    floats = Image.fromarray(draw.random((9, 11), dtype=np.float32))
    palette, rgba = colour.quantize(16), colour.copy()
    rgba.putalpha(grey)
    kinds: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (grey, "PNG", {}), (colour, "PNG", {"exif": exif}), (rgba, "PNG", {}), (grey.convert("1"), "PNG", {}),
        (palette, "PNG", {"transparency": 3}), (rgba.convert("LA"), "PNG", {}), (grey16, "PNG", {}),
        (colour, "PNG", {"save_all": True, "append_images": [rgba]}),
        (smooth, "JPEG", {}), (colour, "JPEG", {"exif": exif, "progressive": True}), (colour.convert("CMYK"), "JPEG", {}),
        (colour, "MPO", {"save_all": True, "append_images": [colour], "exif": exif}),
        (grey, "BMP", {}), (colour, "BMP", {}), (palette, "BMP", {}), (grey.convert("1"), "BMP", {}),
        (palette, "GIF", {"transparency": 3}), (palette, "GIF", {"save_all": True, "append_images": [grey]}),
        (grey16, "TIFF", {}), (floats, "TIFF", {}), (colour, "TIFF", {"exif": exif}), (rgba, "TIFF", {}),
        (colour.convert("CMYK"), "TIFF", {}), (colour.convert("LAB"), "TIFF", {}), (palette, "TIFF", {}),
        (colour, "TIFF", {"save_all": True, "append_images": [grey]}), (grey.convert("I"), "TIFF", {}),
        *((colour, "TIFF", {"compression": kind}) for kind in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")),
        (colour, "TIFF", {"big_tiff": True}), (grey.convert("1"), "TIFF", {"compression": "group4"}),
        (colour, "WEBP", {}), (rgba, "WEBP", {"lossless": True, "exif": exif}),
        (colour, "WEBP", {"save_all": True, "append_images": [rgba]}),
        (grey, "PPM", {}), (colour, "PPM", {}), (grey16, "PPM", {}), (floats, "PPM", {}), (grey.convert("1"), "PPM", {}),
        (colour, "ICO", {}), (colour, "TGA", {}), (colour, "EPS", {}), (colour, "PCX", {}), (colour, "JPEG2000", {}),
    ]  # fmt: skip
    for picture, kind, options in kinds:
        file = io.BytesIO()
        picture.save(file, kind, **options)
        yield file.getvalue()
    yield b"P3 3 2 9 " + b" ".join(b"%d" % (i % 10) for i in range(18))
    yield b"P2\n# a comment\n3 2\n300\n1 2 3 300 5 6\n"
    yield b"P1 4 2 01101001"
    pixels = bytes([4, 1, 0, 0, 3, 2, 0, 3, 1, 2, 3, 0, 0, 0, 0, 2, 1, 1, 0, 1])
    header = struct.pack("<LLLHHLLLLLL", 40, 4, 4, 1, 8, 1, len(pixels), 1, 1, 4, 0)
    yield b"BM" + struct.pack("<LLL", 70 + len(pixels), 0, 70) + header + bytes(range(16)) + pixels  # run lengths


def models() -> list[pixelrnn.Model]:
    torch.manual_seed(0)
    sizes = {"width": 4, "depth": 1}
    return [
        pixelrnn.SequenceRNN((1, 3, 3), 3, window=3, embedding=3, bidirectional=True, orders="symmetries", **sizes),
        pixelrnn.SequenceRNN((3, 2, 3), 4, cell="gru", likelihood="logistic_mixture", ordering="hilbert", **sizes),
        pixelrnn.model.MODELS["RowLSTM"]((1, 4, 3), 2, head=4, **sizes),
        pixelrnn.model.MODELS["MultiScale"]((3, 4, 4), 4, head=4, small_width=3, small_depth=1, upsampled=3, **sizes),
    ]


def mutant(data: bytes, others: list[bytes], draw: random.Random) -> bytes:
    """Change, remove, insert, repeat or cut off bytes, or take them from another file."""
    mutated = bytearray(data)
    for _ in range(draw.choice([1, 1, 1, 2, 3, 8, 30])):
        if not mutated:
            break
        at = draw.randrange(min(len(mutated), draw.choice([60, 300, len(mutated)])))
        size = draw.choice([1, 2, 4, 8, 40])
        match draw.randrange(9):
            case 0:
                mutated[at] ^= 1 << draw.randrange(8)
            case 1:
                mutated[at] = draw.choice([0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)])
            case 2:
                del mutated[at : at + size]
            case 3:
                mutated[at:at] = draw.randbytes(size)
            case 4:
                mutated[at:at] = mutated[at : at + size] * draw.choice([1, 2, 50])
            case 5:
                number = draw.choice([0, 1, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, draw.randrange(2**32)])
                kind = draw.choice(["<L", ">L", "<H", ">H"])
                packed = struct.pack(kind, number & (0xFFFFFFFF if kind[1] == "L" else 0xFFFF))
                mutated[at : at + len(packed)] = packed
            case 6:
                del mutated[draw.randrange(len(mutated)) :]
            case 7:
                other = draw.choice(others)
                begin = draw.randrange(len(other))
                mutated[at : at + size] = other[begin : begin + draw.choice([4, 20, len(other)])]
            case 8:
                to = draw.randrange(len(mutated))
                mutated[at : at + size], mutated[to : to + size] = mutated[to : to + size], mutated[at : at + size]
    return bytes(mutated)


VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 7, 9, 256, 257, 10_001, 10**6, 10**6 + 1, 10**9, 2**63, 10**40, -(10**9), 0.0, 0.5, -0.5,
    1e308, float("nan"), float("inf"), "", "lstm", "raster", "hilbert", "custom", "symmetries", "bernoulli", "categorical",
    "logistic_mixture", "__class__", "../..", "\ud800", "\x1b[2J\n", "x" * 5000, [], [1], [1, 3, 3], [[]], ["raster", "column"],
    [None], {}, {"name": "raster"}, {"name": None}, {"name": ["a"]}, {"name": "categorical", "hidden": 10**6},
    {"_target_": "os.system"}, {"name": "raster", "transforms": "reverse"}, {"name": "raster", "transforms": [[1]]},
]  # fmt: skip


def changed(tree: Any, draw: random.Random, values: list[Any] = VALUES) -> Any:
    """Replace, remove or add a few values in a copy of a tree of dicts and lists."""
    tree = json.loads(json.dumps(tree))
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        node, places = tree, []
        while isinstance(node, dict | list) and node and (not places or draw.random() < 0.8):
            key = draw.choice(list(node)) if isinstance(node, dict) else draw.randrange(len(node))
            places.append((node, key))
            node = node[key]
        if not places:
            return deepcopy(draw.choice(values))
        parent, key = places[-1]
        match draw.randrange(8):
            case 0:
                del parent[key]
            case 1 if isinstance(parent, dict):
                parent[draw.choice(["_target_", "name", "window", "x", "\n", "__init__", "self"])] = deepcopy(
                    draw.choice(values)
                )
            case 2 if isinstance(parent[key], int):
                parent[key] = parent[key] + draw.choice([-1, 1, 10, 10**5]) * draw.choice([1, 1, 7])
            case _:
                parent[key] = deepcopy(draw.choice(values))
    return tree


def changed_header(data: bytes, draw: random.Random) -> bytes:
    """Change the header of a safetensors file; its length is usually right."""
    size = int.from_bytes(data[:8], "little")
    values = [
        "F32", "F64", "I64", "BOOL", "F8_E4M3", "C64", "F4", "U64", [0, 0], [0, 2**40], [10**6, 10**6], [2**63, 2], [0], [],
        [-1, 4], 10**12, -1, [[1]], "x", None, {}, {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
    ]  # fmt: skip
    header = json.dumps(changed(json.loads(data[8 : 8 + size]), draw, values)).encode()
    length = len(header) + draw.choice([0, 0, 0, 0, 1, -1, 2**40])
    return max(0, length).to_bytes(8, "little") + header + data[8 + size :]


def changed_state(state: Any, draw: random.Random) -> bytes:
    """Replace a few values of a training state."""
    state = torch.load(io.BytesIO(state), weights_only=True)
    values = [
        *deepcopy(VALUES),
        torch.tensor(float("nan")),
        torch.zeros(0),
        torch.zeros(3, 3),
        torch.ones(1, dtype=torch.int64),
    ]
    for _ in range(draw.choice([1, 1, 2, 3])):
        node, parents = state, []
        while isinstance(node, dict | list) and node and (not parents or draw.random() < 0.8):
            key = draw.choice(list(node)) if isinstance(node, dict) else draw.randrange(len(node))
            parents.append((node, key))
            node = node[key]
        parent, key = parents[-1]
        if draw.random() < 0.2:
            del parent[key]
        else:
            parent[key] = deepcopy(draw.choice(values))
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


class Target:
    """A reader, and the files that it is tried on."""

    def __init__(self, name: str, folder: Path):
        self.name, self.folder = name, folder
        folder.mkdir(parents=True, exist_ok=True)
        if name in ("picture", "mask"):
            self.seeds, self.path = list(pictures()), folder / "picture"
            return
        self.models = models()
        if name == "state":
            self.model, self.average = self.models[0], models()[0]
            self.optimizer = torch.optim.AdamW(self.model.parameters())
            sum(p.sum() for p in self.model.parameters()).backward()
            self.optimizer.step()
            save_state(folder, self.model, self.average, self.optimizer, Progress(step=3))
            self.path = folder / "last" / STATE
            (folder / "metrics.jsonl").write_text('{"step": 1}\n{"step": 5}\n')
            self.seeds = [self.path.read_bytes()]
            return
        for i, model in enumerate(self.models):
            model.trained_on = {"data": {"name": "digits", "size": None}, "seed": 0}
            pixelrnn.save(model.eval(), folder / str(i))
        self.path = folder / "0" / (CONFIG if name == "config" else WEIGHTS)
        self.seeds = [(folder / str(i) / self.path.name).read_bytes() for i in range(len(self.models))]

    def make(self, draw: random.Random) -> tuple[int, bytes]:
        """Return the index of a good file, and a mutant of that file."""
        index = draw.randrange(len(self.seeds))
        seed = self.seeds[index]
        typed: dict[str, Callable[[], bytes]] = {
            "config": lambda: json.dumps(changed(json.loads(seed), draw)).encode(),
            "weights": lambda: changed_header(seed, draw),
            "state": lambda: changed_state(seed, draw),
        }
        if self.name in typed and draw.random() < 0.7:
            return index, typed[self.name]()
        return index, mutant(seed, self.seeds, draw)

    def read(self, index: int, data: bytes) -> None:
        """Read a mutant; raises UserError if it is refused."""
        if self.name in ("config", "weights"):
            path = self.folder / str(index) / self.path.name
            path.write_bytes(data)
            try:
                model = pixelrnn.load(path.parent)
                describe_model(model)
                [describe_order(model, i) for i in range(len(model.orders))]
                json.dumps([model.arguments, model.trained_on])
                model.log_prob(torch.zeros((1, *model.shape), dtype=torch.uint8))
            finally:
                path.write_bytes(self.seeds[index])
            return
        self.path.write_bytes(data)
        if self.name == "state":
            load_state(self.folder, self.model, self.average, self.optimizer)
        elif self.name == "mask":
            read_mask(self.path, MOST)
        else:
            open_picture(self.path, MOST)


READERS = ("picture", "mask", "config", "weights", "state")


def failure_of(target: Target, index: int, data: bytes) -> str:
    """Return what went wrong, or "" if nothing did."""
    before, began = peak(), time.monotonic()
    try:
        target.read(index, data)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "pixelrnn" in frame.filename] or frames
        where = ", ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in (ours[-1], frames[-1]))
        if not isinstance(error, UserError):
            return f"{type(error).__name__} at {where}"
        if not str(error).isprintable() or len(str(error)) > 1000:
            return f"a message of several lines, or too long, at {where}"
    if time.monotonic() - began > SECONDS:
        return f"slow: more than {SECONDS:g} s"
    return "memory: more than a GiB" if peak() - before > GROWTH else ""


def peak() -> int:
    """Return the peak memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def batch(name: str, seed: int, folder: Path, kept: Path) -> None:
    """Try BATCH inputs in this process; write the failures and the growth of memory to a file."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # notes about a mask are not failures
    target, draw, failures = Target(name, folder), random.Random(seed), Counter()
    base = peak()
    for _ in range(BATCH):
        index, data = target.make(draw)
        (folder / "current").write_bytes(data)  # remains after a crash
        if failure := failure_of(target, index, data):
            failures[failure] += 1
            if failures[failure] == 1:
                kept.mkdir(parents=True, exist_ok=True)
                (kept / f"{index}-{seed}-{len(failures)}").write_bytes(data)
                (kept / f"{index}-{seed}-{len(failures)}.txt").write_text(failure)
    (folder / "result").write_text(json.dumps([failures, peak() - base]))


def main(minutes: str = "10", seed: str = "0", only: str = "", into: str = "outputs/fuzz") -> int:
    names = [name for name in READERS if only in ("", name)]
    inputs, failures, grown = Counter(), Counter(), Counter()
    until, number = time.monotonic() + 60 * float(minutes), int(seed) * 1_000_000
    while time.monotonic() < until:
        name, number = names[number % len(names)], number + 1
        with tempfile.TemporaryDirectory() as place:
            kept = Path(into) / name
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    batch(name, number, Path(place), kept)
                    code = 0
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(code)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            inputs[name] += BATCH
            if code:
                kept.mkdir(parents=True, exist_ok=True)
                (kept / f"crash-{number}").write_bytes((Path(place) / "current").read_bytes())
                failures[name, f"crash: exit code {code}"] += 1
                continue
            found, growth = json.loads((Path(place) / "result").read_text())
            grown[name] = max(grown[name], growth)
            for failure, count in found.items():
                if (name, failure) not in failures:
                    print(f"{name}: {failure}", flush=True)
                failures[name, failure] += count
    for name in names:
        distinct = sum(reader == name for reader, _ in failures)
        print(
            f"{name:8} {inputs[name]:8,} inputs  {distinct} distinct failures  {grown[name] / 2**20:.0f} MiB more at most"
        )
    for (name, failure), count in sorted(failures.items()):
        print(f"{name}: {count} times {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(**dict(argument.split("=", 1) for argument in sys.argv[1:])))
