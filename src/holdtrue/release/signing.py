"""Who made a release, and that no byte of it changed: OpenSSF model signing with a key of our own.

A signature is a Sigstore bundle around an in-toto statement that names every file by SHA-256, so the `model_signing`
tool of anyone else verifies it too. Here it is checked against bytes already in memory, and only in the one spelling
that `sign` writes: no older formats, no ignored files, no links.
"""

import base64
import binascii
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdtrue.core.digest import canonical_json, sha256_bytes
from holdtrue.core.errors import HoldtrueError, Refused
from holdtrue.core.files import new_file, sync, write_whole
from holdtrue.release.held import SIGNATURE, hold

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

PRIVATE = "signing.pem"
PUBLIC = "signing.pub"
TRUSTED = "trusted"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
STATEMENT = "application/vnd.in-toto+json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """A signing key on disk; `fingerprint` is the SHA-256 of its public half."""

    private: Path
    public: Path
    fingerprint: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """The bytes of a release after its signature was found right, and the key that made it."""

    folder: Path
    files: Mapping[str, bytes]
    fingerprint: str


def signing_key(keys: Path) -> Key:
    """Give the key of this store; made on first use, readable by its owner alone."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private, public = keys / PRIVATE, keys / PUBLIC
    if not private.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        pem = made.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _write_once(private, pem)
    if private.stat().st_mode & 0o077:
        raise Refused(
            f"The signing key {private} can be read by others, so it proves nothing.",
            do=f"Close it with `chmod 600 {private}`; if others were on this machine, delete it and sign anew.",
        )
    try:
        loaded = serialization.load_pem_private_key(private.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise Refused(f"The signing key {private} cannot be read: {error}.", do="Restore it from a backup.") from None
    pem, fingerprint = _spelled(loaded.public_key(), private)
    if not public.exists() or public.read_bytes() != pem:
        write_whole(public, pem)
    return Key(private=private, public=public, fingerprint=fingerprint)


def _write_once(path: Path, data: bytes) -> None:
    """Write a private file unless another process was first; the first one's bytes stay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    with new_file(path.parent) as (stream, name):
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(name)
    sync(path.parent)


def _spelled(key: object, where: Path) -> tuple[bytes, str]:
    """Write a public key the one way a fingerprint is taken of; only curve P-256 is known."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise Refused(f"{where} is not an elliptic-curve key on P-256.", do="Use a key that Holdtrue made.")
    known: EllipticCurvePublicKey = key
    pem = known.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem, sha256_bytes(pem)


def trusted_keys(keys: Path) -> dict[str, Path]:
    """Give the public keys whose releases are accepted, by fingerprint: our own, and those in `trusted/*.pub`."""
    found: dict[str, Path] = {}
    own = [signing_key(keys).public] if (keys / PRIVATE).exists() else []
    for path in [*own, *sorted((keys / TRUSTED).glob("*.pub"))]:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise Refused(f"The trusted key {path} cannot be read: {error.strerror}.", do="Replace it.") from None
        found[public_key(data, path)[1]] = path
    return found


def public_key(data: bytes, where: Path) -> tuple[bytes, str]:
    """Read a public key; gives it spelled the one way a fingerprint is taken of, and that fingerprint."""
    from cryptography.hazmat.primitives import serialization

    if b"PRIVATE KEY" in data:
        raise Refused(
            f"{where} is a private key.", do="Never hand it out; what others need is the .pub file beside it."
        )
    try:
        key = serialization.load_pem_public_key(data)
    except ValueError:
        raise Refused(
            f"{where} is not a public key in PEM.", do="Whoever signs has theirs as keys/signing.pub in their store."
        ) from None
    return _spelled(key, where)


def sign(files: Mapping[str, bytes], *, name: str, key: Key) -> bytes:
    """Sign named bytes; gives the content of `model.sig`. `name` is only told to the reader."""
    from model_signing import hashing, manifest, signing

    kind = manifest.SerializationType.from_args(
        {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": [SIGNATURE]}
    )
    items = [
        kind.new_item(file, hashing.hashing.Digest("sha256", bytes.fromhex(sha256_bytes(data))))
        for file, data in sorted(files.items())
    ]
    payload = signing.signing.Payload(manifest.Manifest(name, items, kind))
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / SIGNATURE
        signing.ec_key.Signer(key.private).sign(payload).write(place)
        made = canonical_json(json.loads(place.read_bytes()))
    if _opened(made)["verificationMaterial"]["publicKey"]["hint"] != key.fingerprint:
        raise HoldtrueError("The signature names another key than the one that made it.", do="Make a new key.")
    return made


def _opened(data: bytes) -> dict[str, Any]:
    """Parse a signature that is spelled exactly as `sign` spells it; raises ValueError, KeyError or TypeError."""
    value = json.loads(data)
    envelope = value["dsseEnvelope"]
    payload, mark = envelope["payload"], envelope["signatures"][0]["sig"]
    for text in (payload, mark):
        if base64.b64encode(base64.b64decode(text, validate=True)).decode() != text:
            raise ValueError("its base64 has more than one reading")
    expected = {
        "mediaType": BUNDLE,
        "verificationMaterial": {
            "publicKey": {"hint": str(value["verificationMaterial"]["publicKey"]["hint"])},
            "tlogEntries": [],
        },
        "dsseEnvelope": {
            "payload": payload,
            "payloadType": STATEMENT,
            "signatures": [{"sig": mark, "keyid": ""}],
        },
    }
    if canonical_json(expected) != data:
        raise ValueError("it is not spelled the one way Holdtrue writes it")
    return expected


def verify(folder: Path, trusted: Mapping[str, Path]) -> Verified:
    """Read a release once and check every byte of it; raises `Refused` unless a trusted key signed exactly that.

    `trusted` maps the fingerprint of a public key to its file; see `trusted_keys`.
    """
    files = hold(folder)
    try:
        bundle = _opened(files[SIGNATURE])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError, binascii.Error) as error:
        raise Refused(f"The signature of {folder} cannot be read: {error}.", do=REMEDY) from None
    fingerprint = bundle["verificationMaterial"]["publicKey"]["hint"]
    if fingerprint not in trusted:
        raise Refused(
            f"The release {folder} was signed by a key that is not trusted here: {fingerprint}.",
            do="If you know whose key that is, ask them for keys/signing.pub of their store and accept it: "
            "holdtrue trust FILE (it is then kept in keys/trusted of this one).",
        )
    signed = _signed_hashes(folder, bundle, trusted[fingerprint])
    hashes = {name: sha256_bytes(data) for name, data in files.items() if name != SIGNATURE}
    if signed != hashes:
        faults = [
            f"{name} {'changed since it was signed' if name in signed and name in hashes else 'is not what was signed'}"
            for name in sorted({*signed, *hashes})
            if signed.get(name) != hashes.get(name)
        ]
        raise Refused(f"The release {folder} is not what was signed:", faults=faults, do=REMEDY)
    return Verified(folder=folder, files=files, fingerprint=fingerprint)


REMEDY = "Use an untouched copy, or make the release again: holdtrue run"


def _signed_hashes(folder: Path, bundle: dict[str, Any], public: Path) -> dict[str, str]:
    """Check the signature over the statement with the library, and give the hashes the statement names."""
    from model_signing import verifying

    try:
        read = verifying.sigstore_pb.bundle_pb.Bundle.from_dict(bundle)
        manifest = verifying.ec_key.Verifier(public).verify(verifying.sigstore_pb.Signature(read))
        entries = [(entry.identifier, entry.digest) for entry in manifest.resource_descriptors()]
    except Exception as error:  # the library raises whatever its parsers do; all of it means no
        about = str(error) or type(error).__name__
        raise Refused(f"The signature of {folder} does not hold: {about}.", do=REMEDY) from None
    return {name: digest.digest_hex if digest.algorithm == "sha256" else "" for name, digest in entries}
