"""Three million rows through the whole walk: snapshot, contract, fit, evaluate, release. Peak memory and time per row.

    python benchmarks/scale/whole.py              # all sizes; writes whole.json and whole.md beside this file
    python benchmarks/scale/whole.py --rows 750000

Flights of January to June 2001 (flights_3m): is a flight more than 15 minutes late? One LightGBM
with its default settings.
Every size is a process of its own, so that its peak memory is its own. Time is that of the processor, which a busy
machine disturbs less than the clock on the wall.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import polars as pl

HERE = Path(__file__).parent
DATA = Path(os.environ.get("HOLDTRUE_TEST_DATA", HERE.parents[1] / "data"))
SIZES = (750_000, 1_500_000, 3_000_000)
LIMIT_MB = 4096
PROJECT = """\
name: flights
task: classification
data: {source: flights.parquet, target: late, time: [date]}
split: {by: time, validation: 10%, test: 20%}
learn: {learners: [lightgbm], trials: 1, folds: 2}
promises:
  - beats: {baseline: constant, metric: log_loss}
  - small: {bytes_at_most: 10 MB}
"""


def peak_mb() -> float:
    """Give the peak memory of this program; `ru_maxrss` would begin at that of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def child(rows: int) -> None:
    """Walk once; print the stages with their seconds, and the peak."""
    from holdtrue.pipeline.api import open_project

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        source = pl.scan_parquet(DATA / "flights_3m" / "flights-3m.parquet").head(rows)
        late = (pl.col("delay") > 15).cast(pl.Int64).alias("late")
        source.with_columns(late).drop("delay").sink_parquet(place / "flights.parquet")
        (place / "holdtrue.yaml").write_text(PROJECT)
        stages: list[tuple[str, float]] = []
        began = time.process_time()

        def tell(stage: str, done: int = 0, total: int | None = None) -> None:
            if not stages or stages[-1][0] != stage:
                stages.append((stage, time.process_time() - began))

        outcome = open_project(place, environ={}).run(tell=tell)
        ends = [*(start for _, start in stages[1:]), time.process_time() - began]
        spent = {name: round(end - start, 2) for (name, start), end in zip(stages, ends, strict=True)}
        measured = {
            "rows": rows,
            "verdict": outcome.verdict,
            "cpu_s": round(time.process_time() - began, 2),
            "peak_mb": round(peak_mb()),
            "stages_cpu_s": spent,
        }
        print(json.dumps(measured))


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--rows", type=int, nargs="*", default=list(SIZES))
    asked.add_argument("--child", type=int)
    given = asked.parse_args()
    if given.child:
        child(given.child)
        return
    found: list[dict[str, object]] = []
    for rows in given.rows:
        words = [sys.executable, __file__, "--child", str(rows)]
        environ = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=environ)
        found.append(json.loads(done.stdout.splitlines()[-1]))
        print(found[-1], flush=True)
    write(found)


def write(found: list[dict[str, object]]) -> None:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=HERE
    )
    about = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit.stdout.strip(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in ("polars", "pyarrow", "lightgbm", "onnxruntime")},
    }
    (HERE / "whole.json").write_text(json.dumps({**about, "runs": found}, indent=1) + "\n")
    per_row = [1e6 * float(str(run["cpu_s"])) / int(str(run["rows"])) for run in found]
    lines = [
        "# Three million rows through the whole walk",
        "",
        f"{about['machine']}, {about['date']}, commit {about['commit']}. One LightGBM, default settings, one thread.",
        "",
        "| rows | CPU s | CPU µs a row | peak MB | verdict |",
        "|---|---|---|---|---|",
        *(
            f"| {int(str(run['rows'])):,} | {run['cpu_s']} | {cost:.1f} | {run['peak_mb']} | {run['verdict']} |"
            for run, cost in zip(found, per_row, strict=True)
        ),
        "",
        f"Target: at most {LIMIT_MB} MB; the cost of a row does not grow with their number.",
        "",
        "CPU seconds by stage, at the largest size:",
        "",
        "| stage | CPU s |",
        "|---|---|",
    ]
    stages = found[-1]["stages_cpu_s"]
    assert isinstance(stages, dict)
    lines += [f"| {name} | {spent} |" for name, spent in stages.items()]
    (HERE / "whole.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
