"""The benchmark with few canaries: the champion once more is rarely called worse, and harm is found in time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "canary" / "run.py"


@pytest.mark.slow
def test_a_good_canary_is_left_alone_and_a_bad_one_is_found() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--quick"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "500 canaries that are no worse" in done.stdout
