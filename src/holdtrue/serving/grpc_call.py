"""One call over gRPC: who makes it, until when, and the predictions it asks for."""

from collections.abc import Callable
from time import monotonic
from typing import final

from holdtrue.serving.ask import About, Answer, Ask, Problem, malformed
from holdtrue.serving.callers import Caller, Permission
from holdtrue.serving.endpoint import PIN, count_answer
from holdtrue.serving.exchange import Watch
from holdtrue.serving.grpc_messages import KINDS, Message
from holdtrue.serving.grpc_stream import Stream
from holdtrue.serving.lane import Job
from holdtrue.serving.reader import Typed
from holdtrue.serving.router import Choice
from holdtrue.serving.site import LONGEST_DEADLINE_S, Site, request_id_of, trace_of
from holdtrue.serving.wire import v2_grpc

MOST_TOLD_BYTES = 4_000  # clients take 8 KiB of metadata


@final
class Call:
    """One call, or one of the requests in it."""

    __slots__ = ("caller", "heard", "started_s", "stream", "watch")

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.caller: Caller | None = None
        self.heard = stream.head.heard
        self.started_s = monotonic()
        self.watch: Watch | None = None

    def admit(self, site: Site, permission: Permission) -> None:
        """Find out who calls; raises `Problem` unless they may."""
        head = self.stream.head
        if head.large:
            raise Problem(431, "too large", "the call has too much metadata")
        if head.fault:
            raise malformed(head.fault)
        self.caller = site.admit(self.heard.get(b"authorization"), permission)

    def again(self) -> "Call":
        """Give the same call as it stands now, for one more request in it."""
        made = Call(self.stream)
        made.caller, made.watch = self.caller, self.watch
        return made

    def watched(self, site: Site) -> None:
        """Have somebody follow this call, where calls are traced."""
        if site.telemetry is not None:
            trace = (self.heard.get(b"traceparent"), self.heard.get(b"tracestate"))
            self.watch = site.telemetry.begin("POST", self.stream.head.path.decode("latin-1"), *trace, self.started_s)

    def ended(self, status: int) -> None:
        """Tell who follows this call how it ended; only the first time counts."""
        watch, self.watch = self.watch, None
        if watch is not None:
            watch.end(status)

    def deadline_s(self) -> float:
        """Say until when an answer is worth something."""
        now_s, until_s = monotonic(), self.stream.until_s
        if until_s <= now_s:
            raise Problem(504, "too late", "the deadline of the request passed before it was read")
        return min(until_s, now_s + LONGEST_DEADLINE_S)

    def gone(self) -> bool:
        """Say whether nobody waits for an answer any more."""
        return self.stream.closed

    @property
    def pin(self) -> str:
        return self.heard[PIN].decode("latin-1") if PIN in self.heard else ""

    @property
    def payer(self) -> str:
        """Whose quota it is."""
        return self.caller.id if self.caller else f"ip {self.stream.link.peer}"


@final
class Sent:
    """A request for predictions that came by gRPC; `outcome` is its answer, or why there is none."""

    __slots__ = ("_ask", "_route", "_site", "_then", "body", "call", "outcome", "request")

    def __init__(self, site: Site, call: Call, body: bytes, then: "Callable[[Sent], None]") -> None:
        """Take a request; `then` hears of its outcome."""
        self.request: Message | None = None
        self.call = call
        self.outcome: Answer | Problem | None = None
        self._site = site
        self.body = body
        self._then = then
        self._ask: Ask | None = None
        self._route = ""

    def read(self, about: About) -> Ask:
        assert self.request is not None
        return v2_grpc.ask_of(self.request, about)

    def charge(self, rows: int) -> None:
        self._site.charge(self.call.payer, rows)

    def job(self, ask: Ask, typed: Typed, choice: Choice) -> Job:
        call = self.call
        heard = call.heard
        self._ask, self._route = ask, choice.route
        return Job(
            ask=ask,
            typed=typed,
            done=self.done,
            gone=call.gone,
            wire="grpc",
            body=self.body,
            deadline_s=call.deadline_s(),
            route=choice.route,
            weight=choice.weight,
            trace=call.watch.trace_id if call.watch else trace_of(heard.get(b"traceparent")),
            caller=call.caller.name if call.caller else "",
            request_id=request_id_of(heard.get(b"x-request-id")),
        )

    def done(self, answer: Answer | Problem) -> None:
        """Take the answer, or why there is none; only the first one counts."""
        if self.outcome is None:
            self.outcome = answer
            self._then(self)

    def answered(self) -> Message:
        """Give the answer as a message; raises `Problem`."""
        answer = self.outcome
        assert answer is not None
        if isinstance(answer, Problem):
            raise answer
        assert self._ask is not None
        try:
            made = v2_grpc.write(self._ask, answer)
        except Exception:
            self._site.metrics.lose(answer.about.name, answer.about.version, self._route, "unwritten")
            raise
        count_answer(self._site.metrics, answer, self._route, self.call.started_s)
        if self.call.watch is not None:
            self.call.watch.note(**answer.seen(self._route))
        return made

    def streamed(self) -> tuple[Message, int]:
        """Give the answer, or why there is none, as one message of a stream; and its status."""
        kind = KINDS["ModelStreamInferResponse"]
        try:
            return kind(infer_response=self.answered()), 200
        except Problem as error:
            problem = error.with_traceback(None)  # which would hold this frame, and with it the request
            id = "" if self.request is None else self.request.id
            return kind(error_message=told(problem), infer_response=KINDS["ModelInferResponse"](id=id)), problem.status


def told(problem: Problem) -> str:
    """Say why there is no answer, with every fault for which there is room in the metadata of an answer.

    >>> told(Problem(422, "contract", "the rows break the contract", faults=["column 'age': 2 values are negative"]))
    "the rows break the contract\\n  column 'age': 2 values are negative"
    """
    lines = [_cut(problem.what)]
    left = MOST_TOLD_BYTES - _sent_bytes(lines[0])
    for place, fault in enumerate(problem.faults):
        line = _cut(fault)
        left -= _sent_bytes(line) + 5
        if left < 0:
            lines.append(f"and {len(problem.faults) - place} more")
            break
        lines.append(line)
    return "\n  ".join(lines)


def _cut(text: str) -> str:
    most = MOST_TOLD_BYTES // 4
    if len(text) <= most // 3 or _sent_bytes(text) <= most:
        return text
    return f"{text.encode()[: most // 3].decode(errors='ignore')}…"


def _sent_bytes(text: str) -> int:
    """Count the bytes of a text in an answer: all but plain characters take three."""
    data = text.encode()
    return len(data) + 2 * sum(not 32 <= byte < 127 or byte == 37 for byte in data)
