"""Every verb ends with the right exit code, and with `--json` prints one object and nothing else."""

from pathlib import Path

import pytest

from tests.cli.driver import PROJECT, assert_plain, copied, holdtrue, launched, project, release_of

VERBS = {
    "run": (),
    "why": (),
    "predict": ("champion", "rows.csv", "--out", "out.csv"),
    "reproduce": ("champion",),
    "releases": (),
    "promote": ("champion", "best"),
    "ledger": (),
    "ledger verify": (),
    "card": ("champion",),
    "export onnx": ("champion", "--out", "model.onnx"),
    "doctor": (),
    "gc": (),
    "init": ("rows.csv", "--target", "bought", "--force"),
}
KEYS = {
    "run": {"release", "verdict", "promises", "baselines", "champion_model", "report"},
    "why": {"run", "headline", "causes"},
    "predict": {"release", "rows", "out", "breaches"},
    "reproduce": {"release", "made", "same", "difference"},
    "releases": {"releases", "after"},
    "promote": {"release", "alias", "changed", "served"},
    "ledger": {"entries", "after"},
    "ledger verify": {"verified", "entries", "root"},
    "card": {"release", "card"},
    "export onnx": {"release", "form", "out"},
    "doctor": {"healthy", "checks"},
    "gc": {"deleted", "bytes", "items"},
    "init": {"files", "guesses"},
}
PROMISE = {"kind", "scope", "verdict", "value", "low", "high", "bound", "rows", "rows_needed", "method"}


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_prints_one_object(verb: str, made: Path, tmp_path: Path) -> None:
    done = holdtrue(*verb.split(), *VERBS[verb], "--json", folder=copied(made, tmp_path))
    assert done.code == 0, done.err
    assert not done.err
    assert len(done.out.splitlines()) == 1
    assert done.json.keys() >= KEYS[verb]


@pytest.mark.slow
def test_run_says_what_machines_need(made: Path, tmp_path: Path) -> None:
    told = holdtrue("run", "--json", folder=copied(made, tmp_path)).json
    assert told["release"] == release_of(made).name
    assert told["verdict"] == "proven"
    assert all(promise.keys() >= PROMISE for promise in told["promises"])
    assert [model["name"] for model in told["baselines"]] == ["constant", "logistic (default)"]
    assert told["champion_model"] == "logistic"
    assert Path(told["report"]).read_text().startswith("<!doctype html>")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("promise", "code", "verdict"),
    [
        ("quality: {metric: roc_auc, at_least: 0.6}", 0, "proven"),
        ("quality: {metric: roc_auc, at_least: 0.999}", 3, "refuted"),
        ("quality: {metric: roc_auc, at_least: 0.9}", 4, "unproven"),
        ("quality: {metric: roc_auc, at_least: 0.999, required: false}", 0, "proven"),
    ],
)
def test_the_verdict_is_the_exit_code(promise: str, code: int, verdict: str, tmp_path: Path) -> None:
    folder = project(tmp_path, text=PROJECT.replace("quality: {metric: roc_auc, at_least: 0.6}", promise))
    done = holdtrue("run", folder=folder)
    assert done.code == code, done.out
    assert_plain(done)
    releases = holdtrue("releases", "--json", folder=folder).json["releases"]
    assert len(releases) == (1 if code == 0 else 0)
    assert ("There is no release." in done.out) == (code != 0)
    assert holdtrue("why", "--json", folder=folder).json["headline"].split(" is ")[1].startswith(verdict)


@pytest.mark.slow
def test_a_project_that_promises_nothing_proves_nothing(tmp_path: Path) -> None:
    done = holdtrue("run", "--json", folder=project(tmp_path, text=PROJECT.partition("promises:")[0]))
    assert done.code == 4
    assert done.json["verdict"] == "unproven"
    assert "Nothing is promised" in holdtrue("why", folder=tmp_path).out


@pytest.mark.parametrize(
    "words",
    [
        ("why", "nothing"),
        ("predict", "nothing", "rows.csv", "--out", "out.csv"),
        ("predict", "champion", "rows.csv", "--out", "out.xlsx"),
        ("predict", "champion", "rows.csv", "--out", "nowhere/out.csv"),
        ("reproduce", "nothing"),
        ("promote", "champion", "two words"),
        ("promote", "nothing"),
        ("ledger", "verfy"),
        ("card", "nothing"),
        ("export", "onxx", "champion", "--out", "model.onnx"),
        ("export", "onnx", "champion", "--out", "rows.csv"),
        ("trust", "nothing.pub"),
        ("init", "rows.csv", "--target", "bought"),
        ("init", "rows.csv", "--target", "bougt", "--force"),
        ("init", "rows.csv", "--target", "bought", "--drop", "bought", "--force"),
    ],
    ids=" ".join,
)
def test_misuse_is_told_as_one_object(words: tuple[str, ...], made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir() if path.is_file()}
    done = holdtrue(*words, "--json", folder=folder)
    assert done.code == 2, done.err
    assert_plain(done)
    assert len(done.out.splitlines()) == 1
    assert done.json["exit_code"] == 2
    assert done.json["error"]["what"] in done.err
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir() if path.is_file()} == before


@pytest.mark.slow
@pytest.mark.parametrize("words", [("bogus",), ("run", "--bogus"), ("predict",), ("init", "rows.csv")], ids=" ".join)
def test_words_the_parser_refuses_are_one_object_too(words: tuple[str, ...], tmp_path: Path) -> None:
    done = launched(*words, "--json", folder=tmp_path)
    assert done.code == 2
    assert done.json["exit_code"] == 2
    assert "Usage: " in done.err
    assert launched(*words, folder=tmp_path).out == ""


@pytest.mark.slow
def test_a_fault_of_our_own_asks_for_a_report_and_debug_shows_it(tmp_path: Path) -> None:
    folder = project(tmp_path)
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['holdtrue.pipeline.run'] = None\n")
    done = launched("run", folder=folder, PYTHONPATH=str(folder))
    assert done.code == 1
    assert "Something is wrong in Holdtrue itself" in done.err
    assert "Traceback" not in done.err
    shown = launched("run", "--debug", folder=folder, PYTHONPATH=str(folder))
    assert shown.code == 1
    assert "Traceback" in shown.err


def test_every_verb_has_help_with_an_example() -> None:
    for verb in {words.split()[0] for words in VERBS} | {"trust"}:
        done = holdtrue(verb, "--help", folder=Path())
        assert done.code == 0
        assert f"Example: holdtrue {verb}" in done.out


def test_the_list_of_verbs_is_not_cut_off() -> None:
    done = holdtrue("--help", folder=Path())
    assert done.code == 0
    assert "..." not in done.out.replace("[ARGS]...", "")
