"""One join of labels with predictions: by the id of a prediction, by business keys, and by both in their order."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdtrue.data.traffic.journal import Journal
from holdtrue.data.traffic.label import Label, Scalar, pack_label
from holdtrue.data.traffic.receipt import Ids, Receipt
from holdtrue.pipeline.label_join import LabelJoin
from holdtrue.pipeline.progress import silent
from holdtrue.pipeline.watched import DAY_US
from holdtrue.pipeline.watching import watch
from holdtrue.serving.ask import About
from holdtrue.spec.project import Watch
from tests.pipeline.canaries import pair
from tests.pipeline.recorded import NOW_US, Recorder, Request

IDS = Ids(9)
ABOUT = About(
    name="m", version="1", digest="a" * 64, classes=(), columns={"age": "age"}, order=("age",), textual=frozenset(),
    outputs=(),
)  # fmt: skip
SPELLINGS: list[Scalar] = [7, 7.0, "7", " 7 "]


def asked(*rows: dict[str, object], wire: str = "rows", body: bytes = b"") -> Receipt:
    return Receipt(
        id=IDS.next(1_000), time_us=1_000_000, release="a" * 64, route="champion", weight=1.0, batch=0, place=0,
        rows=len(rows), wire=wire, body=body or json.dumps(rows).encode(), outputs=b"",
    )  # fmt: skip


def keyed(value: Scalar, received_us: int = 10, source: str = "", **key: Scalar) -> Label:
    return Label(value=value, time_us=0, received_us=received_us, key=key, source=source)


def named(one: Receipt, value: Scalar, received_us: int = 10, *, row: int = 0, source: str = "") -> Label:
    return Label(value=value, time_us=0, received_us=received_us, prediction=one.id, row=row, source=source)


def found(one: Receipt, *labels: Label) -> dict[int, Scalar]:
    join = LabelJoin(labels)
    values = {row: label.value for row, label in join.labels_of(one, ABOUT).items()}
    assert join.may_know(one) or not values
    return values


@pytest.mark.parametrize("said", SPELLINGS)
@pytest.mark.parametrize("written", SPELLINGS)
def test_a_key_is_the_same_however_it_is_written(said: Scalar, written: Scalar) -> None:
    assert found(asked({"age": 1, "order": written}), keyed("yes", order=said)) == {0: "yes"}


@pytest.mark.parametrize("value", [None, "", float("nan"), [7], {"is": 7}, "8", True, 7.5])
def test_what_is_no_key_or_another_one_has_no_label(value: object) -> None:
    body = json.dumps([{"age": 1, "order": value}]).replace("NaN", "null").encode()
    assert found(asked({}, body=body), keyed("yes", order=7), keyed("no", order=None), keyed("no", order="")) == {}


def test_every_part_of_a_key_counts_and_each_row_has_its_own() -> None:
    one = asked(
        {"age": 1, "order": 7, "day": "mon"}, {"age": 1, "order": 7, "day": "tue"}, {"age": 1, "order": 8, "day": "mon"}
    )
    assert found(one, keyed(1, order=7, day="mon"), keyed(0, day="mon", order=8)) == {0: 1, 2: 0}
    assert found(asked({"age": 1, "order": 7}), keyed(1, order=7, day="mon")) == {}


def test_a_key_may_be_a_column_that_the_release_takes() -> None:
    assert found(asked({"age": 40}, {"age": 41}), keyed("yes", age=41.0)) == {1: "yes"}


def test_keys_are_read_in_every_form_of_a_request() -> None:
    split = json.dumps({"dataframe_split": {"columns": ["order", "age"], "data": [[7, 22], [8, None]]}}).encode()
    column = {"datatype": "FP64", "shape": [2, 1]}
    inputs = [{"name": "age", "data": [1, 2], **column}, {"name": "order", "data": [7, 8], **column}]
    v2 = json.dumps({"inputs": inputs}).encode()
    for one in (
        asked({}, {}, wire="mlflow", body=split),
        asked({}, {}, wire="csv", body=b"age,order\n44,7\n,8\n"),
        asked({}, {}, wire="v2", body=v2),
    ):
        assert found(one, keyed("yes", order=7), keyed("no", order="8")) == {0: "yes", 1: "no"}, one.wire


def test_a_request_that_cannot_be_read_has_the_labels_by_its_id_alone() -> None:
    one = asked({}, body=b'{"age": ')
    assert found(one, named(one, "yes"), keyed("no", order=7)) == {0: "yes"}


def test_the_label_that_was_received_last_counts_by_whatever_name() -> None:
    one = asked({"age": 1, "order": 7})
    assert found(one, named(one, "no", 10), keyed("yes", 20, order=7)) == {0: "yes"}
    assert found(one, named(one, "no", 30), keyed("yes", 20, order=7)) == {0: "no"}
    assert found(one, keyed("no", 5, order=7), keyed("yes", 20, order="7"), named(one, "late", 9)) == {0: "yes"}


def test_sources_that_differ_by_id_and_by_key_are_a_conflict_and_all_is_kept() -> None:
    one = asked({"age": 1, "order": 7})
    join = LabelJoin([named(one, "no", 10, source="desk"), keyed("yes", 20, "bank", order=7)])
    (current,) = join.currents_of(one, ABOUT).values()
    assert current.conflict
    assert [label.value for label in current.history] == ["no", "yes"]


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from(["no", "yes"]), st.integers(1, 30)),
        min_size=1,
        unique_by=lambda each: each[2],
    ),
    st.randoms(use_true_random=False),
)
def test_labels_by_id_and_by_key_are_worth_the_same(said: list[tuple[bool, str, int]], chance: random.Random) -> None:
    """Whatever names the row, what counts is what would count if all had named it by its id."""
    one = asked({"age": 1, "order": 7})
    mixed = [keyed(value, at, order=7) if by_key else named(one, value, at) for by_key, value, at in said]
    chance.shuffle(mixed)
    assert found(one, *mixed) == found(one, *(named(one, value, at) for _, value, at in said))


def test_watching_counts_labels_by_a_key(recorder: Recorder) -> None:
    recorder.now_us = (NOW_US // DAY_US - 1) * DAY_US + 3_600_000_000
    bodies = [json.dumps([{"age": age, "city": "Oslo", "order": age}]).encode() for age in range(20, 60)]
    answers = [recorder.answer([Request(wire="rows", body=body)])[0] for body in bodies]
    recorder.write()
    write_labels(recorder, [keyed(1.0, one.time_us + 5, order=20 + place) for place, one in enumerate(answers[:30])])
    write_labels(recorder, [named(answers[35], 2.0, answers[35].time_us + 5)], stream=6)
    (release,) = (folder.name for folder in recorder.keeper.home.releases.iterdir())
    seen = watch(
        recorder.keeper, Watch(), release=release, windows=1, now_us=NOW_US, tell=silent, again=recorder.again()
    )
    assert (seen.quality.rows, seen.quality.labelled, seen.quality.odd) == (40, 31, 0)


def write_labels(recorder: Recorder, labels: list[Label], *, stream: int = 5) -> None:
    folder = recorder.keeper.home.path / "traffic"
    journal = Journal(folder, endpoint=recorder.keeper.project, stream=stream, now=lambda: NOW_US)
    journal.add_all([pack_label(label) for label in labels])
    journal.write()
    journal.close()


@pytest.mark.slow
def test_a_canary_counts_each_row_once_whenever_its_key_is_told(tmp_path: Path) -> None:
    here = pair(tmp_path)
    here.look(0.5)

    def counted() -> int:
        here.look(0.5)
        assert here.state is not None
        return here.state.answers.before.rows

    def of_champion(receipts: list[Receipt], some: list[float]) -> int:
        return sum(one.release == here.champion and age_of(one) in some for one in receipts)

    ages = [float(age) for age in np.random.default_rng(3).permutation(np.arange(20, 70))]
    answered = here.ask(0.5, ages)
    here.label_keys([({"age": age}, "no") for age in ages[:30]])
    first = of_champion(answered, ages[:30])
    assert counted() == first > 5
    assert counted() == first
    here.label_keys([({"age": age}, "yes") for age in ages[:30]])  # corrected: they counted
    here.label([(one, "no") for one in answered if age_of(one) in ages[:40]])  # ten of them are new
    more = of_champion(answered, ages[:40])
    assert counted() == more > first
    again = here.ask(0.5, ages[:20])  # asked for again, when all know what is true
    assert counted() == more + of_champion(again, ages[:20]) > more
    here.label_keys([({"age": ages[45]}, "no")])  # of a row that was read long ago
    assert counted() == more + of_champion(again, ages[:20]) + of_champion(answered, [ages[45]])


def age_of(one: Receipt) -> float:
    return float(json.loads(one.body)[0]["age"])
