"""The commands where the surroundings surprise: streams, encodings, homes, names, clocks, folders, networks, installations."""

import json
import os
import re
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL, files, picture
from PIL import Image

import pixelrnn
from pixelrnn.cli.compose import quoted
from pixelrnn.datasets import load
from pixelrnn.datasets.prepare import data_folder
from pixelrnn.files.pictures import read_mask
from pixelrnn.own_picture import from_file
from pixelrnn.training import Settings, train

ROOT = Path(__file__).parents[1]
PIXELRNN = [sys.executable, "-m", "pixelrnn"]
STRANGE = "Bilder für Ölpreis 図"
COMPLETE = ["complete", "checkpoint=digits", "limit=1", "count=1", "threads=1"]
EVALUATE = ["evaluate", "checkpoint=digits", "limit=20", "completions=0", "threads=1", "hydra.run.dir=e"]
TRAIN = ["train", *SMALL, "threads=1"]


def shell(line, folder, **environment):
    """Runs a line of bash, in which "$@" stands for the command; a variable that is None is not set."""
    variables = {**os.environ, "PIXELRNN": " ".join(PIXELRNN), **environment}
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd=folder,
        env={name: value for name, value in variables.items() if value is not None},
        capture_output=True,
        timeout=300,
    )


def quiet(text):
    return not re.search(r"Traceback|Exception ignored|Error|Warning", text)


# --- streams ----------------------------------------------------------------------------------------------------------


def test_a_reader_that_leaves_gets_no_traceback(tmp_path):
    done = shell("$PIXELRNN models | true", tmp_path)
    assert done.returncode in (0, 141) and done.stderr == b"", done.stderr


def test_a_log_file_holds_plain_lines(tmp_path):
    done = shell(f"$PIXELRNN {' '.join(COMPLETE)} > log 2>&1", tmp_path)
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert done.returncode == 0 and len(log.splitlines()) == 5, log
    assert log.replace("\n", "").isprintable()


BACKENDS = """
import os, sys, torch, pixelrnn
from pixelrnn import cli, completion, evaluation
from pixelrnn.cli import app, compose, setup

def draws():
    pixelrnn.figures.save_figure(pixelrnn.figures.draw_ordering("snake"), f"{case}/order.png")
    sys.argv = ["pixelrnn", "sample", "checkpoint=digits", "count=1", f"hydra.run.dir={case}"]
    cli.main()

def says():
    if case == "chosen":
        import matplotlib
        matplotlib.use("svg")
    pixelrnn.figures
    import matplotlib
    print(case, matplotlib.get_backend())

assert "matplotlib" not in sys.modules
unknown = {"0": "module://not_here.backend", "1": "no_such_backend", "2": "tkagg"}
for case, backend in {**unknown, "left": "pdf", "chosen": "pdf"}.items():
    if not os.fork():
        os.environ["MPLBACKEND"] = backend
        sys.exit(draws() if case in unknown else says())
    assert os.wait()[1] == 0, backend
"""


@pytest.mark.slow
def test_a_backend_that_a_notebook_left_in_the_environment_is_not_needed(tmp_path):
    """matplotlib itself refuses to be imported where the backend is unknown. One that works stays the user's.

    Each is tried in a process that is forked before matplotlib is imported.
    """
    done = shell(f'{sys.executable} -c "$CODE"', tmp_path, CODE=BACKENDS, DISPLAY=None)
    assert done.returncode == 0 and quiet(done.stderr.decode()), done.stderr
    assert {f"{case}/{file}.png" for case in range(3) for file in ("order", "samples")} <= files(tmp_path)
    assert b"left pdf\n" in done.stdout and b"chosen svg\n" in done.stdout


def test_what_the_encoding_lacks_is_replaced(tmp_path):
    done = shell("$PIXELRNN --help", tmp_path, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert (done.returncode, done.stderr) == (0, b"") and b"COMMAND [option=value ?]" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_table_in_another_encoding(tmp_path, encoding):
    done = shell(f"$PIXELRNN {' '.join(EVALUATE)}", tmp_path, PYTHONIOENCODING=encoding)
    says = "; -log p, ± one standard error".encode(encoding, "replace")
    assert done.returncode == 0 and says in done.stdout, done.stderr


@pytest.mark.slow
def test_a_name_that_the_locale_cannot_print_works(tmp_path):
    (tmp_path / STRANGE).mkdir()
    variables = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    latin = "$'gr\\xf6\\xdfe'"  # not UTF-8, as old archives have it
    done = shell(f"$PIXELRNN {' '.join(COMPLETE)} hydra.run.dir={latin}", tmp_path / STRANGE, **variables)
    assert done.returncode == 0 and b"gr??e/completions.json" in done.stdout, done.stderr
    assert os.listdir(os.fsencode(tmp_path / STRANGE)) == [b"gr\xf6\xdfe"]


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["größe 図", "a=b (1), [x]", """it's "x" {1}""", "1e3", " #$%&;~!"])
def test_any_name_of_a_file_will_do(call, tmp_path, monkeypatch, name):
    folder = tmp_path / STRANGE
    folder.mkdir()
    monkeypatch.chdir(folder)
    values, mask = np.random.default_rng(0).integers(0, 256, (8, 8)), np.zeros((8, 8))
    mask[5:] = 255
    picture(f"{name}.png", values)
    picture(f"{name}.mask.png", mask)
    files_given = [f"image={name}.png", f"mask={name}.mask.png"]
    code, _, err = call("complete", "checkpoint=digits", *files_given, "count=1", f"hydra.run.dir={name}/run")
    assert code == 0, err
    completed = np.asarray(Image.open(folder / name / "run" / "completions" / "000-000.png"))
    assert np.array_equal(completed[:5], values[:5]) and not np.array_equal(completed, values)
    assert json.loads((folder / name / "run" / "completions.json").read_text())["settings"]["image"] == f"{name}.png"


@pytest.mark.filterwarnings("error:Glyph")
def test_a_strange_folder_from_training_to_completion(call, tmp_path, monkeypatch):
    folder = tmp_path / STRANGE / "a=b (1), [x]"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    Path("größe 図").mkdir()
    for i, values in enumerate(np.random.default_rng(0).integers(0, 256, (12, 9, 11))):
        picture(f"größe 図/{i}, {i}.png", values)
    own = ["data=folder", "data.root=größe 図", "data.size=4", "data.levels=4"]
    code, out, err = call("train", *own, *SMALL, "hydra.run.dir=run ½, (1)")
    assert code == 0, err
    assert str(folder) in out
    code, _, err = call("train", *SMALL, "init=run ½, (1)", *own[:2], "training.resume=never")
    assert code == 0, err
    code, out, err = call("train", "training.epochs=2", "training.resume=run ½, (1)")
    assert code == 0 and "goes on from update" in out, err
    code, _, err = call("complete", "checkpoint=run ½, (1)", "root=größe 図", "limit=1", "count=1", "hydra.run.dir=c")
    assert code == 0 and "c/completions/000-000.png" in files("."), err
    code, _, err = call("train", "-m", "seed=0", *SMALL, "hydra.sweep.dir=größe, (2)")
    assert code == 0 and "größe, (2)/0/last/training.pt" in files("."), err


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("image='a=b.png'", "image='a=b.png'"),  # quoted for Hydra already
        (r"image=a\=b.png", r"image=a\=b.png"),
        ("image=photo.png", "image=photo.png"),
        ("image=./~photo.png", "image='./~photo.png'"),  # a file's own name
        ("checkpoint=null", "checkpoint=null"),
        ("checkpoint=", "checkpoint="),
        ("checkpoint=2024", "checkpoint='2024'"),  # a folder's name, not a number
        ("+init=a,b", "+init='a,b'"),
        ("checkpoint=[a,b/c]", "checkpoint=['a','b/c']"),
        ("checkpoint=[a b (1), größe=3]", "checkpoint=['a b (1)','größe=3']"),
        ("checkpoint=['a,b',\"c\"]", "checkpoint=['a,b',\"c\"]"),
        ("checkpoint=run[1]", "checkpoint='run[1]'"),
        ("checkpoint=[]", "checkpoint=[]"),
        ("hydra.run.dir=outputs/${seed}", "hydra.run.dir=outputs/${seed}"),
        ("ordering.transforms=[reverse]", "ordering.transforms=[reverse]"),
    ],
)
def test_what_hydra_reads_as_meant_is_left_to_it(given, kept):
    assert quoted(given) == kept


def test_a_sweep_over_names_stays_one():
    assert quoted("init=a,b", sweep=True) == "init=a,b"
    assert quoted("init=größe,b", sweep=True) == "init='größe','b'"
    assert quoted("checkpoint=a,[größe,b]", sweep=True) == "checkpoint='a',['größe','b']"


def test_a_leading_tilde_is_the_home_folder(call, tmp_path, monkeypatch):
    """A shell does not replace each one: bash leaves that of hydra.run.dir=~/run."""
    home, work = tmp_path / "home", tmp_path / "work"
    for folder in (home / "photos", home / "mine" / "ordering", work):
        folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    for i, values in enumerate(np.random.default_rng(0).integers(128, 256, (12, 8, 8))):
        picture(home / "photos" / f"{i}.png", values)
    (home / "mine" / "ordering" / "upwards.yaml").write_text("name: snake")
    shown = ["image=~/photos/0.png", "count=1"]
    one_mask = "occlusions=[{name:mask,path:~/photos/1.png},{name: mask, path: ~/photos/2.png}]"
    for line in (
        ["train", "data=folder", "data.root=~/photos", "data.levels=4", *SMALL, "hydra.run.dir=~/run"],
        ["train", *SMALL, "data.levels=4", "hydra.run.dir=~/run2"],
        ["train", "training.resume=~/run"],
        ["train", "-m", "init=~/run,~/run2", *SMALL, "training.resume=never", "hydra.sweep.dir=~/sweep"],
        ["train", "--config-dir=~/mine", "ordering=upwards", *SMALL, "hydra.run.dir=~/run3"],
        ["complete", "checkpoint=~/run", *shown, "mask=~/photos/1.png", "hydra.run.dir=~/a"],
        [
            "complete",
            "checkpoint=~/run",
            *shown,
            "occlusion=mask",
            "occlusion.path=~/photos/1.png",
            "hydra.run.dir=~/b",
        ],
        ["complete", "checkpoint=~/run", *shown, one_mask, "hydra.run.dir=~/c"],
        ["complete", "checkpoint=~/run", "root=~/photos", "limit=1", "count=1", "hydra.run.dir=~/d"],
    ):
        code, _, err = call(*line)
        assert code == 0, err
    assert not list(work.iterdir())
    assert (home / "sweep" / "1" / "last" / "training.pt").is_file()


def test_a_leading_tilde_in_python(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PIXELRNN_DATA", "~/data")
    picture(tmp_path / "photo.png", np.full((8, 8), 255))
    model = pixelrnn.load("digits")
    pixelrnn.save(model, "~/model")
    assert pixelrnn.load(Path("~/model")).levels == 17
    assert from_file("~/photo.png", model)[0].image.shape == (1, 8, 8)
    assert bool(read_mask("~/photo.png").all())
    pixelrnn.figures.save_figure(pixelrnn.figures.draw_ordering("snake"), "~/order.png")
    train(model, load({"name": "digits", "limit": 8}), Settings(epochs=1, samples=0), "~/run")
    assert data_folder(None) == tmp_path / "data" and data_folder("~/x") == tmp_path / "x"


def test_a_tilde_that_names_nobody_stays_as_it_is(call, monkeypatch):
    code, _, err = call("complete", "checkpoint=~nobody of this name/run")
    assert code == 2 and "checkpoint ~nobody of this name/run: no such folder" in err
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as where nobody knows the home folder
    monkeypatch.delenv("PIXELRNN_DATA", raising=False)
    assert data_folder(None).is_absolute()


def test_another_option_s_special_characters_get_a_line_that_says_how(call):
    code, _, err = call("complete", "checkpoint=digits", "strategy=größe")
    assert code == 2 and len(err.splitlines()) == 1 and "'strategy=\"größe\"'" in err
    code, _, err = call("complete", "checkpoint=digits", 'strategy="größe"')
    assert code == 2 and "strategy" in err and "größe" in err and "quoted" not in err


def test_python_m_pixelrnn_is_the_command(tmp_path):
    line = [sys.executable, "-m", "pixelrnn", "--help"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "usage: pixelrnn" in done.stdout, done.stderr


# --- the run's folder -------------------------------------------------------------------------------------------------


TOGETHER = """
import os, time
from pixelrnn import cli
from pixelrnn.cli import app, sample

begin = time.monotonic() + 0.2
for _ in range(4):
    if not os.fork():
        time.sleep(max(0.0, begin - time.monotonic()))
        cli.main()
codes = [os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(4)]
assert codes == [0] * 4, codes
"""


@pytest.mark.slow
def test_runs_that_start_in_the_same_second_have_their_own_folders(tmp_path):
    """Four processes, forked when everything has been imported, so that they come to their folders together."""
    line = [sys.executable, "-c", TOGETHER, "sample", "checkpoint=digits", "count=1", "threads=1"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    folders = {path.name for path in (tmp_path / "outputs" / "sample").iterdir()}
    assert len(folders) == 4
    assert set(re.findall(r"sample/(\S+)/samples\.json", done.stdout)) == folders
    assert all((tmp_path / "outputs" / "sample" / name / "samples.json").is_file() for name in folders)


@pytest.mark.slow
def test_two_processes_of_one_run_share_its_folder(tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    line = [*launcher, "-m", "pixelrnn", "sample", "checkpoint=digits", "count=2", "batch_size=1", "device=cpu"]
    subprocess.run(line, cwd=tmp_path, check=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"})
    (folder,) = (tmp_path / "outputs" / "sample").iterdir()
    assert len(list((folder / "samples").iterdir())) == 2


def test_sweeps_have_their_own_folders_too(call):
    for _ in range(2):
        code, _, err = call("train", "-m", "seed=0,1", *SMALL)
        assert code == 0, err
    first, second = sorted(path.name for path in Path("outputs/train").iterdir())
    saved = {path for path in files(".") if path.endswith("best/config.json")}
    assert saved == {f"outputs/train/{run}/{i}/best/config.json" for run in (first, second) for i in (0, 1)}


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "training.epoch=3"],
        ["train", "model.width=0"],
        ["train", "-m", "seed=0,1", "training.epoch=3"],
        ["train", "-m", "ordering=rastr,snake"],
        ["train", "-m", "model.width=0,-1"],
        ["train", "--cfg", "job"],
        ["train", "--help"],
        ["complete", "checkpoint=nowhere"],
        ["complete", "checkpoint=digits", "hydra.run.dir=a/b/c", "count=0"],
        ["models"],
    ],
    ids="-".join,
)
def test_no_empty_folder_is_left(call, tmp_path, arguments):
    call(*arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["serve", "port=0"], ["models", "name=nothing"]], ids=["serve", "models"])
def test_the_folder_it_was_called_in_stays(call, tmp_path, arguments):
    """These two write nothing, and their run folder is the working folder: here an empty one."""
    code, _, err = call(*arguments)
    assert code == 2 and len(err.splitlines()) == 1
    assert tmp_path.is_dir() and not list(tmp_path.iterdir())


def test_folders_that_were_there_are_left_as_they_were(call, tmp_path):
    (tmp_path / "outputs" / "complete").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").touch()
    before = sorted(tmp_path.rglob("*"))
    for arguments in (["hydra.run.dir=mine"], ["hydra.run.dir=mine/below"], []):
        code, _, _ = call("complete", "checkpoint=digits", "order=9", *arguments)
        assert code == 2 and sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["hydra.run.dir=file"], "file: Not a directory"),
        (["hydra.run.dir=file/below"], "file/below: Not a directory"),
        (["hydra.run.dir=/proc/run"], "/proc/run: No such file"),
        (["hydra.run.dir=/proc/self/fdinfo/a"], "/proc/self/fdinfo/a"),
        ([f"hydra.run.dir={'x' * 300}"], "File name too long"),
        (["hydra.run.dir=taken"], "taken: Not a directory"),
        (["-m", "seed=0,1", "hydra.sweep.dir=file"], "file/0: Not a directory"),
        (["-m", "seed=0,1", "hydra.sweep.dir=file/b, c"], "file/b, c/0: Not a directory; choose"),
    ],
    ids=lambda value: "-".join(value)[:40] if isinstance(value, list) else "",
)
def test_a_folder_that_cannot_be_made_gets_one_line(call, tmp_path, arguments, says):
    (tmp_path / "file").touch()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / ".hydra").touch()
    before = sorted(tmp_path.rglob("*"))
    code, _, err = call("complete", *arguments, "checkpoint=digits", "limit=1", "count=1")
    assert code == 2 and len(err.splitlines()) == 1, err
    assert says in err and "hydra.run.dir=<folder>" in err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_in_the_place_of_outputs_gets_one_line(call, tmp_path):
    (tmp_path / "outputs").touch()
    code, _, err = call("sample", "checkpoint=digits", "count=1")
    assert code == 2 and len(err.splitlines()) == 1 and "Not a directory" in err


def test_a_full_or_read_only_device_gets_one_line(call, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device", "outputs/sample/now")

    monkeypatch.setattr(Path, "mkdir", full)
    code, _, err = call("sample", "checkpoint=digits", "count=1")
    assert code == 2 and len(err.splitlines()) == 1 and "No space left on device" in err
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_at_work_is_not_the_folder_s(call, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise OSError(5, "a bug")

    monkeypatch.setattr("pixelrnn.cli.verify.verify", broken)
    with pytest.raises(OSError, match="a bug"):
        call("verify", "checkpoint=digits")


# --- the network ------------------------------------------------------------------------------------------------------

OFFLINE = """
import socket, sys

def refuse(*_, **__):
    raise SystemExit("the network is asked for")

for name in ("connect", "connect_ex", "sendto", "bind"):
    setattr(socket.socket, name, refuse)
socket.getaddrinfo = socket.create_connection = refuse
from pixelrnn import cli
for line in sys.argv[1:]:
    sys.argv = ["pixelrnn", *line.split()]
    try:
        cli.main()
    except SystemExit as stop:
        assert not stop.code, (line, stop.code)
print("offline")
"""


def test_nothing_asks_for_the_network(tmp_path):
    line = "threads=1 count=1"
    commands = [
        *("models", f"complete checkpoint=digits limit=1 {line}", f"sample checkpoint=digits {line}"),
        *("verify checkpoint=digits", f"train data=digits {' '.join(SMALL)}"),
    ]
    run = [sys.executable, "-c", OFFLINE, *commands]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout.endswith("offline\n"), done.stderr


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No data on this machine, and no host can be found."""

    def refuse(*_, **__):
        raise socket.gaierror("no network")

    monkeypatch.setenv("PIXELRNN_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("name", ["mnist_binary", "mnist_grey", "cifar10"])
def test_without_its_data_a_bundled_model_has_its_examples(call, offline, name):
    few = ["limit=1", "threads=1", "hydra.run.dir=out"]
    code, out, err = call("complete", f"checkpoint={name}", "count=1", "strategy=ancestral", *few)
    assert code == 0, err
    assert f"the 16 examples that ship with {name} are used instead of its test data" in out
    assert "out/completions/000-000.png" in files(".")
    for asked in (["data=mnist"], ["root=nowhere"]):
        code, _, err = call("complete", f"checkpoint={name}", *asked, *few)
        assert code == 2 and "examples" not in err


def test_without_its_data_an_ensemble_has_the_examples_of_its_bundled_member(call, offline):
    pixelrnn.save(pixelrnn.load("mnist_binary_raster"), "mine")
    both = "checkpoint=[mine,mnist_binary_raster]"
    few = ["limit=1", "threads=1", "hydra.run.dir=out"]
    code, out, err = call("complete", both, "count=1", "strategy=ancestral", *few)
    assert code == 0, err
    says = "the test data of [mine,mnist_binary_raster] are not on this machine and could not be downloaded; the 16 examples"
    assert f"{says} that ship with mnist_binary_raster are used" in out
    code, out, err = call("evaluate", both, "occlusion=half", "completions=0", *few)
    assert code == 0 and "examples of mnist_binary_raster; test part, 1 image" in out, err
    code, _, err = call("evaluate", "checkpoint=[mine,mine]", *few)
    assert code == 2 and "could not be downloaded" in err


def test_an_evaluation_of_examples_says_how_many_they_are(call, offline):
    line = ["evaluate", "checkpoint=mnist_binary", "occlusion=half", "completions=0", "hydra.run.dir=e"]
    code, out, err = call(*line)
    assert code == 0, err
    assert "examples of mnist_binary; test part, 16 images" in out
    assert json.loads(Path("e/evaluation.json").read_text())["results"]["all"]["images"] == 16
    code, _, err = call(*line, "part=train")
    assert code == 2 and "could not be downloaded" in err


def test_damaged_data_are_not_replaced_by_examples(call, offline, tmp_path):
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            (raw / f"{part}-{kind}-ubyte").write_text("0 1")
    code, _, err = call("complete", "limit=1", "count=1")
    assert code == 2 and "MNIST" in err and "damaged" in err, err


# --- a wheel ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_wheel_works_without_the_source_tree(tmp_path):
    """Built as `pip install` does it, which needs hatchling: from PyPI, if this Python has none."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    built = subprocess.run([*pip, "wheel", ROOT, "--no-deps", "-w", tmp_path], capture_output=True, text=True)
    if "hatchling" in built.stderr:
        pytest.skip("needs hatchling, and PyPI cannot be reached")
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in [*ROOT.glob("conf/**/*.yaml"), *ROOT.glob("pixelrnn/**/*")]:
        if path.is_file() and "__pycache__" not in path.parts:
            inside = str(path.relative_to(ROOT))
            assert inside.replace("conf/", "pixelrnn/conf/", 1) in names or inside in names, inside
    place, work = tmp_path / STRANGE, tmp_path / "work"
    work.mkdir()
    subprocess.run([*pip, "install", wheel, "--no-deps", "--target", place], check=True)

    def installed(*arguments):
        """-P and a path in front of the virtual environment's: not the checkout."""
        run = [sys.executable, "-P", "-m", "pixelrnn", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(place)}
        done = subprocess.run(run, cwd=work, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0 and quiet(done.stderr), done.stderr
        return done.stdout

    where = [sys.executable, "-P", "-c", "import pixelrnn; print(pixelrnn.__file__)"]
    found = subprocess.run(
        where, cwd=work, env={**os.environ, "PYTHONPATH": str(place)}, capture_output=True, text=True
    )
    assert found.stdout.strip() == str(place / "pixelrnn" / "__init__.py")
    assert "train a model" in installed("--help") and "checkpoint=<name>" in installed("models")
    assert "hilbert" in installed("train", "--help")
    assert "written" in installed("complete", "checkpoint=digits", "limit=1")
    assert "pictures" in installed("train", "experiment=demo", "training.epochs=1", "data.limit=64")
