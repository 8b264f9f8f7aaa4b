"""Where the microseconds of one request go: each step of its way through a worker, alone and in process.

Claims nothing; it is what the sum of a request is explained by. The network, the parsing of HTTP and the waiting for
the disk are not in it. "signed" is the graph as it is in the release, asked with one tensor a column; "packed" is what
serves.

    python benchmarks/serving/steps.py [--rounds 9] [--out FOLDER]
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import wires
from run import machine

import models
from holdtrue.data.traffic.receipt import Ids, Receipt, pack
from holdtrue.features.runtime import session
from holdtrue.pipeline.keeping import keeper_of
from holdtrue.pipeline.replay import ready_model
from holdtrue.serving.ask import Answer
from holdtrue.serving.lane import outputs_of
from holdtrue.serving.wire import v2

HERE = Path(__file__).parent
SIGNED = "the graph, signed"
STEPS = (
    "read the body",
    "hold it to the contract",
    "lay out the tensors",
    "the graph, packed",
    "write the answer",
    "the receipt",
)


def each_us(deed: Callable[[], object], rounds: int) -> float:
    """The median of several rounds, each long enough to be timed."""
    for _ in range(20):
        deed()
    before = time.perf_counter()
    deed()
    calls = max(20, int(0.02 / max(time.perf_counter() - before, 1e-6)))
    taken: list[float] = []
    for _ in range(rounds):
        before = time.perf_counter()
        for _ in range(calls):
            deed()
        taken.append((time.perf_counter() - before) / calls * 1e6)
    return median(taken)


def steps(model: models.Model, wire: wires.Wire, rows: int, rounds: int) -> dict[str, float]:
    """Time every step of one request of `rows` rows."""
    assert model.project is not None
    _, ready = ready_model(keeper_of(model.project, {}, actor="benchmark"), model.digest)
    tensors = model.rows(rows, seed=1)
    body = wire.encode(tensors)
    header = int(body.headers[wires.LENGTH]) if wires.LENGTH in body.headers else None
    ask = v2.read(body.content, header, ready.about)
    typed = ready.reader.read(ask.columns, ask.rows)
    arrays = ready.run([typed])
    answer = Answer(prediction="0" * 32, about=ready.about, arrays=arrays, start=0, stop=rows)
    plain = session(model.graph.read_bytes())
    names = [node.name for node in plain.get_outputs()]
    ids = Ids(1)
    feed = ready._feed([typed])  # pyright: ignore[reportPrivateUsage]  # a step of its own
    packed = ready._session  # pyright: ignore[reportPrivateUsage]

    def receipt() -> bytes:
        return pack(
            Receipt(
                id=ids.next(1),
                time_us=1,
                release=model.digest,
                route="champion",
                weight=1.0,
                batch=1,
                place=0,
                rows=rows,
                wire="v2",
                body=body.content,
                outputs=outputs_of(arrays, 0, rows),
            )
        )

    deeds: dict[str, Callable[[], object]] = {
        STEPS[0]: lambda: v2.read(body.content, header, ready.about),
        STEPS[1]: lambda: ready.reader.read(ask.columns, ask.rows),
        STEPS[2]: lambda: ready._feed([typed]),  # pyright: ignore[reportPrivateUsage]
        STEPS[3]: lambda: packed.run(names, feed),
        STEPS[4]: lambda: v2.write(ask, answer),
        STEPS[5]: receipt,
        SIGNED: lambda: plain.run(names, dict(tensors)),
    }
    return {name: each_us(deed, rounds) for name, deed in deeds.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=HERE)
    asked = parser.parse_args()
    cache = Path(os.environ.get("HOLDTRUE_BENCH_CACHE", Path.home() / ".cache" / "holdtrue-bench")).absolute()
    made = models.prepare(["M1", "M3"], cache)
    found: list[dict[str, Any]] = []
    for key, model in made.items():
        for rows in (1, 100):
            for form, wire in (("JSON", wires.V2_JSON), ("binary", wires.V2_BINARY)):
                found.append({"model": key, "rows": rows, "form": form, "us": steps(model, wire, rows, asked.rounds)})
    about = machine()
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "steps.json").write_text(json.dumps({"about": about, "found": found}, indent=1) + "\n")
    (asked.out / "steps.md").write_text(page(found, about, made))
    print(page(found, about, made))
    return 0


def page(found: list[dict[str, Any]], about: dict[str, str], made: dict[str, models.Model]) -> str:
    heads = [f"{each['model']}, {each['rows']} row{'s' if each['rows'] > 1 else ''}, {each['form']}" for each in found]
    spent = [each["us"] for each in found]

    def row(name: str, cells: list[str]) -> str:
        return f"| {name} | {' | '.join(cells)} |"

    lines = [
        "# Where the microseconds of one request go",
        "",
        *(f"{key}: {model.says}." for key, model in made.items()),
        "",
        "Microseconds of each step, alone and in process; medians.",
        "",
        f"| step | {' | '.join(heads)} |",
        "|---|" + "---:|" * len(heads),
        *(row(step, [f"{us[step]:.1f}" for us in spent]) for step in STEPS),
        row("**sum**", [f"**{sum(us[step] for step in STEPS):.1f}**" for us in spent]),
        row("the graph as it was signed", [f"{us[SIGNED]:.1f}" for us in spent]),
        row("its share of the sum", [f"{us[SIGNED] / sum(us[step] for step in STEPS):.2f}" for us in spent]),
        "",
        *(f"- {name}: {value}" for name, value in about.items()),
        "",
        f"`{' '.join(['python', 'benchmarks/serving/steps.py', *sys.argv[1:]])}`",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
