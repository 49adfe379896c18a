"""A file takes the place of SQLite's, which is kept beside it; what is killed midway can go on.

Until the first rename, the old database is untouched; from then on whoever has its lock finishes
the rest before the database is opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from bot.disk import sync_folder
from bot.errors import ConfigError

#: What may belong to a file after a crash; the file itself goes last.
_SIDES = ("-wal", "-shm", "-journal", "")


def take_place(fresh: Path, path: Path) -> Path | None:
    """Put a closed database in the place of another; where that is now, if there was one."""
    fresh.replace(pending_path(path))
    sync_folder(path.parent)
    return finish(path)


def pending_path(path: Path) -> Path:
    """What is to take the place of this one, once that is decided."""
    return path.with_name(f"{path.name}.restored")


def finish(path: Path) -> Path | None:
    """Go on where it was killed; where the old database is, if anything was to be done."""
    fresh = pending_path(path)
    if not fresh.exists():
        return None
    # The time is the file's, so that all that belongs together gets the same name.
    at = datetime.fromtimestamp(fresh.stat().st_mtime, UTC)
    kept = path.with_name(f"{path.name}.{at:%Y%m%dT%H%M%S}.old")
    for each, target in zip(with_sides(path), with_sides(kept), strict=True):
        with suppress(FileNotFoundError):
            each.rename(target)
    fresh.replace(path)
    sync_folder(path.parent)
    return kept if kept.exists() else None


def is_there(path: Path) -> bool:
    """Whether there is such a file; raises `ConfigError` where we may not look."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    return True


def make_private(path: Path) -> None:
    """An empty file that nobody else reads, if there is none; what SQLite adds is like it."""
    if not path.exists():
        path.touch(mode=0o600)


def with_sides(path: Path) -> Iterator[Path]:
    """The file and what SQLite keeps beside it."""
    return (path.with_name(path.name + suffix) for suffix in _SIDES)


def remove(path: Path) -> None:
    """A file and what SQLite keeps beside it, if they are there."""
    for each in with_sides(path):
        each.unlink(missing_ok=True)
