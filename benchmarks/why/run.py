"""Does `holdtrue why` name the true cause of what goes wrong, and none where nothing does?

    python benchmarks/why/run.py [--seeds 3] [--null 30] [--only WORDS] [--out FOLDER]

faults.json lists thirty faults over the whole life of a model, what a person would ask, and the cause that is true; it
was written before any was tried. Each is put into a small project with two weeks of labelled traffic
(tests/pipeline/ailing.py), `holdtrue why` is asked with --json, and its `cause` is right when kind and place are those
of the list. What is missed is shown as missed. Projects in which nothing is wrong are asked too, and must have none.
Claims: at least 28 of 30 for every seed, and no cause where nothing is wrong. Writes result.json and result.md.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.pipeline.ailing import HARDER, LISTED, SEEDED, WEAKER, Ward, ask, well

HERE = Path(__file__).parent
LEAST = 28


def asked(place: Path, wanted: Mapping[str, str], seed: int) -> dict[str, Any]:
    """Put one fault into a project, ask, and judge the answer."""
    ward = Ward(place=place, seed=seed)
    began, wrong, found = time.monotonic(), "", None
    try:
        found = ask({**SEEDED, **WEAKER}[wanted["fault"]](ward))
    except Exception as error:  # a fault that cannot be asked about is missed, and said to be
        wrong = f"{type(error).__name__}: {error}"
    finally:
        ward.discharge()
    right = found is not None and (found["kind"], found["where"]) == (wanted["kind"], wanted["where"])
    named = {} if found is None else {name: str(text).replace(f"{place}/", "") for name, text in found.items()}
    return {**wanted, "seed": seed, "right": right, "named": named, "wrong": wrong, "seconds": time.monotonic() - began}


def nothing(place: Path, seed: int) -> dict[str, Any]:
    """Ask where nothing is wrong."""
    ward = Ward(place=place, seed=seed)
    try:
        found = ask(well(ward))
    finally:
        ward.discharge()
    return {"seed": seed, "named": None if found is None else dict(found)}


def _all(place: Path, listed: Sequence[Mapping[str, str]], seed: int, only: str) -> Iterator[dict[str, Any]]:
    for wanted in listed:
        if only in wanted["fault"]:
            one = asked(place, wanted, seed)
            verdict = "right" if one["right"] else f"MISSED: {one['wrong'] or one['named']}"
            print(f"{seed} {one['fault']}: {verdict} ({one['seconds']:.0f} s)", flush=True)
            yield one


def claims(result: Mapping[str, Any]) -> dict[str, bool]:
    right = result["right"]
    most = f"the true cause first, for at least {LEAST} of {len(LISTED)} faults with every seed"
    return {
        f"{most} ({', '.join(str(count) for count in right.values())})": min(right.values()) >= LEAST,
        f"no cause in {len(result['null'])} projects in which nothing is wrong": not any(
            one["named"] for one in result["null"]
        ),
    }


def page(result: Mapping[str, Any]) -> str:
    about = result["machine"]
    false = [one for one in result["null"] if one["named"]]
    return "\n".join(
        [
            "# Why, asked of thirty faults",
            "",
            f"Each fault with {len(result['right'])} seeds, in a small project with two weeks of labelled traffic; the"
            " list of causes was written before any was tried. Right means that the first cause has the kind and the"
            " place of the list.",
            "",
            *(f"- {claim}: {'held' if held else 'NOT HELD'}" for claim, held in result["claims"].items()),
            "",
            *_table(result["faults"], LISTED),
            *(f"- nothing wrong, seed {one['seed']}: named {_place(one['named'])}" for one in false),
            "",
            "Ten that are harder, of which nothing is claimed: weaker ones, or for some of the rows alone. They were"
            " written down when the thirty were known to be found, before any of the ten was tried.",
            "",
            *_table(result["harder"], HARDER),
            "",
            f"{about['processor']}, {about['cores']} cores, {about['system']}, Python {about['python']}, Holdtrue"
            f" {about['holdtrue']}, {result['date']}, commit {result['commit']}; {result['minutes']:.0f} minutes.",
            "",
            "The faults are ones that we thought of, each alone, in data that we made, and large enough to be seen in"
            " four days of 240 rows. In life several come together, and smaller. On the very first try 27 of the thirty"
            " were right: inverted labels were taken for a changed meaning, which was mended in `why`; the project file"
            " for poisoned labels had a slip, and the world of the changed population moved the column behind the back"
            " of its labels, which is another fault. These two were mended in the worlds. After a first try"
            " of the ten, one seed, repeated rows are told of from a twentieth on, not a tenth, and labels are looked"
            " at over more lengths of time.",
            "",
        ]
    )


def _table(found: Sequence[Mapping[str, Any]], listed: Sequence[Mapping[str, str]]) -> list[str]:
    lines = ["| what is wrong | asked | the cause | at | named first |", "|---|---|---|---|---:|"]
    for wanted in listed:
        mine = [one for one in found if one["fault"] == wanted["fault"]]
        if mine:
            verb = f"why {wanted['ask'].upper()}".strip()
            right = f"{sum(one['right'] for one in mine)} of {len(mine)}"
            lines.append(f"| {wanted['fault']} | {verb} | {wanted['kind']} | {wanted['where']} | {right} |")
    missed = [one for one in found if not one["right"]]
    lines += ["", "What was missed:" if missed else "Nothing was missed.", ""]
    for one in missed:
        told = one["wrong"] or (f"named {_place(one['named'])}" if one["named"] else "named nothing")
        lines.append(f"- {one['fault']}, seed {one['seed']}: {told}")
    return lines


def _place(named: Mapping[str, str]) -> str:
    return f"{named['kind']}, {named['where']}"


def machine() -> dict[str, Any]:
    about = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in about.splitlines() if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "holdtrue": version("holdtrue"),
    }


def main(given: Sequence[str] | None = None) -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--null", type=int, default=30, help="projects in which nothing is wrong")
    arguments.add_argument("--only", default="", help="faults whose name has these words")
    arguments.add_argument("--out", type=Path, default=HERE)
    told = arguments.parse_args(given)
    began = time.monotonic()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE, check=False
    )
    with tempfile.TemporaryDirectory(prefix="holdtrue-why-") as name:
        place, seeds = Path(name), range(1, told.seeds + 1)
        faults = [each for seed in seeds for each in _all(place, LISTED, seed, told.only)]
        harder = [each for seed in seeds for each in _all(place, HARDER, seed, told.only)]
        null = [nothing(place, 1_000 + at) for at in range(told.null)]
        print(f"{sum(one['named'] is not None for one in null)} of {len(null)} false", flush=True)
    right = {seed: sum(one["right"] for one in faults if one["seed"] == seed) for seed in seeds}
    result: dict[str, Any] = {
        "right": right,
        "faults": faults,
        "harder": harder,
        "null": null,
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit.stdout.strip(),
        "minutes": (time.monotonic() - began) / 60,
    }
    result["claims"] = claims(result)
    told.out.mkdir(parents=True, exist_ok=True)
    (told.out / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    (told.out / "result.md").write_text(page(result))
    print("\n".join(f"{claim}: {'held' if held else 'NOT HELD'}" for claim, held in result["claims"].items()))
    return 0 if all(result["claims"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
