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
    """Remembers where the images are that somebody just showed, and asks again for older ones.

    Reading one may take `read_seconds` in all.
    """

    def __init__(self, *, read_seconds: float = READ_SECONDS) -> None:
        self._links: OrderedDict[str, str] = OrderedDict()
        self._timeout = aiohttp.ClientTimeout(total=read_seconds)

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
        try:
            async with aiohttp.ClientSession(timeout=self._timeout) as session:
                got = await self._open(session, attachment, client)
                async for chunk in got.content.iter_chunked(CHUNK_BYTES):
                    yield chunk
        except (aiohttp.ClientError, TimeoutError) as error:
            raise FrameRejected(
                "The image could not be read from Discord. Please try again."
            ) from error

    async def _open(
        self,
        session: aiohttp.ClientSession,
        attachment: Attachment,
        client: Callable[[], discord.Client],
    ) -> aiohttp.ClientResponse:
        if (known := self._links.pop(attachment.id, None)) is not None:
            got = await session.get(known)
            if got.ok:
                self._links[attachment.id] = known
                return got
        # The links of an image end after a day or so; its message gives new ones.
        got = await session.get(await self._fresh_link(attachment, client()))
        if not got.ok:
            raise FrameRejected("Discord no longer has this image. Please send it again.")
        return got

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
            raise FrameRejected("Discord no longer has this image. Please send it again.")
        return url
