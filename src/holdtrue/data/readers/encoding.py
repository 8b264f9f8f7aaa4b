"""The bytes of a text file as UTF-8, whatever they were written in.

A file is surveyed whole before a row of it is believed: a mark at its start decides; else it is UTF-8 if every byte
is; else cp1252 if no byte is outside it and it is not UTF-8 with a few broken bytes. What was chosen is told.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from holdtrue.core.errors import DataFault, Misuse
from holdtrue.data.readers.faults import SHOWN, Faults, crop
from holdtrue.data.readers.stream import chunks

MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# No line of a table is longer; a file without line breaks is not one.
LINE_BYTES = 1 << 24

KINDS = (
    (b"PAR1", "a compressed Parquet file; unpack it"),
    (b"ARROW1", "a compressed Arrow file; unpack it"),
    (b"SQLite format 3", "an SQLite database; name it as sqlite:///path and give a query"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save the sheet as CSV"),
    (b"\x89HDF", "an HDF5 file; write it as Parquet"),
    (b"PK\x03\x04", "a zip archive inside another; unpack it"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoding:
    """How a file's bytes are text: Python's name of the codec, the bytes of the mark to skip, what to tell."""

    name: str
    skip: int = 0
    note: str = ""


@dataclass(kw_only=True, slots=True)
class Survey:
    """What one pass over the bytes found."""

    head: bytes = b""
    bad: list[tuple[int, bytes]] = field(default_factory=list[tuple[int, bytes]])  # line, its bytes
    bad_lines: int = 0
    bad_bytes: int = 0
    beyond_ascii: int = 0
    unknown_to_cp1252: bool = False
    nul_line: int = 0


def find_encoding(path: Path, asked: str | None, *, where: str) -> Encoding:
    """Decide a file's encoding; raises `DataFault` when it is empty, binary, or its bytes are no text."""
    head = next(chunks(path, where=where), b"")
    if not head:
        raise DataFault(f"{where} is empty (0 bytes).", do="Export it again; something wrote no rows.")
    name, skip = marked(head) or ("", 0)
    if asked:
        wanted = codec(asked)
        if not name or not wanted.startswith(name[:6]):  # "utf-16" is any of utf-16, utf-16-le and utf-16-be
            name, skip = wanted, 0
    if is_wide(name or "utf-8"):
        survey_wide(path, name, skip, where=where)
        return Encoding(name=name, skip=skip)
    survey = survey_lines(path, name or "utf-8", skip, where=where)
    if survey.nul_line:
        raise DataFault(f"{where} is not text: it holds a NUL byte in line {survey.nul_line}.", do=hint(survey.head))
    if not survey.bad_lines:
        return Encoding(name=name or "utf-8", skip=skip)
    if name:
        raise broken(survey, name, where)
    return guessed(survey, where)


def marked(head: bytes) -> tuple[str, int] | None:
    return next(((name, len(mark)) for mark, name in MARKS if head.startswith(mark)), None)


def is_wide(name: str) -> bool:
    return name.startswith(("utf-16", "utf-32"))


def codec(asked: str) -> str:
    try:
        found = codecs.lookup(asked)
        "".encode(found.name)  # refuses codecs that are not about text, such as base64
    except (LookupError, ValueError) as error:
        raise Misuse(
            f"There is no encoding named {asked!r}; common ones: utf-8, utf-16, cp1252, latin-1, shift_jis, gb18030."
        ) from error
    return "utf-8" if found.name == "utf-8-sig" else found.name


def survey_lines(path: Path, name: str, skip: int, *, where: str) -> Survey:
    """Try every line of a file whose line breaks are plain bytes."""
    survey = Survey()
    line = 1
    for block in blocks(path, skip, where=where):
        survey.head = survey.head or block[:64]
        if not survey.nul_line and (place := block.find(b"\0")) >= 0:
            survey.nul_line = line + block.count(b"\n", 0, place)
        try:
            text = block.decode(name)
            survey.beyond_ascii += 0 if text.isascii() else beyond_ascii(text)
        except UnicodeDecodeError:
            look_closer(block, name, line, survey)
        line += block.count(b"\n")
    return survey


def look_closer(block: bytes, name: str, first_line: int, survey: Survey) -> None:
    """Count what cannot be decoded, and keep the first such lines."""
    for line, data in enumerate(block.split(b"\n"), first_line):
        try:
            survey.beyond_ascii += beyond_ascii(data.decode(name))
        except UnicodeDecodeError:
            kept = data.decode(name, "ignore")
            survey.beyond_ascii += beyond_ascii(kept)
            survey.bad_bytes += max(1, len(data) - len(kept.encode(name, "ignore")))
            survey.bad_lines += 1
            survey.unknown_to_cp1252 |= any(byte in data for byte in b"\x81\x8d\x8f\x90\x9d")
            if len(survey.bad) < SHOWN:
                survey.bad.append((line, data))


def beyond_ascii(text: str) -> int:
    return len(text) - len(text.encode("ascii", "ignore"))


def blocks(path: Path, skip: int, *, where: str) -> Iterator[bytes]:
    """Give whole lines, many at a time."""
    rest = b""
    for piece in chunks(path, where=where):
        data = rest + piece[skip:]
        skip = 0
        cut = data.rfind(b"\n") + 1
        if not cut and len(data) > LINE_BYTES:
            raise DataFault(
                f"{where} has no line break in {LINE_BYTES >> 20} MiB; it is not a table.", do=hint(data[:64])
            )
        rest = data[cut:]
        if cut:
            yield data[:cut]
    if rest:
        yield rest


def survey_wide(path: Path, name: str, skip: int, *, where: str) -> None:
    """Try a UTF-16 or UTF-32 file."""
    line = 1
    for text in decoded(path, Encoding(name=name, skip=skip), where=where):
        if "\0" in text:
            line += text.count("\n", 0, text.index("\0"))
            raise DataFault(f"{where} is not {name} text: it holds a NUL in line {line}.", do="Name its encoding.")
        line += text.count("\n")


def decoded(path: Path, encoding: Encoding, *, where: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding.name)("strict")
    skip = encoding.skip
    try:
        for piece in chunks(path, where=where):
            yield decoder.decode(piece[skip:])
            skip = 0
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise DataFault(
            f"{where} is not {encoding.name} text: {error.reason} ({error.object[error.start : error.end].hex(' ')}).",
            do="Name its encoding (`encoding:`), or convert it to UTF-8.",
        ) from error


def utf8(path: Path, encoding: Encoding, *, where: str) -> Iterator[bytes]:
    """Give a surveyed file's text as UTF-8."""
    if encoding.name != "utf-8":
        yield from (text.encode() for text in decoded(path, encoding, where=where))
        return
    skip = encoding.skip
    for piece in chunks(path, where=where):
        yield piece[skip:]
        skip = 0


def guessed(survey: Survey, where: str) -> Encoding:
    """Choose cp1252 for what is not UTF-8, unless it is rather UTF-8 that was damaged, or something else."""
    if survey.beyond_ascii > survey.bad_bytes:
        raise broken(survey, "utf-8", where, note=" (most of it is)")
    if survey.unknown_to_cp1252:
        raise broken(survey, "utf-8", where, note=", nor cp1252")
    line, data = survey.bad[0]
    text = crop(data.decode("cp1252").strip(), 60)
    return Encoding(
        name="cp1252",
        note=f"{where} is not UTF-8 and was read as cp1252; line {line} then says {text}. "
        f"Name its encoding (`encoding:`) if that is wrong.",
    )


def broken(survey: Survey, name: str, where: str, note: str = "") -> DataFault:
    faults = Faults(where=where)
    for line, data in survey.bad:
        faults.add(f"line {line}: {crop(data.decode(name, 'backslashreplace'))} is not {name}{note}")
    faults.count = survey.bad_lines
    return faults.error(do="Name its encoding (`encoding: latin-1` reads any byte), or repair these lines.")


def hint(head: bytes) -> str:
    """Say what a file probably is instead of text."""
    for magic, what in KINDS:
        if head.startswith(magic):
            return f"It looks like {what}."
    if len(head) >= 4 and not any(head[1:40:2]):
        return "It looks like UTF-16 without a mark: say `encoding: utf-16-le`."
    if len(head) >= 4 and not any(head[0:40:2]):
        return "It looks like UTF-16 without a mark: say `encoding: utf-16-be`."
    return "Name a CSV, JSON lines, Parquet or Arrow file."
