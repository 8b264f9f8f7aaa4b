"""A snapshot that does not end leaves nothing to be seen, and nothing for long."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from holdtrue.core.errors import DataFault, HoldtrueError
from holdtrue.core.files import ObjectStore
from holdtrue.data.snapshot import PART_ROWS, scan, snapshot, sweep

BATCH = pa.record_batch({"a": list(range(PART_ROWS))})

SLOW = """
import sys, time
from pathlib import Path
import pyarrow as pa
from holdtrue.core.files import ObjectStore
from holdtrue.data.snapshot import PART_ROWS, snapshot

def batches():
    for _ in range(100):
        yield pa.record_batch({"a": list(range(PART_ROWS))})
        time.sleep(0.1)

snapshot(batches(), store=ObjectStore(root=Path(sys.argv[1])), progress=lambda rows: print(rows, flush=True))
"""


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(root=tmp_path / "objects")


def started(store: ObjectStore) -> subprocess.Popen[str]:
    """Start a snapshot that lasts, and wait for its second part."""
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(store.root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert [process.stdout.readline(), process.stdout.readline()]
    return process


def scratch(store: ObjectStore) -> list[Path]:
    return list(store.root.glob(".tmp-*"))


def visible(store: ObjectStore) -> bool:
    return (store.root.parent / "snapshots").exists()


@pytest.mark.slow
def test_what_a_killed_run_leaves_is_swept_by_the_next_and_a_live_run_is_left_alone(store: ObjectStore) -> None:
    process = started(store)
    try:
        assert len(scratch(store)) == 1
        assert sweep(store) == 0
        made = snapshot(iter([BATCH]), store=store)
        assert len(scratch(store)) == 1
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert [path.stem for path in (store.root.parent / "snapshots").iterdir()] == [made.digest]
    assert len(scratch(store)) == 1
    assert snapshot(iter([BATCH]), store=store) == made
    assert scratch(store) == []
    assert scan(made, store).collect().height == PART_ROWS


def failing(error: BaseException) -> Iterator[pa.RecordBatch]:
    yield BATCH
    raise error


@pytest.mark.parametrize("error", [DataFault("row 9 is bad"), KeyboardInterrupt()])
def test_a_source_that_fails_leaves_nothing(error: BaseException, store: ObjectStore) -> None:
    with pytest.raises(type(error)):
        snapshot(failing(error), store=store)
    assert scratch(store) == []
    assert not visible(store)


def test_a_full_disk_is_told_and_leaves_nothing(store: ObjectStore) -> None:
    """A limit on the size of files stands in for the disk: writing fails in the middle of a part."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(HoldtrueError, match="no space left") as caught:
            snapshot(iter([BATCH]), store=store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "HOLDTRUE_HOME" in str(caught.value)
    assert scratch(store) == []
    assert not visible(store)


def test_a_store_that_may_not_be_written_is_told(store: ObjectStore) -> None:
    store.root.mkdir()
    store.root.chmod(0o555)
    before = os.geteuid()
    if before == 0:  # root may write anywhere: be nobody for a moment
        os.seteuid(65534)
    try:
        with pytest.raises(HoldtrueError, match="may not be written"):
            snapshot(iter([BATCH]), store=store)
    finally:
        os.seteuid(before)
