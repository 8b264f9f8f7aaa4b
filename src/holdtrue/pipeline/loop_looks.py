"""What the loop sees: the champion when a window of time is over, and a challenger in traffic every minute."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, final

import msgspec

from holdtrue.core.errors import HoldtrueError, Misuse
from holdtrue.loop.actions import SetShare, StartShadow
from holdtrue.loop.events import CanaryLooked, DriftSeen, LabelSource, Looked, PromiseSeen
from holdtrue.loop.policy import MINUTE_US, Policy
from holdtrue.loop.state import State
from holdtrue.monitoring.budget import Tally
from holdtrue.monitoring.refusals import more_refused
from holdtrue.pipeline.alarming import note, note_burning, note_refusals
from holdtrue.pipeline.answers import ANSWERED
from holdtrue.pipeline.budgeting import CONTRACT, burns, count, stood
from holdtrue.pipeline.canary import CanaryState, look
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.loop_deeds import Doer
from holdtrue.pipeline.progress import Tell
from holdtrue.pipeline.replay import Again
from holdtrue.pipeline.running import NotRunning, ask
from holdtrue.pipeline.watched import DAY_US, Watched
from holdtrue.pipeline.watching import MOST_HARMS, Counts, watch
from holdtrue.pipeline.workspace import Workspace
from holdtrue.registry.moment import moment

MOST_LOOKED = 8  # windows by which promises are judged: since the champion is champion, and no further back
LATE_US = MINUTE_US  # after the end of a window, for what is still being written
CANARY_US = MINUTE_US
BUDGETS_US = 20_000_000


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker needs to go on where another ended.

    Args:
        looked: the number of the window that was last over.
        canary_us: when the challenger was last looked at.
        budgets_us: when the error budgets were.
        trained_us: the training since which `rows` and `labels` are counted.
        canary: what was counted of the challenger; `signs` and `requests` are what that said.
    """

    looked: int = -1
    canary_us: int = 0
    budgets_us: int = 0
    trained_us: int = 0
    rows: int = 0
    labels: int = 0
    canary: CanaryState | None = None
    signs: dict[str, str] = {}
    requests: int = 0

    @classmethod
    def read(cls, text: str) -> "Memory":
        """Read what was written; what cannot be read is begun anew, since it is only counts."""
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.DecodeError:
            return cls()

    def written(self) -> str:
        return msgspec.json.encode(self).decode()


@dataclass(frozen=True, kw_only=True, slots=True)
class Looks:
    """What was seen, and what to remember of it."""

    events: tuple[Looked | CanaryLooked, ...]
    memory: Memory


@final
class Looker:
    """Looks at the traffic of a project for its loop."""

    def __init__(self, workspace: Workspace, keeper: Keeper, again: Again, tell: Tell) -> None:
        self._settings = workspace.project.watch
        self._project = workspace.project
        self._keeper = keeper
        self._again = again
        self._tell = tell
        self._counts: Counts = {}

    def look(self, state: State, memory: Memory, now_us: int, policy: Policy) -> Looks:
        """Look at whatever is due."""
        events: list[Looked | CanaryLooked] = []
        span_us = round(self._settings.window * DAY_US)
        over = (now_us - LATE_US - round(self._settings.late * DAY_US)) // span_us
        tried = trial(state)
        if now_us - memory.budgets_us >= BUDGETS_US:
            self._budgets(state.champion, now_us)
            memory = msgspec.structs.replace(memory, budgets_us=now_us)
        if over > memory.looked:
            since_us = state.since_us if state.phase == "promoted" else 0
            seen = self._seen(state.champion, over, now_us, since_us=since_us)
            if seen is not None:
                memory = _counted(memory, seen, state)
                events.append(self._looked(seen, memory))
                note(self._keeper, seen, self._settings, now=moment(now_us))
                stood(self._keeper, seen, now_us=now_us)
            if tried not in ("", state.champion):
                events += self._promises(tried, over, now_us, state.since_us)
            memory = msgspec.structs.replace(memory, looked=over)
        if tried and now_us - memory.canary_us >= CANARY_US:
            event, counted = self._canary(state, memory, tried, now_us, policy)
            events.append(event)
            signs = {str(name): str(sign) for name, sign in event.signals.items()}
            memory = msgspec.structs.replace(
                memory, canary_us=now_us, canary=counted, signs=signs, requests=event.requests
            )
        elif not tried and memory.canary is not None:
            memory = msgspec.structs.replace(memory, canary=None, signs={}, requests=0)
        return Looks(events=tuple(events), memory=memory)

    def _budgets(self, champion: str, now_us: int) -> None:
        """Count what the endpoint answered since the last time, and tell of budgets that burn."""
        status = _status(self._keeper)
        if status is None:
            return
        kept = count(self._keeper, status, champion, now_us=now_us)
        found = burns(self._keeper, kept, now_us=now_us)
        if any(each.state in ("at risk", "broken") for each in found.values()):
            note_burning(self._keeper, found, self._settings, release=champion, now=moment(now_us))
        refused = more_refused(kept.tallies.get(CONTRACT, Tally()), now_us, alarm_budget=self._settings.alarm_budget)
        if refused is not None:
            note_refusals(self._keeper, refused, self._settings, release=champion, now=moment(now_us))

    def put_right(self, state: State, doer: Doer) -> list[str]:
        """Give the challenger its part again after the endpoint was started anew, which knows the champion alone."""
        found = state.challenger
        phase = state.pause.back if state.phase == "paused" and state.pause is not None else state.phase
        if found is None or state.awaited is not None or phase not in ("shadowing", "canary"):
            return []
        status = _status(self._keeper)
        model = {} if status is None else status["models"].get(self._keeper.project, {})
        if not model or list(model["weights"]) != [state.champion] or found.release in model["shadow"]:
            return []
        reason = "the endpoint was started anew"
        if phase == "shadowing":
            doer.route(StartShadow(reason=reason, champion=state.champion, challenger=found.release))
        elif found.share:
            deed = SetShare(reason=reason, champion=state.champion, challenger=found.release, share=found.share)
            doer.route(deed)
        return [f"put right: {reason}"]

    def _seen(self, release: str, over: int, now_us: int, *, since_us: int) -> Watched | None:
        """Look at a release; None while there is no traffic."""
        span_us = round(self._settings.window * DAY_US)
        windows = min(MOST_LOOKED, max(over - since_us // span_us, 1))
        try:
            return watch(
                self._keeper,
                self._settings,
                release=release,
                windows=windows,
                now_us=now_us,
                tell=self._tell,
                again=self._again,
                counts=self._counts,
                time=self._project.data.time,
            )
        except Misuse:
            if (self._keeper.home.path / "traffic" / self._keeper.project).is_dir():
                raise
            return None

    def _looked(self, seen: Watched, memory: Memory) -> Looked:
        return Looked(
            at_us=_end(seen),
            release=seen.release,
            promises=promises_seen(seen),
            drifts=tuple(drifts_seen(seen)),
            new_rows=memory.rows,
            new_labels=memory.labels,
            sources=tuple(LabelSource(name=name, issue_rate=rate) for name, rate in seen.quality.issues.items()),
            steered=seen.quality.feedback.steered,
            unlabelled=seen.quality.feedback.unlabelled,
            exploration=seen.quality.feedback.exploration,
        )

    def _promises(self, release: str, over: int, now_us: int, since_us: int) -> Iterator[Looked]:
        """Say how the promises of a challenger stand by its own labels, or by an estimate."""
        seen = self._seen(release, over, now_us, since_us=since_us)
        if seen is not None and (seen.quality.labelled or seen.estimates):
            yield Looked(at_us=_end(seen), release=release, promises=promises_seen(seen))

    def _canary(
        self, state: State, memory: Memory, tried: str, now_us: int, policy: Policy
    ) -> "tuple[CanaryLooked, CanaryState]":
        found = state.challenger
        share = 1.0 if state.phase == "promoted" else 0.0 if found is None else found.share
        stable = state.before if state.phase == "promoted" else state.champion
        return look(
            self._keeper,
            _status(self._keeper),
            memory.canary,
            champion=stable,
            challenger=tried,
            share=share,
            since_us=state.since_us,
            now_us=now_us,
            alpha=policy.alpha,
            settings=self._project.serve.canary,
            again=self._again,
            margin=self._project.retrain.margin,
        )


def trial(state: State) -> str:
    """Name the release that meets traffic on trial: a challenger, or a champion under guard; else nothing."""
    phase = state.pause.back if state.phase == "paused" and state.pause is not None else state.phase
    if phase == "promoted":
        return state.champion
    found = state.challenger
    return found.release if found is not None and phase in ("shadowing", "canary") else ""


def _status(keeper: Keeper) -> dict[str, Any] | None:
    """Ask the running endpoint how it is; None when there is none, or it does not say."""
    try:
        return ask(keeper, "GET", "/status", wait_s=10.0)
    except (NotRunning, HoldtrueError):
        return None


def _counted(memory: Memory, seen: Watched, state: State) -> Memory:
    """Count the rows of the windows that were not counted yet, since the last training."""
    span_us = round(seen.window_days * DAY_US)
    since_us = max((memory.looked if memory.looked >= 0 else 0) * span_us, state.trained_us)
    rows = sum(window.rows for window in seen.windows if window.start_us + span_us > since_us)
    before = memory.rows if memory.trained_us == state.trained_us else 0
    return msgspec.structs.replace(
        memory, trained_us=state.trained_us, rows=before + rows, labels=seen.quality.labelled
    )


def promises_seen(seen: Watched) -> tuple[PromiseSeen, ...]:
    """Say how promises stand; where labels do not decide, an estimate may say at risk, and no more than that."""
    by_labels = [PromiseSeen(promise=each.pledge.text, state=each.state) for each in seen.quality.promises]
    decided = {one.promise for one in by_labels if one.state in ("kept", "broken")}
    doubted = [each.pledge.text for each in seen.estimates if each.state == "at risk"]
    by_estimate = (PromiseSeen(promise=text, state="at risk", basis="estimate") for text in doubted)
    return (*by_labels, *(one for one in by_estimate if one.promise not in decided))


def drifts_seen(seen: Watched) -> Iterator[DriftSeen]:
    """Say of each column under alarm what it does to the promises, the worst of it.

    Answers follow from columns. Of what changed within a slice only what does harm is for the loop to act on.
    """
    last = next((window for window in reversed(seen.windows) if window.rows), None)
    for drift in () if last is None else last.of_columns[:MOST_HARMS]:
        if drift.column == ANSWERED:
            continue
        mine = [harm for harm in seen.harms if harm.column == drift.column]
        found: Literal["harmful", "harmless", "cannot tell"] = "harmless"
        if any(harm.is_harmful for harm in mine):
            found = "harmful"
        elif not mine or any(harm.worse is None for harm in mine):
            found = "cannot tell"
        yield DriftSeen(column=drift.column, harm=found)
    within = {drift.column for drift in (() if last is None else last.alarms) if drift.whole}
    bad = [harm.column for harm in seen.harms if harm.is_harmful and harm.column in within]
    yield from (DriftSeen(column=name, harm="harmful") for name in dict.fromkeys(bad))


def _end(seen: Watched) -> int:
    """Give the end of the last window that was looked at."""
    return seen.windows[-1].start_us + round(seen.window_days * DAY_US)
