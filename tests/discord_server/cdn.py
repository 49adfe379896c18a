"""Files and their signed links that expire; it knows nothing of messages."""

from __future__ import annotations

import hashlib
import hmac
import io
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from aiohttp import web
from PIL import Image, UnidentifiedImageError

from bot.clock import Clock
from tests.discord_server.world import Attachment, World

#: Observed validity of a link; Discord promises none.
LINK_SECONDS = 24 * 3600
GONE = "This content is no longer available."
_SECRET = b"a secret of the content network"
_MAGIC = {
    b"\x89PNG": "image.png",
    b"\xff\xd8\xff": "image.jpg",
    b"GIF8": "image.gif",
    b"RIFF": "image.webp",
}


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file somebody is about to send, and its alt text."""

    name: str
    content: bytes
    description: str | None = None


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """One visit to the content network."""

    path: str
    status: int
    user_agent: str


class Cdn:
    """Keeps files; whoever has a link that is not expired may fetch."""

    def __init__(self, world: World, clock: Clock) -> None:
        self.base_url = ""
        self.link_seconds = LINK_SECONDS
        self.files: dict[int, Attachment] = {}
        self.fetches: list[Fetch] = []
        self._world = world
        self._clock = clock

    def keep(self, upload: Upload, *, folder: int, is_ephemeral: bool = False) -> Attachment:
        """Take a file in; its type is guessed from its name, as Discord does."""
        content_type, _ = mimetypes.guess_type(upload.name)
        attachment = Attachment(
            id=self._world.snowflake(),
            folder=folder,
            filename=upload.name,
            content=upload.content,
            content_type=content_type,
            size_in_pixels=_size(upload.content),
            description=upload.description,
            is_ephemeral=is_ephemeral,
        )
        self.files[attachment.id] = attachment
        return attachment

    def link(self, attachment: Attachment) -> str:
        """A fresh link to a file."""
        return self._signed(_path(attachment))

    def refresh(self, link: str) -> str:
        """A fresh link instead of an old one, or what came in if it is none of ours."""
        path = urlsplit(link).path
        return self._signed(path) if self._find(path) is not None else link

    def lose_ephemeral(self) -> None:
        """Remove the files that came with commands and modals, as happens after a while."""
        for each in self.files.values():
            each.is_gone = each.is_gone or each.is_ephemeral

    async def serve(self, request: web.Request) -> web.Response:
        """Answer one visitor."""
        found = self._find(request.raw_path.partition("?")[0])
        good = found is not None and not found.is_gone and self._is_valid(request)
        agent = request.headers.get("User-Agent", "")
        self.fetches.append(
            Fetch(path=request.path, status=200 if good else 404, user_agent=agent)
        )
        if found is None or not good:
            return web.Response(status=404, text=GONE)
        return web.Response(
            body=found.content, content_type=found.content_type or "application/octet-stream"
        )

    def _find(self, path: str) -> Attachment | None:
        parts = path.strip("/").split("/")
        if len(parts) != 4 or not parts[2].isdecimal():
            return None
        found = self.files.get(int(parts[2]))
        return found if found is not None and _path(found) == path else None

    def _signed(self, path: str) -> str:
        issued = int(self._clock.now().timestamp())
        terms = {"ex": f"{issued + self.link_seconds:x}", "is": f"{issued:x}"}
        return f"{self.base_url}{path}?{urlencode({**terms, 'hm': _sign(path, terms)})}&"

    def _is_valid(self, request: web.Request) -> bool:
        link = urlsplit(request.raw_path)
        given = {key: values[0] for key, values in parse_qs(link.query).items()}
        if not {"ex", "is", "hm"} <= given.keys():
            return False
        is_ours = hmac.compare_digest(_sign(link.path, given), given["hm"])
        return is_ours and int(given["ex"], 16) > self._clock.now().timestamp()


def to_upload(file: Upload | bytes | tuple[str, bytes]) -> Upload:
    """A file with a name; bare bytes get one from what they are."""
    if isinstance(file, Upload):
        return file
    if isinstance(file, tuple):
        return Upload(name=file[0], content=file[1])
    name = next((name for magic, name in _MAGIC.items() if file.startswith(magic)), "file.bin")
    return Upload(name=name, content=file)


def _path(attachment: Attachment) -> str:
    place = "ephemeral-attachments" if attachment.is_ephemeral else "attachments"
    return f"/{place}/{attachment.folder}/{attachment.id}/{quote(attachment.filename)}"


def _sign(path: str, terms: Mapping[str, str]) -> str:
    text = f"{path} {terms['ex']} {terms['is']}".encode()
    return hmac.new(_SECRET, text, hashlib.sha256).hexdigest()


def _size(content: bytes) -> tuple[int, int] | None:
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.size
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        return None
