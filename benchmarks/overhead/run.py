"""What does Holdtrue cost on top of the fits? At most 1.25 times a bare script with as many fits and plain metrics.

    python benchmarks/overhead/run.py             hotel bookings, 119,390 rows, 10 trials, three rounds in turns
    python benchmarks/overhead/run.py --quick     every sixth row, 4 trials, one round
    python benchmarks/overhead/run.py --trials 30 --rounds 5

`holdtrue run` walks the whole way: snapshot, contract, split, search, final fit, baselines, out-of-fold fits, export
and its proof, evaluation with intervals, slices, robustness, importance and learning curve, promises, signature and
registry.
The bare script (bare.py) makes the same fits with the settings that Holdtrue's search tried, and the usual metrics.
Each is a process of its own, on one thread, in turns; the claim is about the median ratio of processor time.
Also: 30,000 rows from a CSV to a release take at most 60 s, from `holdtrue init` with all its defaults.

Reads HOLDTRUE_TEST_DATA (default: `data` in this checkout). Writes result.json and result.md beside this
file (or to --out).
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl

HERE = Path(__file__).parent
DATA = Path(os.environ.get("HOLDTRUE_TEST_DATA", HERE.parents[1] / "data"))
SOURCE = DATA / "hotel_bookings" / "hotel_bookings.csv.gz"
DROP = ("reservation_status", "reservation_status_date", "assigned_room_type")
FOLDS, VALIDATION, TEST = 3, 0.1, 0.2
LIMIT, SECONDS_LIMIT, SMALL_ROWS = 1.25, 60.0, 30_000
# First the learners of the task when a project names none, then one alone: what Holdtrue adds is nearly the same
# whatever is fitted, so the cheaper the fits, the larger the ratio.
SEARCHED = ("lightgbm, logistic", "lightgbm")
PROJECT = """name: hotel
task: classification
data:
  source: rows.csv
  target: is_canceled
  time: [arrival_date_year, arrival_date_month, arrival_date_day_of_month]
  drop: [{drop}]
split: {{by: time, validation: {validation}, test: {test}}}
learn: {{learners: [{learners}], trials: {trials}, seed: 7, folds: {folds}}}
decide: {{cost: {{false_positive: 1, false_negative: 4}}}}
promises:
  - quality: {{metric: roc_auc, at_least: 0.8}}
  - beats: {{baseline: logistic, metric: log_loss}}
  - calibrated: {{error_at_most: 0.15}}
  - fair: {{across: hotel, metric: true_positive_rate, gap_at_most: 0.25, required: false}}
  - robust: {{to: [missing, noise], metric: roc_auc, drop_at_most: 0.1}}
  - fast: {{p99_ms: 100}}
  - small: {{bytes_at_most: 50 MB}}
report: {{fair_across: [hotel]}}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What one process took; `cpu_s` is that of the process and its children, in user and system."""

    wall_s: float
    cpu_s: float
    output: str


def timed(command: list[str], folder: Path, *, fine: tuple[int, ...] = (0,), threads: int | None = 1) -> Cost:
    """Run a command; raises with its words when it ends with another code than the fine ones."""
    environ = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    if threads is not None:
        environ |= {"OMP_NUM_THREADS": str(threads), "POLARS_MAX_THREADS": str(threads)}
    before, start = children(), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    end, after = time.perf_counter(), children()
    if done.returncode not in fine:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr or done.stdout}")
    return Cost(wall_s=end - start, cpu_s=after - before, output=done.stdout)


def children() -> float:
    """The processor time of all processes this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def holdtrue(*words: str) -> list[str]:
    return [sys.executable, "-m", "holdtrue.cli", *words]


def walked(folder: Path, rows: pl.DataFrame, learners: str, trials: int) -> tuple[Cost, dict[str, Any]]:
    """Make a release of the rows in a new project; gives its report as well."""
    folder.mkdir()
    rows.write_csv(folder / "rows.csv", null_value="NULL")
    text = PROJECT.format(
        drop=", ".join(DROP), validation=VALIDATION, test=TEST, learners=learners, trials=trials, folds=FOLDS
    )
    (folder / "holdtrue.yaml").write_text(text)
    cost = timed(holdtrue("run", "--json"), folder, fine=(0, 3, 4))
    report = Path(json.loads(cost.output)["report"]).with_name("report.json")
    return cost, json.loads(report.read_bytes())


def plan_of(report: Mapping[str, Any], source: Path) -> dict[str, Any]:
    """Tell the bare script what Holdtrue fitted."""
    from holdtrue.evaluation.learning_curve import FRACTIONS
    from holdtrue.models.learners.lightgbm import PATIENCE_TREES

    champion = next(model for model in report["models"] if model["role"] == "champion")
    assert champion["learner"] == "lightgbm"
    return {
        "source": str(source),
        "unseen": [*DROP, "is_canceled"],
        "validation": VALIDATION,
        "test": TEST,
        "folds": FOLDS,
        "patience": PATIENCE_TREES,
        "trials": [{"learner": each["learner"], "settings": each["settings"]} for each in report["search"]],
        "kept": champion["settings"],
        "curve": list(FRACTIONS),
    }


def phases(folder: Path) -> dict[str, float]:
    """Walk once more in a process that notes the processor time when each stage begins."""
    cost = timed([sys.executable, str(HERE / "stages.py"), str(folder)], folder)
    return json.loads(cost.output.splitlines()[-1])


def small(folder: Path, rows: pl.DataFrame) -> dict[str, Any]:
    """Go from a CSV file to a release as a newcomer does."""
    folder.mkdir()
    rows.write_csv(folder / "bookings.csv", null_value="NULL")
    drop = [word for name in DROP for word in ("--drop", name)]
    begun = timed(holdtrue("init", "bookings.csv", "--target", "is_canceled", *drop), folder, threads=None)
    done = timed(holdtrue("run", "--json"), folder, fine=(0, 3, 4), threads=None)
    said = json.loads(done.output)
    return {
        "rows": rows.height,
        "init_s": begun.wall_s,
        "run_s": done.wall_s,
        "cpu_s": begun.cpu_s + done.cpu_s,
        "verdict": said["verdict"],
        "released": said["release"] is not None,
    }


def compared(learners: str, rows: pl.DataFrame, asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Let both make the same fits, in turns."""
    folder.mkdir()
    source = folder / "bare.csv"
    rows.write_csv(source, null_value="NULL")
    pairs: list[dict[str, float]] = []
    report: dict[str, Any] = {}
    bare: dict[str, Any] = {}
    for number in range(asked.rounds):
        whole, report = walked(folder / f"walk-{number}", rows, learners, asked.trials)
        (folder / "plan.json").write_text(json.dumps(plan_of(report, source)))
        plain = timed([sys.executable, str(HERE / "bare.py"), str(folder / "plan.json")], folder)
        bare = json.loads(plain.output)
        pairs.append(
            {
                "holdtrue_cpu_s": whole.cpu_s,
                "bare_cpu_s": plain.cpu_s,
                "holdtrue_wall_s": whole.wall_s,
                "bare_wall_s": plain.wall_s,
                "cpu_ratio": whole.cpu_s / plain.cpu_s,
                "wall_ratio": whole.wall_s / plain.wall_s,
            }
        )
        print(learners, json.dumps(pairs[-1]), flush=True)
    metric = "log_loss"
    return {
        "learners": learners,
        "fits": {"trials": asked.trials, "final": 1, "baselines": 2, "folds": FOLDS, "curve": 4},
        "kept": plan_of(report, source)["kept"],
        "holdtrue": {metric: report["metrics"][metric]["value"], "verdict": report["verdict"]},
        "bare": {metric: bare["champion"][metric]},
        "rounds": pairs,
        "cpu_ratio": median(pair["cpu_ratio"] for pair in pairs),
        "wall_ratio": median(pair["wall_ratio"] for pair in pairs),
        "stages_cpu_s": phases(folder / f"walk-{asked.rounds - 1}"),
    }


def measured(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    frame = pl.read_csv(SOURCE, infer_schema=False, null_values=["NULL"])
    rows = frame.gather_every(asked.every)
    searched = SEARCHED[:1] if asked.quick else SEARCHED
    cases = [compared(each, rows, asked, folder / f"case-{place}") for place, each in enumerate(searched)]
    newcomer = small(folder / "small", frame.sample(SMALL_ROWS, seed=0)) if not asked.quick else None
    return {"rows": rows.height, "trials": asked.trials, "limit": LIMIT, "cases": cases, "newcomer": newcomer}


def page(found: Mapping[str, Any], about: Mapping[str, str]) -> str:
    fits = ", ".join(f"{name} {count}" for name, count in found["cases"][0]["fits"].items())
    lines = [
        "# What Holdtrue costs on top of the fits",
        "",
        f"Hotel bookings, {found['rows']:,} rows, {found['trials']} trials. `holdtrue run`, the whole way,",
        f"against a bare script with the same fits ({fits}) and plain metrics.",
        "One thread each, in turns.",
        "",
        "| searched | round | Holdtrue, CPU s (wall) | bare, CPU s (wall) | ratio of CPU | of wall |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for case in found["cases"]:
        for number, pair in enumerate(case["rounds"], 1):
            lines.append(
                f"| {case['learners']} | {number} | {pair['holdtrue_cpu_s']:.1f} ({pair['holdtrue_wall_s']:.1f}) "
                f"| {pair['bare_cpu_s']:.1f} ({pair['bare_wall_s']:.1f}) | {pair['cpu_ratio']:.2f} "
                f"| {pair['wall_ratio']:.2f} |"
            )
    lines.append("")
    for case in found["cases"]:
        held = "held" if case["cpu_ratio"] <= LIMIT else "NOT HELD"
        lines.append(
            f"- {case['learners']}: median ratio of processor time **{case['cpu_ratio']:.2f}** "
            f"(limit {LIMIT}: {held}); of wall time {case['wall_ratio']:.2f}."
        )
    stages = [case["stages_cpu_s"] for case in found["cases"]]
    heads = [f"{case['learners']}, CPU s" for case in found["cases"]]
    lines += ["", f"| stage of Holdtrue | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    lines += [f"| {name} | {' | '.join(f'{each.get(name, 0.0):.2f}' for each in stages)} |" for name in stages[0]]
    new = found["newcomer"]
    if new:
        seconds = new["init_s"] + new["run_s"]
        fine = "held" if seconds <= SECONDS_LIMIT and new["released"] else "NOT HELD"
        lines += [
            "",
            f"{new['rows']:,} rows from a CSV to a release, all defaults: `init` {new['init_s']:.1f} s and `run` "
            f"{new['run_s']:.1f} s by the clock,",
            f"{new['cpu_s']:.1f} s of processor time; verdict {new['verdict']} (limit {SECONDS_LIMIT:.0f} s: {fine}).",
        ]
    return "\n".join([*lines, "", *(f"{key}: {value}  " for key, value in about.items()), ""])


def machine() -> dict[str, str]:
    known = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    model = [line.split(":")[1].strip() for line in known if line.startswith("model name")]
    commit = ["git", "rev-parse", "--short", "HEAD"]
    said = subprocess.run(commit, cwd=HERE, capture_output=True, text=True, check=False).stdout.strip()
    named = ", ".join(f"{name} {version(name)}" for name in ("lightgbm", "scikit-learn", "onnxruntime", "polars"))
    return {
        "machine": f"{model[0] if model else platform.machine()}, {os.cpu_count()} cores, shared with others: "
        f"{os.getloadavg()[0]:.1f} processes wanted to run at the end",
        "versions": f"Python {platform.python_version()}, {named}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": said or "unknown",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="every sixth row, 4 trials, one round")
    parser.add_argument("--every", type=int, default=1, help="take each so many-th row")
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="write no result")
    parser.add_argument("--out", type=Path, default=HERE)
    asked = parser.parse_args()
    if asked.quick:
        asked.every, asked.trials, asked.rounds = 6, 4, 1
    with tempfile.TemporaryDirectory() as folder:
        found = measured(asked, Path(folder))
    about = machine()
    told = page(found, about)
    print(told)
    if not asked.keep:
        (asked.out / "result.json").write_text(json.dumps({**about, **found}, indent=1) + "\n")
        (asked.out / "result.md").write_text(told)
    return 1 if "NOT HELD" in told else 0


if __name__ == "__main__":
    raise SystemExit(main())
