"""What a release was asked is held against what it learned from, window by window, from receipts alone."""

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import numpy as np
import polars as pl
import pytest

from holdtrue.core.errors import Misuse
from holdtrue.evaluation.predictions import Predictions
from holdtrue.pipeline.answers import ANSWERED
from holdtrue.pipeline.held_out import laid_out
from holdtrue.pipeline.progress import silent
from holdtrue.pipeline.recorded import recorded_outputs
from holdtrue.pipeline.watched import DAY_US, Watched
from holdtrue.pipeline.watching import Counts, watch
from holdtrue.release.interface import read_interface
from holdtrue.release.rows import parquet
from holdtrue.serving.sealing import alias
from holdtrue.spec.project import Watch
from tests.pipeline.lived import Lived, visits
from tests.pipeline.lived import asked as lived_row
from tests.pipeline.recorded import NOW_US, Recorder, Request, row

TODAY = NOW_US // DAY_US


def ages(chance: np.random.Generator, count: int, *, older: float = 0.0) -> list[Request]:
    """Requests of twenty rows each, as the rows of the reference are."""
    made: list[Request] = []
    for _ in range(count // 20):
        values = [None if chance.random() < 0.1 else float(chance.integers(18, 80)) + older for _ in range(20)]
        body = json.dumps([{"age": value, "city": "Oslo"} for value in values]).encode()
        made.append(Request(wire="rows", body=body))
    return made


def asked(recorder: Recorder, days: Sequence[list[Request]]) -> None:
    """Answer what came on each of some days; the last of them is yesterday."""
    for place, requests in enumerate(days):
        recorder.now_us = (TODAY - len(days) + place) * DAY_US + 3_600_000_000
        for request in requests:
            recorder.answer([request])
    recorder.write()


def seen(recorder: Recorder, *, windows: int = 1, settings: Watch | None = None) -> Watched:
    (release,) = (folder.name for folder in recorder.keeper.home.releases.iterdir())
    return watch(
        recorder.keeper,
        settings or Watch(),
        release=release,
        windows=windows,
        now_us=NOW_US,
        tell=silent,
        again=recorder.again(),
    )


def test_days_as_before_raise_no_alarm_and_an_older_public_does(recorder: Recorder) -> None:
    chance = np.random.default_rng(1)
    asked(recorder, [ages(chance, 200), [], ages(chance, 200), ages(chance, 200, older=35.0)])
    found = seen(recorder, windows=5)
    assert [window.rows for window in found.windows] == [0, 200, 0, 200, 200]
    assert [len(window.alarms) for window in found.windows] == [0, 0, 0, 0, 1]
    assert [len(window.drifts) for window in found.windows] == [0, 1, 0, 1, 1]  # of a day without rows nothing is said
    (drift,) = found.windows[-1].alarms
    assert drift.column == "age"  # the city is personal, so no past of it is kept
    assert drift.size > 0.25
    assert found.windows[-1].start_us == (TODAY - 1) * DAY_US
    assert json.loads(json.dumps(found.to_json()))["alarms"] == 1


def answered_before(recorder: Recorder, requests: Sequence[Request]) -> None:
    """Keep these rows and their answers as those that judged the release."""
    made = recorder.answer(requests)
    recorder.receipts.clear()
    interface = read_interface(recorder.model.plan.interface)
    values = np.concatenate([np.asarray(recorded_outputs(one, interface)["value"])[:, 0] for one in made])
    found = Predictions(truth=values, values=values, low=values, high=values)
    place = recorder.keeper.home.held_out(recorder.model.about.digest)
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(parquet(laid_out(pl.DataFrame({"age": [0.0] * len(values)}), found, ())))


def test_answers_are_watched_as_a_column_is(recorder: Recorder) -> None:
    chance = np.random.default_rng(9)
    answered_before(recorder, ages(chance, 2_000))
    asked(recorder, [ages(chance, 400), ages(chance, 400, older=35.0)])
    before, after = seen(recorder, windows=2).windows
    assert {drift.column for drift in before.drifts} == {"age", ANSWERED}
    assert not before.alarms
    assert {drift.column for drift in after.alarms} == {"age", ANSWERED}


def test_what_was_counted_before_is_kept_and_says_the_same(recorder: Recorder) -> None:
    chance = np.random.default_rng(12)
    answered_before(recorder, ages(chance, 1_000))
    asked(recorder, [ages(chance, 100, older=float(day)) for day in range(6)])
    counts: Counts = {}
    (release,) = (folder.name for folder in recorder.keeper.home.releases.iterdir())
    again = recorder.again()

    def look(day: int, kept: Counts | None) -> Watched:
        now_us = (TODAY - 6 + day) * DAY_US
        return watch(
            recorder.keeper, Watch(), release=release, windows=3, now_us=now_us, tell=silent, again=again, counts=kept
        )

    for day in (1, 2, 4, 6):
        assert look(day, counts) == look(day, None)
    (held,) = counts.values()
    assert sum(window.rows for window in held.values()) == 600


def test_the_day_that_is_not_over_is_left_alone(recorder: Recorder) -> None:
    recorder.now_us = TODAY * DAY_US
    for request in ages(np.random.default_rng(2), 100, older=40.0):
        recorder.answer([request])
    recorder.write()
    assert [window.rows for window in seen(recorder, windows=3).windows] == [0, 0, 0]


def test_one_row_and_many_rows_of_a_request_are_counted_alike(recorder: Recorder) -> None:
    asked(recorder, [[row(30.0), row(None), *ages(np.random.default_rng(3), 20)]])
    (window,) = seen(recorder).windows
    assert window.rows == 22


def test_only_what_went_out_of_this_release_is_counted(recorder: Recorder) -> None:
    asked(recorder, [ages(np.random.default_rng(4), 40)])
    (folder,) = recorder.keeper.home.releases.iterdir()
    shadow = Recorder(keeper=recorder.keeper, ready=recorder.ready, stream=77)
    shadow.now_us = (TODAY - 1) * DAY_US
    shadow.receipts = [msgspec.structs.replace(one, route="shadow") for one in shadow.answer([row(50.0)])]
    shadow.write()
    assert seen(recorder).windows[0].rows == 40
    assert seen(recorder).release == folder.name


def test_what_a_forgotten_person_said_is_not_counted_and_that_is_told(recorder: Recorder) -> None:
    asked(recorder, [[row(30.0), row(44.0, person="ann"), row(51.0, person="bob")]])
    recorder.subjects.forget(alias(recorder.keeper.home.keys, "ann"), now_us=NOW_US)
    (window,) = seen(recorder).windows
    assert (window.rows, window.unread) == (2, 1)


def test_what_changes_among_some_rows_is_seen_in_their_slice(visited: Lived) -> None:
    """Where the north stays longest and the others shorter, all together stay as long as before."""
    chance = random.Random(8)
    for each in visits(400, seed=9):
        nights = chance.randint(10, 14) if each["region"] == "north" else chance.randint(0, 9)
        visited.recorder.answer([lived_row(each | {"nights": nights})])
    visited.write()
    found = watch(
        visited.keeper,
        Watch(slices=("region",)),
        release=visited.keeper.folder_of("champion").name,
        windows=1,
        now_us=(visited.now_us // DAY_US + 1) * DAY_US,
        tell=silent,
        again=visited.again(),
    )
    (window,) = found.windows
    assert window.rows == 400
    within = {one.column: one.whole for one in window.alarms if one.whole}
    assert within["nights where region is north"] == "nights"
    assert "nights" not in {one.column for one in window.of_columns}
    assert {one.column for one in window.drifts if one.column.startswith("region where")} == set()
    assert {one.column for one in found.harms if one.promise.startswith("ROC AUC")} >= set(within)


@pytest.mark.parametrize("name", ["age", "citty"])
def test_rows_are_sliced_by_texts_alone(recorder: Recorder, name: str) -> None:
    asked(recorder, [[row(30.0)]])
    with pytest.raises(Misuse, match="sliced by"):
        seen(recorder, settings=Watch(slices=(name,)))


def test_windows_go_by_the_time_that_a_row_tells_and_what_comes_too_late_is_left_out(visited: Lived) -> None:
    """A machine was cut off: what it saw on the second day comes at noon of the third, and a rest on the fourth."""
    first = visited.now_us // DAY_US + 2
    hour_us = DAY_US // 24

    def answer(asked_us: int, told_us: int | None, count: int) -> None:
        visited.recorder.now_us = asked_us
        told = "" if told_us is None else f"{datetime.fromtimestamp(told_us / 1e6, UTC):%d.%m.%Y %H:%M}"
        for each in visits(count, seed=count):
            body = json.loads(lived_row(each).body) | {"seen_at": told}
            visited.recorder.answer([Request(wire="rows", body=json.dumps(body).encode())])

    answer(first * DAY_US + hour_us, first * DAY_US, 30)
    answer((first + 2) * DAY_US + 12 * hour_us, (first + 1) * DAY_US + 3 * hour_us, 20)
    answer((first + 3) * DAY_US + hour_us, (first + 1) * DAY_US + 4 * hour_us, 7)
    answer((first + 2) * DAY_US + hour_us, (first + 30) * DAY_US, 5)  # its clock is wrong: no row is from the future
    visited.write()
    counts: Counts = {}

    def look(settings: Watch, after_us: int, kept: Counts | None = None) -> dict[int, tuple[int, int]]:
        found = watch(
            visited.keeper,
            settings,
            release=visited.keeper.folder_of("champion").name,
            windows=4,
            now_us=first * DAY_US + after_us,
            tell=silent,
            again=visited.again(),
            counts=kept,
        )
        return {one.start_us // DAY_US - first: (one.rows, one.late) for one in found.windows if one.rows or one.late}

    told = Watch(by="seen_at", late=0.75)
    assert look(told, DAY_US * 3) == {0: (30, 0), 1: (20, 0)}  # the third day is not due before 18:00 of the next
    assert look(told, DAY_US * 4) == {0: (30, 0), 1: (20, 7), 2: (5, 0)}
    for day in (3, 4, 5):  # so does who keeps what was counted
        assert look(told, DAY_US * day, counts) == look(told, DAY_US * day)
    assert look(Watch(by="seen_at"), DAY_US * 4) == {0: (30, 0), 1: (0, 27), 2: (5, 0)}
    assert look(Watch(), DAY_US * 4) == {0: (30, 0), 2: (25, 0), 3: (7, 0)}


@pytest.mark.parametrize("name", ["age", "clerk"])
def test_windows_go_by_dates_alone(name: str, visited: Lived) -> None:
    release = visited.keeper.folder_of("champion").name
    with pytest.raises(Misuse, match="its dates are seen_at, born"):
        watch(visited.keeper, Watch(by=name), release=release, windows=1, now_us=NOW_US, tell=silent)


def test_hours_can_be_windows_too(recorder: Recorder) -> None:
    recorder.now_us = TODAY * DAY_US - 3_600_000_000
    recorder.answer([row(30.0)])
    recorder.write()
    found = seen(recorder, windows=2, settings=Watch(window=1 / 24))
    last = (NOW_US - found.windows[-1].start_us) // 3_600_000_000
    assert last == 1
    assert found.level == pytest.approx(Watch().alarm_budget / 24)


@pytest.mark.parametrize("settings", [Watch(alarm_budget=2.0), Watch(alarm_budget=1.0)])
def test_a_budget_of_more_than_one_alarm_a_window_is_refused(recorder: Recorder, settings: Watch) -> None:
    with pytest.raises(Misuse, match="more than one for each window"):
        seen(recorder, settings=settings)


@pytest.mark.parametrize("windows", [0, -1, 100_000])
def test_a_number_of_windows_that_is_none_is_refused(recorder: Recorder, windows: int) -> None:
    with pytest.raises(Misuse, match="can"):
        seen(recorder, windows=windows)
