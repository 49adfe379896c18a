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
from bot.errors import DeliveryUnavailable, StoreError, ThreadGone
from bot.store import places
from tests.adapters.slack.conftest import Community, LocalSlack
from tests.adapters.slack.test_http import is_open
from tests.adapters.slack.test_wire import asked, closed_inbox, job_of
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
            assert got.content_type == "text/html", "else a browser keeps it as a file"
            return got.status, await got.text()


@dataclass
class Installable:
    """A bot that workspaces install, with a second one beside the community's."""

    community: Community
    wolves: Team
    den: Channel
    cleo: Person

    @property
    def address(self) -> str:
        return self.community.bot.app._web.public_address

    async def visit(self, team: Team | None) -> Visit:
        """Somebody opens the page of the installation, and allows it at Slack, or does not."""
        self.community.slack.oauth.installs = team
        self.community.slack.oauth.redirect_to = f"{self.address}{REDIRECT_PATH}"
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


Open = Callable[..., AbstractAsyncContextManager[Installable]]


def to_open(local_slack: LocalSlack) -> Open:
    """What starts a bot that has no token of its own."""
    slack = local_slack.slack
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
    async def start(**tables: Any) -> AsyncIterator[Installable]:
        tables.setdefault("access", {"workspaces": [local_slack.team.id, wolves.id]})
        async with local_slack.community(settings, **tables) as community:
            await is_open(community)
            bot = Installable(community, wolves, den, cleo)
            slack.http_url = f"{bot.address}{EVENTS_PATH}"
            yield bot

    return start


@pytest.fixture
def open_bot(local_slack: LocalSlack) -> Open:
    return to_open(local_slack)


@pytest.fixture
async def bot(open_bot: Open) -> AsyncIterator[Installable]:
    async with open_bot() as started:
        yield started


async def test_a_workspace_that_installed_the_bot_has_clips(
    bot: Installable, local_slack: LocalSlack
) -> None:
    await bot.install(local_slack.team)
    await local_slack.ana.slash("/ray", "a fox", local_slack.general)
    await bot.community.clip()
    token = local_slack.team.bot_token.encode()
    kept = [each.read_bytes() for each in Path(local_slack.folder, "data").glob("raybot.db*")]
    assert kept
    assert not any(token in each for each in kept)
    assert not any(bot.community.slack.oauth.client_secret.encode() in each for each in kept)


async def test_a_token_outlasts_the_process(local_slack: LocalSlack, open_bot: Open) -> None:
    async with open_bot() as first:
        await first.install(local_slack.team)
    async with open_bot() as second:
        await local_slack.ana.slash("/ray", "a fox", local_slack.general)
        await second.community.clip()


async def test_what_a_token_may_not_do_is_said_when_it_comes_and_after_a_start(
    local_slack: LocalSlack, open_bot: Open, caplog: pytest.LogCaptureFixture
) -> None:
    def told() -> int:
        lines = [each for each in caplog.text.splitlines() if "slack.scopes_missing" in each]
        assert all("users:read" in each and local_slack.team.id in each for each in lines)
        return len(lines)

    local_slack.slack.oauth.left_out = {"users:read", "groups:history"}
    async with open_bot() as first:
        await first.install(local_slack.team)
        assert told() == 1
    async with open_bot() as second:
        for words in ("a fox", "an owl"):
            await local_slack.ana.slash("/ray", words, local_slack.general)
        await second.community.clip()
        assert told() == 2


async def test_two_workspaces_know_nothing_of_each_other(
    bot: Installable, local_slack: LocalSlack
) -> None:
    await bot.install(local_slack.team)
    await bot.install(bot.wolves)
    for person, channel in ((local_slack.ana, local_slack.general), (bot.cleo, bot.den)):
        assert (await person.slash("/ray", f"of {person.name}", channel)).is_acked
    fox, wolf = await bot.community.clip(local_slack.general), await bot.community.clip(bot.den)
    assert len(bot.community.clips(local_slack.general)) == len(bot.community.clips(bot.den)) == 1
    own = {local_slack.general.id: local_slack.team.bot_token, bot.den.id: bot.wolves.bot_token}
    for each in bot.community.slack.requests:
        where = each.args.get("channel") or each.args.get("channel_id")
        if where in own:
            assert each.token == own[where], each.method
    peeked = await bot.cleo.slash("/ray", f"show {job_of(fox)}", bot.den)
    assert "No such job" in await peeked.wait_said()
    listed = await bot.cleo.slash("/ray", "jobs", bot.den)
    said = await listed.wait_said()
    assert (job_of(wolf) in said, job_of(fox) in said) == (True, False)


async def test_a_state_counts_once_and_for_its_browser_only(
    bot: Installable, local_slack: LocalSlack
) -> None:
    visit = await bot.visit(local_slack.team)
    status, _ = await visit.arrive(cookie="slack-app-oauth-state=of-somebody-else")
    assert status == 400
    assert (await visit.arrive())[0] == 200
    assert (await visit.arrive())[0] == 401
    assert len(bot.community.slack.requests_to("oauth.v2.access")) == 1


async def test_a_state_is_good_for_some_minutes(bot: Installable, local_slack: LocalSlack) -> None:
    visit = await bot.visit(local_slack.team)
    bot.community.later(minutes=11)
    assert (await visit.arrive())[0] == 401
    assert not bot.community.slack.requests_to("oauth.v2.access")


async def test_who_only_looks_at_the_page_leaves_nothing_in_the_book(
    bot: Installable, local_slack: LocalSlack
) -> None:
    visits = [await bot.visit(local_slack.team) for _ in range(3)]
    assert await bot.community.bot.studio.vault.names("slack") == ()
    for each in visits:
        assert (await each.arrive())[0] == 200
    other = visits[0].back.replace("state=", "state=9")
    assert (await Visit(other, visits[0].cookie.replace("=", "=9")).arrive())[0] == 401


async def test_who_does_not_agree_gets_a_page_and_no_bot(
    bot: Installable, local_slack: LocalSlack
) -> None:
    status, page = await (await bot.visit(None)).arrive()
    assert (status, "access_denied" in page) == (200, True)
    forged = Visit(f"{bot.address}{REDIRECT_PATH}?code=x&state=1.x", "slack-app-oauth-state=1.x")
    assert (await forged.arrive())[0] == 401
    assert not bot.community.slack.requests_to("oauth.v2.access")


async def test_a_slack_that_is_mute_ends_an_installation_with_a_page(
    bot: Installable, local_slack: LocalSlack, caplog: pytest.LogCaptureFixture
) -> None:
    for method in ("oauth.v2.access", "auth.test"):
        bot.community.slack.faults.drop(method)
        status, page = await (await bot.visit(local_slack.team)).arrive()
        assert (status, "Slack did not answer" in page) == (502, True)
        assert f'try again from <a href="{INSTALL_PATH}">' in page
        assert await bot.community.bot.studio.vault.names("slack", "bot:") == ()
    assert "Traceback" not in caplog.text
    await bot.install(local_slack.team)


async def test_a_token_that_no_header_holds_ends_an_installation_with_a_page(
    bot: Installable, local_slack: LocalSlack
) -> None:
    visit = await bot.visit(local_slack.team)
    own, local_slack.team.bot_token = local_slack.team.bot_token, "xoxb-1\n"
    status, page = await visit.arrive()
    assert (status, "Slack did not answer" in page) == (502, True)
    local_slack.team.bot_token = own
    await bot.install(local_slack.team)


@pytest.mark.parametrize("table", ["vault", "places"])
async def test_a_database_that_keeps_no_token_ends_an_installation_with_a_page(
    bot: Installable, local_slack: LocalSlack, table: str
) -> None:
    visit = await bot.visit(local_slack.team)
    with closed_inbox(bot.community, table):
        status, page = await visit.arrive()
    assert (status, "takes nothing right now" in html.unescape(page)) == (503, True)
    assert f'try again from <a href="{INSTALL_PATH}">' in page
    assert await bot.community.bot.studio.vault.names("slack", "bot:") == ()
    await bot.install(local_slack.team)


async def test_a_token_is_forgotten_where_it_is_noted_that_its_workspace_left_or_not_at_all(
    bot: Installable, local_slack: LocalSlack
) -> None:
    """Else nothing would remind of what is to go of that workspace."""
    studio, team = bot.community.bot.studio, local_slack.team
    own = Installations(studio.vault, Places(studio))
    await bot.install(team)
    token = (await own.of(team.id)).token
    with closed_inbox(bot.community, "places"), pytest.raises(StoreError):
        await own.lose(team.id, token)
    assert await still_there(bot, team)
    await own.lose(team.id, token)
    assert await bot.community.bot.app.database.read(places.away) == [f"slack:{team.id}"]


@pytest.mark.parametrize("end", ["uninstall", "revoke"])
async def test_a_token_that_ended_is_forgotten_until_the_next_installation(
    bot: Installable, local_slack: LocalSlack, end: str
) -> None:
    vault, database = bot.community.bot.studio.vault, bot.community.bot.app.database
    for _ in range(2):
        await bot.install(local_slack.team)
        assert await vault.names("slack", "bot:") == (f"bot:{local_slack.team.id}",)
        assert await database.read(places.away) == []
        await getattr(bot.community.slack, end)(local_slack.team)
        async with asyncio.timeout(30):
            while await vault.names("slack", "bot:") or not await database.read(places.away):
                await asyncio.sleep(0.01)
        assert await database.read(places.away) == [f"slack:{local_slack.team.id}"]
    before = len(bot.community.slack.requests_to("chat.postMessage"))
    await local_slack.ana.say(f"{local_slack.team.mention} a fox", local_slack.general)
    assert asked(bot.community) == 0
    await bot.install(local_slack.team)
    await local_slack.ana.slash("/ray", "a fox", local_slack.general)
    await bot.community.clip()
    assert len(bot.community.slack.requests_to("chat.postMessage")) == before + 1


async def test_late_news_of_an_end_does_not_undo_a_new_installation(
    bot: Installable, local_slack: LocalSlack
) -> None:
    await bot.install(local_slack.team)
    await bot.community.slack.happenings.event(local_slack.team, {"type": "app_uninstalled"})
    people = {"type": "tokens_revoked", "tokens": {"oauth": [local_slack.ana.id], "bot": []}}
    await bot.community.slack.happenings.event(local_slack.team, people)
    await bot.community.slack.wait_request("auth.test", 2)
    await local_slack.ana.slash("/ray", "a fox", local_slack.general)
    await bot.community.clip()


async def test_a_process_that_knew_an_earlier_token_keeps_the_next_one(
    bot: Installable, local_slack: LocalSlack
) -> None:
    """As one of several does, when another one of them was installed anew."""
    studio, slack = bot.community.bot.studio, bot.community.slack
    other = Installations(studio.vault, Places(studio))
    await bot.install(local_slack.team)
    earlier = await other.of(local_slack.team.id)
    await slack.uninstall(local_slack.team)
    async with asyncio.timeout(30):
        while not await bot.community.bot.app.database.read(places.away):
            await asyncio.sleep(0.01)
    await bot.install(local_slack.team)
    async with Clients(other, base_url=slack.api_base_url) as clients:

        async def ask() -> None:
            async with clients.translated(local_slack.team.id):
                await (await clients.api(local_slack.team.id)).auth_test()

        with pytest.raises(DeliveryUnavailable):
            await ask()
        await ask()
    assert (await other.of(local_slack.team.id)).token != earlier.token
    assert await still_there(bot, local_slack.team)


async def test_late_news_of_an_end_finds_what_another_process_was_given(
    bot: Installable, local_slack: LocalSlack
) -> None:
    studio, team = bot.community.bot.studio, local_slack.team
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
    asked_before = len(bot.community.slack.requests_to("auth.test"))
    await bot.community.slack.happenings.event(team, {"type": "app_uninstalled"})
    await bot.community.slack.wait_request("auth.test", asked_before + 1)
    await local_slack.ana.slash("/ray", "a fox", local_slack.general)
    await bot.community.clip()
    assert await still_there(bot, team)


@pytest.mark.parametrize("was_lost", [True, False])
async def test_what_is_installed_anew_while_its_end_is_noted_stays(
    bot: Installable, local_slack: LocalSlack, was_lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio, team = bot.community.bot.studio, local_slack.team
    own = Installations(studio.vault, Places(studio))
    await bot.install(team)
    token = (await own.of(team.id)).token
    team.token_error = "account_inactive"
    if was_lost:
        await own.lose(team.id, token)
    get = studio.vault.get

    async def get_slowly(adapter: str, name: str) -> str | None:
        """As it was before somebody installed the bot again."""
        kept = await get(adapter, name)
        monkeypatch.setattr(studio.vault, "get", get)
        team.install_anew()
        await bot.install(team)
        return kept

    monkeypatch.setattr(studio.vault, "get", get_slowly)
    with pytest.raises(DeliveryUnavailable):
        await own.lose(team.id, token)
    assert (await own.of(team.id)).token == team.bot_token != token
    assert await still_there(bot, team)


async def still_there(bot: Installable, team: Team) -> bool:
    """Whether a workspace's token is kept, and nobody thinks that it removed the bot."""
    kept = await bot.community.bot.studio.vault.names("slack", "bot:")
    away = await bot.community.bot.app.database.read(places.away)
    return (kept, away) == ((f"bot:{team.id}",), [])


async def test_a_whole_organisation_cannot_install_the_bot(bot: Installable) -> None:
    """Its token names no workspace, so nobody could tell whose it is."""
    studio = bot.community.bot.studio
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
    local_slack: LocalSlack, open_bot: Open
) -> None:
    boss = {"slack_channel": f"{local_slack.team.id}/{local_slack.general.id}"}
    async with open_bot(access={"workspaces": [local_slack.team.id]}, operator=boss) as bot:
        await bot.install(local_slack.team)
        await bot.install(bot.wolves)
        for _ in range(2):
            refused = await bot.cleo.slash("/ray", "a wolf", bot.den)
            assert "Not open here" in await refused.wait_said()
        await bot.community.hurry(lambda: bot.community.slack.posted(local_slack.general))
        [told] = bot.community.slack.posted(local_slack.general)
        assert "Approve" in told.buttons
        assert bot.wolves.id in told.plain
        assert asked(bot.community) == 0
        assert not bot.community.slack.posted(bot.den)
