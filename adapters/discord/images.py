"""Reads images from Discord by the links of today, which are never stored."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable

import aiohttp
import discord

from adapters.discord.parse import Picture, pictures_of
from bot.errors import FrameRejected
from bot.refs import Attachment

LINKS = 10_000
CHUNK_BYTES = 64 * 1024
READ_SECONDS = 60.0


class Images:
    """Remembers where the images are that somebody just showed, and asks again for older ones."""

    def __init__(self) -> None:
        self._links: OrderedDict[str, str] = OrderedDict()

    def keep(self, picture: Picture) -> Picture:
        """Remember where an image is to be read."""
        self._links[picture.attachment.id] = picture.url
        while len(self._links) > LINKS:
            self._links.popitem(last=False)
        return picture

    async def read(
        self, attachment: Attachment, client: Callable[[], discord.Client]
    ) -> AsyncIterator[bytes]:
        """Stream an image; raises `FrameRejected` where Discord has it no more."""
        url = self._links.get(attachment.id) or await self._fresh_link(attachment, client())
        timeout = aiohttp.ClientTimeout(total=READ_SECONDS)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as got:
                if not got.ok:
                    raise FrameRejected("Discord no longer has this image. Please send it again.")
                async for chunk in got.content.iter_chunked(CHUNK_BYTES):
                    yield chunk
        except (aiohttp.ClientError, TimeoutError) as error:
            raise FrameRejected(
                "The image could not be read from Discord. Please try again."
            ) from error

    async def _fresh_link(self, attachment: Attachment, client: discord.Client) -> str:
        """Ask for the message again; what was uploaded to a command is gone with the process."""
        channel, message, _ = (*attachment.id.split("/"), "", "")[:3]
        if channel.isdecimal() and message.isdecimal():
            place = client.get_partial_messageable(int(channel))
            try:
                found = await place.fetch_message(int(message))
            except discord.HTTPException as error:
                raise FrameRejected(
                    "The message with this image cannot be read any more."
                ) from error
            for picture in pictures_of(found, at=f"{channel}/{message}"):
                self.keep(picture)
        if (url := self._links.get(attachment.id)) is None:
            raise FrameRejected("This image is not at hand any more. Please send it again.")
        return url
