"""Public data sets are read as they were published."""

import os
from pathlib import Path

import polars as pl
import pytest

from holdtrue.core.files import ObjectStore
from holdtrue.data.snapshot import Snapshot, scan, snapshot
from holdtrue.data.source import Source, batches

DATA = Path(os.environ.get("HOLDTRUE_TEST_DATA", ""))

pytestmark = pytest.mark.realdata

ADULT = (
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship"),
    *("race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "income"),
)


def kept(source: Source, folder: Path) -> tuple[Snapshot, pl.DataFrame]:
    store = ObjectStore(root=folder / "objects")
    made = snapshot(batches(source, base=DATA), store=store)
    return made, scan(made, store).collect()


@pytest.mark.parametrize("delimiter", [None, ", "])
def test_adult_has_no_header_and_blanks_after_its_commas(delimiter: str | None, tmp_path: Path) -> None:
    source = Source(location="adult/adult-train.csv.gz", header=False, columns=ADULT, delimiter=delimiter)
    made, rows = kept(source, tmp_path)
    assert (made.rows, tuple(rows.columns)) == (32_561, ADULT)
    assert rows["income"].value_counts(sort=True)["income"].to_list() == ["<=50K", ">50K"]
    assert rows["workclass"].eq("?").sum() == 1_836
    assert rows["age"].cast(pl.Int64).sum() == 1_256_257


def test_bank_marketing_is_divided_by_semicolons(tmp_path: Path) -> None:
    made, rows = kept(Source(location="bank_marketing/bank-additional-full.csv.gz"), tmp_path)
    assert (made.rows, len(made.columns)) == (41_188, 21)
    assert rows["y"].eq("yes").mean() == pytest.approx(0.1127, abs=5e-5)


def test_shipments_begin_with_a_mark_and_hold_quoted_text(tmp_path: Path) -> None:
    made, rows = kept(Source(location="scms_shipments/SCMS_Delivery_History_Dataset.csv.gz"), tmp_path)
    assert (made.rows, made.columns[0].name, len(made.columns)) == (10_324, "ID", 33)
    assert rows["Freight Cost (USD)"].str.starts_with("See ").any()


@pytest.mark.slow
def test_flights_keep_their_types_and_order(tmp_path: Path) -> None:
    made, rows = kept(Source(location="flights_3m/flights-3m.parquet"), tmp_path)
    assert [(column.name, column.type) for column in made.columns] == [
        ("date", "Datetime"),
        ("delay", "Int64"),
        ("distance", "Int64"),
        ("origin", "String"),
        ("destination", "String"),
    ]
    assert (made.rows, len(made.parts)) == (3_000_000, 23)
    published = pl.read_parquet(DATA / "flights_3m" / "flights-3m.parquet").cast(
        {
            "date": pl.Datetime("us"),
            "delay": pl.Int64,
            "distance": pl.Int64,
            "origin": pl.String,
            "destination": pl.String,
        }
    )
    assert rows.equals(published)
