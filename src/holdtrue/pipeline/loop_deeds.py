"""What the loop asks for is done: releases are trained and compared, the endpoint is routed, the name moves.

A deed says what shall be true, so doing it again is harmless; and it is refused once a newer leader, or a later deed,
stands in the store (`loop_store.check`), in the same transaction that would write it down.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from holdtrue.core.errors import Busy, HoldtrueError
from holdtrue.loop.actions import Compare, Deed, EndCanary, Promote, RollBack, SetShare, StartShadow, Train
from holdtrue.loop.events import Compared, Done, Failed, Outcome, Trained
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.loop_store import Fenced, Journaled, check
from holdtrue.pipeline.progress import Tell
from holdtrue.pipeline.running import NotRunning, ask
from holdtrue.pipeline.workspace import Workspace
from holdtrue.registry.aliases import promote
from holdtrue.registry.ledger import Deed as Entry
from holdtrue.registry.ledger import append
from holdtrue.registry.moment import moment

CHAMPION = "champion"
BUSY_S = 2.0  # between two tries to train while another run holds the store
Withdrawing = EndCanary | RollBack


@dataclass(frozen=True, kw_only=True, slots=True)
class Doer:
    """Does the deeds of a loop, as the leader whose `token` it shows."""

    workspace: Workspace
    keeper: Keeper
    environ: Mapping[str, str]
    now_us: Callable[[], int]
    tell: Tell
    token: int

    def do(self, journaled: Journaled) -> Outcome:
        """Do a deed; what goes wrong is an outcome too. Raises `Fenced` when it is no longer ours to do."""
        deed = journaled.deed
        try:
            match deed:
                case Train():
                    return self._train(deed, journaled.asked_us)
                case Compare():
                    return self._compare(deed, journaled.asked_us)
                case _:
                    self.route(deed)
                    return Done(at_us=self.now_us(), action=deed.id)
        except Fenced:
            raise
        except (HoldtrueError, OSError) as error:
            # The endpoint refuses a deed that is void in its own words: ask the store before this counts as failed.
            self._check(deed)
            why = error.what if isinstance(error, HoldtrueError) else str(error)
            return Failed(at_us=self.now_us(), action=deed.id, why=why)

    def _check(self, deed: Deed) -> None:
        self.keeper.database().read(
            lambda connection: check(connection, self.keeper.project, token=self.token, deed=deed.id)
        )

    def _train(self, deed: Train, asked_us: int) -> Outcome:
        from holdtrue.pipeline.retraining import retrain

        while True:
            try:
                made = retrain(
                    self.workspace,
                    self.keeper,
                    until_us=asked_us,
                    tell=self.tell,
                    environ=self.environ,
                    now=self._now(),
                )
                break
            except Busy:
                # A person's run, or the last breath of a leader that was killed, is no fault of this training.
                self._check(deed)
                time.sleep(BUSY_S)
        cost = made.cpu_s / 3600 * self.workspace.project.retrain.cost.per_cpu_hour
        return Trained(
            at_us=self.now_us(),
            action=deed.id,
            release=made.release,
            verdict=made.verdict,
            promises=made.promises,
            cost=cost,
        )

    def _compare(self, deed: Compare, asked_us: int) -> Outcome:
        from holdtrue.pipeline.comparing import compare

        found = compare(
            self.workspace,
            self.keeper,
            champion=deed.champion,
            challenger=deed.challenger,
            promises=deed.promises,
            alpha=deed.alpha,
            tell=self.tell,
            until_us=asked_us,
        )
        told = Entry(
            action="releases compared", project=self.keeper.project, subject=deed.challenger, detail=found.to_json()
        )

        def written(connection: Any) -> None:
            check(connection, self.keeper.project, token=self.token, deed=deed.id)
            append(connection, [told], actor="loop", now=self._now())

        self.keeper.database().write(written)
        return Compared(at_us=self.now_us(), action=deed.id, findings=dict(found.findings))

    def route(self, deed: Deed) -> None:
        """Let the endpoint answer as a deed says, and the name stand where it says."""
        assert not isinstance(deed, Train | Compare)
        if isinstance(deed, Promote | RollBack):
            self._name(deed)
        weights, shadow = routing(deed)
        try:
            state: Any = ask(self.keeper, "GET", "/status", wait_s=10.0)
        except NotRunning:
            if isinstance(deed, StartShadow | SetShare):
                raise
            return  # nothing answers; what begins to answer next goes by the name
        served = state["models"].get(self.keeper.project)
        if served is None:
            raise HoldtrueError(f"The running endpoint serves no {self.keeper.project}.", do="Start it: holdtrue up")
        change = {
            "model": self.keeper.project,
            "weights": weights,
            "shadow": shadow,
            "sticky": served["sticky"],
            "champion": deed.champion,
            "reason": deed.reason,
            "actor": "loop",
            "token": self.token,
            "deed": deed.id,
        }
        ask(self.keeper, "POST", "/traffic", change)

    def _name(self, deed: Promote | RollBack) -> None:
        """Give the name to the champion, if this deed is still wanted."""
        self.keeper.predictor(deed.champion)  # a release that does not pass every check gets no name
        project = self.keeper.project

        def named(connection: Any) -> bool:
            check(connection, project, token=self.token, deed=deed.id)
            return promote(
                connection, project, deed.champion, CHAMPION, actor="loop", reason=deed.reason, now=self._now()
            )

        if self.keeper.database().write(named):
            self.keeper.seal()

    def _now(self) -> datetime:
        return moment(self.now_us())


def routing(deed: Deed) -> tuple[dict[str, float], list[str]]:
    """Give the weights of releases and the shadows that a deed asks for.

    >>> routing(SetShare(champion="a", challenger="b", share=0.25))
    ({'a': 0.75, 'b': 0.25}, [])
    """
    match deed:
        case SetShare():
            return {deed.champion: 1 - deed.share, deed.challenger: deed.share}, []
        case StartShadow():
            return {deed.champion: 1.0}, [deed.challenger]
        case Promote() | RollBack() | EndCanary():
            return {deed.champion: 1.0}, []
        case Train() | Compare():
            raise TypeError("nothing is routed by a training or a comparison")
