"""Which pictures a report has: each is made only when the report holds its numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from holdtrue.evaluation.page.axes import Axis, around, percent, short
from holdtrue.evaluation.page.charts import (
    HEIGHT,
    Line,
    Span,
    heat,
    histogram,
    lines,
    plane,
    scatter,
    spans,
    strip,
    text,
)

Report = Mapping[str, Any]
STYLES = {"proven": "good", "refuted": "bad", "unproven": "open"}
MOST_LINES = 24


def pictures(report: Report) -> dict[str, str]:
    """Make every picture of a report, by name; one without numbers is the empty string."""
    curves = report.get("curves") or {}
    return {
        "models": models(report),
        "roc": roc(curves),
        "pr": precision_recall(curves, report),
        "calibration": calibration(curves),
        "residuals": residuals(curves),
        "spread": spread(curves),
        "confusion": confusion(report),
        "decision": decision(report),
        "slices": slices(report),
        "importance": importance(report),
        "robustness": robustness(report),
        "over_time": over_time(report),
        "missing": missing(report),
        "learning_curve": learning_curve(report),
        "search": search(report),
    }


def promise_strip(promise: Mapping[str, Any]) -> str:
    """Draw one promise, if it has a value and a bound."""
    if promise.get("value") is None or promise.get("bound") is None:
        return ""
    told = f"{promise['text']}: {short(promise['value'])}, {promise['verdict']}"
    return strip(
        promise["value"],
        promise.get("low"),
        promise.get("high"),
        promise["bound"],
        at_least=promise.get("direction") == "at_least",
        style=STYLES.get(promise["verdict"], "open"),
        told=told,
    )


def _span(name: str, estimate: Mapping[str, Any], *, style: str = "main", note: str | None = None) -> Span | None:
    if estimate.get("value") is None:
        return None
    told = short(estimate["value"]) if note is None else note
    return Span(
        name=name, value=estimate["value"], low=estimate.get("low"), high=estimate.get("high"), note=told, style=style
    )


def _list(rows: Sequence[Span | None], **how: Any) -> str:
    kept = [row for row in rows if row is not None]
    return spans(kept, **how) if kept else ""


def models(report: Report) -> str:
    made = report.get("models") or []
    metric = report.get("headline_metric") or next(iter((made[0] if made else {}).get("metrics") or {}), None)
    if metric is None:
        return ""
    title = ((report.get("metrics") or {}).get(metric) or {}).get("title", metric)
    rows = [
        _span(
            f"{model['name']} ({model['role']})" if model["role"] == "baseline" else f"{model['name']} (this model)",
            model["metrics"].get(metric) or {},
            style="main" if model["role"] == "champion" else "faint",
        )
        for model in made
        if model["role"] in {"champion", "baseline"}
    ]
    return _list(rows, label=title, told=f"{title} of the model and its baselines")


def roc(curves: Report) -> str:
    if not curves.get("roc"):
        return ""
    x, y = plane((0, 1), (0, 1), "false positive rate", "true positive rate")
    return lines(x, y, [Line(name="model", points=curves["roc"])], diagonal=True, told="ROC curve")


def precision_recall(curves: Report, report: Report) -> str:
    if not curves.get("pr"):
        return ""
    x, y = plane((0, 1), (0, 1), "recall", "precision")
    rate = _positive_share(report)
    faint = [Line(name="chance", points=[(0, rate), (1, rate)], style="faint")] if rate is not None else []
    return lines(x, y, [*faint, Line(name="model", points=curves["pr"])], told="Precision and recall")


def _positive_share(report: Report) -> float | None:
    matrix = report.get("confusion") or []
    total = sum(map(sum, matrix))
    return sum(matrix[1]) / total if len(matrix) == 2 and total else None


def calibration(curves: Report) -> str:
    bins = curves.get("calibration") or []
    if not bins:
        return ""
    x, y = plane((0, 1), (0, 1), "predicted probability", "observed share")
    marks = "".join(
        f'<line x1="{x.at(each["predicted"])}" x2="{x.at(each["predicted"])}" y1="{y.at(each["low"])}" '
        f'y2="{y.at(each["high"])}" class="whisker main"/>'
        for each in bins
        if each.get("low") is not None and each.get("high") is not None
    )
    line = Line(name="model", points=[(each["predicted"], each["observed"]) for each in bins], dots=True)
    return lines(x, y, [line], diagonal=True, marks=marks, told="Calibration: predicted against observed")


def residuals(curves: Report) -> str:
    points = (curves.get("residuals") or {}).get("predicted_vs_true") or []
    if not points:
        return ""
    limits = around([value for point in points for value in point])
    x, y = plane(limits, limits, "predicted", "true")
    return scatter(x, y, points, diagonal=True, told="Predicted against true values")


def spread(curves: Report) -> str:
    made = (curves.get("residuals") or {}).get("histogram")
    return histogram(made["edges"], made["counts"], label="true − predicted", told="Residuals") if made else ""


def confusion(report: Report) -> str:
    matrix, names = report.get("confusion"), (report.get("data") or {}).get("classes") or []
    return heat(names, matrix, told="Confusion matrix") if matrix and names else ""


def decision(report: Report) -> str:
    points = (report.get("curves") or {}).get("decision") or []
    made = report.get("decision")
    if not points or not made:
        return ""
    x, y = plane((0, 1), around([value for _, value in points]), "threshold", "value per 1000 rows")
    at = x.at(made["threshold"])
    mark = f'<line x1="{at}" x2="{at}" y1="{y.start}" y2="{y.end}" class="bound"/>' + text(
        at, y.end + 8, f"chosen {short(made['threshold'])}"
    )
    return lines(x, y, [Line(name="value", points=points)], marks=mark, told="Value of decisions by threshold")


def slices(report: Report) -> str:
    made = (report.get("slices") or [])[:MOST_LINES]
    if not made:
        return ""
    rows = [
        _span(each["name"], each["value"], style="bad" if each["weak"] else "main", note=f"{each['rows']:,} rows")
        for each in made
    ]
    whole = (report.get("metrics") or {}).get(report.get("slice_metric") or "") or {}
    title = whole.get("title") or report.get("slice_metric") or ""
    return _list(rows, reference=whole.get("value"), label=title, told=f"{title} by slice", names=290, width=760)


def importance(report: Report) -> str:
    made = report.get("importance") or {}
    rows = [_span(each["feature"], each) for each in (made.get("features") or [])[:MOST_LINES]]
    return _list(
        rows,
        from_zero=True,
        label=f"loss of {made.get('metric', 'quality')} when shuffled",
        told="Importance of columns",
    )


def robustness(report: Report) -> str:
    rows = [
        _span(f"{each['perturbation']} ({each['metric']})", each["drop"]) for each in report.get("robustness") or []
    ]
    return _list(rows, from_zero=True, reference=0.0, label="loss under disturbance", told="Robustness")


def fairness_groups(entry: Mapping[str, Any]) -> str:
    """Draw the groups of one fairness comparison."""
    rows = [
        _span(
            group["name"],
            group["value"],
            style="main" if group.get("enough", True) else "faint",
            note=f"{group['rows']:,} rows" + ("" if group.get("enough", True) else ", too few"),
        )
        for group in entry.get("groups") or []
    ]
    return _list(rows[:MOST_LINES], label=entry["metric"], told=f"{entry['metric']} by {entry['across']}")


def over_time(report: Report) -> str:
    """Draw the target over time, with the parts the rows were split into."""
    data = report.get("data") or {}
    made = data.get("target_over_time") or []
    if len(made) < 3:
        return ""
    values = [each[key] for each in made for key in ("value", "low", "high") if each.get(key) is not None]
    limits = around(values, floor=0.0 if data.get("classes") else None)
    x, y = plane((0, len(made) - 1), limits, "", "target", width=900)
    x = replace(x, ticked=False)  # the places are counts of buckets; their dates are written instead
    every = max(len(made) // 6, 1)
    dates = [text(x.at(index), HEIGHT - 24, str(made[index]["from"])[:10]) for index in range(0, len(made), every)]
    line = Line(
        name="target",
        points=[(index, each["value"]) for index, each in enumerate(made) if each["value"] is not None],
        low=[(index, each["low"]) for index, each in enumerate(made) if each.get("low") is not None],
        high=[(index, each["high"]) for index, each in enumerate(made) if each.get("high") is not None],
    )
    return lines(x, y, [line], marks="".join([*_shades(made, x, y), *dates]), told="The target over time")


def _shades(made: Sequence[Mapping[str, Any]], x: Axis, y: Axis) -> list[str]:
    """Shade each run of buckets that belongs to one part."""
    marks: list[str] = []
    start = 0
    for index in range(1, len(made) + 1):
        part = made[start]["part"]
        if index < len(made) and made[index]["part"] == part:
            continue
        left, right = x.at(max(start - 0.5, 0)), x.at(min(index - 0.5, len(made) - 1))
        marks.append(
            f'<rect x="{left}" y="{y.end}" width="{right - left:g}" height="{y.start - y.end}" class="part {part}"/>'
        )
        marks.append(text((left + right) / 2, y.end + 12, "held-out" if part == "test" else part, style="label"))
        start = index
    return marks


def missing(report: Report) -> str:
    made = [each for each in (report.get("data") or {}).get("missing") or [] if each["share"] > 0][:MOST_LINES]
    rows = [Span(name=each["column"], value=each["share"], note=percent(each["share"]), style="faint") for each in made]
    return _list(rows, from_zero=True, label="share of rows without a value", told="Missing values by column")


def learning_curve(report: Report) -> str:
    made = [each for each in report.get("learning_curve") or [] if each["value"].get("value") is not None]
    if len(made) < 2:
        return ""
    values = [
        each["value"][key] for each in made for key in ("value", "low", "high") if each["value"].get(key) is not None
    ]
    x, y = plane(
        (0, made[-1]["rows"] * 1.02), around(values), "training rows", report.get("headline_metric") or "metric"
    )
    line = Line(
        name="model",
        points=[(each["rows"], each["value"]["value"]) for each in made],
        low=[(each["rows"], each["value"]["low"]) for each in made if each["value"].get("low") is not None],
        high=[(each["rows"], each["value"]["high"]) for each in made if each["value"].get("high") is not None],
        dots=True,
    )
    return lines(x, y, [line], told="Learning curve")


def search(report: Report) -> str:
    made = [each for each in report.get("search") or [] if each.get("score") is not None]
    if len(made) < 2:
        return ""
    x, y = plane(
        (0, max(each["trial"] for each in made) + 0.5), around([each["score"] for each in made]), "trial", "score"
    )
    return scatter(x, y, [(each["trial"], each["score"]) for each in made], told="Scores of the search")
