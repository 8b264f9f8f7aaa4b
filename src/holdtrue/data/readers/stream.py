"""A file as plain bytes, whatever it was compressed with; what is broken is said in words."""

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

from holdtrue.core.errors import DataFault

CHUNK_BYTES = 1 << 20

MAGIC = {
    "gz": b"\x1f\x8b",
    "bz2": b"BZh",
    "xz": b"\xfd7zXZ\x00",
    "zst": b"\x28\xb5\x2f\xfd",
    "zip": b"PK\x03\x04",
}
# After "BZh" and the level comes the first block, which begins with the digits of pi: text cannot look like it.
BZ2_BLOCK = bytes.fromhex("314159265359")


@runtime_checkable
class Readable(Protocol):
    """What gives bytes."""

    def read(self, size: int = -1, /) -> bytes: ...


def compression(path: Path) -> str | None:
    """Tell how a file is compressed from its first bytes, not from its name."""
    with path.open("rb") as stream:
        head = stream.read(10)
    for name, magic in MAGIC.items():
        if head.startswith(magic) and (name != "bz2" or head[4:10] == BZ2_BLOCK):
            return name
    return None


def chunks(path: Path, *, where: str) -> Iterator[bytes]:
    """Give a file's bytes, decompressed, a piece at a time; raises `DataFault` when the compressed stream is broken."""
    kind = compression(path)
    broken = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
    if kind is not None:
        broken = (*broken, OSError)
    try:
        with opened(path, kind, where) as stream:
            while piece := stream.read(CHUNK_BYTES):
                yield piece
    except broken as error:
        raise DataFault(
            f"{where} is a broken {kind} file: {error}",
            do="It was cut off or damaged on its way here; copy it again and compare the sizes.",
        ) from error


@contextmanager
def opened(path: Path, kind: str | None, where: str) -> Generator[Readable]:
    if kind == "gz":
        with gzip.open(path, "rb") as stream:
            yield stream
    elif kind == "bz2":
        with bz2.open(path, "rb") as stream:
            yield stream
    elif kind == "xz":
        with lzma.open(path, "rb") as stream:
            yield stream
    elif kind == "zst":
        import pyarrow as pa

        with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
            yield stream
    elif kind == "zip":
        with zipfile.ZipFile(path) as archive, archive.open(only_member(archive, where)) as stream:
            yield stream
    else:
        with path.open("rb") as stream:
            yield stream


def only_member(archive: zipfile.ZipFile, where: str) -> zipfile.ZipInfo:
    """Give the one file in an archive; what the Finder adds is not counted."""
    members = [
        entry for entry in archive.infolist() if not entry.is_dir() and not entry.filename.startswith("__MACOSX")
    ]
    if any(entry.filename == "[Content_Types].xml" for entry in members):
        raise DataFault(f"{where} is an Excel workbook.", do="Save the sheet as CSV (UTF-8) and name that file.")
    if len(members) != 1:
        names = ", ".join(entry.filename for entry in members[:5]) or "nothing"
        raise DataFault(
            f"{where} is a zip archive of {len(members)} files ({names}); one is expected.",
            do="Unpack it and name the file that holds the rows, or the folder of its parts.",
        )
    if members[0].flag_bits & 1:
        raise DataFault(f"{where} is a zip archive with a password.", do="Unpack it first.")
    return members[0]


def inner_name(path: Path) -> str:
    """Name what is inside: `a.jsonl` for `a.jsonl.gz`, the member of a zip archive.

    >>> inner_name(Path("rows.jsonl"))
    'rows.jsonl'
    """
    suffix = path.suffix.lower()
    if suffix == ".zip":
        try:
            with zipfile.ZipFile(path) as archive:
                return only_member(archive, path.name).filename
        except zipfile.BadZipFile:
            return path.stem
    return path.stem if suffix in {".gz", ".bz2", ".xz", ".zst", ".zstd"} else path.name
