"""Requests as they came over the wire, decoded, and the routes that answer them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import Any

from aiohttp import web

from tests.discord_server.problems import BAD_JSON, METHOD_NOT_ALLOWED, NOT_FOUND, ApiError, Json

API = "/api/v10"
_FILE_FIELD = re.compile(r"files\[(\d)\]")


@dataclass(frozen=True, kw_only=True)
class SentFile:
    """One file part of a multipart body; `index` is the n of `files[n]`."""

    field: str
    index: int | None
    filename: str
    content_type: str
    content: bytes


@dataclass(kw_only=True, eq=False)
class Request:
    """One request and its answer. `path` starts after the version of the API."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    files: tuple[SentFile, ...]
    at: datetime
    is_multipart: bool = False
    is_broken: bool = False
    status: int | None = None
    reply: Any = None
    #: What of a fault it met, if any.
    fault: str | None = None
    #: The template of the path and what stood in its braces.
    route: str = ""
    params: dict[str, str] = field(default_factory=dict)

    @property
    def code(self) -> int | None:
        """Discord's own error code of the answer."""
        code = self.reply.get("code") if isinstance(self.reply, dict) else None
        return code if isinstance(code, int) else None

    def id(self, name: str) -> int:
        """A snowflake of the path; what is none leads nowhere."""
        value = self.params[name]
        if not value.isdecimal():
            raise ApiError(*NOT_FOUND)
        return int(value)

    @property
    def form(self) -> Json:
        """The body as an object; absent counts as empty."""
        if self.is_broken or not isinstance(self.body, dict | None):
            raise ApiError(*BAD_JSON)
        return self.body or {}

    def __str__(self) -> str:
        code = f"/{self.code}" if self.code else ""
        return f"{self.method} {self.path} -> {self.status}{code}"


@dataclass(frozen=True)
class Reply:
    """An answer; without a body it is 204."""

    body: Any = None
    _: KW_ONLY
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Reply]


class Router:
    """Finds the handler of a path; literal segments win over named ones."""

    def __init__(self) -> None:
        self._routes: list[tuple[str, re.Pattern[str], str, Handler, bool]] = []

    def add(self, method: str, template: str, handler: Handler, *, auth: bool = True) -> None:
        """Answer `/channels/{channel}/messages` and the like; `auth`: the bot token is needed."""
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template)
        self._routes.append((method, re.compile(pattern), template, handler, auth))
        self._routes.sort(key=lambda route: route[2].count("{"))

    def find(self, request: Request) -> tuple[Handler, bool]:
        """The handler, and whether it wants the token; raises what Discord says otherwise."""
        error = NOT_FOUND
        for method, pattern, template, handler, auth in self._routes:
            if match := pattern.fullmatch(request.path):
                if method == request.method:
                    request.route, request.params = template, match.groupdict()
                    return handler, auth
                error = METHOD_NOT_ALLOWED
        raise ApiError(*error)


async def read_request(request: web.Request, at: datetime) -> Request:
    """Take a request in whole; a body that is no JSON is kept as broken."""
    read = Request(
        method=request.method,
        path=request.path.removeprefix(API),
        query=dict(request.query),
        headers=dict(request.headers),
        body=None,
        files=(),
        at=at,
    )
    if request.content_type == "multipart/form-data":
        read.is_multipart = True
        await _read_parts(request, read)
    elif request.can_read_body:
        _decode(await request.read(), read)
    return read


async def _read_parts(request: web.Request, read: Request) -> None:
    files = []
    form = await request.post()
    for name, part in form.items():
        if isinstance(part, web.FileField):
            index = _FILE_FIELD.fullmatch(name)
            files.append(
                SentFile(
                    field=name,
                    index=int(index[1]) if index else None,
                    filename=part.filename,
                    content_type=part.content_type,
                    content=part.file.read(),
                )
            )
            part.file.close()
        elif name == "payload_json" and isinstance(part, str):
            _decode(part.encode(), read)
    read.files = tuple(files)


def _decode(content: bytes, read: Request) -> None:
    if not content:
        return
    try:
        read.body = json.loads(content)
    except ValueError:
        read.is_broken = True


def to_response(reply: Reply) -> web.Response:
    """The answer on the wire. Discord sends the content type without a charset."""
    if reply.body is None:
        return web.Response(status=204 if reply.status == 200 else reply.status)
    return web.Response(
        status=reply.status,
        body=json.dumps(reply.body).encode(),
        headers={"Content-Type": "application/json", **reply.headers},
    )
