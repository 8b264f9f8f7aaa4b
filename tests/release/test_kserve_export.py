"""What KServe is given is the release itself, and a container that serves it as any other place does."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_release import written
from tests.pythons import python_of

from holdtrue.core.errors import Misuse, Refused
from holdtrue.release.kserve_export import GRACE_S, export_kserve, name_for
from holdtrue.release.quarantine import admit
from holdtrue.release.signing import trusted_keys

# Fields of a predictor, read off kserve.models.V1beta1PredictorSpec of KServe 0.21; those of a pod are among them.
PREDICTOR = {
    "minReplicas",
    "maxReplicas",
    "scaleMetric",
    "scaleTarget",
    "terminationGracePeriodSeconds",
    "automountServiceAccountToken",
    "securityContext",
    "containers",
    "volumes",
}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("store")).folder


@pytest.fixture(scope="module")
def exported(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("kserve") / "service"
    export_kserve(release, out)
    return out


def service(folder: Path) -> Any:
    return yaml.safe_load((folder / "inferenceservice.yaml").read_text())


def container(folder: Path) -> Any:
    (only,) = service(folder)["spec"]["predictor"]["containers"]
    return only


def test_the_manifest_is_one_that_kserve_knows(exported: Path, release: Path) -> None:
    made = service(exported)
    assert (made["apiVersion"], made["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert made["metadata"]["name"] == "leavers"
    assert made["metadata"]["annotations"]["holdtrue/release"] == release.name
    assert set(made["spec"]) == {"predictor"}
    assert set(made["spec"]["predictor"]) <= PREDICTOR
    assert container(exported)["name"] == "kserve-container"


def test_the_storage_is_named_by_the_release_it_holds(exported: Path, release: Path) -> None:
    environ = {each["name"]: each["value"] for each in container(exported)["env"]}
    assert environ["STORAGE_URI"] == f"pvc://holdtrue-releases/{release.name}"
    assert container(exported)["args"][:2] == ["serve", "/mnt/models"]


@pytest.mark.slow
def test_the_release_in_it_is_untouched_and_the_key_beside_it_opens_it(
    exported: Path, release: Path, tmp_path: Path
) -> None:
    for file in release.iterdir():
        assert (exported / "release" / file.name).read_bytes() == file.read_bytes()
    (tmp_path / "trusted").mkdir()
    shutil.copy(exported / "signer.pub", tmp_path / "trusted")
    admitted = admit(exported / "release", trusted=trusted_keys(tmp_path))
    assert admitted.release.digest == release.name
    names = {path.name for path in exported.iterdir()}
    assert names == {"release", "signer.pub", "inferenceservice.yaml", "kustomization.yaml", "Dockerfile"}


def test_what_the_container_mounts_is_there(exported: Path) -> None:
    volumes = {each["name"]: each for each in service(exported)["spec"]["predictor"]["volumes"]}
    assert {mount["name"] for mount in container(exported)["volumeMounts"]} == set(volumes)
    (made,) = yaml.safe_load((exported / "kustomization.yaml").read_text())["configMapGenerator"]
    assert made["name"] == volumes["trusted"]["configMap"]["name"]
    assert all((exported / name).is_file() for name in made["files"])


def test_the_container_may_do_nothing_but_serve_and_has_time_to_end(exported: Path) -> None:
    bounds = container(exported)["securityContext"]
    assert bounds["readOnlyRootFilesystem"]
    assert bounds["runAsNonRoot"]
    assert bounds["capabilities"] == {"drop": ["ALL"]}
    assert service(exported)["spec"]["predictor"]["terminationGracePeriodSeconds"] == GRACE_S > 5 + 35


def test_the_image_of_the_release_holds_nothing_else(exported: Path) -> None:
    lines = (exported / "Dockerfile").read_text().splitlines()
    assert "COPY release /models" in lines
    assert not any(line.startswith("RUN") for line in lines)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("leavers", "leavers"),
        ("Hotel Cancellations_2", "hotel-cancellations-2"),
        ("7 days", "m-7-days"),
        ("a" * 60, "a" * 40),
        ("ä: {", "m"),
        ("-x-", "x"),
    ],
)
def test_any_name_becomes_one_that_kubernetes_takes(model: str, name: str) -> None:
    assert name_for(model) == name
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name)


def test_the_same_release_is_written_with_the_same_bytes(exported: Path, release: Path, tmp_path: Path) -> None:
    export_kserve(release, tmp_path / "again")
    for file in exported.rglob("*"):
        if file.is_file():
            assert (tmp_path / "again" / file.relative_to(exported)).read_bytes() == file.read_bytes()


def test_a_release_that_does_not_hold_is_not_exported(release: Path, tmp_path: Path) -> None:
    shutil.copytree(release.parent.parent, tmp_path / "store")
    copy = tmp_path / "store" / "releases" / release.name
    (copy / "card.md").write_text("other words")
    with pytest.raises(Refused, match=r"card\.md"):
        export_kserve(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_over(exported: Path, release: Path) -> None:
    with pytest.raises(Misuse, match="is there already"):
        export_kserve(release, exported)


@pytest.mark.slow
def test_kubernetes_takes_the_pod_of_the_predictor(exported: Path) -> None:
    python = python_of("helm", unless="HOLDTRUE_HELM_PYTHON")
    code = (
        "import sys, yaml, kubernetes_validate as k\n"
        "spec = yaml.safe_load(open(sys.argv[1]))['spec']['predictor']\n"
        "[spec.pop(name) for name in ('minReplicas', 'maxReplicas', 'scaleMetric', 'scaleTarget')]\n"
        "k.validate({'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'x'}, 'spec': spec}, '1.31', strict=True)"
    )
    subprocess.run([python, "-c", code, str(exported / "inferenceservice.yaml")], check=True)
