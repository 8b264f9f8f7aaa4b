"""The verbs that make and use a release: init, run, why, predict, reproduce."""

import os
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from rich.text import Text

from holdtrue.cli.person import actor, keeper, now
from holdtrue.cli.show import console, interval, number, print_json, progress, promise_table, table, verdict
from holdtrue.core.errors import Misuse, nearest

if TYPE_CHECKING:
    from holdtrue.pipeline.draft import Told

ENGINES = ("here", "ray")


def init(
    file: str,
    target: str,
    folder: Path,
    *,
    query: str | None,
    time: Sequence[str],
    drop: Sequence[str],
    force: bool,
    as_json: bool,
) -> int:
    from holdtrue.core.files import write_whole
    from holdtrue.pipeline.draft import draft

    places = [folder / name for name in ("holdtrue.yaml", "contract.yaml")]
    there = [path.name for path in places if path.exists()]
    if there and not force:
        raise Misuse(f"{' and '.join(there)} is there already.", do="Write over it with --force.")
    fresh = not folder.exists()
    try:
        with progress(quiet=as_json) as tell:
            made = draft(
                file,
                target,
                folder=folder,
                query=query,
                time=tuple(time),
                drop=tuple(drop),
                environ=os.environ,
                now=now(),
                tell=tell,
            )
    except BaseException:
        if fresh:  # a mistyped command leaves no folder behind
            shutil.rmtree(folder, ignore_errors=True)
        raise
    for path, text in zip(places, (made.project_text, made.contract_text), strict=True):
        write_whole(path, text.encode())
    if as_json:
        print_json({"files": [str(path) for path in places], "guesses": [each.to_json() for each in made.guesses]})
    else:
        _guessed(made.guesses, places, folder)
    return 0


def _guessed(guesses: "Sequence[Told]", places: Sequence[Path], folder: Path) -> None:
    out = console()
    rows = [(guess.about, guess.guess, guess.because) for guess in guesses]
    out.print(table("What was guessed, and why", ("about", "guess", "because"), rows))
    out.print(f"\nWrote {' and '.join(map(str, places))}. Read them and change what is wrong.")
    out.print(f"Next:   holdtrue run{_there(folder)}")


def _there(folder: Path) -> str:
    """End a command that is to be run next, when its project is not where we are."""
    return "" if folder == Path() else f" --folder {shlex.quote(str(folder))}"


def run(folder: Path, *, profile: str | None, as_json: bool) -> int:
    from holdtrue.pipeline.run import run as walk
    from holdtrue.pipeline.workspace import open_workspace

    workspace = open_workspace(folder, environ=os.environ, profile=profile)
    with progress(quiet=as_json) as tell:
        outcome = walk(workspace, now=now(), clock=perf_counter, tell=tell, actor=actor(), environ=os.environ)
    if as_json:
        print_json(outcome.to_json())
    else:
        _told(outcome.contents, outcome.release, outcome.aliases, outcome.report, folder)
    return outcome.exit_code


def _told(report: Mapping[str, Any], release: str | None, aliases: Sequence[str], page: Path, folder: Path) -> None:
    out = console()
    metric = report["headline_metric"]
    rows = [
        (
            Text(model["name"], style="bold" if model["role"] == "champion" else ""),
            "this model" if model["role"] == "champion" else "baseline",
            number(model["metrics"][metric]["value"]),
            interval(model["metrics"][metric]),
        )
        for model in report["models"]
        if model["role"] in {"champion", "baseline"} and metric in model["metrics"]
    ]
    title = f"{report['metrics'][metric]['title']} on {number(report['data']['split']['test']['rows'])} held-out rows"
    out.print(table(title, ("model", "", "value", "limits"), rows, right=(2,)))
    out.print()
    out.print(promise_table(report["promises"]))
    out.print()
    for note in report.get("notes", ()):
        out.print(f"Note: {note}")
    if any(model["role"] == "champion" and model["beaten_by_baseline"] for model in report["models"]):
        out.print(
            Text(
                "This model does not beat its simple baselines. Prefer the baseline, or find out why.",
                style="bold yellow",
            )
        )
    if release is not None:
        named = (
            f" It is now {' and '.join(aliases)}."
            if aliases
            else f" Give it a name: holdtrue promote {release[:12]} NAME{_there(folder)}"
        )
        out.print(Text.assemble(verdict("proven"), f"  Release {release[:12]}.{named}"))
        name = aliases[0] if aliases else release[:12]
        out.print(f"Report: {page}\nNext:   holdtrue predict {name} NEW_ROWS --out out.csv{_there(folder)}")
    else:
        out.print(Text.assemble(verdict(report["verdict"]), "  There is no release."))
        out.print(f"Report: {page}\nNext:   holdtrue why{_there(folder)}")


def why(about: str | None, folder: Path, *, as_json: bool) -> int:
    from holdtrue.pipeline.why_now import explain_about

    found = explain_about(keeper(folder), about, now=now())
    if as_json:
        print_json(found.to_json())
        return 0
    out = console()
    out.print(Text(found.headline, style="bold"))
    for cause in found.causes:
        out.print(f"\n{cause.what}")
        for step in cause.because:
            out.print(f"  because {step}")
        if cause.do:
            out.print(f"  → {cause.do}")
    return 0


def predict(release: str, file: str, out: Path, folder: Path, *, engine: str = "here", as_json: bool) -> int:
    from holdtrue.data.source import Source
    from holdtrue.pipeline.predicting import predict_file

    if engine not in ENGINES:
        raise Misuse(f"--engine is {' or '.join(ENGINES)}, not {engine!r}{nearest(engine, ENGINES)}")
    kept = keeper(folder)
    ready = kept.predictor(release)
    with progress(quiet=as_json) as tell:
        if engine == "ray":
            from holdtrue.pipeline.ray_predicting import bundle_of, over_ray, predict_folder

            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing of ours reports home
            os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
            done = predict_folder(bundle_of(ready, kept.home.keys), Path(file), out, engine=over_ray, tell=tell)
        else:
            done = predict_file(ready, Source(location=file), out, base=Path.cwd(), tell=tell)
    if as_json:
        print_json({"release": done.release, "rows": done.rows, "out": str(done.out), "breaches": list(done.breaches)})
        return 0
    told = console()
    if done.breaches:
        told.print("Some rows break the contract of the release; they were answered all the same:")
        for breach in done.breaches:
            told.print(f"  {breach}")
    told.print(f"Wrote {number(done.rows)} predictions of {done.release[:12]} to {done.out}.")
    return 0


def reproduce(release: str, folder: Path, *, as_json: bool) -> int:
    from holdtrue.pipeline.reproduce import reproduce as again

    with progress(quiet=as_json) as tell:
        found = again(keeper(folder), release, now=now(), tell=tell)
    if as_json:
        print_json({"release": found.release, "made": found.made, "same": found.same, "difference": found.difference})
    elif found.same:
        console().print(f"Trained again from its lineage: the same digest, {found.release}.")
    else:
        console().print(
            f"Not the same: {found.release[:12]} was made again as {found.made[:12] if found.made else 'nothing'}."
        )
        console().print(f"The first difference: {found.difference}")
    return 0 if found.same else 1
