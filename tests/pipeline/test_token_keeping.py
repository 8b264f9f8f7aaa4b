"""Tokens and the ledger agree: each deed has its entry, none holds a secret, and a revocation waits for nothing."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdtrue.core.errors import HoldtrueError, Misuse, Refused
from holdtrue.pipeline.keeping import Keeper, keeper_of
from holdtrue.pipeline.token_keeping import issue_token, revoke_token, tokens_file, tokens_of
from holdtrue.registry.ledger import entries
from tests.cli.driver import PROJECT

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    (tmp_path / "holdtrue.yaml").write_text(PROJECT)
    return keeper_of(tmp_path, {}, actor="ada")


def deeds(keeper: Keeper) -> list[tuple[str, str]]:
    return [(entry.action, entry.subject) for entry in reversed(keeper.database().read(entries).rows)]


def test_each_deed_has_one_sealed_entry_that_says_who(keeper: Keeper) -> None:
    token, secret = issue_token(keeper, name="ci", scopes=["predict", "label"], days=90, now=NOW)
    assert tokens_of(keeper) == (token,)
    assert token.expires == NOW + timedelta(days=90)
    assert revoke_token(keeper, token.id, now=NOW)[1]
    assert not revoke_token(keeper, token.id, now=NOW)[1]
    assert deeds(keeper) == [("token issued", token.id), ("token revoked", token.id)]
    last, first = keeper.ledger().rows
    assert (first.actor, first.project) == ("ada", "tiny")
    assert first.detail == {"name": "ci", "scopes": ["predict", "label"], "expires": "2026-05-30T12:00:00+00:00"}
    assert last.time == "2026-03-01T12:00:00.000000Z"
    assert keeper.verify().sealed == 2
    for file in keeper.home.path.rglob("*"):
        if file.is_file():
            text = file.read_bytes()
            assert secret.encode() not in text
            assert secret[16:].encode() not in text
            if file != tokens_file(keeper):
                assert hashlib.sha256(secret.encode()).hexdigest().encode() not in text


def test_a_leaked_secret_names_its_token(keeper: Keeper) -> None:
    _, secret = issue_token(keeper, name="ci", scopes=["predict"], days=0, now=NOW)
    token, changed = revoke_token(keeper, secret, now=NOW)
    assert changed
    assert token.expires is None
    assert tokens_of(keeper) == (token,)


def test_a_store_that_begins_with_a_token_stays_out_of_version_control(keeper: Keeper) -> None:
    issue_token(keeper, name="ci", scopes=["predict"], days=1, now=NOW)
    assert (keeper.home.path / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("days", [-1, 3651, 10**9])
def test_a_token_lasts_no_odd_number_of_days(days: int, keeper: Keeper) -> None:
    with pytest.raises(Misuse, match="cannot last"):
        issue_token(keeper, name="ci", scopes=["predict"], days=days, now=NOW)
    assert not keeper.home.path.exists()


def test_a_token_that_is_refused_has_no_entry(keeper: Keeper) -> None:
    with pytest.raises(Misuse, match="no scope"):
        issue_token(keeper, name="ci", scopes=[], days=1, now=NOW)
    issue_token(keeper, name="ci", scopes=["read"], days=1, now=NOW)
    tokens_file(keeper).chmod(0o644)
    with pytest.raises(Refused, match="chmod 600"):
        issue_token(keeper, name="two", scopes=["read"], days=1, now=NOW)
    assert len(deeds(keeper)) == 1


def test_a_token_is_revoked_though_the_ledger_cannot_be_written(keeper: Keeper) -> None:
    token, _ = issue_token(keeper, name="ci", scopes=["predict"], days=1, now=NOW)
    file = keeper.home.path / "holdtrue.db"
    file.rename(file.with_name("away"))
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(HoldtrueError, match=r"is revoked, but the ledger does not say so"):
        revoke_token(keeper, token.id, now=NOW)
    assert tokens_of(keeper)[0].revoked == NOW
    file.unlink()
    file.with_name("away").rename(file)
    assert not revoke_token(keeper, token.id, now=NOW + timedelta(days=1))[1]
    assert deeds(keeper) == [("token issued", token.id), ("token revoked", token.id)]


def test_nothing_is_made_where_there_is_neither_project_nor_store(tmp_path: Path) -> None:
    keeper = keeper_of(tmp_path, {}, actor="ada")
    with pytest.raises(Misuse, match="neither a project nor a store"):
        issue_token(keeper, name="ci", scopes=["predict"], days=1, now=NOW)
    with pytest.raises(Misuse, match="no token"):
        revoke_token(keeper, "0a1b2c3d4e5f", now=NOW)
    assert tokens_of(keeper) == ()
    assert not list(tmp_path.iterdir())
