"""Files appear whole or not at all, and what is read is verified."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdtrue.core.digest import canonical_json, digest_of, sha256_bytes
from holdtrue.core.errors import Refused
from holdtrue.core.files import ObjectStore, folder_whole, new_file, sweep, write_whole


def test_an_object_is_named_by_its_bytes(tmp_path: Path) -> None:
    store = ObjectStore(root=tmp_path)
    digest = store.put(b"rows")
    assert digest == sha256_bytes(b"rows")
    assert store.get(digest) == b"rows"
    assert store.put(b"rows") == digest


def test_a_changed_object_is_refused(tmp_path: Path) -> None:
    store = ObjectStore(root=tmp_path)
    digest = store.put(b"rows")
    store.path(digest).write_bytes(b"rowz")
    with pytest.raises(Refused, match="changed since they were stored"):
        store.get(digest)


@pytest.mark.parametrize("name", ["../../etc/passwd", "a" * 63, "A" * 64, "", "\0"])
def test_only_a_digest_names_an_object(name: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="64 hexadecimal digits"):
        ObjectStore(root=tmp_path).path(name)


def test_a_file_taken_into_the_store_leaves_its_place(tmp_path: Path) -> None:
    file = tmp_path / "part"
    file.write_bytes(b"part")
    store = ObjectStore(root=tmp_path / "objects")
    assert store.get(store.take(file)) == b"part"
    assert not file.exists()


def test_a_folder_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with folder_whole(tmp_path / "final", scratch=tmp_path / "scratch") as building:
            (building / "half").write_text("x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not (tmp_path / "final").exists()
    assert not any((tmp_path / "scratch").iterdir())


def test_a_sweep_takes_what_the_dead_left_and_spares_what_the_living_write(tmp_path: Path) -> None:
    left, other = tmp_path / ".tmp-left", tmp_path / "kept"
    left.write_bytes(b"half")
    other.write_bytes(b"whole")
    with new_file(tmp_path) as (stream, name):
        stream.write(b"new")
        sweep(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted([name, other])
        name.replace(tmp_path / "named")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "named"]


def test_a_write_replaces_the_whole_file(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", b"first version")
    write_whole(tmp_path / "a", b"2nd")
    assert (tmp_path / "a").read_bytes() == b"2nd"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), values, max_size=5))
def test_the_order_of_keys_does_not_change_a_digest(value: dict[str, object]) -> None:
    assert digest_of(value) == digest_of(dict(reversed(value.items())))


def test_what_is_not_a_number_has_no_canonical_form() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json({"a": float("nan")})
