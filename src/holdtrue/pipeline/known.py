"""What a project file may name: learners, metrics, disturbances, and later columns and values of them.

All of it is checked before anything is trained: a wrong name must cost neither an hour nor a look at the held-out rows.
"""

from collections.abc import Iterator, Sequence

from holdtrue.core.errors import Misuse, nearest
from holdtrue.evaluation.fairness import DEFINITIONS
from holdtrue.evaluation.metric import METRICS
from holdtrue.evaluation.robustness import PERTURBATIONS
from holdtrue.models.learner import LEARNERS
from holdtrue.pipeline.judging import scope_mask
from holdtrue.pipeline.prepare import Prepared
from holdtrue.spec import Loaded
from holdtrue.spec.promises import Beats, PromiseEntry

CHAMPION = "champion"
LABELLED = {"binary", "probabilities", "decisions"}


def check_names(loaded: Loaded, task: str | None) -> None:
    """Raise `Misuse` with every name that is unknown, and every bound that no value could keep or break."""
    project = loaded.project
    faults = [
        f"{loaded.place('learn', 'learners')}: there is no learner {name!r}{nearest(name, LEARNERS.names())}"
        for name in project.learn.learners
        if name not in LEARNERS.names()
    ]
    if task is not None:
        faults += [
            f"{loaded.place('learn', 'learners')}: {name} does not fit {task}"
            for name in project.learn.learners
            if name in LEARNERS.names() and task not in LEARNERS.get(name).tasks
        ]
    for index, entry in enumerate(project.promises):
        place = loaded.place("promises", index, entry.kind)
        faults += [f"{place}: {fault}" for fault in _promise_faults(entry, task)]
    _refuse(faults)


def check_rows(loaded: Loaded, prepared: Prepared) -> None:
    """Raise `Misuse` with every promise that these rows cannot be asked for."""
    faults: list[str] = []
    for index, entry in enumerate(loaded.project.promises):
        place = loaded.place("promises", index, entry.kind)
        faults += [f"{place}: {fault}" for fault in _row_faults(entry, prepared)]
    _refuse(faults)


def check_rival(loaded: Loaded, aliases: Sequence[str]) -> None:
    """Raise `Misuse` when a promise is to beat a champion and there is none."""
    for index, entry in enumerate(loaded.project.promises):
        if entry.beats and entry.beats.baseline == CHAMPION and CHAMPION not in aliases:
            raise Misuse(
                f"{loaded.place('promises', index, 'beats')}: there is no champion to beat yet.",
                do="Leave this promise out until the first release is made; that one becomes the champion.",
            )


def _refuse(faults: list[str]) -> None:
    if faults:
        places = f"{len(faults)} place{'s' if len(faults) > 1 else ''}"
        raise Misuse(f"The project file is not right in {places}:", faults=faults)


def _row_faults(entry: PromiseEntry, prepared: Prepared) -> Iterator[str]:
    kinds = prepared.contract.kinds
    if entry.fresh and entry.fresh.column and kinds[entry.fresh.column] != "date":
        yield f"{entry.fresh.column!r} is a {kinds[entry.fresh.column]}; `fresh` needs a date column"
    elif entry.fresh and not entry.fresh.column and prepared.time is None:
        yield "`fresh` needs a time: add `column: NAME` of a date column, or set data.time"
    if entry.quality and entry.quality.where:
        try:
            scope_mask(prepared.table.frame[prepared.parts.test], entry.quality.where)
        except Misuse as error:
            yield error.what


def _promise_faults(entry: PromiseEntry, task: str | None) -> list[str]:
    said = entry.said
    faults: list[str] = []
    metric = getattr(said, "metric", None)
    if metric is not None and not (entry.fair and metric in DEFINITIONS):
        faults += _metric_faults(metric, task)
    elif metric is not None and task == "regression":
        faults.append(f"{metric} compares decisions, and regression has none")
    faults += _baseline_faults(entry.beats, task) if entry.beats else []
    if entry.robust:
        faults += [
            f"there is no disturbance {name!r}{nearest(name, list(PERTURBATIONS))}"
            for name in entry.robust.to
            if name not in PERTURBATIONS
        ]
    if entry.quality and metric in METRICS.names():
        low, high = METRICS.get(metric).bounds
        for bound in (entry.quality.at_least, entry.quality.at_most):
            if bound is not None and not low <= bound <= high:
                faults.append(f"{metric} lies between {low:g} and {high:g}, so no model can keep or break {bound:g}")
    return faults


def _baseline_faults(said: Beats, task: str | None) -> list[str]:
    if said.baseline == CHAMPION:
        return []
    if said.baseline not in LEARNERS.names():
        known = [*LEARNERS.names(), CHAMPION]
        return [f"there is no baseline {said.baseline!r}{nearest(said.baseline, known)}"]
    if task is not None and task not in LEARNERS.get(said.baseline).tasks:
        return [f"the baseline {said.baseline} does not fit {task}"]
    return []


def _metric_faults(metric: str, task: str | None) -> list[str]:
    if metric not in METRICS.names():
        return [f"there is no metric {metric!r}{nearest(metric, METRICS.names())}"]
    labelled = METRICS.get(metric).needs in LABELLED
    if task is not None and labelled != (task == "classification"):
        return [f"the metric {metric} does not fit {task}"]
    return []
