"""What every export of a release begins and ends with: it is verified, and its folder appears whole or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from holdtrue.core.errors import Misuse
from holdtrue.core.files import folder_whole
from holdtrue.release.bundle import Core, release_of
from holdtrue.release.signing import trusted_keys, verify

KEYS = "keys"


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """A release that was verified: its core, its files by name, and the public key of its signer."""

    core: Core
    files: Mapping[str, bytes]
    signer: bytes


def checked(release_folder: Path, out: Path, trusted: Mapping[str, Path] | None) -> Checked:
    """Verify a release that is to be exported to `out`.

    `trusted` are the keys whose releases are accepted; those of the store the release lies in when None. Raises
    `Refused` when the release does not hold, and `Misuse` when there is something at `out`.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Misuse(f"{out} is there already.", do="Name a new place, or remove it first.")
    keys = trusted_keys(release_folder.parent.parent / KEYS) if trusted is None else trusted
    verified = verify(release_folder, keys)
    return Checked(
        core=release_of(release_folder, verified.files).core,
        files=verified.files,
        signer=keys[verified.fingerprint].read_bytes(),
    )


def write_folder(out: Path, files: Mapping[str, bytes]) -> None:
    """Write files by their paths below `out`."""
    if out.exists():
        out.rmdir()
    with folder_whole(out, scratch=out.absolute().parent) as building:
        for name, data in files.items():
            (building / name).parent.mkdir(parents=True, exist_ok=True)
            (building / name).write_bytes(data)
