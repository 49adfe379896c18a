"""What is said in SQL differently, in words that both databases understand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Table, cast, func
from sqlalchemy.dialects.postgresql import insert

from bot.store.database import Tx

__all__ = ["insert", "insert_new", "total"]


def insert_new(tx: Tx, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert a row unless one has its key; whether it is new."""
    statement = insert(table).on_conflict_do_nothing()
    # Without being told to, SQLAlchemy forgets how many rows an INSERT made.
    done = tx.conn.execute(statement, dict(row), execution_options={"preserve_rowcount": True})
    return done.rowcount == 1


def total(each: ColumnElement[int]) -> ColumnElement[int]:
    """The sum of whole numbers, 0 of none; PostgreSQL alone would make it a decimal."""
    return func.coalesce(cast(func.sum(each), BigInteger), 0)
