"""Workspaces that install the bot by themselves: each with its own token, sealed at rest."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from slack_sdk.oauth.installation_store import Bot, Installation

from adapters.slack.clients import Clients
from adapters.slack.manifest import EVENTS_PATH, INSTALL_PATH, REDIRECT_PATH
from adapters.slack.places import Places
from adapters.slack.tokens import Installations
from bot.errors import DeliveryUnavailable, ThreadGone
from bot.store import places
from tests.adapters.slack.conftest import Lane, Town
from tests.adapters.slack.test_http import is_open
from tests.adapters.slack.test_wire import asked, job_of
from tests.slack_server import Channel, Person, Team

# The SDK's way to send the client's secret.
pytestmark = pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")


@dataclass
class Visit:
    """A browser that has come back from Slack with a code and a state."""

    back: str
    cookie: str

    async def arrive(self, *, cookie: str | None = None) -> tuple[int, str]:
        """Open the address that Slack sent it to; the status, and the page."""
        headers = {"Cookie": self.cookie if cookie is None else cookie}
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(self.back, headers=headers) as got,
        ):
            return got.status, await got.text()


@dataclass
class House:
    """A bot that workspaces install, with a second one beside the lane's."""

    lane: Lane
    wolves: Team
    den: Channel
    cleo: Person

    @property
    def address(self) -> str:
        return self.lane.house.app._web.public_address

    async def visit(self, team: Team | None) -> Visit:
        """Somebody opens the page of the installation, and allows it at Slack, or does not."""
        self.lane.slack.oauth.installs = team
        self.lane.slack.oauth.redirect_to = f"{self.address}{REDIRECT_PATH}"
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            async with session.get(f"{self.address}{INSTALL_PATH}") as page:
                assert page.status == 200
                [link] = re.findall(r'href="([^"]*authorize[^"]*)"', await page.text())
                cookie = page.headers["Set-Cookie"].partition(";")[0]
            async with session.get(html.unescape(link), allow_redirects=False) as got:
                assert got.status == 302, await got.text()
                return Visit(got.headers["Location"], cookie)

    async def install(self, team: Team) -> None:
        """All of it."""
        status, page = await (await self.visit(team)).arrive()
        assert status == 200, page


Open = Callable[..., AbstractAsyncContextManager[House]]


@pytest.fixture
def open_bot(town: Town) -> Open:
    """Starts a bot that has no token of its own."""
    slack = town.slack
    wolves = slack.team("Wolves")
    cleo = slack.person("Cleo", wolves)
    den = slack.channel(wolves, "den", members=[cleo])
    settings = {
        "mode": "http",
        "bot_token": None,
        "app_token": None,
        "signing_secret": slack.signing_secret,
        "client_id": slack.oauth.client_id,
        "client_secret": slack.oauth.client_secret,
        "authorize_url": slack.authorize_url,
    }

    @asynccontextmanager
    async def start(**tables: Any) -> AsyncIterator[House]:
        tables.setdefault("access", {"workspaces": [town.team.id, wolves.id]})
        async with town.lane(settings, **tables) as lane:
            await is_open(lane)
            house = House(lane, wolves, den, cleo)
            slack.http_url = f"{house.address}{EVENTS_PATH}"
            yield house

    return start


@pytest.fixture
async def bot(open_bot: Open) -> AsyncIterator[House]:
    async with open_bot() as started:
        yield started


async def test_a_workspace_that_installed_the_bot_has_clips(bot: House, town: Town) -> None:
    await bot.install(town.team)
    await town.ana.slash("/ray", "a fox", town.general)
    await bot.lane.clip()
    token = town.team.bot_token.encode()
    kept = [each.read_bytes() for each in Path(town.folder, "data").glob("raybot.db*")]
    assert kept
    assert not any(token in each for each in kept)
    assert not any(bot.lane.slack.oauth.client_secret.encode() in each for each in kept)


async def test_a_token_outlasts_the_process(town: Town, open_bot: Open) -> None:
    async with open_bot() as first:
        await first.install(town.team)
    async with open_bot() as second:
        await town.ana.slash("/ray", "a fox", town.general)
        await second.lane.clip()


async def test_two_workspaces_know_nothing_of_each_other(bot: House, town: Town) -> None:
    await bot.install(town.team)
    await bot.install(bot.wolves)
    for person, channel in ((town.ana, town.general), (bot.cleo, bot.den)):
        assert (await person.slash("/ray", f"of {person.name}", channel)).is_acked
    fox, wolf = await bot.lane.clip(town.general), await bot.lane.clip(bot.den)
    assert len(bot.lane.clips(town.general)) == len(bot.lane.clips(bot.den)) == 1
    own = {town.general.id: town.team.bot_token, bot.den.id: bot.wolves.bot_token}
    for each in bot.lane.slack.requests:
        where = each.args.get("channel") or each.args.get("channel_id")
        if where in own:
            assert each.token == own[where], each.method
    peeked = await bot.cleo.slash("/ray", f"show {job_of(fox)}", bot.den)
    assert "No such job" in await peeked.wait_said()
    listed = await bot.cleo.slash("/ray", "jobs", bot.den)
    said = await listed.wait_said()
    assert (job_of(wolf) in said, job_of(fox) in said) == (True, False)


async def test_a_state_counts_once_and_for_its_browser_only(bot: House, town: Town) -> None:
    visit = await bot.visit(town.team)
    status, _ = await visit.arrive(cookie="slack-app-oauth-state=of-somebody-else")
    assert status == 400
    assert (await visit.arrive())[0] == 200
    assert (await visit.arrive())[0] == 401
    assert len(bot.lane.slack.requests_to("oauth.v2.access")) == 1


async def test_a_state_is_good_for_some_minutes(bot: House, town: Town) -> None:
    visit = await bot.visit(town.team)
    bot.lane.later(minutes=11)
    assert (await visit.arrive())[0] == 401
    assert not bot.lane.slack.requests_to("oauth.v2.access")


async def test_who_only_looks_at_the_page_leaves_nothing_in_the_book(
    bot: House, town: Town
) -> None:
    visits = [await bot.visit(town.team) for _ in range(3)]
    assert await bot.lane.house.studio.vault.names("slack") == ()
    for each in visits:
        assert (await each.arrive())[0] == 200
    other = visits[0].back.replace("state=", "state=9")
    assert (await Visit(other, visits[0].cookie.replace("=", "=9")).arrive())[0] == 401


async def test_who_does_not_agree_gets_a_page_and_no_bot(bot: House, town: Town) -> None:
    status, page = await (await bot.visit(None)).arrive()
    assert (status, "access_denied" in page) == (200, True)
    forged = Visit(f"{bot.address}{REDIRECT_PATH}?code=x&state=1.x", "slack-app-oauth-state=1.x")
    assert (await forged.arrive())[0] == 401
    assert not bot.lane.slack.requests_to("oauth.v2.access")


async def test_a_slack_that_is_mute_ends_an_installation_with_a_page(
    bot: House, town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    bot.lane.slack.faults.drop("oauth.v2.access")
    status, page = await (await bot.visit(town.team)).arrive()
    assert (status, "again" in page) == (502, True)
    assert "Traceback" not in caplog.text
    await bot.install(town.team)


@pytest.mark.parametrize("end", ["uninstall", "revoke"])
async def test_a_token_that_ended_is_forgotten_until_the_next_installation(
    bot: House, town: Town, end: str
) -> None:
    vault, database = bot.lane.house.studio.vault, bot.lane.house.app.database
    for _ in range(2):
        await bot.install(town.team)
        assert await vault.names("slack", "bot:") == (f"bot:{town.team.id}",)
        assert await database.read(places.away) == []
        await getattr(bot.lane.slack, end)(town.team)
        async with asyncio.timeout(10):
            while await vault.names("slack", "bot:") or not await database.read(places.away):
                await asyncio.sleep(0.01)
        assert await database.read(places.away) == [f"slack:{town.team.id}"]
    before = len(bot.lane.slack.requests_to("chat.postMessage"))
    await town.ana.say(f"{town.team.mention} a fox", town.general)
    assert asked(bot.lane) == 0
    await bot.install(town.team)
    await town.ana.slash("/ray", "a fox", town.general)
    await bot.lane.clip()
    assert len(bot.lane.slack.requests_to("chat.postMessage")) == before + 1


async def test_late_news_of_an_end_does_not_undo_a_new_installation(
    bot: House, town: Town
) -> None:
    await bot.install(town.team)
    await bot.lane.slack.happenings.event(town.team, {"type": "app_uninstalled"})
    people = {"type": "tokens_revoked", "tokens": {"oauth": [town.ana.id], "bot": []}}
    await bot.lane.slack.happenings.event(town.team, people)
    await bot.lane.slack.wait_request("auth.test", 2)
    await town.ana.slash("/ray", "a fox", town.general)
    await bot.lane.clip()


async def test_a_process_that_knew_an_earlier_token_keeps_the_next_one(
    bot: House, town: Town
) -> None:
    """As one of several does, when another one of them was installed anew."""
    studio, slack = bot.lane.house.studio, bot.lane.slack
    other = Installations(studio.vault, Places(studio))
    await bot.install(town.team)
    earlier = await other.of(town.team.id)
    await slack.uninstall(town.team)
    async with asyncio.timeout(10):
        while not await bot.lane.house.app.database.read(places.away):
            await asyncio.sleep(0.01)
    await bot.install(town.team)
    async with Clients(other, base_url=slack.api_base_url) as clients:

        async def ask() -> None:
            async with clients.translated(town.team.id):
                await (await clients.api(town.team.id)).auth_test()

        with pytest.raises(DeliveryUnavailable):
            await ask()
        await ask()
    assert (await other.of(town.team.id)).token != earlier.token
    assert await still_there(bot, town.team)


async def test_late_news_of_an_end_finds_what_another_process_was_given(
    bot: House, town: Town
) -> None:
    studio, team = bot.lane.house.studio, town.team
    await bot.install(team)
    team.token_error = "account_inactive"
    team.install_anew()
    await Installations(studio.vault, Places(studio)).async_save_bot(
        Bot(
            team_id=team.id,
            bot_token=team.bot_token,
            bot_id=team.bot_id,
            bot_user_id=team.bot_user,
            bot_scopes=sorted(team.scopes),
            installed_at=0.0,
        )
    )
    asked_before = len(bot.lane.slack.requests_to("auth.test"))
    await bot.lane.slack.happenings.event(team, {"type": "app_uninstalled"})
    await bot.lane.slack.wait_request("auth.test", asked_before + 1)
    await town.ana.slash("/ray", "a fox", town.general)
    await bot.lane.clip()
    assert await still_there(bot, team)


async def still_there(bot: House, team: Team) -> bool:
    """Whether a workspace's token is kept, and nobody thinks that it removed the bot."""
    kept = await bot.lane.house.studio.vault.names("slack", "bot:")
    away = await bot.lane.house.app.database.read(places.away)
    return (kept, away) == ((f"bot:{team.id}",), [])


async def test_a_whole_organisation_cannot_install_the_bot(bot: House) -> None:
    """Its token names no workspace, so nobody could tell whose it is."""
    studio = bot.lane.house.studio
    store = Installations(studio.vault, Places(studio))
    with pytest.raises(Exception, match="organisation"):
        await store.async_save(
            Installation(
                user_id="U1", enterprise_id="E1", bot_token="xoxb-1", is_enterprise_install=True
            )
        )
    with pytest.raises(ThreadGone):
        await store.of("")


async def test_a_workspace_that_nobody_named_is_refused_and_its_operator_asked_once(
    town: Town, open_bot: Open
) -> None:
    boss = {"slack_channel": f"{town.team.id}/{town.general.id}"}
    async with open_bot(access={"workspaces": [town.team.id]}, operator=boss) as bot:
        await bot.install(town.team)
        await bot.install(bot.wolves)
        for _ in range(2):
            refused = await bot.cleo.slash("/ray", "a wolf", bot.den)
            assert "Not open here" in await refused.wait_said()
        await bot.lane.hurry(lambda: bot.lane.slack.posted(town.general))
        [told] = bot.lane.slack.posted(town.general)
        assert "Approve" in told.buttons
        assert bot.wolves.id in told.plain
        assert asked(bot.lane) == 0
        assert not bot.lane.slack.posted(bot.den)
