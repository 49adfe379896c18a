"""A bucket on loopback that speaks as much S3 as the store needs, and insists on signatures."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import ClassVar, Self
from urllib.parse import quote
from xml.sax.saxutils import escape

from aiohttp import web
from aiohttp.test_utils import TestServer

ACCESS_KEY = "an-access-key"
SECRET_KEY = "a-secret-key"
REGION = "eu-test-1"
NAME = "clips"


class Bucket:
    """Objects by key; those that are `locked` are not deleted. `is_down` answers all with 503."""

    #: What is signed with, wherever it listens.
    keys: ClassVar = {
        "access_key_id": ACCESS_KEY,
        "secret_access_key": SECRET_KEY,
        "region": REGION,
    }

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.types: dict[str, str] = {}
        self.calls: list[str] = []
        self.is_down = False
        self.locked: set[str] = set()
        self.before_delete: Callable[[], Awaitable[object]] | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", f"/{NAME}{{key:.*}}", self._serve)
        self._server = TestServer(app)
        await self._server.start_server()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._server.close()

    @property
    def options(self) -> dict[str, str]:
        """What the store needs to find and use this bucket."""
        return {"endpoint": self.endpoint, **self.keys}

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"http://{self._server.host}:{self._server.port}"

    async def _serve(self, request: web.Request) -> web.Response:
        self.calls.append(request.method)
        if self.is_down:
            return web.Response(status=503)
        if not _is_signed(request):
            return web.Response(status=403, text="<Error><Code>AccessDenied</Code></Error>")
        key = request.match_info["key"].strip("/")
        match request.method:
            case "PUT":
                self.objects[key] = await request.read()
                self.types[key] = request.headers["Content-Type"]
                return web.Response(headers={"ETag": '"x"'})
            case "POST" if "delete" in request.query:
                if self.before_delete is not None:
                    await self.before_delete()
                return self._delete(await request.text())
            case "GET" if "list-type" in request.query:
                return self._list(request.query.get("prefix", ""))
            case "GET" | "HEAD" if key in self.objects:
                return web.Response(
                    body=self.objects[key],
                    headers={"ETag": '"x"', "Last-Modified": _http_date(), "X-Test": key},
                    content_type=self.types[key],
                )
        return web.Response(status=404, text="<Error><Code>NoSuchKey</Code></Error>")

    def _delete(self, order: str) -> web.Response:
        keys = re.findall(r"<Key>(.*?)</Key>", order)
        body = ""
        for key in keys:
            named = f"<Key>{escape(key)}</Key>"
            if key in self.locked:
                code = "<Code>AccessDenied</Code><Message>Access Denied</Message>"
                body += f"<Error>{named}{code}</Error>"
            else:
                self.objects.pop(key, None)
                body += f"<Deleted>{named}</Deleted>"
        return web.Response(text=f"<DeleteResult>{body}</DeleteResult>")

    def _list(self, prefix: str) -> web.Response:
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(content)}</Size>"
            f"<LastModified>{datetime.fromtimestamp(0, UTC).isoformat()}</LastModified>"
            '<ETag>"x"</ETag></Contents>'
            for key, content in sorted(self.objects.items())
            if key.startswith(prefix)
        )
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
        return web.Response(text=body, content_type="application/xml")


def _http_date() -> str:
    return "Thu, 01 Jan 1970 00:00:00 GMT"


def _is_signed(request: web.Request) -> bool:
    """Presigned links are checked to the letter; signed headers only for the right key."""
    if "X-Amz-Signature" in request.query:
        return hmac.compare_digest(_presignature(request), request.query["X-Amz-Signature"])
    return f"Credential={ACCESS_KEY}/" in request.headers.get("Authorization", "")


def _presignature(request: web.Request) -> str:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html."""
    given = {name: value for name, value in request.query.items() if name != "X-Amz-Signature"}
    query = "&".join(
        f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
        for name, value in sorted(given.items())
    )
    host = f"host:{request.headers['Host']}\n"
    canonical = "\n".join(
        (request.method, quote(request.path), query, host, "host", "UNSIGNED-PAYLOAD")
    )
    stamp = given["X-Amz-Date"]
    scope = f"{stamp[:8]}/{REGION}/s3/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{SECRET_KEY}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signed = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashed}"
    return hmac.new(key, signed.encode(), "sha256").hexdigest()
