"""A signature holds for exactly the bytes that were signed, by a key that is trusted."""

import base64
import json
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from holdtrue.core.digest import canonical_json
from holdtrue.core.errors import Refused
from holdtrue.release.held import SIGNATURE, hold
from holdtrue.release.signing import sign, signing_key, trusted_keys, verify


def released(store: Path) -> Path:
    return next((store / "releases").iterdir())


@pytest.fixture
def folder(store: Path, tmp_path: Path) -> Path:
    """A copy of a signed release that may be harmed."""
    return Path(shutil.copytree(released(store), tmp_path / "release"))


def test_a_key_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    first = signing_key(tmp_path / "keys")
    assert signing_key(tmp_path / "keys") == first
    assert stat.S_IMODE(first.private.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == ["signing.pem", "signing.pub"]


def test_processes_that_start_together_get_one_key(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(signing_key(tmp_path / "keys").fingerprint)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    signing_key(tmp_path / "keys").private.chmod(0o640)
    with pytest.raises(Refused, match="chmod 600"):
        signing_key(tmp_path / "keys")


def test_a_private_key_that_is_none_is_refused(tmp_path: Path) -> None:
    key = signing_key(tmp_path / "keys")
    key.private.write_bytes(b"no key")
    with pytest.raises(Refused, match="cannot be read"):
        signing_key(tmp_path / "keys")


def test_our_own_key_and_the_trusted_ones_are_trusted(tmp_path: Path) -> None:
    own, other = signing_key(tmp_path / "keys"), signing_key(tmp_path / "other")
    assert set(trusted_keys(tmp_path / "keys")) == {own.fingerprint}
    (tmp_path / "keys" / "trusted").mkdir()
    shutil.copy(other.public, tmp_path / "keys" / "trusted" / "friend.pub")
    assert set(trusted_keys(tmp_path / "keys")) == {own.fingerprint, other.fingerprint}
    assert trusted_keys(tmp_path / "nothing") == {}


def test_a_trusted_key_on_another_curve_is_refused(tmp_path: Path) -> None:
    pem = (
        ec.generate_private_key(ec.SECP384R1())
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "trusted").mkdir()
    (tmp_path / "trusted" / "odd.pub").write_bytes(pem)
    with pytest.raises(Refused, match="P-256"):
        trusted_keys(tmp_path)


def test_an_untouched_release_is_verified_with_its_bytes(store: Path) -> None:
    folder = released(store)
    verified = verify(folder, trusted_keys(store / "keys"))
    assert verified.files == hold(folder)
    assert verified.fingerprint == signing_key(store / "keys").fingerprint


def test_a_release_by_another_key_is_refused_until_that_key_is_trusted(store: Path, tmp_path: Path) -> None:
    stranger = tmp_path / "keys"
    signing_key(stranger)
    with pytest.raises(Refused) as told:
        verify(released(store), trusted_keys(stranger))
    theirs = signing_key(store / "keys")
    assert theirs.fingerprint in str(told.value)
    assert "keys/trusted" in str(told.value)
    (stranger / "trusted").mkdir()
    shutil.copy(theirs.public, stranger / "trusted" / "them.pub")
    assert verify(released(store), trusted_keys(stranger)).fingerprint == theirs.fingerprint


def test_the_library_itself_verifies_what_we_signed(store: Path) -> None:
    from model_signing import verifying

    folder = released(store)
    public = signing_key(store / "keys").public
    verifying.Config().use_elliptic_key_verifier(public_key=public).verify(folder, folder / SIGNATURE)


def test_the_signature_tells_the_digest_as_the_name(store: Path) -> None:
    bundle = json.loads((released(store) / SIGNATURE).read_bytes())
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    assert [subject["name"] for subject in statement["subject"]] == [released(store).name]


def rewrite(folder: Path, harm: Callable[[dict[str, Any]], object]) -> None:
    place = folder / SIGNATURE
    value = json.loads(place.read_bytes())
    harm(value)
    place.write_bytes(canonical_json(value))


SPELLINGS: dict[str, Callable[[Path], object]] = {
    "a blank": lambda folder: (folder / SIGNATURE).write_bytes((folder / SIGNATURE).read_bytes() + b"\n"),
    "an unknown key": lambda folder: rewrite(folder, lambda value: value.update(more=1)),
    "another media type": lambda folder: rewrite(folder, lambda value: value.update(mediaType="x")),
    "no hint": lambda folder: rewrite(folder, lambda value: value["verificationMaterial"].update(publicKey={})),
    "a log entry": lambda folder: rewrite(folder, lambda value: value["verificationMaterial"].update(tlogEntries=[1])),
    "two signatures": lambda folder: rewrite(
        folder, lambda value: value["dsseEnvelope"]["signatures"].append(value["dsseEnvelope"]["signatures"][0])
    ),
    "no signature": lambda folder: rewrite(folder, lambda value: value["dsseEnvelope"].update(signatures=[])),
    "an empty signature": lambda folder: rewrite(
        folder, lambda value: value["dsseEnvelope"]["signatures"][0].update(sig="")
    ),
    "another payload type": lambda folder: rewrite(
        folder, lambda value: value["dsseEnvelope"].update(payloadType="text/plain")
    ),
    "base64 with loose ends": lambda folder: rewrite(
        folder,
        lambda value: value["dsseEnvelope"].update(payload=value["dsseEnvelope"]["payload"].replace("=", "") + "!"),
    ),
    "no JSON": lambda folder: (folder / SIGNATURE).write_bytes(b"\x80\x04K\x07."),
    "nothing": lambda folder: (folder / SIGNATURE).write_bytes(b""),
    "brackets without end": lambda folder: (folder / SIGNATURE).write_bytes(b"[" * 200_000),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_signature_has_one_spelling(name: str, folder: Path, store: Path) -> None:
    SPELLINGS[name](folder)
    with pytest.raises(Refused):
        verify(folder, trusted_keys(store / "keys"))


def test_a_signature_over_fewer_files_is_refused(folder: Path, store: Path) -> None:
    key = signing_key(store / "keys")
    files = {name: data for name, data in hold(folder).items() if name not in (SIGNATURE, "card.md")}
    (folder / SIGNATURE).write_bytes(sign(files, name="x", key=key))
    with pytest.raises(Refused, match=r"card\.md is not what was signed"):
        verify(folder, trusted_keys(store / "keys"))


def test_a_changed_file_is_named(folder: Path, store: Path) -> None:
    (folder / "card.md").write_bytes(b"changed")
    with pytest.raises(Refused, match=r"card\.md changed since it was signed"):
        verify(folder, trusted_keys(store / "keys"))


@pytest.mark.slow
def test_verifying_alone_takes_a_second_at_most(store: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; start = time.process_time();"
        "from holdtrue.release.signing import trusted_keys, verify;"
        "verify(Path(sys.argv[1]), trusted_keys(Path(sys.argv[2]))); print(time.process_time() - start)"
    )
    took = [
        float(
            subprocess.run(
                [sys.executable, "-c", code, str(released(store)), str(store / "keys")],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for _ in range(3)
    ]
    assert min(took) <= 1.0


def test_the_heavy_library_is_imported_only_to_sign_or_verify() -> None:
    code = (
        "import sys, holdtrue.release.quarantine; print([name for name in sys.modules if name.startswith('model_s')])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "[]\n"
