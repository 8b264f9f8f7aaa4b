"""Why a store is not to be trusted: a release, the ledger, a key or a record that is not as it was written."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from holdtrue.core.errors import HoldtrueError, Misuse, Refused
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.why import Cause
from holdtrue.registry.aliases import Alias, alias_history, aliases_of
from holdtrue.release.bundle import release_of
from holdtrue.release.held import hold
from holdtrue.release.signing import PRIVATE, trusted_keys, verify

CHANGED = re.compile(r"(\S+) changed")
BACKUP = "Restore it from a backup; until then believe nothing that rests on it."
CHAMPION = "champion"
MOST_TOLD = 10


def causes_of_store(keeper: Keeper) -> list[Cause]:
    """Check the key, the releases that have a name, and the ledger.

    Raises `Refused` where the catalog is no database at all: then there is nothing that could be explained.
    """
    if not keeper.home.path.is_dir():
        return []
    found = [*_key(keeper)]
    # Without the key nothing can be verified, and what follows would blame the releases for it.
    return found or [*_releases(keeper), *_ledger(keeper)]


def _key(keeper: Keeper) -> Iterator[Cause]:
    made = keeper.home.releases.is_dir() and any(keeper.home.releases.iterdir())
    if not made or (keeper.home.keys / PRIVATE).exists():
        return
    yield Cause(
        what="The signing key of this store is gone.",
        because=(f"{keeper.home.keys / PRIVATE} is not there, and releases are",),
        do="Restore it from a backup. A new key would sign new releases, and none of those that are here is its own.",
        kind="key missing",
        where="keys",
    )


def _named(keeper: Keeper) -> tuple[Alias, ...]:
    return keeper.database().read(lambda connection: aliases_of(connection, keeper.project))


def _releases(keeper: Keeper) -> Iterator[Cause]:
    """Hold the releases that have a name against their manifests, then against their signatures."""
    for digest in dict.fromkeys(alias.digest for alias in _named(keeper)):
        folder = keeper.home.releases / digest
        try:
            release_of(folder, hold(folder))
            verify(folder, trusted_keys(keeper.home.keys))
        except (Refused, Misuse) as error:
            yield changed_release(digest, error)
        except OSError as error:
            yield changed_release(digest, Refused(f"{folder} cannot be read: {error.strerror}."))


def changed_release(digest: str, error: HoldtrueError) -> Cause:
    """Say that a release is not what was signed, and which file of it."""
    told = " ".join((error.what, *error.faults))
    match = CHANGED.search(" ".join(error.faults)) or re.search(r"'?([\w.]+\.(?:onnx|json|parquet|sig))\b", told)
    return Cause(
        what=f"The release {digest[:12]} is not what was signed.",
        because=(error.what, *error.faults),
        do="Restore its folder from a backup, or make it again: holdtrue reproduce. Nothing serves it as it is.",
        kind="release changed",
        where=match[1] if match else digest[:12],
    )


def _ledger(keeper: Keeper) -> Iterator[Cause]:
    try:
        keeper.verify()
    except Refused as error:
        yield Cause(
            what="The ledger, or the catalog beside it, was changed by other hands.",
            because=(error.what, *error.faults),
            do=error.do or BACKUP,
            kind="ledger changed",
            where="ledger",
        )


def causes_of_log(damaged: Sequence[str]) -> Iterator[Cause]:
    """Tell of what could not be read of the log of traffic."""
    if damaged:
        yield Cause(
            what="Records of traffic are damaged.",
            because=tuple(damaged[:MOST_TOLD]),
            do=f"{BACKUP} What is whole is read all the same.",
            kind="receipt changed",
            where="traffic",
        )


def causes_of_name(keeper: Keeper) -> Iterator[Cause]:
    """Find out whether a person gave the name of the champion to a release that its own report calls worse."""
    moves = keeper.database().read(lambda connection: alias_history(connection, keeper.project, CHAMPION))
    if len(moves) < 2 or moves[0].actor == "loop":
        return
    now, was = (_headline(keeper.home.releases / move.digest) for move in moves[:2])
    if now is None or was is None or now[0] != was[0]:
        return
    metric, value, best, higher = now
    if (was[1] <= best) if higher else (was[1] >= best):
        return
    move = moves[0]
    yield Cause(
        what=f"{CHAMPION} is a release that is worse than the one before, by its own report.",
        because=(
            f"{move.actor} gave the name to {move.digest[:12]} at {move.since:%Y-%m-%d %H:%M} UTC: "
            f"{move.reason or 'no reason given'}",
            f"{metric} {value:.4g} (at best {best:.4g}); the one before, {moves[1].digest[:12]}, has {was[1]:.4g}",
        ),
        do="Give the name back: holdtrue rollback",
        kind="other release serves",
        where=CHAMPION,
    )


def _headline(folder: Path) -> tuple[str, float, float, bool] | None:
    """Give the metric that a report is headed by, its value, and the better of its limits."""
    try:
        report = json.loads((folder / "report.json").read_bytes())
        metric = report["headline_metric"]
        found = next(each for each in report["models"] if each["role"] == "champion")["metrics"][metric]
        higher = bool(report["metrics"][metric]["higher_is_better"])
        return metric, float(found["value"]), float(found["high"] if higher else found["low"]), higher
    except (OSError, ValueError, KeyError, StopIteration, TypeError):
        return None
