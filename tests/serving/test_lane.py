"""One release in one worker: batches of a tick, limits, deadlines, and what a slow model does to the others."""

import asyncio
import statistics
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.serving.lanes import BAD, Asked, Hall, Twice, all_answered, asked, hall

from holdtrue.data.traffic.read import receipts
from holdtrue.serving.ask import Problem


def story(folder: Path, told: Callable[[Hall], Coroutine[Any, Any, None]]) -> None:
    """Tell a story in an event loop."""

    async def run() -> None:
        with hall(folder) as here:
            await told(here)

    asyncio.run(run())


def test_the_requests_of_one_tick_are_one_batch(tmp_path: Path) -> None:
    async def told(here: Hall) -> None:
        model = Twice()
        lane = here.lane(model)
        first, later = [asked(float(value)) for value in range(5)], [asked(9.0, rows=3)]
        for each in first:
            lane.submit(each.job)
        await all_answered(*first)
        for each in later:
            lane.submit(each.job)
        await all_answered(*later)
        assert model.runs == [[0, 1, 2, 3, 4], [9, 9, 9]]
        for place, each in enumerate(first):
            answer = each.answer
            assert answer.arrays["double"][answer.start : answer.stop].tolist() == [[pytest.approx(2 * place)]]
        assert lane.idle

    story(tmp_path, told)
    found = list(receipts(tmp_path))
    assert [(one.batch, one.place, one.rows) for one in found] == [(1, n, 1) for n in range(5)] + [(2, 0, 3)]


def test_without_batches_each_goes_alone_and_in_order(tmp_path: Path) -> None:
    async def told(here: Hall) -> None:
        for row_s in (1e-6, 0.001):  # in the loop, and in a thread
            model = Twice(row_s=row_s)
            lane = here.lane(model, most_rows=1)
            some = [asked(1.0), asked(2.0, rows=3), asked(3.0)]
            for each in some:
                lane.submit(each.job)
            await all_answered(*some)
            assert model.runs == [[1.0], [2.0, 2.0, 2.0], [3.0]]
            lane.close()

    story(tmp_path, told)


@pytest.mark.slow
def test_a_slow_model_gathers_while_it_is_busy(tmp_path: Path) -> None:
    async def told(here: Hall) -> None:
        model = Twice(row_s=0.001, takes_s=0.5)
        lane = here.lane(model)
        first = asked(0.0)
        lane.submit(first.job)
        await asyncio.sleep(0.01)
        rest = [asked(float(value)) for value in range(1, 40)]
        for each in rest:
            lane.submit(each.job)
            await asyncio.sleep(0)
        await all_answered(first, *rest)
        assert [len(run) for run in model.runs] == [1, 39]
        lane.close()

    story(tmp_path, told)


def test_a_deadline_that_passes_while_a_request_waits_is_told_and_costs_no_run(tmp_path: Path) -> None:
    async def told(here: Hall) -> None:
        model = Twice(row_s=0.001, takes_s=0.05)
        lane = here.lane(model)
        busy, late, patient = asked(1.0), asked(2.0, deadline_s=0.01), asked(3.0)
        lane.submit(busy.job)
        await asyncio.sleep(0.005)
        lane.submit(late.job)
        lane.submit(patient.job)
        await all_answered(busy, late, patient)
        assert (late.problem.status, late.problem.code) == (504, "too late")
        assert model.runs == [[1.0], [3.0]]
        lane.close()

    story(tmp_path, told)


def test_who_left_costs_nothing(tmp_path: Path) -> None:
    async def told(here: Hall) -> None:
        model = Twice(row_s=0.001, takes_s=0.03)
        lane = here.lane(model, most_bytes=100)
        busy = asked(1.0, body=b"x" * 10)
        lane.submit(busy.job)
        await asyncio.sleep(0.005)
        gone = [asked(2.0, body=b"x" * 40), asked(2.0, body=b"x" * 40)]
        for each in gone:
            lane.submit(each.job)
            each.left = True
        await all_answered(busy)
        await asyncio.sleep(0.005)
        assert model.runs == [[1.0]]
        assert here.counted("holdtrue_requests_cancelled_total") == 2
        assert not any(each.answers for each in gone)
        after = asked(4.0, body=b"x" * 100)  # their room is free again
        lane.submit(after.job)
        await all_answered(after)
        lane.close()

    story(tmp_path, told)
    assert len(list(receipts(tmp_path))) == 2


def test_one_bad_request_does_not_spoil_the_others(tmp_path: Path) -> None:
    async def told(here: Hall) -> None:
        for row_s in (1e-6, 0.001):
            lane = here.lane(Twice(row_s=row_s))
            some = [asked(1.0), asked(BAD), asked(3.0, rows=2)]
            for each in some:
                lane.submit(each.job)
            await all_answered(*some)
            assert (some[1].problem.status, some[1].problem.code) == (422, "unanswerable")
            for each in (some[0], some[2]):
                assert each.answer.arrays["double"][0, 0] == pytest.approx(2 * each.value)
            assert lane.idle
            lane.close()

    story(tmp_path, told)
    # Each went through the graph alone after all, and the record says so: a replay runs what was run.
    assert [(one.batch, one.place, one.rows) for one in receipts(tmp_path)] == [
        (1, 0, 1), (2, 0, 2), (3, 0, 1), (4, 0, 2),
    ]  # fmt: skip


def test_a_bad_request_to_a_slow_model_does_not_stop_the_loop(tmp_path: Path) -> None:
    async def told(here: Hall) -> None:
        lane = here.lane(Twice(row_s=0.001, takes_s=0.03))
        some = [asked(BAD), *(asked(float(value)) for value in range(6))]
        for each in some:
            lane.submit(each.job)
        longest_s = 0.0
        while not all(each.answers for each in some):
            before = time.monotonic()
            await asyncio.sleep(0.001)
            longest_s = max(longest_s, time.monotonic() - before)
        assert longest_s < 0.025  # one run takes longer
        lane.close()

    story(tmp_path, told)


def test_more_than_waits_long_enough_is_refused_and_told_when_to_come_again(tmp_path: Path) -> None:
    async def told(here: Hall) -> None:
        lane = here.lane(Twice(row_s=0.1, takes_s=0.02), most_wait_s=1.0)
        some = [asked(float(value)) for value in range(20)]
        refused: list[Problem] = []
        for each in some:
            try:
                lane.submit(each.job)
            except Problem as problem:
                refused.append(problem)
        assert len(refused) == 9  # eleven rows of 0.1 s each: the last one found 1.0 s, which is not too long
        assert {(each.status, each.code) for each in refused} == {(503, "overloaded")}
        assert all(each.retry_after_s and each.retry_after_s > 1 for each in refused)
        await all_answered(*some[:11])
        lane.close()

    story(tmp_path, told)


def test_what_waits_is_bounded_in_bytes_but_a_large_request_alone_is_answered(tmp_path: Path) -> None:
    async def told(here: Hall) -> None:
        lane = here.lane(Twice(row_s=0.001, takes_s=0.02), most_bytes=1_000)
        large, more = asked(1.0, body=b"x" * 5_000), asked(2.0, body=b"x")
        lane.submit(large.job)
        await asyncio.sleep(0.005)  # it is in the thread, and its bytes are still there
        with pytest.raises(Problem) as caught:
            lane.submit(more.job)
        assert (caught.value.status, caught.value.code) == (503, "overloaded")
        await all_answered(large)
        lane.submit(more.job)
        await all_answered(more)
        lane.close()

    story(tmp_path, told)


@pytest.mark.slow
def test_a_slow_model_does_not_delay_a_light_one(tmp_path: Path) -> None:
    """The light one's median stays within twice of what it is alone; 0.3 ms are for the clock of a busy machine."""

    async def light_ms(lane: Any) -> float:
        took: list[float] = []
        for _ in range(300):
            one = asked(1.0)
            before = time.monotonic()
            lane.submit(one.job)
            while not one.answers:
                await asyncio.sleep(0)
            took.append((one.at_s - before) * 1000)
            await asyncio.sleep(0.001)
        return statistics.median(took)

    async def told(here: Hall) -> None:
        light, heavy = here.lane(Twice()), here.lane(Twice(row_s=0.01, takes_s=0.05), most_wait_s=60.0)
        alone_ms = await light_ms(light)
        going = True

        async def load() -> None:
            while going:
                heavy.submit(asked(5.0).job)
                await asyncio.sleep(0.005)

        task = asyncio.create_task(load())
        await asyncio.sleep(0.02)
        beside_ms = await light_ms(light)
        going = False
        await task
        while not heavy.idle:
            await asyncio.sleep(0.01)
        heavy.close()
        assert beside_ms < 2 * alone_ms + 0.3

    story(tmp_path, told)


@pytest.mark.slow
def test_one_batch_that_took_very_long_turns_nobody_away(tmp_path: Path) -> None:
    """As when the machine stood still: the next requests wait as long as ever."""

    async def told(here: Hall) -> None:
        model = Twice(row_s=1e-4)
        lane = here.lane(model, most_wait_s=0.5)
        model.takes_s = 1.0
        first = asked(0.0)
        lane.submit(first.job)
        await all_answered(first)
        model.takes_s = 0.0
        rest = [asked(float(value)) for value in range(1, 64)]
        for each in rest:
            lane.submit(each.job)
        await all_answered(*rest)
        lane.close()

    story(tmp_path, told)


@pytest.mark.slow
def test_overload_leaves_the_goodput_as_it_was_and_is_over_when_it_is_over(tmp_path: Path) -> None:
    """Ten times what the model can do: who is let in is answered within the wait that was promised."""

    async def told(here: Hall) -> None:
        model = Twice(row_s=0.02, takes_s=0.02)
        lane = here.lane(model, most_wait_s=0.2)

        async def offered(rate_per_s: float, seconds: float) -> tuple[float, float, int]:
            """Give the answers a second, the longest wait, and how many were refused."""
            sent: list[tuple[float, Asked]] = []
            refused = 0
            begun = time.monotonic()
            count = int(rate_per_s * seconds)
            for number in range(count):
                await asyncio.sleep(max(0.0, begun + number / rate_per_s - time.monotonic()))
                one = asked(float(number), rows=2)
                try:
                    lane.submit(one.job)
                    sent.append((time.monotonic(), one))
                except Problem:
                    refused += 1
            good = sum(bool(one.answers) for _, one in sent) / seconds
            await all_answered(*(one for _, one in sent))
            return good, max(one.at_s - at_s for at_s, one in sent), refused

        await offered(50, 0.5)
        peak, _, _ = await offered(300, 1.0)
        good, longest_s, refused = await offered(3_000, 1.5)
        assert refused > 0
        assert good >= 0.5 * peak
        assert longest_s < 5.0
        _, after_s, refused = await offered(20, 0.5)
        assert refused == 0
        assert after_s < 2.0
        lane.close()

    story(tmp_path, told)


def test_an_answer_is_kept_when_its_row_went_alone(tmp_path: Path) -> None:
    async def told(here: Hall) -> None:
        model = Twice()
        lane = here.lane(model, cache_rows=10)
        for _ in range(3):
            one = asked(1.0)
            lane.submit(one.job)
            await all_answered(one)
        assert model.runs == [[1.0]]
        assert here.counted("holdtrue_cache_hits_total") == 2
        assert here.counted("holdtrue_cache_misses_total") == 1

    story(tmp_path, told)
    found = list(receipts(tmp_path))
    assert [(one.batch, one.place, one.rows) for one in found] == [(1, 0, 1), (2, 0, 1), (3, 0, 1)]
    assert len({one.outputs for one in found}) == 1
    assert len({one.id for one in found}) == 3


def test_a_row_that_went_with_others_goes_alone_when_it_comes_again(tmp_path: Path) -> None:
    """What a row gets among others may have other bits, so only what it gets alone is given again."""

    async def told(here: Hall) -> None:
        model = Twice()
        lane = here.lane(model, cache_rows=10)
        for values in ((1.0, 2.0), (1.0, 3.0, 2.0), (3.0, 1.0, 2.0), (1.0, 2.0, 3.0)):
            some = [asked(value) for value in values]
            for each in some:
                lane.submit(each.job)
            await all_answered(*some)
        assert model.runs == [[1.0, 2.0], [1.0], [3.0], [2.0]]

    story(tmp_path, told)
    alone = {value: np.array([2 * value]).tobytes() for value in (1.0, 2.0, 3.0)}
    together = {np.array([2 * value + 1e-12]).tobytes() for value in (1.0, 2.0)}
    found = list(receipts(tmp_path))
    assert {one.outputs for one in found[:2]} == together
    assert {one.outputs for one in found[2:]} == set(alone.values())
    assert len({one.batch for one in found[2:]}) == len(found[2:])


def test_the_cache_is_of_one_release_and_never_larger_than_it_may_be(tmp_path: Path) -> None:
    async def told(here: Hall) -> None:
        first, second = Twice(), Twice(digest="e" * 64)
        lanes = [here.lane(model, cache_rows=2) for model in (first, second)]
        for lane in lanes:
            one = asked(1.0)
            lane.submit(one.job)
            await all_answered(one)
        assert (first.runs, second.runs) == ([[1.0]], [[1.0]])
        for value in (2.0, 3.0, 1.0, 3.0):
            one = asked(value)
            lanes[0].submit(one.job)
            await all_answered(one)
        assert first.runs == [[1.0], [2.0], [3.0], [1.0]]
        several = asked(3.0, rows=2)
        lanes[0].submit(several.job)
        await all_answered(several)
        assert first.runs[-1] == [3.0, 3.0]

    story(tmp_path, told)


def test_a_bad_row_is_not_kept(tmp_path: Path) -> None:
    async def told(here: Hall) -> None:
        model = Twice()
        lane = here.lane(model, cache_rows=10)
        for _ in range(2):
            one = asked(BAD)
            lane.submit(one.job)
            await all_answered(one)
            assert one.problem.status == 422
        assert model.runs == [[BAD], [BAD]]

    story(tmp_path, told)
