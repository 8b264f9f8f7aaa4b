"""The page around the pictures."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from holdtrue.evaluation.page.axes import short
from holdtrue.evaluation.page.sections import fairness_groups, pictures, promise_strip


def render(report: Mapping[str, Any]) -> str:
    """Write a report as one HTML page without script; what comes from data is escaped."""
    folder = files("holdtrue.evaluation.page")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["short"] = short
    environment.filters["count"] = _count
    environment.filters["limits"] = _limits
    environment.filters["day"] = lambda value: str(value)[:10]  # pyright: ignore[reportUnknownLambdaType]
    template = environment.from_string((folder / "report.html.j2").read_text(encoding="utf-8"))
    return template.render(
        r=report,
        style=Markup((folder / "report.css").read_text(encoding="utf-8")),  # noqa: S704  # our own file
        pictures={name: Markup(picture) for name, picture in pictures(report).items()},  # noqa: S704  # escaped in charts
        strips=[Markup(promise_strip(promise)) for promise in report.get("promises") or []],  # noqa: S704
        groups=[Markup(fairness_groups(entry)) for entry in report.get("fairness") or []],  # noqa: S704
        warnings=warnings(report),
    )


def warnings(report: Mapping[str, Any]) -> list[str]:
    """Say first what a reader must not miss."""
    told: list[str] = []
    champion = next((model for model in report.get("models") or [] if model["role"] == "champion"), None)
    if champion and champion.get("beaten_by_baseline"):
        told.append("This model does not beat its simple baselines. Prefer the baseline, or find out why.")
    uses = (report.get("holdout") or {}).get("uses") or 1
    if uses > 1:
        told.append(
            f"These held-out rows have judged {uses} candidates. Each further one must clear a higher bar; "
            "new rows would restore it."
        )
    return told


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "–"


def _limits(estimate: Mapping[str, Any] | None) -> str:
    if not estimate or estimate.get("value") is None:
        return "–"
    if estimate["value"] == estimate.get("low") == estimate.get("high"):
        return "exact"
    return f"{short(estimate.get('low'))} to {short(estimate.get('high'))}"
