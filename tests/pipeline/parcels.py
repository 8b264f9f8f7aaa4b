"""A small delivery service that is served and labelled: two weeks of traffic, to which anything may have happened.

Nothing in here is known to Holdtrue: `bent` changes rows before they are asked, `said` what is told of them afterwards.
Days end at the last midnight, so that every one of them is over.
"""

import json
import math
import random
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from holdtrue.data.traffic.journal import Journal
from holdtrue.data.traffic.label import Label, pack_label
from holdtrue.data.traffic.receipt import Receipt, pack
from holdtrue.pipeline.keeping import Keeper, keeper_of
from holdtrue.pipeline.progress import silent
from holdtrue.pipeline.replay import Ready, ready_model
from holdtrue.pipeline.run import run
from holdtrue.pipeline.workspace import open_workspace
from holdtrue.serving.host import host_file, this_host
from tests.cli.driver import Row, project
from tests.pipeline.recorded import Recorder, Request

NAME = "parcels"
DAYS, A_DAY = 14, 240  # of traffic, and rows of each
GONE_WRONG = 10  # the day on which things begin to go wrong
IN_A_REQUEST = 12
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
STREAM = 0x0A0B0C0D
ASKED = ("distance_m", "weight_kg", "volume_l", "sensor_c", "pickup", "region", "carrier", "delay_min")
PROJECT = """\
name: parcels
data: {{source: rows.csv, target: late, time: ordered_at, key: id, drop: [{drop}]}}
learn: {{learners: [lightgbm], trials: 2, seed: 7, folds: 3}}
report: {{learning_curve: false}}
promises:
  - quality: {{metric: roc_auc, at_least: 0.7}}
  - quality: {{metric: accuracy, at_least: {accuracy}}}
retrain: {{{retrain}}}
"""
CONTRACT = """\
fields:
  id: {kind: text, nullable: false}
  ordered_at: {kind: date, nullable: false}
  distance_m: {kind: number, low: 0}
  weight_kg: {kind: number}
  volume_l: {kind: number}
  sensor_c: {kind: number}
  pickup: {kind: date}
  region: {kind: category}
  carrier: {kind: category}
  delay_min: {kind: number}
  late: {kind: category, nullable: false, categories: ["no", "yes"], unseen: refuse}
key: [id]
"""

Bend = Callable[[Row, random.Random, int], Row]
Say = Callable[[Row, random.Random, int, str], str]


@cache
def last_midnight() -> datetime:
    """Give the end of the last day that is over; the same until the process ends, though it works past midnight."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def parcel(
    chance: random.Random, ordered: datetime, number: int, *, islands: float = 0.08, noise: str = "", far: float = 0.0
) -> Row:
    """Make one parcel; `noise` is a region where nothing decides whether it comes late, `far` a share that goes far."""
    region = "islands" if chance.random() < islands else chance.choices(["north", "south", "east"], [5, 3, 2])[0]
    carrier = chance.choices(["red", "blue", "green", "grey"], [40, 30, 20, 10])[0]
    distance, weight = chance.lognormvariate(8.6, 0.6), chance.lognormvariate(1.0, 0.7)
    volume, sensor = chance.lognormvariate(2.8, 0.5), chance.gauss(4.0, 1.5)
    if far and chance.random() < far:
        distance += chance.uniform(8_000, 20_000)
    pickup = ordered.replace(minute=0) + timedelta(minutes=chance.randint(60, 150))
    score = (distance - 6_500) / 1_500 + (weight - 3.5) / 1.5 + (volume - 18) / 12 + 2 * (abs(sensor - 4) - 1.2)
    score += {"islands": 1.5, "north": 0.0, "south": -0.5, "east": 0.5}[region]
    score += {"red": 0.0, "blue": 1.0, "green": -1.0, "grey": 0.0}[carrier]
    late = chance.random() < (0.5 if region == noise else 1 / (1 + math.exp(-score)))
    return {
        "id": f"p{number}",
        "ordered_at": f"{ordered:%Y-%m-%dT%H:%M:%SZ}",
        "distance_m": round(distance, 1),
        "weight_kg": round(weight, 3),
        "volume_l": round(volume, 2),
        "sensor_c": "" if chance.random() < 0.02 else round(sensor, 2),
        "pickup": f"{pickup:%Y-%m-%dT%H:%M:%SZ}",
        "region": region,
        "carrier": carrier,
        "delay_min": round(chance.uniform(16, 90) if late else chance.uniform(-20, 14), 1),
        "late": "yes" if late else "no",
    }


def ordered(chance: random.Random, day: datetime) -> datetime:
    """Give a moment of a day; people order by daylight."""
    hour = min(max(chance.gauss(12.0, 3.0), 0.0), 20.9)
    return day + timedelta(hours=hour)


def parcels(days: int, *, until: datetime, seed: int, a_day: int = 20, **kind: Any) -> list[Row]:
    """Make the parcels of some days, in the order in which they were ordered."""
    chance = random.Random(seed)
    made: list[Row] = []
    for back in range(days, 0, -1):
        moments = sorted(ordered(chance, until - timedelta(days=back)) for _ in range(a_day))
        made += [parcel(chance, moment, seed * 1_000_000 + len(made) + at, **kind) for at, moment in enumerate(moments)]
    return made


def text_of(*, drop: Sequence[str] = (), accuracy: float = 0.6, retrain: str = "") -> str:
    dropped = ", ".join(("id", "ordered_at", *(drop or ("delay_min",))))
    return PROJECT.format(drop=dropped, accuracy=accuracy, retrain=retrain)


def made(folder: Path, *, text: str = "", table: Sequence[Row] | None = None) -> Path:
    """Put the project into a folder and make its champion, the day before traffic begins."""
    begins = last_midnight() - timedelta(days=DAYS)
    project(folder, text=text or text_of(), table=table or parcels(200, until=begins, seed=1))
    (folder / "contract.yaml").write_text(CONTRACT)
    release(folder, now=begins)
    return folder


def release(folder: Path, *, now: datetime) -> Any:
    """Run the project once."""
    workspace = open_workspace(folder, environ={})
    return run(workspace, now=now, clock=time.perf_counter, tell=silent, actor="tester", environ={})


@dataclass(kw_only=True)
class Parcels:
    """A copy of the project, and its traffic."""

    folder: Path
    ready: Ready
    seed: int
    receipts: list[Receipt] = field(default_factory=list[Receipt])
    labels: list[Label] = field(default_factory=list[Label])

    @property
    def keeper(self) -> Keeper:
        return keeper_of(self.folder, {}, actor="tester")

    @property
    def begins(self) -> datetime:
        return last_midnight() - timedelta(days=DAYS)

    def live(
        self,
        *,
        bent: Bend | None = None,
        said: Say | None = None,
        since: int = GONE_WRONG,
        labelled_until: int = DAYS,
        days: int = DAYS,
        sent: int = 1,
        twice: float = 0.0,
        callers: Sequence[str] = ("",),
        later_h: float = 0.0,
        **kind: Any,
    ) -> "Parcels":
        """Let two weeks pass. From a day on `bent` and `said` happen, and each request is sent `sent` times.

        Args:
            twice: the share of the requests that are sent twice.
            callers: who ask, in turns; `bent` happens to what the first of them asks.
            later_h: by so many hours labels come later.
            since: that day, counted from 0.
            labelled_until: the day after which no label comes any more.
            kind: of the parcels from that day on, such as how many go far.
        """
        chance = random.Random(self.seed)
        recorder = Recorder(keeper=self.keeper, ready=self.ready, stream=STREAM)
        names = [name for name in ASKED if name in self.ready[1].about.order]
        for day in range(days):
            start = self.begins + timedelta(days=day)
            wrong = day >= since
            seed = self.seed * 1_000 + day
            rows = parcels(1, until=start + timedelta(days=1), seed=seed, a_day=A_DAY, **(kind if wrong else {}))
            for at in range(0, A_DAY, IN_A_REQUEST):
                part = rows[at : at + IN_A_REQUEST]
                caller = callers[at // IN_A_REQUEST % len(callers)]
                is_bent = bent is not None and wrong and caller == callers[0]
                given = [bent(dict(row), chance, day) if bent and is_bent else row for row in part]
                for _ in range((sent + (chance.random() < twice)) if wrong else 1):
                    moment = datetime.fromisoformat(str(part[-1]["ordered_at"]))
                    recorder.now_us = max(round(moment.timestamp() * 1e6), recorder.now_us % DAY_US + _us(start))
                    (receipt,) = recorder.answer([_request(given, names)])
                    self.receipts.append(msgspec.structs.replace(receipt, caller=caller))
                    later_us = round(later_h * HOUR_US) if wrong else 0
                    self._labels(receipt, part, chance, said if wrong else None, day, labelled_until, later_us)
        return self

    def _labels(
        self,
        receipt: Receipt,
        rows: Sequence[Row],
        chance: random.Random,
        said: Say | None,
        day: int,
        until: int,
        later_us: int,
    ) -> None:
        for place, row in enumerate(rows):
            source = chance.choice(["desk", "scanner"])
            delay_us = round(min(chance.lognormvariate(1.8, 0.7), 40.0) * HOUR_US)
            truth = str(row["late"])
            value = said(row, chance, day, source) if said else truth
            came_us = receipt.time_us + delay_us + later_us
            if chance.random() < 0.9 and came_us < min(_us(self.begins + timedelta(days=until)), _us(last_midnight())):
                self.labels.append(
                    Label(
                        value=value,
                        time_us=came_us,
                        received_us=came_us,
                        prediction=receipt.id,
                        row=place,
                        source=source,
                    )
                )

    def write(self) -> "Parcels":
        """Write the log as an endpoint does."""
        keeper = self.keeper
        traffic = keeper.home.path / "traffic"
        with closing(Journal(traffic, endpoint=keeper.project, stream=STREAM, now=lambda: _us(self.begins))) as journal:
            for receipt in self.receipts:
                journal.add(pack(receipt))
            for label in sorted(self.labels, key=lambda one: one.received_us):
                journal.add(pack_label(label))
            journal.write()
        host_file(traffic / keeper.project, STREAM).write_bytes(msgspec.json.encode(this_host()))
        return self


def copied(folder: Path, to: Path, *, seed: int, ready: Ready | None = None) -> Parcels:
    shutil.copytree(folder, to)
    keeper = keeper_of(to, {}, actor="tester")
    return Parcels(folder=to, ready=ready or ready_model(keeper, keeper.folder_of("champion").name), seed=seed)


def _request(rows: Sequence[Row], names: Sequence[str]) -> Request:
    told = [{name: None if row[name] == "" else row[name] for name in names} for row in rows]
    return Request(wire="rows", body=json.dumps(told).encode())


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)
