"""Goes on from a backup: its file in the place of the database, and nothing paid twice."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from bot.clock import SystemClock
from bot.errors import InvalidRequest
from bot.http import read_time
from bot.store import restoring
from bot.store.database import Database
from bot.store.replace_file import is_there, remove, take_place
from bot.store.restoring import Restored
from bot.store.sqlite import SqliteDatabase, copy_into, writer_engine


def put_back(database: Database, copy: Path) -> str:
    """Put a backup in the database's place; what was there is kept beside it.

    Raises `ConfigError` while a bot runs, `InvalidRequest` and `StoreError`; then nothing changed.
    """
    if not isinstance(database, SqliteDatabase):
        raise InvalidRequest(
            "pg_restore brings a PostgreSQL database back; then `raybot restore --since TIME`."
        )
    if not is_there(copy):
        raise InvalidRequest(f"There is no file {copy}.")
    now = SystemClock().now()
    fresh = database.path.with_name(f"{database.path.name}.new")
    database.lock()
    try:
        done = _settle(copy_into(copy, fresh), now, said=copy)
        kept = take_place(fresh, database.path)
    finally:
        remove(fresh)
        database.unlock()
    return describe(done, database.place, kept)


def settle(database: Database, told: str) -> str:
    """Settle a database that is in its place already, as it was at a time.

    Raises `ConfigError` while a bot runs, `InvalidRequest` and `StoreError`; then nothing changed.
    """
    now, since = SystemClock().now(), read_time(told)
    if since is None:
        raise InvalidRequest("Say since when, such as 2026-11-22T03:00Z.")
    if since > now:
        raise InvalidRequest(f"{told} is still to come; it is {now:%Y-%m-%dT%H:%MZ} now.")
    if not database.exists():
        raise InvalidRequest(f"There is no database at {database.place}.")
    return describe(restoring.settle(database, since, now), database.place, None)


def _settle(path: Path, now: datetime, *, said: Path) -> Restored:
    engine = writer_engine(path)
    try:
        with engine.begin() as conn:
            since = restoring.copied_at(conn)
            if since is None:
                raise InvalidRequest(
                    f"{said} is no copy that `raybot backup` made, so nobody knows of when it is. "
                    "Name one that is; for a copy made otherwise, put it in the database's place "
                    "yourself while no bot runs, then `raybot restore --since TIME`."
                )
            return restoring.restore(conn, since, now)
    finally:
        engine.dispose()


def describe(done: Restored, place: str, kept: Path | None) -> str:
    """What the operator has to know and to do."""
    jobs = (
        "1 job on its way is" if done.looked_up == 1 else f"{done.looked_up} jobs on their way are"
    )
    said = [f"{place} is restored. {jobs} looked up at the next start."]
    if done.ended:
        said.append(f"{done.ended} that nobody had confirmed yet were ended.")
    if done.aside:
        said.append(
            f"{len(done.aside)} that waited are put aside, since they may have been made and paid "
            "after the backup. Look for each where it was asked, then `raybot unpark ID` lets it "
            f"go on, and `raybot resolve ID release` ends it: {', '.join(done.aside)}."
        )
    if kept is not None:
        said.append(f"The database that was there is kept as {kept}.")
    return "\n".join(said)
