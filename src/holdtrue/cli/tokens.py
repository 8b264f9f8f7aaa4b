"""The verbs about who may call: give out a token, list them, take one back."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from holdtrue.cli.person import keeper, now
from holdtrue.cli.show import console, print_json, table

if TYPE_CHECKING:
    from holdtrue.serving.tokens import Token


def token_new(name: str, scopes: Sequence[str], expires_days: int, folder: Path, *, as_json: bool) -> int:
    """Print the secret alone on the output, so that it can be piped to where it is kept; the rest goes beside it."""
    from holdtrue.pipeline.token_keeping import issue_token

    token, secret = issue_token(keeper(folder), name=name, scopes=scopes, days=expires_days, now=now())
    if as_json:
        print_json({**_plain(token, now()), "secret": secret})
        return 0
    told = console(error=True)
    told.print(f"Token {token.id} for {token.name}: {', '.join(token.scopes)}; {_until(token)}.")
    told.print("This is the only time its secret is shown. Callers send it as: Authorization: Bearer SECRET")
    print(secret)
    return 0


def token_list(folder: Path, *, as_json: bool) -> int:
    from holdtrue.pipeline.token_keeping import tokens_of

    tokens, moment = tokens_of(keeper(folder)), now()
    if as_json:
        print_json({"tokens": [_plain(token, moment) for token in tokens]})
        return 0
    if not tokens:
        console().print("There is no token yet. Make one: holdtrue token new --name NAME")
        return 0
    lines = [
        (token.id, token.name, ", ".join(token.scopes), token.created.strftime("%Y-%m-%d %H:%M"), _state(token, moment))
        for token in tokens
    ]
    console().print(table("Tokens", ("token", "for", "may", "made (UTC)", "state"), lines))
    return 0


def token_revoke(about: str, folder: Path, *, as_json: bool) -> int:
    from holdtrue.pipeline.token_keeping import revoke_token

    token, changed = revoke_token(keeper(folder), about, now=now())
    if as_json:
        print_json({**_plain(token, now()), "changed": changed})
    elif changed:
        console().print(f"The token {token.id} of {token.name} is revoked; servers turn it away within a second.")
    else:
        console().print(f"The token {token.id} of {token.name} was revoked already; nothing changed.")
    return 0


def _plain(token: "Token", moment: datetime) -> dict[str, object]:
    """Write a token for machines, without the hash of its secret."""
    return {
        "token": token.id,
        "name": token.name,
        "scopes": list(token.scopes),
        "created": token.created.isoformat(),
        "expires": None if token.expires is None else token.expires.isoformat(),
        "revoked": None if token.revoked is None else token.revoked.isoformat(),
        "alive": token.revoked is None and (token.expires is None or moment < token.expires),
    }


def _until(token: "Token") -> str:
    return "until it is revoked" if token.expires is None else f"until {token.expires:%Y-%m-%d %H:%M} UTC"


def _state(token: "Token", moment: datetime) -> str:
    if token.revoked is not None:
        return f"revoked {token.revoked:%Y-%m-%d}"
    if token.expires is not None and token.expires <= moment:
        return f"expired {token.expires:%Y-%m-%d}"
    return f"good {_until(token)}"
