"""The requests of one tick of the event loop make one batch: nobody waits for a clock, and a full graph costs little.

A model that takes long gets a thread of its own. Its requests gather while the thread is busy, so the slower the model
the larger its batches, and light models beside it never wait.
"""

import logging
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias, final

from holdtrue.data.traffic.receipt import Receipt
from holdtrue.serving.ask import Answer, Ask, Problem
from holdtrue.serving.cache import Cache, key_of
from holdtrue.serving.metrics import Cause, Metrics
from holdtrue.serving.model import Model
from holdtrue.serving.reader import Typed, Unfit
from holdtrue.serving.scribe import Scribe
from holdtrue.serving.wire.tensors import Part, write_raw

if TYPE_CHECKING:
    import numpy as np

    from holdtrue.serving.shared_cache import SharedCache

SLOW_S = 100e-6  # a model slower than this for one row gets a thread: a switch of threads costs about a third of it
TURN_S = 1e-3  # that a fast model has the loop at once
MOST_SLOWER = 8.0  # than it seemed, that one batch can make a model look
MOST_ROWS = 4_096  # of one batch; what a single request brings beyond it goes alone
MOST_BYTES = 64 << 20  # of requests that wait for one release, or go through it
LOG = logging.getLogger("holdtrue.serving")


@dataclass(kw_only=True, slots=True)
class Job:
    """One request on its way through a model.

    Attributes:
        done: takes the answer, or why there is none; called once.
        gone: says whether the client has left.
        subject: whose data it is, as receipts name the person; nothing for nobody's.
        key: the bytes of its only row, when its answer may be kept.
        alone: it goes through the graph without others, so that its answer can be kept.
    """

    ask: Ask
    typed: Typed
    done: Callable[[Answer | Problem], None]
    gone: Callable[[], bool]
    wire: str
    body: bytes
    deadline_s: float
    route: str = "champion"
    weight: float = 1.0
    trace: str = ""
    caller: str = ""
    request_id: str = ""
    subject: str = ""
    key: bytes = b""
    alone: bool = False


Arrays: TypeAlias = "dict[str, np.ndarray]"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    """What the graph made of some requests together, or why it made nothing."""

    batch: list[Job]
    made: "Arrays | Exception"


@final
class Lane:
    """All that goes through one release in one worker."""

    def __init__(
        self,
        model: Model,
        scribe: Scribe,
        metrics: Metrics,
        loop: AbstractEventLoop,
        *,
        most_wait_s: float = 1.0,
        most_bytes: int = MOST_BYTES,
        most_rows: int = MOST_ROWS,
        cache_rows: int = 0,
        shared: "SharedCache | None" = None,
    ) -> None:
        """Take the model; `cache_rows` of its answers to single rows are kept and given again, `shared` with others.

        With `most_rows=1` every request goes through the graph alone.
        """
        self.model = model
        self.closed = False
        self._scribe = scribe
        self._metrics = metrics
        self._loop = loop
        self._most_wait_s = most_wait_s
        self._most_bytes = most_bytes
        self._most_rows = most_rows
        self._cache = Cache(cache_rows) if cache_rows else None
        self._shared = shared
        self._asking = 0  # requests that wait for what the shared cache says
        self._known: list[tuple[Job, Arrays]] = []  # answered by the cache in this tick
        self._waiting: deque[Job] = deque()
        self._rows = 0
        self._bytes = 0  # of all that wait or are in the thread
        self._scheduled = False
        self._running = 0  # rows in the thread
        self._row_s = model.row_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model") if model.row_s > SLOW_S else None

    @property
    def idle(self) -> bool:
        return not (self._waiting or self._running or self._known or self._asking)

    @property
    def wait_s(self) -> float:
        """How long a request that came now would wait, by what rows took lately."""
        return (self._rows + self._running) * self._row_s

    def read(self, ask: Ask, route: str, numbers: "np.ndarray | None") -> Typed:
        """Read the rows of a request, by the contract of this release; raises `Unfit`."""
        try:
            return self.model.reader.read(ask.columns, ask.rows, numbers)
        except Unfit:
            self._lose("contract", route)
            raise

    def _lose(self, cause: Cause, route: str) -> None:
        self._metrics.lose(self.model.about.name, self.model.about.version, route, cause)

    def submit(self, job: Job) -> None:
        """Put a request into the next batch; raises `Problem` when it would wait too long, or take too much room."""
        if self._cache is not None and job.typed.rows == 1 and self._is_known(self._cache, job):
            return
        self._check_room(len(job.body), job.route)
        self._bytes += len(job.body)
        if self._shared is not None and job.key:
            self._asking += 1
            self._shared.find(self.model.about.digest, job.key, partial(self._heard, job))
        else:
            self._join(job)

    def _join(self, job: Job) -> None:
        """Let a request wait for the next batch."""
        if job.key:
            self._count("holdtrue_cache_misses_total")
        self._waiting.append(job)
        self._rows += job.typed.rows
        if not self._running:
            self._schedule()

    def _heard(self, job: Job, found: "Arrays | None") -> None:
        """Take what the shared cache says of a row."""
        self._asking -= 1
        if found is None or self._cache is None:
            self._join(job)
            return
        self._bytes -= len(job.body)
        self._cache.keep(job.key, found)
        self._know(job, found)

    def _know(self, job: Job, found: "Arrays") -> None:
        """Answer a row with what it got before, at the end of this tick."""
        self._count("holdtrue_cache_hits_total")
        if not self._known:
            self._loop.call_soon(self._give_known)
        self._known.append((job, found))

    def _count(self, name: str) -> None:
        self._metrics.count(name, (self.model.about.name, self.model.about.version))

    def check_early(self, route: str) -> None:
        """Raise `Problem` when a request has no chance, before its body is read: who is refused is to cost little."""
        if self._cache is None:
            self._check_room(0, route)

    def _check_room(self, size: int, route: str) -> None:
        wait_s = self.wait_s
        if wait_s > self._most_wait_s or (self._bytes and self._bytes + size > self._most_bytes):
            self._lose("overloaded", route)
            raise Problem(503, "overloaded", "too many requests wait for this model", retry_after_s=wait_s)

    def _is_known(self, cache: Cache, job: Job) -> bool:
        """Say whether the cache of this worker answers a row."""
        job.key = key_of(job.typed)
        job.alone, found = cache.find(job.key)
        if found is not None:
            self._know(job, found)
        return found is not None

    def _give_known(self) -> None:
        known, self._known = self._known, []
        self._record([_Run(batch=[job], made=arrays) for job, arrays in known if not job.gone()])

    def close(self) -> None:
        """Let the thread go, once nothing waits."""
        self.closed = True
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    def _schedule(self) -> None:
        if self._waiting and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        if self._thread is None:
            self._run_here()
        elif batch := self._take():
            self._running = _rows(batch)
            self._thread.submit(self._away, batch, self._running)
        if not self._running:
            self._schedule()

    def _run_here(self) -> None:
        """Run what waits: in one batch, or in several that are written down together, until others want the loop."""
        done: list[Job] = []
        runs: list[_Run] = []
        took_s = 0.0
        while took_s < TURN_S and (batch := self._take()):
            made, more_s = self._work(batch)
            took_s += more_s
            done += batch
            runs += made
        if done:
            self._came(done, _rows(done), runs, took_s)

    def _take(self) -> list[Job]:
        """Take the requests of the next batch; those that came too late, or whose client left, cost nothing more."""
        batch: list[Job] = []
        rows = 0
        waiting, now_s = self._waiting, monotonic()
        while waiting and (not batch or self._joins(batch, rows, waiting[0])):
            job = waiting.popleft()
            self._rows -= job.typed.rows
            if job.gone():
                self._metrics.count("holdtrue_requests_cancelled_total", ())
                self._lose("left", job.route)
                self._bytes -= len(job.body)
            elif job.deadline_s < now_s:
                self._bytes -= len(job.body)
                self._lose("late", job.route)
                self._finish(job, Problem(504, "too late", "the deadline of the request passed while it waited"))
            else:
                batch.append(job)
                rows += job.typed.rows
        return batch

    def _joins(self, batch: list[Job], rows: int, job: Job) -> bool:
        """Say whether a request may go with those before it."""
        return not job.alone and not batch[-1].alone and rows + job.typed.rows <= self._most_rows

    def _work(self, batch: list[Job]) -> tuple[list[_Run], float]:
        """Run a batch; when the graph cannot answer it, each request alone: one must not spoil the others' answers."""
        before = monotonic()
        try:
            runs = [_Run(batch=batch, made=self.model.run([job.typed for job in batch]))]
        except Exception as error:
            runs = [run for job in batch for run in self._work([job])[0]] if len(batch) > 1 else []
            runs = runs or [_Run(batch=batch, made=error)]
        return runs, monotonic() - before

    def _away(self, batch: list[Job], rows: int) -> None:
        """Run in the thread."""
        runs, took_s = self._work(batch)
        self._loop.call_soon_threadsafe(self._came, batch, rows, runs, took_s)

    def _came(self, batch: list[Job], rows: int, runs: list[_Run], took_s: float) -> None:
        self._running = 0
        self._bytes -= sum([len(job.body) for job in batch])
        # A machine that stood still for a moment must not have everybody turned away for the next ones.
        self._row_s += 0.1 * (min(took_s / rows, MOST_SLOWER * self._row_s) - self._row_s)
        self._schedule()
        answered: list[_Run] = []
        for run in runs:
            if isinstance(run.made, Exception):
                LOG.warning("the graph of %s failed: %s", self.model.about.version, run.made)
                self._lose("graph", run.batch[0].route)
                self._finish(run.batch[0], Problem(422, "unanswerable", "the model cannot answer these rows"))
            else:
                answered.append(run)
                self._metrics.observe("holdtrue_batch_rows", (self.model.about.name,), _rows(run.batch))
                if self._cache is not None and len(run.batch) == 1 and run.batch[0].key:
                    self._cache.keep(run.batch[0].key, run.made)
                    if self._shared is not None:
                        self._shared.keep(self.model.about.digest, run.batch[0].key, run.made)
        self._record(answered)

    def _record(self, runs: "list[_Run]") -> None:
        """Write the receipts of runs of the graph, and send their answers when they are kept."""
        answers: list[tuple[Job, Answer]] = []
        receipts: list[Receipt] = []
        now_us = self._scribe.wall_us()
        for run in runs:
            assert not isinstance(run.made, Exception)
            self._write(run.batch, run.made, now_us, answers, receipts)

        def send(kept: bool) -> None:
            for job, answer in answers:
                self._finish(job, answer if kept else _unrecorded())

        if receipts:
            self._scribe.record(receipts, send)
        else:
            send(True)

    def _write(
        self,
        batch: list[Job],
        arrays: "Arrays",
        now_us: int,
        answers: list[tuple[Job, Answer]],
        receipts: list[Receipt],
    ) -> None:
        """Write down the answers of one run of the graph."""
        scribe, about = self._scribe, self.model.about
        number = scribe.next_batch()
        parts = {name: Part(array) for name, array in arrays.items()} if scribe.keeps else {}
        lists: dict[str, list[list[Any]]] = {}
        start = 0
        for job in batch:
            stop = start + job.typed.rows
            prediction = scribe.next_id(now_us)
            if scribe.keeps:
                receipts.append(
                    Receipt(
                        id=prediction,
                        time_us=now_us,
                        release=about.digest,
                        route=job.route,
                        weight=job.weight,
                        batch=number,
                        place=start,
                        rows=job.typed.rows,
                        wire=job.wire,
                        body=job.body,
                        outputs=b"".join([part.bytes_of(start, stop) for part in parts.values()]),
                        trace=job.trace,
                        caller=job.caller,
                        request_id=job.request_id,
                        subject=job.subject,
                    )
                )
            answer = Answer(
                prediction=prediction, about=about, arrays=arrays, start=start, stop=stop, lists=lists, parts=parts
            )
            answers.append((job, answer))
            start = stop

    def _finish(self, job: Job, answer: Answer | Problem) -> None:
        """Hand over one answer; what goes wrong with one client stays with it."""
        try:
            job.done(answer)
        except Exception:
            LOG.exception("an answer could not be handed over")
            if isinstance(answer, Answer):
                self._lose("unwritten", job.route)
            with suppress(Exception):
                job.done(Problem(500, "internal", "something is wrong in the server itself; its log says what"))


def _rows(batch: list[Job]) -> int:
    return sum([job.typed.rows for job in batch])


def outputs_of(arrays: "dict[str, np.ndarray]", start: int, stop: int) -> bytes:
    """Give the bytes that a receipt keeps of an answer: every output of the graph, in order."""
    return b"".join([write_raw(array[start:stop]) for array in arrays.values()])


def _unrecorded() -> Problem:
    return Problem(503, "not recorded", "predictions cannot be recorded now, so none are made", retry_after_s=1.0)
