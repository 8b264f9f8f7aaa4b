"""Hotel bookings after a release, week by week: what the estimates said, and what came true."""

import csv
import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from holdtrue.data.traffic.label import Label
from holdtrue.data.traffic.receipt import Ids, Receipt
from holdtrue.evaluation.metric import metric_named
from holdtrue.monitoring import estimate
from holdtrue.monitoring.estimate import Rows, estimated
from holdtrue.monitoring.quality import Pledge
from holdtrue.monitoring.ruler import gauge_of
from holdtrue.pipeline.estimating import Sample, Sampler
from holdtrue.pipeline.held_out import read_held_out
from holdtrue.pipeline.keeping import keeper_of
from holdtrue.pipeline.replay import Ready, ready_model
from holdtrue.release.interface import read_interface
from holdtrue.serving.forms import ask_of
from holdtrue.serving.lane import outputs_of
from holdtrue.serving.reader import Unfit

EXAMPLE = Path(__file__).parents[2] / "examples" / "hotel_cancellations"
FILE = "data/hotel_bookings.csv.gz"
UNTIL = datetime(2016, 6, 1, tzinfo=UTC)
WEEKS = 60
TIME = ("arrival_date_year", "arrival_date_month", "arrival_date_day_of_month")
HIDDEN = ("is_canceled", "reservation_status", "reservation_status_date", "assigned_room_type")
METRICS = ("roc_auc", "accuracy", "log_loss")
PARTS = (0.05, 0.1, 0.3)  # of the labels of a week
FLIPPED, LONG_DAYS = 0.2, 60
WINDOWS, WINDOW, TILTS = 40, 600, (0.0, 0.5, 1.0)
PROJECT = """name: hotels
data:
  source: {file}
  target: is_canceled
  time: [arrival_date_year, arrival_date_month, arrival_date_day_of_month]
  drop: [reservation_status, reservation_status_date, assigned_room_type]
split: {{by: time, validation: 10%, test: 20%}}
learn: {{learners: [lightgbm], trials: 2, folds: 3, seed: 7}}
promises: [{{quality: {{metric: roc_auc, at_least: 0.60}}}}, {{complete: {{breaches_at_most: 1%}}}}]
report: {{learning_curve: false}}
"""
AT_ONCE = 50

Row = dict[str, Any]


def bookings() -> list[tuple[datetime, Row]]:
    with gzip.open(EXAMPLE / FILE, "rt", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return sorted(((arrival(row), row) for row in rows), key=lambda pair: pair[0])


def arrival(row: Row) -> datetime:
    return datetime.strptime(" ".join(row[name] for name in TIME), "%Y %B %d").replace(tzinfo=UTC)


def released(folder: Path, past: list[Row]) -> None:
    (folder / "data").mkdir()
    with gzip.open(folder / FILE, "wt", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(past[0]))
        writer.writeheader()
        writer.writerows(past)
    (folder / "holdtrue.yaml").write_text(PROJECT.format(file=FILE))
    shutil.copy(EXAMPLE / "contract.yaml", folder)
    subprocess.run([sys.executable, "-m", "holdtrue.cli", "run"], cwd=folder, check=True, capture_output=True)


def take(sampler: Sampler, sample: Sample, ready: Ready, ids: Ids, rows: list[Row]) -> None:
    """Answer some bookings and sample them; those that break the contract are left out."""
    _, model = ready
    body = json.dumps(
        [{name: value or None for name, value in row.items() if name not in HIDDEN} for row in rows]
    ).encode()
    ask = ask_of("rows", body, model.about)
    try:
        typed = model.reader.read(ask.columns, ask.rows, ask.numbers)
    except Unfit:
        for row in rows if len(rows) > 1 else ():
            take(sampler, sample, ready, ids, [row])
        return
    one = Receipt(
        id=ids.next(0), time_us=0, release=model.about.digest, route="champion", weight=1.0, batch=0, place=0,
        rows=len(rows), wire="rows", body=body, outputs=outputs_of(model.run([typed]), 0, len(rows)),
    )  # fmt: skip
    numbers = np.asarray(typed.numbers, dtype=np.float64).reshape(len(model.reader.numbers), -1)
    columns = dict(zip(model.reader.numbers, numbers, strict=True))
    sampler.take(sample, columns | dict(zip(model.reader.texts, typed.texts, strict=True)), [one])
    said = {
        place: Label(value=int(row["is_canceled"]), time_us=0, received_us=0, prediction=one.id, row=place)
        for place, row in enumerate(rows)
    }
    sampler.hear(sample, one, said)


def weeks_of(folder: Path) -> tuple[Rows, list[Rows]]:
    """Give the held-out rows, and those of each week with all their truths."""
    rows = bookings()
    released(folder, [row for at, row in rows if at < UNTIL])
    keeper = keeper_of(folder, {}, actor="benchmark")
    digest = keeper.folder_of("champion").name
    ready = ready_model(keeper, digest)
    plan = ready[1].plan
    past = read_held_out(keeper.home, digest, plan.classes)
    assert past is not None
    sampler = Sampler(past, gauge_of(past.columns)[0], read_interface(plan.interface), plan.classes)
    ids, found = Ids(7), list[Rows]()
    for week in range(WEEKS):
        sample = Sample()
        mine = [row for at, row in rows if (at - UNTIL).days // 7 == week and at >= UNTIL]
        for start in range(0, len(mine), AT_ONCE):
            take(sampler, sample, ready, ids, mine[start : start + AT_ONCE])
        now = sampler.now([sample])
        if now is not None:
            found.append(now)
    held = sampler.held()
    assert held is not None
    return held, found


def parted(rows: Rows, seed: int) -> tuple[Rows, Rows]:
    """Cut rows into two halves by chance, each in the order of its time."""
    first = np.random.default_rng(seed).random(len(rows.columns)) < 0.5
    return only(rows, np.flatnonzero(first)), only(rows, np.flatnonzero(~first))


def only(rows: Rows, index: "np.ndarray") -> Rows:
    return replace(rows, columns=rows.columns[index], predictions=rows.predictions.take(index), stand_for=len(index))


def tilted(rows: Rows, tilt: float, seed: int) -> Rows:
    """Draw a window in which those who book long ahead, and pay much, are commoner: the truths stay their own."""
    chance = np.random.default_rng(seed)
    pull = np.zeros(len(rows.columns))
    for name in ("lead_time", "adr"):
        column = rows.columns[:, rows.names.index(name)].astype(np.float64)
        ranks = np.argsort(np.argsort(column, kind="stable"), kind="stable") / len(column)
        pull += tilt * (2 * ranks - 1)
    weights = np.exp(pull)
    return only(rows, chance.choice(len(pull), WINDOW, replace=False, p=weights / weights.sum()))


def changed(week: Rows, seed: int) -> Rows:
    """Let a fifth of those who booked long ahead do the opposite of what they did."""
    chance = np.random.default_rng(seed)
    long_ahead = week.columns[:, week.names.index("lead_time")] > LONG_DAYS
    flips = long_ahead & (chance.random(len(long_ahead)) < FLIPPED)
    truth = np.where(flips, 1 - week.predictions.truth, week.predictions.truth)
    return replace(week, predictions=replace(week.predictions, truth=truth))


def looked(held: Rows, week: Rows, part: float, seed: int) -> dict[str, Any]:
    whole = week.predictions
    came = np.random.default_rng(seed).random(whole.rows) < part
    now = replace(week, predictions=replace(whole, truth=np.where(came, whole.truth, np.nan)))
    pledges = [Pledge(text=name, metric=name, direction="at_least", bound=0.0) for name in METRICS]
    found = estimated(pledges, held, now, now.labelled().predictions, confidence=0.95, time=TIME)
    told: dict[str, Any] = {"rows": whole.rows, "labelled": int(came.sum()), "why": found[0].why}
    told["state"] = "no support" if found[0].estimate is None else found[0].state
    told["aside"] = list(found[0].aside)
    for each in found:
        real = metric_named(each.pledge.metric).value(whole)
        made = each.estimate
        value = None if made is None else [made.value, made.low, made.high]
        told[each.pledge.metric] = {
            "real": real,
            "held": metric_named(each.pledge.metric).value(held.predictions),
            "estimate": value,
        }
    return told


@contextmanager
def unchecked() -> Generator[None]:
    """Ask for an estimate whatever the support: what would have been said."""
    kept = {name: getattr(estimate, name) for name in ("MOST_UNKNOWN", "MOST_FAR", "LEAST_EFFECTIVE")}
    estimate.MOST_UNKNOWN, estimate.MOST_FAR, estimate.LEAST_EFFECTIVE = 2.0, 2.0, 2
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(estimate, name, value)


def hotels(folder: Path) -> dict[str, Any]:
    held, weeks = weeks_of(folder)
    as_it_was = [looked(held, week, 0.1, number) for number, week in enumerate(weeks)]
    print("hotels", [one["state"] for one in as_it_was], flush=True)
    with unchecked():
        said = [looked(held, week, 0.1, number) for number, week in enumerate(weeks)]
    drawn = [{"tilt": tilt, "windows": drawn_windows(held, tilt, 0.1)} for tilt in TILTS]
    bent = [{"part": part, "windows": drawn_windows(held, TILTS[1], part, bent=True)} for part in PARTS]
    return {"held_rows": held.predictions.rows, "weeks": as_it_was, "unchecked": said, "drawn": drawn, "changed": bent}


def drawn_windows(held: Rows, tilt: float, part: float, *, bent: bool = False) -> list[dict[str, Any]]:
    found = []
    for seed in range(WINDOWS):
        past, later = parted(held, seed)
        now = tilted(later, tilt, seed)
        found.append(looked(past, changed(now, seed) if bent else now, part, seed))
    print(f"drawn, tilt {tilt}, labels {part}:", [one["state"] for one in found], flush=True)
    return found
