"""Nothing is answered before it is written down: receipts go to the journal, and answers wait for it as promised."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, final

from holdtrue.data.traffic.journal import Journal, Unwritten
from holdtrue.data.traffic.receipt import Ids, Receipt, pack

if TYPE_CHECKING:
    from holdtrue.core.errors import HoldtrueError
    from holdtrue.serving.sealing import Sealer

LOG = logging.getLogger("holdtrue.serving")

Ack = Literal["durable", "buffered", "none"]
WhenFull = Literal["refuse", "count"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """How firmly answers are recorded.

    Attributes:
        ack: `buffered` answers when the system has the record, which survives the death of the process; a power cut
            may take the last 50 ms. `durable` answers when the disk has it. `none` keeps no receipts of answers: they
            have ids, to label them by, but cannot be replayed; labels are kept all the same.
        when_full: what happens when nothing can be written: `refuse` to predict, or `count` what is not recorded.
    """

    ack: Ack = "buffered"
    when_full: WhenFull = "refuse"


@final
class Scribe:
    """Records what a worker answers, one stream of receipts and labels."""

    def __init__(
        self,
        journal: Journal,
        ids: Ids,
        recording: Recording,
        *,
        wall_us: Callable[[], int],
        soon: Callable[..., object],
        sealer: "Sealer | None" = None,
    ) -> None:
        """Take the journal; `soon` calls a function in the event loop, from any thread."""
        self.journal = journal
        self.sealer = sealer
        self.recording = recording
        self.wall_us = wall_us
        self.batch = 0
        self._ids = ids
        self._soon = soon

    @property
    def keeps(self) -> bool:
        """Whether answers have receipts at all."""
        return self.recording.ack != "none"

    def next_id(self, now_us: int) -> str:
        return self._ids.next(now_us // 1000)

    def next_batch(self) -> int:
        self.batch += 1
        return self.batch

    def record(self, receipts: "Sequence[Receipt]", then: Callable[[bool], None]) -> None:
        """Write the receipts of a batch and say by `then(kept)` when its answers may go out."""
        sealer = self.sealer
        if sealer is None or not any(receipt.subject for receipt in receipts):
            self.commit([pack(receipt) for receipt in receipts], then)
            return

        def sealed(frames: "list[bytes] | HoldtrueError") -> None:
            if isinstance(frames, list):
                self.commit(frames, then)
            else:
                LOG.error("receipts could not be sealed: %s", frames)
                self._unwritten(len(receipts), "the receipts could not be sealed", then)

        sealer.seal(receipts, sealed)

    def commit(self, frames: Sequence[bytes], then: Callable[[bool], None], *, durable: bool = False) -> None:
        """Write records and say by `then(kept)` when their answers may go out.

        With `durable` the disk must have them whatever the settings say. What could not be written is never silent:
        either its answers do not go out, or it is counted.
        """
        journal = self.journal
        journal.add_all(frames)
        try:
            ticket = journal.write()
        except Unwritten as error:
            if durable:
                then(False)
            else:
                self._unwritten(len(error.frames), "the receipts could not be written", then)
            return
        if durable or self.recording.ack == "durable":
            journal.when_durable(ticket, lambda kept: self._soon(then, kept))
        else:
            then(True)

    def _unwritten(self, count: int, why: str, then: Callable[[bool], None]) -> None:
        if self.recording.when_full == "refuse":
            then(False)
        else:
            self.journal.lost(count, why)
            then(True)
