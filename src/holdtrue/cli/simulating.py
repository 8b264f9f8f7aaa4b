"""The verb that tries the loop on the past: simulate."""

import math
import os
import signal
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import TYPE_CHECKING, Any

from holdtrue.cli.person import actor, now
from holdtrue.cli.show import console, number, print_json, progress, promise_table, table
from holdtrue.core.errors import Misuse

if TYPE_CHECKING:
    from holdtrue.pipeline.simulation import Simulated, Unreleased
    from holdtrue.pipeline.simulation.deeds import Deed

MOST_TOLD = 40
MOST_ALARMS = 3  # that are named, of one moment
ENDED = 143  # what a shell expects of a program ended by SIGTERM


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulateOptions:
    """What was given, by the names on the command line."""

    start: str
    end: str
    labels_after: str
    by_order: str
    step: str
    faults: Sequence[str]
    policy: Path | None
    metric: str
    rows_per_request: int
    seed: int
    keep: Path | None
    out: Path | None


def simulate(folder: Path, given: SimulateOptions, *, profile: str | None, as_json: bool) -> int:
    from holdtrue.core.files import write_whole
    from holdtrue.pipeline.simulation import Settings, Unreleased, read_fault
    from holdtrue.pipeline.simulation import simulate as lived
    from holdtrue.pipeline.workspace import open_workspace

    workspace = open_workspace(folder, environ=os.environ, profile=profile)
    settings = Settings(
        start=given.start,
        end=given.end,
        labels_after=given.labels_after,
        by_order=given.by_order,
        step=given.step,
        faults=tuple(read_fault(text) for text in given.faults),
        policy=None if given.policy is None else (given.policy.name, _text(given.policy)),
        metric=given.metric,
        rows_each=given.rows_per_request,
        seed=given.seed,
        keep=given.keep,
    )
    out = given.out or folder / "simulation.html"
    if not out.absolute().parent.is_dir():
        raise Misuse(f"The folder {out.parent} is not there.", do="Make it first.")
    with _ended_in_order(), progress(quiet=as_json) as tell:
        found = lived(workspace, settings, actor=actor(), environ=os.environ, clock=perf_counter, now=now(), tell=tell)
    if isinstance(found, Unreleased):
        return _unreleased(found, given.keep, as_json=as_json)
    write_whole(out, _page(found).encode())
    if as_json:
        print_json(_json(found, out))
    else:
        _show(found, out)
    return 1 if found.lost else 0


def _unreleased(found: "Unreleased", keep: Path | None, *, as_json: bool) -> int:
    outcome = found.outcome
    what = f"The {found.past_rows:,} rows before the start give no release: its promises are {outcome.verdict}."
    do = "Start later, so that more rows teach and judge; or promise less." + (
        "" if keep else " With --keep FOLDER the report stays, to be looked at."
    )
    if as_json:
        error = {"what": what, "do": do, "promises": outcome.to_json()["promises"]}
        print_json({"error": error, "exit_code": outcome.exit_code})
        return outcome.exit_code
    out = console()
    out.print(promise_table(outcome.contents["promises"]))
    out.print(f"\n{what}\n{do}")
    if keep:
        out.print(f"Report: {outcome.report}")
    return outcome.exit_code


def _json(found: "Simulated", out: Path) -> dict[str, Any]:
    made = found.difference
    return {
        "metric": found.metric,
        "frozen": _finite(made.frozen),
        "loop": _finite(made.loop),
        "low": _finite(made.low),
        "high": _finite(made.high),
        "predictions": found.predictions,
        "alarms": found.count("alarm"),
        "retrains": found.count("retrain"),
        "promotions": found.count("promotion"),
        "rollbacks": found.count("rollback"),
        "lost": found.lost,
        "picture": str(out.absolute()),
        "given_up": found.count("given up"),
        "difference": _finite(made.value),
        "how": made.how,
        "since": _day(made.since_us),
        "refused": found.refused,
        "unanswered": found.unanswered,
        "late": found.late_rows,
        "labels": found.labelled,
        "periods": [
            {
                "from": _day(each.start_us),
                "rows": each.rows,
                "frozen": _finite(each.frozen),
                "loop": _finite(each.loop),
            }
            for each in found.periods
        ],
        "deeds": [{**deed.to_json(), "at": _moment(deed.at_us)} for deed in found.deeds],
    }


def _show(found: "Simulated", out: Path) -> None:
    words, made = console(), found.difference
    words.print(
        f"Trained on {number(found.past_rows)} rows before {_day(found.start_us)}: release {found.frozen[:12]}. Then"
        f" {number(found.live_rows)} rows were lived through until {_day(found.end_us)}."
    )
    if found.late_rows:
        words.print(f"{number(found.late_rows)} more from before taught nobody: their truth was not known by then.")
    words.print(_sums(found))
    words.print()
    rows = [
        ("the first release alone", number(made.frozen), ""),
        ("with the loop", number(made.loop), ""),
        ("better by", number(made.value), f"{number(made.low)} … {number(made.high)}"),
    ]
    words.print(table(f"{found.title} since {_day(made.since_us)}", ("", "value", "limits"), rows, right=(1,)))
    words.print(f"{number(made.rows)} rows, {made.how}.\n")
    told = _told(found.deeds)
    words.print(table("What the loop did", ("when", "what", "why"), told[:MOST_TOLD]) if told else "It did nothing.")
    if len(told) > MOST_TOLD:
        words.print(f"… and {len(told) - MOST_TOLD} more; they are in the picture.")
    words.print(f"\nPicture: {out}")


def _told(deeds: Sequence["Deed"]) -> list[tuple[str, str, str]]:
    """Tell what was done, the alarms of one moment together: each is in the picture, with its evidence."""
    told: list[tuple[str, str, str]] = []
    for at_us, together in groupby(deeds, key=lambda deed: deed.at_us):
        here = list(together)
        alarms = [deed.what for deed in here if deed.sort == "alarm"]
        if alarms:
            more = f" and {len(alarms) - MOST_ALARMS} more" if len(alarms) > MOST_ALARMS else ""
            what = "1 alarm" if len(alarms) == 1 else f"{len(alarms)} alarms"
            told.append((_moment(at_us), what, "; ".join(alarms[:MOST_ALARMS]) + more))
        told += [(_moment(at_us), deed.what, deed.why) for deed in here if deed.sort != "alarm"]
    return told


def _sums(found: "Simulated") -> str:
    counted = (
        (found.refused, "rows refused by the contract"),
        (found.unanswered, "rows unanswered, the machine being dead"),
        (found.labelled, "labels"),
        (found.count("alarm"), "alarms"),
        (found.count("retrain"), "retrains"),
        (found.count("promotion"), "promotions"),
        (found.count("rollback"), "rollbacks"),
        (found.count("given up"), "challengers given up undecided"),
    )
    told = ", ".join(_counted(count, name) for count, name in counted if count or name in ("labels", "retrains"))
    lost = f"{number(found.lost)} that were acknowledged are LOST" if found.lost else "nothing acknowledged is lost"
    return f"{number(found.predictions)} predictions, {told}; {lost}."


def _counted(count: int, name: str) -> str:
    """Say how many.

    >>> _counted(1, "retrains"), _counted(1_200, "labels")
    ('1 retrain', '1,200 labels')
    """
    noun, *rest = name.split(" ", 1)
    return " ".join([number(count), noun.removesuffix("s") if count == 1 else noun, *rest])


def _page(found: "Simulated") -> str:
    from holdtrue.pipeline.simulation.picture import Scene, page

    made = found.difference
    scene = Scene(
        metric=found.title,
        periods=found.periods,
        deeds=found.deeds,
        bound=found.bound,
        struck=found.strikes,
        end_us=found.end_us,
    )
    facts = [
        (number(made.frozen), f"{found.title}, the first release alone"),
        (number(made.loop), f"{found.title}, with the loop"),
        (number(made.value), f"better by; limits {number(made.low)} to {number(made.high)}"),
        (number(found.predictions), "predictions"),
        (number(found.labelled), "labels"),
        (number(found.count("alarm")), "alarms"),
        (number(found.count("retrain")), "retrains"),
        (number(found.count("promotion")), "promotions"),
        (number(found.count("rollback")), "rollbacks"),
        (number(found.lost), "acknowledged, and lost"),
    ]
    if found.count("given up"):
        facts.insert(-1, (number(found.count("given up")), "given up undecided"))
    return page(
        scene,
        title=f"{found.project}, lived through again",
        below=f"{number(found.past_rows)} rows before {_day(found.start_us)} made the release {found.frozen[:12]};"
        f" {number(found.live_rows)} rows until {_day(found.end_us)} went through the server, in virtual time.",
        facts=facts,
        caption=f"Above: since {_day(made.since_us)}, {made.how}. Below: each point is a period, and counts its rows"
        " alone. A dotted line is where the champion changed.",
        warnings=[f"Struck on purpose: {text}, from {_day(at_us)} on." for at_us, _, text in found.strikes],
    )


@contextmanager
def _ended_in_order() -> Generator[None]:
    """Let a request to end take the endpoint and the folder along, as Ctrl-C does."""

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(ENDED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Misuse(
            f"The policy {path} cannot be read: {why}.", do="Name a file with retrain, serve or watch."
        ) from None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _day(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d}"


def _moment(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us / 1e6, UTC):%Y-%m-%d %H:%M}"
