"""What cannot be read is refused: the file, the place, what was found, and what to do."""

import bz2
import gzip
import io
import lzma
import os
import re
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import ipc
from pyarrow import parquet as pq

from holdtrue.core.errors import DataFault, Misuse
from holdtrue.data.source import Source, batches

ROWS = b"a,b\n" + b"1,2\n" * 50_000


def fault(data: bytes | None, folder: Path, name: str = "rows.csv", **said: object) -> str:
    """Write the file (if any), read it, and give the message it is refused with."""
    if data is not None:
        (folder / name).write_bytes(data)
    source = Source(location=name, **said)  # pyright: ignore[reportArgumentType]  the names are the test's
    with pytest.raises(DataFault) as caught:
        list(batches(source, base=folder))
    message = str(caught.value)
    assert message.startswith((name, f"The folder {name}"))
    assert len(message.splitlines()[-1]) > 10, "the last line says what to do"
    return message


def test_a_missing_file_is_answered_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "hotel_bookings.csv").touch()
    assert "did you mean 'hotel_bookings.csv'?" in fault(None, tmp_path, "hotel_booking.csv")
    assert "is not there; there are hotel_bookings.csv" in fault(None, tmp_path, "x")
    assert "the folder" in fault(None, tmp_path, "no/such/rows.csv")


def test_a_folder_without_parts_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    assert "has no parts; it is empty" in fault(None, tmp_path, "parts")
    (tmp_path / "parts" / "notes.md").touch()
    assert "has no parts; it holds notes.md" in fault(None, tmp_path, "parts")


def test_a_folder_of_folders_is_refused(tmp_path: Path) -> None:
    (tmp_path / "parts" / "year=2020").mkdir(parents=True)
    assert "holds folders (year=2020)" in fault(None, tmp_path, "parts")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    assert "neither a file nor a folder" in fault(None, tmp_path, "pipe.csv")


@pytest.mark.parametrize(
    ("name", "data"),
    [("rows.csv", b""), ("rows.csv.gz", gzip.compress(b"", mtime=0)), ("rows.jsonl", b""), ("a.parquet", b"")],
)
def test_an_empty_file_is_refused(name: str, data: bytes, tmp_path: Path) -> None:
    assert "is empty (0 bytes)" in fault(data, tmp_path, name)


@pytest.mark.parametrize("data", [b"\n\n", b"\xef\xbb\xbf\n", b"\r\n"])
def test_a_file_of_blank_lines_is_empty(data: bytes, tmp_path: Path) -> None:
    assert "blank lines only" in fault(data, tmp_path)


@pytest.mark.parametrize("data", [b"a,b", b"a,b\n", b"a,b\r\n\r\n"])
def test_a_header_alone_is_refused(data: bytes, tmp_path: Path) -> None:
    assert "has a header (a, b) and no rows" in fault(data, tmp_path)


def test_parquet_without_rows_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), tmp_path / "a.parquet")
    assert "has a header (a) and no rows" in fault(None, tmp_path, "a.parquet")


def test_all_ragged_rows_are_counted_and_the_first_are_shown(tmp_path: Path) -> None:
    message = fault(b"a,b\n1,2\n3,4,5\n\n6\n" + b"7,8,9\n" * 30, tmp_path)
    assert "rows.csv has 32 faults" in message
    assert "row 3 has 3 fields where 2 are expected: '3,4,5'" in message
    assert "row 4 has 1 field where 2 are expected: '6'" in message
    assert "and 12 more" in message


def test_no_row_is_given_after_a_ragged_one_and_the_end_tells(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(ROWS + b"1\n")
    source = Source(location="rows.csv")
    with pytest.raises(DataFault, match="row 50,002 has 1 field"):
        list(batches(source, base=tmp_path))


def test_a_wrong_delimiter_is_answered_with_the_right_one(tmp_path: Path) -> None:
    message = fault(b"a;b;c\n1;2;3\n", tmp_path, delimiter=",")
    assert "one column when divided at ','" in message
    assert "';', which gives 3 columns" in message


def test_all_bad_names_are_told_at_once(tmp_path: Path) -> None:
    message = fault(b"a,b,a,, \n1,2,3,4,5\n", tmp_path)
    assert "column 4 has no name" in message
    assert "column 5 has no name" in message
    assert "the name 'a' is used by columns 1, 3" in message
    assert "`header: false`" in message


def test_named_columns_must_be_all(tmp_path: Path) -> None:
    assert "has 2 columns in its first row, and 1 are named" in fault(b"1,2\n", tmp_path, header=False, columns=("a",))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"a,b\n1,x\0\n", "NUL byte in line 2"),
        (b"PAR1\0\0" * 5, "cut off"),
        (b"SQLite format 3\0" + b"\0" * 99, "sqlite:///path"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 99, "Excel"),
        ("a,b\n1,2\n".encode("utf-16-le"), "utf-16-le"),
        ("a,b\n1,2\n".encode("utf-16-be"), "utf-16-be"),
    ],
)
def test_what_is_not_text_is_told_what_it_is(data: bytes, told: str, tmp_path: Path) -> None:
    assert told in fault(data, tmp_path)


def test_a_nul_in_wide_text_is_found(tmp_path: Path) -> None:
    assert "NUL in line 2" in fault("a,b\n1,\0\n".encode("utf-16"), tmp_path)


def test_a_file_without_line_breaks_is_no_table(tmp_path: Path) -> None:
    assert "no line break" in fault(b"x" * ((1 << 24) + (1 << 21)), tmp_path)


def test_bytes_that_are_not_in_the_named_encoding_are_told_by_line(tmp_path: Path) -> None:
    message = fault(b"a\nok\ncaf\xe9\nna\xefve\n", tmp_path, encoding="utf-8")
    assert "has 2 faults" in message
    assert r"line 3: 'caf\\xe9' is not utf-8" in message
    assert "line 4" in message


def test_damaged_utf8_is_not_taken_for_cp1252(tmp_path: Path) -> None:
    message = fault("a\nnaïve\nüber\n".encode() + b"caf\xe9\n", tmp_path)
    assert "line 4" in message
    assert "most of it is" in message


def test_bytes_of_no_known_encoding_are_told(tmp_path: Path) -> None:
    assert "is not utf-8, nor cp1252" in fault(b"a\n\x81\x8d\xff\n", tmp_path)


def test_half_a_wide_character_is_told(tmp_path: Path) -> None:
    assert "is not utf-16-le text" in fault("a\nb\n".encode("utf-16")[:-1], tmp_path)


def test_an_unknown_encoding_is_misuse(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"a\n1\n")
    for name in ("utf-9", "base64"):
        with pytest.raises(Misuse, match=f"no encoding named '{name}'"):
            list(batches(Source(location="rows.csv", encoding=name), base=tmp_path))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("rows.csv.gz", gzip.compress(ROWS)[:-20]),
        ("rows.csv.gz", gzip.compress(ROWS)[:-8] + b"\0" * 8),
        ("rows.csv.bz2", bz2.compress(ROWS)[:-20]),
        ("rows.csv.xz", lzma.compress(ROWS)[:-20]),
        ("rows.csv.zst", bytes(pa.compress(ROWS, codec="zstd", asbytes=True))[:-10]),
        ("rows.zip", b"PK\x03\x04" + b"\0" * 50),
    ],
)
def test_a_truncated_archive_is_refused_before_any_row(name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataFault, match="is a broken"):
        next(batches(Source(location=name), base=tmp_path))


def archive(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name in names:
            made.writestr(name, b"a\n1\n")
    return stream.getvalue()


def test_an_archive_of_several_files_names_them(tmp_path: Path) -> None:
    assert "zip archive of 2 files (a.csv, b.csv)" in fault(archive("a.csv", "b.csv"), tmp_path, "rows.zip")
    assert "Excel workbook" in fault(archive("[Content_Types].xml", "xl/a.xml"), tmp_path, "rows.xlsx")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'a,b\n1,"x\n2,y\n', "line 2: the quote that opens here is never closed"),
        (b'a,b\n1,"x\n2,y\n3,"z\n', "line 2: the quote that opens here is closed in line 4"),
        (b'a,b\n1,"' + b"x\n" * (10 << 20), "a quote is not closed, or a row is longer than 2 MiB"),
    ],
)
def test_a_quote_that_swallows_rows_is_told(data: bytes, told: str, tmp_path: Path) -> None:
    assert told in fault(data, tmp_path)


def test_no_permission_is_told(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(ROWS)
    (tmp_path / "rows.csv").chmod(0)
    before = os.geteuid()
    if before == 0:  # root may read anything: be nobody for a moment
        os.seteuid(65534)
    try:
        assert "permission denied" in fault(None, tmp_path)
    finally:
        os.seteuid(before)


def test_parts_of_different_columns_are_told_by_part_and_column(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    pq.write_table(pa.table({"a": [1], "b": [1.5]}), folder / "0.parquet")
    pq.write_table(pa.table({"a": ["x"], "c": [1]}), folder / "1.parquet")
    message = fault(None, tmp_path, "parts")
    assert "parts/1.parquet does not have the columns of parts/0.parquet" in message
    assert "column 'a' is String, but Int64 in parts/0.parquet" in message
    assert "column 'b' is missing" in message
    assert "column 'c' is not in parts/0.parquet" in message


def test_parts_of_several_forms_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    pq.write_table(pa.table({"a": [1]}), folder / "0.parquet")
    (folder / "1.csv").write_bytes(b"a\n1\n")
    assert "0.parquet is Parquet, 1.csv is text" in fault(None, tmp_path, "parts")


def test_columns_that_are_not_one_value_a_row_are_told_by_name(tmp_path: Path) -> None:
    table = pa.table({"tags": [["x"]], "point": [{"x": 1}], "image": [b"x"], "a": [1]})
    pq.write_table(table, tmp_path / "a.parquet")
    message = fault(None, tmp_path, "a.parquet")
    assert all(f"column '{name}' holds" in message for name in ("tags", "point", "image"))


def test_a_number_beyond_64_bits_is_told_by_row(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": pa.array([1, 2, 2**64 - 1], pa.uint64())}), tmp_path / "a.parquet")
    message = fault(None, tmp_path, "a.parquet")
    assert "column 'id', data row 3" in message
    assert "18446744073709551615" in message


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.feather"])
def test_what_only_bears_the_name_is_refused(name: str, tmp_path: Path) -> None:
    assert "cannot be read as" in fault(b"a,b\n1,2\n", tmp_path, name)


def test_a_cut_off_file_is_refused(tmp_path: Path) -> None:
    table = pa.table({"a": list(range(10_000))})
    pq.write_table(table, tmp_path / "whole.parquet")
    with ipc.new_file(tmp_path / "whole.arrow", table.schema) as writer:
        writer.write_table(table)
    for name in ("parquet", "arrow"):
        data = (tmp_path / f"whole.{name}").read_bytes()
        assert "cut off" in fault(data[: len(data) // 2], tmp_path, f"half.{name}")


def test_a_damaged_page_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": list(range(100_000))}), tmp_path / "whole.parquet", write_page_checksum=True)
    data = bytearray((tmp_path / "whole.parquet").read_bytes())
    data[1000:1100] = b"\xff" * 100
    assert "cannot be read as Parquet" in fault(bytes(data), tmp_path, "damaged.parquet")


def test_compressed_parquet_is_told_so(tmp_path: Path) -> None:
    assert "compressed Parquet" in fault(gzip.compress(b"PAR1"), tmp_path, "rows.parquet.gz")


def test_every_broken_line_of_json_is_told(tmp_path: Path) -> None:
    message = fault(b'{"a": 1}\n{"a": \n[1]\n{"a": {"b": 1}}\n{"a": [1]}\n{"a": "\\ud800"}\n', tmp_path, "a.jsonl")
    assert "has 5 faults" in message
    for line in (2, 3, 4, 5, 6):
        assert re.search(rf"line {line}\b", message)


def test_one_json_document_is_told_apart(tmp_path: Path) -> None:
    assert "jq -c" in fault(b'[\n{"a": 1},\n{"a": 2}\n]', tmp_path, "a.json")


def test_a_deep_document_is_no_crash(tmp_path: Path) -> None:
    assert "line 2" in fault(b'{"a": 1}\n{"a":' + b"[" * 100_000 + b"\n", tmp_path, "a.jsonl")
