"""What every learner must hold, as named checks: run them on your own learner before you offer it.

>>> from holdtrue.models.learner import LEARNERS
>>> for check in checks():
...     check("ridge", LEARNERS.get("ridge"))
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from holdtrue.core.errors import Misuse
from holdtrue.models.blocks.classes import taken
from holdtrue.models.learner import Learner, Rows, Value
from holdtrue.models.problems import (
    Kind,
    extreme,
    fit,
    graph_answers,
    kinds,
    problem,
    ready,
    weighted,
    worst_difference,
    written,
)
from holdtrue.models.settings import defaults, resolve
from holdtrue.tasks import TASKS

Check = Callable[[str, Learner], None]

CLOSE = 1e-5


def checks() -> Iterator[Check]:
    """Give every check; each raises an AssertionError that says what was broken."""
    yield says_what_it_is
    yield defaults_lie_in_their_ranges
    yield settings_outside_their_range_are_refused
    yield answers_have_the_right_shape_and_range
    yield the_same_arguments_give_the_same_bits
    yield another_seed_gives_another_valid_model
    yield chance_and_rows_are_left_alone
    yield no_file_is_written
    yield the_graph_equals_the_model
    yield an_answer_does_not_depend_on_its_batch
    yield huge_values_get_finite_answers
    yield one_feature_is_enough
    yield constant_features_are_harmless
    yield twenty_rows_are_enough
    yield repeated_rows_are_harmless
    yield a_class_of_two_rows_is_learnt
    yield a_missing_class_gets_no_chance
    yield validation_rows_are_welcome
    yield heavy_rows_pull
    yield it_beats_the_constant
    yield missing_values_are_answered
    yield contributions_add_up


def says_what_it_is(name: str, learner: Learner) -> None:
    assert learner.tasks, f"{name} names no task"
    assert learner.tasks <= set(TASKS.names()), f"{name} names a task that is not there: {sorted(learner.tasks)}"
    assert learner.paper, f"{name} names no paper"
    assert learner.most_rows is None or learner.most_rows > 0


def defaults_lie_in_their_ranges(name: str, learner: Learner) -> None:
    resolve(name, learner, defaults(learner.space))
    for key, dimension in learner.space.items():
        ends = dimension.low is not None and dimension.high is not None
        assert ends or dimension.choices, f"{name}: {key} has neither a range nor choices"
        if dimension.log:
            assert dimension.low, f"{name}: {key} is searched by its logarithm but may be 0"


def settings_outside_their_range_are_refused(name: str, learner: Learner) -> None:
    wrong: dict[str, Value] = {"no_such_setting": 1}
    for key, dimension in learner.space.items():
        wrong[key] = "no such choice" if dimension.high is None else dimension.high + 1
    faults: tuple[str, ...] = ()
    try:
        resolve(name, learner, wrong)
    except Misuse as told:
        faults = told.faults
    assert len(faults) == len(wrong), f"{name}: not every fault is told at once: {faults}"
    assert all("should" in fault for fault in faults[1:]), f"{name}: a fault does not say what is allowed: {faults}"


def answers_have_the_right_shape_and_range(name: str, learner: Learner) -> None:
    for kind in kinds(learner):
        rows = problem(kind, learner.flavour)
        _valid(name, rows, ready(learner, kind).predict(rows.x), len(rows.y))


def the_same_arguments_give_the_same_bits(name: str, learner: Learner) -> None:
    for kind in kinds(learner):
        rows = problem(kind, learner.flavour)
        first, second = ready(learner, kind), fit(learner, rows)
        assert first.predict(rows.x).tobytes() == second.predict(rows.x).tobytes(), f"{name}: a refit differs"
        graphs = {written(model, rows.x.shape[1]) for model in (first, first, second)}
        assert len(graphs) == 1, f"{name}: the bytes of its graph differ from time to time"


def another_seed_gives_another_valid_model(name: str, learner: Learner) -> None:
    kind = next(kinds(learner))
    rows = problem(kind, learner.flavour)
    _valid(name, rows, fit(learner, rows, seed=8).predict(rows.x), len(rows.y))


def chance_and_rows_are_left_alone(name: str, learner: Learner) -> None:
    for kind in kinds(learner):
        rows = problem(kind, learner.flavour, rows=60)
        x, y = rows.x.copy(), rows.y.copy()
        before = repr(np.random.get_state(legacy=False))
        fit(learner, rows).predict(rows.x)
        assert repr(np.random.get_state(legacy=False)) == before, f"{name}: numpy's global state of chance moved"
        assert rows.x.tobytes() == x.tobytes(), f"{name}: fitting changed its rows"
        assert rows.y.tobytes() == y.tobytes(), f"{name}: fitting changed its targets"


def no_file_is_written(name: str, learner: Learner) -> None:
    kind = next(kinds(learner))
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        fit(learner, problem(kind, learner.flavour, rows=60))
        left = sorted(entry.name for entry in Path(folder).iterdir())
    assert not left, f"{name}: fitting left {left} behind"


def the_graph_equals_the_model(name: str, learner: Learner) -> None:
    for kind in kinds(learner):
        rows = problem(kind, learner.flavour)
        fresh = problem(kind, learner.flavour, seed=1).x
        _same(name, learner, rows, rows.x, fresh, extreme(rows), fresh[:1], ready_for=kind)


def an_answer_does_not_depend_on_its_batch(name: str, learner: Learner) -> None:
    for kind in kinds(learner):
        model, x = ready(learner, kind), problem(kind, learner.flavour, seed=2).x
        whole, parts = model.predict(x), [model.predict(x[start : start + 7]) for start in range(0, len(x), 7)]
        np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-9, atol=1e-12, err_msg=name)
        full, one, none = graph_answers(model, x, x[:1], x[:0])
        np.testing.assert_allclose(one, full[:1], rtol=1e-6, atol=1e-7, err_msg=name)
        assert none.shape == (0, whole.shape[1]), f"{name}: no rows give {none.shape}"


def huge_values_get_finite_answers(name: str, learner: Learner) -> None:
    for kind in kinds(learner):
        rows = problem(kind, learner.flavour)
        x = np.repeat(rows.x[:4], 2, axis=0)
        x[::2], x[1::2, 0] = np.float32(1e30), np.float32(-3e38)
        answers = ready(learner, kind).predict(x)
        _valid(name, rows, answers, len(x))
        (graph,) = graph_answers(ready(learner, kind), x)
        assert np.isfinite(graph).all(), f"{name}: the graph answers huge values with {graph}"


def one_feature_is_enough(name: str, learner: Learner) -> None:
    for kind in kinds(learner):
        _learns(name, learner, problem(kind, learner.flavour, rows=80, features=1))


def constant_features_are_harmless(name: str, learner: Learner) -> None:
    for kind in kinds(learner):
        rows = problem(kind, learner.flavour, rows=80)
        x = rows.x.copy()
        x[:, 1:] = 3.0
        _learns(name, learner, replace(rows, x=x))
        _learns(name, learner, replace(rows, x=np.zeros_like(x)))


def twenty_rows_are_enough(name: str, learner: Learner) -> None:
    for kind in kinds(learner):
        _learns(name, learner, problem(kind, learner.flavour, rows=20))


def repeated_rows_are_harmless(name: str, learner: Learner) -> None:
    for kind in kinds(learner):
        rows = problem(kind, learner.flavour, rows=60)
        _learns(name, learner, taken(rows, np.repeat(np.arange(6) * 10, 20)))


def a_class_of_two_rows_is_learnt(name: str, learner: Learner) -> None:
    if "classification" in learner.tasks:
        rows = problem("three", learner.flavour, rows=90)
        rare = np.flatnonzero(rows.y == 2)
        _learns(name, learner, taken(rows, np.setdiff1d(np.arange(90), rare[2:])))
        _learns(name, learner, taken(rows, np.setdiff1d(np.arange(90), rare[1:])))


def a_missing_class_gets_no_chance(name: str, learner: Learner) -> None:
    """A fold may lack a class; the answer keeps its place all the same."""
    if "classification" not in learner.tasks:
        return
    rows = problem("three", learner.flavour, rows=90)
    for gone in (0, 1, 2):
        left = taken(rows, rows.y != gone)
        answers = _learns(name, learner, left)
        assert answers[:, gone].max() < 0.05, f"{name}: class {gone} was never seen, yet gets a chance"
    _learns(name, learner, taken(rows, rows.y == 1))


def validation_rows_are_welcome(name: str, learner: Learner) -> None:
    for kind in kinds(learner):
        rows, held = (problem(kind, learner.flavour, rows=count, seed=count) for count in (120, 80))
        first, second = (fit(learner, rows, validation=held).predict(held.x) for _ in range(2))
        _valid(name, rows, first, 80)
        assert first.tobytes() == second.tobytes(), f"{name}: a refit with validation rows differs"


def heavy_rows_pull(name: str, learner: Learner) -> None:
    """Weight moves the answer toward the rows that carry it."""
    for kind in kinds(learner):
        rows = problem(kind, learner.flavour)
        heavy = rows.y == 1 if rows.classes else rows.y > np.median(rows.y)
        column = 1 if rows.classes else 0
        before = ready(learner, kind).predict(rows.x)[:, column].mean()
        after = fit(learner, weighted(rows, heavy=heavy, by=5.0)).predict(rows.x)[:, column].mean()
        assert after > before, f"{name} ({kind}): heavy rows moved the mean answer from {before:.4g} to {after:.4g}"


def it_beats_the_constant(name: str, learner: Learner) -> None:
    if name in {TASKS.get(task).trivial for task in learner.tasks}:
        return
    for kind in kinds(learner):
        rows, held = problem(kind, learner.flavour), problem(kind, learner.flavour, seed=4)
        own, trivial = ready(learner, kind).predict(held.x), np.full((len(held.y), 1), rows.y.mean())
        if rows.classes:
            trivial = np.tile(np.bincount(rows.y.astype(int), minlength=rows.classes) / len(rows.y), (len(held.y), 1))
        assert _loss(held, own) < 0.8 * _loss(held, trivial), f"{name} ({kind}): hardly better than a constant"


def missing_values_are_answered(name: str, learner: Learner) -> None:
    if learner.flavour != "tree":
        return
    for kind in kinds(learner):
        rows = problem(kind, learner.flavour)
        holes = np.tile(rows.x[:1], (rows.x.shape[1] + 1, 1))
        np.fill_diagonal(holes, np.nan)
        holes[-1] = np.nan
        _same(name, learner, rows, holes, ready_for=kind)
        _valid(name, rows, ready(learner, kind).predict(holes), len(holes))


def contributions_add_up(name: str, learner: Learner) -> None:
    """Where a learner explains itself, the parts sum to the value, or to a score that orders the chances."""
    for kind in kinds(learner):
        model, x = ready(learner, kind), problem(kind, learner.flavour, seed=5).x
        parts = model.contributions(x)
        if parts is None:
            continue
        assert parts.shape == x.shape, f"{name}: contributions have shape {parts.shape}"
        total, answer = parts.sum(axis=1), model.predict(x)[:, -1]
        if kind == "regression":
            assert np.ptp(answer - total) < CLOSE * max(np.ptp(answer), 1.0), f"{name}: parts do not sum to the value"
        elif kind == "binary":
            ordered = answer[np.argsort(total, kind="stable")]
            assert np.diff(ordered).min() > -CLOSE, f"{name}: a higher sum of parts goes with a lower chance"


def _learns(name: str, learner: Learner, rows: Rows) -> Float64[np.ndarray, "_ _"]:
    """Fit, check the answers, and compare with the graph."""
    model = fit(learner, rows)
    worst, answers = worst_difference(model, rows, rows.x, rows.x[:1])
    assert worst <= CLOSE, f"{name}: graph and model differ by {worst:.3g}"
    _valid(name, rows, answers, len(rows.x) + 1)
    return answers


def _same(name: str, learner: Learner, rows: Rows, *batches: "np.ndarray", ready_for: Kind) -> None:
    for kind in kinds(learner):
        if kind == ready_for:
            worst, _ = worst_difference(ready(learner, kind), rows, *batches)
            assert worst <= CLOSE, f"{name} ({kind}): graph and model differ by {worst:.3g}"


def _valid(name: str, rows: Rows, answers: Float64[np.ndarray, "_ _"], count: int) -> None:
    wanted = (count, rows.classes or 1)
    assert answers.dtype == np.float64, f"{name}: answers in {answers.dtype}"
    assert answers.shape == wanted, f"{name}: answers {answers.shape}, wanted {wanted}"
    assert np.isfinite(answers).all(), f"{name}: an answer is not finite"
    if rows.classes:
        assert answers.min() >= 0, f"{name}: a probability is {answers.min()}"
        assert answers.max() <= 1, f"{name}: a probability is {answers.max()}"
        np.testing.assert_allclose(answers.sum(axis=1), 1.0, atol=1e-6, err_msg=name)


def _loss(rows: Rows, answers: Float64[np.ndarray, "_ _"]) -> float:
    if not rows.classes:
        return float(((answers[:, 0] - rows.y) ** 2).mean())
    chance = answers[np.arange(len(answers)), rows.y.astype(int)]
    return -float(np.log(np.maximum(chance, 1e-9)).mean())
