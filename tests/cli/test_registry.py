"""Names, history and what may go: promote, releases, ledger, card, export, doctor and gc."""

import os
import time
from pathlib import Path

import pytest
import yaml

from tests.cli.driver import PROJECT, assert_plain, copied, holdtrue, project, release_of, report_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two releases, the champion and a challenger. Read only."""
    folder = project(tmp_path_factory.mktemp("two"), count=600)
    assert holdtrue("run", folder=folder).code == 0
    (folder / "holdtrue.yaml").write_text(PROJECT.replace("seed: 7", "seed: 8"))
    done = holdtrue("run", folder=folder)
    assert done.code == 0, done.out
    return folder


def named(folder: Path) -> dict[str, str]:
    """Give the release of each alias."""
    rows = holdtrue("releases", "--json", folder=folder).json["releases"]
    return {alias: row["release"] for row in rows for alias in row["aliases"]}


def test_the_first_release_is_champion_and_the_next_a_challenger(two: Path) -> None:
    assert set(named(two)) == {"champion", "challenger"}
    listed = holdtrue("releases", folder=two).out.splitlines()
    assert listed[0] == "Releases"
    assert "challenger" in listed[2]
    assert "champion" in listed[3]


def test_names_move_and_move_back(two: Path, tmp_path: Path) -> None:
    folder = copied(two, tmp_path)
    old, new = named(folder)["champion"], named(folder)["challenger"]
    moved = holdtrue("promote", "challenger", "champion", "--reason", "better in spring", folder=folder)
    assert moved.out == f"champion is now {new[:12]}.\n"
    assert holdtrue("predict", "champion", "rows.csv", "--out", "o.csv", "--json", folder=folder).json["release"] == new
    again = holdtrue("promote", "challenger", "champion", folder=folder)
    assert again.out == f"champion was {new[:12]} already; nothing changed.\n"
    back = holdtrue("promote", old[:8], "champion", "--reason", "spring is over", folder=folder)
    assert back.out == f"champion is now {old[:12]}.\n"
    assert holdtrue("promote", "champion", "best.2024", folder=folder).code == 0
    assert named(folder) == {"champion": old, "best.2024": old, "challenger": new}
    assert holdtrue("ledger", "verify", folder=folder).code == 0
    shown = holdtrue("ledger", folder=folder).out
    assert "champion: better in spring" in shown
    assert "champion: spring is over" in shown


def test_the_ledger_tells_who_did_what(two: Path) -> None:
    entries = holdtrue("ledger", "--json", folder=two).json["entries"]
    assert {entry["actor"] for entry in entries} == {"tester"}
    assert [entry["seq"] for entry in entries] == sorted((entry["seq"] for entry in entries), reverse=True)
    actions = [entry["action"] for entry in reversed(entries)]
    assert actions.count("release made") == 2
    assert actions.count("alias moved") == 2
    told = holdtrue("ledger", "verify", "--json", folder=two).json
    assert told["verified"] is True
    assert told["entries"] == told["sealed"] == len(entries)


def test_long_lists_come_in_pages(two: Path, tmp_path: Path) -> None:
    folder = copied(two, tmp_path)
    for count in range(15):
        holdtrue("promote", ("champion", "challenger")[count % 2], "next", folder=folder)
    first = holdtrue("ledger", "--json", folder=folder).json
    second = holdtrue("ledger", "--after", first["after"], "--json", folder=folder).json
    seen = [entry["seq"] for entry in first["entries"] + second["entries"]]
    assert seen == list(range(seen[0], -1, -1))
    assert f"There are more: holdtrue ledger --after {first['after']}" in holdtrue("ledger", folder=folder).out


def test_the_card_begins_with_what_a_hub_reads(made: Path) -> None:
    text = holdtrue("card", "champion", folder=made).out
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front)["pipeline_tag"] == "tabular-classification"
    assert release_of(made).name in body
    assert "| ROC AUC is at least 0.6 | **proven** |" in body


def test_the_exported_graph_is_that_of_the_release(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    assert holdtrue("export", "onnx", "champion", "--out", "sub/m.onnx", folder=folder).code == 0
    assert (folder / "sub" / "m.onnx").read_bytes() == (release_of(folder) / "model.onnx").read_bytes()


def test_doctor_is_content_with_a_good_store(made: Path) -> None:
    done = holdtrue("doctor", "--json", folder=made)
    assert done.code == 0
    assert done.json["healthy"] is True
    told = {check["name"]: check["told"] for check in done.json["checks"]}
    assert told["project file"] == "tiny"
    assert told["catalog"].endswith("holdtrue.db: champion")
    assert told["releases"] == "1 with an alias, verified in full"


def test_doctor_makes_nothing(tmp_path: Path) -> None:
    folder = project(tmp_path)
    done = holdtrue("doctor", folder=folder)
    assert done.code == 0
    assert "is made by the first run" in done.out
    assert not (folder / ".holdtrue").exists()


def test_doctor_names_the_fault_of_a_project_file(tmp_path: Path) -> None:
    folder = project(tmp_path, text=PROJECT.replace("learn:", "lern:"))
    done = holdtrue("doctor", folder=folder)
    assert done.code == 1
    assert "unknown key 'lern'; did you mean 'learn'?" in done.out


def files(folder: Path) -> set[str]:
    home = folder / ".holdtrue"
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}


def age(folder: Path, days: int) -> None:
    """Make everything in a store as old as if it had lain there so long."""
    then = time.time() - days * 86_400
    for path in (folder / ".holdtrue").rglob("*"):
        os.utime(path, (then, then))


def test_gc_keeps_all_that_a_release_needs(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    assert holdtrue("gc", folder=folder).out == "Everything in the store is needed.\n"
    rubbish = folder / ".holdtrue" / "objects" / "ab" / ("ab" + "0" * 62)
    rubbish.parent.mkdir(exist_ok=True)
    rubbish.write_bytes(b"nobody needs this")
    age(folder, 400)
    before = files(folder)
    planned = holdtrue("gc", "--keep-days", "0", "--json", folder=folder).json
    assert planned["deleted"] is False
    assert files(folder) == before
    done = holdtrue("gc", "--keep-days", "0", "--delete", folder=folder)
    assert done.code == 0, done.err
    assert "Deleted" in done.out
    assert not rubbish.exists()
    assert holdtrue("reproduce", "champion", folder=folder).code == 0
    assert holdtrue("predict", "champion", "rows.csv", "--out", "o.csv", folder=folder).code == 0
    assert holdtrue("ledger", "verify", folder=folder).code == 0
    assert holdtrue("doctor", folder=folder).code == 0


def test_why_of_a_release_whose_run_was_cleaned_up_reads_the_release(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path)
    for path in (folder / ".holdtrue" / "candidates").glob("*/*"):
        path.unlink()
    assert "is proven" in holdtrue("why", "champion", folder=folder).out


def test_why_explains_each_end(tmp_path: Path) -> None:
    folder = project(tmp_path)
    nothing = holdtrue("why", folder=folder)
    assert nothing.code == 2
    assert nothing.err == "Nothing has run here yet.\nStart with: holdtrue run\n"
    proven = holdtrue("run", "--json", folder=folder).json
    assert f"Run {proven['run']} is proven" in holdtrue("why", folder=folder).out
    (folder / "holdtrue.yaml").write_text(PROJECT.replace("at_least: 0.6", "at_least: 0.999"))
    holdtrue("run", folder=folder)
    refuted = holdtrue("why", folder=folder).out
    assert "is refuted" in refuted
    assert "Refuted: ROC AUC is at least 0.999." in refuted
    assert "because roc_auc 0.9" in refuted
    assert "→ Improve the model" in refuted
    assert "The held-out rows have judged 2 candidates." in refuted
    (folder / "holdtrue.yaml").write_text(PROJECT.replace("at_least: 0.6", "at_least: 0.9"))
    holdtrue("run", folder=folder)
    unproven = holdtrue("why", folder=folder).out
    assert "Unproven: ROC AUC is at least 0.9." in unproven
    assert "→ Hold out about" in unproven
    for name in (proven["run"], proven["release"][:8], "champion"):
        assert f"Run {proven['run']} is proven" in holdtrue("why", name, folder=folder).out
    several = holdtrue("why", proven["run"][:8], folder=folder)
    assert several.code == 2
    assert "is the beginning of more than one run" in several.err


def test_a_champion_is_the_one_to_beat(two: Path, tmp_path: Path) -> None:
    folder = copied(two, tmp_path)
    text = PROJECT.replace("seed: 7", "seed: 8").replace("trials: 1", "trials: 3")
    (folder / "holdtrue.yaml").write_text(f"{text}  - beats: {{baseline: champion}}\n")
    done = holdtrue("run", "--json", folder=folder)
    assert done.code in (3, 4), done.err
    (promise,) = [each for each in done.json["promises"] if each["kind"] == "beats"]
    assert promise["scope"] == "improvement of log_loss over champion"
    assert promise["value"] is not None


def test_a_champion_that_cannot_answer_is_named(two: Path, tmp_path: Path) -> None:
    folder = copied(two, tmp_path)
    table = (folder / "rows.csv").read_text().replace(",income,", ",salary,", 1)
    (folder / "rows.csv").write_text(table)
    (folder / "holdtrue.yaml").write_text(f"{PROJECT}  - beats: {{baseline: champion}}\n")
    done = holdtrue("run", folder=folder)
    assert done.code == 2
    assert_plain(done)
    assert "cannot answer these rows: it takes the columns income" in done.err


def test_groups_of_a_dropped_column_are_compared(tmp_path: Path) -> None:
    """What must not decide is what fairness is asked about."""
    text = PROJECT.replace("target: bought", "target: bought, drop: [id, region]")
    text += "  - fair: {across: region, gap_at_most: 50%, required: false}\n"
    folder = project(tmp_path, count=900, text=text)
    run = holdtrue("run", "--json", folder=folder)
    assert run.code == 0, run.err
    (fairness,) = report_of(run)["fairness"]
    assert {group["name"] for group in fairness["groups"]} == {"north", "south", "east"}
    signature = (release_of(folder) / "signature.json").read_text()
    assert "region" not in signature
    # A contract that was written before the question was asked does not hinder it.
    assert holdtrue("init", "rows.csv", "--target", "bought", "--drop", "region", "--force", folder=folder).code == 0
    (folder / "holdtrue.yaml").write_text(text)
    again = holdtrue("run", "--json", folder=folder)
    assert again.code in (0, 4), again.err
    assert "contract.yaml does not describe region" in "".join(report_of(again)["notes"])
