"""The local disk: capped streams, unfinished files that no crash leaves behind, durable copies.

Knows no keys and no formats; every complaint of the disk becomes a `ClipUnavailable`.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import AsyncIterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bot.errors import ClipUnavailable

CHUNK = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
#: The newest copies may still be on their way to a chat, so no cache lets so many of them go.
_CACHE_KEEPS = 32
#: On a full disk they go as well, once nobody has used them for so long.
_IDLE_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What arrived from a stream. Not whole: longer than allowed, cut off, and without a hash."""

    bytes: int
    sha256: str
    is_whole: bool


async def save(
    chunks: AsyncIterable[bytes], target: Path, *, max_bytes: int | None = None
) -> Saved:
    """Stream into a file, hashing, and stop as soon as it is longer than allowed."""
    digest = hashlib.sha256()
    size = 0
    waiting, mode = bytearray(), "wb"
    async for chunk in chunks:
        size += len(chunk)
        if max_bytes is not None and size > max_bytes:
            return Saved(bytes=size, sha256="", is_whole=False)
        waiting += chunk
        if len(waiting) >= CHUNK:
            await asyncio.to_thread(_write, target, waiting, mode, digest)
            waiting, mode = bytearray(), "ab"
    await asyncio.to_thread(_write, target, waiting, mode, digest)
    return Saved(bytes=size, sha256=digest.hexdigest(), is_whole=True)


def measure(file: Path) -> Saved:
    """What a stream of this file would have brought."""
    with disk_errors(), file.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256")
        return Saved(bytes=source.tell(), sha256=digest.hexdigest(), is_whole=True)


def _write(target: Path, content: bytearray, mode: str, digest: hashlib._Hash) -> None:
    digest.update(content)
    # Opened for each piece: a descriptor held across an await could be closed, and its number
    # given to another file, while a thread of a cancelled task still writes to it.
    with disk_errors(), target.open(mode) as file:
        file.write(content)


@contextmanager
def disk_errors() -> Iterator[None]:
    """Translate what the disk complains about."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise ClipUnavailable("Raybot's disk is full, so the file cannot be kept.") from error
        raise ClipUnavailable(f"Raybot's disk reports: {error.strerror}.") from error


def has_room(folder: Path, least_bytes: int) -> bool:
    """Whether a folder's disk has so much left; False also where it is not there any more."""
    free = free_bytes(folder)
    return free is not None and free >= least_bytes


def free_bytes(folder: Path) -> int | None:
    """What a folder's disk has left; None where it is not there any more."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def too_little(folder: Path, least_bytes: int) -> str:
    """What the operator is told of a folder without room."""
    return (
        f"The disk of {folder} has less free than the {least_bytes / 1e6:,.0f} MB of "
        "[bot] min_free_bytes, so nothing new is started"
    )


class Scratch:
    """One folder for each process's unfinished files; those of dead processes are removed.

    A lock on a file tells the living from the dead; it ends with its process, however that dies.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        gate = os.open(root / ".lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(gate, fcntl.LOCK_EX)
            for old in filter(Path.is_dir, root.iterdir()):
                _remove_if_dead(old)
            self._folder = Path(tempfile.mkdtemp(dir=root))
            self._lock = _hold(self._folder)
        finally:
            os.close(gate)

    @contextmanager
    def file(self, suffix: str = "") -> Iterator[Path]:
        """A path for one unfinished file; whatever still stands there afterwards is removed."""
        path = self._folder / (secrets.token_hex(8) + suffix)
        try:
            yield path
        finally:
            # Where the disk takes not even that, the next start removes it.
            with suppress(OSError):
                path.unlink()

    def close(self) -> None:
        """Remove this process's folder."""
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)


def _hold(folder: Path) -> int:
    lock = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def _remove_if_dead(folder: Path) -> None:
    try:
        lock = _hold(folder)
    except OSError:
        return
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def copy_durably(source: Path, target: Path) -> None:
    """Copy all of a file or nothing, on the disk itself before this returns."""
    with disk_errors():
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(target.parent.parent)
        # Beside the target, because a rename is atomic only within one file system.
        unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        try:
            with source.open("rb") as incoming, unfinished.open("xb") as outgoing:
                shutil.copyfileobj(incoming, outgoing, CHUNK)
                outgoing.flush()
                os.fsync(outgoing.fileno())
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)
        sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make a change of names durable; what the disk complains about is left to the caller."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Cache:
    """Local copies of what is kept elsewhere; the longest unused go first.

    They keep within a bound, and leave so many bytes of their disk `unused`.
    """

    def __init__(self, root: Path, *, max_bytes: int, unused: int = 0) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._unused = unused

    def find(self, name: str) -> Path | None:
        """The copy, which thereby counts as just used."""
        path = self._root / name
        try:
            os.utime(path)
        except OSError:
            return None
        return path

    def take(self, name: str, unfinished: Path) -> Path:
        """Move a file in, whole or not at all, and let the longest unused go."""
        path = self._root / name
        with disk_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.replace(path)
        self.trim()
        return path

    def drop(self, name: str) -> None:
        """Forget a copy; fine if there is none."""
        with disk_errors():
            (self._root / name).unlink(missing_ok=True)

    def trim(self) -> None:
        """Let go what is too much."""
        if not self._root.is_dir():
            return
        with disk_errors():
            files = self._by_use()
            newest = {path for _, path in files[-_CACHE_KEEPS:]}
            over = sum(entry.st_size for entry, _ in files) - self._max_bytes
            free = free_bytes(self._root)
            lacking = 0 if free is None else self._unused - free
            idle_since = self._disk_time() - _IDLE_SECONDS
            for entry, path in files:
                if path not in newest:
                    excess = max(over, lacking)
                else:
                    excess = lacking if entry.st_mtime < idle_since else 0
                if excess <= 0:
                    return
                path.unlink(missing_ok=True)
                over -= entry.st_size
                lacking -= entry.st_size

    def _disk_time(self) -> float:
        """How late it is for the disk, by which the copies are dated."""
        os.utime(self._root)
        return self._root.stat().st_mtime

    def _by_use(self) -> list[tuple[os.stat_result, Path]]:
        files = []
        for path in self._root.rglob("*"):
            with suppress(FileNotFoundError):  # Somebody else let it go meanwhile.
                if stat.S_ISREG((entry := path.stat()).st_mode):
                    files.append((entry, path))
        return sorted(files, key=lambda entry: entry[0].st_mtime_ns)
