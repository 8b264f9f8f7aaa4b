"""The packages of each peer, in an environment of its own, made when first asked for."""

import hashlib
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

from peers.peer import Peer

INSTALL_S = 1200


class Failed(Exception):
    """A peer could not be installed, started or asked; its words go into the result."""


def runtime() -> tuple[str, ...]:
    """Every peer runs the graph with the very versions that Holdtrue has here."""
    return tuple(f"{name}=={version(name)}" for name in ("onnxruntime", "numpy"))


def programs_of(peer: Peer, cache: Path) -> Path:
    """Find the folder of a peer's programs; install them if they are not there."""
    if peer.environment is None:
        return Path(sys.prefix) / "bin"
    wanted = [*peer.requirements, *runtime()]
    mark = hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:8]
    folder = cache / "environments" / f"{peer.environment}-{mark}"
    done = folder / "installed.txt"
    if not done.is_file():
        print(f"installing {peer.environment} into {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        try:
            made = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False, timeout=INSTALL_S)
        except subprocess.TimeoutExpired:
            raise Failed(f"pip had not finished after {INSTALL_S} s") from None
        if made.returncode:
            raise Failed(f"pip: {made.stderr.strip()[-500:]}")
        listed = subprocess.run([*command[:3], "freeze"], capture_output=True, text=True, check=True)
        done.write_text(listed.stdout)
    return folder / "bin"
