import numpy as np
import polars as pl
import pytest

from holdtrue.core.errors import Misuse
from holdtrue.evaluation.predictions import Predictions
from holdtrue.evaluation.robustness import PERTURBATIONS, UNSEEN, drop, perturb, reference_of
from tests.evaluation.world import binary

generator = np.random.default_rng(0)
FRAME = pl.DataFrame(
    {
        "size": generator.normal(50.0, 10.0, 4000),
        "count": generator.poisson(0.3, 4000).astype(np.float64),
        "kind": generator.choice(["usual", "rare"], 4000, p=[0.95, 0.05]),
    }
).with_columns(pl.when(pl.col("size") < 30).then(None).otherwise(pl.col("size")).alias("size"))
REFERENCE = reference_of(FRAME)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_the_same_seed_disturbs_alike_and_another_differently(name: str) -> None:
    once, again, other = (perturb(name, FRAME, REFERENCE, seed, strength=0.5) for seed in (1, 1, 2))
    assert once.equals(again)
    assert not once.equals(other)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_columns_keep_their_names_types_and_rows(name: str) -> None:
    disturbed = perturb(name, FRAME, REFERENCE, 3)
    assert disturbed.schema == FRAME.schema
    assert disturbed.height == FRAME.height


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_no_strength_changes_nothing(name: str) -> None:
    assert perturb(name, FRAME, REFERENCE, 3, strength=0.0).equals(FRAME)


def test_noise_has_the_spread_it_is_said_to_have() -> None:
    moved = (perturb("noise", FRAME, REFERENCE, 4)["size"] - FRAME["size"]).drop_nulls().to_numpy()
    assert moved.std() == pytest.approx(0.1 * REFERENCE.numbers["size"].deviation, rel=0.05)
    assert moved.mean() == pytest.approx(0.0, abs=0.1)


def test_noise_makes_no_value_that_could_not_have_come() -> None:
    noisy = perturb("noise", FRAME, REFERENCE, 4, strength=2.0)
    counts = noisy["count"].to_numpy()
    assert (counts == np.round(counts)).all()
    assert counts.min() == 0
    assert noisy["size"].null_count() == FRAME["size"].null_count()


def test_a_tenth_of_the_cells_goes_missing() -> None:
    lost = perturb("missing", FRAME, REFERENCE, 5)
    assert lost["kind"].null_count() / 4000 == pytest.approx(0.1, abs=0.02)
    assert lost["count"].null_count() / 4000 == pytest.approx(0.1, abs=0.02)


def test_categories_shift_towards_the_rare_and_the_unseen() -> None:
    counts = dict(perturb("shift", FRAME, REFERENCE, 6, strength=1.0)["kind"].value_counts().iter_rows())
    assert counts[UNSEEN] / 4000 == pytest.approx(0.5, abs=0.03)
    assert counts["rare"] > 10 * counts["usual"]


def test_a_column_that_was_always_empty_in_training_is_left_alone() -> None:
    empty = FRAME.with_columns(
        pl.lit(None, dtype=pl.Float64).alias("empty"), pl.lit(None, dtype=pl.String).alias("none")
    )
    for name in PERTURBATIONS:
        assert perturb(name, empty, reference_of(empty), 7)["empty"].null_count() == 4000


def test_an_unknown_disturbance_names_the_nearest() -> None:
    with pytest.raises(Misuse, match="did you mean 'noise'"):
        perturb("noises", FRAME, REFERENCE, 0)


def test_worse_predictions_are_a_drop_above_0_whichever_way_the_metric_points() -> None:
    clean = binary(2000, 1, distance=2.0)
    assert clean.probabilities is not None
    blurred = 0.5 * clean.probabilities + 0.5 * clean.probabilities[np.random.default_rng(2).permutation(2000)]
    disturbed = Predictions(truth=clean.truth, classes=clean.classes, probabilities=blurred, decisions=clean.decisions)
    for metric in ("roc_auc", "log_loss"):
        assert drop(metric, clean, disturbed, 0.9, 0).low > 0
