"""Only what the issuer signed, for this service and for now, opens the door; no token decides how it is read."""

import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from tests.serving.issuer import AUDIENCE, NOW_S, Server, base64url, claims, jwk, jwks, private, serving, signed, until

from holdtrue.core.errors import Misuse, Refused
from holdtrue.serving import jwks as jwks_module
from holdtrue.serving.callers import Caller, Problem, Scope
from holdtrue.serving.doorman import Doorman, Vouched
from holdtrue.serving.oidc import LEEWAY_S, Issuer, Verifier, verifier

NAME = "https://issuer.example/realm"
RSA, EC, ED = private("RS256"), private("ES256"), private("EdDSA")
KEYS = {"RS256": RSA, "ES256": EC, "EdDSA": ED}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks(*[jwk(key, f"{algorithm}-1") for algorithm, key in KEYS.items()]))
    return path


@pytest.fixture
def judge(file: Path) -> Verifier:
    return verifier(Issuer(name=NAME, audience=AUDIENCE, keys=file), NOW_S)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def token(algorithm: str = "ES256", header: Mapping[str, object] | None = None, /, **more: object) -> bytes:
    kept = {"alg": algorithm, "kid": f"{algorithm}-1", "typ": "JWT"} | dict(header or {})
    return signed(kept, claims(NAME, **more), KEYS[algorithm])


def scopes_of(found: Vouched | Problem) -> set[Scope]:
    assert isinstance(found, Vouched), found
    return set(found.caller.scopes)


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_right_token_names_its_caller(algorithm: str, judge: Verifier) -> None:
    found = judge.verify(token(algorithm), NOW_S)
    caller = Caller(name="ada", scopes=frozenset({"predict"}), id="oidc:ada")
    assert found == Vouched(caller, NOW_S + 300 + LEEWAY_S)


@pytest.mark.parametrize("spelling", ["pem", "der", "jwk", "modulus"])
def test_a_public_key_is_no_shared_secret(spelling: str, judge: Verifier) -> None:
    """The classic confusion: HMAC, with the bytes of the key that everybody knows."""
    public = RSA.public_key()
    secret = {
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "jwk": json.dumps(jwk(RSA, "RS256-1")).encode(),
        "modulus": str(jwk(RSA)["n"]).encode(),
    }[spelling]
    for algorithm in ("HS256", "HS384", "HS512", "RS256"):
        forged = signed({"alg": algorithm, "kid": "RS256-1"}, claims(NAME), secret)
        assert judge.verify(forged, NOW_S) is Problem.UNKNOWN


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "nOnE", "", "HS256", "RS512", "PS256", "ES384", "Ed25519", "rs256"]
)
def test_no_other_algorithm_is_taken(algorithm: str, judge: Verifier) -> None:
    for key in (RSA, EC, ED, b"", None):
        for name in ("RS256-1", "ES256-1", "EdDSA-1"):
            forged = signed({"alg": algorithm, "kid": name}, claims(NAME), key)
            assert isinstance(judge.verify(forged, NOW_S), Problem)


def test_a_key_checks_only_tokens_of_its_own_algorithm(judge: Verifier) -> None:
    for algorithm, key in KEYS.items():
        for other in KEYS:
            found = judge.verify(signed({"alg": algorithm, "kid": f"{other}-1"}, claims(NAME), key), NOW_S)
            assert isinstance(found, Vouched) == (other == algorithm)


def test_another_key_under_a_known_name_opens_nothing(judge: Verifier) -> None:
    for algorithm in KEYS:
        forged = signed({"alg": algorithm, "kid": f"{algorithm}-1"}, claims(NAME), private(algorithm, 1))
        assert judge.verify(forged, NOW_S) is Problem.UNKNOWN
    assert judge.refused is not None
    assert "signature" in judge.refused


@pytest.mark.parametrize("name", [None, "", "other", "../RS256-1", "RS256-1\0", "ES256-1 ", "x" * 5000])
def test_a_key_must_be_named_when_there_are_several(name: str | None, judge: Verifier) -> None:
    header = {"alg": "ES256"} | ({} if name is None else {"kid": name})
    assert judge.verify(signed(header, claims(NAME), EC), NOW_S) is Problem.UNKNOWN


@pytest.mark.parametrize("name", [7, ["ES256-1"], {"kid": 1}, True, 1.5])
def test_a_name_of_another_type_is_malformed(name: object, judge: Verifier) -> None:
    assert judge.verify(token("ES256", {"kid": name}), NOW_S) is Problem.MALFORMED


def test_where_a_token_says_its_key_is_nobody_looks(judge: Verifier, server: Server) -> None:
    mine = private("ES256", 1)
    server.answers["/keys"] = (200, jwks(jwk(mine, "ES256-1"), jwk(mine, "mine")))
    where = f"{server.address}/keys"
    for name in ("ES256-1", "mine"):
        header = {"jku": where, "x5u": where, "jwk": jwk(mine, name), "x5c": ["AAAA"], "kid": name, "alg": "ES256"}
        assert judge.verify(signed(header, claims(NAME), mine), NOW_S) is not None
        assert isinstance(judge.verify(signed(header, claims(NAME), mine), NOW_S), Problem)
    assert isinstance(judge.verify(token("ES256", {"jku": where, "jwk": jwk(mine), "x5u": where}), NOW_S), Vouched)
    time.sleep(0.05)
    assert server.asked == []


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"crit": []},
        {"crit": ["b64"], "b64": False},
        {"crit": ["b64"], "b64": True},
        {"b64": False},
        {"crit": "exp"},
        {"crit": None},
        {"alg": None},
        {"alg": ["ES256"]},
        {"alg": {"ES256": 1}},
        {"alg": 1},
    ],
    ids=str,
)
def test_what_must_be_understood_and_is_not_is_refused(header: Mapping[str, object], judge: Verifier) -> None:
    assert isinstance(judge.verify(token("ES256", header), NOW_S), Problem)


@pytest.mark.parametrize(
    "more",
    [
        {"iss": "https://other.example"},
        {"iss": NAME + "/"},
        {"iss": NAME.upper()},
        {"iss": None},
        {"iss": [NAME]},
        {"aud": "other"},
        {"aud": []},
        {"aud": AUDIENCE + " other"},
        {"aud": ["other", AUDIENCE.upper()]},
        {"aud": [AUDIENCE, 7]},
        {"aud": {AUDIENCE: 1}},
        {"aud": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a" * 256},
        {"sub": "ada\nadmin"},
        {"sub": "ada\x00"},
        {"sub": "ada\u202e"},
        {"exp": None},
        {"exp": "9999999999"},
        {"exp": True},
        {"exp": [9999999999]},
        {"nbf": "0"},
        {"nbf": True},
    ],
    ids=str,
)
def test_a_claim_that_is_wrong_or_missing_opens_nothing(more: dict[str, object], judge: Verifier) -> None:
    assert judge.verify(token(**more), NOW_S) is Problem.UNKNOWN


def test_one_of_several_audiences_is_enough(judge: Verifier) -> None:
    assert isinstance(judge.verify(token(aud=["other", AUDIENCE]), NOW_S), Vouched)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"exp": NOW_S - 29.5}, None),
        ({"exp": NOW_S - 30}, Problem.EXPIRED),
        ({"exp": 0}, Problem.EXPIRED),
        ({"exp": -(10**400)}, Problem.UNKNOWN),
        ({"exp": 10**400}, Problem.UNKNOWN),
        ({"exp": -1e308}, Problem.EXPIRED),
        ({"nbf": NOW_S + 30}, None),
        ({"nbf": NOW_S + 30.5}, Problem.UNKNOWN),
        ({"nbf": None}, None),
    ],
)
def test_clocks_may_differ_by_half_a_minute(more: dict[str, object], expected: Problem | None, judge: Verifier) -> None:
    found = judge.verify(token(**more), NOW_S)
    assert isinstance(found, Vouched) if expected is None else found is expected


def test_an_expired_token_says_so_only_when_it_was_right(judge: Verifier) -> None:
    assert judge.verify(token(exp=0), NOW_S) is Problem.EXPIRED
    assert judge.verify(signed({"alg": "ES256", "kid": "ES256-1"}, claims(NAME, exp=0), None), NOW_S) is Problem.UNKNOWN


HEADER = base64url(b'{"alg":"ES256","kid":"ES256-1"}').encode()
BROKEN = {
    "nothing": b"..",
    "no header": b".e30.e30",
    "a header that is no JSON": b"AAAA.e30.AAAA",
    "a header that is a list": base64url(b"[]").encode() + b".e30.AAAA",
    "a deep header": base64url(b"[" * 5000).encode() + b".e30.AAAA",
    "no UTF-8": base64url(b'{"alg":"\xff"}').encode() + b".e30.AAAA",
    "base64 of five letters": HEADER + b".AAAAA.AAAA",
    "loose last bits": HEADER + b".e30.AB",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_token_is_malformed(name: str, judge: Verifier) -> None:
    assert judge.verify(BROKEN[name], NOW_S) is Problem.MALFORMED


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"null", b"7", b'"x"', b"\xff", b"{", b"[" * 4000, b'{"a":' * 1000, b'{"exp":1e999}'],
    ids=repr,
)
def test_a_payload_that_is_no_set_of_claims_opens_nothing(payload: bytes, judge: Verifier) -> None:
    made = signed({"alg": "ES256", "kid": "ES256-1"}, payload, EC)
    assert judge.verify(made, NOW_S) is Problem.UNKNOWN


RIGHT = token("EdDSA")


@given(st.data())
def test_no_changed_byte_is_believed(data: st.DataObject) -> None:
    keys = jwks(jwk(ED, "EdDSA-1"), jwk(EC, "ES256-1"))
    keeper = jwks_module.Keys(lambda: keys, renew_s=60, stale_s=0)
    keeper.renew(NOW_S)
    judge = Verifier(Issuer(name=NAME, audience=AUDIENCE), keeper)
    place = data.draw(st.integers(0, len(RIGHT) - 1))
    byte = data.draw(st.integers(0, 255))
    other = RIGHT[:place] + bytes([byte]) + RIGHT[place + 1 :]
    found = judge.verify(other, NOW_S)
    assert isinstance(found, Vouched) == (other == RIGHT)
    cut = data.draw(st.integers(0, len(RIGHT) - 1))
    assert isinstance(judge.verify(RIGHT[:cut], NOW_S), Problem)
    until(lambda: not keeper.is_renewing)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"scope": "holdtrue:predict holdtrue:label"}, {"predict", "label"}),
        ({"scope": None, "scp": ["holdtrue:label"]}, {"label"}),
        ({"scope": None, "roles": ["holdtrue:operate", "x"]}, {"operate", "read"}),
        ({"scope": "holdtrue:predict", "roles": ["holdtrue:read"]}, {"predict", "read"}),
        ({"scope": "predict admin operate"}, set[str]()),
        ({"scope": "holdtrue:predict,holdtrue:admin"}, set[str]()),
        ({"scope": "HOLDTRUE:ADMIN"}, set[str]()),
        ({"scope": 7, "scp": {"holdtrue:admin": 1}, "roles": [["holdtrue:admin"], None, 7]}, set[str]()),
        ({"scope": None}, set[str]()),
        ({"scope": None, "permissions": ["holdtrue:admin"]}, set[str]()),
    ],
    ids=lambda given: str(sorted(given)),
)
def test_scopes_come_from_the_claims_that_are_set(more: dict[str, object], expected: set[str], judge: Verifier) -> None:
    assert scopes_of(judge.verify(token(**more), NOW_S)) == expected


def test_an_issuer_may_speak_of_scopes_in_its_own_words(file: Path) -> None:
    own = Issuer(name=NAME, audience=AUDIENCE, keys=file, claims=("groups",), scopes={"ml-ops": ("operate", "predict")})
    found = verifier(own, NOW_S).verify(token(groups=["ml-ops", "holdtrue:admin"]), NOW_S)
    assert scopes_of(found) == {"operate", "read", "predict"}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"audience": ""}, "needs an audience"),
        ({"name": "http://issuer.example"}, "not fetched over TLS"),
        ({"name": "issuer"}, "not a plain address"),
        ({"keys": "http://issuer.example/keys"}, "not fetched over TLS"),
        ({"keys": "file:///etc/keys"}, "not a plain address"),
        ({"scopes": {"x": ("root",)}}, "no scope 'root'"),
    ],
    ids=str,
)
def test_an_issuer_that_cannot_be_believed_is_refused_at_once(more: dict[str, object], told: str) -> None:
    settings = {"name": NAME, "audience": AUDIENCE} | more
    with pytest.raises(Misuse, match=told):
        Issuer(**settings)  # pyright: ignore[reportArgumentType] - as a settings file gives them


def test_a_file_of_keys_must_be_good_at_the_start_and_is_heard_when_it_changes(file: Path) -> None:
    issuer = Issuer(name=NAME, audience=AUDIENCE, keys=file)
    judge = verifier(issuer, NOW_S)
    file.write_bytes(jwks(jwk(private("ES256", 1), "ES256-2")))
    judge.tend(NOW_S + 60)
    until(lambda: judge.edition == 2)
    assert judge.verify(token(), NOW_S + 60) is Problem.UNKNOWN
    file.write_bytes(b"{")
    judge.tend(NOW_S + 120)
    until(lambda: judge.edition == 3)
    assert judge.verify(token(), NOW_S + 120) is Problem.CLOSED
    assert judge.fault is not None
    with pytest.raises(Refused, match=r"jwks\.json holds no keys"):
        verifier(issuer, NOW_S)


def test_without_its_packages_the_remedy_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(Misuse, match=r"pip install 'holdtrue\[oidc\]'"):
        verifier(Issuer(name=NAME, audience=AUDIENCE, keys=file), NOW_S)


def of(server: Server, key_number: int, name: str) -> bytes:
    return signed({"alg": "ES256", "kid": name}, claims(server.address, exp=NOW_S + 1e6), private("ES256", key_number))


def test_keys_that_rotate_are_followed(server: Server, tmp_path: Path) -> None:
    """Through a real server and the door: the new key is in after one refusal, the withdrawn one is out."""
    server.give(jwk(private("ES256", 0), "old"))
    judge = verifier(Issuer(name=server.address, audience=AUDIENCE), NOW_S)
    doorman = Doorman(tmp_path / "tokens.json", voucher=judge)
    old, new = b"Bearer " + of(server, 0, "old"), b"Bearer " + of(server, 2, "new")
    assert doorman.admit(old, NOW_S) is Problem.CLOSED  # the keys are on their way
    until(lambda: judge.edition == 1)
    assert isinstance(doorman.admit(old, NOW_S), Caller)
    server.give(jwk(private("ES256", 0), "old"), jwk(private("ES256", 2), "new"))
    assert doorman.admit(new, NOW_S + 30) is Problem.UNKNOWN  # asked less than a minute ago
    assert doorman.admit(new, NOW_S + 61) is Problem.CLOSED
    until(lambda: judge.edition == 2)
    assert isinstance(doorman.admit(new, NOW_S + 61), Caller)
    assert isinstance(doorman.admit(old, NOW_S + 61), Caller)
    server.give(jwk(private("ES256", 2), "new"))
    doorman.admit(None, NOW_S + 61 + 600)
    until(lambda: judge.edition == 3)
    assert doorman.admit(old, NOW_S + 61 + 601) is Problem.UNKNOWN
    assert isinstance(doorman.admit(new, NOW_S + 61 + 601), Caller)


def test_the_door_never_waits_for_an_issuer(server: Server, tmp_path: Path) -> None:
    server.give(jwk(private("ES256", 0), "old"))
    server.pause_s = 0.3
    judge = verifier(Issuer(name=server.address, audience=AUDIENCE), NOW_S)
    doorman = Doorman(tmp_path / "tokens.json", voucher=judge)
    before = threading.active_count()
    took_s: list[float] = []
    for number in range(200):
        stranger = b"Bearer " + of(server, 0, f"made-up-{number}")
        began = time.monotonic()
        assert doorman.admit(stranger, NOW_S) is Problem.CLOSED
        took_s.append(time.monotonic() - began)
    assert max(took_s) < server.pause_s
    # One that asks, and one in the server that answers.
    assert threading.active_count() <= before + 3
    until(lambda: judge.edition == 1)
    assert isinstance(doorman.admit(b"Bearer " + of(server, 0, "old"), NOW_S), Caller)
    until(lambda: len(server.asked) == 2)


def test_an_issuer_that_is_away_at_the_start_is_asked_again(server: Server) -> None:
    judge = verifier(Issuer(name=server.address, audience=AUDIENCE), NOW_S)
    judge.tend(NOW_S)
    until(lambda: judge.fault is not None and "404" in judge.fault)
    assert judge.verify(of(server, 0, "old"), NOW_S) is Problem.CLOSED
    server.give(jwk(private("ES256", 0), "old"))
    judge.tend(NOW_S + 5)
    until(lambda: judge.edition == 1)
    assert isinstance(judge.verify(of(server, 0, "old"), NOW_S + 5), Vouched)


def test_a_token_above_eight_kibibytes_is_not_read(judge: Verifier, tmp_path: Path) -> None:
    doorman = Doorman(tmp_path / "tokens.json", voucher=judge)
    assert isinstance(doorman.admit(b"Bearer " + token(more="x" * 4000), NOW_S), Caller)
    assert doorman.admit(b"Bearer " + token(more="x" * 8000), NOW_S) is Problem.MALFORMED
