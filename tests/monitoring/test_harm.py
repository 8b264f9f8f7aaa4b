"""The harm of a changed column: near the truth where it can be told, and else not told."""

import numpy as np
import pytest

from holdtrue.evaluation.predictions import Predictions
from holdtrue.monitoring.harm import Harm, harm, harm_told, ranked
from holdtrue.monitoring.quality import Pledge
from holdtrue.monitoring.ruler import Ruler, ruler_of_numbers

RULER = Ruler(name="way", texts=("road", "rail"))
PLEDGE = Pledge(text="ROC AUC is at least 0.8", metric="roc_auc", direction="at_least", bound=0.8)


def answered(seed: int, ways: list[str], *, on_rail: float = 0.3) -> Predictions:
    """Answers that are good for roads and worse for rails."""
    chance = np.random.default_rng(seed)
    truth = (chance.random(len(ways)) < 0.4).astype(np.float64)
    apart = np.where(np.array(ways) == "rail", on_rail, 2.5)
    share = 1 / (1 + np.exp(-(chance.normal(size=len(ways)) + apart * (truth - 0.5))))
    return Predictions(truth=truth, classes=("no", "yes"), probabilities=np.stack([1 - share, share], axis=1))


def ways(seed: int, count: int, rail: float) -> list[str]:
    return np.where(np.random.default_rng(seed).random(count) < rail, "rail", "road").tolist()


def area(predictions: Predictions) -> float:
    from holdtrue.evaluation.metric import metric_named

    return metric_named("roc_auc").value(predictions)


@pytest.mark.parametrize("rail", [0.4, 0.8])
def test_more_of_the_rows_that_are_answered_worse_is_the_harm_that_comes(rail: float) -> None:
    past = ways(1, 5_000, 0.1)
    held_out = answered(2, past)
    found = harm(RULER, past, RULER.count_texts(ways(3, 2_000, rail)), held_out, PLEDGE)
    truth = area(held_out) - area(answered(4, ways(5, 40_000, rail)))
    assert found.worse == pytest.approx(truth, abs=3 * found.error)
    assert found.error < 0.03
    assert found.is_harmful
    assert found.breaks == (area(held_out) - truth < 0.8)
    assert "worse by this alone" in harm_told(found)


def test_a_change_within_a_slice_is_the_harm_that_comes_of_the_slice_alone() -> None:
    """In the north ever more goes by rail; the south is as it was, half by rail."""

    def world(seed: int, count: int, rail: float) -> tuple[np.ndarray, list[str]]:
        north = np.random.default_rng(seed).random(count) < 0.4
        there, here = ways(seed + 1, count, 0.5), ways(seed + 2, count, rail)
        return north, [here[place] if is_north else there[place] for place, is_north in enumerate(north)]

    north, past = world(1, 8_000, 0.05)
    held_out = answered(2, past)
    now_north, now = world(3, 4_000, 0.9)
    counts = RULER.count_texts([way for way, is_north in zip(now, now_north, strict=True) if is_north])
    found = harm(RULER, past, counts, held_out, PLEDGE, within=north)
    truth = area(held_out) - area(answered(4, world(5, 60_000, 0.9)[1]))
    assert found.worse is not None
    assert found.worse == pytest.approx(truth, abs=3 * found.error)
    assert found.is_harmful
    everywhere = harm(RULER, past, counts, held_out, PLEDGE)
    assert everywhere.worse is not None
    assert everywhere.worse > found.worse + 3 * found.error  # as if the south did so too


def test_a_slice_of_few_rows_cannot_be_told() -> None:
    past = ways(1, 5_000, 0.5)
    few = np.arange(5_000) < 60
    found = harm(RULER, past, RULER.count_texts(ways(2, 900, 0.9)), answered(3, past), PLEDGE, within=few)
    assert found.worse is None
    assert "are worth only" in found.why


@pytest.mark.slow
def test_a_column_that_the_answers_do_not_depend_on_does_no_harm() -> None:
    harmful = 0
    for seed in range(40):
        past = ways(seed, 3_000, 0.3)
        held_out = answered(100 + seed, past, on_rail=2.5)
        now = RULER.count_texts(ways(200 + seed, 2_000, 0.6))
        harmful += harm(RULER, past, now, held_out, PLEDGE).is_harmful
    assert harmful <= 5  # 2 standard errors to one side: about one in forty


def test_better_is_not_harm() -> None:
    past = ways(1, 5_000, 0.5)
    found = harm(RULER, past, RULER.count_texts(ways(2, 2_000, 0.1)), answered(3, past), PLEDGE)
    assert found.worse is not None
    assert found.worse < 0
    assert not found.is_harmful
    assert "no harm" in harm_told(found)


def test_rows_of_a_kind_that_was_never_seen_cannot_be_told() -> None:
    past = ways(1, 3_000, 0.3)
    now = RULER.count_texts(["sea"] * 100 + ["road"] * 900)
    found = harm(RULER, past, now, answered(2, past), PLEDGE)
    assert found.worse is None
    assert "10% of the rows are of a kind" in found.why
    assert "cannot tell" in harm_told(found)


def test_few_rows_that_would_have_to_stand_for_all_cannot_be_told() -> None:
    past = ways(1, 3_000, 0.01)
    found = harm(RULER, past, RULER.count_texts(["rail"] * 500), answered(2, past), PLEDGE)
    assert found.worse is None
    assert "worth only" in found.why


@pytest.mark.parametrize("metric", ["rmse", "loss of roc_auc under noise"])
def test_a_promise_that_the_rows_do_not_speak_of_cannot_be_told(metric: str) -> None:
    past = ways(1, 500, 0.3)
    pledge = Pledge(text="", metric=metric, direction="at_most", bound=1.0)
    assert harm(RULER, past, RULER.count_texts(past), answered(2, past), pledge).worse is None


def test_of_a_loss_more_is_worse() -> None:
    chance = np.random.default_rng(1)
    sizes = chance.random(4_000)
    values = np.zeros(4_000)
    truth = chance.normal(size=4_000) * (1 + 4 * sizes)
    ruler = ruler_of_numbers("size", sizes)
    pledge = Pledge(text="MAE is at most 2", metric="mae", direction="at_most", bound=2.6)
    larger = ruler.count_numbers(np.sqrt(chance.random(3_000)))
    found = harm(ruler, sizes, larger, Predictions(truth=truth, values=values), pledge)
    assert found.worse is not None
    assert found.worse == pytest.approx(0.8 * (1 + 4 * 2 / 3) - 0.8 * 3, abs=0.1)
    assert found.is_harmful


def test_what_breaks_a_promise_comes_first_and_the_harmless_last() -> None:
    def one(column: str, worse: float | None) -> Harm:
        return Harm(column=column, promise="p", worse=worse, error=0.01, slack=0.2)

    names = [each.column for each in ranked([one("d", 0.0), one("c", None), one("b", 0.1), one("a", 0.5)])]
    assert names == ["a", "b", "c", "d"]
