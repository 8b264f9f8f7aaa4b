"""A release as an application of Ray Serve: a folder with the release, its signer's key, and the lines that Ray runs.

The lines are the same for every release, so an export holds no code that came from data. They verify the release in
full wherever a replica starts. Writing needs no Ray. The same release gives the same bytes.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from holdtrue.core.digest import Json
from holdtrue.release.exporting import checked, write_folder
from holdtrue.release.held import LOCK

DATA, SIGNER = "data", "keys/trusted/signer.pub"
APP, CONFIG, REQUIREMENTS, ABOUT = "app.py", "serve_config.yaml", "requirements.txt", "release.json"
PORT = 8000
OLDEST_RAY = "2.40"
# What changes a prediction is pinned as it was.
PINNED = ("numpy", "onnxruntime", "polars")
LINES = '''\
"""Answers with the release that lies beside this file; start it with: serve run --working-dir . serve_config.yaml"""

import os
from pathlib import Path

from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from holdtrue.serving.replica import MOST_BYTES, open_replica


class Release:
    """One replica. It verifies signature and bytes when it starts, and keeps no receipts."""

    def __init__(self) -> None:
        here = Path(__file__).parent
        # With HOLDTRUE_HOME set, the keys of that store say whose releases are accepted.
        home = os.environ.get("HOLDTRUE_HOME")
        self._replica = open_replica(here / "data", keys=(Path(home) if home else here) / "keys")

    async def __call__(self, request: Request) -> Response:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                break  # the replica refuses it by its length
        reply = self._replica.answer(request.method, request.url.path, dict(request.headers), bytes(body))
        return Response(reply.body, status_code=reply.status, headers=dict(reply.headers))


app = serve.deployment(Release).bind()
'''


def export_ray(release_folder: Path, out: Path, *, trusted: Mapping[str, Path] | None = None) -> None:
    """Write a verified release as an application of Ray Serve; `out` appears whole, or not at all.

    `trusted` are the keys whose releases are accepted; those of the store the release lies in when None. Raises
    `Refused` when the release does not hold, and `Misuse` when there is something at `out`.
    """
    verified = checked(release_folder, out, trusted)
    core = verified.core
    files = {f"{DATA}/{name}": data for name, data in verified.files.items()}
    files[SIGNER] = verified.signer
    files[APP] = LINES.encode()
    files[CONFIG] = yaml.safe_dump(_config(core.name), sort_keys=False, allow_unicode=True).encode()
    files[REQUIREMENTS] = _requirements(verified.files[LOCK].decode()).encode()
    about: dict[str, Json] = {"release": core.digest, "name": core.name, "task": core.task}
    files[ABOUT] = json.dumps(about, indent=1, ensure_ascii=False).encode() + b"\n"
    write_folder(out, files)


def _config(name: str) -> dict[str, Json]:
    """Describe the application: one processor a replica, since a graph runs on one thread."""
    return {
        # Beyond this machine only behind something that knows callers: the application itself does not.
        "http_options": {"host": "127.0.0.1", "port": PORT},
        "applications": [
            {
                "name": name,
                "route_prefix": "/",
                "import_path": "app:app",
                "deployments": [
                    {
                        "name": "Release",
                        "autoscaling_config": {"min_replicas": 1, "max_replicas": 4},
                        "ray_actor_options": {"num_cpus": 1},
                    }
                ],
            }
        ],
    }


def _requirements(lock: str) -> str:
    held = dict(line.split("==", 1) for line in lock.splitlines() if "==" in line)
    own = f"holdtrue=={held['holdtrue']}" if "holdtrue" in held else "holdtrue"
    return "".join(
        f"{line}\n"
        for line in (f"ray[serve]>={OLDEST_RAY}", own, *(f"{name}=={held[name]}" for name in PINNED if name in held))
    )
