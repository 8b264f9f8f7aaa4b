"""Nobody gets more than the buckets hold, whatever the order of calls; and the counting itself stays small."""

import math
import tracemalloc
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdtrue.serving.quotas import DAY_S, Connections, Limits, Quotas, origin

# Powers of two, so that floats hold every moment and every share exactly and the reference can be held to the bit.
RATES = [0.25, 1.0, 8.0, 64.0]
DAYS = [675, 1350, 86_400, 86_400 * 4]  # one row in 128, 64, 1 and a quarter of a second


class Levels:
    """The same rule told the slow way: two levels, filled by the time that went by, and lowered by what is taken."""

    def __init__(self, rate: float, burst: int, day: int) -> None:
        self.flows = (Fraction(rate), Fraction(day, int(DAY_S)))
        self.sizes = (Fraction(burst), Fraction(day))
        self.levels = list(self.sizes)
        self.then = Fraction(0)

    def take(self, requests: int, rows: int, now: Fraction) -> float:
        gone, self.then = now - self.then, now
        for each in (0, 1):
            self.levels[each] = min(self.sizes[each], self.levels[each] + gone * self.flows[each])
        asked = (requests, rows)
        if any(asked[each] > self.sizes[each] for each in (0, 1)):
            return math.inf
        missing = [(asked[each] - self.levels[each]) / self.flows[each] if asked[each] else 0 for each in (0, 1)]
        if max(missing) <= 0:
            self.levels = [self.levels[each] - asked[each] for each in (0, 1)]
        return float(max(*missing, 0))


calls = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.integers(0, 3),
        st.integers(0, 2) | st.integers(0, 1500),
        st.integers(0, 64) | st.integers(0, 64_000),
    ),
    max_size=60,
)


@given(st.sampled_from(RATES), st.integers(1, 6), st.sampled_from(DAYS), calls)
def test_the_buckets_are_those_of_the_slow_reference(
    rate: float, burst: int, day: int, sequence: list[tuple[str, int, int, int]]
) -> None:
    quotas = Quotas(Limits(requests_per_s=rate, burst=burst, rows_per_day=day))
    slow = {name: Levels(rate, burst, day) for name in "ab"}
    now = Fraction(0)
    for name, requests, rows, steps in sequence:
        now += Fraction(steps, 64)
        assert quotas.take(name, rows, float(now), requests) == slow[name].take(requests, rows, now)


@given(st.floats(0.01, 1e4), st.integers(1, 1000), st.floats(0, 1e6))
def test_a_burst_is_as_large_as_it_says_at_any_rate(rate: float, burst: int, now_s: float) -> None:
    quotas = Quotas(Limits(requests_per_s=rate, burst=burst))
    assert [quotas.take("ada", 1, now_s) for _ in range(burst)] == [0.0] * burst
    wait_s = quotas.take("ada", 1, now_s)
    assert 0.0 < wait_s <= 1.000001 / rate
    assert quotas.take("ada", 1, now_s + wait_s) == 0.0


@given(st.lists(st.floats(0, 3), min_size=1, max_size=300))
def test_whoever_waits_as_told_is_let_in_and_the_rate_holds(pauses: list[float]) -> None:
    quotas = Quotas(Limits(requests_per_s=3, burst=5))
    now_s = 1000.0
    for let_in, pause in enumerate(pauses, start=1):
        now_s += pause
        wait_s = quotas.take("ada", 1, now_s)
        if wait_s:
            now_s += wait_s
            assert quotas.take("ada", 1, now_s) == 0.0
        assert let_in <= 5 + 3 * (now_s - 1000.0) + 1e-3


def test_the_rows_of_a_day_flow_back_within_a_day() -> None:
    quotas = Quotas(Limits(rows_per_day=1000))
    assert quotas.take("ada", 1000, 0.0) == 0.0
    assert quotas.take("ada", 1, 0.0) == pytest.approx(86.4)
    assert quotas.take("ada", 500, DAY_S / 2) == 0.0
    assert quotas.take("ada", 1000, DAY_S / 2) == pytest.approx(DAY_S)
    assert quotas.take("ada", 1000, DAY_S * 1.5) == 0.0


def test_what_can_never_be_granted_waits_for_ever_and_takes_nothing() -> None:
    quotas = Quotas(Limits(rows_per_day=7, requests_per_s=3, burst=2))
    assert quotas.take("ada", 8, 0.0) == math.inf
    assert quotas.take("ada", 1, 0.0, 3) == math.inf
    assert quotas.take("ada", 7, 0.0) == 0.0
    assert quotas.take("ada", 0, 0.0) == 0.0
    assert 0.0 < quotas.take("ada", 0, 0.0) < 1.0


def test_rows_may_be_counted_after_the_request() -> None:
    quotas = Quotas(Limits(requests_per_s=1, burst=1, rows_per_day=10))
    assert quotas.take("ada", 0, 0.0) == 0.0
    assert quotas.take("ada", 10, 0.0, requests=0) == 0.0
    assert quotas.take("ada", 0, 1.0) == 0.0
    assert quotas.take("ada", 1, 1.0, requests=0) > 8000


def test_one_caller_does_not_wait_for_another() -> None:
    quotas = Quotas(Limits(requests_per_s=1, burst=1))
    assert quotas.take("ada", 1, 0.0) == 0.0
    assert quotas.take("ada", 1, 0.0) == 1.0
    assert quotas.take("bob", 1, 0.0) == 0.0


def test_without_limits_nothing_is_kept() -> None:
    quotas = Quotas(Limits())
    assert quotas.take("ada", 10**9, 0.0) == 0.0
    assert len(quotas) == 0


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_clock_that_jumps_grants_one_bucket_and_locks_nobody_out(first: float, second: float) -> None:
    quotas = Quotas(Limits(requests_per_s=10, burst=3))
    assert [quotas.take("ada", 1, first) for _ in range(3)] == [0.0] * 3
    granted = sum(quotas.take("ada", 1, second) == 0.0 for _ in range(10))
    assert granted <= 3
    assert quotas.take("ada", 1, second) <= 0.100001
    assert quotas.take("ada", 1, second + 0.100001) == 0.0


def test_the_forgotten_come_back_with_one_full_bucket() -> None:
    quotas = Quotas(Limits(requests_per_s=1, burst=2), most_callers=3)
    for name in "abcd":
        assert quotas.take(name, 1, 0.0) == 0.0
    assert len(quotas) == 3
    assert [quotas.take("a", 1, 0.0) for _ in range(3)] == [0.0, 0.0, 1.0]
    # Whoever called last is remembered longest.
    assert quotas.take("d", 1, 0.0) == 0.0
    assert quotas.take("d", 1, 0.0) == 1.0


@pytest.mark.slow
def test_a_hundred_thousand_callers_take_bounded_memory() -> None:
    quotas = Quotas(Limits(requests_per_s=1, burst=1), most_callers=2000)
    tracemalloc.start()
    try:
        for number in range(100_000):
            assert quotas.take(f"oidc:{number:032d}", 1, number * 1e-3) == 0.0
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(quotas) == 2000
    assert held < 2000 * 512


def test_callers_who_must_wait_push_nobody_out() -> None:
    quotas = Quotas(Limits(rows_per_day=10), most_callers=1)
    assert quotas.take("ada", 10, 0.0) == 0.0
    for number in range(100):
        assert quotas.take(f"other-{number}", 11, 0.0) == math.inf
    assert quotas.take("ada", 1, 0.0) > 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"requests_per_s": 0.0},
        {"requests_per_s": -1.0},
        {"requests_per_s": math.nan},
        {"requests_per_s": math.inf},
        {"burst": 0},
        {"rows_per_day": 0},
    ],
    ids=str,
)
def test_limits_that_limit_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        Limits(**wrong)  # pyright: ignore[reportArgumentType] - as a settings file gives them
    with pytest.raises(ValueError, match="most_callers"):
        Quotas(Limits(), most_callers=0)


moves = st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "b", "c"])), max_size=200)


@given(moves)
def test_connections_are_counted_as_they_come_and_go(sequence: list[tuple[bool, str]]) -> None:
    doors, inside = Connections(most_each=3, most=6), list[str]()
    for enters, source in sequence:
        if enters:
            room = inside.count(source) < 3 and len(inside) < 6
            assert doors.enter(source) == room
            inside += [source] * room
        elif source in inside:
            doors.leave(source)
            inside.remove(source)
        assert doors.count == len(inside)
    for source in inside:
        doors.leave(source)
    assert doors.count == 0
    assert not vars(doors)["_open"]


def test_neighbours_in_one_network_are_one_origin() -> None:
    assert origin("2001:db8::1") == origin("2001:db8::ffff:1:2:3")
    assert origin("2001:db8:0:1::1") != origin("2001:db8::1")
    assert origin("::ffff:192.0.2.1") == origin("192.0.2.1") != origin("192.0.2.2")
    assert origin("not:an:address") == "not:an:address"
