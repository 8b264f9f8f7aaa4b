"""The life of alarms: told once, silent when asked, over when quiet, and the same after a restart."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from holdtrue.monitoring.alarms import Alarm, Book, Seen, advance, due, silenced, told

DAY = 86_400_000_000
RELEASE = "a" * 64


def seen(*columns: str, release: str = RELEASE) -> list[Seen]:
    return [Seen(release=release, kind="drift", subject=name, what=f"{name} has changed") for name in columns]


def stepped(book: Book, day: int, *columns: str, release: str = RELEASE) -> tuple[Book, tuple[Alarm, ...]]:
    return advance(
        book, seen(*columns, release=release), release=release, now_us=day * DAY, quiet_us=3 * DAY, listeners=["a", "b"]
    )


def test_an_alarm_is_news_once_however_often_it_is_seen() -> None:
    book, news = stepped(Book(), 1, "age")
    assert [one.seen.subject for one in news] == ["age"]
    for day in range(2, 9):
        book, news = stepped(book, day, "age")
        assert news == ()
    (alarm,) = book.alarms
    assert (alarm.opened_us, alarm.last_us) == (DAY, 8 * DAY)


def test_one_that_comes_and_goes_stays_one_alarm_and_ends_when_quiet() -> None:
    book, _ = stepped(Book(), 1, "age")
    book, news = stepped(book, 2)
    assert news == ()
    book, news = stepped(book, 3, "age")
    assert news == ()
    for day in (4, 5):
        book, news = stepped(book, day)
        assert news == ()
    book, news = stepped(book, 6)
    assert [one.is_over for one in news] == [True]
    assert book.alarms == ()  # nobody had heard of it
    _, news = stepped(book, 7, "age")
    assert len(news) == 1


def test_whoever_heard_of_the_beginning_hears_of_the_end() -> None:
    book, (alarm,) = stepped(Book(), 1, "age")
    assert [one.id for one in due(book, "a", now_us=DAY)] == [alarm.id]
    book = told(book, "a", [alarm.id])
    assert due(book, "a", now_us=DAY) == ()
    book, _ = stepped(book, 4)
    assert [one.is_over for one in due(book, "a", now_us=4 * DAY)] == [True]
    assert due(book, "b", now_us=4 * DAY) == ()
    assert told(book, "a", [alarm.id]).alarms == ()


def test_another_release_ends_the_alarms_of_the_one_before() -> None:
    book, _ = stepped(Book(), 1, "age")
    book, news = stepped(book, 2, "age", release="b" * 64)
    assert [(one.seen.release[0], one.is_over) for one in news] == [("a", True), ("b", False)]


def test_nobody_is_told_of_a_silenced_alarm_until_its_time() -> None:
    book, (alarm,) = stepped(Book(), 1, "age")
    book, found = silenced(book, alarm.id[:6], until_us=5 * DAY, by="ann: holidays")
    assert found is not None
    assert due(book, "a", now_us=4 * DAY) == ()
    book, _ = stepped(book, 4, "age")
    assert [one.id for one in due(book, "a", now_us=5 * DAY)] == [alarm.id]
    assert silenced(book, "nothing", until_us=1, by="")[1] is None
    assert silenced(book, "", until_us=1, by="")[1] is None


def test_a_clock_that_jumps_back_ends_no_alarm() -> None:
    book, _ = stepped(Book(), 100, "age")
    book, news = stepped(book, 2)
    assert news == ()
    book, news = stepped(book, 2, "age")
    assert (news, book.alarms[0].last_us) == ((), 100 * DAY)


DAYS = st.lists(st.lists(st.sampled_from(["age", "city", "way"]), unique=True, max_size=3), max_size=15)


@given(DAYS, st.data())
def test_a_book_read_again_goes_on_as_it_was_and_no_listener_hears_anything_twice(
    days: list[list[str]], data: st.DataObject
) -> None:
    book, other = Book(), Book()
    heard: list[tuple[str, str, bool]] = []
    for day, columns in enumerate(days, 1):
        book, news = stepped(book, day, *columns)
        other, same = stepped(msgspec.json.decode(msgspec.json.encode(other), type=Book), day, *columns)
        assert (book, news) == (other, same)
        for name in ("a", "b"):
            if data.draw(st.booleans()):
                waiting = due(book, name, now_us=day * DAY)
                heard += [(name, alarm.id, alarm.is_over) for alarm in waiting]
                book = told(book, name, [alarm.id for alarm in waiting])
                other = told(other, name, [alarm.id for alarm in waiting])
        assert len({alarm.seen.key for alarm in book.alarms if not alarm.is_over}) == sum(
            not alarm.is_over for alarm in book.alarms
        )
    assert len(heard) == len(set(heard))
    ends = {(name, id) for name, id, is_over in heard if is_over}
    assert ends <= {(name, id) for name, id, is_over in heard if not is_over}
