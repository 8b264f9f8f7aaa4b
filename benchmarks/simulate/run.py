"""Rows that happened, lived through again: is the loop better than the release it began with, and is nothing lost?

    python benchmarks/simulate/run.py                      hotel bookings; writes result.json and result.md here
    python benchmarks/simulate/run.py --data FOLDER        also the public tables in that folder
    python benchmarks/simulate/run.py --only hotels_faults with a drift, noisy labels and a dead machine

hotels  Bookings of two Portuguese hotels (examples/hotel_cancellations): trained until May 2016, then 15 months.
bank    Phone calls of a Portuguese bank, in their order, 32 minutes apart. No ranking of its calls holds from one
        time to the next, so what is promised is an error of probabilities (the score of Brier).
elec2   The electricity market of New South Wales, in the order of its half hours.
bike    Bicycles hired in Washington, hour by hour: a regression.

Each is `holdtrue simulate --json`; the time is that of the whole command. What the loop does is for it to decide: the
policies differ in nothing but the length of a window. Where a person is asked nobody answers, so a pause lasts until
the loop ends it, after thirty days. A table on which the loop is worse stays in the result.
"""

import argparse
import csv
import gzip
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "hotel_cancellations"
LEARN = "{learners: [lightgbm], trials: 1, folds: 3, seed: 7}"
RETRAIN = (
    "{when: [broken promise, promise at risk, harmful drift], every: 30d, cooldown: 14d, at_most: 4/month, storm: 6,"
    " margin: 0.05}"
)
CANARY = "{canary: {shadow: 1d, shares: [0.5], stage: 45d, requests: 100, decide_by: [errors], guard: 7d}}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """What is lived through: the file below the folder of the data, its columns, and how it is simulated."""

    file: str
    data: str
    promise: str
    words: tuple[str, ...]
    contract: Path | None = None
    window: str = "7d"
    faults: tuple[str, ...] = ()
    again: tuple[tuple[str, int], ...] = ()  # what saying again the truth of so many rows before would be worth


HOTELS = Table(
    file="",
    data="""
  source: rows.csv
  target: is_canceled
  time: [arrival_date_year, arrival_date_month, arrival_date_day_of_month]
  drop: [reservation_status, reservation_status_date, assigned_room_type]""",
    promise="{quality: {metric: roc_auc, at_least: 0.80}}, {complete: {breaches_at_most: 1%}}",
    words=(
        *("--start", "2016-06-01", "--labels-after", "reservation_status_date"),
        *("--rows-per-request", "2", "--step", "2d"),
    ),
    contract=EXAMPLE / "contract.yaml",
    window="14d",
)
TABLES = {
    "hotels": HOTELS,
    "hotels_faults": Table(
        file="",
        data=HOTELS.data,
        promise=HOTELS.promise,
        words=HOTELS.words,
        contract=HOTELS.contract,
        window=HOTELS.window,
        faults=("drift:2016-12-01:adr*1.5", "noise:2017-03-01:5%", "outage:2017-02-01:36h"),
    ),
    "bank": Table(
        file="bank_marketing/bank-additional-full.csv.gz",
        data="\n  source: rows.csv\n  target: y\n  drop: [duration]",
        promise="{quality: {metric: brier, at_most: 0.15}}",
        contract=HERE / "bank_contract.yaml",
        words=("--start", "40%", "--by-order", "32min", "--labels-after", "1d", "--step", "2d"),
        window="14d",
    ),
    "elec2": Table(
        file="elec2/elec.csv.gz",
        data="\n  source: rows.csv\n  target: class",
        promise="{quality: {metric: roc_auc, at_least: 0.60}}",
        words=("--start", "50%", "--by-order", "30min", "--labels-after", "1d", "--step", "2d"),
        again=(("half an hour", 1), ("a day, when labels come,", 48)),
    ),
    "bike": Table(
        file="bike_sharing/hour.csv",
        data="\n  source: rows.csv\n  target: cnt\n  time: [dteday, hr]\n  drop: [instant, casual, registered]",
        promise="{quality: {metric: mae, at_most: 150}}",
        words=("--start", "50%", "--labels-after", "1d", "--step", "2d"),
    ),
}


def project(folder: Path, name: str, table: Table, data: Path | None) -> bool:
    """Put the project into a folder; says whether its data are there."""
    if table.file:
        if data is None or not (data / table.file).is_file():
            return False
        place = data / table.file
    else:
        place = EXAMPLE / "data" / "hotel_bookings.csv.gz"
    if table.contract is not None:
        shutil.copy(table.contract, folder / "contract.yaml")
    packed = place.read_bytes()
    (folder / "rows.csv").write_bytes(gzip.decompress(packed) if place.suffix == ".gz" else packed)
    (folder / "holdtrue.yaml").write_text(
        f"name: {name.replace('_', '-')}\ndata: {table.data}\nlearn: {LEARN}\nreport: {{learning_curve: false}}\n"
        f"split: {{by: time, validation: 10%, test: 20%}}\npromises: [{table.promise}]\n"
        f"watch: {{window: {table.window}}}\nretrain: {RETRAIN}\nserve: {CANARY}\n"
    )
    return True


def simulated(name: str, table: Table, data: Path | None, pictures: Path | None) -> dict[str, Any] | None:
    with tempfile.TemporaryDirectory(prefix=f"simulate-{name}-") as made:
        folder = Path(made)
        if not project(folder, name, table, data):
            return None
        out = (pictures or folder) / f"{name}.html"
        words = [*table.words, *(word for fault in table.faults for word in ("--fault", fault)), "--out", str(out)]
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "holdtrue.cli", "simulate", "--json", *words],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        took_s = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(f"{name}: {done.stderr or done.stdout}")
        found = json.loads(done.stdout.strip().splitlines()[-1])
        found["picture"] = out.name
        found["again"] = said_again(folder / "rows.csv", table) if table.again else {}
        return {**found, "took_s": round(took_s, 1), "words": " ".join(words[:-2]), "window": table.window}


def said_again(rows: Path, table: Table) -> dict[str, float]:
    """Give the area under the ROC curve of the truth of some rows before, on the rows of the last year."""
    target = table.data.partition("target: ")[2].split()[0]
    truth = [row[target] for row in csv.DictReader(rows.open())]
    since = len(truth) - 365 * 48
    found: dict[str, float] = {}
    for name, before in table.again:
        pairs = Counter(zip(truth[since - before : -before], truth[since:], strict=True))
        one, none = max(truth), min(truth)
        hit = pairs[one, one] / (pairs[one, one] + pairs[none, one])
        false = pairs[one, none] / (pairs[one, none] + pairs[none, none])
        found[name] = (1 + hit - false) / 2
    return found


def about() -> dict[str, str]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False
    )
    return {
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.release()} {platform.machine()}",
        "versions": f"Python {platform.python_version()}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit.stdout.strip(),
    }


def row(name: str, found: dict[str, Any]) -> str:
    better = f"{found['difference']:+.4f} ({found['low']:+.4f} … {found['high']:+.4f})"
    deeds = f"{found['alarms']} | {found['retrains']} | {found['promotions']} | {found['rollbacks']}"
    return (
        f"| {name} | {found['metric']} | {found['frozen']:.4f} | {found['loop']:.4f} | {better} |"
        f" {found['predictions']:,} | {deeds} | {found['lost']} | {found['took_s']:.0f} s |"
    )


def page(known: dict[str, Any]) -> str:
    lines = [
        "# The loop on rows that happened",
        "",
        "The rows after a start went through the real server in virtual time; labels came when their truths were known."
        " `better` is by how much the loop's answers were better than those of the first release, on the same rows of"
        " the last year, with 95 % limits; for an error, less of it is better.",
        "",
        "| table | metric | first release | loop | better | predictions | alarms | retrains | promotions | rollbacks |"
        " lost | took |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(row(name, found) for name, found in known["tables"].items()),
        "",
        "## By period",
    ]
    for name, found in known["tables"].items():
        lines += ["", f"**{name}**, `{found['words']}`, windows of {found['window']}; {found['how']}.", ""]
        lines += [
            f"Saying again what was true {before} before has an area of {area:.4f} on the rows of the last year."
            for before, area in found.get("again", {}).items()
        ]
        lines += [""] if found.get("again") else []
        lines += ["| from | rows | first release | loop |", "|---|---:|---:|---:|"]
        lines += [
            f"| {each['from']} | {each['rows']:,} | {_told(each['frozen'])} | {_told(each['loop'])} |"
            for each in found["periods"]
        ]
        chosen = [each for each in found["deeds"] if each["sort"] in ("retrain", "promotion", "rollback")]
        lines += ["", *(f"- {each['at'][:10]} {each['what']}: {each['why']}" for each in chosen[:40])]
    return "\n".join([*lines, "", *(f"- {name}: {what}" for name, what in known["about"].items()), ""])


def _told(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder with the public tables")
    parser.add_argument("--only", nargs="*", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--pictures", type=Path, help="keep the pictures here")
    given = parser.parse_args()
    kept = HERE / "result.json"
    known: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {"tables": {}}
    for name in given.only:
        found = simulated(name, TABLES[name], given.data, given.pictures)
        if found is None:
            print(f"{name}: its rows are not there; give their folder with --data", flush=True)
            continue
        known["tables"][name] = found
        known["about"] = about()
        kept.write_text(json.dumps(known) + "\n")
        (HERE / "result.md").write_text(page(known))
        print(row(name, found), flush=True)
    return 1 if any(found["lost"] for found in known["tables"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
