"""A real endpoint with a challenger that fails, is slow or says other things, and what looks at it say."""

import http.client
import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from holdtrue.features.graph import Graph
from holdtrue.loop.events import CanaryLooked
from holdtrue.pipeline.canary import CanaryState, look
from holdtrue.pipeline.canary_answers import LAG_US
from holdtrue.pipeline.keeping import keeper_of
from holdtrue.pipeline.replay import Again
from holdtrue.spec.loop import Canary
from tests.pipeline.canaries import Pair, odds, pair
from tests.pipeline.recorded import PROJECT
from tests.serving.endpoint import Served, serving, until

pytestmark = pytest.mark.slow
HARD = 85.5  # years


@dataclass(kw_only=True)
class Beside:
    """An endpoint with a champion and a challenger."""

    served: Served
    made: Pair
    state: CanaryState | None = None
    since_us: int = 0
    sent: int = 0

    def __post_init__(self) -> None:
        self.keeper = keeper_of(self.served.folder, {}, actor="tester")
        self.again = Again(self.keeper)

    def share(self, share: float) -> None:
        weights = {self.made.champion: 1 - share, **({self.made.challenger: share} if share else {})}
        shadow = [] if share else [self.made.challenger]
        body = {"weights": weights, "shadow": shadow, "champion": self.made.champion, "actor": "tester"}
        assert self.served.ask("POST", "/traffic", body, manage=True).status == 200
        self.since_us = time.time_ns() // 1_000

    def ask(self, count: int, *, hard: float = 0.0) -> dict[int, int]:
        """Ask for so many, a share of them of the age at which a graph may fail; gives the count of each status."""
        chance = np.random.default_rng(self.sent)
        found: dict[int, int] = {}
        talk = http.client.HTTPConnection("127.0.0.1", self.served.port, timeout=30)
        for _ in range(count):
            age = HARD if chance.random() < hard else float(np.clip(chance.normal(45, 15), 1, 80))
            body = json.dumps([{"age": age, "city": "Oslo"}]).encode()
            talk.request("POST", "/predict", body, {"content-type": "application/json"})
            got = talk.getresponse()
            got.read()
            found[got.status] = found.get(got.status, 0) + 1
        talk.close()
        self.sent += count
        return found

    def settle(self, within_s: float) -> None:
        """Ask until 99 of 100 answers of the champion were that quick, which a busy machine may not be at first."""
        for _ in range(10):
            self.ask(400)
            told = self.status()["latency"]
            quick = told["bounds_s"].index(within_s) + 1
            counts = [each["counts"] for each in told["answers"]]
            if sum(sum(each[:quick]) for each in counts) >= 0.99 * sum(map(sum, counts)):
                return

    def status(self) -> dict[str, Any]:
        """Give what was counted, once every worker has told it: they do twice a second."""
        time.sleep(0.7)
        return self.served.ask("GET", "/status", manage=True).json

    def look(self, share: float) -> CanaryLooked:
        """Look at what was counted."""
        found, self.state = look(
            self.keeper,
            self.status(),
            self.state,
            champion=self.made.champion,
            challenger=self.made.challenger,
            share=share,
            since_us=self.since_us,
            now_us=time.time_ns() // 1_000 + LAG_US,  # all that was answered is written
            settings=Canary(),
            again=self.again,
        )
        return found


@contextmanager
def beside(folder: Path, challenger: Graph) -> Generator[Beside]:
    """Serve two releases from a store that holds nothing else."""
    folder.mkdir(exist_ok=True)
    made = pair(folder / ".holdtrue", None, challenger)
    (folder / "holdtrue.yaml").write_text(f"name: {PROJECT}\ndata: {{source: rows.csv, target: bought}}\n")
    with serving(folder, made.champion) as served:
        yield Beside(served=served, made=made)


def test_a_challenger_that_fails_is_found_by_its_errors(tmp_path: Path) -> None:
    with beside(tmp_path / "here", odds(fails_at=HARD)) as here:
        here.ask(250)
        here.share(0.5)
        assert set(here.look(0.5).signals.values()) == {"undecided"}
        answers = here.ask(120, hard=0.5)
        assert answers[422] > 10
        found = here.look(0.5)
        assert found.signals["errors"] == "worse"
        assert found.requests + answers[422] < 120
        assert here.state is not None
        assert here.state.counts.before.errors == 0
        assert here.state.counts.canary.lost == {"graph": answers[422]}


def test_a_shadow_that_fails_is_found_and_nobody_is_harmed(tmp_path: Path) -> None:
    with beside(tmp_path / "here", odds(fails_at=HARD)) as here:
        here.share(0.0)
        here.look(0.0)
        assert here.ask(120, hard=0.3) == {200: 120}
        found = here.look(0.0)
        assert (found.signals["errors"], found.signals["latency"]) == ("worse", "undecided")
        assert 60 < found.requests < 110


def test_a_challenger_that_is_slow_is_found_by_its_times(tmp_path: Path) -> None:
    with beside(tmp_path / "here", odds(detours=100)) as here:
        here.settle(0.005)
        here.share(0.5)
        found = here.look(0.5)
        for _ in range(6):  # 120 requests will do, and more where both wait for a busy machine
            here.ask(120)
            found = here.look(0.5)
            if found.signals["latency"] == "worse":
                break
        assert found.signals["latency"] == "worse"
        assert found.signals["errors"] != "worse"


def test_a_challenger_that_says_other_things_is_found_by_its_scores_and_one_that_does_not_passes(
    tmp_path: Path,
) -> None:
    with beside(tmp_path / "here", odds(slope=0.0, start=1.0)) as here:
        here.share(0.5)
        here.look(0.5)
        here.ask(1_700)
        found = here.look(0.5)
        assert found.signals["scores"] == "worse"
        assert here.state is not None
        assert here.state.answers.answered == found.requests
    with beside(tmp_path / "there", odds(slope=0.0501)) as there:
        there.ask(300)
        there.share(0.5)
        there.look(0.5)
        there.ask(2_400)
        until(lambda: there.look(0.5).requests > 1_000)
        found = there.look(0.5)
        assert {found.signals[name] for name in ("errors", "scores")} == {"not worse"}
        assert found.signals["labels"] == "undecided"
