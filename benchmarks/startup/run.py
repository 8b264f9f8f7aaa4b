"""How soon does it answer, and what comes along? `--help` within 150 ms; the core installs within 60 s, without torch.

    python benchmarks/startup/run.py              20 starts in turns, and one install into a new environment
    python benchmarks/startup/run.py --quick      5 starts, no install

The starts of `holdtrue --help`, `import holdtrue` and a bare Python alternate, so that others on the machine disturb
all alike; a start is the median of its processor time (user and system) and of the clock. The install goes by pip,
without its cache, from a copy of this checkout into an empty virtual environment, with constraints.txt if there is one.

Claims: `--help` at most 150 ms of processor time; install at most 60 s; at most 24 direct dependencies; torch is not
among the packages. Writes result.json and result.md beside this file (or to --out).
"""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
HELP_MS, INSTALL_S, MOST_DIRECT = 150.0, 60.0, 24
NEEDED = ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "constraints.txt", "src")
BROUGHT_BY_VENV = {"pip", "setuptools"}
LARGEST = 8

STARTS: Mapping[str, list[str]] = {
    "holdtrue --help": [str(Path(sys.executable).with_name("holdtrue")), "--help"],
    'python -c "import holdtrue"': [sys.executable, "-c", "import holdtrue"],
    "python -c pass": [sys.executable, "-c", "pass"],
}


def spent(command: list[str], folder: Path | None = None) -> tuple[float, float]:
    """Run a command to its end; gives seconds by the clock and of the processor, its children included."""
    before, start = children(), time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    end, after = time.perf_counter(), children()
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return end - start, after - before


def children() -> float:
    """The processor time of all processes this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def starts(rounds: int) -> dict[str, dict[str, float]]:
    """Start each in turns; the first round warms the files and is not counted."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in STARTS}
    for number in range(rounds + 1):
        for name, command in STARTS.items():
            found = spent(command)
            if number:
                taken[name].append(found)
    return {
        name: {
            "wall_ms": 1000 * median(wall for wall, _ in found),
            "wall_least_ms": 1000 * min(wall for wall, _ in found),
            "cpu_ms": 1000 * median(cpu for _, cpu in found),
        }
        for name, found in taken.items()
    }


def installed(folder: Path) -> dict[str, Any]:
    """Install the core as a user does, and look at what came."""
    copy, place = folder / "checkout", folder / "venv"
    copy.mkdir()
    for name in NEEDED:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        elif path.is_file():
            shutil.copy2(path, copy / name)
    venv.create(place, with_pip=True)
    pinned = ["-c", "constraints.txt"] if (copy / "constraints.txt").is_file() else []
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-cache-dir"]
    wall, cpu = spent([*pip, "--disable-pip-version-check", *pinned, "."], copy)
    listed = "import importlib.metadata as m, json; print(json.dumps([d.name for d in m.distributions()]))"
    told = subprocess.run([str(place / "bin" / "python"), "-c", listed], capture_output=True, text=True, check=True)
    names = sorted({name.lower() for name in json.loads(told.stdout)} - BROUGHT_BY_VENV)
    site = next(place.glob("lib/python*/site-packages"))
    sizes = {
        part.name: sum(path.stat().st_size for path in part.rglob("*") if path.is_file()) if part.is_dir() else 0
        for part in site.iterdir()
        if part.name.split("-")[0] not in BROUGHT_BY_VENV
    }
    helped, _ = spent([str(place / "bin" / "holdtrue"), "--help"])
    largest = sorted(sizes.items(), key=lambda entry: -entry[1])[:LARGEST]
    return {
        "wall_s": wall,
        "cpu_s": cpu,
        "first_help_ms": 1000 * helped,
        "pinned": bool(pinned),
        "packages": names,
        "megabytes": sum(sizes.values()) / 1e6,
        "largest_mb": {name: size / 1e6 for name, size in largest},
        "torch": "torch" in names,
    }


def direct() -> list[str]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]


def page(found: Mapping[str, Any], about: Mapping[str, str]) -> str:
    lines = [
        "# Start and install",
        "",
        f"{found['rounds']} starts of each, in turns.",
        "",
        "| start | processor, ms (median) | clock, ms (median) | clock, ms (least) |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| `{name}` | {took['cpu_ms']:.0f} | {took['wall_ms']:.0f} | {took['wall_least_ms']:.0f} |"
        for name, took in found["starts"].items()
    ]
    claims = [
        (
            f"`--help` within {HELP_MS:.0f} ms of processor time",
            found["starts"]["holdtrue --help"]["cpu_ms"] <= HELP_MS,
        ),
        (f"{len(found['direct'])} direct dependencies, at most {MOST_DIRECT}", len(found["direct"]) <= MOST_DIRECT),
    ]
    new = found["install"]
    if new:
        largest = ", ".join(f"{name} {size:.0f}" for name, size in new["largest_mb"].items())
        lines += [
            "",
            f"Install of the core into an empty environment{', pinned by constraints.txt' if new['pinned'] else ''}: "
            f"{new['wall_s']:.1f} s by the clock, {new['cpu_s']:.1f} s of processor time, "
            f"{len(new['packages'])} packages,",
            f"{new['megabytes']:.0f} MB (the largest: {largest}).",
            "",
            f"All of them: {', '.join(new['packages'])}.",
        ]
        claims += [
            (f"install within {INSTALL_S:.0f} s", new["wall_s"] <= INSTALL_S),
            ("torch is not among the packages", not new["torch"]),
        ]
    lines += ["", *(f"- {claim}: {'held' if holds else 'NOT HELD'}" for claim, holds in claims)]
    return "\n".join([*lines, "", *(f"{key}: {value}  " for key, value in about.items()), ""])


def machine() -> dict[str, str]:
    known = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    model = [line.split(":")[1].strip() for line in known if line.startswith("model name")]
    commit = ["git", "rev-parse", "--short", "HEAD"]
    said = subprocess.run(commit, cwd=HERE, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "machine": f"{model[0] if model else platform.machine()}, {os.cpu_count()} cores, shared with others: "
        f"{os.getloadavg()[0]:.1f} processes wanted to run at the end",
        "versions": f"Python {platform.python_version()}, pip {version('pip')}, typer {version('typer')}",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "commit": said or "unknown",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5 starts, no install")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--keep", action="store_true", help="write no result")
    parser.add_argument("--out", type=Path, default=HERE)
    asked = parser.parse_args()
    rounds = 5 if asked.quick else asked.rounds
    found: dict[str, Any] = {"rounds": rounds, "starts": starts(rounds), "direct": direct(), "install": None}
    if not asked.quick:
        with tempfile.TemporaryDirectory() as folder:
            found["install"] = installed(Path(folder))
    about = machine()
    told = page(found, about)
    print(told)
    if not asked.keep:
        (asked.out / "result.json").write_text(json.dumps({**about, **found}, indent=1) + "\n")
        (asked.out / "result.md").write_text(told)
    return 1 if "NOT HELD" in told else 0


if __name__ == "__main__":
    raise SystemExit(main())
