"""A small release, and what a container finds beside it."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from holdtrue.data.contract import Contract, Field
from holdtrue.data.contract_json import to_dict
from tests.release.made_release import parts, written


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """The folders that a container has: a release, what an operator mounts, and an empty place to write."""

    release: Path
    given: Path
    home: Path


@pytest.fixture
def given(tmp_path: Path) -> Given:
    contract = Contract(fields=(Field(name="age", kind="number"), Field(name="city", kind="category")))
    made = written(tmp_path / "store", parts(json.dumps(to_dict(contract)).encode()))
    place, home = tmp_path / "etc", tmp_path / "home"
    (place / "trusted").mkdir(parents=True)
    (place / "tls").mkdir()
    home.mkdir()
    (place / "trusted" / "signer.pub").write_bytes((tmp_path / "store" / "keys" / "signing.pub").read_bytes())
    return Given(release=made.folder, given=place, home=home)


def certificate(folder: Path) -> None:
    """Make a certificate for `localhost` that nobody else has signed."""
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "1"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    out = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    subprocess.run(["openssl", "req", *kind, *subject, *out], check=True, capture_output=True)
