"""Debian's Chromium before a running bot, and what it complains of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Error,
    Page,
    Request,
    async_playwright,
    expect,
)

from bot.job import JobState
from bot.refs import JobId
from bot.simulator import Faults, Simulator
from tests.adapters.web.visitor import Visitor, visiting
from tests.conftest import MANUAL
from tests.fakes import MovableClock

CHROMIUM = Path("/usr/bin/chromium")
PHONE, WIDE = {"width": 390, "height": 780}, {"width": 1280, "height": 800}
#: A machine that is busy with other things draws late.
PATIENCE = 15_000
IS_TOO_WIDE = "() => document.scrollingElement.scrollWidth > innerWidth"
HAS_METADATA = (
    "(video) => video.readyState >= 1 || new Promise((done) => { video.onloadedmetadata = done; })"
)

#: Fields whose edge, or whose example, is too faint to be seen; axe does not look at those.
FAINT = """() => {
    const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const light = (colour) => {
        pen.fillStyle = colour;
        pen.fillRect(0, 0, 1, 1);
        const parts = [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3).map((each) => each / 255);
        const [red, green, blue] = parts.map(
            (each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const contrast = (one, other) => {
        const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    };
    const behind = (each) => {
        const own = getComputedStyle(each).backgroundColor;
        return own === "rgba(0, 0, 0, 0)" ? behind(each.parentElement) : own;
    };
    document.querySelectorAll("details").forEach((each) => { each.open = true; });
    const fields = [...document.querySelectorAll("input:not([type=hidden]), select, textarea")];
    return fields.filter((each) => {
        const edge = getComputedStyle(each).borderTopColor;
        const example = getComputedStyle(each, "::placeholder").color;
        return contrast(edge, behind(each.parentElement)) < 3
            || (each.placeholder && contrast(example, behind(each)) < 4.5);
    }).map((each) => each.outerHTML.slice(0, 120));
}"""


@dataclass
class Surroundings:
    """A browser before a running bot. Whatever a page complains of or wants elsewhere is kept."""

    browser: Browser
    visitor: Visitor
    complaints: list[str] = field(default_factory=list)
    made: JobId = JobId("")

    @asynccontextmanager
    async def page(
        self, path: str = "/web/chat", *, is_dark: bool = False, is_phone: bool = False, **how: Any
    ) -> AsyncIterator[Page]:
        """A page in a window of its own."""
        context = await self.browser.new_context(
            viewport=PHONE if is_phone else WIDE,  # type: ignore[arg-type]
            color_scheme="dark" if is_dark else "light",
            has_touch=is_phone,
            **how,
        )
        page = await context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", self._note)
        page.on("pageerror", self._note_error)
        page.on("request", self._note_request)
        await page.goto(self.visitor.address + path)
        yield page
        await context.close()
        complaints, self.complaints = self.complaints, []
        assert complaints == []

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} {message.location.get('url')}")

    def _note_error(self, error: Error) -> None:
        self.complaints.append(error.message)

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.visitor.address}/", "blob:", "data:")):
            self.complaints.append(f"asks {request.url}")

    async def finish(self, job: JobId) -> None:
        """The video service ends it."""
        await self.visitor.bot.simulator.finish(await self.generation(job))

    async def generation(self, job: JobId) -> str:
        """What the video service makes for it."""
        found = await self.visitor.bot.until(job, JobState.GENERATING)
        assert found.generation_id
        return found.generation_id

    async def fail(self, job: JobId) -> None:
        """The video service makes it neither at once nor when Raybot tries it once more."""
        made, first = self.visitor.bot.simulator, await self.generation(job)
        await made.fail(first)
        while (second := (await self.visitor.bot.job(job)).generation_id) in (None, first):
            await asyncio.sleep(0.01)
        assert second
        await made.fail(second)

    async def clip(self) -> JobId:
        """A clip in the channel, whichever stories were told before."""
        if not self.made:
            self.made = (await self.visitor.say("a white hare at night")).job
            await self.finish(self.made)
            await self.visitor.bot.delivered(self.made)
        return self.made


@asynccontextmanager
async def chromium(folder: Path, *, running_limit: int = 10) -> AsyncIterator[Surroundings]:
    """The true bot in this folder, and a browser; skips the test where there is none."""
    if not CHROMIUM.exists():
        pytest.skip(f"There is no {CHROMIUM}; `apt-get install chromium` brings it.")
    expect.set_options(timeout=PATIENCE)
    settings = MANUAL
    async with (
        Simulator(settings, Faults()) as simulator,
        visiting(folder, simulator, MovableClock(), running_limit=running_limit) as visitor,
        async_playwright() as playwright,
    ):
        # As root, in a container, Chromium has no sandbox to offer.
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield Surroundings(browser, visitor)
        await browser.close()


async def grave(page: Page, within: str | None = None) -> list[object]:
    """What shuts people out, on the page or within something on it."""
    found = (await Axe().run(page, context=within)).response["violations"]
    bad = [each for each in found if each["impact"] in ("serious", "critical")]
    return [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in bad]
