"""What time it is: that of the machine, or of a file that a simulation moves on.

The file holds microseconds since 1970 UTC as one integer of 64 bits, least byte first. All who map it read it at once:
one process sets it, and others, such as the workers of an endpoint, live by it.
"""

import mmap
import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Protocol, final, runtime_checkable

from holdtrue.core.errors import Misuse
from holdtrue.core.files import write_whole

SIZE_BYTES = 8


@runtime_checkable
class Clock(Protocol):
    """Tells the time in microseconds since 1970 UTC."""

    def now_us(self) -> int: ...


def wall_us() -> int:
    """Tell the time of the machine."""
    return time.time_ns() // 1000


@final
class WallClock:
    """The clock of the machine."""

    def now_us(self) -> int:
        return wall_us()


@final
class VirtualClock:
    """The clock in a file. It never goes back, and stands still until it is set.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, VirtualClock.make(Path(folder) / "clock", now_us=5) as clock:
    ...     clock.set(7)
    ...     VirtualClock(Path(folder) / "clock").now_us()
    7
    """

    def __init__(self, path: Path) -> None:
        """Map a file that `make` wrote; raises `Misuse` for any other."""
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise _no_clock(path, error.strerror or str(error)) from None
        try:
            size = os.fstat(handle).st_size
            if size != SIZE_BYTES:
                raise _no_clock(path, f"it has {size:,} bytes")
            self._map = mmap.mmap(handle, SIZE_BYTES)
        finally:
            os.close(handle)
        # One aligned integer is read and written at once, so nobody sees half of a change.
        self._view = memoryview(self._map).cast("q")

    @staticmethod
    def make(path: Path, *, now_us: int) -> "VirtualClock":
        """Write the file of a new clock, and map it."""
        write_whole(path, now_us.to_bytes(SIZE_BYTES, "little", signed=True), mode=0o600)
        return VirtualClock(path)

    def now_us(self) -> int:
        return _turned(self._view[0])

    def set(self, now_us: int) -> None:
        """Move on; raises `ValueError` for a time that is past."""
        before_us = self.now_us()
        if now_us < before_us:
            raise ValueError(f"a clock does not go back: it stands at {before_us} and was to be set to {now_us}.")
        self._view[0] = _turned(now_us)

    def close(self) -> None:
        self._view.release()
        self._map.close()

    def __enter__(self) -> "VirtualClock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def clock_at(path: Path | None) -> Clock:
    """Give the clock of a file, or that of the machine where there is none."""
    return WallClock() if path is None else VirtualClock(path)


def _turned(value: int) -> int:
    """Turn the bytes of an integer around where the machine writes the greatest first."""
    if sys.byteorder == "little":
        return value
    return int.from_bytes(value.to_bytes(SIZE_BYTES, "big", signed=True), "little", signed=True)


def _no_clock(path: Path, why: str) -> Misuse:
    return Misuse(
        f"{path} is no clock: {why}.", do="HOLDTRUE_CLOCK is for simulations only; leave it out to serve by real time."
    )
