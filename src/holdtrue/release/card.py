"""The model card: Hugging Face front matter for machines, and for people what was measured and what was declared.

Every number comes from the report. What nobody said stays "not stated".
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from holdtrue.release.bundle import Core

Report = Mapping[str, Any]
NOT_STATED = "not stated"
INTERVAL = ("low", "high", "confidence", "rows", "method")
DECLARED = {
    "license": "Licence",
    "owner": "Owner",
    "contact": "Contact",
    "intended_use": "Intended use",
    "out_of_scope": "Not meant for",
    "limitations": "Known limits",
    "ethics": "Ethical considerations",
}


def card(report: Report, core: Core, *, declared: Mapping[str, str] | None = None) -> str:
    """Write the card of a release; `declared` holds what only its makers can say, under the keys of `DECLARED`."""
    said = dict(declared or {})
    parts = (
        _opening(report, core),
        _told(said),
        *(section(report) for section in SECTIONS),
        _lineage(core),
    )
    body = "\n\n".join(part for part in parts if part)
    return f"---\n{front_matter(report, core, declared=said)}---\n\n{body}\n"


def front_matter(report: Report, core: Core, *, declared: Mapping[str, str]) -> str:
    """Write the block that model hubs read; an estimate goes in with its interval as `args`."""
    task = f"tabular-{core.task}"
    metrics = [
        {
            "type": name,
            "name": str(entry.get("title", name)),
            "value": entry["value"],
            "args": {key: entry[key] for key in INTERVAL if entry.get(key) is not None},
        }
        for name, entry in report.get("metrics", {}).items()
        if entry.get("value") is not None
    ]
    source = _word(report.get("data", {}).get("source") or core.name)
    dataset = {"type": "tabular", "name": source, "split": "test", "revision": core.lineage.snapshot}
    matter = {
        "license": _printed(declared.get("license", "")) or "unknown",
        "library_name": "holdtrue",
        "pipeline_tag": task,
        "tags": ["holdtrue", "onnx", task],
        "datasets": [source],
        "metrics": [entry["type"] for entry in metrics],
        "model-index": [
            {"name": core.name, "results": [{"task": {"type": task}, "dataset": dataset, "metrics": metrics}]}
        ],
    }
    if not metrics:
        del matter["model-index"]  # hubs refuse results without a metric
    return yaml.safe_dump(matter, sort_keys=False, allow_unicode=True, width=10_000)


def _word(text: str) -> str:
    """Name a source by its last part, in the letters a hub allows.

    >>> _word("data/hotel bookings.csv.gz")
    'hotel-bookings.csv.gz'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", str(text).rstrip("/").rsplit("/", 1)[-1]).strip("-") or "data"


def _printed(text: str) -> str:
    """Put a text on one line, with nothing in it that a terminal obeys."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def plain(value: object) -> str:
    """Write a value as text that no Markdown or HTML reader takes for more.

    >>> plain("a|b <script>")
    'a\\\\|b &lt;script&gt;'
    """
    if value is None:
        return NOT_STATED
    if isinstance(value, float):
        return f"{value:.4g}"
    text = _printed(str(value)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~$])", r"\\\1", text)


def _estimate(entry: Mapping[str, Any] | None) -> str:
    """Write a number with its interval; an open end is infinite."""
    if not entry or entry.get("value") is None:
        return NOT_STATED
    ends = [f"{end:.4g}" if end is not None else sign for end, sign in ((entry["low"], "−∞"), (entry["high"], "∞"))]
    return f"{entry['value']:.4g} ({ends[0]} to {ends[1]})"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _section(title: str, *parts: str) -> str:
    return "\n\n".join([f"## {title}", *filter(None, parts)])


def _opening(report: Report, core: Core) -> str:
    said = {
        "proven": "Every required promise is proven on held-out rows.",
        "refuted": "**At least one promise is refuted. This model is no release.**",
        "unproven": "**At least one promise is not proven. This model is no release.**",
    }
    facts = [
        f"- Release: `{core.digest}`",
        f"- Task: {plain(core.task)}",
        f"- Learner: {plain(core.lineage.learner)}",
        f"- Classes: {', '.join(map(plain, core.classes))}" if core.classes else "",
        f"- Columns it takes: {len(core.inputs)}",
        f"- Made: {plain(report.get('created'))}",
    ]
    losing = [
        plain(model["name"])
        for model in report.get("models", ())
        if model.get("role") == "champion" and model.get("beaten_by_baseline")
    ]
    warning = "**This model loses to a baseline.**" if losing else ""
    verdict = said.get(str(report.get("verdict")), "No verdict is recorded.")
    return "\n\n".join(filter(None, [f"# {plain(core.name)}", verdict, warning, "\n".join(filter(None, facts))]))


def _told(declared: Mapping[str, str]) -> str:
    lines = [f"- {title}: {plain(declared.get(key))}" for key, title in DECLARED.items()]
    return _section("Declared", "Said by the makers; nothing here was measured.", "\n".join(lines))


def _data(report: Report) -> str:
    data = report.get("data", {})
    if not data:
        return ""
    facts = [
        f"- Source: {plain(data.get('source'))}",
        f"- Snapshot: `{plain(data.get('snapshot'))}`",
        f"- Rows: {plain(data.get('rows'))}; columns: {plain(data.get('columns'))}",
        f"- Predicted column: {plain(data.get('target'))}",
    ]
    split = data.get("split", {})
    rows = [
        [part, plain(split[part].get("rows")), plain(split[part].get("from")), plain(split[part].get("to"))]
        for part in ("train", "validation", "test")
        if part in split
    ]
    table = _table(["part", "rows", "from", "to"], rows) if rows else ""
    return _section("Data (measured)", "\n".join(facts), f"Split by {plain(split.get('by'))}.", table)


def _promises(report: Report) -> str:
    keys = ("value", "low", "high", "rows", "method")
    rows = [
        [plain(promise.get("text")), f"**{plain(promise.get('verdict'))}**", *(plain(promise.get(key)) for key in keys)]
        for promise in report.get("promises", ())
    ]
    if not rows:
        return _section("Promises", "None was made.")
    confidence = report.get("confidence")
    note = f"Judged on held-out rows at confidence {plain(confidence)}." if confidence else ""
    return _section("Promises (measured)", note, _table(["promise", "verdict", *keys], rows))


def _metrics(report: Report) -> str:
    rows = [
        [plain(entry.get("title", name)), _estimate(entry), plain(entry.get("rows")), plain(entry.get("method"))]
        for name, entry in report.get("metrics", {}).items()
    ]
    models = report.get("models", ())
    names = [name for name in report.get("metrics", {}) if any(name in model.get("metrics", {}) for model in models)]
    others = [
        [plain(model.get("name")), plain(model.get("role")), *(_estimate(model["metrics"].get(name)) for name in names)]
        for model in models
        if "metrics" in model
    ]
    return _section(
        "Performance (measured)",
        _table(["metric", "value (interval)", "rows", "method"], rows) if rows else NOT_STATED,
        _table(["model", "role", *map(plain, names)], others) if others and names else "",
    )


def _groups(report: Report) -> str:
    rows = [
        [plain(entry.get("across")), plain(entry.get("metric")), _estimate(entry.get("gap")),
         plain(entry.get("verdict_note"))]
        for entry in report.get("fairness", ())
    ]  # fmt: skip
    weak = [
        [plain(entry.get("name")), plain(entry.get("rows")), _estimate(entry.get("value")), plain(entry.get("rest"))]
        for entry in report.get("slices", ())
        if entry.get("weak")
    ]
    title = plain(report.get("slice_metric"))
    return _section(
        "Groups (measured)",
        _table(["across", "metric", "gap (interval)", "note"], rows) if rows else "Fairness: not measured.",
        f"Weak groups, by {title}:" if weak else "No weak group was found.",
        _table(["group", "rows", "value (interval)", "the rest"], weak) if weak else "",
    )


def _behaviour(report: Report) -> str:
    calibration = (report.get("calibration") or {}).get("error")
    robust = [
        [plain(entry.get("perturbation")), plain(entry.get("strength")), plain(entry.get("metric")),
         _estimate(entry.get("drop"))]
        for entry in report.get("robustness", ())
    ]  # fmt: skip
    return _section(
        "Calibration and robustness (measured)",
        f"Calibration error: {_estimate(calibration)}.",
        _table(["change of the rows", "strength", "metric", "loss (interval)"], robust) if robust else "",
    )


def _importance(report: Report) -> str:
    importance = report.get("importance") or {}
    rows = [[plain(entry.get("feature")), _estimate(entry)] for entry in importance.get("features", ())[:10]]
    if not rows:
        return ""
    about = f"By {plain(importance.get('method'))}, on {plain(importance.get('metric'))}."
    return _section("What it looks at (measured)", about, _table(["column", "importance (interval)"], rows))


def _lineage(core: Core) -> str:
    line = core.lineage
    facts = [
        f"- Snapshot of the data: `{line.snapshot}`",
        f"- Project file: `{line.project}`",
        f"- Files of code and settings: {len(line.sources)}",
        f"- Seed: {line.seed}",
        f"- Parent release: {f'`{line.parent}`' if line.parent else 'none'}",
        f"- Libraries: `environment.lock`, {len(line.environment.splitlines())} lines",
    ]
    return _section("Lineage", "\n".join(facts), f"Train it again and compare: `holdtrue reproduce {core.digest[:12]}`")


SECTIONS: tuple[Callable[[Report], str], ...] = (_data, _promises, _metrics, _groups, _behaviour, _importance)
