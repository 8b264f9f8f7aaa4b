"""The verbs of the loop: up, and loop."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from holdtrue.cli.person import actor, keeper
from holdtrue.cli.show import console, print_json, progress, table
from holdtrue.core.errors import HoldtrueError, Misuse, nearest

if TYPE_CHECKING:
    from holdtrue.loop.events import Word
    from holdtrue.pipeline.looping import Loop

ACTS = ("status", "run", "train", "approve", "refuse", "stop", "resume")
TURN_S = 2.0
TROUBLE_S = 10.0  # after an error, before the next turn
END_S = 60.0  # for the endpoint to answer what it was asked
SHOWN = 10


def up(arguments: Sequence[str], folder: Path, *, as_json: bool) -> int:
    """Run the endpoint as a process of its own, and the loop in this one, until a signal ends both."""
    command = [sys.executable, "-m", "holdtrue.cli", "serve", *arguments, "--folder", str(folder), "--json"]
    with _interruptible(), subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as endpoint:
        try:
            assert endpoint.stdout is not None
            line = endpoint.stdout.readline()
            if not line.startswith("{") or "error" in (ready := json.loads(line)):
                if as_json:  # people were told on the error stream
                    print(line, end="", flush=True)
                return endpoint.wait() or 1
            if as_json:
                print(line, end="", flush=True)
            else:
                console().print(
                    f"Serving {', '.join(ready['models'])} at {ready['url']}, with its loop. Ctrl-C ends both."
                )
            return _work(folder, as_json=as_json, goes_on=lambda: endpoint.poll() is None)
        except KeyboardInterrupt:
            return 0
        finally:
            _end(endpoint)


def loop(
    act: str,
    folder: Path,
    *,
    release: str,
    reason: str,
    force: bool,
    go_on: bool,
    trust_clock: bool,
    once: bool,
    as_json: bool,
) -> int:
    if act not in ACTS:
        raise Misuse(f"The loop cannot {act!r}{nearest(act, ACTS)}")
    if act == "run":
        with _interruptible():
            try:
                return _work(folder, as_json=as_json, goes_on=lambda: True, once=once)
            except KeyboardInterrupt:
                return 0
    if act != "status":
        _say(folder, act, release=release, reason=reason, force=force, go_on=go_on, trust_clock=trust_clock)
    return _status(folder, as_json=as_json, said=act)


def _work(folder: Path, *, as_json: bool, goes_on: Callable[[], bool], once: bool = False) -> int:
    """Let the loop take its turns; what goes wrong in one is told, and tried again."""
    from holdtrue.pipeline.looping import Loop
    from holdtrue.pipeline.workspace import open_workspace

    workspace = open_workspace(folder, environ=os.environ)
    told_wrong = ""
    with progress(quiet=as_json or not sys.stderr.isatty()) as tell:
        worker = Loop(
            workspace,
            keeper(folder),
            now_us=lambda: time.time_ns() // 1000,
            tell=tell,
            environ=os.environ,
        )
        try:
            while goes_on():
                news, wrong = _turn(worker)
                _tell(news, wrong if wrong != told_wrong else "", as_json=as_json)
                told_wrong = wrong
                if once and not news:
                    return 1 if wrong else 0
                if not news:
                    time.sleep(TROUBLE_S if wrong else TURN_S)
        finally:
            worker.close()
    raise HoldtrueError("The endpoint ended, so the loop ended too.", do="See what it said above; then: holdtrue up")


def _turn(worker: "Loop") -> tuple[tuple[str, ...], str]:
    """Take one turn; gives what was done, and what went wrong. Serving goes on whatever it is."""
    try:
        return worker.turn(), ""
    except (HoldtrueError, OSError) as error:
        return (), str(error)
    except Exception as error:
        if os.environ.get("HOLDTRUE_DEBUG"):
            raise
        return (), f"the loop could not take its turn ({type(error).__name__}: {error}); it tries again"


def _tell(news: Sequence[str], wrong: str, *, as_json: bool) -> None:
    """Say what was done; where the disk that keeps such words is full, serving goes on without them."""
    try:
        _print_news(news, as_json=as_json)
        if wrong:
            print(f"WRONG: {wrong}", file=sys.stderr, flush=True)
    except BrokenPipeError:  # nobody listens any more
        raise
    except OSError:
        return


def _print_news(news: Sequence[str], *, as_json: bool) -> None:
    for each in news:
        if as_json:
            print(json.dumps({"at": datetime.now(UTC).isoformat(), "loop": each}), flush=True)
        else:
            console().print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {each}")


def _say(folder: Path, act: str, *, release: str, reason: str, force: bool, go_on: bool, trust_clock: bool) -> None:
    """Leave a word of a person for the loop."""
    from holdtrue.loop.events import Approved, Refused, Requested, Resumed, Stopped
    from holdtrue.pipeline.loop_store import LoopStore

    here = keeper(folder)
    store = LoopStore(keeper=here)
    state = store.read()
    if state is None:
        raise Misuse("The loop of this project has not begun.", do="Start it: holdtrue up")
    at_us, by = time.time_ns() // 1000, actor()
    word: Word
    match act:
        case "train":
            word = Requested(at_us=at_us, by=by, why=reason, force=force)
        case "stop":
            word = Stopped(at_us=at_us, by=by, why=reason)
        case "resume":
            if state.phase != "paused" and not trust_clock:
                raise Misuse(f"The loop is {state.phase}, not paused.", do="See: holdtrue loop")
            word = Resumed(at_us=at_us, by=by, go_on=go_on, trust_clock=trust_clock)
        case _:
            found = state.challenger
            if state.phase != "waiting for approval" or found is None:
                raise Misuse(f"Nothing waits for approval: the loop is {state.phase}.", do="See: holdtrue loop")
            name = here.folder_of(release).name if release else found.release
            if name != found.release:
                raise Misuse(f"{name[:12]} is not what waits for approval: that is {found.release[:12]}.")
            word = (
                Approved(at_us=at_us, by=by, release=name)
                if act == "approve"
                else Refused(at_us=at_us, by=by, release=name, why=reason)
            )
    store.put(word)


def _status(folder: Path, *, as_json: bool, said: str) -> int:
    from holdtrue.pipeline.loop_story import story

    told = story(keeper(folder), most=SHOWN)
    if as_json:
        print_json(told)
        return 0
    out = console()
    if said != "status":
        out.print(
            "Noted. The loop takes it at its next turn." if told["leader"] else "Noted. No worker runs: holdtrue up"
        )
    out.print(f"The loop is {told['phase']}. Champion: {told['champion'][:12]}.")
    for line in told["lines"]:
        out.print(line)
    rows = [(each["at"], each["what"], each["why"]) for each in told["decisions"]]
    if rows:
        out.print(table("What it decided, newest first", ("when (UTC)", "what", "why"), rows))
    return 0


@contextmanager
def _interruptible() -> Generator[None]:
    """Let a request to end interrupt as Ctrl-C does: whatever is under way goes on at the next start."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    before: list[Any] = [signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])


def _end(endpoint: "subprocess.Popen[str]") -> None:
    """Let the endpoint answer what it was asked, and end it."""
    if endpoint.poll() is None:
        endpoint.terminate()
    try:
        endpoint.wait(END_S)
    except subprocess.TimeoutExpired:
        endpoint.kill()
