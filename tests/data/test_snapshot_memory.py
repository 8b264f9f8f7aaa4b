"""The memory a snapshot takes does not grow with the rows."""

import subprocess
import sys
from pathlib import Path

import pytest

MEASURED = """
import sys
from pathlib import Path
from holdtrue.core.files import ObjectStore
from holdtrue.data.snapshot import snapshot
from holdtrue.data.source import Source, batches

file = Path(sys.argv[1])
made = snapshot(batches(Source(location=file.name), base=file.parent), store=ObjectStore(root=file.parent / "objects"))
# Not ru_maxrss, which begins at the peak of the process that started this one.
print(made.rows, int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024)
"""


def measured(file: Path) -> tuple[int, int]:
    """The rows, and the peak memory in MB of a process that takes the snapshot."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(file)], check=True, capture_output=True, text=True, timeout=120
    )
    rows, peak_mb = done.stdout.split()
    return int(rows), int(peak_mb)


@pytest.mark.slow
def test_a_file_360_mb_larger_takes_hardly_more_memory(tmp_path: Path) -> None:
    line = ",".join(["some text", "1234.5", "x" * 180]) + "\n"
    peaks: list[int] = []
    for rows in (600_000, 2_400_000):
        file = tmp_path / f"{rows}.csv"
        with file.open("w") as stream:
            stream.write("a,b,c\n")
            for _ in range(rows // 1000):
                stream.write(line * 1000)
        found, peak_mb = measured(file)
        assert found == rows
        peaks.append(peak_mb)
    # How far the reader runs ahead depends on what else the machine does; its limit is 32 blocks of 2 MB.
    assert peaks[1] < peaks[0] + 120, f"peaks of {peaks} MB for files of 120 and 480 MB"
