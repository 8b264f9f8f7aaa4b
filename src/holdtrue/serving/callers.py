"""Who may do what: scopes, what they imply, and the one question every route asks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal, get_args

Scope = Literal["predict", "label", "read", "operate", "admin"]
Permission = Literal["health", "predict", "label", "read", "operate", "admin"]

SCOPES: tuple[Scope, ...] = get_args(Scope)
# All there is to imply: to operate one must see; an admin may do anything. A scope left out implies itself alone.
IMPLIED: Mapping[Scope, frozenset[Scope]] = {
    "operate": frozenset({"operate", "read"}),
    "admin": frozenset(SCOPES),
}
NOBODY: frozenset[Permission] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Somebody who has shown who they are.

    Attributes:
        id: one for each token, or each subject of an issuer; quotas count by it.
        scopes: with all that they imply, so that a question is one look-up.
    """

    name: str
    scopes: frozenset[Scope]
    id: str


class Problem(Enum):
    """Why somebody who showed a token was not let in; the answer never says more than that they were not.

    `CLOSED` is no judgement of the token: what it would be judged by is not there now (503, ask again). The rest are
    401.
    """

    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    REVOKED = "revoked"
    CLOSED = "closed"


def expanded(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Add what the scopes imply.

    >>> sorted(expanded(["operate", "label"]))
    ['label', 'operate', 'read']
    >>> sorted(expanded(["admin"]))
    ['admin', 'label', 'operate', 'predict', 'read']
    """
    return frozenset(implied for scope in scopes for implied in IMPLIED.get(scope, (scope,)))


def allowed(caller: Caller | None, permission: Permission, *, anonymous: frozenset[Permission] = NOBODY) -> bool:
    """Say whether a caller may; `None` is who showed no token, and may what is in `anonymous` alone.

    Who shows a token is judged by it alone, also where nobody need show one: a token made for labels never predicts.
    Health is for everybody who was let in.

    >>> allowed(None, "predict")
    False
    >>> allowed(None, "predict", anonymous=frozenset({"health", "predict"}))
    True
    >>> caller = Caller(name="ci", scopes=expanded(["operate"]), id="0a1b2c3d4e5f")
    >>> allowed(caller, "read"), allowed(caller, "predict"), allowed(caller, "health")
    (True, False, True)
    """
    if caller is None:
        return permission in anonymous
    return permission in caller.scopes or permission == "health"
