"""Writes docs/api.md from the signatures and docstrings: python docs/make_api.py; with --check, exits with 1 if it is old.

Signatures stand as in the source, so that the page is the same in every Python; links name files and no lines, so that
it changes only with what it says.
"""

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pixelrnn
from pixelrnn import Model

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "api.md"
# Module, what of it (None: its __all__, or else all public functions and classes that are its own), and what it is for.
SECTIONS: list[tuple[str, list[str] | None, str]] = [
    ("pixelrnn", None, "Models, completing, sampling, loading and saving."),
    ("pixelrnn.ordering", ["build"], "Orders by name."),
    ("pixelrnn.occlusion", ["build"], "Hidden regions by name."),
    ("pixelrnn.datasets", ["load"], "Data sets by name."),
    ("pixelrnn.figures", None, "Pictures, as figures of matplotlib."),
    ("pixelrnn.uncertainty", None, "What a set of completions leaves open."),
    ("pixelrnn.evaluation", None, "Likelihoods over many images, with standard errors."),
]
INTRO = (
    "# Python API\n\n*Written by `python docs/make_api.py` from the signatures and docstrings. Levels are uint8, from 0 to "
    "levels - 1. `Images` are a tensor, a NumPy array, a PIL picture or a list of PIL pictures. Mistakes raise "
    "`pixelrnn.UserError`, a `ValueError`, in one line. First steps: [quick start](quick_start.md), then "
    "[from Python](python.md).*\n"
)


def page() -> str:
    index = [f"- [{name}](#{_slug(name)}): {words}" for name, _, words in SECTIONS]
    return "\n".join([INTRO, *index, "", *(line for section in SECTIONS for line in _section(*section))]).strip() + "\n"


def _section(path: str, names: list[str] | None, words: str) -> list[str]:
    lines, name = [f"## {path}", "", words, ""], path.partition(".")[2]
    module = getattr(__import__("pixelrnn", fromlist=[name]), name) if name else pixelrnn
    for name in names or getattr(module, "__all__", None) or _own(module):
        member = getattr(module, name)
        lines += [f"### {path}.{name}", "", *_described(member, name, path)]
        for key, method in _methods(member) if inspect.isclass(member) else ():
            lines += [f"#### {name}.{key}", "", *_described(method, key)]
    return lines


def _own(module: ModuleType) -> list[str]:
    members = [member for name, member in vars(module).items() if name[0] != "_" and callable(member)]
    return [member.__name__ for member in members if getattr(member, "__module__", "") == module.__name__]


def _methods(kind: type) -> list[tuple[str, Any]]:
    """The public methods and properties that a class itself documents; of models, those of Model alone."""
    if kind is not Model and issubclass(kind, Model):
        return []
    found = [
        (key, getattr(value, "fget", None) or getattr(value, "__func__", value)) for key, value in vars(kind).items()
    ]
    return [(key, f) for key, f in found if inspect.isfunction(f) and f.__doc__ and key[0] != "_"]


def _described(member: Any, name: str, within: str = "") -> list[str]:
    """Signature, text and source of a function or class; of a method, signature and text."""
    lines = ["```python", _signature(member, name), "```", "", *_text(member)]
    base = member.__bases__[0] if inspect.isclass(member) else None
    if base and base is not Model and issubclass(base, Model):  # "otherwise like …"
        first, *rest = _text(base)
        lines += [f"{base.__name__}: {first}", *rest]
    if within:
        source = Path(inspect.getsourcefile(member) or "").relative_to(ROOT).as_posix()
        lines += [f"[`{source}`](../{source})", ""]
    return lines


def _signature(member: Any, name: str) -> str:
    """As the source has it, an argument a line where it is long; of a class that of __init__, of a dataclass its fields."""
    if inspect.isclass(member) and issubclass(member, Exception):
        return f"class {name}({member.__bases__[0].__name__})"
    if inspect.isclass(member) and "__signature__" in vars(member):  # a model that is made from options
        lines = [line for kind in reversed(member.Options.__mro__[:-1]) for line in _fields(kind)]
        own = {
            line.partition(":")[0]: line for line in lines
        }  # an option that a class gives another default stands once
        options = [re.sub(r"(?=  #)|$", ",", line, count=1) for line in own.values()]
        return "\n".join([f"{name}(", "    shape: Sequence[int],", "    levels: int,", "    *,", *options, ")"])
    made = inspect.isclass(member) and not dataclasses.is_dataclass(member)  # whose __init__ no source shows
    source = textwrap.dedent(inspect.getsource(member.__init__ if made else member))
    tree = ast.parse(source).body[0]
    if isinstance(tree, ast.ClassDef):
        return "\n".join([f"class {name}:", *_fields(member)])
    assert isinstance(tree, ast.FunctionDef)
    returns = f" -> {ast.unparse(tree.returns)}" if tree.returns and tree.name != "__init__" else ""
    if any(ast.unparse(decorator) == "property" for decorator in tree.decorator_list):
        return f"{name}{returns}"
    arguments = [argument for argument in _arguments(tree.args) if argument not in ("self", "cls")]
    line = f"{name}({', '.join(arguments)}){returns}"
    line = line if len(line) <= 100 else f"{name}(\n    " + ",\n    ".join(arguments) + f",\n){returns}"
    return line.replace("'", '"')


def _arguments(given: ast.arguments) -> list[str]:
    """Each argument as the source has it, and the signs for those that are keywords."""
    defaults = [None] * (len(given.args) - len(given.defaults)) + given.defaults
    found = [_argument(*pair) for pair in zip(given.args, defaults, strict=True)]
    keywords = [_argument(*pair) for pair in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    found += ["*", *keywords] if keywords else []
    return [*found, f"**{_argument(given.kwarg)}"] if given.kwarg else found


def _argument(given: ast.arg, default: ast.expr | None = None) -> str:
    annotation = f": {ast.unparse(given.annotation)}" if given.annotation else ""
    return f"{given.arg}{annotation}" + (f" = {ast.unparse(default)}" if default else "")


def _fields(kind: type) -> list[str]:
    """The lines of a dataclass's fields, with their comments."""
    source = textwrap.dedent(inspect.getsource(kind))
    fields = [node for node in ast.parse(source).body[0].body if isinstance(node, ast.AnnAssign)]  # type: ignore[attr-defined]
    return source.splitlines()[fields[0].lineno - 1 : fields[-1].end_lineno]


def _text(member: Any) -> list[str]:
    """The docstring's paragraphs, each in one line, with what Markdown would read as its own kept as it is."""
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(member.__doc__ or ""))
    return [line for paragraph in paragraphs for line in (_plain(" ".join(paragraph.split())), "")]


def _plain(text: str) -> str:
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if i % 2 else re.sub(r"([<*$\[\]])", r"\\\1", part) for i, part in enumerate(parts))


def _slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


if __name__ == "__main__":
    written = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(written, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != written:
        sys.exit("docs/api.md is not up to date: python docs/make_api.py")
