"""Labels from a file: what turned out true, joined to predictions by their id or by a business key."""

import hashlib
import random
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from holdtrue.core.errors import DataFault, HoldtrueError, nearest
from holdtrue.data.source import Source
from holdtrue.data.traffic.journal import Journal
from holdtrue.data.traffic.label import Label, pack_label
from holdtrue.data.traffic.read import labels as recorded
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.predicting import chunks
from holdtrue.pipeline.progress import Tell
from holdtrue.pipeline.replay import traffic_of
from holdtrue.serving.labelling import read_entries

ID, ROW, TIME = "prediction_id", "row", "time"
MOST_FAULTS = 20
WAIT_S = 60.0
NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """How many labels of a file were kept, and how many had been before."""

    kept: int
    known: int


def label_file(
    keeper: Keeper,
    source: Source,
    *,
    base: Path,
    value: str,
    key: Sequence[str],
    source_name: str,
    caller: str,
    now_us: int,
    tell: Tell,
) -> Labelled:
    """Keep the labels of a file, all of them or none; a file that is given twice counts once.

    The file has the column `value`, and either `prediction_id` (and `row` where a prediction has several) or the
    columns of the business key; `time`, when it became true, may be there. A text is what JSON would take it
    for, as most files know no types: 7 is a number, true is true, and 007 is a text.
    Raises `DataFault` with the rows that cannot be labels.
    """
    # By what makes a label the same, so that a row that is there twice counts once too.
    made: dict[str, Label] = {}
    faults: list[str] = []
    rows = repeated = 0
    for raw in chunks(source, base):
        _check_columns(raw.columns, value, key)
        for cells in raw.iter_rows(named=True):
            rows += 1
            read, wrong = _read(
                {name: _plain(cell) for name, cell in cells.items()}, value, key, source_name, now_us, caller
            )
            faults += [f"row {rows:,}: {each}" for each in wrong]
            if read is not None:
                repeated += read.idempotency in made
                made.setdefault(read.idempotency, read)
        tell("read", rows)
    if faults:
        more = [f"and {len(faults) - MOST_FAULTS:,} more"] if len(faults) > MOST_FAULTS else []
        raise DataFault(
            f"{len(faults):,} of the {rows:,} rows cannot be labels, so none was kept:",
            faults=[*faults[:MOST_FAULTS], *more],
            do="Mend the rows, or take them out.",
        )
    traffic = traffic_of(keeper)
    # Damage elsewhere in the log keeps no truth out; what was there, and cannot be read, is then kept twice.
    before = {label.idempotency for label in recorded(traffic, endpoint=keeper.project, faults=[])}
    fresh = [label for name, label in made.items() if name not in before]
    if fresh:
        _keep(keeper, traffic, fresh)
    return Labelled(kept=len(fresh), known=len(made) - len(fresh) + repeated)


def _check_columns(columns: Sequence[str], value: str, key: Sequence[str]) -> None:
    wanted = [value, *(key or [ID])]
    faults = [f"column {name!r} is not there{nearest(name, columns)}" for name in wanted if name not in columns]
    if faults:
        raise DataFault("The file has no labels:", faults=faults, do="Name the columns: --value COLUMN --key COLUMN")


def _plain(cell: Any) -> Any:
    """Read a cell as JSON would.

    >>> [_plain(cell) for cell in ("7", "-0.5", "007", "true", "yes", None, date(2026, 1, 2))]
    [7, -0.5, '007', True, 'yes', None, '2026-01-02']
    """
    if isinstance(cell, date):  # a moment is one too
        return cell.isoformat()
    if cell in ("true", "false"):
        return cell == "true"
    if not isinstance(cell, str) or not NUMBER.fullmatch(cell):
        return cell
    return float(cell) if "." in cell else int(cell)


def _read(
    row: Mapping[str, Any], value: str, key: Sequence[str], source: str, now_us: int, caller: str
) -> tuple[Label | None, list[str]]:
    """Read a row as if a client had sent it; gives what is wrong with it otherwise."""
    missing = [name for name in (value, *(key or [ID])) if row[name] is None or row[name] == ""]
    if missing:
        return None, [f"column {name!r} is empty" for name in missing]
    entry: dict[str, Any] = {"value": row[value], "source": source}
    if key:
        entry["key"] = {name: row[name] for name in key}
    else:
        entry["prediction_id"] = row[ID]
        if row.get(ROW) is not None:
            entry["row"] = row[ROW]
    if row.get(TIME) is not None:
        entry["time"] = row[TIME]
    # What it says is what makes it known again.
    entry["id"] = hashlib.sha256(repr(sorted(entry.items())).encode(errors="surrogatepass")).hexdigest()[:32]
    read, wrong = read_entries([entry], now_us=now_us, caller=caller)
    return (read[0] if read else None), [fault.partition(": ")[2] for fault in wrong]


def _keep(keeper: Keeper, traffic: Path, labels: Sequence[Label]) -> None:
    """Write labels to the disk as a stream of their own, beside those of a running endpoint."""
    stream = random.SystemRandom().getrandbits(32)
    journal = Journal(traffic, endpoint=keeper.project, stream=stream, now=lambda: time.time_ns() // 1000)
    with closing(journal):
        journal.add_all([pack_label(label) for label in labels])
        ticket = journal.write()
        heard: list[bool] = []
        journal.when_durable(ticket, heard.append)
        until_s = time.monotonic() + WAIT_S
        while not heard and time.monotonic() < until_s:
            time.sleep(0.005)
        if heard != [True]:
            raise HoldtrueError("The disk did not keep the labels.", do="Look at the disk, and give the file again.")
