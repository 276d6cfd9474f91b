"""Several processes, started by torchrun: one run, the numbers of one process, an ordinary message when one dies."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import random_images, run, tiny_model

import pixelrnn
from pixelrnn import distributed
from pixelrnn.training import Settings
from pixelrnn.training.update import make_objective, make_optimizer, update

FORKED = """
import os, runpy, sys
import conftest, sklearn.datasets, torch._dynamo, torch.distributed  # what both would import
from pixelrnn import cli
from pixelrnn.cli import app, evaluate, sample, train

line = sys.argv[1:]
while line:
    command = line[: line.index("END")]
    line = line[len(command) + 1 :]
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True)
    for rank in "01":
        if not os.fork():
            os.environ.update(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE="2", MASTER_ADDR="127.0.0.1")
            os.environ.update(MASTER_PORT=str(store.port), TORCHELASTIC_USE_AGENT_STORE="True")
            sys.argv = command if command[0].endswith(".py") else ["pixelrnn", *command]
            runpy.run_path(command[0]) if sys.argv == command else cli.main()
            os._exit(1)
    codes = [os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(2)]
    assert codes == [0, 0], codes
"""
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
    command = [*launcher, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)


def ended(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def on_two(*commands):
    """Runs each command, a script or pixelrnn's, on two processes, as torchrun does, but forked when torch has been imported."""
    return ended(start([sys.executable, "-c", FORKED], *(word for command in commands for word in (*command, "END"))))


def on_one(call, *arguments):
    code, out, err = call(*arguments)
    assert code == 0, err
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


def gradients():
    """Losses, norms and gradients of one update of several models, by the case."""
    found = {}
    for batch in (7, 2, 1):
        for options in (
            {},
            {"bidirectional": True, "orders": "symmetries", "dropout": 0.0},
            {"model": "DiagonalBiLSTM"},
        ):
            for bptt, accumulate in (("full", 1), ("full", 3), ("checkpointed", 2)):
                settings = Settings(bptt=bptt, accumulate=accumulate, clip_norm=1e9)
                model = tiny_model((1, 4, 4), 3, **options)
                torch.manual_seed(batch)
                occlusion = "mixed" if model.sees_ahead else None
                images = random_images(batch, model.shape, 3)
                teacher = tiny_model((1, 4, 4), 3, seed=1, **options) if accumulate == 3 else None
                objective, optimizer = make_objective(model, settings, teacher), make_optimizer(model, settings)
                loss, norm = update(objective, optimizer, images, settings, occlusion)
                key = f"{batch} {sorted(options)} {bptt} {accumulate}"
                found[key] = {"loss": loss, "norm": norm} | {name: p.grad for name, p in model.named_parameters()}
    return found


GRADIENTS = """
import sys, torch
from pixelrnn import distributed
from test_distributed import gradients

distributed.begin()
torch.save(gradients(), f"{sys.argv[1]}{distributed.rank()}.pt")
distributed.exit_process(0)
"""


def test_the_gradient_is_that_of_one_process_on_the_joined_batch(tmp_path):
    (tmp_path / "gradients.py").write_text(GRADIENTS)
    on_two([tmp_path / "gradients.py", tmp_path / "two"])
    expected = gradients()
    for ours in (torch.load(tmp_path / f"two{rank}.pt") for rank in range(2)):
        for case, wanted in expected.items():
            for name, gradient in wanted.items():
                torch.testing.assert_close(ours[case][name], gradient, rtol=1e-8, atol=1e-10, msg=f"{case}: {name}")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.slow if kind in ("parts", "any mask") else ()) for kind in KINDS]
)
def test_two_processes_train_evaluate_and_sample_as_one(kind, call, tmp_path):
    one, two = ([*TRAIN, *KINDS[kind], f"hydra.run.dir={tmp_path / name}"] for name in ("one", "two"))
    for out in (on_one(call, *one), ended(start(TWO, *two)) if kind == "plain" else on_two(two)):
        assert out.count("best  ") == 1  # one process speaks
    assert_same_run(tmp_path / "one", tmp_path / "two")
    if kind != "plain":
        return
    checkpoint, numbers = f"checkpoint={tmp_path / 'one'}", {}
    arguments = ["completions=2", "completed_images=3", "limit=11", "batch_size=4", "occlusion=half"]
    lines = [
        ["evaluate", checkpoint, *arguments, "device=cpu"],
        ["sample", checkpoint, "count=7", "batch_size=3", "device=cpu"],
    ]
    for line in lines:
        on_one(call, *line, "hydra.run.dir=one/e")
    on_two(*([*line, f"hydra.run.dir={tmp_path / 'two' / 'e'}"] for line in lines))
    for name in ("one", "two"):
        folder = tmp_path / name / "e"
        numbers[name] = json.loads((folder / "evaluation.json").read_text())
        numbers[name]["log_probs"] = np.load(folder / "per_image.npz")["log_probs"].tolist()
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "then"), [pytest.param(TWO, ONE, id="two then one"), pytest.param(ONE, TWO, id="one then two")]
)
def test_a_run_goes_on_with_another_number_of_processes(first, then, call, tmp_path):
    dropout = ["model.dropout=0", "seed=5"]
    on_one(call, *TRAIN, *dropout, f"hydra.run.dir={tmp_path / 'whole'}")
    # The learning rate follows the number of epochs, so the first part is one that is stopped.
    process = start(first, *TRAIN, *dropout, "training.validate_every=3", f"hydra.run.dir={tmp_path / 'parts'}")
    wait_for(tmp_path / "parts" / "last" / "training.pt", process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=300)
    line = [*TRAIN, *dropout, f"hydra.run.dir={tmp_path / 'parts'}"]
    on_one(call, *line) if then == ONE else ended(start(then, *line))
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
rank, place = distributed.rank(), Path(sys.argv[1])
case = place.name
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


def separate(*places):
    """What two processes, each with a folder of its own, say, and their weights: for each place, named by its case."""
    script = places[0].parent / "separate.py"
    script.write_text(SEPARATE)
    on_two(*([script, place] for place in places))
    return [[((place / f"{r}.txt").read_text(), torch.load(place / f"{r}.pt")) for r in range(2)] for place in places]


@pytest.mark.slow
def test_processes_without_a_shared_folder_go_on_from_the_state_of_the_first(tmp_path):
    places = tmp_path / "state on the first", tmp_path / "recovery"
    for place in places:
        place.mkdir()
    run(places[0] / "0", epochs=2)
    for place, ((one, ours), (two, theirs)) in zip(places, separate(*places), strict=True):
        assert one == two == "done" and all(map(torch.equal, ours, theirs)), place.name
        assert not (place / "1" / "last").exists()


@pytest.mark.slow
def test_processes_are_refused_alike(tmp_path):
    says = {"other data": "the processes have different images", "other model": "width 16 in the run, 8 now"}
    places = [tmp_path / case for case in says]
    for place in places:
        place.mkdir()
        run(place / "0", epochs=2)
    before = [(place / "0" / "last" / "training.pt").read_bytes() for place in places]
    for text, ((one, _), (two, _)) in zip(says.values(), separate(*places), strict=True):
        assert text in one and text in two
    assert [(place / "0" / "last" / "training.pt").read_bytes() for place in places] == before


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
