"""Train on the rows before a start, live through the rest with the loop and without it, and hold both against it."""

import secrets
import shutil
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from holdtrue.core.clock import VirtualClock
from holdtrue.core.errors import Misuse, nearest
from holdtrue.data.dates import iso_of_seconds
from holdtrue.data.traffic.read import labels, receipts
from holdtrue.evaluation.metric import METRICS, offers
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.outcome import Outcome
from holdtrue.pipeline.progress import Tell
from holdtrue.pipeline.run import run
from holdtrue.pipeline.simulation.answers import Answers, frozen_answers, truth_codes
from holdtrue.pipeline.simulation.deeds import Deed, Sort, deeds
from holdtrue.pipeline.simulation.faults import Fault, Traffic, struck
from holdtrue.pipeline.simulation.live import Happened, Live, Pace, Turning, payload
from holdtrue.pipeline.simulation.quality import DAY_US, Difference, Period, Sides, difference, edges, periods
from holdtrue.pipeline.simulation.rows import Rows, divide, read_rows, span_us
from holdtrue.pipeline.simulation.scratch import environment, scratch, with_policy
from holdtrue.pipeline.simulation.server import Server
from holdtrue.pipeline.token_keeping import issue_token
from holdtrue.pipeline.workspace import Workspace
from holdtrue.release.predictor import Predictor
from holdtrue.spec.project import Project

CLOCK, LOG = "clock", "serve.log"
TOKEN_DAYS = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How to simulate.

    Attributes:
        start: a date, or a share of the rows; so is `end`, the last row when it is nothing.
        labels_after: a length of time, or the column that says when each truth became known.
        by_order: the time between two rows that are taken as they stand; nothing takes them by their time.
        step: how often the loop looks; the window of the project's watch when it is nothing.
        policy: the name and text of a file with other sections for the policy.
        metric: of the curves; the first that is promised, else that of the task, when it is nothing.
        rows_each: at most so many rows of one moment go in one request.
        keep: where the simulated project stays; it is thrown away otherwise.
    """

    start: str = "60%"
    end: str = ""
    labels_after: str = "1d"
    by_order: str = ""
    step: str = ""
    faults: tuple[Fault, ...] = ()
    policy: tuple[str, str] | None = None
    metric: str = ""
    rows_each: int = 20
    seed: int = 7
    keep: Path | None = None

    def __post_init__(self) -> None:
        faults = [f"--step is a length of time such as 1d, not {self.step!r}"] * (self.step != "" and not self.step_us)
        faults += [f"--rows-per-request is between 1 and 1000, not {self.rows_each}"] * (
            not 1 <= self.rows_each <= 1000
        )
        if self.keep is not None and self.keep.exists() and (self.keep.is_file() or any(self.keep.iterdir())):
            faults.append(f"--keep names a new folder, and {self.keep} is there already")
        if faults:
            raise Misuse("It cannot be simulated so:", faults=faults)

    @property
    def step_us(self) -> int:
        return span_us(self.step) or 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Unreleased:
    """The first rows gave no release, so there is nothing to live through."""

    outcome: Outcome
    past_rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Simulated:
    """What came of a simulation.

    Attributes:
        frozen: the release that was made first, and that answers all without the loop.
        late_rows: of those before the start, the ones whose truth was not known by then: they taught nobody.
        lost: predictions and labels that were acknowledged and are not in the log.
        bound: what is promised of the metric, where something is.
        strikes: when each fault begins and ends, and what it is.
    """

    project: str
    frozen: str
    metric: str
    title: str
    start_us: int
    end_us: int
    past_rows: int
    late_rows: int
    live_rows: int
    predictions: int
    refused: int
    unanswered: int
    labelled: int
    lost: int
    releases: int
    difference: Difference
    periods: tuple[Period, ...]
    deeds: tuple[Deed, ...]
    bound: float | None
    strikes: tuple[tuple[int, int, str], ...]

    def count(self, sort: Sort) -> int:
        return sum(deed.sort == sort for deed in self.deeds)


def simulate(
    workspace: Workspace,
    settings: Settings,
    *,
    actor: str,
    environ: Mapping[str, str],
    clock: Callable[[], float],
    now: datetime,
    tell: Tell,
    new_loop: Callable[[Workspace, Keeper, VirtualClock], Turning] | None = None,
) -> Simulated | Unreleased:
    """Simulate in a folder of its own; `new_loop` makes the loop, where it is not to be the real one.

    Raises `Misuse` and `DataFault` for what cannot be simulated, and `HoldtrueError` when the endpoint does not answer.
    """
    bare = environment(environ, actor=actor)
    tree = with_policy(workspace.loaded, settings.policy, environ=environ)
    rows = read_rows(workspace, labels_after=settings.labels_after, by_order=settings.by_order, tell=tell)
    past, live, start_us = divide(rows, settings.start, settings.end)
    _check_early(settings, live)
    with _folder(settings.keep) as folder:
        made = scratch(workspace, past, tree, folder, environ=bare)
        started = datetime.fromtimestamp(start_us / 1e6, UTC)
        outcome = run(made, now=started, clock=clock, tell=tell, actor=actor, environ=bare)
        if outcome.release is None:
            return Unreleased(outcome=outcome, past_rows=len(past))
        keeper = Keeper(home=made.home, project=made.project.name, actor=actor)
        frozen = keeper.predictor(outcome.release)
        metric_name = _metric_name(made.project, settings.metric, str(outcome.contents["headline_metric"]))
        classes = frozen.release.core.classes
        traffic = struck(live, settings.faults, frozen.contract, classes=classes, seed=settings.seed)
        live = traffic.rows.take(np.flatnonzero(traffic.origin >= 0))  # as the drift left them
        without = frozen_answers(frozen, live.raw)
        _check_metric(metric_name, without, live)
        world = _World(
            workspace=made, keeper=keeper, frozen=frozen, traffic=traffic, live=live, settings=settings,
            metric=metric_name, start_us=start_us, past_rows=len(past),
            late_rows=int((rows.time_us < start_us).sum()) - len(past),
        )  # fmt: skip
        _, secret = issue_token(keeper, name="simulation", scopes=["label"], days=TOKEN_DAYS, now=now)
        with VirtualClock.make(folder / CLOCK, now_us=start_us) as virtual:
            happened = _lived(world, virtual, secret=secret, environ=bare, tell=tell, new_loop=new_loop)
        tell("look back")
        return _seen(world, happened, without)


@dataclass(frozen=True, kw_only=True, slots=True)
class _World:
    """What is lived through, and where."""

    workspace: Workspace
    keeper: Keeper
    frozen: Predictor
    traffic: Traffic
    live: Rows
    settings: Settings
    metric: str
    start_us: int
    past_rows: int
    late_rows: int


def _lived(
    world: _World,
    virtual: VirtualClock,
    *,
    secret: str,
    environ: Mapping[str, str],
    tell: Tell,
    new_loop: Callable[[Workspace, Keeper, VirtualClock], Turning] | None,
) -> Happened:
    """Live through the rows after the start."""
    made, keeper, settings, traffic = world.workspace, world.keeper, world.settings, world.traffic
    step_us = settings.step_us or round(made.project.watch.window * DAY_US)
    outages = [(fault.at_us(world.live), fault.length_us) for fault in settings.faults if fault.kind == "outage"]
    pace = Pace(start_us=world.start_us, step_us=step_us, rows_each=settings.rows_each, outages=outages)
    served = {**environ, "HOLDTRUE_CLOCK": str((made.folder / CLOCK).absolute())}

    def loop() -> Turning:
        if new_loop is not None:
            return new_loop(made, keeper, virtual)
        from holdtrue.pipeline.looping import Loop

        return Loop(made, keeper, now_us=virtual.now_us, tell=tell, environ=environ, apart=False)

    with Server(made.folder, keeper, served, log=made.folder / LOG) as server:
        tell("start the endpoint")
        server.start()
        lived = Live(
            server, virtual, traffic, payload(traffic.rows.raw, world.frozen.contract), pace,
            answers=Answers(len(world.live), world.frozen.release.core.classes), secret=secret, new_loop=loop,
            tell=tell,
        )  # fmt: skip
        return lived.run()


def _seen(world: _World, happened: Happened, without: Answers) -> Simulated:
    """Hold what was answered against what turned out true, and read what was done."""
    metric, answers, live = METRICS.get(world.metric), happened.answers, world.live
    truth = truth_codes(live.truth, world.frozen.release.core.classes)
    judged = np.flatnonzero(answers.answered & ~np.isnan(truth))
    if not len(judged):
        raise Misuse("No row was answered whose truth is known, so there is nothing to hold against it.")
    sides = Sides(
        time_us=live.time_us[judged],
        loop=answers.predictions(truth, judged),
        frozen=without.predictions(truth, judged),
    )
    bounds = edges(int(sides.time_us[0]), int(sides.time_us[-1]))
    project = world.workspace.project
    return Simulated(
        project=project.name,
        frozen=world.frozen.release.digest,
        metric=world.metric,
        title=metric.title,
        start_us=world.start_us,
        end_us=int(live.time_us[-1]),
        past_rows=world.past_rows,
        late_rows=world.late_rows,
        live_rows=len(live),
        predictions=happened.predictions,
        refused=happened.refused,
        unanswered=happened.unanswered,
        labelled=len(happened.labelled),
        lost=lost(world.keeper, happened),
        releases=len(set(answers.release) - {""}),
        difference=difference(metric, sides, bounds, seed=world.settings.seed),
        periods=periods(metric, sides, bounds),
        deeds=deeds(world.keeper),
        bound=_bound(project, world.metric),
        strikes=tuple(_strike(fault, live) for fault in world.settings.faults),
    )


def lost(keeper: Keeper, happened: Happened) -> int:
    """Count what was acknowledged and is not in the log: predictions, and labels."""
    traffic = keeper.home.path / "traffic"
    kept = {receipt.id for receipt in receipts(traffic, endpoint=keeper.project)} if happened.asked else set[str]()
    said = {(label.prediction, label.row) for label in labels(traffic, endpoint=keeper.project)} if kept else set()
    return len(happened.asked - kept) + len(happened.labelled - said)


@contextmanager
def _folder(keep: Path | None) -> Generator[Path]:
    """Give a folder, thrown away at the end unless it is to be kept."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.absolute()
        return
    folder = Path(tempfile.mkdtemp(prefix=f"holdtrue-simulation-{secrets.token_hex(2)}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_early(settings: Settings, live: Rows) -> None:
    """Refuse what could not be done, before anything is trained."""
    if settings.metric:
        METRICS.get(settings.metric)
    first_us, last_us = int(live.time_us[0]), int(live.time_us[-1])
    faults = [
        f"{fault.text}: the rows that are lived through are from {_day(first_us)} to {_day(last_us)}"
        for fault in settings.faults
        if not first_us <= fault.at_us(live) <= last_us
    ]
    known = live.raw.columns
    faults += [
        f"{fault.text}: there is no column {fault.column!r}{nearest(fault.column, known)}"
        for fault in settings.faults
        if fault.kind == "drift" and fault.column not in known
    ]
    if faults:
        raise Misuse("These faults strike nothing:", faults=faults)


def _day(at_us: int) -> str:
    return iso_of_seconds(at_us // 1_000_000)


def _metric_name(project: Project, asked: str, of_task: str) -> str:
    """Choose what the curves show: what was asked for, what is promised first of all rows, or the task's own."""
    promised = (entry.quality for entry in project.promises)
    first = next((quality.metric for quality in promised if quality is not None and not quality.where), "")
    return asked or first or of_task


def _check_metric(name: str, answers: Answers, live: Rows) -> None:
    metric, index = METRICS.get(name), np.arange(min(len(live), 2))
    held = offers(answers.predictions(np.zeros(len(live)), index))
    if metric.needs not in held:
        fit = [each for each in METRICS.names() if METRICS.get(each).needs in held]
        raise Misuse(f"The metric {name} needs {metric.needs}, which this model does not give.", do=f"Use {_or(fit)}.")


def _bound(project: Project, metric: str) -> float | None:
    for entry in project.promises:
        quality = entry.quality
        if quality is not None and quality.metric == metric and not quality.where:
            return quality.at_least if quality.at_least is not None else quality.at_most
    return None


def _strike(fault: Fault, live: Rows) -> tuple[int, int, str]:
    at_us, end_us = fault.at_us(live), int(live.time_us[-1])
    return at_us, min(at_us + fault.length_us, end_us) if fault.kind == "outage" else end_us, fault.text


def _or(names: Sequence[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
