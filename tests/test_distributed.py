"""Several processes, started by torchrun: one run, the numbers of one process, an ordinary message when one dies."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import run

import pixelrnn
from pixelrnn import distributed

ONE = [sys.executable, "-m", "pixelrnn"]
TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "pixelrnn"]
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
}
# 61 images in batches of 8 and a last one of 5: no share of them is equal.
TRAIN = [
    *("train", "device=cpu", "data.size=6", "data.limit=61", "training.batch_size=8", "training.samples=4"),
    *("training.valid_limit=null", "training.warmup_steps=2", "model.width=8", "model.depth=1", "training.epochs=2"),
]
KINDS = {
    "plain": ["model.window=3"],
    "any mask": ["model.bidirectional=true", "model.orders=symmetries", "training.bptt=checkpointed", "model.width=6"],
    "parts": ["model=row_lstm", "training.accumulate=3", "training.batch_size=16"],
}


def start(launcher, *arguments):
    command = [*launcher, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)


def call(launcher, *arguments):
    process = start(launcher, *arguments)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_same_run(one, two):
    """The same records but for the clock, and the same weights."""
    ours, theirs = records(one), records(two)
    assert len(ours) == len(theirs) > 3
    for a, b in zip(ours, theirs, strict=True):
        assert a.keys() == b.keys()
        for name in a.keys() - {"seconds"}:
            assert a[name] == pytest.approx(b[name], rel=1e-4), name
    assert_same_weights(one, two)


def assert_same_weights(one, two):
    """AdamW divides by the gradient's size, so that where it is next to nothing its rounding moves a weight."""
    weights, others = (pixelrnn.load(folder / "last").state_dict() for folder in (one, two))
    for name, weight in weights.items():
        apart = (others[name] - weight).abs().double()
        assert apart.max() < 1e-3 and apart.quantile(0.9) < 1e-5, name


GRADIENTS = """
import sys, torch
from conftest import random_images, tiny_model
from pixelrnn import distributed
from pixelrnn.training import Settings
from pixelrnn.training.update import make_objective, make_optimizer, update

distributed.begin()
found = {}
for batch in (7, 2, 1):
    for options in ({}, {"bidirectional": True, "orders": "symmetries", "dropout": 0.0}, {"model": "DiagonalBiLSTM"}):
        for bptt, accumulate in (("full", 1), ("full", 3), ("checkpointed", 2)):
            settings = Settings(bptt=bptt, accumulate=accumulate, clip_norm=1e9)
            model = tiny_model((1, 4, 4), 3, **options)
            torch.manual_seed(batch)
            occlusion = "mixed" if model.sees_ahead else None
            images = random_images(batch, model.shape, 3)
            loss, norm = update(make_objective(model, settings), make_optimizer(model, settings), images, settings, occlusion)
            key = f"{batch} {sorted(options)} {bptt} {accumulate}"
            found[key] = {"loss": loss, "norm": norm} | {name: p.grad for name, p in model.named_parameters()}
torch.save(found, f"{sys.argv[1]}{distributed.rank()}.pt")
distributed.exit_process(0)
"""


def test_the_gradient_is_that_of_one_process_on_the_joined_batch(tmp_path):
    (tmp_path / "gradients.py").write_text(GRADIENTS)
    for name, launcher in {"one": ONE[:1], "two": TWO[:-2]}.items():
        command = [*launcher, str(tmp_path / "gradients.py"), str(tmp_path / name)]
        subprocess.run(command, check=True, env=ENVIRONMENT, timeout=300)
    expected, *found = (torch.load(tmp_path / f"{name}.pt") for name in ("one0", "two0", "two1"))
    for ours in found:
        for case, gradients in expected.items():
            for name, gradient in gradients.items():
                torch.testing.assert_close(ours[case][name], gradient, rtol=1e-8, atol=1e-10, msg=f"{case}: {name}")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow if kind == "parts" else ()) for kind in KINDS]
)
def test_two_processes_train_evaluate_and_sample_as_one(kind, tmp_path):
    for name, launcher in {"one": ONE, "two": TWO}.items():
        out = call(launcher, *TRAIN, *KINDS[kind], f"hydra.run.dir={tmp_path / name}")
        assert out.count("best  ") == 1  # one process speaks
    assert_same_run(tmp_path / "one", tmp_path / "two")
    if kind != "plain":
        return
    numbers = {}
    for name, launcher in {"one": ONE, "two": TWO}.items():
        folder, checkpoint = tmp_path / f"{name}e", f"checkpoint={tmp_path / 'one'}"
        arguments = ["completions=2", "completed_images=3", "limit=11", "batch_size=4", "occlusion=half", "device=cpu"]
        call(launcher, "evaluate", checkpoint, *arguments, f"hydra.run.dir={folder}")
        call(launcher, "sample", checkpoint, "count=7", "batch_size=3", "device=cpu", f"hydra.run.dir={folder}")
        numbers[name] = json.loads((folder / "evaluation.json").read_text())
        numbers[name]["samples"] = [p.read_bytes() for p in sorted((folder / "samples").iterdir())]
        assert len(numbers[name]["samples"]) == 7
    assert_close(numbers["one"], numbers["two"])


def assert_close(one, two, path=""):
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        for key in one.keys() - {"settings", "seconds"}:
            assert_close(one[key], two[key], f"{path}.{key}")
    elif isinstance(one, list):
        for i, (a, b) in enumerate(zip(one, two, strict=True)):
            assert_close(a, b, f"{path}[{i}]")
    else:
        assert one == (pytest.approx(two, rel=1e-5, nan_ok=True) if isinstance(one, float) else two), path


@pytest.mark.parametrize(
    ("first", "then"),
    [pytest.param(TWO, ONE, id="two then one"), pytest.param(ONE, TWO, id="one then two", marks=pytest.mark.slow)],
)
def test_a_run_goes_on_with_another_number_of_processes(first, then, tmp_path):
    dropout = ["model.dropout=0", "seed=5"]
    call(ONE, *TRAIN, *dropout, f"hydra.run.dir={tmp_path / 'whole'}")
    # The learning rate follows the number of epochs, so the first part is one that is stopped.
    process = start(first, *TRAIN, *dropout, "training.validate_every=3", f"hydra.run.dir={tmp_path / 'parts'}")
    wait_for(tmp_path / "parts" / "last" / "training.pt", process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=300)
    call(then, *TRAIN, *dropout, f"hydra.run.dir={tmp_path / 'parts'}")
    steps = [record["step"] for record in records(tmp_path / "parts") if "train_bits_per_dim" in record]
    assert steps == sorted(set(steps))
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")


def wait_for(path, process):
    until = time.monotonic() + 300
    while not path.exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.05)


def test_when_a_process_dies_the_others_say_so(tmp_path):
    folder = tmp_path / "run"
    process = start(TWO, *TRAIN, "training.epochs=100000", "training.validate_every=5", f"hydra.run.dir={folder}")
    wait_for(folder / "last" / "training.pt", process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [pid for pid in children if b"\0pixelrnn\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(int(workers[1]), signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode != 0
    said = [line for line in err.splitlines() if line.startswith("pixelrnn: ")]
    if said:  # torchrun may stop the other one before it has noticed
        assert len(said) == 1 and re.search(r"process 0 of 2 lost another one.*training\.resume=", said[0])
    assert "/pixelrnn/" not in re.sub(r"pixelrnn: .*", "", err)
    assert pixelrnn.load(folder / "last")


SEPARATE = """
import sys, torch
from pathlib import Path
from conftest import failing, new_model, run, stripes
from pixelrnn import UserError, distributed

distributed.begin()
rank, place, case = distributed.rank(), Path(sys.argv[1]), sys.argv[2]
model = failing(5) if case == "recovery" else new_model(width=8 if case == "other model" else 16)
data = stripes(dynamic=case == "other data" and rank == 1)
try:
    run(place / str(rank), model, data, recoveries=int(case == "recovery"))
    (place / f"{rank}.txt").write_text("done")
except UserError as error:
    (place / f"{rank}.txt").write_text(str(error))
torch.save([p.detach() for p in model.parameters()], place / f"{rank}.pt")
distributed.exit_process(0)
"""


def separate(place, case):
    """What two processes, each with a folder of its own, say, and their weights."""
    (place / "separate.py").write_text(SEPARATE)
    command = [*TWO[:-2], str(place / "separate.py"), str(place), case]
    subprocess.run(command, check=True, env=ENVIRONMENT, timeout=300, capture_output=True)
    return [((place / f"{r}.txt").read_text(), torch.load(place / f"{r}.pt")) for r in range(2)]


@pytest.mark.parametrize("case", ["state on the first", "recovery"])
def test_processes_without_a_shared_folder_go_on_from_the_state_of_the_first(case, tmp_path):
    if case == "state on the first":
        run(tmp_path / "0", epochs=2)
    (one, ours), (two, theirs) = separate(tmp_path, case)
    assert one == two == "done" and all(map(torch.equal, ours, theirs))
    assert not (tmp_path / "1" / "last").exists()


@pytest.mark.parametrize(
    ("case", "says"),
    [("other data", "the processes have different images"), ("other model", "width 16 in the run, 8 now")],
)
def test_processes_are_refused_alike(case, says, tmp_path):
    run(tmp_path / "0", epochs=2)
    before = (tmp_path / "0" / "last" / "training.pt").read_bytes()
    (one, _), (two, _) = separate(tmp_path, case)
    assert says in one and says in two
    assert (tmp_path / "0" / "last" / "training.pt").read_bytes() == before


def test_a_mistake_is_said_once():
    process = start(TWO, "train", "model.width=0", "device=cpu")
    _, err = process.communicate(timeout=300)
    assert err.count("width=0") == 1


def test_without_torchrun_there_is_one_process():
    assert (distributed.rank(), distributed.size(), distributed.is_main()) == (0, 1, True)
    values = torch.arange(5)
    for unchanged in (distributed.shard(values), distributed.all_reduce_sum(values), distributed.gathered(values, 5)):
        assert torch.equal(unchanged, values)
    assert distributed.broadcast({"a": 1}) == {"a": 1}
