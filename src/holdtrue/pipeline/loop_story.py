"""What the loop is at, and how it came there, for people."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from holdtrue.core.errors import Misuse
from holdtrue.loop.state import State
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.loop_looks import Memory
from holdtrue.pipeline.loop_store import LoopStore
from holdtrue.registry.ledger import Entry, entries

DECIDED = "loop decided"
PAGE = 200


def story(keeper: Keeper, *, most: int) -> dict[str, Any]:
    """Tell the phase, what is wanted of a person, and the last decisions; raises `Misuse` before the loop began."""
    store = LoopStore(keeper=keeper)
    state = store.read()
    if state is None:
        raise Misuse("The loop of this project has not begun.", do="Start it: holdtrue up")
    leader, until_us = store.leader()
    memory = Memory.read(store.memory())
    return {
        "phase": state.phase,
        "champion": state.champion,
        "challenger": None if state.challenger is None else state.challenger.release,
        "share": 0.0 if state.challenger is None else state.challenger.share,
        "since": _moment(state.since_us),
        "leader": leader if until_us > time.time_ns() // 1000 else "",
        "pause": None if state.pause is None else {"why": state.pause.why, "do": state.pause.do},
        "trainings": len(state.trainings),
        "comparisons": state.comparisons,
        "signals": memory.signs,
        "requests": memory.requests,
        "lines": [*_lines(state), *_signs(memory)],
        "decisions": [_told(entry) for entry in _newest(decisions(keeper), most)],
    }


def decisions(keeper: Keeper) -> Iterator[Entry]:
    """Give the decisions of the loop as the ledger has them, newest first."""
    after: str | None = None
    database = keeper.database()
    while True:
        mark = after
        page = database.read(
            lambda connection, mark=mark: entries(connection, project=keeper.project, after=mark, limit=PAGE)
        )
        yield from (entry for entry in page.rows if entry.action == DECIDED)
        after = page.after
        if after is None:
            return


def _newest(found: Iterator[Entry], most: int) -> list[Entry]:
    return [entry for _, entry in zip(range(most), found, strict=False)]


def _told(entry: Entry) -> dict[str, object]:
    detail = entry.detail
    return {"at": entry.time[:19], "what": detail["what"], "why": detail["why"], "phase": detail["phase"]}


def _lines(state: State) -> Iterator[str]:
    """Say what there is to know besides the phase."""
    found = state.challenger
    if found is not None:
        share = f", answering {found.share:.0%} of the requests" if found.share else ""
        yield f"Challenger: {found.release[:12]}, {found.verdict}{share}."
    if state.before:
        yield f"At hand to go back to: {state.before[:12]}."
    if state.awaited is not None:
        tag = state.awaited.deed.__struct_config__.tag
        yield f"Under way: {tag}{', which failed and is tried again' if state.awaited.failed else ''}."
    if state.pause is not None and state.phase == "paused":
        yield f"It waits for a person: {state.pause.why}."
        yield state.pause.do
    if state.held:
        yield f"Held back by: {', '.join(state.held)}."


def _signs(memory: Memory) -> Iterator[str]:
    """Say how a challenger does beside the champion, at the last look."""
    if memory.signs:
        found = "; ".join(f"{name}: {sign}" for name, sign in memory.signs.items())
        yield f"On {memory.requests:,} requests of its own: {found}."


def _moment(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, tz=UTC).isoformat(timespec="seconds")
