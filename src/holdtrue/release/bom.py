"""The bill of materials: the model, its data and its libraries as a CycloneDX 1.6 document, for auditors' tools."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from holdtrue.core.digest import Json
from holdtrue.release.bundle import Core
from holdtrue.release.lineage import versions

Report = Mapping[str, Any]
SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
NOT_PACKAGES = frozenset({"python", "platform", "holdtrue"})


def bill_of_materials(report: Report, core: Core, *, declared: Mapping[str, str] | None = None) -> bytes:
    """Write the bill of a release; the same release and report give the same bytes (no clock, no chance).

    `declared` is what the makers say, under the keys of `card.DECLARED`; it is marked as such.
    """
    installed = versions(core.lineage.environment)
    model = f"model:{core.digest}"
    data = f"data:{core.lineage.snapshot}"
    libraries = [_library(name, version) for name, version in installed.items() if name not in NOT_PACKAGES]
    document: dict[str, Json] = {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.UUID(core.digest[:32], version=4)}",
        "version": 1,
        "metadata": {
            "tools": {
                "components": [
                    {"type": "application", "name": "holdtrue", "version": installed.get("holdtrue", "unknown")}
                ]
            },
            "component": {
                "type": "machine-learning-model",
                "bom-ref": model,
                "name": core.name,
                "version": core.digest,
                "description": f"{core.task} by {core.lineage.learner}; one ONNX graph",
                "hashes": [{"alg": "SHA-256", "content": core.files["model.onnx"]}],
                "modelCard": _model_card(report, core, data, declared or {}),
            },
        },
        "components": [_data(report, core, data), *libraries],
        "dependencies": [
            {"ref": model, "dependsOn": [data, *(str(library["bom-ref"]) for library in libraries)]},
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False).encode()


def _library(name: str, version: str) -> dict[str, Json]:
    purl = f"pkg:pypi/{name}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _data(report: Report, core: Core, reference: str) -> dict[str, Json]:
    about = report.get("data", {})
    source = str(about.get("source", core.name))
    counts: list[Json] = [
        {"name": f"holdtrue:{key}", "value": str(about[key])}
        for key in ("rows", "columns", "target")
        if about.get(key) is not None
    ]
    return {
        "type": "data",
        "bom-ref": reference,
        "name": source,
        "version": core.lineage.snapshot,
        "hashes": [{"alg": "SHA-256", "content": core.lineage.snapshot}],
        "data": [{"type": "dataset", "name": source, "contents": {"properties": counts}}],
    }


def _model_card(report: Report, core: Core, data: str, declared: Mapping[str, str]) -> dict[str, Json]:
    considerations: dict[str, Json] = {
        "technicalLimitations": _limits(report, declared),
        "fairnessAssessments": [
            {"groupAtRisk": str(entry.get("across")), "harms": _gap(entry)} for entry in report.get("fairness", ())
        ],
    }
    if "owner" in declared:
        considerations["users"] = [f"declared: {declared['owner']}"]
    if "intended_use" in declared:
        considerations["useCases"] = [f"declared: {declared['intended_use']}"]
    if "ethics" in declared:
        considerations["ethicalConsiderations"] = [{"name": f"declared: {declared['ethics']}"}]
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": core.task,
            "modelArchitecture": core.lineage.learner,
            "datasets": [{"ref": data}],
            "inputs": [{"format": f"{port['name']}: {port['type']}"} for port in core.inputs],
            "outputs": [{"format": f"{port['name']}: {port['type']}"} for port in core.outputs],
        },
        "quantitativeAnalysis": {"performanceMetrics": _performance(report)},
        "considerations": considerations,
        "properties": [
            {"name": f"holdtrue:setting:{name}", "value": json.dumps(value)}
            for name, value in sorted(core.lineage.settings.items())
        ],
    }


def _performance(report: Report) -> list[Json]:
    """Give each metric over all held-out rows, then the metric of slices for each weak group."""
    made: list[Json] = []
    for name, entry in report.get("metrics", {}).items():
        if entry.get("value") is not None:
            made.append({"type": name, **_value(entry)})
    for entry in report.get("slices", ()):
        if entry.get("weak") and entry["value"].get("value") is not None:
            made.append(
                {"type": str(report.get("slice_metric")), "slice": str(entry["name"]), **_value(entry["value"])}
            )
    return made


def _value(entry: Mapping[str, Any]) -> dict[str, Json]:
    ends = {"lowerBound": entry.get("low"), "upperBound": entry.get("high")}
    known: dict[str, Json] = {name: repr(end) for name, end in ends.items() if end is not None}
    interval: dict[str, Json] = {"confidenceInterval": known} if known else {}
    return {"value": repr(entry["value"]), **interval}


def _gap(entry: Mapping[str, Any]) -> str:
    gap = entry.get("gap") or {}
    ends = f"{gap.get('low')} to {gap.get('high')}"
    return (
        f"measured: gap in {entry.get('metric')} {gap.get('value')} ({ends}); {entry.get('verdict_note', '')}".rstrip(
            "; "
        )
    )


def _limits(report: Report, declared: Mapping[str, str]) -> list[Json]:
    made: list[Json] = [f"declared: {declared['limitations']}"] if "limitations" in declared else []
    made += [
        f"measured: {promise.get('text')} is {promise.get('verdict')}"
        for promise in report.get("promises", ())
        if promise.get("verdict") != "proven"
    ]
    made += [f"measured: weaker on {entry['name']}" for entry in report.get("slices", ()) if entry.get("weak")]
    return made
