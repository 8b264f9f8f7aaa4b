"""The encoder: one implementation for training and serving, checked against another one written in numpy."""

import json
from typing import Any, Literal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdtrue.core.errors import DataFault
from holdtrue.features.encoder import Encoder, fit, transform

KINDS = {"number": "number", "value": "number", "moment": "date", "name": "category", "words": "text"}
Flavour = Literal["tree", "linear"]
FLAVOURS: tuple[Flavour, ...] = ("tree", "linear")

cells = st.fixed_dictionaries(
    {
        "number": st.none() | st.floats(allow_nan=False) | st.sampled_from([0.0, 1.0, -7.5]),
        "value": st.none() | st.integers(-5, 5).map(float),
        "moment": st.none() | st.integers(-(10**11), 10**11).map(float),
        "name": st.none() | st.sampled_from(["a", "b", "c", "", "label", "é"]),
        "words": st.none() | st.text(max_size=3),
    }
)
SCHEMA: dict[str, Any] = {name: pl.String if name in ("name", "words") else pl.Float64 for name in KINDS}
tables = st.lists(cells, min_size=2, max_size=30).map(lambda rows: pl.DataFrame(rows, schema=SCHEMA))


def table(rows: int = 400, seed: int = 0) -> pl.DataFrame:
    chance = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "number": np.exp(chance.normal(size=rows) * 2),
            "value": chance.integers(0, 9, rows).astype(np.float64),
            "moment": chance.integers(0, 2 * 10**9, rows).astype(np.float64),
            "name": ["d", "d", *chance.choice(["a", "b", "c"], rows - 2, p=[0.5, 0.3, 0.2])],
            "words": [f"word {number}" for number in chance.zipf(1.5, rows) % 500],
        }
    )
    gaps = pl.Series((chance.random(rows) < 0.1) & (np.arange(rows) > 1))
    return frame.with_columns(pl.when(~gaps).then(pl.col("value", "moment", "name")))


def fit_or_none(frame: pl.DataFrame, flavour: Flavour) -> Encoder | None:
    try:
        return fit(frame, KINDS, flavour)
    except DataFault:
        return None


@settings(deadline=None, max_examples=60)
@given(train=tables, served=tables, flavour=st.sampled_from(FLAVOURS))
@pytest.mark.slow
def test_any_rows_become_finite_features_or_gaps_for_trees(
    train: pl.DataFrame, served: pl.DataFrame, flavour: Flavour
) -> None:
    encoder = fit_or_none(train, flavour)
    if encoder is None:
        return
    made = transform(encoder, served)
    assert made.dtype == np.float32
    assert made.shape == (served.height, len(encoder.names))
    assert len(encoder.origin) == len(encoder.names)
    assert set(encoder.origin) == set(encoder.columns)
    assert not np.isinf(made).any()
    if flavour == "linear":
        assert np.isfinite(made).all()


@settings(deadline=None, max_examples=40)
@given(train=tables, flavour=st.sampled_from(FLAVOURS))
@pytest.mark.slow
def test_a_row_alone_is_encoded_as_in_its_batch(train: pl.DataFrame, flavour: Flavour) -> None:
    encoder = fit_or_none(train, flavour)
    if encoder is None:
        return
    alone = np.concatenate([transform(encoder, train[place]) for place in range(train.height)])
    assert alone.tobytes() == transform(encoder, train).tobytes()


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_it_survives_json(flavour: Flavour) -> None:
    encoder = fit(table(), KINDS, flavour)
    assert Encoder.from_dict(json.loads(json.dumps(encoder.to_dict(), allow_nan=False))) == encoder


def test_trees_get_numbers_parts_and_codes() -> None:
    frame = table()
    encoder = fit(frame, KINDS, "tree")
    made = dict(zip(encoder.names, transform(encoder, frame).T, strict=True))
    np.testing.assert_array_equal(made["number"], frame["number"].to_numpy().astype(np.float32))
    np.testing.assert_array_equal(made["value"], frame["value"].to_numpy().astype(np.float32))
    moments = frame["moment"].cast(pl.Int64).cast(pl.Datetime("ms")).dt
    seconds = pl.from_epoch(frame["moment"].cast(pl.Int64), time_unit="s").dt
    assert moments is not None
    for part, expected in {
        "weekday": seconds.weekday() - 1,
        "month": seconds.month(),
        "day": seconds.day(),
        "hour": seconds.hour(),
    }.items():
        np.testing.assert_array_equal(made[f"moment ({part})"], expected.cast(pl.Float32).to_numpy())
    ranked = frame["name"].drop_nulls().value_counts(sort=True)["name"].to_list()
    expected_codes = [np.nan if name is None else ranked.index(name) for name in frame["name"]]
    np.testing.assert_array_equal(made["name"], np.array(expected_codes, dtype=np.float32))


def test_linear_features_are_named_by_what_they_say() -> None:
    encoder = fit(table(), KINDS, "linear")
    assert {"number", "moment (month sine)", "value is missing", "name = a", "name is other", "name is missing"} <= set(
        encoder.names
    )
    assert len(set(encoder.names)) == len(encoder.names)
    assert sum(name.startswith("words = ") for name in encoder.names) <= 50


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_date_without_times_has_no_hour(flavour: Flavour) -> None:
    frame = pl.DataFrame({"moment": [86_400.0 * day for day in range(100)]})
    assert not any("hour" in name for name in fit(frame, {"moment": "date"}, flavour).names)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_columns_that_never_change_are_left_out(flavour: Flavour) -> None:
    frame = table().with_columns(constant=pl.lit(1.0), same=pl.lit("x"), empty=pl.lit(None, dtype=pl.Float64))
    encoder = fit(frame, {**KINDS, "constant": "number", "same": "category", "empty": "date"}, flavour)
    assert not {"constant", "same", "empty"} & set(encoder.columns)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_constant_with_gaps_still_says_that_it_is_missing(flavour: Flavour) -> None:
    frame = pl.DataFrame({"a": [1.0, None, 1.0, None]})
    made = transform(fit(frame, {"a": "number"}, flavour), frame)
    assert made.shape == (4, 1)
    assert not np.array_equal(made[0], made[1], equal_nan=True)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_nothing_to_learn_from_is_refused(flavour: Flavour) -> None:
    frame = pl.DataFrame({"a": [1.0, 1.0], "b": ["x", "x"], "c": [None, None]}, schema_overrides={"c": pl.Float64})
    with pytest.raises(DataFault, match="None of the 3 columns changes over the 2 training rows"):
        fit(frame, {"a": "number", "b": "category", "c": "date"}, flavour)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_an_identifier_is_all_other_and_left_out(flavour: Flavour) -> None:
    frame = table().with_columns(identifier=pl.int_range(400).cast(pl.String))
    assert "identifier" not in fit(frame, {**KINDS, "identifier": "text"}, flavour).columns


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got \{'number': 'boolean'\}"):
        fit(table(), {"number": "boolean"}, "tree")


def test_ten_thousand_categories_make_at_most_a_thousand_codes() -> None:
    frame = pl.DataFrame({"name": [str(number // 2) for number in range(20_000)]})
    encoder = fit(frame, {"name": "category"}, "tree")
    assert transform(encoder, frame).max() == 1000.0


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_order_of_rows_does_not_matter(flavour: Flavour) -> None:
    frame = table()
    shuffled = fit(frame.sample(fraction=1.0, shuffle=True, seed=1), KINDS, flavour)
    np.testing.assert_allclose(
        transform(shuffled, frame), transform(fit(frame, KINDS, flavour), frame), rtol=1e-5, atol=1e-6
    )
