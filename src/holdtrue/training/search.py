"""The search for settings: so many trials, never so many seconds, and the same ones whatever interrupts it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Literal

from holdtrue.core.digest import digest_of
from holdtrue.core.errors import DataFault, HoldtrueError, Misuse
from holdtrue.models.learner import LEARNERS, Learner, Settings
from holdtrue.models.settings import defaults
from holdtrue.training.grid import grid
from holdtrue.training.journal import Journal, Trial
from holdtrue.training.space import Space

if TYPE_CHECKING:
    import optuna

Sampler = Literal["tpe", "random", "grid"]
Scores = Callable[[str, Settings], Iterator[float]]

PRUNE_AFTER_TRIALS = 5  # so many complete trials before one is cut short: a median of fewer says little
PRUNE_AFTER_FOLDS = 1
REASON_CHARACTERS = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is searched.

    Attributes:
        learners: the defaults of each are tried first, in this order, even when `trials` is smaller than their
            number; then the sampler chooses learner and settings together.
        trials: how many in all. A grid ends earlier when it has no more points.
        scores: (learner, settings) -> the score of each fold, one by one; no more are asked for once a trial is pruned.
        folds: how many scores there are.
        higher_is_better: the direction of the scores.
        about: what else the scores depend on, such as the digest of the rows. A journal of another search is
            not taken up.
        prune: stop a trial whose mean so far is worse than the median of the others at the same fold (from the second
            fold on). Defaults and points of a grid are always scored whole.
    """

    learners: tuple[str, ...]
    trials: int
    seed: int
    scores: Scores
    higher_is_better: bool
    folds: int = 1
    about: str = ""
    sampler: Sampler = "tpe"
    prune: bool = True

    def __post_init__(self) -> None:
        if not self.learners or len(set(self.learners)) < len(self.learners):
            raise Misuse(f"A search needs learners, each named once; it got {list(self.learners)}.")

    @property
    def digest(self) -> str:
        """Name the search. More trials continue the same one, but a grid is laid for their number."""
        fixed = [self.seed, self.folds, self.higher_is_better, self.about, self.sampler, self.prune]
        return digest_of([*self.learners, *fixed, self.trials if self.sampler == "grid" else None])


@dataclass(frozen=True, kw_only=True, slots=True)
class Trials:
    """All that was tried, in order."""

    trials: tuple[Trial, ...]
    higher_is_better: bool

    @property
    def best(self) -> Trial:
        """The best score; of equals the first, so a default as good as anything found is kept."""
        return self.best_of(*dict.fromkeys(trial.learner for trial in self.trials))

    def best_of(self, *learners: str) -> Trial:
        """Give the best trial of some learners; raises `DataFault` with the reasons when none completed."""
        tried = [trial for trial in self.trials if trial.learner in learners]
        complete = [(trial.score, trial) for trial in tried if trial.score is not None]
        if not complete:
            reasons = [f"{trial.learner}, trial {trial.number}: {trial.reason}" for trial in tried]
            raise DataFault(f"No trial of {', '.join(learners)} could be completed:", faults=reasons)
        sign = 1.0 if self.higher_is_better else -1.0
        return max(complete, key=lambda pair: (sign * pair[0], -pair[1].number))[1]


def search(plan: Plan, journal: Journal | None = None, told: Callable[[Trial], None] = lambda trial: None) -> Trials:
    """Try settings until the budget is spent; `told` hears of each trial, also of those the journal remembers.

    Every trial draws from a sampler seeded by (seed, number of the trial), which knows the trials before it and
    nothing else. So a search that was killed and taken up again makes the very trials it would have made.
    A trial that raises is recorded as failed; raises `DataFault` when none completes.
    """
    learners = {name: LEARNERS.get(name) for name in plan.learners}
    space = Space({name: learner for name, learner in learners.items() if learner.space})
    points = _points(plan, learners)
    grown = plan.sampler != "grid" and bool(space.learners)
    known = journal.open() if journal else ()
    study = _study(plan)
    trials: list[Trial] = []
    for number in range(max(plan.trials, len(points)) if grown else len(points)):
        if number < len(known):
            trial = known[number]
            study.add_trial(space.remembered(trial))
        else:
            trial = _attempt(plan, number, points, space, study)
            if journal:
                journal.add(trial)
        trials.append(trial)
        told(trial)
    made = Trials(trials=tuple(trials), higher_is_better=plan.higher_is_better)
    made.best_of(*plan.learners)  # raises when every trial failed
    return made


def _points(plan: Plan, learners: Mapping[str, Learner]) -> list[tuple[str, Settings]]:
    """List the trials that no sampler has to choose: the defaults, and then the grid if it is one."""
    first: list[tuple[str, Settings]] = [(name, defaults(learner.space)) for name, learner in learners.items()]
    if plan.sampler != "grid":
        return first
    varied = {name: learner for name, learner in learners.items() if learner.space}
    laid = grid(varied, plan.trials, plan.seed) if varied else []
    return [*first, *(point for point in laid if point not in first)][: max(plan.trials, len(first))]


def _study(plan: Plan) -> "optuna.Study":
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        direction="maximize" if plan.higher_is_better else "minimize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=PRUNE_AFTER_TRIALS, n_warmup_steps=PRUNE_AFTER_FOLDS),
    )


def _attempt(plan: Plan, number: int, points: list[tuple[str, Settings]], space: Space, study: "optuna.Study") -> Trial:
    """Choose settings and score them; the study knows of it afterwards."""
    if number < len(points):
        name, settings = points[number]
        trial = _score(plan, number, name, settings, None)
        study.add_trial(space.remembered(trial))
        return trial
    study.sampler = space.sampler(plan.sampler, plan.seed, number)
    asked = study.ask()
    name, settings = space.suggested(asked)
    trial = _score(plan, number, name, settings, asked if plan.prune else None)
    study.tell(asked, trial.score, state=space.state(trial))
    return trial


def _score(plan: Plan, number: int, name: str, settings: Settings, asked: "optuna.Trial | None") -> Trial:
    """Score fold after fold; the mean so far decides whether to go on."""
    steps: list[float] = []
    total = 0.0

    def done(state: Literal["complete", "pruned", "failed"], reason: str = "") -> Trial:
        score = steps[-1] if state == "complete" else None
        return Trial(
            number=number, learner=name, settings=settings, state=state, score=score, steps=tuple(steps), reason=reason
        )

    try:
        for score in plan.scores(name, settings):
            if not isfinite(score):
                return done("failed", f"The score of fold {len(steps) + 1} is {score}.")
            total += float(score)
            steps.append(total / (len(steps) + 1))
            if asked is not None:
                asked.report(steps[-1], len(steps) - 1)
                if len(steps) < plan.folds and asked.should_prune():
                    return done("pruned", f"Worse than the median after {len(steps)} of {plan.folds} folds.")
    # Whatever a learner raises on some settings, the other settings may still do.
    except Exception as told:
        kind = "" if isinstance(told, HoldtrueError) else f"{type(told).__name__}: "
        return done("failed", f"{kind}{told}"[:REASON_CHARACTERS])
    return done("complete") if steps else done("failed", "It gave no score.")
