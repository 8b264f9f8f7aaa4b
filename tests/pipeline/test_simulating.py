"""`holdtrue simulate` from end to end: a shop whose customers turn around, and all that can go wrong on the way."""

import os
import random
import signal
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from holdtrue.core.clock import VirtualClock
from holdtrue.core.errors import HoldtrueError, Misuse
from holdtrue.data.traffic.read import labels, receipts
from holdtrue.pipeline.keeping import Keeper, keeper_of
from holdtrue.pipeline.progress import silent
from holdtrue.pipeline.running import ask
from holdtrue.pipeline.simulation import Settings, Simulated, Turning, read_fault, simulate
from holdtrue.pipeline.workspace import Workspace, open_workspace
from tests.cli.driver import Row, as_csv, ended, holdtrue, launched, started

PROJECT = """\
name: shop
data: {source: rows.csv, target: bought, time: at, drop: [at, known]}
learn: {learners: [logistic], trials: 1, seed: 7, folds: 3}
report: {learning_curve: false}
promises: [{quality: {metric: roc_auc, at_least: 0.55}}]
watch: {window: 1d}
"""
POLICY = """\
retrain: {when: [broken promise, promise at risk], newest: 4d, test: 0.4, validation: 0.1, cooldown: 1d,
  at_most: 1/day, storm: 20, margin: 0.3, label_issues: 1}
serve: {canary: {shadow: 12h, shares: [0.5], stage: 30d, requests: 20, decide_by: [labels], guard: 2d}}
"""
FIRST = datetime(2021, 1, 1, tzinfo=UTC)
APART = timedelta(minutes=24)
DAY_US = 86_400_000_000


def customers(count: int, *, turned: int) -> list[Row]:
    """Who is older and richer buys more often; from the row `turned` on, less often. One comes every 24 minutes."""
    chance = random.Random(5)
    made: list[Row] = []
    for number in range(count):
        at = FIRST + number * APART
        age, income = chance.randint(18, 80), round(chance.lognormvariate(3, 0.5), 2)
        region = chance.choice(["north", "south", "east"])
        score = (age - 45) / 6 + (income - 22) / 10 + (1.5 if region == "north" else 0)
        score = -score if number > turned else score
        bought = "yes" if chance.random() < 1 / (1 + 2.718281828**-score) else "no"
        known = at + timedelta(hours=chance.randint(1, 24))
        made.append(
            {"at": _iso(at), "age": age, "income": income, "region": region, "known": _iso(known), "bought": bought}
        )
    return made


def _iso(at: datetime) -> str:
    return at.replace(tzinfo=None).isoformat()


def shop(folder: Path, table: list[Row], *, text: str = PROJECT) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.csv").write_text(as_csv(table))
    (folder / "holdtrue.yaml").write_text(text)
    (folder / "policy.yaml").write_text(POLICY)
    return folder


@dataclass
class Watching:
    """A loop that only looks at the clock, and may do something at one of its turns."""

    clock: VirtualClock
    keeper: Keeper
    turns: list[int] = field(default_factory=list[int])
    closed: bool = False
    at_turn: int = -1

    def turn(self) -> tuple[str, ...]:
        self.turns.append(self.clock.now_us())
        if len(self.turns) == self.at_turn:
            os.kill(ask(self.keeper, "GET", "/status")["pid"], signal.SIGKILL)
        return ()

    def close(self) -> None:
        self.closed = True


@dataclass
class Loops:
    """Makes loops, and remembers them."""

    at_turn: int = -1
    made: list[Watching] = field(default_factory=list[Watching])

    def __call__(self, workspace: Workspace, keeper: Keeper, clock: VirtualClock) -> Turning:
        self.made.append(Watching(clock=clock, keeper=keeper, at_turn=self.at_turn))
        return self.made[-1]


def lived(folder: Path, loops: Loops, settings: Settings, **environ: str) -> Simulated:
    found = simulate(
        open_workspace(folder, environ={}),
        settings,
        actor="tester",
        environ={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", **environ},
        clock=time.perf_counter,
        now=datetime.now(UTC),
        tell=silent,
        new_loop=loops,
    )
    assert isinstance(found, Simulated)
    return found


@pytest.mark.slow
def test_the_loop_learns_what_the_first_release_does_not_know(tmp_path: Path) -> None:
    folder = shop(tmp_path / "shop", customers(1_600, turned=800))
    words = ("--start", "50%", "--labels-after", "known", "--policy", "policy.yaml", "--rows-per-request", "1")
    done = launched("simulate", *words, "--json", folder=folder)  # in a process of its own: signatures go unchecked
    assert done.code == 0, done.err
    told = done.json
    assert list(told)[:12] == [
        "metric", "frozen", "loop", "low", "high", "predictions", "alarms", "retrains", "promotions", "rollbacks",
        "lost", "picture",
    ]  # fmt: skip
    assert told["metric"] == "roc_auc"
    assert told["frozen"] < 0.3 < told["loop"]
    assert 0 < told["low"] < told["loop"] - told["frozen"] < told["high"]
    assert (told["predictions"], told["lost"], told["refused"]) == (800, 0, 0)
    assert told["alarms"] >= 1
    assert told["retrains"] >= told["promotions"] >= 1
    before = [each["loop"] == each["frozen"] for each in told["periods"]]
    assert before[0]
    assert not before[-1]
    page = Path(told["picture"]).read_text()
    assert f">promotions {told['promotions']}<" in page
    # Nothing of the project changed, and there is no store beside it.
    assert sorted(path.name for path in folder.iterdir()) == [
        "holdtrue.yaml", "policy.yaml", "rows.csv", "simulation.html",
    ]  # fmt: skip


@pytest.mark.slow
def test_everything_happens_at_its_moment_and_faults_at_theirs(tmp_path: Path) -> None:
    table = customers(900, turned=10_000)
    for number in (700, 701, 850):
        table[number]["income"] = "much"
    folder, keep, loops = shop(tmp_path / "shop", table), tmp_path / "kept", Loops()
    outage_us = round((FIRST + timedelta(days=11, hours=3)).timestamp() * 1e6)
    faults = ("outage:2021-01-12T03:00:00Z:5h", "poison:2021-01-13:30%", "noise:2021-01-13:20%", "drift:80%:age+100")
    settings = Settings(
        start="60%", labels_after="known", faults=tuple(map(read_fault, faults)), keep=keep, rows_each=5, step="12h"
    )
    found = lived(folder, loops, settings)

    # The loop looked twice a day, by the clock; not while the machine was dead, and a new one after that.
    first, second = loops.made
    assert not first.closed
    assert second.closed
    turns = [*first.turns, *second.turns]
    assert all(turn % (DAY_US // 2) == 120_000_000 for turn in turns[:-1])
    assert turns == sorted(turns)
    assert first.turns[-1] < outage_us < outage_us + 5 * 3_600_000_000 <= second.turns[0]

    keeper = keeper_of(keep, {}, actor="tester")
    kept = {receipt.id: receipt for receipt in receipts(keep / ".holdtrue" / "traffic")}
    at_us = [round((FIRST + number * APART).timestamp() * 1e6) for number in range(900)]
    known_us = {
        at: round(datetime.fromisoformat(str(row["known"])).replace(tzinfo=UTC).timestamp() * 1e6)
        for at, row in zip(at_us, table, strict=True)
    }
    asked_at = {receipt.time_us for receipt in kept.values()}
    dead = {at for at in at_us if outage_us <= at < outage_us + 5 * 3_600_000_000}
    assert asked_at <= set(at_us[540:]) - dead
    assert found.unanswered == len(dead) == 12
    assert found.refused >= 3
    # Each label came with the first delivery after its truth was known, half an hour later at most.
    heard = list(labels(keep / ".holdtrue" / "traffic"))
    span_us = DAY_US // 48
    for label in heard:
        asked = kept[label.prediction].time_us
        late = label.received_us - known_us[asked]
        assert 0 <= late < span_us or outage_us <= label.received_us <= outage_us + 6 * 3_600_000_000
    assert {label.source for label in heard} == {"truth", "poisoner"}
    truth = {at: str(row["bought"]) for at, row in zip(at_us, table, strict=True)}
    from_us = round(datetime(2021, 1, 13, tzinfo=UTC).timestamp() * 1e6)
    lies = [label.value != truth[kept[label.prediction].time_us] for label in heard if label.source == "truth"]
    early = [label for label in heard if kept[label.prediction].time_us < from_us]
    assert all(label.value == truth[kept[label.prediction].time_us] for label in early)
    assert 0.08 < np.mean(lies) < 0.25
    assert all(label.value != truth[kept[label.prediction].time_us] for label in heard if label.source == "poisoner")
    # What the endpoint said is what the release says: to the last digit, so nothing differs without a loop.
    assert (found.difference.value, found.difference.low, found.difference.high) == (0.0, 0.0, 0.0)
    assert (found.lost, found.releases) == (0, 1)
    assert found.predictions == sum(receipt.rows for receipt in kept.values())
    assert found.predictions + found.refused + found.unanswered > 360  # with the copies
    assert keeper.verify().count > 0


@pytest.mark.slow
def test_a_dead_endpoint_is_told_and_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shop(tmp_path / "shop", customers(500, turned=10_000))
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    with pytest.raises(HoldtrueError, match="The endpoint of the simulation is dead"):
        lived(folder, Loops(at_turn=2), Settings(start="60%"), TMPDIR=str(tmp_path / "scratch"))
    assert list((tmp_path / "scratch").glob("holdtrue-simulation-*")) == []


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_who_ends_it_ends_the_endpoint_and_the_folder(tmp_path: Path, number: signal.Signals, code: int) -> None:
    folder, scratch = shop(tmp_path / "shop", customers(3_000, turned=10_000)), tmp_path / "scratch"
    scratch.mkdir()
    process = started("simulate", "--start", "20%", "--rows-per-request", "1", folder=folder, TMPDIR=str(scratch))
    until_s = time.monotonic() + 90
    while not (served := list(scratch.glob("holdtrue-simulation-*/.holdtrue/endpoints/shop.json"))):
        assert process.poll() is None, ended(process).err
        assert time.monotonic() < until_s
        time.sleep(0.05)
    pid = next(int(line.split(":")[1].strip(" ,")) for line in served[0].read_text().splitlines() if '"pid"' in line)
    process.send_signal(number)
    assert ended(process).code == code
    assert list(scratch.glob("holdtrue-simulation-*")) == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.slow
def test_rows_that_prove_nothing_end_as_a_run_does(tmp_path: Path) -> None:
    folder = shop(tmp_path / "shop", customers(400, turned=10_000), text=PROJECT.replace("0.55", "0.999"))
    done = holdtrue("simulate", "--json", folder=folder)
    assert done.code in (3, 4)
    assert "rows before the start give no release" in done.json["error"]["what"]
    assert done.json["error"]["promises"][0]["verdict"] in ("refuted", "unproven")
    assert done.json["exit_code"] == done.code
    assert not (folder / "simulation.html").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--fault", "flood:2021-01-01"), "The fault 'flood:2021-01-01' is no drift"),
        (("--step", "often"), "--step is a length of time such as 1d, not 'often'"),
        (("--rows-per-request", "0"), "--rows-per-request is between 1 and 1000, not 0"),
        (("--keep", "."), "--keep names a new folder"),
        (("--policy", "nowhere.yaml"), "The policy nowhere.yaml cannot be read: No such file"),
        (("--out", "nowhere/picture.html"), "The folder nowhere is not there"),
        (("--start", "soon"), "'soon' is no date in ISO form"),
        (("--metric", "roc_acu"), "did you mean 'roc_auc'?"),
        (("--fault", "outage:2020-01-01"), "the rows that are lived through are from 2021-01-03 to"),
        (("--fault", "drift:50%:agee*2"), "no column 'agee'; did you mean 'age'?"),
        (("--labels-after", "knwon"), "did you mean 'known'?"),
    ],
)
def test_what_cannot_be_simulated_is_told_before_anything_is_done(
    tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    folder = shop(tmp_path / "shop", customers(200, turned=1_000))
    done = holdtrue("simulate", *words, folder=folder)
    assert done.code == Misuse.exit_code
    assert told in done.err
