"""Two releases are held against each other on rows that are new to both."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdtrue.core.errors import Misuse
from holdtrue.pipeline.comparing import Comparison, compare
from holdtrue.pipeline.progress import silent
from holdtrue.pipeline.replay import Ready
from tests.pipeline.lived import HOUR_US, SERVED, Lived, visits

pytestmark = pytest.mark.slow
MORE = """\
  - beats: {baseline: constant, metric: roc_auc}
  - calibrated: {error_at_most: 0.5}
  - robust: {to: [noise], drop_at_most: 0.5, metric: roc_auc}
  - fair: {across: region, gap_at_most: 0.95, minimum: 10}
  - quality: {metric: roc_auc, at_least: 0.3, where: {region: south}}
  - complete: {breaches_at_most: 0.01}
  - quality: {metric: log_loss, at_most: 0.001, required: false}
"""
AUC = "ROC AUC is at least 0.5"
LATER = datetime(2026, 11, 21, tzinfo=UTC)


def compared(
    lived: Lived,
    *promises: str,
    champion: str = "champion",
    challenger: str = "challenger",
    until_us: int | None = None,
) -> Comparison:
    names = [lived.keeper.folder_of(name).name for name in (champion, challenger)]
    return compare(
        lived.workspace,
        lived.keeper,
        champion=names[0],
        challenger=names[1],
        promises=promises or (AUC,),
        alpha=0.03,
        tell=silent,
        until_us=until_us,
    )


def challenged_at() -> datetime:
    """When the challenger was made; see `Lived.now`."""
    return datetime(2026, 11, 20, 0, 2, tzinfo=UTC)


def live(lived: Lived, count: int, *, seed: int = 5) -> None:
    start = datetime.fromtimestamp(lived.recorder.now_us / 1e6, UTC)
    lived.serve(visits(count, seed=seed, until=start + timedelta(hours=count), pull=3.0))
    lived.write(stream=seed)
    lived.recorder.now_us += 2 * HOUR_US


@pytest.fixture(scope="module")
def challenged_made(
    visits_made: Path, visits_ready: Ready, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, tuple[str, ...]]:
    """A project whose world has changed, with a challenger that learnt of it. Read only."""
    folder = tmp_path_factory.mktemp("challenged") / "project"
    shutil.copytree(visits_made, folder)
    lived = Lived(folder=folder, ready=visits_ready)
    lived.rewrite("retrain: {}", "retrain: {test: 0.25, margin: 0.05}")
    lived.rewrite("promises:\n", f"promises:\n{MORE}")
    live(lived, 500)
    made = lived.retrain()
    assert made.verdict == "proven"
    return folder, made.promises


@pytest.fixture
def challenged(challenged_made: tuple[Path, tuple[str, ...]], visits_ready: Ready, tmp_path: Path) -> Lived:
    folder = tmp_path / "project"
    shutil.copytree(challenged_made[0], folder)
    later_us = round((SERVED + timedelta(days=40)).timestamp() * 1e6)
    return Lived(folder=folder, ready=visits_ready, now_us=later_us)


def test_every_promise_is_compared_on_rows_that_are_new_to_the_champion(
    challenged: Lived, challenged_made: tuple[Path, tuple[str, ...]]
) -> None:
    promises = challenged_made[1]
    found = compared(challenged, *promises)
    assert (found.held_out, found.rows) == (250, 250)
    assert found.why.startswith("250 came from traffic after the champion was made, and 0 more")
    assert set(found.findings) == set(promises)
    by_kind = {one.kind: one for one in found.promises}
    contests = {kind: one.contest for kind, one in by_kind.items() if one.contest is not None}
    assert sorted(contests) == ["beats", "calibrated", "fair", "quality", "robust"]
    # Of eight required promises two are facts, and the level is divided among the others.
    assert [one.alpha for one in contests.values()] == pytest.approx([0.03 / 6] * 5)
    assert found.findings["the model has at most 1,000,000 bytes"] == "not worse"
    assert found.findings["at most 1 % of the rows break the contract"] == "not worse"
    assert contests["fair"].margin == pytest.approx(0.95 - contests["fair"].champion)
    assert "worse" not in found.findings.values()
    text = json.dumps(found.to_json(), allow_nan=False)
    assert json.loads(text)["findings"] == found.findings


def test_a_challenger_that_knows_the_new_world_is_not_worse_and_an_ignorant_one_is(challenged: Lived) -> None:
    better = compared(challenged)
    (one,) = better.promises
    assert (one.finding, one.contest is not None and one.contest.value > 0) == ("not worse", True)
    challenged.keeper.promote("challenger", "champion", reason="better", now=LATER)
    challenged.rewrite("drop: [id, clerk]", "drop: [id, clerk, age, income]")
    challenged.rewrite("test: 0.25", "test: 0.49")
    live(challenged, 120, seed=6)
    ignorant = challenged.retrain(now=LATER)
    worse = compared(challenged, challenger=ignorant.release)
    assert worse.findings == {AUC: "worse"}
    # Of 1,120 rows the newest 549 judge; the new champion learnt from the first 750 of them all.
    assert (worse.held_out, worse.rows) == (549, 370)
    assert "are later than all it learnt from" in worse.why


def test_where_the_champion_knows_every_row_nothing_is_found(challenged: Lived) -> None:
    """The challenger learnt later than the champion, so the other way round no row is new."""
    found = compared(
        challenged, AUC, "the model has at most 1,000,000 bytes", champion="challenger", challenger="champion"
    )
    assert (found.rows, found.held_out) == (0, 100)
    assert found.findings == {AUC: "inconclusive", "the model has at most 1,000,000 bytes": "not worse"}


def test_without_a_time_rows_are_known_by_what_is_seen_of_them(visited: Lived) -> None:
    visited.rewrite("time: seen_at, ", "")
    visited.rewrite("retrain: {}", "retrain: {source: source, test: 0.3}")
    first = visited.retrain()
    visited.keeper.promote(first.release, "champion", reason="better", now=LATER)
    visited.rewrite("seed: 7", "seed: 8")  # other rows judge now
    second = visited.retrain()
    found = compared(visited, champion=first.release, challenger=second.release)
    assert 150 * 0.2 < found.rows < 150 * 0.45  # 30 % of the rows judged the champion, too
    assert found.why.endswith("are none of those it learnt from, by their key")


def test_what_a_champion_learnt_from_may_be_gone(challenged: Lived) -> None:
    (past,) = (
        place
        for place in (challenged.keeper.home.path / "snapshots").glob("*.json")
        if place.stem == challenged.keeper.predictor("champion").release.core.lineage.snapshot
    )
    past.unlink()
    found = compared(challenged)
    assert (found.rows, found.findings[AUC]) == (250, "not worse")
    assert found.why.endswith("what the champion learnt from is not in this store any more")


def test_labels_that_came_later_help_to_settle_it(challenged: Lived) -> None:
    before = compared(challenged)
    challenged.recorder.now_us = round((challenged_at() + timedelta(hours=1)).timestamp() * 1e6)
    live(challenged, 60, seed=7)
    after = compared(challenged, until_us=challenged.until_us)
    assert (before.held_out, after.held_out, after.rows) == (250, 310, 310)
    assert after.why.startswith("310 came from traffic after the champion was made")
    assert after.promises[0].contest is not None
    assert after.promises[0].contest.rows == 310
    early_us = round(challenged_at().timestamp() * 1e6)
    assert compared(challenged, until_us=early_us).to_json() == before.to_json()


def test_a_promise_that_nobody_made_is_refused(challenged: Lived) -> None:
    with pytest.raises(Misuse, match="makes no such promise") as refused:
        compared(challenged, "ROC AUC is at least 0.55")
    assert "did you mean 'ROC AUC is at least 0.5'?" in refused.value.faults[0]


def test_a_champion_that_predicts_something_else_cannot_be_compared(challenged: Lived) -> None:
    rows = (challenged.folder / "rows.csv").read_text()
    (challenged.folder / "rows.csv").write_text(rows.replace(",yes\n", ",sure\n"))
    contract = challenged.folder / "contract.yaml"
    contract.write_text(contract.read_text().replace('"no", "yes"', '"no", "sure"'))
    challenged.rewrite("retrain: {", "retrain: {source: source, ")
    other = challenged.retrain(now=LATER)
    with pytest.raises(Misuse, match="it predicts no, yes"):
        compared(challenged, challenger=other.release)
