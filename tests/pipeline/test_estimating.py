"""The estimates of watch: an even sample of the traffic, labels that contradict them, and what the loop hears."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from holdtrue.evaluation.predictions import Predictions
from holdtrue.loop.events import PromiseSeen
from holdtrue.monitoring.estimate import Estimated
from holdtrue.monitoring.joint import JOINT, LEAST_ROWS
from holdtrue.monitoring.quality import Held, Pledge
from holdtrue.monitoring.ruler import gauge_of
from holdtrue.pipeline.estimating import SAMPLED, Sample, Sampler, marks_of
from holdtrue.pipeline.held_out import HeldOut
from holdtrue.pipeline.loop_looks import promises_seen
from holdtrue.pipeline.progress import silent
from holdtrue.pipeline.watched import Quality, Watched
from holdtrue.pipeline.watching import Counts, watch
from holdtrue.release.interface import read_interface
from holdtrue.spec.project import Watch
from tests.cli.driver import copied
from tests.pipeline.lived import HOUR_US, SERVED, Lived, lived, made, visits
from tests.pipeline.recorded import Recorder, Request, row


def sampler_of(recorder: Recorder) -> Sampler:
    values = np.arange(20.0)
    answered = Predictions(truth=values, values=values, low=values, high=values)
    past = HeldOut(columns={"age": values}, predictions=answered)
    gauge, _ = gauge_of(past.columns)
    return Sampler(past, gauge, read_interface(recorder.model.plan.interface), ())


def taken(sampler: Sampler, sample: Sample, recorder: Recorder, ages: Sequence[float]) -> None:
    for start in range(0, len(ages), 100):
        part = [float(age) for age in ages[start : start + 100]]
        body = pl.DataFrame({"age": part, "city": ["Oslo"] * len(part)}).write_json().encode()
        sampler.take(sample, {"age": np.array(part)}, recorder.answer([Request(wire="rows", body=body)]))


def test_a_window_keeps_so_many_rows_evenly_and_knows_how_many_there_were(recorder: Recorder) -> None:
    sampler, sample = sampler_of(recorder), Sample()
    taken(sampler, sample, recorder, np.linspace(1, 101, 6_000).tolist())
    assert (sample.rows, len(sample.marks)) == (6_000, SAMPLED)
    now = sampler.now([sample])
    assert now is not None
    assert (now.stand_for, now.predictions.rows, now.names) == (6_000, SAMPLED, ("age", "(answer)"))
    counts, _ = np.histogram(now.columns[:, 0], bins=10, range=(1, 101))
    assert (abs(counts - SAMPLED / 10) < 5 * np.sqrt(SAMPLED / 10)).all()
    # The rows lie beside their own answers.
    values = now.predictions.values
    assert values is not None
    assert now.columns[:, 1] == pytest.approx(values, rel=1e-6)
    assert len(set(np.round(values, 9).tolist())) > 100


def test_a_small_window_beside_a_large_one_has_its_share_and_no_more(recorder: Recorder) -> None:
    sampler, large, small = sampler_of(recorder), Sample(), Sample()
    taken(sampler, large, recorder, [1.0] * 8_000)
    taken(sampler, small, recorder, [2.0] * 800)
    now = sampler.now([large, small])
    assert now is not None
    assert now.stand_for == 8_800
    assert float((now.columns[:, 0] == 2.0).mean()) == pytest.approx(800 / 8_800, abs=0.03)


def test_the_order_in_which_rows_are_read_changes_nothing(recorder: Recorder) -> None:
    sampler = sampler_of(recorder)
    asked = [recorder.answer([row(float(age))])[0] for age in range(20, 70)]
    forth, back = Sample(), Sample()
    for receipt, age in zip(asked, range(20, 70), strict=True):
        sampler.take(forth, {"age": np.array([float(age)])}, [receipt])
    order = asked[::-1]
    sampler.take(back, {"age": np.arange(69.0, 19.0, -1.0)}, order)
    one, other = sampler.now([forth]), sampler.now([back])
    assert one is not None
    assert other is not None
    assert np.array_equal(one.columns, other.columns)


def test_hashes_of_rows_look_like_chance() -> None:
    marks = np.concatenate([marks_of(str(number), range(50)) for number in range(200)])
    counts, _ = np.histogram(marks.astype(np.float64), bins=16, range=(0, 2.0**64))
    assert ((counts - 625) ** 2 / 625).sum() < 40  # χ² with 15 degrees: above in 0.05 % of cases


@pytest.fixture(scope="module")
def busy_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A champion with enough held-out rows."""
    return made(tmp_path_factory.mktemp("busy") / "visits", count=2_000)


@pytest.fixture
def there(busy_made: Path, tmp_path: Path) -> Lived:
    return lived(copied(busy_made, tmp_path / "visits"))


def seen(there: Lived, counts: Counts | None = None) -> Watched:
    project = there.workspace.project
    return watch(
        there.keeper,
        project.watch,
        release="champion",
        windows=14,
        now_us=there.until_us + 24 * HOUR_US,
        tell=silent,
        again=there.again(),
        counts=counts,
        time=project.data.time,
    )


@pytest.mark.slow
def test_it_is_there_before_any_label_and_agrees_with_those_that_come(there: Lived) -> None:
    asked = visits(300, seed=5, until=SERVED + timedelta(days=13))
    there.serve(asked)
    heard, there.labels = there.labels, []
    there.write()
    counts: Counts = {}
    (first,) = seen(there, counts).estimates
    assert first.state == "kept"
    assert first.aside == ("seen_at",)
    assert (first.labelled, first.realised) == (0, None)
    there.labels = heard
    there.write(stream=77)
    (second,) = seen(there, counts).estimates
    assert second == seen(there).estimates[0]  # what was counted before says the same
    assert second.state == "kept"
    assert second.labelled >= 250
    assert second.realised is not None
    assert first.estimate is not None
    assert first.estimate.low <= second.realised <= first.estimate.high


@pytest.mark.slow
def test_labels_of_another_world_switch_it_off(there: Lived) -> None:
    there.serve(visits(300, seed=6, until=SERVED + timedelta(days=13)))
    other = {"yes": "no", "no": "yes"}
    there.labels = [msgspec.structs.replace(label, value=other[str(label.value)]) for label in there.labels]
    there.write()
    (found,) = seen(there).estimates
    assert found.state == "off"
    assert "labels contradict it" in found.why


@pytest.mark.slow
def test_the_columns_of_a_week_are_held_together_against_the_past_and_time_is_no_part_of_it(there: Lived) -> None:
    asked = visits(480, seed=7, until=SERVED + timedelta(days=20))
    for one in asked:  # who is older earns more
        one["income"] = f'"{str(10 + 0.4 * float(str(one["age"]))).replace(".", ",")}"'
    there.serve(asked)
    there.write()
    project = there.workspace.project
    found = watch(
        there.keeper,
        Watch(window=7.0),
        release="champion",
        windows=4,
        now_us=there.until_us + 7 * 24 * HOUR_US,
        tell=silent,
        again=there.again(),
        time=project.data.time,
    )
    joints = [drift for window in found.windows for drift in window.drifts if drift.column == JOINT]
    assert len(joints) == sum(window.rows >= LEAST_ROWS for window in found.windows) >= 3
    named = {name for joint in joints for name in joint.by}
    assert "income" in named
    assert "seen_at" not in named


def watched(pledge: Pledge, by_labels: str, by_estimate: str) -> Watched:
    held = Held(pledge=pledge, state=by_labels)  # pyright: ignore[reportArgumentType]
    return Watched(
        release="a" * 64,
        window_days=1.0,
        level=0.03,
        windows=(),
        quality=Quality(since_us=0, rows=100, labelled=9, odd=0, delay=None, promises=(held,)),
        damaged=(),
        estimates=(Estimated(pledge=pledge, state=by_estimate),),  # pyright: ignore[reportArgumentType]
    )


@pytest.mark.parametrize(
    ("by_labels", "by_estimate", "told"),
    [
        ("no data", "at risk", True),
        ("open", "at risk", True),
        ("kept", "at risk", False),
        ("broken", "at risk", False),
        ("no data", "off", False),
        ("no data", "open", False),
        ("no data", "kept", False),
    ],
)
def test_an_estimate_says_at_risk_at_most_and_never_against_labels(
    by_labels: str, by_estimate: str, told: bool
) -> None:
    pledge = Pledge(text="ROC AUC is at least 0.8", metric="roc_auc", direction="at_least", bound=0.8)
    found = promises_seen(watched(pledge, by_labels, by_estimate))
    by_estimates = [one for one in found if one.basis == "estimate"]
    assert by_estimates == ([PromiseSeen(promise=pledge.text, state="at risk", basis="estimate")] if told else [])
    assert [one.state for one in found if one.basis == "labels"] == [by_labels]
