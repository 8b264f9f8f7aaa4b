"""The rows kept beside a model: the same every time, nobody's where they are personal, exact where they are golden."""

import io
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_release import graph, rows

from holdtrue.core.digest import sha256_bytes
from holdtrue.core.errors import Misuse
from holdtrue.features.runtime import session
from holdtrue.features.session import run
from holdtrue.release.rows import (
    REFERENCE_ROWS,
    golden_rows,
    inputs_of,
    outputs_of,
    parquet,
    reference_rows,
)


def doubled(frame: pl.DataFrame) -> dict[str, np.ndarray]:
    return {"value": np.zeros((frame.height, 1), dtype=np.float32)}


def test_the_reference_is_a_seeded_sample_in_the_order_of_the_rows() -> None:
    frame = pl.DataFrame({"n": np.arange(10_000.0), "who": [f"p{n}" for n in range(10_000)]})
    first = reference_rows(frame, personal=["who"], seed=1)
    assert first.columns == ["n"]
    assert first.height == REFERENCE_ROWS
    assert first["n"].is_sorted()
    assert first["n"].n_unique() == REFERENCE_ROWS
    assert first.equals(reference_rows(frame, personal=["who"], seed=1))
    assert not first.equals(reference_rows(frame, personal=["who"], seed=2))


def test_a_small_table_is_its_own_reference() -> None:
    assert reference_rows(rows(50), personal=[], seed=1).equals(rows(50), null_equal=True)


def test_golden_rows_replay_to_the_bit_after_a_round_trip() -> None:
    ready = session(graph().model().SerializeToString())
    golden = golden_rows(rows(), personal=["city"], seed=3, predict=lambda typed: run(ready, typed))
    back = pl.read_parquet(io.BytesIO(parquet(golden)))
    assert back.height >= 32
    answers = run(ready, inputs_of(back))
    for name, places in (("probabilities", 2), ("decision", 1), ("label", 1)):
        stored = outputs_of(back, name, places)
        assert stored.dtype == answers[name].dtype
        assert stored.tolist() == answers[name].tolist()


@given(
    numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32) | st.none(), min_size=1, max_size=60),
    texts=st.lists(st.text(max_size=5) | st.none(), min_size=1, max_size=60),
    seed=st.integers(0, 2**31),
)
def test_no_real_value_of_a_personal_column_is_in_the_golden_rows(
    numbers: list[float | None], texts: list[str | None], seed: int
) -> None:
    length = min(len(numbers), len(texts))
    frame = pl.DataFrame(
        {"salary": numbers[:length], "name": texts[:length], "plain": [1.0] * length},
        schema={"salary": pl.Float64, "name": pl.String, "plain": pl.Float64},
    )
    golden = inputs_of(golden_rows(frame, personal=["salary", "name"], seed=seed, predict=doubled))
    assert golden.schema == frame.schema
    for column in ("salary", "name"):
        assert not set(golden[column].drop_nulls()) & set(frame[column].drop_nulls())


def test_a_made_up_value_gives_way_to_a_real_one() -> None:
    frame = pl.DataFrame({"salary": np.arange(60.0), "name": [f"n{row}" for row in range(60)]})
    drawn = inputs_of(golden_rows(frame, personal=frame.columns, seed=9, predict=doubled)).drop_nulls()
    again = inputs_of(golden_rows(drawn, personal=frame.columns, seed=9, predict=doubled)).drop_nulls()
    assert drawn.height == again.height
    for column in frame.columns:
        assert not set(drawn[column]) & set(again[column])


def test_golden_rows_hold_the_ends_and_the_gaps() -> None:
    golden = inputs_of(golden_rows(rows(), personal=[], seed=3, predict=doubled))
    assert golden["age"].min() == rows()["age"].min()
    assert golden["age"].max() == rows()["age"].max()
    assert golden.filter(pl.all_horizontal(pl.all().is_null())).height == 1
    assert golden.filter(pl.col("city").is_null() & pl.col("age").is_not_null()).height >= 1


def test_even_one_row_gives_enough_golden_rows() -> None:
    assert golden_rows(rows(1), personal=[], seed=3, predict=doubled).height >= 32


def test_no_row_gives_no_golden_rows() -> None:
    with pytest.raises(Misuse):
        golden_rows(rows(1).clear(), personal=[], seed=3, predict=doubled)


def test_columns_named_like_the_prefixes_do_not_collide() -> None:
    frame = pl.DataFrame({"output.value.0": [1.0, 2.0], "input.x": [3.0, 4.0], "value": [5.0, 6.0]})
    golden = golden_rows(frame, personal=[], seed=3, predict=doubled)
    assert inputs_of(golden).columns == frame.columns
    assert outputs_of(golden, "value", 1).dtype == np.float32


@pytest.mark.slow
def test_the_same_rows_give_the_same_file_whatever_the_threads() -> None:
    code = (
        "import sys, polars as pl, numpy as np; from holdtrue.release.rows import parquet;"
        "r = np.random.default_rng(1);"
        "f = pl.DataFrame({'a': r.normal(size=100000), 'b': [str(n) for n in range(100000)]});"
        "sys.stdout.buffer.write(parquet(f))"
    )
    digests = {
        sha256_bytes(
            subprocess.run(
                [sys.executable, "-c", code], capture_output=True, check=True, env={"POLARS_MAX_THREADS": threads}
            ).stdout
        )
        for threads in ("1", "2", "7")
    }
    assert len(digests) == 1
