"""The dashboard and the alerts ask for what the server tells, word for word."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from holdtrue.serving.metrics import KNOWN

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
DASHBOARD: Any = json.loads((DEPLOY / "grafana" / "holdtrue.json").read_text())
RULES: Any = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())["groups"][0]["rules"]
OURS = {"instance", "job", "namespace", "pod"}  # what Prometheus adds to every metric


def queries() -> dict[str, str]:
    asked = {
        f"{panel['title']} {each['refId']}": each["expr"] for panel in DASHBOARD["panels"] for each in panel["targets"]
    }
    return {**asked, **{rule["alert"]: rule["expr"] for rule in RULES}}


def parsed(query: str) -> Any:
    return promql_parser.parse(query.replace("$__rate_interval", "5m"))


def parts(node: Any) -> Iterator[Any]:
    """Give every part of a query, each with what is below it."""
    yield node
    for name in ("lhs", "rhs", "expr", "vector_selector", "param"):
        below = getattr(node, name, None)
        if below is not None and not isinstance(below, str):
            yield from parts(below)
    for each in getattr(node, "args", ()):
        yield from parts(each)


def base(name: str | None) -> str:
    """Name the metric that a series belongs to: a histogram has three."""
    assert name is not None
    short = re.sub(r"_(bucket|sum|count)$", "", name)
    return short if KNOWN.get(short, ("",))[0] == "histogram" else name


def labels_of(query: Any) -> set[str]:
    names = {base(each.name) for each in parts(query) if isinstance(each, promql_parser.VectorSelector)}
    buckets = any(
        str(each.name).endswith("_bucket") for each in parts(query) if isinstance(each, promql_parser.VectorSelector)
    )
    return {label for name in names for label in KNOWN[name][2]} | OURS | ({"le"} if buckets else set())


@pytest.mark.parametrize("asked", queries())
def test_every_query_is_of_metrics_and_labels_that_are_there(asked: str) -> None:
    query = parsed(queries()[asked])
    selectors = [each for each in parts(query) if isinstance(each, promql_parser.VectorSelector)]
    assert selectors
    for selector in selectors:
        known = KNOWN[base(selector.name)]
        matched = {matcher.name for matcher in selector.matchers.matchers}
        assert matched <= set(known[2]) | OURS, selector.name
        assert known[0] != "histogram" or selector.name != base(selector.name), "a histogram has no series of its name"
    for grouped in (each for each in parts(query) if isinstance(each, promql_parser.AggregateExpr)):
        assert set(grouped.modifier.labels if grouped.modifier else ()) <= labels_of(grouped.expr)


@pytest.mark.parametrize("asked", queries())
def test_what_only_grows_is_asked_for_its_growth_and_a_state_is_not(asked: str) -> None:
    for call in (each for each in parts(parsed(queries()[asked])) if isinstance(each, promql_parser.Call)):
        names = [base(each.name) for each in parts(call) if isinstance(each, promql_parser.VectorSelector)]
        if call.func.name in ("rate", "increase"):
            assert all(KNOWN[name][0] != "gauge" for name in names)
    if not re.search(r"rate\(|increase\(", queries()[asked]):
        names = re.findall(r"holdtrue_\w+", queries()[asked])
        assert all(KNOWN[base(name)][0] == "gauge" for name in names)


def test_every_metric_of_the_server_can_be_seen() -> None:
    text = " ".join(panel["expr"] for each in DASHBOARD["panels"] for panel in each["targets"])
    assert {name for name in KNOWN if name not in text} == set()


def test_a_legend_shows_labels_that_its_query_keeps() -> None:
    for panel in DASHBOARD["panels"]:
        for each in panel["targets"]:
            shown = set(re.findall(r"{{(\w+)}}", each["legendFormat"]))
            found = re.search(r"by \(([^)]*)\)", each["expr"])
            kept = set(re.split(r",\s*", found[1])) if found else set[str]()
            assert shown <= kept, panel["title"]


def test_the_panels_lie_side_by_side_and_have_names_of_their_own() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in DASHBOARD["panels"])
    assert len({panel["title"] for panel in DASHBOARD["panels"]}) == len(places)


def test_every_alert_says_how_bad_it_is_and_what_it_means() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
    for what in ("receipts_failing", "requests_total", "worker_restarts", "request_duration"):
        assert any(what in rule["expr"] for rule in RULES)
