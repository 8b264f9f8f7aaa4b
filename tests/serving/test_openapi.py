"""What the description says is what the endpoint does: its schemas hold for real requests and real answers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from tests.serving.endpoint import COLUMNS, NAME, Served, rows, v2_of


@pytest.fixture(scope="module")
def told(served: Served) -> dict[str, Any]:
    made = served.ask("GET", "/openapi.json")
    assert made.headers["content-type"] == "application/json"
    return dict(made.json)


def schemas(told: dict[str, Any], path: str, method: str = "post", kind: str = "application/json") -> Any:
    """Give the schema of a body, with the shared ones at hand."""
    found = told["paths"][path][method]["requestBody"]["content"][kind]["schema"]
    return {**found, "components": told["components"]}


def operations(told: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            if name == "$ref":
                yield each
            else:
                yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_every_reference_leads_somewhere_and_every_schema_is_one(told: dict[str, Any]) -> None:
    assert told["openapi"].startswith("3.1.")
    for reference in references(told):
        value: Any = told
        for name in reference.removeprefix("#/").split("/"):
            value = value[name]
    for schema in told["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for _, _, operation in operations(told):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            Draft202012Validator.check_schema(content["schema"])


def test_every_operation_has_a_name_of_its_own_and_says_what_it_needs(told: dict[str, Any]) -> None:
    found = list(operations(told))
    assert len({operation["operationId"] for _, _, operation in found}) == len(found)
    for path, _, operation in found:
        assert operation["summary"], path
        assert "200" in operation["responses"]
        assert "default" in operation["responses"]


def test_what_is_described_is_there_and_nothing_else_is(told: dict[str, Any], served: Served) -> None:
    for path, method, _ in operations(told):
        made = served.ask(method.upper(), path, {} if method == "post" else None)
        assert made.status not in (404, 405), path
    for path in ("/", "/admin", "/v2/repository/index", "/status", "/traffic", "/stop"):
        assert served.ask("GET", path).status == 404


def test_real_requests_fit_their_schemas_and_are_answered(told: dict[str, Any], served: Served) -> None:
    table = rows(20, target=False)
    for path in ("/predict", f"/predict/{NAME}"):
        check = Draft202012Validator(schemas(told, path))
        for body in (table[0], table, {"rows": table}):
            check.validate(body)
            assert served.ask("POST", path, body).status == 200
        with pytest.raises(ValidationError, match="not valid under any"):
            check.validate(dict.fromkeys(COLUMNS, 1))
    message = v2_of(table)
    Draft202012Validator(schemas(told, f"/v2/models/{NAME}/infer")).validate(message)
    assert served.ask("POST", f"/v2/models/{NAME}/infer", message).status == 200
    label = {"prediction_id": "018bcfe568007abcb7bc040000000001", "value": "yes", "time": "2026-01-01T00:00:00Z"}
    check = Draft202012Validator(schemas(told, "/labels"))
    for body in (label, [label, label], {"labels": [label]}):
        check.validate(body)
    frames = Draft202012Validator(schemas(told, "/invocations"))
    for body in ({"instances": table}, {"dataframe_records": table}):
        frames.validate(body)


def test_errors_are_as_they_are_described(told: dict[str, Any], served: Served) -> None:
    check = Draft202012Validator(told["components"]["schemas"]["Error"])
    for method, path, body in (
        ("GET", "/nothing", None),
        ("DELETE", "/predict", None),
        ("POST", "/predict", {}),
        ("POST", "/predict", [1]),
        ("POST", "/labels", {}),
        ("POST", f"/v2/models/{NAME}/infer", {}),
    ):
        made = served.ask(method, path, body)
        assert made.status >= 400
        check.validate(made.json)


def test_the_row_of_a_model_is_described_as_its_contract_has_it(told: dict[str, Any]) -> None:
    row = told["components"]["schemas"][f"Row.{NAME}"]
    assert row["required"] == list(COLUMNS)
    cells = row["properties"]
    assert cells["age"] == {"type": ["number", "null"], "minimum": 0, "maximum": 120}
    assert cells["nights"] == {"type": "integer", "minimum": 0, "maximum": 60}
    assert cells["region"]["enum"] == ["east", "north", "south"]
    assert cells["channel"]["type"] == ["string", "null"]


def test_a_page_shows_the_routes_to_people(told: dict[str, Any], served: Served) -> None:
    made = served.ask("GET", "/docs")
    assert made.headers["content-type"].startswith("text/html")
    for path in told["paths"]:
        assert path.encode() in made.body
    assert json.dumps(told).count("Traceback") == 0
