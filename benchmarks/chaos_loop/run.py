"""Does the loop keep its rules when its real processes are killed, its database is gone and its disk is full?

    python benchmarks/chaos_loop/run.py                            20 disturbances with each database, 20 minutes
    python benchmarks/chaos_loop/run.py --faults 5 --sqlite-only   a short look

`holdtrue up` serves a small project under load and is asked for one training after the other. Workers, the endpoint,
the loop, the training, the compaction and all of them are ended by SIGKILL at random moments; the database is taken
away, nothing can be written. Whatever ended is started again, as a service manager does. Writes result.json and
result.md.

A server of Postgres is named by HOLDTRUE_TEST_POSTGRES; without one that answers, SQLite alone is tried.
"""

import argparse
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parent))

from world import NAME, Load, Up, Wire, free_port, locked, processes, project, small_files, through, token

from holdtrue.core.errors import HoldtrueError
from holdtrue.data.traffic.read import check, labels, receipts
from holdtrue.data.traffic.recover import recover
from holdtrue.loop.events import Requested, Resumed, Stopped, Word
from holdtrue.loop.state import State
from holdtrue.pipeline.keeping import Keeper, keeper_of
from holdtrue.pipeline.loop_store import LoopStore
from holdtrue.pipeline.running import ask
from holdtrue.registry.aliases import alias_history
from holdtrue.registry.schema import LOOP_DEEDS

HERE = Path(__file__).parent
POSTGRES = os.environ.get("HOLDTRUE_TEST_POSTGRES", "postgresql+psycopg://root@127.0.0.1:5432/test")
KINDS = ("worker", "worker", "endpoint", "loop", "child", "child", "compactor", "all", "database", "disk")
GOES_ON = ("worker", "loop", "child", "compactor", "database")  # what must not keep clients waiting
GONE_S, FULL_S = 5.0, 2.0
AGAIN_S = 60.0  # for an endpoint that was killed to answer again, on a machine that is busy with much else
WORK_S = 60.0
RESUMED_S = 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One disturbance: what it was, and how long nobody got an answer from then until the next one."""

    kind: str
    silent_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What came of one project; `wrong` is empty when every rule was kept."""

    database: str
    faults: tuple[Fault, ...]
    seconds: float
    predictions: int
    labels: int
    refused: int
    cut: int
    trainings: int
    promotions: int
    decisions: int
    resumed_s: float
    wrong: tuple[str, ...]


@dataclass(kw_only=True)
class Chaos:
    """One project that is disturbed again and again."""

    up: Up
    load: Load
    keeper: Keeper
    gone: Callable[[], AbstractContextManager[None]]
    chance: random.Random
    done: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])

    def disturb(self, faults: int) -> None:
        """Disturb it so often; each kind has its turn."""
        waiting: list[str] = []
        while len(self.done) < faults:
            if not waiting:
                waiting = list(KINDS)
                self.chance.shuffle(waiting)
            kind = waiting.pop()
            self.have_work()
            if kind == "child" or self.chance.random() < 0.5:
                self.wait_for_work(kind)
            self.up.run(self.chance.uniform(0.2, 4.0))
            if kind in GOES_ON:
                self.wait_for_answers()
            began_s = time.monotonic()
            if self.strike(kind):
                self.done.append((kind, began_s))
                print(f"{len(self.done)}: {kind}", file=sys.stderr, flush=True)
                self.up.run(1.0)

    def wait_for_work(self, kind: str) -> None:
        """Wait a while until the loop is at something new."""
        before, until_s = "", time.monotonic() + WORK_S
        while time.monotonic() < until_s:
            self.up.run(0.5)
            with suppress(HoldtrueError):
                phase = self.state().phase
                if processes(self.up.folder, "child") or (kind != "child" and before not in ("", phase)):
                    return
                before = before or phase
                self.have_work()

    def wait_for_answers(self) -> None:
        """Wait until clients are answered: what comes now must not be blamed for what was before."""
        until_s = time.monotonic() + AGAIN_S
        while time.monotonic() < until_s and time.monotonic() - self.load.answered_s[-1] > 0.5:
            self.up.run(0.2)

    def strike(self, kind: str) -> bool:
        """Do harm; says whether there was anything to harm."""
        folder = self.up.folder
        match kind:
            case "database":
                with self.gone():
                    self.up.run(GONE_S)
                return True
            case "disk":
                everyone = [pid for each in ("serve", "worker", "child") for pid in processes(folder, each)]
                with small_files([*everyone, self.loop]):
                    self.up.run(FULL_S)
                return True
            case "compactor":
                return self.kill_compaction()
            case "loop":
                return kill([self.loop])
            case "all":
                return kill([self.loop, *processes(folder, "serve"), *processes(folder, "child")])
            case "endpoint":
                struck = kill(processes(folder, "serve"))
                if self.up.beside():  # a service manager would have started both together
                    kill([self.loop])
                return struck
            case _:
                return kill(processes(folder, kind)[:1])

    @property
    def loop(self) -> int:
        assert self.up.loop is not None
        return self.up.loop.pid

    def kill_compaction(self) -> bool:
        words = [sys.executable, "-m", "holdtrue.data.traffic.compact", str(self.up.folder / ".holdtrue" / "traffic")]
        kill(processes(self.up.folder, "worker")[:1])  # what it leaves is sealed, and can be compacted
        with suppress(HoldtrueError):
            recover(self.up.folder / ".holdtrue" / "traffic")
        compacting = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(self.chance.uniform(0.2, 1.5))
        struck = compacting.poll() is None
        compacting.kill()
        compacting.wait()
        return struck

    def have_work(self) -> None:
        """See to it that the loop is at something: ask for a training, or take it out of a pause."""
        with suppress(HoldtrueError):
            state = self.state()
            if state.phase == "watching" and not waits(self.keeper):
                self.say(Requested(at_us=now_us(), by="chaos", why="chaos", force=True))
            elif state.phase == "paused":
                self.say(Resumed(at_us=now_us(), by="chaos", go_on=self.chance.random() < 0.5))

    def say(self, word: Word) -> None:
        LoopStore(keeper=self.keeper).put(word)

    def state(self) -> State:
        found = LoopStore(keeper=self.keeper).read()
        if found is None:
            raise HoldtrueError("The loop has not begun.")
        return found

    def resume(self) -> float:
        """Let it rest, and wait until a training that is asked for now has an outcome; gives how long that took."""
        began_s = time.monotonic()
        before = max((row.id for row in deeds(self.keeper)), default=0)
        stopped = asked = False
        while time.monotonic() - began_s < RESUMED_S:
            self.up.run(1.0)
            with suppress(HoldtrueError):
                state = self.state()
                if state.phase == "paused":
                    self.say(Resumed(at_us=now_us(), by="chaos"))
                elif state.phase != "watching" and not stopped:
                    self.say(Stopped(at_us=now_us(), by="chaos", why="chaos ends"))
                    stopped = True
                elif state.phase == "watching" and not asked:  # a loop that takes a canary back trains for nobody
                    self.say(Requested(at_us=now_us(), by="chaos", why="chaos ended", force=True))
                    asked = True
                new = [row for row in deeds(self.keeper) if row.id > before and row.kind == "train"]
                if any(row.outcome == "trained" for row in new):
                    return time.monotonic() - began_s
        return float("inf")


def kill(pids: list[int]) -> bool:
    struck = False
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            struck = True
    return struck


def now_us() -> int:
    return time.time_ns() // 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A deed of the journal, and the kind of its outcome."""

    id: int
    kind: str
    release: str
    outcome: str
    made: str


def deeds(keeper: Keeper) -> list[Row]:
    mine = LOOP_DEEDS.select().where(LOOP_DEEDS.c.project == keeper.project).order_by(LOOP_DEEDS.c.id)
    rows = keeper.database().read(lambda connection: connection.execute(mine).all())
    found: list[Row] = []
    for row in rows:
        deed: dict[str, Any] = msgspec.json.decode(row.deed)
        outcome: dict[str, Any] = msgspec.json.decode(row.outcome) if row.outcome else {}
        found.append(
            Row(
                id=row.id,
                kind=deed["kind"],
                release=deed.get("champion", ""),
                outcome=outcome.get("kind", ""),
                made=outcome.get("release", ""),
            )
        )
    return found


def waits(keeper: Keeper) -> bool:
    return LoopStore(keeper=keeper).next_message() is not None


def ledger(keeper: Keeper) -> Iterator[Any]:
    after = None
    while True:
        page = keeper.ledger(after=after, limit=200)
        yield from page.rows
        if page.after is None:
            return
        after = page.after


def wrongs(chaos: Chaos, resumed_s: float) -> list[str]:
    """Hold all that is left against the rules."""
    return [
        *(["the loop did not go on when all was quiet"] if resumed_s == float("inf") else []),
        *_log_wrongs(chaos),
        *_registry_wrongs(chaos.keeper),
    ]


def _log_wrongs(chaos: Chaos) -> Iterator[str]:
    traffic = chaos.up.folder / ".holdtrue" / "traffic"
    recover(traffic)
    faults: list[str] = []
    kept = Counter(one.id for one in receipts(traffic, faults=faults))
    said = Counter(one.idempotency for one in labels(traffic, faults=faults))
    for what, told, found in (("predictions", chaos.load.predictions, kept), ("labels", chaos.load.labels, said)):
        lost = sum(id not in found for id in told)
        again = sum(count > 1 for count in Counter(told).values()) + sum(count > 1 for count in found.values())
        if lost or again:
            yield f"{lost} of {len(told):,} acknowledged {what} are lost, and {again} are there twice"
    yield from (fault for fault in {*faults, *check(traffic)} if "no seal" not in fault)


def _registry_wrongs(keeper: Keeper) -> Iterator[str]:
    try:
        keeper.verify()
    except HoldtrueError as error:
        yield f"the ledger does not verify: {error}"
    decided = [row.detail["id"] for row in ledger(keeper) if row.action == "loop decided"]
    if len(decided) != len(set(decided)):
        yield "a decision is in the ledger twice"
    done = deeds(keeper)
    trained = {row.made for row in done if row.outcome == "trained"}
    rows, aliases = keeper.releases(limit=1_000)
    champions = [alias for alias in aliases if alias.name == "champion"]
    if len(champions) != 1:
        yield f"there are {len(champions)} champions"
    strange = {row.digest for row in rows.rows} - trained
    if len(strange) > 1:  # the first champion was made by hand
        yield f"{len(strange) - 1} releases come from no training of the journal: one was trained twice"
    moves = keeper.database().read(lambda connection: alias_history(connection, keeper.project, "champion"))
    if any(one.digest == other.digest for one, other in pairwise(moves)):
        yield "the champion was given its name twice"
    asked = {row.release for row in done if row.kind in ("promote", "roll back")}
    if any(move.actor == "loop" and move.digest not in asked for move in moves):
        yield "the name was given to a release that no decision named"
    if sum(move.actor == "loop" for move in moves) > sum(row.kind in ("promote", "roll back") for row in done):
        yield "the name moved more often than was decided"


def served_wrongs(keeper: Keeper) -> Iterator[str]:
    """Ask the endpoint who answers: the champion, and at most one more."""
    champion = next(alias.digest for alias in keeper.releases()[1] if alias.name == "champion")
    weights = ask(keeper, "GET", "/status")["models"][NAME]["weights"]
    if champion not in weights or len(weights) > 2:
        yield f"the endpoint answers with {sorted(weights)}, and the champion is {champion}"


def trial(
    folder: Path,
    database: str,
    environ: Mapping[str, str],
    gone: Callable[[], AbstractContextManager[None]],
    *,
    faults: int,
    seed: int,
) -> Trial:
    project(folder, environ)
    up = Up(folder=folder, port=free_port(), environ=environ)
    keeper = keeper_of(folder, environ, actor="chaos")
    load = Load(port=up.port, token=token(folder, environ))
    chaos = Chaos(up=up, load=load, keeper=keeper, gone=gone, chance=random.Random(seed))
    began_s = time.monotonic()
    with load:
        try:
            while len(load.answered_s) < 50:
                up.run(0.5)
            chaos.disturb(faults)
            resumed_s = chaos.resume()
            served = list(served_wrongs(keeper))
        finally:
            up.end()
    ended_s = time.monotonic()
    times_s = [at_s for _, at_s in chaos.done] + [ended_s - 60.0 if resumed_s > 60 else ended_s - resumed_s]
    silences = [
        Fault(kind=kind, silent_s=round(load.longest_silence_s(at_s, max(later_s, at_s + 0.1)), 2))
        for (kind, at_s), later_s in zip(chaos.done, times_s[1:], strict=True)
    ]
    wrong = [*served, *wrongs(chaos, resumed_s)]
    wrong += [f"nobody was answered for {each.silent_s} s after {each.kind}" for each in silences
              if each.silent_s > (AGAIN_S if each.kind not in GOES_ON else AGAIN_S / 2)]  # fmt: skip
    made = deeds(keeper)
    result = Trial(
        database=database,
        faults=tuple(silences),
        seconds=round(ended_s - began_s, 1),
        predictions=len(load.predictions),
        labels=len(load.labels),
        refused=load.refused,
        cut=load.cut,
        trainings=sum(row.outcome == "trained" for row in made),
        promotions=sum(row.kind == "promote" and row.outcome == "done" for row in made),
        decisions=sum(row.action == "loop decided" for row in ledger(keeper)),
        resumed_s=round(resumed_s, 1),
        wrong=tuple(wrong),
    )
    print(json.dumps({**asdict(result), "faults": len(silences)}), flush=True)
    if wrong:
        print((folder / "said.txt").read_text()[-5_000:], file=sys.stderr)
    return result


@contextmanager
def postgres() -> "Generator[tuple[Wire, str] | None]":
    """Give a schema of its own behind a wire that can be cut; None where no server answers."""
    from sqlalchemy import NullPool, create_engine, make_url, text
    from sqlalchemy.exc import OperationalError

    server = create_engine(POSTGRES, poolclass=NullPool)
    schema = f"holdtrue_chaos_{os.getpid()}"
    try:
        with server.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {schema}"))
    except OperationalError:
        print("no Postgres answers: SQLite alone is tried")
        yield None
        return
    address = make_url(POSTGRES)
    wire = Wire(address.host or "127.0.0.1", address.port or 5432)
    whole = address.update_query_dict({"options": f"-csearch_path={schema}"})
    yield wire, through(whole.render_as_string(hide_password=False), wire.port)
    with server.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))


def trials(scratch: Path, faults: int, seed: int, *, both: bool) -> Iterator[Trial]:
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    folder = scratch / "sqlite"
    file = folder / ".holdtrue" / "holdtrue.db"
    yield trial(folder, "SQLite", environ, lambda: locked(file), faults=faults, seed=seed)
    if both:
        with postgres() as found:
            if found is not None:
                wire, url = found
                there = {**environ, "HOLDTRUE_DATABASE_URL": url}
                yield trial(scratch / "postgres", "Postgres", there, wire.cut, faults=faults, seed=seed + 1)


def page(result: dict[str, Any]) -> str:
    rows = result["trials"]
    told = sum(row["predictions"] + row["labels"] for row in rows)
    wrong = [each for row in rows for each in row["wrong"]]
    lines = [
        "# The loop goes on, whatever is killed",
        "",
        f"{sum(len(row['faults']) for row in rows)} disturbances, {told:,} predictions and labels that clients got a",
        f"200 for. Rules that were broken: {len(wrong)}.",
        "",
        "| database | disturbances | s | predictions | labels | refused | cut off | trainings | promotions | decisions"
        " | went on after |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row['database']} | {len(row['faults'])} | {row['seconds']:.0f} | {row['predictions']:,}"
        f" | {row['labels']:,} | {row['refused']:,} | {row['cut']:,} | {row['trainings']} | {row['promotions']}"
        f" | {row['decisions']} | {row['resumed_s']:.0f} s |"
        for row in rows
    ]
    lines += ["", "The longest time without any answer after each kind of disturbance, in seconds:", ""]
    lines += ["| disturbed | times | median | longest |", "|---|---:|---:|---:|"]
    for kind in dict.fromkeys(KINDS):
        silent = sorted(each["silent_s"] for row in rows for each in row["faults"] if each["kind"] == kind)
        if silent:
            lines.append(f"| {kind} | {len(silent)} | {silent[len(silent) // 2]:.1f} | {silent[-1]:.1f} |")
    lines += ["", *(f"- {each}" for each in wrong)] if wrong else []
    if not any(row["promotions"] for row in rows):
        lines += [
            "",
            "No challenger lived to be promoted here: each loop was killed again before a canary ended. Promotions",
            "among kills are those of loop_simulation.",
        ]
    machine = f"{result['machine']}; {result['versions']}; {result['date']}; commit {result['commit'][:12]}"
    return "\n".join([*lines, "", machine, ""])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--faults", type=int, default=20, help="disturbances with each database")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--sqlite-only", action="store_true")
    arguments.add_argument("--out", type=Path, default=HERE)
    given = arguments.parse_args()
    made: list[Trial] = []
    with tempfile.TemporaryDirectory() as scratch:
        for one in trials(Path(scratch), given.faults, given.seed, both=not given.sqlite_only):
            made.append(one)
            write(made, given.out)
    print((given.out / "result.md").read_text())
    sys.exit(1 if any(each.wrong for each in made) else 0)


def write(made: list[Trial], out: Path) -> None:
    """Write what is known so far."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False)
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    result = {
        "trials": [asdict(each) for each in made],
        "machine": f"{os.cpu_count()} cores, {memory_gb:.0f} GB, {platform.system()} {platform.machine()}",
        "versions": f"Python {platform.python_version()}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": commit.stdout.strip() or "unknown",
    }
    (out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    (out / "result.md").write_text(page(result))


if __name__ == "__main__":
    main()
