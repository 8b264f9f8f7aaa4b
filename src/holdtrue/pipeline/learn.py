"""From ready rows to a chosen model: baselines, search, the final fit, calibration, threshold and interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from holdtrue.core.digest import digest_of, sha256_bytes
from holdtrue.core.errors import Misuse, nearest
from holdtrue.data.contract_json import to_dict
from holdtrue.data.folds import folds
from holdtrue.evaluation.metric import METRICS
from holdtrue.evaluation.predictions import Predictions
from holdtrue.models.learner import LEARNERS, Value
from holdtrue.pipeline.prepare import Prepared
from holdtrue.pipeline.progress import Tell
from holdtrue.release.lineage import environment_lock, package_tree
from holdtrue.spec import Project
from holdtrue.training.calibrate import Calibration, calibrate
from holdtrue.training.decision import Threshold, choose_threshold
from holdtrue.training.examples import ClassWeight, Examples, Terms
from holdtrue.training.fit import Candidate, encode_and_fit
from holdtrue.training.intervals import Limits, limits
from holdtrue.training.journal import Journal
from holdtrue.training.objective import Objective, on_validation
from holdtrue.training.out_of_fold import out_of_fold
from holdtrue.training.search import Plan, Trials, search

Matrix = Float64[np.ndarray, "rows outputs"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Learnt:
    """The model that was chosen, what it was compared with, and how its answers become decisions.

    Attributes:
        champion: fitted on the training and validation rows with the best settings.
        baselines: by the name of their learner, fitted on the same rows with default settings.
        calibration, threshold: for classes; the threshold only for two of them.
        limits: for numbers, how the interval is put around them.
    """

    champion: Candidate
    trials: Trials
    baselines: Mapping[str, Candidate]
    calibration: Calibration | None
    threshold: Threshold | None
    limits: Limits | None


def terms_of(prepared: Prepared, project: Project) -> Terms:
    """Say what all fits of a run share."""
    return Terms(
        kinds=prepared.kinds,
        classes=len(prepared.classes),
        seed=project.learn.seed,
        class_weight=_class_weight(prepared, project),
    )


def _class_weight(prepared: Prepared, project: Project) -> ClassWeight:
    given = project.learn.class_weight
    if not isinstance(given, dict):
        return given
    unknown = [name for name in given if name not in prepared.classes]
    if unknown:
        raise Misuse(f"learn.class_weight names no class {unknown[0]!r}{nearest(unknown[0], prepared.classes)}")
    return {prepared.classes.index(name): weight for name, weight in given.items()}


def score_of(prepared: Prepared, name: str) -> tuple["_Scored", bool]:
    """Give the metric that picks the model as a function of truth and answers, and whether more of it is better."""
    metric = METRICS.get(name)
    return _Scored(metric=name, classes=prepared.classes), metric.higher_is_better


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scored:
    metric: str
    classes: tuple[str, ...]

    def __call__(self, truth: Float64[np.ndarray, " rows"], answers: Matrix) -> float:
        return METRICS.get(self.metric).value(as_predictions(truth, answers, self.classes))


def as_predictions(truth: Float64[np.ndarray, " rows"], answers: Matrix, classes: tuple[str, ...]) -> Predictions:
    """Put raw answers beside the truth; the most probable class is the decision."""
    if not classes:
        return Predictions(truth=truth, values=answers[:, 0])
    decisions = np.argmax(answers, axis=1).astype(np.int64)
    return Predictions(truth=truth, classes=classes, probabilities=answers, decisions=decisions)


def learn(prepared: Prepared, project: Project, *, journal: Path, baselines: Sequence[str], tell: Tell) -> Learnt:
    """Search, choose and fit, beside baselines of these names."""
    terms = terms_of(prepared, project)
    everything = Examples(frame=prepared.frame, y=prepared.truth)
    train, validation = everything.take(prepared.parts.train), everything.take(prepared.parts.validation)
    score, higher = score_of(prepared, prepared.task.metric)
    objective = on_validation(train, validation, terms, score)
    names = project.learn.learners or prepared.task.learners
    trials = _searched(prepared, project, names, objective, higher, journal=journal, tell=tell)
    settings = _settled(objective, trials.best.learner, trials.best.settings)
    known = np.concatenate([prepared.parts.train, prepared.parts.validation])
    tell("fit")
    champion = encode_and_fit(trials.best.learner, settings, everything.take(known), terms)
    beside = {name: encode_and_fit(name, {}, everything.take(known), terms) for name in dict.fromkeys(baselines)}
    tell("out-of-fold predictions")
    truth, answers = _unseen(prepared, project, champion, known, terms)
    calibration = threshold = around = None
    if prepared.classes:
        calibration = calibrate(truth, answers, project.learn.seed)
        if len(prepared.classes) == 2:
            right = calibration.correction.apply(answers)[:, 1]
            threshold = choose_threshold(truth, right, project.decide.cost, project.learn.seed)
    else:
        around = limits(truth, answers[:, 0], project.decide.coverage, project.learn.seed)
    return Learnt(
        champion=champion,
        trials=trials,
        baselines=beside,
        calibration=calibration,
        threshold=threshold,
        limits=around,
    )


def _searched(
    prepared: Prepared,
    project: Project,
    names: Sequence[str],
    objective: Objective,
    higher: bool,
    *,
    journal: Path,
    tell: Tell,
) -> Trials:
    about = digest_of(
        {
            # Whatever changes a score: a journal of other rows, other readings of them or other code is of no use.
            "software": [package_tree(), environment_lock()],
            "snapshot": prepared.snapshot.digest,
            "contract": to_dict(prepared.contract),
            "classes": prepared.classes,
            "kinds": prepared.kinds,
            "train": sha256_bytes(prepared.parts.train.tobytes()),
            "validation": sha256_bytes(prepared.parts.validation.tobytes()),
            "metric": prepared.task.metric,
            "weights": project.model_dump(mode="json")["learn"]["class_weight"],
        }
    )
    plan = Plan(
        learners=tuple(dict.fromkeys(names)),
        trials=project.learn.trials,
        seed=project.learn.seed,
        scores=objective,
        higher_is_better=higher,
        about=about,
        sampler=project.learn.sampler,
    )
    total = max(project.learn.trials, len(names))
    tell("search", 0, total)
    return search(
        plan,
        Journal(path=journal, search=plan.digest),
        told=lambda trial: tell("search", trial.number + 1, total),
    )


def _settled(objective: Objective, name: str, settings: Mapping[str, Value]) -> dict[str, Value]:
    """Fix the number of trees where early stopping found it, so that the final fit can use every row."""
    trees = LEARNERS.get(name).space.get("trees")
    kept = None if trees is None else objective.trees(name, settings)
    if trees is None or kept is None:
        return dict(settings)
    return {**settings, "trees": int(min(max(kept, trees.low or 1), trees.high or kept))}


def _unseen(
    prepared: Prepared, project: Project, champion: Candidate, known: Int64[np.ndarray, " known"], terms: Terms
) -> tuple[Float64[np.ndarray, " rows"], Matrix]:
    """Answer each known row by a model that did not learn from it."""
    made = folds(prepared.table, prepared.split, rows=known, count=project.learn.folds)
    everything = Examples(frame=prepared.frame, y=prepared.truth)
    pairs = [(fold.train, fold.validation) for fold in made]
    answers = out_of_fold(champion.learner, champion.settings, everything, pairs, terms)
    seen = np.flatnonzero(np.isfinite(answers[:, 0]))
    return prepared.truth[seen], answers[seen]
