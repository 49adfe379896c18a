"""The chats that stories are told in front of: a Discord server, and a workspace of Slack."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from bot.simulator import Simulator, SimulatorSettings
from bot.simulator.faces.replicate import FACE as REPLICATE
from bot.simulator.pictures import draw_picture
from tests.conftest import KEY
from tests.crash.books import Book, Kind, book
from tests.crash.life import PATIENCE_SECONDS
from tests.crash.stories import TEXT, Story
from tests.crash.worlds import (
    ASK_AGAIN_SECONDS,
    CLIPS,
    FORM_SECONDS,
    POST,
    REJECT,
    REJECTED,
    START,
    Chat,
    World,
)
from tests.discord_server import Channel as DiscordChannel
from tests.discord_server import DiscordServer, Intent, Permission
from tests.discord_server import Interaction as DiscordInteraction
from tests.discord_server import Message as DiscordMessage
from tests.discord_server import Person as DiscordPerson
from tests.slack_server import Asked as SlackAsked
from tests.slack_server import Channel as SlackChannel
from tests.slack_server import Message as SlackMessage
from tests.slack_server import Person as SlackPerson
from tests.slack_server import SlackServer, Team

GUILD = 4242
PROMPT, SHOTS = "a red fox in snow", "a red fox wakes up | it runs"


class DiscordWorld(World):
    """A Discord server with one channel, and one for moderators."""

    chat: Chat = "discord"

    def __init__(
        self, folder: Path, luma: Simulator, books: Book, story: Story, discord: DiscordServer
    ) -> None:
        super().__init__(folder, luma, books, story)
        self._discord = discord
        if story.most_bytes:
            discord.world.upload_limit = story.most_bytes
        if story.has_image:
            # Else a reply does not tell which image it is to.
            discord.app.granted = Intent.MESSAGE_CONTENT
        guild = discord.guild("Foxes", guild_id=GUILD)
        self._ana: DiscordPerson = discord.person("Ana", guild)
        self._boss = discord.person("Boss", guild, allows=Permission.MANAGE_MESSAGES)
        self._office: DiscordChannel = discord.channel(guild, "office")
        self.workspace, self.moderators = str(GUILD), str(self._office.id)

    def access(self) -> dict[str, Any]:
        return {"servers": [self.workspace]}

    def settings(self) -> dict[str, Any]:
        return {
            "token": self._discord.token,
            "api_base_url": self._discord.api_base_url,
            "gateway_url": self._discord.gateway_url,
            "shard_count": 1,
        }

    async def connected(self) -> None:
        # A session that was cut is resumed; what counts is one that lives now.
        await self._discord.wait_connected(seconds=PATIENCE_SECONDS)

    async def ask(self) -> None:
        if self.story.is_film:
            await self._ana.slash("ray story", lines=SHOTS)
            return
        if not self.story.has_image:
            await self._ana.slash("ray create", prompt=PROMPT)
            return
        picture = ("fox.png", draw_picture())
        shown = await self._ana.say(self._ana.here, "look", files=[picture])
        bot = self._discord.app.bot.mention
        await self._ana.say(self._ana.here, f"{bot} {PROMPT}", reply_to=shown)

    def is_promised(self) -> bool:
        # A mere acknowledgement comes at once; what is promised by it is an answer.
        answers = [each.original for each in self._discord.interactions.all]
        return any(each is not None and not each.is_loading for each in answers)

    async def press(self, label: str) -> bool:
        who = self._boss if label in (POST, REJECT) else self._ana
        shown = [each for each in self._seen() if label in each.buttons]
        for each in shown:
            pressed = await who.click(each, label)
            if label == REJECT:
                await self._send_form(pressed)
        return bool(shown)

    async def _send_form(self, pressed: DiscordInteraction) -> None:
        try:
            await self._discord.wait_for(lambda: pressed.modal, FORM_SECONDS)
        except AssertionError:  # None comes from a bot that is just dying.
            return
        await self._boss.submit_modal(pressed)

    def is_press_promised(self, said: str) -> bool:
        answers = [each.original for each in self._discord.interactions.all]
        return any(each is not None and said in each.text for each in answers)

    def clips(self) -> int:
        said = [each for each in self._seen() if each.channel is not self._office]
        files = (file.filename for each in said for file in each.attachments)
        return sum(name.endswith(CLIPS) and not name.startswith(START) for name in files)

    def words(self) -> list[str]:
        return [each.text for each in self._seen() if each.channel is not self._office]

    def words_for_moderators(self) -> list[str]:
        return [each.text for each in self._seen() if each.channel is self._office]

    def _seen(self) -> list[DiscordMessage]:
        said = self._discord.everything_said()
        return [each for each in said if not each.is_deleted and not each.is_ephemeral]


class NaiveWorld(DiscordWorld):
    """The same with another bot, which has its request in its database from the start."""

    chat: Chat = "naive"

    def settings(self) -> dict[str, Any]:
        channel = self._ana.here.id
        return {
            "luma": self.luma.base_url,
            "key": KEY,
            "token": self._discord.token,
            "posts": f"{self._discord.api_base_url}/channels/{channel}/messages",
        }

    async def connected(self) -> None:
        await asyncio.Event().wait()

    def wrong(self, *, released: Sequence[str] = ()) -> list[str]:
        return self.wrong_outside()


class SlackWorld(World):
    """A workspace with one channel, and one for moderators."""

    chat: Chat = "slack"

    def __init__(
        self, folder: Path, luma: Simulator, books: Book, story: Story, slack: SlackServer
    ) -> None:
        super().__init__(folder, luma, books, story)
        self._slack = slack
        if story.most_bytes:
            slack.files.most_bytes = story.most_bytes
        self._team: Team = slack.team("Foxes")
        self._ana: SlackPerson = slack.person("Ana", self._team)
        self._general: SlackChannel = slack.channel(self._team, "general", members=[self._ana])
        self._boss: SlackPerson = slack.person("Boss", self._team, is_admin=True)
        self._office: SlackChannel = slack.channel(self._team, "office", members=[self._boss])
        self.workspace, self.moderators = self._team.id, self._office.id

    def access(self) -> dict[str, Any]:
        return {"workspaces": [self.workspace]}

    def settings(self) -> dict[str, Any]:
        return {
            "bot_token": self._team.bot_token,
            "app_token": self._slack.app_token,
            "api_base_url": self._slack.api_base_url,
            "file_hosts": (self._slack.file_host,),
            "connections": 1,
        }

    async def connected(self) -> None:
        await self._slack.wait_connected(1, seconds=PATIENCE_SECONDS)

    async def ask(self) -> None:
        asked = f"story {SHOTS}" if self.story.is_film else PROMPT
        await self._ana.slash("/ray", asked, seconds=ASK_AGAIN_SECONDS)

    def is_promised(self) -> bool:
        return any(each.asked is not None and each.is_acked for each in self._slack.envelopes)

    async def press(self, label: str) -> bool:
        is_theirs = label in (POST, REJECT)
        who, where = (self._boss, self._office) if is_theirs else (self._ana, self._general)
        shown = [each for each in self._slack.posted(where) if label in each.buttons]
        for each in shown:
            pressed = await who.click(each, label, seconds=ASK_AGAIN_SECONDS)
            if label == REJECT:
                await self._send_form(pressed)
        return bool(shown)

    async def _send_form(self, pressed: SlackAsked) -> None:
        try:
            form = await pressed.wait_view(seconds=FORM_SECONDS)
        except AssertionError:  # None comes from a bot that is just dying.
            return
        await self._boss.submit(form, seconds=ASK_AGAIN_SECONDS)

    def is_press_promised(self, said: str) -> bool:
        # What is acknowledged looks heard to who did it, whatever else it says; of what asks why,
        # that is the form, not the press that opens it.
        what = "view" if said == REJECTED else "actions"
        done = (each for each in self._slack.envelopes if each.payload.get(what))
        return any(each.is_acked for each in done)

    def clips(self) -> int:
        return sum(
            any(not file.is_deleted and file.name.endswith(CLIPS) for file in each.files)
            for each in self._seen()
        )

    def words(self) -> list[str]:
        return [each.plain for each in self._seen()]

    def words_for_moderators(self) -> list[str]:
        return [each.plain for each in self._slack.posted(self._office)]

    def _seen(self) -> list[SlackMessage]:
        where = (self._general, self._ana.direct)
        return [each for channel in where for each in self._slack.posted(channel)]


@asynccontextmanager
async def world(
    chat: Chat, database: Kind, folder: Path, story: Story = TEXT
) -> AsyncIterator[World]:
    """A fresh one, whose video service soon is done, or gives up each time.

    What is to be cancelled runs until somebody lets it end.
    """
    folder.mkdir()
    quick = SimulatorSettings(
        min_seconds=0.05,
        max_seconds=0.06,
        manual=story.is_cancelled,
        same_clip=True,
        full_size=False,
        running_limit=None,
        creates_per_minute=None,
    )
    async with AsyncExitStack() as stack:
        luma = Simulator(quick, story.faults)
        await luma.start(story.host)
        stack.push_async_callback(luma.stop)
        another = Simulator(quick, face=REPLICATE) if story.has_another else None
        if another is not None:
            await stack.enter_async_context(another)
        books = stack.enter_context(book(database, folder))
        place: World
        if chat == "slack":
            slack = await stack.enter_async_context(SlackServer())
            place = SlackWorld(folder, luma, books, story, slack)
        else:
            kind = NaiveWorld if chat == "naive" else DiscordWorld
            discord = await stack.enter_async_context(DiscordServer())
            place = kind(folder, luma, books, story, discord)
        place.another = another
        yield place
