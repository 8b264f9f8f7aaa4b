"""What bad input gets: a clear message, the right exit code, nothing half-written, never a traceback."""
# ruff: noqa: E501  # one case, one line

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.driver import PROJECT, as_csv, assert_plain, holdtrue, left_behind, project, rows

Spoil = Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """How a good project is spoilt, the exit code, and words of the message."""

    spoil: Spoil
    code: int
    told: tuple[str, ...]


def text(content: str) -> Spoil:
    return lambda folder: (folder / "rows.csv").write_text(content)


def data(content: bytes) -> Spoil:
    return lambda folder: (folder / "rows.csv").write_bytes(content)


def column(name: str, value: Callable[[int], object]) -> Spoil:
    """Set a column of the table, row by row."""
    return text(as_csv([{**row, name: value(index)} for index, row in enumerate(rows(300))]))


def spec(old: str, new: str) -> Spoil:
    assert old in PROJECT
    return lambda folder: (folder / "holdtrue.yaml").write_text(PROJECT.replace(old, new))


def yaml(content: str) -> Spoil:
    return lambda folder: (folder / "holdtrue.yaml").write_text(content)


def contract(content: str) -> Spoil:
    return lambda folder: (folder / "contract.yaml").write_text(content)


def promise(line: str) -> Spoil:
    return spec("small: {bytes_at_most: 1 MB}", line)


MANY_FAULTS = """\
nmae: x
data: {source: rows.csv}
learn: {trials: zero, seed: -1}
promises:
  - qualty: {}
  - quality: {metric: roc_auc}
"""
CONTRADICTION = "at_least: 0.6}\n  - quality: {metric: roc_auc, at_most: 0.5}"
GOOD = as_csv(rows(300))
DATA = {
    "no file": Case(lambda folder: (folder / "rows.csv").rename(folder / "row.csv"), 1, ("rows.csv is not there; did you mean 'row.csv'",)),
    "empty file": Case(text(""), 1, ("rows.csv is empty (0 bytes)", "Export it again")),
    "blank lines": Case(text("\n\n  \n"), 1, ("blank lines only",)),
    "header only": Case(text("id,age,income,region,bought\n"), 1, ("has a header (id, age, income, region, bought) and no rows",)),
    "ragged rows": Case(text(GOOD + "1,2\n3,4,5,6,7,8,9\n"), 1, ("row 302 has 2 fields where 5 are expected", "row 303 has 7 fields")),
    "wrong delimiter": Case(spec("source: rows.csv", "source: rows.csv, delimiter: ';'"), 1, ("one column when divided at ';'", "say `delimiter: ','`")),
    "duplicate names": Case(text(GOOD.replace("income", "age", 1)), 1, ("the name 'age' is used by columns 2, 3",)),
    "blank name": Case(text(GOOD.replace("income", "", 1)), 1, ("column 3 has no name",)),
    "binary": Case(data(bytes(range(256)) * 40), 1, ("is not text",)),
    "a broken archive": Case(data(b"\x1f\x8b\x08\x00" + b"x" * 100), 1, ("broken gz file",)),
    "a broken parquet file": Case(data(b"PAR1" + b"x" * 100), 1, ("cannot be read as Parquet",)),
    "an empty folder": Case(lambda folder: ((folder / "rows.csv").unlink(), (folder / "rows.csv").mkdir()), 1, ("it is empty",)),
    "one class": Case(column("bought", lambda _: "yes"), 1, ("one class only ('yes')",)),
    "one row of a class": Case(column("bought", lambda index: "yes" if index == 4 else "no"), 1, ("class 'yes' has too few different rows",)),
    "a target with gaps": Case(column("bought", lambda index: ("", "yes", "no")[index % 3]), 1, ("column 'bought': 100 of 300 values are missing", "row 1")),
    "a target with NaN": Case(column("bought", lambda index: ("NaN", 0, 1)[index % 3]), 1, ("column 'bought': 100 of 300 values are missing",)),
    "infinities": Case(column("age", lambda index: "inf" if index == 5 else index), 1, ("column 'age': 1 of 300 values is infinite; the first is 'inf' in row 6",)),
    "only constants": Case(text(as_csv([{"same": 1, "bought": row["bought"]} for row in rows(300)])), 1, ("The only column does not change",)),
    "too few rows": Case(text(as_csv(rows(9))), 1, ("9 rows; at least 10 are needed",)),
}  # fmt: skip
SPEC = {
    "no project": Case(lambda folder: (folder / "holdtrue.yaml").unlink(), 2, ("There is no holdtrue.yaml in /", "holdtrue init")),
    "no YAML": Case(yaml("name: [unclosed\n"), 2, ("holdtrue.yaml:2: this is not YAML",)),
    "words": Case(yaml("just words\n"), 2, ("a mapping of settings",)),
    "an empty project": Case(yaml(""), 2, ("the file is empty",)),
    "no text": Case(lambda folder: (folder / "holdtrue.yaml").write_bytes(b"\xff\xfe\x00"), 2, ("not UTF-8",)),
    "many faults": Case(yaml(MANY_FAULTS), 2, ("6 places", "unknown key 'nmae'; did you mean 'name'", "data.target is missing", "learn.trials is 'zero'", "learn.seed is -1", "'qualty'; did you mean 'quality'", "exactly one of at_least and at_most")),
    "unknown key": Case(spec("learn:", "lern:"), 2, ("holdtrue.yaml:3: unknown key 'lern'; did you mean 'learn'?",)),
    "missing target": Case(spec("target: bought", "target: bougt"), 2, ("holdtrue.yaml:2: the data have no column 'bougt'; did you mean 'bought'",)),
    "watching by no column": Case(spec("promises:", "watch: {by: sen, slices: [regoin]}\npromises:"), 2, ("the data have no column 'regoin'; did you mean 'region'", "the data have no column 'sen'")),
    "contradiction": Case(spec("at_least: 0.6}", CONTRADICTION), 2, ("holdtrue.yaml:5", "some contradict: roc_auc is promised to be at least 0.6 and at most 0.5")),
    "impossible bound": Case(spec("at_least: 0.6", "at_least: 1.7"), 2, ("roc_auc lies between 0 and 1", "1.7")),
    "unknown metric": Case(spec("roc_auc", "roc_acu"), 2, ("'roc_acu'; did you mean 'roc_auc'",)),
    "unknown learner": Case(spec("[logistic]", "[logistik]"), 2, ("'logistik'; did you mean 'logistic'",)),
    "metric of another task": Case(spec("roc_auc", "rmse"), 2, ("holdtrue.yaml:6: the metric rmse does not fit classification",)),
    "learner of another task": Case(spec("[logistic]", "[ridge]"), 2, ("holdtrue.yaml:3: ridge does not fit classification",)),
    "baseline of another task": Case(promise("beats: {baseline: ridge}"), 2, ("holdtrue.yaml:7: the baseline ridge does not fit",)),
    "unknown baseline": Case(promise("beats: {baseline: constnat}"), 2, ("'constnat'; did you mean 'constant'",)),
    "no champion yet": Case(promise("beats: {baseline: champion}"), 2, ("holdtrue.yaml:7: there is no champion to beat yet",)),
    "unknown disturbance": Case(promise("robust: {to: [nois], drop_at_most: 0.1}"), 2, ("'nois'; did you mean 'noise'",)),
    "groups of no column": Case(promise("fair: {across: regoin, gap_at_most: 0.1}"), 2, ("holdtrue.yaml:7", "'regoin'; did you mean 'region'")),
    "a scope without rows": Case(spec("at_least: 0.6}", "at_least: 0.6, where: {region: nroth}}"), 2, ("holdtrue.yaml:6: No held-out row has region = 'nroth'; did you mean 'north'",)),
    "freshness without a time": Case(promise("fresh: {age_at_most: 30d}"), 2, ("`fresh` needs a time",)),
    "freshness of a category": Case(promise("fresh: {age_at_most: 30d, column: region}"), 2, ("'region' is a category",)),
    "freshness of no column": Case(promise("fresh: {age_at_most: 30d, column: day}"), 2, ("no column 'day'",)),
    "a time that is none": Case(spec("target: bought", "target: bought, time: region"), 1, ("'north' is neither a number nor a month",)),
    "groups without a column": Case(spec("promises:", "split: {by: group}\npromises:"), 2, ("a split by group needs `group`",)),
    "nothing to learn from": Case(spec("target: bought", "target: bought, drop: [id, age, income, region]"), 2, ("No column is left",)),
    "the target is dropped": Case(spec("target: bought", "target: bought, drop: [bought]"), 2, ("'bought' is also in drop",)),
    "an unknown class": Case(spec("target: bought", "target: bought, positive: yess"), 2, ("'yess'", "'no', 'yes'")),
    "a weight of no class": Case(spec("folds: 3", "folds: 3, class_weight: {yess: 2}"), 2, ("'yess'; did you mean 'yes'",)),
    "text to regress": Case(spec("name: tiny", "name: tiny\ntask: regression"), 2, ("logistic does not fit regression", "roc_auc does not fit regression")),
    "a variable that is not set": Case(spec("trials: 1", 'trials: "${TRIALS}"'), 2, ("TRIALS is not set", "${TRIALS:-default}")),
    "a query of a file": Case(spec("source: rows.csv", "source: rows.csv, query: SELECT 1"), 2, ("rows.csv is no database",)),
    "a database without a query": Case(spec("source: rows.csv", "source: 'sqlite:///rows.db'"), 2, ("needs a query",)),
    "an unknown database": Case(spec("source: rows.csv", "source: 'mysql://x/y', query: SELECT 1"), 2, ("no reader for mysql",)),
    "a broken contract": Case(contract("columns: [\n"), 2, ("contract.yaml", "not YAML", "line 2")),
    "a contract of other things": Case(contract("hello: 1\n"), 2, ("contract.yaml", "no setting 'hello'")),
}  # fmt: skip


def check(case: Case, folder: Path) -> None:
    project(folder)
    case.spoil(folder)
    done = holdtrue("run", folder=folder)
    assert done.code == case.code, done.err
    assert_plain(done)
    for words in case.told:
        assert words in done.err
    assert not done.out
    assert not left_behind(folder)


@pytest.mark.parametrize("name", DATA)
def test_bad_data_end_with_a_message(name: str, tmp_path: Path) -> None:
    check(DATA[name], tmp_path)


@pytest.mark.parametrize("name", SPEC)
def test_a_bad_project_file_ends_with_a_message(name: str, tmp_path: Path) -> None:
    check(SPEC[name], tmp_path)


def test_a_profile_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    folder = project(tmp_path)
    (folder / "holdtrue.test.yaml").write_text("name: test\n")
    done = holdtrue("run", "--profile", "prod", folder=folder)
    assert done.code == 2
    assert "There is no holdtrue.prod.yaml" in done.err
    assert "holdtrue.test.yaml" in done.err


def test_a_fault_of_a_profile_is_named_with_its_own_line(tmp_path: Path) -> None:
    folder = project(tmp_path)
    (folder / "holdtrue.prod.yaml").write_text("# more work\nlern: {trials: 2}\n")
    done = holdtrue("run", "--profile", "prod", folder=folder)
    assert done.code == 2
    assert "holdtrue.prod.yaml:2: unknown key 'lern'; did you mean 'learn'?" in done.err


@pytest.mark.parametrize("name", ["ragged rows", "infinities"])
def test_bad_data_are_told_as_one_object_too(name: str, tmp_path: Path) -> None:
    folder = project(tmp_path)
    DATA[name].spoil(folder)
    done = holdtrue("run", "--json", folder=folder)
    assert done.code == 1
    assert done.json["exit_code"] == 1
    assert len(done.json["error"]["faults"]) == {"ragged rows": 2, "infinities": 1}[name]
    assert done.json["error"]["what"] in done.err


def test_a_test_file_that_repeats_the_source_is_refused(tmp_path: Path) -> None:
    folder = project(tmp_path, text=PROJECT.replace("source: rows.csv", "source: rows.csv, test: copy.csv"))
    (folder / "copy.csv").write_text(GOOD)
    done = holdtrue("run", folder=folder)
    assert done.code == 1
    assert "300 of 300 test rows are also among the rows to learn from" in done.err


def test_a_test_file_with_other_columns_is_named(tmp_path: Path) -> None:
    folder = project(tmp_path, text=PROJECT.replace("source: rows.csv", "source: rows.csv, test: more.csv"))
    (folder / "more.csv").write_text(as_csv([{"id": row["id"], "age": row["age"]} for row in rows(50)]))
    done = holdtrue("run", folder=folder)
    assert done.code == 1
    assert "more.csv does not have the columns of rows.csv" in done.err
    assert "column 'bought' is missing" in done.err


def test_why_tells_the_fault_of_a_run_that_failed(tmp_path: Path) -> None:
    folder = project(tmp_path)
    DATA["infinities"].spoil(folder)
    holdtrue("run", folder=folder)
    done = holdtrue("why", folder=folder)
    assert done.code == 0
    assert "failed" in done.out
    assert "column 'age': 1 of 300 values is infinite" in done.out
    assert "→ Mend that, and run again: holdtrue run" in done.out


def test_nothing_is_paid_for_a_promise_that_cannot_be_asked(tmp_path: Path) -> None:
    """A wrong name is found before the held-out rows are looked at: no look is counted."""
    folder = project(tmp_path)
    SPEC["a scope without rows"].spoil(folder)
    assert holdtrue("run", folder=folder).code == 2
    entries = holdtrue("ledger", "--json", folder=folder).json["entries"]
    assert [entry["action"] for entry in entries if entry["action"] == "hold-out used"] == []
