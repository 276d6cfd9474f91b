"""README's commands, typed as they stand: in an empty folder, without network, and with no home folder to write to."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from test_docs import ROOT, blocks, joined

README = ROOT / "README.md"
NO_NETWORK = """\
import socket

def refuse(*args, **kwargs):
    raise OSError("Network is unreachable")

class Socket(socket.socket):
    def connect(self, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "localhost"):
            refuse()
        super().connect(address)

socket.socket, socket.create_connection, socket.getaddrinfo = Socket, refuse, refuse
"""


def lines_of_the_readme():
    lines = (line.partition("#")[0].strip() for code in blocks(README, "") for line in joined(code))
    return [line for line in lines if line.startswith("pixelrnn ")]


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    """Runs a program as such a user; returns (exit code, stdout, stderr)."""
    folder = tmp_path_factory.mktemp("fresh")
    outside = tmp_path_factory.mktemp("outside")
    (outside / "sitecustomize.py").write_text(NO_NETWORK)
    values = np.random.default_rng(0).integers(0, 256, (20, 24, 3))
    mask, digit = np.zeros((20, 24)), np.full((40, 40), 255)
    mask[8:11, 4:20] = 255
    digit[8:32, 18:22] = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        picture("photo.png", values)
        Path("photo.png").rename("photo.jpg")  # the content of a file decides
        picture("mask.png", mask)
        picture("digit.png", digit)
    path = os.pathsep.join([str(outside), str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = {"PATH": os.environ["PATH"], "HOME": "/dev/null/nobody", "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}

    def run(*words):
        done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=240)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.mark.parametrize("line", lines_of_the_readme())
def test_a_command_works_as_it_stands(user, line):
    if line == "pixelrnn serve":
        pytest.skip("the browser tests open the page")
    words = line.split()
    if "mask=mask.png" in words and "image=digit.png" in words:
        words[words.index("mask=mask.png")] = "occlusion=half"  # README's mask has the size of the photo here
    code, out, err = user(sys.executable, "-m", "pixelrnn", *words[1:])
    if "data=mnist" in words:
        assert code == 2 and len(err.splitlines()) == 1 and "could not be downloaded" in err, err
    else:
        assert code == 0 and "Traceback" not in err and out, err


def test_the_python_of_the_readme_runs(user):
    (code,) = blocks(README, "python")
    assert user(sys.executable, "-c", code)[0] == 0
