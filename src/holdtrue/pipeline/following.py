"""An alias is given to another release, or back to the one before, and the endpoint that serves it follows at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from holdtrue.core.errors import HoldtrueError, Misuse
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.running import NotRunning, ask
from holdtrue.registry.aliases import Move, alias_history


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """What became of an alias: `changed` says whether it moved, `served` whether a running endpoint answers with it."""

    digest: str
    changed: bool
    served: bool


def move(keeper: Keeper, name: str, alias: str, *, reason: str, now: datetime) -> Moved:
    """Give an alias to a release that passes every check, and tell the running endpoint when it follows the alias.

    Raises `HoldtrueError` when the endpoint cannot follow: then the alias has moved, and the endpoint is as it was.
    """
    digest, changed = keeper.promote(name, alias, reason=reason, now=now)
    try:
        served = _tell(keeper, digest, alias, reason)
    except HoldtrueError as error:
        raise HoldtrueError(
            f"{alias} is now {digest[:12]}, but the running endpoint answers as before: {error.what}",
            faults=error.faults,
            do=f"When that is mended: holdtrue traffic {alias}",
        ) from None
    return Moved(digest=digest, changed=changed, served=served)


def rollback(keeper: Keeper, *, to: str, alias: str, reason: str, now: datetime) -> Moved:
    """Give an alias back to the release it had before, or to the one named; raises `Misuse` when there was none."""
    name = to
    if not name:
        history = keeper.database().read(lambda connection: alias_history(connection, keeper.project, alias))
        name = before(history) or ""
        if not name:
            raise Misuse(
                f"{alias} was never another release, so there is nothing to go back to.",
                do="Name the release: holdtrue rollback --to RELEASE",
            )
    return move(keeper, name, alias, reason=reason or "rolled back", now=now)


def before(history: Sequence[Move]) -> str | None:
    """Say which release to go back to. `history` is newest first.

    A move to a release that had the alias already undoes all moves since then, so going back twice goes back two steps
    and never forward to what was left.

    >>> from datetime import UTC, datetime
    >>> moves = [Move(name="champion", digest=digest, since=datetime(2026, 1, 1, tzinfo=UTC), actor="", reason="")
    ...          for digest in "BCBA"]
    >>> before(moves)
    'A'
    """
    had: list[str] = []
    for past in reversed(history):
        if past.digest in had:
            del had[had.index(past.digest) + 1 :]
        else:
            had.append(past.digest)
    return had[-2] if len(had) > 1 else None


def _tell(keeper: Keeper, digest: str, alias: str, reason: str) -> bool:
    """Have the running endpoint answer with a release; says whether it does."""
    try:
        state: Any = ask(keeper, "GET", "/status", wait_s=10.0)
    except NotRunning:
        return False
    model = state["models"].get(keeper.project)
    if state["follows"] != alias or model is None:
        return False
    if list(model["weights"]) == [digest]:
        return True
    change = {
        "model": keeper.project,
        "weights": {digest: 1.0},
        "shadow": [each for each in model["shadow"] if each != digest],
        "sticky": model["sticky"],
        "champion": digest,
        "reason": reason or f"{alias} moved",
        "actor": keeper.actor,
    }
    ask(keeper, "POST", "/traffic", change)
    return True
