"""Marks a database as superseded: a backup, being moved, or moved."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from bot.errors import ConfigError
from bot.store.database import Database
from bot.store.schema import COPY
from bot.store.settings import choose, chosen
from bot.store.transaction import Tx


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Since when it is behind; where it was moved to, which is empty for a copy.

    While it `is_moving` nobody has said yet that everything is there.
    """

    at: datetime
    to: str = ""
    is_moving: bool = False


def read(conn: Connection) -> Mark | None:
    """What a database says of itself; None for one that a bot goes on with."""
    kept = chosen(conn, COPY)
    if not kept:
        return None
    at = datetime.fromisoformat(kept["at"])
    return Mark(at=at, to=kept.get("to", ""), is_moving=bool(kept.get("moving")))


def leave(conn: Connection, to: str, at: datetime, *, is_moving: bool = False) -> None:
    """Let a database say that everything was moved from it, or is to be."""
    moving = "yes" if is_moving else ""
    choose(Tx(conn), COPY, {"at": at.isoformat(), "to": to, "moving": moving})


def take_away(conn: Connection) -> None:
    """Let a database say nothing of the kind any more."""
    choose(Tx(conn), COPY, dict.fromkeys(("at", "to", "moving"), ""))


async def open_for_bot(database: Database) -> None:
    """Start a database for a bot; raises `ConfigError` where it would pay again what others do."""
    await database.start()
    mark = await database.read(read)
    # Whoever moves it at this moment holds up who writes, and has marked it then.
    mark = mark or await database.write(lambda tx: read(tx.conn))
    if mark is not None:
        raise ConfigError(describe(database.place, mark))


def describe(place: str, mark: Mark) -> str:
    """What such a database is, and what to do."""
    if not mark.to:
        return (
            f"{place} is a backup: what went on since is not in it, and would be paid again. "
            "`raybot restore FILE` puts one in its place."
        )
    since = mark.at.isoformat(timespec="seconds").replace("+00:00", "Z")
    if mark.is_moving:
        return (
            f"{place} was being moved to {mark.to} at {since}, and that was cut off: everything "
            "may be there. Run the same `raybot migrate` again, which finds out and ends it. To "
            "go on from here instead, see that no bot ever runs on that one, then "
            f"`raybot restore --since {since}`."
        )
    return (
        f"{place} was moved to {mark.to} at {since}: a bot here would pay and post what the one "
        "there does. Set [bot] database_url to that one. To go on from here instead, stop that "
        f"one for good, then `raybot restore --since {since}`."
    )
