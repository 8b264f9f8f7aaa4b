"""Requests over gRPC per second of the server's processor time: Holdtrue and MLServer, with the same graph and client.

Claims: one row over gRPC costs Holdtrue's server less than a third of what it costs MLServer's.

Both serve the boosted trees of `models.py`, on one core, and are asked by `grpc_load.py` from another; they take turns,
so that what else the machine does meets both. Answers are held against the graph's own before anything is counted.

    python benchmarks/serving/over_grpc.py [--rounds 3] [--seconds 5] [--out FOLDER]
"""

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from environments import Failed, programs_of
from load import lay_out, pinned
from peers import holdtrue, mlserver
from peers.peer import Peer, Place
from run import machine
from servers import Running, Truth, serving
from wires import DATATYPES, DTYPES

import models
from holdtrue.serving.grpc_messages import KINDS, SERVICE

HERE = Path(__file__).parent
PATH = f"/{SERVICE}/ModelInfer"
BODIES = 64
CLAIM = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One round of one server."""

    server: str
    rows: int
    requests: int
    per_s: float
    per_cpu_s: float
    p50_us: float
    p99_us: float


def peers(ports: list[int]) -> dict[str, Peer]:
    """Give the servers; each that is started adds the port of its gRPC."""

    def placed(peer: Peer, *words: str) -> Peer:
        def command(place: Place) -> list[str]:
            ports.append(place.spare[0])
            return [*peer.command(place), *(word.format(place.spare[0]) for word in words)]

        return replace(peer, command=command)

    ours = holdtrue.variant("Holdtrue")
    return {"Holdtrue": placed(ours, "--grpc-port", "{}"), "MLServer": placed(mlserver.PEERS[0])}


def raw_of(values: np.ndarray) -> bytes:
    if values.dtype.kind != "O":
        return values.tobytes()
    words = [str(word).encode() for word in values.ravel()]
    return b"".join(struct.pack("<I", len(word)) + word for word in words)


def words_of(raw: bytes) -> list[str]:
    words: list[str] = []
    place = 0
    while place < len(raw):
        (size,) = struct.unpack_from("<I", raw, place)
        words.append(raw[place + 4 : place + 4 + size].decode())
        place += 4 + size
    return words


def encoded(model: models.Model, tensors: Mapping[str, np.ndarray]) -> bytes:
    """Write a request of raw tensors, one a column."""
    request = KINDS["ModelInferRequest"](model_name=model.name)
    for name, values in tensors.items():
        request.inputs.add(name=name, datatype=DATATYPES[values.dtype.name], shape=list(values.shape))
        request.raw_input_contents.append(raw_of(values))
    return bytes(request.SerializeToString())


def decoded(body: bytes) -> dict[str, np.ndarray]:
    """Read an answer, raw or typed."""
    response = KINDS["ModelInferResponse"]()
    response.ParseFromString(body)
    made: dict[str, np.ndarray] = {}
    for place, output in enumerate(response.outputs):
        shape = tuple(output.shape)
        if response.raw_output_contents:
            raw = response.raw_output_contents[place]
            values = words_of(raw) if output.datatype == "BYTES" else np.frombuffer(raw, DTYPES[output.datatype])
        else:
            found = next(value for _, value in output.contents.ListFields())
            values = [each.decode() if isinstance(each, bytes) else each for each in found]
        made[output.name] = np.array(values).reshape(shape)
    return made


def asked_of(running: Running, port: int, requests: Path, plan: argparse.Namespace) -> tuple[dict[str, Any], float]:
    """Load a server; gives what the load says, and the processor time that it took of the server."""
    given = {
        "port": port, "requests": str(requests), "path": PATH, "connections": plan.connections,
        "streams": plan.streams, "warm_s": plan.warm, "seconds": plan.seconds,
    }  # fmt: skip
    command = pinned(plan.load_cores, [sys.executable, str(HERE / "grpc_load.py"), json.dumps(given)])
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        before = running.cpu_s()
        process.stdout.readline()
        cpu_s = running.cpu_s() - before
        said = process.stdout.read()
    if process.returncode:
        raise Failed(f"the load ended with {process.returncode}")
    return json.loads(said), cpu_s


def cell(name: str, running: Running, port: int, rows: int, folder: Path, plan: argparse.Namespace) -> Cell:
    """Measure once, and hold the first answer against the graph's own."""
    model = running.model
    drawn = [model.rows(rows, seed=seed) for seed in range(BODIES)]
    requests = lay_out([encoded(model, tensors) for tensors in drawn], folder / f"{name}-{rows}")
    said, cpu_s = asked_of(running, port, requests, plan)
    if said["refused"] or said["broken"] or not said["requests"]:
        raise Failed(f"{name}: {said['refused']} refused, {said['broken']} connections broken")
    made = decoded(bytes.fromhex(said["first"]))
    for output, wanted in Truth(model).answer(drawn[0]).items():
        same = made[output] == wanted if wanted.dtype.kind == "O" else np.abs(made[output] - wanted) < 1e-5
        if not np.all(same):
            raise Failed(f"{name}: {output} is not the graph's own answer")
    return Cell(
        server=name,
        rows=rows,
        requests=said["requests"],
        per_s=said["requests"] / said["seconds"],
        per_cpu_s=said["requests"] / cpu_s,
        p50_us=said["p50_us"],
        p99_us=said["p99_us"],
    )


def ratio(cells: list[Cell]) -> float:
    """How many requests of one row Holdtrue answers in the processor time of one of MLServer's."""
    ours, theirs = (
        [each.per_cpu_s for each in cells if (each.server, each.rows) == (name, 1)] for name in ("Holdtrue", "MLServer")
    )
    return median(ours) / median(theirs) if ours and theirs else float("nan")


def page(cells: list[Cell], about: Mapping[str, str], model: models.Model, plan: argparse.Namespace) -> str:
    lines = [
        "# gRPC: requests per second of server processor time",
        "",
        f"{model.says}, {model.origin}; raw tensors, one a column; {plan.connections} connections with {plan.streams}",
        f"streams each. Medians of {plan.rounds} rounds of {plan.seconds:g} s; servers took turns on one core.",
        "",
        "| server | rows | per CPU second | per second | p50 ms | p99 ms |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for rows in plan.rows:
        for name in dict.fromkeys(each.server for each in cells):
            own = [each for each in cells if (each.server, each.rows) == (name, rows)]
            cpu, per_s, p50, p99 = (
                median(getattr(each, what) for each in own) for what in ("per_cpu_s", "per_s", "p50_us", "p99_us")
            )
            lines.append(f"| {name} | {rows} | {cpu:,.0f} | {per_s:,.0f} | {p50 / 1e3:.2f} | {p99 / 1e3:.2f} |")
    held = "held" if ratio(cells) >= CLAIM else "NOT HELD"
    lines += ["", f"One row: {ratio(cells):.1f} times MLServer's; {CLAIM:g} are claimed: {held}."]
    lines += ["", *(f"- {name}: {value}" for name, value in about.items()), ""]
    lines.append(f"`{' '.join(['python', 'benchmarks/serving/over_grpc.py', *sys.argv[1:]])}`")
    return "\n".join(lines) + "\n"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--warm", type=float, default=1.0)
    parser.add_argument("--rows", nargs="+", type=int, default=[1])
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--streams", type=int, default=16, help="of each connection")
    parser.add_argument("--peers", nargs="+", default=["Holdtrue", "MLServer"])
    parser.add_argument("--core", type=int, default=1, help="of the servers")
    parser.add_argument("--load-cores", nargs="+", type=int, default=[0])
    parser.add_argument("--keep", action="store_true", help="write no result")
    parser.add_argument("--out", type=Path, default=HERE)
    return parser.parse_args()


def main() -> int:
    plan = arguments()
    cache = Path(os.environ.get("HOLDTRUE_BENCH_CACHE", Path.home() / ".cache" / "holdtrue-bench")).absolute()
    model = models.prepare(["M1"], cache)["M1"]
    cells: list[Cell] = []
    ports: list[int] = []
    servers = {name: peer for name, peer in peers(ports).items() if name in plan.peers}
    with tempfile.TemporaryDirectory() as temporary:
        for number in range(plan.rounds):
            for name, peer in servers.items():
                folder = Path(temporary) / f"{name}-{number}"
                with serving(peer, model, programs_of(peer, cache), folder, plan.core) as running:
                    for rows in plan.rows:
                        cells.append(cell(name, running, ports[-1], rows, Path(temporary) / "requests", plan))
                        print(cells[-1], flush=True)
    about = machine()
    told = page(cells, about, model, plan)
    print(told)
    if not plan.keep:
        (plan.out / "grpc.json").write_text(
            json.dumps({**about, "cells": [asdict(each) for each in cells]}, indent=1) + "\n"
        )
        (plan.out / "grpc.md").write_text(told)
    return 1 if ratio(cells) < CLAIM else 0


if __name__ == "__main__":
    sys.exit(main())
