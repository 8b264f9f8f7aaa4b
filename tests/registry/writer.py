"""A process that writes to a registry and says what it has written; the tests start it, and kill it."""

import sys
from datetime import UTC, datetime

from sqlalchemy import Connection

from holdtrue.core.digest import sha256_bytes
from holdtrue.registry.aliases import promote
from holdtrue.registry.catalog import Release, Run, add_release, record_run
from holdtrue.registry.database import connect
from holdtrue.registry.wear import use_number

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def write_all(connection: Connection, name: str) -> None:
    """Make one release with everything that belongs to it; all of it or nothing must be there afterwards."""
    digest = sha256_bytes(name.encode())
    use_number(connection, "f" * 64, digest, project="hotels", actor=name, now=NOW)
    add_release(connection, Release(digest=digest, project="hotels", created=NOW, path=name), actor=name, now=NOW)
    promote(connection, "hotels", digest, "champion", actor=name, reason="", now=NOW)
    run = Run(id=name, project="hotels", started=NOW, state="finished", release=digest)
    record_run(connection, run, actor=name, now=NOW)


def main(url: str, prefix: str, count: int) -> None:
    database = connect(url)
    for number in range(count):
        name = f"{prefix}-{number}"
        database.write(lambda connection, name=name: write_all(connection, name))
        print(name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
