"""The commands, as a user calls them; mistakes get one line and exit code 2, and leave nothing behind."""

import json
import pickle
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL, files, picture, tiny_model
from omegaconf import OmegaConf
from PIL import Image

import pixelrnn
from pixelrnn import SequenceRNN, cli, pretrained
from pixelrnn.cell import CELLS
from pixelrnn.cli import app
from pixelrnn.cli.compose import check, compose
from pixelrnn.cli.manual import page
from pixelrnn.datasets import DATASETS, Options, limited, load
from pixelrnn.errors import TrainingDiverged, UserError
from pixelrnn.likelihood import LIKELIHOODS
from pixelrnn.model import MODELS
from pixelrnn.occlusion import OCCLUSIONS
from pixelrnn.options import RULES, option_defaults
from pixelrnn.ordering import ORDERINGS
from pixelrnn.training import Settings
from pixelrnn.training import loop as training

CONF = Path(__file__).parents[1] / "conf"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained model of the digits' form."""
    folder = tmp_path_factory.mktemp("model")
    model = tiny_model((1, 8, 8), 17, depth=2, window=3).float()
    model.trained_on = {"data": {"name": "digits"}}
    pixelrnn.save(model, folder)
    return folder


@pytest.fixture(scope="module")
def colour_checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colour")
    pixelrnn.save(tiny_model((3, 6, 6), 256).float(), folder)
    return folder


def occlusion_of(folder):
    """What completions.json says of its only occlusion."""
    (about,) = json.loads((Path(folder) / "completions.json").read_text())["occlusions"].values()
    return about


# --- what the commands do ---------------------------------------------------------------------------------------------


def test_help_lists_the_commands_in_one_line_each(call):
    code, out, _ = call("--help")
    assert code == 0
    assert all(sum(line.strip().startswith(word) for line in out.splitlines()) == 1 for word in cli.COMMANDS)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_shows_examples_groups_and_each_option_with_its_default_and_comment(call, command):
    code, out, _ = call(command, "--help")
    assert code == 0 and len(re.findall(rf"^  pixelrnn {command}", out, re.M)) >= 2, "two examples"
    assert max(map(len, out.splitlines())) <= 100
    read = page(command)
    for name, option in {**read.groups, **read.options}.items():
        assert re.search(rf"^  {re.escape(f'{name}={option.default}')}(\n)? ", out, re.M) and option.comment, name
    assert all(
        option in read.options or option in read.groups for option in re.findall(r"^  ([a-z_.]+)=", out, re.M)[:-1]
    )


def test_help_lists_the_members_of_a_group_and_the_options_of_one(call):
    _, out, _ = call("train", "--help")
    for group, member in (
        ("data=digits", "binarized_mnist"),
        ("model=lstm", "gru_reset_before"),
        ("ordering=", "hilbert"),
    ):
        assert re.search(rf"  {group}[^=]*\b{member}\b", out)
    assert "occlusion=half" not in out, "of other commands"
    _, out, _ = call("train", "model=gru", "--help")
    assert re.search(r"^  model.width=256 +units of each layer$", out, re.M), "an option that gru takes from lstm"


@pytest.mark.parametrize(
    ("line", "completes"),
    [
        ("pixelrnn ", {f"{name} " for name in cli.COMMANDS}),
        ("pixelrnn tr", {"train "}),
        ("pixelrnn train mod", {"model=", "model.width=", "model.cell="}),
        ("pixelrnn train model=", {"lstm ", "gru ", "row_lstm "}),
        ("pixelrnn train model=row_lstm model.ker", {"model.kernel="}),
        ("pixelrnn train training.ep", {"training.epochs="}),
        ("pixelrnn complete checkpoint=mnist_", {"mnist_binary ", "mnist_grey "}),
        ("pixelrnn complete strategy=a", {"auto ", "ancestral "}),
        ("pixelrnn models name=dig", {"digits "}),
        ("pixelrnn complete image=", set()),  # the shell then lists files
        ("pixelrnn nonsense ", set()),
    ],
)
def test_tab_completion(call, monkeypatch, line, completes):
    monkeypatch.setenv("COMP_LINE", line + "after the cursor")
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    code, out, _ = call("-sc", "query=bash")
    found = set(filter(None, out.split("\n")))
    assert code == 0 and completes <= found and (completes or not found)
    option = line.split()[-1].rpartition("=")[0]
    _, out, _ = call("-sc", "query=zsh")  # which wants the whole word
    assert set(filter(None, out.split("\n"))) == {(f"{option}={word}" if option else word).rstrip() for word in found}


def test_tab_completion_is_installed_in_bash(call):
    _, out, _ = call("-sc", "install=bash")
    done = subprocess.run(["bash", "-c", f"{out}\ncomplete -p pixelrnn"], capture_output=True, text=True)
    assert "-C 'pixelrnn -sc query=bash' pixelrnn" in done.stdout, done.stderr
    code, out, err = call("-sc", "install=csh")  # a shell would evaluate what stands in the output
    assert code == 2 and not out and "shells: bash, zsh, fish" in err


def test_train_evaluate_complete_sample_verify(call, tmp_path):
    code, out, err = call("train", "hydra.run.dir=run", "ordering=snake", "ordering.transforms=[reverse]", *SMALL)
    assert code == 0, err
    assert "digits" in out
    assert {"best/model.safetensors", "last/training.pt", "metrics.jsonl", "curves.png"} <= files("run")
    config = OmegaConf.load("run/.hydra/train/config.yaml")
    assert config.ordering.transforms == ["reverse"]

    code, out, err = call("evaluate", "checkpoint=run", "limit=20", "hydra.run.dir=evaluation")
    assert code == 0, err
    results = json.loads(Path("evaluation/evaluation.json").read_text())["results"]
    assert results["all"]["images"] == 20
    assert results["bottom half"]["how"] == "fill", "the reversed snake visits the top last"
    assert results["top half"]["how"] == "exact" and results["top half"]["dimensions"] == 32

    code, out, err = call("complete", "checkpoint=run", "occlusion.side=top", "limit=2", "count=3", "hydra.run.dir=c")
    assert code == 0, err
    assert occlusion_of("c")["exact"] is True
    report = json.loads(Path("c/completions.json").read_text())
    assert {f"c/{c['file']}" for c in report["completions"]} == {str(p) for p in Path("c/completions").iterdir()}
    assert len(report["completions"]) == 6
    assert all(c["log_prob_nats"] < 0 for c in report["completions"])

    code, out, err = call("sample", "checkpoint=run", "count=5", "hydra.run.dir=s")
    assert code == 0, err
    assert len(list(Path("s/samples").iterdir())) == 5

    code, out, err = call("verify", "checkpoint=run")
    assert code == 0, err
    assert out.count("ok ") == 7


@pytest.mark.parametrize("model", ["row_lstm", "diagonal_bilstm", "pixelcnn", "multiscale"])
def test_the_papers_models_do_all_of_it(call, model):
    small = ["model.small_width=4", "model.small_depth=1"] if model == "multiscale" else []
    options = ["model.width=8", "model.head=16", "ordering.transforms=[flip_rows]", *small]
    code, out, err = call("train", f"model={model}", "hydra.run.dir=run", *SMALL, *options)
    assert code == 0, err
    code, out, err = call("evaluate", "checkpoint=run", "limit=20", "hydra.run.dir=evaluation")
    assert code == 0, err
    results = json.loads(Path("evaluation/evaluation.json").read_text())["results"]
    if model == "multiscale":
        assert results["top half"]["how"] == "fill", "the small image of the top comes before the lower half's others"
        assert results["all but the small 4x4 image"]["dimensions"] == 48
    else:
        assert results["top half"]["how"] == "exact"
    code, _, err = call("complete", "checkpoint=run", "occlusion.side=top", "limit=2", "count=2", "hydra.run.dir=c")
    assert code == 0, err
    assert occlusion_of("c")["exact"] is (model != "multiscale")
    code, _, err = call("sample", "checkpoint=run", "count=3", "hydra.run.dir=s")
    assert code == 0, err
    code, out, err = call("verify", "checkpoint=run")
    assert code == 0, err
    assert out.count("ok ") == 7


def test_multirun_sweeps(call, tmp_path):
    arguments = ["ordering=raster,spiral", "seed=0,1", "hydra.sweep.dir=sweep", *SMALL]
    code, out, err = call("train", "-m", *arguments)
    assert code == 0, err
    orders = [pixelrnn.load(tmp_path / "sweep" / str(i)).arguments["ordering"]["name"] for i in range(4)]
    assert orders == ["raster", "raster", "spiral", "spiral"]
    table = re.findall(r"^(\d) +\d+ +\d+\.\d +([\d.]+) +\d\.\d+  (.*)$", out, re.M)
    assert {row[2] for row in table} == {
        f"seed={s} model.ordering.name={o}" for o in ("raster", "spiral") for s in (0, 1)
    }
    assert [row[1] for row in table] == sorted(re.findall(r"^best +([\d.]+)", out, re.M), key=float)
    assert Path("sweep/comparison.png").stat().st_size


def test_compare_ranks_runs_and_says_what_differs(call):
    for name, more in {"a": ["seed=1"], "b c": [], "data": ["training.valid_limit=5"]}.items():
        assert call("train", *SMALL, *more, f"hydra.run.dir=runs/{name}")[0] == 0
    code, out, err = call("compare", "runs/a", "runs/b c", "hydra.run.dir=out")
    assert code == 0, err
    rows = [line for line in out.splitlines() if re.match("(a|b c) ", line)]
    assert len(rows) == 2 and sum(row.endswith("  seed=1") for row in rows) == 1 and "note" not in out
    assert {"out/comparison.png"} <= files(".")
    log = Path("runs/a/train.log").read_text()
    assert log.startswith("data ") and f"\nbest       {min(re.findall(r'best +([0-9.]+)', log))} nats" in log

    _, out, _ = call("compare", "runs/a", "runs/data")
    assert "different images or masks, so their figures cannot be compared" in out
    Path("runs/picture.png").write_bytes(b"")
    Path("runs/refused/.hydra").mkdir(parents=True)  # as a launcher of Hydra leaves it
    code, out, err = call("compare", "runs/a", "runs/picture.png", "runs/refused")
    assert code == 0 and "picture.png is left out, because it is a file" in out, err
    assert "refused is left out, because it has no validation yet" in out
    code, _, err = call("compare", "runs/a", "runs=[runs/data]")
    assert code == 2 and "give one or the other" in err
    Path("none").mkdir()
    for words, says in ((["none"], "none/metrics.jsonl cannot be read"), ([], "which runs? name their folders")):
        code, _, err = call("compare", *words)
        assert code == 2 and says in err and len(err.splitlines()) == 1


def test_a_run_that_was_validated_on_something_else_is_ranked_by_its_last_validations(call):
    for name, nats in {"a": (10, 20, 19), "b": (18, 17, 16)}.items():
        Path(name).mkdir()
        rows = [{"step": k, "seconds": k, "valid_nats": n, "valid_bits_per_dim": n} for k, n in enumerate(nats, 1)]
        if name == "a":  # the first was on other images
            rows[1]["validated_from"] = rows[2]["validated_from"] = 1
        Path(name, "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, err = call("compare", "a", "b")
    assert code == 0 and re.findall(r"^(\w) +\d+ +\d\.\d +([\d.]+)", out, re.M) == [("b", "16.00"), ("a", "19.00")], err
    assert re.search("the validations of .*/a up to update 1 are left out, because they were on other images", out)


def test_a_sweep_goes_on_after_a_run_that_diverges(call, monkeypatch):
    train = app.import_module("pixelrnn.cli.train")
    real = train.train

    def diverges(model, data, settings, *others, **more):
        if settings.epochs == 1:
            raise TrainingDiverged("the loss is not finite")
        return real(model, data, settings, *others, **more)

    monkeypatch.setattr(train, "train", diverges)
    small = [option for option in SMALL if option != "training.epochs=1"]
    code, out, err = call("train", "-m", "training.epochs=1,2", "hydra.sweep.dir=sweep", *small)
    assert code == 1 and re.search(r"sweep/0: the loss is not finite", err) and len(err.splitlines()) == 1
    assert re.search(r"^1 +\d+ ", out, re.M), "the table has the other run"


@pytest.mark.parametrize("rank", ["0", "1"])
def test_the_first_of_several_processes_runs_a_command_that_is_not_shared(call, monkeypatch, rank):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    code, out, err = call("models")
    assert (code, err) == (0, "") and ("mnist_binary" in out) == (rank == "0")


def test_a_group_may_be_null_where_it_is_by_default(call, checkpoint):
    code, _, err = call(
        "evaluate", f"checkpoint={checkpoint}", "data=null", "occlusion=null", "limit=2", "completions=0"
    )
    assert code == 0, err


def test_a_refused_run_writes_no_log(call):
    code, *_ = call("train", *SMALL, "hydra.run.dir=run", "init=mnist_grey", "model.width=3")
    assert code == 2 and files(".") == set()


def test_without_arguments_it_says_in_eight_lines_how_to_begin(call):
    code, out, _ = call()
    assert code == 0 and len(out.splitlines()) == 8 and out.splitlines()[-1] == "Try this first: pixelrnn complete"
    assert all(command in cli.COMMANDS for command in re.findall(r"pixelrnn (\w+) ", out) if command != "completes")


@pytest.mark.parametrize("plugin", ["hydra/launcher=basic", "hydra/sweeper=basic"])
def test_hydras_own_launchers_and_sweepers_run_the_jobs_if_asked(call, monkeypatch, plugin):
    """They call a function that another process can find by its name, and that returns each run's best figure."""
    task, results = app.run_for_hydra, []
    assert pickle.loads(pickle.dumps(task)) is task
    monkeypatch.setattr(app, "run_for_hydra", lambda cfg: results.append(task(cfg)))
    code, out, err = call("train", "-m", plugin, "seed=0,1", "hydra.sweep.dir=sweep", *SMALL)
    assert code == 0, err
    found = [f"{result:.2f}" for result in results]
    assert found == re.findall(r"best +(\S+) nats per validation image", out) and len(set(found)) == 2
    assert [OmegaConf.load(f"sweep/{i}/.hydra/train/config.yaml").seed for i in (0, 1)] == [0, 1]
    with pytest.raises(UserError, match="start without torchrun"):  # as the first of torchrun's processes calls it
        compose("train", ["-m", plugin, "seed=0,1"])
    missing = ["data=folder", "data.root=nowhere", "seed=0,1", "hydra.sweep.dir=none"]
    code, _, err = call("train", "-m", plugin, *missing)
    assert code == 2 and err.splitlines()[-1].startswith("pixelrnn: nowhere: no such folder") and "Traceback" not in err


def test_a_sweep_that_hydra_runs_ends_with_its_table_even_if_a_job_failed(call, monkeypatch):
    sweep = ["train", "-m", "hydra/launcher=basic", *SMALL]
    _, out, err = call(*sweep, "seed=0,1")  # in the default folder, whose name has the time
    assert len(re.findall(r"^[01] +1 .* seed=[01]$", out, re.M)) == 2, err
    code, out, err = call(*sweep, "data=digits,folder", "hydra.sweep.dir=mixed")
    assert code == 2 and re.search(r"^0 +1 ", out, re.M)
    assert err.splitlines()[-1].startswith("pixelrnn: data=folder needs data.root")

    def lose(cfg):
        raise RuntimeError("job 0\nis gone\n----\n(all that it printed)")

    monkeypatch.setattr(app, "run_for_hydra", lose)
    code, out, err = call(*sweep, "seed=0,1", "hydra.sweep.dir=mixed")
    assert code == 1 and re.search(r"^0 +1 ", out, re.M)
    way = f"go on with the same command and hydra.sweep.dir={Path('mixed').absolute()}"
    assert err.splitlines()[-1] == f"pixelrnn: RuntimeError: job 0 is gone; {way}"


def test_the_log_of_a_job_has_the_traceback_of_a_mistake_in_the_program(call, monkeypatch):
    monkeypatch.setattr("pixelrnn.cli.train._train", lambda *_: 1 / 0)
    code, _, err = call("train", "-m", "hydra/launcher=basic", "seed=0,1", *SMALL)
    assert code == 1 and "lambda *_: 1 / 0" in err
    assert err.splitlines()[-1] == "pixelrnn: ZeroDivisionError: division by zero"


@pytest.mark.slow
def test_submitit_runs_a_sweep(tmp_path):
    """In local mode, which starts the jobs as Slurm would, in processes of their own. One fails; one goes on."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    command = [sys.executable, "-m", "pixelrnn", "train", "-m", "hydra/launcher=submitit_local", *SMALL]
    for learning_rates, epochs, code in (("0.001,1e30", 1, 1), ("0.001,0.002", 2, 0)):
        options = [f"training.learning_rate={learning_rates}", f"training.epochs={epochs}", "hydra.sweep.dir=sweep"]
        ended = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True)
        assert ended.returncode == code, ended.stderr
        assert len(re.findall(rf"^[01] +{epochs} ", ended.stdout, re.M)) == 2 - code
        assert ("the loss, its gradient or a weight is not finite" in ended.stderr) == bool(code)
    assert "goes on from update 1 of 2" in (tmp_path / "sweep" / "0" / "train.log").read_text()
    assert (tmp_path / "sweep" / "comparison.png").is_file()
    assert "validated" in "".join(path.read_text() for path in tmp_path.glob("sweep/.submitit/*/*_log.out"))


def test_options_may_stand_on_both_sides_of_a_flag(call):
    code, out, err = call("train", "model.width=9", "--cfg", "job", "seed=3")
    assert code == 0, err
    assert "width: 9" in out and "seed: 3" in out


def test_a_users_own_yaml_needs_no_fork(call, tmp_path):
    (tmp_path / "mine" / "ordering").mkdir(parents=True)
    (tmp_path / "mine" / "ordering" / "upwards.yaml").write_text("name: snake\ntransforms: [flip_rows]\n")
    code, _, err = call("train", "--config-dir", tmp_path / "mine", "ordering=upwards", "hydra.run.dir=run", *SMALL)
    assert code == 0, err
    assert pixelrnn.load("run").visits[0] == 56


@pytest.mark.parametrize("path", sorted((CONF / "experiment").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_experiment_says_its_command_and_composes(call, path):
    assert f"pixelrnn train experiment={path.stem}" in path.read_text()
    code, _, err = call("train", f"experiment={path.stem}", "--cfg", "job")
    assert code == 0, err


def test_a_list_of_checkpoints_is_an_ensemble(call, checkpoint):
    other = tiny_model((1, 8, 8), 17, model="PixelCNN").float()
    other.trained_on = {"data": {"name": "digits"}}
    pixelrnn.save(other, "of (2)")
    both, named = f"checkpoint=[{checkpoint}, of (2)]", f"[{checkpoint},of (2)]"
    code, out, err = call("verify", both)
    assert code == 0 and out.count("ok ") == 7, err
    code, out, err = call("sample", both, "count=2", "hydra.run.dir=s")
    assert code == 0 and f"{named}: ensemble of lstm, 2 x 6, raster + PixelCNN, 1 x 5, raster" in out, err
    code, out, err = call("complete", both, "limit=1", "count=2", "hydra.run.dir=c")
    assert code == 0 and occlusion_of("c")["exact"] is True, err
    assert json.loads(Path("c/completions.json").read_text())["settings"]["checkpoint"] == [str(checkpoint), "of (2)"]
    code, out, err = call("evaluate", both, "limit=4", "completions=1", "hydra.run.dir=e")
    assert code == 0, err
    report = json.loads(Path("e/evaluation.json").read_text())
    assert report["checkpoint"] == named and report["results"]["bottom half"]["how"] == "exact"
    models = [pixelrnn.load(checkpoint), pixelrnn.load("of (2)")]
    images = limited(load("digits").test, 4)
    nats = -float(pixelrnn.Ensemble(models).log_prob(images).detach().mean())
    assert report["results"]["all"]["nats"] == pytest.approx(nats, abs=1e-3)

    pixelrnn.save(pixelrnn.Ensemble(models), "saved")
    for refused, says in {
        "sample checkpoint=[digits,mnist_binary]": "member 2 of the ensemble, a SequenceRNN, has shape (1, 28, 28)",
        "sample checkpoint=[digits,saved]": "member 2 of the ensemble is of type Ensemble",
        "sample checkpoint=[digits,digit]": "did you mean 'digits'",
        "sample checkpoint=[[digits]]": "it is a name or a path, or a list of several",
        "verify checkpoint=[]": "which model?",
        "train init=saved": "init=saved is an ensemble, which is not trained",
        "train model=Ensemble": "unknown model 'Ensemble'",
    }.items():
        code, _, err = call(*refused.split())
        assert code == 2 and says in err and err.count("\n") == 1, err


def test_the_same_seed_gives_the_same_completions(call, checkpoint):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        code, _, err = call(
            "complete", f"checkpoint={checkpoint}", "limit=1", f"seed={seed}", f"hydra.run.dir={folder}"
        )
        assert code == 0, err
    a, b, c = (json.loads(Path(f"{f}/completions.json").read_text())["completions"] for f in "abc")
    assert a == b != c
    assert Path("a/completions/000-000.png").read_bytes() == Path("b/completions/000-000.png").read_bytes()


def test_ones_own_picture_and_mask(call, checkpoint, tmp_path):
    """At the model's size: observed pixels come back as they were, although the model sees 17 levels only."""
    values = np.random.default_rng(0).integers(0, 256, (8, 8))
    mask = np.zeros((8, 8))
    mask[5:, 2:] = 255
    arguments = [f"image={picture('photo.png', values)}", f"mask={picture('mask.png', mask)}", "count=2"]
    code, _, err = call("complete", f"checkpoint={checkpoint}", *arguments, "hydra.run.dir=out")
    assert code == 0, err
    for path in Path("out/completions").iterdir():
        completed = np.asarray(Image.open(path))
        assert np.array_equal(completed[mask == 0], values[mask == 0])
        assert set(completed[mask == 255]) <= set(np.round(np.arange(17) * 255 / 16))


@pytest.mark.parametrize(
    "hide", [["mask=mask.png"], ["occlusion=mask", "occlusion.path=mask.png"]], ids=["mask", "occlusion"]
)
def test_a_larger_picture_is_completed_at_its_own_size(call, checkpoint, hide):
    values = np.random.default_rng(0).integers(0, 256, (30, 20))
    mask = np.zeros((30, 20))
    mask[21:, 3:9] = 255
    picture("mask.png", mask)
    arguments = [f"image={picture('photo.png', values)}", *hide]
    code, out, err = call("complete", f"checkpoint={checkpoint}", *arguments, "hydra.run.dir=out")
    assert code == 0, err
    assert "is 20x30 pixels; the model sees it stretched to 8x8 pixels" in out
    completed = np.asarray(Image.open("out/completions/000-000.png"))
    assert completed.shape == (30, 20)
    assert np.array_equal(completed[mask == 0], values[mask == 0])
    assert not np.array_equal(completed, values)


def test_each_half_and_the_centre_in_one_picture(call, checkpoint):
    arguments = [
        "occlusions=[top half,left half,{name:half},right half,centre,centre]",
        "limit=2",
        "count=2",
        "particles=4",
    ]
    arguments += ["maps=true", "animation=true", "hydra.run.dir=out"]
    code, out, err = call("complete", f"checkpoint={checkpoint}", *arguments)
    assert code == 0, err
    assert "has centre 2 times; it is drawn once" in out
    assert out.count("strategy   ") == 5 and "(left half)" in out
    assert (
        out.count("for each completion; the smallest effective number") == 4 and "nan" not in out
    )  # each occlusion's own, and none of the exact one
    report = json.loads(Path("out/completions.json").read_text())
    assert list(report["occlusions"]) == ["top half", "left half", "bottom half", "right half", "centre"]
    assert [name for name, about in report["occlusions"].items() if about["exact"]] == ["bottom half"]
    rows = report["completions"]
    assert {(row["image"], row["occlusion"]) for row in rows} == {
        (i, name) for i in (0, 1) for name in report["occlusions"]
    }
    assert len(rows) == len({row["file"] for row in rows}) == 20
    assert {"out/completions.gif"} <= files(".")
    assert {f"out/{row['file']}" for row in rows} | {"out/maps/001-centre-mean.png", "out/completions.png"} <= files(
        "."
    )
    top, bottom = (np.asarray(Image.open(f"out/completions/000-{side}-half-000.png")) for side in ("top", "bottom"))
    original = limited(load("digits").test, 1)[0, 0].numpy() * (255 / 16)
    assert np.array_equal(top[4:], original[4:].round()) and np.array_equal(bottom[:4], original[:4].round())


def test_a_mask_file_among_several_occlusions_stays_in_the_folder(call, checkpoint):
    for folder in ("above/inside", "above/b", "above/B"):
        Path(folder).mkdir(parents=True)
    half = np.zeros((8, 8))
    half[4:] = 255
    paths = ["m.png", "above/b/m.png", "above/B/m.png", f"above/inside/../../{'long' * 40}.png"]
    masks = ",".join(f"{{name:mask,path:{picture(path, half)}}}" for path in paths)
    inside = ["limit=1", "count=2", "strategy=ancestral", "hydra.run.dir=above/inside/run"]
    before = files(".")
    code, _, err = call("complete", f"checkpoint={checkpoint}", f"occlusions=[half,{masks}]", "maps=true", *inside)
    assert code == 0, err
    assert all(name.startswith("above/inside/run/") for name in files(".") - before)
    rows = json.loads(Path("above/inside/run/completions.json").read_text())["completions"]
    drawn = {f"completions/{path.name.lower()}" for path in Path("above/inside/run/completions").iterdir()}
    assert {row["file"].lower() for row in rows} == drawn and len(drawn) == 10
    assert len(list(Path("above/inside/run/maps").iterdir())) == 10


def test_a_grey_picture_serves_a_colour_model(call, colour_checkpoint):
    path = picture("photo.png", np.full((6, 6), 100))
    arguments = [f"image={path}", "occlusion=half", "hydra.run.dir=out"]
    code, _, err = call("complete", f"checkpoint={colour_checkpoint}", *arguments)
    assert code == 0, err
    assert np.asarray(Image.open("out/completions/000-000.png")).shape == (6, 6, 3)


def test_what_is_hidden_is_asked_for_or_said(call, checkpoint):
    """A picture of one's own is completed where its mask, an occlusion or its transparency says, and nowhere by default."""
    values = np.random.default_rng(0).integers(0, 256, (30, 20)).astype(np.uint8)
    own, model = f"image={picture('photo.png', values)}", f"checkpoint={checkpoint}"
    before = files(".")
    code, _, err = call("complete", model, own)
    assert code == 2 and "image=photo.png: which part is to be completed? give mask=" in err and files(".") == before
    code, out, err = call("complete", model, own, "occlusion=half", "count=1")
    assert code == 0 and "hidden     300 of 600 pixels: bottom half\n" in out, err
    code, out, err = call("complete", model, "limit=1", "count=1")
    assert code == 0 and "hidden     32 of 64 pixels: bottom half, the default\n" in out, err
    alpha = np.full((30, 20), 255, np.uint8)
    alpha[20:] = 0
    Image.fromarray(np.dstack([values, alpha])).save("erased.png")
    code, out, err = call("complete", model, "image=erased.png", "count=1", "hydra.run.dir=erased")
    assert code == 0 and "hidden     200 of 600 pixels: the transparent part of erased.png\n" in out, err
    assert json.loads(Path("erased/completions.json").read_text())["settings"]["occlusion"] is None
    completed = np.asarray(Image.open("erased/completions/000-000.png"))
    assert np.array_equal(completed[:20], values[:20]) and not np.array_equal(completed[20:], values[20:])
    code, out, err = call("complete", model, own, "mask=erased.png", "count=1")
    assert code == 0 and "note       mask erased.png is a picture that is partly transparent" in out, err
    assert "hidden     200 of 600 pixels: mask erased.png" in out
    layer = np.zeros((30, 20, 4), np.uint8)
    layer[:3] = (255, 0, 0, 255)
    Image.fromarray(layer).save("layer.png")
    code, out, err = call("complete", model, "image=erased.png", "mask=layer.png", "count=1")
    assert code == 0 and "hidden     60 of 600 pixels: mask layer.png" in out, err
    assert "erased.png is partly transparent, and laid on white" in out


@pytest.mark.parametrize("hide", ["occlusions=[mask]", "occlusion=mask"])
def test_a_mask_without_a_file_is_refused_for_a_picture_too(call, checkpoint, hide):
    own = picture("photo.png", np.zeros((30, 20)))
    code, _, err = call("complete", f"checkpoint={checkpoint}", f"image={own}", hide)
    assert code == 2 and "occlusion=mask needs a file: occlusion.path=mask.png" in err


def test_a_picture_unlike_any_other_is_said(call, tmp_path):
    noise = picture("noise.png", np.random.default_rng(0).integers(0, 256, (8, 8)))
    code, out, err = call("complete", "checkpoint=digits", f"image={noise}", "occlusion=half", "count=2", "threads=1")
    assert code == 0 and "note       noise.png is unlike what the model was trained on" in out, err
    paper = np.full((90, 70), 240, np.uint8)
    paper[20:60, 30:34] = paper[20:24, 20:34] = 30
    arguments = [f"image={picture('paper.png', paper)}", "occlusion=centre", "count=2", "threads=1"]
    code, out, err = call("complete", "checkpoint=digits", *arguments)
    assert (
        code == 0
        and "note       for the model, paper.png is inverted, made full in contrast, framed around its strokes" in out
    ), err
    assert "is unlike" not in out
    code, out, err = call("complete", "checkpoint=digits", *arguments, "fit=stretch", "invert=false")
    assert code == 0 and "note       paper.png is unlike what the model was trained on" in out, err


def test_a_fill_that_ignores_observed_pixels_says_so(call, checkpoint):
    arguments = ["occlusion.side=top", "limit=1", "hydra.run.dir=out", "strategy=ancestral"]
    code, out, _ = call("complete", f"checkpoint={checkpoint}", *arguments)
    assert code == 0
    assert "raster: not conditioned on 32 observed pixels that come later in the ordering" in out
    assert "note       strategy=particles takes in" in out
    assert occlusion_of("out")["exact"] is False


def test_auto_takes_particles_where_the_fill_ignores_observed_pixels(call, checkpoint):
    arguments = ["occlusion.side=top", "limit=2", "count=3", "particles=8", "hydra.run.dir=out"]
    code, out, err = call("complete", f"checkpoint={checkpoint}", *arguments)
    assert code == 0, err
    assert "strategy   particles, along raster: a rough approximation (at worst " in out
    assert "particles  8 for each completion; the smallest effective number" in out
    report = json.loads(Path("out/completions.json").read_text())
    about = occlusion_of("out")
    assert (about["strategy"], about["order"], about["exact"], about["how"]) == (
        "particles",
        "raster",
        False,
        "particles",
    )
    assert about["effective_particles"] == min(row["effective_particles"] for row in report["completions"])
    for row in report["completions"]:
        assert 1 <= row["effective_particles"] <= 8 and row["log_prob_observed_nats"] < 0
    ranks = [row["rank"] for row in report["completions"] if row["image"] == 0]
    nats = [row["log_prob_nats"] for row in report["completions"] if row["image"] == 0]
    assert sorted(ranks) == [1, 2, 3] and nats[ranks.index(1)] == max(nats)


def test_so_many_are_completed_at_a_time(call, checkpoint, monkeypatch):
    sizes, step = [], SequenceRNN.step
    monkeypatch.setattr(SequenceRNN, "step", lambda model, *now: sizes.append(len(now[0])) or step(model, *now))
    arguments = ["limit=5", "count=2", "batch_size=4", "maps=true", "hydra.run.dir=out"]
    code, _, err = call("complete", f"checkpoint={checkpoint}", *arguments)
    assert code == 0, err
    assert max(sizes) == 4 and len(list(Path("out/completions").iterdir())) == 10


def test_evaluate_says_how_good_its_estimate_by_particles_is(call, checkpoint):
    arguments = [
        "occlusion=half",
        "occlusion.side=top",
        "limit=2",
        "strategy=particles",
        "particles=4",
        "completions=0",
    ]
    code, out, err = call("evaluate", f"checkpoint={checkpoint}", *arguments, "hydra.run.dir=e")
    assert code == 0, err
    assert re.search(r"estimated by particles: [1-4]\.\d effective on average, a rough approximation", out)
    (name, result), *_ = [
        item for item in json.loads(Path("e/evaluation.json").read_text())["results"].items() if item[0] != "all"
    ]
    assert result["how"] == "particles" and 1 <= result["effective_particles"] <= 4, name


def test_evaluate_keeps_log_p_of_each_image_under_each_mask(call):
    model, spec = tiny_model((1, 4, 4), 3, orders="symmetries").float(), {"name": "digits", "size": 4, "levels": 3}
    model.trained_on = {"data": spec}
    pixelrnn.save(model, "saved")
    estimate = ["ensemble=true", "strategy=particles", "particles=4", "completions=0"]
    code, _, err = call("evaluate", "checkpoint=saved", "limit=5", *estimate, "hydra.run.dir=e")
    assert code == 0, err
    results = json.loads(Path("e/evaluation.json").read_text())["results"]
    with np.load("e/per_image.npz", allow_pickle=False) as file:
        arrays = dict(file)
    images = limited(load(spec).test, 5)
    assert arrays["images_sha256"] == sha256(images.numpy().tobytes()).hexdigest()
    assert tuple(arrays["shape"]) == (1, 4, 4)
    assert arrays["names"].tolist() == list(results) and "all, mean of 8 orders" in results
    assert arrays["how"].tolist() == [result["how"] for result in results.values()]
    assert set(arrays["how"]) == {"exact", "particles"} and arrays["log_probs"].dtype == np.float32
    nats = [result["nats"] for result in results.values()]
    assert (-arrays["log_probs"].mean(1, dtype=float)).tolist() == pytest.approx(nats, rel=1e-6)
    hidden = np.unpackbits(arrays["hidden"], axis=1, count=16).astype(bool).reshape(-1, 4, 4)
    for name, how, mask, log_probs in zip(arrays["names"], arrays["how"], hidden, arrays["log_probs"], strict=True):
        assert mask.sum() == results[name]["dimensions"]
        if how == "exact" and not name.startswith("all"):  # the mask of the file is the one that the model was given
            np.testing.assert_allclose(log_probs, pixelrnn.evaluate(model, images, mask).log_probs, rtol=1e-5)


def test_evaluate_binarises_the_training_images_of_a_dynamic_data_set(call):
    """They are kept as greys, because training binarises them anew in each epoch."""
    pixelrnn.save(tiny_model((1, 4, 4), 2).float(), "saved")
    data = ["data=digits", "data.size=4", "data.levels=2", "data.binarization=dynamic", "part=train"]
    means = []
    for folder in "ef":
        code, out, err = call(
            "evaluate", "checkpoint=saved", *data, "limit=50", "completed_images=2", f"hydra.run.dir={folder}"
        )
        assert code == 0 and "train part, 50 images" in out, err
        means.append(json.loads(Path(folder, "evaluation.json").read_text())["results"]["all"]["nats"])
    assert means[0] == means[1]


def test_a_bidirectional_model_from_a_plain_one_does_all_of_it(call, tmp_path):
    code, _, err = call("train", "hydra.run.dir=plain", *SMALL)
    assert code == 0, err
    code, out, err = call("train", "hydra.run.dir=run", "init=plain", "model.bidirectional=true", *SMALL)
    assert code == 0, err
    assert "encoder 1 x 2 x 64" in out and "(hidden pixels, mixed)" in out
    arguments = ["limit=20", "completions=2", "completed_images=2", "hydra.run.dir=e"]
    code, out, err = call("evaluate", "checkpoint=run", *arguments)
    assert code == 0, err
    results = json.loads(Path("e/evaluation.json").read_text())["results"]
    names = ["all", *(f"{side} half" for side in ("top", "left", "bottom", "right")), "centre"]
    assert list(results) == [*names, "random 25 %", "random 50 %", "random 75 %", "strokes"]
    assert {result["how"] for result in results.values()} == {"exact"}
    assert all("quality" in result for name, result in results.items() if name != "all")
    assert {"e/evaluation.png", "e/evaluation_completions.png"} <= files(".")
    arguments = ["occlusion=centre", "limit=2", "maps=true", "figures=svg", "hydra.run.dir=c"]
    code, out, err = call("complete", "checkpoint=run", *arguments)
    assert code == 0, err
    assert "with the encoder, along raster: exact samples" in out
    assert Path("c/completions.svg").read_text().startswith("<?xml")
    assert {"c/maps.svg", "c/maps.npz", "c/maps/001-mean.png", "c/maps/001-entropy.png"} <= files(".")
    maps = np.load("c/maps.npz")
    assert maps["mean"].shape == (2, 1, 8, 8) and (maps["entropy_bits"][~maps["hidden"]] == 0).all()
    code, out, err = call("verify", "checkpoint=run")
    assert code == 0 and out.count("ok ") == 8


def test_a_model_of_several_orders_does_all_of_it(call, tmp_path):
    code, _, err = call("train", "hydra.run.dir=run", "model.orders=symmetries", *SMALL)
    assert code == 0, err
    code, _, err = call("evaluate", "checkpoint=run", "limit=20", "ensemble=true", "hydra.run.dir=e")
    assert code == 0, err
    results = json.loads(Path("e/evaluation.json").read_text())["results"]
    assert all(results[f"{side} half"]["how"] == "exact" for side in ("top", "left", "bottom", "right"))
    assert results["centre"]["how"] == "fill" and results["all, mean of 8 orders"]["images"] == 20
    code, _, err = call("complete", "checkpoint=run", "occlusion.side=top", "limit=1", "hydra.run.dir=c")
    assert code == 0, err
    about = occlusion_of("c")
    assert about["exact"] is True and "flip_rows (the second of 8 orders)" in about["order"]
    code, _, err = call("train", "hydra.run.dir=two", "model.orders=[raster,spiral]", "model=row_lstm", *SMALL)
    assert code == 2 and "take ordering=raster or ordering=column" in err


def test_fine_tuning_begins_as_the_saved_model_and_brings_the_data_to_its_form(call, tmp_path):
    form = ["data.size=4", "data.levels=3", "model.window=3", "model.bidirectional=true", "ordering=snake"]
    code, _, err = call("train", "hydra.run.dir=saved", *SMALL, *form)
    assert code == 0, err
    for i, values in enumerate(np.random.default_rng(0).integers(0, 256, (12, 9, 11, 3))):
        (tmp_path / "mine").mkdir(exist_ok=True)
        picture(f"mine/{i}.png", values)
    own = ["init=saved", "data=folder", "data.root=mine", "training.epochs=1", "training.samples=1"]
    code, out, err = call("train", "hydra.run.dir=tuned", *own)
    assert code == 0, err
    assert "4x4 pixels, 1 channel and 3 levels" in out and "snake" in out and "new:" not in out
    tuned, saved = pixelrnn.load("tuned"), pixelrnn.load("saved")
    parameters = sum(p.numel() for p in saved.parameters())
    assert f"init       saved: {parameters:,} of the {parameters:,} parameters taken over" in out
    assert {**tuned.arguments, "training": 0} == {**saved.arguments, "training": 0}
    assert tuned.trained_on["init"] == "saved" and tuned.trained_on["data"]["size"] == 4
    assert tuned.trained_on["before"] == [pixelrnn.load("saved").trained_on["data"]]
    code, out, err = call("train", "hydra.run.dir=other", *own, "data.levels=5", "model.depth=2", "model.dropout=0.1")
    assert code == 0, err
    assert "new: encoder.value, inputs.value, likelihood.logits, stack.layers.1\n" in out
    assert "left behind: encoder.value, inputs.value, likelihood.logits\n" in out
    assert pixelrnn.load("other").arguments["dropout"] == 0.1
    code, out, err = call("train", "hydra.run.dir=third", *own, "model=gru")
    assert code == 2 and "differ in cell, width" in err


def test_models_lists_what_ships_and_prints_a_card(call):
    code, out, err = call("models")
    assert code == 0, err
    listed = [line.split()[0] for line in out.splitlines() if line[:1].strip()]  # what is not indented
    assert listed == [*pretrained.names(), "checkpoint=<name>"] and out.count("bits/dim") == len(pretrained.names())
    code, out, err = call("models", "name=digits")
    assert code == 0 and "## What it cannot do" in out and "evaluation:" in out
    assert files(".") == set()


def test_bundled_models_complete_and_sample_at_once(call):
    values = np.random.default_rng(0).integers(0, 256, (20, 30))
    code, out, err = call(
        "complete", f"image={picture('photo.png', values)}", "occlusion=half", "count=1", "threads=1", "hydra.run.dir=c"
    )
    assert code == 0, err
    assert "model      photos: " in out and "picture    photo.png: 30x20 pixels, completed at this size" in out
    completed = np.asarray(Image.open("c/completions/000.png"))
    assert np.array_equal(completed[:10], values[:10]) and completed.shape == (20, 30)
    code, out, err = call("sample", "count=1", "threads=1", "hydra.run.dir=s")
    assert code == 0 and "model      " in out, err


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["trian"], "did you mean 'train'"),
        (["train", "ordering=hilbrt"], "unknown ordering 'hilbrt'; did you mean 'hilbert'"),
        (["train", "data=minst"], "did you mean 'mnist'"),
        (["train", "experiment=dem"], "did you mean 'demo'"),
        (["train", "training.epoch=3"], "unknown option 'training.epoch'; did you mean 'training.epochs'"),
        (["train", "trainng.epochs=3"], "unknown option 'trainng'; did you mean 'training'"),
        (["train", "traning=3"], "unknown option 'traning'"),
        (["train", "training.epochs=many"], "many"),
        (["train", "training.epochs=0"], "training.epochs=0: it is a whole number from 1"),
        (["train", "model.width=wide"], "model.width=wide: it must be a whole number"),
        (["train", "model.width=0"], "width=0: it is at least 1"),
        (["train", "model.window=4"], "window=4"),
        (["train", "model=row_lstn"], "did you mean 'row_lstm'"),
        (["train", "model=row_lstm", "ordering=spiral"], "take ordering=raster or ordering=column"),
        (["train", "model=row_lstm", "model.kernel=4"], "kernel=4"),
        (["train", "model=multiscale", "model.scale=9"], "scale=9"),
        (["train", "model=pixelcnn", "model.kernel=3"], "unknown option 'model.kernel'"),
        (["train", "ordering=permutation"], "lists 0 pixels; an image of 8x8 has 64"),
        (["train", "ordering.transforms=[mirror]"], "unknown ordering transform 'mirror'"),
        (["train", "ordering.transforms=reverse"], "write ordering.transforms=[reverse]"),
        (["train", "ordering.transforms=5"], "ordering.transforms=5: it is a list"),
        (["train", "ordering.transforms=[[reverse]]"], "unknown ordering transform"),
        (["train", "model.orders=5"], "orders=5: it is symmetries, or a list of orderings"),
        (["train", "model.orders=[5]"], "ordering=5: it is a name, or a name with options"),
        (["train", "model.width=null"], "model.width=null: it must be a whole number"),
        (["train", "likelihood.hidden=null"], "likelihood.hidden=null: it must be a whole number"),
        (["train", "likelihood=bernoulli"], "is for 2 levels; got levels=17"),
        (["train", "data.levels=1"], "levels=1"),
        (["train", "device=tpu"], "device=tpu"),
        (["train", "data=folder"], "data.root"),
        (["train", "data=folder", "data.root=nowhere"], "nowhere"),
        (["train", "training.resume=nowhere"], "nowhere"),
        (["train", "seed=0,1"], "seed=0,1 has several values: add -m"),
        (["train", "ordering=raster,snake"], "add -m for a run with each of them"),
        (["train", "model.width=8,16"], "one list is model.width=[8,16]"),
        (["train", "seed=range(0,3)"], "add -m for a run with each of them"),
        (["train", "hydra.run.dir=x", "-m", "seed=0,1"], "give hydra.sweep.dir="),
        (["train", "-m", "+hydra.run.dir=x", "seed=0,1"], "give hydra.sweep.dir="),
        (["train", "hydra.sweep.dir=x"], "add -m, or give hydra.run.dir="),
        (["train", "hydra.sweep.subdir=x"], "add -m, or give hydra.run.dir="),
        (["train", "--epochs", "5"], "options are name=value, such as training.epochs=5"),
        (["train", "--epochs=5"], "such as training.epochs=5"),
        (["train", "-epochs", "5"], "such as training.epochs=5"),
        (["train", "--training.epochs", "5"], "such as training.epochs=5"),
        (["train", "--batch-size", "8", "seed=1"], "such as training.batch_size=8"),
        (["train", "--width", "32"], "such as model.width=32"),
        (["train", "--experiment=demo"], "such as experiment=demo"),
        (["train", "-model", "lstm"], "such as model=lstm"),
        (["train", "epochs", "5"], "such as training.epochs=5"),
        (["train", "epochs=5"], "did you mean 'training.epochs'"),
        (["train", "bptt=full"], "did you mean 'training.bptt'"),
        (["train", "--cfg", "jobs"], "--cfg jobs: it is --cfg job"),
        (["models", "--cfg"], "--cfg needs a value: --cfg job"),
        (["train", "--config-dir="], "--config-dir= needs a value"),
        (["train", "-m", "hydra/launcher=joblip"], "unknown hydra/launcher 'joblip'"),
        (["train", "-m", "hydra/launcher=basic", "seed=-1"], "seed=-1: it is a whole number from 0"),
        (
            ["train", "-m", "hydra/launcher=submitit"],
            "for submitit's, pip install -e '.[cluster]' in pixelrnn's source tree",
        ),
        (
            ["train", "-m", "hydra/launcher=basic", "hydra.launcher.gpus=1"],
            "the launcher or sweeper has none of this name",
        ),
        (
            ["train", "-m", "hydra/launcher=basic", "+hydra.launcher.nodes=2"],
            "each of the tasks would train the same run",
        ),
        (["train", "hydra/sweeper=basic"], "hydra/sweeper= is for a sweep: add -m"),
        (["train", "hydra.verbose=true"], "hydra.verbose=: of Hydra's own options"),
        (["sample", "--seed", "3"], "such as seed=3"),
        (["evaluate", "--occlusion", "half"], "such as occlusion=half"),
        (["complete", "photo.png"], "photo.png: options are name=value"),
        (["train", "model.width={3"], "--help"),
        (["evaluate"], "which model? give checkpoint="),
        (["evaluate", "checkpoint=nowhere"], "nowhere: no such folder"),
        (["evaluate", "checkpoint=CHECKPOINT", "part=tset"], "part=tset"),
        (["evaluate", "checkpoint=CHECKPOINT", "data=digits", "data.levels=2"], "8x8 pixels, 1 channel and 2 levels"),
        (["evaluate", "checkpoint=COLOUR"], "does not say what it was trained on"),
        (["complete", "checkpoint=CHECKPOINT", "image=nowhere.png"], "nowhere.png: no such file"),
        (["complete", "checkpoint=CHECKPOINT", "order=1"], "order=1: this model has 1, counted from 0"),
        (["sample", "checkpoint=CHECKPOINT", "figures=gif"], "figures=gif: it is png, svg or pdf"),
        (["serve", "port=abc"], "port=abc: it is a whole number from 1 to 65535"),
        (["serve", "checkpoint=nowhere"], "nowhere"),
        (["train", "training.figures=gif"], "training.figures=gif: it is png, svg or pdf"),
        (["complete", "checkpoint=CHECKPOINT", "image=text.png"], "text.png is not a picture"),
        (["complete", "checkpoint=CHECKPOINT", "image=truncated.png"], "truncated"),
        (["complete", "checkpoint=CHECKPOINT", "image=colour.png"], "is in colour"),
        (
            ["complete", "checkpoint=CHECKPOINT", "image=grey.png", "mask=small.png"],
            "is 4x4 pixels and the picture 8x8 (width x height)",
        ),
        (["complete", "checkpoint=CHECKPOINT", "image=grey.png", "mask=black.png"], "hides nothing"),
        (["complete", "checkpoint=CHECKPOINT", "mask=black.png", "occlusion=half"], "give one of them"),
        (["complete", "checkpoint=CHECKPOINT", "occlusions=halves"], "it is a list, such as [top half,strokes"),
        (["complete", "checkpoint=CHECKPOINT", "occlusions=[half,hlaf]"], "did you mean 'half'"),
        (["complete", "checkpoint=CHECKPOINT", "occlusions=[top]"], "did you mean 'top half'"),
        (["complete", "checkpoint=CHECKPOINT", "occlusion=null"], "needs a name, not null"),
        (["complete", "checkpoint=CHECKPOINT", "occlusion=hlaf"], "did you mean 'half'"),
        (["complete", "checkpoint=CHECKPOINT", "~occlusion"], "~occlusion: complete needs this option"),
        (["sample", "checkpoint=CHECKPOINT", "~count"], "~count: sample needs this option; leave ~count out"),
        (["train", "-m", "training.resume=never,auto"], "training.resume= has several values: resume one run"),
        (["train", "ordering=snake", "model.orders=[raster]"], "ordering= has no effect beside model.orders=[…]"),
        (["train", "ordering=permutation", "ordering.order=null"], "ordering.order is a list of raster indices"),
        (["complete", "checkpoint=CHECKPOINT", "occlusion.side=under"], "occlusion.side=under"),
        (["complete", "checkpoint=CHECKPOINT", "occlusion=box", "occlusion.top=7"], "does not lie in an image of 8x8"),
        (["complete", "checkpoint=CHECKPOINT", "occlusion=centre", "occlusion.fraction=big"], "it must be a number"),
        (["complete", "checkpoint=CHECKPOINT", "occlusion=mask"], "occlusion.path=mask.png"),
        (["complete", "checkpoint=CHECKPOINT", "limit=0"], "limit=0: it is a whole number from 1, or null"),
        (["train", "likelihood.hidden=0"], "likelihood.hidden=0"),
        (["train", "likelihood=logistic_mixture", "likelihood.components=0"], "likelihood.components=0"),
        (["train", "ordering=permutation", "ordering.order=[a,b]"], "lists 2 pixels"),
        (["complete", "checkpoint=CHECKPOINT", "count=0"], "count=0"),
        (["complete", "checkpoint=CHECKPOINT", "temperature=-1"], "temperature=-1"),
        (["complete", "checkpoint=CHECKPOINT", "strategy=ancestrl"], "did you mean 'ancestral'"),
        (["complete", "checkpoint=CHECKPOINT", "particles=0"], "particles=0"),
        (
            ["complete", "checkpoint=CHECKPOINT", "particles=many"],
            "particles=many: it is a whole number from 1, or auto",
        ),
        (["complete", "checkpoint=CHECKPOINT", "temperature=1e-40"], "temperature=1e-40: it is a number from 1e-06"),
        (["sample", "checkpoint=CHECKPOINT", "temperature=1e-40"], "temperature=1e-40: it is a number from 1e-06"),
        (["evaluate", "checkpoint=CHECKPOINT", "ensemble=true"], "single order"),
        (["evaluate", "checkpoint=CHECKPOINT", "strategy=particle"], "did you mean 'particles'"),
        (["evaluate", "checkpoint=CHECKPOINT", "completions=-1"], "completions=-1"),
        (["train", "init=nowhere"], "nowhere: no such folder"),
        (["sample", "checkpoint=digit"], "did you mean 'digits'"),
        (["models", "name=digit"], "did you mean 'digits'"),
        (["train", "init=CHECKPOINT", "model.cell=gru"], "differ in cell"),
        (["train", "training.occlusion=mixed"], "does not see observed pixels ahead"),
        (["train", "model.orders=symmetric"], "it is symmetries, or a list of orderings"),
        (["train", "model.orders=[rastr]"], "did you mean 'raster'"),
        (["train", "model.bidirectional=maybe"], "it must be true or false"),
        (["train", "model.encoder_width=0", "model.bidirectional=true"], "encoder_width=0"),
        (
            ["train", "model.encoder=convolution", "model.bidirectional=true"],
            "unknown encoder 'convolution'; did you mean",
        ),
        (
            ["train", "model.encoder=convolutional"],
            "encoder=convolutional: only a bidirectional model has an encoder; add",
        ),
        (["sample", "checkpoint=CHECKPOINT", "count=0"], "count=0"),
        (["sample", "checkpoint=CHECKPOINT", "cuont=3"], "did you mean 'count'"),
        (["evaluate", "checkpoint=CHECKPOINT", "batch_size=0"], "batch_size=0: it is a whole number from 1"),
        (["train", "training.epochs=1.5"], "training.epochs=1.5: it is a whole number from 1"),
        (["train", "training.bf16=perhaps"], "training.bf16=perhaps: it is true or false, or null"),
        (["train", "training.samples=null"], "training.samples=null: it is a whole number from 0"),
        (["train", "training=3"], "training=3: it is a group of options"),
        (["complete", "data=folder"], "data=folder needs data.root"),
        (["complete", "data.root=/x"], "data.root needs data=array or binarized_mnist or cifar10"),
        (["complete", "data.root=/x"], "of the checkpoint's own data it is root="),
        (["complete", "data.limit=5"], "of the checkpoint's own data it is limit="),
        (["complete", "data.binarization=fixed"], "needs data=array or binarized_mnist or cifar10 or digits"),
        (["complete", "+data.root=/x"], "data.root needs data=<a name>"),
        (["evaluate", "checkpoint=CHECKPOINT", "occlusion.side=top"], "occlusion.side needs occlusion=half"),
        (["evaluate", "checkpoint=CHECKPOINT", "occlusion.sdie=top"], "unknown option 'occlusion'"),
        (["sample", "data.root=/x"], "unknown option 'data'"),
        (["sample", "checkpoint=CHECKPOINT", "device=mps:1"], "device=mps:1 is not there on this machine"),
        (["sample", "checkpoint=CHECKPOINT", "device=cpu:1"], "device=cpu:1 is not there on this machine"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_gets_one_line_and_leaves_nothing(call, checkpoint, colour_checkpoint, arguments, says):
    picture("grey.png", np.full((8, 8), 90))
    picture("black.png", np.zeros((8, 8)))
    picture("small.png", np.full((4, 4), 255))
    picture("colour.png", np.random.default_rng(0).integers(0, 256, (8, 8, 3)))
    noise = picture("noise.png", np.random.default_rng(0).integers(0, 256, (64, 64))).__str__()
    Path("truncated.png").write_bytes(Path(noise).read_bytes()[:1500])
    Path("text.png").write_text("no picture")
    before = files(".")
    replaced = [a.replace("CHECKPOINT", str(checkpoint)).replace("COLOUR", str(colour_checkpoint)) for a in arguments]
    code, _, err = call(*replaced)
    lines = [line for line in err.splitlines() if line.startswith("pixelrnn: ")]
    assert code == 2, err
    assert len(lines) == 1
    assert says in lines[0]
    assert "Traceback" not in err
    assert files(".") == before


BEYOND = 99999999999999999999  # 64 bits
WRONG = {
    "train": [f"seed={BEYOND}", "seed=null", "threads=0", "device=cpu:foo", "ordering.seed=-1"],
    "sample": [
        *("count=1.5", "count=two", "count=null", "count='1'", f"count={BEYOND}"),
        *("temperature=hot", "temperature=null", "temperature=inf"),
        *("temperature=nan", "temperature=true", "seed=abc", "seed=1.5", "seed=-1", "seed=null", "seed=4294967296"),
        *("threads=-1", "threads=two", "threads=1.5", "threads=100000", "device=cpu:foo", "device=null"),
        *("figures=null", "batch_size=true", "batch_size=a"),
    ],
    "complete": [
        *("order=a", "order=1.5", "strategy=null", "strategy=[auto]", "maps=maybe", "maps=1", "limit=a", "limit=2.5"),
        *("particles=1.5", "seed=abc", "device=cpu:foo", "occlusions=[]", "occlusions=[1]", "occlusions=[null]"),
        *("occlusions=[{side:top}]", "occlusions={name:half}", f"occlusions=[half,{{name:strokes,seed:{BEYOND}}}]"),
        *(f"occlusion.seed={BEYOND}", "occlusion.seed=null", "occlusion.fraction=null"),
    ],
    "evaluate": [
        *("batch_size=-1", "batch_size=a", "completions=a", "completions=1.5", "completed_images=0", "limit=a"),
        *("ensemble=yes_please", "part=[test]", "seed=1.5", "device=cpu:foo", f"occlusion.seed={BEYOND}"),
    ],
    "verify": ["seed=abc", "seed=1.5", f"seed={BEYOND}", "threads=0"],
    "serve": ["port=0", "port=65536", "port=1.5", "host=1", "open=maybe", "threads=0"],
}


@pytest.mark.parametrize(
    ("command", "wrong"), [(command, wrong) for command, several in WRONG.items() for wrong in several]
)
def test_a_value_of_another_kind_or_out_of_range_gets_one_line(call, command, wrong):
    group = {"occlusion.seed": "occlusion=random_pixels", "ordering.seed": "ordering=random"}
    group["occlusion.fraction"] = group["occlusion.seed"]
    option, value = wrong.split("=", 1)
    checkpoint = ["checkpoint=digits"] if command in ("evaluate", "verify") else []
    code, _, err = call(command, *checkpoint, *([group[option]] if option in group else []), wrong)
    assert code == 2 and len(err.splitlines()) == 1, err
    shown = value.strip("'") if value[0] not in "[{" else ""  # a list is shown as JSON
    assert re.match(rf"pixelrnn: {option}(\[1\]\.seed)?={re.escape(shown)}.*: \w+", err), err
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_option_has_a_rule_that_its_default_keeps(command):
    config = OmegaConf.to_container(OmegaConf.load(CONF / f"{command}.yaml"))
    del config["hydra"], config["defaults"]
    assert set(config) <= set(RULES)
    groups = {
        name: OmegaConf.to_container(OmegaConf.load(CONF / name / f"{group.value}.yaml"))
        for name, group in page(command).groups.items()
        if group.value
    }
    check(command, {**config, **groups, **({"checkpoint": "digits"} if "checkpoint" in config else {})})


@pytest.mark.parametrize(
    ("name", "value"), [("WORLD_SIZE", "two"), ("RANK", None), ("MASTER_ADDR", None), ("MASTER_PORT", "")]
)
def test_an_environment_of_several_processes_that_lacks_something_gets_one_line(call, monkeypatch, name, value):
    whole = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    for key, held in {**whole, name: value}.items():
        monkeypatch.delenv(key, raising=False) if held is None else monkeypatch.setenv(key, held)
    code, _, err = call("sample", "checkpoint=digits")
    said = "WORLD_SIZE=two" if value == "two" else f"WORLD_SIZE=2 is set but {name} is not"
    assert code == 2 and said in err and "unset WORLD_SIZE" in err and len(err.splitlines()) == 1
    assert files(".") == set()


def test_a_failure_of_ours_is_not_blamed_on_the_user(call, monkeypatch, checkpoint):
    def bug(*_, **__):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("pixelrnn.cli.verify.verify", bug)
    with pytest.raises(ZeroDivisionError):  # the interpreter prints the traceback and exits with 1
        call("verify", f"checkpoint={checkpoint}")


# --- configuration and code say the same ------------------------------------------------------------------------------


def group(name):
    return {path.stem: OmegaConf.load(path) for path in (CONF / name).glob("*.yaml")}


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("ordering", ORDERINGS),
        ("occlusion", OCCLUSIONS),
        ("likelihood", LIKELIHOODS),
        ("data", dict.fromkeys(DATASETS, Options)),
    ],
    ids=["ordering", "occlusion", "likelihood", "data"],
)
def test_every_member_of_a_family_has_a_yaml_with_all_its_options(name, members):
    configs = group(name)
    assert set(configs) == set(members)
    for member, config in configs.items():
        assert config.pop("name") == member
        config.pop("transforms", None)
        options = option_defaults(members[member])
        assert set(config) == set(options)
        for key, default in options.items():
            assert default in (config[key], "", ()) or default is None, f"{name}/{member}.yaml: {key}"


def test_every_cell_and_model_has_a_yaml_with_all_its_options():
    configs = group("model")
    assert {config.cell for config in configs.values() if "cell" in config} == set(CELLS)
    whole = [config for config in configs.values() if "name" in config]  # the other cells take theirs from lstm.yaml
    assert {config.name for config in whole} == set(MODELS)
    for config in whole:
        options = set(option_defaults(MODELS[config.name])) - {"ordering", "likelihood"}
        assert set(config) == options | {"name"}


def test_train_yaml_has_the_settings_with_their_defaults():
    training = OmegaConf.to_container(OmegaConf.load(CONF / "train.yaml").training)
    assert training == {**vars(Settings()), "teacher": None}, "a teacher is loaded, and no setting"


def test_an_interrupted_run_exits_with_the_signal(call, monkeypatch):
    import os
    import signal

    from pixelrnn.datasets import Dataset

    batch = Dataset.training_batch

    def interrupted(self, index):
        os.kill(os.getpid(), signal.SIGTERM)
        return batch(self, index)

    monkeypatch.setattr(Dataset, "training_batch", interrupted)
    code, out, _ = call("train", "hydra.run.dir=run", *SMALL)
    assert code == 143
    assert f"go on with: pixelrnn train training.resume={Path.cwd() / 'run'}\n" in out
    assert torch.load("run/last/training.pt")["progress"]["step"] == 1


def test_a_run_that_diverges_names_the_folder_of_the_last_good_checkpoint_if_there_is_one(call, monkeypatch):
    run, validate = ["train", "hydra.run.dir=run", *SMALL], training._validate

    def fails(*given):
        return replace(validate(*given), nats=float("nan"))

    monkeypatch.setattr(training, "_validate", fails)
    code, _, err = call(*run)
    assert code == 1 and "try a smaller learning_rate, or recoveries=3\n" in err
    monkeypatch.setattr(training, "_validate", validate)
    assert call(*run)[0] == 0
    monkeypatch.setattr(training, "_validate", fails)
    code, _, err = call(*run, "training.epochs=2")
    assert code == 1 and f"recoveries=3; the last good checkpoint is in {Path.cwd() / 'run'}\n" in err


def test_the_printed_way_to_go_on_works_from_any_folder(call, monkeypatch, tmp_path):
    """With options from the user's own yaml and a relative folder of pictures, in a folder whose name needs quotes."""
    for seed in range(12):
        Path("mine").mkdir(exist_ok=True)
        picture(f"mine/{seed}.png", np.random.default_rng(seed).integers(0, 256, (6, 6)))
    Path("conf/ordering").mkdir(parents=True)
    Path("conf/ordering/upwards.yaml").write_text("name: raster\ntransforms: [flip_rows]\n")
    own = ["data=folder", "data.root=mine", "training.batch_size=5", "seed=3", *SMALL[:3], "training.samples=0"]
    with monkeypatch.context() as patch:
        patch.setattr(training.Run, "stop_reason", lambda run, received: "SIGINT")
        code, out, err = call("train", "--config-dir", "conf", "ordering=upwards", *own, "hydra.run.dir=it's (1)")
    assert code == 130, err
    (printed,) = re.findall(r"go on with: (pixelrnn train .*)", out)
    monkeypatch.chdir("conf")
    code, out, err = call(*shlex.split(printed)[1:])
    assert code == 0 and "note       goes on from update 1 of 2\n" in out, out + err
    assert " in the run, " not in out and f"folder     {tmp_path}/it's (1)\n" in out
    monkeypatch.chdir(tmp_path / "mine")
    code, out, err = call(*shlex.split(printed)[1:], "training.epochs=2")
    assert code == 0 and "goes on from update 2 of 4" in out and "epochs 1 in the run, 2 now" in out, out + err
    code, out, err = call(*shlex.split(printed)[1:])
    assert code == 0 and "nothing left to do: all 2 epochs are done" in out, "it knows the option that was given then"
    (tmp_path / "groups").mkdir()
    code, out, err = call(*shlex.split(printed)[1:], "--config-dir", str(tmp_path / "groups"))
    assert code == 0 and "nothing left to do" in out, err
    for more in (["-m", "seed=0,1"], ["hydra.run.dir=other"], ["data=digits"], ["~model.window"]):
        code, _, err = call(*shlex.split(printed)[1:], *more)
        assert code == 2 and "goes on with one run, in its own folder: leave out" in err
    assert {path.name for path in Path.cwd().iterdir() if path.suffix != ".png"} == set()


def test_a_run_that_was_made_in_python_does_not_know_its_options(call):
    model, data = tiny_model((1, 8, 8), 17).float(), load({"name": "digits", "limit": 64})
    training.train(model, data, Settings(epochs=1, samples=0), "run", progress=False)
    code, _, err = call("train", "training.resume=run")
    assert code == 2 and "does not say with which options it was trained" in err and len(err.splitlines()) == 1


def test_an_unknown_occlusion_of_training_leaves_the_run_as_it_was(call):
    small = [*SMALL, "model.bidirectional=true", "hydra.run.dir=run"]
    code, _, err = call("train", *small)
    assert code == 0, err
    before = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    code, _, err = call("train", *small, "training.epochs=2", "training.occlusion=strokez")
    assert code == 2 and "did you mean 'strokes'" in err and len(err.splitlines()) == 1
    assert {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("sweep", [False, True])
def test_a_refused_run_leaves_the_configuration_of_the_good_one(call, sweep):
    """A sweep's second use of its folder too; and a job that is refused for an option that no run has."""
    place = ["-m", "hydra.sweep.dir=place"] if sweep else ["hydra.run.dir=place/0"]
    code, _, err = call("train", *place, *SMALL)
    assert code == 0, err
    before = {path: path.read_bytes() for path in Path("place").rglob("*") if path.is_file()}
    for option in ("model.width=8", "data.limit=32", "training.learning_rate=1", "training.optimizer=rmsprop"):
        for wrong in ([option], [option, "threads=0"]):
            code, out, err = call("train", *place, *SMALL, *wrong)
            assert code == 2 and len(err.splitlines()) == 1 and "best " not in out, out + err
            assert {path: path.read_bytes() for path in Path("place").rglob("*") if path.is_file()} == before
    code, out, err = call("train", *place, *SMALL)
    assert code == 0 and "nothing left to do: all 1 epochs are done" in out, err


def test_a_refused_evaluation_leaves_the_configuration_of_the_good_one(call, checkpoint):
    own = ["evaluate", f"checkpoint={checkpoint}", "completions=0", "occlusion=half", "hydra.run.dir=e"]
    code, _, err = call(*own, "limit=8")
    assert code == 0, err
    before = Path("e/.hydra/evaluate/config.yaml").read_text()
    code, _, _ = call(*own, "limit=9", "batch_size=0")
    assert code == 2 and Path("e/.hydra/evaluate/config.yaml").read_text() == before


def test_samples_are_drawn_in_batches_whose_seeds_are_their_own(call, checkpoint):
    for folder, count in {"many": 7, "few": 3}.items():
        arguments = [f"count={count}", "batch_size=3", f"hydra.run.dir={folder}"]
        code, _, err = call("sample", f"checkpoint={checkpoint}", *arguments)
        assert code == 0, err
    many, few = ([path.read_bytes() for path in sorted(Path(name, "samples").iterdir())] for name in ("many", "few"))
    assert len(many) == 7 and many[:3] == few and len(set(many)) > 5
    for mistake in ("count=0", "batch_size=0"):
        code, _, err = call("sample", f"checkpoint={checkpoint}", mistake)
        said = err.strip().splitlines()[-1]
        assert code == 2 and said.startswith("pixelrnn: ") and mistake.split("=")[1] in said


def test_a_single_image_has_no_standard_error(call, checkpoint):
    arguments = ["limit=1", "completions=1", "occlusion=half", "hydra.run.dir=e"]
    code, out, err = call("evaluate", f"checkpoint={checkpoint}", *arguments)
    assert code == 0 and "nan" not in out and "±" not in out, err
    assert "1 image; -log p, without a standard error" in out
    assert "NaN" not in Path("e/evaluation.json").read_text()


def part(folder, *seeds):
    Path(folder).mkdir(parents=True)
    for seed in seeds:
        picture(f"{folder}/{seed}.png", np.random.default_rng(seed).integers(0, 256, (6, 6)))


def test_images_that_were_trained_on_are_said(call):
    part("mine/train", *range(6)), part("mine/valid", 1, 8), part("mine/test", 2, 3, 9)
    part("other/train", 20, 21), part("other/valid", 22), part("other/test", 2, 9, 20)
    small = [*SMALL[:2], "training.samples=0", "training.epochs=1"]
    longer = [*small[:-1], "training.epochs=2"]
    code, out, err = call("train", "data=folder", "data.root=mine", "hydra.run.dir=run", *small)
    assert code == 0, err
    assert "note       images of valid that the model was trained on, pixel for pixel: 1 of 2" in out
    assert "images of test that the model was trained on, pixel for pixel: 2 of 3" in out
    evaluate = ["completions=0", "occlusion=half", "hydra.run.dir=e"]
    code, out, err = call("evaluate", "checkpoint=run", *evaluate)
    assert code == 0 and "pixel for pixel: 2 of 3;" in out and "of valid" not in out, err
    assert json.loads(Path("e/evaluation.json").read_text())["images_trained_on"] == 2

    # Of other data too, and by what the model knows, not by what else these hold.
    code, out, err = call("evaluate", "checkpoint=run", "data=folder", "data.root=other", *evaluate)
    assert code == 0 and "pixel for pixel: 1 of 3;" in out, err

    # A model that began with another's weights knows the images of both.
    code, out, err = call("train", "init=run", "data=folder", "data.root=other", "hydra.run.dir=again", *longer)
    assert code == 0 and "images of test that the model was trained on, pixel for pixel: 2 of 3" in out, err
    code, out, err = call("evaluate", "checkpoint=again/last", "data=folder", "data.root=other", *evaluate)
    assert code == 0 and "images of test that the model was trained on, pixel for pixel: 2 of 3" in out, err


def test_a_refused_run_leaves_the_record_of_a_folder_named_by_a_way_round(call):
    """The folder's name is spelled otherwise than where the run began."""
    code, _, err = call("train", *SMALL, "hydra.run.dir=run")
    assert code == 0, err
    Path("else").mkdir()
    before = {path: path.read_bytes() for path in Path("run/.hydra/train").iterdir()}
    for way in ("else/../run", "run/../run"):
        code, _, err = call("train", *SMALL, f"hydra.run.dir={way}", "seed=9")
        assert code == 2 and "seed 0 in the run, 9 now" in err, err
        assert {path: path.read_bytes() for path in Path("run/.hydra/train").iterdir()} == before


def test_a_model_that_does_not_know_its_images_says_so(call, checkpoint):
    evaluate = [f"checkpoint={checkpoint}", "completions=0", "occlusion=half", "limit=20"]
    code, out, err = call("evaluate", *evaluate)  # the data it names say what it was trained on
    assert code == 0 and "note " not in out, err
    other = ["data=digits", "data.limit=50"]
    code, out, err = call("evaluate", *evaluate, *other)
    assert code == 0 and "does not record its training images, so repeats cannot be counted" in out, err
    code, out, err = call("train", f"init={checkpoint}", *other, "training.epochs=1", "training.samples=0")
    assert code == 0 and "so repeats of them cannot be counted" in out, err


def test_particles_that_change_nothing_are_said(call, tmp_path):
    pixelrnn.save(tiny_model((1, 8, 8), 17, bidirectional=True).float(), tmp_path / "seeing")
    options = ["data=digits", "limit=1", "count=1"]
    for word in ("strategy=particles", "particles=8"):
        code, out, err = call("complete", "checkpoint=seeing", "occlusion=centre", word, *options)
        assert code == 0 and "the encoder sees all observed pixels, so particles would change nothing" in out, err


def test_an_evaluation_takes_auto_for_particles_where_they_are_needed(call, checkpoint):
    words = ["strategy=auto", "particles=8", "completions=0", "limit=2", "occlusion=half"]
    for side, found in {"top": True, "bottom": False}.items():
        code, out, err = call("evaluate", f"checkpoint={checkpoint}", *words, f"occlusion.side={side}")
        assert code == 0 and ("effective on average" in out) == found, err


def test_everything_hidden_is_evaluated_once(call, checkpoint):
    code, out, err = call(
        "evaluate", f"checkpoint={checkpoint}", "occlusion=all", "completions=1", "limit=2", "completed_images=1"
    )
    assert code == 0 and sum(line.startswith("all ") for line in out.splitlines()) == 2, err  # nats, and PSNR


def test_a_mask_that_hides_all_is_said(call, checkpoint):
    path, mask = picture("grey.png", np.full((8, 8), 90)), picture("white.png", np.full((8, 8), 255))
    code, out, err = call("complete", f"checkpoint={checkpoint}", f"image={path}", f"mask={mask}", "count=1")
    assert code == 0 and "white.png hides the whole picture: if black was meant" in out, err


CARD_FULL = torch.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 39.06 GiB. GPU 0 has a total capacity of 79.18 GiB of which 34.05 GiB is free."
)


def test_a_machine_without_enough_memory_gets_one_line(call):
    """torch really tries to allocate many TiB."""
    code, _, err = call("train", "data=digits", "model.width=4000000")
    assert (
        code == 2 and err.count("\n") == 1 and err.startswith("pixelrnn: the memory of the machine is full (tried to")
    )
    assert "training.accumulate=4" in err and "training.bptt=checkpointed" in err and "device=cpu" not in err


@pytest.mark.parametrize("command", ["evaluate", "complete", "sample", "verify"])
@pytest.mark.parametrize("error", [CARD_FULL, RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling")])
def test_a_full_card_gets_one_line(call, monkeypatch, command, error):
    def full(*_):
        raise error

    monkeypatch.setattr(SequenceRNN, "begin", full)
    monkeypatch.setattr(SequenceRNN, "forward", full)
    code, _, err = call(command, "checkpoint=digits", *(["occlusion=half"] if command == "complete" else []))
    assert code == 2 and err.count("\n") == 1 and "the memory of the GPU is full" in err and "device=cpu" in err
    assert ("batch_size" in err) == (command != "verify") and ("39.06 gib" in err.lower()) == (error is CARD_FULL)


def test_a_card_that_fills_up_in_training_says_how_to_go_on(call, monkeypatch):
    words = ["data=digits", *SMALL, "hydra.run.dir=run", "training.batch_size=16", "training.validate_every=1"]
    update, calls = training.update, []

    def third(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise CARD_FULL
        return update(*arguments)

    monkeypatch.setattr(training, "update", third)
    code, _, err = call("train", *words)
    assert code == 2 and err.count("\n") == 1 and "the last saved state is in" in err
    again = shlex.split(err[err.index("pixelrnn train") :])
    code, out, _ = call(*again[1:])
    assert code == 0 and "goes on from update 2 of 4" in out and "training.accumulate=4" in again
