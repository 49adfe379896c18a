"""A PostgreSQL database for each test, copied from one with today's schema."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from bot.store.postgres import PostgresDatabase

#: The address of a server where its user may make databases; `.ci/postgres` starts one.
SERVER = "TEST_POSTGRES_URL"
#: Ends all other connections to a database.
CUT = SQL(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid != pg_backend_pid()"
)


def server() -> str:
    """The server's address; skips the test where there is none."""
    url = os.environ.get(SERVER, "")
    if not url:
        pytest.skip(f"There is no PostgreSQL: {SERVER} is not set (see .ci/postgres).")
    return url


def at_server(url: str, statement: SQL, **names: str) -> None:
    """Run one statement outside of any transaction."""
    filled = statement.format(**{name: Identifier(value) for name, value in names.items()})
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as conn:
        conn.execute(filled)


def database_at(url: str, name: str) -> str:
    """The address of another database of the same server."""
    return f"{url.rpartition('/')[0]}/{name}"


@cache
def template(url: str) -> str:
    """The name of a database that the migrations made; one for each process of the tests."""
    name = f"template_{os.getpid()}"
    at_server(url, SQL("DROP DATABASE IF EXISTS {name}"), name=name)
    at_server(url, SQL("CREATE DATABASE {name}"), name=name)
    PostgresDatabase(database_at(url, name)).migrate()
    return name


@contextmanager
def postgres_database() -> Iterator[str]:
    """The address of a new database with today's schema and no rows; it goes afterwards."""
    copied = SQL("CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    with _made(copied, template=template(server())) as url:
        yield url


@contextmanager
def empty_database() -> Iterator[str]:
    """The address of a new database without anything; it goes afterwards."""
    with _made(SQL("CREATE DATABASE {name} TEMPLATE template0")) as url:
        yield url


@contextmanager
def _made(create: SQL, **names: str) -> Iterator[str]:
    url, name = server(), f"test_{secrets.token_hex(6)}"
    at_server(url, create, name=name, **names)
    try:
        yield database_at(url, name)
    finally:
        at_server(url, SQL("DROP DATABASE {name} WITH (FORCE)"), name=name)
