"""A person is forgotten: the key to the receipts goes, the labels that name them, and the rows of every snapshot."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import polars as pl
import pyarrow as pa

from holdtrue.core.errors import Misuse
from holdtrue.core.files import write_whole
from holdtrue.data.snapshot import Snapshot, index, load, scan, snapshot
from holdtrue.data.traffic.read import receipts
from holdtrue.data.traffic.subjects import Subjects
from holdtrue.pipeline.forgotten_labels import erase_labels, is_in_labels
from holdtrue.pipeline.held_out import INPUT
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.workspace import Home, alone
from holdtrue.registry.ledger import Deed, append
from holdtrue.release.rows import parquet
from holdtrue.serving.sealing import FILE, alias, person_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """A snapshot that held rows of the person, the one that took its place (empty: no row was left), and how many."""

    snapshot: str
    replaced_by: str
    rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Erased:
    """What was forgotten, and what it had touched.

    Attributes:
        key: whether there was a key, without which no receipt of the person can be read any more.
        predictions: of the person, by the release that answered; they can be counted, and never be read.
        cuts: the snapshots that rows were taken out of.
        releases: that learned from such a snapshot. They go on answering, and cannot be made again from it.
        held_out: rows of the person among those that had judged a release.
        labels: whose business key named the person, and that were taken out of the log.
        labels_left: those in segments that are still written to; they go when it is asked for again.
    """

    key: bool
    predictions: dict[str, int]
    cuts: tuple[Cut, ...]
    releases: tuple[str, ...]
    held_out: int
    labels: int = 0
    labels_left: int = 0

    @property
    def anything(self) -> bool:
        return self.key or bool(self.cuts) or self.held_out + self.labels + self.labels_left > 0

    def to_json(self) -> dict[str, Any]:
        return {"forgotten": self.anything, **asdict(self)}


def forget(keeper: Keeper, person: str, *, column: str = "", now: datetime) -> Erased:
    """Forget a person, named as requests name them; `column` is where snapshots, and the keys of labels, name them.

    Without it, labels are those whose key names the person by a column that requests of the person have.
    The ledger keeps what was done, and not of whom: it is there for good. Raises `Misuse` where nobody could be known.
    """
    keys = keeper.home.keys
    named = person_of("PERSON", [person])
    if not named:
        raise Misuse("Name the person as requests do.")
    sealed = (keys / FILE).exists()
    if not sealed and not column:
        raise Misuse(
            "No receipt of this store was sealed for a person.",
            do="Seal them: holdtrue serve --subject COLUMN. For the rows of snapshots, name their column: --column",
        )
    with alone(keeper.home):
        cuts = tuple(_cut(keeper.home, column, named, or_else=is_in_labels(keeper, column))) if column else ()
        held_out = _cut_held_out(keeper.home, column, named) if column else 0
        predictions = _predictions(keeper, alias(keys, named)) if sealed else {}
        labels = erase_labels(keeper, named, column=column, subject=alias(keys, named) if sealed else "")
        # The key goes last: whoever is interrupted before can still see what there was.
        key = sealed and Subjects(keys / FILE).forget(alias(keys, named), now_us=int(now.timestamp() * 1e6))
        erased = Erased(
            key=key,
            predictions=predictions if key else {},
            cuts=cuts,
            releases=tuple(_learned_from(keeper.home, {cut.snapshot for cut in cuts})),
            held_out=held_out,
            labels=labels.erased,
            labels_left=labels.left,
        )
        if erased.anything:
            deed = Deed(action="person forgotten", project=keeper.project, subject="", detail=erased.to_json())
            keeper.database().write(lambda connection: append(connection, [deed], actor=keeper.actor, now=now))
    if erased.anything:
        keeper.seal()
    return erased


def _predictions(keeper: Keeper, subject: str) -> dict[str, int]:
    """Count what was predicted of a person, by release."""
    traffic = keeper.home.path / "traffic"
    if not traffic.is_dir():
        return {}
    found = Counter(one.release for one in receipts(traffic, faults=[]) if one.subject == subject)
    return dict(sorted(found.items()))


def _cut(home: Home, column: str, person: str, *, or_else: bool) -> Iterator[Cut]:
    """Write each snapshot that names the person anew without the rows, and delete what held them.

    Raises `Misuse` where no snapshot has the column, and nothing else does (`or_else`).
    """
    kept = [load(path.stem, store=home.store) for path in sorted((home.path / "snapshots").glob("*.json"))]
    if not or_else and not any(column in (each.name for each in one.columns) for one in kept):
        raise Misuse(f"No snapshot has a column {column!r}.", do="Name the column as the source does.")
    for one in kept:
        if column not in (each.name for each in one.columns):
            continue
        rows = scan(one, home.store)
        mine = rows.filter(_is(rows, column, person)).select(pl.len()).collect(engine="streaming").item()
        if not mine:
            continue
        made = "" if mine == one.rows else snapshot(_others(home, one, column, person), store=home.store).digest
        _delete(home, one)
        yield Cut(snapshot=one.digest, replaced_by=made, rows=mine)


def _others(home: Home, one: Snapshot, column: str, person: str) -> Iterator[pa.RecordBatch]:
    """Give the rows of everybody else, a part at a time."""
    rows = scan(one, home.store)
    start = 0
    for part in one.parts:
        here = rows.slice(start, part.rows).filter(~_is(rows, column, person))
        start += part.rows
        yield from here.collect(engine="streaming").to_arrow(compat_level=pl.CompatLevel.oldest()).to_batches()


def _is(rows: pl.LazyFrame, column: str, person: str) -> pl.Expr:
    """Find the rows of a person: a number is that person however it is written."""
    kind = rows.collect_schema()[column]
    if not kind.is_numeric():
        return (pl.col(column).cast(pl.String).str.strip_chars() == person).fill_null(value=False)
    try:
        number = float(person)
    except ValueError:
        return pl.lit(value=False)
    return (pl.col(column).cast(pl.Float64) == number).fill_null(value=False)


def _delete(home: Home, one: Snapshot) -> None:
    """Delete a snapshot, and its parts unless another snapshot has the same ones."""
    place = index(home.store, one.digest)
    manifest = str(json.loads(place.read_bytes())["manifest"])
    place.unlink()
    others = [load(path.stem, store=home.store) for path in place.parent.glob("*.json")]
    needed = {part.file for other in others for part in other.parts}
    for name in {manifest, *(part.file for part in one.parts if part.file not in needed)}:
        home.store.path(name).unlink(missing_ok=True)


def _cut_held_out(home: Home, column: str, person: str) -> int:
    """Take the person's rows out of those that judged releases; gives how many there were."""
    count = 0
    for path in sorted((home.path / "watch").glob("*.held-out.parquet")):
        frame = pl.read_parquet(path)
        title = f"{INPUT}{column}"
        if title not in frame.columns:
            continue
        mine = frame.select(_is(frame.lazy(), title, person)).to_series()
        if mine.any():
            count += int(mine.sum())
            write_whole(path, parquet(frame.filter(~mine)), mode=0o600)
    return count


def _learned_from(home: Home, snapshots: set[str]) -> Iterator[str]:
    """Name the releases whose lineage begins with one of these snapshots."""
    for path in sorted(home.releases.glob("*/manifest.json")):
        core = json.loads(path.read_bytes())["core"]
        if core["lineage"]["snapshot"] in snapshots:
            yield path.parent.name
