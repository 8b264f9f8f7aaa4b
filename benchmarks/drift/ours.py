"""One window of a table in Parquet, counted in chunks and judged; prints what it cost as a line of JSON."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from holdtrue.monitoring.drift import drifts, sum_of
from holdtrue.monitoring.ruler import Columns, gauge_of

CHUNK = 100_000


def columns(frame: pl.DataFrame) -> Columns:
    return {
        name: frame.get_column(name)
        if kind == pl.String
        else frame.get_column(name).cast(pl.Float64).fill_null(np.nan).to_numpy()
        for name, kind in frame.schema.items()
    }


def main() -> None:
    folder = Path(sys.argv[1])
    gauge, reference = gauge_of(columns(pl.read_parquet(folder / "reference.parquet")))
    counts: list[dict[str, np.ndarray]] = []
    spent_s = rows = 0.0
    for part in pq.ParquetFile(folder / "day-000.parquet", pre_buffer=False).iter_batches(batch_size=CHUNK):
        frame = pl.DataFrame(part)
        before = time.process_time()
        counts.append(gauge.count(columns(frame)))
        spent_s += time.process_time() - before
        rows += frame.height
    before = time.process_time()
    whole = {name: sum_of([one[name] for one in counts]) for name in counts[0]}
    found = drifts(gauge.rulers, reference, [whole], level=0.03)
    spent_s += time.process_time() - before
    peak_kb = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    print(
        json.dumps(
            {"rows": rows, "cpu_s": spent_s, "peak_mb": peak_kb / 1024, "alarms": sum(one.alarm for one in found)}
        )
    )


main()
