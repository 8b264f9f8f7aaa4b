"""Tokens given out and taken back, each with its entry in the ledger; a secret is in neither."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection

from holdtrue.core.errors import HoldtrueError, Misuse
from holdtrue.core.files import write_whole
from holdtrue.pipeline.keeping import Keeper
from holdtrue.registry.ledger import Deed, append, entries
from holdtrue.serving.tokens import FILE, SECRET, Token, issue, listed, revoke

ISSUED, REVOKED = "token issued", "token revoked"
MOST_DAYS = 3650


def tokens_file(keeper: Keeper) -> Path:
    return keeper.home.keys / FILE


def issue_token(keeper: Keeper, *, name: str, scopes: Sequence[str], days: int, now: datetime) -> tuple[Token, str]:
    """Give out a token for so many days (0: until it is revoked); also gives its secret, told this once.

    The entry and the token come together: when the list cannot be written there is no entry, and when the entry cannot
    be kept the secret is told to nobody.
    """
    if not 0 <= days <= MOST_DAYS:
        raise Misuse(f"A token cannot last {days} days.", do=f"Name 1 to {MOST_DAYS}, or 0 for one that never expires.")
    database = keeper.database()
    _ignored(keeper.home.path)

    def act(connection: Connection) -> tuple[Token, str]:
        expires = now + timedelta(days=days) if days else None
        token, secret = issue(tokens_file(keeper), name=name, scopes=scopes, now=now, expires=expires)
        append(connection, [_deed(ISSUED, keeper.project, token)], actor=keeper.actor, now=now)
        return token, secret

    made = database.write(act)
    keeper.seal()
    return made


def revoke_token(keeper: Keeper, about: str, *, now: datetime) -> tuple[Token, bool]:
    """End a token, named by its id or by its secret; says whether it was still whole.

    The door comes first and the ledger second: no trouble with a database keeps a leaked token alive. Done again, it
    writes the entry that is missing.
    """
    secret = SECRET.fullmatch(about.encode(errors="replace"))
    token, changed = revoke(tokens_file(keeper), secret[1].decode() if secret else about, now)
    try:
        keeper.database().write(lambda connection: _written(connection, keeper, token, now))
        keeper.seal()
    except (HoldtrueError, OSError) as error:
        raise HoldtrueError(
            f"The token {token.id} is revoked, but the ledger does not say so yet:",
            faults=str(error).splitlines(),
            do="Put that right and revoke it again; that writes the entry.",
        ) from None
    return token, changed


def tokens_of(keeper: Keeper) -> tuple[Token, ...]:
    return listed(tokens_file(keeper))


def _written(connection: Connection, keeper: Keeper, token: Token, now: datetime) -> None:
    """Write that a token was revoked, unless that is written."""
    past = entries(connection, subject=token.id).rows
    if not any(entry.action == REVOKED for entry in past):
        append(connection, [_deed(REVOKED, keeper.project, token)], actor=keeper.actor, now=now)


def _deed(action: str, project: str, token: Token) -> Deed:
    expires = None if token.expires is None else token.expires.isoformat()
    detail = {"name": token.name, "scopes": list(token.scopes), "expires": expires}
    return Deed(action=action, project=project, subject=token.id, detail=detail)


def _ignored(home: Path) -> None:
    """Keep the store out of version control, also when no run has made it yet."""
    if not (home / ".gitignore").exists():
        write_whole(home / ".gitignore", b"*\n")
