"""Are false alarms as rare as the budget says, how soon is a change found, and what does it cost? Beside Evidently.

    python benchmarks/drift/run.py                   all parts; writes result.json and result.md beside this file
    python benchmarks/drift/run.py --quick           a small part of each
    python benchmarks/drift/run.py --only null

null    A year without change: 100 columns that hang together, a day has between 50 and 50,000 rows, one false alarm a
        month is accepted. Evidently looks at some of the same days by its default rule.
power   One of 100 columns moves by so many standard deviations: the days until it is an alarm, 1,000 rows a day.
cost    Processor time and memory for tables of growing size, both on the same rows, in turns.

Evidently is installed into an environment of its own below HOLDTRUE_BENCH_CACHE (default ~/.cache/holdtrue-bench) when
first asked for.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from page import page
from tables import COLUMNS, Table, sizes, table

from holdtrue.monitoring.detector import DETECTORS
from holdtrue.monitoring.drift import drifts
from holdtrue.monitoring.ruler import Ruler, gauge_of

HERE = Path(__file__).parent
EVIDENTLY = "evidently==0.7.23"
REFERENCE_ROWS = 2_000  # what a release keeps
DAYS, MONTH_DAYS = 365, 365.25 / 12
LEVEL = 1 / MONTH_DAYS
HISTORY = 28
SHIFTS = (0.1, 0.2, 0.3, 0.5, 1.0)
SETTLED, WAITED = 30, 60  # days before the change, and days waited for an alarm
CHUNK = 100_000
RUN_LENGTH = round(
    COLUMNS * 1_000 * MONTH_DAYS
)  # rows between false alarms of one column, when a hundred have one a month

Found = dict[str, Any]


def peer_python() -> Path:
    """Give the interpreter that has Evidently; install it if it is not there."""
    cache = Path(os.environ.get("HOLDTRUE_BENCH_CACHE", Path.home() / ".cache" / "holdtrue-bench"))
    folder = cache / "environments" / EVIDENTLY.replace("==", "-")
    python = folder / "bin" / "python"
    if not (folder / "installed").is_file():
        print(f"installing {EVIDENTLY} into {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        words = [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            EVIDENTLY,
            "pyarrow",
            "pandas<3",
        ]
        subprocess.run(words, check=True, timeout=1200)
        (folder / "installed").touch()
    return python


def evidently(folder: Path, timeout_s: float) -> Iterator[Found]:
    """Let Evidently look at the days in a folder, one after the other, as long as there is time."""
    words = [str(peer_python()), "-c", (HERE / "evidently_days.py.txt").read_text(), str(folder)]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environ) as process:
        try:
            said, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
        if process.returncode > 0:
            raise SystemExit(f"Evidently ended with {process.returncode}")
        yield from (json.loads(line) for line in said.splitlines() if line.startswith("{"))


def written(folder: Path, name: str, rows: Table) -> None:
    pl.DataFrame(rows).fill_nan(None).write_parquet(folder / f"{name}.parquet")


def null_year(year: int, evidently_days: int) -> Found:
    """Watch a year in which nothing changes."""
    chance = np.random.default_rng(1_000 + year)
    past = table(chance, REFERENCE_ROWS)
    gauge, reference = gauge_of(past)
    shown = set(np.linspace(0, DAYS - 1, evidently_days).astype(int).tolist()) if evidently_days else set[int]()
    windows: list[dict[str, np.ndarray]] = []
    alarms = real = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for day, rows in enumerate(sizes(chance, DAYS)):
            made = table(chance, rows)
            if day in shown:
                written(folder, f"day-{day:03}", made)
            windows.append(gauge.count(made))
            found = drifts(gauge.rulers, reference, windows[-HISTORY:], level=LEVEL)
            real += any(one.real for one in found)
            alarms += any(one.alarm for one in found)
        told: list[Found] = []
        if shown:
            written(folder, "reference", past)
            told = list(evidently(folder, 3600))
    print(
        f"year {year}: {real} days with evidence, {alarms} with an alarm; Evidently looked at {len(told)} days",
        flush=True,
    )
    return {"real": real, "alarms": alarms, "evidently": told}


def drawn_years(years: int) -> list[int]:
    """Count the days with evidence in further years without change, whose counts are drawn as such."""
    found: list[int] = []
    rulers = [Ruler(name=f"column {place}", edges=tuple(map(float, range(15)))) for place in range(COLUMNS)]
    for year in range(years):
        chance = np.random.default_rng(50_000 + year)
        shares = {ruler.name: chance.dirichlet(np.full(ruler.bins, 2.0)) for ruler in rulers}
        reference = {name: chance.multinomial(REFERENCE_ROWS // 2, share) for name, share in shares.items()}
        windows: list[dict[str, np.ndarray]] = []
        real = 0
        for rows in sizes(chance, DAYS):
            windows.append({name: chance.multinomial(rows, share) for name, share in shares.items()})
            real += any(one.real for one in drifts(rulers, reference, windows[-HISTORY:], level=LEVEL))
        found.append(real)
    return found


def power(shift: float, repeats: int, evidently_repeats: int) -> Found:
    """Move one column on a day, and count the days until it is found among a hundred."""
    days: dict[str, list[int]] = {"real": [], "alarm": []}
    streams: dict[str, list[int]] = {name: [] for name in DETECTORS.names()}
    flagged = looked = 0
    for repeat in range(repeats):
        chance = np.random.default_rng(repeat)
        past = table(chance, REFERENCE_ROWS)
        gauge, reference = gauge_of(past)
        windows: list[dict[str, np.ndarray]] = []
        first: dict[str, int] = {}
        for day in range(SETTLED + WAITED):
            made = table(chance, 1_000, {"number 0": shift} if day >= SETTLED else None)
            windows.append(gauge.count(made))
            if day < SETTLED:
                continue
            one = next(
                each
                for each in drifts(gauge.rulers, reference, windows[-HISTORY:], level=LEVEL)
                if each.column == "number 0"
            )
            for name, is_so in (("real", one.real), ("alarm", one.alarm)):
                if is_so:
                    first.setdefault(name, day - SETTLED + 1)
            if len(first) == len(days):
                break
        for name, found in days.items():
            found.append(first.get(name, WAITED + 1))
        for name, found in streams.items():
            found.append(streamed(name, chance, past, shift))
        if repeat < evidently_repeats:
            told = flagged_days(chance, past, shift)
            looked += len(told)
            flagged += sum(told)
    print(f"shift {shift}: {np.median(days['real'])} days, {np.median(days['alarm'])} to an alarm", flush=True)
    return {"shift": shift, **days, "streams": streams, "evidently_flagged": flagged, "evidently_looked": looked}


def flagged_days(chance: np.random.Generator, past: Table, shift: float) -> list[bool]:
    """Let Evidently look at twenty days of the column alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written(folder, "reference", {"number 0": past["number 0"]})
        for day in range(20):
            made = table(chance, 1_000, {"number 0": shift})
            written(folder, f"day-{day:03}", {"number 0": made["number 0"]})
        return [bool(each["drifted"]) for each in evidently(folder, 600)]


def streamed(name: str, chance: np.random.Generator, past: Table, shift: float) -> int:
    """Count the rows until a detector of streams finds the change, its false alarms as rare as the budget says."""
    known = np.asarray(past["number 0"])
    low, high = known.min() - 2, known.max() + 2  # a detector takes values in [0, 1]
    watch = DETECTORS.get(name).make((known - low) / (high - low), run_length=RUN_LENGTH, seed=0)

    def fires(rows: int, moved: float) -> list[int]:
        values = np.asarray(table(chance, rows, {"number 0": moved})["number 0"])
        return watch.update(np.clip((values - low) / (high - low), 0, 1))

    for _ in range(SETTLED):
        fires(1_000, 0.0)
    for day in range(WAITED):
        if found := fires(1_000, shift):
            return day * 1_000 + found[0] + 1
    return WAITED * 1_000 + 1


def cost(rows: int, *, with_peer: bool, timeout_s: float) -> Found:
    """Measure both on a table of so many rows; ours in chunks, as it reads them."""
    chance = np.random.default_rng(rows)
    past = table(chance, REFERENCE_ROWS)
    made: Found = {"rows": rows}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written(folder, "reference", past)
        parts = (table(chance, min(CHUNK, rows - start)) for start in range(0, rows, CHUNK))
        frames = (pl.DataFrame(part).fill_nan(None).to_arrow() for part in parts)
        first = next(frames)
        with pq.ParquetWriter(folder / "day-000.parquet", first.schema) as writer:
            writer.write_table(first)
            for frame in frames:
                writer.write_table(frame)
        words = [sys.executable, str(HERE / "ours.py"), str(folder)]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=1200)
        made["holdtrue"] = json.loads(done.stdout)
        told = list(evidently(folder, timeout_s)) if with_peer else []
        made["evidently"] = told[0] if told else None
    print(f"{rows:,} rows: {made['holdtrue']} {made['evidently']}", flush=True)
    return made


def about() -> dict[str, str]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False
    )
    return {
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.release()} {platform.machine()}",
        "versions": f"Python {platform.python_version()}, numpy {version('numpy')}, {EVIDENTLY}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit.stdout.strip(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="*", choices=("null", "power", "cost"), default=["null", "power", "cost"])
    given = parser.parse_args()
    kept = HERE / "result.json"
    found: Found = json.loads(kept.read_text()) if kept.is_file() and not given.quick else {}
    if "null" in given.only:
        years = [
            null_year(year, (4 if given.quick else 30) if year == 0 else 0) for year in range(1 if given.quick else 3)
        ]
        found["null"] = {
            "columns": COLUMNS,
            "reference_rows": REFERENCE_ROWS,
            "days": DAYS,
            "years": years,
            "drawn": drawn_years(1 if given.quick else 30),
        }
    if "power" in given.only:
        found["power"] = [power(shift, 2 if given.quick else 12, 1 if given.quick else 3) for shift in SHIFTS]
    if "cost" in given.only:
        sizes_ = [(10_000, True)] if given.quick else [(100_000, True), (300_000, True), (3_000_000, False)]
        found["cost"] = [cost(rows, with_peer=beside, timeout_s=1200) for rows, beside in sizes_]
    found["about"] = about()
    text = page(found)
    print(text)
    if not given.quick:
        kept.write_text(json.dumps(found, indent=1) + "\n")
        (HERE / "result.md").write_text(text)
    budget = found.get("null")
    return int(bool(budget) and float(np.mean(budget["drawn"])) > 12)


if __name__ == "__main__":
    started = time.monotonic()
    code = main()
    print(f"{time.monotonic() - started:.0f} s")
    raise SystemExit(code)
