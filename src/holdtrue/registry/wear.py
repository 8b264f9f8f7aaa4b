"""How often the held-out rows have judged: each look at them wears them, and is paid for by a stricter bound."""

from datetime import datetime

from sqlalchemy import Connection, func, select

from holdtrue.registry.ledger import Deed, append
from holdtrue.registry.moment import microseconds
from holdtrue.registry.schema import HOLDOUT_USES


def use_number(
    connection: Connection, rows_digest: str, candidate_digest: str, *, project: str, actor: str, now: datetime
) -> int:
    """Count a use of held-out rows: 1 for the first candidate they judge, 2 for the second, ...

    The same candidate judged again keeps its number, for it learns nothing new. Called before the rows are looked at,
    so that a look counts even if what follows is killed. Rows are known by their digest, whatever project asks.
    """
    rows = HOLDOUT_USES.c.rows_digest == rows_digest
    known = connection.execute(
        select(HOLDOUT_USES.c.number).where(rows, HOLDOUT_USES.c.candidate_digest == candidate_digest)
    ).scalar_one_or_none()
    if known is not None:
        return int(known)
    number = uses(connection, rows_digest) + 1
    row = {
        "rows_digest": rows_digest,
        "candidate_digest": candidate_digest,
        "project": project,
        "number": number,
        "used_us": microseconds(now),
    }
    connection.execute(HOLDOUT_USES.insert().values(row))
    deed = Deed(
        action="hold-out used",
        project=project,
        subject=rows_digest,
        detail={"candidate": candidate_digest, "number": number, "used_us": row["used_us"]},
    )
    append(connection, [deed], actor=actor, now=now)
    return number


def uses(connection: Connection, rows_digest: str) -> int:
    """Count the candidates that some held-out rows have judged so far."""
    count = select(func.count()).select_from(HOLDOUT_USES).where(HOLDOUT_USES.c.rows_digest == rows_digest)
    return int(connection.execute(count).scalar_one())
