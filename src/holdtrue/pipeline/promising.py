"""What each line of the list of promises says in words, and the bound it is judged by."""

from dataclasses import dataclass

from holdtrue.evaluation.fairness import DEFINITIONS
from holdtrue.evaluation.metric import METRICS
from holdtrue.promises.promise import Promise
from holdtrue.promises.wording import number
from holdtrue.spec.promises import (
    AnyPromise,
    Beats,
    Calibrated,
    Complete,
    Fair,
    Fast,
    Fresh,
    PromiseEntry,
    Quality,
    Robust,
    Small,
)
from holdtrue.statistics.power import Direction


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One promise to be judged, and the line of the project file it comes from."""

    promise: Promise
    said: AnyPromise
    about: str = ""  # the disturbance, where one line names several


def asked(entry: PromiseEntry, *, metric: str) -> list[Asked]:
    """Spell out one line; `metric` is the task's own, for lines that name none."""
    said = entry.said
    assert said is not None
    if isinstance(said, Robust):
        return [_robust(said, each, metric) for each in said.to]
    scope, direction, bound, text = _spelled(said, metric)
    promise = Promise(kind=entry.kind, scope=scope, direction=direction, bound=bound, required=said.required, text=text)
    return [Asked(promise=promise, said=said)]


def _robust(said: Robust, about: str, metric: str) -> Asked:
    name = said.metric or metric
    promise = Promise(
        kind="robust",
        scope=f"loss of {name} under {about}",
        direction="at_most",
        bound=said.drop_at_most,
        required=said.required,
        text=f"{_title(name)} loses at most {said.drop_at_most:g} under {about}",
    )
    return Asked(promise=promise, said=said, about=about)


def _spelled(said: AnyPromise, metric: str) -> tuple[str, Direction, float, str]:
    """Give scope, direction, bound and words."""
    match said:
        case Quality():
            return _quality(said)
        case Beats():
            name, by = said.metric or metric, said.by or 0.0
            margin = f" by {by * 100:g} %" if said.relative else f" by {by:g}" if by else ""
            text = f"{_title(name)} is better than that of {said.baseline}{margin}"
            return f"improvement of {name} over {said.baseline}", "at_least", by, text
        case Calibrated():
            text = f"probabilities are off by at most {said.error_at_most:g}"
            return "calibration error", "at_most", said.error_at_most, text
        case Fair():
            text = f"{_title(said.metric)} differs by at most {said.gap_at_most:g} across {said.across}"
            return f"gap of {said.metric} across {said.across}", "at_most", said.gap_at_most, text
        case _:
            return _measured(said)


def _measured(said: AnyPromise) -> tuple[str, Direction, float, str]:
    match said:
        case Small():
            most = said.bytes_at_most
            return "bytes of the model", "at_most", float(most), f"the model has at most {number(most)} bytes"
        case Complete():
            share = said.breaches_at_most
            text = f"at most {share * 100:g} % of the rows break the contract"
            return "share of rows that break the contract", "at_most", share, text
        case Fresh():
            age = said.age_at_most
            return "age of the newest row in days", "at_most", age, f"the newest row is at most {age:g} days old"
        case Fast():
            name, bound = ("p99", said.p99_ms) if said.p99_ms is not None else ("p50", said.p50_ms)
            assert bound is not None
            return f"{name} in ms", "at_most", bound, f"one row is answered within {bound:g} ms ({name}, in process)"
        case _:
            raise AssertionError(f"{said} is not spelled")


def _quality(said: Quality) -> tuple[str, Direction, float, str]:
    where = ", ".join(f"{name} = {value}" for name, value in (said.where or {}).items())
    scope, text = (f"{said.metric} where {where}", f" where {where}") if where else (said.metric, "")
    if said.at_least is not None:
        return scope, "at_least", said.at_least, f"{_title(said.metric)} is at least {said.at_least:g}{text}"
    assert said.at_most is not None
    return scope, "at_most", said.at_most, f"{_title(said.metric)} is at most {said.at_most:g}{text}"


def _title(metric: str) -> str:
    return metric.replace("_", " ") if metric in DEFINITIONS else METRICS.get(metric).title
