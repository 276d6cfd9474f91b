"""What is imported when, and imports point one way: the core needs no Hydra, Gradio, matplotlib or torchvision."""

import ast
import inspect
import resource
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import pixelrnn

PACKAGE = Path(__file__).parents[1] / "pixelrnn"
HEAVY = ("hydra", "omegaconf", "gradio", "matplotlib", "torchvision", "sklearn", "skimage", "cv2")
# A module may import from its own row and the rows above it.
ROWS = [
    {"errors", "distributed"},
    {"options", "products", "pixels", "files"},
    {"ordering", "occlusion", "cell", "likelihood", "pretrained"},
    {"datasets"},
    {"model"},
    {"checkpoint", "completion"},
    {"evaluation", "uncertainty"},
    {"figures", "own_picture"},
    {"training"},
    {"ui"},
    {"cli"},
    {"__main__"},
]
APART = [{"ordering", "occlusion", "cell", "likelihood"}]  # families know none of each other


LEAN = f"""
import sys, pixelrnn
from pixelrnn import cli
[getattr(pixelrnn, name) for name in pixelrnn.__all__]
print([name for name in {HEAVY} if name in sys.modules])
pixelrnn.figures.draw_ordering("hilbert")
sys.argv[1:] = "complete checkpoint=digits limit=1 count=2".split()
try:
    cli.main()
except SystemExit as stop:
    print(stop.code, [name for name in ("torch._dynamo", "sklearn", "skimage") if name in sys.modules])
"""


def test_the_core_needs_no_heavy_library_and_completing_two_digits_no_compiler_and_no_scikit_learn(tmp_path):
    done = subprocess.run([sys.executable, "-c", LEAN], cwd=tmp_path, capture_output=True, text=True, check=True)
    first, *_, last = done.stdout.splitlines()
    assert (first, last) == ("[]", "0 []")


ANSWER = """
import sys
from pixelrnn import cli
for line in sys.argv[1:]:
    sys.argv = ["pixelrnn", *line.split()]
    try:
        cli.main()
    except SystemExit as stop:
        print("CODE", stop.code)
print("IMPORTED", *{name.split(".")[0] for name in sys.modules})
"""


def answers(cwd, *lines):
    """The exit codes of these command lines, and what was imported for them."""
    done = subprocess.run(
        [sys.executable, "-c", ANSWER, *lines], cwd=cwd, capture_output=True, text=True, check=True, timeout=300
    )
    codes = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("CODE ")]
    return codes, set(done.stdout.splitlines()[-1].split()[1:])


def test_help_and_completion_import_neither_hydra_nor_torch(tmp_path):
    lines = ["--help", "--version", "train --help", "complete occlusion=box --help", "nonsense", "-sc query=bash"]
    codes, imported = answers(tmp_path, *lines)
    assert codes == [0, 0, 0, 0, 2, 0] and imported.isdisjoint({"torch", "hydra", "omegaconf", "numpy"})


def test_mistakes_are_found_without_torch(tmp_path):
    mistakes = [
        "train trainng.epochs=3",
        "train ordering=hilbrt",
        "train training.epochs=many",
        "train model.width=wide",
        "train training.epochs=0",
        "train training.bptt=cut",
    ]
    mistakes += ["complete count=0", "complete strategy=ancestrl", "complete image=nowhere.png occlusion=half"]
    mistakes += [
        "complete checkpoint=digits mask=nowhere.png",
        "sample checkpoint=digit",
        "evaluate",
        "train --epochs 5",
    ]
    codes, imported = answers(tmp_path, *mistakes, "train --cfg job")
    assert codes == [2] * len(mistakes) + [0] and imported.isdisjoint({"torch", "numpy"})


def test_help_is_quick():
    """At most a fifth of the CPU time of importing torch."""

    def seconds(*arguments):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    assert 5 * seconds("-m", "pixelrnn", "--help") <= seconds("-c", "import torch")


def test_public_names_are_found_when_they_are_first_used():
    import pixelrnn

    assert set(pixelrnn.__all__) <= set(dir(pixelrnn))
    for name in (*pixelrnn.__all__, "figures", "uncertainty"):
        assert getattr(pixelrnn, name).__name__.rpartition(".")[2] == name
    assert pixelrnn.ordering.build("raster", 2, 2).tolist() == [0, 1, 2, 3], "packages too"
    with pytest.raises(AttributeError, match="no attribute 'complet'"):
        pixelrnn.complet  # noqa: B018


def _imported(path):
    """First names below pixelrnn that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "pixelrnn":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pixelrnn."):
            yield node.module.split(".")[1]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    if path == PACKAGE / "__init__.py":
        return
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    row = next(i for i, names in enumerate(ROWS) if own in names)
    below = set().union(*ROWS[: row + 1])
    for name in _imported(path):
        if name == "__version__":
            continue
        assert name in below, f"{own} imports {name}"
        assert not any(own in family and name in family and own != name for family in APART), f"{own} imports {name}"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_libraries_stay_in_their_place(path):
    """Hydra in cli/ only, matplotlib in figures/ only, Gradio in ui/ only; torchvision and scikit-learn inside functions only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    allowed = {"cli": {"hydra", "omegaconf"}, "figures": {"matplotlib"}, "ui": {"gradio"}}.get(
        path.relative_to(PACKAGE).parts[0], set()
    )
    for node in tree.body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            top = name.split(".")[0]
            assert top not in HEAVY or top in allowed, f"{path.name} imports {name} when it is imported"


@pytest.mark.parametrize("name", [name for name in pixelrnn.__all__ if inspect.isfunction(getattr(pixelrnn, name))])
def test_options_of_public_functions_are_keywords(name):
    parameters = inspect.signature(getattr(pixelrnn, name)).parameters.values()
    by_place = [p.name for p in parameters if p.default is not p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    assert len(by_place) <= 1 and "temperature" not in by_place and "seed" not in by_place


def test_the_package_says_that_it_has_types():
    assert (PACKAGE / "py.typed").read_bytes() == b""


@pytest.mark.parametrize("name", ["datasets", "evaluation", "figures", "occlusion", "ordering", "uncertainty"])
def test_a_public_package_is_the_same_however_it_is_imported(name):
    assert import_module(f"pixelrnn.{name}") is getattr(pixelrnn, name)
    assert name in dir(pixelrnn)
