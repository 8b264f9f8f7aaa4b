"""What a thing is called: the SHA-256 of its bytes, or of its canonical JSON."""

import hashlib
import json
from pathlib import Path

Json = dict[str, "Json"] | list["Json"] | tuple["Json", ...] | str | int | float | bool | None


def canonical_json(value: object) -> bytes:
    """Write JSON one way only: keys sorted, no spaces, no NaN, UTF-8 (in the spirit of RFC 8785).

    >>> canonical_json({"b": 1.5, "a": [True, None]})
    b'{"a":[true,null],"b":1.5}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def sha256_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_of(value: object) -> str:
    """Name a JSON value by its content.

    >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    True
    """
    return sha256_bytes(canonical_json(value))
