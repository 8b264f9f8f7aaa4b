"""What two releases answered, and what labels say of it: where their scores lie, and which of them errs more.

Each receipt is read once: a look goes on where the one before it ended, a little before now, so that whatever belongs
to that time is written. A receipt names the chance with which its release was chosen, so rows of another routing are
told apart.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from msgspec import Struct, structs

from holdtrue.core.errors import Refused
from holdtrue.data.traffic.label import Label
from holdtrue.data.traffic.read import labels, receipts
from holdtrue.data.traffic.receipt import Receipt, read_id
from holdtrue.data.traffic.resolve import Current
from holdtrue.data.traffic.subjects import Forgotten
from holdtrue.evaluation.predictions import Predictions
from holdtrue.pipeline.canary_counts import SHARE_OFF, Capitals, Mode, Sign, gap
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.label_join import LabelJoin
from holdtrue.pipeline.labelled import Labelled
from holdtrue.pipeline.recorded import SHARES, recorded_outputs
from holdtrue.pipeline.replay import Again, traffic_of
from holdtrue.release.interface import Interface, read_interface
from holdtrue.serving.ask import About
from holdtrue.statistics.score_shift import ScoreShift, ShiftState

LAG_US = 5_000_000  # between an answer and its receipt on disk lies less, also where receipts are sealed
LABELS_US = 300_000_000  # labels are late anyway; to look for them means to read the log twice
LEARNED_FROM = 500  # scores of the champion, which place the bins and do not count
BINS = 10
MOST_CLASSES = 64
SECOND_US = 1_000_000


class Losses(Struct, frozen=True, kw_only=True):
    """The sum of losses of so many labelled predictions."""

    rows: int = 0
    total: float = 0.0

    def plus(self, loss: float) -> "Losses":
        return Losses(rows=self.rows + 1, total=self.total + loss)


class Answers(Struct, frozen=True, kw_only=True):
    """What was read so far, and the tests that run.

    Args:
        read_us: receipts before this moment are read, and labels heard before `labels_us`.
        sample: scores of the champion that wait to place the bins.
        edges: between the bins; empty where the bins are classes; None until they are placed.
        scale: the error of a number that counts as 1.
        answered: predictions of the canary that were read in this stage.
        labels: the tests of the losses of rows that both could have got.
        before: losses of the stable release so far; `after` those of the new champion under guard.
    """

    read_us: int
    labels_us: int
    sample: tuple[float, ...] = ()
    edges: tuple[float, ...] | None = None
    scale: float = 1.0
    answered: int = 0
    shift: ShiftState | None = None
    labels: Capitals | None = None
    before: Losses = Losses()
    after: Losses = Losses()

    @property
    def then_and_now(self) -> tuple[float, int, float, int]:
        """Losses and rows of the one before, and of the new champion."""
        return self.before.total, self.before.rows, self.after.total, self.after.rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """One of the two releases: what its receipts and labels must be read by."""

    digest: str
    interface: Interface
    classes: tuple[str, ...]
    about: About


def arm_of(again: Again, digest: str) -> Arm:
    """Make a release ready to be read of; raises what keeps it from being used."""
    model = again.ready(digest)[1]
    plan = model.plan
    return Arm(digest=digest, interface=read_interface(plan.interface), classes=tuple(plan.classes), about=model.about)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """How requests are shared out now: what `look` was told of it."""

    mode: Mode
    share: float
    champion: Arm
    challenger: Arm

    def arm(self, receipt: Receipt) -> Arm | None:
        """Say whose receipt this is; None where chance did not choose as the stage has it."""
        if receipt.release == self.champion.digest:
            route, weight, arm = "champion", 1.0 if self.mode == "shadow" else 1 - self.share, self.champion
        elif receipt.release == self.challenger.digest:
            shadowed = self.mode == "shadow"
            route, weight, arm = ("shadow", 1.0, self.challenger) if shadowed else ("", self.share, self.challenger)
        else:
            return None
        fits = receipt.route == route or (route != "shadow" and receipt.route in ("champion", "canary"))
        return arm if fits and abs(receipt.weight - weight) < SHARE_OFF else None


@final
class Reader:
    """Takes in the receipts and labels that are new."""

    def __init__(
        self, keeper: Keeper, again: Again, stage: Stage, *, alphas: tuple[float, float], margin: float
    ) -> None:
        """Take the chances to call scores, and labels, worse by mistake; `margin` is of the loss."""
        self._keeper = keeper
        self._again = again
        self._stage = stage
        self._alpha_scores, self._alpha_labels = alphas
        self._margin = margin
        self._folder = traffic_of(keeper)

    def read(self, answers: Answers, *, begun_us: int, until_us: int) -> Answers:
        """Read up to a moment."""
        if not (self._folder / self._keeper.project).is_dir():
            return structs.replace(answers, read_us=max(answers.read_us, until_us))
        if until_us > answers.read_us:
            answers = self._scored(answers, until_us)
        if until_us - answers.labels_us >= LABELS_US:
            answers = self._labelled(answers, begun_us, until_us)
        return answers

    # Scores.

    def _scored(self, answers: Answers, until_us: int) -> Answers:
        arms: dict[str, list[float]] = {self._stage.champion.digest: [], self._stage.challenger.digest: []}
        for receipt in self._receipts(answers.read_us, until_us):
            arm = self._stage.arm(receipt)
            plain = None if arm is None else self._opened(receipt)
            if arm is not None and plain is not None:
                found = score_of(plain, arm)
                if found is not None:
                    arms[arm.digest].append(found)
        stable, canary = (arms[arm.digest] for arm in (self._stage.champion, self._stage.challenger))
        answers = structs.replace(answers, read_us=until_us, answered=answers.answered + len(canary))
        if self._stage.mode == "guard" or self._stage.champion.classes != self._stage.challenger.classes:
            return answers  # nothing that the same people were answered with by both
        answers, used = _placed(answers, stable, self._stage.champion.classes)
        if answers.edges is None or used == len(stable) > 0:
            return answers
        bins = max(len(self._stage.champion.classes), 2) if not answers.edges else len(answers.edges) + 1
        shift = _shift(answers.shift, bins, self._alpha_scores)
        shift.update(*(_counts(scores, answers.edges, bins) for scores in (canary, stable[used:])))
        return structs.replace(answers, shift=shift.state())

    def _opened(self, receipt: Receipt) -> Receipt | None:
        """Open what was sealed for a person; None when that cannot be read any more."""
        try:
            return self._again.reveal(receipt)
        except (Forgotten, Refused):
            return None

    def _receipts(self, since_us: int, until_us: int) -> Iterator[Receipt]:
        faults: list[str] = []  # what is damaged is told by whoever watches; here the rest counts
        project = self._keeper.project
        return receipts(self._folder, endpoint=project, since_us=since_us, until_us=until_us, faults=faults)

    # Labels.

    def _labelled(self, answers: Answers, begun_us: int, until_us: int) -> Answers:
        """Take in the labels of rows that nobody had labelled before."""
        if answers.edges is None and not self._stage.champion.classes:
            return answers  # the size of an error is not known yet
        heard = self._heard(answers.labels_us, begun_us, until_us)
        answers = structs.replace(answers, labels_us=until_us)
        between_us = heard.between_us()
        if between_us is None:
            return answers
        test = gap(answers.labels, margin=self._margin)
        before, after = answers.before, answers.after
        by_share: dict[float, tuple[list[float], list[float]]] = {}
        for receipt in self._receipts(*between_us):
            arm = self._arm_of(receipt) if heard.may_know(receipt) else None
            loss = None if arm is None else self._loss(receipt, arm, heard, answers.scale)
            if loss is None:
                continue
            is_canary = arm is self._stage.challenger
            if 0 < receipt.weight < 1:
                share = round(receipt.weight if is_canary else 1 - receipt.weight, 9)
                by_share.setdefault(share, ([], []))[0 if is_canary else 1].append(loss)
            if not is_canary:
                before = before.plus(loss)
            elif receipt.weight == 1:
                after = after.plus(loss)
        for share, (canary, stable) in by_share.items():
            test.update_scores(share=share, canary=np.array(canary), stable=np.array(stable))
        return structs.replace(answers, labels=test.state(), before=before, after=after)

    def _heard(self, since_us: int, begun_us: int, until_us: int) -> "_Heard":
        """Take the labels heard before `until_us`; of those by an id only the ones whose row had none before."""
        first = f"{begun_us // 1_000:012x}"
        known: set[tuple[str, int]] = set()
        fresh: list[Label] = []
        faults: list[str] = []
        for label in labels(self._folder, endpoint=self._keeper.project, faults=faults):
            row = (label.prediction, label.row)
            if label.received_us >= until_us or (label.prediction and label.prediction < first):
                continue
            if label.prediction and label.received_us < since_us:
                known.add(row)
            elif row not in known:
                fresh.append(label)
        return _Heard(since_us, begun_us, until_us, known, fresh)

    def _arm_of(self, receipt: Receipt) -> Arm | None:
        """Say whose row this is, of all that were answered by chance or by the one release there was."""
        if receipt.route not in ("champion", "canary"):
            return None
        arms = {arm.digest: arm for arm in (self._stage.champion, self._stage.challenger)}
        return arms.get(receipt.release)

    def _loss(self, receipt: Receipt, arm: Arm, heard: "_Heard", scale: float) -> float | None:
        """Give the mean loss of the rows of a prediction that got a label: together they are one trial."""
        plain = self._opened(receipt)
        if plain is None:
            return None
        rows = Labelled(arm.interface, arm.classes)
        rows.add(plain, heard.labels_of(plain, arm.about))
        return loss_of(rows.predictions(), scale)


@final
class _Heard:
    """What became true between two looks: each row counts once, in the look in which its first label met it."""

    def __init__(
        self, since_us: int, begun_us: int, until_us: int, known: set[tuple[str, int]], fresh: Sequence[Label]
    ) -> None:
        self._since_us, self._begun_us, self._until_us = since_us, begun_us, until_us
        self._known = known
        self._named = {label.prediction for label in fresh if label.prediction}
        # A key that is new may name any row of this trial; one that was heard before names those that were asked since.
        keyed_us = [label.received_us for label in fresh if label.key]
        self._keyed_since_us = None if not keyed_us else begun_us if max(keyed_us) >= since_us else since_us
        self._join = LabelJoin(fresh)

    def between_us(self) -> tuple[int, int] | None:
        """Say in which time the predictions lie that may have got a label; None where there are none."""
        # An id rises when the clock steps back; a second covers what clocks are set by.
        times_us = [read_id(prediction)[0] * 1_000 for prediction in self._named]
        lows = [time_us - SECOND_US for time_us in times_us]
        highs = [time_us + SECOND_US for time_us in times_us]
        if self._keyed_since_us is not None:
            lows.append(self._keyed_since_us)
            highs.append(self._until_us)
        return (min(lows), max(highs)) if lows else None

    def may_know(self, receipt: Receipt) -> bool:
        return receipt.id in self._named or (self._join.has_keys and receipt.time_us >= self._begun_us)

    def labels_of(self, receipt: Receipt, about: About) -> dict[int, Label]:
        """Give the labels of the rows that had none before."""
        return {
            row: one.label
            for row, one in self._join.currents_of(receipt, about).items()
            if (receipt.id, row) not in self._known and self._since_us <= _met_us(receipt, one) < self._until_us
        }


def _met_us(receipt: Receipt, one: Current) -> int:
    """Say when a row first had a label: one by a key may be there before the row is asked for."""
    first = one.history[0]
    return first.received_us if first.prediction else max(first.received_us, receipt.time_us)


def labels_sign(answers: Answers, *, alpha: float, alpha_pass: float, margin: float) -> Sign:
    """Say whether the canary errs more on rows whose truth is known."""
    test = gap(answers.labels, margin=margin)
    if test.worse(alpha):
        return "worse"
    return "not worse" if test.surely_not_worse(alpha_pass) else "undecided"


def begin_stage(answers: Answers, *, since_us: int, alpha: float) -> Answers:
    """Go on in a stage with another share; where the bins lie, and what labels say, stays."""
    shift = answers.shift
    if shift is not None:
        going = ScoreShift.from_state(shift, alpha=alpha)
        going.begin_stage()
        shift = going.state()
    return structs.replace(answers, read_us=max(answers.read_us, since_us), answered=0, shift=shift)


def score_of(receipt: Receipt, arm: Arm) -> float | None:
    """Give one number of a prediction: the share of the second class of two, the class of several, or the value.

    Of several rows one counts, as its place in the log has it: chance chose for all of them at once.
    """
    row = read_id(receipt.id)[2] % receipt.rows if receipt.rows else None
    if row is None:
        return None
    outputs = recorded_outputs(receipt, arm.interface)
    shares, decision = outputs.get(SHARES), outputs.get("decision")
    if arm.classes and isinstance(shares, np.ndarray) and shares.shape[1] == 2:
        return float(shares[row, 1])
    if arm.classes and isinstance(decision, np.ndarray):
        return float(decision[row, 0])
    if arm.classes and isinstance(shares, np.ndarray):
        return float(shares[row].argmax())
    value = None if arm.classes else outputs.get("value")
    return float(value[row, 0]) if isinstance(value, np.ndarray) else None


def loss_of(made: Predictions, scale: float) -> float | None:
    """Give the mean loss in [0, 1]: the share of wrong classes, or of numbers how far off, as a part of the scale."""
    if not made.rows:
        return None
    if made.classes:
        decided = made.decisions
        if decided is None and made.probabilities is not None:
            decided = made.probabilities.argmax(axis=1)
        return None if decided is None else float(np.mean(decided != made.truth))
    if made.values is None or not scale > 0:
        return None
    off = np.abs(made.values - made.truth) / scale
    return float(np.mean(np.where(np.isfinite(off), np.minimum(off, 1.0), 1.0)))


def _placed(answers: Answers, stable: Sequence[float], classes: Sequence[str]) -> tuple[Answers, int]:
    """Place the bins by the first scores of the champion; gives how many of these it took."""
    if answers.edges is not None:
        return answers, 0
    if len(classes) > 2:
        return structs.replace(answers, edges=() if len(classes) <= MOST_CLASSES else _ranks(len(classes))), 0
    used = min(len(stable), LEARNED_FROM - len(answers.sample))
    sample = (*answers.sample, *(value for value in stable[:used] if np.isfinite(value)))  # JSON holds no others
    if len(sample) < LEARNED_FROM:
        return structs.replace(answers, sample=sample), used
    known = np.array(sample)
    edges = np.unique(np.quantile(known, np.arange(1, BINS) / BINS))
    low, high = np.quantile(known, [0.01, 0.99])
    return structs.replace(answers, sample=(), edges=tuple(edges.tolist()), scale=float(high - low)), used


def _ranks(classes: int) -> tuple[float, ...]:
    """Put many classes together, as many in each bin."""
    return tuple(float(edge) for edge in np.linspace(0, classes - 1, MOST_CLASSES + 1)[1:-1])


def _counts(scores: Sequence[float], edges: Sequence[float], bins: int) -> "np.ndarray":
    """Count scores by bin; one that is no number lies in the last."""
    values = np.array(scores, dtype=np.float64)
    if not edges:
        places = np.clip(np.nan_to_num(values, nan=bins - 1), 0, bins - 1).astype(np.int64)
    else:
        places = np.searchsorted(np.array(edges), values, side="left")
    return np.bincount(places, minlength=bins).astype(np.int64)


def _shift(state: ShiftState | None, bins: int, alpha: float) -> ScoreShift:
    return ScoreShift(bins=bins, alpha=alpha) if state is None else ScoreShift.from_state(state, alpha=alpha)
