"""Tokens that an OpenID Connect issuer signed (JWT): whom it vouches for, and what they may do here.

The order is: algorithm and key by what is configured, then the signature, then the claims; nothing a token says of
where its key is (`jku`, `x5u`, `jwk`, `x5c`) is looked at.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from msgspec import DecodeError, Struct, ValidationError, convert, json

from holdtrue.core.errors import Misuse, Refused, nearest
from holdtrue.serving.callers import SCOPES, Caller, Problem, Scope, expanded
from holdtrue.serving.doorman import Vouched
from holdtrue.serving.jwks import ALGORITHMS, Keys, checked_url, fetch, from_file, from_issuer

LEEWAY_S = 30.0
KNOWN_ALGORITHMS = frozenset(ALGORITHMS.values())
MOST_NAME = 255  # of a subject: OpenID Connect Core, section 2
FILE_RENEW_S, URL_RENEW_S = 60.0, 600.0
URL_STALE_S = 86_400.0  # whoever cannot be reached for a day has made no token that is still valid


def _plainly() -> Mapping[str, tuple[str, ...]]:
    return {f"holdtrue:{scope}": (scope,) for scope in SCOPES}


@dataclass(frozen=True, kw_only=True, slots=True)
class Issuer:
    """Whose tokens are believed, and what they mean here.

    Attributes:
        name: the claim `iss`, exactly as the issuer writes it; an address.
        audience: what `aud` must hold, so that a token made for another service opens nothing here.
        keys: the file or the address of its JWKS; None asks the issuer where they are.
        claims: where scopes are written, as one text with spaces or as a list; all that are there count.
        scopes: what each word in those claims gives here; other words give nothing.
    """

    name: str
    audience: str
    keys: Path | str | None = None
    claims: tuple[str, ...] = ("scope", "scp", "roles")
    scopes: Mapping[str, tuple[str, ...]] = field(default_factory=_plainly)

    def __post_init__(self) -> None:
        if not self.audience:
            raise Misuse("An issuer needs an audience.", do="Write what its tokens for this service hold as `aud`.")
        if not isinstance(self.keys, Path):
            checked_url(self.name if self.keys is None else self.keys)
        for scope in (scope for given in self.scopes.values() for scope in given):
            if scope not in SCOPES:
                raise Misuse(f"There is no scope {scope!r}{nearest(scope, SCOPES)}")


class _Claims(Struct, frozen=True):
    """What every token must say (RFC 9068), of these types."""

    iss: str
    sub: str
    aud: str | list[str]
    exp: float
    nbf: float = 0.0


class Verifier:
    """Judges the tokens of one issuer. It never waits: keys are renewed in a thread, and until they are there `CLOSED`.

    `refused` says in words why the last one was turned away, for whoever sets this up; it holds nothing of the token.
    """

    def __init__(self, issuer: Issuer, keys: Keys) -> None:
        self.refused: str | None = None
        self._issuer = issuer
        self._keys = keys

    @property
    def edition(self) -> int:
        return self._keys.edition

    @property
    def fault(self) -> str | None:
        """Why the keys of the issuer are not there, or are old."""
        return self._keys.fault

    def tend(self, now_s: float) -> None:
        self._keys.tend(now_s)

    def verify(self, token: bytes, now_s: float) -> Vouched | Problem:
        """Say who is vouched for and until when, or why nobody is; `now_s` counts from 1970."""
        from jwt import PyJWS, get_unverified_header
        from jwt.exceptions import PyJWTError

        try:
            header = get_unverified_header(token)
        except (PyJWTError, ValueError, RecursionError):
            return self._no("it is not a JWT, or has a `crit` that is not known", Problem.MALFORMED)
        algorithm, name = header.get("alg"), header.get("kid")
        if "crit" in header or "b64" in header or not isinstance(algorithm, str) or algorithm not in KNOWN_ALGORITHMS:
            return self._no(f"its algorithm is not one of {', '.join(sorted(KNOWN_ALGORITHMS))}, or it has a `crit`")
        key = self._keys.find(name, algorithm)
        if key is None:
            return self._unknown_key(now_s)
        try:
            payload = PyJWS(algorithms=[algorithm]).decode(token, key, algorithms=[algorithm])
        except PyJWTError:
            return self._no("its signature is not of the key that it names")
        return self._claimed(payload, now_s)

    def _unknown_key(self, now_s: float) -> Problem:
        self._keys.renew_soon(now_s)
        if self._keys.is_renewing or self._keys.fault is not None:
            return self._no("its key is not known yet; the issuer is being asked", Problem.CLOSED)
        return self._no("its key is not one of the issuer's, or it names none and there are several")

    def _claimed(self, payload: bytes, now_s: float) -> Vouched | Problem:
        try:
            said = json.decode(payload, type=dict[str, Any])
            claims = convert(said, _Claims)
        except (DecodeError, ValidationError, RecursionError):
            return self._no("one of iss, sub, aud, exp or nbf is missing or of another type")
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if claims.iss != self._issuer.name:
            return self._no("its `iss` is another issuer")
        if self._issuer.audience not in audiences:
            return self._no("its `aud` is another service")
        if not 0 < len(claims.sub) <= MOST_NAME or not claims.sub.isprintable():
            return self._no("its `sub` cannot be written as a name")
        if claims.nbf > now_s + LEEWAY_S:
            return self._no("it is not valid yet")
        if now_s >= claims.exp + LEEWAY_S:
            return self._no("it has expired", Problem.EXPIRED)
        caller = Caller(name=claims.sub, scopes=self._scopes(said), id=f"oidc:{claims.sub}")
        return Vouched(caller, claims.exp + LEEWAY_S)

    def _scopes(self, said: Mapping[str, Any]) -> frozenset[Scope]:
        words: list[object] = []
        for claim in self._issuer.claims:
            value = said.get(claim)
            words += value.split() if isinstance(value, str) else value if isinstance(value, list) else []
        given = {scope for word in words if isinstance(word, str) for scope in self._issuer.scopes.get(word, ())}
        return expanded(scope for scope in SCOPES if scope in given)

    def _no(self, why: str, problem: Problem = Problem.UNKNOWN) -> Problem:
        self.refused = f"The token was turned away: {why}."
        return problem


def verifier(issuer: Issuer, now_s: float) -> Verifier:
    """Begin to believe an issuer; keys in a file must be good now, others are fetched when they are first tended.

    Raises `Misuse` where the packages for this are not installed.
    """
    try:
        import_module("jwt")  # here and not at the first token: it takes a tenth of a second
    except ImportError:
        raise Misuse(
            "Tokens of an issuer cannot be read: pyjwt is not installed.", do="pip install 'holdtrue[oidc]'"
        ) from None
    source = issuer.keys
    if isinstance(source, Path):
        keys = Keys(lambda: from_file(source), renew_s=FILE_RENEW_S, stale_s=0.0)
        keys.renew(now_s)
        if keys.fault is not None:
            raise Refused(f"{source} holds no keys to check tokens with: {keys.fault}")
    else:
        load = (lambda: from_issuer(issuer.name)) if source is None else (lambda: fetch(source))
        keys = Keys(load, renew_s=URL_RENEW_S, stale_s=URL_STALE_S)
    return Verifier(issuer, keys)
