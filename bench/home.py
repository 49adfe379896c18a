"""Where a measured program keeps its things: a folder on a disk, and an empty database."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.wall import Wall


@dataclass(frozen=True, kw_only=True)
class Home:
    """Given to every process that shares it; `database_url` is empty for a file in the folder."""

    folder: Path
    database_url: str = ""

    @property
    def wall(self) -> Wall:
        """What people were shown by any of them."""
        return Wall(self.folder / "wall")


@contextmanager
def home(database_url: str = "") -> Iterator[Home]:
    """A new one while the block runs; a database that is named has to be empty."""
    # The usual place for short-lived files is often memory, without fsync.
    disk = Path("/var/tmp")
    with tempfile.TemporaryDirectory(
        prefix="raybot-bench-", dir=disk if disk.is_dir() else None
    ) as folder:
        yield Home(folder=Path(folder), database_url=database_url)
