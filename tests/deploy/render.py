"""Renders the chart with Helm's own engine and validates what comes out: run by a Python that has both.

    .venv/helm/bin/python tests/deploy/render.py           # tells what came out, as JSON
    .venv/helm/bin/python tests/deploy/render.py --write   # writes it to golden/ too, after a change of the chart

It needs `helm-python-sdk` (Helm 4 as a library) and `kubernetes-validate` (the schemas of Kubernetes), which are too
large for everybody's environment: `.ci/clients helm` puts them into .venv/helm.
"""

import hashlib
import importlib
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CHART = HERE.parent.parent / "deploy" / "helm" / "holdtrue"
KUBERNETES = "1.31"
FOREIGN = {"ServiceMonitor"}  # of the Prometheus operator: no schema of Kubernetes knows it


def digest_of_chart() -> str:
    """Name the chart and its cases by their bytes: what was rendered from others is out of date."""
    files = [path for path in sorted(CHART.rglob("*")) if path.is_file()]
    listed = [(path.relative_to(CHART).as_posix(), path.read_bytes()) for path in files]
    listed.append(("cases.json", (HERE / "cases.json").read_bytes()))
    return hashlib.sha256(json.dumps([(name, data.decode()) for name, data in listed]).encode()).hexdigest()


def main() -> None:
    cases = json.loads((HERE / "cases.json").read_text())
    answers = {name: rendered(values) for name, values in cases["accepted"].items()}
    answers |= {name: rendered(values) for name, (values, _) in cases["refused"].items()}
    if "--write" in sys.argv:
        yaml: Any = importlib.import_module("yaml")
        for name in cases["accepted"]:
            head = f"# Helm rendered this from the chart of digest {digest_of_chart()}.\n"
            text = yaml.safe_dump_all(answers[name]["documents"], sort_keys=False, width=1000)
            (HERE / "golden" / f"{name}.yaml").write_text(head + text)
    json.dump(answers, sys.stdout)


def rendered(values: dict[str, Any]) -> dict[str, Any]:
    helm: Any = importlib.import_module("helm_python")
    yaml: Any = importlib.import_module("yaml")
    try:
        with helm.Chart.load(CHART) as chart:
            chart.validate_schema(values)
            made = chart.render(values, name="hotel", namespace="models")
    except helm.HelmError as error:
        return {"refused": str(error)}
    texts = [made[path] for path in sorted(made) if path.endswith(".yaml")]
    documents = [each for text in texts for each in yaml.safe_load_all(text) if each]
    return {
        "documents": documents,
        "notes": next(text for path, text in made.items() if path.endswith("NOTES.txt")),
        "faults": [fault for each in documents for fault in faults(each)],
        "lint": helm.lint(CHART, values, strict=True, kube_version=f"v{KUBERNETES}.0")["errors"],
    }


def faults(document: dict[str, Any]) -> list[str]:
    """Hold one object against the schema that Kubernetes publishes for it."""
    if document["kind"] in FOREIGN:
        return []
    validate: Any = importlib.import_module("kubernetes_validate")
    try:
        validate.validate(document, KUBERNETES, strict=True)
    except validate.ValidationError as error:
        return [f"{document['kind']}: {error.message}"]
    return []


if __name__ == "__main__":
    main()
