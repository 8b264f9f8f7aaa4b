"""Two workers, crashes, lost leases, odd clocks, late messages: the loop keeps its rules; broken ones are caught."""

from collections import Counter

import pytest

from tests.loop.broken import CONTROLS
from tests.loop.oracle import Broken
from tests.loop.world import World, live

SEEDS = 100
# What has to happen for the walk through the seeds to mean something.
PATHS = (
    *("promotions", "rollbacks", "decision: end the canary", "decision: keep the new champion", "harm"),
    *("pauses by a storm", "pauses from canary", "pauses from comparing", "decision: wait for approval"),
    *("crashes", "power cuts", "restarts of the server", "stalls", "fenced commits", "fenced deeds", "clock jumps"),
    *("outcomes that were late or doubled", "lost outcomes", "asked again", "late requests refused: TooLate"),
    *("decision: promote again", "decision: roll back again", "stopped by hand", "decision: warn"),
)


@pytest.mark.slow
def test_no_rule_is_broken_in_any_of_many_days() -> None:
    seen: Counter[str] = Counter()
    for seed in range(SEEDS):
        seen += live(seed)
    assert not [path for path in PATHS if not seen[path]]
    assert seen["promotions"] > 2 * SEEDS


def test_a_day_is_the_same_each_time() -> None:
    first, second = World(seed=3), World(seed=3)
    assert first.run() == second.run()
    assert first.store.state == second.store.state


def test_a_calm_day_needs_no_fault_to_close_the_loop() -> None:
    """Drift comes in, and some hours later a better release is live."""
    world = World(seed=1, hours=3.9)  # shorter than the calm end of a day
    seen = world.run()
    assert seen["promotions"] > 0
    assert not seen["crashes"]
    assert world.endpoint.champion != "first"


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTROLS)
def test_a_broken_loop_is_caught(name: str) -> None:
    control = CONTROLS[name]

    def days() -> None:
        for seed in range(60):
            live(seed, step=control.step, flaws=control.flaws)

    with pytest.raises(Broken, match=control.said):
        days()
