"""A promise, and the verdict that measured evidence gives it.

Each promise is a bound on one number. It is tested on the end of the number's interval that would break it:

- proven: the limit on the safe side keeps the bound. Were the truth on the wrong side, this would happen in at most α
  of all samples, because the evidence is an interval of confidence 1 - 2α with a tail of α on either side.
- refuted: even the limit on the other side breaks the bound.
- unproven: neither. The rows do not decide, and the verdict says how many would.

All required promises must be proven for a release. "Every promise is kept" is then tested against "at least one is
broken" by the rule that rejects only when each single test does: an intersection-union test (Berger 1982, Technometrics
24, 295-300). To release a model that breaks one of them, the test of that very one must err, which happens in at most α
of samples whatever the others do and however they depend on each other; so no level is divided among the promises.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from holdtrue.promises.wording import measured, number, rough
from holdtrue.statistics.estimate import Estimate
from holdtrue.statistics.power import Direction, rows_needed

Verdict = Literal["proven", "refuted", "unproven"]
# What a promise is judged by: an estimate of confidence 1 - 2α, or a fact.
Evidence = Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class Promise:
    """A bound on one measured number.

    Attributes:
        kind: quality, beats, calibrated, fair, robust, fast, small, fresh, complete, ...
        scope: what is measured, as it stands in a sentence, such as "log_loss".
        required: whether a release needs it proven; else it is advisory.
        text: the promise as its owner wrote it.
    """

    kind: str
    scope: str
    direction: Direction
    bound: float
    required: bool = True
    text: str

    def __post_init__(self) -> None:
        if not math.isfinite(self.bound):
            raise ValueError(f"the bound of {self.scope!r} must be a number, got {self.bound}.")

    @property
    def demand(self) -> str:
        return f"{'at least' if self.direction == 'at_least' else 'at most'} {number(self.bound)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A promise, its verdict, and why.

    Attributes:
        rows_needed: how many rows would prove it with the power asked for, if the value stays what it is; None when it
            is settled, or when more rows would not prove it.
    """

    promise: Promise
    verdict: Verdict
    estimate: Evidence
    rows_needed: int | None
    reason: str


def fact(value: float, *, rows: int = 1, method: str = "measured") -> Evidence:
    """Give evidence that is certain: bytes counted, a clock read, breaches of a contract counted.

    >>> size = Promise(kind="small", scope="bytes", direction="at_most", bound=5e6, text="at most 5 MB")
    >>> judge(size, fact(1_234_567), alpha=0.05).reason
    'bytes 1,234,567: promised at most 5,000,000.'
    """
    return Estimate(value=value, low=value, high=value, rows=rows, method=method, confidence=1.0)


def judge(promise: Promise, estimate: Evidence, *, alpha: float, power: float = 0.8) -> Judged:
    """Hold evidence against a promise at the one-sided level `alpha`.

    The estimate must have confidence 1 - 2·alpha or more (more is cautious; less would be a different promise).

    >>> good = Promise(kind="quality", scope="roc_auc", direction="at_least", bound=0.82, text="")
    >>> seen = Estimate(value=0.83, low=0.815, high=0.844, rows=2500, method="DeLong", confidence=0.9)
    >>> judged = judge(good, seen, alpha=0.05)
    >>> judged.verdict, judged.rows_needed
    ('unproven', 12854)
    >>> judged.reason
    'roc_auc 0.830 (0.815 to 0.844 on 2,500 rows): promised at least 0.82; about 13,000 rows would settle it.'
    """
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must lie between 0 and 0.5, got {alpha}; 0.05 is usual.")
    if estimate.confidence < 1 - 2 * alpha - 1e-9:
        raise ValueError(
            f"{promise.scope!r} is judged at level {alpha}, which needs an interval of confidence {1 - 2 * alpha:.6g}; "
            f"this one has {estimate.confidence:.6g}."
        )
    verdict = _verdict(promise, estimate)
    needed = None
    if verdict == "unproven":
        needed = rows_needed(estimate, promise.bound, promise.direction, 1 - 2 * alpha, power)
    return Judged(
        promise=promise,
        verdict=verdict,
        estimate=estimate,
        rows_needed=needed,
        reason=_reason(promise, estimate, verdict, needed),
    )


def _verdict(promise: Promise, estimate: Evidence) -> Verdict:
    if math.isnan(estimate.value):
        return "unproven"
    sign = 1.0 if promise.direction == "at_least" else -1.0
    safe, other = (estimate.low, estimate.high) if sign > 0 else (estimate.high, estimate.low)
    # A limit that is NaN compares false: nothing is proven or refuted by it. The value is asked too, so that no odd
    # interval (one that leaves its own value out) proves what the sample itself denies.
    if sign * safe >= sign * promise.bound and sign * estimate.value >= sign * promise.bound:
        return "proven"
    if sign * other < sign * promise.bound and sign * estimate.value < sign * promise.bound:
        return "refuted"
    return "unproven"


def _reason(promise: Promise, estimate: Evidence, verdict: Verdict, needed: int | None) -> str:
    if math.isnan(estimate.value):
        rows = f"{number(estimate.rows)} row{'' if estimate.rows == 1 else 's'}"
        return f"{promise.scope} is not defined on the {rows} there are: promised {promise.demand}."
    opening = f"{measured(promise.scope, estimate, promise.bound)}: promised {promise.demand}"
    if verdict == "proven":
        return f"{opening}."
    if verdict == "refuted":
        if estimate.low == estimate.high:
            return f"{opening}; it is not kept."
        return f"{opening}; even the {'upper' if promise.direction == 'at_least' else 'lower'} limit breaks it."
    if needed is None:
        return _unlikely(promise, estimate, opening)
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return f"{opening}; too few rows to tell, at least {rough(needed)} are needed."
    if needed >= 10**9:
        return f"{opening}; the value is so close to the bound that no number of rows in reach would settle it."
    return f"{opening}; about {rough(needed)} rows would settle it."


def _unlikely(promise: Promise, estimate: Evidence, opening: str) -> str:
    """Say what to do when the value itself does not keep the bound with room to spare."""
    if estimate.value == promise.bound:
        return f"{opening}; the value is exactly the bound, so more rows are as likely to break it as to prove it."
    return f"{opening}; the value itself breaks it, so more rows are unlikely to prove it: improve the model."


def gate(judged: Sequence[Judged]) -> Verdict:
    """Give the verdict on all required promises together; advisory ones do not count.

    Any refuted one refutes the whole, else any unproven one leaves it unproven, else it is proven. Without a required
    promise the answer is "unproven": nothing was promised, so nothing is proven, and a project whose promises were lost
    by a slip does not release.

    >>> gate([])
    'unproven'
    """
    verdicts = {one.verdict for one in judged if one.promise.required}
    if "refuted" in verdicts:
        return "refuted"
    return "unproven" if "unproven" in verdicts or not verdicts else "proven"


def gate_reason(judged: Sequence[Judged]) -> str:
    """Say in a sentence why the gate decided as it did.

    >>> gate_reason([])
    'Nothing is promised, so nothing is proven; write at least one required promise.'
    """
    required = [one for one in judged if one.promise.required]
    if not required:
        return "Nothing is promised, so nothing is proven; write at least one required promise."
    verdict = gate(judged)
    those = [f"{one.promise.kind} of {one.promise.scope}" for one in required if one.verdict == verdict]
    if verdict == "proven":
        return (
            "The required promise is proven."
            if len(required) == 1
            else f"All {len(required)} required promises are proven."
        )
    count = "The required promise" if len(required) == 1 else f"{len(those)} of {len(required)} required promises"
    return f"{count} {'is' if len(those) == 1 else 'are'} {verdict}: {', '.join(those)}."
