"""Reads the public tables of this benchmark: typed columns, a target, rows to learn from and rows held out."""

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float64


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table split for a test.

    Attributes:
        kinds: the kind of each column used.
        classes: the names of the classes in the order of their codes; empty for regression.
    """

    train: pl.DataFrame
    held: pl.DataFrame
    kinds: dict[str, str]
    target_train: Float64[np.ndarray, " rows"]
    target_held: Float64[np.ndarray, " held"]
    classes: tuple[str, ...]


def adult(folder: Path) -> Table:
    names = [
        *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation"),
        *("relationship", "race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "income"),
    ]
    parts = [
        pl.read_csv(folder / "adult" / f"adult-{part}.csv.gz", has_header=False, new_columns=names, infer_schema=False)
        for part in ("train", "test")
    ]
    train, held = (part.select(pl.all().str.strip_chars().replace("?", None)).drop_nulls("income") for part in parts)
    numbers = ["age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week"]
    both = pl.concat([train, held]).with_columns(pl.col("income").str.strip_chars(".").replace(">50K", ">50K"))
    return split(both, "income", numbers=numbers, held=held.height)


def hotel(folder: Path) -> Table:
    name = folder / "hotel_bookings" / "hotel_bookings.csv.gz"
    frame = pl.read_csv(name, infer_schema=False, null_values=["NULL", "NA"])
    arrival = pl.format("{}-{}-{}", "arrival_date_year", "arrival_date_month", "arrival_date_day_of_month")
    frame = frame.with_columns(arrival=arrival.str.to_datetime("%Y-%B-%d").dt.epoch("s")).sort("arrival")
    frame = frame.drop("reservation_status", "reservation_status_date", "arrival_date_year", "arrival_date_month")
    numbers = [
        *("lead_time", "arrival_date_week_number", "arrival_date_day_of_month", "stays_in_weekend_nights"),
        *("stays_in_week_nights", "adults", "children", "babies", "previous_cancellations", "adr"),
        *("previous_bookings_not_canceled", "booking_changes", "days_in_waiting_list"),
        *("required_car_parking_spaces", "total_of_special_requests"),
    ]
    return split(frame, "is_canceled", numbers=numbers, dates=["arrival"], held=frame.height // 5)


def bank(folder: Path) -> Table:
    frame = pl.read_csv(folder / "bank_marketing" / "bank-additional-full.csv.gz", separator=";", infer_schema=False)
    frame = frame.with_columns(pl.all().replace("unknown", None)).drop("duration")
    numbers = [
        *("age", "campaign", "pdays", "previous", "emp.var.rate", "cons.price.idx", "cons.conf.idx"),
        *("euribor3m", "nr.employed"),
    ]
    return split(frame, "y", numbers=numbers, held=frame.height // 5)


def ai4i(folder: Path) -> Table:
    frame = pl.read_csv(folder / "ai4i2020" / "ai4i2020.csv", infer_schema=False)
    frame = frame.select("Type", "Machine failure", pl.col("^.*(temperature|speed|Torque|wear).*$"))
    numbers = [name for name in frame.columns if name not in ("Type", "Machine failure")]
    return split(frame, "Machine failure", numbers=numbers, held=frame.height // 5)


def titanic(folder: Path) -> Table:
    frame = pl.read_csv(folder / "titanic" / "train.csv", infer_schema=False).drop("PassengerId")
    return split(frame, "Survived", numbers=["Age", "SibSp", "Parch", "Fare"], held=frame.height // 5)


def elec2(folder: Path) -> Table:
    frame = pl.read_csv(folder / "elec2" / "elec.csv.gz", infer_schema=False)
    target = frame.columns[-1]
    return split(frame, target, numbers=[name for name in frame.columns if name != target], held=frame.height // 5)


def shipments(folder: Path, target: str) -> Table:
    name = folder / "scms_shipments" / "SCMS_Delivery_History_Dataset.csv.gz"
    frame = pl.read_csv(name, encoding="utf8-lossy", infer_schema=False)
    frame = frame.rename({column: column.strip("\ufeff") for column in frame.columns})
    dates = ["Scheduled Delivery Date", "PQ First Sent to Client Date", "PO Sent to Vendor Date"]
    forms = ("%d-%b-%y", "%m/%d/%y")
    parsed = [
        pl.coalesce([pl.col(column).str.to_datetime(form, strict=False) for form in forms]).dt.epoch("s")
        for column in dates
    ]
    frame = frame.with_columns(parsed).sort("Scheduled Delivery Date")
    frame = frame.drop("ID", "Delivered to Client Date", "Delivery Recorded Date")
    numbers = [
        *("Unit of Measure (Per Pack)", "Line Item Quantity", "Line Item Value", "Pack Price", "Unit Price"),
        *("Weight (Kilograms)", "Freight Cost (USD)", "Line Item Insurance (USD)"),
    ]
    if target == "Freight Cost (USD)":
        frame = frame.with_columns(pl.col(target).cast(pl.Float64, strict=False)).drop_nulls(target)
    frame = frame.drop_nulls(target)
    return split(frame, target, numbers=numbers, dates=dates, held=frame.height // 5)


def bike(folder: Path) -> Table:
    frame = pl.read_csv(folder / "bike_sharing" / "hour.csv", infer_schema=False)
    moment = pl.col("dteday").str.to_datetime("%Y-%m-%d").dt.epoch("s") + pl.col("hr").cast(pl.Int64) * 3600
    frame = frame.with_columns(dteday=moment).drop("instant", "casual", "registered")
    numbers = ["hr", "temp", "atemp", "hum", "windspeed", "cnt", "mnth", "weekday", "yr"]
    return split(frame, "cnt", numbers=numbers, dates=["dteday"], held=frame.height // 5)


def beijing(folder: Path) -> Table:
    frame = pl.read_csv(folder / "beijing_pm25" / "pollution.csv.gz", infer_schema=False, null_values=["NA"])
    frame = frame.drop("No").drop_nulls("pm2.5")
    numbers = [name for name in frame.columns if name != "cbwd"]
    return split(frame, "pm2.5", numbers=numbers, held=frame.height // 5)


def metro(folder: Path) -> Table:
    frame = pl.read_csv(folder / "metro_traffic" / "traffic_hourly.csv", infer_schema=False)
    frame = frame.with_columns(pl.col("datetime").str.to_datetime("%Y-%m-%d %H:%M:%S").dt.epoch("s"))
    numbers = ["clouds_all", "rain_1h", "snow_1h", "temp", "traffic_volume"]
    frame = frame.drop_nulls("traffic_volume")
    return split(frame, "traffic_volume", numbers=numbers, dates=["datetime"], held=frame.height // 5)


def electricity(folder: Path) -> Table:
    frame = pl.read_csv(folder / "vic_electricity" / "vic_electricity.csv.gz", infer_schema=False).drop("Date")
    frame = frame.with_columns(pl.col("Time").str.to_datetime("%Y-%m-%dT%H:%M:%SZ").dt.epoch("s"))
    return split(frame, "Demand", numbers=["Demand", "Temperature"], dates=["Time"], held=frame.height // 5)


def engines(folder: Path) -> Table:
    text = gzip.decompress((folder / "cmapss" / "train_FD001.txt.gz").read_bytes()).decode()
    names = [
        "unit",
        "cycle",
        *(f"setting {number}" for number in range(3)),
        *(f"sensor {number}" for number in range(21)),
    ]
    cells = [line.split() for line in text.splitlines() if line.strip()]
    frame = pl.DataFrame(cells, schema=names, orient="row")
    frame = frame.with_columns(pl.all().cast(pl.Float64))
    left = pl.col("cycle").max().over("unit") - pl.col("cycle")
    return split(frame.with_columns(left=left).drop("unit"), "left", numbers=[*names, "left"], held=frame.height // 5)


def flights(folder: Path) -> Table:
    frame = pl.read_parquet(folder / "flights_3m" / "flights-3m.parquet").gather_every(60)
    text = [name for name in ("origin", "destination") if name in frame.columns]
    late = (pl.col("delay") > 15).cast(pl.String)
    frame = frame.with_columns(late=late, date=pl.col("date").dt.epoch("s")).drop("delay")
    frame = frame.with_columns(pl.col(text).cast(pl.String))
    return split(frame, "late", numbers=["distance"], dates=["date"], held=frame.height // 5)


def catalogue(folder: Path) -> Table:
    name = folder / "myntra_fashion_catalog" / "myntra_products_catalog.csv.gz"
    frame = pl.read_csv(name, infer_schema=False).drop("Description")
    frame = frame.rename({column: column.strip("\ufeff") for column in frame.columns}).drop("ProductID")
    return split(frame, "Gender", numbers=["Price (INR)", "NumImages"], held=frame.height // 5)


def demand(folder: Path) -> Table:
    frame = pl.read_csv(folder / "online_retail" / "daily_demand_top200.csv.gz", infer_schema=False)
    frame = frame.with_columns(pl.col("date").str.to_datetime("%Y-%m-%d").dt.epoch("s")).sort("date", "StockCode")
    numbers = ["quantity", "price", "orders"]
    return split(frame, "quantity", numbers=numbers, dates=["date"], held=frame.height // 5)


def valves(folder: Path) -> Table:
    names = sorted((folder / "skab" / "data" / "valve1").glob("*.csv"))
    frame = pl.concat([pl.read_csv(name, separator=";", infer_schema=False) for name in names]).drop("changepoint")
    frame = frame.with_columns(pl.col("datetime").str.to_datetime("%Y-%m-%d %H:%M:%S").dt.epoch("s"))
    sensors = [name for name in frame.columns if name not in ("datetime", "anomaly")]
    return split(frame, "anomaly", numbers=sensors, dates=["datetime"], held=frame.height // 5)


def transformer(folder: Path) -> Table:
    frame = pl.read_csv(folder / "ett" / "ETTh1.csv.gz", infer_schema=False)
    frame = frame.with_columns(pl.col("date").str.to_datetime("%Y-%m-%d %H:%M:%S").dt.epoch("s"))
    return split(frame, "OT", numbers=frame.columns[1:], dates=["date"], held=frame.height // 5)


def series(name: Path, *, header: bool, columns: int) -> Table:
    """Several series beside each other: the last is predicted from the others at the same moment."""
    frame = pl.read_csv(name, has_header=header, infer_schema=False)
    frame = frame.select(frame.columns[:columns])
    return split(frame, frame.columns[-1], numbers=frame.columns, held=frame.height // 5)


def split(frame: pl.DataFrame, target: str, *, numbers: Sequence[str], held: int, dates: Sequence[str] = ()) -> Table:
    """Type the columns and hold out the last rows."""
    kinds = {
        name: "number" if name in numbers else "date" if name in dates else "category"
        for name in frame.columns
        if name != target
    }
    numeric = [name for name in frame.columns if name in numbers or name in dates]
    frame = frame.with_columns(pl.col(numeric).cast(pl.Float64, strict=False))
    if frame.schema[target] == pl.String:
        classes = tuple(sorted(frame.get_column(target).unique().to_list()))
        truth = frame.get_column(target).replace_strict({name: float(code) for code, name in enumerate(classes)})
    else:
        classes, truth = (), frame.get_column(target)
    target_all = truth.cast(pl.Float64).to_numpy()
    features = frame.select(list(kinds))
    return Table(
        train=features.head(-held),
        held=features.tail(held),
        kinds=kinds,
        target_train=target_all[:-held],
        target_held=target_all[-held:],
        classes=classes,
    )


TABLES: dict[str, Callable[[Path], Table]] = {
    "adult": adult,
    "hotel_bookings": hotel,
    "bank_marketing": bank,
    "ai4i2020": ai4i,
    "titanic": titanic,
    "elec2": elec2,
    "scms_shipments (mode)": lambda folder: shipments(folder, "Shipment Mode"),
    "scms_shipments (freight)": lambda folder: shipments(folder, "Freight Cost (USD)"),
    "bike_sharing": bike,
    "beijing_pm25": beijing,
    "metro_traffic": metro,
    "vic_electricity": electricity,
    "cmapss": engines,
    "flights_3m": flights,
    "myntra_fashion_catalog": catalogue,
    "online_retail": demand,
    "skab": valves,
    "ett": transformer,
    "exchange_rate": lambda folder: series(folder / "exchange_rate" / "exchange_rate.txt.gz", header=False, columns=8),
    "los_loop": lambda folder: series(folder / "los_loop" / "los_speed.csv.gz", header=True, columns=12),
}
