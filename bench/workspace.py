"""Where a measured program keeps its things: a folder on a disk, and an empty database."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.post_log import PostLog

#: The usual place for short-lived files is often memory, without fsync.
DISK = Path("/var/tmp") if Path("/var/tmp").is_dir() else None


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """Given to every process that shares it; `database_url` is empty for a file in the folder."""

    folder: Path
    database_url: str = ""

    @property
    def post_log(self) -> PostLog:
        """What people were shown by any of them."""
        return PostLog(self.folder / "post_log")


@contextmanager
def temporary_workspace(server_url: str = "") -> Iterator[Workspace]:
    """A new one while the block runs; its database is made at that server, if one is named."""
    with (
        tempfile.TemporaryDirectory(prefix="raybot-bench-", dir=DISK) as folder,
        _database(server_url) as url,
    ):
        yield Workspace(folder=Path(folder), database_url=url)


@contextmanager
def _database(server_url: str) -> Iterator[str]:
    if not server_url:
        yield ""
        return
    # A process that is measured with SQLite, or only uses a home, has none of these.
    from psycopg.sql import SQL

    from bot.store.postgres import PostgresDatabase
    from tests.postgres import at_server, database_at

    name = f"bench_{secrets.token_hex(6)}"
    at_server(server_url, SQL("CREATE DATABASE {name}"), name=name)
    url = database_at(server_url, name)
    try:
        PostgresDatabase(url).migrate()
        yield url
    finally:
        at_server(server_url, SQL("DROP DATABASE {name} WITH (FORCE)"), name=name)
