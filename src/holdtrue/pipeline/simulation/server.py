"""The real endpoint of a simulation: `holdtrue serve` in a process of its own, and a client that keeps its connection.

What the client is not told was kept is asked again, so nothing that it was told may ever be missing from the log.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, final

from holdtrue.core.errors import HoldtrueError
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.running import ask

READY_S = 120.0
PATIENCE_S = 60.0  # for an answer, over all tries
ENDING_S = 40.0
PAUSE_S = 0.02
TOLD_LINES = 8


@final
class Server:
    """`holdtrue serve` on a free port of this machine, for as long as the block lasts."""

    def __init__(self, folder: Path, keeper: Keeper, environ: Mapping[str, str], *, log: Path) -> None:
        self._folder = folder
        self._keeper = keeper
        self._environ = dict(environ)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._link: _Link | None = None

    def start(self) -> None:
        """Start it, and wait until it answers; raises `HoldtrueError` with what it said when it does not."""
        words = ("serve", "champion", "--port", "0", "--json", "--folder", str(self._folder))
        with self._log.open("ab") as log:
            self._process = process = subprocess.Popen(
                [sys.executable, "-m", "holdtrue.cli", *words],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C ends us, and we end it
            )
        line = _first_line(process, READY_S)
        try:
            port = int(str(json.loads(line)["url"]).rpartition(":")[2])
        except (ValueError, KeyError, TypeError):
            self.kill()
            raise self._died("The endpoint of the simulation did not start") from None
        self._link = _Link(port)

    def kill(self) -> None:
        """Let the whole endpoint die at once, as in a power cut."""
        process = self._process
        if process is None:
            return
        with suppress(HoldtrueError):
            for pid in ask(self._keeper, "GET", "/status", wait_s=5.0)["workers"]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._forget(process, signal.SIGKILL)

    def stop(self) -> None:
        """Let it answer what it was asked, and end."""
        if self._process is not None:
            self._forget(self._process, signal.SIGTERM)

    def post(self, path: str, body: bytes, *, secret: str = "") -> tuple[int, Any]:
        """Ask until there is an answer; gives its status and what it says."""
        until_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                assert self._link is not None, "it was started"
                status, answer = self._link.post(path, body, secret)
            except OSError as error:
                self._check_alive()
                if time.monotonic() > until_s:
                    raise HoldtrueError(f"The endpoint of the simulation does not answer: {error}.") from None
                time.sleep(PAUSE_S)
                continue
            # A server that is busy, or whose disk is slow, says so; it is asked again.
            if status != 503 or time.monotonic() > until_s:
                return status, answer
            time.sleep(PAUSE_S)

    def _check_alive(self) -> None:
        if self._process is None or self._process.poll() is not None:
            raise self._died("The endpoint of the simulation is dead")

    def _died(self, what: str) -> HoldtrueError:
        code = None if self._process is None else self._process.poll()
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-TOLD_LINES:]
        return HoldtrueError(
            f"{what}{'' if code is None else f' (exit code {code})'}. It said last:" if lines else f"{what}.",
            faults=lines,
            do="Look at its whole log: simulate again with --keep FOLDER.",
        )

    def _forget(self, process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
        if self._link is not None:
            self._link.close()
        with suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._process = self._link = None

    def __enter__(self) -> "Server":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _first_line(process: "subprocess.Popen[bytes]", wait_s: float) -> bytes:
    """Read the line that says it is ready; nothing when it ends before, or takes too long."""
    assert process.stdout is not None
    until_s = time.monotonic() + wait_s
    while (left_s := until_s - time.monotonic()) > 0:
        if select.select([process.stdout], [], [], left_s)[0]:
            return process.stdout.readline()
    return b""


@final
class _Link:
    """One connection that stays open; made anew after anything that went wrong with it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def post(self, path: str, body: bytes, secret: str) -> tuple[int, Any]:
        """Send a request and read its answer; raises `OSError` when there is none."""
        link = self._socket or self._connect()
        told = f"authorization: Bearer {secret}\r\n" if secret else ""
        head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{told}"
        try:
            link.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            status, answer, stays = _read(link)
        except OSError:
            self.close()
            raise
        if not stays:
            self.close()
        return status, answer

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> socket.socket:
        self._socket = link = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE_S)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return link


def _read(link: socket.socket) -> tuple[int, Any, bool]:
    """Read one answer: its status, its JSON, and whether the connection stays."""
    data = bytearray()
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += _received(link)
    first, *lines = bytes(data[:end]).decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    size = end + 4 + int(headers.get("content-length", 0))
    while len(data) < size:
        data += _received(link)
    body = bytes(data[end + 4 : size])
    return int(first.split(" ", 2)[1]), json.loads(body) if body else None, headers.get("connection") != "close"


def _received(link: socket.socket) -> bytes:
    data = link.recv(1 << 18)
    if not data:
        raise ConnectionResetError("the connection was closed")
    return data
