"""Figures about how a project is run, from what is written down: deployments, lead time, failures, cost and energy.

The four of delivery follow DORA (dora.dev, "DORA's software delivery metrics", 2024): how often a release becomes
champion, how long after it was made, how many of them had to be taken back, and how long that took.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

import msgspec

from holdtrue.loop.events import Outcome, Trained
from holdtrue.pipeline.alarming import alarms
from holdtrue.pipeline.budgeting import standing
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.loop_deeds import CHAMPION
from holdtrue.registry.aliases import Move, alias_history
from holdtrue.registry.moment import moment
from holdtrue.registry.schema import LOOP_DEEDS, RELEASES
from holdtrue.spec.loop import Cost

PERIOD = timedelta(days=30)
Gauges = dict[tuple[str, tuple[str, ...]], float]
NAMED = {
    "holdtrue_deployments": "deployments",
    "holdtrue_lead_time_seconds": "lead_time_s",
    "holdtrue_change_failure_ratio": "failure_share",
    "holdtrue_restore_seconds": "restore_s",
    "holdtrue_training_cost": "per_training",
    "holdtrue_prediction_cost_per_million": "per_million",
    "holdtrue_prediction_kwh_per_million": "kwh_per_million",
}
_outcome = msgspec.json.Decoder(Outcome).decode


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """How a project delivers; None where nothing has happened yet that would tell.

    Attributes:
        deployments: times that a release became champion that had not been before, in the last 30 days; the first one
            of a project counts.
        lead_time_s: from a release being made to its becoming champion, at the median.
        failure_share: of those deployments, the part that was taken back for a release of before.
        restore_s: from a deployment that was taken back to the moment it was, at the median.
    """

    deployments: int
    lead_time_s: float | None
    failure_share: float | None
    restore_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Spending:
    """What is spent, in the unit of `per_cpu_hour`; energy is an estimate from processor time.

    Attributes:
        per_training: of the trainings of the loop, on average.
        per_million: rows answered, on average since the endpoint began.
    """

    trainings: int
    per_training: float | None
    training_kwh: float | None
    per_million: float | None
    kwh_per_million: float | None


def delivery(moves: Sequence[Move], made: Mapping[str, datetime], *, now: datetime) -> Delivery:
    """Work out the four figures from the moves of an alias, newest first, and when each release was made."""
    had: list[str] = []
    lead_s: list[float] = []
    restored_s: list[float] = []
    count, failed = 0, 0
    begun: dict[str, datetime] = {}
    for move in reversed(moves):
        lately = now - move.since <= PERIOD
        if move.digest in had:
            left = had[-1]
            if left != move.digest and now - begun[left] <= PERIOD:
                failed += 1
                restored_s.append((move.since - begun[left]).total_seconds())
            del had[had.index(move.digest) + 1 :]
            continue
        had.append(move.digest)
        begun[move.digest] = move.since
        if lately:
            count += 1
            if move.digest in made:
                lead_s.append(max(0.0, (move.since - made[move.digest]).total_seconds()))
    return Delivery(
        deployments=count,
        lead_time_s=median(lead_s) if lead_s else None,
        failure_share=failed / count if count else None,
        restore_s=median(restored_s) if restored_s else None,
    )


def spending(costs: Sequence[float], prices: Cost, *, cpu_s: float, rows: float) -> Spending:
    """Work out what trainings and predictions cost; `cpu_s` is what the workers used for `rows`."""
    hours = cpu_s / 3600
    per_training = sum(costs) / len(costs) if costs else None
    return Spending(
        trainings=len(costs),
        per_training=per_training,
        training_kwh=None if per_training is None else _kwh(per_training / prices.per_cpu_hour, prices),
        per_million=hours * prices.per_cpu_hour / rows * 1e6 if rows else None,
        kwh_per_million=_kwh(hours, prices) / rows * 1e6 if rows else None,
    )


def figures(keeper: Keeper, prices: Cost, counters: Mapping[str, float], *, now: datetime) -> dict[str, Any]:
    """Give all figures of a project whose endpoint counts so."""

    def read(connection: Any) -> tuple[Delivery, list[float]]:
        moves = alias_history(connection, keeper.project, CHAMPION)
        named = RELEASES.select().where(RELEASES.c.digest.in_({move.digest for move in moves}))
        made = {row.digest: moment(row.created_us) for row in connection.execute(named)}
        rows = connection.execute(LOOP_DEEDS.select().where(LOOP_DEEDS.c.project == keeper.project)).all()
        outcomes = [_outcome(row.outcome) for row in rows if row.outcome]
        return delivery(moves, made, now=now), [one.cost for one in outcomes if isinstance(one, Trained)]

    delivered, costs = keeper.database().read(read)
    rows = sum(value for name, value in counters.items() if name.startswith("holdtrue_predicted_rows_total"))
    spent = spending(costs, prices, cpu_s=counters.get("holdtrue_cpu_seconds_total", 0.0), rows=rows)
    return {**asdict(delivered), **asdict(spent)}


def _kwh(cpu_hours: float, prices: Cost) -> float:
    return cpu_hours * prices.watts_per_core / 1000


def gauges(keeper: Keeper, prices: Cost, counters: Mapping[str, float], *, now: datetime) -> Gauges:
    """Give what Prometheus is told of a project beside what its workers count."""
    project = (keeper.project,)
    found = figures(keeper, prices, counters, now=now)
    made: Gauges = {(name, project): float(found[key]) for name, key in NAMED.items() if found[key] is not None}
    for told in standing(keeper, now_us=round(now.timestamp() * 1e6)):
        made[("holdtrue_promise_state", (keeper.project, told.promise, told.state))] = 1.0
        if told.left is not None:
            made[("holdtrue_error_budget_left_ratio", (keeper.project, told.promise))] = told.left
    made[("holdtrue_alarms", project)] = float(len(alarms(keeper)))
    return made
