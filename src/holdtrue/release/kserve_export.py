"""A release as an InferenceService of KServe: the folder its storage holds, its signer's key, and the manifests.

The container runs Holdtrue's own server, so a cluster gets the same checks, protocols and receipts as any other place.
KServe brings the release to the container; the container verifies it in full before it answers. Writing needs no
KServe. The same release gives the same bytes.
"""

import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import yaml

from holdtrue.core.digest import Json
from holdtrue.release.bundle import Core
from holdtrue.release.exporting import checked, write_folder

SIGNER = "signer.pub"
SERVICE, STAGE, KUSTOMIZATION = "inferenceservice.yaml", "Dockerfile", "kustomization.yaml"
IMAGE = "holdtrue"
CLAIM = "holdtrue-releases"
# Where KServe lays what STORAGE_URI names; where the image expects keys and keeps its store (deploy/Dockerfile).
MODELS, TRUSTED, HOME = "/mnt/models", "/etc/holdtrue/trusted", "/var/lib/holdtrue"
PORT = 8080
# The server answers what it was asked for 30 s after it was told to end, and its supervisor waits 5 s more.
GRACE_S = 60
USER = 10001
HARDENED: Mapping[str, Json] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": USER,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
# A storage of its own: an image that holds nothing but the release, for `oci://`.
BUNDLE_IMAGE = """\
# An image that holds the release and nothing else, for STORAGE_URI oci://IMAGE.
FROM busybox:1.36
COPY release /models
USER 10001
"""


def export_kserve(release_folder: Path, out: Path, *, trusted: Mapping[str, Path] | None = None) -> None:
    """Write a verified release with the manifests that serve it; `out` appears whole, or not at all.

    `trusted` are the keys whose releases are accepted; those of the store the release lies in when None. Raises
    `Refused` when the release does not hold, and `Misuse` when there is something at `out`.
    """
    verified = checked(release_folder, out, trusted)
    core = verified.core
    files = {f"release/{name}": data for name, data in verified.files.items()}
    files[SIGNER] = verified.signer
    files[STAGE] = BUNDLE_IMAGE.encode()
    files[SERVICE] = _yaml(_service(core))
    files[KUSTOMIZATION] = _yaml(_kustomization(core))
    write_folder(out, files)


def name_for(model: str) -> str:
    """Make a name that Kubernetes takes of a model's: a label, short enough for what KServe adds to it.

    >>> name_for("Hotel Cancellations_2")
    'hotel-cancellations-2'
    >>> name_for("7 äpfel")
    'm-7-pfel'
    """
    bare = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")
    return (bare if bare[:1].isalpha() else f"m-{bare}")[:40].strip("-")


def _service(core: Core) -> dict[str, Json]:
    name = name_for(core.name)
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/name": "holdtrue", "app.kubernetes.io/instance": name},
            "annotations": {
                "holdtrue/release": core.digest,
                # A plain Deployment: this server shares out and batches requests itself.
                "serving.kserve.io/deploymentMode": "RawDeployment",
                "prometheus.io/scrape": "true",
                "prometheus.io/port": str(PORT),
                "prometheus.io/path": "/metrics",
            },
        },
        "spec": {
            "predictor": {
                "minReplicas": 1,
                "maxReplicas": 4,
                "scaleMetric": "cpu",
                "scaleTarget": 70,
                "terminationGracePeriodSeconds": GRACE_S,
                "automountServiceAccountToken": False,
                "securityContext": {"runAsNonRoot": True, "fsGroup": USER},
                "containers": [_container(core)],
                "volumes": [
                    {"name": "home", "emptyDir": {}},
                    {"name": "tmp", "emptyDir": {}},
                    {"name": "trusted", "configMap": {"name": f"{name}-trusted"}},
                ],
            }
        },
    }


def _container(core: Core) -> dict[str, Json]:
    return {
        "name": "kserve-container",
        "image": f"{IMAGE}:{version('holdtrue')}",
        # KServe's gateway ends encryption and knows the callers, and the network policy of the namespace lets no
        # others in; the server says at its start that it is open to all who reach it.
        "args": ["serve", MODELS, "--host", "0.0.0.0", "--port", str(PORT), "--insecure"],  # noqa: S104 - in a pod
        "env": [
            {"name": "STORAGE_URI", "value": f"pvc://{CLAIM}/{core.digest}"},
            {"name": "HOLDTRUE_HOME", "value": HOME},
        ],
        "ports": [{"containerPort": PORT, "protocol": "TCP"}],
        "startupProbe": {**_probe("/livez", period_s=2), "failureThreshold": 60},
        "readinessProbe": _probe("/v2/health/ready", period_s=5),
        "livenessProbe": _probe("/livez", period_s=10),
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}},
        "resources": {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
        "securityContext": dict(HARDENED),
        "volumeMounts": [
            {"name": "home", "mountPath": HOME},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the pod
            {"name": "trusted", "mountPath": TRUSTED, "readOnly": True},
        ],
    }


def _probe(path: str, *, period_s: int) -> dict[str, Json]:
    return {"httpGet": {"path": path, "port": PORT}, "periodSeconds": period_s, "timeoutSeconds": 2}


def _kustomization(core: Core) -> dict[str, Json]:
    """Carry the signer's key in a ConfigMap, and leave one place to name the image."""
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [SERVICE],
        "configMapGenerator": [
            {
                "name": f"{name_for(core.name)}-trusted",
                "files": [SIGNER],
                "options": {"disableNameSuffixHash": True},
            }
        ],
    }


def _yaml(value: Mapping[str, Json]) -> bytes:
    return yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True, width=1_000_000).encode()
