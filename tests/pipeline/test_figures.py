"""Figures of delivery and cost are counted from what is written down."""

from datetime import UTC, datetime, timedelta

import pytest

from holdtrue.pipeline.figures import delivery, spending
from holdtrue.registry.aliases import Move
from holdtrue.spec.loop import Cost

START = datetime(2026, 3, 1, tzinfo=UTC)


def moves(*each: tuple[str, float]) -> list[Move]:
    """Moves of the champion, given oldest first as release and day; newest first as the registry has them."""
    made = [
        Move(name="champion", digest=digest, since=START + timedelta(days=day), actor="", reason="")
        for digest, day in each
    ]
    return made[::-1]


def test_nothing_yet_says_nothing() -> None:
    found = delivery([], {}, now=START)
    assert (found.deployments, found.lead_time_s, found.failure_share, found.restore_s) == (0, None, None, None)


def test_a_rollback_is_a_failure_of_what_was_left_and_no_deployment() -> None:
    made = {"a": START, "b": START + timedelta(days=1), "c": START + timedelta(days=6)}
    found = delivery(moves(("a", 1), ("b", 2), ("a", 2.5), ("c", 8)), made, now=START + timedelta(days=10))
    assert found.deployments == 3
    assert found.lead_time_s == pytest.approx(86_400)  # 1, 1 and 2 days
    assert found.failure_share == pytest.approx(1 / 3)
    assert found.restore_s == pytest.approx(43_200)


def test_what_is_long_ago_does_not_count() -> None:
    found = delivery(moves(("a", 0), ("b", 1), ("a", 2), ("c", 50)), {}, now=START + timedelta(days=60))
    assert (found.deployments, found.failure_share, found.lead_time_s) == (1, 0.0, None)


def test_going_back_two_steps_fails_the_one_that_was_left() -> None:
    found = delivery(moves(("a", 0), ("b", 1), ("c", 2), ("a", 3)), {}, now=START + timedelta(days=5))
    assert (found.deployments, found.failure_share, found.restore_s) == (3, pytest.approx(1 / 3), 86_400)


def test_costs_are_processor_time_by_its_price() -> None:
    prices = Cost(per_cpu_hour=0.05, watts_per_core=12)
    found = spending([0.5, 1.5], prices, cpu_s=7_200, rows=4_000_000)
    assert found.per_training == 1.0
    assert found.training_kwh == pytest.approx(20 * 12 / 1000)
    assert found.per_million == pytest.approx(2 * 0.05 / 4)
    assert found.kwh_per_million == pytest.approx(2 * 12 / 1000 / 4)


def test_without_rows_or_trainings_there_is_no_cost() -> None:
    found = spending([], Cost(), cpu_s=5, rows=0)
    assert (found.trainings, found.per_training, found.per_million) == (0, None, None)
