"""Who is at the door: an Authorization header becomes a caller, or the reason why not, in about a microsecond."""

import math
import re
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from holdtrue.core.errors import Refused
from holdtrue.serving.callers import NOBODY, Caller, Permission, Problem, allowed, expanded
from holdtrue.serving.tokens import SECRET, Mark, Token, mark, read

LOOK_EVERY_S = 1.0
MOST_HEADER_BYTES = 8 * 1024
MOST_VOUCHED = 4096
SCHEME = b"Bearer "
SIGNED = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class Vouched(NamedTuple):
    """Somebody whom an issuer vouches for, and until when."""

    caller: Caller
    until_s: float


@runtime_checkable
class Voucher(Protocol):
    """Judges tokens that others have signed. `edition` changes when it would judge otherwise than before."""

    @property
    def edition(self) -> int: ...

    def tend(self, now_s: float) -> None:
        """Do, without waiting, what is to be done now and then."""
        ...

    def verify(self, token: bytes, now_s: float) -> Vouched | Problem: ...


class _Held(NamedTuple):
    caller: Caller
    expires_s: float
    revoked: bool


class Doorman:
    """Admits callers by the tokens of a list, or by those that a voucher believes.

    The list is looked at once a second and read again when its file changed: what was revoked is out by then. It is
    also looked at for a token that it does not know, so a new one is good at once. A list that cannot be believed lets
    nobody in: `closed` says why, and it opens again by itself when the list is good. Nothing here keeps a secret:
    tokens are known by their SHA-256, which also leaves nothing to learn from how long a comparison took. `now_s`
    counts from 1970.
    """

    def __init__(
        self, path: Path, *, anonymous: frozenset[Permission] = NOBODY, voucher: Voucher | None = None
    ) -> None:
        self.closed: str | None = "The list of tokens has not been read yet."
        self._path = path
        self._anonymous = anonymous
        self._voucher = voucher
        self._edition = -1
        self._looked_s = -math.inf
        self._mark: Mark | None = None
        self._held: dict[bytes, _Held] = {}
        self._vouched: OrderedDict[bytes, Vouched] = OrderedDict()

    def admit(self, authorization: bytes | None, now_s: float) -> Caller | Problem | None:
        """Say who calls by the one Authorization header of a request; `None` is who sent none.

        A request with two such headers must be refused before it comes here.
        """
        if not 0.0 <= now_s - self._looked_s < LOOK_EVERY_S:
            self.look(now_s)
        if authorization is None:
            return None
        if len(authorization) > MOST_HEADER_BYTES:
            return Problem.MALFORMED
        if not authorization.startswith(SCHEME) and authorization[:7].lower() != b"bearer ":
            return Problem.MALFORMED
        token = authorization[7:]
        digest = sha256(token).digest()
        held = self._held.get(digest)
        if held is None and self.closed is None and SECRET.fullmatch(token):
            self.look(now_s)  # it may have been given out a moment ago
            held = self._held.get(digest)
        if held is None:
            return self._stranger(token, digest, now_s)
        if held.revoked:
            return Problem.REVOKED
        return held.caller if now_s < held.expires_s else Problem.EXPIRED

    def allowed(self, caller: Caller | None, permission: Permission) -> bool:
        """Say whether somebody that was admitted may do what a route asks for."""
        return allowed(caller, permission, anonymous=self._anonymous)

    def look(self, now_s: float) -> None:
        """See whether the list, or what the voucher believes, changed."""
        self._looked_s = now_s
        try:
            if self.closed is not None or mark(self._path) != self._mark:
                self._take(*read(self._path))
        except (Refused, OSError) as error:
            self.closed = str(error)
            self._held.clear()
        if self._voucher is not None:
            self._voucher.tend(now_s)

    def _take(self, tokens: tuple[Token, ...], seen: Mark | None) -> None:
        self._held = {
            bytes.fromhex(each.sha256): _Held(
                Caller(name=each.name, scopes=expanded(each.scopes), id=each.id),
                math.inf if each.expires is None else each.expires.timestamp(),
                each.revoked is not None,
            )
            for each in tokens
        }
        self._mark, self.closed = seen, None

    def _stranger(self, token: bytes, digest: bytes, now_s: float) -> Caller | Problem:
        """Judge what no list knows."""
        voucher = self._voucher
        if voucher is not None:
            if self._edition != voucher.edition:
                # A key may have been withdrawn: nobody is in on what was believed before.
                self._vouched.clear()
                self._edition = voucher.edition
            known = self._vouched.get(digest)
            if known is not None and now_s < known.until_s:
                return known.caller
        if SECRET.fullmatch(token):
            return Problem.UNKNOWN if self.closed is None else Problem.CLOSED
        if not SIGNED.fullmatch(token):
            return Problem.MALFORMED
        return Problem.UNKNOWN if voucher is None else self._by_voucher(voucher, token, digest, now_s)

    def _by_voucher(self, voucher: Voucher, token: bytes, digest: bytes, now_s: float) -> Caller | Problem:
        self._vouched.pop(digest, None)
        found = voucher.verify(token, now_s)
        if isinstance(found, Problem):
            return found
        self._vouched[digest] = found
        if len(self._vouched) > MOST_VOUCHED:
            self._vouched.popitem(last=False)
        return found.caller
