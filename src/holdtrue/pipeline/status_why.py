"""Why an endpoint is as it is: who had it answer with what, what is wrong, and what it turns requests away for."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from holdtrue.pipeline.keeping import Keeper
from holdtrue.registry.ledger import Entry, entries

LOOKED_AT = 50  # entries of the ledger
ACTS = ("endpoint opened", "traffic changed", "traffic kept", "alias moved")
REQUESTS = "holdtrue_requests_total"
# What each status means here, and what to do about it.
REFUSED: Mapping[str, tuple[str, str]] = {
    "400": ("they could not be read", "The answers say at which place."),
    "401": ("they had no token, or one that is not valid", "Give one out: holdtrue token new."),
    "403": ("their token is for something else", "See what it is for: holdtrue token list."),
    "404": ("there is nothing at their path", "GET /docs shows what there is."),
    "405": ("their method is not known at this path", "GET /docs shows what there is."),
    "408": ("they came too slowly", "A proxy that takes requests whole helps slow clients."),
    "413": ("they were too large", "Send fewer rows at once."),
    "415": ("their media type is not known", "Send JSON, or what GET /docs shows."),
    "421": ("they called this server by a name that is not its own", "Name it: serve --allow-host NAME."),
    "422": ("their rows broke the contract, or the model cannot answer them", "The answers name row and column."),
    "429": ("the quota of the caller was used up", "See serve --requests-per-second and --rows-per-day."),
    "503": (
        "there was too much to do, or receipts could not be written",
        "More workers (serve --workers), or room on the disk; faults are told above.",
    ),
    "504": ("their deadline passed before the answer", "Ask with a longer X-Request-Timeout, or start more workers."),
}
ADVICE = (
    ("receipts cannot be written", "Give the disk room; meanwhile predictions are refused, unless --when-full count."),
    ("tokens.json", "Mend or restore the list of tokens: until then no token is believed."),
    ("the shared cache", "Start Redis, or leave --cache-url out; answers are as before, only not shared."),
    ("started again after", "The log of the endpoint says why the last one ended."),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """One thing that is so, why, and what to do about it where there is something to do."""

    what: str
    why: str
    do: str = ""


def reasons(keeper: Keeper, state: Mapping[str, Any]) -> list[Reason]:
    """Explain the state that a running endpoint gives: what is wrong first."""
    page = keeper.database().read(lambda connection: entries(connection, project=keeper.project, limit=LOOKED_AT))
    return [*_faults(state), *_lost(state["counters"]), *_acts(state, page.rows), *_refused(state["counters"])]


def _faults(state: Mapping[str, Any]) -> Iterator[Reason]:
    for fault in state["faults"]:
        do = next((advice for sign, advice in ADVICE if sign in fault), "The log of the endpoint says more.")
        yield Reason(what="Something is wrong", why=fault, do=do)


def _lost(counters: Mapping[str, float]) -> Iterator[Reason]:
    lost = counters.get("holdtrue_receipts_lost_total", 0)
    if lost:
        yield Reason(
            what=f"{lost:,.0f} answers have no receipt",
            why="they could not be written, and --when-full count lets answers go out all the same",
            do="They cannot be replayed. Give the disk room.",
        )


def _acts(state: Mapping[str, Any], ledger: tuple[Entry, ...]) -> Iterator[Reason]:
    """Say for each release who had it answer, and when: the last act that names it."""
    for model in state["models"].values():
        for digest in model["loaded"]:
            act = next((entry for entry in ledger if entry.action in ACTS and _names(entry, digest)), None)
            if act is None:
                continue
            reason = str(act.detail.get("reason", ""))
            by = f"{act.action} by {act.actor} at {act.time[:19].replace('T', ' ')} UTC"
            yield Reason(what=f"{digest[:12]} is here", why=f"{by}: {reason}" if reason else by)


def _names(entry: Entry, digest: str) -> bool:
    if entry.subject == digest:
        return True
    detail: Mapping[str, Any] = entry.detail
    opened = [digest for model in dict(detail.get("models", {})).values() for digest in model["loaded"]]
    return digest in (*detail.get("weights", ()), *detail.get("shadow", ()), *opened)


def turned_away(counters: Mapping[str, float]) -> "Counter[str]":
    """Count the requests by the status they got, those that were answered too."""
    found: Counter[str] = Counter()
    for name, value in counters.items():
        if name.startswith(f"{REQUESTS}{{"):
            found[name[len(REQUESTS) + 1 : -1].rpartition(",")[2]] += int(value)
    return found


def _refused(counters: Mapping[str, float]) -> Iterator[Reason]:
    found = turned_away(counters)
    for status, count in sorted(found.items()):
        if status in REFUSED:
            why, do = REFUSED[status]
            yield Reason(what=f"{count:,} request{'s' * (count != 1)} got {status}", why=why, do=do)
