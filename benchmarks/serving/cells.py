"""What is measured of a running server: its answers first, then each cell of load, with the processor time it took."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from environments import Failed
from load import Closed, closed, lay_out, opened
from servers import Running, Truth, compare
from wires import Tensors

from models import HEAVY, Model

BODIES = {1: 64, 100: 8}  # so many different requests go round; no server may answer from memory
OPEN_CONNECTIONS = 64  # the closed loop whose speed a share of which is the rate of the open loop


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One load: how rows are written, how many in a request, and over how many connections."""

    wire: str
    rows: int
    connections: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How long and how hard.

    Attributes:
        rates_per_s: open loops that every server gets.
        shares: open loops at these shares of what the server did in the closed one.
        is_even: requests of the open loops are due at even distances, not at those of chance.
        limit_ms: an answer later than this is no good one.
    """

    seconds: float
    warm_s: float
    load_cores: list[int]
    connections: list[int]
    rows: list[int]
    rates_per_s: list[float]
    shares: list[float]
    is_even: bool
    limit_ms: float
    is_full: bool


def cells_of(model: Model, wires: Iterable[str], plan: Plan) -> list[Cell]:
    """Lay out the cells: one row in JSON over every number of connections; the rest over one, unless all are wanted."""
    made: list[Cell] = []
    for wire in wires:
        for count in plan.rows:
            most = 64 if count == 1 else 16
            chosen = [each for each in plan.connections if each <= most][-1:] or plan.connections[:1]
            if plan.is_full or (wire == "json" and count == 1):
                chosen = plan.connections
            if model.key == HEAVY and (wire in ("packed", "mlflow") or count > 1):
                chosen = []  # how rows are written matters little there, and a batch of them gains nothing
            made += [Cell(wire=wire, rows=count, connections=each) for each in chosen]
    return made


def asked_rows(model: Model, count: int) -> list[dict[str, Any]]:
    """Give the rows of each of the requests that go round."""
    return [model.rows(count, seed=1000 + place) for place in range(BODIES.get(count, 8))]


def checked(running: Running, truth: Truth, plan: Plan) -> dict[str, float]:
    """Hold answers of every wire and size against the graph's own; gives the largest distance of each."""
    apart: dict[str, float] = {}
    for name, wire in running.peer.wires.items():
        for count in plan.rows:
            if not any(cell.rows == count for cell in cells_of(running.model, [name], plan)):
                continue
            batches: list[Tensors] = list(asked_rows(running.model, count)[:4])
            try:
                apart[f"{name}, {count}"] = max(compare(running, wire, truth, rows) for rows in batches)
            except Failed as failed:
                raise Failed(f"asked for {count} rows ({wire.says}): {failed}") from None
    return apart


def measured(running: Running, plan: Plan, folder: Path, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measure every cell of a server that gave the right answers."""
    found: list[dict[str, Any]] = []
    fastest = 0.0
    for cell in cells_of(running.model, running.peer.wires, plan):
        requests = _requests(running, cell, folder)
        result, cost_s = _costed(running, requests, cell, plan)
        per_cpu_s = result.requests / cost_s if cost_s else 0.0
        if cell.wire == "json" and cell.rows == 1 and cell.connections <= OPEN_CONNECTIONS:
            fastest = max(fastest, result.requests / result.seconds)
        found.append(
            {
                "kind": "closed",
                **asdict(cell),
                "per_s": result.requests / result.seconds,
                "per_cpu_s": per_cpu_s,
                "cpu_share": cost_s / result.seconds,
                **asdict(result),
            }
        )
        tell(f"{cell.wire} n={cell.rows} c={cell.connections}: {found[-1]['per_s']:.0f}/s, {per_cpu_s:.0f} per CPU s")
    return found + _in_the_open(running, plan, folder, fastest, tell)


def _costed(running: Running, requests: Path, cell: Cell, plan: Plan) -> tuple[Closed, float]:
    cores = plan.load_cores
    if plan.warm_s:
        closed(running.port, requests, connections=cell.connections, seconds=plan.warm_s, cores=cores)
    before = running.cpu_s()
    result = closed(running.port, requests, connections=cell.connections, seconds=plan.seconds, cores=cores)
    return result, running.cpu_s() - before


def _in_the_open(
    running: Running, plan: Plan, folder: Path, fastest: float, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Ask for one row in JSON at times that do not wait for the server."""
    cell = Cell(wire="json", rows=1, connections=256)
    requests = _requests(running, cell, folder)
    rates = [("given", rate) for rate in plan.rates_per_s] + [
        (f"{share:.0%}", fastest * share) for share in plan.shares
    ]
    found: list[dict[str, Any]] = []
    for name, rate in rates:
        if rate < 1:
            continue
        before = running.cpu_s()
        result = opened(
            running.port,
            requests,
            rate_per_s=rate,
            seconds=plan.seconds,
            limit_ms=plan.limit_ms,
            cores=plan.load_cores,
            is_even=plan.is_even,
        )
        cost_s = running.cpu_s() - before
        per_cpu_s = result.answered / cost_s if cost_s else 0.0
        found.append({"kind": "open", **asdict(cell), "load": name, "per_cpu_s": per_cpu_s, **asdict(result)})
        tell(
            f"open at {rate:.0f}/s ({name}): p50 {result.p50_us / 1000:.2f} ms, p99 {result.p99_us / 1000:.2f},"
            f" p99.9 {result.p999_us / 1000:.2f}, {result.good_per_s:.0f} good/s, {result.failed} failed"
        )
    return found


def _requests(running: Running, cell: Cell, folder: Path) -> Path:
    """Write the requests of a cell, once for a server."""
    place = folder / f"requests-{cell.wire}-{cell.rows}"
    wire = running.peer.wires[cell.wire]
    return lay_out([running.request(wire, rows) for rows in asked_rows(running.model, cell.rows)], place)
