"""A small project with a champion, and traffic of it whose truth became known: written as endpoints do, without one."""

import json
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from holdtrue.data.traffic.journal import Journal
from holdtrue.data.traffic.label import Label, Scalar, pack_label
from holdtrue.data.traffic.receipt import Receipt, pack
from holdtrue.pipeline.keeping import Keeper, keeper_of
from holdtrue.pipeline.progress import Tell, silent
from holdtrue.pipeline.replay import Again, Ready, ready_model
from holdtrue.pipeline.retraining import Retrained, retrain
from holdtrue.pipeline.run import run
from holdtrue.pipeline.workspace import Workspace, open_workspace
from tests.cli.driver import Row, project
from tests.pipeline.recorded import Recorder, Request

MADE = datetime(2026, 9, 1, tzinfo=UTC)  # when the rows of the source end
SERVED = datetime(2026, 9, 10, tzinfo=UTC)  # when traffic begins
HOUR_US = 3_600_000_000
PROJECT = """\
name: visits
data: {{source: rows.csv, target: bought, time: seen_at, key: id, drop: [id, clerk{drop}]}}
learn: {{learners: [logistic], trials: 1, seed: 7, folds: 3}}
report: {{learning_curve: false}}
promises:
  - quality: {{metric: roc_auc, at_least: 0.5}}
  - small: {{bytes_at_most: 1 MB}}
retrain: {{{retrain}}}
"""
CONTRACT = """\
fields:
  id: {kind: text, nullable: false}
  clerk: {kind: category, nullable: false}
  seen_at: {kind: date, formats: ["%d.%m.%Y %H:%M"], nullable: false}
  born: {kind: date, formats: ["%m/%d/%y"]}
  age: {kind: number, missing: ["-1"], low: 0, high: 120}
  income: {kind: number, decimal: ","}
  nights: {kind: number, integer: true, nullable: false}
  region: {kind: category, nullable: false}
  note: {kind: text, personal: true}
  bought: {kind: category, nullable: false, categories: ["no", "yes"], unseen: refuse}
key: [id]
"""
FEATURES = ("seen_at", "born", "age", "income", "nights", "region", "note")


def text_of(*, drop: str = "", retrain: str = "") -> str:
    return PROJECT.format(drop=f", {drop}" if drop else "", retrain=retrain)


def visits(count: int, *, seed: int = 1, until: datetime = MADE, pull: float = 1.0) -> list[Row]:
    """Make visits, an hour after each other; `pull` is how much the region decides."""
    chance = random.Random(seed)
    made: list[Row] = []
    for number in range(count):
        age, region = chance.randint(18, 80), chance.choice(["north", "south", "east"])
        income = round(chance.lognormvariate(3, 0.5), 2)
        score = (age - 45) / 10 + (income - 22) / 10 + (1.5 * pull if region == "north" else 0)
        moment = until - timedelta(hours=count - number)
        made.append(
            {
                "id": f"v{seed}-{number}",
                "clerk": chance.choice("abc"),
                "seen_at": f"{moment:%d.%m.%Y %H:%M}",
                "born": f"{chance.randint(1, 12):02}/{chance.randint(1, 28):02}/{chance.randint(10, 25)}",
                "age": -1 if chance.random() < 0.05 else age,
                "income": f'"{str(income).replace(".", ",")}"',
                "nights": chance.randint(0, 14),
                "region": region,
                "note": "" if chance.random() < 0.3 else chance.choice(["late", "quiet", "grün"]),
                "bought": "yes" if chance.random() < 1 / (1 + 2.718281828**-score) else "no",
            }
        )
    return made


def asked(row: Mapping[str, object], *, without: Sequence[str] = ()) -> Request:
    """Ask for a visit as a client does: numbers as numbers, dates as they are written."""
    given = {name: row[name] for name in FEATURES if name not in without}
    given["income"] = float(str(given["income"]).strip('"').replace(",", "."))
    return Request(wire="rows", body=json.dumps(given).encode())


def made(
    folder: Path,
    *,
    text: str = "",
    count: int = 500,
    contract: str | None = CONTRACT,
    change: Callable[[Row], Row] = lambda row: row,
) -> Path:
    """Put the project into a folder and make its champion, a day after its rows end."""
    project(folder, text=text or text_of(), table=[change(row) for row in visits(count)])
    if contract is not None:
        (folder / "contract.yaml").write_text(contract)
    workspace = open_workspace(folder, environ={})
    done = run(
        workspace,
        now=MADE + timedelta(days=1),
        clock=time.perf_counter,
        tell=silent,
        actor="tester",
        environ={},
    )
    assert done.verdict == "proven", done.contents["verdict_reason"]
    return folder


@dataclass(kw_only=True)
class Lived:
    """A project folder, and traffic of its champion that is written when all is said."""

    folder: Path
    ready: Ready
    now_us: int = round(SERVED.timestamp() * 1e6)
    labels: list[Label] = field(default_factory=list[Label])
    now: datetime = datetime(2026, 11, 20, tzinfo=UTC)  # of the last training

    def __post_init__(self) -> None:
        self.recorder = Recorder(keeper=self.keeper, ready=self.ready, now_us=self.now_us)

    @property
    def workspace(self) -> Workspace:
        return open_workspace(self.folder, environ={})

    @property
    def keeper(self) -> Keeper:
        return keeper_of(self.folder, {}, actor="tester")

    def again(self) -> Again:
        return self.recorder.again()

    def serve(self, rows: Iterable[Mapping[str, object]], *, without: Sequence[str] = ()) -> list[Receipt]:
        """Answer visits, an hour after each other, each labelled an hour later with what came true."""
        found: list[Receipt] = []
        for row in rows:
            self.recorder.now_us += HOUR_US
            (receipt,) = self.recorder.answer([asked(row, without=without)])
            found.append(receipt)
            self.say(receipt, str(row["bought"]))
        return found

    def say(self, receipt: Receipt, value: Scalar, *, row: int = 0, after_us: int = HOUR_US) -> None:
        heard_us = receipt.time_us + after_us
        self.labels.append(
            Label(value=value, time_us=heard_us, received_us=heard_us, prediction=receipt.id, row=row, source="desk")
        )

    def rewrite(self, was: str, now: str) -> None:
        """Change the project file."""
        file = self.folder / "holdtrue.yaml"
        assert was in file.read_text()
        file.write_text(file.read_text().replace(was, now))

    def write(self, *, stream: int = 0x1234ABCD) -> None:
        """Write what was said since the last time, as the stream of another process."""
        if not self.recorder.receipts and not self.labels:
            return
        keeper = self.keeper
        traffic = keeper.home.path / "traffic"
        journal = Journal(traffic, endpoint=keeper.project, stream=stream, now=lambda: self.now_us)
        with closing(journal):
            for receipt in self.recorder.receipts:
                journal.add(pack(receipt))
            for label in self.labels:
                journal.add(pack_label(label))
            journal.write()
        self.recorder.receipts, self.labels = [], []

    @property
    def until_us(self) -> int:
        """When all that was said is known."""
        return self.recorder.now_us + 2 * HOUR_US

    def retrain(self, *, until_us: int = 0, tell: Tell = silent, now: datetime | None = None) -> Retrained:
        self.now = now or self.now + timedelta(minutes=1)
        return retrain(
            self.workspace,
            self.keeper,
            until_us=until_us or self.until_us,
            tell=tell,
            environ={},
            now=self.now,
            again=self.again(),
        )


def lived(folder: Path) -> Lived:
    keeper = keeper_of(folder, {}, actor="tester")
    return Lived(folder=folder, ready=ready_model(keeper, keeper.folder_of("champion").name))
