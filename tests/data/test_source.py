"""The same rows are read from every form a file can have."""

import bz2
import csv
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import feather, ipc
from pyarrow import parquet as pq

from holdtrue.core.errors import Misuse
from holdtrue.data.source import Source, batches, describe

Rows = list[dict[str, object]]

TEXT = 'city, inhabitants,"note"\n Oslo ,709037,"a, b"\n"São Paulo",,"say ""hi""\nthere"\n'
ROWS: Rows = [
    {"city": "Oslo", "inhabitants": "709037", "note": "a, b"},
    {"city": "São Paulo", "inhabitants": None, "note": 'say "hi"\nthere'},
]


def rows_of(location: Path, **said: object) -> Rows:
    source = Source(location=str(location), **said)  # pyright: ignore[reportArgumentType]  the names are the test's
    return [row for batch in batches(source, base=location.parent) for row in batch.to_pylist()]


def written(folder: Path, name: str, data: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def zipped(data: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.csv", data)
        archive.writestr("__MACOSX/._rows.csv", b"\0")
    return stream.getvalue()


def zstd(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)


def test_text_is_stripped_and_an_empty_field_is_missing(tmp_path: Path) -> None:
    assert rows_of(written(tmp_path, "a.csv", TEXT)) == ROWS


def test_a_relative_location_is_looked_for_in_the_base(tmp_path: Path) -> None:
    written(tmp_path, "a.csv", TEXT)
    found = [row for batch in batches(Source(location="a.csv"), base=tmp_path) for row in batch.to_pylist()]
    assert found == ROWS


def test_blanks_stay_when_they_should(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "a,b\n x , \n")
    assert rows_of(path, strip=False) == [{"a": " x ", "b": " "}]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("told", [True, False])
def test_the_delimiter_is_told_or_found(delimiter: str, told: bool, tmp_path: Path) -> None:
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter).writerows([ROWS[0], *[row.values() for row in ROWS]])
    path = written(tmp_path, "a.txt", stream.getvalue())
    assert rows_of(path, delimiter=delimiter if told else None) == ROWS


def test_decimal_commas_do_not_look_like_a_delimiter(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "price;weight\n1,5;2,5\n3,5;4,0\n")
    assert rows_of(path)[1] == {"price": "3,5", "weight": "4,0"}


@pytest.mark.parametrize("delimiter", [", ", ",", None])
def test_a_quote_after_a_blank_opens_a_field(delimiter: str | None, tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", 'a, b\n1, "x, y"\n2, z\n3, 5" pipe\n')
    assert [row["b"] for row in rows_of(path, delimiter=delimiter)] == ["x, y", "z", '5" pipe']


def test_one_column_is_a_table(tmp_path: Path) -> None:
    assert rows_of(written(tmp_path, "a.csv", 'text\nhello\n""\nworld, all\n'), delimiter="\t") == [
        {"text": "hello"},
        {"text": None},
        {"text": "world, all"},
    ]


@pytest.mark.parametrize(
    ("name", "compress"),
    [("a.csv.gz", gzip.compress), ("a.bz2", bz2.compress), ("a.xz", lzma.compress), ("a", zstd), ("a.zip", zipped)],
)
def test_compression_is_known_by_the_bytes(name: str, compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    assert rows_of(written(tmp_path, name, compress(TEXT.encode()))) == ROWS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_the_encoding_is_found(encoding: str, tmp_path: Path) -> None:
    assert rows_of(written(tmp_path, "a.csv", TEXT.encode(encoding))) == ROWS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "latin-1", "cp850"])
def test_the_encoding_is_believed_when_told(encoding: str, tmp_path: Path) -> None:
    assert rows_of(written(tmp_path, "a.csv", TEXT.encode(encoding)), encoding=encoding) == ROWS


def test_a_guessed_encoding_is_told(tmp_path: Path) -> None:
    notes: list[str] = []
    source = Source(location=str(written(tmp_path, "a.csv", TEXT.encode("cp1252"))))
    assert sum(batch.num_rows for batch in batches(source, base=tmp_path, note=notes.append)) == 2
    assert 'read as cp1252; line 3 then says \'"São Paulo"' in notes[0]


def test_a_character_cut_by_a_chunk_is_whole(tmp_path: Path) -> None:
    cells = ["é" * 700 for _ in range(2000)]
    for encoding in ("utf-8", "utf-16"):
        path = written(tmp_path, "a.csv", ("a\n" + "\n".join(cells)).encode(encoding))
        assert [row["a"] for row in rows_of(path)] == cells


def test_columns_without_a_header_are_counted_or_named(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "1,2\n3,4\n")
    assert rows_of(path, header=False)[0] == {"column_1": "1", "column_2": "2"}
    assert rows_of(path, header=False, columns=("x", "y"))[1] == {"x": "3", "y": "4"}


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_every_line_ending_ends_a_row(ending: str, tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", ending.join(["a,b", "1,2", "", "3,4"]))
    assert rows_of(path) == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


FIELD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6) | st.sampled_from(
    ['"', '""', ",", "\n", "\r\n", ' "x', '", "', "é,\n", " "]
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(FIELD, FIELD, FIELD), min_size=1, max_size=8),
    delimiter=st.sampled_from(",;\t|"),
    quoted=st.booleans(),
)
def test_any_text_that_was_written_is_read_back(
    rows: list[tuple[str, str, str]], delimiter: str, quoted: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
    writer.writerows([("a", "b", "c"), *rows])
    path = written(tmp_path_factory.mktemp("csv"), "a.csv", stream.getvalue())
    expected = [{key: text or None for key, text in zip("abc", row, strict=True)} for row in rows]
    assert rows_of(path, delimiter=delimiter, strip=False, encoding="utf-8") == expected


FRAME = pl.DataFrame({"city": ["Oslo", None, "Rome"], "people": [709037, 1, None], "warm": [1.5, -2.0, None]})


def typed(folder: Path) -> dict[str, Path]:
    """The same table in every typed form."""
    table = FRAME.to_arrow().cast(pa.schema([("city", pa.string()), ("people", pa.int32()), ("warm", pa.float64())]))
    paths = {name: folder / name for name in ("one.parquet", "no_suffix", "ipc.arrow", "stream.arrows", "x.feather")}
    pq.write_table(table, paths["one.parquet"])
    pq.write_table(table, paths["no_suffix"], row_group_size=1, compression="gzip")
    feather.write_feather(table, str(paths["x.feather"]), compression="lz4")
    with ipc.new_file(paths["ipc.arrow"], table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    with ipc.new_stream(paths["stream.arrows"], table.schema) as writer:
        writer.write_table(table)
    parts = folder / "parts"
    parts.mkdir()
    pq.write_table(table.slice(0, 1), parts / "0.parquet")
    pq.write_table(table.slice(1).select(["warm", "city", "people"]), parts / "1.parquet")
    (parts / "_SUCCESS").touch()
    lines = folder / "a.jsonl.gz"
    lines.write_bytes(gzip.compress(b"\n".join(json.dumps(row).encode() for row in FRAME.to_dicts())))
    return {**paths, "parts": parts, "lines": lines}


@pytest.mark.parametrize(
    "name", ["one.parquet", "no_suffix", "ipc.arrow", "stream.arrows", "x.feather", "parts", "lines"]
)
def test_every_typed_form_gives_the_same_rows_and_types(name: str, tmp_path: Path) -> None:
    found = list(batches(Source(location=str(typed(tmp_path)[name])), base=tmp_path))
    assert found[0].schema.types == [pa.large_string(), pa.int64(), pa.float64()]
    assert [row for batch in found for row in batch.to_pylist()] == FRAME.to_dicts()


def test_a_folder_may_hold_parts_of_text(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    written(folder, "b.csv", "y;x\n4;3\n")
    written(folder, "a.csv.gz", gzip.compress(b"x,y\n1,2\n"))
    assert rows_of(folder) == [{"x": "1", "y": "2"}, {"x": "3", "y": "4"}]


def test_a_column_without_values_in_one_part_takes_its_type_from_the_others(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.nulls(2)}), tmp_path / "0.parquet")
    pq.write_table(pa.table({"a": pa.array([7], pa.int16())}), tmp_path / "1.parquet")
    assert rows_of(tmp_path) == [{"a": None}, {"a": None}, {"a": 7}]


def test_keys_of_json_lines_take_the_type_that_holds_all(tmp_path: Path) -> None:
    lines = ['{"a": 1, "b": 1, "c": 1, "d": true}', "", '{"a": 2, "b": 2.5, "c": "x"}', '{"e": 99999999999999999999}']
    assert rows_of(written(tmp_path, "a.ndjson", "\n".join(lines))) == [
        {"a": 1, "b": 1.0, "c": "1", "d": True, "e": None},
        {"a": 2, "b": 2.5, "c": "x", "d": None, "e": None},
        {"a": None, "b": None, "c": None, "d": None, "e": "99999999999999999999"},
    ]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:pa:ss@w@rd@db:5432/shop", "postgresql://ann:***@db:5432/shop"),
        (
            "postgresql://db/shop?user=ann&password=x&sslmode=on",
            "postgresql://db/shop?user=ann&password=***&sslmode=on",
        ),
        ("postgresql://ann@db/shop", "postgresql://ann@db/shop"),
        ("sqlite:///rows.db", "sqlite:///rows.db"),
    ],
)
def test_a_description_never_shows_a_password(url: str, shown: str) -> None:
    assert describe(Source(location=url, query="SELECT 1")) == shown


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"location": " "}, "blank"),
        ({"location": "sqlite:///a.db"}, "needs a query"),
        ({"location": "a.csv", "query": "SELECT 1"}, "no database"),
        ({"location": "a.csv", "delimiter": "||"}, "not one plain character"),
        ({"location": "a.csv", "delimiter": "§"}, "not one plain character"),
        ({"location": "a.csv", "delimiter": '"'}, "not one plain character"),
        ({"location": "a.csv", "columns": ("a",)}, "say `header: false`"),
    ],
)
def test_a_source_that_makes_no_sense_is_refused_at_once(said: dict[str, str], message: str) -> None:
    with pytest.raises(Misuse, match=message):
        Source(**said)  # pyright: ignore[reportArgumentType]  the names are the test's
