"""Does a heavy model delay a light one that the same worker serves?

    python benchmarks/serving/head_of_line.py [--rounds 5] [--seconds 5] [--out FOLDER]

One worker serves boosted trees (light) and a transformer (heavy), the releases of this benchmark. The trees are
asked at an even rate, alone and while eight connections ask the transformer without pause, in turns. Claim: what half
of the light requests wait at most (p50) is no more than twice what it is alone. Needs `wrk`. Writes
head_of_line.json and head_of_line.md beside this file.
"""

import argparse
import http.client
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from load import closed, lay_out
from wires import V2_JSON

from models import Model, prepare

HERE = Path(__file__).parent
RATE_PER_S, HEAVY_CONNECTIONS, TIMES = 200.0, 8, 2.0


def both(light: Model, heavy: Model, folder: Path) -> Path:
    """Copy the light model's project, and let it trust who signed the heavy one."""
    made = Path(shutil.copytree(light.project, folder, symlinks=True))
    for key in (heavy.project / ".holdtrue/keys").rglob("*.pub"):
        trusted = made / ".holdtrue/keys/trusted"
        trusted.mkdir(exist_ok=True)
        shutil.copy(key, trusted / f"heavy-{key.name}")
    return made


def request(model: Model, seed: int) -> bytes:
    body = V2_JSON.encode(model.rows(1, seed=seed))
    lines = [f"{name}: {value}" for name, value in {**body.headers, "Content-Length": len(body.content)}.items()]
    head = [f"POST /v2/models/{model.name}/infer HTTP/1.1", "Host: localhost", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body.content


def waits_ms(port: int, model: Model, seconds: float) -> list[float]:
    """Ask at an even rate; a request's wait begins when it was due."""
    body = V2_JSON.encode(model.rows(1, seed=1))
    talk = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    waited: list[float] = []
    begun_s = time.perf_counter()
    for number in range(int(seconds * RATE_PER_S)):
        due_s = begun_s + number / RATE_PER_S
        time.sleep(max(0.0, due_s - time.perf_counter()))
        talk.request("POST", f"/v2/models/{model.name}/infer", body.content, dict(body.headers))
        answer = talk.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"a request was answered with {answer.status}")
        waited.append((time.perf_counter() - due_s) * 1000)
    talk.close()
    return sorted(waited)


def measured(
    port: int, light: Model, heavy: Model, folder: Path, rounds: int, seconds: float
) -> list[dict[str, float]]:
    requests = lay_out([request(heavy, place) for place in range(8)], folder / "heavy")
    waits_ms(port, light, 1.0)
    found: list[dict[str, float]] = []
    for _ in range(rounds):
        alone = waits_ms(port, light, seconds)
        cores = sorted(os.sched_getaffinity(0))
        with ThreadPoolExecutor(1) as pool:
            load = pool.submit(
                closed, port, requests, connections=HEAVY_CONNECTIONS, seconds=seconds + 2, cores=cores[:1]
            )
            time.sleep(0.5)
            beside = waits_ms(port, light, seconds)
            told = load.result()
        row = {"heavy_per_s": told.requests / told.seconds}
        for name, waited in (("alone", alone), ("beside", beside)):
            row |= {f"{name}_p50_ms": median(waited), f"{name}_p99_ms": waited[int(0.99 * len(waited))]}
        found.append(row)
        print(row, flush=True)
    return found


def page(result: dict[str, Any]) -> str:
    middle = result["median"]
    lines = [
        "# A light model beside a heavy one",
        "",
        f"The trees are asked {RATE_PER_S:.0f} times a second; beside them the transformer answers"
        f" {middle['heavy_per_s']:.0f} requests a second, all it can.",
        f"One worker; medians of {len(result['rounds'])} turns.",
        "",
        "| the trees | p50, ms | p99, ms |",
        "|---|---:|---:|",
        f"| alone | {middle['alone_p50_ms']:.2f} | {middle['alone_p99_ms']:.2f} |",
        f"| beside the transformer | {middle['beside_p50_ms']:.2f} | {middle['beside_p99_ms']:.2f} |",
        "",
        f"p50 is {result['times']:.2f} times what it is alone (claim: at most {TIMES:g}):"
        f" {'held' if result['times'] <= TIMES else 'NOT HELD'}.",
        "The generator shares the two cores with the worker, whose loop has one and whose heavy model the other.",
        "",
        f"{result['machine']}; {result['versions']}; {result['date']}; commit {result['commit'][:12]}",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=float, default=5.0)
    arguments.add_argument("--out", type=Path, default=HERE)
    given = arguments.parse_args()
    cache = Path(os.environ.get("HOLDTRUE_BENCH_CACHE", "~/.cache/holdtrue-bench")).expanduser()
    models = prepare(["M1", "M2"], cache)
    light, heavy = models["M1"], models["M2"]
    with tempfile.TemporaryDirectory() as scratch:
        folder = both(light, heavy, Path(scratch) / "project")
        words = [
            sys.executable,
            "-m",
            "holdtrue.cli",
            "serve",
            "champion",
            str(heavy.graph.parent),
            "--port",
            "0",
            "--json",
        ]
        process = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        state = json.loads(process.stdout.readline())
        try:
            port = int(state["url"].rpartition(":")[2])
            rounds = measured(port, light, heavy, Path(scratch), given.rounds, given.seconds)
        finally:
            process.terminate()
            process.wait(timeout=60)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False)
    result: dict[str, Any] = {
        "rounds": rounds,
        "median": {name: median(row[name] for row in rounds) for name in rounds[0]},
        "times": median(row["beside_p50_ms"] / row["alone_p50_ms"] for row in rounds),
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "versions": f"Python {platform.python_version()}, ONNX Runtime {version('onnxruntime')}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit.stdout.strip() or "unknown",
    }
    (given.out / "head_of_line.json").write_text(json.dumps(result, indent=1) + "\n")
    (given.out / "head_of_line.md").write_text(page(result))
    print(page(result))
    sys.exit(0 if result["times"] <= TIMES else 1)


if __name__ == "__main__":
    main()
