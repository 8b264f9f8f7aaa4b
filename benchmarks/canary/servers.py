"""Real endpoints with one model as two releases: a canary grows, looks are taken, and none of them should see harm."""

import http.client
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the tests are not installed
from tests.cli.driver import launched
from tests.serving.endpoint import PROJECT, Served, copied, rows, serving, token, trips

from holdtrue.core.errors import HoldtrueError
from holdtrue.loop.events import CanaryLooked
from holdtrue.pipeline.canary import CanaryState, look
from holdtrue.pipeline.canary_answers import LABELS_US, LAG_US
from holdtrue.pipeline.keeping import Keeper, keeper_of
from holdtrue.pipeline.replay import Again, Ready, ready_model
from holdtrue.spec.loop import Canary

SHARES = (0.01, 0.1, 0.5)
REQUESTS = 1_000  # of each stage
LOOK = 100
WRONG = 0.2  # of the labels contradict the answer
CLIENTS = 2
AT_ONCE = 2
TOLD_S = 0.6  # a worker says what it counted twice a second

Found = dict[str, Any]


def same_twice(to: Path) -> tuple[str, str]:
    """Make a project with two releases of one model, which differ in what they promise; gives both digests."""
    trips(to)
    for text in (PROJECT, PROJECT.replace("at_least: 0.6", "at_least: 0.59")):
        (to / "holdtrue.yaml").write_text(text)
        done = launched("run", folder=to)
        if done.code:
            raise HoldtrueError(f"the run failed: {done.err}")
    keeper = keeper_of(to, {}, actor="benchmark")
    newer, older = (row.digest for row in keeper.releases()[0].rows)
    models = {(keeper.folder_of(digest) / "model.onnx").read_bytes() for digest in (newer, older)}
    if len(models) != 1:
        raise HoldtrueError("the two releases have different models, so they are no fair comparison")
    return older, newer


@dataclass(kw_only=True)
class Trial:
    """One endpoint, and a canary in it."""

    served: Served
    keeper: Keeper
    champion: str
    challenger: str
    seed: int
    again: Again
    bearer: dict[str, str]  # what labels are sent with
    state: CanaryState | None = None
    looks: list[CanaryLooked] = field(default_factory=list[CanaryLooked])
    answers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    failed: int = 0

    def run(self) -> Found:
        """Go through all stages, whatever is seen."""
        self._ask(300)  # what the champion's times are held against
        for share in SHARES:
            weights = {self.champion: 1 - share, self.challenger: share}
            body = {"weights": weights, "champion": self.champion, "reason": "a trial", "actor": "benchmark"}
            if self.served.ask("POST", "/traffic", body, manage=True).status != 200:
                raise HoldtrueError("the requests could not be shared out")
            time.sleep(TOLD_S)
            since_us = time.time_ns() // 1_000
            self._look(share, since_us)
            for _ in range(REQUESTS // LOOK):
                self._ask(LOOK)
                self._look(share, since_us)
            time.sleep(TOLD_S)
            self._look(share, since_us)
        self._label()
        self._look(SHARES[-1], 0, later_us=LABELS_US)
        worse = sorted({name for one in self.looks for name, sign in one.signals.items() if sign == "worse"})
        last = self.looks[-1]
        return {
            "seed": self.seed,
            "requests": len(self.answers),
            "failed": self.failed,
            "looks": len(self.looks),
            "worse": worse,
            "last": dict(last.signals),
            "canary": last.requests,
        }

    def _look(self, share: float, since_us: int, *, later_us: int = 0) -> None:
        # All is written when it is answered, so nothing is gained by waiting until it surely is.
        found, self.state = look(
            self.keeper,
            self.served.ask("GET", "/status", manage=True).json,
            self.state,
            champion=self.champion,
            challenger=self.challenger,
            share=share,
            since_us=since_us,
            now_us=time.time_ns() // 1_000 + LAG_US + later_us,
            settings=Canary(),
            again=self.again,
        )
        self.looks.append(found)

    def _ask(self, count: int) -> None:
        threads = [
            threading.Thread(target=self._client, args=(count // CLIENTS, len(self.answers) + at))
            for at in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _client(self, count: int, at: int) -> None:
        talk = http.client.HTTPConnection("127.0.0.1", self.served.port, timeout=30)
        for row in rows(count, seed=1_000_003 * self.seed + at, target=False):
            talk.request("POST", "/predict", json.dumps([row]).encode(), {"content-type": "application/json"})
            got = talk.getresponse()
            told = json.loads(got.read())
            if got.status == 200:
                self.answers.append((told["prediction_id"], str(told["predictions"][0]["label"])))
            else:
                self.failed += 1
        talk.close()

    def _label(self) -> None:
        """Tell the truth of every answer: whichever release gave it, a fifth of them is wrong."""
        chance = random.Random(self.seed)
        other = {"no": "yes", "yes": "no"}
        labels = [
            {"prediction_id": id, "value": other[said] if chance.random() < WRONG else said}
            for id, said in self.answers
        ]
        for start in range(0, len(labels), 1_000):
            done = self.served.ask("POST", "/labels", labels[start : start + 1_000], self.bearer)
            if done.status != 200:
                raise HoldtrueError(f"labels were refused: {done.json}")


def one_server(made: Path, digests: tuple[str, str], seed: int, readied: dict[str, Ready]) -> Found:
    """Serve a copy of the project, and have a canary there; the champion is one or the other in turns."""
    champion, challenger = digests if seed % 2 else digests[::-1]
    with tempfile.TemporaryDirectory() as name:
        folder = copied(made, Path(name) / "trips")
        keeper = keeper_of(folder, {}, actor="benchmark")
        secret = token(folder, "label")[1]
        with serving(folder, champion) as served:
            trial = Trial(
                served=served,
                keeper=keeper,
                champion=champion,
                challenger=challenger,
                seed=seed,
                again=Again(keeper, ready=lambda _, digest: readied[digest]),
                bearer={"authorization": f"Bearer {secret}"},
            )
            return trial.run()


def more_servers(found: list[Found], count: int, minutes: float, keep: Callable[[list[Found]], None]) -> list[Found]:
    """Go on until there are so many, or until the time is over, two at once; each is kept as soon as it is there."""
    until_s = time.monotonic() + 60 * minutes
    left = sorted(set(range(count)) - {one["seed"] for one in found}, reverse=True)
    turn = threading.Lock()
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(AT_ONCE) as pool:
        made = Path(name) / "made"
        digests = same_twice(made)
        keeper = keeper_of(made, {}, actor="benchmark")
        readied = {digest: ready_model(keeper, digest) for digest in digests}

        def serve() -> None:
            while left and time.monotonic() < until_s:
                one = one_server(made, digests, seed=left.pop(), readied=readied)
                with turn:
                    found.append(one)
                    keep(found)
                    print(f"{len(found)}: {one}", flush=True)

        for done in [pool.submit(serve) for _ in range(AT_ONCE)]:
            done.result()
    return found
