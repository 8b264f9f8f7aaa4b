"""Labels of a file are kept whole or not at all, once, and mean the same as those that came by HTTP."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from holdtrue.core.errors import DataFault
from holdtrue.data.source import Source
from holdtrue.data.traffic.journal import Journal
from holdtrue.data.traffic.label import Label, pack_label
from holdtrue.data.traffic.read import labels
from holdtrue.data.traffic.resolve import Current, current_labels
from holdtrue.pipeline.keeping import Keeper
from holdtrue.pipeline.labels import MOST_FAULTS, Labelled, label_file
from holdtrue.pipeline.progress import silent
from holdtrue.serving.labelling import read_labels
from tests.pipeline.recorded import NOW_US, PROJECT, Recorder, row

LATER_US = NOW_US + 3_600_000_000


def given(
    keeper: Keeper, file: Path, *, key: Sequence[str] = (), value: str = "value", now_us: int = LATER_US
) -> Labelled:
    return label_file(
        keeper,
        Source(location=file.name),
        base=file.parent,
        value=value,
        key=key,
        source_name="file",
        caller="tester",
        now_us=now_us,
        tell=silent,
    )


def by_http(keeper: Keeper, *entries: dict[str, Any], now_us: int = LATER_US, stream: int = 99) -> None:
    """Keep labels as the endpoint does."""
    journal = Journal(keeper.home.path / "traffic", endpoint=PROJECT, stream=stream, now=lambda: now_us)
    read = read_labels(msgspec.json.encode(list(entries)), now_us=now_us, caller="shop")
    journal.add_all([pack_label(label) for label in read])
    journal.write()
    journal.close()


def kept(keeper: Keeper) -> list[Label]:
    return list(labels(keeper.home.path / "traffic", endpoint=PROJECT))


def held(keeper: Keeper) -> dict[Any, Current]:
    return dict(current_labels(kept(keeper)))


def csv(folder: Path, *lines: str, name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def ids(recorder: Recorder) -> list[str]:
    """The ids of three predictions."""
    made = recorder.answer([row(20.0), row(30.0), row(40.0)])
    recorder.write()
    return [one.id for one in made]


def test_labels_by_prediction_name_the_prediction_and_its_row(keeper: Keeper, ids: list[str], tmp_path: Path) -> None:
    file = csv(tmp_path, "prediction_id,row,value", f"{ids[0]},0,1", f"{ids[1]},2,0.5", f"{ids[2]},,yes")
    assert given(keeper, file) == Labelled(kept=3, known=0)
    found = {(label.prediction, label.row): label.value for label in kept(keeper)}
    assert found == {(ids[0], 0): 1, (ids[1], 2): 0.5, (ids[2], 0): "yes"}
    assert {(label.source, label.caller, label.received_us) for label in kept(keeper)} == {("file", "tester", LATER_US)}


def test_labels_by_key_need_no_prediction(keeper: Keeper, ids: list[str], tmp_path: Path) -> None:
    file = csv(tmp_path, "booking,day,gone", "7,mon,true", "007,tue,false")
    assert given(keeper, file, key=("booking", "day"), value="gone").kept == 2
    assert [(label.key, label.value) for label in kept(keeper)] == [
        ({"booking": 7, "day": "mon"}, True),
        ({"booking": "007", "day": "tue"}, False),
    ]
    assert ids


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
        ("2026-01-02 10:00:00", datetime(2026, 1, 2, 10, tzinfo=UTC)),
        ("2026-01-02T10:00:00+02:00", datetime(2026, 1, 2, 8, tzinfo=UTC)),
        ("1767312000", datetime(2026, 1, 2, tzinfo=UTC)),
        ("", None),
    ],
)
def test_the_time_is_when_it_became_true(
    keeper: Keeper, ids: list[str], tmp_path: Path, written: str, meant: datetime | None
) -> None:
    given(keeper, csv(tmp_path, "prediction_id,value,time", f"{ids[0]},1,{written}"))
    (label,) = kept(keeper)
    assert label.time_us == (LATER_US if meant is None else int(meant.timestamp() * 1e6))


def test_a_table_with_types_keeps_them(keeper: Keeper, ids: list[str], tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "prediction_id": ids,
            "value": [Decimal("1.5"), Decimal("2"), Decimal("0")],
            "time": [date(2026, 1, 2), date(2026, 1, 3), None],
        }
    )
    frame.write_parquet(tmp_path / "labels.parquet")
    assert given(keeper, tmp_path / "labels.parquet").kept == 3
    assert {label.value for label in kept(keeper)} == {1.5, 2.0, 0.0}
    assert min(label.time_us for label in kept(keeper)) == int(datetime(2026, 1, 2, tzinfo=UTC).timestamp() * 1e6)


def test_a_file_that_is_given_twice_counts_once(keeper: Keeper, ids: list[str], tmp_path: Path) -> None:
    file = csv(tmp_path, "prediction_id,value", f"{ids[0]},1", f"{ids[1]},0")
    assert given(keeper, file) == Labelled(kept=2, known=0)
    assert given(keeper, file, now_us=LATER_US + 5) == Labelled(kept=0, known=2)
    csv(tmp_path, "prediction_id,value", f"{ids[0]},1", f"{ids[1]},0", f"{ids[2]},1")
    assert given(keeper, file) == Labelled(kept=1, known=2)
    assert len(kept(keeper)) == 3


def test_a_row_that_is_there_twice_counts_once(keeper: Keeper, ids: list[str], tmp_path: Path) -> None:
    file = csv(tmp_path, "prediction_id,value", f"{ids[0]},1", f"{ids[0]},1", f"{ids[0]},1")
    assert given(keeper, file) == Labelled(kept=1, known=2)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{id},", "row 2: column 'value' is empty"),
        (",1", "row 2: column 'prediction_id' is empty"),
        ("nonsense,1", "row 2: 'nonsense' is no prediction id"),
        ("{id},1,0.5", "row 2: row counts the rows"),
        ("{id},1,-1", "row 2: row counts the rows"),
        ("{id},1,,yesterday", "row 2: 'yesterday' is no date"),
        ("{id},1,,1e99", "row 2: "),
    ],
)
def test_a_row_that_is_no_label_keeps_the_whole_file_out(
    keeper: Keeper, ids: list[str], tmp_path: Path, line: str, said: str
) -> None:
    cells = line.replace("{id}", ids[1]).split(",")
    cells += [""] * (4 - len(cells))
    file = csv(tmp_path, "prediction_id,value,row,time", f"{ids[0]},1,,", ",".join(cells), f"{ids[2]},1,,")
    with pytest.raises(DataFault, match=r"1 of the 3 rows") as caught:
        given(keeper, file)
    assert [fault for fault in caught.value.faults if not fault.startswith(said)] == []
    assert kept(keeper) == []


def test_every_wrong_row_is_counted_and_the_first_ones_named(keeper: Keeper, ids: list[str], tmp_path: Path) -> None:
    file = csv(tmp_path, "prediction_id,value", *(f"x{number},1" for number in range(50)))
    with pytest.raises(DataFault, match=r"50 of the 50 rows") as caught:
        given(keeper, file)
    assert caught.value.faults[0].startswith("row 1: ")
    assert caught.value.faults[-1] == f"and {50 - MOST_FAULTS} more"
    assert ids


def test_columns_that_are_not_there_are_all_named(keeper: Keeper, ids: list[str], tmp_path: Path) -> None:
    file = csv(tmp_path, "bookings,values", "1,2")
    with pytest.raises(DataFault) as caught:
        given(keeper, file, key=("booking",))
    assert caught.value.faults == (
        "column 'value' is not there; did you mean 'values'?",
        "column 'booking' is not there; did you mean 'bookings'?",
    )
    assert ids


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_json_does_not_know_is_refused(
    keeper: Keeper, ids: list[str], tmp_path: Path, value: float
) -> None:
    pl.DataFrame({"prediction_id": ids[:1], "value": [value]}).write_parquet(tmp_path / "labels.parquet")
    with pytest.raises(DataFault):
        given(keeper, tmp_path / "labels.parquet")


def test_a_file_and_a_client_that_say_the_same_agree(keeper: Keeper, ids: list[str], tmp_path: Path) -> None:
    by_http(keeper, {"prediction_id": ids[0], "value": 1}, {"key": {"booking": 7}, "value": True})
    given(keeper, csv(tmp_path, "prediction_id,value", f"{ids[0]},1"))
    given(keeper, csv(tmp_path, "booking,value", "7,true", name="keys.csv"), key=("booking",))
    found = held(keeper)
    assert len(found) == 2
    assert not any(one.conflict for one in found.values())


def test_a_file_that_comes_later_corrects_and_the_history_stays(keeper: Keeper, ids: list[str], tmp_path: Path) -> None:
    by_http(keeper, {"prediction_id": ids[0], "value": 0, "source": "file"}, now_us=LATER_US - 10)
    given(keeper, csv(tmp_path, "prediction_id,value", f"{ids[0]},1"))
    one = held(keeper)[(ids[0], 0)]
    assert (one.label.value, one.corrections, one.conflict) == (1, 1, False)


def test_two_sources_that_differ_are_a_conflict(keeper: Keeper, ids: list[str], tmp_path: Path) -> None:
    by_http(keeper, {"prediction_id": ids[0], "value": 0, "source": "bank"})
    given(keeper, csv(tmp_path, "prediction_id,value", f"{ids[0]},1"))
    assert held(keeper)[(ids[0], 0)].conflict


def test_damage_in_the_log_keeps_no_truth_out(keeper: Keeper, ids: list[str], tmp_path: Path) -> None:
    (segment,) = (keeper.home.path / "traffic" / PROJECT).glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.chmod(0o600)
    segment.write_bytes(data)
    assert given(keeper, csv(tmp_path, "prediction_id,value", f"{ids[0]},1")).kept == 1
