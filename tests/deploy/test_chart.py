"""What Helm makes of the chart: kept in golden/ as its own engine rendered it, and made again where Helm is there."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from holdtrue.serving.supervisor import DRAIN_S
from holdtrue.serving.worker import DRAIN_S as WORKER_DRAIN_S
from tests.deploy.render import CHART, digest_of_chart
from tests.pythons import python_of

GOLDEN = Path(__file__).parent / "golden"
CASES: Any = json.loads((GOLDEN.parent / "cases.json").read_text())
AGAIN = ".venv/helm/bin/python tests/deploy/render.py --write"


def documents(case: str) -> dict[str, Any]:
    return {each["kind"]: each for each in yaml.safe_load_all((GOLDEN / f"{case}.yaml").read_text())}


def container(case: str) -> Any:
    (only,) = documents(case)["Deployment"]["spec"]["template"]["spec"]["containers"]
    return only


@pytest.fixture(scope="module")
def answers() -> Any:
    """What Helm says now."""
    python = python_of("helm", unless="HOLDTRUE_HELM_PYTHON")
    script = GOLDEN.parent / "render.py"
    done = subprocess.run([python, str(script)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("case", CASES["accepted"])
def test_what_is_kept_was_rendered_from_the_chart_as_it_is(case: str) -> None:
    first = (GOLDEN / f"{case}.yaml").read_text().splitlines()[0]
    assert digest_of_chart() in first, f"The chart or its cases changed; render them again: {AGAIN}"


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES["accepted"])
def test_helm_renders_it_again_and_kubernetes_takes_every_object(case: str, answers: Any) -> None:
    assert answers[case]["documents"] == list(yaml.safe_load_all((GOLDEN / f"{case}.yaml").read_text()))
    assert answers[case]["faults"] == []
    assert answers[case]["lint"] == []


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES["refused"])
def test_helm_refuses_what_cannot_be_served_so(case: str, answers: Any) -> None:
    assert CASES["refused"][case][1] in answers[case]["refused"]


@pytest.mark.slow
def test_helm_says_what_is_lost_without_a_claim(answers: Any) -> None:
    assert "end with it" in answers["forgetful"]["notes"]
    assert "no token" in answers["mesh"]["notes"]


@pytest.mark.parametrize("case", CASES["accepted"])
def test_a_pod_has_the_time_to_answer_what_it_was_asked(case: str) -> None:
    pod = documents(case)["Deployment"]["spec"]["template"]["spec"]
    pause = int(container(case)["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > pause + max(DRAIN_S, WORKER_DRAIN_S)


@pytest.mark.parametrize("case", CASES["accepted"])
def test_a_pod_may_do_nothing_but_serve(case: str) -> None:
    pod = documents(case)["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    bounds = container(case)["securityContext"]
    assert bounds == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    written = {mount["mountPath"] for mount in container(case)["volumeMounts"] if not mount.get("readOnly")}
    assert {"/var/lib/holdtrue", "/tmp"} <= written <= {"/var/lib/holdtrue", "/tmp", "/var/lib/holdtrue/traffic"}


def test_the_probes_ask_the_paths_that_the_server_has_by_a_name_it_answers_to() -> None:
    for case, scheme in (("mesh", "HTTP"), ("encrypted", "HTTPS")):
        made = container(case)
        probes = {name: made[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
        assert {name: probe["path"] for name, probe in probes.items()} == {
            "startupProbe": "/livez",
            "readinessProbe": "/readyz",
            "livenessProbe": "/livez",
        }
        assert {probe["scheme"] for probe in probes.values()} == {scheme}
        assert all(probe["httpHeaders"] == [{"name": "Host", "value": "localhost"}] for probe in probes.values())


def test_without_a_certificate_it_is_said_aloud_that_a_mesh_is_needed() -> None:
    assert "--insecure" in container("mesh")["args"]
    assert "--insecure" not in container("encrypted")["args"]
    assert "--tls-cert=/etc/holdtrue/tls/tls.crt" in container("encrypted")["args"]
    assert "--client-ca=/etc/holdtrue/tls/ca.crt" in container("alone")["args"]


@pytest.mark.parametrize("case", CASES["accepted"])
def test_every_option_is_one_that_serve_knows(case: str) -> None:
    import typer

    from holdtrue.cli.main import app

    group: Any = typer.main.get_command(app)
    command = group.get_command(group.make_context("holdtrue", [], resilient_parsing=True), "serve")
    known = {option for parameter in command.params for option in parameter.opts}
    verb, release, *options = container(case)["args"]
    assert (verb, release[0]) == ("serve", "/")
    assert {option.partition("=")[0] for option in options} <= known


def test_each_pod_has_a_place_of_its_own_for_its_receipts() -> None:
    (mount,) = [each for each in container("mesh")["volumeMounts"] if each["name"] == "receipts"]
    assert mount["subPathExpr"].endswith("/$(POD_NAME)")
    claim = documents("mesh")["PersistentVolumeClaim"]
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert documents("alone")["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}
    assert "PersistentVolumeClaim" not in documents("forgetful")


def test_nothing_comes_in_but_what_is_named_and_nothing_goes_out() -> None:
    policy = documents("mesh")["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []
    assert policy["ingress"][0]["from"] == CASES["accepted"]["mesh"]["networkPolicy"]["from"]
    assert documents("encrypted")["NetworkPolicy"]["spec"]["egress"] != []


def test_the_scaler_and_the_budget_know_the_deployment() -> None:
    made = documents("encrypted")
    assert made["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == made["Deployment"]["metadata"]["name"]
    assert "replicas" not in made["Deployment"]["spec"]
    labels = made["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for kind in ("PodDisruptionBudget", "ServiceMonitor", "Deployment"):
        assert made[kind]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert made["Service"]["spec"]["selector"].items() <= labels.items()


@pytest.mark.slow
def test_the_values_are_those_that_their_schema_takes() -> None:
    from jsonschema import Draft7Validator

    schema = json.loads((CHART / "values.schema.json").read_text())
    Draft7Validator.check_schema(schema)
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert not list(Draft7Validator(schema).iter_errors(values))
    assert set(schema["properties"]) - {"global"} == set(values)
    for name, part in values.items():
        if schema["properties"][name].get("properties"):
            assert set(part) == set(schema["properties"][name]["properties"]), name
