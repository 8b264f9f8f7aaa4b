"""A folder of Parquet is answered block by block as `predict` answers it whole; all of it is written, or nothing."""

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from holdtrue.core.digest import sha256_file
from holdtrue.core.errors import Busy, DataFault, HoldtrueError, Misuse, Refused
from holdtrue.data.contract import Contract, Field
from holdtrue.data.contract_json import to_dict
from holdtrue.data.source import Source
from holdtrue.pipeline.predicting import predict_file
from holdtrue.pipeline.progress import silent
from holdtrue.pipeline.ray_predicting import Block, Bundle, Part, answer_block, blocks_of, bundle_of, opened
from holdtrue.pipeline.ray_predicting import predict_folder as predict_over
from holdtrue.release.predictor import Predictor, load
from holdtrue.release.signing import trusted_keys
from tests.ray_node import ray_node
from tests.release.made_release import parts, written

CONTRACT = Contract(fields=(Field(name="age", kind="number", low=0.0, high=99.0), Field(name="city", kind="category")))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("store")
    written(place, parts(json.dumps(to_dict(CONTRACT)).encode()))
    return place


@pytest.fixture(scope="module")
def ready(store: Path) -> Predictor:
    (folder,) = (store / "releases").iterdir()
    return load(folder, trusted=trusted_keys(store / "keys"))


@pytest.fixture(scope="module")
def bundle(ready: Predictor, store: Path) -> Bundle:
    return bundle_of(ready, store / "keys")


def rows(count: int, *, start: int = 0) -> pl.DataFrame:
    numbers = range(start, start + count)
    cities = ["Oslo", "Lyon", "Turin", None]
    return pl.DataFrame(
        {"age": [(each * 7) % 103 for each in numbers], "city": [cities[each % 4] for each in numbers]},
        schema={"age": pl.Int32, "city": pl.String},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three parts: one of several row groups, one of few rows, and one whose cities are all missing."""
    made = tmp_path / "in"
    made.mkdir()
    rows(130_000).write_parquet(made / "a.parquet", row_group_size=30_000)
    rows(10, start=130_000).write_parquet(made / "b.pq")
    rows(40, start=130_010).with_columns(city=pl.lit(None)).write_parquet(made / "c.parquet")
    (made / "_SUCCESS").write_text("of who wrote it")
    return made


def here(bundle: Bundle, blocks: Sequence[Block], building: Path) -> Iterator[Part]:
    """Do what Ray's processes do, in this one, and in another order."""
    with opened(bundle) as ready:
        made = ready
    for block in reversed(blocks):
        yield answer_block(made, block, building)


def whole(out: Path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in sorted(out.glob("part-*.parquet"))])


def left_over(place: Path) -> list[str]:
    return [path.name for path in place.glob(".tmp-*")]


@pytest.mark.slow
def test_the_parts_in_their_order_are_what_predict_writes(
    bundle: Bundle, ready: Predictor, folder: Path, tmp_path: Path
) -> None:
    done = predict_over(bundle, folder, tmp_path / "out", engine=here, tell=silent)
    one = predict_file(ready, Source(location=str(folder)), tmp_path / "one.parquet", base=tmp_path, tell=silent)
    assert (done.release, done.rows) == (one.release, one.rows) == (ready.release.digest, 130_050)
    assert whole(tmp_path / "out").equals(pl.read_parquet(tmp_path / "one.parquet"))
    assert left_over(tmp_path) == []


@pytest.mark.slow
def test_the_manifest_counts_and_names_every_part(bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict_over(bundle, folder, out, engine=here, tell=silent)
    told: Any = json.loads((out / "_SUCCESS").read_text())
    assert (told["release"], told["rows"]) == (bundle.digest, 130_050)
    assert {path.name for path in out.iterdir()} == {"_SUCCESS", *(part["name"] for part in told["parts"])}
    start = 1
    for part in told["parts"]:
        assert sha256_file(out / part["name"]) == part["sha256"]
        assert (out / part["name"]).stat().st_size == part["bytes"]
        assert pl.read_parquet(out / part["name"]).height == part["rows"]
        assert part["first_row"] == start
        start += part["rows"]
    assert [part["from"] for part in told["parts"]] == ["a.parquet", "a.parquet", "a.parquet", "b.pq", "c.parquet"]


@pytest.mark.slow
def test_the_same_folder_gives_the_same_bytes(bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        predict_over(bundle, folder, tmp_path / name, engine=here, tell=silent)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


@pytest.mark.slow
def test_breaches_are_counted_over_all_blocks_with_the_first_row_of_the_folder(bundle: Bundle, tmp_path: Path) -> None:
    made = tmp_path / "in"
    made.mkdir()
    pl.DataFrame({"age": [1, 2, 3], "city": ["Oslo"] * 3}).write_parquet(made / "a.parquet")
    pl.DataFrame({"age": [4, -5, 6], "city": ["Oslo"] * 3}).write_parquet(made / "b.parquet")
    pl.DataFrame({"age": [-7, 200, 9], "city": ["Oslo"] * 3}).write_parquet(made / "c.parquet")
    done = predict_over(bundle, made, tmp_path / "out", engine=here, tell=silent)
    (told,) = done.breaches
    assert told == "column 'age': 3 of 9 values lie outside [0, 99]; the first is -5 in row 5."


@pytest.mark.slow
def test_an_engine_that_fails_leaves_nothing(bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    def failing(bundle: Bundle, blocks: Sequence[Block], building: Path) -> Iterator[Part]:
        yield from here(bundle, blocks[:1], building)
        raise HoldtrueError("a process was lost")

    with pytest.raises(HoldtrueError, match="was lost"):
        predict_over(bundle, folder, tmp_path / "out", engine=failing, tell=silent)
    assert not (tmp_path / "out").exists()
    assert left_over(tmp_path) == []


@pytest.mark.slow
def test_a_block_without_an_answer_is_no_success(bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    def forgetful(bundle: Bundle, blocks: Sequence[Block], building: Path) -> Iterator[Part]:
        yield from here(bundle, blocks[1:], building)

    with pytest.raises(HoldtrueError, match="1 of 5 blocks were not answered"):
        predict_over(bundle, folder, tmp_path / "out", engine=forgetful, tell=silent)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_parts_that_another_machine_kept_to_itself_are_missed(bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    def elsewhere(bundle: Bundle, blocks: Sequence[Block], building: Path) -> Iterator[Part]:
        yield from here(bundle, blocks, tmp_path / "its own disk")

    with pytest.raises(HoldtrueError, match="every machine of the cluster sees"):
        predict_over(bundle, folder, tmp_path / "out", engine=elsewhere, tell=silent)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_what_a_killed_run_left_is_cleared_and_two_at_once_are_not_mixed(
    bundle: Bundle, folder: Path, tmp_path: Path
) -> None:
    left = tmp_path / ".tmp-out" / "half"
    left.mkdir(parents=True)
    (left / "part-000000.parquet").write_text("half")
    handle = os.open(left.parent, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(Busy, match="is writing"):
        predict_over(bundle, folder, tmp_path / "out", engine=here, tell=silent)
    assert left.exists()
    os.close(handle)
    predict_over(bundle, folder, tmp_path / "out", engine=here, tell=silent)
    assert left_over(tmp_path) == []


def test_nothing_is_written_over(bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="is there already"):
        predict_over(bundle, folder, folder, engine=here, tell=silent)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(Misuse, match="is there already"):
        predict_over(bundle, folder, tmp_path / "file", engine=here, tell=silent)
    with pytest.raises(Misuse, match="is not there"):
        predict_over(bundle, folder, tmp_path / "none" / "out", engine=here, tell=silent)


def test_a_release_is_verified_where_it_arrives(bundle: Bundle) -> None:
    changed = {**bundle.files, "model.onnx": bundle.files["model.onnx"][:-1] + b"\0"}
    with pytest.raises(Refused, match=r"model\.onnx"), opened(replace(bundle, files=changed)):
        pass
    with pytest.raises(Refused, match="not trusted here"), opened(replace(bundle, keys={})):
        pass


def test_a_part_that_grows_while_it_is_read_is_noticed(ready: Predictor, folder: Path, tmp_path: Path) -> None:
    block = blocks_of(folder)[-1]
    rows(50).write_parquet(folder / "c.parquet")
    with pytest.raises(DataFault, match="changed while it was read"):
        answer_block(ready, block, tmp_path)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("text", "no.csv"),
        ("torn", "cannot be read as Parquet"),
        ("folder", "more"),
        ("columns", "does not have the columns"),
        ("empty", "is empty"),
        ("no rows", "have no rows"),
    ],
)
def test_a_folder_that_is_none_of_parts_is_refused(harm: str, words: str, folder: Path) -> None:
    match harm:
        case "text":
            (folder / "no.csv").write_text("a\n1\n")
        case "torn":
            (folder / "b.pq").write_bytes((folder / "b.pq").read_bytes()[:-9])
        case "folder":
            (folder / "more").mkdir()
        case "columns":
            pl.DataFrame({"age": ["x"]}).write_parquet(folder / "b.pq")
        case _:
            shutil.rmtree(folder)
            folder.mkdir()
            if harm == "no rows":
                rows(0).write_parquet(folder / "a.parquet")
    with pytest.raises(DataFault, match=words):
        blocks_of(folder)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    rows(3).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(Misuse, match="leave --engine out"):
        blocks_of(tmp_path / "a.parquet")


@pytest.mark.slow
def test_ray_answers_the_same_numbers(ready: Predictor, store: Path, folder: Path, tmp_path: Path) -> None:
    words = [
        "predict",
        str(ready.release.folder),
        str(folder),
        "--out",
        str(tmp_path / "out"),
        "--engine",
        "ray",
        "--json",
    ]
    with ray_node() as (tools, environ):
        done = subprocess.run(
            [tools / "python", "-m", "holdtrue.cli", *words],
            env={**environ, "HOLDTRUE_HOME": str(store)},
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["rows"] == 130_050
    one = predict_file(ready, Source(location=str(folder)), tmp_path / "one.parquet", base=tmp_path, tell=silent)
    assert whole(tmp_path / "out").equals(pl.read_parquet(one.out))
