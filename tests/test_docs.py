"""The pages: their links lead somewhere, their commands and options exist, their Python is Python, and api.md is new."""

import ast
import importlib.util
import inspect
import json
import re
import shlex
from pathlib import Path
from urllib.parse import unquote

import hydra
import numpy as np
import pytest
import skimage
import torch
from conftest import random_images, tiny_model
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

import pixelrnn
from pixelrnn.cli import COMMANDS
from pixelrnn.occlusion import STANDARD, build
from pixelrnn.pretrained import facts as card

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
CARDS = sorted((ROOT / "pixelrnn" / "pretrained").glob("*/README.md"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.M | re.S)
LINK = re.compile(r"\]\(([^)\s]+)\)|<(?:a|img)[^>]* (?:href|src)=\"([^\"]+)\"")


def name(path):
    return path.relative_to(ROOT).as_posix()


def text(path):
    """A page's Markdown; of a notebook, that of its cells of words."""
    whole = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return whole
    return "\n\n".join(
        "".join(cell["source"]) for cell in json.loads(whole)["cells"] if cell["cell_type"] == "markdown"
    )


def blocks(path, kind):
    return [code for _, of_kind, code in BLOCK.findall(text(path)) if of_kind == kind]


def words(path):
    """The Markdown without what stands in blocks and spans of code."""
    return re.sub(r"(`+)(?!`).+?\1", "", BLOCK.sub("", text(path)))


# --- links ------------------------------------------------------------------------------------------------------------


def anchors(path):
    """What a Markdown page's headings are called in links, as GitHub makes it of them."""
    found, seen = set(), {}
    for heading in re.findall(r"^#{1,6} +(.+?) *$", BLOCK.sub("", text(path)), re.M):
        slug = re.sub(r"[^\w\- ]", "", re.sub(r"[`*\\]", "", heading).lower()).replace(" ", "-")
        count = seen[slug] = seen.get(slug, -1) + 1
        found.add(f"{slug}-{count}" if count else slug)
    return found


@pytest.mark.parametrize("path", [*PAGES, *CARDS, *NOTEBOOKS], ids=name)
def test_links_lead_somewhere(path):
    for link in (unquote(one or other) for one, other in LINK.findall(words(path))):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (path.parent / place).resolve() if place else path
        assert target.is_relative_to(ROOT) and target.exists(), link
        assert not anchor or anchor in anchors(target), f"{link}: the headings there are {sorted(anchors(target))}"


def test_the_index_names_every_page():
    index = text(ROOT / "docs" / "README.md")
    assert all(f"]({page.name})" in index for page in (ROOT / "docs").glob("*.md") if page.name != "README.md")


# --- notebooks --------------------------------------------------------------------------------------------------------


def test_two_pages_name_every_notebook_in_its_order():
    for page in (ROOT / "README.md", ROOT / "docs" / "README.md"):
        named = [Path(one).name for one, _ in LINK.findall(text(page)) if one.endswith(".ipynb")]
        assert named == [path.name for path in NOTEBOOKS]
    assert [int(path.name[0]) for path in NOTEBOOKS] == list(range(1, len(NOTEBOOKS) + 1))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_a_notebook_installs_the_package_first_and_is_stored_with_its_outputs(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    codes = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    first = "".join(codes[0]["source"])
    assert first.startswith("try:\n    import pixelrnn\nexcept ImportError:") and "%pip install" in first
    assert max(len(cell["source"]) for cell in codes) <= 25, "lines of code in one cell"
    assert [cell["execution_count"] for cell in codes] == list(range(1, len(codes) + 1)), "run it from top to bottom"
    assert path.stat().st_size < 300_000
    outputs = [output for cell in codes for output in cell["outputs"]]
    assert not any(output.get("name") == "stderr" or output["output_type"] == "error" for output in outputs)


# --- commands ---------------------------------------------------------------------------------------------------------


def commands(path):
    """(command, its arguments) of every `pixelrnn …` and torchrun line in code."""
    lines = [line for kind in ("", "sh", "bash") for code in blocks(path, kind) for line in joined(code)]
    lines += re.findall(r"`([^`\n]+)`", BLOCK.sub("", text(path)))
    for line in lines:
        match = re.match(r"(?:torchrun .* -m pixelrnn\.cli|(?:\.venv/bin/)?pixelrnn) +([^-].*)", line.strip())
        if match:
            assert "{" not in re.sub(r"'[^']*'|\"[^\"]*\"|#.*", "", line), f"a shell expands the braces: {line}"
            command, *arguments = shlex.split(match[1], comments=True)
            yield command, arguments


def test_the_quick_start_shows_what_is_printed(call):
    _, out, err = call("complete", "checkpoint=digits", "occlusion=strokes", "limit=1", "count=1")
    shown = re.search(r"^strategy .*$", text(ROOT / "docs" / "quick_start.md"), re.M)[0]
    assert shown in out, err


SUBMITIT = importlib.util.find_spec("submitit")  # it comes with the extra cluster
composed = set()  # what is known to be right: several pages have the same lines


def joined(code):
    return re.sub(r" *\\\n *", " ", code).splitlines()


def test_the_photograph_of_make_demo_comes_with_scikit_image():
    name = re.search(r"^PHOTO = .*/site-packages/(\S+)$", text(ROOT / "Makefile"), re.M)[1]
    assert (Path(skimage.__file__).parents[1] / name).is_file()


@pytest.fixture(scope="module")
def own_folders(tmp_path_factory):
    """Every yaml block that opens with the name of its file, written to that file."""
    folder = tmp_path_factory.mktemp("own")
    for path in PAGES:
        for code in blocks(path, "yaml"):
            named = re.search(r"^# (\S+\.yaml)$", code, re.M)
            assert named, f"{name(path)}: a block of yaml says its file in a comment"
            file = folder / named[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(code, encoding="utf-8")
    return folder


def overrides_of(arguments, own_folders):
    """The arguments as hydra.compose takes them: without flags, of a sweep the first values, and without what is left
    open ("…"), of which the option's name alone is looked at."""
    if not SUBMITIT and any(argument.startswith("hydra/launcher=submitit") for argument in arguments):
        arguments = [argument for argument in arguments if not re.match("hydra[./]launcher", argument)]
    sweep, arguments, found = "-m" in arguments, iter(arguments), []
    for argument in arguments:
        key, _, value = argument.partition("=")
        if argument == "--config-dir":
            own = own_folders / next(arguments)
            assert own.is_dir(), f"--config-dir {own.name}: no page has a yaml file of this folder"
            found.append(f"hydra.searchpath=[file://{own}]")
        elif argument == "--cfg":
            next(arguments)
        elif argument == "…" or argument.startswith("-") or (not key.isidentifier() and not value):  # compare's folders
            continue
        elif "…" in value or value.startswith("<"):
            found += [] if (CONF / key).is_dir() else [f"{key}=null"]
        elif sweep and not value.startswith("["):
            found.append(f"{key}={value.split(',')[0]}")
        else:
            found.append(argument)
    return found


@pytest.mark.parametrize("path", [*PAGES, *CARDS], ids=name)
def test_commands_and_options_exist(path, own_folders):
    lines = {}
    for command, arguments in commands(path):
        assert command in COMMANDS, f"pixelrnn {command}"
        key = (command, tuple(overrides_of(arguments, own_folders)))
        if key not in composed:
            lines[key] = arguments
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        for (command, overrides), arguments in lines.items():
            try:
                hydra.compose(command, list(overrides))
            except Exception as error:
                pytest.fail(f"pixelrnn {command} {' '.join(arguments)}: {error}")
            composed.add((command, overrides))


GROUPS = ("data", "model", "ordering", "likelihood", "occlusion", "experiment")


@pytest.mark.parametrize("path", [path for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))], ids=name)
def test_the_table_of_members_is_complete(path):
    section = text(ROOT / "docs" / "configuration.md").split(f"\n### {path.parent.name}\n")[1].split("\n###")[0]
    row = next((row for row in section.splitlines() if row.startswith(f"| `{path.stem}` |")), "")
    assert row, f"docs/configuration.md has no {path.parent.name} {path.stem}"
    if path.parent.name == "experiment":
        return
    for key, value in OmegaConf.load(path).items():
        if key not in ("name", "defaults", "transforms"):
            written = {"None": "null", "True": "true", "False": "false", "": "''"}.get(str(value), str(value))
            assert f"`{key}={written}`" in row


# --- Python -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_python_blocks_parse(path):
    for code in blocks(path, "python"):
        if path.name != "api.md":  # signatures
            ast.parse(code)


@pytest.mark.parametrize("path", [*PAGES, *CARDS], ids=name)
def test_names_of_the_package_in_python_blocks_exist(path):
    """What a block imports from it, and what it takes from its modules: distributed.exit_process."""
    for code in blocks(path, "python") if path.name != "api.md" else ():
        imported = {}
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pixelrnn":
                module = importlib.import_module(node.module)
                imported |= {alias.asname or alias.name: _member(module, alias.name) for alias in node.names}
            elif isinstance(node, ast.Import):
                imported |= {n.name: importlib.import_module(n.name) for n in node.names if n.name == "pixelrnn"}
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Attribute):
                *owners, last = ast.unparse(node).split(".")
                if all(owner.isidentifier() for owner in owners) and owners[0] in imported:
                    owner = imported[owners[0]]
                    for between in owners[1:]:
                        owner = _member(owner, between) if inspect.ismodule(owner) else None
                    assert not inspect.ismodule(owner) or _member(owner, last) is not None


def _member(module, name):
    assert hasattr(module, name) or importlib.util.find_spec(f"{module.__name__}.{name}"), f"{module.__name__}.{name}"
    return getattr(module, name) if hasattr(module, name) else importlib.import_module(f"{module.__name__}.{name}")


@pytest.mark.parametrize(
    ("page", "written"), [("quick_start.md", "completions.png"), ("python.md", "mine/config.json")]
)
def test_the_python_of_a_page_runs(page, written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in blocks(ROOT / "docs" / page, "python"):
        exec(compile(code, page, "exec"), names)
    assert Path(written).stat().st_size > 100


def test_the_benchmark_page_shows_the_figures_of_its_file(monkeypatch, capsys):
    """And the file has the masks of today and the figures of its model's card."""
    page, path = ROOT / "docs" / "benchmark.md", ROOT / "docs" / "benchmark.npz"
    monkeypatch.chdir(ROOT)
    exec(compile(blocks(page, "python")[0], page.name, "exec"), {})
    assert capsys.readouterr().out == blocks(page, "")[0]
    ours = np.load(path, allow_pickle=False)
    assert path.stat().st_size < 1.5 * 2**20 and str(ours["images_sha256"]) in text(page)
    specs = {"all": {"name": "all"}, **STANDARD}
    assert ours["names"].tolist() == list(specs) and set(ours["how"]) == {"exact"}
    for spec, mask in zip(specs.values(), ours["hidden"], strict=True):
        assert (np.unpackbits(mask).reshape(28, 28) == build(spec, 28, 28).numpy()).all(), spec
    told = card(str(ours["checkpoint"]))["evaluation"]
    for name, log_probs in zip(ours["names"], ours["log_probs"], strict=True):
        assert told[name]["images"] == len(log_probs)
        assert told[name]["nats"] == pytest.approx(-log_probs.mean(dtype=float), abs=0.01)


def test_the_python_of_the_benchmark_page_compares_two_models(call, capsys, tmp_path):
    images = random_images(20, (1, 4, 4), 2)
    np.savez("images.npz", x_train=images, x_valid=images, x_test=images)
    np.savetxt("binarized_mnist_test.amat", images.flatten(1), fmt="%d")
    for seed, folder in enumerate(("docs", "other")):
        pixelrnn.save(tiny_model((1, 4, 4), seed=seed).float(), f"model{seed}")
        words = ["data=array", "data.root=images.npz", "completions=0", f"hydra.run.dir={folder}"]
        code, _, err = call("evaluate", f"checkpoint=model{seed}", *words)
        assert code == 0, err
    Path("docs/per_image.npz").rename("docs/benchmark.npz")
    ours, other = (json.loads(Path(f"{folder}/evaluation.json").read_text())["results"] for folder in ("docs", "other"))
    *codes, comparing = blocks(ROOT / "docs" / "benchmark.md", "python")
    names = {}
    for code in codes:
        exec(compile(code, "benchmark.md", "exec"), names)
    capsys.readouterr()

    def differences():
        exec(compile(comparing, "benchmark.md", "exec"), names)
        found = re.findall(r"^(.*?) +([+-][\d.]+) ± ([\d.]+) nats, (exact|fill)$", capsys.readouterr().out, re.M)
        return {name: pytest.approx((float(mean), float(error)), abs=0.006) for name, mean, error, _ in found}

    coin = {k: (row["dimensions"] * np.log(2) - row["nats"], row["nats_error"]) for k, row in ours.items()}
    assert differences() == coin
    Path("other/per_image.npz").rename("mine.npz")
    paired = np.load("docs/benchmark.npz")["log_probs"] - np.load("mine.npz")["log_probs"]
    errors = torch.from_numpy(paired).std(1) / 20**0.5
    wanted = zip(ours, errors.tolist(), strict=True)
    assert differences() == {k: (other[k]["nats"] - ours[k]["nats"], error) for k, error in wanted}


def test_api_is_up_to_date():
    spec = importlib.util.spec_from_file_location("make_api", ROOT / "docs" / "make_api.py")
    make_api = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_api)
    assert make_api.PAGE.read_text(encoding="utf-8") == make_api.page(), "python docs/make_api.py"


def test_tests_that_a_page_names_are_there():
    for page in PAGES:
        for file, test in re.findall(r"`(tests/\w+\.py)::(\w+)`", text(page)):
            assert f"def {test}(" in text(ROOT / file), f"{page.name}: {file}::{test}"
