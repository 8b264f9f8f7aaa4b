"""The bytes of a release folder, read once: what is verified is what is used, for nothing is opened twice."""

import errno
import os
import stat
from pathlib import Path

from holdtrue.core.errors import Refused

MANIFEST = "manifest.json"
MODEL = "model.onnx"
INTERFACE = "signature.json"
CONTRACT = "contract.json"
REFERENCE = "reference.parquet"
GOLDEN = "golden.parquet"
LOCK = "environment.lock"
SIGNATURE = "model.sig"

# What decides predictions, and is therefore part of a release's name.
CORE_FILES = (MODEL, INTERFACE, CONTRACT, REFERENCE, GOLDEN)
# What was measured and written down once; signed, but not part of the name.
EVIDENCE_FILES = ("report.json", "report.html", "card.md", "bom.cdx.json", LOCK)

MIB = 1 << 20
MOST_BYTES = {
    MANIFEST: 16 * MIB,
    MODEL: 512 * MIB,
    INTERFACE: 16 * MIB,
    CONTRACT: 64 * MIB,
    REFERENCE: 256 * MIB,
    GOLDEN: 64 * MIB,
    "report.json": 64 * MIB,
    "report.html": 64 * MIB,
    "card.md": 4 * MIB,
    "bom.cdx.json": 16 * MIB,
    LOCK: MIB,
    SIGNATURE: MIB,
}


def hold(folder: Path) -> dict[str, bytes]:
    """Read a release folder that holds exactly the known names, each a plain file of its own, none too large.

    Links are refused, symbolic and hard: whoever holds the other name could change the bytes.
    Raises `Refused` with every fault at once.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(f"There is no release at {folder}: {error.strerror}.") from None
    try:
        names = set(os.listdir(handle))  # noqa: PTH208 - a handle cannot be exchanged for another folder
        faults = [f"{name!r} does not belong in a release" for name in sorted(names - MOST_BYTES.keys())]
        faults += [f"{name} is missing" for name in MOST_BYTES if name not in names]
        files: dict[str, bytes] = {}
        for name in MOST_BYTES:
            if name in names:
                got = _read(handle, name)
                if isinstance(got, str):
                    faults.append(f"{name} {got}")
                else:
                    files[name] = got
    finally:
        os.close(handle)
    if faults:
        raise Refused(
            f"The folder {folder} is not a release as it was written:",
            faults=faults,
            do="Use the release as it was made, or make it again: holdtrue run",
        )
    return files


def _read(folder: int, name: str) -> bytes | str:
    """Give the bytes of one file, or what is wrong with it."""
    try:
        # O_NONBLOCK: a named pipe in place of a file must not make us wait for a writer.
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        return "is a link" if error.errno == errno.ELOOP else f"cannot be read: {error.strerror}"
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            return "is not a plain file"
        if about.st_nlink != 1:
            return f"has {about.st_nlink} names (hard links); its bytes could change under another one"
        if about.st_size > MOST_BYTES[name]:
            return f"has {about.st_size:,} bytes; at most {MOST_BYTES[name]:,} are allowed"
        with os.fdopen(handle, "rb", closefd=False) as stream:
            data = stream.read(about.st_size + 1)
        return data if len(data) == about.st_size else "changed while it was read"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    finally:
        os.close(handle)
