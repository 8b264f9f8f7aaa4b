"""The bill of materials is valid CycloneDX, complete, and the same every time."""

import json
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from made_release import parts
from made_report import REPORT

from holdtrue.release.bom import bill_of_materials

CORE = parts().core
SAID = {"owner": "Ada", "intended_use": "ranking calls", "limitations": "one country", "ethics": "ask first"}


def read(report: dict[str, Any], declared: dict[str, str] | None = None) -> dict[str, Any]:
    return json.loads(bill_of_materials(report, CORE, declared=declared))


@pytest.mark.parametrize("report", [REPORT, {}], ids=["full", "empty"])
@pytest.mark.parametrize("declared", [SAID, {}], ids=["declared", "silent"])
def test_the_bill_is_valid_by_the_schema(report: dict[str, Any], declared: dict[str, str]) -> None:
    text = bill_of_materials(report, CORE, declared=declared).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_the_validator_would_see_a_fault() -> None:
    broken = {**read(REPORT), "specVersion": 7}
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(broken)) is not None


def test_the_model_is_named_by_its_digest_and_hash() -> None:
    found = read(REPORT)
    model = found["metadata"]["component"]
    assert model["type"] == "machine-learning-model"
    assert model["version"] == CORE.digest
    assert model["hashes"] == [{"alg": "SHA-256", "content": CORE.files["model.onnx"]}]
    assert model["modelCard"]["modelParameters"]["modelArchitecture"] == "lightgbm"


def test_every_metric_is_there_with_its_interval() -> None:
    metrics = read(REPORT)["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert metrics == [
        {
            "type": "roc_auc",
            "value": "0.9123",
            "confidenceInterval": {"lowerBound": "0.8901", "upperBound": "0.9345"},
        },
        {"type": "log_loss", "value": "0.31", "confidenceInterval": {"lowerBound": "0.28"}},
        {
            "type": "roc_auc",
            "slice": "city = Oslo",
            "value": "0.7",
            "confidenceInterval": {"lowerBound": "0.6", "upperBound": "0.8"},
        },
    ]


def test_what_is_declared_and_what_is_measured_are_told_apart() -> None:
    considered = read(REPORT, SAID)["metadata"]["component"]["modelCard"]["considerations"]
    assert considered["users"] == ["declared: Ada"]
    assert considered["useCases"] == ["declared: ranking calls"]
    assert considered["ethicalConsiderations"] == [{"name": "declared: ask first"}]
    assert considered["technicalLimitations"] == [
        "declared: one country",
        "measured: gap at most 0.1 is unproven",
        "measured: weaker on city = Oslo",
    ]
    assert considered["fairnessAssessments"] == [
        {"groupAtRisk": "country", "harms": "measured: gap in true_positive_rate 0.08 (0.02 to 0.15); few rows"}
    ]
    assert "users" not in read(REPORT)["metadata"]["component"]["modelCard"]["considerations"]


def test_data_and_libraries_are_components_the_model_depends_on() -> None:
    found = read(REPORT)
    data, *libraries = found["components"]
    assert data["type"] == "data"
    assert data["hashes"][0]["content"] == CORE.lineage.snapshot
    assert [(library["name"], library["version"], library["purl"]) for library in libraries] == [
        ("numpy", "2.4.6", "pkg:pypi/numpy@2.4.6"),
        ("onnxruntime", "1.31.1", "pkg:pypi/onnxruntime@1.31.1"),
    ]
    (needs,) = found["dependencies"]
    assert needs["ref"] == found["metadata"]["component"]["bom-ref"]
    assert needs["dependsOn"] == [component["bom-ref"] for component in found["components"]]


def test_the_same_release_gives_the_same_bill_and_another_another_number() -> None:
    assert bill_of_materials(REPORT, CORE) == bill_of_materials(REPORT, CORE)
    other = parts(contract=b"other").core
    assert json.loads(bill_of_materials(REPORT, other))["serialNumber"] != read(REPORT)["serialNumber"]
    assert "timestamp" not in read(REPORT)["metadata"]
