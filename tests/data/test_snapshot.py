"""A snapshot is named by what its rows say, and by nothing else."""

import gzip
import json
import math
import struct
from datetime import date, datetime, timezone
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet as pq

from holdtrue.core.digest import Json, digest_of, sha256_bytes
from holdtrue.core.errors import DataFault, Refused
from holdtrue.core.files import ObjectStore
from holdtrue.data.snapshot import PART_ROWS, Snapshot, load, scan, snapshot, verify
from holdtrue.data.source import Source, batches, frame_batches

ROWS = 2 * PART_ROWS + 1000


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(root=tmp_path / "home" / "objects")


def kept(location: Path, store: ObjectStore, **said: object) -> Snapshot:
    source = Source(location=str(location), **said)  # pyright: ignore[reportArgumentType]  the names are the test's
    return snapshot(batches(source, base=location.parent), store=store)


def table(rows: int = ROWS) -> pa.Table:
    numbers = np.random.default_rng(7).integers(0, 1000, rows)
    return pa.table(
        {
            "number": numbers,
            "half": np.where(numbers % 7 == 0, np.nan, numbers / 2),
            "name": pa.array([None if n % 5 == 0 else f"é{n}" for n in numbers.tolist()]),
        }
    )


def test_text_gives_one_digest_whatever_divides_compresses_or_encodes_it(store: ObjectStore, tmp_path: Path) -> None:
    text = 'city,"note",n\nOslo,"a; b",1\n"São Paulo",,2\n'
    other = 'city; note; n\nOslo; "a; b"; 1\nSão Paulo;;2'
    forms = {
        "a.csv": text.encode(),
        "b.txt": text.encode("utf-8-sig"),
        "c.csv.gz": gzip.compress(text.encode()),
        "d.csv": other.encode("cp1252"),
        "e.csv": other.replace("\n", "\r\n").encode("utf-16"),
    }
    for name, data in forms.items():
        (tmp_path / name).write_bytes(data)
    assert len({kept(tmp_path / name, store).digest for name in forms}) == 1


@pytest.mark.slow
def test_typed_rows_give_one_digest_whatever_holds_them(store: ObjectStore, tmp_path: Path) -> None:
    rows = table()
    pq.write_table(rows, tmp_path / "one.parquet", row_group_size=1234, compression="gzip", use_dictionary=False)
    (tmp_path / "parts").mkdir()
    pieces = [0, 1, PART_ROWS - 1, PART_ROWS + 5, ROWS]
    for number, (start, end) in enumerate(pairwise(pieces)):
        pq.write_table(rows.slice(start, end - start), tmp_path / "parts" / f"{number}.parquet")
    encoded = rows.set_column(2, "name", rows.column("name").dictionary_encode())
    digests = {
        kept(tmp_path / "one.parquet", store).digest,
        kept(tmp_path / "parts", store).digest,
        snapshot(frame_batches(encoded), store=store).digest,
        snapshot(frame_batches(pl.DataFrame(rows)), store=store).digest,
        snapshot(iter(rows.to_batches(max_chunksize=777)), store=store).digest,
    }
    assert len(digests) == 1


def test_rows_come_back_in_order_in_parts_of_one_size(store: ObjectStore) -> None:
    rows = table()
    told: list[int] = []
    made = snapshot(iter(rows.to_batches(max_chunksize=10_007)), store=store, progress=told.append)
    assert [part.rows for part in made.parts] == [PART_ROWS, PART_ROWS, 1000]
    assert told == [PART_ROWS, 2 * PART_ROWS, ROWS]
    assert made.rows == ROWS
    assert [(column.name, column.type) for column in made.columns] == [
        ("number", "Int64"),
        ("half", "Float64"),
        ("name", "String"),
    ]
    assert scan(made, store).collect().equals(pl.DataFrame(rows))
    assert scan(made, store, ["name", "number"]).collect().columns == ["name", "number"]


VALUES = {
    "Int64": st.integers(-(2**63), 2**63 - 1),
    "Float64": st.floats(allow_nan=True),
    "String": st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    "Boolean": st.booleans(),
    "Date": st.dates(date(1900, 1, 1), date(2200, 1, 1)),
    "Datetime": st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),
    "Datetime(UTC)": st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(timezone.utc)),  # noqa: UP017
}
KINDS = {
    "Int64": pa.int64(),
    "Float64": pa.float64(),
    "String": pa.string(),
    "Boolean": pa.bool_(),
    "Date": pa.date32(),
    "Datetime": pa.timestamp("us"),
    "Datetime(UTC)": pa.timestamp("us", "UTC"),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(1, 12))
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4))
    return pa.table(
        {
            f"{kind} {place}": pa.array(
                draw(st.lists(VALUES[kind] | st.none(), min_size=rows, max_size=rows)), KINDS[kind]
            )
            for place, kind in enumerate(kinds)
        }
    )


def plain(value: object) -> object:
    """Make NaN equal to itself."""
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(rows=tables(), cut=st.integers(1, 12))
def test_any_table_comes_back_and_keeps_its_digest_in_any_chunks(
    rows: pa.Table, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = ObjectStore(root=tmp_path_factory.mktemp("home") / "objects")
    made = snapshot(iter(rows.to_batches()), store=store)
    again = snapshot(iter([*rows.slice(0, cut).to_batches(), *rows.slice(cut).to_batches()]), store=store)
    assert again == made == load(made.digest, store=store)
    verify(made, store)
    found = scan(made, store).collect().to_dicts()
    expected = pl.DataFrame(rows).to_dicts()
    assert [{k: plain(v) for k, v in row.items()} for row in found] == [
        {k: plain(v) for k, v in row.items()} for row in expected
    ]


def digest(store: ObjectStore, **columns: pa.Array) -> str:
    return snapshot(iter(pa.table(columns).to_batches()), store=store).digest


def test_every_difference_in_the_rows_gives_another_digest(store: ObjectStore) -> None:
    different = [
        {"a": pa.array(["x", "yz"])},
        {"a": pa.array(["xy", "z"])},
        {"a": pa.array(["yz", "x"])},
        {"b": pa.array(["x", "yz"])},
        {"a": pa.array(["", "x"])},
        {"a": pa.array([None, "x"])},
        {"a": pa.array([1, 2])},
        {"a": pa.array([1.0, 2.0])},
        {"a": pa.array([0, 2])},
        {"a": pa.array([None, 2])},
        {"a": pa.array([None, 2.0])},
        {"a": pa.array([math.nan, 2.0])},
        {"a": pa.array([True, False])},
        {"a": pa.array([None, False])},
        {"a": pa.array([1, 2], pa.timestamp("us"))},
        {"a": pa.array([1, 2], pa.timestamp("us", "UTC"))},
        {"a": pa.array([1, 2], pa.date32())},
        {"a": pa.array([1, 2]), "b": pa.array([1, 2])},
        {"b": pa.array([1, 2]), "a": pa.array([1, 2])},
        {"a": pa.array([1, 2, 2])},
    ]
    assert len({digest(store, **columns) for columns in different}) == len(different)


def test_there_is_one_zero_one_nan_and_nothing_under_a_missing_value(store: ObjectStore) -> None:
    odd_nan = np.array([0x7FF8000000000123, 0xFFF8000000000000], dtype=np.uint64).view(np.float64)
    assert digest(store, a=pa.array([-0.0, 1.0])) == digest(store, a=pa.array([0.0, 1.0]))
    assert digest(store, a=pa.array(odd_nan)) == digest(store, a=pa.array([math.nan, math.nan]))
    hidden = pa.array(np.array([5, 6]), mask=np.array([True, False]))
    assert digest(store, a=hidden) == digest(store, a=pa.array([None, 6]))
    text = pa.StringArray.from_buffers(
        2, pa.py_buffer(np.array([0, 3, 4], "<i4")), pa.py_buffer(b"oldx"), pa.py_buffer(b"\x02")
    )
    assert text.to_pylist() == [None, "x"]
    assert digest(store, a=text) == digest(store, a=pa.array([None, "x"]))
    sliced = pa.array(["before", None, "x"]).slice(1)
    assert digest(store, a=sliced) == digest(store, a=pa.array([None, "x"]))


def test_the_digest_is_the_same_as_last_year(store: ObjectStore) -> None:
    """Written down once: a change here makes every stored snapshot a stranger."""
    made = digest(
        store,
        i=pa.array([1, None, -(2**63)]),
        f=pa.array([0.1, None, math.inf]),
        s=pa.array(["é", None, ""]),
        b=pa.array([True, None, False]),
        d=pa.array([date(2020, 2, 29), None, date(1969, 12, 31)]),
        t=pa.array([datetime(2020, 1, 1, 0, 0, 0, 1), None, datetime(1969, 12, 31)], pa.timestamp("us")),
    )
    assert made == "e027e6517a97dadda2c54916eee56e4bca7100d3b1c6947420e3e47c32a03235"


def test_the_digest_can_be_made_by_hand(store: ObjectStore) -> None:
    """Which rows have a value (bit 0 is the first row), then the values; text as its lengths, then its bytes."""
    numbers = sha256_bytes(b"\x05" + struct.pack("<qqq", 7, 0, -1))
    words = sha256_bytes(b"\x06" + struct.pack("<qqq", 0, 2, 1) + "éx".encode())
    columns: list[Json] = [
        {"name": "n", "type": "Int64", "values": numbers},
        {"name": "w", "type": "String", "values": words},
    ]
    content = digest_of({"rows": 3, "columns": columns})
    named: list[Json] = [["n", "Int64"], ["w", "String"]]
    expected = digest_of({"schema": "holdtrue/snapshot/1", "columns": named, "parts": [[3, content]]})
    assert digest(store, n=pa.array([7, None, -1]), w=pa.array([None, "é", "x"])) == expected


def test_no_rows_are_refused(store: ObjectStore) -> None:
    with pytest.raises(DataFault, match="no rows"):
        snapshot(frame_batches(pl.DataFrame({"a": []})), store=store)
    assert not (store.root.parent / "snapshots").exists()


def test_columns_that_change_on_the_way_are_refused(store: ObjectStore) -> None:
    first = pa.record_batch({"a": [1], "b": [1]})
    with pytest.raises(DataFault, match="column 'a' is String, but Int64 in the first rows"):
        snapshot(iter([first, pa.record_batch({"a": ["x"], "b": [1]})]), store=store)
    with pytest.raises(DataFault, match="column 'b' is missing"):
        snapshot(iter([first, pa.record_batch({"a": [2]})]), store=store)


def test_columns_in_another_order_are_brought_into_that_of_the_first(store: ObjectStore) -> None:
    batches = [pa.record_batch({"a": [1], "b": ["x"]}), pa.record_batch({"b": ["y"], "a": [2]})]
    made = snapshot(iter(batches), store=store)
    assert scan(made, store).collect().to_dict(as_series=False) == {"a": [1, 2], "b": ["x", "y"]}


def test_a_missing_column_is_answered_with_the_nearest(store: ObjectStore) -> None:
    made = snapshot(iter([pa.record_batch({"price": [1]})]), store=store)
    with pytest.raises(DataFault, match="did you mean 'price'"):
        scan(made, store, ["prize"])


def test_a_changed_byte_in_a_part_is_refused_even_after_it_was_read(store: ObjectStore) -> None:
    made = snapshot(iter([pa.record_batch({"a": [1, 2, 3]})]), store=store)
    assert scan(made, store).collect().height == 3
    path = store.path(made.parts[0].file)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    for use in (scan, verify):
        with pytest.raises(Refused, match="changed since they were stored"):
            use(made, store)
    path.unlink()
    with pytest.raises(Refused, match="is not in"):
        scan(made, store)


def test_an_unknown_or_malformed_digest_is_refused(store: ObjectStore) -> None:
    with pytest.raises(Refused, match="There is no snapshot"):
        load("0" * 64, store=store)
    with pytest.raises(Refused, match="64 hexadecimal digits"):
        load("../../x", store=store)


@pytest.mark.parametrize("damage", ["another", "json", "key", "list"])
def test_an_index_that_names_other_rows_is_refused(damage: str, store: ObjectStore) -> None:
    one = snapshot(iter([pa.record_batch({"a": [1]})]), store=store)
    two = snapshot(iter([pa.record_batch({"a": [2]})]), store=store)
    folder = store.root.parent / "snapshots"
    other = (folder / f"{two.digest}.json").read_text()
    text = {"another": other, "json": "{", "key": "{}", "list": "[]"}[damage]
    (folder / f"{one.digest}.json").write_text(text)
    with pytest.raises(Refused, match="another snapshot" if damage == "another" else "damaged"):
        load(one.digest, store=store)


def test_a_manifest_that_points_to_the_rows_of_another_is_found_by_verify(store: ObjectStore) -> None:
    one = snapshot(iter([pa.record_batch({"a": [1]})]), store=store)
    two = snapshot(iter([pa.record_batch({"a": [2]})]), store=store)
    index = store.root.parent / "snapshots" / f"{one.digest}.json"
    manifest = json.loads(store.get(json.loads(index.read_text())["manifest"]))
    manifest["parts"][0]["file"] = two.parts[0].file
    index.write_text(json.dumps({"manifest": store.put(json.dumps(manifest).encode())}))
    with pytest.raises(Refused, match="are not those of the snapshot"):
        verify(load(one.digest, store=store), store)
