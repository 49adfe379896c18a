"""A browser without a screen: knows its cookie and its token, and reads the stream of news."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import aiohttp
from yarl import URL

from adapters import web
from adapters.web.site import Site
from bot.cli.commands import for_playground
from bot.ports import Adapter
from bot.refs import JobId
from bot.simulator import Simulator
from bot.studio import Studio
from bot.wiring.supply import AdapterFactory
from tests.conftest import RunningBot, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter

_CARD = re.compile(r'<article id="(r-[0-9a-z]{10})"')


@dataclass
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def html(self) -> str:
        return self.body.decode()

    @property
    def ids(self) -> list[str]:
        """The jobs whose cards are in it."""
        return _CARD.findall(self.html)

    @property
    def job(self) -> JobId:
        """The first job whose card is in it."""
        found = _CARD.search(self.html)
        assert found, self.html
        return JobId(found[1])


@dataclass
class Visitor:
    """Somebody with the page open."""

    bot: RunningBot
    session: aiohttp.ClientSession
    address: str
    token: str = ""
    seen: str = ""
    origin: str = ""
    numbers: count[int] = field(default_factory=count)
    is_led: bool = True

    async def get(self, path: str, **headers: str) -> Reply:
        async with self.session.get(self.address + path, headers=headers) as answer:
            return Reply(answer.status, dict(answer.headers), await answer.read())

    async def post(
        self, path: str, content: bytes | dict[str, str], headers: dict[str, str] | None = None
    ) -> Reply:
        own = {
            "Origin": self.origin or self.address,
            "X-CSRF-Token": self.token,
            "HX-Request": "true",
        }
        sent = {name: value for name, value in {**own, **(headers or {})}.items() if value}
        data = io.BytesIO(content) if isinstance(content, bytes) else content
        url, is_led = self.address + path, self.is_led
        async with self.session.post(
            url, data=data, headers=sent, allow_redirects=is_led
        ) as answer:
            return Reply(answer.status, dict(answer.headers), await answer.read())

    async def enter(self, link: str) -> Reply:
        """Press the button on a link's page."""
        key = re.search(r"key=([\w-]+)", link)
        assert key, link
        return await self.post("/desk/enter", {"key": key[1]})

    async def open(self) -> Reply:
        """Load the page."""
        page = await self.get("/web/chat")
        token = re.search(r'name="csrf" content="([0-9a-f]{64})"', page.html)
        seen = re.search(r"/web/events\?after=([0-9a-f.]+)", page.html)
        assert token, page.html
        assert seen
        self.token, self.seen = token[1], seen[1]
        return page

    async def say(self, text: str, *, nonce: str = "", **fields: str) -> Reply:
        nonce = nonce or f"nonce-of-a-test-{next(self.numbers):04}"
        return await self.post("/web/say", {"text": text, "nonce": nonce, **fields})

    async def press(self, act: str, job: JobId, **fields: str) -> Reply:
        nonce = f"press-of-a-test-{next(self.numbers):04}"
        return await self.post("/web/act", {"act": act, "job": job, "nonce": nonce, **fields})

    async def bring(self, image: bytes) -> str:
        """Drop an image; its id."""
        answer = await self.post("/web/images", image)
        assert answer.status == 201, answer.html
        found = re.search(r'name="image" value="([0-9a-f]{32})"', answer.html)
        assert found
        return found[1]

    @asynccontextmanager
    async def listening(self, after: str, **headers: str) -> AsyncIterator[Stream]:
        """The stream of news."""
        url = f"{self.address}/web/events?after={after}"
        async with self.session.get(url, headers=headers) as answer:
            assert answer.status == 200
            yield Stream(answer)


@dataclass
class News:
    """One event."""

    id: str
    html: str


@dataclass
class Stream:
    """A stream that is open."""

    answer: aiohttp.ClientResponse

    async def line(self) -> str:
        return (await self.answer.content.readline()).decode()

    async def next(self) -> News:
        """The next card; whatever stands between is passed over."""
        at, told = "", []
        while line := await self.line():
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "id":
                at = value
            elif name == "data":
                told.append(value)
            elif not name and told:
                return News(at, "\n".join(told))
        raise EOFError

    async def until(self, words: str) -> list[News]:
        """All that comes, until a card says this."""
        every: list[News] = []
        while not every or words not in every[-1].html:
            every.append(await self.next())
        return every


async def _sign_in(bot: RunningBot) -> str:
    """The cookie of somebody who was let in to the playground."""
    entry = bot.app.studio.entry
    link = (await entry.invite_here("root", name="ben", has_desk=False)).link
    session, _ = await entry.enter(link.partition("key=")[2])
    return Site(address=entry.address, is_public=True).keep(session, 60)[1].partition(";")[0]


@asynccontextmanager
async def visiting(
    folder: Path,
    simulator: Simulator,
    clock: MovableClock,
    *,
    cookies: dict[str, str] | None = None,
    servers: tuple[str, ...] = (),
    database_url: str = "",
    public_url: str = "",
    running_limit: int = 10,
    **limits: float,
) -> AsyncIterator[Visitor]:
    """The true bot with a page, and somebody who opened it, maybe before, as `cookies` tell.

    With a `database_url` others may run on the same database and in the same folder. At a
    `public_url` they are signed in, for the playground alone.
    """
    shared = {"database_url": database_url, "secret_key": "s" * 32, "single_host": True}
    table = (shared if database_url else {}) | {"public_url": public_url}
    access = {"servers": list(servers)}
    luma = {"running_limit": running_limit}
    config = to_test_config(folder, simulator, limits=limits, access=access, bot=table, luma=luma)
    config = config if public_url else for_playground(config)
    pages = pages_in(folder, clock)
    async with (
        running(config, simulator, RecordingAdapter(), clock, web=pages) as bot,
        browsing(bot) as visitor,
    ):
        visitor.session.cookie_jar.update_cookies(cookies or {}, URL(visitor.address) / "web")
        visitor.origin = public_url
        if public_url:
            visitor.session.headers["Cookie"] = await _sign_in(bot)
        await visitor.open()
        yield visitor


def pages_in(folder: Path, clock: MovableClock) -> AdapterFactory:
    """The playground and the desk, as a bot takes an adapter."""

    def create(studio: Studio) -> Adapter:
        settings = web.Settings(enabled=True, folder=folder / "web")
        return web.create(settings, studio, clock=clock)

    return create


@asynccontextmanager
async def browsing(bot: RunningBot) -> AsyncIterator[Visitor]:
    """A browser that has opened nothing yet."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        yield Visitor(bot, session, bot.app.address)
