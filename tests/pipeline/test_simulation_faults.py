"""What goes wrong on purpose: how it is written, and what it strikes."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdtrue.core.errors import Misuse
from holdtrue.data.contract import Contract, Field
from holdtrue.pipeline.simulation.faults import Traffic, read_fault, struck
from holdtrue.pipeline.simulation.live import payload
from holdtrue.pipeline.simulation.rows import Rows

DAY_US = 86_400_000_000
COUNT = 400
CLASSES = ("no", "yes")
CONTRACT = Contract(
    fields=(
        Field(name="size", kind="number", integer=True),
        Field(name="price", kind="number", missing=("NA",)),
        Field(name="town", kind="category"),
    )
)


def live() -> Rows:
    chance = np.random.default_rng(3)
    raw = pl.DataFrame(
        {
            "size": [str(number) for number in chance.integers(1, 100, COUNT)],
            "price": ["NA" if number % 50 == 0 else f"{number / 4}" for number in range(COUNT)],
            "town": chance.choice(["Oslo", "Lyon"], COUNT).tolist(),
        }
    )
    time_us = 1_609_459_200_000_000 + np.arange(COUNT, dtype=np.int64) * DAY_US // 10  # from 2021-01-01 on
    truth = chance.choice(list(CLASSES), COUNT).tolist()
    return Rows(raw=raw, time_us=time_us, known_us=time_us + DAY_US, truth=truth)


def strike(*faults: str, rows: Rows | None = None, classes: tuple[str, ...] = CLASSES, seed: int = 7) -> Traffic:
    return struck(rows or live(), [read_fault(text) for text in faults], CONTRACT, classes=classes, seed=seed)


def test_without_faults_all_is_as_it_happened() -> None:
    made, rows = strike(), live()
    assert made.rows.raw.equals(rows.raw)
    assert list(made.rows.truth) == list(rows.truth)
    assert made.origin.tolist() == list(range(COUNT))


def test_a_drift_changes_a_number_from_its_time_on() -> None:
    rows = live()
    made = strike("drift:2021-01-11:price*1.5")
    before = rows.raw.get_column("price").to_list()
    after = made.rows.raw.get_column("price").to_list()
    assert after[:100] == before[:100]
    for old, new in zip(before[100:], after[100:], strict=True):
        assert (new == "NA") if old == "NA" else float(new) == pytest.approx(float(old) * 1.5)


def test_whole_numbers_stay_whole_and_can_be_sent() -> None:
    made = strike("drift:50%:size*1.5")
    sent = [row["size"] for row in payload(made.rows.raw, CONTRACT)]
    old = [int(text) for text in live().raw.get_column("size").to_list()]
    assert sent[:200] == old[:200]
    for new, size in zip(sent[200:], old[200:], strict=True):
        assert abs(new - 1.5 * size) <= 0.5
        assert float(new).is_integer()


def test_a_drift_can_give_a_value_and_add() -> None:
    made = strike("drift:2021-01-31:town=New York", "drift:0%:price+10", "drift:0%:size-1")
    towns = made.rows.raw.get_column("town").to_list()
    assert set(towns[300:]) == {"New York"}
    assert set(towns[:300]) == {"Oslo", "Lyon"}
    sent, rows = payload(made.rows.raw, CONTRACT), payload(live().raw, CONTRACT)
    assert [row["price"] for row in sent[1:50]] == [row["price"] + 10 for row in rows[1:50]]
    assert [row["size"] for row in sent] == [row["size"] - 1 for row in rows]


@pytest.mark.parametrize("part", [0.05, 0.5, 1.0])
def test_noise_makes_that_share_of_the_labels_say_something_else(part: float) -> None:
    made, rows = strike(f"noise:2021-01-11:{part:.0%}"), live()
    changed = [said != true for said, true in zip(made.rows.truth, rows.truth, strict=True)]
    assert not any(changed[:100])
    assert abs(sum(changed[100:]) / 300 - part) < 4 * np.sqrt(part * (1 - part) / 300) + 1e-9
    assert set(made.rows.truth) <= set(CLASSES)
    assert made.rows.raw.equals(rows.raw)


def test_poisoned_rows_are_copies_with_lies_beside_the_rows_that_happened() -> None:
    made, rows = strike("poison:50%:20%"), live()
    real = np.flatnonzero(made.origin >= 0)
    assert made.origin[real].tolist() == list(range(COUNT))
    assert [made.rows.truth[place] for place in real.tolist()] == list(rows.truth)
    copies = np.flatnonzero(made.origin < 0).tolist()
    assert 20 < len(copies) < 65
    for place in copies:
        same = [at for at in range(COUNT) if rows.time_us[at] == made.rows.time_us[place]]
        assert any(
            rows.raw.row(at) == made.rows.raw.row(place) and rows.truth[at] != made.rows.truth[place] for at in same
        )
    assert (np.diff(made.rows.time_us) >= 0).all()


def test_of_numbers_a_lie_is_the_number_of_another_row() -> None:
    rows = live()
    numbers = Rows(raw=rows.raw, time_us=rows.time_us, known_us=rows.known_us, truth=[float(n) for n in range(COUNT)])
    made = strike("noise:0%:100%", rows=numbers, classes=())
    assert set(made.rows.truth) <= set(numbers.truth)
    assert sum(said != true for said, true in zip(made.rows.truth, numbers.truth, strict=True)) > 0.95 * COUNT


@given(st.integers(min_value=0, max_value=2**31))
def test_the_same_seed_gives_the_same(seed: int) -> None:
    faults = ("noise:0%:10%", "poison:30%:10%")
    one, two = strike(*faults, seed=seed), strike(*faults, seed=seed)
    assert list(one.rows.truth) == list(two.rows.truth)
    assert one.origin.tolist() == two.origin.tolist()


def test_an_outage_says_when_and_how_long() -> None:
    found = read_fault("outage:2021-01-11T12:00:00Z:6h")
    at = datetime(2021, 1, 11, 12, tzinfo=UTC)
    assert found.at_us(live()) == round(at.timestamp() * 1e6)
    assert found.length_us == 6 * 3_600_000_000
    assert read_fault("outage:25%").at_us(live()) == live().time_us[100]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("flood:2021-01-01", "is no drift, noise, poison, outage"),
        ("nose:2021-01-01:5%", "did you mean 'noise'?"),
        ("drift", "it has no time"),
        ("drift:2021-01-01", "it does not say how which column changes"),
        ("drift:2021-01-01:price*much", "it does not say how which column changes"),
        ("drift:2021-13-01:price*2", "is no date in ISO form"),
        ("noise:2021-01-01", "'' is no share between 0 and 1"),
        ("noise:2021-01-01:120%", "no share between 0 and 1"),
        ("poison:130%:5%", "130% of the rows is after all of them"),
        ("outage:2021-01-01:long", "'long' is no length of time"),
    ],
)
def test_a_fault_that_cannot_be_read_is_told(text: str, told: str) -> None:
    with pytest.raises(Misuse) as refused:
        read_fault(text)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("drift:50%:prise*2", "changes 'prise', which the model does not see; did you mean 'price'?"),
        ("drift:50%:town*2", "counts with 'town', which is a category"),
    ],
)
def test_a_drift_that_strikes_nothing_is_told(text: str, told: str) -> None:
    with pytest.raises(Misuse) as refused:
        strike(text)
    assert told in str(refused.value)
