"""Receipts and labels that are older than the project keeps them: dropped by gc, with proof of what they were.

First the ledger says what goes, a segment an entry: how many records, of which time, the first and the last id, and the
digests. Then its part goes, and its manifest stays and says when. So whoever asks for a prediction of then hears that
it was dropped; a part that is gone without an entry was taken away by somebody else, which is told as such. Killed in
between, the next gc ends what the ledger announced, and announces nothing twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from holdtrue.core.errors import Busy, Refused
from holdtrue.data.traffic.compact import compact
from holdtrue.data.traffic.part import Manifest
from holdtrue.data.traffic.read import Dropped, find
from holdtrue.data.traffic.receipt import Receipt
from holdtrue.data.traffic.recover import recover
from holdtrue.data.traffic.retention import Part, drop, is_old, parts
from holdtrue.data.traffic.segment import segment_name
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.workspace import alone, open_workspace
from holdtrue.registry.gc import Item
from holdtrue.registry.ledger import Deed, Entry, append, entries
from holdtrue.spec.load import FILE

ACTION = "traffic dropped"
DAY_US = 86_400_000_000


def collect(
    keeper: Keeper, folder: Path, environ: Mapping[str, str], *, keep_days: int, delete: bool, now: datetime
) -> tuple[Item, ...]:
    """Plan what of a store may go, the old traffic of its project included; carry it out only when asked to."""
    plan = keeper.collect(keep_days=keep_days, delete=delete, now=now)
    has_project = (folder / FILE).is_file()
    days = open_workspace(folder, environ=environ).project.serve.retention if has_project else None
    if not has_project or not (_traffic(keeper) / keeper.project).is_dir():
        return plan
    with alone(keeper.home):  # two at once would announce the same twice
        return (*plan, *_collect_traffic(keeper, days, delete=delete, now=now))


def _collect_traffic(keeper: Keeper, days: float | None, *, delete: bool, now: datetime) -> tuple[Item, ...]:
    traffic = _traffic(keeper)
    if delete and days is not None:
        recover(traffic, endpoint=keeper.project)
        with suppress(Busy):  # then the endpoint does it now, and what it makes goes the next time
            compact(traffic, endpoint=keeper.project)
    going: list[Part] = []
    announced: list[Part] = []
    before_us = 0 if days is None else round(now.timestamp() * 1e6 - days * DAY_US)
    for part in parts(traffic, endpoint=keeper.project):
        if announcement(keeper, part.manifest) is not None:
            if _has_files(part):
                announced.append(part)
        elif is_old(part, before_us):
            going.append(part)
    if delete:
        _announce(keeper, going, days, now)
        for part in (*announced, *going):
            drop(part, now_us=round(now.timestamp() * 1e6))
    return tuple(_items(keeper, [*announced, *going]))


def _announce(keeper: Keeper, going: Sequence[Part], days: float | None, now: datetime) -> None:
    if not going:
        return
    deeds = [
        Deed(
            action=ACTION,
            project=keeper.project,
            subject=part.manifest.segment_digest,
            detail={**_facts(part.manifest), "retention_days": days},
        )
        for part in going
    ]

    def announced(connection: Connection) -> None:
        append(connection, deeds, actor=keeper.actor, now=now)

    keeper.database().write(announced)
    keeper.seal()


def _facts(manifest: Manifest) -> dict[str, Any]:
    """Say what of a part shall be provable when it is gone."""
    return {
        "segment": segment_name(manifest.stream, manifest.number),
        "records": manifest.records,
        "receipts": manifest.receipts,
        "first_id": manifest.first_id,
        "last_id": manifest.last_id,
        "first_us": manifest.first_us,
        "last_us": manifest.last_us,
        "part_sha256": manifest.part_sha256,
    }


def announcement(keeper: Keeper, manifest: Manifest) -> str | None:
    """Give the moment at which the ledger said that a part goes, if it says just that; None where it does not."""
    page = keeper.database().read(
        lambda connection: entries(connection, project=keeper.project, subject=manifest.segment_digest)
    )
    facts = _facts(manifest)
    for entry in page.rows:
        if entry.action == ACTION and all(entry.detail.get(name) == value for name, value in facts.items()):
            return entry.time
    return None


def find_receipt(keeper: Keeper, prediction: str) -> Receipt:
    """Give the receipt of a prediction; raises `Dropped` where retention dropped it, and the ledger proves it.

    Raises `Refused` where the log says that it was dropped and the ledger does not, and else as `find` does.
    """
    try:
        return find(_traffic(keeper), prediction, endpoint=keeper.project)
    except Dropped as dropped:
        _prove(keeper, dropped.manifest)
        raise


def dropped_between(keeper: Keeper, *, since_us: int | None, until_us: int | None) -> int:
    """Count the predictions in parts that retention dropped, of which some may lie between two moments.

    Raises `Refused` where the ledger does not know of such a part.
    """
    low = -(2**63) if since_us is None else since_us
    high = 2**63 if until_us is None else until_us
    mine = [one for one in _dropped(keeper) if one.receipts and one.last_us >= low and one.first_us < high]
    for manifest in mine:
        _prove(keeper, manifest)
    return sum(manifest.receipts for manifest in mine)


def check_dropped(keeper: Keeper) -> int:
    """Count the parts that were dropped, each of them proven by the ledger.

    Raises `Refused` for one that the ledger does not know, and for one of the ledger of which nothing is left.
    """
    gone = _dropped(keeper)
    for manifest in gone:
        _prove(keeper, manifest)
    here = {part.place.manifest.stem for part in _parts(keeper)}
    for entry in _announcements(keeper):
        if entry.detail["segment"] not in here:
            raise Refused(
                f"The ledger says that retention dropped segment {entry.detail['segment']}, and nothing of it is left,"
                f" where its manifest should be in {_traffic(keeper) / keeper.project}.",
                do="Restore the manifest from a backup.",
            )
    return len(gone)


def _announcements(keeper: Keeper) -> Iterator[Entry]:
    after: str | None = None
    while True:
        page = keeper.ledger(after=after, limit=1_000)
        yield from (entry for entry in page.rows if entry.action == ACTION and entry.project == keeper.project)
        if page.after is None:
            return
        after = page.after


def _dropped(keeper: Keeper) -> list[Manifest]:
    return [part.manifest for part in _parts(keeper) if part.manifest.dropped_us]


def _parts(keeper: Keeper) -> Iterator[Part]:
    traffic = _traffic(keeper)
    if (traffic / keeper.project).is_dir():
        yield from parts(traffic, endpoint=keeper.project)


def _prove(keeper: Keeper, manifest: Manifest) -> None:
    if announcement(keeper, manifest) is None:
        at = datetime.fromtimestamp(manifest.dropped_us / 1e6, tz=UTC).date()
        raise Refused(
            f"The log says that retention dropped segment {segment_name(manifest.stream, manifest.number)} on {at},"
            " and the ledger says nothing of it: somebody else took it away.",
            do="Restore it from a backup.",
        )


def _has_files(part: Part) -> bool:
    place = part.place
    return not part.manifest.dropped_us or place.part_at(part.manifest.revision).exists() or place.segment.exists()


def _items(keeper: Keeper, going: Sequence[Part]) -> Iterator[Item]:
    for part in going:
        path = part.place.part_at(part.manifest.revision)
        yield Item(
            kind="traffic",
            path=path.relative_to(keeper.home.path).as_posix(),
            name=part.manifest.segment_digest,
            size_bytes=part.manifest.part_bytes,
            modified=datetime.fromtimestamp(part.manifest.last_us / 1e6, tz=UTC),
        )


def _traffic(keeper: Keeper) -> Path:
    return keeper.home.path / "traffic"
