"""A run, or a promotion, is killed at one system call: what does the store show, and does the next try mend it?

    python benchmarks/crash/run.py                  about 220 points; writes result.json and result.md beside this file
    python benchmarks/crash/run.py --points 60      fewer of the writes; every fsync, rename and link is still tried
    python benchmarks/crash/run.py --only promote --some 10

strace first counts the calls of an undisturbed command. Then the same command is killed (SIGKILL, as the k-th call of
one kind begins) in a folder of its own, once for each point. What is left is looked at, then the command is run again.
"""

import argparse
import json
import multiprocessing
import os
import pickle
import platform
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import chdir, closing, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from io import StringIO
from pathlib import Path

from holdtrue.data.snapshot import load, verify
from holdtrue.pipeline.keeping import Keeper, keeper_of

HERE = Path(__file__).parent
WRITES = ("write", "pwrite64")
LASTING = (
    *("fsync", "fdatasync", "rename", "renameat", "renameat2", "link", "linkat"),
    *("unlink", "unlinkat", "ftruncate", "mkdir", "rmdir"),
)
OTHER = "other-name"
PROJECT = """\
name: tiny
data: {source: rows.csv, target: bought}
learn: {learners: [logistic], trials: 1, seed: 7, folds: 3}
report: {learning_curve: false}
promises:
  - quality: {metric: roc_auc, at_least: 0.6}
  - small: {bytes_at_most: 1 MB}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """The k-th call of one kind in one command; `where` is what it touched when nothing disturbed it."""

    command: str
    call: str
    number: int
    where: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """What came of one kill.

    Attributes:
        killed: False when the command ended before its k-th call.
        at: the call that was killed, as strace saw it.
        seen: what was wrong right after the kill.
        mended: what was wrong after the command had been run again.
    """

    point: Point
    killed: bool
    at: str
    seen: tuple[str, ...]
    mended: tuple[str, ...]
    seconds: float

    @property
    def well(self) -> bool:
        return not self.seen and not self.mended


def prepared(folder: Path) -> Path:
    """Make a project of 300 rows that a simple learner can learn."""
    chance = random.Random(1)
    lines = ["id,age,income,region,bought"]
    for number in range(300):
        age, income = chance.randint(18, 80), round(chance.lognormvariate(3, 0.5), 2)
        region = chance.choice(["north", "south", "east"])
        score = (age - 45) / 10 + (income - 22) / 10 + (1.5 if region == "north" else 0)
        lines.append(
            f"c{number},{age},{income},{region},{'yes' if chance.random() < 1 / (1 + 2.718**-score) else 'no'}"
        )
    folder.mkdir(parents=True)
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    (folder / "holdtrue.yaml").write_text(PROJECT)
    return folder


def words_of(command: str, digest: str) -> list[str]:
    return ["run"] if command == "run" else ["promote", digest, OTHER]


def traced(words: Iterable[str], folder: Path, log: Path, *options: str) -> int:
    """Run the command line under strace; gives its exit code, negative when it was killed.

    Only the first thread is followed, and it is the one that writes the store: its calls come in the same order each
    time. SIGKILL ends all threads. (With --seccomp-bpf strace 6.1 injects no signals.)
    """
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
    # Libraries keep caches at home; without one they make the same calls each time.
    environ = {**os.environ, **threads, "HOME": "/dev/null", "PYTHONDONTWRITEBYTECODE": "1"}
    calls = ",".join((*WRITES, *LASTING))
    strace = ["strace", "-qq", "-y", "-s", "0", "-e", f"trace={calls}", "-o", str(log), *options]
    done = subprocess.run(
        [*strace, sys.executable, "-m", "holdtrue.cli", *words],
        cwd=folder,
        env=environ,
        capture_output=True,
        timeout=300,
        check=False,
    )
    return done.returncode


def calls_of(log: Path) -> Iterator[tuple[str, str]]:
    """List the calls in their order, each with its line."""
    for line in log.read_text(errors="replace").splitlines():
        found = re.match(r"(\w+)\(", line)
        if found:
            yield found[1], line


def shown(line: str, folder: Path) -> str:
    """Name the file that a call touched, below the folder; what is made up anew each time is left out."""
    paths = re.findall(r'[<"](/[^>"]*|[^>"/][^>"]*/[^>"]*)[>"]', line)
    told = " -> ".join(path.replace(str(folder) + "/", "") for path in paths)
    told = re.sub(r"tmp-?(snapshot-)?\w{8}(?=/|$| )", "tmp…", told)
    return re.sub(r"([0-9a-f]{8})[0-9a-f]{8,}|\d{8}T\d{6}-[0-9a-f]{8}", lambda found: (found[1] or "RUN") + "…", told)


def points_of(command: str, folder: Path, log: Path, most: int) -> list[Point]:
    """Choose every call that makes something last, and writes spread evenly over the command up to `most` points."""
    counts: Counter[str] = Counter()
    found: list[Point] = []
    for call, line in calls_of(log):
        counts[call] += 1
        if ".holdtrue" in line:
            found.append(Point(command=command, call=call, number=counts[call], where=shown(line, folder)))
    lasting = [point for point in found if point.call in LASTING]
    # One byte at a time, SQLite clears an index in memory that it makes anew at each start: little can go wrong there.
    writes = [point for point in found if point.call in WRITES and not point.where.endswith("-shm")]
    room = min(len(writes), max(0, most - len(lasting)))
    return [*lasting, *(writes[(2 * step + 1) * len(writes) // (2 * room)] for step in range(room))]


def faults_in(folder: Path) -> list[str]:
    """Look at a store as any reader would: all that is visible must be whole."""
    keeper = keeper_of(folder, {}, actor="check")
    home = keeper.home
    faults: list[str] = []

    def tried(what: str, deed: Callable[[], object]) -> None:
        try:
            deed()
        except Exception as error:  # whatever it is, it is a fault of the store
            faults.append(f"{what}: {type(error).__name__} {error}"[:500])

    for place in sorted(home.releases.glob("*")):
        tried(f"release {place.name[:8]}", partial(keeper.predictor, str(place)))
    for place in sorted(home.candidates.glob("*")):
        if sorted(file.name for file in place.iterdir()) != ["card.md", "report.html", "report.json"]:
            faults.append(f"candidate {place.name} is not whole")
        tried(f"candidate {place.name}", lambda place=place: json.loads((place / "report.json").read_bytes()))
    for place in sorted((home.path / "snapshots").glob("*.json")):
        tried(f"snapshot {place.stem[:8]}", lambda name=place.stem: verify(load(name, store=home.store), home.store))
    for place in sorted((home.path / "objects").glob("*/*")):
        if ".tmp-" not in str(place):
            tried(f"object {place.name[:8]}", partial(home.store.verified, place.name))
    if (home.path / "holdtrue.db").is_file():
        tried("ledger", keeper.verify)
        tried("database", partial(whole_database, home.path / "holdtrue.db"))
        tried("catalog", partial(catalog_is_kept, keeper))
    return faults


def whole_database(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute("PRAGMA integrity_check").fetchall()
    if found != [("ok",)]:
        raise ValueError(found)


def catalog_is_kept(keeper: Keeper) -> None:
    """Every release that the catalog knows lies in its folder, and every alias points to one of them."""
    page, aliases = keeper.releases()
    known = {release.digest for release in page.rows}
    gone = [digest for digest in known if not (keeper.home.releases / digest / "manifest.json").is_file()]
    if gone or any(alias.digest not in known for alias in aliases):
        raise ValueError(f"releases without a folder: {gone}; aliases: {aliases}")


def faults_at_end(folder: Path, digest: str, aliases: set[str]) -> list[str]:
    """Look at a store in which the command came to its end."""
    faults = faults_in(folder)
    keeper = keeper_of(folder, {}, actor="check")
    page, held = keeper.releases()
    if [release.digest for release in page.rows] != [digest]:
        faults.append(f"the catalog has {[release.digest[:8] for release in page.rows]}, not {digest[:8]}")
    if [place.name for place in keeper.home.releases.glob("*")] != [digest]:
        faults.append(f"the folder of releases has {[place.name for place in keeper.home.releases.glob('*')]}")
    if {alias.name for alias in held} != aliases or {alias.digest for alias in held} != {digest}:
        faults.append(f"the aliases are {[(alias.name, alias.digest[:8]) for alias in held]}")
    ledger = keeper.verify()
    if ledger.sealed != ledger.count:
        faults.append(f"the ledger has {ledger.count} entries, {ledger.sealed} of them sealed")
    left = [*(keeper.home.path / "tmp").glob("*"), *folder.rglob(".tmp-*")]
    faults.extend(f"left behind: {path.relative_to(folder)}" for path in left)
    return faults


def here(words: Iterable[str], folder: Path) -> None:
    """Run the command line inside this process, undisturbed; raises when its exit code is not 0."""
    from holdtrue.cli.main import app

    with chdir(folder), redirect_stdout(StringIO()), redirect_stderr(StringIO()) as said:
        try:
            app(list(words))
        except SystemExit as ended:
            if ended.code:
                raise RuntimeError(f"exit code {ended.code}: {said.getvalue()[-400:]}") from None


def attempted(point: Point, start: Path, digest: str, place: Path) -> Attempt:
    """Kill a command at one point in a copy of `start`, look, do it again, and look again."""
    began = time.monotonic()
    folder = Path(shutil.copytree(start, place / "project"))
    log = place / "log"
    words = words_of(point.command, digest)
    inject = f"inject={point.call}:signal=SIGKILL:when={point.number}"
    code = traced(words, folder, log, "-e", inject)
    last = [line for call, line in calls_of(log) if call == point.call][-1:]
    seen = faults_in(folder)
    try:
        here(words, folder)
        mended = faults_at_end(folder, digest, {"champion"} if point.command == "run" else {"champion", OTHER})
    except Exception as error:  # whatever it is, the second try failed
        mended = [f"{type(error).__name__} {error}"]
    return Attempt(
        point=point,
        killed=code < 0 or code == 137,
        at=shown(last[0], folder) if last else "",
        seen=tuple(seen),
        mended=tuple(mended),
        seconds=round(time.monotonic() - began, 1),
    )


def alone(point: Point, start: Path, digest: str) -> Attempt:
    """Do an attempt in a fork of this process, which has the libraries loaded and has used none of them."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        answer = Path(place) / "answer"
        child = os.fork()
        if child == 0:
            try:
                answer.write_bytes(pickle.dumps(attempted(point, start, digest, Path(place))))
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        made: Attempt = pickle.loads(answer.read_bytes())
        return made


def warmed() -> None:
    """Load, and do not use, what takes long to load: a thread would not survive the fork."""
    for name in ("holdtrue.cli.main", "holdtrue.pipeline.run", "sklearn.linear_model", "sklearn.calibration", "onnx"):
        import_module(name)


def undisturbed(place: Path, most: int, only: str | None) -> tuple[Path, Path, str, list[Point]]:
    """Run and promote once under strace, and choose the points."""
    bare, done, both = prepared(place / "bare"), place / "done", place / "both"
    shutil.copytree(bare, done)
    if traced(["run"], done, place / "run.log") != 0:
        raise RuntimeError("The undisturbed run failed.")
    digest = next((done / ".holdtrue" / "releases").iterdir()).name
    shutil.copytree(done, both)
    if traced(words_of("promote", digest), both, place / "promote.log") != 0:
        raise RuntimeError("The undisturbed promotion failed.")
    points = [
        *(points_of("promote", both, place / "promote.log", most // 5) if only != "run" else ()),
        *(points_of("run", done, place / "run.log", most - most // 5) if only != "promote" else ()),
    ]
    # Mixed, so that a benchmark cut short has tried all parts of a run.
    random.Random(7).shuffle(points)
    return bare, done, digest, points


def went_well(result: Path) -> list[Attempt]:
    """Read the attempts of a benchmark that was cut short; those that found a fault are tried again."""
    made: list[Attempt] = []
    for each in json.loads(result.read_text())["attempts"]:
        point = Point(**each.pop("point"))
        if not each.pop("seen") and not each.pop("mended"):
            made.append(Attempt(point=point, seen=(), mended=(), **each))
    return made


def told(attempts: list[Attempt], planned: int, carried: int) -> str:
    """Write the result as a page."""
    killed = [attempt for attempt in attempts if attempt.killed]
    bad = [attempt for attempt in attempts if not attempt.well]
    groups = sorted({(attempt.point.command, attempt.point.call) for attempt in killed}, reverse=True)
    lines = [
        "# Crash points",
        "",
        f"{len(killed)} kills with SIGKILL ({planned} points planned), each as one system call of `holdtrue run` or",
        f"`holdtrue promote` began: {sum(bool(each.seen) for each in attempts)} half states seen,"
        f" {sum(bool(each.mended) for each in attempts)} second tries that did not mend all.",
        *(
            [f"{carried} of them are from earlier passes; a point at which a fault was found is tried again."]
            if carried
            else []
        ),
        "",
        "After each kill every release was loaded through quarantine, every snapshot, object and candidate read, the",
        "database checked by SQLite, the ledger verified and the catalog held against the folders. Then the command",
        "was run again: exit code 0, the digest of the undisturbed run, one release, one alias `champion`, the",
        "ledger sealed to its last entry, nothing half-written left. Every fsync, rename, link, unlink, ftruncate and",
        "mkdir of the store was a point; the writes are a sample, spread evenly.",
        "",
        "A kill leaves the page cache alone. What a power cut does to it is not tried here; the order of fsync and",
        "rename is what stands against it.",
        "",
        "| command | call | kills | half states | not mended |",
        "|---|---|---:|---:|---:|",
    ]
    for command, call in groups:
        group = [each for each in killed if (each.point.command, each.point.call) == (command, call)]
        seen, mended = sum(bool(each.seen) for each in group), sum(bool(each.mended) for each in group)
        lines.append(f"| {command} | {call} | {len(group)} | {seen} | {mended} |")
    lines += [
        "",
        *(
            f"- {each.point.command} {each.point.call} {each.point.number} at {each.at}: {[*each.seen, *each.mended]}"
            for each in bad
        ),
    ]
    return "\n".join([*lines, "", *(f"{name}: {value}  " for name, value in machine().items())]) + "\n"


def machine() -> dict[str, str]:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False)
    return {
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "versions": f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}",
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit.stdout.strip() or "unknown",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=220)
    parser.add_argument("--resume", action="store_true", help="Keep what went well in the result that is there.")
    parser.add_argument("--some", type=int, help="Try only that many of the points, chosen at random.")
    parser.add_argument("--only", choices=("run", "promote"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    attempts = went_well(given.out / "result.json") if given.resume else []
    carried = len(attempts)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as kept:
        bare, done, digest, points = undisturbed(Path(kept), given.points, given.only)
        planned = points[: given.some]
        points = [point for point in planned if point not in {each.point for each in attempts}]
        fork = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(given.jobs, mp_context=fork, initializer=warmed) as pool:
            waiting = [pool.submit(alone, each, bare if each.command == "run" else done, digest) for each in points]
            for future in as_completed(waiting):
                attempts.append(future.result())
                last = attempts[-1]
                print(len(attempts), "/", len(planned), "ok" if last.well else "BAD", last, flush=True)
                result = {
                    "machine": machine(),
                    "planned": len(planned),
                    "carried": carried,
                    "attempts": [asdict(each) for each in attempts],
                }
                (given.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
                (given.out / "result.md").write_text(told(attempts, len(planned), carried))
    return 0 if all(attempt.well for attempt in attempts) else 1


if __name__ == "__main__":
    sys.exit(main())
