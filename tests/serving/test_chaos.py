"""A short run of the benchmark that kills everything: what clients were told to be kept is there, once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "benchmarks" / "chaos" / "run.py"


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_or_doubled_by_kills_at_random_moments(tmp_path: Path) -> None:
    words = [sys.executable, str(RUN), "--kills", "15", "--random-only", "--out", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    (trial,) = json.loads((tmp_path / "result.json").read_text())["trials"]
    assert trial["kills"] >= 15
    assert trial["verdict"]["predictions"] > 100
    assert trial["verdict"]["labels"] > 100
    assert (trial["verdict"]["lost"], trial["verdict"]["duplicated"], trial["verdict"]["faults"]) == (0, 0, [])
