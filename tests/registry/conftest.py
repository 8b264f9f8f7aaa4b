"""A registry to test with, in SQLite and in Postgres."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from holdtrue.registry.database import Database, connect

POSTGRES = os.environ.get("HOLDTRUE_TEST_POSTGRES", "postgresql+psycopg://root@127.0.0.1:5432/test")


@pytest.fixture
def postgres_url(tmp_path: Path) -> Iterator[str]:
    """Give the address of a schema of its own, dropped afterwards."""
    server = create_engine(POSTGRES, poolclass=NullPool)
    schema = re.sub(r"\W", "_", f"holdtrue_{os.getpid()}_{tmp_path.name}".lower())[-60:]
    try:
        with server.begin() as connection:
            connection.execute(text(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))
            connection.execute(text(f"CREATE SCHEMA {schema}"))
    except OperationalError as error:
        pytest.fail(
            f"These tests need a Postgres server at {make_url(POSTGRES).render_as_string()}; start one, or name another"
            f" in HOLDTRUE_TEST_POSTGRES. It said: {error.orig}",
            pytrace=False,
        )
    url = make_url(POSTGRES).update_query_dict({"options": f"-csearch_path={schema}"})
    yield url.render_as_string(hide_password=False)
    with server.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'home' / 'holdtrue.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def database(url: str) -> Database:
    return connect(url)
