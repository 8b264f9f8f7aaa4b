"""A short run of the benchmark that kills the real processes of a loop: serving and the loop go on, nothing is lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "benchmarks" / "chaos_loop" / "run.py"


@pytest.mark.slow
def test_the_loop_and_what_it_serves_go_on_whatever_is_killed(tmp_path: Path) -> None:
    words = [sys.executable, str(RUN), "--faults", "5", "--sqlite-only", "--out", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=1_800)
    assert done.returncode == 0, done.stdout + done.stderr
    (trial,) = json.loads((tmp_path / "result.json").read_text())["trials"]
    assert trial["wrong"] == []
    assert len(trial["faults"]) == 5
    assert trial["predictions"] > 100
    assert trial["labels"] > 100
    assert trial["trainings"] >= 1  # the one that was asked for when all was quiet
