"""Many requests in one call: answered in their order, and read ahead so that they share batches."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import final

from holdtrue.serving.ask import Problem
from holdtrue.serving.grpc_call import Call, Sent
from holdtrue.serving.grpc_frames import OK
from holdtrue.serving.http import LEFT
from holdtrue.serving.site import Site

NAME = "ModelStreamInfer"
LOG = logging.getLogger("holdtrue.serving")


@final
class Conversation:
    """Takes the requests of one call, as many at once as there is room for."""

    __slots__ = ("_ask", "_call", "_end", "_ended", "_most", "_refuse", "_scheduled", "_site", "_waiting")

    def __init__(
        self,
        site: Site,
        call: Call,
        most: int,
        *,
        ask: Callable[[Sent], None],
        refuse: Callable[[Call, Problem, int | None], None],
        end: Callable[["Conversation"], None],
    ) -> None:
        """Begin; `ask` puts a request into a batch, `refuse` ends the call with a reason, `end` hears of its end."""
        self._site = site
        self._call = call
        self._most = most
        self._ask = ask
        self._refuse = refuse
        self._end = end
        self._waiting: deque[Sent] = deque()
        self._ended: tuple[Problem, int | None] | bool = False  # no more are taken: for this reason, or for none
        self._scheduled = False
        call.stream.since_s = None  # its client may take its time

    @property
    def wants(self) -> bool:
        return not self._ended and len(self._waiting) < self._most and not self._call.stream.unsent

    def take(self, body: bytes, /) -> None:
        try:
            self._call.admit(self._site, "predict")  # a token that was revoked ends the stream
        except Problem as problem:
            self.fail(problem.with_traceback(None))
            return
        sent = Sent(self._site, self._call.again(), body, self._came)
        self._waiting.append(sent)
        self._ask(sent)

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self._soon()

    def fail(self, problem: Problem, status: int | None = None, /) -> None:
        if not self._ended:
            self._ended = (problem, status)
            self._soon()

    def leave(self) -> None:
        self._call.ended(200 if self._ended is True else LEFT)
        self._waiting.clear()
        self._end(self)

    def _came(self, sent: Sent) -> None:
        self._soon()

    def _soon(self) -> None:
        """Send what came in one tick together, so that no flood of small requests holds up others."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        """Send every answer whose turn it is."""
        self._scheduled = False
        stream, waiting = self._call.stream, self._waiting
        try:
            while waiting and waiting[0].outcome is not None:
                message, status = waiting.popleft().streamed()
                self._site.count(f"grpc {NAME}", status)
                stream.send(message.SerializeToString())
        except Exception:
            LOG.exception("an answer could not be written")
            waiting.clear()
            self._ended = (Problem(500, "internal", "something is wrong in the server; its log says more"), None)
        if stream.closed:
            return
        if waiting or not self._ended:
            stream.go_on()
        elif isinstance(self._ended, tuple):
            self._refuse(self._call, *self._ended)
        else:
            stream.finish(OK)
