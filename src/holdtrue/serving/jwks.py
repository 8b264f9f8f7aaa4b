"""The public keys of an issuer: read from a file or fetched, kept, and renewed in a thread of their own.

Only keys that can be used are kept, each bound to the one algorithm it is for: what a token says of itself chooses
among them and nothing else.
"""

import math
import os
import stat
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import DecodeError, json

from holdtrue.core.errors import HoldtrueError, Refused
from holdtrue.core.web import Unreached, ask, checked_url

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    Key = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

ALGORITHMS: Mapping[object, str] = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}
RSA_BITS = (2048, 8192)  # fewer are weak (NIST SP 800-131A); more make one check cost milliseconds
MOST_BYTES = 256 * 1024
MOST_KEYS = 64
PATIENCE_S = 10.0
ASK_AGAIN_S = 60.0  # whoever invents names of keys makes us ask the issuer once a minute, not more
ASK_AGAIN_WHEN_EMPTY_S = 5.0
DISCOVERY = "/.well-known/openid-configuration"


class Keys:
    """What an issuer's keys are now; `edition` changes with them, `fault` says why they could not be renewed.

    Attributes:
        renew_s: how old they may be before they are asked for again, so that a withdrawn key goes.
        stale_s: how long they are believed when that fails; 0 is not at all.
    """

    def __init__(self, load: Callable[[], bytes], *, renew_s: float, stale_s: float) -> None:
        self.edition = 0
        self.fault: str | None = "The keys of the issuer have not been read yet."
        self._load = load
        self._renew_s = renew_s
        self._stale_s = stale_s
        self._keys: Mapping[tuple[str | None, str], Key] = {}
        self._asked_s = -math.inf
        self._good_s = -math.inf
        self._asking = threading.Lock()

    def find(self, name: str | None, algorithm: str) -> "Key | None":
        """Give the key that is for this algorithm; a token that names none means the only key there is."""
        keys = self._keys
        if name is None and len(keys) == 1:
            (only,) = keys.items()
            return only[1] if only[0][1] == algorithm else None
        return keys.get((name, algorithm)) if name is not None else None

    @property
    def is_renewing(self) -> bool:
        return self._asking.locked()

    def tend(self, now_s: float) -> None:
        """Renew in the background what has grown old."""
        if not 0.0 <= now_s - self._asked_s < (self._renew_s if self._keys else ASK_AGAIN_WHEN_EMPTY_S):
            self.renew_soon(now_s)

    def renew_soon(self, now_s: float) -> None:
        """Ask for the keys in a thread, unless that was done within the last minute."""
        if 0.0 <= now_s - self._asked_s < (ASK_AGAIN_S if self._keys else ASK_AGAIN_WHEN_EMPTY_S):
            return
        if not self._asking.acquire(blocking=False):
            return
        self._asked_s = now_s
        try:
            threading.Thread(target=self._renew_and_release, args=[now_s], name="jwks", daemon=True).start()
        except RuntimeError as error:  # no more threads are to be had; the next one asks again
            self.fault = f"The keys of the issuer could not be asked for: {error}."
            self._asking.release()

    def _renew_and_release(self, now_s: float) -> None:
        try:
            self.renew(now_s)
        finally:
            self._asking.release()

    def renew(self, now_s: float) -> None:
        """Ask for the keys and wait for them; `fault` is None when that went well."""
        self._asked_s = now_s
        try:
            keys = parse(self._load())
        except HoldtrueError as error:
            self.fault = str(error)
            if now_s - self._good_s < self._stale_s:
                return
            keys = {}
        else:
            self._good_s = now_s
            self.fault = None if keys else "The issuer has no key that can be used."
        if keys != self._keys:
            self._keys = keys
            self.edition += 1


def parse(data: bytes) -> "Mapping[tuple[str | None, str], Key]":
    """Read a JSON Web Key Set (RFC 7517): the usable keys, by name and algorithm. Others in it are passed over."""
    try:
        found = json.decode(data, type=dict[str, object]).get("keys")
    except (DecodeError, RecursionError) as error:
        raise Refused(f"The keys of the issuer cannot be read: {error}.", do="They should be a JWKS.") from None
    if not isinstance(found, list) or len(found) > MOST_KEYS:
        raise Refused(f"The keys of the issuer are no list of at most {MOST_KEYS}.", do="They should be a JWKS.")
    keys: dict[tuple[str | None, str], Key] = {}
    for each in found:
        key = _usable(each)
        if key is None:
            continue
        name = (each.get("kid"), ALGORITHMS[each["kty"]])
        if name in keys:
            raise Refused(f"The issuer has two keys of the name {name[0]!r}.", do="It must be told which is meant.")
        keys[name] = key
    return keys


def _usable(jwk: Any) -> "Key | None":
    """Give a public key for checking signatures with one of our algorithms; a private or secret one is none."""
    from jwt import PyJWK
    from jwt.exceptions import PyJWTError

    if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str | None) or jwk.get("use", "sig") != "sig":
        return None
    kind = jwk.get("kty")
    algorithm = ALGORITHMS.get(kind) if isinstance(kind, str) else None
    if algorithm is None or jwk.get("alg", algorithm) != algorithm or "d" in jwk or len(str(jwk.get("n"))) > 2048:
        return None
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        key = PyJWK.from_dict(jwk, algorithm).key
    except (PyJWTError, ValueError, TypeError, KeyError, OverflowError):
        return None
    return key if _fits(key, algorithm) else None


def _fits(key: object, algorithm: str) -> bool:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    match algorithm:
        case "RS256":
            return isinstance(key, rsa.RSAPublicKey) and RSA_BITS[0] <= key.key_size <= RSA_BITS[1]
        case "ES256":
            return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
        case _:
            return isinstance(key, ed25519.Ed25519PublicKey)


def from_file(path: Path) -> bytes:
    """Read the keys of an issuer that were put on this machine; links are followed, as mounted secrets are links."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            about = os.fstat(handle)
            if not stat.S_ISREG(about.st_mode) or about.st_mode & 0o022:
                raise Refused(f"Others can change {path}, or it is no file.", do=f"Close it: chmod go-w {path}")
            with os.fdopen(handle, "rb", closefd=False) as stream:
                data = stream.read(MOST_BYTES + 1)
        finally:
            os.close(handle)
    except OSError as error:
        raise Refused(f"The keys {path} cannot be read: {error.strerror}.", do="Name the file of a JWKS.") from None
    return _bounded(data, str(path))


def from_issuer(issuer: str) -> bytes:
    """Ask an issuer where its keys are (OpenID Connect Discovery), and fetch them from there."""
    place = issuer.rstrip("/") + DISCOVERY
    try:
        about = json.decode(fetch(place), type=dict[str, object])
    except (DecodeError, RecursionError) as error:
        raise Refused(f"{place} is not JSON: {error}.", do="Name the address of the keys itself.") from None
    if about.get("issuer") != issuer:
        raise Refused(f"{place} speaks for another issuer.", do="Write the issuer exactly as it writes itself.")
    where = str(about.get("jwks_uri"))
    if checked_url(where).scheme != "https" and checked_url(issuer).scheme == "https":
        raise Refused(f"{place} names keys without TLS.", do="Name the address of the keys itself.")
    return fetch(where)


def fetch(url: str) -> bytes:
    """Get one address over TLS; raises `Refused`."""
    try:
        answer = ask(url, headers={"Accept": "application/json"}, most_bytes=MOST_BYTES, patience_s=PATIENCE_S)
    except Unreached as error:
        raise Refused(error.what, do=error.do) from None
    if answer.status != 200:
        raise Refused(f"{url} answered {answer.status}.", do="Name the address itself; none is followed further.")
    return answer.body


def _bounded(data: bytes, where: str) -> bytes:
    if len(data) > MOST_BYTES:
        raise Refused(f"{where} has more than {MOST_BYTES:,} bytes.", do="A JWKS of an issuer is smaller.")
    return data
