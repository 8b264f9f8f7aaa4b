"""Trials on disk read back as they were written."""

from dataclasses import replace
from pathlib import Path

from holdtrue.training.journal import Journal, Trial

FIRST = Trial(
    number=0, learner="mlp", settings={"units": 8, "alpha": 1e-5, "word": "é", "none": None}, state="complete",
    score=0.1 + 0.2, steps=(0.5, 0.1 + 0.2),
)  # fmt: skip
SECOND = Trial(number=1, learner="ridge", settings={}, state="failed", score=None, reason="It could\nnot.")


def journal(folder: Path) -> Journal:
    made = Journal(path=folder / "deep" / "trials.jsonl", search="a")
    assert made.open() == ()
    made.add(FIRST)
    made.add(SECOND)
    return made


def test_trials_come_back_to_the_bit(tmp_path: Path) -> None:
    assert journal(tmp_path).open() == (FIRST, SECOND)


def test_a_half_written_line_is_cut_off(tmp_path: Path) -> None:
    made = journal(tmp_path)
    whole = made.path.read_bytes()
    made.path.write_bytes(whole[:-1])
    assert made.open() == (FIRST,)
    made.add(SECOND)
    assert made.path.read_bytes() == whole


def test_lines_after_one_that_makes_no_sense_are_not_believed(tmp_path: Path) -> None:
    made = journal(tmp_path)
    lines = made.path.read_bytes().splitlines(keepends=True)
    made.path.write_bytes(lines[0] + b'{"number": 0}\n' + lines[1])
    assert made.open() == ()


def test_a_number_out_of_order_ends_the_journal(tmp_path: Path) -> None:
    made = journal(tmp_path)
    made.add(replace(SECOND, number=7))
    assert made.open() == (FIRST, SECOND)


def test_another_search_finds_an_empty_journal(tmp_path: Path) -> None:
    made = journal(tmp_path)
    assert replace(made, search="b").open() == ()
    assert made.open() == ()
