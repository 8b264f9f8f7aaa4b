"""Signed notes (C2SP signed-note and tlog-checkpoint): a small text with the length and the root of the ledger.

Whoever keeps a copy elsewhere can later prove that the ledger still begins with what it held then.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from holdtrue.core.errors import Refused

PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
ED25519 = b"\x01"
MOST_SIGNATURES = 16
LARGEST_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Signer:
    """A name for the key, its four-byte id, and the deed itself: bytes in, signature out."""

    name: str
    key_id: bytes
    sign: Callable[[bytes], bytes]

    def __post_init__(self) -> None:
        if not self.name or re.search(r"[\s+]", self.name) or len(self.key_id) != 4:
            raise ValueError(f"{self.name!r} cannot sign: a name holds no space and no plus, an id has four bytes.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """How many entries a ledger had, and the root of their tree. `origin` names the ledger."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def signer(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey, *, name: str) -> Signer:
    """Make a signer of a private key: Ed25519, or a NIST curve as the keys of releases are."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return Signer(name=name, key_id=key_id(key.public_key(), name=name), sign=key.sign)

    def sign(data: bytes) -> bytes:
        return key.sign(data, ec.ECDSA(hashes.SHA256()))

    return Signer(name=name, key_id=key_id(key.public_key(), name=name), sign=sign)


def load_signer(private: Path, *, name: str) -> Signer:
    """Make a signer of the PEM file of a key, such as the one that signs releases."""
    key = load_pem_private_key(private.read_bytes(), None)
    assert isinstance(key, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey), f"{private} is no signing key"
    return signer(key, name=name)


def load_trusted(public: Iterable[Path]) -> tuple[PublicKey, ...]:
    """Read the PEM files of trusted keys, such as those whose releases are accepted."""
    keys = [load_pem_public_key(path.read_bytes()) for path in public]
    return tuple(key for key in keys if isinstance(key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey))


def key_id(key: PublicKey, *, name: str) -> bytes:
    """The first four bytes of a hash of the key, as the specification counts them for each kind of key."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return hashlib.sha256(name.encode() + b"\n" + ED25519 + raw).digest()[:4]
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()[:4]


def sign_note(text: str, by: Signer) -> str:
    """Put a signature under a text that ends with a newline."""
    line = base64.b64encode(by.key_id + by.sign(text.encode())).decode()
    return f"{text}\n— {by.name} {line}\n"


def open_checkpoint(note: str, trusted: Sequence[PublicKey]) -> Checkpoint:
    """Read a checkpoint; raises `Refused` unless a trusted key signed it. Without keys only the form is checked."""
    text, signatures = _split(note)
    if trusted and not any(_signed(text, name, signature, trusted) for name, signature in signatures):
        names = ", ".join(name for name, _ in signatures)
        raise Refused(
            f"The checkpoint of the ledger is not signed by a trusted key (it names {names}).",
            do="Compare it with a copy kept elsewhere;"
            " if another key signs here too, accept it: holdtrue trust FILE.pub",
        )
    lines = text.split("\n")
    if len(lines) < 4 or not re.fullmatch(r"0|[1-9][0-9]{0,17}", lines[1]):
        raise _malformed()
    found = Checkpoint(origin=lines[0], size=int(lines[1]), root=_decoded(lines[2]))
    # Exactly one way to write it: nothing can hide beside what is read.
    if len(found.root) != 32 or found.text() != text:
        raise _malformed()
    return found


def _split(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    text, blank, tail = note.rpartition("\n\n")
    lines = tail.split("\n")
    if not blank or lines.pop() or not 1 <= len(lines) <= MOST_SIGNATURES or len(note) > LARGEST_BYTES:
        raise _malformed()
    signatures: list[tuple[str, bytes]] = []
    for line in lines:
        match = re.fullmatch(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})", line)
        if match is None:
            raise _malformed()
        signatures.append((match[1], _decoded(match[2])))
    return text + "\n", signatures


def _decoded(encoded: str) -> bytes:
    """Decode what only one text stands for: some tools accept stray bits in the last digit."""
    try:
        data = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise _malformed() from None
    if base64.b64encode(data).decode() != encoded:
        raise _malformed()
    return data


def _signed(text: str, name: str, signature: bytes, trusted: Sequence[PublicKey]) -> bool:
    for key in trusted:
        if key_id(key, name=name) != signature[:4]:
            continue
        try:
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature[4:], text.encode())
            else:
                key.verify(signature[4:], text.encode(), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            continue
        return True
    return False


def _malformed() -> Refused:
    return Refused(
        "The checkpoint of the ledger is not a signed note, or was altered.",
        do="Compare it with a copy kept elsewhere before you trust the ledger.",
    )
