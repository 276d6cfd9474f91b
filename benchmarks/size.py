"""python -m benchmarks.size [folder]: measures the size of the package, and how much of it one command runs.

The folder holds pixelrnn/. By default it is this repository; give the checkout of another commit to compare.
"""

import ast
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

LONG, MANY = 60, 8  # the most lines of a function and parameters of a signature
COMMAND = "complete checkpoint=digits limit=1 count=2"
# Runs a command, and prints each function that it enters: file, line, name, and whether a module was being imported. The
# bodies of modules and classes do not count; lambdas and comprehensions do.
TRACE = """
import json, os, sys, threading
folder, entered, depth = os.path.join(os.path.realpath(sys.argv.pop(1)), ""), set(), 0
def trace(frame, event, _):
    global depth
    code = frame.f_code
    if event in ("call", "return") and code.co_filename.startswith(folder):
        if code.co_name == "<module>":
            depth += 1 if event == "call" else -1
        elif event == "call" and code.co_flags & 1:  # CO_OPTIMIZED: a function
            entered.add((code.co_filename[len(folder):], code.co_firstlineno, code.co_name, depth > 0))
threading.setprofile(trace)
sys.setprofile(trace)
from pixelrnn import cli
try:
    cli.main()
finally:
    sys.setprofile(None)
    print(json.dumps(sorted(entered)))
"""


def main(folder: str = ".") -> None:
    """Print the lines, the modules at the root, what is too long, and what `pixelrnn complete` enters."""
    package = Path(folder).resolve() / "pixelrnn"
    lines: Counter[str] = Counter()
    long: list[str] = []
    wide: list[str] = []
    for path in sorted(package.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        inside = path.relative_to(package)
        lines[inside.parts[0] if len(inside.parts) > 1 else "(root)"] += len(text.splitlines())
        for name, node in functions(ast.parse(text)):
            length, parameters = node.end_lineno - node.lineno + 1, parameter_count(node)
            long += [f"{length:5} {inside}: {name}"] if length > LONG else []
            constructor = " (constructor of a model)" if inside.parts[0] == "model" and "__init__" in name else ""
            wide += [f"{parameters:5} {inside}: {name}{constructor}"] if parameters > MANY else []
    print(f"{lines.total()} lines of Python in pixelrnn/")
    print("\n".join(f"{count:5} {part}" for part, count in lines.most_common()))
    print(f"{len(list(package.glob('[!_]*.py')))} modules at the root beside __init__.py and __main__.py")
    print("\n".join([f"{len(long)} functions over {LONG} lines", *sorted(long, reverse=True)]))
    print("\n".join([f"{len(wide)} signatures over {MANY} parameters", *sorted(wide, reverse=True)]))
    calls = entered(package.parent)
    for which, some in ("", calls), (", without what runs on import", [call for call in calls if not call[3]]):
        files, found = len({call[0] for call in some}), len({tuple(call[:3]) for call in some})
        print(f"pixelrnn {COMMAND}: {files} files, {found} functions entered{which}")


def functions(node: ast.AST, prefix: str = "") -> Any:
    """(qualified name, node) of every function in a tree."""
    for child in ast.iter_child_nodes(node):
        name = f"{prefix}{getattr(child, 'name', '')}"
        if isinstance(child, ast.FunctionDef):
            yield name, child
        yield from functions(child, f"{name}." if isinstance(child, ast.FunctionDef | ast.ClassDef) else prefix)


def parameter_count(node: ast.FunctionDef) -> int:
    """The parameters of a function without self and cls; *args and **kwargs count as one each."""
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
    return sum(one is not None and one.arg not in ("self", "cls") for one in given)


def entered(folder: Path) -> list[list[Any]]:
    """The functions that COMMAND enters, as TRACE prints them."""
    line = [sys.executable, "-c", TRACE, str(folder / "pixelrnn"), *COMMAND.split(), "hydra.run.dir=run"]
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run(
            line,
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main(*sys.argv[1:])
