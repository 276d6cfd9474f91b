"""Send the page many good and bad requests from several visitors at once, and watch its memory.

python -m stress.soak requests=500 visitors=4 seed=0

Starts `pixelrnn serve` and sends the requests that a browser sends. Good ones must succeed and bad ones must be refused;
at the end the server must still answer. Prints the number of requests, and the memory after each fifth of them.
"""

import io
import json
import random
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import numpy as np
from PIL import Image

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
CHOICE = ["auto", "best", 2, 1, 0]  # strategy, order, count, temperature, seed
HALF = "32.32h"


class Visitor:
    """A browser with a session of its own."""

    def __init__(self, address: str, seed: int):
        self.address, self.session, self.draw = address, secrets.token_hex(8), random.Random(seed)
        config = json.loads(self.get("/config"))
        self.functions = {function["api_name"]: function["id"] for function in config["dependencies"]}

    def get(self, path: str) -> bytes:
        with OPENER.open(self.address + path, timeout=120) as answer:
            return answer.read()

    def post(self, path: str, body: bytes, kind: str = "application/json") -> bytes:
        request = urllib.request.Request(self.address + path, body, {"Content-Type": kind})
        with OPENER.open(request, timeout=120) as answer:
            return answer.read()

    def ask(self, function: str, *data: object) -> str:
        """Call a function that answers at once, and return its answer as text."""
        body = {"data": data, "fn_index": self.functions[function], "session_hash": self.session}
        return self.post("/gradio_api/run/predict", json.dumps(body).encode()).decode()

    def watch(self, function: str, *data: object) -> str:
        """Start a draw, wait until it ends, and return everything that it showed, as text."""
        body = {"data": data, "fn_index": self.functions[function], "session_hash": self.session}
        self.post("/gradio_api/queue/join", json.dumps(body).encode())
        return self.get(f"/gradio_api/queue/data?session_hash={self.session}").decode()

    def send(self, name: str, file: bytes) -> dict:
        """Upload a file as the page does, and return the server's name for it."""
        edge = uuid.uuid4().hex
        head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        body = head + file + f"\r\n--{edge}--\r\n".encode()
        (path,) = json.loads(self.post("/gradio_api/upload", body, f"multipart/form-data; boundary={edge}"))
        return {"path": path, "meta": {"_type": "gradio.FileData"}}


def png(*size: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)).save(file, format="PNG")
    return file.getvalue()


# Each returns the answer, and the text that it must contain.
def completes(visitor: Visitor) -> tuple[str, str]:
    visitor.ask("choose_example", None, visitor.draw.randrange(16), None)
    visitor.ask("begin", None)
    return visitor.watch("draw", None, None, HALF, *CHOICE[:4], visitor.draw.randrange(10**6)), "Done"


def compares_ways(visitor: Visitor) -> tuple[str, str]:
    visitor.ask("begin_2", None)
    return visitor.watch("draw_2", None, None, HALF, *CHOICE), "in another way"


def draws_and_goes_on(visitor: Visitor) -> tuple[str, str]:
    visitor.ask("choose_blank", None, None)
    visitor.ask("begin", None)
    visitor.watch("draw", None, None, "20w10b34h", *CHOICE)
    visitor.ask("choose", 1, None)
    visitor.ask("animate", None, None)
    return visitor.ask("go_on", None, None), "The completed picture"


def samples(visitor: Visitor) -> tuple[str, str]:
    visitor.ask("begin_3", None)
    return visitor.watch("draw_3", None, None, 4, 1, visitor.draw.randrange(10**6)), "Done"


def is_cancelled(visitor: Visitor) -> tuple[str, str]:
    visitor.ask("choose_model", None, "mnist_grey", None, HALF)
    visitor.ask("begin_3", None)
    threading.Timer(0.3, visitor.ask, ["cancel_draw_1", None]).start()
    answer = visitor.watch("draw_3", None, None, 64, 1, 0)
    visitor.ask("choose_model", None, "digits", None, HALF)
    return answer, "Cancelled before it was done"


def shows_an_ordering(visitor: Visitor) -> tuple[str, str]:
    return visitor.ask("show", None, "hilbert", ["reverse"], visitor.draw.randrange(65)), "of 64"


def sends_a_picture(visitor: Visitor) -> tuple[str, str]:
    return visitor.ask("choose_picture", None, visitor.send("grey.png", png(90, 70)), None), "pasted back"


def sends_no_picture(visitor: Visitor) -> tuple[str, str]:
    file = visitor.draw.choice([b"", b"text", png(40, 40)[:200], b"GIF89a" + bytes(40), b"%!PS-Adobe-3.0 EPSF-3.0\n"])
    return visitor.ask("choose_picture", None, visitor.send("a.png", file), None), "line wrong"


def sends_a_large_picture(visitor: Visitor) -> tuple[str, str]:
    file = io.BytesIO()
    Image.new("L", (6001, 4000)).save(file, format="PNG")
    return visitor.ask("choose_picture", None, visitor.send("a.png", file.getvalue()), None), "the limit is"


def sends_a_wrong_mask(visitor: Visitor) -> tuple[str, str]:
    return visitor.ask("choose_mask", visitor.send("a.png", png(5, 5)), None, None, *CHOICE), "is 5x5 pixels"


def names_a_file_of_the_machine(visitor: Visitor) -> tuple[str, str]:
    forged = {
        "path": visitor.draw.choice(["/etc/passwd", "../../etc/passwd", __file__]),
        "meta": {"_type": "gradio.FileData"},
    }
    return refused(visitor.ask, "choose_picture", None, forged, None), "refused"


def asks_for_nonsense(visitor: Visitor) -> tuple[str, str]:
    mask, choice = visitor.draw.choice(
        [
            ("x" * 64, CHOICE),
            ("10000h", CHOICE),
            (None, CHOICE),
            (HALF, [*CHOICE[:4], -1]),
            (HALF, ["auto", "best", 2, 0, 0]),
        ]
    )
    return refused(visitor.ask, "forecast", None, None, mask, *choice), "refused"


def asks_for_another_model(visitor: Visitor) -> tuple[str, str]:
    name = visitor.draw.choice(["../digits", "<script>", "/etc", "nothing", None, 7])
    return refused(visitor.ask, "choose_model", None, name, None, HALF), "refused"


def refused(ask, *arguments: object) -> str:
    """Return "refused" if the server refuses, by a line on the page or an HTTP error; else its answer."""
    try:
        answer = ask(*arguments)
    except urllib.error.HTTPError as error:
        return "refused" if error.code >= 400 else str(error)
    return "refused" if "line wrong" in answer or '"error"' in answer else answer


GOOD = [
    completes,
    completes,
    compares_ways,
    draws_and_goes_on,
    samples,
    is_cancelled,
    shows_an_ordering,
    sends_a_picture,
]
BAD = [sends_no_picture, sends_a_large_picture, sends_a_wrong_mask, names_a_file_of_the_machine, asks_for_nonsense]
BAD += [asks_for_another_model]


def memory(pid: int) -> int:
    """Return the resident memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) // 1024


def main(requests: int = 500, visitors: int = 4, seed: int = 0) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["checkpoint=digits", "open=false", f"port={port}", "threads=1"]
    command = [sys.executable, "-m", "pixelrnn", "serve", *options]
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # Gradio reports bad requests here; a pipe that is not read would fill
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert server.stdout and "page" in server.stdout.readline()
    address, wrong, counted, lock = f"http://127.0.0.1:{port}", [], {}, threading.Lock()

    def visit(number: int, count: int) -> None:
        visitor = Visitor(address, seed + number)
        for i in range(count):
            if i % 25 == 0:
                visitor = Visitor(address, seed + number + 1000 * i)  # the page loaded anew
            kind = visitor.draw.choice(GOOD if visitor.draw.random() < 0.5 else BAD)
            try:
                answer, holds = kind(visitor)
            except Exception as error:
                answer, holds = f"{type(error).__name__}: {error}", "no exception"
            with lock:
                counted[kind.__name__] = counted.get(kind.__name__, 0) + 1
                if holds not in answer:
                    wrong.append((kind.__name__, holds, answer[-600:]))

    try:
        held, started = [memory(server.pid)], time.monotonic()
        for fifth in range(5):
            threads = [
                threading.Thread(target=visit, args=(10 * fifth + v, requests // 5 // visitors))
                for v in range(visitors)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            held.append(memory(server.pid))
            print(f"{sum(counted.values())} requests, {time.monotonic() - started:.0f} s: {held[-1]} MiB", flush=True)
        answer, holds = completes(Visitor(address, 0))
        assert holds in answer, "the server does not answer any more"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=60)
    for kind, count in sorted(counted.items()):
        print(f"{count:5} {kind}")
    for kind, holds, answer in wrong[:20]:
        print(f"WRONG {kind}: no '{holds}' in …{answer}")
    log.seek(0)
    assert server.returncode == 130, log.read()[-2000:]
    print(f"{sum(counted.values())} requests of {visitors} visitors, {len(wrong)} answered wrongly; memory {held} MiB")
    if wrong or held[-1] > 1.15 * held[1]:
        sys.exit("not sound")


if __name__ == "__main__":
    main(**{key: int(value) for key, value in (word.split("=") for word in sys.argv[1:])})
