"""A project with a small release, an endpoint of it, and clients that note down what they were told."""

import http.client
import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from holdtrue.core.errors import HoldtrueError
from holdtrue.data.traffic.read import check, labels, receipts
from holdtrue.data.traffic.recover import recover

NAME = "chaos"
PROJECT = f"""\
name: {NAME}
data: {{source: rows.csv, target: bought}}
learn: {{learners: [logistic], trials: 1, seed: 7, folds: 3}}
report: {{learning_curve: false}}
promises:
  - small: {{bytes_at_most: 1 MB}}
"""
WORKERS = 3


def project(folder: Path) -> Path:
    """Make a project, and its release."""
    chance = random.Random(1)
    lines = ["age,income,bought"]
    for _ in range(300):
        age, income = chance.randint(18, 80), round(chance.lognormvariate(3, 0.5), 2)
        lines.append(f"{age},{income},{'yes' if age + income + chance.gauss(0, 20) > 70 else 'no'}")
    folder.mkdir(parents=True)
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    (folder / "holdtrue.yaml").write_text(PROJECT)
    done = subprocess.run([*holdtrue(), "run"], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the release could not be made: {done.stdout}{done.stderr}")
    return folder


def token(folder: Path) -> str:
    """Give a new token that may ask and label."""
    words = ("token", "new", "--name", "chaos", "--scope", "predict", "--scope", "label", "--json")
    done = subprocess.run([*holdtrue(), *words], cwd=folder, capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout)["secret"])


def holdtrue() -> list[str]:
    return [sys.executable, "-m", "holdtrue.cli"]


@dataclass(kw_only=True)
class Told:
    """Ids of predictions and labels that clients were told to be kept; how often they were refused, and cut off."""

    predictions: list[str] = field(default_factory=list[str])
    labels: list[str] = field(default_factory=list[str])
    refused: int = 0
    cut: int = 0


@dataclass(kw_only=True)
class Clients:
    """Ask and label without end, in threads; a label that was cut off is sent once and never again."""

    port: int
    told: Told
    token: str
    threads: int = 4
    pause_s: float = 0.002

    def __enter__(self) -> "Clients":
        self.going = True
        self._headers = {"content-type": "application/json", "authorization": f"Bearer {self.token}"}
        self._running = [
            threading.Thread(target=self._ask, args=(number,), daemon=True) for number in range(self.threads)
        ]
        for thread in self._running:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.going = False
        for thread in self._running:
            thread.join()

    def _ask(self, number: int) -> None:
        chance = random.Random(number)
        talk = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        last = ""
        while self.going:
            try:
                if last and chance.random() < 0.5:
                    name = secrets.token_hex(8)
                    label = {"prediction_id": last, "value": "yes", "id": name}
                    if self._post(talk, "/labels", label) is not None:
                        self.told.labels.append(name)
                else:
                    row = {"age": chance.randint(18, 80), "income": round(chance.uniform(5, 60), 2)}
                    answer = self._post(talk, "/predict", [row])
                    if answer is not None:
                        last = str(answer["prediction_id"])
                        self.told.predictions.append(last)
            except (OSError, http.client.HTTPException, ValueError):
                self.told.cut += 1
                talk.close()
                time.sleep(0.02)
            time.sleep(self.pause_s)
        talk.close()

    def _post(self, talk: http.client.HTTPConnection, path: str, body: object) -> dict[str, object] | None:
        talk.request("POST", path, json.dumps(body), self._headers)
        answer = talk.getresponse()
        data = answer.read()
        if answer.status == 200:
            return dict(json.loads(data))
        self.told.refused += 1
        return None


@dataclass(kw_only=True)
class Endpoint:
    """`holdtrue serve`, started again whenever it is killed; the port stays."""

    folder: Path
    port: int
    words: Sequence[str] = ()
    wrapped: Sequence[str] = ()
    process: "subprocess.Popen[str] | None" = None

    def start(self) -> None:
        words = ["serve", "--port", str(self.port), "--workers", str(WORKERS), "--json"]
        until_s = time.monotonic() + 60
        while True:
            self.process = subprocess.Popen(
                [*self.wrapped, *holdtrue(), *words, *self.words],
                cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}, process_group=0,
            )  # fmt: skip
            assert self.process.stdout is not None
            if "url" in self.process.stdout.readline():
                return
            self.process.wait()
            if time.monotonic() > until_s:  # the workers of a killed one may still answer what they were asked
                raise SystemExit("the endpoint does not start")
            time.sleep(0.2)

    def children(self, pid: int | None = None) -> list[int]:
        assert self.process is not None
        with suppress(OSError):
            pid = pid or self.process.pid
            return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []

    def workers(self) -> list[int]:
        found: list[int] = []
        for pid in self.children():
            with suppress(OSError):
                if b"holdtrue.serving.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def end(self) -> int:
        """End it in good order; gives its status."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGTERM)
        try:
            return self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The log held against what clients were told."""

    predictions: int
    labels: int
    lost: int
    duplicated: int
    faults: tuple[str, ...]

    @property
    def held(self) -> bool:
        return not self.lost and not self.duplicated and not self.faults


def hold_against(traffic: Path, told: Told) -> Verdict:
    """Look for every prediction and label that was acknowledged: it is there once."""
    try:
        recover(traffic)
    except HoldtrueError as error:
        return Verdict(predictions=0, labels=0, lost=-1, duplicated=-1, faults=(str(error),))
    faults: list[str] = []
    kept = Counter(one.id for one in receipts(traffic, faults=faults))
    said = Counter(one.idempotency for one in labels(traffic, faults=faults))
    lost = [id for id in told.predictions if id not in kept] + [id for id in told.labels if id not in said]
    again = [id for id, count in (*kept.items(), *said.items()) if count > 1]
    again += [id for id, count in Counter(told.predictions).items() if count > 1]
    damaged = {*faults, *check(traffic)}
    return Verdict(
        predictions=len(told.predictions),
        labels=len(told.labels),
        lost=len(lost),
        duplicated=len(again),
        faults=tuple(sorted(fault for fault in damaged if "damaged" in fault or "missing" in fault or "lost" in fault)),
    )
