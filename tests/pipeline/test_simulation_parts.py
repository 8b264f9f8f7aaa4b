"""The project that a simulation lives in, what it reads in the ledger, and how it draws that."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from holdtrue.core.errors import Misuse
from holdtrue.data.contract import Contract, Field
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.progress import silent
from holdtrue.pipeline.simulation.deeds import Deed, deeds
from holdtrue.pipeline.simulation.live import payload
from holdtrue.pipeline.simulation.picture import Scene, page
from holdtrue.pipeline.simulation.quality import DAY_US, Period
from holdtrue.pipeline.simulation.rows import divide, read_rows
from holdtrue.pipeline.simulation.scratch import environment, scratch, with_policy
from holdtrue.pipeline.workspace import Workspace, open_workspace
from holdtrue.registry.aliases import promote
from holdtrue.registry.catalog import Release, add_release
from holdtrue.registry.ledger import Deed as Entry
from holdtrue.registry.ledger import append
from tests.cli.driver import as_csv

PROJECT = """\
name: small
data: {source: rows.csv, target: ok, time: day, test: more.csv}
split: {by: given}
promises: [{quality: {metric: roc_auc, at_least: 70%, where: {town: Ulm}}}]
watch: {window: 12h, tell: [{slack: "https://hooks.example.com/secret"}]}
retrain: {every: 30d, newest: 90d}
"""
AT = datetime(2021, 5, 1, tzinfo=UTC)
START_US = round(AT.timestamp() * 1e6)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    folder = tmp_path / "project"
    folder.mkdir()
    table = [{"day": f"2021-01-{day:02}", "town": "Ulm", "ok": day % 2} for day in range(1, 11)]
    (folder / "rows.csv").write_text(as_csv(table))
    (folder / "more.csv").write_text(as_csv([{"day": "2021-02-01", "town": "Bonn", "ok": 1}]))
    (folder / "contract.yaml").write_text("fields: {town: {kind: category}}\n")
    (folder / "holdtrue.yaml").write_text(PROJECT.replace("70%", "0.7"))
    return open_workspace(folder, environ={})


def test_the_scratch_project_has_the_past_rows_and_tells_nobody(workspace: Workspace, tmp_path: Path) -> None:
    rows = read_rows(workspace, labels_after="1h", by_order="", tell=silent)
    assert len(rows) == 11
    past, _, _ = divide(rows, "2021-01-08")
    tree = with_policy(workspace.loaded, None, environ={})
    made = scratch(workspace, past, tree, tmp_path / "scratch", environ={})
    known, ours = made.project, workspace.project
    assert known.watch.tell == ()
    assert known.watch.window == ours.watch.window
    assert (known.name, known.promises, known.retrain) == (ours.name, ours.promises, ours.retrain)
    assert (known.data.test, known.split.by) == (None, None)
    kept = pl.read_parquet(made.folder / known.data.source)
    assert kept.get_column("day").to_list() == [f"2021-01-{day:02}" for day in range(1, 8)]
    assert made.contract_file.read_text() == workspace.contract_file.read_text()
    assert made.home.path == made.folder / ".holdtrue"


def test_rows_taken_as_they_stand_have_that_order_for_their_time(workspace: Workspace, tmp_path: Path) -> None:
    rows = read_rows(workspace, labels_after="1h", by_order="1d", tell=silent)
    past, _, _ = divide(rows, "60%")
    made = scratch(workspace, past, with_policy(workspace.loaded, None, environ={}), tmp_path / "scratch", environ={})
    assert made.project.data.time == made.project.data.drop == ("taken_at",)
    kept = pl.read_parquet(made.folder / made.project.data.source)
    assert kept.get_column("taken_at").to_list() == [f"2000-01-{day:02}T00:00:00.000000" for day in range(1, 8)]


def test_the_environment_of_a_simulation_names_neither_store_nor_tracking() -> None:
    given = {
        "PATH": "/bin",
        "HOLDTRUE_HOME": "/store",
        "HOLDTRUE_DATABASE_URL": "postgresql://ours",
        "HOLDTRUE_CACHE_URL": "redis://ours",
        "MLFLOW_TRACKING_URI": "http://ours",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://ours",
    }
    assert environment(given, actor="ann") == {"PATH": "/bin", "HOLDTRUE_ACTOR": "ann"}


def test_a_policy_replaces_the_sections_that_it_has(workspace: Workspace) -> None:
    tree = with_policy(workspace.loaded, ("p.yaml", "retrain: {when: [], every: 7d}\n"), environ={})
    assert tree["retrain"] == {"when": [], "every": 7.0}  # `newest` is gone too
    assert tree["watch"]["window"] == 0.5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("retrain:\n  every: 7d\n  evry: 8d\n", "p.yaml:3: unknown key 'evry'; did you mean 'every'?"),
        ("retrian: {every: 7d}\n", "p.yaml: unknown section 'retrian'; did you mean 'retrain'?"),
        ("data: {target: x}\nretrain: {every: 7d}\n", "unknown section 'data'"),
        ("just words\n", "it has none of the sections retrain, serve, watch"),
        ("retrain: {every: [\n", "this is not YAML"),
    ],
)
def test_what_is_wrong_in_a_policy_is_told(workspace: Workspace, text: str, told: str) -> None:
    with pytest.raises(Misuse) as refused:
        with_policy(workspace.loaded, ("p.yaml", text), environ={})
    assert told in str(refused.value)


def test_rows_are_sent_as_a_client_would() -> None:
    fields = (
        Field(name="size", kind="number", missing=("NA",)),
        Field(name="price", kind="number", decimal=","),
        Field(name="town", kind="category"),
        Field(name="day", kind="date"),
    )
    raw = pl.DataFrame(
        {
            "size": ["3", "NA", "wide", ""],
            "price": ["1.234,5", "2", "", "x"],
            "town": [" Ulm", "Bonn", "", "Bonn"],
            "day": ["2021-01-01", "", "2021-01-03", "soon"],
            "more": [1, 2, 3, 4],
        }
    )
    assert payload(raw, Contract(fields=fields)) == [
        {"size": 3.0, "price": 1234.5, "town": "Ulm", "day": "2021-01-01"},
        {"size": "NA", "price": 2.0, "town": "Bonn", "day": None},
        {"size": "wide", "price": None, "town": None, "day": "2021-01-03"},
        {"size": None, "price": "x", "town": "Bonn", "day": "soon"},
    ]


def test_typed_columns_are_sent_as_they_are() -> None:
    fields = (Field(name="size", kind="number"), Field(name="code", kind="category"), Field(name="day", kind="date"))
    raw = pl.DataFrame({"size": [1.5, float("nan")], "code": [7, None], "day": [AT.date(), None]})
    assert payload(raw, Contract(fields=fields)) == [
        {"size": 1.5, "code": "7", "day": "2021-05-01"},
        {"size": None, "code": None, "day": None},
    ]


def moved(keeper: Keeper, digest: str, day: int, *, actor: str, alias: str = "champion") -> None:
    now = AT + timedelta(days=day)
    keeper.database().write(
        lambda connection: promote(connection, keeper.project, digest, alias, actor=actor, reason="why", now=now)
    )


def decided(keeper: Keeper, what: str, day: int) -> None:
    entry = Entry(action="loop decided", project=keeper.project, subject="", detail={"what": what, "why": "so"})
    now = AT + timedelta(days=day)
    keeper.database().write(lambda connection: append(connection, [entry], actor="loop", now=now))


def test_the_deeds_are_those_of_the_ledger(keeper: Keeper) -> None:
    (first,) = (row.digest for row in keeper.releases()[0].rows)
    second = "b" * 64
    release = Release(digest=second, project=keeper.project, created=AT, path="nowhere")
    keeper.database().write(lambda connection: add_release(connection, release, actor="tester", now=AT))
    moved(keeper, first, 0, actor="tester")
    raised = Entry(action="alarm raised", project=keeper.project, subject=first, detail={"what": "age", "why": ["a"]})
    keeper.database().write(lambda connection: append(connection, [raised], actor="w", now=AT + timedelta(days=1)))
    decided(keeper, "train", 2)
    moved(keeper, second, 2, actor="tester", alias="challenger")
    decided(keeper, "canary at 50%", 3)
    decided(keeper, "promote", 4)
    moved(keeper, second, 4, actor="loop")
    decided(keeper, "roll back", 5)
    moved(keeper, first, 5, actor="loop")
    decided(keeper, "end the canary", 6)
    decided(keeper, "give up the canary", 7)
    found = deeds(keeper)
    assert [((deed.at_us - START_US) // DAY_US, deed.sort) for deed in found] == [
        (1, "alarm"),
        (2, "retrain"),
        (3, "decision"),
        (4, "promotion"),
        (5, "rollback"),
        (6, "rollback"),
        (7, "given up"),
    ]
    assert [deed.release for deed in found if deed.sort in ("promotion", "rollback")][:2] == [second, first]


@pytest.mark.slow
def test_a_long_ledger_is_read_to_its_beginning(keeper: Keeper) -> None:
    entry = Entry(action="loop decided", project=keeper.project, subject="", detail={"what": "train", "why": "so"})
    keeper.database().write(lambda connection: append(connection, [entry] * 2_500, actor="loop", now=AT))
    assert len(deeds(keeper)) == 2_500


def test_the_page_holds_curves_and_deeds_and_escapes_what_comes_from_data() -> None:
    made = [
        Period(start_us=START_US + day * DAY_US, end_us=START_US + (day + 1) * DAY_US, rows=9, frozen=0.6, loop=0.7)
        for day in range(12)
    ]
    made[4] = Period(start_us=made[4].start_us, end_us=made[4].end_us, rows=3, frozen=float("nan"), loop=float("nan"))
    strange = "<script>alert('x')</script>"
    done = (
        Deed(at_us=START_US + DAY_US, sort="alarm", what=strange, why=strange),
        Deed(at_us=START_US + 2 * DAY_US, sort="retrain", what="train", why="so"),
        Deed(at_us=START_US + 3 * DAY_US, sort="decision", what="canary at 1%", why="so"),
        Deed(at_us=START_US + 4 * DAY_US, sort="decision", what="canary at 50%", why="so"),
        Deed(at_us=START_US + 5 * DAY_US, sort="promotion", what="a new champion", why="so"),
        Deed(at_us=START_US + 9 * DAY_US, sort="decision", what="canary at 1%", why="so"),
    )
    struck = ((START_US + 5 * DAY_US, START_US + 6 * DAY_US, strange),)
    scene = Scene(metric=strange, periods=made, deeds=done, end_us=START_US + 12 * DAY_US, bound=0.65, struck=struck)
    text = page(scene, title=strange, below="", facts=[("1", strange)], caption="", warnings=[strange])
    assert "<script" not in text
    assert text.count('class="dot main"') == 11
    assert text.count('class="dot frozen"') == 11
    assert "nan" not in text
    assert ">alarms 1<" in text
    assert ">rollbacks" not in text
    assert ">canaries 2<" in text
    assert json.dumps(strange) not in text
