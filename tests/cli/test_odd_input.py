"""Odd input that is no fault: other encodings, useless columns, few rows, and columns that know too much."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.driver import PROJECT, Row, as_csv, assert_plain, half_written, holdtrue, project, report_of, rows

pytestmark = pytest.mark.slow


def with_column(name: str, value: Callable[[int], object]) -> bytes:
    return as_csv([{name: value(index), **row} for index, row in enumerate(rows(300))]).encode()


def in_koeln() -> list[Row]:
    return [{**row, "region": "Köln" if row["region"] == "north" else row["region"]} for row in rows(300)]


ODD = {
    "cp1252": as_csv(in_koeln()).encode("cp1252"),
    "UTF-16": as_csv(in_koeln()).encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + as_csv(rows(300)).encode(),
    "semicolons": as_csv(rows(300), delimiter=";").encode(),
    "Windows line ends": as_csv(rows(300)).replace("\n", "\r\n").encode(),
    "a constant column": with_column("same", lambda _: 1),
    "a column without values": with_column("none", lambda _: ""),
    "an identifier": with_column("number", lambda index: index),
    "64-bit ids": with_column("big", lambda index: 2**62 + index),
    "ids of more than 64 bits": with_column("big", lambda index: 2**70 + index),
    "a category for every row": with_column("many", lambda index: f"v{index * 7919 % 10007}"),
    "names with brackets": as_csv(rows(300)).replace("region", "[/region] of §é", 1).encode(),
    "a target of true and false": as_csv([{**row, "bought": row["bought"] == "yes"} for row in rows(300)]).encode(),
    "a target of 0 and 1": as_csv([{**row, "bought": int(row["bought"] == "yes")} for row in rows(300)]).encode(),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_input_is_handled(name: str, tmp_path: Path) -> None:
    folder = project(tmp_path)
    (folder / "rows.csv").write_bytes(ODD[name])
    done = holdtrue("run", folder=folder)
    assert done.code in (0, 4), done.err
    assert_plain(done)
    assert not half_written(folder)
    if done.code == 0:
        used = holdtrue("predict", "champion", "rows.csv", "--out", "out.csv", "--json", folder=folder)
        assert (used.code, used.json["rows"]) == (0, 300), used.err


def test_the_same_text_in_another_encoding_is_the_same_data(tmp_path: Path) -> None:
    digests: set[str] = set()
    for name in ("cp1252", "UTF-16"):
        folder = project(tmp_path / name)
        (folder / "rows.csv").write_bytes(ODD[name])
        done = holdtrue("run", "--json", folder=folder)
        report = report_of(done)
        digests.add(report["data"]["snapshot"])
        assert any("cp1252" in note and "Köln" in note for note in report["notes"]) == (name == "cp1252")
    assert len(digests) == 1


def test_ten_thousand_categories_are_learnt_from_without_harm(tmp_path: Path) -> None:
    table: list[Row] = [{"many": f"v{i * 7919 % 10007}", **row} for i, row in enumerate(rows(11_000))]
    done = holdtrue("run", "--json", folder=project(tmp_path, table=table))
    assert done.code == 0, done.err
    assert done.json["promises"][0]["value"] > 0.85


@pytest.mark.parametrize("count", [10, 12, 20, 40])
def test_few_rows_are_unproven_and_say_how_many_are_needed(count: int, tmp_path: Path) -> None:
    done = holdtrue("run", "--json", folder=project(tmp_path, count=count))
    assert done.code == 4, done.err
    assert done.json["verdict"] == "unproven"
    assert done.json["release"] is None
    quality = done.json["promises"][0]
    assert quality["verdict"] == "unproven"
    assert quality["rows_needed"] > quality["rows"] or quality["value"] < 0.6
    told = holdtrue("why", folder=tmp_path)
    assert "unproven" in told.out
    if quality["rows_needed"]:
        assert f"Hold out about {quality['rows_needed']} rows" in told.out


@pytest.mark.parametrize(("count", "target"), [(10, "bought"), (14, "age"), (20, "age"), (20, "region")])
def test_init_of_few_rows_ends_well(count: int, target: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(as_csv(rows(count)))
    done = holdtrue("init", "rows.csv", "--target", target, folder=tmp_path)
    assert done.code == 0, done.err
    spec = (tmp_path / "holdtrue.yaml").read_text()
    assert "at_most: 0}" not in spec
    assert "at_least: 0}" not in spec


def test_a_column_that_tells_the_target_is_named_by_every_run(tmp_path: Path) -> None:
    table: list[Row] = [{**row, "paid": int(row["bought"] == "yes")} for row in rows(300)]
    done = holdtrue("run", folder=project(tmp_path, table=table))
    assert done.code == 0, done.err
    assert "Note: The column 'paid' may be known only afterwards" in done.out
    assert "name it in data.drop" in done.out


def test_no_column_is_suspected_without_reason(tmp_path: Path) -> None:
    done = holdtrue("run", folder=project(tmp_path, text=PROJECT))
    assert "known only afterwards" not in done.out
