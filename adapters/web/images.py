"""Images that people bring: files for some days, and which of them stand in the channel."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.web.parse import NAME, check_image, is_image_id
from bot.clock import Clock
from bot.errors import FrameRejected, StoreBusy
from bot.log import get_logger
from bot.refs import Attachment
from bot.request import Requester

if TYPE_CHECKING:
    from bot.studio import Studio

log = get_logger(__name__)
CHUNK_BYTES = 64 * 1024
#: So many stand in the channel, the latest ones.
MOST_SHOWN = 50
#: So many of one person may lie there; who drops more at once is asked to wait.
MOST_KEPT = 500
#: How the ids of our own copies begin; of people's images it is a mark of theirs.
OURS = "0" * 8
GONE = "The image is no longer here. Add it again."
#: So begins an image's name on a page.
IMAGE = "image-"
_SHOWN = "images"


@dataclass(frozen=True, kw_only=True)
class Brought:
    """An image that was put into the channel, to be replied to."""

    image: str
    at: datetime

    @property
    def name(self) -> str:
        """What it is called on a page."""
        return f"{IMAGE}{self.image}"


class Images:
    """A folder with a file for each image, by a name that nobody can guess."""

    def __init__(self, studio: Studio, folder: Path, *, days: int, clock: Clock) -> None:
        self._studio = studio
        self._folder = folder
        self._days = days
        self._clock = clock
        self._writing = asyncio.Lock()

    async def keep(self, content: bytes, who: Requester) -> str:
        """Keep one of somebody's, durably; its id. Raises `FrameRejected` for what is no image."""
        check_image(content)
        return await self._keep(lambda: content, _mark(who.person))

    async def keep_copy(self, path: Path) -> str:
        """Keep a copy of a clip or a picture of ours, as long as images are; its id."""
        return await self._keep(path.read_bytes, OURS)

    async def _keep(self, read: Callable[[], bytes], mark: str) -> str:
        image = mark + secrets.token_hex(12)
        try:
            await asyncio.to_thread(lambda: self._write(image, read()))
        except OSError as error:
            why = error.strerror or "unknown cause"
            raise StoreBusy(f"It could not be kept: {why}.") from error
        return image

    def _write(self, image: str, content: bytes) -> None:
        own = image[: len(OURS)]
        if sum(1 for each in self._folder.iterdir() if each.name.startswith(own)) >= MOST_KEPT:
            raise OSError(0, "there are too many already")
        part = self._folder / f".{image}.part"
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._folder / image)

    def has(self, image: str) -> bool:
        """Whether it is still kept."""
        return is_image_id(image) and (self._folder / image).exists()

    async def content(self, image: str) -> bytes:
        """All of it; raises `FrameRejected` where it is gone."""
        if not is_image_id(image):
            raise FrameRejected(GONE)
        try:
            return await asyncio.to_thread((self._folder / image).read_bytes)
        except OSError as error:
            raise FrameRejected(GONE) from error

    async def read(self, attachment: Attachment) -> AsyncIterator[bytes]:
        """Stream one to the bot, which decodes it in a child process."""
        content = await self.content(attachment.id)
        for at in range(0, len(content), CHUNK_BYTES):
            yield content[at : at + CHUNK_BYTES]

    # ---- in the channel ------------------------------------------------------------------

    async def show(self, images: Sequence[str], who: Requester) -> None:
        """Put these into somebody's channel; those that are there stay where they are."""
        mark = _mark(who.person)
        async with self._writing:
            shown = await self._shown(mark)
            known = {each.image for each in shown}
            new = [each for each in images if each not in known]
            shown += [Brought(image=each, at=self._clock.now()) for each in new]
            await self._remember(shown, mark)

    async def shown(self, who: Requester) -> list[Brought]:
        """Those in their channel, as far as they are still kept, oldest first."""
        shown = await self._shown(_mark(who.person))
        return [each for each in shown if self.has(each.image)]

    async def take_away(self, image: str, who: Requester) -> None:
        """Delete one of theirs, and take it out of the channel; fine if it is gone."""
        mark = _mark(who.person)
        if not is_image_id(image) or not image.startswith(mark):
            return
        async with self._writing:
            await self.delete(image)
            left = [each for each in await self._shown(mark) if each.image != image]
            await self._remember(left, mark)

    async def delete(self, image: str) -> None:
        """Delete one; fine if it is gone."""
        if is_image_id(image):
            await asyncio.to_thread((self._folder / image).unlink, missing_ok=True)

    async def count(self, person: str) -> int:
        """How many of somebody's are kept."""
        mark = _mark(person)
        return len(await asyncio.to_thread(lambda: [*self._folder.glob(f"{mark}*")]))

    async def forget(self, person: str) -> list[Brought]:
        """Delete all of somebody's; those that stood in their channel. Raises `StoreBusy`."""
        mark = _mark(person)
        async with self._writing:
            shown = await self._shown(mark)
            try:
                await asyncio.to_thread(self._delete_of, mark)
            except OSError as error:
                why = error.strerror or "unknown cause"
                raise StoreBusy(f"The images could not be deleted: {why}.") from error
            await self._remember([], mark)
            return shown

    def _delete_of(self, mark: str) -> None:
        for path in (*self._folder.glob(f"{mark}*"), *self._folder.glob(f".{mark}*.part")):
            path.unlink(missing_ok=True)

    async def sweep(self) -> None:
        """Delete what is old."""
        oldest = self._clock.now() - timedelta(days=self._days)
        try:
            await asyncio.to_thread(self._delete_older, oldest)
        except OSError as error:
            log.warning("web.images_not_swept", cause=str(error))

    def _delete_older(self, than: datetime) -> None:
        for path in self._folder.iterdir():
            image = path.name.removeprefix(".").removesuffix(".part")
            with suppress(OSError):
                if is_image_id(image) and path.stat().st_mtime < than.timestamp():
                    path.unlink()

    async def _shown(self, mark: str) -> list[Brought]:
        kept = await self._studio.recall(NAME, f"{_SHOWN} {mark}")
        rows = json.loads(kept) if kept else []
        return [Brought(image=row[0], at=datetime.fromisoformat(row[1])) for row in rows]

    async def _remember(self, shown: Sequence[Brought], mark: str) -> None:
        rows = [(each.image, each.at.isoformat()) for each in shown[-MOST_SHOWN:]]
        await self._studio.remember(NAME, f"{_SHOWN} {mark}", json.dumps(rows))


def _mark(person: str) -> str:
    """How the ids of somebody's images begin, so that they alone remove them."""
    return hashlib.sha256(person.encode()).hexdigest()[: len(OURS)]
