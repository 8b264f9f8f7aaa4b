"""The list of tokens loses nothing, tells no secret, and is believed only when it is whole and private."""

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from holdtrue.core.errors import Busy, Misuse, Refused
from holdtrue.serving import tokens as module
from holdtrue.serving.callers import SCOPES, Scope
from holdtrue.serving.tokens import KEPT_WHEN_DEAD, SECRET, Token, issue, listed, mark, read, revoke

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=90)
ISSUER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from holdtrue.serving.tokens import issue
for number in range(int(sys.argv[3])):
    now = datetime.now(UTC)
    print(issue(Path(sys.argv[1]), name=f"{sys.argv[2]}-{number}", scopes=["predict"], now=now, expires=None)[1])
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "tokens.json"


def given_out(path: Path, *, name: str = "ci", scopes: tuple[Scope, ...] = ("predict",)) -> tuple[Token, str]:
    return issue(path, name=name, scopes=scopes, now=NOW, expires=LATER)


def test_a_secret_is_told_once_and_kept_nowhere(path: Path) -> None:
    token, secret = given_out(path)
    assert SECRET.fullmatch(secret.encode())
    assert len(secret) == 59
    assert secret.startswith(f"ht_{token.id}_")
    assert token.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert secret[16:] not in path.read_text()
    assert listed(path) == (token,)


def test_only_the_owner_can_read_the_list_and_its_folder(path: Path) -> None:
    before = os.umask(0o000)
    try:
        given_out(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.with_suffix(".lock").stat().st_mode & 0o777 == 0o600


def test_no_file_is_an_empty_list(path: Path) -> None:
    assert listed(path) == ()
    assert mark(path) is None
    assert not path.parent.exists()


def test_scopes_are_kept_once_and_in_order(path: Path) -> None:
    token, _ = given_out(path, scopes=("operate", "predict", "operate"))
    assert token.scopes == ("predict", "operate")


def test_a_revoked_token_stays_revoked_since_the_first_time(path: Path) -> None:
    token, _ = given_out(path)
    ended, changed = revoke(path, token.id, NOW + timedelta(hours=1))
    assert changed
    assert ended == structs.replace(token, revoked=NOW + timedelta(hours=1))
    assert revoke(path, token.id, NOW + timedelta(hours=2)) == (ended, False)
    assert listed(path) == (ended,)


def test_who_revokes_what_is_not_there_is_told_what_is(path: Path) -> None:
    with pytest.raises(Misuse, match="no token 'nothing'"):
        revoke(path, "nothing", NOW)
    assert not path.parent.exists()
    token, secret = given_out(path)
    with pytest.raises(Misuse, match=f"did you mean '{token.id}'"):
        revoke(path, token.id[:-1] + "x", NOW)
    with pytest.raises(Misuse) as caught:
        revoke(path, secret[3:], NOW)
    assert secret[20:] not in str(caught.value)


@pytest.mark.parametrize("name", ["", " ci", "-ci", "c\ni", "ci\n", "c" * 101, "çi", "ci;rm", "<b>"])
def test_a_name_is_plain_enough_for_a_log(name: str, path: Path) -> None:
    with pytest.raises(Misuse, match="the name"):
        given_out(path, name=name)
    assert not path.exists()


def test_all_faults_of_a_wish_are_told_at_once(path: Path) -> None:
    with pytest.raises(Misuse) as caught:
        issue(path, name="", scopes=["predcit"], now=NOW, expires=NOW)
    assert len(caught.value.faults) == 3
    assert "did you mean 'predict'" in str(caught.value)
    with pytest.raises(Misuse, match="it has no scope"):
        issue(path, name="ci", scopes=[], now=NOW, expires=None)


def test_the_dead_are_dropped_when_nobody_asks_for_them_any_more(path: Path) -> None:
    expired, _ = issue(path, name="expired", scopes=["read"], now=NOW, expires=NOW + timedelta(days=1))
    lasting, _ = issue(path, name="lasting", scopes=["read"], now=NOW, expires=None)
    revoked = revoke(path, given_out(path, name="revoked")[0].id, NOW + timedelta(days=2))[0]
    then = NOW + timedelta(days=1) + KEPT_WHEN_DEAD
    new, _ = issue(path, name="new", scopes=["read"], now=then, expires=None)
    assert listed(path) == (lasting, revoked, new)
    assert expired not in listed(path)


def test_a_list_is_kept_within_its_size(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 400)
    token, _ = given_out(path)
    with pytest.raises(Misuse, match="Revoke some"):
        given_out(path, name="c" * 100)
    assert listed(path) == (token,)
    path.write_text(path.read_text() + " " * 400)
    with pytest.raises(Refused, match="at most 400 are read"):
        listed(path)


acts = st.lists(
    st.one_of(
        st.tuples(st.just("issue"), st.sampled_from(SCOPES), st.none() | st.integers(1, 20)),
        st.tuples(st.just("revoke"), st.integers(0, 9), st.none()),
        st.tuples(st.just("wait"), st.integers(1, 60), st.none()),
    ),
    max_size=14,
)


@given(acts)
def test_any_sequence_of_deeds_leaves_the_list_that_it_should(
    sequence: list[tuple[str, Scope | int, int | None]],
) -> None:
    """Against a plain list: nothing is lost but what has been dead for long, and nobody is changed beside the one."""
    now, model = NOW, list[Token]()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys" / "tokens.json"
        for act, what, days in sequence:
            if act == "issue" and isinstance(what, str):
                expires = None if days is None else now + timedelta(days=days)
                token, _ = issue(path, name="x", scopes=[what], now=now, expires=expires)
                model = [each for each in model if each.died() is None or now - (each.died() or now) < KEPT_WHEN_DEAD]
                model.append(token)
            elif act == "revoke" and isinstance(what, int) and what < len(model):
                whole = model[what].revoked is None
                ended, changed = revoke(path, model[what].id, now)
                assert changed == whole
                model[what] = structs.replace(model[what], revoked=model[what].revoked or now)
                assert ended == model[what]
            elif act == "wait" and isinstance(what, int):
                now += timedelta(days=what)
            assert list(listed(path)) == model
        assert not list(Path(folder).rglob(".tmp-*"))


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{}",
        b"null",
        b"[",
        b"[[[[",
        b"[" * 100_000,
        b'[{"id": "0a1b2c3d4e5f"}]',
        b"\xff\xfe",
        b"[]\x00",
        b"[] []",
    ],
)
def test_a_damaged_list_is_refused(damage: bytes, path: Path) -> None:
    given_out(path)
    path.write_bytes(damage)
    with pytest.raises(Refused, match=r"(?s)damaged.*holdtrue token new"):
        listed(path)
    with pytest.raises(Refused):
        given_out(path)
    assert path.read_bytes() == damage


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"predict"', '"root"'),
        ('"scopes":["predict"]', '"scopes":[]'),
        ('"revoked":null', '"revoked":false'),
        ('"revoked":null', '"revoked":null,"more":1'),
        ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00"),
        ('"name":"ci"', '"name":"ci\\n"'),
        ('"sha256":"', '"sha256":"0'),
    ],
)
def test_a_list_of_another_form_is_refused(old: str, new: str, path: Path) -> None:
    given_out(path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(Refused, match="damaged"):
        listed(path)


def test_two_tokens_never_share_an_id_or_a_secret(path: Path) -> None:
    given_out(path)
    line = path.read_text().strip("[]\n")
    path.write_text(f"[{line},{line}]")
    with pytest.raises(Refused, match="two tokens have one id"):
        listed(path)


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o602, 0o610, 0o777])
def test_a_list_that_others_can_open_is_refused(mode: int, path: Path) -> None:
    given_out(path)
    path.chmod(mode)
    with pytest.raises(Refused, match=rf"mode {mode:o}.*\n.*chmod 600"):
        listed(path)


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o730])
def test_a_list_that_others_can_exchange_is_refused(mode: int, path: Path) -> None:
    given_out(path)
    path.parent.chmod(mode)
    with pytest.raises(Refused, match="chmod 700"):
        listed(path)


def test_a_list_that_is_no_plain_file_is_refused(path: Path) -> None:
    given_out(path)
    other = path.rename(path.with_name("other"))
    path.symlink_to(other)
    with pytest.raises(Refused, match="it is a link"):
        listed(path)
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(Refused, match="not a plain file"):
        listed(path)
    path.unlink()
    path.mkdir(0o700)
    with pytest.raises(Refused, match="not a plain file"):
        listed(path)


def test_the_mark_changes_with_the_bytes_and_with_who_may_read_them(path: Path) -> None:
    token, _ = given_out(path)
    seen = read(path)[1]
    assert seen == mark(path)
    path.chmod(0o644)
    assert mark(path) != seen
    path.chmod(0o600)
    revoke(path, token.id, NOW)
    assert mark(path) != seen


def test_who_holds_the_list_too_long_is_waited_for_no_longer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    given_out(path)
    handle = os.open(path.with_suffix(".lock"), os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(Busy, match="Another process"):
            given_out(path)
    finally:
        os.close(handle)
    given_out(path)
    assert len(listed(path)) == 2


@pytest.mark.slow
def test_four_who_issue_at_once_lose_nothing(path: Path) -> None:
    words = [sys.executable, "-c", ISSUER, str(path)]
    writers = [
        subprocess.Popen([*words, name, "25"], stdout=subprocess.PIPE, text=True) for name in ("a", "b", "c", "d")
    ]
    secrets = [secret for writer in writers for secret in writer.communicate(timeout=60)[0].split()]
    assert [writer.returncode for writer in writers] == [0] * 4
    assert {each.name for each in listed(path)} == {f"{name}-{number}" for name in "abcd" for number in range(25)}
    assert {each.sha256 for each in listed(path)} == {hashlib.sha256(each.encode()).hexdigest() for each in secrets}


@pytest.mark.slow
def test_an_issuer_that_is_killed_leaves_a_whole_list(path: Path) -> None:
    for _ in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", ISSUER, str(path), "k", "1000"], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        told = [writer.stdout.readline().strip()]
        writer.kill()
        told += writer.communicate()[0].split()
        kept = {each.sha256 for each in listed(path)}
        assert {hashlib.sha256(each.encode()).hexdigest() for each in told if len(each) == 59} <= kept
    given_out(path, name="last")
    assert not list(path.parent.glob(".tmp-*"))
