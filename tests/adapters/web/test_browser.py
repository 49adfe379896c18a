"""The page in a true browser, Debian's Chromium: whole stories, a phone, and who uses no mouse."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs

import pytest
import pytest_asyncio
from playwright.async_api import FilePayload, Page, Request, Route, expect

from bot.refs import JobId
from tests.adapters.web.chromium import (
    HAS_METADATA,
    IS_TOO_WIDE,
    Surroundings,
    chromium,
    grave,
)
from tests.rendered import png

#: What a person does who lets go of a file above the page.
DROP = """([content, name]) => {
    const bytes = Uint8Array.from(atob(content), (each) => each.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], name, { type: "image/png" }));
    const about = { dataTransfer, bubbles: true, cancelable: true };
    document.querySelector("#messages").dispatchEvent(new DragEvent("drop", about));
}"""
#: What a person does who presses Ctrl with V after copying a picture.
PASTE = """(content) => {
    const bytes = Uint8Array.from(atob(content), (each) => each.charCodeAt(0));
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File([bytes], "image.png", { type: "image/png" }));
    const about = { clipboardData, bubbles: true, cancelable: true };
    document.querySelector("#text").dispatchEvent(new ClipboardEvent("paste", about));
}"""
#: Whoever presses a button the moment it is drawn.
PRESSED_AT_ONCE = """([name, words]) => {
    const drawn = new MutationObserver(() => {
        const cards = [...document.querySelectorAll("article")];
        const card = cards.find((each) => each.textContent.includes(words));
        const button = card?.querySelector(`button[id^=${name}-]`);
        if (button) { drawn.disconnect(); button.click(); }
    });
    drawn.observe(document.querySelector("#messages"), { childList: true, subtree: true });
}"""
HOSTILE = "<img src=x onerror=document.title=1><script>alert(1)</script> {{7*7}} &amp; <b>fox"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Surroundings]:
    async with chromium(tmp_path_factory.mktemp("browser")) as found:
        yield found


async def _send(page: Page, text: str) -> None:
    await page.locator("#text").fill(text)
    await page.locator("#text").press("Enter")


def _nonce(sent: Request) -> str:
    """What tells one message that was sent from another."""
    return parse_qs(sent.post_data or "").get("nonce", [""])[0]


def _sent_by(page: Page) -> list[dict[str, list[str]]]:
    """The fields of each message that the page sends from now on."""
    said: list[dict[str, list[str]]] = []

    def note(request: Request) -> None:
        if request.url.endswith("/web/say"):
            said.append(parse_qs(request.post_data or ""))

    page.on("request", note)
    return said


@asynccontextmanager
async def _on_its_way(page: Page, content: str, *, arrives: bool = True) -> AsyncIterator[None]:
    """An image was dropped; it arrives, or is lost, at the end of this."""
    is_over = asyncio.Event()

    async def answer_late(route: Route) -> None:
        await is_over.wait()
        await (route.continue_() if arrives else route.abort())

    await page.route("**/web/images", answer_late, times=1)
    await page.evaluate(DROP, [content, "sea.png"])
    await expect(page.locator("body.uploading")).to_have_count(1)
    yield
    is_over.set()


async def _last(page: Page) -> JobId:
    """The job of the last card."""
    name = await page.locator("article[id^=r-]").last.get_attribute("id")
    assert name
    return JobId(name)


async def test_a_prompt_is_tried_with_the_keyboard_alone(tmp_path: Path) -> None:
    # Of its own: no other story was told before.
    async with chromium(tmp_path) as here, here.page() as page:
        await expect(page.get_by_text("Nothing here yet")).to_be_visible()

        async def answer_late(route: Route) -> None:
            """The stream has told more by then, and none of it is taken back."""
            answer = await route.fetch()
            await expect(page.get_by_text("Generating")).to_be_visible()
            await route.fulfill(response=answer)

        await page.route("**/web/say", answer_late, times=1)
        await page.keyboard.type("a red fox in snow --ar 16:9")
        await page.keyboard.press("Enter")
        await expect(page.locator("#text")).to_have_value("")
        await expect(page.get_by_text("Generating")).to_be_visible()
        await expect(page.get_by_text("Nothing here yet")).to_be_hidden()
        job = await _last(page)
        await here.finish(job)
        card = page.locator(f"#{job}")
        await expect(card.get_by_text("Your clip is ready")).to_be_visible()
        await expect(page.locator("#told")).to_have_text("Your clip is ready")
        await card.locator("video").evaluate(HAS_METADATA)
        assert await card.locator("video").evaluate("(video) => video.duration") > 0.5
        # The form opens, takes the words, and closes with what is typed alone.
        await card.get_by_role("button", name="Remix").press("Enter")
        await expect(card.locator("textarea")).to_be_focused()
        await page.keyboard.press("Control+A")
        await page.keyboard.type("a grey owl")
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await expect(page.locator("article[id^=r-]")).to_have_count(2)
        await expect(card.locator("textarea")).to_have_count(0)
        other = page.locator(f"#{await _last(page)}")
        await expect(other.get_by_text("a grey owl")).to_be_visible()
        await other.get_by_role("button", name="Cancel").press("Enter")
        await expect(other.get_by_text("Cancelled")).to_be_visible()
        await other.get_by_role("link", name="Thread").click()
        await expect(page.locator("article[id^=r-]")).to_have_count(2)
        await page.get_by_role("link", name="Usage").click()
        await expect(page.get_by_role("heading", name="Your usage")).to_be_visible()
        await expect(page.get_by_role("row", name="today")).to_contain_text("2")


async def test_a_button_takes_a_press_the_moment_it_is_drawn(here: Surroundings) -> None:
    async with here.page() as page:
        before = page.url
        words = "a hare that nobody wants"
        await page.evaluate(PRESSED_AT_ONCE, ["cancel", words])
        await _send(page, words)
        card = page.locator("article[id^=r-]").last
        await expect(card.get_by_text(words)).to_be_visible()
        await expect(card.get_by_text("Cancelled")).to_be_visible()
        assert page.url == before


async def test_an_image_is_dropped_and_animated_and_no_image_is_not(here: Surroundings) -> None:
    content = base64.b64encode(png()).decode()
    async with here.page() as page:
        await page.evaluate(DROP, [content, "sea.png"])
        await expect(page.locator(".chip img")).to_be_visible()
        await page.keyboard.press("Enter")
        held = page.locator("article[id^=image-]")
        await expect(held).to_be_visible()
        await expect(page.locator(".chip")).to_have_count(0)
        await held.get_by_role("button", name="Animate").click()
        await page.keyboard.type("the waves roll in")
        await page.keyboard.press("Enter")
        card = page.locator("article[id^=r-]").last
        await expect(card.get_by_text("the waves roll in")).to_be_visible()
        await expect(card.get_by_alt_text("The image it starts from")).to_be_visible()
        # Pasted, left out again, picked; a clip takes two.
        await page.evaluate(PASTE, content)
        await page.get_by_role("button", name="Leave this image out").click()
        await expect(page.locator(".chip")).to_have_count(0)
        picked = FilePayload(name="sea.png", mimeType="image/png", buffer=png())
        await page.locator("#files").set_input_files([picked] * 3)
        await expect(page.locator(".chip")).to_have_count(2)
        await expect(page.get_by_text("A clip takes two images")).to_be_visible()
        await _send(page, "the tide goes out")
        card = page.locator("article[id^=r-]").last
        await expect(card.get_by_alt_text("The image it ends on")).to_be_visible()
        await expect(page.locator(".chip")).to_have_count(0)
        await page.evaluate(DROP, [base64.b64encode(b"<svg>").decode(), "page.png"])
        await expect(page.get_by_text("This file is not an image.")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_text("This file is not an image.")).to_be_hidden()
        await held.get_by_role("button", name="Remove").click()
        await expect(held).to_have_count(0)


async def test_images_that_are_dropped_at_once_are_two_at_most(here: Surroundings) -> None:
    content = base64.b64encode(png()).decode()
    async with here.page() as page:
        async with _on_its_way(page, content), _on_its_way(page, content):
            await page.evaluate(DROP, [content, "third.png"])
            await expect(page.get_by_text("A clip takes two images")).to_be_visible()
        await expect(page.locator("body.uploading")).to_have_count(0)
        await expect(page.locator(".chip")).to_have_count(2)


async def test_words_wait_for_an_image_that_is_on_its_way(here: Surroundings) -> None:
    content = base64.b64encode(png()).decode()
    async with here.page() as page:
        said = _sent_by(page)
        before = await page.locator("article[id^=r-]").count()
        async with _on_its_way(page, content):
            await _send(page, "the waves roll in")
            await expect(page.get_by_text("An image is still on its way.")).to_be_visible()
            await expect(page.locator("#text")).to_have_value("the waves roll in")
            assert said == []
        cards = page.locator("article[id^=r-]")
        await expect(cards).to_have_count(before + 1)
        await expect(cards.last.get_by_alt_text("The image it starts from")).to_be_visible()
        await expect(page.get_by_text("An image is still on its way.")).to_be_hidden()
        await expect(page.locator(".chip")).to_have_count(0)
        # Who goes on typing says when it is to be sent.
        async with _on_its_way(page, content):
            await _send(page, "the tide")
            await page.keyboard.type(" comes in")
        await expect(page.locator(".chip")).to_have_count(1)
        await expect(page.locator("body.uploading")).to_have_count(0)
        await expect(page.locator("#text")).to_have_value("the tide comes in")
        await expect(page.get_by_text("An image is still on its way.")).to_be_hidden()
        assert len(said) == 1
        await page.keyboard.press("Enter")
        await expect(cards).to_have_count(before + 2)
        assert all(each["image"] for each in said)


async def test_words_whose_image_does_not_arrive_are_not_sent(here: Surroundings) -> None:
    content = base64.b64encode(png()).decode()
    async with here.page() as page:
        said = _sent_by(page)
        async with _on_its_way(page, content, arrives=False):
            await _send(page, "the waves roll out")
            # Another one that does arrive is not enough.
            await page.evaluate(DROP, [content, "sky.png"])
            await expect(page.locator(".chip")).to_have_count(1)
        await expect(page.get_by_text("Raybot cannot be reached")).to_be_visible()
        await expect(page.locator("body.uploading")).to_have_count(0)
        await expect(page.locator("#text")).to_have_value("the waves roll out")
        assert said == []
        await page.route("**/web/images", lambda route: route.fulfill(status=408), times=1)
        await page.evaluate(DROP, [content, "sea.png"])
        await expect(page.get_by_text("sea.png took too long to arrive.")).to_be_visible()
        here.complaints.clear()  # Of the connection, rightly.


async def test_a_page_that_was_cut_off_shows_each_message_once(here: Surroundings) -> None:
    async with here.page() as page:
        before = await page.locator("article").count()
        job = (await here.visitor.say("a paper boat in the rain")).job
        await expect(page.locator("article")).to_have_count(before + 1)
        # The connection breaks, and meanwhile the clip is made, and another one asked for.
        for stream in list(here.visitor.bot.app._web._streams._open):
            stream.cancel()
        await here.finish(job)
        await here.visitor.bot.delivered(job)
        other = (await here.visitor.say("a grey heron at dawn")).job
        await expect(page.locator(f"#{job} video")).to_be_visible()
        await expect(page.locator(f"#{other}")).to_have_count(1)
        await expect(page.locator("article")).to_have_count(before + 2)

        async def lose(route: Route) -> None:
            """It is taken, and its answer does not arrive."""
            await route.fetch()
            await route.abort()

        # So it is sent again as it is, which is no other request; once answered, it would be.
        nonces: list[str] = []
        page.on("request", lambda each: nonces.append(_nonce(each)))
        await page.route("**/web/say", lose, times=1)
        await _send(page, "a lonely lynx")
        await expect(page.get_by_text("Raybot cannot be reached")).to_be_visible()
        await expect(page.locator("article")).to_have_count(before + 3)
        await page.reload()
        for count in (3, 4):
            await _send(page, "a lonely lynx")
            await expect(page.locator("#text")).to_have_value("")
            await expect(page.locator("article")).to_have_count(before + count)
        first, again, other_one = filter(None, nonces)
        assert first == again != other_one
        here.complaints.clear()  # Of the connection, rightly.


async def test_what_fails_is_tried_again_and_markup_is_shown_as_it_was_typed(
    here: Surroundings,
) -> None:
    async with here.page() as page:
        await _send(page, HOSTILE)
        card = page.locator("article", has_text="{{7*7}}")
        await expect(card.locator(".prompt")).to_have_text(HOSTILE)
        failed = await _last(page)
        await here.fail(failed)
        await expect(card.get_by_text("No clip this time")).to_be_visible()
        await expect(card.get_by_text("Nothing was charged.")).to_be_visible()
        await card.get_by_role("button", name="Retry", exact=True).click()
        await expect(card).to_have_count(2)
        again = await _last(page)
        assert again != failed
        await here.finish(again)
        await expect(page.locator(f"#{again} video")).to_be_visible()
        await expect(page.locator(f"#{again} .prompt")).to_have_text(HOSTILE)
        await expect(page).to_have_title("Playground · Raybot")
        assert await card.locator("b", has_text="fox").count() == 0


async def test_a_period_names_the_days_of_both_its_ends(here: Surroundings) -> None:
    async with here.page() as page:
        await _send(page, "admin usage week")
        period = page.locator("main").get_by_text(re.compile("^From .* to ")).last
        await expect(period).to_have_text(re.compile(r"^From \w+ \d+, .* to \w+ \d+, "))


async def test_whoever_runs_it_sets_a_limit_and_decides_by_clicks(here: Surroundings) -> None:
    clip = await here.clip()
    async with here.page() as page:
        await _send(page, "admin limit usd_per_person_per_day 0.01")
        await expect(page.get_by_text("usd_per_person_per_day 0.01")).to_be_visible()
        await _send(page, "a dear fox")
        refused = page.locator(".note", has_text="A limit is reached")
        await expect(refused.get_by_text("The limit resets")).to_be_visible()
        await expect(refused.get_by_text("Nothing was charged.")).to_be_visible()
        # What was typed is still there, to be sent once that is possible.
        await expect(page.locator("#text")).to_have_value("a dear fox")
        await _send(page, "admin limit usd_per_person_per_day")
        await expect(refused).to_have_count(0)
        # A report is made and decided.
        card = page.locator(f"#{clip}")
        await card.locator("summary").click()
        await card.get_by_role("button", name="Report").click()
        await card.locator("textarea").fill("too <i>loud</i>")
        await card.locator(".ask").get_by_role("button", name="Report").click()
        said = page.locator("article[id^=said-]", has_text="A clip was reported").last
        await expect(said.get_by_text("Reason: too <i>loud</i>")).to_be_visible()
        await said.get_by_role("button", name="Keep").click()
        await expect(said.get_by_text("The clip stays.")).to_be_visible()
        await expect(said.get_by_role("button")).to_have_count(0)
        # A clip is looked at before it is posted, and is not.
        await _send(page, "admin rule review before_post")
        await expect(page.get_by_text("Decided here: ")).to_be_visible()
        await _send(page, "a grey wolf")
        await expect(page.locator("article[id^=r-]").last).to_contain_text("a grey wolf")
        wolf = await _last(page)
        await here.finish(wolf)
        said = page.locator("article[id^=said-]", has_text="waits for a moderator")
        await said.locator("video").evaluate(HAS_METADATA)
        await said.get_by_role("button", name="Reject").click()
        await expect(said.locator("textarea")).to_be_focused()
        assert await grave(page, "article[id^=said-]") == []
        await page.keyboard.type("too dark")
        await said.locator(".ask").get_by_role("button", name="Reject").click()
        await expect(page.get_by_text("Rejected, so it is not posted.").first).to_be_visible()
        await expect(page.locator(f"#{wolf}").get_by_text("too dark")).to_be_visible()
        await _send(page, "admin rule review")
        await expect(page.get_by_text("Decided here: ")).to_be_visible()
        count = await page.locator("article[id^=said-]").count()
        await page.reload()
        await expect(page.locator("article[id^=said-]")).to_have_count(count)


@pytest.mark.parametrize(("is_dark", "is_phone"), [(False, False), (True, True)])
async def test_nobody_is_shut_out(here: Surroundings, is_dark: bool, is_phone: bool) -> None:
    job = await here.clip()
    async with here.page(is_dark=is_dark, is_phone=is_phone) as page:
        clip = page.locator(f"#{job}")
        await clip.locator("summary").click()
        await clip.get_by_role("button", name="Extend").click()
        await expect(clip.locator(".ask form")).to_be_visible()
        await page.locator("#text").fill("help")
        await page.locator("#text").press("Enter")
        await expect(page.get_by_role("heading", name="Ray turns words")).to_be_visible()
        for path in ("", "/web/usage"):
            if path:
                await page.goto(here.visitor.address + path)
            assert not await page.evaluate(IS_TOO_WIDE)
            assert await grave(page) == []
