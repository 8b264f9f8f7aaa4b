"""A file in, a file out: every row answered by one verified release, and the whole file or none."""

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet

from holdtrue.core.errors import Misuse
from holdtrue.core.files import sync
from holdtrue.data.breach import Breach
from holdtrue.data.check import check
from holdtrue.data.source import Source, batches
from holdtrue.pipeline.progress import Tell
from holdtrue.release.predictor import Predictor

CHUNK_ROWS = 50_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Predicted:
    """What was written; `breaches` are the ways in which rows broke the contract they were answered under."""

    release: str
    rows: int
    out: Path
    breaches: tuple[str, ...]


def predict_file(ready: Predictor, source: Source, out: Path, *, base: Path, tell: Tell) -> Predicted:
    """Answer every row in order; the column `release` names who answered.

    Rows that break the contract are answered too, as the graph answers them, and reported. Nothing is written at `out`
    until everything is.
    """
    writer_of = WRITERS.get(out.suffix.lower())
    if writer_of is None:
        raise Misuse(f"{out.name} has no known ending.", do=f"End it with one of {', '.join(WRITERS)}.")
    if not out.absolute().parent.is_dir():
        raise Misuse(f"The folder {out.parent} is not there.", do="Make it first.")
    if "://" not in source.location and out.exists() and out.samefile(base / source.location):
        raise Misuse(f"{out} holds the rows to predict; it would be written over.", do="Name another file for --out.")
    tell("predict")
    rows, broken = 0, dict[str, Breach]()
    handle, name = tempfile.mkstemp(dir=out.absolute().parent, prefix=".tmp-")
    os.close(handle)
    try:
        writer: Any = None
        for raw in chunks(source, base):
            for breach in check(ready.contract, raw, now=None):
                broken.setdefault(f"{breach.where}: {breach.what}", breach)
            answers = ready.predict(raw).with_columns(release=pl.lit(ready.release.digest))
            table = answers.to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = writer or writer_of(name, table.schema)
            writer.write(table)
            rows += raw.height
            tell("predict", rows)
        writer.close()
        sync(Path(name))
        Path(name).chmod(0o644)
        Path(name).replace(out)
    finally:
        Path(name).unlink(missing_ok=True)
    told = tuple(breach.sentence for breach in broken.values())
    return Predicted(release=ready.release.digest, rows=rows, out=out, breaches=told)


def chunks(source: Source, base: Path) -> Iterator[pl.DataFrame]:
    """Gather the batches of a source into tables of a size that pays."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches(source, base=base):
        waiting.append(batch)
        count += batch.num_rows
        if count >= CHUNK_ROWS:
            yield _table(waiting)
            waiting, count = [], 0
    if waiting:
        yield _table(waiting)


def _table(waiting: list[pa.RecordBatch]) -> pl.DataFrame:
    made = pl.from_arrow(pa.Table.from_batches(waiting))
    assert isinstance(made, pl.DataFrame)
    return made


class _Lines:
    """Writes JSON lines with the interface of Arrow's writers."""

    def __init__(self, name: str, _: pa.Schema) -> None:
        self.stream = Path(name).open("wb")  # noqa: SIM115  # closed by `close`, as Arrow's writers are

    def write(self, table: pa.Table) -> None:
        made = pl.from_arrow(table)
        assert isinstance(made, pl.DataFrame)
        made.write_ndjson(self.stream)

    def close(self) -> None:
        self.stream.close()


WRITERS: dict[str, Callable[[str, pa.Schema], Any]] = {
    ".csv": pyarrow.csv.CSVWriter,
    ".parquet": pyarrow.parquet.ParquetWriter,
    ".jsonl": _Lines,
    ".arrow": pyarrow.ipc.new_file,
}
