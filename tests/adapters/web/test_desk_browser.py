"""The operator's desk in a true browser: stories by clicks, by keys, on a phone, in the dark."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator
from io import BytesIO
from typing import cast

import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Locator, Page, StorageState, expect

from bot.job import JobState
from bot.refs import JobId
from tests.adapters.web.chromium import (
    FAINT,
    HAS_METADATA,
    IS_TOO_WIDE,
    PHONE,
    WIDE,
    Surroundings,
    chromium,
    grave,
)

HOSTILE = "<img src=x onerror=document.title=1> {{7*7}} <b>" + "Kapitänsmütze" * 12
PERSON = "/desk/person?key=recording:local:ana"
PATHS = (
    *("/desk", "/desk/queue", "/desk/clips", "/desk/clips?q=unheard", "/desk/people", PERSON),
    *("/desk/services", "/desk/moderation", "/desk/places", "/desk/place?id=recording:local"),
    "/desk/checks",
)
#: Those with all that there is to see: the others are made of the same.
RICHEST = ("/desk", "/desk/clips", PERSON, "/desk/moderation")
NAMES = ("Money", "Queue", "Clips", "People", "Services", "Moderation", "Places", "Checks")
#: Keeps what the keyboard reaches; what it should reach, in the order of the page.
WATCH = """() => {
    window.reached = [];
    document.addEventListener("focusin", (event) => window.reached.push(event.target));
    const every = "a[href], button:enabled, input:not([type=hidden]), select, textarea, summary";
    window.wanted = [...document.querySelectorAll(every + ", [tabindex='0'], video")]
        .filter((each) => each.checkVisibility());
}"""
IS_DONE = "() => window.reached.includes(window.wanted.at(-1))"
MISSED = """() => {
    const found = [...new Set(window.reached)].filter((each) => window.wanted.includes(each));
    const missed = window.wanted.filter((each, index) => found[index] !== each);
    return missed.slice(0, 3).map((each) => each.outerHTML.slice(0, 120));
}"""
#: What is drawn of a chart: how much at its very edge, and how much in the colour of a line.
DRAWN = """(canvas) => {
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    const seen = { edge: 0, line: 0 };
    for (let at = 0; at < data.length; at += 4) {
        seen.edge += (at / 4) % width < 2 && data[at + 3] > 0;
        seen.line += data[at] === 0xb3 && data[at + 1] === 0x26 && data[at + 2] === 0x1e;
    }
    return seen;
}"""
ACCENT = (0x51, 0x42, 0xD6)

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Desk:
    """Somebody who was let in, and the jobs that they see there."""

    def __init__(self, here: Surroundings) -> None:
        self.here = here
        self.state: StorageState = {}
        self.made = self.failed = JobId("")

    async def link(self) -> str:
        """The path of a new link for whoever runs the bot."""
        entry = self.here.visitor.bot.studio.entry
        link = (await entry.invite_here("vera", name="Vera")).link
        return link.removeprefix(self.here.visitor.address)

    async def fill(self) -> None:
        """A clip that was made, and one that failed."""
        bot = self.here.visitor.bot
        self.made = await bot.ask("a red fox in snow")
        await self.here.finish(self.made)
        self.failed = await bot.ask(HOSTILE)
        await self.here.fail(self.failed)
        await bot.delivered(self.made)
        await bot.until(self.failed, JobState.FAILED)

    async def enter(self) -> None:
        """Press the button of a link, and keep what the browser was given."""
        async with self.here.page(await self.link()) as page:
            await page.get_by_role("button", name="Sign in").click()
            await expect(page.get_by_role("heading", name="Money", level=1)).to_be_visible()
            self.state = await page.context.storage_state()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    async with chromium(tmp_path_factory.mktemp("desk"), running_limit=1) as here:
        desk = Desk(here)
        await desk.fill()
        await desk.enter()
        yield desk


async def _told(page: Page, words: str) -> None:
    """What an act came to is said on the next page, and has the focus."""
    said = page.locator(".flash")
    await expect(said).to_contain_text(words)
    await expect(said).to_be_focused()


async def test_a_link_lets_in_by_its_button_once(desk: Desk) -> None:
    link = await desk.link()
    async with desk.here.page(link) as page:
        await page.reload()
        await page.get_by_role("button", name="Sign in").press("Enter")
        await expect(page).to_have_title("Money · Raybot")
        assert "key=" not in page.url
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
        assert desk.here.complaints == []
        await page.goto(desk.here.visitor.address + link)
        await expect(page.get_by_role("heading", name="This link opens nothing")).to_be_visible()
        await page.goto(f"{desk.here.visitor.address}/desk/clips")
        await expect(page.get_by_role("heading", name="You are not signed in")).to_be_visible()
        desk.here.complaints.clear()  # Of the answers 403 and 401, rightly.


async def test_the_pages_lead_to_each_other_and_what_goes_on_is_told(desk: Desk) -> None:
    bot = desk.here.visitor.bot
    async with desk.here.page("/desk", storage_state=desk.state) as page:
        pages = page.get_by_role("navigation", name="Pages")
        for name in NAMES:
            await pages.get_by_role("link", name=name).click()
            await expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()
            await expect(pages.locator("[aria-current]")).to_contain_text(name)
        await page.get_by_role("button", name="Look now").click()
        await expect(page.get_by_text("The books add up")).to_be_visible()
        # Clips: found, played where they stand, and each with its page.
        await pages.get_by_role("link", name="Clips").click()
        await page.get_by_label("Prompt or job").fill("FOX sno")
        await page.get_by_label("Prompt or job").press("Enter")
        await expect(page.locator("#clips > li")).to_have_count(1)
        await page.get_by_role("link", name=f"Play {desk.made}").click()
        await page.locator("#clips video").evaluate(HAS_METADATA)
        await page.get_by_role("link", name=desk.made, exact=True).click()
        await expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
        # A file of a table.
        async with page.expect_download() as coming:
            await page.get_by_role("link", name="CSV").first.click()
        download = await coming.value
        assert download.suggested_filename == f"raybot-{desk.made}-steps.csv"
        with (await download.path()).open(newline="", encoding="utf-8") as file:
            states = [row["state"] for row in csv.DictReader(file)]
        assert states[0] == "received"
        assert states[-1] == "delivered"
        # A job's person, and back to the queue, which is told of a job that comes.
        await page.locator(".about").get_by_role("link", name="ana").click()
        await expect(page.get_by_role("heading", name="Limits", exact=True)).to_be_visible()
        await pages.get_by_role("link", name="Queue").click()
        await expect(page.get_by_text("Nothing waits and nothing runs.")).to_be_visible()
        job = await bot.ask("a grey heron at dawn")
        await page.get_by_role("link", name=job).click()
        state = page.locator(".top .state")
        await expect(state).to_have_text("generating")
        # Its page is told of its end, too.
        await desk.here.finish(job)
        await expect(state).to_have_text("delivered")
        await expect(page.locator(".player video")).to_be_visible()


async def test_people_and_jobs_are_acted_on_by_clicks(desk: Desk) -> None:
    bot = desk.here.visitor.bot
    running = await bot.ask("a glass whale at night")
    await desk.here.generation(running)
    async with desk.here.page(PERSON, storage_state=desk.state) as page:
        # Nothing is done by the first button: it asks.
        await page.locator("summary", has_text="Block").click()
        await page.get_by_label("Why, for the others").fill("spam <i>again</i>")
        await page.get_by_role("button", name="Yes, block them").click()
        await _told(page, "blocked")
        await expect(page.locator(".told.bad")).to_contain_text("spam <i>again</i>")
        await page.get_by_role("button", name="Unblock").press("Enter")
        await expect(page.locator(".told.bad")).to_have_count(0)

        waiting = await bot.ask("a paper boat in the rain")
        await page.reload()
        await page.get_by_role("link", name=waiting).click()
        await page.locator("summary", has_text="Cancel").press("Enter")
        await page.get_by_role("button", name="Yes, cancel it").press("Enter")
        await _told(page, waiting)
        await expect(page.locator(".top .state")).to_have_text("cancelled")
        await desk.here.finish(running)

        await page.goto(f"{desk.here.visitor.address}/desk/job?id={desk.failed}")
        await expect(page.locator(".prompt")).to_have_text(HOSTILE)
        await page.locator("summary", has_text="Try again").click()
        await page.get_by_role("button", name="Yes, try again").click()
        await _told(page, "tried again")
        await page.locator(".flash a").last.click()
        await expect(page.get_by_role("heading", name="What it came of")).to_be_visible()
        again = await page.locator("h1").inner_text()
        assert again != desk.failed
        await desk.here.finish(JobId(again))
        await bot.delivered(JobId(again))
        await page.get_by_role("link", name="Moderation").click()
        log = page.get_by_role("region", name="Audit log")
        for act in ("block", "unblock", "cancel", "retry"):
            await expect(log.get_by_role("cell", name=act, exact=True)).to_be_visible()


async def test_a_limit_that_is_changed_here_refuses_in_the_playground(desk: Desk) -> None:
    await desk.here.clip()
    async with desk.here.page("/desk/places", storage_state=desk.state) as page:
        await page.get_by_role("link", name="web:").click()
        budget = page.locator(".limits details", has_text="budget of a person per day")
        await budget.locator("summary").click()
        await budget.get_by_role("textbox").fill("0.01")
        await budget.get_by_role("button", name="Save").click()
        await _told(page, "$0.01")
        place = page.url
        await page.get_by_role("link", name="Playground").click()
        await page.locator("#text").fill("a dear fox")
        await page.locator("#text").press("Enter")
        await expect(page.locator(".note", has_text="A limit is reached")).to_be_visible()
        await page.get_by_role("link", name="Desk").click()
        await expect(page).to_have_title("Money · Raybot")
        await page.goto(place)
        await budget.locator("summary").click()
        await budget.get_by_role("textbox").fill("")
        await budget.get_by_role("textbox").press("Enter")
        await _told(page, "from the next request on")


async def test_a_chart_of_one_day_has_its_dot_and_whole_words_at_its_side(desk: Desk) -> None:
    bot = desk.here.visitor.bot
    job = await bot.ask("a heron that takes its time")
    await desk.here.generation(job)
    bot.clock.move(minutes=3)
    await desk.here.finish(job)
    await bot.delivered(job)
    for is_phone in (False, True):
        async with desk.here.page(
            "/desk/services", storage_state=desk.state, is_phone=is_phone
        ) as page:
            for title in ("From a clip's completion", "From acceptance to delivery"):
                figure = page.locator("figure", has_text=title)
                seen = await figure.locator("canvas").evaluate(DRAWN)
                assert seen["edge"] == 0, title
                assert seen["line"] > 0, title


async def test_the_focus_is_seen_whole_where_a_table_cuts_what_is_long(desk: Desk) -> None:
    async with desk.here.page("/desk/people", storage_state=desk.state) as page:
        cell = page.get_by_role("rowheader").first
        await cell.get_by_role("link").focus()
        with Image.open(BytesIO(await cell.screenshot())) as image:
            wide, high = image.size
            sides = ((1, high // 2), (wide - 2, high // 2), (wide // 2, 1), (wide // 2, high - 2))
            assert {image.convert("RGB").getpixel(each) for each in sides} == {ACCENT}


async def test_a_long_name_leaves_room_for_the_rest_and_what_scrolls_shows_it(desk: Desk) -> None:
    name = "Bartholomäus-Maximilian von Hohenzollern-Sigmaringen"
    job = await desk.here.visitor.bot.ask("a red kite", user=name)
    await desk.here.finish(job)
    await desk.here.visitor.bot.delivered(job)
    async with desk.here.page("/desk/people", storage_state=desk.state) as page:
        table = page.get_by_role("region", name="Who asked")
        await expect(table.get_by_role("columnheader", name="blocked")).to_be_in_viewport(ratio=1)
        await expect(table.get_by_role("rowheader", name=name)).to_have_attribute("title", name)
        assert (await _sides(table))[0] == (255, 255)
        await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        first, last = await _sides(table)
        assert first[0] == last[1] == 255, "the ends of a table have no shade"
        assert max(first[1], last[0]) < 225, "where it goes on, it has one"
        head = await table.locator("thead").bounding_box()
        assert head
        assert head["height"] < 50, "no heading is broken where it cannot be seen"
        await page.goto(f"{desk.here.visitor.address}/desk/queue")
        for link in await page.get_by_role("link", name="CSV").all():
            assert await link.evaluate("(link) => link.getClientRects()[0].height") < 30


async def _sides(table: Locator) -> list[tuple[int, int]]:
    """How bright a table is at its left and right, scrolled to its beginning and to its end."""
    seen = []
    for left in (0, 10_000):
        await table.evaluate("(table, left) => { table.scrollLeft = left; }", left)
        with Image.open(BytesIO(await table.screenshot())) as image:
            grey = image.convert("L")
            sides = [grey.getpixel((x, grey.height // 4)) for x in (4, grey.width - 4)]
        seen.append((cast("int", sides[0]), cast("int", sides[1])))
    return seen


@pytest.mark.parametrize("is_signed_in", [False, True])
async def test_no_name_is_broken_in_the_head_of_a_narrow_page(
    desk: Desk, is_signed_in: bool
) -> None:
    state = desk.state if is_signed_in else None
    async with desk.here.page("/web/chat", storage_state=state, is_phone=True) as page:
        await expect(page.get_by_role("link", name="Desk")).to_have_count(int(is_signed_in))
        for width in (320, 380, 390, 430, 520):
            await page.set_viewport_size({"width": width, "height": 700})
            head = await page.get_by_role("banner").bounding_box()
            assert head
            assert head["height"] < 80, width
            assert not await page.evaluate(IS_TOO_WIDE), width


@pytest.mark.parametrize("is_dark", [False, True])
async def test_nobody_is_shut_out(desk: Desk, is_dark: bool) -> None:
    jobs = [f"/desk/job?id={job}" for job in (desk.made, desk.failed)]
    paths = [*PATHS, *jobs] if is_dark else [*RICHEST, jobs[1]]
    seen, other = (PHONE, WIDE) if is_dark else (WIDE, PHONE)
    async with desk.here.page(storage_state=desk.state, is_dark=is_dark) as page:
        for path in paths:
            await page.set_viewport_size(other)  # type: ignore[arg-type]
            await page.goto(desk.here.visitor.address + path)
            assert not await page.evaluate(IS_TOO_WIDE), path
            await page.set_viewport_size(seen)  # type: ignore[arg-type]
            assert not await page.evaluate(IS_TOO_WIDE), path
            assert await grave(page) == [], path
            assert await page.evaluate(FAINT) == [], path


async def test_the_keyboard_alone_reaches_everything_in_order(desk: Desk) -> None:
    paths = [*PATHS, f"/desk/job?id={desk.failed}"]
    async with desk.here.page(storage_state=desk.state) as page:
        skip = page.get_by_role("link", name="Skip to the page")
        for path in paths:
            await page.goto(desk.here.visitor.address + path)
            await page.evaluate(WATCH)
            await page.keyboard.press("Tab")
            await expect(skip).to_be_focused()
            for _ in range(40):
                for _ in range(5):
                    await page.keyboard.press("Tab")
                if await page.evaluate(IS_DONE):
                    break
            assert await page.evaluate(MISSED) == [], path
        await skip.focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("#main")).to_be_focused()
        await page.keyboard.press("Shift+Tab")
        await expect(page.get_by_role("button", name="Sign out")).to_be_focused()
