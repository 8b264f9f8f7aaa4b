"""The worker of the loop does what was decided, once, whoever is killed; and it follows persons."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from holdtrue.core.errors import Misuse
from holdtrue.loop.actions import Compare, StartShadow, Train
from holdtrue.loop.events import Requested, Stopped
from holdtrue.loop.policy import DAY_US, Policy
from holdtrue.loop.state import State
from holdtrue.pipeline.alarming import alarms
from holdtrue.pipeline.loop_store import LoopStore
from holdtrue.pipeline.loop_story import decisions
from holdtrue.pipeline.looping import Loop, policy_of
from holdtrue.pipeline.progress import silent
from holdtrue.pipeline.workspace import alone
from holdtrue.spec.project import Project
from tests.cli.driver import copied, holdtrue, started
from tests.pipeline.lived import Lived, lived, made, text_of, visits
from tests.pipeline.recorded import store as empty_store

MINUTE_US = 60_000_000


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A champion, and traffic whose truth is known."""
    text = text_of(retrain="margin: 50%")  # so few rows show no more
    folder = made(tmp_path_factory.mktemp("loop") / "visits", text=text)
    there = lived(folder)
    there.serve(visits(300, seed=5))
    there.write()
    return folder


@pytest.fixture
def there(made_once: Path, tmp_path: Path) -> Lived:
    return lived(copied(made_once, tmp_path / "visits"))


class Clock:
    """A time that tests move on."""

    def __init__(self, now_us: int) -> None:
        self.now = now_us

    def __call__(self) -> int:
        return self.now


def worker(there: Lived, clock: Clock, *, apart: bool = False) -> Loop:
    return Loop(there.workspace, there.keeper, now_us=clock, tell=silent, environ=dict(os.environ), apart=apart)


@pytest.fixture
def clock(there: Lived) -> Clock:
    return Clock(there.until_us + 300 * 3_600_000_000)


@pytest.fixture
def loop(there: Lived, clock: Clock) -> Generator[Loop]:
    one = worker(there, clock)
    yield one
    one.close()


def state(there: Lived) -> State:
    found = LoopStore(keeper=there.keeper).read()
    assert found is not None
    return found


def turns(loop: Loop, clock: Clock, *, most: int = 20) -> list[str]:
    """Take turns until nothing is left to do at this moment."""
    told: list[str] = []
    for _ in range(most):
        news = loop.turn()
        if not news:
            return told
        told += news
        clock.now += 1_000_000
    raise AssertionError(f"the loop does not rest: {told}")


def say_train(there: Lived, clock: Clock) -> None:
    LoopStore(keeper=there.keeper).put(Requested(at_us=clock.now, by="Ada", why="a new desk"))


@pytest.mark.slow
def test_a_loop_needs_a_champion(tmp_path: Path, there: Lived) -> None:
    keeper = empty_store(tmp_path / "empty")
    with pytest.raises(Misuse, match="holdtrue run"):
        Loop(there.workspace, keeper, now_us=lambda: 0, tell=silent, environ={})


@pytest.mark.slow
def test_a_word_becomes_a_release_that_is_compared_and_wants_an_endpoint(
    there: Lived, loop: Loop, clock: Clock
) -> None:
    champion = state(there).champion
    say_train(there, clock)
    told = turns(loop, clock)
    assert told[0].startswith("train: Ada asked for it: a new desk")
    assert [line for line in told if line.endswith(": done")] == ["train: done", "compare: done"]
    made_now = state(there)
    assert made_now.challenger is not None
    assert made_now.challenger.release != champion
    assert set(made_now.challenger.findings.values()) == {"not worse"}
    assert isinstance(made_now.awaited and made_now.awaited.deed, StartShadow)
    assert "No endpoint of this project is running" in told[-1]
    assert any("No endpoint" in alarm.seen.what for alarm in alarms(there.keeper))
    for _ in range(3):
        clock.now += 2 * MINUTE_US
        told += turns(loop, clock)
    assert state(there).phase == "paused"
    assert there.keeper.folder_of("champion").name == champion
    assert [entry.detail["what"] for entry in decisions(there.keeper)][-1] == "train"
    there.keeper.verify()


@pytest.mark.slow
def test_a_worker_that_died_before_it_told_does_it_again_with_the_same_result(there: Lived, clock: Clock) -> None:
    first = worker(there, clock)
    say_train(there, clock)
    first.turn()
    journaled = LoopStore(keeper=there.keeper).open_deed()
    assert journaled is not None
    assert isinstance(journaled.deed, Train)
    made_first = there.retrain(until_us=journaled.asked_us)  # what it had done when it died
    clock.now += 3 * 120_000_000
    second = worker(there, clock)
    told = turns(second, clock)
    second.close()
    assert "train: done" in told
    found = state(there).challenger
    assert found is not None
    assert found.release == made_first.release
    assert len(list(there.keeper.home.releases.iterdir())) == 2


@pytest.mark.slow
def test_only_one_worker_leads_and_the_next_begins_where_it_ended(there: Lived, loop: Loop, clock: Clock) -> None:
    other = worker(there, clock)
    loop.turn()
    assert (loop.leads, other.turn(), other.leads) == (True, (), False)
    loop.close()
    say_train(there, clock)
    assert other.turn()[0].startswith("train")
    assert loop.turn() == ()
    other.close()


@pytest.mark.slow
def test_a_person_who_moves_the_champion_is_followed(there: Lived, loop: Loop, clock: Clock) -> None:
    turns(loop, clock)
    say_train(there, clock)
    loop.turn()
    there.rewrite("trials: 1, seed: 7", "trials: 1, seed: 8")
    assert holdtrue("run", folder=there.folder).code == 0
    assert holdtrue("promote", "challenger", folder=there.folder).code == 0
    told = loop.turn()
    assert "tester made" in told[0]
    found = state(there)
    assert (found.phase, found.champion) == ("watching", there.keeper.folder_of("champion").name)


@pytest.mark.slow
def test_looks_are_made_when_a_window_is_over_and_not_again(there: Lived, loop: Loop, clock: Clock) -> None:
    assert turns(loop, clock) == []
    look = state(there).look
    assert look is not None
    assert [one.promise for one in look.promises] == ["ROC AUC is at least 0.5"]
    clock.now += 2 * MINUTE_US
    turns(loop, clock)
    assert state(there).look == look
    clock.now += DAY_US
    turns(loop, clock)
    later = state(there).look
    assert later is not None
    assert later.at_us > look.at_us


@pytest.mark.slow
def test_work_apart_that_is_killed_is_told_of_and_what_is_void_is_ended(there: Lived, clock: Clock) -> None:
    loop = worker(there, clock, apart=True)
    say_train(there, clock)
    assert loop.turn()[0].startswith("train")
    assert loop.turn() == ()
    child = loop._child  # pyright: ignore[reportPrivateUsage]
    assert child is not None
    os.kill(child._process.pid, signal.SIGKILL)  # pyright: ignore[reportPrivateUsage]
    child._process.wait()  # pyright: ignore[reportPrivateUsage]
    assert "killed by SIGKILL" in loop.turn()[0]
    assert loop.turn()[0].startswith("drop the challenger: could not train")
    say_train(there, clock)
    loop.turn()
    loop.turn()
    child = loop._child  # pyright: ignore[reportPrivateUsage]
    assert child is not None
    LoopStore(keeper=there.keeper).put(Stopped(at_us=clock.now, by="Ada"))
    loop.turn()
    loop.turn()
    assert child._process.returncode not in (None, 0)  # pyright: ignore[reportPrivateUsage]
    assert state(there).phase == "watching"
    loop.close()


@pytest.mark.slow
def test_a_training_waits_for_a_run_that_holds_the_store(there: Lived, loop: Loop, clock: Clock) -> None:
    say_train(there, clock)
    assert loop.turn()[0].startswith("train")
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with alone(there.keeper.home):
            held.set()
            over.wait(60)

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(60)
    threading.Timer(1.0, over.set).start()
    assert loop.turn() == ("train: done",)
    other.join()
    assert state(there).useless == 0


@pytest.mark.slow
def test_work_whose_leader_died_before_it_began_is_not_begun(there: Lived, loop: Loop, clock: Clock) -> None:
    say_train(there, clock)
    loop.turn()
    awaited = state(there).awaited
    store = LoopStore(keeper=there.keeper)
    words = [sys.executable, "-m", "holdtrue.pipeline.loop_child", str(there.folder), str(_token(there)), "tester"]
    subprocess.run([*words, "1"], check=True)
    assert store.next_message() is None
    assert state(there).awaited == awaited
    subprocess.run([*words, str(os.getpid())], check=True)
    assert store.next_message() is not None


@pytest.mark.slow
def test_workers_that_are_killed_again_and_again_come_to_the_same_end(there: Lived) -> None:
    """`holdtrue loop run` is killed at moments that nobody chose, until the comparison is done.

    Each takes the lease of the one before at once.
    """
    holdtrue("loop", "run", "--once", folder=there.folder)
    assert holdtrue("loop", "train", folder=there.folder).code == 0
    for kill_s in (3.0, 6.0, 400.0):
        process = started("loop", "run", folder=there.folder)
        until_s = time.monotonic() + kill_s
        while time.monotonic() < until_s and not isinstance(_awaited(there), StartShadow):
            time.sleep(0.2)
        process.kill()
        process.communicate()
        if isinstance(_awaited(there), StartShadow):
            break
    found = state(there)
    assert found.challenger is not None
    assert found.comparisons == 1
    assert len(found.trainings) == 1
    there.keeper.verify()


def _awaited(there: Lived) -> Train | Compare | StartShadow | None:
    awaited = state(there).awaited
    deed = None if awaited is None else awaited.deed
    return deed if isinstance(deed, Train | Compare | StartShadow) else None


def _token(there: Lived) -> int:
    store = LoopStore(keeper=there.keeper)
    return next(token for token in range(100) if _is_token(store, token))


def _is_token(store: LoopStore, token: int) -> bool:
    from holdtrue.pipeline.loop_store import Fenced

    try:
        store.remember(token, store.memory())
    except Fenced:
        return False
    return True


@pytest.mark.slow
def test_the_loop_is_seen_and_spoken_to_by_its_verb(there: Lived) -> None:
    before = holdtrue("loop", folder=there.folder)
    assert before.code == 2
    assert "holdtrue up" in before.err
    assert holdtrue("loop", "run", "--once", folder=there.folder).code == 0
    told = holdtrue("loop", folder=there.folder)
    assert told.out.startswith("The loop is watching.")
    assert holdtrue("loop", "train", "--reason", "x", "--json", folder=there.folder).json["phase"] == "watching"
    for words in (("approve",), ("resume",), ("dance",), ("refuse", "--release", "champion")):
        done = holdtrue("loop", *words, folder=there.folder)
        assert done.code == 2, words


@pytest.mark.slow
def test_a_loop_whose_words_cannot_be_kept_goes_on(there: Lived) -> None:
    assert holdtrue("loop", "run", "--once", folder=there.folder).code == 0
    assert holdtrue("loop", "train", "--reason", "x", "--force", folder=there.folder).code == 0
    words = [sys.executable, "-m", "holdtrue.cli", "loop", "run", "--json", "--folder", str(there.folder)]
    with Path("/dev/full").open("w") as full:
        process = subprocess.Popen(words, stdout=full, stderr=subprocess.DEVNULL)
    try:
        until_s = time.monotonic() + 240
        while state(there).phase in ("watching", "training") and time.monotonic() < until_s:
            assert process.poll() is None
            time.sleep(0.2)
        assert state(there).phase not in ("watching", "training")
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait()


def test_a_policy_is_what_the_project_file_says() -> None:
    project = Project.model_validate(
        {
            "data": {"source": "a.csv", "target": "y"},
            "confidence": 0.9,
            "retrain": {
                "when": ["promise at risk"],
                "every": "90d",
                "cooldown": "12h",
                "at_most": "1/year",
                "approve": "manual",
                "people": 2,
                "cost": {"each": 2, "at_most": 20},
            },
            "serve": {"canary": {"shares": ["5%", "50%"], "decide_by": ["errors", "labels"], "guard": "2d"}},
        }
    )
    found = policy_of(project)
    assert (found.on_broken, found.on_at_risk, found.on_drift) == (False, True, False)
    assert (found.every_us, found.cooldown_us, found.guard_us) == (90 * DAY_US, DAY_US // 2, 2 * DAY_US)
    assert (found.most_trainings, round(found.window_us / DAY_US)) == (1, 365)
    assert (found.approvals, found.cost_each, found.cost_cap) == (2, 2.0, 20.0)
    assert (found.shares, found.needed) == ((0.05, 0.5), ("errors", "labels"))
    assert found.alpha == pytest.approx(0.1)
    usual = policy_of(Project.model_validate({"data": {"source": "a.csv", "target": "y"}}))
    assert usual == Policy(most_trainings=usual.most_trainings, alpha=usual.alpha)
    assert usual.most_trainings == 7
