"""A challenger beside the champion on rows that are new to both, promise by promise.

A promise about a metric is compared by that metric, with a margin (`evaluation/noninferiority.py`); so is one to beat a
baseline, for both would be held against the same one, and one to be robust: by the metric of the disturbed rows. A gap
between groups and an error of calibration have their bound for a margin.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from holdtrue.core.errors import Misuse, nearest
from holdtrue.evaluation.measure import measure_calibrated, measure_fair
from holdtrue.evaluation.metric import metric_named
from holdtrue.evaluation.noninferiority import Contest, contest, kept
from holdtrue.evaluation.plain import plain
from holdtrue.evaluation.predictions import Predictions
from holdtrue.loop.events import Found
from holdtrue.pipeline.contested import Hall, Side, fresh_rows, hall_of, past_of, room_of, side, with_traffic
from holdtrue.pipeline.judging import scope_mask
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.progress import Tell
from holdtrue.pipeline.promising import Asked, asked
from holdtrue.pipeline.workspace import Workspace
from holdtrue.spec.promises import Beats, Calibrated, Fair, Quality, Robust
from holdtrue.statistics.estimate import Estimate

MEASURED = (Quality, Beats, Calibrated, Fair, Robust)
OF_FACTS: Mapping[str, Found] = {"proven": "not worse", "refuted": "worse", "unproven": "inconclusive"}
NONE_LEFT = "No held-out row that it speaks of is new to the champion."


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """A promise, and how the challenger does on it; `contest` is missing where the release alone decides."""

    promise: str
    kind: str
    finding: Found
    why: str
    contest: Contest | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What a comparison came to.

    Attributes:
        alpha: the chance that any promise is found "not worse" though it is, by more than the margin.
        held_out: the rows that the challenger did not learn from, of which `rows` are new to the champion too; `why`
            says so.
    """

    champion: str
    challenger: str
    alpha: float
    held_out: int
    rows: int
    why: str
    promises: tuple[Compared, ...]

    @property
    def findings(self) -> dict[str, Found]:
        return {one.promise: one.finding for one in self.promises}

    def to_json(self) -> dict[str, object]:
        made = plain({**asdict(self), "findings": self.findings})
        assert isinstance(made, dict)
        return dict[str, object](made)


def compare(
    workspace: Workspace,
    keeper: Keeper,
    *,
    champion: str,
    challenger: str,
    promises: tuple[str, ...],
    alpha: float,
    tell: Tell,
    until_us: int | None = None,
) -> Comparison:
    """Hold two releases, named by digest or alias, against each other on promises, named by their texts.

    With `until_us` the traffic that was labelled between the making of the challenger and then counts too: what is not
    settled today may be so when more labels have come.
    The level is divided among the promises that are measured; those that are facts about the challenger alone (its
    size, its speed, its rows) are as its own report has them. Raises `Misuse` for a promise that the challenger does
    not make, or a champion that cannot answer its rows, and `Refused` for a release that is not as it was signed.
    """
    tell("compare")
    one, other = side(keeper, challenger), side(keeper, champion)
    room = room_of(one, keeper.home, tell)
    if until_us is not None:
        room = with_traffic(room, one, other, keeper, until_us=until_us, tell=tell)
    metric = room.prepared.task.metric
    told = {each.promise.text: each for entry in room.project.promises for each in asked(entry, metric=metric)}
    unknown = [f"{text!r}{nearest(text, list(told))}" for text in promises if text not in told]
    if unknown:
        raise Misuse("The challenger makes no such promise:", faults=unknown)
    fresh, why = fresh_rows(room, other, past_of(other, keeper.home, tell))
    hall = hall_of(room, one, other, fresh)
    court = _Court(
        hall=hall,
        answers=hall.answers() if len(hall.rows) else None,
        metric=metric,
        alpha=alpha / max(sum(isinstance(told[text].said, MEASURED) for text in promises), 1),
        margin=workspace.project.retrain.margin,
    )
    return Comparison(
        champion=other.digest,
        challenger=one.digest,
        alpha=alpha,
        held_out=len(room.rows),
        rows=int(fresh.sum()),
        why=why,
        promises=tuple(
            court.compared(told[text]) if isinstance(told[text].said, MEASURED) else _of_report(told[text], one)
            for text in promises
        ),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Court:
    """What every promise is compared by; `alpha` is the share of one of them, `answers` those of both releases."""

    hall: Hall
    answers: tuple[Predictions, Predictions] | None
    metric: str
    alpha: float
    margin: float

    def compared(self, asked: Asked) -> Compared:
        promise = asked.promise
        found = None if self.answers is None else self._contest(asked, *self.answers)
        if found is None:
            return Compared(promise=promise.text, kind=promise.kind, finding="inconclusive", why=NONE_LEFT)
        return Compared(
            promise=promise.text, kind=promise.kind, finding=found.finding, why=_sentence(found), contest=found
        )

    def _contest(self, asked: Asked, one: Predictions, other: Predictions) -> Contest | None:
        said = asked.said
        match said:
            case Quality():
                return self._quality(said, one, other)
            case Beats():
                return self._by(said.metric or self.metric, one, other)
            case Robust():
                return self._by(said.metric or self.metric, *self.hall.disturbed(asked.about))
            case _:
                # Two limits of two releases: each has half of the chance to err.
                confidence = 1 - self.alpha
                mine, theirs = (self._defect(said, answers, confidence) for answers in (one, other))
                return kept(mine, theirs, bound=asked.promise.bound, alpha=self.alpha)

    def _quality(self, said: Quality, one: Predictions, other: Predictions) -> Contest | None:
        if said.where:
            try:
                mask = scope_mask(self.hall.frame, said.where)
            except Misuse:
                return None
            one, other = one.take(mask), other.take(mask)
        return self._by(said.metric, one, other)

    def _by(self, name: str, one: Predictions, other: Predictions) -> Contest:
        metric = metric_named(name)
        return contest(metric, one, other, alpha=self.alpha, margin=self.margin, seed=self.hall.seed)

    def _defect(self, said: object, answers: Predictions, confidence: float) -> Estimate:
        if isinstance(said, Calibrated):
            return measure_calibrated(answers, confidence, self.hall.seed)
        assert isinstance(said, Fair)
        groups = self.hall.frame.get_column(said.across)
        is_date = self.hall.room.prepared.contract.kinds[said.across] == "date"
        return measure_fair(
            said.metric, answers, groups, confidence, self.hall.seed, minimum=said.minimum, is_date=is_date
        )


def _of_report(asked: Asked, challenger: Side) -> Compared:
    """Take what the report of the challenger says of what it is by itself."""
    promise = asked.promise
    said = [each for each in challenger.report["promises"] if each["text"] == promise.text]
    verdict = str(said[0]["verdict"]) if said else "unproven"
    return Compared(
        promise=promise.text,
        kind=promise.kind,
        finding=OF_FACTS[verdict],
        why=f"its own report says that it is {verdict}.",
    )


def _sentence(found: Contest) -> str:
    """Say what was found, for people."""
    limits = f"better by {found.value:.4g} ({found.low:.4g} to {found.high:.4g})"
    return (
        f"{limits} than the champion's {found.champion:.4g} on {found.rows:,} rows; {found.margin:.4g} less is allowed."
    )
