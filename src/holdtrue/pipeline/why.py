"""Why a run ended as it did: the chain of causes, and the next thing to do."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from holdtrue.core.errors import Misuse
from holdtrue.pipeline.keeping import Keeper
from holdtrue.registry.catalog import Run, find_release, find_run, runs_page

SHARE_LEFT = 0.8  # of the rows of the run before, with which nothing is said of lost rows
MOST_BEFORE = 50  # runs that are looked at for the one before
SHARE_STILL_CLIMBING = 0.02  # of the value, between the last two points of the learning curve


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """One thing that happened, the chain behind it, and what would change it.

    Attributes:
        kind: for machines, what sort of cause it is; nothing for what is so without being a fault.
        where: the column, source, file or part that it is about.
    """

    what: str
    because: tuple[str, ...] = ()
    do: str = ""
    kind: str = ""
    where: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    run: str
    headline: str
    causes: tuple[Cause, ...]

    @property
    def cause(self) -> dict[str, str] | None:
        """The first cause with a kind, in short: what a machine goes by; None where no fault is found."""
        first = next((each for each in self.causes if each.kind), None)
        if first is None:
            return None
        evidence = "; ".join(first.because) or first.what
        return {"kind": first.kind, "where": first.where, "evidence": evidence, "do": first.do}

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "cause": self.cause}


def explain(keeper: Keeper, about: str | None) -> Explanation:
    """Explain the last run, or the one that `about` names by its id, its release, or a release's alias."""
    run = _find(keeper, about)
    if run.state != "finished":
        return _ended(run)
    report = _report(keeper, run)
    verdict = report["verdict"]
    model = next(each for each in report["models"] if each["role"] == "champion")
    made = f"release {run.release[:12]}" if run.release else "no release"
    headline = f"Run {run.id} is {verdict}: {model['name']} on {report['data']['rows']:,} rows, {made}."
    causes = [*_rows_lost(keeper, run, report)]
    causes += [cause for promise in report["promises"] if (cause := _promise_cause(promise, report))]
    if not report["promises"]:
        causes.append(Cause(what="Nothing is promised, so nothing is proven.", do="Add promises to holdtrue.yaml."))
    if model["beaten_by_baseline"]:
        causes.append(_beaten(report))
    if report["holdout"]["uses"] > 1:
        causes.append(_worn(report))
    if not causes:
        causes.append(Cause(what="Every promise is proven, and the model beats its baselines."))
    return Explanation(run=run.id, headline=headline, causes=tuple(causes))


def _find(keeper: Keeper, about: str | None) -> Run:
    database = keeper.database()
    if about is None:
        page = database.read(lambda connection: runs_page(connection, project=keeper.project, limit=1))
        if not page.rows:
            raise Misuse("Nothing has run here yet.", do="Start with: holdtrue run")
        return page.rows[0]
    try:
        return database.read(lambda connection: find_run(connection, about, project=keeper.project))
    except Misuse as error:
        if error.faults:  # the beginning of several runs
            raise
    try:
        found = database.read(lambda connection: find_release(connection, about, project=keeper.project))
    except Misuse as error:
        if error.faults:
            raise
        raise Misuse(
            f"There is no run and no release {about!r}.", do="The last run is explained by: holdtrue why"
        ) from None
    page = database.read(
        lambda connection: runs_page(connection, project=keeper.project, release=found.digest, limit=1)
    )
    if not page.rows:
        raise Misuse(f"No run of this store made the release {found.digest[:12]}….")
    return page.rows[0]


def _ended(run: Run) -> Explanation:
    told = str(run.metrics.get("error", "")) or "It failed."
    how = {"running": "has not finished", "stopped": "was stopped"}.get(run.state, "failed")
    what = "It is still going on, or its process was ended." if run.state == "running" else told
    first, *rest = what.splitlines()
    do = "Mend that, and run again: holdtrue run"
    if run.state != "failed":
        do = "Run again; it goes on from its last trial: holdtrue run"
    cause = Cause(
        what=first, because=tuple(line.strip() for line in rest), do=do, kind=f"run {run.state}", where=run.id
    )
    return Explanation(run=run.id, headline=f"Run {run.id} {how}.", causes=(cause,))


def _report(keeper: Keeper, run: Run) -> Mapping[str, Any]:
    """Read the report where it lies now; where it was written is only asked when the store was split up."""
    places = [keeper.home.candidates / run.id, Path(run.report or "").parent]
    if run.release:
        places.append(keeper.home.releases / run.release)
    for place in places:
        try:
            return json.loads((place / "report.json").read_bytes())
        except (OSError, ValueError):
            continue
    raise Misuse(f"The report of run {run.id} is not in {places[0]} any more.", do="Run again: holdtrue run")


def _promise_cause(promise: Mapping[str, Any], report: Mapping[str, Any]) -> Cause | None:
    if promise["verdict"] == "proven":
        return None
    kind = promise["kind"]
    segment = _segment(promise, report)
    advisory = "" if promise["required"] else " It is advisory and does not stand in the way."
    because = [promise["reason"], *_behind(kind, report)]
    return Cause(
        what=f"{promise['verdict'].capitalize()}: {promise['text']}.{advisory}",
        because=tuple(because),
        do=_advice(promise, report),
        kind="weak segment" if segment else f"promise {promise['verdict']}",
        where=segment or promise["text"],
    )


def _segment(promise: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    """Name the part of the rows that a promise fails on, where it is one."""
    if promise["kind"] == "fair":
        told = [entry for entry in report.get("fairness") or [] if entry["across"] in str(promise["scope"])]
        groups = [group for entry in told for group in entry["groups"] if _value(group) is not None]
        if len(groups) < 2 or promise["verdict"] != "refuted":
            return ""
        values = sorted(_value(group) or 0.0 for group in groups)
        middle = values[len(values) // 2]
        worst = max(groups, key=lambda group: abs((_value(group) or 0.0) - middle))
        return f"{told[0]['across']} is {worst['name']}"
    _, sign, where = str(promise["scope"]).partition(" where ")
    if promise["kind"] == "quality" and sign and promise["verdict"] == "refuted":
        return where.replace(" = ", " is ")
    weak = [each for each in report.get("slices") or [] if each["weak"]]
    return str(weak[0]["name"]) if _is_refuted_quality(promise) and weak else ""


def _is_refuted_quality(promise: Mapping[str, Any]) -> bool:
    return promise["kind"] in {"quality", "beats"} and promise["verdict"] == "refuted"


def _value(group: Mapping[str, Any]) -> float | None:
    found = group["value"]
    return found["value"] if isinstance(found, Mapping) else found


def _rows_lost(keeper: Keeper, run: Run, report: Mapping[str, Any]) -> list[Cause]:
    """Hold the rows of a run against those of the last one before it that finished."""
    page = keeper.database().read(lambda connection: runs_page(connection, project=keeper.project, limit=MOST_BEFORE))
    before = [each for each in page.rows if each.state == "finished" and each.started < run.started]
    try:
        had = int(_report(keeper, before[0])["data"]["rows"])
    except (IndexError, Misuse, KeyError):
        return []
    rows = int(report["data"]["rows"])
    if rows > SHARE_LEFT * had:
        return []
    told = f"this run had {rows:,} rows, the run {before[0].id} before it {had:,}"
    return [
        Cause(
            what=f"Rows are lost: {1 - rows / had:.0%} of those of the run before are not there.",
            because=(told,),
            do="Look at the export that fills data.source; then run again: holdtrue run",
            kind="rows lost",
            where="data.source",
        )
    ]


def _behind(kind: str, report: Mapping[str, Any]) -> list[str]:
    """What the report knows that bears on a kind of promise."""
    told: list[str] = []
    if kind in {"quality", "beats"}:
        weak = [each for each in report.get("slices") or [] if each["weak"]][:3]
        told += [
            f"{each['name']} is weak: {report['slice_metric']} {each['value']['value']:.3g} on {each['rows']:,} rows, "
            f"elsewhere {each['rest']:.3g}"
            for each in weak
        ]
        if _still_climbing(report):
            told.append("the learning curve still climbs: more training rows would help")
    if kind == "fair":
        for entry in report.get("fairness") or []:
            few = [group["name"] for group in entry["groups"] if not group["enough"]]
            if few:
                told.append(f"too few rows to judge {', '.join(few[:5])} across {entry['across']}")
    return told


def _still_climbing(report: Mapping[str, Any]) -> bool:
    points = [each["value"]["value"] for each in report.get("learning_curve") or []]
    if len(points) < 2 or points[-2] is None or points[-1] is None:
        return False
    higher = report["metrics"][report["headline_metric"]]["higher_is_better"]
    gain = points[-1] - points[-2] if higher else points[-2] - points[-1]
    return gain > SHARE_STILL_CLIMBING * abs(points[-2])


def _advice(promise: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    if promise["verdict"] == "unproven" and promise["rows_needed"]:
        held_out = report["data"]["split"]["test"]["rows"]
        more = promise["rows_needed"] - (promise["rows"] or 0)
        return (
            f"Hold out about {promise['rows_needed']:,} rows of this kind ({more:,} more; {held_out:,} rows "
            "are held out now): raise split.test, bring more data, or promise less."
        )
    advice = {
        "quality": "Improve the model (more columns, learn.trials, other learners), or promise what it can keep.",
        "beats": "Improve the model, lower the margin, or use the baseline: it is simpler.",
        "calibrated": "Give more rows, so that calibration has something to learn from, or allow a larger error.",
        "fair": "Look at the groups in the report; gather rows of the small ones, or drop what stands for them.",
        "robust": "Look at the columns it depends on most in the report, and at how they could be missing or wrong.",
        "fast": "Try fewer trees or a simpler learner; close what else runs on this machine, and run again.",
        "small": "Try fewer trees or a simpler learner, or allow a larger file.",
        "complete": "Clean the rows: `report.html` lists what breaks the contract.",
        "fresh": "Bring newer rows.",
    }
    return advice.get(promise["kind"], "")


def _beaten(report: Mapping[str, Any]) -> Cause:
    metric = report["headline_metric"]
    lost = [each for each in report["comparisons"] if each["metric"] == metric and each["favours"] != "model"]
    because = tuple(
        f"against {each['against']}, {each['metric']} improves by {each['difference']['value']:.3g} "
        f"({each['difference']['low']:.3g} to {each['difference']['high']:.3g})"
        for each in lost
        if each["difference"]["low"] is not None and each["difference"]["high"] is not None
    )
    return Cause(
        what="The model does not beat its simple baselines.",
        because=because,
        do="Prefer the baseline, or find out what the model misses.",
        kind="baseline better",
        where=metric,
    )


def _worn(report: Mapping[str, Any]) -> Cause:
    holdout = report["holdout"]
    return Cause(
        what=f"The held-out rows have judged {holdout['uses']} candidates.",
        because=(
            f"so each promise was tested at {holdout['alpha_spent_now']:.4f} instead of {holdout['alpha']:.2f}: "
            "whoever tries often enough passes by luck",
        ),
        do="Bring new rows to hold out; they start afresh.",
    )
