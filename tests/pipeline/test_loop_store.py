"""What a loop is told and decides survives whoever is killed, and only one worker's word counts."""

import threading
from pathlib import Path

import pytest

from holdtrue.core.errors import Busy, Refused
from holdtrue.loop.actions import SetShare
from holdtrue.loop.controller import step
from holdtrue.loop.events import Done, Looked, PromiseSeen, Requested, Ticked, Trained
from holdtrue.loop.policy import DAY_US, Policy
from holdtrue.loop.state import State, begin
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.loop_store import LEASE_US, MOST_WAITING, Fenced, LoopStore, check, encode
from holdtrue.pipeline.workspace import Home
from holdtrue.registry.catalog import Release, add_release
from holdtrue.registry.schema import LOOP_INBOX
from tests.pipeline.recorded import NOW, PROJECT
from tests.pipeline.recorded import store as made_store
from tests.registry.conftest import postgres_url, url

__all__ = ["postgres_url", "url"]  # fixtures
CHAMPION = "1f" * 32
WORD = Requested(at_us=5, by="Ada")


@pytest.fixture
def kept(url: str, tmp_path: Path) -> LoopStore:
    """A loop that has begun, in SQLite and in Postgres."""
    keeper = Keeper(home=Home(path=tmp_path / "home", database=url), project=PROJECT, actor="tester")
    release = Release(digest=CHAMPION, project=PROJECT, created=NOW, path="releases/1f")
    keeper.home.path.mkdir(exist_ok=True)
    keeper.database().write(lambda connection: add_release(connection, release, actor="tester", now=NOW))
    made = LoopStore(keeper=keeper)
    made.begin(CHAMPION, 0)
    return made


def known(kept: LoopStore) -> State:
    state = kept.read()
    assert state is not None
    return state


def lead(kept: LoopStore, holder: str = "one", now_us: int = 0) -> int:
    token = kept.acquire(holder, now_us)
    assert token is not None
    return token


def trained(kept: LoopStore, token: int) -> int:
    """Let a person's word start a training; gives the number of the deed."""
    kept.put(WORD)
    found = kept.next_message()
    assert found is not None
    before = known(kept)
    after, actions = step(before, found[1], Policy())
    assert kept.commit(token, found[0], before, after, actions)
    assert after.awaited is not None
    return after.awaited.deed.id


def test_a_loop_begins_once(kept: LoopStore) -> None:
    kept.begin("2e" * 32, 7)
    assert known(kept) == begin(CHAMPION, at_us=0)


def test_one_leads_until_its_lease_ends(kept: LoopStore) -> None:
    first = lead(kept)
    assert kept.acquire("two", LEASE_US - 1) is None
    assert kept.acquire("one", LEASE_US - 1) == first
    assert kept.leader() == ("one", 2 * LEASE_US - 1)
    assert kept.acquire("two", 2 * LEASE_US - 1) == first + 1
    assert kept.acquire("one", 2 * LEASE_US) is None


def test_the_lease_of_a_dead_worker_is_taken_over_at_once(kept: LoopStore) -> None:
    first = lead(kept)
    assert kept.acquire("two", 1, lambda name: name == "three") is None
    assert kept.acquire("two", 1, lambda name: name == "one") == first + 1
    assert kept.acquire("one", 2) is None


def test_a_lease_that_is_given_back_is_free_at_once(kept: LoopStore) -> None:
    token = lead(kept)
    kept.release(token)
    assert lead(kept, "two", 1) == token + 1
    kept.release(token)  # of a worker that woke up late
    assert kept.acquire("three", 2) is None


def test_a_lease_from_a_clock_that_was_wrong_does_not_last_for_ever(kept: LoopStore) -> None:
    lead(kept, "one", 10 * DAY_US)
    assert lead(kept, "two", DAY_US) == 2


def test_of_many_workers_at_once_one_leads(kept: LoopStore) -> None:
    got: list[int | None] = []
    workers = [threading.Thread(target=lambda name=name: got.append(kept.acquire(name, 0))) for name in "abcdef"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(token for token in got if token is not None) == [1]


def test_messages_are_taken_in_their_order_and_once(kept: LoopStore) -> None:
    token = lead(kept)
    for by in ("Ada", "Bo"):
        kept.put(Requested(at_us=1, by=by))
    for by in ("Ada", "Bo"):
        found = kept.next_message()
        assert found is not None
        assert found[1] == Requested(at_us=1, by=by)
        before = known(kept)
        after, actions = step(before, found[1], Policy(by_hand=False))
        assert kept.commit(token, found[0], before, after, actions)
        assert not kept.commit(token, found[0], known(kept), after, actions)
    assert kept.next_message() is None
    assert known(kept) == after


def test_words_are_refused_where_nobody_takes_them(kept: LoopStore) -> None:
    event = encode(WORD).decode()
    waiting = [{"project": PROJECT, "id": number, "event": event} for number in range(2, MOST_WAITING + 1)]
    kept.keeper.database().write(lambda connection: connection.execute(LOOP_INBOX.insert(), waiting))
    kept.put(WORD)
    with pytest.raises(Busy, match="holdtrue up"):
        kept.put(WORD)


def test_a_word_before_the_loop_began_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="has not begun"):
        LoopStore(keeper=made_store(tmp_path)).put(WORD)


def test_decision_journal_and_ledger_are_one_transaction(kept: LoopStore) -> None:
    token = lead(kept)
    number = trained(kept, token)
    journaled = kept.open_deed()
    assert journaled is not None
    assert (journaled.deed.id, journaled.asked_us) == (number, 5)
    ledger = [entry for entry in kept.keeper.ledger().rows if entry.action == "loop decided"]
    assert [(entry.detail["what"], entry.actor) for entry in ledger] == [("train", "loop")]
    assert kept.keeper.verify().count == kept.keeper.ledger().rows[0].seq + 1


def test_who_lost_the_lease_changes_nothing(kept: LoopStore) -> None:
    old = lead(kept)
    number = trained(kept, old)
    lead(kept, "two", LEASE_US)
    before = known(kept)
    after, actions = step(before, Ticked(at_us=DAY_US), Policy())
    done = Trained(at_us=6, action=number, release="ab" * 32, verdict="proven", promises=("x",), cost=1.0)
    for late in (
        lambda: kept.commit(old, None, before, after, actions),
        lambda: kept.report(old, done),
        lambda: kept.remember(old, "{}"),
    ):
        with pytest.raises(Fenced, match="two"):
            late()
    assert known(kept) == before
    assert kept.next_message() is None


def test_what_was_decided_from_a_state_of_before_is_not_written(kept: LoopStore) -> None:
    token = lead(kept)
    before = known(kept)
    trained(kept, token)
    after, actions = step(before, Ticked(at_us=DAY_US), Policy())
    assert not kept.commit(token, None, before, after, actions)


def test_an_outcome_is_reported_once(kept: LoopStore) -> None:
    token = lead(kept)
    number = trained(kept, token)
    done = Trained(at_us=6, action=number, release="ab" * 32, verdict="proven", promises=("x",), cost=1.0)
    kept.report(token, done)
    kept.report(token, done)
    assert kept.open_deed() is None
    found = kept.next_message()
    assert found is not None
    assert found[1] == done
    before = known(kept)
    after, actions = step(before, found[1], Policy())
    kept.commit(token, found[0], before, after, actions)
    assert kept.next_message() is None


def test_a_deed_that_is_asked_for_again_is_open_again_and_keeps_its_time(kept: LoopStore) -> None:
    token = lead(kept)
    number = trained(kept, token)
    kept.report(token, Done(at_us=7, action=number))
    assert kept.open_deed() is None
    before = known(kept)
    after, actions = step(before, Ticked(at_us=5 + Policy().work_patience_us), Policy())
    assert kept.commit(token, None, before, after, actions)
    journaled = kept.open_deed()
    assert journaled is not None
    assert (journaled.deed.id, journaled.asked_us) == (number, 5)


def test_only_the_deed_that_is_awaited_may_be_done(kept: LoopStore) -> None:
    token = lead(kept)
    number = trained(kept, token)

    def asks(token: int, deed: int) -> None:
        kept.keeper.database().read(lambda connection: check(connection, PROJECT, token=token, deed=deed))

    asks(token, number)
    asks(token, 0)
    for late in ((token, number - 1), (token - 1, number)):
        with pytest.raises(Fenced):
            asks(*late)


def test_alarms_wait_until_they_are_told(kept: LoopStore) -> None:
    token = lead(kept)
    before = known(kept)
    broken = (PromiseSeen(promise="recall", state="broken"),)
    after, actions = step(before, Looked(at_us=1, release=CHAMPION, promises=broken), Policy())
    assert kept.commit(token, None, before, after, actions)
    (alarm,) = kept.alarms()
    assert "recall" in alarm.what
    kept.told(alarm.id)
    assert kept.alarms() == []


def test_a_deed_in_the_journal_is_read_as_it_was_written() -> None:
    deed = SetShare(id=3, decision=2, champion="a", challenger="b", share=0.1, reason="é")
    assert b'"kind":"set share"' in encode(deed)


def test_what_a_worker_remembers_is_there_for_the_next(kept: LoopStore) -> None:
    kept.remember(lead(kept), '{"looked":3}')
    assert kept.memory() == '{"looked":3}'
