"""What a column moved is its Shapley value, with an honest error; and nobody's personal data is shown."""

from collections.abc import Callable
from itertools import combinations
from math import factorial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from holdtrue.core.errors import Misuse
from holdtrue.features.graph import Graph
from holdtrue.pipeline.forgetting import forget
from holdtrue.pipeline.replay import ready_model
from holdtrue.pipeline.why_prediction import explain_prediction, shares
from tests.pipeline.recorded import NOW, Recorder, Request, row, store, three
from tests.release.made_release import graph

CHANCE = np.random.default_rng(5)
PAST = pl.DataFrame({name: CHANCE.normal(size=40) for name in "abcd"})
ROW = pl.DataFrame({"a": [1.5], "b": [-0.7], "c": [2.0], "d": [0.3]})


def answer(rows: pl.DataFrame) -> np.ndarray:
    """A sum, a product of two, and a column that counts for nothing."""
    return rows.select(2 * pl.col("a") - pl.col("b") + 1.5 * pl.col("a") * pl.col("c")).to_series().to_numpy()


def exact() -> dict[str, float]:
    """Shapley values by every coalition there is: those in it have the values of the row, the others of the past."""
    names = list(PAST.columns)

    def worth(inside: tuple[str, ...]) -> float:
        mixed = PAST.with_columns(pl.lit(ROW[name][0]).alias(name) for name in inside)
        return float(answer(mixed).mean())

    count = len(names)
    values: dict[str, float] = {}
    for name in names:
        others = [each for each in names if each != name]
        values[name] = sum(
            factorial(size) * factorial(count - size - 1) / factorial(count) * (worth((*some, name)) - worth(some))
            for size in range(count)
            for some in combinations(others, size)
        )
    return values


def told(recorder: Recorder, prediction: str) -> str:
    found = explain_prediction(recorder.keeper, prediction, again=recorder.again())
    return "\n".join([found.headline, *(line for cause in found.causes for line in (cause.what, *cause.because))])


def test_the_parts_are_shapley_values() -> None:
    wanted = exact()
    found = shares(answer, ROW, PAST, seed=3, pairs=4_000)
    for part in found.parts:
        assert part.moved == pytest.approx(wanted[part.name], abs=5 * part.error + 1e-12)
        assert part.error < 0.1
    assert next(part for part in found.parts if part.name == "d").moved == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_parts_add_up_to_the_answer(seed: int) -> None:
    found = shares(answer, ROW, PAST, seed=seed, pairs=10)
    assert found.usual + sum(part.moved for part in found.parts) == pytest.approx(found.answer, abs=1e-12)
    assert found.answer == pytest.approx(float(answer(ROW)[0]), abs=1e-12)


@pytest.mark.slow
def test_the_errors_are_honest() -> None:
    wanted = exact()
    runs = 400
    held = dict.fromkeys(("a", "b", "c"), 0)
    for seed in range(runs):
        for part in shares(answer, ROW, PAST, seed=seed, pairs=100).parts:
            if part.name in held:
                held[part.name] += abs(part.moved - wanted[part.name]) <= 1.96 * part.error
    for covered in held.values():
        assert 0.92 <= covered / runs <= 0.98  # three standard errors of 95 % over 400 runs


def test_missing_values_and_texts_are_shared_out_too() -> None:
    past = pl.DataFrame({"n": [1.0, None, 3.0, 4.0], "t": ["x", None, "y", "x"]})
    one = pl.DataFrame({"n": [None], "t": ["y"]}, schema=past.schema)

    def length(rows: pl.DataFrame) -> np.ndarray:
        known = (pl.col("t") == "y").fill_null(value=False)
        return rows.select(pl.col("n").fill_null(-5.0) + 10.0 * known).to_series().to_numpy()

    found = shares(length, one, past, seed=1, pairs=2_000)
    assert found.answer == 5.0
    # Of a sum, each column's part is how far it is from its own mean.
    assert [part.moved for part in found.parts] == pytest.approx([-5 - 0.75, 10 - 2.5], abs=0.5)


def test_a_value_is_explained(recorder: Recorder) -> None:
    receipts = recorder.answer([row(30.0), row(55.0)])
    recorder.write()
    text = told(recorder, receipts[1].id)
    assert "the same to the bit" in text
    assert "the value is " in text
    assert "age = 55" in text
    assert "rule 'of age' holds" in text


def test_a_personal_column_is_not_shown(recorder: Recorder) -> None:
    receipts = recorder.answer([row(30.0, "Reykjavik")])
    recorder.write()
    text = told(recorder, receipts[0].id)
    assert "Reykjavik" not in text
    assert "city" not in text
    assert "personal" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("made", "classes", "said"),
    [
        (graph, ("stays", "leaves"), "the probability of 'leaves' is "),
        (three, ("bus", "car", "foot"), "the probability of 'bus' is "),
    ],
    ids=["two", "three"],
)
def test_a_probability_is_explained(
    tmp_path: Path, made: Callable[[], Graph], classes: tuple[str, ...], said: str
) -> None:
    keeper = store(tmp_path / "store", made(), classes=classes)
    (folder,) = keeper.home.releases.iterdir()
    recorder = Recorder(keeper=keeper, ready=ready_model(keeper, folder.name))
    receipts = recorder.answer([row(75.0)])
    recorder.write()
    text = told(recorder, receipts[0].id)
    assert said in text
    assert "age = 75" in text


def test_of_several_rows_the_first_is_explained(recorder: Recorder) -> None:
    body = b'[{"age": 61, "city": "Oslo"}, {"age": 22, "city": "Oslo"}]'
    receipts = recorder.answer([Request(wire="rows", body=body)])
    recorder.write()
    text = told(recorder, receipts[0].id)
    assert "2 rows" in text
    assert "Of row 1 the value is" in text
    assert "age = 61" in text


def test_of_a_person_who_was_forgotten_only_the_answering_is_told(recorder: Recorder) -> None:
    receipts = recorder.answer([row(30.0, person="anna"), row(40.0, person="berta")])
    recorder.write()
    keeper = recorder.keeper
    assert "age = 30" in told(recorder, receipts[0].id)
    forget(keeper, "anna", now=NOW)
    text = told(recorder, receipts[0].id)
    assert "forgotten" in text
    assert "age = " not in text
    assert receipts[0].release[:12] in text
    assert "age = 40" in told(recorder, receipts[1].id)


def test_a_prediction_that_never_was_is_misuse(recorder: Recorder) -> None:
    recorder.write()
    with pytest.raises(Misuse):
        explain_prediction(recorder.keeper, "018bcfe568007abcb7bc040000000001")
