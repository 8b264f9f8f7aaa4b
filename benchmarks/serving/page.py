"""Makes the page of the result: each model's table, the targets of the design, and what could not be measured."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

OURS = "Holdtrue"
UNBATCHED = "Holdtrue, no batching"
SILENT = "Holdtrue, no receipts"
FASTAPI = "FastAPI, async def"
MLSERVER = "MLServer, no workers"
WORKER = "holdtrue.serving.worker"  # the process of ours that answers; another one watches over it

Result = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One number to hold."""

    says: str
    value: float | None
    limit: float
    at_most: bool = False

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not measured"
        held = self.value <= self.limit if self.at_most else self.value >= self.limit
        return "held" if held else "NOT HELD"


def by_round(found: Result, model: str, server: str, key: str, **wanted: Any) -> dict[int, float]:
    """Find a figure of each round."""
    return {
        cell["round"]: cell[key]
        for cell in found["cells"]
        if cell["model"] == model
        and cell["server"] == server
        and all(cell.get(name) == value for name, value in wanted.items())
    }


def middle(values: Iterable[float]) -> float | None:
    held = list(values)
    return median(held) if held else None


def ratio(of: Mapping[int, float], to: Mapping[int, float]) -> float | None:
    """Divide within each round, as both ran within minutes of each other; then take the middle."""
    return middle(value / to[number] for number, value in of.items() if to.get(number))


def bare_of(found: Result, model: str, rows: int) -> dict[int, float]:
    return {each["round"]: each[str(rows)] for each in found["bare"] if each["model"] == model and str(rows) in each}


def targets(found: Result) -> list[Target]:
    """Hold the figures against section 11 of the design."""

    def costs(server: str, model: str = "M1", **wanted: Any) -> dict[int, float]:
        cell = {"kind": "closed", "wire": "json", "rows": 1, "connections": 64, **wanted}
        return by_round(found, model, server, "per_cpu_s", **cell)

    def table(wire: str) -> float | None:
        return ratio(costs(OURS, "M3", wire=wire, rows=100, connections=16), bare_of(found, "M3", 100))

    bare = bare_of(found, "M1", 1)
    most = f"one row, JSON, 64 connections, requests per CPU second, {UNBATCHED.split(', ')[1]}"
    memory = middle(part["mb"] for part in _parts(found) if WORKER in part["process"])
    silent = ratio(costs(OURS), costs(SILENT))
    return [
        Target(says=f"{most}, against MLServer", value=ratio(costs(UNBATCHED), costs(MLSERVER)), limit=10),
        Target(says=f"{most}, against FastAPI async", value=ratio(costs(UNBATCHED), costs(FASTAPI)), limit=4),
        Target(says=f"{most}, against the bare loop", value=ratio(costs(UNBATCHED), bare), limit=0.35),
        Target(says="the same with batching, against MLServer", value=ratio(costs(OURS), costs(MLSERVER)), limit=20),
        Target(says="the same with batching, against the bare loop", value=ratio(costs(OURS), bare), limit=0.65),
        Target(says="100 rows of numbers, binary, against the bare loop", value=table("binary"), limit=0.8),
        Target(says="100 rows of numbers, JSON, against the bare loop", value=table("json"), limit=0.5),
        Target(
            says="heavy model, against the bare loop",
            value=ratio(costs(OURS, "M2", connections=16), bare_of(found, "M2", 1)),
            limit=0.9,
        ),
        Target(says="receipts on, against off, requests per CPU second", value=silent, limit=0.9),
        Target(says="memory of a worker with a small model after the load, MB", value=memory, limit=80, at_most=True),
    ]


def _parts(found: Result) -> list[dict[str, Any]]:
    """Give the memory of each process of our server in each round."""
    return [part for each in found["servers"] if each["server"] == OURS for part in each["memory"]]


def shown(value: float | None, form: str = ",.0f") -> str:
    return "–" if value is None else format(value, form)


def servers_of(found: Result, model: str) -> list[str]:
    """Name the servers that were measured with a model, the cheapest first."""
    names = {cell["server"] for cell in found["cells"] if cell["model"] == model}
    wanted = {"kind": "closed", "wire": "json", "rows": 1}

    def speed(name: str) -> float:
        return max((middle(by_round(found, model, name, "per_cpu_s", **wanted).values()) or 0.0), 0.0)

    return sorted(names, key=speed, reverse=True)


def one_row(found: Result, model: str, connections: int) -> list[str]:
    """Show one row in JSON over the most connections, with what it is held against."""
    cell = {"kind": "closed", "wire": "json", "rows": 1, "connections": connections}
    held = {name: by_round(found, model, name, "per_cpu_s", **cell) for name in (FASTAPI, MLSERVER)}
    bare = bare_of(found, model, 1)
    lines = [
        "",
        f"One row, JSON, {connections} connections in a closed loop. Least and most are of the rounds, per CPU second.",
        "",
        "| server | per second | **per CPU second** | least – most | of the bare loop | times FastAPI async "
        "| times MLServer | p50, ms | p99, ms | memory, MB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name in servers_of(found, model):
        costs = by_round(found, model, name, "per_cpu_s", **cell)
        if not costs:
            continue
        times = [ratio(costs, bare), ratio(costs, held[FASTAPI]), ratio(costs, held[MLSERVER])]
        seen = {
            key: middle(by_round(found, model, name, key, **cell).values()) for key in ("per_s", "p50_us", "p99_us")
        }
        memory = middle(
            each["memory_mb"] for each in found["servers"] if each["server"] == name and each["model"] == model
        )
        lines.append(
            f"| {name} | {shown(seen['per_s'])} | **{shown(middle(costs.values()))}** "
            f"| {min(costs.values()):,.0f} – {max(costs.values()):,.0f} "
            f"| {shown(times[0], '.3f')} | {shown(times[1], '.2f')} | {shown(times[2], '.2f')} "
            f"| {(seen['p50_us'] or 0) / 1000:.2f} | {(seen['p99_us'] or 0) / 1000:.2f} | {shown(memory)} |"
        )
    return lines


def every_cell(found: Result, model: str) -> list[str]:
    """Show requests per CPU second of every cell, and in brackets its share of the bare loop on as many rows."""
    closed = [each for each in found["cells"] if each["model"] == model and each["kind"] == "closed"]
    heads = sorted({(each["rows"], each["wire"], each["connections"]) for each in closed})
    lines = ["", "Requests per CPU second, and of the bare loop on as many rows:", ""]
    lines += [
        "| server | " + " | ".join(f"{wire}, {rows} row{'s' * (rows > 1)}, c{c}" for rows, wire, c in heads) + " |"
    ]
    lines += ["|---|" + "---:|" * len(heads)]
    for name in servers_of(found, model):
        row = [name]
        for rows, wire, connections in heads:
            cell = {"kind": "closed", "wire": wire, "rows": rows, "connections": connections}
            costs = by_round(found, model, name, "per_cpu_s", **cell)
            share = ratio(costs, bare_of(found, model, rows))
            row.append(f"{shown(middle(costs.values()))} ({shown(share, '.3f')})" if costs else "–")
        lines.append("| " + " | ".join(row) + " |")
    return lines


def in_the_open(found: Result, model: str) -> list[str]:
    """Show latencies counted from the time a request was due."""
    cells = [each for each in found["cells"] if each["model"] == model and each["kind"] == "open"]
    if not cells:
        return []
    limit = found["settings"]["limit_ms"]
    times = "even distances" if found["settings"]["is_even"] else "the times of a Poisson process"
    lines = [
        "",
        f"One row, JSON, requests at {times} (open loop); latency from when a request was due.",
        f"Good: answered within {limit:g} ms.",
        "",
        "| server | load | requests due per second | good per second | p50, ms | p99, ms | p99.9, ms | failed |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name in servers_of(found, model):
        loads = dict.fromkeys((each["load"], "") for each in cells if each["server"] == name)
        for load, _ in loads:
            get = _getter(found, model, name, load)
            lines.append(
                f"| {name} | {'the same for all' if load == 'given' else f'{load} of its own closed loop'} "
                f"| {shown(get('rate_per_s'))} | {shown(get('good_per_s'))} | {(get('p50_us') or 0) / 1000:.2f} "
                f"| {(get('p99_us') or 0) / 1000:.2f} | {(get('p999_us') or 0) / 1000:.2f} | {shown(get('failed'))} |"
            )
    return lines


def _getter(found: Result, model: str, name: str, load: str) -> Callable[[str], float | None]:
    return lambda key: middle(by_round(found, model, name, key, kind="open", load=load).values())


def generators(found: Result) -> list[str]:
    most = found["ceiling"]
    if "missing" in most:
        return ["", f"The ceiling of the generators was not measured: {most['missing']}."]
    rates = ", ".join(f"{value:,.0f} over {name}" for name, value in most["closed_per_s"].items())
    last = next((each for each in reversed(most["open"]) if each["rate_per_s"] == most["open_per_s"]), None)
    late = f", where it was itself at most {last['late_p99_us']:.0f} µs late in 99 % of cases" if last else ""
    return [
        "",
        f"The generators themselves, against a server in C that only answers (bodies of {most['body_bytes']:,} bytes): "
        f"wrk {rates} connections per second;",
        f"the open loop keeps its p99 within 1 ms up to {most['open_per_s']:,} per second{late}.",
    ]


def page(found: Result, about: Mapping[str, str]) -> str:
    settings = found["settings"]
    lines = [
        "# Serving, side by side",
        "",
        f"Every server on core {settings['core']}, the load on core {', '.join(map(str, settings['load_cores']))};"
        f" one worker, one thread of ONNX Runtime, the same graph.",
        f"Medians of {settings['rounds']} rounds of {settings['seconds']:g} s; in each round every server is started"
        " anew, in turns. Answers are held against the graph's own before they are timed.",
        "A CPU second is one of all processes of a server, system time included; memory is that of all of them (PSS)."
        " Ratios are taken within a round. Memory that servers write to had been used before, as it has on any machine"
        " but a new one.",
        "",
        "| target | measured | limit | |",
        "|---|---:|---:|---|",
    ]
    for target in targets(found):
        sign = "≤" if target.at_most else "≥"
        lines.append(f"| {target.says} | {shown(target.value, ',.2f')} | {sign} {target.limit:g} | {target.verdict} |")
    for model, says in found["models"].items():
        loops = {rows: middle(bare_of(found, model, rows).values()) for rows in (1, 64, 100)}
        told = [f"{value:,.0f} of n={rows} ({value * rows:,.0f} rows)" for rows, value in loops.items() if value]
        lines += [
            "",
            f"## {model}: {says}",
            "",
            f"The bare loop, requests per second of so many rows: {', '.join(told)}.",
        ]
        most = max(
            (each["connections"] for each in found["cells"] if each["model"] == model and each["kind"] == "closed"),
            default=0,
        )
        if most:
            lines += [*one_row(found, model, most), *every_cell(found, model), *in_the_open(found, model)]
    lines += ["", "## How each was run", "", *(f"- {name}: {says}" for name, says in found["wires"].items())]
    lines += [f"- {name}: {says}" for name, says in found["peers"].items()]
    lines += [f"- NOT RUN, {each['server']} ({each['model']}): {each['reason']}" for each in found["failures"]]
    faulty = [each for each in found["cells"] if each.get("refused") or each.get("broken")]
    lines += [
        f"- {each['server']}, {each['model']}, {each['wire']} n={each['rows']} c={each['connections']}, round "
        f"{each['round'] + 1}: {each['refused']} refused and {each['broken']} broken of {each['requests']}"
        for each in faulty
    ]
    lines += generators(found)
    return "\n".join([*lines, "", *(f"{key}: {value}  " for key, value in about.items()), ""])
