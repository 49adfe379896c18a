"""Sealed values of adapters, by name. What is in them is nobody's business here."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, select

from bot.store import portable
from bot.store.schema import vault
from bot.store.transaction import Tx


def get(conn: Connection, adapter: str, name: str) -> str | None:
    """What is kept under this name, still sealed."""
    found: str | None = conn.execute(
        select(vault.c.sealed).where(vault.c.adapter == adapter, vault.c.name == name)
    ).scalar_one_or_none()
    return found


def put(tx: Tx, adapter: str, name: str, sealed: str, now: datetime) -> None:
    """Keep a sealed value; it takes the place of an earlier one."""
    key, values = {"adapter": adapter, "name": name}, {"sealed": sealed, "updated_at": now}
    portable.put(tx, vault, key, values)


def remove(tx: Tx, adapter: str, name: str, sealed: str | None) -> bool:
    """Keep this value no longer; False where another one has taken its place, or that of none."""
    if sealed is None:
        return get(tx.conn, adapter, name) is None
    is_it = (vault.c.adapter == adapter, vault.c.name == name, vault.c.sealed == sealed)
    return bool(tx.conn.execute(delete(vault).where(*is_it)).rowcount)


def names(conn: Connection, adapter: str, prefix: str) -> tuple[str, ...]:
    """The names that begin so, in order."""
    rows = conn.execute(
        select(vault.c.name)
        .where(vault.c.adapter == adapter, vault.c.name.startswith(prefix, autoescape=True))
        .order_by(vault.c.name)
    )
    return tuple(rows.scalars())
