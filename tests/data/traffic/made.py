"""Receipts, labels and logs for the tests of the traffic log."""

from collections.abc import Sequence
from pathlib import Path

from holdtrue.data.traffic.journal import Journal
from holdtrue.data.traffic.label import Label
from holdtrue.data.traffic.receipt import Ids, Receipt, pack
from holdtrue.data.traffic.segment import Header, header_bytes, seal_bytes

NOW_US = 1_700_000_000_000_000
STREAM = 0x1234ABCD
ENDPOINT = "hotels"


class Clock:
    """A clock that goes on by a millisecond each time it is looked at."""

    def __init__(self, now_us: int = NOW_US) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        self.now_us += 1000
        return self.now_us


def receipt(id: str, *, time_us: int = NOW_US, batch: int = 0, place: int = 0, body: bytes = b'{"x": 1}') -> Receipt:
    return Receipt(
        id=id,
        time_us=time_us,
        release="b" * 64,
        route="champion",
        weight=0.9,
        batch=batch,
        place=place,
        rows=1,
        wire="v2",
        body=body,
        outputs=b"\x00\x00\x80\x3f",
        trace="4bf92f3577b34da6a3ce929d0e0e4736",
        caller="shop",
        request_id="r-1",
    )


def receipts_of(count: int, *, stream: int = STREAM, start_us: int = NOW_US, per_batch: int = 4) -> list[Receipt]:
    ids = Ids(stream)
    made: list[Receipt] = []
    for number in range(count):
        time_us = start_us + number * 1000
        batch, place = divmod(number, per_batch)
        body = b'{"row": %d}' % number
        made.append(receipt(ids.next(time_us // 1000), time_us=time_us, batch=batch, place=place, body=body))
    return made


def label(value: str | int | float | bool | None, received_us: int, **fields: object) -> Label:
    return Label(value=value, time_us=NOW_US, received_us=received_us, **{"key": {"order": 7}, **fields})  # type: ignore[arg-type]  # fields of a label


def journal_in(folder: Path, *, stream: int = STREAM, rotate_bytes: int = 2**20, clock: Clock | None = None) -> Journal:
    return Journal(
        folder, endpoint=ENDPOINT, stream=stream, now=clock or Clock(), rotate_bytes=rotate_bytes, sync_s=0.001
    )


def logged(folder: Path, made: Sequence[Receipt], *, stream: int = STREAM, rotate_bytes: int = 2**20) -> None:
    """Write receipts, each in a call of its own, and close the log."""
    journal = journal_in(folder, stream=stream, rotate_bytes=rotate_bytes)
    for one in made:
        journal.add(pack(one))
        journal.write()
    journal.close()


def segment_file(folder: Path, frames: Sequence[bytes], *, number: int = 0, seal: str = "", previous: str = "") -> Path:
    """Write a segment by hand; `seal` is the digest in its seal, if it gets one."""
    header = Header(endpoint=ENDPOINT, stream=STREAM, number=number, created_us=NOW_US, previous=previous)
    path = folder / f"{header.name}.seg"
    path.parent.mkdir(parents=True, exist_ok=True)
    data = header_bytes(header) + b"".join(frames)
    path.write_bytes(data + (seal_bytes(count=len(frames), digest=seal) if seal else b""))
    return path


def segments(folder: Path) -> list[Path]:
    return sorted((folder / ENDPOINT).glob("*.seg"))
