import math
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from holdtrue.promises import Judged, Promise, fact, gate, gate_reason, judge
from holdtrue.statistics import Estimate, clopper_pearson

ALPHA = 0.05
NUMBERS = st.floats(-1e6, 1e6)
DIRECTIONS = st.sampled_from(["at_least", "at_most"])
VERDICTS = ["refuted", "unproven", "proven"]

Direction = Literal["at_least", "at_most"]


def promise(bound: float, direction: Direction = "at_least", *, required: bool = True) -> Promise:
    return Promise(kind="quality", scope="recall", direction=direction, bound=bound, required=required, text="")


@st.composite
def estimates(draw: st.DrawFn) -> Estimate:
    low, value, high = sorted(draw(st.lists(NUMBERS, min_size=3, max_size=3)))
    if draw(st.booleans()):
        low, high = draw(st.sampled_from([(-math.inf, high), (low, math.inf), (-math.inf, math.inf)]))
    return Estimate(value=value, low=low, high=high, rows=draw(st.integers(1, 10**6)), method="", confidence=0.9)


@given(estimates(), NUMBERS, DIRECTIONS)
def test_nothing_is_proven_when_the_value_is_on_the_wrong_side(seen: Estimate, bound: float, way: Direction) -> None:
    judged = judge(promise(bound, way), seen, alpha=ALPHA)
    kept = seen.value >= bound if way == "at_least" else seen.value <= bound
    assert judged.verdict != ("refuted" if kept else "proven")


@given(estimates(), NUMBERS, NUMBERS, DIRECTIONS)
def test_an_easier_bound_never_gets_a_worse_verdict(seen: Estimate, one: float, two: float, way: Direction) -> None:
    easy, hard = (min(one, two), max(one, two)) if way == "at_least" else (max(one, two), min(one, two))
    of_easy, of_hard = (judge(promise(bound, way), seen, alpha=ALPHA).verdict for bound in (easy, hard))
    assert VERDICTS.index(of_easy) >= VERDICTS.index(of_hard)


@given(estimates(), NUMBERS)
def test_at_most_mirrors_at_least(seen: Estimate, bound: float) -> None:
    mirrored = replace(seen, value=-seen.value, low=-seen.high, high=-seen.low)
    there = judge(promise(bound), seen, alpha=ALPHA)
    back = judge(promise(-bound, "at_most"), mirrored, alpha=ALPHA)
    assert (there.verdict, there.rows_needed) == (back.verdict, back.rows_needed)


@given(estimates(), NUMBERS, DIRECTIONS, st.floats(0, 1e6))
def test_a_wider_interval_settles_no_more(seen: Estimate, bound: float, way: Direction, wider: float) -> None:
    wide = replace(seen, low=seen.low - wider, high=seen.high + wider)
    narrow = judge(promise(bound, way), seen, alpha=ALPHA).verdict
    assert judge(promise(bound, way), wide, alpha=ALPHA).verdict in {narrow, "unproven"}


@given(estimates(), NUMBERS, DIRECTIONS)
def test_rows_are_named_only_where_they_would_help(seen: Estimate, bound: float, way: Direction) -> None:
    judged = judge(promise(bound, way), seen, alpha=ALPHA)
    right = seen.value > bound if way == "at_least" else seen.value < bound
    assert (judged.rows_needed is not None) == (judged.verdict == "unproven" and right)
    if judged.rows_needed is not None and judged.rows_needed < 10**12:
        assert judged.rows_needed >= seen.rows


@given(NUMBERS, NUMBERS, DIRECTIONS)
def test_a_fact_is_never_unproven(value: float, bound: float, way: Direction) -> None:
    kept = value >= bound if way == "at_least" else value <= bound
    assert judge(promise(bound, way), fact(value), alpha=ALPHA).verdict == ("proven" if kept else "refuted")


def test_a_limit_exactly_on_the_bound_keeps_it() -> None:
    seen = Estimate(value=0.9, low=0.8, high=0.95, rows=100, method="", confidence=0.9)
    assert judge(promise(0.8), seen, alpha=ALPHA).verdict == "proven"
    assert judge(promise(0.95), seen, alpha=ALPHA).verdict == "unproven"
    assert judge(promise(0.9500001), seen, alpha=ALPHA).verdict == "refuted"


def test_a_share_on_its_bound_is_proven_in_at_most_alpha_of_samples() -> None:
    generator, runs = np.random.default_rng(1), 4000
    hits = generator.binomial(200, 0.8, runs).tolist()
    proven = sum(judge(promise(0.8), clopper_pearson(hit, 200, 0.9), alpha=ALPHA).verdict == "proven" for hit in hits)
    assert proven / runs <= ALPHA


def test_an_undefined_value_is_unproven_and_says_so() -> None:
    seen = Estimate(value=math.nan, low=-math.inf, high=math.inf, rows=0, method="", confidence=0.9)
    judged = judge(promise(0.8), seen, alpha=ALPHA)
    assert judged.verdict == "unproven"
    assert judged.reason == "recall is not defined on the 0 rows there are: promised at least 0.8."


def test_limits_that_are_not_numbers_settle_nothing() -> None:
    seen = Estimate(value=0.9, low=math.nan, high=math.nan, rows=10, method="", confidence=0.9)
    assert judge(promise(0.8), seen, alpha=ALPHA).verdict == "unproven"


def test_evidence_that_is_not_sure_enough_is_refused() -> None:
    seen = Estimate(value=0.9, low=0.85, high=0.95, rows=100, method="", confidence=0.9)
    with pytest.raises(ValueError, match=r"needs an interval of confidence 0\.94; this one has 0\.9"):
        judge(promise(0.8), seen, alpha=0.03)
    assert judge(promise(0.8), replace(seen, confidence=0.99), alpha=0.03).verdict == "proven"
    with pytest.raises(ValueError, match="alpha must lie"):
        judge(promise(0.8), seen, alpha=0.5)


def test_a_bound_must_be_a_number() -> None:
    for bound in (math.nan, math.inf):
        with pytest.raises(ValueError, match="bound of 'recall' must be a number"):
            promise(bound)


@pytest.mark.parametrize(
    ("bound", "way", "reason"),
    [
        (0.39, "at_least", "log_loss 0.412 (0.398 to 0.427 on 11,939 rows): promised at least 0.39."),
        (0.39, "at_most", "log_loss 0.412 (0.398 to 0.427 on 11,939 rows): promised at most 0.39; "
         "even the lower limit breaks it."),
        (0.42, "at_most", "log_loss 0.412 (0.398 to 0.427 on 11,939 rows): promised at most 0.42; "
         "about 96,000 rows would settle it."),
        (0.40, "at_most", "log_loss 0.412 (0.398 to 0.427 on 11,939 rows): promised at most 0.4; "
         "the value itself breaks it, so more rows are unlikely to prove it: improve the model."),
        (0.412, "at_least", "log_loss 0.412 (0.398 to 0.427 on 11,939 rows): promised at least 0.412; "
         "the value is exactly the bound, so more rows are as likely to break it as to prove it."),
    ],
)  # fmt: skip
def test_a_reason_says_what_was_measured_what_was_promised_and_what_to_do(
    bound: float, way: Direction, reason: str
) -> None:
    seen = Estimate(value=0.412, low=0.398, high=0.427, rows=11_939, method="", confidence=0.9)
    asked = Promise(kind="quality", scope="log_loss", direction=way, bound=bound, text="")
    assert judge(asked, seen, alpha=ALPHA).reason == reason


def test_reasons_without_limits_and_of_facts_are_plain() -> None:
    few = Estimate(value=0.9, low=-math.inf, high=math.inf, rows=4, method="", confidence=0.9)
    assert judge(promise(0.8), few, alpha=ALPHA).reason == (
        "recall 0.9 (no limits from 4 rows): promised at least 0.8; too few rows to tell, at least 30 are needed."
    )
    assert judge(promise(2), fact(3), alpha=ALPHA).reason == "recall 3: promised at least 2."
    assert judge(promise(4), fact(3), alpha=ALPHA).reason == "recall 3: promised at least 4; it is not kept."
    near = Estimate(value=0.8 + 1e-9, low=0.7, high=0.9, rows=100, method="", confidence=0.9)
    assert "no number of rows in reach" in judge(promise(0.8), near, alpha=ALPHA).reason


def judgements(verdicts: list[tuple[str, bool]]) -> list[Judged]:
    values = {"proven": 3.0, "refuted": 1.0, "unproven": 2.0}
    return [
        judge(
            promise(2.0, required=required),
            Estimate(
                value=values[verdict],
                low=values[verdict] - (0.5 if verdict != "unproven" else 1),
                high=values[verdict] + 0.5,
                rows=10,
                method="",
                confidence=0.9,
            ),
            alpha=ALPHA,
        )
        for verdict, required in verdicts
    ]


LISTS = st.lists(st.tuples(st.sampled_from(VERDICTS), st.booleans()), max_size=8)


@given(LISTS)
def test_the_gate_is_as_good_as_the_worst_required_promise(verdicts: list[tuple[str, bool]]) -> None:
    judged = judgements(verdicts)
    assert [(one.verdict, one.promise.required) for one in judged] == verdicts
    required = [verdict for verdict, is_required in verdicts if is_required]
    assert gate(judged) == (min(required, key=VERDICTS.index) if required else "unproven")


@given(LISTS, st.sampled_from(VERDICTS))
def test_an_advisory_promise_never_changes_the_gate(verdicts: list[tuple[str, bool]], advisory: str) -> None:
    assume(any(required for _, required in verdicts))
    assert gate(judgements([*verdicts, (advisory, False)])) == gate(judgements(verdicts))


@given(LISTS)
def test_the_gate_opens_only_when_every_required_promise_is_proven(verdicts: list[tuple[str, bool]]) -> None:
    required = {verdict for verdict, is_required in verdicts if is_required}
    assert (gate(judgements(verdicts)) == "proven") == (required == {"proven"})


def test_nothing_promised_is_nothing_proven() -> None:
    assert gate([]) == "unproven"
    assert gate(judgements([("proven", False)])) == "unproven"
    assert "Nothing is promised" in gate_reason(judgements([("proven", False)]))


def test_the_gate_says_what_stands_in_the_way() -> None:
    assert gate_reason(judgements([("proven", True)])) == "The required promise is proven."
    assert gate_reason(judgements([("proven", True), ("proven", True)])) == "All 2 required promises are proven."
    assert gate_reason(judgements([("unproven", True)])) == "The required promise is unproven: quality of recall."
    assert gate_reason(judgements([("proven", True), ("refuted", True), ("unproven", True)])) == (
        "1 of 3 required promises is refuted: quality of recall."
    )
