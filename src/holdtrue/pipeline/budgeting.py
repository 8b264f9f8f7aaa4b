"""The error budgets of a release in service: what the endpoint counts becomes events, good and bad, of its promises.

Two kinds of promise are about every request: how fast it is answered, and whether its rows keep the contract. What the
others promise shows in labels; how they stood at the last look is kept beside the budgets.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from holdtrue.core.files import write_whole
from holdtrue.monitoring.budget import Burn, Tally, burn
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.watched import Watched

PARTS = {"p99 in ms": 0.01, "p50 in ms": 0.5}  # of the answers that may take longer
BREACH = "422"
CONTRACT = "(contract)"  # the events of every request, whether it is promised that they keep the contract or not
PREDICTING = ("predict", "infer", "invocations", "grpc ModelInfer")


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a promise stood by labels at the last look."""

    promise: str
    state: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    rows: int = 0
    why: str = ""


class Budgets(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of the budgets of a project.

    Args:
        process: the endpoint whose counts `counted` are, as of `counted_us`; counts of another begin at 0.
        tallies: events by promise, as its owner wrote it, and those of the contract.
        standings: of the promises that labels tell of, as of `looked_us`.
    """

    release: str = ""
    process: int = 0
    counted: dict[str, tuple[float, float]] = {}
    counted_us: int = 0
    tallies: dict[str, Tally] = {}
    standings: tuple[Standing, ...] = ()
    looked_us: int = 0


def budgets(keeper: Keeper) -> Budgets:
    """Give what is kept; what cannot be read is begun anew."""
    try:
        return msgspec.json.decode(_file(keeper).read_bytes(), type=Budgets)
    except (FileNotFoundError, msgspec.DecodeError):
        return Budgets()


def count(keeper: Keeper, status: Mapping[str, Any], release: str, *, now_us: int) -> Budgets:
    """Take the counts of a running endpoint into the budgets of the release that is champion."""
    kept = budgets(keeper)
    if kept.release != release:  # another release has promises of its own
        kept = Budgets(release=release)
    events = {text: found for text, allowed, found in _events(promises_of(keeper, release), status) if allowed}
    events[CONTRACT] = _breaches(status["counters"])
    same = kept.process == status["pid"]
    tallies = dict(kept.tallies)
    for text, (all_, bad) in events.items():
        was = kept.counted.get(text, (0.0, 0.0)) if same else (0.0, 0.0)
        more, worse = all_ - was[0], bad - was[1]
        if more < 0 or not 0 <= worse <= more:  # it counts anew
            more, worse = all_, bad
        if more:
            # Whoever counts may have been away: what came meanwhile did not come now.
            since_us = kept.counted_us if same and kept.counted_us else now_us
            tallies[text] = tallies.get(text, Tally()).add(now_us, more, worse, since_us=since_us)
    after = msgspec.structs.replace(kept, process=status["pid"], counted=events, counted_us=now_us, tallies=tallies)
    _keep(keeper, after)
    return after


def stood(keeper: Keeper, seen: Watched, *, now_us: int) -> None:
    """Keep how the promises stood by labels."""
    found = tuple(
        Standing(
            promise=each.pledge.text,
            state=each.state,
            why=each.why,
            **({} if each.estimate is None else _limits(each.estimate)),
        )
        for each in seen.quality.promises
    )
    kept = budgets(keeper)
    if kept.release != seen.release:
        kept = Budgets(release=seen.release)
    _keep(keeper, msgspec.structs.replace(kept, standings=found, looked_us=now_us))


def burns(keeper: Keeper, kept: Budgets, *, now_us: int) -> dict[str, Burn]:
    """Judge each budget; those of promises that allow nothing bad have none."""
    return {
        text: burn(kept.tallies.get(text, Tally()), allowed, now_us)
        for text, allowed in _allowed(promises_of(keeper, kept.release))
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """How one promise stands, in words; `left` is the part of its error budget that is left, where it has one."""

    promise: str
    state: str
    told: str
    left: float | None = None

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def standing(keeper: Keeper, *, now_us: int) -> list[Told]:
    """Say of every promise of the champion how it stands: by its budget, by labels, or that only a report tells."""
    kept = budgets(keeper)
    burning = burns(keeper, kept, now_us=now_us)
    labelled = {each.promise: each for each in kept.standings}
    made: list[Told] = []
    for each in promises_of(keeper, kept.release):
        text = each["text"]
        if text in burning:
            made.append(_burning(text, burning[text]))
        elif text in labelled:
            made.append(_labelled(labelled[text], kept.looked_us))
        elif each["kind"] == "small":
            made.append(Told(promise=text, state="kept", told="a fact of the release, which does not change"))
        else:
            why = f"{each['verdict']} when it was released; what is served does not tell"
            made.append(Told(promise=text, state="cannot tell", told=why))
    return made


def _burning(text: str, found: Burn) -> Told:
    if found.state == "no data":
        return Told(promise=text, state=found.state, told=found.why)
    words = f"{max(found.left, 0.0):.0%} of the error budget is left, it burns at {found.rate:.2g} of what is allowed"
    return Told(promise=text, state=found.state, told=words + (f"; {found.why}" if found.why else ""), left=found.left)


def _labelled(found: Standing, looked_us: int) -> Told:
    at = datetime.fromtimestamp(looked_us / 1e6, tz=UTC).strftime("%Y-%m-%d %H:%M")
    if found.value is None or found.low is None or found.high is None:
        return Told(promise=found.promise, state=found.state, told=found.why or f"as of {at} UTC")
    limits = f"{found.value:.4g} ({found.low:.4g} to {found.high:.4g}) by {found.rows:,} rows, as of {at} UTC"
    return Told(promise=found.promise, state=found.state, told=limits)


def promises_of(keeper: Keeper, release: str) -> list[dict[str, Any]]:
    """Give the promises of a release as its report has them."""
    if not release:
        return []
    report = json.loads((keeper.folder_of(release) / "report.json").read_bytes())
    return list(report.get("promises", ()))


def _allowed(promises: list[dict[str, Any]]) -> Iterator[tuple[str, float]]:
    for each in promises:
        share = PARTS.get(each["scope"], 0.0) if each["kind"] == "fast" else 0.0
        if each["kind"] == "complete":
            share = float(each["bound"])
        if 0 < share < 1:
            yield each["text"], share


def _events(
    promises: list[dict[str, Any]], status: Mapping[str, Any]
) -> Iterator[tuple[str, float, tuple[float, float]]]:
    """Give all events and the bad ones, since the endpoint began, of each promise that is about every request."""
    allowed = dict(_allowed(promises))
    for each in promises:
        if each["text"] not in allowed:
            continue
        if each["kind"] == "fast":
            yield each["text"], allowed[each["text"]], _slow(status["latency"], float(each["bound"]) / 1000)
        else:
            yield each["text"], allowed[each["text"]], _breaches(status["counters"])


def _slow(latency: Mapping[str, Any], bound_s: float) -> tuple[float, float]:
    """Count the answers, and those slower than a bound; within the bucket that holds it they are taken as even."""
    bounds = [0.0, *latency["bounds_s"]]
    answered = [each["counts"] for each in latency["answers"] if each["route"] != "shadow"]
    counts = [sum(column) for column in zip(*answered, strict=True)] or [0.0] * len(bounds)
    slow = counts[-1]
    for (low, high), found in zip(pairwise(bounds), counts, strict=False):
        slow += found * min(1.0, max(0.0, (high - bound_s) / (high - low)))
    return float(sum(counts)), min(float(slow), float(sum(counts)))


def _breaches(counters: Mapping[str, float]) -> tuple[float, float]:
    """Count the requests for predictions that were answered or broke the contract, and the latter."""
    good = bad = 0.0
    for name, value in counters.items():
        if not name.startswith("holdtrue_requests_total{"):
            continue
        route, _, code = name[name.index("{") + 1 : -1].rpartition(",")
        if route.startswith(PREDICTING):
            good += value if code == "200" else 0.0
            bad += value if code == BREACH else 0.0
    return good + bad, bad


def _limits(found: Any) -> dict[str, Any]:
    """Give the numbers of an estimate as JSON can hold them."""
    named = {name: getattr(found, name) for name in ("value", "low", "high")}
    return {name: value if abs(value) < float("inf") else None for name, value in named.items()} | {"rows": found.rows}


def _file(keeper: Keeper) -> Path:
    return keeper.home.path / "watch" / f"{keeper.project}.budgets.json"


def _keep(keeper: Keeper, kept: Budgets) -> None:
    path = _file(keeper)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, msgspec.json.encode(kept), mode=0o600)
