"""The library's core imports without Hydra, Gradio, matplotlib and torchvision; imports point one way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "pixelrnn"
HEAVY = ("hydra", "omegaconf", "gradio", "matplotlib", "torchvision", "sklearn", "skimage")
# A module may import from its own row and the rows above it.
ROWS = [
    {"errors", "notes", "distributed"},
    {"registry", "products", "pixels", "files"},
    {"ordering", "occlusion", "cell", "likelihood", "pretrained"},
    {"data"},
    {"model"},
    {"checkpoint", "completion"},
    {"evaluation"},
    {"figures", "own_picture"},
    {"training"},
    {"ui"},
    {"cli"},
    {"__main__"},
]
APART = [{"ordering", "occlusion", "cell", "likelihood"}]  # families know none of each other


def test_the_core_imports_without_heavy_libraries():
    code = (
        f"import sys, pixelrnn; print([name for name in {HEAVY} if name in sys.modules]); "
        "pixelrnn.figures.draw_ordering('hilbert')"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


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
