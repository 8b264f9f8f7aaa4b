"""Types of problem, one a file: what a prediction is, what it is compared with, and what is measured."""

from dataclasses import dataclass

from holdtrue.core.catalog import Catalog


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What a type of problem brings to every stage.

    Attributes:
        trivial: the learner that ignores every column; a model that does not beat it has learnt nothing.
        simple: the strong simple learner; a model that does not beat it is not worth its complexity.
        metric: the metric that picks the model, and the default of `quality` and `beats`.
        metrics: all that is reported, in the order of the report.
        learners: the learners tried when the project names none.
        labelled: whether a prediction is one of a few classes (else it is a number).
        splits: the kinds of split that make sense, the first being the default without a time column.
    """

    trivial: str
    simple: str
    metric: str
    metrics: tuple[str, ...]
    learners: tuple[str, ...]
    labelled: bool
    splits: tuple[str, ...]


TASKS = Catalog(kind="task", package="holdtrue.tasks", interface=Task)

__all__ = ["TASKS", "Task"]
