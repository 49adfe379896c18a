"""The databases that the stories are told on: what the books say, and what time it is there."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import psycopg
from sqlalchemy import create_engine

from bot.dispatch.procrastinate import QUEUE
from bot.store import integrity
from tests.postgres import postgres_database

#: What procrastinate tells its workers of a new task.
LOOK = '{"type": "job_inserted", "job_id": 0}'
#: Which database the bot keeps its books in.
Kind = Literal["sqlite", "postgresql"]


class Book(ABC):
    """One database, read from outside while the bot runs and after it."""

    kind: Kind
    #: Whether a life can let time run fast: procrastinate goes by the database's own clock.
    can_hurry: bool

    def __init__(self, url: str) -> None:
        self.url = url

    @abstractmethod
    def read(self, question: str) -> list[tuple[Any, ...]]:
        """What the book says, whether the bot runs or not."""

    @abstractmethod
    def be_later(self, seconds: int) -> None:
        """The database's clock is so much ahead of the machine's from now on."""

    def broken_invariants(self) -> dict[str, list[str]]:
        """Which rules of the ledger do not hold."""
        engine = create_engine(self.url)
        try:
            with engine.connect() as conn:
                return integrity.broken_invariants(conn)
        finally:
            engine.dispose()


class SqliteBook(Book):
    """A file; it has no clock, the bot tells it the time."""

    kind: Kind = "sqlite"
    can_hurry = True

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "data" / "raybot.db").absolute()
        super().__init__(f"sqlite:///{self._file}")

    def read(self, question: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"{self._file.as_uri()}?mode=ro", uri=True)) as file:
            return file.execute(question).fetchall()

    def be_later(self, seconds: int) -> None:
        return


class PostgresBook(Book):
    """A database of its own, whose `now()` says what time the story has.

    Names are looked for in its schema `story` before those of PostgreSQL itself; so procrastinate,
    which goes by the database's clock, sees the same time as the bot.
    """

    kind: Kind = "postgresql"
    can_hurry = False

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._address = url.replace("+psycopg", "")
        name = url.rpartition("/")[2]
        self._run("CREATE SCHEMA story")
        self.be_later(0)
        self._run(f"ALTER DATABASE {name} SET search_path TO public, story, pg_catalog")

    def read(self, question: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self._address, autocommit=True) as conn:
            return conn.execute(question.encode()).fetchall()

    def be_later(self, seconds: int) -> None:
        self._run(
            "CREATE OR REPLACE FUNCTION story.now() RETURNS timestamptz STABLE LANGUAGE sql AS "
            f"$$ SELECT pg_catalog.now() + interval '{seconds} seconds' $$"
        )

    def hurry(self) -> None:
        """Have every worker look at once, as after a nudge: it would only in its next second."""
        self._run(f"SELECT pg_notify('procrastinate_queue_v1#{QUEUE}', '{LOOK}')")

    def _run(self, statement: str) -> None:
        with psycopg.connect(self._address, autocommit=True) as conn:
            conn.execute(statement.encode())


@contextmanager
def book(kind: Kind, folder: Path) -> Iterator[Book]:
    """A new one, which goes afterwards."""
    if kind == "sqlite":
        yield SqliteBook(folder)
        return
    with postgres_database() as url:
        yield PostgresBook(url)
