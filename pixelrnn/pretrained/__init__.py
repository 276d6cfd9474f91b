"""Trained models that ship: a folder each, with model.safetensors, config.json, and its card, README.md.

A card opens with YAML between two lines of "---": what the model is, how it was trained, and what `pixelrnn evaluate`
measured; what it cannot do, in words, and a picture follow.
"""

from pathlib import Path

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The bundled models, sorted: what pixelrnn.load and checkpoint= take in place of a folder."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.json"))


def card(name: str) -> tuple[str, str]:
    """A bundled model's card: its facts as YAML, and the words that follow."""
    _, facts, words = (FOLDER / name / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return facts, words.strip()
