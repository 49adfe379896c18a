"""Finished clips and stills: fetched once, verified, kept, made to fit, forgotten in time.

Knows no provider and no chat platform; what may be opened is `bot.addresses`' to say.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath

import httpx
import stamina

from bot.addresses import Connect, Guard, Resolve, connect_directly, system_resolve
from bot.codec import ClipInfo, Codec
from bot.disk import Saved, measure, save
from bot.errors import AddressRefused, ClipBroken, ClipTooLarge, ClipUnavailable, FrameRejected
from bot.job import Clip
from bot.media import Media
from bot.notices import ClipForm
from bot.refs import JobId, MediaKey

MAX_BYTES = 500_000_000
FETCH_SECONDS = 600.0
TRIES = 3
#: Maximum of fetches at once: most of a short clip's time is the way to its host.
AT_ONCE = 24
#: Maximum of bytes of a picture that stands for something larger.
POSTER_BYTES = 1_000_000
_STILL_SIDES = (4096, 2048, 1280, 768, 512)
_FOLDER = "clips"
_NAME_CHARS = 40


class _TryAgain(Exception):
    """The host of the clip is busy; the message is its status."""


class _EndedEarly(httpx.TransportError):
    """Only a part came of what was promised; a host that answers nothing at all is just away."""


class Clips:
    """Keeps clips. Raises `ClipUnavailable` for what may pass, `ClipBroken` for a bad file."""

    def __init__(
        self,
        media: Media,
        codec: Codec,
        *,
        allow_hosts: frozenset[str] = frozenset(),
        resolve: Resolve = system_resolve,
        connect: Connect = connect_directly,
        max_bytes: int = MAX_BYTES,
        read_seconds: float = 30.0,
    ) -> None:
        self._media = media
        self._codec = codec
        self._max_bytes = max_bytes
        self._places = asyncio.Semaphore(AT_ONCE)
        self._guard = Guard(
            resolve=resolve,
            connect=connect,
            trusted=allow_hosts,
            needs_tls=True,
            seconds=read_seconds,
        )

    async def fetch(self, url: str, job_id: JobId, *, is_still: bool = False) -> Clip:
        """Download a finished clip or still, verify every byte and both ends, and keep it."""
        async with self._places:
            if is_still:
                return await self._fetch_still(url, job_id)
            return await self._fetch_clip(url, job_id)

    async def _fetch_still(self, url: str, job_id: JobId) -> Clip:
        with self._media.scratch() as path:
            saved = await self._download(url, path)
            info = await self._codec.probe_picture(path)
            key = MediaKey(f"{_FOLDER}/{job_id}{info.suffix}")
            await self._media.put(key, path)
        return Clip(
            key=key,
            width=info.width,
            height=info.height,
            frames=1,
            seconds=0,
            bytes=saved.bytes,
            sha256=saved.sha256,
        )

    async def _fetch_clip(self, url: str, job_id: JobId) -> Clip:
        with self._media.scratch(".mp4") as path:
            saved = await self._download(url, path)
            info = await self._codec.probe_clip(path)
            key = MediaKey(f"{_FOLDER}/{job_id}.mp4")
            await self._media.put(key, path)
        return _to_clip(key, info, saved)

    async def local(self, clip: Clip) -> Path:
        """A local copy to read; raises `ClipBroken` where the clip is no longer kept."""
        return await self._media.fetch(clip.key)

    async def fitted(self, clip: Clip, max_bytes: int, *, has_link: bool) -> tuple[Path, ClipForm]:
        """The clip as a place takes it; a picture only where a link leads to the clip.

        Raises `ClipTooLarge`.
        """
        try:
            path, is_smaller = await self.fit(clip, max_bytes)
        except ClipTooLarge:
            if not has_link:
                raise
            return await self.poster(clip), "poster"
        return path, "smaller" if is_smaller else "original"

    async def fit(self, clip: Clip, max_bytes: int) -> tuple[Path, bool]:
        """The clip within so many bytes, and whether it was made smaller for that.

        Raises `ClipTooLarge` where no acceptable picture is that small.
        """
        if clip.bytes <= max_bytes:
            return await self.local(clip), False
        suffix = ".jpg" if is_still(clip) else ".mp4"
        key = _beside(clip, f".small{suffix}")
        made = await self._find(key)
        if made is not None and (await asyncio.to_thread(made.stat)).st_size <= max_bytes:
            return made, True
        with self._media.scratch(suffix) as small:
            shrink = self._shrink if is_still(clip) else self._codec.reencode
            await shrink(await self.local(clip), small, max_bytes=max_bytes)
            await self._media.put(key, small)
        return await self._media.fetch(key), True

    async def _shrink(self, still: Path, target: Path, *, max_bytes: int) -> None:
        """Write a still as a JPEG of at most so many bytes, with ever fewer pixels."""
        for side in _STILL_SIDES:
            with suppress(FrameRejected):
                await self._codec.normalise_image(
                    still, target, max_side=side, max_bytes=max_bytes
                )
                return
        raise ClipTooLarge(max_bytes=max_bytes)

    async def poster(self, clip: Clip) -> Path:
        """The first frame as a JPEG, made when it is asked for; of a still a smaller copy."""
        if is_still(clip):
            return (await self.fit(clip, POSTER_BYTES))[0]
        key = _beside(clip, ".jpg")
        if made := await self._find(key):
            return made
        with self._media.scratch(".jpg") as poster:
            await self._codec.poster(await self.local(clip), poster)
            await self._media.put(key, poster)
        return await self._media.fetch(key)

    async def last_frame(self, clip: Clip) -> MediaKey:
        """A clip's last frame as a picture; raises `ClipBroken` where the clip is not kept."""
        key = _beside(clip, ".last.png")
        with self._media.scratch(".png") as picture:
            await self._codec.frame_png(await self.local(clip), picture, at="last")
            await self._media.put(key, picture)
        return key

    async def join(self, job_id: JobId, shots: Sequence[Clip]) -> Clip:
        """Keep one film of these clips, in their order; raises `ClipBroken` if one is missing."""
        with self._media.scratch(".mp4") as path:
            sources = [await self.local(each) for each in shots]
            info = await self._codec.join(sources, path)
            saved = await asyncio.to_thread(measure, path)
            key = MediaKey(f"{_FOLDER}/{job_id}.mp4")
            await self._media.put(key, path)
        return _to_clip(key, info, saved)

    async def _find(self, key: MediaKey) -> Path | None:
        """What was made of a clip before."""
        try:
            return await self._media.fetch(key)
        except ClipBroken:
            return None

    async def delete(self, clip: Clip) -> None:
        """Forget the clip and all that was made of it."""
        made = (".small.jpg",) if is_still(clip) else (".small.mp4", ".jpg", ".last.png")
        for key in (clip.key, *(_beside(clip, each) for each in made)):
            await self._media.delete(key)

    async def sweep(self, now: datetime, *, days: int, spare: Collection[JobId] = ()) -> int:
        """Delete files older than so many days, but for these jobs'; how many.

        Raises `ClipUnavailable` where one is left.
        """
        old = [
            each.key
            for each in await self._media.list(_FOLDER)
            if each.modified < now - timedelta(days=days) and _owner(each.key) not in spare
        ]
        await self._media.delete_all(old)
        return len(old)

    async def _download(self, url: str, path: Path) -> Saved:
        """A few tries in a row; what outlasts them is the tracker's to repeat."""
        again = stamina.retry_context(
            on=(httpx.TransportError, _TryAgain),
            attempts=TRIES,
            timeout=None,
            wait_initial=0.25,
            wait_max=2.0,
        )
        try:
            async for attempt in again:
                with attempt:
                    async with asyncio.timeout(FETCH_SECONDS):
                        return await self._download_once(url, path)
        except _EndedEarly as error:
            raise ClipUnavailable("The clip's download ends too early.") from error
        except (httpx.TransportError, TimeoutError) as error:
            raise ClipUnavailable("The clip's host cannot be reached right now.") from error
        except _TryAgain as error:
            raise ClipUnavailable(f"The clip's host answers with status {error}.") from error
        except AddressRefused as error:
            raise ClipUnavailable(f"The clip cannot be fetched. {error.sentence}") from error
        raise AssertionError("a retry ends with a result or an error")

    async def _download_once(self, url: str, path: Path) -> Saved:
        async with self._guard.open(url) as response:
            _check_answer(response)
            try:
                saved = await save(response.aiter_raw(), path, max_bytes=self._max_bytes)
            except httpx.RemoteProtocolError as error:
                raise _EndedEarly(str(error)) from error
        if not saved.is_whole:
            raise ClipBroken(f"The clip is larger than {self._max_bytes // 1_000_000} MB.")
        declared = response.headers.get("Content-Length")
        if declared is not None and saved.bytes != int(declared):
            raise ClipBroken(f"The clip has {saved.bytes} bytes instead of {declared}.")
        return saved


def _check_answer(response: httpx.Response) -> None:
    status = response.status_code
    if status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise _TryAgain(str(status))
    if status != httpx.codes.OK:
        raise ClipUnavailable(f"The clip's link answers with status {status}.")
    if response.headers.get("Content-Type", "").startswith("text/html"):
        # As a service shows it while it is being mended.
        raise ClipUnavailable("The clip's link leads to a web page.")


def is_still(clip: Clip) -> bool:
    """Whether it is a picture."""
    return not clip.key.endswith(".mp4")


def _to_clip(key: MediaKey, info: ClipInfo, saved: Saved) -> Clip:
    return Clip(
        key=key,
        width=info.width,
        height=info.height,
        frames=info.frames,
        seconds=info.seconds,
        bytes=saved.bytes,
        sha256=saved.sha256,
    )


def _beside(clip: Clip, suffix: str) -> MediaKey:
    return MediaKey(clip.key.removesuffix(PurePosixPath(clip.key).suffix) + suffix)


def filename(job_id: JobId, file: Path, *, model: str, prompt: str) -> str:
    """A name for the posted file that tells what it is: `ray-2_r-7k2m9q_a-red-fox.mp4`."""
    told = "_".join(part for part in (_slug(model), job_id, _slug(prompt)) if part)
    return told + file.suffix


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    # Of the dots only those of a version stay.
    return re.sub(r"([^a-z0-9.]|\.(?!\d))+", "-", plain)[:_NAME_CHARS].strip("-.")


def _owner(key: MediaKey) -> JobId:
    """Whose file it is."""
    return JobId(PurePosixPath(key).name.partition(".")[0])
