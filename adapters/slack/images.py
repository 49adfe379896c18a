"""Reads images from Slack by the links of today; our token is shown to Slack's own hosts only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from adapters.slack import addresses, refusals
from adapters.slack.clients import Clients
from bot.clock import Clock
from bot.errors import DeliveryError, FrameRejected
from bot.log import get_logger
from bot.refs import Attachment

log = get_logger(__name__)
CHUNK_BYTES = 64 * 1024
#: A file that was just sent is looked through first; until then it has no type, and no bytes.
PAUSES = (1.0, 2.0, 4.0, 0.0)
OK, NOT_FOUND = 200, 404
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

DELETED = "Slack no longer has this image. Please send it again."
UNREADABLE = "The image could not be read from Slack. Please try again."
NOT_SHOWN = (
    "Slack does not show Raybot this image: it was deleted, or Raybot is not in its channel. "
    "Invite it with `/invite @ray`, or send the image again."
)
EXTERNAL = "This image lies outside Slack. Please send the image itself, not a link to it."
HIDDEN = (
    "Slack hides this image: it is older than the workspace's plan shows. Please send it again."
)
FOREIGN = (
    "This image is of another organisation, which does not share it with Raybot. Please send it "
    "yourself."
)
NO_SCOPE = (
    "Raybot may not read files here: its files:read permission is missing, or its app has to be "
    "installed again."
)
#: What Slack says of a file instead of giving it, by its mode.
_MODES = {"tombstone": DELETED, "hidden_by_limit": HIDDEN, "external": EXTERNAL}
_CODES = {
    "file_deleted": DELETED,
    "file_not_found": NOT_SHOWN,
    "access_denied": FOREIGN,
    refusals.MISSING_SCOPE: NO_SCOPE,
}


class Images:
    """Reads what people sent. `hosts` are names, or names with a port."""

    def __init__(self, clients: Clients, clock: Clock, *, hosts: Collection[str]) -> None:
        self._clients = clients
        self._clock = clock
        self._hosts = frozenset(each.lower() for each in hosts)

    async def read(self, attachment: Attachment) -> AsyncIterator[bytes]:
        """Stream an image; raises `FrameRejected` where Slack does not give it."""
        workspace, file_id = addresses.workspace_and_file(attachment)
        async with _translated(), self._opened(workspace, file_id) as got:
            async for chunk in got.content.iter_chunked(CHUNK_BYTES):
                yield chunk

    @asynccontextmanager
    async def _opened(self, workspace: str, file_id: str) -> AsyncIterator[aiohttp.ClientResponse]:
        for pause in PAUSES:
            told = await self._ask(workspace, file_id)
            _refuse_hidden(told)
            if url := self._safe_url(told):
                token = (await self._clients.account(workspace)).token
                async with self._clients.downloads.get(
                    url, headers={"Authorization": f"Bearer {token}"}, allow_redirects=False
                ) as got:
                    if got.status != NOT_FOUND:
                        _refuse_other_answers(got)
                        yield got
                        return
            until = self._clock.now() + timedelta(seconds=pause)
            await self._clock.wait(asyncio.Event(), until)
        raise FrameRejected("Slack still looks through this image. Please try again in a moment.")

    async def _ask(self, workspace: str, file_id: str) -> Mapping[str, Any]:
        """What Slack says of the file now; of another organisation's, it says all here only."""
        async with self._clients.translated(workspace):
            client = await self._clients.read(workspace)
            told = (await client.files_info(file=file_id)).get("file")
        return told if isinstance(told, Mapping) else {}

    def _safe_url(self, told: Mapping[str, Any]) -> str:
        """Where its bytes are, empty while Slack does not say.

        Raises `FrameRejected` where our token would be shown to others than Slack.
        """
        url = str(told.get("url_private_download") or told.get("url_private") or "")
        if not url or not told.get("mimetype"):
            return ""
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise FrameRejected(UNREADABLE) from error
        host, place = parts.hostname or "", parts.netloc.lower().removesuffix(":443")
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)
        if place not in self._hosts or not is_safe:
            log.warning("slack.foreign_file_host", host=host)
            raise FrameRejected(EXTERNAL)
        return url


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except DeliveryError as error:
        log.info("slack.image_unreadable", cause=error.sentence)
        sentence = _CODES.get(refusals.code_of(error), UNREADABLE)
        raise FrameRejected(sentence) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise FrameRejected(UNREADABLE) from error


def _refuse_hidden(told: Mapping[str, Any]) -> None:
    mode = str(told.get("mode") or "")
    if told.get("is_external"):
        mode = "external"
    if sentence := _MODES.get(mode):
        raise FrameRejected(sentence)
    if mode == "file_access" or told.get("file_access") in ("access_denied", "check_file_info"):
        raise FrameRejected(FOREIGN)


def _refuse_other_answers(got: aiohttp.ClientResponse) -> None:
    """Without the right to read it, Slack leads to its sign-in page, which is no image."""
    is_page = got.content_type == "text/html"
    is_elsewhere = 300 <= got.status < 400
    if is_page or is_elsewhere or got.status in {401, 403}:
        log.error("slack.file_not_readable", status=got.status)
        raise FrameRejected(NO_SCOPE)
    if got.status != OK:
        raise FrameRejected(UNREADABLE)
