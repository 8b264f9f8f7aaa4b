"""Holdtrue's own server, on the release itself: `holdtrue serve` in the project's folder."""

import re
import shutil
from pathlib import Path

from peers.peer import Peer, Place
from wires import MLFLOW_JSON, V2_BINARY, V2_JSON

VARIABLE = re.compile(r"[A-Z_]+=")


def project(place: Place) -> Path:
    """Copy the project: what is written down of millions of requests goes when the server does."""
    copy = place.folder / "project"
    return Path(shutil.copytree(place.model.project, copy, symlinks=True))


def variant(name: str, *words: str) -> Peer:
    """Give the server with further arguments, or variables as NAME=VALUE; the result calls it by this name."""
    environ = dict(word.split("=", 1) for word in words if VARIABLE.match(word))
    further = [word for word in words if not VARIABLE.match(word)]

    def command(place: Place) -> list[str]:
        given = ["serve", "--port", str(place.port), "--workers", "1", *further]
        return place.python("-m", "holdtrue.cli", *given)

    return Peer(
        name=name,
        says=" ".join(["holdtrue serve --workers 1", *words]),
        environment=None,
        command=command,
        environ=environ,
        where=project,
        infer="/v2/models/{name}/infer",
        ready="/v2/models/{name}/ready",
        wires={"json": V2_JSON, "binary": V2_BINARY, "mlflow": MLFLOW_JSON},
        models=("M1", "M2", "M3"),
    )


PEERS = (variant("Holdtrue"),)
