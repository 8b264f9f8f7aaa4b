"""A process that writes a log and says what became of each receipt; the tests start it, disturb it, and kill it."""

import json
import os
import sys
import threading
import time
from pathlib import Path

from holdtrue.data.traffic.journal import Journal, Unwritten
from holdtrue.data.traffic.receipt import Ids, Receipt, pack, unpack

BODY = b"x" * 500


def now_us() -> int:
    return time.time_ns() // 1000


class Teller:
    """Writes one line for each event, from any thread, each in one call."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def __call__(self, what: str, id: str) -> None:
        os.write(self._handle, f"{what} {id}\n".encode())


def made(ids: Ids, number: int) -> Receipt:
    now = now_us()
    return Receipt(
        id=ids.next(now // 1000), time_us=now, release="b" * 64, route="champion", weight=1.0, batch=number, place=0,
        rows=1, wire="v2", body=BODY, outputs=b"12345678",
    )  # fmt: skip


def write_on(folder: Path, tell: Teller, *, stream: int, count: int, rotate_bytes: int, pause_s: float = 0.0) -> None:
    """Write receipts one by one; each is told as written, kept, doubtful or refused, and refused ones are counted."""
    journal = Journal(folder, endpoint="hotels", stream=stream, now=now_us, rotate_bytes=rotate_bytes, sync_s=0.002)
    ids = Ids(stream)
    for number in range(count):
        one = made(ids, number)
        journal.add(pack(one))
        try:
            ticket = journal.write()
        except Unwritten as unwritten:
            for frame in unwritten.frames:
                tell("refused", unpack(frame).id)
            journal.lost(len(unwritten.frames), "tested")
            time.sleep(pause_s)
            continue
        tell("written", one.id)
        journal.when_durable(ticket, lambda kept, id=one.id: tell("kept" if kept else "doubtful", id))
        time.sleep(pause_s)
    try:
        journal.close()
    except Unwritten as unwritten:
        for frame in unwritten.frames:
            tell("refused", unpack(frame).id)
    tell("state", json.dumps({name: getattr(journal.state(), name) for name in journal.state().__slots__}))


def main(folder: str, count: str, rotate_bytes: str, pause_s: str) -> None:
    stream = int.from_bytes(os.urandom(4), "big")
    tell = Teller(1)
    write_on(
        Path(folder), tell, stream=stream, count=int(count), rotate_bytes=int(rotate_bytes), pause_s=float(pause_s)
    )
    assert threading.active_count() == 1


if __name__ == "__main__":
    main(*sys.argv[1:])
