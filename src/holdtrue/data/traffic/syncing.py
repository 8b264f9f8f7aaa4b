"""The thread that asks the disk to keep what was written: one wait for all that came meanwhile."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import final

from holdtrue.data.traffic.live import Live

Callback = Callable[[bool], object]


@final
class Syncer:
    """Settles tickets in their order: a ticket is kept when a sync that covers it succeeded, else it failed.

    A file whose sync failed is never synced again: the system may have dropped its pages and would report success
    (Rebello et al. 2020, "Can applications recover from fsync failures?").
    """

    def __init__(self, sync_s: float) -> None:
        self.durable = 0
        self.reason = ""
        self._sync_s = sync_s
        self._lock = threading.Lock()
        self._segments: list[Live] = []
        self._waiting: list[tuple[int, Callback]] = []
        self._settled = 0
        self._failed: list[tuple[int, int]] = []
        self._written, self._hurried = threading.Event(), threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="holdtrue-journal-sync", daemon=True)
        self._thread.start()

    def take(self, live: Live) -> None:
        """Watch over a segment until it is closed."""
        with self._lock:
            self._segments.append(live)

    def wrote(self) -> None:
        """Say that something waits for the disk."""
        if not self._written.is_set():
            self._written.set()

    def when(self, ticket: int, callback: Callback) -> None:
        """Call back from this thread once the ticket is settled, and sync at once."""
        if not self._thread.is_alive():
            self._answer([(ticket, callback)])
            return
        with self._lock:
            self._waiting.append((ticket, callback))
        self._hurried.set()
        self._written.set()

    def close(self) -> None:
        """Settle everything, answer everyone, and end the thread."""
        self._closing = True
        self._hurried.set()
        self._written.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._written.wait()
            self._hurried.wait(self._sync_s)
            # Cleared before anything is looked at: what comes from now on wakes the thread again.
            self._hurried.clear()
            self._written.clear()
            closing = self._closing
            self._pass()
            if closing:
                self._answer(self._waiting)
                return

    def _pass(self) -> None:
        with self._lock:
            segments = tuple(self._segments)
        for live in segments:
            closed = live.closed  # read first: the writer closes last
            self._settle(live)
            if closed:
                live.finish()
                with self._lock:
                    self._segments.remove(live)
        with self._lock:
            due = [waiting for waiting in self._waiting if waiting[0] <= self._settled]
            self._waiting = [waiting for waiting in self._waiting if waiting[0] > self._settled]
        self._answer(due)

    def _settle(self, live: Live) -> None:
        ticket, count = live.ticket, live.count
        if not live.broken:
            try:
                live.hash_to(live.size)
                live.sync()
            except Exception as error:  # whatever it is: nobody must be told that these records are kept
                strerror = getattr(error, "strerror", None)
                self.reason = live.broken = f"the disk did not keep {live.path.name}: {strerror or error}"
            else:
                self.durable += count - live.durable
                live.durable = count
        if live.broken:
            ticket = live.ticket
            if ticket > self._settled:
                self._failed.append((self._settled, ticket))
        self._settled = max(self._settled, ticket)

    def _answer(self, due: list[tuple[int, Callback]]) -> None:
        for ticket, callback in due:
            kept = ticket <= self._settled and not any(low < ticket <= high for low, high in self._failed)
            # A callback for a loop that is gone must not end the thread that serves the others.
            with suppress(Exception):
                callback(kept)
