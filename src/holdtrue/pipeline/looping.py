"""The worker of the loop: it looks at what is served, lets the controller decide, and does what was decided.

It follows the protocol of docs/adr/0017: one leader, whose token everybody checks; a decision is written down in one
transaction before anything is done; a deed that was not reported is done again, by the same number. So it may be
killed at any line, and another worker goes on.
"""

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, final

import msgspec

from holdtrue.core.errors import HoldtrueError, Misuse
from holdtrue.loop.actions import Compare, RaiseAlarm, RecordDecision, Train
from holdtrue.loop.controller import step
from holdtrue.loop.events import ChampionMoved, Event, Failed, Ticked
from holdtrue.loop.policy import DAY_US, MINUTE_US, Policy
from holdtrue.loop.state import State
from holdtrue.pipeline.alive import Sign, is_dead, sweep
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.loop_child import Child
from holdtrue.pipeline.loop_deeds import CHAMPION, Doer
from holdtrue.pipeline.loop_looks import Looker, Memory
from holdtrue.pipeline.loop_store import LEASE_US, Fenced, Journaled, LoopStore
from holdtrue.pipeline.progress import Tell
from holdtrue.pipeline.replay import Again
from holdtrue.pipeline.workspace import Workspace
from holdtrue.registry.aliases import alias_history
from holdtrue.registry.moment import moment
from holdtrue.spec.project import Project

WINDOW_DAYS = 30
HEARTBEAT_S = LEASE_US / 4e6
MOST_STEPS = 200  # of one turn, each with a message: a loop that talks to itself for ever is a fault


@final
class Loop:
    """One worker of the loop of a project."""

    def __init__(
        self,
        workspace: Workspace,
        keeper: Keeper,
        *,
        now_us: Callable[[], int],
        tell: Tell,
        environ: Mapping[str, str],
        apart: bool = True,
    ) -> None:
        """Take part in the loop; raises `Misuse` when the project has no champion to begin with.

        What takes long is done in a process of its own (`apart`), so that looking goes on meanwhile; or at once, by the
        clock of this one, in simulations.
        """
        self._workspace = workspace
        self._keeper = keeper
        self._now_us = now_us
        self._tell = tell
        self._environ = environ
        self._policy = policy_of(workspace.project)
        self._store = LoopStore(keeper=keeper)
        self._token: int | None = None
        self._apart = apart
        self._child: Child | None = None
        self._looker = Looker(workspace, keeper, Again(keeper), tell)
        self._store.begin(self._champion()[0], now_us())
        self._workers = keeper.home.path / "workers"
        self._sign = Sign(self._workers)

    def turn(self) -> tuple[str, ...]:
        """Look and decide, or do what was decided before; gives what that was, nothing when there was nothing.

        A worker that does not lead gives nothing. Raises `HoldtrueError` when what it needs cannot be read.
        """
        before, self._token = self._token, self._acquire()
        if self._token not in (None, before):
            sweep(self._workers)  # nobody asks for the leader of before again
        if self._child is not None and self._child.token != self._token:
            self._child.end()  # it would be refused
            self._child = None
        if self._token is None:
            return ()
        try:
            with self._leading():
                return tuple(self._decided() or self._done())
        except Fenced:
            self._token = None
            return ()

    @property
    def leads(self) -> bool:
        """Whether this worker led at its last turn."""
        return self._token is not None

    def close(self) -> None:
        """Let another worker lead at once; what is under way is done again by it."""
        if self._child is not None:
            self._child.end()
            self._child = None
        if self._token is not None:
            with suppress(HoldtrueError, OSError):
                self._store.release(self._token)
            self._token = None
        self._sign.close()

    def _acquire(self) -> int | None:
        """Get or keep the lease; that of a worker which was killed on this machine is taken over at once."""
        return self._store.acquire(self._sign.name, self._now_us(), lambda name: is_dead(self._workers, name))

    def _decided(self) -> list[str]:
        """Take all that is new into the state."""
        state = self._known()
        memory = Memory.read(self._store.memory())
        told = self._moved(state)
        told += self._step(Ticked(at_us=self._now_us()))
        told += self._messages()
        state = self._known()
        seen = self._looker.look(state, memory, self._now_us(), self._policy)
        for event in seen.events:
            told += self._step(event)
        if seen.memory != memory:
            self._store.remember(self._leader, seen.memory.written())
        self._raise_alarms()
        return told

    def _messages(self) -> list[str]:
        told: list[str] = []
        for _ in range(MOST_STEPS):
            message = self._store.next_message()
            if message is None:
                break
            told += self._step(message[1], key=message[0])
        self._raise_alarms()
        return told

    def _step(self, event: Event, *, key: int | None = None) -> list[str]:
        """Let the controller decide, and write that down."""
        before = self._known()
        after, actions = step(before, event, self._policy)
        if key is None and not actions and _is_idle(before, after):
            return []
        if not self._store.commit(self._leader, key, before, after, actions):
            return []
        return [f"{action.what}: {action.why}" for action in actions if isinstance(action, RecordDecision)]

    def _done(self) -> list[str]:
        """Do the deed that is awaited, if there is one, and put the endpoint right after it was started anew."""
        journaled = self._store.open_deed()
        if self._child is not None:
            return self._watched(self._child, journaled)
        doer = Doer(
            workspace=self._workspace,
            keeper=self._keeper,
            environ=self._environ,
            now_us=self._now_us,
            tell=self._tell,
            token=self._leader,
        )
        if journaled is None:
            return self._looker.put_right(self._known(), doer)
        deed = journaled.deed
        if self._apart and isinstance(deed, Train | Compare):
            folder = self._workspace.folder
            self._child = Child(folder, self._leader, self._keeper, deed.id, self._environ)
            return []
        outcome = doer.do(journaled)
        self._store.report(self._leader, outcome)
        return [_ended(journaled, getattr(outcome, "why", ""))]

    def _watched(self, child: Child, journaled: Journaled | None) -> list[str]:
        """See whether the process that does a deed has ended; one whose deed is void is ended."""
        wanted = journaled is not None and journaled.deed.id == child.deed
        if wanted and not child.is_over:
            return []
        self._child = None
        wrong = child.end()
        if journaled is None or not wanted:
            return []  # it told the store itself
        # It ended without an outcome: killed, or something it could not tell.
        why = wrong or "the process that did it ended without an outcome"
        self._store.report(self._leader, Failed(at_us=self._now_us(), action=child.deed, why=why))
        return [_ended(journaled, why)]

    def _moved(self, state: State) -> list[str]:
        """Follow a person who gave the name to another release."""
        digest, by = self._champion()
        deed = None if state.awaited is None else state.awaited.deed
        if digest == state.champion or by == "loop" or getattr(deed, "champion", "") == digest:
            return []
        return self._step(ChampionMoved(at_us=self._now_us(), release=digest, by=by))

    def _champion(self) -> tuple[str, str]:
        """Say which release has the name, and who gave it."""
        history = self._keeper.database().read(
            lambda connection: alias_history(connection, self._keeper.project, CHAMPION)
        )
        if not history:
            raise Misuse("The loop begins with a release that serves, and there is none.", do="Make one: holdtrue run")
        return history[0].digest, history[0].actor

    def _known(self) -> State:
        state = self._store.read()
        assert state is not None, "it has begun"
        return state

    @property
    def _leader(self) -> int:
        if self._token is None:
            raise Fenced("This worker does not lead the loop.")
        return self._token

    def _raise_alarms(self) -> None:
        """Put the alarms of the controller into the book of alarms; they stay written down until they are in it."""
        from holdtrue.pipeline.alarming import note_loop

        waiting: list[RaiseAlarm] = self._store.alarms()
        if waiting:
            now = moment(self._now_us())
            settings = self._workspace.project.watch
            note_loop(self._keeper, waiting, settings, release=self._known().champion, now=now)
            self._store.told(waiting[-1].id)

    @contextmanager
    def _leading(self) -> Generator[None]:
        """Keep the lease while something long is done."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(HEARTBEAT_S):
                with suppress(HoldtrueError, OSError):
                    self._acquire()

        beating = threading.Thread(target=beat, name="lease", daemon=True)
        beating.start()
        try:
            yield
        finally:
            ended.set()
            beating.join()


def _ended(journaled: Journaled, why: str) -> str:
    return f"{journaled.deed.__struct_config__.tag}: {why or 'done'}"


def _is_idle(before: State, after: State) -> bool:
    """Whether nothing happened but a little time: that need not be written down."""
    same = msgspec.structs.replace(after, clock_us=before.clock_us) == before
    return same and after.clock_us - before.clock_us < MINUTE_US


def policy_of(project: Project) -> Policy:
    """Give the policy that a project file asks for."""
    retrain, canary = project.retrain, project.serve.canary
    often = retrain.at_most * WINDOW_DAYS
    # Less than one in thirty days: one in as many days as it takes.
    most, window_days = (int(often), float(WINDOW_DAYS)) if often >= 1 else (1, 1 / retrain.at_most)
    known: dict[str, Any] = {"needed": canary.decide_by, "shares": canary.shares, "dry_run": retrain.dry_run}
    return Policy(
        **known,
        on_broken="broken promise" in retrain.when,
        on_at_risk="promise at risk" in retrain.when,
        on_drift="harmful drift" in retrain.when,
        every_us=None if retrain.every is None else _us(retrain.every),
        after_rows=retrain.after_rows,
        cooldown_us=_us(retrain.cooldown),
        window_us=_us(window_days),
        most_trainings=most,
        cost_cap=retrain.cost.at_most,
        cost_each=retrain.cost.each,
        storm=retrain.storm,
        most_label_issues=retrain.label_issues,
        least_exploration=retrain.exploration,
        feedback=retrain.feedback,
        pause_us=None if retrain.wait is None else _us(retrain.wait),
        approvals=retrain.people if retrain.approve == "manual" else 0,
        alpha=1 - project.confidence,
        shadow_us=_us(canary.shadow),
        least_requests=canary.requests,
        stage_us=_us(canary.stage),
        guard_us=_us(canary.guard),
    )


def _us(days: float) -> int:
    return round(days * DAY_US)
