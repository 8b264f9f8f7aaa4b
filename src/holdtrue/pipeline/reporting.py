"""A candidate is looked at from all sides and judged: the report, and the verdict of the gate."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Int64

from holdtrue.core.errors import Misuse
from holdtrue.evaluation.metric import METRICS
from holdtrue.evaluation.plain import estimate_json, plain
from holdtrue.evaluation.predictions import Predictions
from holdtrue.evaluation.report import Inputs, Model, evaluate
from holdtrue.evaluation.robustness import PERTURBATIONS, perturb, reference_of
from holdtrue.evaluation.timeline import Timeline, followed
from holdtrue.features.encoder import transform
from holdtrue.pipeline.judging import Evidence, judged
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.learn import as_predictions, terms_of
from holdtrue.pipeline.make import Made, answers_of, as_answers
from holdtrue.pipeline.prepare import Prepared
from holdtrue.pipeline.progress import Tell
from holdtrue.pipeline.promising import asked
from holdtrue.pipeline.suspect import leak_notes
from holdtrue.promises.promise import Judged, gate, gate_reason
from holdtrue.spec import Project
from holdtrue.statistics.estimate import Estimate
from holdtrue.training.examples import Examples
from holdtrue.training.fit import encode_and_fit

SCHEMA = "holdtrue/report/1"
CHAMPION = "champion"
CONTRIBUTION_ROWS = 500  # exact contributions cost as much as a thousand predictions


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """The verdict of the gate and the report that goes with it."""

    verdict: str
    report: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Exam:
    """What one examination needs at hand; predictions under a disturbance are made once."""

    made: Made
    project: Project
    keeper: Keeper
    now: datetime
    clock: Callable[[], float]
    predictions: Predictions
    others: dict[str, Predictions]
    disturbed: Callable[[str], Predictions]

    @property
    def prepared(self) -> Prepared:
        return self.made.prepared

    @property
    def held_out(self) -> pl.DataFrame:
        return self.prepared.frame[self.prepared.parts.test]


def examine(
    made: Made,
    project: Project,
    keeper: Keeper,
    *,
    uses: int,
    alpha: float,
    now: datetime,
    clock: Callable[[], float],
    tell: Tell,
) -> Judgement:
    """Measure every promise at the level `alpha`, and everything else for the reader."""
    exam = _exam(made, project, keeper, now, clock)
    tell("promises")
    verdicts = [
        judged(each, _evidence(exam), alpha=alpha) for entry in project.promises for each in _asked(entry, exam)
    ]
    tell("report")
    report = evaluate(_inputs(exam))
    report["data"] = {**_data(exam), **report["data"]}
    report |= {
        "schema": SCHEMA,
        "project": project.name,
        "task": made.prepared.task_name,
        "created": now.astimezone(UTC).isoformat(timespec="seconds"),
        "candidate": made.core.digest,
        "release": None,
        "verdict": gate(verdicts),
        "verdict_reason": gate_reason(verdicts),
        "confidence": project.confidence,
        "holdout": {"uses": uses, "alpha": 1 - project.confidence, "alpha_spent_now": alpha},
        "promises": [_promise(each) for each in verdicts],
        "search": [_trial(trial) for trial in made.learnt.trials.trials],
        "proof": plain(asdict(made.proof)),
        "learnt": _learnt(made),
        "notes": [
            *made.prepared.notes,
            *leak_notes(made.prepared, seed=project.learn.seed),
            *made.learnt.champion.notes,
        ],
        "lineage": _lineage(made),
    }
    return Judgement(verdict=report["verdict"], report=report)


def _asked(entry: Any, exam: Exam) -> Any:
    return asked(entry, metric=exam.prepared.task.metric)


def _exam(made: Made, project: Project, keeper: Keeper, now: datetime, clock: Callable[[], float]) -> Exam:
    prepared, rows, coverage = made.prepared, made.prepared.parts.test, project.decide.coverage
    held_out = prepared.frame[rows]
    others = {
        name: as_answers(candidate, prepared, rows, coverage) for name, candidate in made.learnt.baselines.items()
    }
    if any(entry.beats and entry.beats.baseline == CHAMPION for entry in project.promises):
        others[CHAMPION] = _in_service(prepared, keeper, coverage)
    reference = reference_of(prepared.frame[prepared.parts.train])

    @cache
    def disturbed(name: str) -> Predictions:
        frame = perturb(name, held_out, reference, project.learn.seed)
        return answers_of(made.predict(frame), prepared, rows, coverage)

    return Exam(
        made=made,
        project=project,
        keeper=keeper,
        now=now,
        clock=clock,
        predictions=answers_of(made.predict(held_out), prepared, rows, coverage),
        others=others,
        disturbed=disturbed,
    )


def _in_service(prepared: Prepared, keeper: Keeper, coverage: float) -> Predictions:
    """Let the release in service answer the same rows, through its own contract's columns."""
    from holdtrue.features.session import run

    ready = keeper.predictor(CHAMPION)
    core, rows = ready.release.core, prepared.parts.test
    absent = [str(port["name"]) for port in core.inputs if port["name"] not in prepared.table.frame.columns]
    if absent or (core.task, core.classes) != (prepared.task_name, prepared.classes):
        told = (
            f"it takes the columns {', '.join(absent)}"
            if absent
            else f"it predicts {', '.join(core.classes) or core.task}"
        )
        raise Misuse(
            f"The release in service ({core.digest[:12]}…) cannot answer these rows: {told}.",
            do="Leave the promise to beat the champion out of this run.",
        )
    return answers_of(run(ready.ready, prepared.table.frame[rows]), prepared, rows, coverage)


def _evidence(exam: Exam) -> Evidence:
    prepared, made = exam.prepared, exam.made
    one = exam.held_out.head(1)

    def newest(column: str | None) -> float | None:
        values = (
            prepared.time if column is None else prepared.table.frame.get_column(column).cast(pl.Float64).to_numpy()
        )
        known = values[np.isfinite(values)] if values is not None else np.zeros(0)
        return float(known.max()) if len(known) else None

    return Evidence(
        predictions=exam.predictions,
        others=exam.others,
        rows=prepared.table.frame[prepared.parts.test],
        disturbed=exam.disturbed,
        answer_one=lambda: made.predict(one),
        clock=exam.clock,
        model_bytes=len(made.files["model.onnx"]),
        breaches=prepared.breaches,
        all_rows=prepared.table.frame.height,
        newest=newest,
        now=exam.now,
        metric=prepared.task.metric,
        dates=_dates(prepared),
        seed=exam.project.learn.seed,
    )


def _dates(prepared: Prepared) -> frozenset[str]:
    return frozenset(name for name, kind in prepared.contract.kinds.items() if kind == "date")


def _inputs(exam: Exam) -> Inputs:
    prepared, project, learnt = exam.prepared, exam.project, exam.made.learnt
    rows, coverage = prepared.parts.test, project.decide.coverage
    return Inputs(
        models=_models(exam),
        metrics=prepared.task.metrics,
        metric=prepared.task.metric,
        rows=prepared.table.frame[rows].drop(project.data.target),
        features=tuple(prepared.frame.columns),
        predict=lambda frame: answers_of(exam.made.predict(frame), prepared, rows[: frame.height], coverage),
        confidence=project.confidence,
        seed=project.learn.seed,
        dates=_dates(prepared),
        slice_columns=project.report.slices or None,
        fair=_fair(prepared, project),
        disturbances=tuple(PERTURBATIONS),
        disturbed=exam.disturbed,
        cost=project.decide.cost,
        threshold=learnt.threshold.value if learnt.threshold else None,
        timeline=_timeline(prepared),
        contributions=_contributions(exam),
        learning=_learning(exam) if project.report.learning_curve else None,
    )


def _models(exam: Exam) -> tuple[Model, ...]:
    learnt = exam.made.learnt
    champion = learnt.champion
    models = [
        Model(
            name=champion.learner,
            role="champion",
            learner=champion.learner,
            settings=champion.settings,
            predictions=exam.predictions,
        )
    ]
    for name, given in exam.others.items():
        candidate = learnt.baselines.get(name)
        models.append(
            Model(
                name=f"{name} (default)" if name == champion.learner else name,
                role="baseline",
                learner=candidate.learner if candidate else name,
                settings=candidate.settings if candidate else {},
                predictions=given,
            )
        )
    return tuple(models)


def _fair(prepared: Prepared, project: Project) -> tuple[tuple[str, str], ...]:
    """Pair each column that groups are compared by with what is compared."""
    usual = ("mae",) if not prepared.classes else ("true_positive_rate", "selection_rate")
    pairs = [(entry.fair.across, entry.fair.metric) for entry in project.promises if entry.fair]
    pairs += [(column, metric) for column in project.report.fair_across for metric in usual]
    return tuple(dict.fromkeys(pairs))


def _timeline(prepared: Prepared) -> Timeline | None:
    if prepared.time is None:
        return None
    part = np.full(len(prepared.truth), "train", dtype=object)
    part[prepared.parts.validation] = "validation"
    part[prepared.parts.test] = "test"
    target = followed(prepared.truth, prepared.classes)
    return Timeline(time=prepared.time, target=target, part=list(part), is_share=bool(prepared.classes))


def _contributions(exam: Exam) -> tuple[np.ndarray, tuple[str, ...]] | None:
    champion = exam.made.learnt.champion
    rows = exam.held_out
    if rows.height > CONTRIBUTION_ROWS:
        rows = rows.sample(CONTRIBUTION_ROWS, seed=exam.project.learn.seed)
    found = champion.fitted.contributions(transform(champion.encoder, rows))
    return None if found is None else (found, tuple(champion.encoder.origin))


def _learning(exam: Exam) -> tuple[Callable[[Int64[np.ndarray, " rows"]], Estimate], int]:
    """Learn from shares of the training rows and score on the validation rows: they judge nothing else."""
    prepared, project, champion = exam.prepared, exam.project, exam.made.learnt.champion
    terms, metric = terms_of(prepared, project), METRICS.get(prepared.task.metric)
    everything = Examples(frame=prepared.frame, y=prepared.truth)
    train, held = prepared.parts.train, prepared.parts.validation

    def fit_and_score(index: Int64[np.ndarray, " rows"]) -> Estimate:
        found = encode_and_fit(champion.learner, champion.settings, everything.take(train[index]), terms)
        answers = as_predictions(prepared.truth[held], found.predict(prepared.frame[held]), prepared.classes)
        return metric.estimate(answers, project.confidence, project.learn.seed)

    return fit_and_score, len(train)


def _promise(each: Judged) -> dict[str, Any]:
    promise = each.promise
    return {
        "kind": promise.kind,
        "scope": promise.scope,
        "text": promise.text,
        "required": promise.required,
        "verdict": each.verdict,
        **estimate_json(each.estimate),
        "bound": promise.bound,
        "direction": promise.direction,
        "rows_needed": each.rows_needed,
        "reason": each.reason,
    }


def _trial(trial: Any) -> dict[str, Any]:
    made = plain(asdict(trial))
    assert isinstance(made, dict)
    return {"trial": made.pop("number"), **made}


def _data(exam: Exam) -> dict[str, Any]:
    prepared = exam.prepared
    height = prepared.table.frame.height
    shares = {name: prepared.frame.get_column(name).null_count() / height for name in prepared.frame.columns}
    gaps = sorted(shares.items(), key=lambda entry: (-entry[1], entry[0]))
    return {
        "snapshot": prepared.snapshot.digest,
        "source": prepared.source,
        "rows": height,
        "columns": len(prepared.snapshot.columns),
        "target": exam.project.data.target,
        "classes": list(prepared.classes),
        "positive": prepared.classes[1] if len(prepared.classes) == 2 else None,
        "split": {
            "by": prepared.split.by,
            **{name: _part(prepared, getattr(prepared.parts, name)) for name in ("train", "validation", "test")},
        },
        "missing": [{"column": name, "share": share} for name, share in gaps],
        "breaches": [breach.sentence for breach in prepared.breaches],
    }


def _part(prepared: Prepared, rows: Int64[np.ndarray, " rows"]) -> dict[str, Any]:
    ends: dict[str, Any] = {"from": None, "to": None}
    if prepared.time is not None and len(rows):
        times = prepared.time[rows]
        for name, moment in (("from", times.min()), ("to", times.max())):
            ends[name] = datetime.fromtimestamp(float(moment), UTC).isoformat(timespec="seconds")
    return {"rows": len(rows), **ends}


def _learnt(made: Made) -> dict[str, Any]:
    """Say how answers are corrected and decided."""
    learnt = made.learnt
    found = {
        "calibration": asdict(learnt.calibration) if learnt.calibration else None,
        "threshold": asdict(learnt.threshold) if learnt.threshold else None,
        "interval": asdict(learnt.limits) if learnt.limits else None,
    }
    result = plain(found)
    assert isinstance(result, dict)
    return result


def _lineage(made: Made) -> dict[str, Any]:
    lineage = made.core.lineage.to_dict()
    return {"candidate": made.core.digest, **{key: value for key, value in lineage.items() if value is not None}}
