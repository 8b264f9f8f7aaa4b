"""What is known of real tables is found in them: leaks, dates, keys, dirty cells; and their contracts hold."""

import os
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from holdtrue.data.check import check
from holdtrue.data.contract_yaml import read_yaml, write_yaml
from holdtrue.data.folds import folds
from holdtrue.data.infer import infer
from holdtrue.data.moments import time_values
from holdtrue.data.parse import parse
from holdtrue.data.profile import Profile, profile
from holdtrue.data.splits import Split, Table, split

pytestmark = pytest.mark.realdata

DATA = Path(os.environ.get("HOLDTRUE_TEST_DATA", ""))
ADULT = ["age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship"]
LATER = ["race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "income"]


@cache
def table(name: str) -> pl.DataFrame:
    files = {
        "hotel": "hotel_bookings/hotel_bookings.csv.gz",
        "scms": "scms_shipments/SCMS_Delivery_History_Dataset.csv.gz",
        "bank": "bank_marketing/bank-additional-full.csv.gz",
        "bike": "bike_sharing/hour.csv",
        "ai4i": "ai4i2020/ai4i2020.csv",
        "titanic": "titanic/train.csv",
        "adult": "adult/adult-train.csv.gz",
    }
    file = DATA / files[name]
    if name == "adult":
        read = pl.read_csv(file, infer_schema=False, has_header=False, new_columns=ADULT + LATER)
        return read.filter(pl.col("income").is_not_null())
    return pl.read_csv(file, infer_schema=False, separator=";" if name == "bank" else ",")


def leaks(made: Profile) -> list[str]:
    return [each.column for each in made.suspicions if each.what == "leak"]


@pytest.mark.slow
def test_hotel_bookings() -> None:
    made = profile(table("hotel"), "is_canceled")
    assert leaks(made) == ["reservation_status", "reservation_status_date"]
    reasons = {each.column: each.reason for each in made.suspicions}
    assert "it alone tells 'is_canceled' (ROC AUC 1.0000)" in reasons["reservation_status"]
    assert "known only afterwards" in reasons["reservation_status_date"]
    assert made.time.value == ("arrival_date_year", "arrival_date_month", "arrival_date_day_of_month")
    assert (made.key.value, made.group.value, made.split.value.by) == ((), None, "time")
    assert made.task is not None
    assert made.task.value == "classification"


def test_hotel_bookings_are_split_in_time_without_straddling_a_day() -> None:
    names = ["arrival_date_year", "arrival_date_month", "arrival_date_day_of_month", "is_canceled", "lead_time"]
    contract, _ = infer(table("hotel").select(names), target="is_canceled", time=names[:3])
    typed = parse(contract, table("hotel"))
    source = Table(frame=typed, target="is_canceled", labelled=True, time=tuple(names[:3]))
    parts = split(source, Split(by="time"), now=datetime(2018, 1, 1, tzinfo=UTC))
    moments = time_values(typed, names[:3]).to_numpy()
    assert moments.min() == datetime(2015, 7, 1, tzinfo=UTC).timestamp()
    assert moments.max() == datetime(2017, 8, 31, tzinfo=UTC).timestamp()
    assert moments[parts.train].max() < moments[parts.validation].min()
    assert moments[parts.validation].max() < moments[parts.test].min()
    assert len(parts.test) / len(moments) == pytest.approx(0.2, abs=0.005)
    for fold in folds(source, Split(by="time"), rows=parts.train, count=4):
        assert moments[fold.train].max() < moments[fold.validation].min()


def test_shipments_have_dirty_numbers_and_dates() -> None:
    contract, notes = infer(table("scms"), target="Freight Cost (USD)")
    for name in ("Scheduled Delivery Date", "Delivered to Client Date", "Delivery Recorded Date"):
        assert (contract.field(name).kind, contract.field(name).formats) == ("date", ("%d-%b-%y",))
    quoted = contract.field("PQ First Sent to Client Date")
    assert (quoted.kind, quoted.unreadable, quoted.formats) == ("date", "missing", ("%m/%d/%y", "%Y-%m-%d"))
    for name in ("Weight (Kilograms)", "Freight Cost (USD)"):
        assert (contract.field(name).kind, contract.field(name).unreadable) == ("number", "missing")
    assert "4,126 texts such as 'Freight Included in Commodity Cost'" in notes["Freight Cost (USD)"]
    typed = parse(contract, table("scms"))
    assert typed["Freight Cost (USD)"].null_count() == 4126
    assert typed["Weight (Kilograms)"].null_count() == 3952
    first = typed["Scheduled Delivery Date"][0]
    assert first == datetime(2006, 6, 2, tzinfo=UTC).timestamp()


@pytest.mark.slow
def test_a_late_delivery_is_told_by_the_dates_it_is_made_of() -> None:
    dates = ["Scheduled Delivery Date", "Delivered to Client Date", "Delivery Recorded Date"]
    day = [pl.col(name).str.strptime(pl.Date, "%d-%b-%y") for name in dates]
    late = table("scms").with_columns(late=(day[1] > day[0]).cast(pl.Int8))
    found = leaks(profile(late, "late"))
    assert "Delivered to Client Date" in found
    assert "Scheduled Delivery Date" not in found


def test_bike_rides_add_up() -> None:
    made = profile(table("bike"), "cnt")
    assert leaks(made) == ["casual", "registered"]
    assert made.time.value == ("dteday", "hr")
    assert made.key.value == ("instant",)
    assert made.task is not None
    assert made.task.value == "regression"


def test_machine_failures_are_told_by_their_modes_together() -> None:
    made = profile(table("ai4i"), "Machine failure")
    assert leaks(made) == ["TWF", "HDF", "PWF", "OSF"]
    assert {each.column for each in made.suspicions if each.what == "identifier"} == {"UID", "Product ID"}


@pytest.mark.parametrize(("name", "target"), [("bank", "y"), ("adult", "income"), ("titanic", "Survived")])
def test_honest_tables_are_not_suspected_of_leaks(name: str, target: str) -> None:
    made = profile(table(name), target)
    assert leaks(made) == []
    assert made.split.value.by == "stratified"


def test_the_passengers_names_are_personal_and_their_tickets_are_codes() -> None:
    contract, _ = infer(table("titanic"), target="Survived", key=["PassengerId"])
    assert contract.field("Name").personal
    assert contract.field("Ticket").kind == "category"
    assert contract.field("Age").nullable
    assert contract.field("Embarked").categories == ("C", "Q", "S")


def test_the_missing_marks_of_adult_and_bank_are_found() -> None:
    adult, _ = infer(table("adult"), target="income")
    assert adult.field("workclass").missing == ("?",)
    assert adult.field("income").categories == ("<=50K", ">50K")
    bank, _ = infer(table("bank"), target="y")
    assert bank.field("job").missing == ("unknown",)
    assert parse(bank, table("bank"))["default"].null_count() == 8597


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hotel", "scms", "bank", "bike", "ai4i", "titanic", "adult"])
def test_a_real_table_keeps_the_contract_made_from_it(name: str) -> None:
    contract, notes = infer(table(name), target=None)
    assert check(contract, table(name), now=None) == ()
    assert check(contract, table(name).lazy(), now=None) == ()
    assert read_yaml(write_yaml(contract, notes)) == contract


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hotel", "scms", "titanic"])
def test_a_real_row_alone_reads_as_in_its_table(name: str) -> None:
    contract, _ = infer(table(name), target=None)
    whole = parse(contract, table(name))
    for row in np.random.default_rng(0).integers(0, whole.height, 25).tolist():
        assert parse(contract, table(name)[row]).equals(whole[row])


@pytest.mark.slow
def test_adult_stratified_keeps_copies_together() -> None:
    contract, _ = infer(table("adult"), target="income")
    source = Table(frame=parse(contract, table("adult")), target="income", labelled=True)
    parts = split(source, Split(by="stratified", validation=0.1, test=0.2))
    assert (parts.repeated, parts.across) == (24, 0)
    for rows, share in ((parts.train, 0.7), (parts.validation, 0.1), (parts.test, 0.2)):
        assert len(rows) / source.frame.height == pytest.approx(share, abs=0.001)
        positive = (source.frame["income"].gather(rows) == ">50K").sum() / len(rows)
        assert positive == pytest.approx(0.2408, abs=0.001)
