"""One door for every question: what is wrong now, or why one thing is as it is.

    nothing         what is wrong now, the worst first; the last run where nothing is
    an id           of a run, a release, a prediction or an alarm
    loop            what the loop does, or does not do
    a column        of the champion
    a promise       of the champion, as its owner wrote it

What makes everything else doubtful comes first: bytes that changed. Then what keeps answers from going out, then rows
and labels, then the loop, which follows from these.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from holdtrue.core.errors import HoldtrueError, Misuse, Refused
from holdtrue.monitoring.alarms import Alarm
from holdtrue.pipeline.alarming import alarms
from holdtrue.pipeline.budgeting import promises_of
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.replay import Again
from holdtrue.pipeline.why import Cause, Explanation, explain
from holdtrue.pipeline.why_prediction import explain_prediction
from holdtrue.pipeline.why_service import causes_of_endpoint, causes_of_loop
from holdtrue.pipeline.why_store import CHAMPION, causes_of_log, causes_of_name, causes_of_store, changed_release
from holdtrue.pipeline.why_traffic import Traffic, causes_of_traffic, readable

PREDICTION = re.compile(r"[0-9a-f]{32}")
ALARM = re.compile(r"[0-9a-f]{4,16}")
OF_LABELS = ("labels late", "labels wrong", "labels inverted", "meaning changed")
LEAST_WORDS = 4  # letters of a promise by which it may be named


def explain_about(keeper: Keeper, about: str | None, *, now: datetime, again: Again | None = None) -> Explanation:
    """Explain what is asked about. Raises `Misuse` where there is no such thing."""
    again = again or Again(keeper)
    if about is None:
        return _whole(keeper, now=now, again=again)
    if PREDICTION.fullmatch(about):
        return explain_prediction(keeper, about, again=again)
    if about == "loop":
        return _loop(keeper, now, again)
    found = _alarm(keeper, about)
    if found is not None:
        return _of_alarm(keeper, found, again=again, now=now)
    served = _served(keeper)
    promise = _promise(served, about)
    if promise:
        causes = _of_promise(keeper, _traffic(keeper, now, again))
        return _told(about, f"The promise {promise!r} of the champion.", causes)
    if about in _columns(keeper):
        return _of_column(about, _traffic(keeper, now, again))
    try:
        return _with_release(keeper, explain(keeper, about), about, again)
    except Misuse as error:
        raise Misuse(error.what, faults=error.faults, do=error.do or "What is wrong now: holdtrue why") from None


def causes_now(keeper: Keeper, *, now: datetime, again: Again) -> list[Cause]:
    """Say all that is wrong now, the worst first."""
    store = causes_of_store(keeper)
    if any(cause.kind in ("key missing", "release changed", "ledger changed") for cause in store):
        return store  # what rests on them would mislead
    traffic = _traffic(keeper, now, again)
    return [
        *store,
        *causes_of_log(() if traffic is None else traffic.damaged),
        *causes_of_endpoint(keeper, now=now),
        *causes_of_name(keeper),
        *_of_traffic(traffic),
        *causes_of_loop(keeper),
    ]


def _whole(keeper: Keeper, *, now: datetime, again: Again) -> Explanation:
    """Say what is wrong; and where nothing is, how the last run went."""
    found = causes_now(keeper, now=now, again=again)
    try:
        run = explain(keeper, None)
    except HoldtrueError:
        if not found:
            raise
        run = None
    if run is None or not found:
        return run or _told("now", _headline(found), found)
    # A run that was refused is asked about too, though its release harms nobody.
    last = [replace(cause, what=f"Of the last run: {cause.what}") for cause in run.causes if cause.kind]
    return _told("now", _headline(found), [*found, *last])


def _headline(found: Sequence[Cause]) -> str:
    return f"What is wrong now: {'1 cause' if len(found) == 1 else f'{len(found)} causes'}, the worst first."


def _told(about: str, headline: str, causes: Sequence[Cause]) -> Explanation:
    nothing = Cause(
        what="Nothing is found: rows and labels are as before, as far as they tell.",
        do="More days of traffic, and more labels, tell more.",
    )
    return Explanation(run=about, headline=headline, causes=tuple(causes) or (nothing,))


def _traffic(keeper: Keeper, now: datetime, again: Again) -> Traffic | None:
    return readable(keeper, CHAMPION, now=now, again=again)


def _of_traffic(traffic: Traffic | None) -> list[Cause]:
    return [] if traffic is None else causes_of_traffic(traffic)


def _served(keeper: Keeper) -> list[Mapping[str, Any]]:
    """Give the promises of the champion; none where there is no champion, or its report cannot be read."""
    try:
        return list(promises_of(keeper, CHAMPION))
    except (HoldtrueError, OSError, ValueError):
        return []


def _columns(keeper: Keeper) -> list[str]:
    try:
        folder = keeper.folder_of(CHAMPION)
        return [str(port["name"]) for port in _interface(folder / "signature.json")]
    except (HoldtrueError, OSError, ValueError, KeyError):
        return []


def _interface(path: Path) -> list[Mapping[str, Any]]:
    return list(json.loads(path.read_bytes())["inputs"])


def _promise(promises: Sequence[Mapping[str, Any]], about: str) -> str:
    """Find a promise by its text, or by words of it that no other has."""
    texts = [str(each["text"]) for each in promises]
    near = [text for text in texts if about.casefold() in text.casefold()] if len(about) >= LEAST_WORDS else []
    return about if about in texts else near[0] if len(near) == 1 and " " in about else ""


def _alarm(keeper: Keeper, about: str) -> Alarm | None:
    if not ALARM.fullmatch(about):
        return None
    return next((each for each in alarms(keeper) if each.id.startswith(about)), None)


def _of_alarm(keeper: Keeper, alarm: Alarm, *, again: Again, now: datetime) -> Explanation:
    """Explain an alarm by what it is about: a column, a promise, or the loop."""
    seen, traffic = alarm.seen, _traffic(keeper, now, again)
    if seen.kind == "contract":
        causes = list(causes_of_endpoint(keeper, now=now)) or [Cause(what="None is refused now.", because=seen.why)]
    elif seen.kind == "loop":
        causes = [*causes_of_loop(keeper), *causes_of_endpoint(keeper, now=now), *_of_traffic(traffic)]
    elif seen.kind == "promise":
        causes = _of_promise(keeper, traffic)
    else:
        column, where, _ = seen.subject.partition(" where ")
        causes = [*_about(column, traffic)]
        if not causes:
            what = "Only these rows have changed." if where else "By the rows of now the column is as it was."
            causes = [Cause(what=what, because=seen.why)]
    return _told(alarm.id, f"The alarm {alarm.id}: {seen.what}.", causes)


def _about(column: str, traffic: Traffic | None) -> list[Cause]:
    """Give what concerns a column first; for the answers, whatever befell the columns they are made of."""
    found = _of_traffic(traffic)
    mine = [cause for cause in found if column in re.split(r", | is ", cause.where)]
    mine.sort(key=lambda cause: cause.kind in OF_LABELS)  # first what befell its values, then what they mean
    return mine or ([cause for cause in found if cause.kind not in OF_LABELS] if column == "(answer)" else [])


def _of_column(column: str, traffic: Traffic | None) -> Explanation:
    return _told(column, f"The column {column!r} of the champion.", _about(column, traffic))


def _of_promise(keeper: Keeper, traffic: Traffic | None) -> list[Cause]:
    """Say why a promise may not hold: another release, data that are wrong, labels, then a changed population."""
    return [*causes_of_name(keeper), *_of_traffic(traffic)]


def _loop(keeper: Keeper, now: datetime, again: Again) -> Explanation:
    """Say what the loop is at; why a training is due stands behind what holds it."""
    found = causes_of_loop(keeper)
    if not found:
        found = [Cause(what="Nothing holds the loop.", do="What it is at: holdtrue loop")]
    else:
        found += [cause for cause in _of_traffic(_traffic(keeper, now, again)) if cause not in found]
    return Explanation(run="loop", headline="The loop of this project.", causes=tuple(found))


def _with_release(keeper: Keeper, found: Explanation, about: str, again: Again) -> Explanation:
    """Say first of a release that it is not what was signed, where it is one and is not."""
    try:
        again.ready(keeper.folder_of(about).name)
    except Refused as error:
        first = changed_release(about, error)
        return Explanation(run=found.run, headline=found.headline, causes=(first, *found.causes))
    except HoldtrueError:
        return found  # a run, or a release that is gone: then the run tells
    return found
