"""Answers shared by a Redis server: the same bits, never in another's name, and no answer is lost when it is away."""

import asyncio
import os
import socket
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis
from tests.cli.driver import launched
from tests.serving.endpoint import copied, free_port, rows, serving
from tests.serving.lanes import Hall, Twice, all_answered, asked, hall

from holdtrue.data.traffic.read import receipts
from holdtrue.serving.shared_cache import SharedCache

# A database for each process that tests: they look at all there is in it.
SERVER = os.environ.get("HOLDTRUE_TEST_REDIS", "redis://127.0.0.1:6379")
REDIS = f"{SERVER}/{8 + int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0')[2:]) % 8}"
SECRET, OTHER = b"s" * 32, b"o" * 32
OPENED: list[SharedCache] = []  # in the loop of this test


@pytest.fixture
def store() -> Generator[Redis]:
    """A database of a Redis server, as empty of our keys afterwards as before."""
    made = Redis.from_url(REDIS)
    try:
        made.ping()
    except OSError as error:
        pytest.fail(f"These tests need Redis at {REDIS}; start one, or name another in HOLDTRUE_TEST_REDIS: {error}")
    _forget(made)
    yield made
    _forget(made)
    made.close()


def _forget(store: Redis) -> None:
    for key in _keys(store):
        store.delete(key)


def _keys(store: Redis) -> list[bytes]:
    return sorted(store.scan_iter("holdtrue:*"))


def story(folder: Path, told: Any) -> None:
    async def run() -> None:
        try:
            with hall(folder) as here:
                await told(here)
        finally:
            while OPENED:
                await OPENED.pop().close()

    asyncio.run(run())


def shared(
    here: Hall, secret: bytes = SECRET, *, url: str = REDIS, places: int = 100, patience_s: float = 5.0
) -> SharedCache:
    OPENED.append(SharedCache(url, places, secret, here.metrics, asyncio.get_running_loop(), patience_s=patience_s))
    return OPENED[-1]


async def answered(lane: Any, *values: float) -> list[float]:
    some = [asked(value) for value in values]
    for each in some:
        lane.submit(each.job)
    await all_answered(*some)
    await asyncio.sleep(0.05)  # what is kept is on its way
    return [each.answer.arrays["double"][each.answer.start, 0] for each in some]


def test_what_one_worker_computed_another_gives_again(tmp_path: Path, store: Redis) -> None:
    async def told(here: Hall) -> None:
        models = [Twice(), Twice()]
        caches = [shared(here), shared(here)]
        lanes = [here.lane(model, cache_rows=10, shared=cache) for model, cache in zip(models, caches, strict=True)]
        assert await answered(lanes[0], 1.0) == [2.0]
        assert await answered(lanes[1], 1.0) == [2.0]
        assert await answered(lanes[1], 1.0) == [2.0]  # by its own memory now
        assert [model.runs for model in models] == [[[1.0]], []]
        assert here.counted("holdtrue_cache_hits_total") == 2
        assert here.counted("holdtrue_cache_misses_total") == 1
        assert here.counted("holdtrue_cache_errors_total") == 0
        assert all(lane.idle for lane in lanes)

    story(tmp_path, told)
    found = list(receipts(tmp_path))
    assert len({one.outputs for one in found}) == 1
    assert len({one.id for one in found}) == 3


def test_other_releases_and_projects_see_nothing_of_it(tmp_path: Path, store: Redis) -> None:
    async def told(here: Hall) -> None:
        first = here.lane(Twice(), cache_rows=10, shared=shared(here))
        await answered(first, 1.0)
        another = Twice(digest="e" * 64)
        await answered(here.lane(another, cache_rows=10, shared=shared(here)), 1.0)
        stranger = Twice()
        await answered(here.lane(stranger, cache_rows=10, shared=shared(here, OTHER)), 1.0)
        assert (another.runs, stranger.runs) == ([[1.0]], [[1.0]])
        assert here.counted("holdtrue_cache_errors_total") == 1  # signed by another hand

    story(tmp_path, told)


@pytest.mark.slow
def test_no_bit_of_what_is_kept_can_be_changed(tmp_path: Path, store: Redis) -> None:
    async def told(here: Hall) -> None:
        await answered(here.lane(Twice(), cache_rows=10, shared=shared(here)), 1.0)
        (key,) = _keys(store)
        value = store.get(key)
        assert isinstance(value, bytes)
        chance = np.random.default_rng(1)
        for bit in [0, 8 * len(value) - 1, *chance.choice(8 * len(value), 30, replace=False)]:
            changed = bytearray(value)
            changed[bit // 8] ^= 1 << bit % 8
            store.set(key, bytes(changed))
            model = Twice()
            assert await answered(here.lane(model, cache_rows=10, shared=shared(here)), 1.0) == [2.0]
            assert model.runs == [[1.0]]
        for made in (b"", b"x", value[:40], value + b"x"):
            store.set(key, made)
            model = Twice()
            await answered(here.lane(model, cache_rows=10, shared=shared(here)), 1.0)
            assert model.runs == [[1.0]]

    story(tmp_path, told)


def test_what_stood_in_another_place_is_not_believed(tmp_path: Path, store: Redis) -> None:
    async def told(here: Hall) -> None:
        await answered(here.lane(Twice(), cache_rows=10, shared=shared(here)), 1.0)
        await answered(here.lane(Twice(), cache_rows=10, shared=shared(here)), 2.0)
        one, other = _keys(store)
        values = store.mget([one, other])
        for key, value in zip((one, other), reversed(values), strict=True):
            assert value is not None
            store.set(key, value)
        model = Twice()
        lane = here.lane(model, cache_rows=10, shared=shared(here))
        assert await answered(lane, 1.0) == [2.0]
        assert await answered(lane, 2.0) == [4.0]
        assert model.runs == [[1.0], [2.0]]

    story(tmp_path, told)


@pytest.mark.slow
def test_it_never_holds_more_than_it_may(tmp_path: Path, store: Redis) -> None:
    async def told(here: Hall) -> None:
        model = Twice()
        lane = here.lane(model, cache_rows=4, shared=shared(here, places=4))
        for value in range(60):
            assert await answered(lane, float(value)) == [2.0 * value]
        assert len(model.runs) == 60

    story(tmp_path, told)
    assert 1 <= len(_keys(store)) <= 4
    assert all(0 < int(str(store.ttl(key))) <= 86_400 for key in _keys(store))


@pytest.mark.parametrize("kind", ["nobody", "silent"])
def test_a_server_that_is_away_costs_no_answer_and_little_time(kind: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1] if kind == "silent" else free_port()

        async def told(here: Hall) -> None:
            model = Twice()
            cache = shared(here, url=f"redis://127.0.0.1:{port}/0", patience_s=0.02)
            lane = here.lane(model, cache_rows=10, shared=cache)
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            for value in range(100):
                one = asked(float(value))
                lane.submit(one.job)
                await all_answered(one)
                assert one.answer.arrays["double"][0, 0] == 2.0 * value
            assert loop.time() - began_s < 1.0  # of which one row waited for the server
            assert 1 <= here.counted("holdtrue_cache_errors_total") <= 3
            assert "cannot be asked" in cache.fault

        story(tmp_path, told)


@pytest.mark.slow
def test_endpoints_share_it_and_what_it_answered_is_made_again_to_the_bit(
    trips_folder: Path, tmp_path: Path, store: Redis
) -> None:
    again = copied(trips_folder, tmp_path / "again")
    table = rows(20, target=False)
    words = ("--cache", "1000", "--cache-url", REDIS)
    with serving(trips_folder, *words) as first:
        first.ask("POST", "/predict", table[0])
        time.sleep(1.2)  # where the first connection took too long, it is tried again by then
        told = [first.ask("POST", "/predict", row).json["predictions"] for row in table]
    secret = (trips_folder / ".holdtrue/keys/cache.secret").read_bytes()
    (again / ".holdtrue/keys/cache.secret").write_bytes(secret)
    with serving(again, *words) as second:
        second.ask("POST", "/predict", table[0])
        time.sleep(1.2)
        assert [second.ask("POST", "/predict", row).json["predictions"] for row in table] == told
        counters = second.ask("GET", "/metrics").body.decode()
    hits = sum(float(line.split()[-1]) for line in counters.splitlines() if line.startswith("holdtrue_cache_hits"))
    assert hits > 0
    done = launched("replay", "--all", folder=again)
    assert done.code == 0, done.err
    assert secret not in b"".join(value for key in _keys(store) if isinstance(value := store.get(key), bytes))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--cache-url", REDIS), "--cache ROWS"),
        (("--cache", "5", "--cache-url", "http://x:hidden@y"), "redis://"),
        (("--cache", "5", "--cache-url", "nothing"), "redis://"),
    ],
)
@pytest.mark.slow
def test_an_address_that_is_none_is_refused_and_no_password_is_shown(
    words: tuple[str, ...], told: str, trips_folder: Path
) -> None:
    done = launched("serve", "--port", "0", *words, folder=trips_folder)
    assert done.code == 2
    assert told in done.err
    assert "hidden" not in done.err
