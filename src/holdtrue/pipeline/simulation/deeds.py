"""What the loop did, read from the ledger: alarms, trainings, promotions, rollbacks, and the decisions between them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from holdtrue.pipeline.keeping import Keeper
from holdtrue.registry.ledger import Entry
from holdtrue.registry.page import MOST

Sort = Literal["alarm", "retrain", "promotion", "rollback", "given up", "decision"]
SORTS: Mapping[str, Sort] = {"train": "retrain", "end the canary": "rollback", "give up the canary": "given up"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Deed:
    """One thing that happened; `release` is the one it is about, where it is about one."""

    at_us: int
    sort: Sort
    what: str
    why: str
    release: str = ""

    def to_json(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


def deeds(keeper: Keeper) -> tuple[Deed, ...]:
    """Give what the loop did, oldest first."""
    entries = sorted(_entries(keeper), key=lambda entry: entry.seq)
    had: set[str] = set()
    found: list[Deed] = []
    for entry in entries:
        if entry.action == "alias moved" and entry.detail["alias"] == "champion":
            back = entry.subject in had
            had.add(entry.subject)
            if entry.actor == "loop":
                why = str(entry.detail["reason"])
                sort: Sort = "rollback" if back else "promotion"
                what = "the champion of before answers again" if back else "a new champion"
                found.append(Deed(at_us=_at(entry), sort=sort, what=what, why=why, release=entry.subject))
        elif (made := _deed(entry)) is not None:
            found.append(made)
    return tuple(found)


def _deed(entry: Entry) -> Deed | None:
    detail = entry.detail
    if entry.action == "alarm raised":
        why = detail.get("why")
        told = "; ".join(map(str, why)) if isinstance(why, list) else ""
        return Deed(at_us=_at(entry), sort="alarm", what=str(detail["what"]), why=told, release=entry.subject)
    if entry.action != "loop decided":
        return None
    what = str(detail["what"])
    if what in ("promote", "roll back"):
        return None  # that the name moves says so
    return Deed(
        at_us=_at(entry), sort=SORTS.get(what, "decision"), what=what, why=str(detail["why"]), release=entry.subject
    )


def _entries(keeper: Keeper) -> Iterator[Entry]:
    after: str | None = None
    while True:
        page = keeper.ledger(after=after, limit=MOST)
        yield from page.rows
        if page.after is None:
            return
        after = page.after


def _at(entry: Entry) -> int:
    return round(datetime.fromisoformat(entry.time).timestamp() * 1e6)
