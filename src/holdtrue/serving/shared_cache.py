"""Answers that several workers and machines share, in a Redis server: what it holds is checked, and it may be away.

The cache of a release has a fixed number of places, and a row has one of them: a new row takes the place of an old one,
so it never grows. Only workers that compute alike (release, libraries, processor) share a place, for a replay must give
the same bits. What is kept is signed with the project's secret, because whoever can write to Redis could otherwise
answer in the model's name. A server that is slow or away costs one row in each second some milliseconds, no answer.
"""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, final
from urllib.parse import urlsplit

import msgspec
import numpy as np

from holdtrue.core.errors import Misuse
from holdtrue.serving.host import this_host
from holdtrue.serving.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE_S = 0.02
PAUSE_S = 1.0  # in which a server that failed is not asked
KEPT_S = 86_400  # what nobody asked for since goes: releases do not stay for ever
CONNECTIONS = 4
MOST_BYTES = 64 << 10  # of one answer
MOST_WAITING = 10_000  # answers on their way to the server
SIGNATURE = 32
SCHEMES = ("redis", "rediss", "unix")
LOG = logging.getLogger("holdtrue.serving")

Arrays: TypeAlias = "Mapping[str, np.ndarray]"
Then: TypeAlias = "Callable[[dict[str, np.ndarray] | None], None]"


class _Question(NamedTuple):
    place: bytes
    row: bytes
    then: Then


@final
class SharedCache:
    """The part of one worker in it; everything happens in its event loop.

    Attributes:
        fault: why the server could not be asked, or nothing.
    """

    def __init__(
        self,
        url: str,
        places: int,
        secret: bytes,
        metrics: Metrics,
        loop: asyncio.AbstractEventLoop,
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Take the address and how many rows it holds of each release; nobody waits for it longer than `patience_s`."""
        from redis.asyncio import BlockingConnectionPool, Redis

        self.fault = ""
        pool = BlockingConnectionPool.from_url(
            url, max_connections=CONNECTIONS, timeout=patience_s, socket_timeout=1.0, socket_connect_timeout=1.0
        )
        self._redis = Redis.from_pool(pool)  # which then closes it
        self._places = places
        self._secret = secret
        self._metrics = metrics
        self._loop = loop
        self._patience_s = patience_s
        self._alike = msgspec.json.encode(this_host())
        self._rests_until_s = 0.0
        self._asked: list[_Question] = []
        self._kept: dict[bytes, bytes] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def find(self, release: str, key: bytes, then: Then) -> None:
        """Ask for what a row got alone; `then` hears it, or None, within a moment and never before this returns."""
        if monotonic() < self._rests_until_s:
            self._loop.call_soon(then, None)
            return
        if not self._asked:
            self._loop.call_soon(self._ask)
        self._asked.append(_Question(*self._place(release, key), then))

    def keep(self, release: str, key: bytes, arrays: Arrays) -> None:
        """Keep what a row got alone, if there is room for it on the way."""
        place, row = self._place(release, key)
        body = row + encoded(arrays)
        if len(body) > MOST_BYTES or len(self._kept) >= MOST_WAITING or monotonic() < self._rests_until_s:
            return
        if not self._kept:
            self._loop.call_soon(self._send)
        self._kept[place] = self._sign(place, body) + body

    async def close(self) -> None:
        """Let the connections go; what is on its way is given a moment, then it ends, lest it connects once more."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=PATIENCE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._redis.aclose()

    def _place(self, release: str, key: bytes) -> tuple[bytes, bytes]:
        row = hashlib.sha256(key).digest()
        space = hashlib.sha256(release.encode() + self._alike).hexdigest()[:32]
        return b"holdtrue:%s:%x" % (space.encode(), int.from_bytes(row[:8]) % self._places), row

    def _sign(self, place: bytes, body: bytes) -> bytes:
        return hmac.digest(self._secret, place + body, "sha256")

    def _ask(self) -> None:
        asked, self._asked = self._asked, []
        self._spawn(self._fetch(asked))

    def _send(self) -> None:
        kept, self._kept = self._kept, {}
        self._spawn(self._store(kept))

    def _spawn(self, deed: Any) -> None:
        task = self._loop.create_task(deed)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fetch(self, asked: list[_Question]) -> None:
        values: Sequence[bytes | str | None] = [None] * len(asked)
        try:
            async with asyncio.timeout(self._patience_s):
                values = await self._redis.mget([question.place for question in asked])
            self.fault = ""
        except Exception as error:  # of the network, the server or the library: none of them may cost an answer
            self._failed(error)
        for question, value in zip(asked, values, strict=True):
            question.then(self._read(question, value))

    async def _store(self, kept: Mapping[bytes, bytes]) -> None:
        try:
            async with asyncio.timeout(1.0), self._redis.pipeline(transaction=False) as line:
                for place, value in kept.items():
                    line.set(place, value, ex=KEPT_S)
                await line.execute()
        except Exception as error:
            self._failed(error)

    def _read(self, question: _Question, value: "bytes | str | None") -> "dict[str, np.ndarray] | None":
        if not isinstance(value, bytes):
            return None
        signature, body = value[:SIGNATURE], value[SIGNATURE:]
        if not hmac.compare_digest(signature, self._sign(question.place, body)):
            self._metrics.count("holdtrue_cache_errors_total", ())
            LOG.warning("the shared cache holds something that no endpoint of this project wrote")
            return None
        return decoded(body[len(question.row) :]) if body.startswith(question.row) else None

    def _failed(self, error: Exception) -> None:
        self._rests_until_s = monotonic() + PAUSE_S
        self._metrics.count("holdtrue_cache_errors_total", ())
        if not self.fault:
            LOG.warning("the shared cache cannot be asked: %s", str(error) or type(error).__name__)
        self.fault = f"the shared cache cannot be asked: {str(error) or type(error).__name__}"


def encoded(arrays: Arrays) -> bytes:
    """Write the outputs of a graph; texts as texts, all else as raw bytes.

    >>> made = decoded(encoded({"value": np.array([[1.5]]), "label": np.array([["é"]], dtype=object)}))
    >>> made["value"].tolist(), made["label"].tolist()
    ([[1.5]], [['é']])
    """
    return msgspec.msgpack.encode(
        [
            (name, "O" if array.dtype.kind in "OU" else array.dtype.str, array.shape, _plain(array))
            for name, array in arrays.items()
        ]
    )


def _plain(array: "np.ndarray") -> Any:
    return array.ravel().tolist() if array.dtype.kind in "OU" else array.tobytes()


def decoded(data: bytes) -> "dict[str, np.ndarray]":
    """Read what `encoded` wrote."""
    return {
        name: (np.array(plain, dtype=object) if kind == "O" else np.frombuffer(plain, dtype=kind)).reshape(shape)
        for name, kind, shape, plain in msgspec.msgpack.decode(data)
    }


def checked_url(url: str) -> str:
    """Give back the address of a Redis server; raises `Misuse` when it is none, and never shows a password."""
    try:
        from redis.connection import parse_url
    except ImportError:
        raise Misuse("A shared cache needs its package.", do="pip install 'holdtrue[redis]'") from None
    try:
        parse_url(url)
    except ValueError:
        scheme = urlsplit(url).scheme if "://" in url else "nothing"
        raise Misuse(
            f"The address of the shared cache begins with {scheme!r} or has parts that are not known.",
            do=f"Write {'://..., '.join(SCHEMES)}://..., such as redis://127.0.0.1:6379/0.",
        ) from None
    return url
