"""A project file is read whole and every fault is told at once, with its line."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdtrue.core.errors import Misuse
from holdtrue.spec import load
from holdtrue.spec.load import Loaded

GOOD = """\
name: hotel
data:
  source: hotel.csv
  target: is_canceled
learn: {trials: "${TRIALS:-30}", learners: lightgbm}
split: {by: time, validation: 10%, test: 20%}
promises:
  - quality: {metric: roc_auc, at_least: 0.82}
  - beats: {baseline: logistic, metric: log_loss, by: 2%}
  - small: {bytes_at_most: 10 MB}
  - fresh: {age_at_most: 2w}
"""


def read(text: str, **environ: str) -> Loaded:
    return load([("holdtrue.yaml", text)], environ=environ)


def faults(text: str, **environ: str) -> list[str]:
    with pytest.raises(Misuse) as caught:
        read(text, **environ)
    assert caught.value.exit_code == 2
    return list(caught.value.faults)


def test_a_good_file_is_read_with_its_units() -> None:
    project = read(GOOD).project
    assert project.learn.trials == 30
    assert project.learn.learners == ("lightgbm",)
    assert project.split.validation == pytest.approx(0.1)
    assert [entry.kind for entry in project.promises] == ["quality", "beats", "small", "fresh"]
    beats, small, fresh = (project.promises[index].said for index in (1, 2, 3))
    assert (getattr(beats, "by"), getattr(beats, "relative")) == (0.02, True)  # noqa: B009
    assert getattr(small, "bytes_at_most") == 10_000_000  # noqa: B009
    assert getattr(fresh, "age_at_most") == 14  # noqa: B009


def test_the_environment_fills_in_and_keeps_its_type() -> None:
    assert read(GOOD, TRIALS="12").project.learn.trials == 12


def test_all_faults_are_told_at_once_with_their_lines() -> None:
    text = GOOD.replace("target:", "taget:").replace("by: time", "by: tmie").replace("small:", "smal:")
    told = faults(text, TRIALS="many")
    assert [fault.split(":")[1] for fault in told] == ["2", "4", "5", "6", "10"]
    assert "data.target is missing" in told[0]
    assert any("did you mean 'target'" in fault for fault in told)
    assert any("did you mean 'time'" in fault for fault in told)
    assert any("did you mean 'small'" in fault for fault in told)
    assert any("'many'" in fault for fault in told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the file is empty"),
        ("- a", "a project file is a mapping"),
        ("name: a\nname: b", "stands here twice"),
        ("a: [1", "this is not YAML"),
        ("name: !!python/object/apply:os.system [ls]", "os.system is not allowed"),
        ("name: !!binary aGk=", "the tag tag:yaml.org,2002:binary is not allowed"),
        ("name: ${NOT_SET}", "NOT_SET is not set"),
        ("name: a\x00b", "this is not YAML"),
    ],
)
def test_a_file_that_is_no_project_is_refused(text: str, told: str) -> None:
    assert told in "\n".join(faults(text))


@pytest.mark.slow
def test_a_bomb_of_aliases_is_refused_quickly() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    assert any("unfolds to more than" in fault for fault in faults(bomb))


@pytest.mark.parametrize(
    ("promise", "told"),
    [
        ("quality: {metric: rmse}", "exactly one of at_least and at_most"),
        ("quality: {metric: rmse, at_least: 1, at_most: 2}", "two bounds are two promises"),
        ("quality: {metric: rmse, at_least: .nan}", "finite"),
        ("fast: {}", "exactly one of p99_ms and p50_ms"),
        ("{quality: {metric: rmse, at_most: 1}, small: {bytes_at_most: 1}}", "exactly one kind"),
        ("calibrated: {error_at_most: 150%}", "less than 1"),
    ],
)
def test_a_promise_that_says_nothing_is_refused(promise: str, told: str) -> None:
    assert told in "\n".join(faults(GOOD + f"  - {promise}\n"))


def test_promises_that_contradict_are_refused() -> None:
    more = "  - quality: {metric: roc_auc, at_most: 0.7}\n"
    assert "some contradict" in "\n".join(faults(GOOD + more))


def test_only_source_and_target_are_needed() -> None:
    loaded = load([("holdtrue.yaml", "data: {source: 'in/2024 orders.csv.gz', target: late}")], environ={})
    assert loaded.project.name == "2024-orders"


def test_a_profile_is_laid_over_the_file() -> None:
    above = "learn: {trials: 3}\npromises: []\n"
    loaded = load([("holdtrue.yaml", GOOD), ("holdtrue.fast.yaml", above)], environ={})
    assert loaded.project.learn.trials == 3
    assert loaded.project.learn.learners == ("lightgbm",)
    assert loaded.project.promises == ()
    assert loaded.place("learn", "trials") == "holdtrue.fast.yaml:1"
    assert loaded.place("data", "target") == "holdtrue.yaml:4"


@given(st.text(max_size=200))
def test_no_text_makes_it_crash(text: str) -> None:
    with contextlib.suppress(Misuse):
        read(text)
