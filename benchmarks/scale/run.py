"""Three million rows: does time grow with the rows, and memory not, next to a plain read and write?

    python benchmarks/scale/run.py            # all sizes; writes result.json and result.md beside this file

Reads flights_3m from HOLDTRUE_TEST_DATA (default: `data` in this checkout). Every run is a process of its
own, so that its peak memory is its own. A stage is added by adding a function to STAGES.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa

from holdtrue.core.files import ObjectStore
from holdtrue.data.snapshot import Snapshot, snapshot
from holdtrue.data.source import Source, batches

HERE = Path(__file__).parent
DATA = Path(os.environ.get("HOLDTRUE_TEST_DATA", HERE.parents[1] / "data"))
SIZES = (750_000, 1_500_000, 3_000_000)
FORMS = ("parquet", "csv")
REPEATS = 3
PEAK_LIMIT_MB = 4096


def peak_mb() -> float:
    """Give the peak memory of this program; `ru_maxrss` would begin at that of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


@dataclass(kw_only=True, slots=True)
class Work:
    """What the stages of one run hand on to each other."""

    source: Path
    folder: Path
    made: dict[str, Snapshot] = field(default_factory=dict[str, Snapshot])


def stage_snapshot(work: Work) -> None:
    store = ObjectStore(root=work.folder / "objects")
    rows = batches(Source(location=str(work.source)), base=work.folder)
    work.made["snapshot"] = snapshot(rows, store=store)


def stage_plain(work: Work) -> None:
    """What a script without Holdtrue does: read the file whole, write it as Parquet."""
    frame = pl.read_csv(work.source) if work.source.suffix == ".csv" else pl.read_parquet(work.source)
    frame.write_parquet(work.folder / "plain.parquet", compression="zstd", row_group_size=131_072)


STAGES: Mapping[str, tuple[Callable[[Work], None], ...]] = {
    "holdtrue": (stage_snapshot,),
    "plain": (stage_plain,),
}


def child(way: str, source: Path) -> None:
    """Run the stages of one way; print the seconds and the peak memory after each."""
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        work = Work(source=source, folder=Path(folder))
        for stage in STAGES[way]:
            start, cpu_start = time.perf_counter(), time.process_time()
            stage(work)
            measure = {
                "stage": stage.__name__.removeprefix("stage_"),
                "seconds": time.perf_counter() - start,
                "cpu_seconds": time.process_time() - cpu_start,
                "peak_mb": peak_mb(),
            }
            print(json.dumps(measure))


def measured(way: str, source: Path) -> list[dict[str, float | str]]:
    command = [sys.executable, __file__, "--child", way, str(source)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def written(folder: Path, rows: int, form: str) -> Path:
    """Write the first rows of the flights in the form asked for."""
    path = folder / f"flights_{rows}.{form}"
    frame = pl.scan_parquet(DATA / "flights_3m" / "flights-3m.parquet").head(rows)
    if form == "csv":
        frame.sink_csv(path)
    else:
        frame.sink_parquet(path, compression="zstd")
    return path


def results(folder: Path) -> list[dict[str, float | str]]:
    """Measure every size, form and way, one after the other and in turns; keep the fastest of the repeats."""
    found: list[dict[str, float | str]] = []
    for form in FORMS:
        for rows in SIZES:
            source = written(folder, rows, form)
            runs = [(way, measured(way, source)) for _ in range(REPEATS) for way in STAGES]
            for way in STAGES:
                best = min((stages for name, stages in runs if name == way), key=total)
                found += [{"form": form, "rows": rows, "way": way, **stage} for stage in best]
                print(form, rows, way, best, flush=True)
            source.unlink()
    return found


def total(stages: list[dict[str, float | str]], key: str = "cpu_seconds") -> float:
    return sum(float(stage[key]) for stage in stages)


def pick(found: list[dict[str, float | str]], form: str, rows: int, way: str) -> tuple[float, float, float]:
    """The seconds of all stages of a way, those of the processor, and the peak memory."""
    chosen = [entry for entry in found if (entry["form"], entry["rows"], entry["way"]) == (form, rows, way)]
    return total(chosen, "seconds"), total(chosen), max(float(entry["peak_mb"]) for entry in chosen)


def page(found: list[dict[str, float | str]], about: Mapping[str, str]) -> str:
    lines = [
        "# Three million rows",
        "",
        "Flights of 2001 (5 columns) into a snapshot: read, typed, hashed, written as Parquet parts.",
        "Beside it a plain `polars.read_*` and `write_parquet` of the same file, which holds all rows in memory.",
        "Of three processes the one that took the least processor time; memory is the peak of the whole process.",
        "",
        "| form | rows | snapshot, s (CPU) | plain, s (CPU) | ratio (CPU) | snapshot, peak MB | plain, peak MB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for form in FORMS:
        for rows in SIZES:
            seconds, cpu, peak = pick(found, form, rows, "holdtrue")
            plain_seconds, plain_cpu, plain_peak = pick(found, form, rows, "plain")
            lines.append(
                f"| {form} | {rows:,} | {seconds:.2f} ({cpu:.2f}) | {plain_seconds:.2f} ({plain_cpu:.2f}) "
                f"| {seconds / plain_seconds:.1f} ({cpu / plain_cpu:.1f}) | {peak:.0f} | {plain_peak:.0f} |"
            )
    lines.append("")
    for form in FORMS:
        small, large = pick(found, form, SIZES[0], "holdtrue"), pick(found, form, SIZES[-1], "holdtrue")
        growth = (large[1] / SIZES[-1]) / (small[1] / SIZES[0])
        lines.append(
            f"- {form}: {SIZES[-1] // SIZES[0]} times the rows take {growth:.2f} times the processor time per row and "
            f"{large[2] / small[2]:.2f} times the memory. Limit: {PEAK_LIMIT_MB} MB; "
            f"{'held' if large[2] <= PEAK_LIMIT_MB else 'NOT HELD'}."
        )
    return "\n".join([*lines, "", *(f"{key}: {value}  " for key, value in about.items()), ""])


def machine() -> dict[str, str]:
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False)
    return {
        "machine": f"{os.cpu_count()} cores, {memory_gb:.0f} GB, {platform.system()} {platform.machine()}",
        "versions": f"Python {platform.python_version()}, polars {pl.__version__}, pyarrow {pa.__version__}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit.stdout.strip() or "unknown",
    }


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], Path(sys.argv[3]))
        return
    with tempfile.TemporaryDirectory() as folder:
        found = results(Path(folder))
    about = machine()
    (HERE / "result.json").write_text(json.dumps({**about, "results": found}, indent=1) + "\n")
    (HERE / "result.md").write_text(page(found, about))


if __name__ == "__main__":
    main()
