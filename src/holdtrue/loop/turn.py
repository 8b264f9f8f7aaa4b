"""One step as it is made: the state so far, and what was decided and asked for on the way."""

from dataclasses import dataclass, replace

from msgspec import structs

from holdtrue.loop.actions import Action, Deed, RaiseAlarm, RecordDecision
from holdtrue.loop.events import Event
from holdtrue.loop.policy import Policy
from holdtrue.loop.state import Awaited, Pause, Phase, State

MOST_CAUSES = 32
STORM = "Find out why before more is spent; holdtrue loop resume starts the count again."


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """A state, and the actions that led to it; every method gives the turn that follows."""

    state: State
    event: Event
    policy: Policy
    actions: tuple[Action, ...] = ()

    def to(self, **changes: object) -> "Turn":
        """Change fields of the state."""
        return replace(self, state=structs.replace(self.state, **changes))

    def enter(self, phase: Phase) -> "Turn":
        return self.to(phase=phase, since_us=self.state.clock_us, held=(), told=())

    def decide(self, what: str, why: str) -> "Turn":
        """Record a decision; it becomes the last of the causes of what follows."""
        state = self.state
        kind = str(self.event.__struct_config__.tag)
        made = RecordDecision(
            id=state.next_id, at_us=state.clock_us, what=what, why=why, event=kind, causes=state.chain
        )
        # What began it all stays; of a walk that was paused and resumed many times the middle is left to the ledger.
        chain = (*state.chain[:1], *state.chain[1:][2 - MOST_CAUSES :], made.id)
        after = self.to(next_id=made.id + 1, chain=chain)
        return replace(after, actions=(*self.actions, made))

    def alarm(self, what: str, do: str) -> "Turn":
        made = RaiseAlarm(id=self.state.next_id, at_us=self.state.clock_us, what=what, do=do)
        return replace(self.to(next_id=made.id + 1), actions=(*self.actions, made))

    def tell_once(self, key: str, what: str, do: str) -> "Turn":
        """Raise an alarm that was not raised yet in this phase."""
        if key in self.state.told:
            return self
        return self.alarm(what, do).to(told=(*self.state.told, key))

    def ask(self, deed: Deed, *, tries: int = 1) -> "Turn":
        """Ask for what was just decided. A deed that was awaited before is void from now on."""
        state = self.state
        assert state.chain, "a deed is decided before it is asked for"
        asked = structs.replace(deed, id=state.next_id, decision=state.chain[-1])
        awaited = Awaited(deed=asked, asked_us=self.event.at_us, tries=tries)
        return replace(self.to(next_id=asked.id + 1, awaited=awaited), actions=(*self.actions, asked))

    def pause(self, why: str, do: str, *, back: Phase) -> "Turn":
        """Wait for a person, whatever happens but harm."""
        after = self.decide("pause", why).enter("paused").to(pause=Pause(why=why, do=do, back=back), awaited=None)
        return after.alarm(f"{why[:1].upper()}{why[1:]}.", do)

    def drop(self, why: str) -> "Turn":
        """Give up the challenger, or a training that gave none; too many in a row pause the loop."""
        useless = self.state.useless + 1
        after = self.decide("drop the challenger", why).rest().to(useless=useless)
        if useless < self.policy.storm:
            return after.to(chain=())
        count = f"{useless} trainings in a row gave no lasting champion; the last: {why}"
        return after.pause(count, STORM, back="watching")

    def rest(self) -> "Turn":
        """Watch again, with nothing under way. The last look was about what is past."""
        nothing = {"challenger": None, "awaited": None, "pause": None, "look": None, "before": "", "asked_by": ""}
        return self.enter("watching").to(**nothing)
