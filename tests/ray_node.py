"""A node of Ray for one test: one processor, little memory, nothing beyond loopback, ended by its own number."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.pythons import python_of

READY_S, END_S = 60, 20
STORE_BYTES = 100 << 20


@contextmanager
def ray_node() -> Generator[tuple[Path, Mapping[str, str]]]:
    """Start a node; gives the folder of Ray's programs and what they need to know to find it."""
    tools = Path(python_of("ray", unless="HOLDTRUE_RAY_PYTHON")).parent
    # Ray puts sockets below it, whose paths may have 107 letters.
    place = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    port = free_port()
    environ = {
        **os.environ,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "RAY_ADDRESS": f"127.0.0.1:{port}",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Whoever is at this machine may run code there unless a token is asked for.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        # Told that no machines can be joined, Ray keeps every door on loopback; else it takes 127.0.0.1 for a slip.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }
    words = [
        *("start", "--head", "--block", "--disable-usage-stats", "--node-ip-address=127.0.0.1", f"--port={port}"),
        *("--num-cpus=1", f"--object-store-memory={STORE_BYTES}", "--include-dashboard=false"),
        *(f"--ray-client-server-port={free_port()}", f"--dashboard-agent-listen-port={free_port()}"),
        *("--include-log-monitor=false", f"--temp-dir={place}"),
    ]
    with (place / "told").open("wb") as told:
        # A session of its own: whatever it starts is found by it, and ended with it.
        node = subprocess.Popen([tools / "ray", *words], env=environ, stdout=told, stderr=told, start_new_session=True)
    try:
        _await(port, node, place / "told")
        yield tools, environ
    finally:
        node.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            node.wait(END_S)
        with suppress(ProcessLookupError):  # they have ended, every one
            os.killpg(node.pid, signal.SIGKILL)
        node.wait()
        shutil.rmtree(place, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _await(port: int, node: "subprocess.Popen[bytes]", told: Path) -> None:
    """Wait until the node says that it runs; its port answers before the node itself is known."""
    deadline = time.monotonic() + READY_S
    while "Ray runtime started" not in told.read_text():
        assert node.poll() is None, told.read_text()
        assert time.monotonic() < deadline, f"Ray never started: {told.read_text()}"
        time.sleep(0.1)
