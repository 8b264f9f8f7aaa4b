"""Lanes of an event loop with a model that says what it was asked: no graph, no sockets, but the real journal."""

import asyncio
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from holdtrue.data.traffic.journal import Journal
from holdtrue.data.traffic.receipt import Ids
from holdtrue.serving.ask import About, Answer, Ask, Problem
from holdtrue.serving.lane import Job, Lane
from holdtrue.serving.metrics import Metrics
from holdtrue.serving.model import Model
from holdtrue.serving.reader import Typed
from holdtrue.serving.scribe import Recording, Scribe

BAD = -1.0  # a row that no graph can answer


class Twice(Model):
    """Answers each number with its double, after a while; `runs` are the rows that went together."""

    def __init__(self, *, row_s: float = 1e-6, takes_s: float = 0.0, digest: str = "d" * 64) -> None:
        self.row_s = row_s
        self.takes_s = takes_s
        self.runs: list[list[float]] = []
        self.about = About(
            name="twice", version=digest[:12], digest=digest, classes=(), columns={}, order=(), textual=frozenset(),
            outputs=(),
        )  # fmt: skip

    def run(self, batch: Sequence[Typed]) -> dict[str, np.ndarray]:
        values = [float(value) for typed in batch for value in np.ravel(typed.numbers)]
        self.runs.append(values)
        if self.takes_s:
            time.sleep(self.takes_s)  # as a graph does, which holds no lock of Python meanwhile
        if BAD in values:
            raise ValueError("a row that cannot be")
        # As graphs do, it rounds otherwise when other rows are there.
        return {"double": np.array([[2 * value + 1e-12 * (len(values) > 1)] for value in values])}


@dataclass(kw_only=True)
class Asked:
    """A request, and what came back."""

    value: float
    job: Job
    answers: list[Answer | Problem] = field(default_factory=list[Answer | Problem])
    at_s: float = 0.0
    left: bool = False

    @property
    def answer(self) -> Answer:
        (found,) = self.answers
        assert isinstance(found, Answer)
        return found

    @property
    def problem(self) -> Problem:
        (found,) = self.answers
        assert isinstance(found, Problem)
        return found


def asked(value: float, *, rows: int = 1, deadline_s: float = 60.0, body: bytes = b"{}") -> Asked:
    """Make a request for the same number so many times."""
    numbers: Any = [value] if rows == 1 else np.full((1, rows), value)

    def done(answer: Answer | Problem) -> None:
        made.answers.append(answer)
        made.at_s = time.monotonic()

    job = Job(
        ask=Ask(rows=rows, columns={}),
        typed=Typed(rows=rows, numbers=numbers, texts=[]),
        done=done,
        gone=lambda: made.left,
        wire="rows",
        body=body,
        deadline_s=time.monotonic() + deadline_s,
    )
    made = Asked(value=value, job=job)
    return made


@dataclass(frozen=True, kw_only=True, slots=True)
class Hall:
    """Where lanes are made."""

    folder: Path
    scribe: Scribe
    metrics: Metrics

    def lane(self, model: Twice, **settings: Any) -> Lane:
        return Lane(model, self.scribe, self.metrics, asyncio.get_running_loop(), **settings)

    def counted(self, name: str) -> float:
        return sum(
            value for each, _, value in self.metrics.snapshot() if each == name and isinstance(value, float | int)
        )


@contextmanager
def hall(folder: Path) -> Generator[Hall]:
    """Open a journal; to be used within a running loop."""
    journal = Journal(folder, endpoint="twice", stream=7, now=_now_us)
    soon: Callable[..., object] = asyncio.get_running_loop().call_soon_threadsafe
    try:
        yield Hall(
            folder=folder,
            scribe=Scribe(journal, Ids(7), Recording(), wall_us=_now_us, soon=soon),
            metrics=Metrics(),
        )
    finally:
        journal.close()


async def all_answered(*requests: Asked, within_s: float = 10.0) -> None:
    end = time.monotonic() + within_s
    while not all(each.answers for each in requests):
        assert time.monotonic() < end, "no answer came"
        await asyncio.sleep(0.001)


def _now_us() -> int:
    return time.time_ns() // 1000
