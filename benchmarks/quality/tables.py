"""The tables of this benchmark: for each a project file for Holdtrue, and the same rows as a frame for the script.

A file that a project could not read as it lies there is copied: Adult's test file ends its labels with a dot and its
training file with an empty line; Bank Marketing has its rows in the order of time but no column that says so, so the
number of the row, as a date, is put beside them. Nothing else is changed.
"""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

ADULT = [
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship"),
    *("race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "income"),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One table.

    Attributes:
        project: the lines of `holdtrue.yaml` after its name, but for `learn`.
        rows: all rows in the order in which Holdtrue reads them, read by pandas alone.
        unseen: columns no model sees, the target included.
        metric: what is compared; `at_least` a value it must reach, if one is known from the literature.
    """

    project: str
    rows: Callable[[], pd.DataFrame]
    target: str
    unseen: tuple[str, ...]
    dates: tuple[str, ...]
    metric: str
    at_least: float | None = None


def adult(data: Path, copies: Path) -> Case:
    for part in ("train", "test"):
        text = gzip.decompress((data / "adult" / f"adult-{part}.csv.gz").read_bytes()).decode()
        lines = (line.removesuffix(".") for line in text.splitlines() if line)
        (copies / f"adult-{part}.csv").write_text("".join(f"{line}\n" for line in lines))

    def rows() -> pd.DataFrame:
        parts = [
            pd.read_csv(copies / f"adult-{part}.csv", names=ADULT, skipinitialspace=True, na_values=["?"])
            for part in ("train", "test")
        ]
        return pd.concat(parts, ignore_index=True)

    return Case(
        project=f"""task: classification
data:
  source: {copies / "adult-train.csv"}
  test: {copies / "adult-test.csv"}
  header: false
  columns: [{", ".join(ADULT)}]
  target: income
split: {{validation: 15%}}
promises: [{{quality: {{metric: roc_auc, at_least: 0.5}}}}]
""",
        rows=rows,
        target="income",
        unseen=("income",),
        dates=(),
        metric="roc_auc",
        at_least=0.927,
    )


def bike_sharing(data: Path, copies: Path) -> Case:
    del copies
    source = data / "bike_sharing" / "hour.csv"
    return Case(
        project=f"""task: regression
data: {{source: {source}, target: cnt, time: dteday, key: [instant], drop: [casual, registered]}}
split: {{by: time, validation: 15%, test: 20%}}
promises: [{{quality: {{metric: rmse, at_most: 1000}}}}]
""",
        rows=lambda: pd.read_csv(source),
        target="cnt",
        unseen=("cnt", "instant", "casual", "registered"),
        dates=("dteday",),
        metric="rmse",
    )


def hotel(data: Path, copies: Path) -> Case:
    del copies
    source = data / "hotel_bookings" / "hotel_bookings.csv.gz"
    drop = ("reservation_status", "reservation_status_date", "assigned_room_type")
    time = ("arrival_date_year", "arrival_date_month", "arrival_date_day_of_month")
    return Case(
        project=f"""task: classification
data:
  source: {source}
  target: is_canceled
  time: [{", ".join(time)}]
  drop: [{", ".join(drop)}]
split: {{by: time, validation: 15%, test: 20%}}
promises: [{{quality: {{metric: roc_auc, at_least: 0.5}}}}]
""",
        rows=lambda: pd.read_csv(source),
        target="is_canceled",
        unseen=("is_canceled", *drop),
        dates=(),
        metric="roc_auc",
    )


def bank(data: Path, copies: Path) -> Case:
    text = gzip.decompress((data / "bank_marketing" / "bank-additional-full.csv.gz").read_bytes()).decode()
    head, *lines = text.splitlines()
    first, copy = date(1900, 1, 1), copies / "bank.csv"
    numbered = (f"{first + timedelta(days=place)};{line}\n" for place, line in enumerate(lines))
    copy.write_text(f'"row";{head}\n{"".join(numbered)}')
    return Case(
        project=f"""task: classification
data: {{source: {copy}, target: y, time: row, drop: [duration, row]}}
split: {{by: time, validation: 15%, test: 20%}}
promises: [{{quality: {{metric: roc_auc, at_least: 0.5}}}}]
""",
        rows=lambda: pd.read_csv(copy, sep=";"),
        target="y",
        unseen=("y", "duration", "row"),
        dates=(),
        metric="roc_auc",
    )


CASES: dict[str, Callable[[Path, Path], Case]] = {
    "adult": adult,
    "bike_sharing": bike_sharing,
    "hotel": hotel,
    "bank": bank,
}
