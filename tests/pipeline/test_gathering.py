"""Labelled traffic becomes rows that the contract of the source reads to exactly what a release saw."""

import json
import struct
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import msgspec
import polars as pl
import pytest

from holdtrue.core.errors import Misuse
from holdtrue.data.contract import Contract
from holdtrue.data.contract_yaml import read_yaml
from holdtrue.data.parse import parse
from holdtrue.data.readers.columns import Column
from holdtrue.data.traffic.label import Label
from holdtrue.data.traffic.receipt import Receipt
from holdtrue.pipeline import gathering
from holdtrue.pipeline.gathering import Gathering, Left, Wanted
from holdtrue.pipeline.progress import silent
from holdtrue.pipeline.replay import ready_model
from holdtrue.pipeline.respelling import RECEIVED, form_of
from holdtrue.serving.forms import ask_of
from holdtrue.serving.sealing import alias
from holdtrue.spec.project import Data
from tests.cli.driver import Row
from tests.pipeline.lived import CONTRACT, FEATURES, HOUR_US, SERVED, Lived, asked, visits
from tests.pipeline.recorded import Recorder, Request

AGREED = read_yaml(CONTRACT)
TEXTS = [Column(name=name, type="String") for name in AGREED.names]
DATA = Data(source="rows.csv", target="bought", time=("seen_at",), key=("id",), drop=("id", "clerk"))


def wanted(
    *,
    contract: Contract = AGREED,
    features: Sequence[str] = FEATURES,
    until_us: int = 2**62,
    since_us: int | None = None,
) -> Wanted:
    given = dict.fromkeys([*features, "bought", "seen_at"])
    return Wanted(
        form=form_of(TEXTS, contract, tuple(given)),
        data=DATA,
        features=tuple(features),
        kept=contract.only(list(given)),
        labelled=True,
        until_us=until_us,
        since_us=since_us,
    )


def gathered(visited: Lived, what: Wanted | None = None) -> tuple[pl.DataFrame, Left]:
    """Write what was said, and gather it."""
    visited.write()
    going = Gathering(visited.keeper, what or wanted(), tell=silent, again=visited.again())
    frames = [pl.DataFrame(pl.from_arrow(batch)) for batch in going.batches()]
    return (pl.concat(frames) if frames else pl.DataFrame()), going.left


def later(count: int, *, seed: int = 5) -> list[Row]:
    return visits(count, seed=seed, until=SERVED + timedelta(hours=count))


def odd_requests() -> list[Request]:
    """Ask for the same in other forms, with what is not plainly right: texts for numbers, null, dates as numbers."""
    (row,) = visits(1, seed=9)
    plain = json.loads(asked(row).body)
    ways: list[dict[str, object]] = [
        {"income": "1.234,5", "age": None, "note": "  late "},
        {"income": "(7)", "age": "-1", "note": None},
        {"age": 41.25, "income": 0.1 + 0.2, "born": None},
        {"seen_at": 1_788_998_400, "born": 1_435_708_800.0, "nights": "7"},
        {"region": 'a region, "new"\nand odd', "note": "NaN", "income": 1e300},
    ]
    bodies = [json.dumps({**plain, **way}).encode() for way in ways]
    many = json.dumps([{**plain, **way} for way in ways]).encode()
    split = {"dataframe_split": {"columns": list(plain), "data": [list(plain.values())] * 2}}
    return [
        *(Request(wire="rows", body=body) for body in bodies),
        Request(wire="rows", body=many),
        Request(wire="mlflow", body=json.dumps(split).encode()),
    ]


def test_a_gathered_row_is_read_by_the_contract_to_exactly_what_the_release_saw(visited: Lived) -> None:
    model = visited.ready[1]
    seen: list[dict[str, object]] = []
    requests = [*odd_requests(), *map(asked, later(30))]
    for request in requests:
        (receipt,) = visited.recorder.answer([request])
        ask = ask_of(request.wire, request.body, model.about)
        typed = model.reader.read(ask.columns, ask.rows)
        for row in range(typed.rows):
            visited.say(receipt, "yes", row=row)
            numbers = [values if typed.rows == 1 else values[row] for values in typed.numbers]  # type: ignore[index]
            cells: dict[str, object] = dict(zip(model.reader.numbers, map(float, numbers), strict=True))
            cells |= {name: texts[row] for name, texts in zip(model.reader.texts, typed.texts, strict=True)}
            seen.append(cells)
    rows, left = gathered(visited)
    assert (rows.height, left.taken, left.unfit) == (len(seen), len(seen), 0)
    read = parse(AGREED, rows).select(FEATURES)
    for now, then in zip(read.iter_rows(named=True), seen, strict=True):
        for name in FEATURES:
            known = now[name] is not None
            if isinstance(then[name], float):
                bits = struct.pack("<d", then[name])
                assert struct.pack("<d", now[name] if known else float("nan")) == bits, name
            else:
                assert (now[name] or "") == then[name], name


def test_columns_that_requests_have_not_are_empty_and_the_others_are_texts_as_in_the_source(visited: Lived) -> None:
    receipts = visited.serve(later(3))
    rows, left = gathered(visited)
    assert rows.columns == [*AGREED.names, RECEIVED]
    assert rows.select("id", "clerk").null_count().row(0) == (3, 3)
    assert rows.get_column("income").str.contains(r"^\d+,\d+$").all()
    assert [round(each.timestamp() * 1e6) for each in rows.get_column(RECEIVED)] == [one.time_us for one in receipts]
    assert left.notes() == ("3 rows come from labelled traffic.",)


def test_only_what_was_known_at_the_last_moment_is_true(visited: Lived) -> None:
    early, late, corrected = visited.serve(later(3))
    visited.labels = []
    visited.say(early, "yes", after_us=10)
    visited.say(late, "yes", after_us=9 * HOUR_US)
    visited.say(corrected, "no", after_us=10)
    visited.say(corrected, "yes", after_us=20)
    visited.say(corrected, "no", after_us=9 * HOUR_US)
    rows, _ = gathered(visited, wanted(until_us=corrected.time_us + HOUR_US))
    assert rows.get_column("bought").to_list() == ["yes", "yes"]
    again, _ = gathered(visited, wanted(until_us=early.time_us + 10))
    assert again.height == 1


def test_the_same_moment_gives_the_same_rows_however_much_came_later(visited: Lived) -> None:
    until_us = visited.serve(later(20))[-1].time_us + HOUR_US
    first, _ = gathered(visited, wanted(until_us=until_us))
    visited.recorder.now_us = until_us
    visited.serve(later(20, seed=6))
    visited.write(stream=7)  # another process: its stream lies before the first
    second, _ = gathered(visited, wanted(until_us=until_us))
    assert first.equals(second)
    assert gathered(visited)[0].height == 40


@pytest.mark.parametrize(("route", "taken"), [("canary", 2), ("pinned", 2), ("champion", 2), ("shadow", 0)])
def test_answers_that_went_out_are_taken_and_shadows_never(route: str, taken: int, visited: Lived) -> None:
    visited.serve(later(2))
    visited.recorder.receipts = [msgspec.structs.replace(one, route=route) for one in visited.recorder.receipts]
    rows, left = gathered(visited)
    assert (rows.height, left.taken) == (taken, taken)


def test_what_cannot_be_taken_is_counted_by_its_reason(visited: Lived) -> None:
    kept, odd, outside, _forgotten, _changed, _gone = receipts = visited.serve(later(6))
    recorder = visited.recorder
    subject = alias(visited.keeper.home.keys, "ann")
    person = recorder.subjects.conceal(msgspec.structs.replace(receipts[3], subject=subject))
    changed = msgspec.structs.replace(receipts[4], body=b'{"age": ')
    gone = msgspec.structs.replace(receipts[5], release="f" * 64)
    recorder.receipts = [kept, odd, outside, person, changed, gone]
    recorder.subjects.forget(subject, now_us=visited.now_us)
    visited.say(odd, "perhaps", after_us=2 * HOUR_US)
    body = json.loads(outside.body)
    recorder.receipts[2] = msgspec.structs.replace(outside, body=json.dumps({**body, "nights": 99}).encode())
    tight = read_yaml(CONTRACT.replace("nights: {kind: number,", "nights: {kind: number, high: 60,"))
    rows, left = gathered(visited, wanted(contract=tight))
    assert rows.height == 1
    assert (left.taken, left.odd, left.unfit, left.forgotten, left.unread) == (1, 1, 1, 1, 2)
    assert "1 labelled rows of traffic were left out: their person was forgotten." in left.notes()


def test_wrong_rows_among_many_are_found(visited: Lived) -> None:
    rows = later(60)
    for place in (0, 17, 18, 59):
        rows[place]["nights"] = 50
    visited.serve(rows)
    tight = read_yaml(CONTRACT.replace("nights: {kind: number,", "nights: {kind: number, high: 20,"))
    found, left = gathered(visited, wanted(contract=tight))
    assert (found.height, left.unfit) == (56, 4)
    assert parse(AGREED, found).get_column("nights").max() == max(
        int(str(row["nights"])) for row in rows if row["nights"] != 50
    )


def test_a_damaged_log_is_told_and_the_rest_is_read(visited: Lived) -> None:
    visited.serve(later(3))
    visited.write()
    (segment,) = (visited.keeper.home.path / "traffic").rglob("*.seg*")
    data = bytearray(segment.read_bytes())
    at = data.index(b'"nights"')
    data[at : at + 8] = b'"mights"'
    segment.write_bytes(bytes(data))
    going = Gathering(visited.keeper, wanted(), tell=silent, again=visited.again())
    assert sum(batch.num_rows for batch in going.batches()) < 3
    assert going.left.damaged
    assert "are damaged" in going.left.notes()[-1]


@pytest.mark.slow
def test_a_label_by_what_names_a_row_in_the_business_finds_its_prediction(visited: Lived) -> None:
    (row,) = later(1)
    body = json.dumps({**json.loads(asked(row).body), "id": 7}).encode()
    visited.recorder.now_us += HOUR_US
    visited.recorder.answer([Request(wire="rows", body=body)])
    visited.recorder.answer([asked(row)])  # says not whose it is
    heard = visited.recorder.now_us + 1
    visited.labels = [Label(value="yes", time_us=heard, received_us=heard, key={"id": 7.0}, source="desk")]
    visited.write()
    going = Gathering(visited.keeper, wanted(), tell=silent)
    (batch,) = going.batches()
    assert batch.num_rows == 1
    assert going.left.taken == 1


def test_a_release_that_took_other_columns_has_no_rows_to_give(visited: Lived) -> None:
    visited.serve(later(4))
    rows, left = gathered(visited, wanted(features=[*FEATURES, "clerk"]))
    assert (rows.height, left.unlike) == (0, 4)
    other = read_yaml(CONTRACT.replace("region: {kind: category, nullable: false}", "region: {kind: number}"))
    assert gathered(visited, wanted(contract=other))[1].unlike == 4


def test_what_others_ask_for_is_there_though_nobody_learns_from_it(visited: Lived) -> None:
    rows = later(5)
    visited.serve(rows)
    fewer = [name for name in FEATURES if name not in ("age", "note")]
    form = form_of(TEXTS, AGREED, [*fewer, "bought"], more={name: AGREED.field(name) for name in ("age", "clerk")})
    found, left = gathered(visited, replace(wanted(features=fewer), form=form, more=("age", "clerk"), kept=None))
    assert left.taken == 5
    read = parse(AGREED, found)
    assert read.get_column("age").to_list() == [None if row["age"] == -1 else row["age"] for row in rows]
    assert (read.get_column("note").null_count(), read.get_column("clerk").null_count()) == (5, 5)
    assert {"age", "clerk", "note", "id"} <= set(form.absent)


def test_the_time_of_a_row_that_no_model_takes_is_when_it_was_asked_for(visited: Lived) -> None:
    receipts = visited.serve(later(4))
    features = [name for name in FEATURES if name != "seen_at"]
    rows, _ = gathered(visited, wanted(features=features))
    minute_us = 60_000_000
    moments = [each * 1e6 for each in parse(AGREED, rows).get_column("seen_at")]
    assert moments == [one.time_us // minute_us * minute_us for one in receipts]


def test_a_time_of_numbers_that_no_model_takes_is_refused(visited: Lived) -> None:
    numbers = read_yaml(
        CONTRACT.replace('{kind: date, formats: ["%d.%m.%Y %H:%M"], nullable: false}', "{kind: number}")
    )
    with pytest.raises(Misuse, match="which requests do not have"):
        gathered(visited, wanted(contract=numbers, features=[name for name in FEATURES if name != "seen_at"]))


def test_older_rows_are_left_out_by_the_time_of_the_project(visited: Lived) -> None:
    visited.serve(later(10))
    since_us = round((SERVED + timedelta(hours=6)).timestamp() * 1e6)
    rows, left = gathered(visited, wanted(since_us=since_us))
    assert (rows.height, left.old) == (4, 6)


def test_rows_are_put_together_a_batch_at_a_time(visited: Lived, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "GATHERED", 8)
    visited.serve(later(30))
    visited.write()
    going = Gathering(visited.keeper, wanted(), tell=silent, again=visited.again())
    assert [batch.num_rows for batch in going.batches()] == [8, 8, 8, 6]


@pytest.mark.slow
def test_every_release_of_the_endpoint_has_rows_to_give(visited: Lived) -> None:
    """The champion and another one: here the same graph under both names, as only receipts tell them apart."""
    visited.serve(later(2))
    keeper = visited.keeper
    second = ready_model(keeper, keeper.folder_of("champion").name)
    other = Recorder(keeper=keeper, ready=second, stream=99, now_us=visited.recorder.now_us)
    receipt: Receipt
    (receipt,) = other.answer([asked(later(3)[-1])])
    visited.recorder.receipts.append(receipt)
    visited.say(receipt, "no")
    assert gathered(visited)[0].height == 3
