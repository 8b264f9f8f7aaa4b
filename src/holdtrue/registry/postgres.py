"""The registry in Postgres, for when several machines share it: an advisory lock makes one writer at a time."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import lru_cache

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from holdtrue.core.errors import Busy, HoldtrueError, Misuse

# The lock is one for each schema, so that two registries in one database do not wait for each other.
LOCK = "SELECT pg_advisory_xact_lock(1215065187, hashtext(current_schema()))"
HOLDER = """
SELECT coalesce(usename, '?') || ' from ' || coalesce(host(client_addr), 'this host') || ', process ' || pid
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND classid = 1215065187 AND objid = hashtext(current_schema())::oid
"""

Source = Callable[[], Generator[Connection]]


def sources(url: URL, *, patience_s: float) -> tuple[Source, Source]:
    """Give a source of consistent read-only views, and one of write transactions."""
    try:
        engine = _engine(url)
    except ModuleNotFoundError:
        raise Misuse("Postgres needs its driver.", do="Install it: pip install 'holdtrue[postgres]'") from None
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    def reading() -> Generator[Connection]:
        with _explained(url), snapshot.begin() as connection:
            yield connection

    def writing() -> Generator[Connection]:
        with _explained(url), engine.begin() as connection:
            connection.execute(text("SET LOCAL synchronous_commit = on"))
            connection.execute(text(f"SET LOCAL lock_timeout = '{int(patience_s * 1000)}ms'"))
            try:
                connection.execute(text(LOCK))
            except DBAPIError as error:
                if _state(error) != "55P03":  # lock_not_available
                    raise
                with snapshot.begin() as other:
                    holder = other.execute(text(HOLDER)).scalar() or "another process"
                raise Busy(
                    f"{holder} has been writing the registry for more than {patience_s:g} s.",
                    do="Wait for it to finish; what it does not finish is undone.",
                ) from None
            yield connection

    return reading, writing


@lru_cache(maxsize=8)
def _engine(url: URL) -> Engine:
    """Make the engine of a server once: it asks the server what it is at its first connection. It keeps none open."""
    arguments = {"connect_timeout": 10, "application_name": "holdtrue"}
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        connect_args={name: value for name, value in arguments.items() if name not in url.query},
    )


def shown(url: URL) -> str:
    """Name a server without the password; the query goes too, for it may hold one."""
    return url.set(query={}).render_as_string(hide_password=True)


@contextmanager
def _explained(url: URL) -> Generator[None]:
    try:
        yield
    except DBAPIError as error:
        # Cut the chain of causes: the driver's own message may quote the connection string.
        raise _explain(error, url) from None


def _explain(error: DBAPIError, url: URL) -> HoldtrueError:
    reason = str(error.orig).strip().split("\n", maxsplit=1)[0]
    secrets = [url.password, *[str(value) for value in url.query.values()]]
    for secret in filter(None, secrets):
        reason = reason.replace(str(secret), "***")
    state = _state(error)
    if state is None or state.startswith(("08", "28", "3D", "57P")):
        return HoldtrueError(
            f"The database {shown(url)} cannot be reached: {reason}.",
            do="Check that the server runs and that HOLDTRUE_DATABASE_URL names it, its user and its database.",
        )
    if state in {"42501", "25006"}:
        return HoldtrueError(
            f"The database {shown(url)} may not be written: {reason}.",
            do="Give its user the right to create and write.",
        )
    if state.startswith("53"):
        return HoldtrueError(f"The server of {shown(url)} has no room: {reason}.", do="Make room; nothing was changed.")
    return HoldtrueError(
        f"The database {shown(url)} failed: {reason}.", do="Nothing was changed. Run again with --debug."
    )


def _state(error: DBAPIError) -> str | None:
    state = getattr(error.orig, "sqlstate", None)
    return state if isinstance(state, str) else None
