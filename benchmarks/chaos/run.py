"""Is any prediction or label lost that was acknowledged, when processes are killed and disks fail at any moment?

    python benchmarks/chaos/run.py                 300 kills and more, about a quarter of an hour
    python benchmarks/chaos/run.py --kills 20      a short look

Clients ask and label without end and note down every id that they got with a 200. Meanwhile workers, the supervisor and
the compaction are ended by SIGKILL, at random moments and at chosen calls of the system (strace); the disk is full for
a while; writes and syncs fail. Afterwards the log must hold each noted id once. Writes result.json and result.md.
"""

import argparse
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from world import Clients, Endpoint, Told, Verdict, free_port, hold_against, project, token

HERE = Path(__file__).parent
# Where the log and its parts change hands: each is killed before the call does anything.
WORKER_POINTS = (
    ("pwritev", 1),
    ("pwritev", 2),
    ("pwritev", 9),
    ("fdatasync", 1),
    ("fdatasync", 4),
    ("fsync", 2),
    ("link", 1),
)
WRITES = "pwritev,pwritev2"  # Python chooses
COMPACTOR_POINTS = tuple((call, when) for call in ("rename", "unlink", "fsync") for when in (1, 2, 3, 4))
# A small disk of its own where the traffic lies. Once the endpoint is up, a ballast fills it, is taken away, and
# comes again. An endpoint that did not start has left a copy too: the last one counts.
SMALL_DISK = """
mkdir -p "$1"
mount -t tmpfs -o size=6m none "$1" || exit 99
(sleep 5; while sleep 1.5; do head -c 8m /dev/zero > "$1/ballast" 2>/dev/null; sleep 1; rm -f "$1/ballast"; done) &
filler=$!
keep="$2"
traffic="$1"
shift 2
"$@" &
served=$!
trap 'kill -TERM $served' TERM
wait $served
wait $served
kill $filler
rm -f "$traffic/ballast"
rm -rf "$keep"
cp -rp "$traffic" "$keep"
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One way to disturb it, and what came of it."""

    name: str
    kills: int
    seconds: float
    refused: int
    cut: int
    verdict: Verdict


def trial(name: str, folder: Path, disturb: Callable[[Endpoint, Told], int], **settings: Any) -> Trial:
    """Serve, ask and disturb; then hold the log against what was told."""
    traffic = settings.pop("traffic", folder / ".holdtrue" / "traffic")
    endpoint = Endpoint(folder=folder, port=free_port(), **settings)
    told = Told()
    began = time.monotonic()
    endpoint.start()
    with Clients(port=endpoint.port, told=told, token=token(folder)):
        kills = disturb(endpoint, told)
    endpoint.end()
    made = Trial(
        name=name,
        kills=kills,
        seconds=time.monotonic() - began,
        refused=told.refused,
        cut=told.cut,
        verdict=hold_against(traffic, told),
    )
    print(made, flush=True)
    return made


def at_random(kills: int, seed: int) -> Callable[[Endpoint, Told], int]:
    """Kill workers, at times the supervisor, and compactions that run all the time."""
    chance = random.Random(seed)

    def disturb(endpoint: Endpoint, told: Told) -> int:
        done = 0
        compacting: subprocess.Popen[bytes] | None = None
        while done < kills:
            if compacting is None or compacting.poll() is not None:
                words = [
                    sys.executable,
                    "-m",
                    "holdtrue.data.traffic.compact",
                    str(endpoint.folder / ".holdtrue/traffic"),
                ]
                compacting = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(chance.uniform(0.05, 1.2))
            victim = chance.random()
            if victim < 0.15 and endpoint.process is not None:
                endpoint.process.kill()
                endpoint.process.wait()
                done += 1
                endpoint.start()
            elif victim < 0.35:
                compacting.kill()
                compacting.wait()
                done += 1
            else:
                workers = endpoint.workers()
                if workers:
                    with suppress(ProcessLookupError):
                        os.kill(chance.choice(workers), signal.SIGKILL)
                        done += 1
        if compacting is not None:
            compacting.kill()
            compacting.wait()
        return done

    return disturb


def traced(seconds: float, *words: str) -> Callable[[Endpoint, Told], int]:
    """Attach strace to every worker as soon as it is there; gives how many workers ended."""

    def disturb(endpoint: Endpoint, told: Told) -> int:
        tracers: dict[int, subprocess.Popen[bytes]] = {}
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            for pid in endpoint.workers() if words else []:
                if pid not in tracers:
                    tracers[pid] = subprocess.Popen([*words, "-p", str(pid)], stderr=subprocess.DEVNULL)
            time.sleep(0.02)
        ended = len(tracers.keys() - set(endpoint.workers()))
        for tracer in tracers.values():
            tracer.terminate()
            tracer.wait()
        return ended

    return disturb


def strace(calls: str, *injected: str) -> list[str]:
    words = ["strace", "-qq", "-f", "-o", os.devnull, "-e", f"trace={calls}"]
    return [*words, *(word for each in injected for word in ("-e", f"inject={each}"))]


def compactions(folder: Path) -> Trial:
    """Kill compactions at every call by which they change the disk; between them workers leave segments to compact."""
    traffic = folder / ".holdtrue" / "traffic"

    def disturb(endpoint: Endpoint, told: Told) -> int:
        kills = 0
        for call, when in COMPACTOR_POINTS:
            for pid in endpoint.workers()[:1]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.6)
            words = [sys.executable, "-m", "holdtrue.data.traffic.compact", str(traffic)]
            subprocess.run(
                [sys.executable, "-c", "import sys; from pathlib import Path; from holdtrue.data.traffic.recover import"
                 " recover; recover(Path(sys.argv[1]))", str(traffic)], check=True,
            )  # fmt: skip
            done = subprocess.run(
                [*strace(call, f"{call}:signal=KILL:when={when}"), *words], capture_output=True, check=False
            )
            kills += done.returncode in (-9, 137)
        return kills

    return trial("the compaction is killed at its calls", folder, disturb)


def trials(folder: Path, kills: int, seconds: float, *, random_only: bool) -> list[Trial]:
    made = [trial("random moments", folder, at_random(kills, seed=kills))]
    if random_only or not shutil.which("strace"):
        print("only random moments were tried; calls need strace")
        return made
    made.append(compactions(folder))
    for call, when in WORKER_POINTS:
        calls = WRITES if call == "pwritev" else call
        words = strace(calls, f"{calls}:signal=KILL:when={when}")
        made.append(trial(f"workers are killed at {call} number {when}", folder, traced(seconds, *words)))
    durable = ("--ack", "durable")
    for call, asked in (("pwritev", ()), ("fdatasync", durable)):
        calls = WRITES if call == "pwritev" else call
        words = strace(calls, f"{calls}:error=EIO:when=20+7")
        made.append(trial(f"{call} fails (EIO)", folder, traced(seconds, *words), words=asked))
    made += full_disk(folder, seconds)
    return made


def full_disk(folder: Path, seconds: float) -> list[Trial]:
    keep = folder.parent / "kept"
    traffic = folder / ".holdtrue" / "traffic"
    shutil.rmtree(traffic)
    wrapped = ["unshare", "-Urm", "sh", "-c", SMALL_DISK, "sh", str(traffic), str(keep)]
    able = subprocess.run(["unshare", "-Urm", "sh", "-c", "mount -t tmpfs none /mnt"], capture_output=True, check=False)
    if able.returncode:
        print("this machine lets nobody mount a small disk")
        return []
    return [trial("the disk is full again and again", folder, traced(seconds), wrapped=wrapped, traffic=keep)]


def page(result: dict[str, Any]) -> str:
    rows = result["trials"]
    kills = sum(row["kills"] for row in rows)
    lost, again = (sum(row["verdict"][name] for row in rows) for name in ("lost", "duplicated"))
    kept = sum(row["verdict"]["predictions"] + row["verdict"]["labels"] for row in rows)
    lines = [
        "# Nothing acknowledged is lost",
        "",
        f"{kills} kills, {kept:,} predictions and labels that clients got a 200 for: {lost} lost, {again} there twice.",
        "Refused were requests that could not be recorded; cut off were those whose connection broke: what became of",
        "them their senders do not know, and nothing is promised.",
        "",
        "| disturbed by | kills | s | predictions | labels | refused | cut off | lost | twice | damaged |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        verdict = row["verdict"]
        lines.append(
            f"| {row['name']} | {row['kills']} | {row['seconds']:.0f} | {verdict['predictions']:,}"
            f" | {verdict['labels']:,} | {row['refused']:,} | {row['cut']:,} | {verdict['lost']}"
            f" | {verdict['duplicated']} | {len(verdict['faults'])} |"
        )
    machine = f"{result['machine']}; {result['versions']}; {result['date']}; commit {result['commit'][:12]}"
    return "\n".join([*lines, "", machine, ""])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kills", type=int, default=250, help="at random moments; those at calls are more")
    arguments.add_argument("--seconds", type=float, default=12.0, help="of each trial with strace")
    arguments.add_argument("--random-only", action="store_true", help="no strace, no small disk")
    arguments.add_argument("--out", type=Path, default=HERE)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        made = trials(project(Path(scratch) / "project"), given.kills, given.seconds, random_only=given.random_only)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False)
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    result = {
        "trials": [asdict(each) for each in made],
        "machine": f"{os.cpu_count()} cores, {memory_gb:.0f} GB, {platform.system()} {platform.machine()}",
        "versions": f"Python {platform.python_version()}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit.stdout.strip() or "unknown",
    }
    (given.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    (given.out / "result.md").write_text(page(result))
    print(page(result))
    sys.exit(0 if all(each.verdict.held for each in made) else 1)


if __name__ == "__main__":
    main()
