"""The benchmark with few runs: every bound the product uses, at a truth exactly on the promise."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "false_proof" / "run.py"


@pytest.mark.slow
def test_no_bound_proves_what_is_false_more_often_than_it_may(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--quick", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    result = json.loads((tmp_path / "result.json").read_text())
    assert {row["kind"] for row in result["rows"]} >= {"quality", "beats", "calibrated", "fair", "robust", "fast"}
    assert all(row["holds"] for row in result["rows"])
    assert result["wear"]["paid"] <= 0.05 < result["wear"]["unpaid"]
    assert "| quality |" in (tmp_path / "result.md").read_text()
