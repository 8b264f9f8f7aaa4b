"""The description of the routes, for machines (OpenAPI 3.1) and as a page for people, made from their table."""

import re
from collections.abc import Mapping
from functools import cache
from html import escape
from importlib.metadata import version
from typing import Any

from holdtrue.data.contract import Contract, Field
from holdtrue.serving.schemas import ANSWERS, BODIES, KINDS, SHARED, known, several
from holdtrue.serving.site import Route

JSON = "application/json"
STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1d2733}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #dde3ea;vertical-align:top}
code,pre{font:13px/1.45 ui-monospace,monospace;background:#f3f6f9;border-radius:4px;padding:.1rem .3rem}
pre{padding:.7rem;overflow:auto}"""

Routes = Mapping[bytes, Mapping[bytes, Route]]


def description(routes: Routes, contracts: Mapping[str, Contract]) -> dict[str, Any]:
    """Describe every route; the bodies of `/predict` name the columns of their model."""
    paths: dict[str, dict[str, Any]] = {}
    named: set[str] = set()
    for path, methods in sorted(routes.items()):
        entry = paths.setdefault(path.decode(), {})
        for method, route in methods.items():
            if method != b"HEAD":
                entry[method.decode().lower()] = _operation(route, contracts, named)
    schemas = {**SHARED, **{_row(name): row_schema(contract) for name, contract in contracts.items()}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Holdtrue", "version": _version(), "description": "Predictions of signed releases."},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


@cache
def _version() -> str:
    return version("holdtrue")  # a file is read for it


def _row(model: str) -> str:
    return f"Row.{model}"


def _operation(route: Route, contracts: Mapping[str, Contract], named: set[str]) -> dict[str, Any]:
    name = route.method.lower() + re.sub(r"[^A-Za-z0-9]", "_", route.path)
    while name in named:  # of models called `a-b` and `a_b`
        name += "_"
    named.add(name)
    refused = {"description": "Why there is no answer", "content": {JSON: {"schema": known("Error")}}}
    answered: dict[str, Any] = {kind: {} for kind in KINDS.get(route.name, (JSON,))}
    if route.name in ANSWERS:
        answered[JSON] = {"schema": ANSWERS[route.name]}
    made: dict[str, Any] = {
        "operationId": name,
        "summary": route.summary,
        "description": f"Needs the permission `{route.permission}`.",
        "responses": {"200": {"description": "The answer", "content": answered}, "default": refused},
        "security": [{}, {"token": []}],
    }
    if route.kinds:
        content = {kind: {"schema": _schema(route, contracts, kind)} for kind in route.kinds}
        made["requestBody"] = {"required": True, "content": content}
    return made


def _schema(route: Route, contracts: Mapping[str, Contract], kind: str) -> dict[str, Any]:
    if kind != JSON:
        return {"type": "string", "format": "binary"}
    if route.name in BODIES:
        return known(BODIES[route.name])
    name = route.path.rpartition("/")[2]
    model = name if name in contracts else next(iter(contracts), None)
    if route.name == "predict" and model is not None:
        return several(known(_row(model)), "rows")
    return {"type": "object"}


def row_schema(contract: Contract) -> dict[str, Any]:
    """Describe a row of the model as JSON Schema."""
    return {
        "type": "object",
        "required": list(contract.names),
        "properties": {field.name: _cell(field) for field in contract.fields},
    }


def _cell(field: Field) -> dict[str, Any]:
    """Describe what a client sends at best; texts that the contract reads as numbers are taken too."""
    kind = {"number": "integer" if field.integer else "number", "date": "string"}.get(field.kind, "string")
    made: dict[str, Any] = {"type": [kind, "null"] if field.nullable else kind}
    if field.kind == "date":
        made["description"] = f"A date, as {' or '.join(field.formats) or 'ISO 8601'}, or seconds since 1970."
    if field.kind == "number":
        made |= {key: limit for key, limit in (("minimum", field.low), ("maximum", field.high)) if limit is not None}
    if field.categories is not None and field.unseen == "refuse":
        made["enum"] = [*field.categories, *([None] if field.nullable else [])]
    elif field.categories is not None:
        made["examples"] = list(field.categories[:5])
    return made


def page(routes: Routes, contracts: Mapping[str, Contract]) -> str:
    """Show the routes and the columns of each model to people; no script."""
    listed = sorted(
        {(route.path, route.method, route.permission, route.summary) for r in routes.values() for route in r.values()}
    )
    rows = "".join(
        f"<tr><td><code>{method}</code></td><td><code>{escape(path)}</code></td><td>{escape(summary)}</td>"
        f"<td>{permission}</td></tr>"
        for path, method, permission, summary in listed
    )
    models = "".join(_model(name, contract) for name, contract in contracts.items())
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Holdtrue</title><style>{STYLE}</style>"
        f"<h1>What this server answers</h1><table><tr><th>method<th>path<th>what<th>permission{rows}</table>{models}"
        "<p>The same for machines: <a href=/openapi.json>openapi.json</a></html>"
    )


def _model(name: str, contract: Contract) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(field.name)}</code></td><td>{field.kind}</td>"
        f"<td>{'' if field.nullable else 'needed'}</td><td>{escape(_allowed(field))}</td></tr>"
        for field in contract.fields
    )
    return f"<h2>{escape(name)}</h2><table><tr><th>column<th>kind<th>missing<th>values{rows}</table>"


def _allowed(field: Field) -> str:
    if field.categories is not None and not field.personal:
        return ", ".join(field.categories[:8]) + ("…" if len(field.categories) > 8 else "")
    limits = [
        f"from {field.low:g}" if field.low is not None else "",
        f"to {field.high:g}" if field.high is not None else "",
    ]
    return " ".join(filter(None, limits)) if field.kind == "number" else ""
