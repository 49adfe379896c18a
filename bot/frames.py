"""Input images: read from wherever they come, checked, kept, and handed over as link or bytes.

Knows no chat platform and no provider; what may be opened is `bot.addresses`' to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import httpx

from bot.addresses import (
    Connect,
    Guard,
    Resolve,
    connect_directly,
    is_link_for_all,
    resolve_apart,
)
from bot.codec import Codec
from bot.disk import save
from bot.errors import AddressRefused, ClipBroken, ClipUnavailable, FrameRejected
from bot.job import StoredFrame
from bot.media import LinkSigner, Media
from bot.ports import FrameHandle
from bot.refs import JobId, MediaKey

Slot = Literal["start", "end"]

MAX_BYTES = 20_000_000
LINK_SECONDS = 10.0
RELAY_HOURS = 24
#: What can be read from its chat again, and what is kept longer because it cannot.
_FOLDER, _ONLY_HERE = "frames", "uploads"


def frame_key(job_id: JobId, slot: Slot, *, is_fleeting: bool = False) -> MediaKey:
    """Where a job's image is kept; one that its chat forgets has a folder of its own."""
    return MediaKey(f"{_ONLY_HERE if is_fleeting else _FOLDER}/{job_id}/{slot}.jpg")


def relay_path(job_id: JobId, attempt: int, slot: Slot) -> str:
    """Where our public listener serves it while that attempt needs it."""
    return f"/{_FOLDER}/{job_id}/{attempt}/{slot}"


class Frames:
    """Keeps images for jobs. Everything it refuses is a `FrameRejected`."""

    def __init__(
        self,
        media: Media,
        codec: Codec,
        *,
        signer: LinkSigner,
        public_url: str = "",
        resolve: Resolve = resolve_apart,
        connect: Connect = connect_directly,
        link_seconds: float = LINK_SECONDS,
    ) -> None:
        self._media = media
        self._codec = codec
        self._signer = signer
        self._public_url = public_url.rstrip("/")
        self._guard = Guard(resolve=resolve, connect=connect, seconds=link_seconds)
        self._link_seconds = link_seconds

    async def keep(
        self,
        job_id: JobId,
        slot: Slot,
        source: AsyncIterator[bytes],
        *,
        is_fleeting: bool = False,
    ) -> StoredFrame:
        """Read an image of at most 20 MB from a stream, check it and keep it as a JPEG."""
        with _kept_or_refused(), self._media.scratch() as given:
            await _receive(source, given)
            return await self._keep(frame_key(job_id, slot, is_fleeting=is_fleeting), given)

    async def keep_copy(
        self, job_id: JobId, slot: Slot, kept: StoredFrame, *, is_fleeting: bool = False
    ) -> StoredFrame | None:
        """Keep the image of another job for this one, too; None where it is no longer kept."""
        key = frame_key(job_id, slot, is_fleeting=is_fleeting)
        with _kept_or_refused():
            try:
                await self._media.put(key, await self._media.fetch(kept.key))
            except ClipBroken:
                return None
        return kept.model_copy(update={"key": key})

    async def keep_still(self, job_id: JobId, slot: Slot, still: MediaKey) -> StoredFrame:
        """Keep a still that we made as an image of this job."""
        with _kept_or_refused():
            try:
                given = await self._media.fetch(still)
            except ClipBroken as error:
                raise FrameRejected("That picture is no longer kept. Make it again.") from error
            return await self._keep(frame_key(job_id, slot), given)

    async def keep_picture(self, job_id: JobId, slot: Slot, picture: MediaKey) -> StoredFrame:
        """Keep a frame of a clip of ours for a job that has its money held already.

        Raises `ClipUnavailable` while the store is out of reach.
        """
        return await self._keep(frame_key(job_id, slot), await self._media.fetch(picture))

    async def keep_link(self, job_id: JobId, slot: Slot, url: str) -> StoredFrame:
        """Fetch an image that somebody linked to, from public addresses only, and keep it."""
        with _kept_or_refused(), self._media.scratch() as given:
            await self._download(url, given)
            return await self._keep(frame_key(job_id, slot), given, link=url)

    async def _download(self, url: str, target: Path) -> None:
        try:
            async with asyncio.timeout(self._link_seconds), self._guard.open(url) as response:
                if response.status_code != httpx.codes.OK:
                    raise _not_there(response.status_code)
                await _receive(response.aiter_raw(), target)
        except AddressRefused as error:
            raise FrameRejected(f"{error.sentence} Please attach the image instead.") from error
        except TimeoutError as error:
            raise FrameRejected(
                f"The image's link took longer than {self._link_seconds:g} seconds. "
                "Please attach the image instead."
            ) from error
        except httpx.HTTPError as error:
            raise FrameRejected(
                "The image's link cannot be reached. Please check it, or attach the image."
            ) from error

    async def _keep(self, key: MediaKey, given: Path, *, link: str | None = None) -> StoredFrame:
        with self._media.scratch(".jpg") as upright:
            info = await self._codec.normalise_image(given, upright)
            await self._media.put(key, upright)
        return StoredFrame(
            key=key,
            content_type=info.content_type,
            width=info.width,
            height=info.height,
            link=link,
        )

    async def can_hand_over(
        self, image_input: Literal["link", "bytes"], *, has_link: bool
    ) -> bool:
        """Whether a provider could get an image at all; asked before money is held.

        `has_link`: the chat can make a public link, or the person typed an https one.
        """
        if image_input == "bytes" or has_link or self._public_url:
            return True
        try:
            return await self._bucket_link(MediaKey(_FOLDER)) is not None
        except ClipUnavailable:
            return True  # A link can be made once the bucket is back.

    async def hand_over(
        self,
        frame: StoredFrame,
        *,
        job_id: JobId,
        attempt: int,
        slot: Slot,
        image_input: Literal["link", "bytes"],
        now: datetime,
        chat_link: str | None = None,
    ) -> FrameHandle:
        """The image as this provider takes it: a local file, or a link good for a day.

        Raises `ClipUnavailable` while the store is out of reach.
        """
        if image_input == "bytes":
            path = await self.local(frame)
            return FrameHandle(path=str(path), content_type=frame.content_type)
        relay = self._relay_link(relay_path(job_id, attempt, slot), now)
        url = relay if is_link_for_all(relay) else await self._bucket_link(frame.key)
        url = url or relay or chat_link or _typed(frame)
        if url is None:
            raise FrameRejected(
                "The video service fetches images by a public link, and Raybot cannot make one "
                "here. Its operator can set bot.public_url or bot.media_url; "
                "or give the image as an https:// link."
            )
        return FrameHandle(url=url, content_type=frame.content_type)

    def _relay_link(self, path: str, now: datetime) -> str:
        """A link of our own; empty where we have no address."""
        if not self._public_url:
            return ""
        return self._public_url + self._signer.sign(path, now + timedelta(hours=RELAY_HOURS))

    async def _bucket_link(self, key: MediaKey) -> str | None:
        """A link of the bucket; None where others could not open it."""
        link = await self._media.presign(key, RELAY_HOURS * 3600)
        return link if link is not None and is_link_for_all(link) else None

    async def local(self, frame: StoredFrame) -> Path:
        """A local copy of the image; raises `FrameRejected` where it is no longer kept."""
        try:
            return await self._media.fetch(frame.key)
        except ClipBroken as error:
            raise FrameRejected(
                "The image is no longer kept. Please send your request again."
            ) from error

    async def forget(self, job_id: JobId) -> None:
        """Delete a job's images; raises `ClipUnavailable` while the store is out of reach."""
        for folder in (_FOLDER, _ONLY_HERE):
            for kept in await self._media.list(f"{folder}/{job_id}"):
                await self._media.delete(kept.key)

    async def sweep(
        self, now: datetime, *, hours: int, days: int, spare: Collection[JobId] = frozenset()
    ) -> int:
        """Delete images older than so many hours, but for these jobs'; how many.

        One that nobody else has is kept for so many `days`, for another try. Raises
        `ClipUnavailable` where one is left.
        """
        old = [
            each.key
            for folder, age in (
                (_FOLDER, timedelta(hours=hours)),
                (_ONLY_HERE, timedelta(days=days)),
            )
            for each in await self._media.list(folder)
            if each.modified < now - age and _owner(each.key) not in spare
        ]
        await self._media.delete_all(old)
        return len(old)


async def _receive(source: AsyncIterator[bytes], target: Path) -> None:
    if not (await save(source, target, max_bytes=MAX_BYTES)).is_whole:
        raise FrameRejected(
            f"This image is larger than {MAX_BYTES // 1_000_000} MB. Please send a smaller one."
        )


def _not_there(status: int) -> FrameRejected:
    passes = status == httpx.codes.TOO_MANY_REQUESTS or httpx.codes.is_server_error(status)
    advice = "try again later" if passes else "check that it opens without signing in"
    return FrameRejected(
        f"The image's link answers with status {status}. Please {advice}, or attach the image."
    )


@contextmanager
def _kept_or_refused() -> Iterator[None]:
    """No money is held yet, so that our own trouble, too, is a refusal to the person."""
    try:
        yield
    except ClipUnavailable as error:
        raise FrameRejected(
            f"The image cannot be kept: {error.sentence} Please try again later."
        ) from error


def _owner(key: MediaKey) -> str:
    return key.split("/")[1]


def _typed(frame: StoredFrame) -> str | None:
    return frame.link if frame.link and frame.link.startswith("https://") else None
