"""Serve the page to this machine until it is told to stop."""

import gc
import logging
import os
import socket
import tempfile
import webbrowser
from collections.abc import Callable

from pixelrnn.errors import UserError
from pixelrnn.ui.catalog import ModelCatalog

MAX_BYTES = 8 * 2**20  # of a file that a visitor sends
QUEUE = 20  # draws that wait
ENVIRONMENT = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "NO_PROXY": "*"}
THREADS = 8  # that answer; each keeps some memory


def serve(models: ModelCatalog, host: str, port: int, opens: bool, wait: Callable[[], None]) -> None:
    """Serve until wait() returns. Files from visitors are kept in a temporary folder, which is then removed.

    Raises UserError if Gradio is not installed or the address cannot be used.
    """
    if not isinstance(host, str) or not host:
        raise UserError(f"host={'null' if host is None else host}: it must be an address, such as 127.0.0.1")
    try:
        socket.create_server((host, port)).close()
    except (OSError, TypeError) as error:  # TypeError if the name cannot be encoded
        why = getattr(error, "strerror", error)
        raise UserError(
            f"host={host} port={port} cannot be used ({why}); try port={port + 1}, or host=127.0.0.1"
        ) from None
    with tempfile.TemporaryDirectory(prefix="pixelrnn-serve-") as folder:
        # Gradio sends requests to itself. They need no proxy, and its import may fail if there is a SOCKS proxy.
        proxies = {name: os.environ.pop(name) for name in list(os.environ) if name.lower().endswith("_proxy")}
        os.environ |= {**ENVIRONMENT, "GRADIO_TEMP_DIR": folder}
        try:
            from pixelrnn.ui import page
        except ImportError as error:
            missing = isinstance(error, ModuleNotFoundError) and error.name == "gradio"
            state = "is not installed" if missing else f"is installed and cannot be imported ({error})"
            raise UserError(
                f"the page needs Gradio, which {state}; install the extra ui: "
                "pip install -e '.[ui]' in the source tree, or pip install 'gradio>=6.31,<7'"
            ) from None
        logging.getLogger("httpx").setLevel(logging.WARNING)  # Gradio's requests to itself
        logging.getLogger("uvicorn.error").addFilter(_is_kept)
        blocks = page.build(models)
        blocks.queue(max_size=QUEUE, api_open=False)
        _, address, _ = blocks.launch(
            server_name=host,
            server_port=port,
            share=False,
            prevent_thread_lock=True,
            quiet=True,
            max_threads=THREADS,
            max_file_size=MAX_BYTES,
            state_session_capacity=200,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            theme=page.THEME,
            css=page.CSS,
        )
        del os.environ["NO_PROXY"]
        os.environ.update(proxies)  # for the browser
        gc.collect()
        gc.freeze()  # keep what exists now out of later collections, so that they free old figures soon
        print(f"page       {address}  (Ctrl-C ends it)", flush=True)
        if opens:
            webbrowser.open(address)
        try:
            wait()
        finally:
            blocks.close(verbose=False)


def _is_kept(record: logging.LogRecord) -> bool:
    """Whether to keep a message of the server's: not that of a visitor who left during an upload."""
    return not (record.exc_info and type(record.exc_info[1]).__name__ == "ClientDisconnect")
