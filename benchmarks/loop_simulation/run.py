"""Does the loop keep its rules through days of crashes, lost leases, odd clocks, late messages? Would a breach be seen?

    python benchmarks/loop_simulation/run.py [--seeds 10000] [--first 0] [--workers 2] [--out FOLDER]

Each seed is a day of 24 simulated hours: the real controller, two workers that follow the protocol of
tests/loop/simulation.py, a store, an endpoint, watchers and persons, all in virtual time. After every commit and every
deed an oracle holds what was written, sent and served against the rules. Claims: no rule is broken in any seed, every
path is taken, and each loop that is broken on purpose is caught. Writes result.json and result.md beside this file.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.loop.broken import CONTROLS
from tests.loop.oracle import Broken
from tests.loop.world import World, live

HERE = Path(__file__).parent
CHUNK = 50
CONTROL_SEEDS = 200
Found = tuple[int, Counter[str], list[str]]
# What is shown, in groups: a word for it, and its count in the simulation.
SHOWN = {
    "walks": {
        "trainings": "deed: train",
        "comparisons": "deed: compare",
        "waits for approval": "decision: wait for approval",
        "shadows": "deed: start shadow",
        "stages of canaries": "deed: set share",
        "promotions": "promotions",
        "champions kept after their guard": "decision: keep the new champion",
        "looks that showed harm": "harm",
        "canaries ended": "deed: end canary",
        "rollbacks of a champion": "rollbacks",
        "challengers dropped": "decision: drop the challenger",
        "pauses: comparison inconclusive or failing": "pauses from comparing",
        "pauses: canary undecided, or scores alone": "pauses from canary",
        "pauses: storm of useless trainings": "pauses by a storm",
        "pauses: a deed kept failing": "pauses from watching",
        "trainings held back by a brake": "decision: do not train yet",
        "trainings asked for by hand that were not done": "decision: do not train",
        "stopped by hand": "stopped by hand",
        "releases made again, to the bit": "releases made again",
    },
    "faults": {
        "crashes of a worker": "crashes",
        "power cuts (both workers)": "power cuts",
        "restarts of the server": "restarts of the server",
        "workers held for minutes": "stalls",
        "changes of the leader": "leaders",
        "commits refused by the fence": "fenced commits",
        "deeds refused by the fence": "fenced deeds",
        "clock jumps of 1 h or 1 d": "clock jumps",
        "messages late by 5 to 90 minutes": "late messages",
        "messages doubled": "doubled messages",
        "outcomes lost": "lost outcomes",
        "outcomes that came late or twice": "outcomes that were late or doubled",
        "deeds that failed before they were done": "deeds that broke before",
        "deeds done, and reported as failed": "deeds that broke after",
        "deeds reported as failed, and done later": "deeds that broke on the way",
        "of these refused, as a later one was done": "late requests refused: TooLate",
        "deeds asked for again by the same number": "asked again",
    },
}


def days(first: int, count: int) -> Found:
    """Let some days pass; gives how many, what was seen in them, and what was broken."""
    seen, broken = Counter[str](), list[str]()
    for seed in range(first, first + count):
        try:
            seen += live(seed)
        except Broken as one:
            broken.append(str(one))
    return count, seen, broken


def simulated(first: int, seeds: int, workers: int) -> tuple[Counter[str], list[str]]:
    seen, broken, done = Counter[str](), list[str](), 0
    starts = range(first, first + seeds, CHUNK)
    sizes = [min(CHUNK, first + seeds - start) for start in starts]
    with ProcessPoolExecutor(workers) as pool:
        for count, counts, faults in pool.map(days, starts, sizes):
            seen += counts
            broken += faults
            done += count
            for fault in faults:
                print(f"BROKEN: {fault}", flush=True)
            if done % 1_000 == 0:
                print(f"{done:,} days, {len(broken)} broken", flush=True)
    return seen, broken


def caught(name: str) -> dict[str, Any]:
    """Let days pass with a broken loop until the oracle speaks."""
    control = CONTROLS[name]
    for seed in range(CONTROL_SEEDS):
        world = World(seed=seed, step=control.step, flaws=control.flaws)
        try:
            world.run()
        except Broken as broken:
            return {"control": name, "caught": True, "days": seed + 1, "said": str(broken)}
    return {"control": name, "caught": False, "days": CONTROL_SEEDS, "said": ""}


def claims(result: dict[str, Any]) -> dict[str, bool]:
    missing = [name for group in SHOWN.values() for name, key in group.items() if not result["counts"].get(key)]
    controls = result["controls"]
    return {
        f"no rule broken in {result['seeds']:,} days": not result["broken"],
        f"each of {sum(len(group) for group in SHOWN.values())} paths taken": not missing,
        f"{len(controls)} of {len(controls)} broken loops caught": all(one["caught"] for one in controls),
    }


def page(result: dict[str, Any]) -> str:
    lines = [
        "# The loop through bad days",
        "",
        f"{result['seeds']:,} seeds from {result['first']:,}, each a day of 24 simulated hours with the times of the"
        " policy made short: the real controller, two workers, a store, an endpoint, watchers and persons, in virtual"
        f" time. An oracle looks after every commit and every deed. {result['steps']:,} decisions were recorded in"
        f" {result['minutes']:.1f} minutes on {result['workers']} processes.",
        "",
        *(f"- {claim}: {'held' if held else 'NOT HELD'}" for claim, held in result["claims"].items()),
        "",
    ]
    for group, rows in SHOWN.items():
        lines += [f"| {group} | times | a day |", "|---|---:|---:|"]
        for name, key in rows.items():
            count = result["counts"].get(key, 0)
            lines.append(f"| {name} | {count:,} | {count / result['seeds']:.2f} |")
        lines.append("")
    lines += [
        "Loops that are broken on purpose, the days until that was seen, and what the oracle said:",
        "",
        "| broken loop | days | said |",
        "|---|---:|---|",
    ]
    for one in result["controls"]:
        lines.append(f"| {one['control']} | {one['days'] if one['caught'] else 'NOT CAUGHT'} | {one['said']} |")
    lines += ["", *(f"- {fault}" for fault in result["broken"][:20])]
    lines += [
        "What it does not show: that watchers and comparisons are right about a release (that is theirs to prove), and"
        " that a real worker follows the protocol.",
        "",
        f"{result['machine']}; {result['versions']}; {result['date']}; commit {result['commit'][:12]}",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", type=int, default=10_000)
    arguments.add_argument("--first", type=int, default=0, help="the first seed")
    arguments.add_argument("--workers", type=int, default=2, help="processes")
    arguments.add_argument("--out", type=Path, default=HERE)
    given = arguments.parse_args()
    began = time.monotonic()
    seen, broken = simulated(given.first, given.seeds, given.workers)
    minutes = (time.monotonic() - began) / 60
    with ProcessPoolExecutor(given.workers) as pool:
        controls = list(pool.map(caught, CONTROLS))
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False)
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    result: dict[str, Any] = {
        "seeds": given.seeds,
        "first": given.first,
        "workers": given.workers,
        "minutes": minutes,
        "steps": sum(count for name, count in seen.items() if name.startswith("decision: ")),
        "counts": dict(sorted(seen.items())),
        "broken": broken,
        "controls": controls,
        "machine": f"{os.cpu_count()} cores, {memory_gb:.0f} GB, {platform.system()} {platform.machine()}",
        "versions": f"Python {platform.python_version()}, msgspec {version('msgspec')}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit.stdout.strip() or "unknown",
    }
    result["claims"] = claims(result)
    (given.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    (given.out / "result.md").write_text(page(result))
    print(page(result))
    sys.exit(0 if all(result["claims"].values()) else 1)


if __name__ == "__main__":
    main()
