"""The benchmarks run, and find their place in the docs."""

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import speed
from pixelrnn.errors import UserError


@pytest.mark.slow
def test_figures_are_printed_and_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(speed, "GROWTH", {"side": (2, 4), "batch": (1, 2), "width": (4, 8), "depth": (1, 2)})
    page, file = tmp_path / "page.md", tmp_path / "benchmark.json"
    page.write_text("before\n<!-- benchmark -->\nold\n<!-- /benchmark -->\nafter\n")
    models = [
        {"name": "SequenceRNN", "width": 8, "depth": 2, "window": 3},
        {"name": "DiagonalBiLSTM", "width": 4, "depth": 1},
    ]
    arguments = ["--size", "4", "--repeats", "2", "--threads", "1", "--table", str(page), "--json", str(file)]
    benchmarks.main(arguments, models)
    out, sections, text = capsys.readouterr().out, json.loads(file.read_text())["sections"], page.read_text()
    assert len(sections) == 3 and sum(map(len, sections.values())) > 30
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    for rows in sections.values():
        for row in rows:
            assert row["what"] in out and row["what"].replace(" / ", " ÷ ") in text
            assert 0 <= row["low"] <= row["value"] <= row["high"] or "slope" in row["what"]
            assert row["value"] > 0 or "slope" in row["what"] or row["unit"] == "MiB"


def test_the_benchmark_waits_for_its_own_device(monkeypatch):
    waited = []
    monkeypatch.setattr(speed.torch.cuda, "synchronize", lambda device=None: waited.append(device))
    speed.Bench(1, "cuda:1").seconds(lambda: None)
    assert waited == ["cuda:1", "cuda:1"]


def test_the_table_has_a_place_in_the_docs(tmp_path):
    before, after = benchmarks._document(Path(__file__).parents[1] / "docs" / "results.md")
    assert "## Speed" in before and "Diagonal BiLSTM" in after
    with pytest.raises(UserError, match="<!-- benchmark -->"):
        benchmarks._document(tmp_path / "none.md")
