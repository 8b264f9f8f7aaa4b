"""Why an endpoint does not answer, or turns requests away; and why a loop does, or does not do, what it should."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from holdtrue.core.errors import HoldtrueError
from holdtrue.loop.state import State
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.loop_store import LoopStore
from holdtrue.pipeline.loop_story import decisions
from holdtrue.pipeline.running import NotRunning, ask
from holdtrue.pipeline.status_why import ADVICE, REFUSED, turned_away
from holdtrue.pipeline.token_keeping import tokens_of
from holdtrue.pipeline.why import Cause
from holdtrue.registry.ledger import Entry, entries

LOOKED_AT = 200  # entries of the ledger
SHARE = 0.01  # of the requests, which may be turned away before that is a cause
ROOM = "receipts cannot be written"
KINDS = {"401": "token refused", "403": "token refused", "422": "contract broken", "429": "quota used up"}
WORSE = re.compile(r"^(\S+) is worse: (.+)$")
BREAKS = re.compile(r"^(\S+) breaks (.+)$")


def causes_of_endpoint(keeper: Keeper, *, now: datetime) -> list[Cause]:
    """Say what is wrong with the endpoint of a project, if it has one."""
    try:
        state: Mapping[str, Any] = ask(keeper, "GET", "/status", wait_s=10.0)
    except NotRunning:
        return [*_down(keeper)]
    except HoldtrueError as error:
        return [
            Cause(
                what="The endpoint does not say how it is.",
                because=(error.what,),
                kind="endpoint down",
                where="endpoint",
            )
        ]
    return [*_faults(state), *_turned_away(keeper, state, now)]


def _down(keeper: Keeper) -> Iterator[Cause]:
    """Tell of an endpoint that was opened and never closed: its process was ended, or its machine."""
    page = keeper.database().read(lambda connection: entries(connection, project=keeper.project, limit=LOOKED_AT))
    last = next((entry for entry in page.rows if entry.action in ("endpoint opened", "endpoint closed")), None)
    if last is None or last.action == "endpoint closed":
        return
    yield Cause(
        what="No endpoint answers, and the last one was never closed.",
        because=(
            f"{last.actor} opened it at {last.time[:19].replace('T', ' ')} UTC",
            "it did not write that it ended, as it does when it is asked to end: it was killed, or its machine was",
        ),
        do="See its log and that of the system (memory?); then: holdtrue serve",
        kind="endpoint down",
        where="endpoint",
    )


def _faults(state: Mapping[str, Any]) -> Iterator[Cause]:
    for fault in state["faults"]:
        full = ROOM in fault
        do = next((advice for sign, advice in ADVICE if sign in fault), "The log of the endpoint says more.")
        yield Cause(
            what="Receipts cannot be written." if full else "Something is wrong with the endpoint.",
            because=(fault,),
            do=do,
            kind="disk full" if full else "endpoint fault",
            where="receipts" if full else "endpoint",
        )


def _turned_away(keeper: Keeper, state: Mapping[str, Any], now: datetime) -> Iterator[Cause]:
    """Say what requests are turned away for, the most frequent first."""
    found = turned_away(state["counters"])
    total = sum(found.values())
    for status, count in found.most_common():
        if (
            status not in REFUSED
            or count < SHARE * total
            or (status == "503" and any(ROOM in one for one in state["faults"]))
        ):
            continue
        why, do = REFUSED[status]
        kind, where = KINDS.get(status, f"requests got {status}"), "requests"
        because = [f"{count:,} of {total:,} requests got {status}: {why}"]
        if status == "401" and (expired := _expired(keeper, now)):
            kind, where = "token expired", expired[0]
            because += [f"the token of {name} has expired" for name in expired]
            do = f"Give out a new one: holdtrue token new {expired[0]}"
        yield Cause(what=f"Requests are turned away: {why}.", because=tuple(because), do=do, kind=kind, where=where)


def _expired(keeper: Keeper, now: datetime) -> list[str]:
    """Name whose tokens have ended by themselves, the last one first."""
    try:
        ended = [
            (one.expires, one.name)
            for one in tokens_of(keeper)
            if one.expires and one.expires <= now and not one.revoked
        ]
    except (HoldtrueError, OSError):
        return []
    return [name for _, name in sorted(ended, reverse=True)]


def causes_of_loop(keeper: Keeper) -> list[Cause]:
    """Say what holds a loop, or made it turn back: why it waits for a person, trains not, or gave a challenger up."""
    state = LoopStore(keeper=keeper).read()
    if state is None:
        return []
    newest = [entry for _, entry in zip(range(20), decisions(keeper), strict=False)]
    return [*_behind(state), *_withdrawn(newest), *_paused(state), *_held(state, newest), *_dropped(newest)]


def _behind(state: State) -> Iterator[Cause]:
    if state.behind:
        yield Cause(
            what="The clock of the machine is behind what the loop has seen.",
            because=("its brakes go by the latest time that any event came from, and hold until then",),
            do="Set the clock right; or, if the earlier time was wrong: holdtrue loop resume --trust-clock",
            kind="clock went back",
            where="clock",
        )


def _paused(state: State) -> Iterator[Cause]:
    """Say why it waits for a person."""
    if state.phase != "paused" or state.pause is None:
        return
    pause = state.pause
    storm = "trainings in a row" in pause.why
    kind = "storm of trainings" if storm else f"{pause.back} not settled" if "settled" in pause.why else "loop paused"
    yield Cause(what="The loop waits for a person.", because=(pause.why,), do=pause.do, kind=kind, where="loop")


def _held(state: State, newest: list[Entry]) -> Iterator[Cause]:
    """Say which brakes hold a training that is due."""
    told = next((entry for entry in newest if str(entry.detail["what"]).startswith("do not train")), None)
    for key in state.held:
        source = key.removeprefix("labels of ")
        because = () if told is None else (str(told.detail["why"]),)
        if source != key:
            do = "Look at labels of this source by hand; leave it out, or: holdtrue loop train --force"
            yield Cause(
                what=f"A training is held: labels of {source} look wrong.",
                because=because,
                do=do,
                kind="labels wrong",
                where=source,
            )
        else:
            do = "Wait, or: holdtrue loop train --reason WHY (--force passes the cap on cost)"
            yield Cause(
                what=f"A training is due, and held by: {key}.", because=because, do=do, kind="training held", where=key
            )


def _withdrawn(newest: list[Entry]) -> Iterator[Cause]:
    """Say what a challenger, or a new champion, was taken back for."""
    for entry in newest:
        why = str(entry.detail["why"])
        if str(entry.detail["what"]) in ("train", "promote", "keep the new champion"):
            return  # what came before is settled
        if match := WORSE.match(why) or BREAKS.match(why):
            is_sign = match.re is WORSE
            where = match[2].split(", ")[0]
            yield Cause(
                what=f"{match[1][:12]} was taken back: {'worse in ' if is_sign else 'it breaks '}{match[2]}.",
                because=(f"decided at {entry.time[:19].replace('T', ' ')} UTC: {entry.detail['what']}, because {why}",),
                do="The champion of before answers. It is not tried again until: holdtrue loop resume",
                kind="canary worse" if is_sign else "promise broken",
                where=where,
            )
            return


def _dropped(newest: list[Entry]) -> Iterator[Cause]:
    """Say why the last challenger was given up, where nothing else came since."""
    if newest and newest[0].detail["what"] == "drop the challenger":
        why = str(newest[0].detail["why"])
        kind = "challenger worse" if "is worse than the champion" in why else "challenger dropped"
        yield Cause(
            what="The last challenger was given up.",
            because=(why,),
            do="The champion answers as before.",
            kind=kind,
            where="loop",
        )
