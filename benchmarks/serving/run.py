"""How many predictions does a second of processor time buy, and how late are they? Holdtrue beside its peers.

    python benchmarks/serving/run.py                                  all servers, all models, five rounds
    python benchmarks/serving/run.py --quick                          one round of one second, trees only
    python benchmarks/serving/run.py --peers fastapi mlserver --models M1 --rounds 3 --seconds 2
    python benchmarks/serving/run.py --variant "Holdtrue, no batching=ARGUMENTS OF holdtrue serve"
    python benchmarks/serving/run.py --check                          installs, starts and asks each server, no more

Needs Linux, two cores to itself, and `wrk`. Peers are installed into environments of their own below
HOLDTRUE_BENCH_CACHE (default ~/.cache/holdtrue-bench) when first asked for. Every server answers with the graph of the
same release, on one core, with one worker and one thread; the load has a core of its own. A server's answers must be
the graph's own before they are timed. Each round starts every server anew, in turns, and the bare loop of ONNX Runtime
runs in each round too: it is the limit. Memory is used once before anything is timed: a page that a virtual machine
never used costs its host microseconds, which a server that writes would pay for on its first day only. Only what this
script started is stopped. Writes result.json and result.md beside this file (or to --out).
"""

import argparse
import json
import mmap
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ceiling import ceiling
from cells import Plan, asked_rows, checked, measured
from environments import Failed, programs_of
from load import wrk_there
from page import OURS, page, targets
from peers import bentoml, fastapi, holdtrue, kserve, litserve, mlflow, mlserver, ray
from peers.peer import Peer
from servers import Truth, serving
from wires import V2_JSON

from models import HEAVY, MODELS, Model, prepare

HERE = Path(__file__).parent
TOUCHED_BYTES = 4 << 30  # more than one server writes before it is stopped and its files are gone
BATCH = 64  # what a server could gain at most that answers so many requests at once
FAMILIES = {
    "holdtrue": holdtrue.PEERS,
    "fastapi": fastapi.PEERS,
    "mlserver": mlserver.PEERS,
    "kserve": kserve.PEERS,
    "litserve": litserve.PEERS,
    "bentoml": bentoml.PEERS,
    "ray": ray.PEERS,
    "mlflow": mlflow.PEERS,
}


class Harness:
    """One run of the benchmark; what it has found so far is in `found`."""

    def __init__(self, plan: Plan, names: list[str], core: int, cache: Path, folder: Path) -> None:
        self.plan = plan
        self.names = names
        self.core = core
        self.cache = cache
        self.folder = folder
        self.cells: list[dict[str, Any]] = []
        self.servers: list[dict[str, Any]] = []
        self.bare: list[dict[str, Any]] = []
        self.failures: list[dict[str, str]] = []

    def round(self, number: int, model: Model, peers: list[Peer], *, check_only: bool) -> None:
        """Let every server have its turn; another one begins each time."""
        able = [peer for peer in peers if model.key in peer.models and not self.failed(peer, model)]
        if not check_only:
            self.bare.append({"model": model.key, "round": number, **self.bare_loop(model)})
        shift = number % len(able) if able else 0
        for peer in [*able[shift:], *able[:shift]]:
            try:
                self.turn(number, model, peer, check_only=check_only)
            except (Failed, subprocess.TimeoutExpired) as failed:
                self.failures.append({"server": peer.name, "model": model.key, "reason": str(failed)})
                print(f"{peer.name}, {model.key}: FAILED: {failed}", flush=True)

    def turn(self, number: int, model: Model, peer: Peer, *, check_only: bool) -> None:
        """Start one server, ask it, load it and stop it."""
        # Short: servers put sockets below it, and the path of a socket has at most 107 bytes.
        folder = self.folder / f"{model.key}-{self.names.index(peer.name)}"
        programs = programs_of(peer, self.cache)
        head = f"{model.key} round {number + 1}, {peer.name}"
        with serving(peer, model, programs, folder, self.core) as running:
            apart = checked(running, Truth(model), self.plan)
            print(f"{head}: answers as the graph does, within {max(apart.values()):.1g}", flush=True)
            if check_only:
                return
            mark = {"model": model.key, "server": peer.name, "round": number}
            found = measured(running, self.plan, folder, teller(head))
            memory = running.memory()
            self.cells += [{**mark, **cell} for cell in found]
            self.servers.append(
                {**mark, "memory_mb": sum(float(each["mb"]) for each in memory), "memory": memory, "apart": apart}
            )

    def failed(self, peer: Peer, model: Model) -> bool:
        return any(each["server"] == peer.name and each["model"] == model.key for each in self.failures)

    def bare_loop(self, model: Model) -> dict[str, float]:
        """Run the graph without a server, on the core that servers get."""
        folder = self.folder / f"{model.key}-bare"
        folder.mkdir(exist_ok=True)
        for count in [1] if model.key == HEAVY else sorted({*self.plan.rows, BATCH}):
            for place, rows in enumerate(asked_rows(model, count)):
                plain = {
                    name: values.astype(str) if values.dtype.kind == "O" else values for name, values in rows.items()
                }
                np.savez(folder / f"{count}-{place}.npz", **plain)  # pyright: ignore[reportArgumentType]
        words = [sys.executable, str(HERE / "bare.py"), str(model.graph), str(folder), str(self.plan.seconds)]
        command = ["taskset", "-c", str(self.core), *words]
        environ = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=300)
        print(f"{model.key} bare loop: {done.stdout.strip()}", flush=True)
        return json.loads(done.stdout)


def touch_memory() -> None:
    """Use each page once, of as much memory as will be written to, but no more than half of what is free."""
    free = os.sysconf("SC_AVPHYS_PAGES") * mmap.PAGESIZE
    with mmap.mmap(-1, min(TOUCHED_BYTES, free // 2)) as memory:
        for place in range(0, len(memory), mmap.PAGESIZE):
            memory[place] = 1


def teller(head: str) -> Callable[[str], None]:
    return lambda text: print(f"{head}: {text}", flush=True)


def chosen(families: list[str], variants: list[str]) -> list[Peer]:
    """Give the servers asked for; each variant is Holdtrue with further arguments, as NAME=ARGUMENTS."""
    peers = [peer for family in families for peer in FAMILIES[family]]
    for variant in variants:
        name, _, words = variant.partition("=")
        peers.append(holdtrue.variant(name, *words.split()))
    return peers


def machine() -> dict[str, str]:
    known = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    model = [line.split(":")[1].strip() for line in known if line.startswith("model name")]
    commit = ["git", "rev-parse", "--short", "HEAD"]
    said = subprocess.run(commit, cwd=HERE, capture_output=True, text=True, check=False).stdout.strip()
    named = ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "numpy", "uvloop", "httptools", "msgspec"))
    wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout.split("[")[0].strip()
    return {
        "machine": f"{model[0] if model else platform.machine()}, {os.cpu_count()} cores, {platform.system()} "
        f"{platform.release()}; {os.getloadavg()[0]:.1f} processes wanted to run at the end",
        "versions": f"Python {platform.python_version()}, {named}, {wrk}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": said or "unknown",
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument(
        "--variant", action="append", default=[], help="Holdtrue once more: NAME=ARGUMENTS, or VARIABLE=VALUE"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each cell, in whole seconds")
    parser.add_argument("--warm", type=float, default=1.0, help="seconds of load before each cell; 0 for none")
    parser.add_argument("--connections", nargs="+", type=int, default=[1, 16, 64])
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 100])
    parser.add_argument("--rates", nargs="*", type=float, default=[300.0], help="open loops, requests per second")
    parser.add_argument("--shares", nargs="*", type=float, default=[0.6], help="open loops, of a server's own speed")
    parser.add_argument("--even", action="store_true", help="open loops at even distances, not at those of chance")
    parser.add_argument("--limit-ms", type=float, default=50.0, help="a later answer is no good one")
    parser.add_argument("--full", action="store_true", help="every number of connections in every cell")
    parser.add_argument("--core", type=int, default=1, help="of the servers")
    parser.add_argument("--load-cores", nargs="+", type=int, default=[0])
    parser.add_argument("--quick", action="store_true", help="one round of one second, trees only")
    parser.add_argument("--check", action="store_true", help="time nothing; ends with 1 when a server fails")
    parser.add_argument("--keep", action="store_true", help="write no result")
    parser.add_argument("--out", type=Path, default=HERE)
    asked = parser.parse_args()
    if asked.quick:
        asked.rounds, asked.seconds, asked.warm, asked.models = 1, 1.0, 0.0, ["M1"]
    asked.connections, asked.rows = sorted(asked.connections), sorted(asked.rows)
    return asked


def plan_of(asked: argparse.Namespace) -> Plan:
    if asked.core in asked.load_cores or not {asked.core, *asked.load_cores} <= os.sched_getaffinity(0):
        raise SystemExit("Servers and load need cores of their own: see --core and --load-cores.")
    return Plan(
        seconds=asked.seconds,
        warm_s=asked.warm,
        load_cores=asked.load_cores,
        connections=asked.connections,
        rows=asked.rows,
        rates_per_s=asked.rates,
        shares=asked.shares,
        is_even=asked.even,
        limit_ms=asked.limit_ms,
        is_full=asked.full,
    )


def main() -> int:
    asked = arguments()
    wrk_there()
    plan = plan_of(asked)
    cache = Path(os.environ.get("HOLDTRUE_BENCH_CACHE", Path.home() / ".cache" / "holdtrue-bench")).absolute()
    peers = chosen(asked.peers, asked.variant)
    models = prepare(asked.models, cache)
    os.sched_setaffinity(0, asked.load_cores)  # this process waits, but when it does not, no server pays for it
    if not (asked.quick or asked.check):
        touch_memory()
    with tempfile.TemporaryDirectory() as temporary:
        harness = Harness(plan, [peer.name for peer in peers], asked.core, cache, Path(temporary))
        for model in models.values():
            for number in range(1 if asked.check else asked.rounds):
                harness.round(number, model, peers, check_only=asked.check)
        if asked.check:
            return 1 if harness.failures else 0
        first = models.get("M1") or next(iter(models.values()))
        body = V2_JSON.encode(first.rows(1, seed=1)).content
        most = ceiling(body, Path(temporary), core=asked.core, load_cores=asked.load_cores, seconds=asked.seconds)
    found = {
        "settings": {**asdict(plan), "rounds": asked.rounds, "core": asked.core},
        "models": {key: f"{model.says}, {model.origin}" for key, model in models.items()},
        "peers": {peer.name: "; ".join([peer.says, *peer.requirements]) for peer in peers},
        "wires": {name: wire.says for peer in reversed(peers) for name, wire in peer.wires.items()},
        "bare": harness.bare,
        "servers": harness.servers,
        "cells": harness.cells,
        "failures": harness.failures,
        "ceiling": most,
    }
    about = machine()
    told = page(found, about)
    print(told)
    if not asked.keep:
        (asked.out / "result.json").write_text(json.dumps({**about, **found}, indent=1) + "\n")
        (asked.out / "result.md").write_text(told)
    ours_failed = any(each["server"].startswith(OURS) for each in harness.failures)
    return 1 if ours_failed or any(target.verdict == "NOT HELD" for target in targets(found)) else 0


if __name__ == "__main__":
    raise SystemExit(main())
