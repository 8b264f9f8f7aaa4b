"""Checkpoints are notes that others can read, and that only a trusted key can have signed."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from holdtrue.core.errors import Refused
from holdtrue.registry.note import (
    Checkpoint,
    Signer,
    key_id,
    load_signer,
    load_trusted,
    open_checkpoint,
    sign_note,
    signer,
)

KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
POINT = Checkpoint(origin="holdtrue/hotels", size=7, root=bytes(32))
NOTE = sign_note(POINT.text(), signer(KEY, name="holdtrue"))


def test_a_key_has_the_id_that_the_go_implementation_gives_it() -> None:
    # The verifier key in the documentation of golang.org/x/mod/sumdb/note.
    name, told, encoded = "PeterNeumann", "c74f20a3", "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    public = ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(encoded)[1:])
    assert key_id(public, name=name).hex() == told


def test_a_checkpoint_reads_as_the_specification_writes_it() -> None:
    text, _, signature = NOTE.partition("\n\n")
    assert text == "holdtrue/hotels\n7\n" + base64.b64encode(bytes(32)).decode()
    assert signature.startswith("— holdtrue ")
    assert len(base64.b64decode(signature.split()[2])) == 4 + 64


@pytest.mark.parametrize("key", [KEY, ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())])
def test_what_a_trusted_key_signed_is_read_back(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> None:
    note = sign_note(POINT.text(), signer(key, name="holdtrue"))
    assert open_checkpoint(note, [OTHER.public_key(), key.public_key()]) == POINT


def test_another_key_is_refused() -> None:
    with pytest.raises(Refused, match="not signed by a trusted key"):
        open_checkpoint(NOTE, [OTHER.public_key()])


def test_without_keys_only_the_form_is_checked() -> None:
    assert open_checkpoint(NOTE, []) == POINT


@given(st.data())
def test_a_note_with_one_character_changed_is_refused(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(NOTE) - 1))
    letter = data.draw(st.characters().filter(lambda letter: letter != NOTE[place]))
    with pytest.raises(Refused):
        open_checkpoint(NOTE[:place] + letter + NOTE[place + 1 :], [KEY.public_key()])


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n\n",
        NOTE[:-1],
        NOTE + "x",
        NOTE.replace("\n7\n", "\n07\n"),
        NOTE.replace("\n\n", "\nmore\n\n"),
        "x" * 100_000,
    ],
)
def test_another_form_is_refused_with_and_without_a_key(note: str) -> None:
    for trusted in ([], [KEY.public_key()]):
        with pytest.raises(Refused):
            open_checkpoint(note, trusted)


@pytest.mark.parametrize("name", ["", "two words", "a+b"])
def test_a_key_has_a_name_the_specification_allows(name: str) -> None:
    with pytest.raises(ValueError, match="cannot sign"):
        Signer(name=name, key_id=bytes(4), sign=KEY.sign)


def test_the_key_of_releases_signs_checkpoints_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("keys")
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / "signing.pem", folder / "signing.pub"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    note = sign_note(POINT.text(), load_signer(private, name="holdtrue"))
    assert open_checkpoint(note, load_trusted([public])) == POINT
