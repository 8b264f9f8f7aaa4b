"""The benchmark of estimates with few windows: they hold where inputs moved, and are off where the truth did."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "estimates" / "run.py"


@pytest.mark.slow
def test_estimates_hold_under_shift_and_are_off_under_a_change_of_the_truth() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--quick"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "all claims hold" in done.stdout
