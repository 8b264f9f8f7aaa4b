"""Schemathesis asks both planes whatever their descriptions allow, and what they do not; it finds nothing to say."""

import os
import re
import socket
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.pythons import python_of
from tests.serving.endpoint import NAME, Served, token

HERE = Path(__file__).parent
pytestmark = pytest.mark.slow


def asked(url: str, place: Path, *words: str) -> int:
    """Run Schemathesis against a description; gives how many requests it made. All of them must have passed."""
    tool = Path(python_of("schemathesis", unless="HOLDTRUE_SCHEMATHESIS_PYTHON")).with_name("schemathesis")
    config = ["--config-file", str(HERE / "described.toml")]
    environ = {"PATH": os.environ["PATH"], "HOME": str(place), "NO_PROXY": "127.0.0.1"}
    environ |= {"PYTHONPATH": str(HERE / "clients"), "SCHEMATHESIS_HOOKS": "described"}
    done = subprocess.run(
        [str(tool), *config, "run", f"{url}/openapi.json", "--no-color", "--warnings=off", *words],
        cwd=place,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    found = re.search(r"(\d+) generated, \1 passed", done.stdout)
    assert found, done.stdout
    return int(found[1])


@contextmanager
def on_loopback(uds: str) -> Generator[str]:
    """Lead a port of loopback to a Unix socket, which Schemathesis cannot open."""

    def lead(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def serve(outer: socket.socket) -> None:
        with outer, socket.socket(socket.AF_UNIX) as inner:
            inner.connect(uds)
            back = threading.Thread(target=lead, args=(inner, outer), daemon=True)
            back.start()
            lead(outer, inner)
            back.join()

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def test_the_data_plane_is_as_it_is_described(served: Served, tmp_path: Path) -> None:
    _, secret = token(served.folder, "admin")
    assert asked(served.url, tmp_path, "--header", f"Authorization: Bearer {secret}") > 1_000
    asks = served.ask("GET", "/status", manage=True).json["counters"]
    for route in ("predict", "invocations", "infer", "labels"):  # it also got answers
        assert asks[f"holdtrue_requests_total{{{route},200}}"] > 10


def test_the_management_plane_is_as_it_is_described(served: Served, tmp_path: Path) -> None:
    with on_loopback(served.manage) as url:
        assert asked(url, tmp_path) > 100
    assert served.ask("GET", "/status", manage=True).json["models"][NAME]["weights"].keys() == {served.digest}
