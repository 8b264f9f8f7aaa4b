"""A contract is refused whole, with every fault, and is the same after it was written down."""

import string
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdtrue.core.digest import digest_of
from holdtrue.core.errors import Misuse
from holdtrue.data.contract import KINDS, Contract, Field, Freshness, Rule
from holdtrue.data.contract_json import from_dict, to_dict
from holdtrue.data.contract_yaml import read_yaml, write_yaml

WORDS = st.text(string.printable + "äß€日\u00a0", max_size=12).map(str.strip)
TOKENS = st.lists(WORDS.filter(bool), max_size=3, unique=True).map(tuple)
LIMITS = st.one_of(st.none(), st.floats(-1e12, 1e12))
SECONDS = st.one_of(st.none(), st.integers(-10_000_000_000, 10_000_000_000).map(float), st.floats(0, 4e9))


def between(low: float | None, high: float | None) -> dict[str, float | None]:
    if low is not None and high is not None and low > high:
        low, high = high, low
    return {"low": low, "high": high}


@st.composite
def fields(draw: st.DrawFn, name: str) -> Field:
    kind = draw(st.sampled_from(KINDS))
    given_: dict[str, Any] = {"nullable": draw(st.booleans()), "unique": draw(st.booleans()), "missing": draw(TOKENS)}
    if kind == "number":
        given_ |= between(draw(LIMITS), draw(LIMITS)) | {"integer": draw(st.booleans())}
        given_ |= {"decimal": draw(st.sampled_from(".,")), "unreadable": draw(st.sampled_from(["refuse", "missing"]))}
    elif kind == "date":
        given_ |= between(draw(SECONDS), draw(SECONDS)) | {"formats": ("%d.%m.%Y", "%Y-%m-%dT%H:%M:%S%z")}
    elif kind == "category":
        known = draw(st.lists(WORDS.filter(bool), min_size=1, max_size=4, unique=True))
        known = tuple(each for each in known if each not in given_["missing"])
        given_ |= {"categories": known or None, "unseen": "refuse" if known and draw(st.booleans()) else "allow"}
        given_ |= {"pattern": draw(st.sampled_from([None, r"[A-Z]{2}\d+", "yes|no"]))}
    return Field(name=name, kind=kind, personal=draw(st.booleans()), **given_)


@st.composite
def contracts(draw: st.DrawFn) -> Contract:
    names = draw(st.lists(WORDS.filter(bool), min_size=1, max_size=5, unique=True))
    made = tuple(draw(fields(name)) for name in names)
    dates = [field.name for field in made if field.kind == "date"]
    key = tuple(draw(st.lists(st.sampled_from(names), max_size=2, unique=True)))
    fresh = (
        Freshness(column=dates[0], at_most_days=draw(st.floats(0.1, 1e4))) if dates and draw(st.booleans()) else None
    )
    return Contract(fields=made, key=key, freshness=fresh)


@pytest.mark.slow
@settings(max_examples=60)
@given(contracts())
def test_a_contract_is_the_same_after_json_and_after_yaml(contract: Contract) -> None:
    assert from_dict(to_dict(contract)) == contract
    assert read_yaml(write_yaml(contract, {name: f"why {name}" for name in contract.names})) == contract


@settings(max_examples=40)
@given(contracts())
def test_equal_contracts_have_one_digest(contract: Contract) -> None:
    assert digest_of(to_dict(contract)) == digest_of(to_dict(from_dict(to_dict(contract))))


def test_an_edited_file_is_read_as_it_is_written() -> None:
    text = """
fields:
  answer: {kind: category, categories: [yes, no, 1.10, null], missing: [NA, ~]}
  visit: {kind: date, formats: ["%d.%m.%Y"], low: 2015-07-01, high: 2016-01-01T12:30:00+02:00}
  age: {kind: number, integer: yes, nullable: false, low: 0, high: 1.2e2}
rules:
  - {name: grown, text: age >= 18}
  - {text: visit is not missing}
key: [answer]
freshness: {column: visit, at_most_days: 30}
"""
    contract = read_yaml(text)
    assert contract.field("answer").categories == ("yes", "no", "1.10", "null")
    assert contract.field("answer").missing == ("NA", "~")
    assert contract.field("visit").low == datetime(2015, 7, 1, tzinfo=UTC).timestamp()
    assert contract.field("visit").high == datetime(2016, 1, 1, 10, 30, tzinfo=UTC).timestamp()
    assert contract.field("age") == Field(name="age", kind="number", integer=True, nullable=False, low=0, high=120)
    assert contract.rules == (
        Rule(name="grown", text="age >= 18"),
        Rule(name="visit is not missing", text="visit is not missing"),
    )
    assert contract.freshness == Freshness(column="visit", at_most_days=30)


def test_all_faults_are_named_at_once_with_the_nearest_known_names() -> None:
    text = """
fields:
  age: {kind: nubmer, lwo: 0}
  size: {kind: number, low: tall, nullable: perhaps}
  name: {kind: text, pattern: "(", formats: ["%Q"]}
  pay: {kind: number, low: 5, high: 1}
rulez: []
key: [age]
"""
    with pytest.raises(Misuse) as caught:
        read_yaml(text)
    report = str(caught.value)
    for fault in (
        "there is no setting 'rulez'; did you mean 'rules'?",
        "field 'age': there is no setting 'lwo'; did you mean 'low'?",
        "field 'age': kind: 'nubmer' is not known; did you mean 'number'?",
        "field 'size': low: 'tall' is no date in ISO form",
        "field 'size': nullable: true or false is expected, got 'perhaps'",
        "field 'name': formats belongs to a date, and this is a text",
        "the pattern '(' is no regular expression",
        "field 'pay': low 5 lies above high 1",
    ):
        assert fault in report


def test_what_speaks_of_unknown_columns_is_refused() -> None:
    with pytest.raises(Misuse) as caught:
        Contract(
            fields=(Field(name="adults", kind="number"), Field(name="adults", kind="text")),
            rules=(Rule(name="r", text="adlts > 0"), Rule(name="r", text="adults")),
            key=("adult",),
            freshness=Freshness(column="adults", at_most_days=0),
        )
    report = "\n".join(caught.value.faults)
    for fault in (
        "the field 'adults' is described 2 times",
        "2 rules are named 'r'",
        "there is no field 'adult'; did you mean 'adults'?",
        "there is no column 'adlts'; did you mean 'adults'?",
        "not a date",
        "at_most_days must be above 0",
    ):
        assert fault in report


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "fields: 5",
        "fields: {}",
        "fields: {a: 5}",
        "fields: {a: {}}",
        "fields: [5]",
        "fields: [{kind: text}]",
        "fields: {a: {kind: [text]}}",
        "fields: {a: {kind: text}}\nrules: 7",
        "fields: {a: {kind: text}}\nrules: [{name: x}]",
        "fields: {a: {kind: text}}\nkey: a",
        "fields: {a: {kind: text}}\nfreshness: a",
        "fields: {a: {kind: text}, a: {kind: text}}",
        "fields: {[a]: {kind: text}}",
        "schema: other/2\nfields: {a: {kind: text}}",
        "fields: {a: {kind: text}",
        "a: &a [x, x]\nb: &b [*a, *a]\nfields: *b",
        "fields: {a: {kind: category, categories: !!python/object:os.system [x]}}\nkey: [b]",
    ],
)
def test_a_broken_file_is_misuse_and_never_a_crash(text: str) -> None:
    with pytest.raises(Misuse):
        read_yaml(text)


@pytest.mark.slow
def test_aliases_that_unfold_without_end_are_stopped() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(Misuse, match="unfolds to more than"):
        read_yaml("\n".join([*lines, "fields: *a8"]))


def test_a_part_of_a_contract_keeps_what_speaks_of_its_columns_alone() -> None:
    contract = Contract(
        fields=(Field(name="a", kind="number"), Field(name="b", kind="number"), Field(name="d", kind="date")),
        rules=(Rule(name="one", text="a > 0"), Rule(name="both", text="a > b")),
        key=("a", "b"),
        freshness=Freshness(column="d", at_most_days=1),
    )
    part = contract.only({"a"})
    assert part.names == ("a",)
    assert [rule.name for rule in part.rules] == ["one"]
    assert part.key == ()
    assert part.freshness is None
    assert contract.only(contract.names) == contract


def test_the_note_of_a_column_stands_above_it() -> None:
    contract = Contract(fields=(Field(name="age", kind="number"), Field(name="yes", kind="text")))
    lines = write_yaml(contract, {"age": "from 0 to 90", "yes": "a name that YAML takes for true"}).splitlines()
    assert lines.index("  # from 0 to 90") + 1 == lines.index("  age: {kind: number}")
    assert "  'yes': {kind: text}" in lines
