"""The doorman lets in whom the list names now, and nobody else, whatever stands in the header."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdtrue.serving.callers import NOBODY, SCOPES, Caller, Permission, Problem, Scope, allowed, expanded
from holdtrue.serving.doorman import MOST_HEADER_BYTES, MOST_VOUCHED, Doorman, Vouched
from holdtrue.serving.tokens import issue, revoke

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW_S = NOW.timestamp()
DAY_S = 86_400.0
# What each scope opens, written down by hand: no other implication may appear.
OPENS: dict[Scope, set[Permission]] = {
    "predict": {"health", "predict"},
    "label": {"health", "label"},
    "read": {"health", "read"},
    "operate": {"health", "operate", "read"},
    "admin": {"health", "predict", "label", "read", "operate", "admin"},
}
PERMISSIONS: tuple[Permission, ...] = ("health", *SCOPES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "tokens.json"


def given_out(path: Path, *scopes: Scope, days: int | None = 90) -> tuple[str, bytes]:
    expires = None if days is None else NOW + timedelta(days=days)
    token, secret = issue(path, name="ci", scopes=scopes or ["predict"], now=NOW, expires=expires)
    return token.id, b"Bearer " + secret.encode()


@pytest.mark.parametrize("scope", SCOPES)
def test_a_token_opens_what_its_scope_says_and_no_more(scope: Scope, path: Path) -> None:
    identifier, header = given_out(path, scope)
    doorman = Doorman(path)
    caller = doorman.admit(header, NOW_S)
    assert caller == Caller(name="ci", scopes=expanded([scope]), id=identifier)
    assert isinstance(caller, Caller)
    assert {permission for permission in PERMISSIONS if doorman.allowed(caller, permission)} == OPENS[scope]


def test_who_shows_no_token_may_what_is_set_and_no_more(path: Path) -> None:
    given_out(path)
    assert Doorman(path).admit(None, NOW_S) is None
    assert not any(Doorman(path).allowed(None, permission) for permission in PERMISSIONS)
    loopback = Doorman(path, anonymous=frozenset({"health", "predict"}))
    assert {each for each in PERMISSIONS if loopback.allowed(None, each)} == {"health", "predict"}


def test_a_token_is_not_widened_by_what_the_anonymous_may(path: Path) -> None:
    _, header = given_out(path, "label")
    doorman = Doorman(path, anonymous=frozenset({"health", "predict"}))
    caller = doorman.admit(header, NOW_S)
    assert isinstance(caller, Caller)
    assert not doorman.allowed(caller, "predict")
    assert not allowed(Caller(name="x", scopes=frozenset(), id="x"), "predict", anonymous=NOBODY)


def test_the_name_of_the_scheme_is_read_in_any_case(path: Path) -> None:
    _, header = given_out(path)
    for scheme in (b"bearer ", b"BEARER ", b"bEaReR "):
        assert isinstance(Doorman(path).admit(scheme + header[7:], NOW_S), Caller)


def test_a_token_ends_at_its_moment(path: Path) -> None:
    _, header = given_out(path, days=1)
    doorman = Doorman(path)
    assert isinstance(doorman.admit(header, NOW_S + DAY_S - 0.001), Caller)
    assert doorman.admit(header, NOW_S + DAY_S) is Problem.EXPIRED
    _, lasting = given_out(path, days=None)
    assert isinstance(doorman.admit(lasting, NOW_S + 1e6 * DAY_S), Caller)


def test_a_revoked_token_is_out_within_a_second(path: Path) -> None:
    identifier, header = given_out(path)
    doorman = Doorman(path)
    assert isinstance(doorman.admit(header, NOW_S), Caller)
    revoke(path, identifier, NOW)
    assert doorman.admit(header, NOW_S + 1.0) is Problem.REVOKED


def test_a_new_token_is_in_at_once(path: Path) -> None:
    doorman = Doorman(path)
    assert doorman.admit(None, NOW_S) is None
    _, header = given_out(path)
    assert isinstance(doorman.admit(header, NOW_S), Caller)


def test_the_list_is_looked_at_once_a_second_and_read_only_when_it_changed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, header = given_out(path)
    doorman, opened, looked = Doorman(path), list[object](), list[object]()
    true_open, true_stat = os.open, Path.lstat
    monkeypatch.setattr(os, "open", lambda *words, **more: opened.append(words) or true_open(*words, **more))
    monkeypatch.setattr(Path, "lstat", lambda self: looked.append(self) or true_stat(self))
    for tenth in range(100):
        assert isinstance(doorman.admit(header, NOW_S + tenth / 10), Caller)
    assert len(opened) == 1
    assert len(looked) == 9


def test_a_clock_that_steps_back_does_not_keep_the_revoked_in(path: Path) -> None:
    identifier, header = given_out(path)
    doorman = Doorman(path)
    assert isinstance(doorman.admit(header, NOW_S + 3600), Caller)
    revoke(path, identifier, NOW)
    assert doorman.admit(header, NOW_S) is Problem.REVOKED


@pytest.mark.parametrize("harm", ["damaged", "readable", "exchangeable", "folder"])
def test_a_list_that_cannot_be_believed_closes_the_door_until_it_can(harm: str, path: Path) -> None:
    _, header = given_out(path)
    doorman = Doorman(path, anonymous=frozenset({"predict"}))
    assert isinstance(doorman.admit(header, NOW_S), Caller)
    assert doorman.closed is None
    whole = path.read_bytes()
    match harm:
        case "damaged":
            path.write_bytes(whole[:-40])
        case "readable":
            path.chmod(0o640)
        case "exchangeable":
            path.parent.chmod(0o777)
            path.touch()
        case _:
            path.unlink()
            path.mkdir()
    assert doorman.admit(header, NOW_S + 1) is Problem.CLOSED
    assert doorman.admit(header, NOW_S + 1.5) is Problem.CLOSED
    assert doorman.closed is not None
    assert str(path) in doorman.closed
    # It judged nobody who shows nothing, and still does not.
    assert doorman.admit(None, NOW_S + 2) is None
    assert doorman.allowed(None, "predict")
    if path.is_dir():
        path.rmdir()
    path.parent.chmod(0o700)
    path.write_bytes(whole)
    path.chmod(0o600)
    assert isinstance(doorman.admit(header, NOW_S + 3), Caller)
    assert doorman.closed is None


def test_a_list_that_is_gone_knows_nobody(path: Path) -> None:
    _, header = given_out(path)
    doorman = Doorman(path)
    assert isinstance(doorman.admit(header, NOW_S), Caller)
    path.unlink()
    assert doorman.admit(header, NOW_S + 1) is Problem.UNKNOWN
    assert doorman.closed is None


SECRET = b"ht_0a1b2c3d4e5f_" + b"A" * 43
HOSTILE = {
    "nothing": b"",
    "a scheme alone": b"Bearer",
    "a scheme and a space": b"Bearer ",
    "a secret alone": SECRET,
    "another scheme": b"Basic " + SECRET,
    "a longer scheme": b"Bearers " + SECRET,
    "two spaces": b"Bearer  " + SECRET,
    "a tab": b"Bearer\t" + SECRET,
    "space at the end": b"Bearer " + SECRET + b" ",
    "space before": b" Bearer " + SECRET,
    "a newline at the end": b"Bearer " + SECRET + b"\n",
    "a NUL at the end": b"Bearer " + SECRET + b"\0",
    "a NUL inside": b"Bearer ht_0a1b2c3d4e5f_" + b"A" * 21 + b"\0" + b"A" * 21,
    "two schemes": b"Bearer " + SECRET + b", Basic YTpi",
    "two secrets": b"Bearer " + SECRET + b"," + SECRET,
    "a scheme twice": b"Bearer Bearer " + SECRET,
    "one too short": b"Bearer " + SECRET[:-1],
    "one too long": b"Bearer " + SECRET + b"A",
    "capital id": b"Bearer ht_0A1B2C3D4E5F_" + b"A" * 43,
    "padding": b"Bearer " + SECRET[:-1] + b"=",
    "not ASCII": "Bearer ht_0a1b2c3d4e5f_ä".encode(),
    "lookalike letters": "Веarer ".encode() + SECRET,
    "no UTF-8": b"Bearer \xff\xfe\xfd",
    "quoted": b'Bearer "' + SECRET + b'"',
    "a path": b"Bearer ../../etc/passwd",
    "dots alone": b"Bearer ..",
    "four parts": b"Bearer a.b.c.d",
    "five parts": b"Bearer a.b.c.d.e",
    "a long one": b"Bearer " + b"A" * 8000,
    "a very long one": b"Bearer " + b"a." * 1_000_000,
    "many spaces": b" " * 8000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_malformed_header_is_turned_away_before_anything_is_looked_up(name: str, path: Path) -> None:
    given_out(path)
    assert Doorman(path).admit(HOSTILE[name], NOW_S) is Problem.MALFORMED


@given(st.binary(max_size=200) | st.binary(max_size=80).map(lambda tail: b"Bearer " + tail))
def test_no_other_bytes_are_ever_let_in(header: bytes) -> None:
    assert isinstance(Doorman(Path("/nowhere/tokens.json")).admit(header, NOW_S), Problem)


def test_every_neighbour_of_a_secret_is_unknown(path: Path) -> None:
    """Also the last letter, of which base64 reads only four bits: there is one text for a secret."""
    _, header = given_out(path)
    doorman = Doorman(path)
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for place in range(len(header) - 43, len(header)):
        for letter in letters:
            other = header[:place] + bytes([letter]) + header[place + 1 :]
            found = doorman.admit(other, NOW_S)
            assert isinstance(found, Caller) if other == header else found is Problem.UNKNOWN


def test_a_header_up_to_the_limit_is_judged_and_no_longer_one(path: Path) -> None:
    jwt = b"Bearer a.b." + b"c" * (MOST_HEADER_BYTES - 11)
    assert Doorman(path).admit(jwt, NOW_S) is Problem.UNKNOWN
    assert Doorman(path).admit(jwt + b"c", NOW_S) is Problem.MALFORMED


class Believing:
    """Vouches for whoever comes, for ten seconds, and counts how often it was asked."""

    def __init__(self) -> None:
        self.edition = 0
        self.asked = 0
        self.tended = 0
        self.answer: Problem | None = None

    def tend(self, now_s: float) -> None:
        self.tended += 1

    def verify(self, token: bytes, now_s: float) -> Vouched | Problem:
        self.asked += 1
        if self.answer is not None:
            return self.answer
        name = token.decode()
        return Vouched(Caller(name=name, scopes=expanded(["read"]), id=f"oidc:{name}"), now_s + 10)


def test_a_voucher_is_asked_once_until_what_it_said_ends(path: Path) -> None:
    voucher = Believing()
    doorman = Doorman(path, voucher=voucher)
    for tenth in range(100):
        caller = doorman.admit(b"Bearer a.b.c", NOW_S + tenth / 10)
        assert isinstance(caller, Caller)
        assert caller.id == "oidc:a.b.c"
    assert (voucher.asked, voucher.tended) == (1, 10)
    voucher.answer = Problem.EXPIRED
    assert doorman.admit(b"Bearer a.b.c", NOW_S + 10) is Problem.EXPIRED
    assert doorman.admit(b"Bearer a.b.c", NOW_S + 10) is Problem.EXPIRED
    assert voucher.asked == 3


def test_nobody_stays_in_on_what_a_voucher_believes_no_more(path: Path) -> None:
    voucher = Believing()
    doorman = Doorman(path, voucher=voucher)
    assert isinstance(doorman.admit(b"Bearer a.b.c", NOW_S), Caller)
    voucher.edition, voucher.answer = 1, Problem.UNKNOWN
    assert doorman.admit(b"Bearer a.b.c", NOW_S) is Problem.UNKNOWN


def test_who_was_vouched_for_is_remembered_in_bounded_memory(path: Path) -> None:
    voucher = Believing()
    doorman = Doorman(path, voucher=voucher)
    for number in range(MOST_VOUCHED + 100):
        doorman.admit(b"Bearer a.b.%d" % number, NOW_S)
    doorman.admit(b"Bearer a.b.%d" % (MOST_VOUCHED + 99), NOW_S)
    assert voucher.asked == MOST_VOUCHED + 100
    doorman.admit(b"Bearer a.b.0", NOW_S)
    assert voucher.asked == MOST_VOUCHED + 101


def test_a_voucher_is_never_asked_about_our_own_tokens(path: Path) -> None:
    voucher = Believing()
    _, header = given_out(path)
    doorman = Doorman(path, voucher=voucher)
    assert isinstance(doorman.admit(header, NOW_S), Caller)
    assert doorman.admit(b"Bearer " + SECRET, NOW_S) is Problem.UNKNOWN
    path.write_bytes(b"")
    assert doorman.admit(header, NOW_S + 1) is Problem.CLOSED
    assert isinstance(doorman.admit(b"Bearer a.b.c", NOW_S + 1), Caller)
    assert voucher.asked == 1
