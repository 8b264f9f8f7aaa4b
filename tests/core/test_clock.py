import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdtrue.core.clock import Clock, VirtualClock, WallClock, clock_at, wall_us
from holdtrue.core.errors import Misuse


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clock"


def test_the_file_holds_microseconds_least_byte_first(path: Path) -> None:
    with VirtualClock.make(path, now_us=0x0102030405060708):
        assert path.read_bytes() == bytes([8, 7, 6, 5, 4, 3, 2, 1])


def test_another_who_maps_the_file_sees_every_change(path: Path) -> None:
    with VirtualClock.make(path, now_us=-7) as clock, VirtualClock(path) as other:
        assert other.now_us() == -7
        for now_us in (0, 1, 1_700_000_000_000_000):
            clock.set(now_us)
            assert other.now_us() == now_us == clock.now_us()


@given(st.lists(st.integers(min_value=-(2**63), max_value=2**63 - 1), min_size=1, max_size=20))
def test_it_never_goes_back(tmp_path_factory: pytest.TempPathFactory, times: list[int]) -> None:
    with VirtualClock.make(tmp_path_factory.mktemp("clock") / "clock", now_us=times[0]) as clock:
        highest = times[0]
        for now_us in times:
            if now_us < highest:
                with pytest.raises(ValueError, match="does not go back"):
                    clock.set(now_us)
            else:
                clock.set(now_us)
                highest = now_us
            assert clock.now_us() == highest


def test_a_file_of_another_size_is_no_clock(path: Path) -> None:
    path.write_bytes(b"123456789")
    with pytest.raises(Misuse, match="9 bytes"):
        VirtualClock(path)


def test_a_file_that_is_not_there_is_no_clock(path: Path) -> None:
    with pytest.raises(Misuse, match="No such file"):
        VirtualClock(path)


def test_without_a_file_it_is_the_time_of_the_machine(path: Path) -> None:
    clock = clock_at(None)
    assert isinstance(clock, Clock)
    assert isinstance(clock, WallClock)
    assert abs(clock.now_us() - time.time() * 1e6) < 5e6
    assert wall_us() <= wall_us()
    with VirtualClock.make(path, now_us=3):
        virtual = clock_at(path)
        assert virtual.now_us() == 3
        assert isinstance(virtual, VirtualClock)
        virtual.close()
