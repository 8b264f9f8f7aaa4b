"""A policy refuses nonsense at once, and all of it."""

import msgspec
import pytest

from holdtrue.loop.policy import Policy

NONSENSE: list[tuple[dict[str, object], str]] = [
    ({"shares": ()}, "shares must rise"),
    ({"shares": (0.5, 0.1)}, "shares must rise"),
    ({"shares": (0.1, 0.1)}, "shares must rise"),
    ({"shares": (0.0, 0.1)}, "shares must rise"),
    ({"shares": (0.1, 1.0)}, "shares must rise"),
    ({"needed": ()}, "needed must name a signal"),
    ({"alpha": 0.0}, "alpha must lie"),
    ({"alpha": float("nan")}, "alpha must lie"),
    ({"approvals": -1}, "approvals must be 0 or more"),
    ({"cooldown_us": -1}, "cooldown_us must be 0 or more"),
    ({"every_us": 0}, "every_us must be above 0"),
    ({"stage_us": 0}, "stage_us must be above 0"),
    ({"after_rows": 0}, "after_rows must be above 0"),
    ({"cost_cap": -1.0}, "cost_cap must be 0 or more"),
    ({"cost_cap": float("nan")}, "cost_cap must be 0 or more"),
    ({"cost_each": 0.0}, "cost_each must be above 0"),
    ({"storm": 0}, "storm, most_asks and most_tries"),
]


@pytest.mark.parametrize(("fields", "said"), NONSENSE)
def test_nonsense_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Policy(**fields)  # pyright: ignore[reportArgumentType]


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ValueError, match="2 faults"):
        Policy(alpha=2.0, approvals=-1)


def test_a_policy_survives_a_round_trip() -> None:
    assert msgspec.json.decode(msgspec.json.encode(Policy(every_us=5)), type=Policy) == Policy(every_us=5)
