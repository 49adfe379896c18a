"""SQL in which the two databases differ, written once for both."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Float,
    String,
    Table,
    cast,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from bot.store.transaction import Tx

__all__ = [
    "Insert",
    "beside",
    "insert",
    "insert_new",
    "put",
    "seconds_between",
    "time_of",
    "total",
]


class seconds_between(FunctionElement[float]):  # noqa: N801 - it is called as SQL's own are
    """How many seconds after the second time the first one is."""

    type = Float()
    inherit_cache = True


@compiles(seconds_between, "sqlite")
def _on_sqlite(element: seconds_between, compiler: SQLCompiler, **rest: Any) -> str:
    later, earlier = (compiler.process(each, **rest) for each in element.clauses)
    return f"((julianday({later}) - julianday({earlier})) * 86400.0)"


@compiles(seconds_between, "postgresql")
def _on_postgres(element: seconds_between, compiler: SQLCompiler, **rest: Any) -> str:
    later, earlier = (compiler.process(each, **rest) for each in element.clauses)
    return f"CAST(EXTRACT(EPOCH FROM ({later} - {earlier})) AS DOUBLE PRECISION)"


class beside(FunctionElement[str]):  # noqa: N801
    """A column by which SQLite shall look for no index; another one has all that is asked."""

    type = String()
    inherit_cache = True


@compiles(beside, "sqlite")
def _unindexed(element: beside, compiler: SQLCompiler, **rest: Any) -> str:
    return f"+{compiler.process(element.clauses, **rest)}"


@compiles(beside, "postgresql")
def _as_it_is(element: beside, compiler: SQLCompiler, **rest: Any) -> str:
    return str(compiler.process(element.clauses, **rest))


def insert_new(tx: Tx, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless one has its key; whether it is new."""
    statement = insert(table).on_conflict_do_nothing()
    # Without being told to, SQLAlchemy forgets how many rows an INSERT made.
    done = tx.conn.execute(statement, dict(row), execution_options={"preserve_rowcount": True})
    return done.rowcount == 1


def put(
    tx: Tx, table: Table, key: Mapping[str, Any], values: Mapping[str, Any], **new: Any
) -> None:
    """Insert a row of this key and these values, or change one that is there to the values.

    What is `new` goes only into a row that was not there.
    """
    row = {**new, **key, **values}
    statement = insert(table).values(row)
    tx.conn.execute(statement.on_conflict_do_update(index_elements=list(key), set_=dict(values)))


def total(each: ColumnElement[int]) -> ColumnElement[int]:
    """The sum of whole numbers, 0 of none; PostgreSQL alone would make it a decimal."""
    return func.coalesce(cast(func.sum(each), BigInteger), 0)


def time_of(conn: Connection, now: datetime) -> datetime:
    """The time by the one clock of all who share a database; where nobody does, `now`."""
    if conn.dialect.name == "sqlite":
        return now
    shared: datetime = conn.execute(select(func.clock_timestamp())).scalar_one()
    return shared
