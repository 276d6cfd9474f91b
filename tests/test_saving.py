"""No run is lost: killed, out of room, in a folder that another run writes, or no longer finite."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Barrier, Thread

import pytest
import torch
from conftest import failing, new_model, records, run

from pixelrnn import UserError, load
from pixelrnn.errors import TrainingDiverged
from pixelrnn.files.atomic import append, one_at_a_time, only_writer, write_json, write_whole
from pixelrnn.training import loop as training


def state(folder):
    return torch.load(folder / "last" / "training.pt", weights_only=True)


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_as_if_it_had_not_been():
    """make crash-test kills more often."""
    command = [sys.executable, "-m", "stress.crash", "kills=4", "seed=1"]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("4 kills")


# The disk


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failing_write_leaves_what_was_there(call, tmp_path, monkeypatch):
    path = tmp_path / "values.json"
    write_json(path, [1])
    monkeypatch.setattr(os, call, full)
    with pytest.raises(UserError, match=r"values\.json cannot be written \(No space left on device\)"):
        write_json(path, [2])
    assert [p.name for p in tmp_path.iterdir()] == ["values.json"] and path.read_text() == "[\n  1\n]\n"


def test_a_full_disk_ends_a_run_in_one_line_and_keeps_the_last_state(tmp_path, monkeypatch):
    kept, write = tmp_path / "last" / "training.pt", Path.write_bytes
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", lambda path, data: full() if kept.exists() else write(path, data))
        with pytest.raises(UserError, match="No space left on device") as error:
            run(tmp_path)
    assert "\n" not in str(error.value) and state(tmp_path)["progress"]["step"] == 10
    run(tmp_path)
    run(tmp_path / "whole")
    assert all(torch.equal(w, state(tmp_path / "whole")["model"][name]) for name, w in state(tmp_path)["model"].items())


def test_a_disk_that_is_really_full(tmp_path):
    """A file system of 300 KiB, on Linux as root: a run fills it, and goes on when there is room."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(tmp_path)], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        (tmp_path / "ballast").write_bytes(bytes(150_000))
        with pytest.raises(UserError, match="cannot be written"):
            run(tmp_path / "run", new_model(width=48))
        assert not list((tmp_path / "run").rglob(".*.tmp"))
        (tmp_path / "ballast").unlink()
        subprocess.run(["mount", "-o", "remount,size=20m", str(tmp_path)], check=True)
        assert run(tmp_path / "run", new_model(width=48)).step == 20
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize(
    "write", [lambda p: write_json(p, 1), lambda p: append(p, "x"), lambda p: write_whole(p, Path.touch)]
)
def test_a_path_that_cannot_be_written_is_refused(write, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write(tmp_path / "file" / "below.json")


# One writer


def test_two_runs_do_not_write_one_folder(tmp_path):
    with only_writer(tmp_path), pytest.raises(UserError, match="is being written by another run"):
        run(tmp_path)
    assert run(tmp_path).step == 20


def test_of_two_that_download_into_a_folder_one_waits(tmp_path):
    inside, most, both = [0], [0], Barrier(2)

    def work():
        both.wait()
        with one_at_a_time(tmp_path / "data"):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.1)
            inside[0] -= 1

    threads = [Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_half_written_files_of_a_killed_run_are_removed(tmp_path):
    (tmp_path / "last").mkdir()
    (tmp_path / "last" / ".training.pt.pixelrnn-123.tmp").write_bytes(b"half")
    others = [
        tmp_path / "mine" / ".training.pt.pixelrnn-123.tmp",
        tmp_path / ".notes.tmp",
        tmp_path / ".cache.1.tmp" / "file",
    ]
    for path in others:  # of another run below this folder, and the user's
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    run(tmp_path)
    assert not list((tmp_path / "last").rglob(".*.tmp")) and all(path.exists() for path in others)


# Losses and weights that are not finite


@pytest.mark.parametrize(("at", "back_to"), [(15, 10), (3, 0)])
def test_it_goes_back_to_the_last_state_with_half_the_learning_rate(at, back_to, tmp_path, capsys):
    run(tmp_path / "plain")
    done = run(tmp_path / "run", failing(at), recoveries=1)
    assert (done.step, done.recoveries) == (20, 1) and state(tmp_path / "run")["progress"]["recoveries"] == 1
    rates = [
        [r["learning_rate"] for r in records(tmp_path / name) if "learning_rate" in r] for name in ("run", "plain")
    ]
    halves = [1.0 if back_to else 0.5, 0.5]  # at updates 10 and 20
    assert rates[0] == pytest.approx([rate * half for rate, half in zip(rates[1], halves, strict=True)])
    assert [r["step"] for r in records(tmp_path / "run")] == [r["step"] for r in records(tmp_path / "plain")]
    load(tmp_path / "run")


def test_the_smaller_learning_rate_survives_a_kill(tmp_path):
    """The state that is saved right after a recovery holds it."""
    model = failing(15, times=100)
    with pytest.raises(TrainingDiverged):
        run(tmp_path, model, recoveries=2)
    assert (state(tmp_path)["progress"]["recoveries"], state(tmp_path)["progress"]["step"]) == (2, 10)
    assert run(tmp_path, recoveries=2).recoveries == 2


@pytest.mark.parametrize("after", [5, 10, 20])
def test_weights_that_are_not_finite_are_never_saved(after, tmp_path, monkeypatch):
    update, calls = training.update, [0]

    def spoils(objective, *arguments):
        result = update(objective, *arguments)
        calls[0] += 1
        if calls[0] == after:
            next(objective.parameters()).data.fill_(torch.inf)
        return result

    monkeypatch.setattr(training, "update", spoils)
    with pytest.raises(TrainingDiverged, match=f"not finite after {after} updates"):
        run(tmp_path)
    for path in tmp_path.rglob("training.pt"):
        saved = torch.load(path, weights_only=True)
        assert saved["progress"]["step"] < after
        assert all(w.isfinite().all() for part in ("model", "average") for w in saved[part].values())
    calls[0] = after  # it does not happen again
    assert run(tmp_path).step == 20


# Damaged states and records


@pytest.mark.parametrize("step", [None, "3", [3], 3.5, True, {}])
def test_a_state_with_a_wrong_type_is_refused(step, tmp_path):
    run(tmp_path)
    changed = state(tmp_path)
    changed["progress"]["step"] = step
    torch.save(changed, tmp_path / "last" / "training.pt")
    with pytest.raises(UserError, match=r"damaged or of another version \(progress\.step"):
        run(tmp_path)


def test_a_refusal_is_one_printable_line(tmp_path):
    run(tmp_path)
    changed = state(tmp_path)
    changed["progress"]["run"]["model"]["width"] = "\x1b[31m\n" * 5000
    torch.save(changed, tmp_path / "last" / "training.pt")
    with pytest.raises(UserError, match="of another run") as error:
        run(tmp_path)
    assert str(error.value).isprintable() and len(str(error.value)) < 5000


def test_lines_after_the_saved_records_are_dropped(tmp_path):
    run(tmp_path, epochs=2)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('nonsense\n{"step": "3"}\n[]\n{}\n{"step": 5')
    assert run(tmp_path).step == 20
    assert {type(record["step"]) for record in records(tmp_path)} == {int}
