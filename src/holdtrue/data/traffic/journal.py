"""The writer of a traffic log: in the event loop it only hands bytes to the system, a thread sees them to the disk.

What `write` returned from survives the death of the process; what `when_durable` confirmed survives a power cut. What
cannot be written is given back to the caller, never dropped: it answers that it could not, or counts the loss with
`lost`, and the count is written as soon as anything can be written again.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from holdtrue.core.errors import HoldtrueError, Misuse
from holdtrue.data.traffic.label import Gap, pack_gap
from holdtrue.data.traffic.layout import endpoint_folder, segments_of
from holdtrue.data.traffic.live import Live
from holdtrue.data.traffic.receipt import STREAMS
from holdtrue.data.traffic.segment import Header
from holdtrue.data.traffic.syncing import Callback, Syncer

ROTATE_BYTES = 64 * 2**20
# What is still written to cannot be dropped when it is old, nor can a person's labels be taken out of it.
ROTATE_US = 7 * 86_400_000_000
SYNC_S = 0.05
# A full segment waits to be closed until little is left to hash, so that the event loop does not stand still for it.
_HASHED_AT_ONCE_BYTES = 2**20
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 5.0


class Unwritten(HoldtrueError):
    """Records could not be written; `frames` are those, and everything before them is in the log."""

    frames: tuple[bytes, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What the journal did since its start, in records; `failing` says what is wrong now, or nothing.

    Args:
        lost: reported with `lost`.
        doubtful: written, but in a file that the disk failed to keep.
        unreported: of both, those whose gap is not yet in the log.
    """

    written: int
    durable: int
    lost: int
    doubtful: int
    unreported: int
    bytes: int
    segments: int
    failing: str


@final
class Journal:
    """Appends records to the segments of one stream of an endpoint. All methods belong to one thread.

    `folder` holds a folder for each endpoint; `now` gives microseconds since 1970.
    """

    def __init__(
        self,
        folder: Path,
        *,
        endpoint: str,
        stream: int,
        now: Callable[[], int],
        rotate_bytes: int = ROTATE_BYTES,
        sync_s: float = SYNC_S,
    ) -> None:
        if not 0 <= stream < STREAMS:
            raise ValueError(f"the number of a stream has 32 bits, got {stream}.")
        self.folder = endpoint_folder(folder, endpoint)
        if segments_of(self.folder).get(stream):
            raise Misuse(f"The stream {stream:08x} was written before.", do="Draw another number.")
        self._endpoint, self._stream, self._now, self._rotate_bytes = endpoint, stream, now, rotate_bytes
        self._frames: list[bytes] = []
        self._live: Live | None = None
        self._ticket, self._number, self._previous = 0, 0, ""
        self._gaps: dict[tuple[str, bool], list[int]] = {}
        self._written = self._lost = self._doubtful = self._bytes = 0
        self._failing, self._pause_s, self._retry_at = "", 0.0, 0.0
        self._closed = False
        self._syncer = Syncer(sync_s)

    def add(self, frame: bytes) -> None:
        """Collect a record for the next `write`."""
        self._frames.append(frame)

    def add_all(self, frames: Iterable[bytes]) -> None:
        """Collect records for the next `write`."""
        self._frames.extend(frames)

    def write(self) -> int:
        """Hand all that was collected to the system; gives a ticket for `when_durable`.

        Raises `Unwritten` with the records that could not be written; they are not collected any more.
        """
        if self._live is not None and self._live.broken:
            self._abandon(self._live)
        frames = self._frames
        if not frames and not self._gaps:
            return self._ticket
        self._frames = []
        try:
            live = self._ready()
        except OSError as error:
            return self._give_back(frames, error)
        gaps = self._gap_frames() if self._gaps else []
        kept, error = live.append([*gaps, *frames] if gaps else frames)
        self._took(live, kept, gaps)
        if error is not None:
            self._retire(live)
            return self._give_back(frames[max(0, kept - len(gaps)) :], error)
        if self._failing:
            self._failing, self._pause_s, self._retry_at = "", 0.0, 0.0
        return self._ticket

    def lost(self, count: int, why: str) -> None:
        """Count predictions that were answered but could not be recorded; a gap says so in the log when it can."""
        self._lost += count
        self._add_gap(count, why, certain=True, since_us=self._now())

    def when_durable(self, ticket: int, callback: Callback) -> None:
        """Call back, from the thread that syncs, whether the disk keeps what `write` gave this ticket for."""
        self._syncer.when(ticket, callback)

    def state(self) -> State:
        """Give the counts, for metrics."""
        broken = self._live.broken if self._live else ""
        return State(
            written=self._written,
            durable=self._syncer.durable,
            lost=self._lost,
            doubtful=self._doubtful,
            unreported=sum(gap[2] for gap in self._gaps.values()),
            bytes=self._bytes + (self._live.size if self._live else 0),
            segments=self._number,
            failing=self._failing or broken,
        )

    def close(self) -> None:
        """Write, sync and seal what there is; raises `Unwritten` for what could not be written."""
        if self._closed:
            return
        try:
            self._retry_at = 0.0
            self.write()
        finally:
            self._closed = True
            if self._live is not None:
                self._retire(self._live)
            self._syncer.close()

    def _ready(self) -> Live:
        """Give a segment that can be written to."""
        if self._closed:
            raise OSError("the journal is closed")
        live = self._live
        if live is not None and (live.size >= self._rotate_bytes or self._is_old(live)):
            behind = live.unhashed > _HASHED_AT_ONCE_BYTES and live.size < 2 * self._rotate_bytes
            if not behind:
                self._retire(live)
        return self._live or self._begin()

    def _is_old(self, live: Live) -> bool:
        return live.count > 0 and self._now() - live.header.created_us >= ROTATE_US

    def _begin(self) -> Live:
        if time.monotonic() < self._retry_at:
            raise OSError(self._failing)
        header = Header(
            endpoint=self._endpoint,
            stream=self._stream,
            number=self._number,
            created_us=self._now(),
            previous=self._previous,
        )
        live = Live(self.folder, header, ticket=self._ticket)
        self._live = live
        self._number += 1
        self._syncer.take(live)
        return live

    def _took(self, live: Live, kept: int, gaps: Sequence[bytes]) -> None:
        """Note what a segment holds, in the order in which the other thread reads it."""
        if not kept:
            return
        for key in list(self._gaps)[: min(kept, len(gaps))] if gaps else ():
            del self._gaps[key]
        self._ticket += 1
        self._written += kept
        live.count += kept
        live.ticket = self._ticket
        self._syncer.wrote()

    def _retire(self, live: Live) -> None:
        """Close a segment: from here on it belongs to the thread that syncs."""
        self._previous = live.seal()
        self._live = None
        self._bytes += live.size
        live.closed = True
        self._syncer.wrote()

    def _abandon(self, live: Live) -> None:
        """Leave a segment that the disk did not keep, and count what may be gone with it."""
        count = live.count - live.durable
        self._doubtful += count
        self._add_gap(count, live.broken, certain=False, since_us=live.header.created_us)
        self._failing = live.broken
        self._retire(live)

    def _add_gap(self, count: int, why: str, *, certain: bool, since_us: int) -> None:
        if count:
            gap = self._gaps.setdefault((why, certain), [since_us, since_us, 0])
            gap[1] = self._now()
            gap[2] += count

    def _gap_frames(self) -> list[bytes]:
        return [
            pack_gap(Gap(since_us=since_us, until_us=until_us, count=count, why=why, certain=certain))
            for (why, certain), (since_us, until_us, count) in self._gaps.items()
        ]

    def _fail(self, error: OSError) -> None:
        if time.monotonic() >= self._retry_at:  # not when it was not even tried
            self._failing = error.strerror or str(error)
            self._pause_s = min(max(2 * self._pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
            self._retry_at = time.monotonic() + self._pause_s

    def _give_back(self, frames: Sequence[bytes], error: OSError) -> int:
        """Raise what could not be written. When that is only a gap, it is counted still, and written later."""
        self._fail(error)
        if not frames:
            return self._ticket
        unwritten = Unwritten(
            f"{len(frames):,} records could not be written to {self.folder}: {self._failing}.",
            do="Free space on the disk, or repair it; the log goes on by itself.",
        )
        unwritten.frames = tuple(frames)
        raise unwritten from None
