"""Makes a small release with a column of every kind, and serves it as `holdtrue serve` does, or inside this process."""

import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.cli.driver import Row, as_csv, project, started

from holdtrue.serving.tokens import FILE, issue

NAME = "trips"
READY_S = 60.0
CONTRACT = """\
fields:
  age: {kind: number, missing: ["-1"], low: 0, high: 120}
  income: {kind: number, nullable: false}
  nights: {kind: number, integer: true, nullable: false, low: 0, high: 60}
  seen: {kind: date}
  region: {kind: category, nullable: false, categories: [east, north, south], unseen: refuse}
  channel: {kind: category}
  note: {kind: text}
  bought: {kind: category, nullable: false, categories: ["no", "yes"]}
rules:
  - {name: nobody stays longer than a life, text: nights <= age}
"""
PROJECT = f"""\
name: {NAME}
data: {{source: rows.csv, target: bought}}
learn: {{learners: [logistic], trials: 1, seed: 7, folds: 3}}
report: {{learning_curve: false}}
promises:
  - quality: {{metric: roc_auc, at_least: 0.6}}
  - small: {{bytes_at_most: 1 MB}}
"""
COLUMNS = ("age", "income", "nights", "seen", "region", "channel", "note")
CHANNELS = ("web", "phone", "café", "desk")
WORDS = ("late", "quiet", "sea", "dog", "first", "grün", "view", "bike")


def rows(count: int, *, seed: int = 1, target: bool = True) -> list[Row]:
    """Make rows that keep the contract; who is older and from the north buys more often."""
    chance = random.Random(seed)
    made: list[Row] = []
    for _ in range(count):
        age = chance.randint(18, 80)
        region = chance.choice(["north", "south", "east"])
        income = round(chance.lognormvariate(3, 0.5), 2)
        score = (age - 45) / 10 + (income - 22) / 10 + (1.5 if region == "north" else 0)
        row: Row = {
            "age": None if chance.random() < 0.05 else age,
            "income": income,
            "nights": chance.randint(0, 14),
            "seen": f"20{chance.randint(20, 25)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}",
            "region": region,
            "channel": None if chance.random() < 0.05 else chance.choice(CHANNELS),
            "note": " ".join(chance.choices(WORDS, k=chance.randint(0, 4))) or None,
        }
        if target:
            row["bought"] = "yes" if chance.random() < 1 / (1 + 2.718281828**-score) else "no"
        made.append(row)
    return made


def trips(folder: Path) -> Path:
    """Put the project into a folder; nothing is run."""
    folder = project(folder, text=PROJECT, table=rows(400))
    (folder / "rows.csv").write_text(as_csv(rows(400)))
    (folder / "contract.yaml").write_text(CONTRACT)
    return folder


def copied(folder: Path, to: Path) -> Path:
    """Copy a project with its store; what is served from the copy leaves the original as it is."""
    shutil.copytree(folder, to, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock"))
    return to


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back for one request."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """A running endpoint.

    Attributes:
        process: the supervisor.
        state: what it printed when it was ready.
        told: the last lines of its log.
    """

    folder: Path
    process: "subprocess.Popen[str]"
    state: Mapping[str, Any]
    told: list[str] = field(default_factory=list[str])

    @property
    def url(self) -> str:
        return str(self.state["url"])

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def manage(self) -> str:
        return str(self.state["manage"])

    @property
    def digest(self) -> str:
        return str(self.state["models"][NAME]["loaded"][0])

    @property
    def model(self) -> str:
        return f"/v2/models/{NAME}"

    def connect(self, timeout_s: float = 20.0) -> socket.socket:
        """Open a bare connection to the port of predictions."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        manage: bool = False,
    ) -> Answer:
        """Send one request on a connection of its own; a body that is no bytes goes as JSON."""
        talk = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        if manage:
            talk.sock = socket.socket(socket.AF_UNIX)
            talk.sock.settimeout(30)
            talk.sock.connect(self.manage)
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kind = {"content-type": "application/json"} if body is not None and not isinstance(body, bytes) else {}
        try:
            talk.request(method, path, sent, {**kind, **(headers or {})})
            got = talk.getresponse()
            return Answer(
                status=got.status, headers={name.lower(): value for name, value in got.getheaders()}, body=got.read()
            )
        finally:
            talk.close()

    def workers(self) -> list[int]:
        """The processes that answer now."""
        return list(self.ask("GET", "/status", manage=True).json["workers"])

    def resident_bytes(self) -> int:
        """Memory of all workers together."""
        size = os.sysconf("SC_PAGE_SIZE")
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * size for pid in self.workers())


@contextmanager
def serving(folder: Path, *words: str, wrapped: Sequence[str] = (), **environ: str) -> Generator[Served]:
    """Run `holdtrue serve` on a free port until the block ends; it must end by SIGTERM, with 0."""
    where = () if "--uds" in words or "--port" in words else ("--port", "0")
    process = started("serve", *where, "--json", *words, folder=folder, wrapped=wrapped, **environ)
    try:
        told: list[str] = []
        yield Served(folder=folder, process=process, state=_ready(process, told), told=told)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=45) == 0
    finally:
        _end(process)


def _ready(process: "subprocess.Popen[str]", told: list[str]) -> Mapping[str, Any]:
    """Wait for the line that says it answers. What goes to stderr later is read too, so that the pipe never fills."""
    assert process.stdout is not None
    assert process.stderr is not None
    reader = threading.Thread(target=_drain, args=(process.stderr, told), daemon=True)
    reader.start()
    timer = threading.Timer(READY_S, process.kill)
    timer.start()
    line = process.stdout.readline()
    timer.cancel()
    state = json.loads(line or "{}")
    if "url" not in state:
        process.wait(timeout=60)
        reader.join(timeout=5)
        raise AssertionError(f"the endpoint did not start: {line}{''.join(told)[-2_000:]}")
    return state


def _drain(stream: Any, told: list[str]) -> None:
    with suppress(ValueError):
        for line in stream:
            told.append(line)
            del told[:-1_000]


def _end(process: "subprocess.Popen[str]") -> None:
    """End what is left of the supervisor; workers end by themselves when it is gone."""
    if process.poll() is None:
        process.kill()
    process.wait(timeout=30)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def token(folder: Path, *scopes: str, now: datetime | None = None, days: float = 90) -> tuple[str, str]:
    """Give out a token as `holdtrue token new` does; gives its id and its secret."""
    given = now or datetime.now(UTC)
    made, secret = issue(
        folder / ".holdtrue" / "keys" / FILE,
        name="-".join(scopes),
        scopes=scopes,
        now=given,
        expires=given + timedelta(days=days),
    )
    return made.id, secret


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def until(happens: Any, *, within_s: float = 10.0, every_s: float = 0.02) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + within_s
    while not happens():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(every_s)


def v2_of(table: Sequence[Mapping[str, Any]], *, id: str = "") -> dict[str, Any]:
    """Write rows as a request of the Open Inference Protocol, in JSON."""
    numbers = ("age", "income", "nights")
    inputs = [
        {
            "name": name,
            "shape": [len(table), 1],
            "datatype": "FP64" if name in numbers else "BYTES",
            "data": [row[name] for row in table],
        }
        for name in COLUMNS
    ]
    return {"inputs": inputs, **({"id": id} if id else {})}
