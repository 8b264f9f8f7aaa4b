"""The tables of the registry, and the numbered steps that make them.

A step is never edited once released: a later change is a later step. Moments are whole microseconds since 1970 UTC,
values with structure are canonical JSON, so that both databases hold, sort and give back the same bytes.
"""

from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, Table, Text, text

from holdtrue.core.errors import Refused

METADATA = MetaData()


def _table(name: str, *, texts: str = "", numbers: str = "") -> Table:
    return Table(
        name,
        METADATA,
        *[Column(column, Text) for column in texts.split()],
        *[Column(column, BigInteger) for column in numbers.split()],
    )


VERSION = Table("schema_version", METADATA, Column("version", Integer))
PROJECTS = _table("projects", texts="name", numbers="created_us")
RUNS = _table(
    "runs", texts="id project state snapshot verdict release metrics report", numbers="started_us finished_us"
)
RELEASES = _table("releases", texts="digest project path parent verdict", numbers="created_us")
ALIASES = _table("aliases", texts="project name digest", numbers="since_us")
ALIAS_HISTORY = _table("alias_history", texts="project name digest actor reason", numbers="seq since_us")
HOLDOUT_USES = _table("holdout_uses", texts="rows_digest candidate_digest project", numbers="number used_us")
LEDGER = _table("ledger", texts="project subject leaf hash", numbers="seq")
TIP = _table("ledger_tip", texts="peaks", numbers="id size")
CHECKPOINTS = _table("checkpoints", texts="note", numbers="size")
LOOPS = _table("loops", texts="project state holder memory", numbers="token until_us messages")
LOOP_INBOX = _table("loop_inbox", texts="project event", numbers="id")
LOOP_DEEDS = _table("loop_deeds", texts="project deed outcome", numbers="id asked_us")
LOOP_ALARMS = _table("loop_alarms", texts="project alarm", numbers="id")

# {text} is TEXT that sorts by its bytes, which Postgres does only when told.
STEPS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE projects (name {text} PRIMARY KEY, created_us BIGINT NOT NULL)",
        "CREATE TABLE releases (digest {text} PRIMARY KEY, project {text} NOT NULL REFERENCES projects(name),"
        " created_us BIGINT NOT NULL, path {text} NOT NULL, parent {text}, verdict {text} NOT NULL)",
        "CREATE INDEX releases_by_time ON releases (project, created_us, digest)",
        "CREATE INDEX releases_of_all_by_time ON releases (created_us, digest)",
        "CREATE TABLE runs (id {text} PRIMARY KEY, project {text} NOT NULL REFERENCES projects(name),"
        " started_us BIGINT NOT NULL, finished_us BIGINT, state {text} NOT NULL, snapshot {text}, verdict {text},"
        " release {text}, metrics {text} NOT NULL, report {text})",
        "CREATE INDEX runs_by_time ON runs (project, started_us, id)",
        "CREATE INDEX runs_of_all_by_time ON runs (started_us, id)",
        "CREATE INDEX runs_by_state ON runs (project, state, started_us, id)",
        "CREATE INDEX runs_of_all_by_state ON runs (state, started_us, id)",
        "CREATE INDEX runs_by_verdict ON runs (project, verdict, started_us, id)",
        "CREATE INDEX runs_of_all_by_verdict ON runs (verdict, started_us, id)",
        "CREATE INDEX runs_by_release ON runs (release, started_us, id)",
        "CREATE TABLE aliases (project {text} NOT NULL REFERENCES projects(name), name {text} NOT NULL,"
        " digest {text} NOT NULL REFERENCES releases(digest), since_us BIGINT NOT NULL, PRIMARY KEY (project, name))",
        "CREATE INDEX aliases_by_release ON aliases (digest)",
        "CREATE TABLE alias_history (seq BIGINT PRIMARY KEY, project {text} NOT NULL, name {text} NOT NULL,"
        " digest {text} NOT NULL, since_us BIGINT NOT NULL, actor {text} NOT NULL, reason {text} NOT NULL)",
        "CREATE INDEX alias_history_by_time ON alias_history (project, name, since_us, seq)",
        "CREATE TABLE holdout_uses (rows_digest {text} NOT NULL, candidate_digest {text} NOT NULL,"
        " project {text} NOT NULL, number BIGINT NOT NULL, used_us BIGINT NOT NULL,"
        " PRIMARY KEY (rows_digest, candidate_digest), UNIQUE (rows_digest, number))",
        "CREATE TABLE ledger (seq BIGINT PRIMARY KEY, project {text} NOT NULL, subject {text} NOT NULL,"
        " leaf {text} NOT NULL, hash {text} NOT NULL)",
        "CREATE INDEX ledger_by_project ON ledger (project, seq)",
        "CREATE INDEX ledger_by_subject ON ledger (subject, seq)",
        "CREATE TABLE ledger_tip (id BIGINT PRIMARY KEY CHECK (id = 1), size BIGINT NOT NULL, peaks {text} NOT NULL)",
        "INSERT INTO ledger_tip (id, size, peaks) VALUES (1, 0, '')",
        "CREATE TABLE checkpoints (size BIGINT PRIMARY KEY, note {text} NOT NULL)",
    ),
    (
        "CREATE TABLE loops (project {text} PRIMARY KEY REFERENCES projects(name), state {text} NOT NULL,"
        " holder {text} NOT NULL, token BIGINT NOT NULL, until_us BIGINT NOT NULL, messages BIGINT NOT NULL,"
        " memory {text} NOT NULL)",
        "CREATE TABLE loop_inbox (project {text} NOT NULL REFERENCES loops(project), id BIGINT NOT NULL,"
        " event {text} NOT NULL, PRIMARY KEY (project, id))",
        "CREATE TABLE loop_deeds (project {text} NOT NULL REFERENCES loops(project), id BIGINT NOT NULL,"
        " asked_us BIGINT NOT NULL, deed {text} NOT NULL, outcome {text} NOT NULL, PRIMARY KEY (project, id))",
        "CREATE TABLE loop_alarms (project {text} NOT NULL REFERENCES loops(project), id BIGINT NOT NULL,"
        " alarm {text} NOT NULL, PRIMARY KEY (project, id))",
    ),
)
KNOWN_VERSION = len(STEPS)


def version_of(connection: Connection) -> int:
    """Number of the last step a database has taken; 0 for an empty one."""
    if not connection.dialect.has_table(connection, "schema_version"):
        return 0
    found = connection.execute(VERSION.select()).scalars().all()
    if len(found) != 1 or not isinstance(found[0], int):
        raise Refused(
            f"The registry does not say one version of its tables, but {found!r}.", do="Restore it from a backup."
        )
    return found[0]


def migrate(connection: Connection) -> None:
    """Take the steps that are missing, inside the caller's transaction."""
    done = version_of(connection)
    if done >= KNOWN_VERSION:
        return  # another process was first
    ordered = 'TEXT COLLATE "C"' if connection.dialect.name == "postgresql" else "TEXT"
    if done == 0:
        connection.execute(text("CREATE TABLE schema_version (version INTEGER NOT NULL)"))
        connection.execute(VERSION.insert().values(version=0))
    for step in STEPS[done:]:
        for statement in step:
            connection.execute(text(statement.format(text=ordered)))
    connection.execute(VERSION.update().values(version=KNOWN_VERSION))
