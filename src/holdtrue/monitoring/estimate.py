"""What a metric would be by labels that have not come, estimated from the held-out rows; off where these cannot say it.

It holds if the relation between inputs and truth did not change, and nothing in the traffic can show that: so labels
that do come are held against what was foreseen for their rows, and where they contradict it the estimate is off.

First the held-out rows are weighted until they look like the rows of now (`apart.py`). Two classes: the answers'
probabilities are set right by these rows (`statistics/recalibration.py`), and truths are drawn for the rows of now by
those probabilities (Białek, Kivimäki, Kuberski & Perrakis 2024, arXiv:2401.08348, who weigh likewise). Else,
and where that map does not fit the held-out rows: held-out rows are drawn by weight in place of the rows of now
(Sugiyama, Krauledat & Müller 2007, J. Mach. Learn. Res. 8, 985-1005). Either way a draw is a set of rows with truths,
any metric can be taken of it, and the draws spread as the metric by labels would: each begins by drawing the held-out
rows again, so what these do not know is in the spread as well. What is not: the error of the weights themselves.
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64
from scipy.special import ndtri

from holdtrue.evaluation.calibration import calibration_error
from holdtrue.evaluation.metric import METRICS, metric_named, offers
from holdtrue.evaluation.predictions import Predictions
from holdtrue.monitoring.apart import density_ratio
from holdtrue.monitoring.quality import Pledge
from holdtrue.statistics.estimate import Estimate, tail_of
from holdtrue.statistics.recalibration import beta_map, remapped

ASSUMES = "holds if the relation between inputs and truth did not change"
LEAST_HELD, LEAST_NOW, LEAST_LABELLED = 300, 100, 30
LEAST_ALIKE = 10  # held-out rows beyond which there is nothing to learn from
MOST_UNKNOWN, MOST_FAR = 0.05, 0.10  # of the rows of now: in one column alone, and in all together
LEAST_EFFECTIVE = 100
MISFIT = 0.02  # a calibration error that is surely larger, after recalibration, refutes the map
CONTRADICTED = 0.01  # the chance that labels seem to contradict an estimate that is right, at one look
CLOCK = 0.8  # of the total variation between earlier and later held-out rows
CLOCK_BINS = 10
DRAWS = 200
SEED = 0

State = Literal["kept", "at risk", "open", "off"]
Pair = tuple[Predictions, Predictions | None]
Draw = Callable[[np.random.Generator], Pair]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """Rows that a release answered.

    Attributes:
        names: of the columns; `is_text` says which hold the number of a text's bin and not a number. NaN is missing.
        predictions: what was answered; a truth that is not known is NaN.
        stand_for: how many rows these are a sample of.
    """

    names: tuple[str, ...]
    is_text: Bool[np.ndarray, " columns"]
    columns: Float32[np.ndarray, "rows columns"]
    predictions: Predictions
    stand_for: int

    def only(self, keep: "np.ndarray") -> "Rows":
        """Keep some columns."""
        names = tuple(np.array(self.names)[keep].tolist())
        return replace(self, names=names, is_text=self.is_text[keep], columns=self.columns[:, keep])

    def labelled(self) -> "Rows":
        """Keep the rows whose truth is known."""
        known = ~np.isnan(self.predictions.truth)
        return replace(
            self, columns=self.columns[known], predictions=self.predictions.take(known), stand_for=int(known.sum())
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimated:
    """What is estimated of a promise.

    Attributes:
        state: at risk: all of the interval lies on the wrong side of the bound; kept: all of it on the right side;
            open: it holds the bound; off: there is no estimate that one may use, and `why` says it.
        foreseen, realised: the metric of the labelled rows as it was estimated, and by their labels.
        labelled: those rows; 0 where they are too few to say anything.
        aside: columns that run with time, and therefore were not weighted.
    """

    pledge: Pledge
    state: State
    estimate: Estimate | None = None
    why: str = ""
    labelled: int = 0
    foreseen: float | None = None
    realised: float | None = None
    aside: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        found = None if self.estimate is None else asdict(self.estimate)
        told = {name: getattr(self, name) for name in ("state", "why", "labelled", "foreseen", "realised")}
        return {**asdict(self.pledge), **told, "estimate": found, "assumes": ASSUMES, "aside": list(self.aside)}


def estimated(
    pledges: Sequence[Pledge],
    held: Rows,
    now: Rows,
    labelled: Predictions,
    *,
    confidence: float,
    time: Collection[str] = (),
) -> tuple[Estimated, ...]:
    """Estimate each promised metric for the rows of now, with limits for what all their labels would say.

    Args:
        held: the held-out rows, in the order of their time if they have one.
        labelled: what labels say by now, of whichever rows of now they came for.
        confidence: of the two-sided interval.
        time: columns that say when a row is from. They, and others that run with time, are not weighted: rows of now
            never are as early as held-out ones, and that time alone changes nothing is what is assumed.
    """
    named = [one for one in pledges if one.metric in METRICS.names()]
    known = [one for one in named if metric_named(one.metric).needs in offers(held.predictions)]
    if not known:
        return ()
    runs = clocks(held) | np.isin(held.names, list(time))
    aside = tuple(name for name, is_clock in zip(held.names, runs, strict=True) if is_clock)
    held, now = held.only(~runs), now.only(~runs)
    why, weights = support(held, now)
    if weights is None:
        return tuple(Estimated(pledge=one, state="off", why=why, aside=aside) for one in known)
    method, draw, heard = _way(held, now, labelled, weights)
    found = _drawn(known, draw, heard)
    against = _contradiction(found)
    return tuple(
        replace(_judged(one, found, place, method, now.stand_for, confidence, against), aside=aside)
        for place, one in enumerate(known)
    )


def clocks(held: Rows) -> Bool[np.ndarray, " columns"]:
    """Say which columns run with time: the earlier half of the held-out rows hardly shares a value with the later."""
    middle = len(held.columns) // 2
    return np.array(
        [_variation(column[:middle], column[middle:]) >= CLOCK for column in held.columns.T], dtype=np.bool_
    )


def _variation(one: "np.ndarray", other: "np.ndarray") -> float:
    both = np.concatenate([one, other])
    known = both[~np.isnan(both)]
    if len(one) < LEAST_ALIKE or not len(known):
        return 0.0
    edges = np.unique(np.quantile(known, np.arange(1, CLOCK_BINS) / CLOCK_BINS, method="inverted_cdf"))
    shares = [
        np.bincount(np.where(np.isnan(part), 0, np.searchsorted(edges, part) + 1), minlength=len(edges) + 2) / len(part)
        for part in (one, other)
    ]
    return float(np.abs(shares[0] - shares[1]).sum()) / 2


def support(held: Rows, now: Rows) -> "tuple[str, Float64[np.ndarray, ' held'] | None]":
    """Weigh the held-out rows so that they look like those of now; where they cannot, None, and the reason."""
    if len(held.columns) < LEAST_HELD:
        return f"only {len(held.columns)} held-out rows are kept; {LEAST_HELD} are needed", None
    if len(now.columns) < LEAST_NOW:
        return f"only {len(now.columns)} rows came; {LEAST_NOW} are needed", None
    for place, name in enumerate(held.names):
        share = _unknown(held.columns[:, place], now.columns[:, place], is_text=bool(held.is_text[place]))
        if share > MOST_UNKNOWN:
            return f"{name}: {share:.0%} of the rows have values that the held-out rows hardly have", None
    weights, there = density_ratio(held.columns, now.columns, SEED) if held.names else (np.ones(len(held.columns)),) * 2
    # Beyond the tenth largest ratio there are fewer than ten rows to learn from.
    far = float((there > np.sort(weights)[-LEAST_ALIKE]).mean())
    if far > MOST_FAR:
        return f"{far:.0%} of the rows are unlike nearly all held-out rows, by their columns together", None
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    if effective < LEAST_EFFECTIVE:
        return f"the held-out rows are worth only {effective:.0f} rows of now; {LEAST_EFFECTIVE} are needed", None
    return "", weights / weights.mean()


def _unknown(held: "np.ndarray", now: "np.ndarray", *, is_text: bool) -> float:
    """Give the share of values that the held-out rows hardly have; missing is a value."""
    if is_text:
        bins = int(max(held.max(), now.max())) + 1
        return float((np.bincount(held.astype(np.int64), minlength=bins) < LEAST_ALIKE)[now.astype(np.int64)].mean())
    missing = np.isnan(now)
    lost = float(missing.mean()) if int(np.isnan(held).sum()) < LEAST_ALIKE else 0.0
    known = held[~np.isnan(held)]
    if not len(known):
        return lost + float((~missing).mean())
    return lost + float(((now < known.min()) | (now > known.max())).mean())


def _way(held: Rows, now: Rows, labelled: Predictions, weights: "np.ndarray") -> tuple[str, Draw, Predictions]:
    """Choose how truths are drawn, and the labelled rows that are held against them."""
    if len(held.predictions.classes) == 2 and held.predictions.probabilities is not None and _fits(held.predictions):
        return "truths drawn by recalibrated probabilities", _by_map(held, now, labelled, weights), labelled
    heard = now.labelled()
    # So few labelled rows teach nothing of where they lie: they are taken to stand for the others.
    there = support(held, heard)[1] if len(heard.columns) >= LEAST_NOW else weights
    rows = len(heard.columns) if there is not None else 0
    method = "held-out rows drawn by weight"
    return method, _by_weight(held, now, weights, there, rows), heard.predictions.take(np.arange(rows))


def _fits(held: Predictions) -> bool:
    """Say whether a map of one half of the held-out rows sets the probabilities of the other right."""
    assert held.probabilities is not None
    said = held.probabilities[:, 1]
    found = beta_map(said[::2], held.truth[::2], np.ones(len(said[::2])))
    mapped = remapped(said[1::2], found)
    rest = Predictions(truth=held.truth[1::2], classes=held.classes, probabilities=np.stack([1 - mapped, mapped], 1))
    return calibration_error(rest, 1 - 2 * CONTRADICTED, SEED).low <= MISFIT


def _by_map(held: Rows, now: Rows, labelled: Predictions, weights: "np.ndarray") -> Draw:
    assert held.predictions.probabilities is not None
    said, truth = held.predictions.probabilities[:, 1], held.predictions.truth
    whole = beta_map(said, truth, weights)

    def drawn(rows: Predictions, found: "np.ndarray", chance: np.random.Generator) -> Predictions:
        assert rows.probabilities is not None
        came = chance.random(rows.rows) < remapped(rows.probabilities[:, 1], found)
        return replace(rows, truth=came.astype(np.float64))

    def draw(chance: np.random.Generator) -> Pair:
        found = beta_map(said, truth, weights * chance.poisson(1.0, len(said)), near=whole)
        rows = now.predictions
        if now.stand_for > rows.rows:
            rows = rows.take(chance.integers(0, rows.rows, rows.rows))
        return drawn(rows, found, chance), drawn(labelled, found, chance) if labelled.rows else None

    return draw


def _by_weight(held: Rows, now: Rows, weights: "np.ndarray", there: "np.ndarray | None", labelled: int) -> Draw:
    def drawn(evenly: "np.ndarray", by: "np.ndarray", rows: int, chance: np.random.Generator) -> Predictions:
        ends = np.cumsum(by[evenly])
        places = np.searchsorted(ends, chance.random(rows) * ends[-1], side="right").clip(max=len(ends) - 1)
        return held.predictions.take(evenly[places])

    def draw(chance: np.random.Generator) -> Pair:
        # Drawn by weight at once, the few rows that stand for many would seem to be as many.
        evenly = chance.integers(0, len(weights), len(weights))
        other = None if there is None else drawn(evenly, there, labelled, chance)
        return drawn(evenly, weights, now.predictions.rows, chance), other

    return draw


@dataclass(frozen=True, slots=True)
class _Found:
    """The metrics of each draw: of the rows of now, and of the labelled ones beside what their labels say.

    The last of the labelled ones is no metric but the level: how often the class came, or how far answers are off.
    """

    names: tuple[str, ...]
    now: Float64[np.ndarray, "draws metrics"]
    heard: Float64[np.ndarray, "heard_draws metrics_and_level"]
    realised: Float64[np.ndarray, " metrics_and_level_or_none"]
    labelled: int


def _drawn(pledges: Sequence[Pledge], draw: Draw, heard: Predictions) -> _Found:
    chance = np.random.default_rng(SEED)
    metrics = [metric_named(one.metric) for one in pledges]
    now: list[list[float]] = []
    again: list[list[float]] = []

    def taken(rows: Predictions) -> list[float]:
        return [metric.value(rows) for metric in metrics]

    for _ in range(DRAWS):
        rows, other = draw(chance)
        now.append(taken(rows))
        if other is not None and heard.rows >= LEAST_LABELLED:
            again.append([*taken(other), _level(other)])
    names = (*(metric.title for metric in metrics), "the level" if heard.classes else "the mean error")
    realised = [*taken(heard), _level(heard)] if again else []
    heard_of = np.array(again, dtype=np.float64).reshape(-1, len(names))
    return _Found(names, np.array(now), heard_of, np.array(realised), heard.rows if again else 0)


def _level(rows: Predictions) -> float:
    if rows.values is not None:
        return float((rows.truth - rows.values).mean())
    return float((rows.truth == 1).mean()) if len(rows.classes) == 2 else math.nan


def _contradiction(found: _Found) -> str:
    """Say what labels contradict, if anything: one assumption is behind all estimates, so all are off with it."""
    if not found.labelled:
        return ""
    limit = float(-ndtri(CONTRADICTED / 2 / len(found.names)))
    worst, told = limit, ""
    for place, name in enumerate(found.names):
        made, real = found.heard[:, place], float(found.realised[place])
        made = made[np.isfinite(made)]
        spread = float(made.std(ddof=1)) if len(made) >= DRAWS // 2 else 0.0
        if spread > 0 and math.isfinite(real) and abs(real - made.mean()) / spread > worst:
            worst = abs(real - float(made.mean())) / spread
            low, high = made.mean() - limit * spread, made.mean() + limit * spread
            told = (
                f"labels contradict it: by {found.labelled:,} of them {name} is {real:.3g}, where {low:.3g} to"
                f" {high:.3g} was foreseen; the relation between inputs and truth has changed"
            )
    return told


def _judged(
    pledge: Pledge, found: _Found, place: int, method: str, rows: int, confidence: float, against: str
) -> Estimated:
    made = found.now[:, place]
    made = made[np.isfinite(made)]
    seen = dict(_seen(found, place))
    if len(made) < DRAWS // 2:
        return Estimated(pledge=pledge, state="off", why="the metric is not defined on such rows")
    least, most = metric_named(pledge.metric).bounds
    value, half = float(made.mean()), float(made.std(ddof=1) * -ndtri(tail_of(confidence)))
    estimate = Estimate(
        value=value,
        low=max(value - half, least),
        high=min(value + half, most),
        rows=rows,
        method=method,
        confidence=confidence,
    )
    made_of = Estimated(
        pledge=pledge,
        state="off" if against else _state(pledge, estimate),
        estimate=estimate,
        why=against,
        labelled=found.labelled,
    )
    return replace(made_of, **seen)


def _seen(found: _Found, place: int) -> Iterator[tuple[str, float]]:
    if found.labelled:
        for name, value in (("foreseen", found.heard[:, place].mean()), ("realised", found.realised[place])):
            if math.isfinite(value):
                yield name, float(value)


def _state(pledge: Pledge, found: Estimate) -> State:
    if pledge.direction == "at_least":
        return "kept" if found.low >= pledge.bound else "at risk" if found.high < pledge.bound else "open"
    return "kept" if found.high <= pledge.bound else "at risk" if found.low > pledge.bound else "open"
