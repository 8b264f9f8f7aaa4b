"""What the loop may do by itself, and what holds it back."""

from typing import Literal

from msgspec import Struct

from holdtrue.loop.events import Signal

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US


class Policy(Struct, frozen=True, kw_only=True):
    """The rules of a loop; the defaults suit a look at the traffic once a day.

    Args:
        on_broken: a promise that labels show to be broken starts a training; so do `on_at_risk` (also when only an
            estimate says that it is broken) and `on_drift` (harmful drift).
        every_us: start one this long after the last; None never does.
        after_rows: start one after so many new rows; None never does.
        by_hand: whether persons may ask for one.
        cooldown_us: none starts this soon after the last began or ended.
        most_trainings: within `window_us`.
        cost_cap: of all trainings within `window_us`; what a training may cost is set aside as it starts.
        cost_each: the most that one training may cost; None allows it all that is left.
        storm: so many in a row that gave no lasting champion pause the loop.
        most_label_issues: a source with a larger share of labels that look wrong holds trainings back.
        least_exploration: labels that come only from what the model chose, with less chance than this among its
            choices, are a loop that feeds itself: `feedback` says whether that warns or holds trainings back.
        approvals: so many different persons must agree before a challenger meets traffic. Whoever asked for the
            training counts as one of them.
        approval_us: a challenger that nobody approved for so long is dropped.
        alpha: the chance, over all comparisons ever, of calling one challenger "not worse" that is.
        shares: of the stages of a canary.
        needed: the signals that must be "not worse" to pass a stage, on at least `least_requests`.
        stage_us: a stage that is not decided after so long is inconclusive.
        guard_us: how long a promoted release is watched with the old one at hand.
        pause_us: a challenger about which nothing was settled is given up when no person spoke for so long; None waits
            for ever. Other pauses always wait.
        work_patience_us: after so long without an outcome a training or a comparison is asked for again, with the
            same number; `serve_patience_us` is for what the endpoint does.
        most_asks: then it counts as failed.
        retry_us: a deed that failed is tried again this much later, `most_tries` times in all.
        clock_back_us: a clock that is behind by more raises an alarm.
        dry_run: decide and record, but start nothing. What is under way is brought to its end.
    """

    on_broken: bool = True
    on_at_risk: bool = False
    on_drift: bool = True
    every_us: int | None = None
    after_rows: int | None = None
    by_hand: bool = True
    cooldown_us: int = DAY_US
    window_us: int = 30 * DAY_US
    most_trainings: int = 8
    cost_cap: float | None = None
    cost_each: float | None = None
    storm: int = 3
    most_label_issues: float = 0.1
    least_exploration: float = 0.01
    feedback: Literal["warn", "hold"] = "warn"
    approvals: int = 0
    approval_us: int = 14 * DAY_US
    alpha: float = 0.05
    shadow_us: int = DAY_US
    shares: tuple[float, ...] = (0.01, 0.1, 0.5)
    needed: tuple[Signal, ...] = ("errors", "latency", "scores")
    least_requests: int = 1_000
    stage_us: int = 3 * DAY_US
    guard_us: int = 7 * DAY_US
    pause_us: int | None = 30 * DAY_US
    work_patience_us: int = 12 * HOUR_US
    serve_patience_us: int = 5 * MINUTE_US
    most_asks: int = 3
    retry_us: int = MINUTE_US
    most_tries: int = 3
    clock_back_us: int = HOUR_US
    dry_run: bool = False

    def __post_init__(self) -> None:
        faults = [*self._times(), *self._numbers()]
        if faults:
            raise ValueError(f"The policy of the loop has {len(faults)} faults: {'; '.join(faults)}.")

    def _times(self) -> list[str]:
        named = {name: getattr(self, name) for name in self.__struct_fields__ if name.endswith("_us")}
        faults = [f"{name} must be 0 or more, got {value}" for name, value in named.items() if (value or 0) < 0]
        # A timer of 0 would fire at every tick.
        zero = [name for name in ("every_us", "window_us", "stage_us") if named[name] == 0]
        return faults + [f"{name} must be above 0" for name in zero]

    def _numbers(self) -> list[str]:
        rising = all(low < high for low, high in zip(self.shares, self.shares[1:], strict=False))
        held = {
            f"shares must rise between 0 and 1, got {self.shares}": (
                bool(self.shares) and rising and self.shares[0] > 0 and self.shares[-1] < 1
            ),
            "needed must name a signal, else every canary passes": bool(self.needed),
            f"alpha must lie between 0 and 1, got {self.alpha}": 0 < self.alpha < 1,
            f"after_rows must be above 0, got {self.after_rows}": self.after_rows is None or self.after_rows > 0,
            f"approvals must be 0 or more, got {self.approvals}": self.approvals >= 0,
            f"cost_cap must be 0 or more, got {self.cost_cap}": (self.cost_cap or 0.0) >= 0,
            f"cost_each must be above 0, got {self.cost_each}": self.cost_each is None or self.cost_each > 0,
            "storm, most_asks and most_tries must be at least 1": min(self.storm, self.most_asks, self.most_tries) >= 1,
        }
        return [fault for fault, kept in held.items() if not kept]
