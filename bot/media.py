"""The one store for frames, clips and posters: a folder or a bucket, and signed links to it.

Knows no job and no format; keys and files only.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import mimetypes
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, ObjectStore, from_url

from bot.disk import CHUNK, Cache, Scratch, copy_durably, disk_errors, has_room, save
from bot.errors import ClipBroken, ClipUnavailable, ConfigError
from bot.refs import MediaKey

CACHE_BYTES = 2_000_000_000
#: So many times `min_free_bytes` are left by copies: files under way need room beside them.
ROOM_FACTOR = 6
#: After so many files that could not be deleted the store is taken for one out of reach.
MOST_KEPT = 20
_KEY = re.compile(r"(?!.*(^|/)\.{1,2}(/|$))[a-z0-9_.-]+(/[a-z0-9_.-]+)*")


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """One kept file: its size in bytes and when it was last written."""

    key: MediaKey
    modified: datetime
    size: int


class Media:
    """Keeps files under keys. Raises `ClipUnavailable` where disk or bucket cannot serve now."""

    def __init__(
        self,
        store: ObjectStore,
        data_dir: Path,
        *,
        folder: Path | None,
        cache_bytes: int,
        min_free_bytes: int,
    ) -> None:
        self._store = store
        self._folder = folder
        self._data_dir = data_dir
        self._min_free_bytes = min_free_bytes
        unused = ROOM_FACTOR * min_free_bytes
        self._cache = Cache(data_dir / "cache", max_bytes=cache_bytes, unused=unused)
        self._scratch: Scratch | None = None
        #: Why the bucket did not do what was last asked of it, in a sentence; None where it did.
        self.trouble: str | None = None

    async def has_room(self) -> bool:
        """Whether the disk has `min_free_bytes` left, if need be once old copies are let go."""
        if has_room(self._data_dir, self._min_free_bytes):
            return True
        with suppress(ClipUnavailable):
            await asyncio.to_thread(self._cache.trim)
        return has_room(self._data_dir, self._min_free_bytes)

    def scratch(self, suffix: str = "") -> AbstractContextManager[Path]:
        """A path for an unfinished file, which is gone afterwards, also after a crash."""
        return self.open().file(suffix)

    def open(self) -> Scratch:
        """Make the folder for unfinished files, unless it was; what dead processes left goes."""
        if self._scratch is None:
            self._scratch = Scratch(self._data_dir / "tmp")
        return self._scratch

    def close(self) -> None:
        """Remove this process's unfinished files."""
        if self._scratch is not None:
            self._scratch.close()

    async def put(self, key: MediaKey, source: Path) -> None:
        """Keep a copy of a file: all of it or nothing, also when the machine stops halfway."""
        _check(key)
        if self._folder is not None:
            await asyncio.to_thread(copy_durably, source, self._folder / key)
            return
        kind = mimetypes.guess_type(key, strict=False)[0] or "application/octet-stream"
        with self._in_reach():
            await obstore.put_async(self._store, key, source, attributes={"Content-Type": kind})
        # It is read again right away, to be posted; a second transfer would cost that time.
        with self.scratch() as copy, disk_errors():
            await asyncio.to_thread(shutil.copyfile, source, copy)
            await asyncio.to_thread(self._cache.take, key, copy)

    async def fetch(self, key: MediaKey) -> Path:
        """A local path to read; raises `ClipBroken` where nothing is kept under this key."""
        _check(key)
        if self._folder is not None:
            path = self._folder / key
            if not await asyncio.to_thread(path.is_file):
                raise ClipBroken("This file is no longer kept.")
            return path
        cached = await asyncio.to_thread(self._cache.find, key)
        return cached or await self._download(key)

    async def _download(self, key: MediaKey) -> Path:
        with self.scratch() as copy, self._in_reach():
            try:
                answer = await obstore.get_async(self._store, key)
            except FileNotFoundError as error:
                raise ClipBroken("This file is no longer kept.") from error
            await save(answer.stream(CHUNK), copy)
            return await asyncio.to_thread(self._cache.take, key, copy)

    async def delete(self, key: MediaKey) -> None:
        """Forget a file; fine if it is gone."""
        _check(key)
        with self._in_reach(), suppress(FileNotFoundError):
            await obstore.delete_async(self._store, key)
        # Only now, so that who asks for it meanwhile does not bring it back.
        await asyncio.to_thread(self._cache.drop, key)

    async def delete_all(self, keys: Iterable[MediaKey]) -> None:
        """Forget files, past those that the store keeps; raises `ClipUnavailable` for these."""
        kept: list[MediaKey] = []
        for key in keys:
            try:
                await self.delete(key)
            except ClipUnavailable:
                kept.append(key)
            if len(kept) == MOST_KEPT:
                break
        if kept:
            more = f" and {len(kept) - 1} more" if len(kept) > 1 else ""
            raise ClipUnavailable(f"Raybot's media store does not delete {kept[0]}{more}.")

    async def list(self, prefix: str) -> list[StoredObject]:
        """Everything of ours under a folder such as `clips/`; what others left there is no key."""
        found: list[StoredObject] = []
        with self._in_reach():
            async for batch in obstore.list(self._store, prefix.rstrip("/")):
                found += [
                    StoredObject(
                        key=MediaKey(each["path"]),
                        modified=each["last_modified"].astimezone(UTC),
                        size=each["size"],
                    )
                    for each in batch
                    if _KEY.fullmatch(each["path"])
                ]
        return found

    async def presign(self, key: MediaKey, seconds: int) -> str | None:
        """A link of the bucket that anyone can GET for so long; None for a folder."""
        if isinstance(self._store, LocalStore):
            return None
        _check(key)
        store: Any = self._store  # Each of the three kinds of bucket can sign.
        with _bucket_errors():
            return await obstore.sign_async(store, "GET", key, timedelta(seconds=seconds))

    @contextmanager
    def _in_reach(self) -> Iterator[None]:
        try:
            with _bucket_errors():
                yield
        except ClipUnavailable as error:
            self.trouble = error.sentence
            raise
        self.trouble = None


def open_media(
    url: str,
    data_dir: Path,
    *,
    cache_bytes: int = CACHE_BYTES,
    min_free_bytes: int = 0,
    options: Mapping[str, str] | None = None,
) -> Media:
    """Open the store: a folder in `data_dir`, or the bucket at `s3://`, `gs://` or `az://`.

    Options (`endpoint`, `access_key_id`, …) win over the cloud's own environment variables;
    plain HTTP is allowed only where an endpoint asks for it. Raises `ConfigError`.
    """
    folder = None if url else data_dir / "media"
    with _usable(folder or data_dir):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        media = Media(
            _open_bucket(url, options or {}) if folder is None else LocalStore(folder),
            data_dir,
            folder=folder,
            cache_bytes=cache_bytes,
            min_free_bytes=min_free_bytes,
        )
        media.open()
    return media


def look_at_media(url: str, data_dir: Path) -> Media:
    """The store as it is, to list it: no folder is made, and a missing one is an empty one.

    Raises `ConfigError`.
    """
    folder = None if url else data_dir / "media"
    with _usable(folder or data_dir):
        if folder is None:
            store = _open_bucket(url, {})
        else:
            store = LocalStore(folder) if folder.exists() else MemoryStore()
    return Media(store, data_dir, folder=folder, cache_bytes=CACHE_BYTES, min_free_bytes=0)


@contextmanager
def _usable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"[bot] data_dir: {folder} cannot be used: {error.strerror}.") from error


async def sample_link(url: str) -> str:
    """A link of a bucket, to see where they lead; raises `ConfigError` and `ClipUnavailable`."""
    store: Any = _open_bucket(url, {})
    with _bucket_errors():
        return await obstore.sign_async(store, "GET", "frames", timedelta(minutes=1))


def _open_bucket(url: str, options: Mapping[str, str]) -> ObjectStore:
    if not url.startswith(("s3://", "gs://", "az://")):
        raise ConfigError("media_url must begin with s3://, gs:// or az://, or be empty.")
    settings: Any = options
    plain = settings.get("endpoint", "").startswith("http://")
    try:
        return from_url(
            url,
            client_options={"allow_http": plain} if plain else None,
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=30)},
            **settings,
        )
    except (BaseError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"media_url cannot be used: {reason}.") from error


class LinkSigner:
    """Signs paths of our own public listener, so that only who was given a link can use it."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, path: str, expires: datetime) -> str:
        """The path with its expiry and signature as query."""
        until = str(int(expires.timestamp()))
        return f"{path}?exp={until}&sig={self._signature(path, until)}"

    def verify(self, path: str, exp: str, sig: str, now: datetime) -> bool:
        """Whether this link was signed here and still holds."""
        given = sig.encode(errors="replace")
        genuine = hmac.compare_digest(self._signature(path, exp).encode(), given)
        return genuine and now.timestamp() < int(exp)

    def _signature(self, path: str, until: str) -> str:
        signed = f"{path}|{until}".encode(errors="replace")
        digest = hmac.digest(self._secret, signed, "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _check(key: MediaKey) -> None:
    if _KEY.fullmatch(key) is None:
        raise ValueError(f"{key!r} is no media key")


@contextmanager
def _bucket_errors() -> Iterator[None]:
    try:
        yield
    except BaseError as error:
        raise ClipUnavailable("Raybot's media store cannot be reached right now.") from error
