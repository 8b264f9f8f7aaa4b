"""The order in which rows happened, where they are divided, and when their truths were known."""

from pathlib import Path

import numpy as np
import pytest

from holdtrue.core.errors import DataFault, Misuse
from holdtrue.pipeline.progress import silent
from holdtrue.pipeline.simulation.rows import NEVER, Rows, divide, read_rows
from holdtrue.pipeline.workspace import Workspace, open_workspace
from tests.cli.driver import as_csv

DAY_US = 86_400_000_000
JAN_2_US = 1_609_545_600_000_000  # 2021-01-02
TABLE = [
    {"day": "2021-01-03", "size": 3, "done": "2021-01-09", "ok": "yes"},
    {"day": "2021-01-02", "size": 2, "done": "2021-01-01", "ok": "no"},
    {"day": "2021-01-03", "size": 4, "done": "", "ok": "no"},
    {"day": "2021-01-04", "size": 5, "done": "2021-01-04", "ok": "yes"},
    {"day": "2021-01-02", "size": 1, "done": "2021-01-05", "ok": "yes"},
]


def made(folder: Path, table: list[dict[str, object]], *, time: str = "time: day,") -> Workspace:
    (folder / "rows.csv").write_text(as_csv(table))
    (folder / "holdtrue.yaml").write_text(f"name: small\ndata: {{source: rows.csv, {time} target: ok}}\n")
    return open_workspace(folder, environ={})


def read(folder: Path, *, labels_after: str = "1d", by_order: str = "", time: str = "time: day,") -> Rows:
    workspace = made(folder, [dict(row) for row in TABLE], time=time)
    return read_rows(workspace, labels_after=labels_after, by_order=by_order, tell=silent)


def sizes(rows: Rows) -> list[int]:
    return [int(size) for size in rows.raw.get_column("size").to_list()]


def test_rows_stand_in_the_order_of_time_and_those_of_one_moment_as_they_were(tmp_path: Path) -> None:
    rows = read(tmp_path)
    assert sizes(rows) == [2, 1, 3, 4, 5]
    assert rows.truth == ["no", "yes", "yes", "no", "yes"]
    assert (rows.time_us - JAN_2_US).tolist() == [0, 0, DAY_US, DAY_US, 2 * DAY_US]


def test_a_truth_is_known_after_a_length_of_time(tmp_path: Path) -> None:
    rows = read(tmp_path, labels_after="36h")
    assert (rows.known_us - rows.time_us).tolist() == [1.5 * DAY_US] * 5


def test_a_column_says_when_each_truth_was_known_but_never_before_its_row(tmp_path: Path) -> None:
    rows = read(tmp_path, labels_after="done")
    assert rows.known_us[3] == NEVER
    known = ((np.delete(rows.known_us, 3) - np.delete(rows.time_us, 3)) // DAY_US).tolist()
    assert known == [0, 3, 6, 0]


def test_rows_without_a_time_are_taken_as_they_stand(tmp_path: Path) -> None:
    rows = read(tmp_path, by_order="2h", time="")
    assert sizes(rows) == [3, 2, 4, 5, 1]
    assert np.diff(rows.time_us).tolist() == [DAY_US // 12] * 4
    moments = rows.raw.get_column("taken_at").to_list()
    assert moments[:2] == ["2000-01-01T00:00:00.000000", "2000-01-01T02:00:00.000000"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"time": ""}, "does not say when its rows happened"),
        ({"time": "time: size,"}, "The time 'size' is a number, and no date"),
        ({"time": "time: dya,"}, "no column 'dya'; did you mean 'day'?"),
        ({"labels_after": "dome"}, "neither a length of time nor a column; did you mean 'done'?"),
        ({"labels_after": "size"}, "is a number and no date"),
        ({"by_order": "soon"}, "'soon' is no length of time"),
    ],
)
def test_what_cannot_be_put_in_order_is_told(tmp_path: Path, given: dict[str, str], told: str) -> None:
    with pytest.raises(Misuse) as refused:
        read(tmp_path, **given)
    assert told in str(refused.value)


def test_rows_whose_time_is_not_known_are_counted(tmp_path: Path) -> None:
    table: list[dict[str, object]] = [dict(row) for row in TABLE]
    table[2]["day"] = table[4]["day"] = ""
    with pytest.raises(DataFault, match=r"The time \(day\) is not known in 2 of 5 rows; the first is row 3\."):
        read_rows(made(tmp_path, table), labels_after="1d", by_order="", tell=silent)


def test_a_share_divides_at_a_moment_and_never_within_one(tmp_path: Path) -> None:
    rows = read(tmp_path, labels_after="1h")
    past, live, start_us = divide(rows, "60%")  # the fourth row, which is of the moment of the third
    assert (sizes(past), sizes(live)) == ([2, 1], [3, 4, 5])
    assert start_us == JAN_2_US + DAY_US


def test_a_date_divides(tmp_path: Path) -> None:
    past, live, _ = divide(read(tmp_path, labels_after="1h"), "2021-01-04")
    assert (sizes(past), sizes(live)) == ([2, 1, 3, 4], [5])


def test_an_end_leaves_out_what_is_later(tmp_path: Path) -> None:
    rows = read(tmp_path, labels_after="1h")
    past, live, _ = divide(rows, "2021-01-03", "2021-01-04")
    assert (sizes(past), sizes(live)) == ([2, 1], [3, 4])


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("2021-01-03", "cannot end at 2021-01-03: it starts at 2021-01-03"),
        ("-5%", "Write it so: --end 60%"),
        ("late", "The end 'late' is no date in ISO form"),
    ],
)
def test_an_end_that_leaves_nothing_is_told(tmp_path: Path, end: str, told: str) -> None:
    with pytest.raises(Misuse, match=told):
        divide(read(tmp_path, labels_after="1h"), "2021-01-03", end)


def test_an_end_soon_after_the_start_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="no row lies after it and before 2021-01-03T00:00:02"):
        divide(read(tmp_path, labels_after="1h"), "2021-01-03T00:00:01", "2021-01-03T00:00:02")


def test_what_was_not_known_at_the_start_teaches_nobody(tmp_path: Path) -> None:
    past, live, _ = divide(read(tmp_path, labels_after="done"), "2021-01-04")
    assert sizes(past) == [2]  # 1 is known on the 5th, 3 on the 9th, 4 never
    assert sizes(live) == [5]


@pytest.mark.parametrize(
    ("start", "told"),
    [
        ("2021-01-02", "no row with a known truth lies before it"),
        ("2022-01-01", "no row lies after it"),
        ("120%", "no share of the rows between 0 and 1"),
        ("soon", "'soon' is no date in ISO form"),
    ],
)
def test_a_start_that_divides_nothing_is_told(tmp_path: Path, start: str, told: str) -> None:
    with pytest.raises(Misuse, match=told):
        divide(read(tmp_path), start)
