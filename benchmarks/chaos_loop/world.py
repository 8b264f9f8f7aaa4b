"""A project whose loop is always at something, the processes of it, the load, and a database that can be taken away."""

import http.client
import json
import os
import random
import re
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

NAME = "looped"
WORKERS = 2
PROJECT = f"""\
name: {NAME}
data: {{source: rows.csv, target: bought}}
learn: {{learners: [logistic], trials: 1, seed: 7, folds: 3}}
report: {{learning_curve: false}}
promises:
  - quality: {{metric: accuracy, at_least: 0.5}}
  - small: {{bytes_at_most: 1 MB}}
retrain: {{when: [], cooldown: 0.0001, at_most: 24/day, margin: 50%, label_issues: 100%, storm: 1000}}
serve:
  canary: {{shadow: 0.0001, shares: [50%], stage: 12h, requests: 20, decide_by: [errors], guard: 0.0005}}
"""


def holdtrue() -> list[str]:
    return [sys.executable, "-m", "holdtrue.cli"]


def bought(age: float, income: float, noise: float) -> str:
    return "yes" if age + income + noise > 70 else "no"


def project(folder: Path, environ: Mapping[str, str]) -> Path:
    """Make a project, and its first champion."""
    chance = random.Random(1)
    lines = ["age,income,bought"]
    for _ in range(300):
        age, income = chance.randint(18, 80), round(chance.lognormvariate(3, 0.5), 2)
        lines.append(f"{age},{income},{bought(age, income, chance.gauss(0, 10))}")
    folder.mkdir(parents=True)
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    (folder / "holdtrue.yaml").write_text(PROJECT)
    done = subprocess.run(
        [*holdtrue(), "run"], cwd=folder, capture_output=True, text=True, check=False, env=dict(environ)
    )
    if done.returncode:
        raise SystemExit(f"the release could not be made: {done.stdout}{done.stderr}")
    return folder


def token(folder: Path, environ: Mapping[str, str]) -> str:
    words = ("token", "new", "--name", "chaos", "--scope", "predict", "--scope", "label", "--json")
    done = subprocess.run(
        [*holdtrue(), *words], cwd=folder, capture_output=True, text=True, check=True, env=dict(environ)
    )
    return str(json.loads(done.stdout)["secret"])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass(kw_only=True)
class Load:
    """Clients that ask, and later tell the truth, at a bounded rate; what they were told to be kept they note down.

    Attributes:
        answered_s: when each answer came, by the monotonic clock.
    """

    port: int
    token: str
    threads: int = 3
    pause_s: float = 0.02
    predictions: list[str] = field(default_factory=list[str])
    labels: list[str] = field(default_factory=list[str])
    answered_s: list[float] = field(default_factory=list[float])
    refused: int = 0
    cut: int = 0

    def __enter__(self) -> "Load":
        self._going = True
        self._headers = {"content-type": "application/json", "authorization": f"Bearer {self.token}"}
        self._running = [threading.Thread(target=self._ask, args=(one,), daemon=True) for one in range(self.threads)]
        for thread in self._running:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._going = False
        for thread in self._running:
            thread.join()

    def longest_silence_s(self, since_s: float, until_s: float) -> float:
        """Give the longest time without any answer between two moments."""
        inside = sorted(each for each in list(self.answered_s) if since_s < each < until_s)
        edges = [since_s, *inside, until_s]
        return max(later - earlier for earlier, later in pairwise(edges))

    def _ask(self, number: int) -> None:
        chance = random.Random(number)
        talk = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        sent = 0
        while self._going:
            try:
                age, income = chance.randint(18, 80), round(chance.lognormvariate(3, 0.5), 2)
                answer = self._post(talk, "/predict", [{"age": age, "income": income}])
                if answer is not None:
                    id = str(answer["prediction_id"])
                    self.predictions.append(id)
                    self.answered_s.append(time.monotonic())
                    sent += 1
                    name = f"{number}-{sent}"
                    label = {"prediction_id": id, "value": bought(age, income, chance.gauss(0, 10)), "id": name}
                    if self._post(talk, "/labels", label) is not None:
                        self.labels.append(name)
            except (OSError, http.client.HTTPException, ValueError):
                self.cut += 1
                talk.close()
                time.sleep(0.05)
            time.sleep(self.pause_s)
        talk.close()

    def _post(self, talk: http.client.HTTPConnection, path: str, body: object) -> dict[str, object] | None:
        talk.request("POST", path, json.dumps(body), self._headers)
        answer = talk.getresponse()
        data = answer.read()
        if answer.status == 200:
            return dict(json.loads(data))
        self.refused += 1
        return None


@dataclass(kw_only=True)
class Up:
    """`holdtrue up`, and what a service manager does with it: whatever ended is started again.

    Where the loop alone was killed, the endpoint goes on and gets a loop beside it (`holdtrue loop run`).
    """

    folder: Path
    port: int
    environ: Mapping[str, str]
    loop: "subprocess.Popen[bytes] | None" = None
    endpoint: int = 0
    starts: int = 0

    def keep(self) -> None:
        """Start whatever does not run."""
        self.endpoint = next((pid for pid in processes(self.folder, "serve") if pid), 0)
        if self.loop is not None and self.loop.poll() is None:
            return  # with its endpoint, or it will end as soon as it sees that this is gone
        self.starts += 1
        words = ["loop", "run"] if self.endpoint else ["up", "--port", str(self.port), "--workers", str(WORKERS)]
        with (self.folder / "said.txt").open("ab") as said:
            self.loop = subprocess.Popen(
                [*holdtrue(), *words, "--folder", str(self.folder), "--json"],
                stdout=said, stderr=said, env=dict(self.environ), process_group=0,
            )  # fmt: skip

    def run(self, seconds: float) -> None:
        """Keep it up for a while."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self.keep()
            if self.endpoint == 0 or self.loop is None:
                time.sleep(0.2)
            time.sleep(0.1)

    def beside(self) -> bool:
        """Whether the loop runs beside an endpoint that it did not start; it does not end with that one."""
        assert self.loop is not None
        return b"run" in command(self.loop.pid)

    def end(self) -> None:
        """End all in good order."""
        assert self.loop is not None
        for pid in (self.loop.pid, *processes(self.folder, "serve")):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        until_s = time.monotonic() + 60
        while time.monotonic() < until_s and (self.loop.poll() is None or processes(self.folder, "serve")):
            time.sleep(0.1)
        for pid in (self.loop.pid, *processes(self.folder, "serve")):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.loop.wait()


def command(pid: int) -> list[bytes]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return []


def children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def processes(folder: Path, kind: str) -> list[int]:
    """Find the processes of a project: those started with its folder, and the workers of its endpoint."""
    if kind in ("worker", "compactor"):
        module = {"worker": b"holdtrue.serving.worker", "compactor": b"holdtrue.data.traffic.compact"}[kind]
        return [pid for one in processes(folder, "serve") for pid in children(one) if module in command(pid)]
    wanted = {"serve": b"serve", "child": b"holdtrue.pipeline.loop_child"}[kind]
    place = os.fsencode(folder)
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            words = command(int(entry.name))
            if wanted in words and place in words:
                found.append(int(entry.name))
    return found


@contextmanager
def small_files(pids: list[int]) -> Generator[None]:
    """Let processes write no byte into any file, as if every disk were full, and let them again."""
    held: dict[int, tuple[int, int]] = {}
    try:
        for pid in pids:
            with suppress(ProcessLookupError):
                held[pid] = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, held[pid][1]))
        yield
    finally:
        for pid, limits in held.items():
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


@contextmanager
def locked(file: Path) -> Generator[None]:
    """Hold an SQLite database, so that nobody else can read or write it."""
    database = sqlite3.connect(file, timeout=30, isolation_level=None)
    try:
        database.execute("PRAGMA locking_mode=EXCLUSIVE")
        with suppress(sqlite3.OperationalError):  # one who is at it is not interrupted: then nothing is taken away
            database.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        with suppress(sqlite3.OperationalError):
            database.execute("ROLLBACK")
        database.close()


class Wire:
    """A way to a Postgres server that can be cut."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_cut = False
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    @contextmanager
    def cut(self) -> Generator[None]:
        """Break every connection and take no new one."""
        self._is_cut = True
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        try:
            yield
        finally:
            self._is_cut = False

    def _accept(self) -> None:
        while True:
            here, _ = self._server.accept()
            if self._is_cut:
                here.close()
                continue
            try:
                there = socket.create_connection(self._to)
            except OSError:
                here.close()
                continue
            with self._lock:
                self._open |= {here, there}
            for source, sink in ((here, there), (there, here)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with self._lock:
            self._open -= {source, sink}
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def through(url: str, port: int) -> str:
    """Send a database's address through another port of this machine.

    >>> through("postgresql+psycopg://root@127.0.0.1:5432/test?options=-c", 7)
    'postgresql+psycopg://root@127.0.0.1:7/test?options=-c'
    """
    return re.sub(r"@[^/]+/", f"@127.0.0.1:{port}/", url, count=1)
