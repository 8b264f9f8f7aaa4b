"""What every stage may use: errors, catalogs of plug-ins, digests and files that are written whole or not at all.

The path through this package:
    errors.py    one tree of errors, each with its exit code
    digest.py    canonical JSON and SHA-256: what a thing is called
    files.py     atomic, durable writes and the content-addressed store
    catalog.py   plug-ins: one file, one constant, found by name
"""

from holdtrue.core.catalog import Catalog
from holdtrue.core.digest import Json, canonical_json, digest_of, sha256_bytes, sha256_file
from holdtrue.core.errors import Busy, DataFault, HoldtrueError, Misuse, Refused
from holdtrue.core.files import ObjectStore

__all__ = [
    "Busy",
    "Catalog",
    "DataFault",
    "HoldtrueError",
    "Json",
    "Misuse",
    "ObjectStore",
    "Refused",
    "canonical_json",
    "digest_of",
    "sha256_bytes",
    "sha256_file",
]
