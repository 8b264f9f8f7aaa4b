"""A challenger is trained from the source, from labelled traffic, or from both, and is a release like any other."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from holdtrue.core.errors import Busy, DataFault, Misuse
from holdtrue.data.snapshot import load, scan
from holdtrue.pipeline.progress import silent
from holdtrue.pipeline.reproduce import reproduce
from holdtrue.pipeline.respelling import RECEIVED
from holdtrue.pipeline.retraining import Retrained, renewed
from holdtrue.pipeline.workspace import alone
from holdtrue.spec import Project
from tests.cli.driver import as_csv, holdtrue
from tests.pipeline.lived import CONTRACT, SERVED, Lived, asked, lived, made, text_of, visits
from tests.serving.endpoint import serving

pytestmark = pytest.mark.slow
LATER = datetime(2026, 11, 21, tzinfo=UTC)


class Killed(BaseException):
    """What ends a process from without."""


def live(visited: Lived, count: int = 120, *, seed: int = 5) -> None:
    start = datetime.fromtimestamp(visited.recorder.now_us / 1e6, UTC)
    visited.serve(visits(count, seed=seed, until=start + timedelta(hours=count)))
    visited.write(stream=seed)


def report(made: Retrained) -> Any:
    return json.loads(made.report.with_name("report.json").read_text())


def rows_of(visited: Lived, made: Retrained) -> pl.DataFrame:
    store = visited.keeper.home.store
    return scan(load(report(made)["data"]["snapshot"], store=store), store).collect()


def aliases(visited: Lived) -> dict[str, str]:
    return {alias.name: alias.digest for alias in visited.keeper.releases()[1]}


def test_a_challenger_learns_from_both_and_the_newest_rows_judge_it(visited: Lived) -> None:
    champion = aliases(visited)["champion"]
    live(visited)
    made = visited.retrain()
    assert (made.verdict, made.rows, made.live_rows) == ("proven", 620, 120)
    assert made.promises == ("ROC AUC is at least 0.5", "the model has at most 1,000,000 bytes")
    assert made.cpu_s > 0
    assert aliases(visited) == {"champion": champion, "challenger": made.release}
    said = report(made)
    assert "120 rows come from labelled traffic." in said["notes"]
    assert said["data"]["split"]["by"] == "time"
    assert [said["data"]["split"][part]["rows"] for part in ("train", "validation", "test")] == [527, 31, 62]
    received = rows_of(visited, made).get_column(RECEIVED)
    assert (received.null_count(), received[500:].null_count()) == (500, 0)
    again = reproduce(visited.keeper, "challenger", now=LATER, tell=silent)
    assert again.same, again.difference
    assert json.dumps(made.to_json())


def test_the_same_moment_gives_the_same_challenger_whenever_it_is_trained(visited: Lived) -> None:
    live(visited)
    until_us = visited.until_us
    first = visited.retrain()
    visited.recorder.now_us = until_us
    live(visited, 30, seed=6)
    second = visited.retrain(until_us=until_us, now=LATER)
    assert (second.release, second.rows) == (first.release, first.rows)
    assert report(second)["holdout"]["uses"] == 1  # the same candidate learns nothing new
    third = visited.retrain(now=LATER)
    assert (third.release != first.release, third.live_rows) == (True, 150)


def test_a_training_that_was_killed_gives_the_same_when_it_is_asked_for_again(visited: Lived) -> None:
    live(visited)
    for last in ("traffic", "snapshot", "search", "fit", "prove the graph", "promises", "release"):

        def killing(stage: str, done: int = 0, total: int | None = None, *, last: str = last) -> None:
            if stage == last:
                raise Killed

        with pytest.raises(Killed):
            visited.retrain(tell=killing)
        assert "challenger" not in aliases(visited)
    made, other = visited.retrain(), visited.retrain()
    assert (made.verdict, made.release) == ("proven", other.release)
    assert report(made)["holdout"]["uses"] == 1
    assert aliases(visited)["challenger"] == made.release


def test_traffic_alone_needs_no_source(visited: Lived) -> None:
    visited.rewrite("retrain: {}", "retrain: {source: traffic, test: 0.3}")
    (visited.folder / "rows.csv").unlink()
    live(visited, 300)
    made = visited.retrain()
    assert (made.rows, made.live_rows, made.verdict) == (300, 300, "proven")
    assert reproduce(visited.keeper, made.release, now=LATER, tell=silent).same
    visited.keeper.promote("challenger", "champion", reason="better", now=LATER)
    visited.recorder.now_us = visited.until_us
    live(visited, 20, seed=6)
    assert visited.retrain(now=LATER).rows == 320  # and how rows look is known from a champion made of traffic, too


def test_without_labelled_traffic_there_is_nothing_to_learn_from(visited: Lived) -> None:
    visited.rewrite("retrain: {}", "retrain: {source: traffic}")
    visited.serve(visits(3, seed=5, until=SERVED))
    visited.labels = []
    visited.write()
    with pytest.raises(DataFault, match="no labelled traffic") as refused:
        visited.retrain()
    assert refused.value.faults == ("0 rows come from labelled traffic.",)


def test_both_without_traffic_is_the_source_anew(visited: Lived) -> None:
    made = visited.retrain()
    assert (made.rows, made.live_rows, made.verdict) == (500, 0, "proven")


def test_a_source_that_is_gone_is_told_with_what_to_do(visited: Lived) -> None:
    (visited.folder / "rows.csv").unlink()
    with pytest.raises(DataFault, match="cannot be read for a training") as refused:
        visited.retrain()
    assert "retrain.source: traffic" in refused.value.do


def test_the_source_alone_is_taken_as_a_run_takes_it(visited: Lived) -> None:
    visited.rewrite("retrain: {}", "retrain: {source: source, test: 0.2}")
    live(visited, 20)
    made = visited.retrain()
    assert (made.rows, made.live_rows) == (500, 0)
    assert RECEIVED not in rows_of(visited, made).columns
    assert report(made)["data"]["split"]["test"]["rows"] == 100


@pytest.mark.parametrize(("source", "days", "rows"), [("both", 9 + 5 + 30, 720 + 118), ("source", 9 + 5 + 10, 240)])
def test_only_newest_rows_are_learnt_from(source: str, days: int, rows: int, visited: Lived) -> None:
    """Nine days lie between the source and the traffic, which takes five days, and some minutes."""
    (visited.folder / "rows.csv").write_text(as_csv(visits(1_000)))
    live(visited, 118)
    visited.rewrite("retrain: {}", f"retrain: {{source: {source}, newest: {days * 24 + 1}h}}")
    assert visited.retrain().rows == rows


def test_only_newest_traffic_is_learnt_from(visited: Lived) -> None:
    visited.rewrite("retrain: {}", "retrain: {source: traffic, newest: 241h}")
    live(visited, 258)
    made = visited.retrain()
    assert (made.rows, made.left.old) == (240 - 2, 258 - 238)


def test_a_newest_that_cannot_be_kept_is_refused(visited: Lived) -> None:
    visited.rewrite("retrain: {}", "retrain: {newest: 30d}")
    visited.rewrite("time: seen_at, ", "")
    with pytest.raises(Misuse, match="have no time"):
        visited.retrain()


def test_a_second_file_of_held_out_rows_is_one_more_of_the_source(visited: Lived) -> None:
    (visited.folder / "more.csv").write_text(as_csv(visits(50, seed=8, until=SERVED)))
    visited.rewrite("source: rows.csv,", "source: rows.csv, test: more.csv,")
    live(visited, 50)
    assert visited.retrain().rows == 600
    visited.rewrite("retrain: {}", "retrain: {source: source}")
    made = visited.retrain(now=LATER)
    assert (made.rows, report(made)["data"]["split"]["by"]) == (550, "given")
    assert report(made)["data"]["split"]["test"]["rows"] == 50


def test_rows_that_must_stay_together_and_do_not_say_so_are_refused(visited: Lived) -> None:
    visited.rewrite("learn:", "split: {group: clerk}\nlearn:")
    live(visited, 5)
    with pytest.raises(Misuse, match="requests do not say theirs"):
        visited.retrain()


def test_a_challenger_can_be_asked_to_beat_the_champion(visited: Lived) -> None:
    live(visited, 120)
    visited.rewrite("promises:", "promises:\n  - beats: {baseline: champion, metric: roc_auc, by: -0.2}")
    made = visited.retrain()
    (said,) = [each for each in report(made)["promises"] if each["kind"] == "beats"]
    assert (said["verdict"], made.verdict) == ("proven", "proven")
    assert abs(said["value"]) < 0.1


def test_every_look_at_rows_that_are_mostly_the_same_is_paid_for(visited: Lived) -> None:
    live(visited, 100)
    uses = [report(visited.retrain())["holdout"]["uses"]]
    for seed in (6, 7):
        visited.recorder.now_us = visited.until_us
        live(visited, 5, seed=seed)
        uses.append(report(visited.retrain())["holdout"]["uses"])
    assert uses == [1, 2, 3]
    visited.recorder.now_us = visited.until_us
    live(visited, 150, seed=9)  # all that judges is newer
    assert report(visited.retrain())["holdout"]["uses"] == 1


def test_a_store_that_is_held_is_told_and_what_the_challenger_needs_outlives_a_cleaning(visited: Lived) -> None:
    live(visited, 120)
    with alone(visited.keeper.home), pytest.raises(Busy):
        visited.retrain()
    made = visited.retrain()
    visited.keeper.collect(keep_days=1, delete=True, now=LATER + timedelta(days=400))
    assert reproduce(visited.keeper, made.release, now=LATER, tell=silent).same


def test_a_challenger_is_trained_beside_an_endpoint_that_serves_on(visited: Lived) -> None:
    rows = visits(40, seed=5, until=SERVED)
    with serving(visited.folder) as endpoint:
        said = [endpoint.ask("POST", "/predict", asked(row).body) for row in rows]
        assert {answer.status for answer in said} == {200}
        labels = [
            {"prediction_id": answer.json["prediction_id"], "value": row["bought"]}
            for answer, row in zip(said, rows, strict=True)
        ]
        (visited.folder / "truth.csv").write_text(as_csv(labels))
        assert holdtrue("label", "truth.csv", folder=visited.folder).code == 0
        now = datetime.now(UTC)
        made = visited.retrain(until_us=round(now.timestamp() * 1e6), now=now)
        assert (made.live_rows, made.rows) == (40, 540)
        assert endpoint.ask("POST", "/predict", asked(rows[0]).body).json["release"] == aliases(visited)["champion"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda visited: visited.rewrite("retrain: {}", "retrain: {test: 0.49, validation: 0.48}"), "less than 5 %"),
        (lambda visited: setattr(visited.recorder, "now_us", 2**60), "lies in the future"),
    ],
)
def test_what_cannot_be_is_refused_at_once(change: Callable[[Lived], None], told: str, visited: Lived) -> None:
    change(visited)
    with pytest.raises(Misuse, match=told):
        visited.retrain()


def test_a_contract_that_was_not_written_down_is_found_in_the_rows_of_both(visited: Lived) -> None:
    (visited.folder / "contract.yaml").unlink()
    live(visited, 120)
    made = visited.retrain()
    assert (made.live_rows + made.left.unlike, made.left.unlike in (0, 120)) == (120, True)
    assert reproduce(visited.keeper, made.release, now=LATER, tell=silent).made == made.release


def test_a_column_that_the_champion_found_no_use_for_keeps_no_traffic_away(tmp_path: Path) -> None:
    """All nights of the source are 3, so no release takes them, nor does traffic tell of them."""
    folder = made(tmp_path / "project", change=lambda row: {**row, "nights": 3})
    visited = lived(folder)
    for seed, rows in ((5, 100), (6, 200)):
        visited = Lived(folder=folder, ready=lived(folder).ready, now_us=visited.recorder.now_us)
        live(visited, 100, seed=seed)
        found = visited.retrain()
        assert (found.live_rows, found.left.unlike) == (rows, 0)
        said = report(found)
        assert sum("Not learnt from: 'nights'" in note for note in said["notes"]) == 1
        assert "nights" not in {each["column"] for each in said["data"]["missing"]}
        assert reproduce(visited.keeper, found.release, now=LATER, tell=silent).same
        visited.keeper.promote(found.release, "champion", reason="to see the next one", now=visited.now)


def test_rows_that_break_a_stricter_contract_are_left_out_and_told(visited: Lived) -> None:
    rows = visits(100, seed=5, until=SERVED + timedelta(hours=100))
    for row in rows[:7]:
        row["nights"] = 90
    visited.serve(rows)
    visited.write()
    strict = CONTRACT.replace("nights: {kind: number,", "nights: {kind: number, high: 60,")
    (visited.folder / "contract.yaml").write_text(strict)
    made = visited.retrain()
    assert (made.live_rows, made.left.unfit) == (93, 7)
    assert "7 labelled rows of traffic were left out: the contract does not accept them." in report(made)["notes"]


@pytest.mark.parametrize(
    ("split", "time", "by"),
    [
        ({}, "seen_at", "time"),
        ({"by": "random"}, "seen_at", "time"),
        ({"by": "random"}, None, "random"),
        ({"group": "region"}, "seen_at", None),
        ({"by": "group", "group": "region"}, None, "group"),
    ],
)
def test_the_newest_rows_judge_where_there_is_a_time_and_no_group(
    split: dict[str, str], time: str | None, by: str | None
) -> None:
    data = {"source": "rows.csv", "target": "bought", **({"time": time} if time else {})}
    made = renewed(Project.model_validate({"data": data, "split": split, "retrain": {"test": 0.3}}))
    assert (made.split.by, made.split.test, made.split.validation) == (by, 0.3, 0.05)


def test_the_text_of_the_project_is_as_it_was(visited: Lived) -> None:
    """What a training by itself changes of the project is its own: the file stays."""
    visited.retrain()
    assert (visited.folder / "holdtrue.yaml").read_text() == text_of()
