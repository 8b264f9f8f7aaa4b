"""A day in which everything happens: trainings good and bad, crashes, lost leases, odd clocks, persons and silence.

Everything follows from the seed. The times of the policy are those of days, made short, so that a day holds many walks.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Literal

from holdtrue.loop.actions import Compare, Deed, Train
from holdtrue.loop.controller import step as right_step
from holdtrue.loop.events import (
    Approved,
    CanaryLooked,
    Compared,
    Done,
    DriftSeen,
    Event,
    Failed,
    Found,
    LabelSource,
    Looked,
    Outcome,
    PromiseSeen,
    PromiseState,
    Refused,
    Requested,
    Resumed,
    Sign,
    Signal,
    Stopped,
    Ticked,
    Trained,
)
from holdtrue.loop.policy import DAY_US, HOUR_US, MINUTE_US, Policy
from holdtrue.loop.state import State
from tests.loop.oracle import Broken, Oracle
from tests.loop.simulation import SECOND_US, Endpoint, Fenced, Flaws, Step, Store, TooLate, Worker

CALM_US = 4 * HOUR_US
PROMISES = ("recall", "brier")
FACTS: list[Signal] = ["errors", "latency", "labels"]
Verdict = Literal["proven", "unproven", "refuted"]


def short(chance: random.Random) -> Policy:
    """Make a policy of minutes in the place of days."""
    return Policy(
        on_at_risk=chance.random() < 0.3,
        every_us=3 * HOUR_US,
        after_rows=chance.choice([None, 5_000]),
        cooldown_us=30 * MINUTE_US,
        window_us=6 * HOUR_US,
        most_trainings=5,
        cost_cap=12.0,
        cost_each=chance.choice([None, 3.0, 3.0]),
        storm=3,
        feedback=chance.choice(["warn", "hold"]),
        approvals=chance.choice([0, 0, 1, 2]),
        approval_us=3 * HOUR_US,
        shadow_us=10 * MINUTE_US,
        stage_us=50 * MINUTE_US,
        guard_us=25 * MINUTE_US,
        pause_us=chance.choice([None, 2 * HOUR_US]),
        work_patience_us=45 * MINUTE_US,
        clock_back_us=20 * MINUTE_US,
        dry_run=chance.random() < 0.02,
    )


@dataclass
class Machine:
    """Where a worker lives, with a clock of its own."""

    name: str
    ahead_us: int = 0
    lives: int = 0
    stalled_us: int = 0
    worker: Worker | None = None
    processes: list["Process"] = field(default_factory=list["Process"])


@dataclass
class Process:
    steps: Iterator[int]
    machine: Machine | None = None
    ended: bool = False


@dataclass
class World:
    """All that is around the controller; `run` lets a day pass."""

    seed: int
    step: Step = right_step
    flaws: Flaws = field(default_factory=Flaws)
    hours: float = 24.0
    now_us: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.policy = short(self.chance)
        self.oracle = Oracle(policy=self.policy)
        self.endpoint = Endpoint(champion="first", oracle=self.oracle, flaws=self.flaws)
        self.oracle.endpoint = self.endpoint
        self.store = Store(champion="first", oracle=self.oracle, flaws=self.flaws)
        self.machines = [Machine(name=name) for name in "ab"]
        self.seen: Counter[str] = Counter()
        self.breaks_us: dict[str, int] = {}
        self.down_us = 0
        self.made: list[str] = []
        self.ends_us = int(self.hours * HOUR_US)
        self._heap: list[tuple[int, int, Process]] = []
        self._order = count()

    # The passing of time

    @property
    def calm(self) -> bool:
        """The last hours are without faults, so that what hangs then hangs for ever."""
        return self.now_us > self.ends_us - CALM_US

    def note(self, what: str) -> None:
        self.seen[what] += 1

    def run(self) -> Counter[str]:
        for machine in self.machines:
            self._start(machine, 0)
        for process in (self._ticks(), self._watcher(), self._canary_watcher(), self._persons(), *self._disasters()):
            self._spawn(process, 0)
        while self._heap:
            at_us, _, process = heappop(self._heap)
            if at_us > self.ends_us:
                break
            self.now_us = self.oracle.now_us = max(self.now_us, at_us)
            self._advance(process)
        self.oracle.finish(self.store.read())
        return self.oracle.counts + self.seen

    def _spawn(self, steps: Iterator[int], at_us: int, machine: Machine | None = None) -> Process:
        process = Process(steps=steps, machine=machine)
        heappush(self._heap, (at_us, next(self._order), process))
        return process

    def _advance(self, process: Process) -> None:
        machine = process.machine
        if process.ended:
            return None
        if machine is not None and machine.stalled_us > self.now_us:
            heappush(self._heap, (machine.stalled_us, next(self._order), process))
            return None
        wait_us = next(process.steps)
        if machine is not None and not self.calm:
            # Most waits are idle: faults shall come where they hurt, between two lines.
            fault = self.chance.random() / (1.0 if wait_us < SECOND_US else 0.05)
            if fault < 0.006:
                return self._crash(machine)
            if fault < 0.012:
                self.note("stalls")
                machine.stalled_us = self.now_us + self.chance.randint(1, 8) * MINUTE_US
        heappush(self._heap, (self.now_us + wait_us, next(self._order), process))
        return None

    def _start(self, machine: Machine, at_us: int) -> None:
        machine.lives += 1
        worker = Worker(name=f"{machine.name}{machine.lives}", around=self, step=self.step, flaws=self.flaws)
        machine.worker = worker
        machine.processes = [self._spawn(one, at_us, machine) for one in (worker.deciding(), worker.doing())]

    def _crash(self, machine: Machine) -> None:
        self.note("crashes")
        for process in machine.processes:
            process.ended = True
        self._start(machine, self.now_us + self.chance.choice([5, 60, 600]) * SECOND_US)

    def _clocks(self) -> Iterator[int]:
        """Some days have clocks that jump, and most of them are set right again."""
        while self.seed % 3 == 0:
            yield self.chance.randint(1, 6) * HOUR_US
            machine = self.chance.choice(self.machines)
            if self.calm:
                machine.ahead_us = 0
            elif machine.ahead_us and self.chance.random() < 0.8:
                machine.ahead_us = 0
                self.note("clock jumps")
            else:
                machine.ahead_us += self.chance.choice([HOUR_US, -HOUR_US, DAY_US, -DAY_US])
                self.note("clock jumps")
        yield 1000 * DAY_US

    def _disasters(self) -> tuple[Iterator[int], ...]:
        return self._clocks(), self._power_cuts(), self._restarts()

    def _power_cuts(self) -> Iterator[int]:
        """Both workers die at once."""
        while True:
            yield self.chance.randint(4, 16) * HOUR_US
            if not self.calm:
                self.note("power cuts")
                for machine in self.machines:
                    self._crash(machine)

    def _restarts(self) -> Iterator[int]:
        """The server restarts: for some minutes no deed is done there."""
        while True:
            yield self.chance.randint(2, 10) * HOUR_US
            if not self.calm:
                self.note("restarts of the server")
                self.down_us = self.now_us + self.chance.randint(1, 10) * MINUTE_US

    # What is sent

    def _stamp(self) -> int:
        return self.now_us + self.chance.choice(self.machines).ahead_us

    def _post(self, event: Event) -> None:
        """Send a message: at once, late, or twice."""
        chance, late_us = self.chance, 0
        if not self.calm:
            late_us = chance.randint(0, 20) * SECOND_US
            if chance.random() < 0.04:
                self.note("late messages")
                late_us += chance.randint(5, 90) * MINUTE_US
            if chance.random() < 0.04:
                self.note("doubled messages")
                self.store.put(event, self.now_us + chance.randint(0, 120) * MINUTE_US)
        self.store.put(event, self.now_us + late_us)

    def send(self, outcome: Outcome) -> None:
        if not self.calm and self.chance.random() < 0.03:
            self.note("lost outcomes")
        else:
            self._post(outcome)

    def _ticks(self) -> Iterator[int]:
        while True:
            yield 5 * MINUTE_US
            self.store.put(Ticked(at_us=self._stamp()), self.now_us)

    # What deeds do

    def work(self, deed: Deed) -> Iterator[int]:
        minutes = {"train": 12, "compare": 4}.get(str(deed.__struct_config__.tag), 0)
        for _ in range(minutes // 4):
            yield 4 * MINUTE_US
        yield SECOND_US // 2

    def outcome(self, deed: Deed, token: int) -> Outcome:
        """Do a deed; what it brings to light hangs on its number alone, so that doing it again shows the same."""
        at_us, how = self._stamp(), ""
        if not self.calm and self.chance.random() < 0.05:
            how = self.chance.choice(["before", "after", "on the way"])
            self.note(f"deeds that broke {how}")
        lasting = isinstance(deed, Train | Compare)
        if self.now_us < self.down_us and not lasting:
            return Failed(at_us=at_us, action=deed.id, why="the server is down")
        if how == "before" or (how == "on the way" and lasting):
            self.endpoint.check(deed, token)
            return Failed(at_us=at_us, action=deed.id, why="it broke before", cost=0.1)
        made = self._made(deed, at_us)
        if how == "on the way":
            self._spawn(self._arrives(deed, token, made), self.now_us + self.chance.randint(1, 600) * SECOND_US)
            return Failed(at_us=at_us, action=deed.id, why="no answer in time")
        made = self.endpoint.apply(deed, token, made)
        if how == "after" and not lasting:
            return Failed(at_us=at_us, action=deed.id, why="it broke after")
        return made

    def _arrives(self, deed: Deed, token: int, made: Outcome) -> Iterator[int]:
        """A request that its sender gave up comes to the endpoint all the same."""
        try:
            self.endpoint.apply(deed, token, made)
        except (Fenced, TooLate) as refused:
            self.note(f"late requests refused: {type(refused).__name__}")
        yield 1000 * DAY_US

    def _made(self, deed: Deed, at_us: int) -> Outcome:
        chance = random.Random(f"{self.seed}/{deed.id}")
        if isinstance(deed, Train):
            return self._trained(deed, chance, at_us)
        if isinstance(deed, Compare):
            found: dict[str, Found] = {name: self._finding(deed.challenger, chance) for name in PROMISES}
            return Compared(at_us=at_us, action=deed.id, findings=found)
        return Done(at_us=at_us, action=deed.id)

    def _trained(self, deed: Train, chance: random.Random, at_us: int) -> Trained:
        quality = chance.choices(["good", "bad", "murky"], [0.68, 0.2, 0.12])[0]
        verdicts: list[Verdict] = ["proven", "unproven", "refuted"]
        verdict = chance.choices(verdicts, [0.86, 0.08, 0.06])[0]
        release = f"{quality} {deed.id}"
        if chance.random() < 0.05:  # the same rows make the same release
            release = chance.choice([self.endpoint.champion, *self.made[-3:]])
        self.made.append(release)
        cost = round(chance.uniform(0.5, 3.0), 2)
        if deed.budget is not None:
            cost = min(cost, deed.budget)
        return Trained(
            at_us=at_us, action=deed.id, release=release, verdict=verdict, promises=PROMISES, cost=cost
        )  # fmt: skip

    def _finding(self, release: str, chance: random.Random) -> Found:
        quality = release.split(maxsplit=1)[0]
        odds = {"good": [0.96, 0.01, 0.03], "bad": [0.85, 0.1, 0.05]}.get(quality, [0.85, 0.05, 0.1])
        findings: list[Found] = ["not worse", "worse", "inconclusive"]
        return chance.choices(findings, odds)[0]

    # What watchers see

    def _watcher(self) -> Iterator[int]:
        chance = self.chance
        while True:
            yield 12 * MINUTE_US
            release = self.endpoint.champion
            ages_us = {"good": 5 * HOUR_US, "bad": 20 * MINUTE_US}.get(release.split()[0], 2 * HOUR_US)
            if release not in self.breaks_us:
                self.breaks_us[release] = self.now_us + int(chance.expovariate(1 / ages_us))
            state: PromiseState = "kept" if self.now_us < self.breaks_us[release] else "broken"
            if chance.random() < 0.1:
                state = chance.choice(["at risk", "open", "no data", "cannot tell"])
            promises = (
                PromiseSeen(promise="recall", state=state, basis="labels" if chance.random() < 0.8 else "estimate"),
                PromiseSeen(promise="brier", state="broken" if chance.random() < 0.05 else "kept", basis="estimate"),
            )
            drifts = (DriftSeen(column="age", harm=chance.choice(["harmful", "harmless", "cannot tell"])),)
            look = Looked(
                at_us=self._stamp(),
                release=release,
                promises=promises,
                drifts=drifts if chance.random() < 0.05 else (),
                new_rows=chance.randint(0, 6_000),
                sources=(LabelSource(name="shop", issue_rate=0.3 if chance.random() < 0.1 else 0.02),),
                steered=chance.random() < 0.1,
                exploration=chance.choice([0.0, 0.05]),
            )
            self._post(look)

    def _canary_watcher(self) -> Iterator[int]:
        """Look at a canary, at a shadow, and for some time at what was a canary."""
        last = ""
        while True:
            yield 3 * MINUTE_US
            endpoint = self.endpoint
            last = endpoint.canary or endpoint.shadow or last
            if not last or (last == endpoint.champion and self.chance.random() < 0.7):
                continue
            share = endpoint.share if last == endpoint.canary else float(last == endpoint.champion)
            signals = self._signals(last.split()[0])
            requests = self.chance.choice([100, 2_000, 2_000])
            self._post(CanaryLooked(at_us=self._stamp(), release=last, share=share, signals=signals, requests=requests))

    def _signals(self, quality: str) -> dict[Signal, Sign]:
        draw = self.chance.random()
        signals: dict[Signal, Sign] = dict.fromkeys(("errors", "latency", "scores"), "undecided")
        if quality == "murky":
            signals["errors"] = "not worse"
        elif draw < 0.5:
            signals = dict.fromkeys(("errors", "latency", "scores"), "not worse")
        if draw > {"bad": 0.9, "murky": 0.98}.get(quality, 1.0):
            signals[self.chance.choice(FACTS)] = "worse"
        if draw > 0.995:
            signals["scores"] = "worse"
        return signals

    # What persons do

    def _persons(self) -> Iterator[int]:
        """They answer what the loop asks, after a while, and sometimes ask for something themselves."""
        chance = self.chance
        while True:
            yield chance.randint(5, 25) * MINUTE_US
            state = self.store.read()
            words = [*self._answers(state), *self._wishes(state)]
            for word in words:
                self._post(word)

    def _answers(self, state: State) -> Iterator[Event]:
        at_us, chance = self._stamp(), self.chance
        if state.behind:
            yield Resumed(at_us=at_us, by="Ada", trust_clock=True, go_on=True)
        elif state.phase == "paused" and (self.calm or chance.random() < 0.7):
            yield Resumed(at_us=at_us, by="Ada", go_on=not self.calm and chance.random() < 0.4)
        if state.phase == "waiting for approval" and state.challenger is not None:
            release = state.challenger.release
            if chance.random() < 0.1:
                yield Refused(at_us=at_us, by="Bob", release=release)
            elif chance.random() < 0.7:
                yield Approved(at_us=at_us, by=chance.choice(["Ada", "Bob", "Eve"]), release=release)

    def _wishes(self, state: State) -> Iterator[Event]:
        chance = self.chance
        if chance.random() < 0.08:
            yield Requested(at_us=self._stamp(), by="Bob", force=chance.random() < 0.2)
        if chance.random() < (0.0 if self.calm else 0.02):
            yield Stopped(at_us=self._stamp(), by="Eve", why=f"it was {state.phase}")


def live(seed: int, *, step: Step = right_step, flaws: Flaws | None = None, hours: float = 24.0) -> Counter[str]:
    """Let a day pass; raises `Broken`, which names the seed, when a rule of the loop is broken."""
    world = World(seed=seed, step=step, flaws=flaws or Flaws(), hours=hours)
    try:
        return world.run()
    except Broken as broken:
        raise Broken(f"seed {seed}, {world.now_us / HOUR_US:.2f} hours: {broken}") from broken
