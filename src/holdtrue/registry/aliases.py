"""Names that move: which release is `champion`, since when, who moved it and why, and what it was at any moment."""

import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from holdtrue.core.errors import Misuse
from holdtrue.registry.catalog import DIGEST, NAME, find_release
from holdtrue.registry.ledger import Deed, append, printable
from holdtrue.registry.moment import microseconds, moment
from holdtrue.registry.schema import ALIAS_HISTORY, ALIASES


@dataclass(frozen=True, kw_only=True, slots=True)
class Alias:
    project: str
    name: str
    digest: str
    since: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """One time that an alias was given to a release."""

    name: str
    digest: str
    since: datetime
    actor: str
    reason: str


def promote(
    connection: Connection, project: str, digest: str, alias: str, *, actor: str, reason: str, now: datetime
) -> bool:
    """Give an alias to a release of the project; False when it has it already, and then nothing is written.

    Going back to an older release is the same deed. `digest` may be the beginning of one, or another alias.
    """
    if not re.fullmatch(NAME, alias) or re.fullmatch(DIGEST, alias):
        raise Misuse(
            f"{alias!r} cannot be an alias.",
            do="An alias has 1 to 100 letters, digits, dots, dashes and underscores, begins with a letter or digit,"
            " and is no digest.",
        )
    release = find_release(connection, digest, project=project)
    here = (ALIASES.c.project == project, ALIASES.c.name == alias)
    old = connection.execute(select(ALIASES.c.digest, ALIASES.c.since_us).where(*here)).one_or_none()
    if old is not None and old.digest == release.digest:
        return False
    # A clock may step back; the order of the moves may not.
    since_us = microseconds(now) if old is None else max(microseconds(now), old.since_us)
    pointed = {"digest": release.digest, "since_us": since_us}
    if old is None:
        connection.execute(ALIASES.insert().values(project=project, name=alias, **pointed))
    else:
        connection.execute(ALIASES.update().where(*here).values(pointed))
    reason = printable(reason)
    detail = {"alias": alias, "from": None if old is None else old.digest, "reason": reason, "since_us": since_us}
    deed = Deed(action="alias moved", project=project, subject=release.digest, detail=detail)
    seq = append(connection, [deed], actor=actor, now=now)
    connection.execute(
        ALIAS_HISTORY.insert().values(
            seq=seq, project=project, name=alias, actor=printable(actor), reason=reason, **pointed
        )
    )
    return True


def aliases_of(connection: Connection, project: str) -> tuple[Alias, ...]:
    """List the aliases of a project by name."""
    found = connection.execute(ALIASES.select().where(ALIASES.c.project == project).order_by(ALIASES.c.name))
    return tuple(
        Alias(project=row.project, name=row.name, digest=row.digest, since=moment(row.since_us)) for row in found
    )


def alias_at(connection: Connection, project: str, alias: str, when: datetime) -> str | None:
    """Say which release had an alias at a moment; None before it was first given."""
    past = (
        select(ALIAS_HISTORY.c.digest)
        .where(ALIAS_HISTORY.c.project == project, ALIAS_HISTORY.c.name == alias)
        .where(ALIAS_HISTORY.c.since_us <= microseconds(when))
        .order_by(ALIAS_HISTORY.c.since_us.desc(), ALIAS_HISTORY.c.seq.desc())
        .limit(1)
    )
    return connection.execute(past).scalar_one_or_none()


def alias_history(connection: Connection, project: str, alias: str) -> tuple[Move, ...]:
    """List every move of an alias, newest first."""
    found = connection.execute(
        ALIAS_HISTORY.select()
        .where(ALIAS_HISTORY.c.project == project, ALIAS_HISTORY.c.name == alias)
        .order_by(ALIAS_HISTORY.c.seq.desc())
    )
    return tuple(
        Move(name=row.name, digest=row.digest, since=moment(row.since_us), actor=row.actor, reason=row.reason)
        for row in found
    )
