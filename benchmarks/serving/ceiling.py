"""How much load the generators can make: both ask a server in C that does nothing but answer."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from environments import Failed
from load import closed, lay_out, opened
from servers import free_ports

HERE = Path(__file__).parent
RATES = (5_000, 10_000, 20_000, 30_000, 40_000, 60_000, 80_000)
LATE_US = 1_000.0  # up to here its latencies are those of the server
LOST_US = 100_000.0  # so late in half of all cases, it no longer keeps up


@contextmanager
def echo(program: Path, core: int) -> Generator[int]:
    """Run the server in C on the core of servers."""
    (port,) = free_ports(1)
    server = subprocess.Popen([sys.executable, str(HERE / "keeper.py"), str(core), str(program), str(port)])
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait(timeout=30)


def ceiling(body: bytes, folder: Path, *, core: int, load_cores: list[int], seconds: float) -> dict[str, Any]:
    """Measure both generators with this body; says so when there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return {"missing": "no C compiler (cc) to build echo.c with"}
    program = folder / "echo"
    subprocess.run([compiler, "-O2", "-D_GNU_SOURCE", "-o", str(program), str(HERE / "echo.c")], check=True)
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
    requests = lay_out([head.encode() + body], folder / "requests-echo")
    with echo(program, core) as port:
        loops = {
            str(connections): closed(port, requests, connections=connections, seconds=seconds, cores=load_cores)
            for connections in (1, 16, 64)
        }
        if any(result.refused or result.broken for result in loops.values()):
            raise Failed("wrk did not understand the answers of echo.c")
        kept: list[dict[str, float]] = []
        for rate in RATES:
            found = opened(port, requests, rate_per_s=rate, seconds=seconds, limit_ms=10.0, cores=load_cores)
            kept.append(
                {"rate_per_s": rate, "p50_us": found.p50_us, "p99_us": found.p99_us, "late_p99_us": found.late_p99_us}
            )
            if found.p50_us > LOST_US or found.failed:
                break
    fine = [each["rate_per_s"] for each in kept if each["p99_us"] <= LATE_US]
    return {
        "body_bytes": len(body),
        "closed_per_s": {name: result.requests / result.seconds for name, result in loops.items()},
        "open": kept,
        "open_per_s": max(fine, default=0),
    }
