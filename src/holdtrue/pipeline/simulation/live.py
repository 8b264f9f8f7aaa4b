"""Rows become requests, truths become labels, and time goes on: what happens at each moment, in the order of time.

At each moment, first the labels whose time has come are sent, then the loop looks (at the end of each step), then the
rows of that moment are asked for. The clock stands still while something happens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any, Protocol, final, runtime_checkable

import msgspec
import numpy as np
import polars as pl

from holdtrue.core.clock import VirtualClock
from holdtrue.core.errors import HoldtrueError
from holdtrue.data.contract import Contract
from holdtrue.data.parse import parse
from holdtrue.pipeline.progress import Tell
from holdtrue.pipeline.simulation.answers import Answers
from holdtrue.pipeline.simulation.faults import POISONER, Traffic
from holdtrue.pipeline.simulation.rows import NEVER
from holdtrue.pipeline.simulation.server import Server

LATE_US = 120_000_000  # after a window, for who waits a minute before it counts as over
MOST_TURNS = 200  # of the loop at one moment
MOST_LABELS = 5_000  # of one request
DELIVERIES = 24  # of labels, in each step
UNFIT = (413, 422)

_encode = msgspec.json.Encoder().encode


@runtime_checkable
class Turning(Protocol):
    """The loop, as far as a simulation knows it."""

    def turn(self) -> tuple[str, ...]:
        """Do what is to be done now; gives what was done, nothing when nothing is left."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How time goes.

    Attributes:
        step_us: how often the loop looks.
        rows_each: at most so many rows of one moment go in one request.
        outages: when the machine dies, and for how long.
    """

    start_us: int
    step_us: int
    rows_each: int
    outages: Sequence[tuple[int, int]] = ()


@dataclass(kw_only=True, slots=True)
class Happened:
    """What came of it.

    Attributes:
        asked: the ids of the predictions that were acknowledged.
        labelled: the labels that were acknowledged, by prediction and row.
        predictions, refused, unanswered: rows; what the contract turned away, and what met a dead machine.
    """

    answers: Answers
    asked: set[str] = field(default_factory=set[str])
    labelled: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    predictions: int = 0
    refused: int = 0
    unanswered: int = 0


def payload(raw: pl.DataFrame, contract: Contract) -> list[dict[str, Any]]:
    """Write rows as a client would send them: numbers as numbers, and as they stand what is none."""
    columns: dict[str, list[Any]] = {}
    for name in contract.names:
        given = raw.get_column(name)
        cells = (given.cast(pl.String) if given.dtype.is_temporal() else given).to_list()
        if contract.field(name).kind != "date":  # which has its own ways to be written
            typed = parse(contract.only([name]), raw.select(name)).get_column(name).to_list()
            cells = [cell if value is None else value for cell, value in zip(cells, typed, strict=True)]
        columns[name] = [None if cell == "" or (isinstance(cell, float) and isnan(cell)) else cell for cell in cells]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@final
class Live:
    """Lives through the rows after the start."""

    def __init__(
        self,
        server: Server,
        clock: VirtualClock,
        traffic: Traffic,
        rows: Sequence[dict[str, Any]],
        pace: Pace,
        *,
        answers: Answers,
        secret: str,
        new_loop: Callable[[], Turning],
        tell: Tell,
    ) -> None:
        """Take what is asked for (`rows` as a client sends those of `traffic`), and who does it."""
        self._server = server
        self._clock = clock
        self._traffic = traffic
        self._rows = rows
        self._pace = pace
        self._secret = secret
        self._new_loop = new_loop
        self._tell = tell
        self._loop: Turning | None = None
        self._dead_until: int | None = None
        self.happened = Happened(answers=answers)
        count = len(rows)
        self._prediction = [""] * count
        self._place = [0] * count
        self._next = 0
        self._due_us = self._deliveries()
        self._order = np.argsort(self._due_us, kind="stable")
        self._delivered = 0

    def run(self) -> Happened:
        """Let all happen."""
        steps = set(self._steps())
        times = self._traffic.rows.time_us
        self._loop = self._new_loop()
        try:
            for now_us in self._moments(steps):
                self._clock.set(now_us)
                self._die_and_rise(now_us)
                if self._dead_until is None:
                    self._label(now_us)
                    if now_us in steps:
                        self._turn()
                until = int(np.searchsorted(times, now_us, side="right"))
                if until > self._next:
                    self._ask(until)
                    self._tell("live", until, len(times))
        finally:
            self._leave()
        return self.happened

    def _leave(self) -> None:
        if self._loop is not None:
            self._loop.close()

    def _end_us(self) -> int:
        return int(self._traffic.rows.time_us[-1]) + self._pace.step_us

    def _steps(self) -> list[int]:
        """Say when the loop looks: soon after the ends of windows, which are whole multiples of their length."""
        step_us, start_us = self._pace.step_us, self._pace.start_us
        ends = range((start_us // step_us + 1) * step_us, self._end_us() - LATE_US, step_us)
        return [*(end + LATE_US for end in ends), self._end_us()]

    def _deliveries(self) -> "np.ndarray":
        """Say when each label is sent: with the next delivery after its truth is known."""
        known_us = self._traffic.rows.known_us
        span_us = max(self._pace.step_us // DELIVERIES, 1)
        whole = np.where(known_us == NEVER, 0, known_us)
        return np.where(known_us == NEVER, NEVER, -(-whole // span_us) * span_us)

    def _moments(self, steps: set[int]) -> list[int]:
        outages = [at for begin_us, length_us in self._pace.outages for at in (begin_us, begin_us + length_us)]
        found = np.unique(
            np.concatenate([self._traffic.rows.time_us, self._due_us, np.array([*steps, *outages], dtype=np.int64)])
        )
        return found[(found >= self._pace.start_us) & (found <= self._end_us())].tolist()

    def _die_and_rise(self, now_us: int) -> None:
        for begin_us, length_us in self._pace.outages:
            if begin_us == now_us:
                self._server.kill()
                self._loop = None  # it has no time to say goodbye
                self._dead_until = begin_us + length_us
        if self._dead_until is not None and now_us >= self._dead_until:
            self._server.start()
            self._loop = self._new_loop()
            self._dead_until = None

    def _turn(self) -> None:
        loop = self._loop
        assert loop is not None
        for _ in range(MOST_TURNS):
            if not loop.turn():
                return
        raise HoldtrueError(
            f"The loop found something to do {MOST_TURNS} times at one moment.",
            do="Report it: the fault is ours.",
        )

    def _ask(self, until: int) -> None:
        """Ask for the rows up to a place."""
        first, self._next = self._next, until
        if self._dead_until is not None:
            self.happened.unanswered += until - first
            return
        for start in range(first, until, self._pace.rows_each):
            self._request(start, min(start + self._pace.rows_each, until))

    def _request(self, start: int, stop: int) -> None:
        status, told = self._server.post("/predict", _encode(self._rows[start:stop]))
        happened = self.happened
        if status in UNFIT and stop - start > 1:  # a client asks for the good ones again
            for place in range(start, stop):
                self._request(place, place + 1)
            return
        if status in UNFIT:
            happened.refused += 1
            return
        if status != 200:
            raise HoldtrueError(f"The endpoint of the simulation answered {status}: {told}.")
        id, release = told["prediction_id"], told["release"]
        happened.asked.add(id)
        happened.predictions += stop - start
        for row, answer in enumerate(told["predictions"]):
            place = start + row
            self._prediction[place], self._place[place] = id, row
            origin = int(self._traffic.origin[place])
            if origin >= 0:
                happened.answers.put(origin, release, answer)

    def _label(self, now_us: int) -> None:
        """Send the labels whose time has come, of the rows that were answered."""
        due: list[int] = []
        while self._delivered < len(self._order):
            place = int(self._order[self._delivered])
            if self._due_us[place] > now_us or place >= self._next:
                break
            self._delivered += 1
            if self._prediction[place]:
                due.append(place)
        truth, origin = self._traffic.rows.truth, self._traffic.origin
        for start in range(0, len(due), MOST_LABELS):
            part = due[start : start + MOST_LABELS]
            entries = [
                {
                    "prediction_id": self._prediction[place],
                    "row": self._place[place],
                    "value": truth[place],
                    "source": "truth" if origin[place] >= 0 else POISONER,
                }
                for place in part
            ]
            status, told = self._server.post("/labels", _encode(entries), secret=self._secret)
            if status != 200:
                raise HoldtrueError(f"The endpoint of the simulation answered {status} to labels: {told}.")
            self.happened.labelled |= {(self._prediction[place], self._place[place]) for place in part}
