"""Are 100,000 served predictions made again to the bit elsewhere, and is any changed bit of their record found?

    python benchmarks/replay/run.py
    python benchmarks/replay/run.py --predictions 5000 --flips 200       smaller, for a look

Each learner's release is served as `holdtrue serve` does it, and asked over many connections at once, so that batches
form; a third of the requests come as rows, a third as tensors, a third as CSV with several rows. A virtual environment
is made anew, Holdtrue is installed into it, and `holdtrue replay --all` runs there. Some of the predictions are also
made again one by one, outside their batch: that says whether batches had to be remembered.

Then single bits are flipped: in sealed segments, in the parts they are compacted to and in their manifests, and in the
files of the release. Each time everything is read again. Writes result.json and result.md beside this file.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

from holdtrue.core.errors import Refused
from holdtrue.data.traffic.compact import compact
from holdtrue.data.traffic.read import check, receipts
from holdtrue.data.traffic.receipt import read_id
from holdtrue.pipeline.keeping import Keeper, keeper_of
from holdtrue.pipeline.replay import Again
from holdtrue.release.quarantine import admit
from holdtrue.release.signing import trusted_keys

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SEED = 20_261_121
LEARNERS = ("lightgbm", "mlp")
CONNECTIONS = 64
NUMBERS = ("age", "income", "nights", "score")
COLUMNS = (*NUMBERS, "region")
PROJECT = """\
name: {name}
data: {{source: rows.csv, target: bought}}
learn: {{learners: [{learner}], trials: 1, seed: 7, folds: 3}}
report: {{learning_curve: false}}
promises:
  - quality: {{metric: roc_auc, at_least: 0.6}}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """What became of one learner's predictions; `alone` of `alone_differ` were also made again outside their batch."""

    learner: str
    predictions: int
    rows: int
    largest_batch: int
    mean_batch: float
    served_s: float
    equal: int
    different: int
    damaged: int
    replayed_s: float
    alone: int
    alone_differ: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Flipped:
    """What became of flipped bits in one kind of file; `by` says what found them."""

    kind: str
    files: int
    flips: int
    found: int
    by: dict[str, int]


def cells(chance: random.Random) -> dict[str, Any]:
    return {
        "age": chance.randint(18, 80),
        "income": round(chance.lognormvariate(3, 0.5), 2),
        "nights": chance.randint(0, 14),
        "score": round(chance.gauss(0, 1), 4),
        "region": chance.choice(["north", "south", "east"]),
    }


def project(folder: Path, learner: str) -> Keeper:
    """Make a project and its release."""
    folder.mkdir(parents=True)
    chance = random.Random(SEED)
    lines = [",".join((*COLUMNS, "bought"))]
    for _ in range(2_000):
        row = cells(chance)
        pull = (row["age"] - 45) / 10 + (row["income"] - 22) / 10 + row["score"] + 1.5 * (row["region"] == "north")
        said = "yes" if chance.random() < 1 / (1 + 2.718281828**-pull) else "no"
        lines.append(",".join(str(value) for value in (*row.values(), said)))
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    name = learner.replace("_", "-")
    (folder / "holdtrue.yaml").write_text(PROJECT.format(name=name, learner=learner))
    said = subprocess.run(
        [sys.executable, "-m", "holdtrue.cli", "run", "-C", str(folder)], capture_output=True, text=True, check=False
    )
    if said.returncode:
        raise SystemExit(f"the run of {learner} ended with {said.returncode}: {said.stdout[-800:]}{said.stderr[-800:]}")
    return keeper_of(folder, {}, actor="benchmark")


@contextmanager
def endpoint(folder: Path) -> Generator[int]:
    """Serve until the block ends; gives the port."""
    words = ["serve", "-C", str(folder), "--port", "0", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "holdtrue.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        state = json.loads(process.stdout.readline())
        yield int(state["url"].rpartition(":")[2])
    finally:
        process.terminate()
        process.wait(timeout=60)


def bodies(name: str, seed: int) -> Iterator[bytes]:
    """Give requests without end: rows, tensors, and CSV of several rows in turn."""
    chance = random.Random(seed)

    def request(path: str, kind: str, body: str) -> bytes:
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        return head.encode() + body.encode()

    while True:
        yield request("/predict", "application/json", json.dumps(cells(chance)))
        row = cells(chance)
        inputs = [
            {"name": column, "shape": [1, 1], "datatype": "FP64" if column in NUMBERS else "BYTES", "data": [value]}
            for column, value in row.items()
        ]
        yield request(f"/v2/models/{name}/infer", "application/json", json.dumps({"inputs": inputs}))
        table = [cells(chance) for _ in range(chance.randint(1, 9))]
        lines = [",".join(COLUMNS), *(",".join(str(value) for value in row.values()) for row in table)]
        yield request("/invocations", "text/csv", "\n".join(lines))


async def ask(port: int, name: str, count: int) -> None:
    """Ask so often over many connections; each sends its next request when it has its answer."""
    share = [count // CONNECTIONS + (place < count % CONNECTIONS) for place in range(CONNECTIONS)]

    async def talk(place: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for body in islice(bodies(name, SEED + place), share[place]):
            writer.write(body)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            said = await reader.readexactly(int(length[1]) if length else 0)
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"an answer was {head[:40]!r}: {said[:300]!r}")
        writer.close()

    await asyncio.gather(*(talk(place) for place in range(CONNECTIONS)))


def fresh_programs(folder: Path) -> Path:
    """Make a virtual environment and install this checkout into it, from a copy that no build writes into."""
    source = folder / "source"
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE", "NOTICE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source / name)
    venv.create(folder / "fresh", with_pip=True)
    programs = folder / "fresh" / "bin"
    command = [str(programs / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, "-c", "constraints.txt", "."], cwd=source, check=True)
    return programs


def replayed(programs: Path, folder: Path) -> tuple[dict[str, Any], float]:
    began = time.perf_counter()
    said = subprocess.run(
        [str(programs / "holdtrue"), "replay", "--all", "--json", "-C", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=programs,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"},
    )
    if not said.stdout:
        raise SystemExit(f"the replay ended with {said.returncode}: {said.stderr[-800:]}")
    return json.loads(said.stdout), time.perf_counter() - began


def alone(keeper: Keeper, count: int) -> tuple[int, int]:
    """Make predictions again one by one, each as if it had been the only one of its batch."""
    import msgspec

    again = Again(keeper)
    seen = differ = 0
    for one in islice(receipts(keeper.home.path / "traffic", endpoint=keeper.project), count):
        apart = msgspec.structs.replace(one, place=0)
        ((_, verdict),) = again.run([apart])
        seen += 1
        differ += verdict != "equal"
    return seen, differ


def serve_and_replay(keeper: Keeper, learner: str, programs: Path, folder: Path, count: int) -> Served:
    began = time.perf_counter()
    with endpoint(folder) as port:
        asyncio.run(ask(port, keeper.project, count))
    served_s = time.perf_counter() - began
    batches = Counter(
        (read_id(one.id)[1], one.batch) for one in receipts(keeper.home.path / "traffic", endpoint=keeper.project)
    )
    found, replayed_s = replayed(programs, folder)
    seen, differ = alone(keeper, min(count, 5_000))
    return Served(
        learner=learner,
        predictions=found["predictions"],
        rows=found["rows"],
        largest_batch=max(batches.values()),
        mean_batch=sum(batches.values()) / len(batches),
        served_s=served_s,
        equal=found["equal"],
        different=found["different"],
        damaged=len(found["damaged"]),
        replayed_s=replayed_s,
        alone=seen,
        alone_differ=differ,
    )


def told(text: str) -> str:
    """Give a sentence without its names and numbers, so that the same finding is counted as one."""
    first = text.partition("\n")[0]
    return re.sub(r"\d[\d,]*", "N", re.sub(r"(/\S+|'[^']*'|\b[0-9a-f]{8,}\b)", "…", first))[:110]


def flip(kind: str, files: list[Path], flips: int, chance: random.Random, look: Callable[[], str]) -> Flipped:
    """Flip one bit at a time, the files in turn; `look` says what it found, or nothing."""
    by: Counter[str] = Counter()
    for number in range(flips):
        path = files[number % len(files)]
        whole, mode = path.read_bytes(), path.stat().st_mode
        data = bytearray(whole)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.chmod(0o600)
        path.write_bytes(data)
        by[look() or "nothing"] += 1
        path.write_bytes(whole)
        path.chmod(mode)
    return Flipped(kind=kind, files=len(files), flips=flips, found=flips - by["nothing"], by=dict(by.most_common()))


def flips_of(keeper: Keeper, count: int) -> list[Flipped]:
    chance = random.Random(SEED)
    traffic = keeper.home.path / "traffic"
    home = traffic / keeper.project
    trusted = trusted_keys(keeper.home.keys)
    release = keeper.folder_of("champion")

    def log() -> str:
        faults = check(traffic, endpoint=keeper.project)
        return told(faults[0]) if faults else ""

    def files() -> str:
        try:
            admit(release, trusted=trusted)
        except Refused as refused:
            return told(refused.what)
        return ""

    quarter = count // 4
    if log() or files():
        raise SystemExit("something is damaged before anything was flipped")
    found = [flip("sealed segments", sorted(home.glob("*.seg")), count - 3 * quarter, chance, log)]
    compact(traffic, endpoint=keeper.project)
    found += [
        flip("parts", sorted(home.glob("*.parquet")), quarter, chance, log),
        flip("manifests of parts", sorted(home.glob("*-*.json")), quarter, chance, log),
        flip("files of the release", sorted(release.iterdir()), quarter, chance, files),
    ]
    return found


def page(result: dict[str, Any]) -> Iterator[str]:
    served: list[dict[str, Any]] = result["served"]
    flipped: list[dict[str, Any]] = result["flipped"]
    total, equal = sum(row["predictions"] for row in served), sum(row["equal"] for row in served)
    flips, found = sum(row["flips"] for row in flipped), sum(row["found"] for row in flipped)
    yield "# Predictions made again, and changed bits found"
    yield ""
    yield f"{equal:,} of {total:,} served predictions came out the same to the bit in a fresh virtual environment;"
    yield f"{found:,} of {flips:,} flipped bits were found. {'Held' if result['held'] else 'NOT held'}: all of both."
    yield ""
    yield "| learner | predictions | rows | requests of a batch, mean | most | equal | served, s | replayed, s |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for row in served:
        yield (
            f"| {row['learner']} | {row['predictions']:,} | {row['rows']:,} | {row['mean_batch']:.1f}"
            f" | {row['largest_batch']} | {row['equal']:,} | {row['served_s']:.1f} | {row['replayed_s']:.1f} |"
        )
    yield ""
    for row in served:
        yield (
            f"{row['learner']}: of {row['alone']:,} predictions made again outside their batch,"
            f" {row['alone_differ']:,} have other bits.  "
        )
    yield ""
    yield "| bits flipped in | files | flips | found | by |"
    yield "|---|---:|---:|---:|---|"
    for row in flipped:
        by = "; ".join(f"{count:,} × {what}" for what, count in row["by"].items())
        yield f"| {row['kind']} | {row['files']} | {row['flips']:,} | {row['found']:,} | {by} |"
    yield ""
    yield from (f"{name}: {result[name]}  " for name in ("machine", "versions", "date", "commit"))


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--predictions", type=int, default=100_000)
    arguments.add_argument("--flips", type=int, default=2_000)
    arguments.add_argument("--out", type=Path, default=HERE)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(dir=given.out) as name:
        place = Path(name)
        programs = fresh_programs(place)
        served: list[Served] = []
        for learner in LEARNERS:
            keeper = project(place / learner, learner)
            each = given.predictions // len(LEARNERS)
            served.append(serve_and_replay(keeper, learner, programs, place / learner, each))
            print(served[-1], flush=True)
        small = project(place / "flips", LEARNERS[0])
        for _ in range(3):  # streams of their own
            with endpoint(place / "flips") as port:
                asyncio.run(ask(port, small.project, 200))
        flipped = flips_of(small, given.flips)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False)
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    held = all(row.equal == row.predictions and not row.damaged for row in served)
    held = held and all(row.found == row.flips for row in flipped)
    result: dict[str, Any] = {
        "held": held,
        "served": [asdict(row) for row in served],
        "flipped": [asdict(row) for row in flipped],
        "machine": f"{os.cpu_count()} cores, {memory_gb:.0f} GB, {platform.system()} {platform.machine()}",
        "versions": f"Python {platform.python_version()}, onnxruntime {version('onnxruntime')}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit.stdout.strip() or "unknown",
    }
    text = "\n".join(page(result)) + "\n"
    (given.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    (given.out / "result.md").write_text(text)
    print(text)
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
