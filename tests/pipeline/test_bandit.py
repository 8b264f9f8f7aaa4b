"""A bandit among releases: shares follow what labels say, and nobody is left out."""

import struct
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdtrue.core.digest import canonical_json
from holdtrue.data.contract import Contract, Field
from holdtrue.data.contract_json import to_dict
from holdtrue.data.traffic.journal import Journal
from holdtrue.data.traffic.label import Label, Scalar, pack_label
from holdtrue.data.traffic.receipt import Ids, Receipt, pack
from holdtrue.pipeline.bandit import LEAST_SHARE, Tally, shares, tallied
from holdtrue.release.interface import Interface, Port
from holdtrue.serving.plan import Plan

INTERFACE = Interface(
    inputs=(),
    outputs=(
        Port(name="probabilities", type="float32", shape=(None, 2)),
        Port(name="decision", type="int64", shape=(None, 1)),
        Port(name="label", type="string", shape=(None, 1)),
    ),
)
A, B = "a" * 64, "b" * 64
NOTHING = canonical_json(to_dict(Contract(fields=(Field(name="age", kind="number"),))))


def plan(digest: str) -> Plan:
    return Plan(
        digest=digest, name="m", task="classification", classes=("0", "1"), contract=NOTHING,
        interface=INTERFACE.to_json(), golden={}, model=b"",
    )  # fmt: skip


def outputs(*classes: str) -> bytes:
    probabilities = struct.pack(f"<{2 * len(classes)}f", *(0.5 for _ in range(2 * len(classes))))
    decisions = struct.pack(f"<{len(classes)}q", *(0 for _ in classes))
    return probabilities + decisions + b"".join(struct.pack("<I", len(each)) + each.encode() for each in classes)


class Log:
    """A log of answers and of what turned out true."""

    def __init__(self, folder: Path) -> None:
        self._now = time.time_ns() // 1000
        self._journal = Journal(folder, endpoint="m", stream=3, now=lambda: self._now)
        self._ids = Ids(3)

    def answer(
        self,
        release: str,
        *classes: str,
        route: str = "champion",
        subject: str = "",
        ago_us: int = 0,
        body: bytes = b"",
    ) -> str:
        at_us = self._now - ago_us
        id = self._ids.next(at_us // 1000)
        self._journal.add(
            pack(
                Receipt(
                    id=id, time_us=at_us, release=release, route=route, weight=0.5, batch=0, place=0,
                    rows=len(classes), wire="rows", body=body, outputs=outputs(*classes), subject=subject,
                )
            )
        )  # fmt: skip
        return id

    def label(self, id: str, value: Scalar, row: int = 0, key: Mapping[str, Scalar] | None = None) -> None:
        self._now += 1
        label = Label(value=value, time_us=0, received_us=self._now, prediction=id, row=row, key=dict(key or {}))
        self._journal.add(pack_label(label))

    def close(self) -> None:
        self._journal.close()


def test_answers_are_counted_by_what_labels_say_of_them(tmp_path: Path) -> None:
    log = Log(tmp_path)
    for value in (1, "1", 1.0, True, 0):
        log.label(log.answer(A, "1"), value)
    several = log.answer(B, "0", "1", "yes", route="canary")
    for row, value in enumerate((0, 0, "yes")):
        log.label(several, value, row)
    log.answer(B, "1")  # nobody says whether that was right
    log.label(log.answer(A, "1", route="pinned"), 1)
    log.label(log.answer(A, "1", route="shadow"), 1)
    log.label(log.answer(A, "1", subject="s" * 32), 1)  # sealed: it cannot be read here
    log.label(log.answer(A, "1", ago_us=10_000_000), 1)
    log.close()
    since_us = time.time_ns() // 1000 - 5_000_000
    found = tallied(tmp_path, "m", [plan(A), plan(B)], since_us=since_us)
    assert found == {A: Tally(right=4, wrong=1), B: Tally(right=2, wrong=1)}


def test_a_corrected_label_counts_once_and_as_it_is_now(tmp_path: Path) -> None:
    log = Log(tmp_path)
    one = log.answer(A, "1")
    for value in (0, 0, 1):
        log.label(one, value)
    log.close()
    assert tallied(tmp_path, "m", [plan(A), plan(B)], since_us=0) == {A: Tally(right=1), B: Tally()}


def test_labels_by_a_business_key_count_too(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.answer(A, "1", "0", body=b'[{"age": 7}, {"age": 8}]')
    log.answer(B, "1", body=b'[{"age": 9}]')
    for age, value in ((7, 1), ("8", 1), (10, 1)):
        log.label("", value, key={"age": age})
    log.close()
    assert tallied(tmp_path, "m", [plan(A), plan(B)], since_us=0) == {A: Tally(right=1, wrong=1), B: Tally()}


@given(st.dictionaries(st.text("abc", min_size=1), st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1))
def test_shares_sum_to_one_and_leave_nobody_out(counts: dict[str, tuple[int, int]]) -> None:
    tallies = {name: Tally(right=right, wrong=wrong) for name, (right, wrong) in counts.items()}
    made = shares(tallies, seed=1)
    assert sum(made.values()) == pytest.approx(1)
    assert min(made.values()) >= min(LEAST_SHARE, 0.5 / len(made)) - 1e-12
    assert shares(dict(reversed(tallies.items())), seed=1) == made


def test_without_labels_all_have_the_same_share_and_with_many_the_best_has_most() -> None:
    assert shares({"a": Tally(), "b": Tally()}, seed=1)["a"] == pytest.approx(0.5, abs=0.02)
    few = shares({"a": Tally(right=6, wrong=4), "b": Tally(right=5, wrong=5)}, seed=1)
    many = shares({"a": Tally(right=600, wrong=400), "b": Tally(right=500, wrong=500)}, seed=1)
    assert 0.5 < few["a"] < many["a"]
    assert many["a"] == pytest.approx(1 - LEAST_SHARE, abs=1e-3)


def test_the_share_of_two_is_the_probability_that_one_is_better() -> None:
    """The closed form for whole counts: Miller, `Formulas for Bayesian A/B testing`, 2015."""
    from math import exp, lgamma, log

    def beta(a: float, b: float) -> float:
        return lgamma(a) + lgamma(b) - lgamma(a + b)

    one, other = Tally(right=30, wrong=12), Tally(right=25, wrong=14)
    a1, b1, a2, b2 = other.right + 1, other.wrong + 1, one.right + 1, one.wrong + 1
    better = sum(exp(beta(a1 + i, b2 + b1) - log(b2 + i) - beta(1 + i, b2) - beta(a1, b1)) for i in range(a2))
    made = shares({"a": one, "b": other}, seed=5, least=0.0)
    assert made["a"] == pytest.approx(better, abs=0.02)
