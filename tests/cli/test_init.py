"""`holdtrue init` guesses a project that runs, says why, and leaves nothing behind when it cannot."""

import sqlite3
from pathlib import Path

import polars as pl
import pytest
import yaml

from tests.cli.driver import Row, as_csv, assert_plain, holdtrue, project, rows
from tests.cli.tables import shop


def written(folder: Path) -> tuple[dict[str, object], str]:
    text = (folder / "holdtrue.yaml").read_text()
    return yaml.safe_load(text), text


@pytest.mark.slow
@pytest.mark.parametrize(("target", "task"), [("kind", "classification"), ("spend", "regression")])
def test_what_init_writes_runs_and_predicts(target: str, task: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(as_csv(shop(400)))
    done = holdtrue("init", "rows.csv", "--target", target, folder=tmp_path)
    assert done.code == 0, done.err
    spec, text = written(tmp_path)
    assert spec["task"] == task
    assert spec["data"] == {"source": "rows.csv", "target": target, "time": ["day"], "drop": ["order"]}
    assert "every row has another value" in text
    contract = yaml.safe_load((tmp_path / "contract.yaml").read_text())
    assert contract["fields"]["price"]["unreadable"] == "missing"
    assert contract["fields"]["day"]["formats"] == ["%d/%m/%Y"]
    (tmp_path / "holdtrue.yaml").write_text(text.replace("trials: 20", "trials: 2"))
    run = holdtrue("run", folder=tmp_path)
    assert run.code in (0, 4), run.err
    assert_plain(run)


@pytest.mark.slow
def test_a_leak_is_dropped_and_the_reason_is_told(tmp_path: Path) -> None:
    table: list[Row] = [{**row, "paid": row["income"] if row["bought"] == "yes" else ""} for row in rows(400)]
    (tmp_path / "rows.csv").write_text(as_csv(table))
    done = holdtrue("init", "rows.csv", "--target", "bought", folder=tmp_path)
    assert "paid" in done.out
    assert "whether it is missing tells 'bought'" in done.out
    spec, text = written(tmp_path)
    assert spec["data"]["drop"] == ["id", "paid"]  # pyright: ignore[reportIndexIssue]
    assert '- "paid" # leak: whether it is missing tells' in text
    run = holdtrue("run", "--json", folder=tmp_path)
    assert run.json["promises"][0]["value"] < 0.99


@pytest.mark.parametrize("form", ["parquet", "jsonl", "arrow", "db", "folder"])
def test_other_sources_are_read_as_well(form: str, tmp_path: Path) -> None:
    table = pl.DataFrame(rows(200))
    more: tuple[str, ...] = ()
    name = f"rows.{form}"
    match form:
        case "parquet":
            table.write_parquet(tmp_path / name)
        case "jsonl":
            table.write_ndjson(tmp_path / name)
        case "arrow":
            table.write_ipc(tmp_path / name)
        case "folder":
            name = "parts"
            (tmp_path / name).mkdir()
            table[:90].write_csv(tmp_path / name / "1.csv")
            table[90:].write_csv(tmp_path / name / "2.csv")
        case _:
            connection = sqlite3.connect(tmp_path / name)
            connection.execute("CREATE TABLE t (id TEXT, age INT, income REAL, region TEXT, bought TEXT)")
            connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", table.rows())
            connection.commit()
            connection.close()
            name, more = f"sqlite:///{name}", ("--query", "SELECT * FROM t")
    done = holdtrue("init", name, "--target", "bought", *more, folder=tmp_path)
    assert done.code == 0, done.err
    assert written(tmp_path)[0]["data"]["drop"] == ["id"]  # pyright: ignore[reportIndexIssue]


def test_what_was_said_goes_before_what_was_guessed(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(as_csv(shop(120)))
    done = holdtrue(
        "init", "rows.csv", "--target", "spend", "--time", "age", "--drop", "price", "--folder", "new", folder=tmp_path
    )
    assert done.code == 0, done.err
    assert "the baselines could not be fitted" in done.out  # rows without an age have no place in time
    spec, text = written(tmp_path / "new")
    assert spec["data"]["time"] == ["age"]  # pyright: ignore[reportIndexIssue]
    assert spec["data"]["drop"] == ["price", "order"]  # pyright: ignore[reportIndexIssue]
    assert '- "price" # you said so' in text
    assert "test: 20%} # you said so" in text
    assert "holdtrue run --folder new" in done.out


FAULTS = {
    "no file": (("nothing.csv", "--target", "bought"), 1, "nothing.csv is not there"),
    "no column": (("rows.csv", "--target", "bougt"), 2, "'bougt'; did you mean 'bought'?"),
    "no columns": (("rows.csv", "--target", "bought", "--drop", "agee"), 2, "'agee'; did you mean 'age'?"),
    "the target is dropped": (("rows.csv", "--target", "bought", "--drop", "bought"), 2, "named by --time or --drop"),
    "a time that is none": (("rows.csv", "--target", "bought", "--time", "region"), 1, "'region' is part of the time"),
    "a database without a query": (("sqlite:///rows.db", "--target", "bought"), 2, "needs a query"),
    "no rows": (("empty.csv", "--target", "bought"), 1, "empty.csv is empty"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_command_that_fails_leaves_no_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(as_csv(rows(60)))
    (tmp_path / "empty.csv").write_text("")
    words, code, told = FAULTS[name]
    done = holdtrue("init", *words, "--folder", "new", folder=tmp_path)
    assert done.code == code, done.err
    assert_plain(done)
    assert told in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.csv", "rows.csv"]


def test_what_is_there_is_only_written_over_when_forced(tmp_path: Path) -> None:
    folder = project(tmp_path, count=60)
    before = (folder / "holdtrue.yaml").read_text()
    done = holdtrue("init", "rows.csv", "--target", "bought", folder=folder)
    assert done.code == 2
    assert done.err == "holdtrue.yaml is there already.\nWrite over it with --force.\n"
    assert (folder / "holdtrue.yaml").read_text() == before
    assert holdtrue("init", "rows.csv", "--target", "bought", "--force", folder=folder).code == 0
    assert (folder / "holdtrue.yaml").read_text() != before


def test_a_contract_from_before_does_not_decide_what_is_guessed(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(as_csv(rows(200)))
    assert holdtrue("init", "rows.csv", "--target", "bought", folder=tmp_path).code == 0
    first = (tmp_path / "holdtrue.yaml").read_text()
    (tmp_path / "contract.yaml").write_text("columns: [not: a contract\n")
    assert holdtrue("init", "rows.csv", "--target", "bought", "--force", folder=tmp_path).code == 0
    assert (tmp_path / "holdtrue.yaml").read_text() == first
    assert "quality" in first


def test_lines_of_a_pipe_are_not_wrapped(tmp_path: Path) -> None:
    table: list[Row] = [{**row, "paid_back_in_full": int(row["bought"] == "yes")} for row in rows(200)]
    (tmp_path / "rows.csv").write_text(as_csv(table))
    done = holdtrue("init", "rows.csv", "--target", "bought", folder=tmp_path)
    (line,) = [line for line in done.out.splitlines() if line.startswith("paid_back_in_full")]
    assert line.rstrip().endswith("known only afterwards")


def test_odd_names_are_written_so_that_they_are_read_back(tmp_path: Path) -> None:
    odd = {"age": 'a "quoted", #1', "region": "a: b # c", "income": "[x]", "bought": "ja/nein?"}
    table: list[Row] = [{odd.get(name, name): value for name, value in row.items()} for row in rows(120)]
    lines = [",".join('"' + name.replace('"', '""') + '"' for name in table[0]), *as_csv(table).splitlines()[1:]]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    done = holdtrue("init", "rows.csv", "--target", "ja/nein?", "--drop", "a: b # c", folder=tmp_path)
    assert done.code == 0, done.err
    spec, _ = written(tmp_path)
    assert spec["data"]["drop"] == ["a: b # c", "id"]  # pyright: ignore[reportIndexIssue]
    contract = yaml.safe_load((tmp_path / "contract.yaml").read_text())
    assert list(contract["fields"]) == ['a "quoted", #1', "[x]", "ja/nein?"]
