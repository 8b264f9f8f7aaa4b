"""Which label counts, whatever the order in which they are read."""

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st
from tests.data.traffic.made import label

from holdtrue.data.traffic.label import Label
from holdtrue.data.traffic.receipt import Ids
from holdtrue.data.traffic.resolve import Current, current_labels, target_of

ID = Ids(1).next(1)


def only(*said: Label) -> Current:
    found = current_labels(said)
    assert len(found) == 1
    return next(iter(found.values()))


def test_one_label_counts_as_it_is() -> None:
    one = only(label(1, 10))
    assert (one.label.value, one.corrections, one.repeats, one.conflict) == (1, 0, 0, False)


def test_a_message_that_comes_again_counts_once() -> None:
    one = only(label(1, 10, idempotency="m1"), label(1, 20, idempotency="m1"))
    assert (one.label.received_us, one.corrections, one.repeats, one.conflict) == (10, 0, 1, False)


def test_a_message_that_comes_again_with_another_value_is_a_conflict_and_does_not_replace() -> None:
    one = only(label(1, 10, idempotency="m1"), label(0, 20, idempotency="m1"))
    assert (one.label.value, one.corrections, one.conflict) == (1, 0, True)


def test_the_same_content_counts_once() -> None:
    one = only(label(1, 10, source="a"), label(1, 20, source="a"))
    assert (one.corrections, one.repeats) == (0, 1)


def test_a_later_value_of_one_source_is_a_correction() -> None:
    one = only(label(1, 10, source="a"), label(0, 20, source="a"), label(1, 30, source="a"))
    assert (one.label.value, one.label.received_us, one.corrections, one.conflict) == (1, 30, 2, False)
    assert [said.value for said in one.history] == [1, 0, 1]


def test_sources_that_differ_are_a_conflict_until_they_agree() -> None:
    said = [label(1, 10, source="a"), label(0, 20, source="b")]
    assert only(*said).conflict
    assert only(*said).label.value == 0
    assert not only(*said, label(0, 30, source="a")).conflict


def test_two_sources_that_agree_are_no_conflict() -> None:
    assert not only(label(1, 10, source="a"), label(1.0, 20, source="b")).conflict


def test_true_is_not_one() -> None:
    assert only(label(1, 10, source="a"), label(True, 20, source="b")).conflict


def test_rows_of_a_prediction_are_apart_and_keys_are_the_same_in_any_order() -> None:
    rows = [label(row, 10, prediction=ID, row=row, key={}) for row in range(3)]
    assert {target: one.label.value for target, one in current_labels(rows).items()} == {(ID, n): n for n in range(3)}
    assert target_of(label(1, 1, key={"a": 1, "b": 2})) == target_of(label(1, 1, key={"b": 2, "a": 1}))


SAID = st.builds(
    lambda value, received, source, message: label(value, received, source=source, idempotency=message),
    st.sampled_from([0, 1, True, None, "x"]),
    st.integers(0, 5),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["", "", "m1", "m2"]),
)


@given(st.lists(SAID, max_size=8), st.randoms(use_true_random=False))
def test_the_order_in_which_labels_are_read_changes_nothing(said: list[Label], chance: random.Random) -> None:
    shuffled = list(said)
    chance.shuffle(shuffled)
    assert current_labels(shuffled) == current_labels(said)


@given(st.lists(SAID, min_size=1, max_size=8))
def test_nothing_is_dropped_uncounted(said: list[Label]) -> None:
    for one in current_labels(said).values():
        assert len(one.history) + one.repeats == len(said)
        assert all(a.received_us <= b.received_us for a, b in itertools.pairwise(one.history))
