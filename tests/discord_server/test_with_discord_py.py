"""The local Discord held to an unmodified discord.py: what one does, the other understands."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import discord
import pytest
import yarl
from discord import app_commands
from discord.gateway import DiscordWebSocket
from discord.http import Route
from PIL import Image

from tests.discord_server import (
    DiscordServer,
    Guild,
    Intent,
    Kind,
    NotPossible,
    Permission,
    Person,
    Size,
)
from tests.discord_server.openapi import check_requests, has_openapi, load_openapi
from tests.discord_server.remote import outside
from tests.discord_server.wire import Request
from tests.fakes import until

INTENTS = discord.Intents(guilds=True, guild_messages=True, dm_messages=True)


def picture(width: int = 8, height: int = 6) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (width, height), "orange").save(content, "PNG")
    return content.getvalue()


PNG = picture()


class Client(discord.AutoShardedClient):
    """A small bot: what it does with an interaction or a message, each test says itself."""

    def __init__(self, intents: discord.Intents = INTENTS, *, shard_count: int | None = 1) -> None:
        super().__init__(
            intents=intents,
            shard_count=shard_count,
            allowed_mentions=discord.AllowedMentions.none(),
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            guild_ready_timeout=0.05,
        )
        self.tree = app_commands.CommandTree(self)
        self.asked: asyncio.Queue[discord.Interaction] = asyncio.Queue()
        self.heard: asyncio.Queue[discord.Message] = asyncio.Queue()
        self.resumed = asyncio.Event()

    async def setup_hook(self) -> None:
        await self.tree.sync()

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Real clients wait here."""

    async def on_interaction(self, interaction: discord.Interaction) -> None:
        if interaction.type is discord.InteractionType.component:
            self.asked.put_nowait(interaction)

    async def on_message(self, message: discord.Message) -> None:
        if message.author != self.user:
            self.heard.put_nowait(message)

    async def on_shard_resumed(self, shard_id: int) -> None:
        self.resumed.set()


Opened = Callable[..., Awaitable[Client]]


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as running:
        monkeypatch.setattr(Route, "BASE", running.api_base_url)
        gateway = yarl.URL(running.gateway_url)
        monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", gateway)
        yield running
        if has_openapi():
            assert check_requests(running.requests) == []


@pytest.fixture
def guild(server: DiscordServer) -> Guild:
    return server.guild("Foxes")


@pytest.fixture
def ana(server: DiscordServer, guild: Guild) -> Person:
    return server.person("Ana", guild)


@asynccontextmanager
async def running(server: DiscordServer, client: Client) -> AsyncIterator[Client]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(client.start(server.token))
        async with asyncio.timeout(30):
            await server.wait_connected()
            await client.wait_until_ready()
            # It is ready without a server that it was not told of in time.
            await until(lambda: not any(each.unavailable for each in client.guilds))
        try:
            yield client
        finally:
            await client.close()
            task.cancel()


@pytest.fixture
async def opened(server: DiscordServer, guild: Guild) -> AsyncIterator[Opened]:
    async with AsyncExitStack() as stack:

        async def open_client(client: Client | None = None) -> Client:
            client = client or with_commands(Client())
            return await stack.enter_async_context(running(server, client))

        yield open_client


def with_commands(client: Client) -> Client:
    """`/ray create`, `/ray jobs` and the menu; each only passes its interaction on."""
    ray = app_commands.Group(name="ray", description="Video clips")

    @ray.command(name="create", description="Make a clip")
    @app_commands.choices(
        resolution=[app_commands.Choice(name=each, value=each) for each in ("540p", "720p")]
    )
    async def create(
        interaction: discord.Interaction,
        prompt: app_commands.Range[str, 3, 1000],
        start_frame: discord.Attachment | None = None,
        resolution: str | None = None,
        camera: str | None = None,
        private: bool = False,
    ) -> None:
        interaction.extras.update(
            prompt=prompt, frame=start_frame, resolution=resolution, private=private
        )
        client.asked.put_nowait(interaction)

    @create.autocomplete("camera")
    async def offer(
        interaction: discord.Interaction, current: str
    ) -> list[app_commands.Choice[str]]:
        return [app_commands.Choice(name=f"{current} in", value=f"{current}-in")]

    @app_commands.context_menu(name="Animate with Ray")
    async def animate(interaction: discord.Interaction, message: discord.Message) -> None:
        interaction.extras["target"] = message
        client.asked.put_nowait(interaction)

    client.tree.add_command(ray)
    client.tree.add_command(animate)
    return client


async def soon(queue: asyncio.Queue[Any]) -> Any:
    async with asyncio.timeout(30):
        return await queue.get()


def summary(requests: list[Request]) -> list[str]:
    return [f"{each.method} {each.route}" for each in requests]


def code(error: pytest.ExceptionInfo[discord.HTTPException]) -> tuple[int, int]:
    return error.value.status, error.value.code


# ---- start -------------------------------------------------------------------------------------


async def test_a_client_boots_in_the_documented_order(
    server: DiscordServer, guild: Guild, opened: Opened
) -> None:
    server.channel(guild, "clips", Kind.FORUM, tags=("fox",), is_tag_required=True)
    client = await opened()

    assert summary(server.requests) == [
        "GET /users/@me",
        "GET /oauth2/applications/@me",
        "PUT /applications/{app}/commands",
    ]
    assert [each["name"] for each in server.commands.all()] == ["ray", "Animate with Ray"]
    assert client.application
    assert not client.application.flags.gateway_message_content_limited
    (there,) = client.guilds
    assert (there.name, there.me.id) == ("Foxes", server.app.id)
    assert {each.name for each in there.channels} == {"general", "clips"}
    (session,) = server.gateway.connected
    assert session.heard == ["READY", "GUILD_CREATE"]
    assert session.intents == Intent.GUILDS | Intent.GUILD_MESSAGES | Intent.DIRECT_MESSAGES
    assert session.connection
    assert session.connection.heartbeats == [None]


async def test_a_second_sync_keeps_the_ids(server: DiscordServer, opened: Opened) -> None:
    client = await opened()
    first = {each["name"]: each["id"] for each in server.commands.all()}
    await client.tree.sync()
    assert {each["name"]: each["id"] for each in server.commands.all()} == first
    assert server.commands.syncs == [(None, ["ray", "Animate with Ray"]), (None, [])]


async def test_a_wrong_token_is_refused(server: DiscordServer) -> None:
    async with Client() as client:
        with pytest.raises(discord.LoginFailure):
            await client.start("another.token")


async def test_an_intent_that_is_not_granted_closes_with_4014(server: DiscordServer) -> None:
    asked = discord.Intents(guilds=True, guild_messages=True, message_content=True)
    async with Client(asked) as client:
        with pytest.raises(discord.PrivilegedIntentsRequired):
            await client.start(server.token)
    assert server.gateway.closes == [4014]


# ---- interactions ------------------------------------------------------------------------------


async def test_a_slash_command_brings_its_file_and_its_surroundings(
    server: DiscordServer, guild: Guild, ana: Person, opened: Opened
) -> None:
    client = await opened()
    asked = await ana.slash(
        "ray create", prompt="a red fox", start_frame=PNG, resolution="720p", private=True
    )
    interaction = await soon(client.asked)

    frame = interaction.extras["frame"]
    assert (frame.filename, frame.width, frame.height, frame.ephemeral) == (
        "image.png", 8, 6, True
    )  # fmt: skip
    assert interaction.extras["prompt"] == "a red fox"
    assert interaction.user.id == ana.id
    assert interaction.user.joined_at
    assert interaction.is_guild_integration()
    assert interaction.filesize_limit == 20 * 1024 * 1024
    assert interaction.app_permissions.attach_files
    assert not interaction.permissions.manage_guild
    assert interaction.channel.name == "general"

    await interaction.response.defer(ephemeral=True, thinking=True)
    assert asked.original
    assert asked.original.is_loading
    assert await frame.read() == PNG
    await interaction.edit_original_response(content="Here it is")
    assert (await ana.answer(asked)).content == "Here it is"
    assert [each.content for each in ana.ephemeral(asked)] == ["Here it is"]
    assert server.messages(ana.here) == []
    assert ana.sees(ana.here) == [asked.original]
    server.cdn.lose_ephemeral()
    with pytest.raises(discord.NotFound):
        await frame.read()


async def test_an_option_being_typed_is_completed(ana: Person, opened: Opened) -> None:
    await opened()
    offered = await ana.autocomplete("ray create", "camera", "zoom")
    assert offered == [{"name": "zoom in", "value": "zoom-in"}]


async def test_a_person_can_only_do_what_discord_offers(ana: Person, opened: Opened) -> None:
    await opened()
    for act in (
        ana.slash("ray delete"),
        ana.slash("ray"),
        ana.slash("ray create"),
        ana.slash("ray create", prompt="a"),
        ana.slash("ray create", prompt="a fox", seed=3),
        ana.slash("ray create", prompt="a fox", resolution="8k"),
    ):
        with pytest.raises(NotPossible):
            await act


async def test_a_late_answer_is_unknown_and_a_second_one_refused(
    server: DiscordServer, ana: Person, opened: Opened
) -> None:
    client = await opened()
    late = await ana.slash("ray create", prompt="a red fox")
    interaction = await soon(client.asked)
    server.clock.move(seconds=3.5)
    with pytest.raises(discord.NotFound) as error:
        await interaction.response.defer()
    assert code(error) == (404, 10062)
    assert server.interactions.is_late(late)

    await ana.slash("ray create", prompt="a red fox")
    interaction = await soon(client.asked)
    twin = discord.Interaction(
        data=_raw(interaction),
        state=client._connection,
    )
    await interaction.response.defer()
    with pytest.raises(discord.HTTPException) as refused:
        await twin.response.defer()
    assert code(refused) == (400, 40060)


def _raw(interaction: discord.Interaction) -> Any:
    return {
        "id": interaction.id,
        "application_id": interaction.application_id,
        "type": 2,
        "token": interaction.token,
        "version": 1,
        "attachment_size_limit": 1,
        "data": interaction.data,
    }


async def test_a_token_lives_fifteen_minutes(
    server: DiscordServer, ana: Person, opened: Opened
) -> None:
    client = await opened()
    asked = await ana.slash("ray create", prompt="a red fox")
    interaction = await soon(client.asked)
    with pytest.raises(discord.NotFound) as unknown:
        await interaction.edit_original_response(content="too early")
    assert code(unknown) == (404, 10015)

    await interaction.response.send_message("Thinking about it")
    await interaction.followup.send("And more", ephemeral=True)
    server.clock.move(minutes=14)
    await interaction.edit_original_response(content="Still there")
    server.clock.move(minutes=1.1)
    with pytest.raises(discord.HTTPException) as gone:
        await interaction.edit_original_response(content="Too late")
    assert code(gone) == (401, 50027)
    assert asked.original
    assert [each.content for each in asked.original.versions] == ["Thinking about it"]
    assert [each.content for each in asked.replies] == ["Still there", "And more"]
    assert server.said(ana.here) == [asked.original]


async def test_a_menu_brings_the_whole_message_without_any_intent(
    server: DiscordServer, guild: Guild, ana: Person, opened: Opened
) -> None:
    client = await opened()
    bob = server.person("Bob", guild)
    image = await bob.say(bob.here, "my fox", files=[("fox.png", PNG)])
    stripped = await soon(client.heard)
    assert (stripped.content, stripped.attachments) == ("", [])

    await ana.message_command("Animate with Ray", image)
    target = (await soon(client.asked)).extras["target"]
    assert (target.id, target.content, target.author.id) == (image.id, "my fox", bob.id)
    assert await target.attachments[0].read() == PNG


class Form(discord.ui.Modal, title="Animate"):
    prompt: Any = discord.ui.Label(text="Prompt", component=discord.ui.TextInput(max_length=1000))
    length: Any = discord.ui.Label(
        text="Length",
        component=discord.ui.Select(
            options=[discord.SelectOption(label="5 s", value="5s", default=True)]
        ),
    )
    frame: Any = discord.ui.Label(
        text="End frame", component=discord.ui.FileUpload(required=False, max_values=2)
    )

    def __init__(self) -> None:
        super().__init__(timeout=60)
        self.sent: asyncio.Queue[discord.Interaction] = asyncio.Queue()

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        self.sent.put_nowait(interaction)


async def test_a_modal_with_an_upload_comes_back_filled_in(ana: Person, opened: Opened) -> None:
    client, form = await opened(), Form()
    asked = await ana.slash("ray create", prompt="anything")
    await (await soon(client.asked)).response.send_modal(form)
    assert (await ana.modal(asked))["title"] == "Animate"

    with pytest.raises(NotPossible, match="required"):
        await ana.submit_modal(asked)
    filled = await ana.submit_modal(asked, {"Prompt": "slow zoom\nto the left", "End frame": PNG})
    interaction = await soon(form.sent)
    prompt, length, frame = (each.component for each in form.children)  # type: ignore[attr-defined]
    assert (prompt.value, length.values) == ("slow zoom\nto the left", ["5s"])
    assert await frame.values[0].read() == PNG
    await interaction.response.send_message("Started", ephemeral=True)
    assert [each.content for each in ana.ephemeral(filled)] == ["Started"]


async def test_a_form_is_filled_in_only_once_its_client_knows_of_it(
    server: DiscordServer, ana: Person, opened: Opened
) -> None:
    client, form = await opened(), Form()
    asked = await ana.slash("ray create", prompt="anything")
    interaction = await soon(client.asked)
    gate = server.faults.hold("POST", "/callback$", when="after")
    async with asyncio.TaskGroup() as group:
        group.create_task(interaction.response.send_modal(form))
        await ana.modal(asked)
        group.create_task(ana.submit_modal(asked, {"Prompt": "slow zoom"}))
        await asyncio.sleep(0)
        await ana.say(ana.here, f"<@{server.app.id}> what came before this is heard now")
        await soon(client.heard)
        gate.open()
        await soon(form.sent)


class Panel(discord.ui.View):
    def __init__(self, *ids: str) -> None:
        super().__init__(timeout=None)
        for each in ids:
            self.add_item(discord.ui.Button(label=each.title(), custom_id=f"ray:{each}"))


async def test_buttons_are_pressed_and_change_their_message(
    server: DiscordServer, ana: Person, opened: Opened
) -> None:
    client = await opened()
    place = client.get_partial_messageable(ana.here.id)
    await place.send("A clip", view=Panel("retry", "delete"), file=_clip())
    clip = await server.wait_message(ana.here)
    assert list(clip.buttons) == ["Retry", "Delete"]
    assert clip.files == {"clip.mp4": b"moving"}

    pressed = await ana.click(clip, "Retry")
    interaction = await soon(client.asked)
    assert interaction.custom_id == "ray:retry"
    assert interaction.message.attachments[0].filename == "clip.mp4"
    await interaction.response.edit_message(content="Again", view=Panel("cancel"))
    assert pressed.original is clip
    assert (clip.content, list(clip.buttons), clip.files) == (
        "Again", ["Cancel"], {"clip.mp4": b"moving"}
    )  # fmt: skip
    with pytest.raises(NotPossible):
        await ana.click(clip, "ray:delete")

    await ana.click(clip, "ray:cancel")
    interaction = await soon(client.asked)
    await interaction.response.defer()
    await interaction.delete_original_response()
    assert server.messages(ana.here) == []
    assert clip.is_deleted


def _clip(size: int = 0) -> discord.File:
    content = b"moving" if not size else bytes(size)
    return discord.File(io.BytesIO(content), "clip.mp4", description="A fox")


async def test_the_gallery_of_a_layout_hides_its_files_from_the_list(
    server: DiscordServer, ana: Person, opened: Opened
) -> None:
    client = await opened()
    view = discord.ui.LayoutView(timeout=None)
    gallery: discord.ui.MediaGallery[discord.ui.LayoutView] = discord.ui.MediaGallery()
    gallery.add_item(media="attachment://clip.mp4", description="A fox")
    view.add_item(discord.ui.Container(discord.ui.TextDisplay("A fox for <@1>"), gallery))
    place = client.get_partial_messageable(ana.here.id)
    sent = await place.send(view=view, file=_clip())
    assert (sent.attachments, sent.flags.components_v2) == ([], True)
    (clip,) = server.said(ana.here)
    assert (clip.text, clip.files) == ("A fox for <@1>", {"clip.mp4": b"moving"})
    with pytest.raises(discord.HTTPException) as error:
        await place.send("words", view=view, file=_clip())  # type: ignore[call-overload]
    assert code(error) == (400, 50035)
    assert "content" in str(error.value)


class Confirm(discord.ui.View):
    """Buttons on a private message: one changes it, one opens a modal."""

    def __init__(self, form: Form) -> None:
        super().__init__(timeout=None)
        self._form = form
        self.length: discord.ui.Select[Confirm] = discord.ui.Select(
            custom_id="length", options=[discord.SelectOption(label=each) for each in ("5s", "9s")]
        )
        self.length.callback = self._pick  # type: ignore[method-assign]
        self.add_item(self.length)

    async def _pick(self, interaction: discord.Interaction) -> None:
        await interaction.response.edit_message(content=f"Picked {self.length.values}")

    @discord.ui.button(label="Remix", custom_id="remix")
    async def remix(self, interaction: discord.Interaction, _: Any) -> None:
        await interaction.response.send_modal(self._form)


async def test_a_private_message_has_parts_that_only_its_reader_uses(
    server: DiscordServer, guild: Guild, ana: Person, opened: Opened
) -> None:
    client, form = await opened(), Form()
    thread = await ana.open_thread(ana.here, "a thread")
    asked = await ana.slash("ray create", thread, prompt="a red fox")
    interaction = await soon(client.asked)
    assert (type(interaction.channel), interaction.channel.name) == (discord.Thread, "a thread")
    await interaction.response.send_message("Sure?", view=Confirm(form), ephemeral=True)
    message = await ana.answer(asked)
    with pytest.raises(NotPossible):
        await server.person("Bob", guild).click(message, "Remix")

    picked = await ana.choose(message, "length", "9s")
    await server.wait_for(lambda: picked.answer)
    assert message.content == "Picked ['9s']"
    pressed = await ana.click(message, "Remix")
    await ana.modal(pressed)
    await ana.submit_modal(pressed, {"Prompt": "faster"})
    await (await soon(form.sent)).response.edit_message(content="Started", view=None)
    assert (message.content, message.components) == ("Started", [])
    assert [each.content for each in message.versions] == ["Sure?", "Picked ['9s']"]
    assert server.messages(thread) == []


async def test_a_command_works_in_the_conversation_with_the_bot(
    server: DiscordServer, ana: Person, opened: Opened
) -> None:
    client = await opened()
    asked = await ana.slash("ray create", ana.dm, prompt="a red fox")
    interaction = await soon(client.asked)
    assert (interaction.guild, interaction.context.dm_channel) == (None, True)
    await interaction.response.send_message("Started")
    assert server.said(ana.dm) == [await ana.answer(asked)]
    with pytest.raises(NotPossible, match="installed"):
        await ana.slash("ray create", server.group(ana, server.person("Bob")), prompt="a fox")


async def test_commands_keep_to_their_default_permissions_and_places(
    server: DiscordServer, guild: Guild, ana: Person, opened: Opened
) -> None:
    client = with_commands(Client())

    @client.tree.command(name="ray-admin", description="For those in charge")
    @app_commands.default_permissions(manage_guild=True)
    @app_commands.guild_only()
    async def admin(
        interaction: discord.Interaction, channel: discord.TextChannel, who: discord.Member
    ) -> None:
        interaction.extras.update(channel=channel, who=who)
        client.asked.put_nowait(interaction)

    await opened(client)
    with pytest.raises(NotPossible):
        await ana.slash("ray-admin", channel=ana.here, who=ana.user)
    mod = server.person("Mod", guild, allows=Permission.MANAGE_GUILD)
    with pytest.raises(NotPossible):
        await mod.slash("ray-admin", mod.dm, channel=ana.here, who=ana.user)
    await mod.slash("ray-admin", channel=mod.here, who=ana.user)
    interaction = await soon(client.asked)
    assert interaction.permissions.manage_guild
    assert (interaction.extras["channel"].id, interaction.extras["who"].id) == (
        mod.here.id,
        ana.id,
    )


# ---- messages ----------------------------------------------------------------------------------


@pytest.mark.parametrize("granted", [False, True])
async def test_a_reply_to_a_stranger_is_stripped_unless_the_intent_is_granted(
    server: DiscordServer, guild: Guild, ana: Person, opened: Opened, granted: bool
) -> None:
    server.app.granted = Intent.MESSAGE_CONTENT if granted else Intent.NONE
    asked = discord.Intents(INTENTS.value)
    asked.message_content = granted
    client = await opened(Client(asked))
    bob = server.person("Bob", guild)
    image = await bob.say(bob.here, "my fox", files=[PNG])
    await soon(client.heard)
    said = f"<@{server.app.id}> slow zoom"
    await ana.say(ana.here, said, reply_to=image)

    heard = await soon(client.heard)
    assert (heard.content, heard.author.id) == (said, ana.id)
    assert client.user in heard.mentions
    quoted = heard.reference.resolved
    assert quoted.author.id == bob.id
    assert [each.filename for each in quoted.attachments] == (["image.png"] if granted else [])
    fetched = await heard.channel.fetch_message(image.id)
    assert bool(fetched.attachments) is granted


async def test_a_pinging_reply_to_the_bot_and_its_conversation_are_readable(
    server: DiscordServer, ana: Person, opened: Opened
) -> None:
    client = await opened()
    await client.get_partial_messageable(ana.here.id).send("A clip")
    (clip,) = server.said(ana.here)
    await ana.say(ana.here, "faster", reply_to=clip)
    assert (await soon(client.heard)).content == "faster"
    await ana.say(ana.here, "slower", reply_to=clip, ping=False)
    assert (await soon(client.heard)).content == ""
    await ana.say(ana.dm, "only us", files=[PNG])
    heard = await soon(client.heard)
    assert (heard.content, heard.guild, len(heard.attachments)) == ("only us", None, 1)


async def test_a_forward_carries_a_copy(
    server: DiscordServer, guild: Guild, ana: Person, opened: Opened
) -> None:
    server.app.granted = Intent.MESSAGE_CONTENT
    asked = discord.Intents(INTENTS.value)
    asked.message_content = True
    client = await opened(Client(asked))
    other = server.channel(guild, "other")
    image = await ana.say(ana.here, "my fox", files=[PNG])
    await soon(client.heard)
    await ana.forward(image, other)
    heard = await soon(client.heard)
    assert (heard.content, heard.attachments) == ("", [])
    (copy,) = heard.message_snapshots
    assert (copy.content, copy.attachments[0].filename) == ("my fox", "image.png")


async def test_a_nonce_posts_once_in_its_window_and_never_after_deletion(
    server: DiscordServer, ana: Person, opened: Opened
) -> None:
    place = (await opened()).get_partial_messageable(ana.here.id)
    first = await place.send("A clip", nonce="ray-r-7k2m9q", file=_clip())
    again = await place.send("A clip", nonce="ray-r-7k2m9q", file=_clip())
    assert (again.id, again.nonce, len(server.said(ana.here))) == (first.id, "ray-r-7k2m9q", 1)
    history = [each async for each in place.history()]
    assert [(each.id, each.nonce) for each in history] == [(first.id, None)]

    await first.delete()
    with pytest.raises(discord.NotFound) as error:
        await place.send("A clip", nonce="ray-r-7k2m9q")
    assert code(error) == (404, 10008)
    server.clock.move(minutes=6)
    assert (await place.send("A clip", nonce="ray-r-7k2m9q")).id != first.id


async def test_a_file_over_the_limit_is_refused(
    server: DiscordServer, guild: Guild, ana: Person, opened: Opened
) -> None:
    place = (await opened()).get_partial_messageable(ana.here.id)
    with pytest.raises(discord.HTTPException) as error:
        await place.send(file=_clip(20 * 1024 * 1024 + 1))
    assert code(error) == (413, 40005)
    guild.boost_tier = 2
    await place.send(file=_clip(20 * 1024 * 1024 + 1))
    assert len(server.said(ana.here)) == 1


async def test_permissions_that_lack_are_named_by_their_codes(
    server: DiscordServer, guild: Guild, ana: Person, opened: Opened
) -> None:
    client = await opened()
    server.overwrite(ana.here, server.app.bot, deny=Permission.ATTACH_FILES)
    place = client.get_partial_messageable(ana.here.id)
    image = await ana.say(ana.here, "look")
    await place.get_partial_message(image.id).reply("words alone")
    with pytest.raises(discord.Forbidden) as error:
        await place.send(file=_clip())
    assert code(error) == (403, 50013)
    server.overwrite(ana.here, server.app.bot, deny=Permission.READ_MESSAGE_HISTORY)
    with pytest.raises(discord.HTTPException) as no_history:
        await place.get_partial_message(image.id).reply("here")
    assert code(no_history) == (400, 160002)
    server.overwrite(ana.here, server.app.bot, deny=Permission.VIEW_CHANNEL)
    with pytest.raises(discord.Forbidden) as unseen:
        await place.send("words")
    assert code(unseen) == (403, 50001)
    ana.user.accepts_direct_messages = False
    user = await client.fetch_user(ana.id)
    with pytest.raises(discord.Forbidden) as closed:
        await user.send("psst")
    assert code(closed) == (403, 50007)


async def test_only_who_is_allowed_is_pinged(
    server: DiscordServer, guild: Guild, ana: Person, opened: Opened
) -> None:
    place = (await opened()).get_partial_messageable(ana.here.id)
    bob = server.person("Bob", guild)
    words = f"{ana.mention} {bob.mention} @everyone"
    only = discord.AllowedMentions(everyone=False, roles=False, users=[discord.Object(ana.id)])
    await place.send(words, allowed_mentions=only)
    assert server.pinged().users == {ana.id}
    assert not server.pinged().everyone
    loud = await place.send("quiet")
    # An edit that says nothing of mentions is read with the defaults.
    await loud.edit(content=words, allowed_mentions=discord.AllowedMentions.all())
    assert server.pinged().users == {ana.id, bob.id}


async def test_old_messages_take_three_edits_in_six_seconds(
    server: DiscordServer, ana: Person, opened: Opened
) -> None:
    place = (await opened()).get_partial_messageable(ana.here.id)
    message = await place.send("0")
    server.clock.move(hours=2)
    for number in range(3):
        await message.edit(content=str(number))
    client_waits = asyncio.ensure_future(message.edit(content="4"))
    await server.wait_request("PATCH", "/messages/", count=4)
    assert server.requests[-1].code == 30046
    client_waits.cancel()


# ---- threads -----------------------------------------------------------------------------------


async def test_threads_open_once_and_wake_when_spoken_in(
    server: DiscordServer, ana: Person, opened: Opened
) -> None:
    client = await opened()
    channel: Any = client.get_channel(ana.here.id)
    message = await channel.send("A request")
    thread = await message.create_thread(name="a red fox")
    assert thread.id == message.id
    with pytest.raises(discord.HTTPException) as twice:
        await message.create_thread(name="again")
    assert code(twice) == (400, 160004)

    status = await thread.send("Queued")
    place = server.world.channels[thread.id]
    await ana.archive(place)
    with pytest.raises(discord.HTTPException) as asleep:
        await status.edit(content="Generating")
    assert code(asleep) == (400, 50083)
    await thread.send("Done")
    assert not place.is_archived
    await ana.archive(place, lock=True)
    with pytest.raises(discord.HTTPException) as locked:
        await thread.send("More")
    assert code(locked) == (400, 160005)


async def test_forums_take_tagged_posts_and_no_messages(
    server: DiscordServer, guild: Guild, ana: Person, opened: Opened
) -> None:
    clips = server.channel(guild, "clips", Kind.FORUM, tags=("fox",), is_tag_required=True)
    client = await opened()
    forum: Any = client.get_channel(clips.id)
    with pytest.raises(discord.HTTPException) as direct:
        await client.get_partial_messageable(clips.id).send("A clip")
    assert code(direct) == (400, 40058)
    with pytest.raises(discord.HTTPException) as untagged:
        await forum.create_thread(name="a red fox", content="A clip")
    assert code(untagged) == (400, 40067)
    made = await forum.create_thread(
        name="a red fox", content="A clip", file=_clip(), applied_tags=forum.available_tags
    )
    post = server.world.channels[made.thread.id]
    assert (post.parent, server.said(post)[0].files) == (clips, {"clip.mp4": b"moving"})

    theirs = await ana.post(clips, "mine", "look", files=[PNG], tags=["fox"])
    heard = await soon(client.heard)
    assert (heard.channel.id, heard.channel.name) == (theirs.id, "mine")
    with pytest.raises(NotPossible):
        await ana.say(clips, "hello")


# ---- faults ------------------------------------------------------------------------------------


async def test_a_429_is_waited_for_only_behind_a_proxy(
    server: DiscordServer, ana: Person, opened: Opened
) -> None:
    place = (await opened()).get_partial_messageable(ana.here.id)
    server.faults.too_many("POST", "/messages$", retry_after=0.02)
    await place.send("One")
    assert [each.status for each in server.requests_to("POST", "/messages$")] == [429, 200]
    server.faults.too_many("POST", "/messages$", via=False)
    with pytest.raises(discord.HTTPException) as banned:
        await place.send("Two")
    assert code(banned) == (429, 0)
    assert [each.content for each in server.said(ana.here)] == ["One"]
    assert server.invalid_requests == 2


async def test_a_connection_that_breaks_after_the_effect_is_repeated_by_nonce(
    server: DiscordServer, ana: Person, opened: Opened
) -> None:
    place = (await opened()).get_partial_messageable(ana.here.id)
    server.faults.drop("POST", "/messages$", when="after")
    with pytest.raises(aiohttp.ClientError):
        await place.send("One", nonce="n1")
    assert (await place.send("One", nonce="n1")).id == server.said(ana.here)[0].id
    server.faults.error("POST", "/messages$", 503, 130000)
    with pytest.raises(discord.DiscordServerError):
        await place.send("Two")
    assert server.faults.left == 0


async def test_a_limit_is_kept_by_a_client_that_reads_headers(
    server: DiscordServer, ana: Person, opened: Opened
) -> None:
    place = (await opened()).get_partial_messageable(ana.here.id)
    server.limits.add("POST", "/messages$", count=2, seconds=0.2)
    for number in range(4):
        await place.send(str(number))
    assert [each.status for each in server.requests_to("POST", "/messages$")] == [200] * 4


async def test_a_link_expires_and_can_be_refreshed(
    server: DiscordServer, ana: Person, opened: Opened
) -> None:
    client = await opened()
    image = await ana.say(ana.dm, files=[PNG])
    link = (await soon(client.heard)).attachments[0]
    assert await link.read() == PNG
    server.clock.move(hours=25)
    with pytest.raises(discord.NotFound):
        await link.read()
    route = Route("POST", "/attachments/refresh-urls")
    answer = await client.http.request(route, json={"attachment_urls": [link.url]})
    fresh = answer["refreshed_urls"][0]["refreshed"]
    assert await client.http.get_from_cdn(fresh) == PNG
    await ana.delete(image)
    with pytest.raises(discord.NotFound):
        await client.http.get_from_cdn(fresh)
    assert [each.status for each in server.cdn.fetches] == [200, 404, 200, 404]


async def test_a_reconnect_replays_what_was_missed(
    server: DiscordServer, ana: Person, opened: Opened
) -> None:
    client = await opened()
    (session,) = server.gateway.connected
    server.gateway.ask_to_reconnect()
    await server.wait_for(lambda: session.connection is None)
    await ana.say(ana.here, f"<@{server.app.id}> while you were away")
    await ana.slash("ray create", prompt="a red fox")
    assert (await soon(client.heard)).content.endswith("while you were away")
    await (await soon(client.asked)).response.defer()
    await asyncio.wait_for(client.resumed.wait(), 30)
    assert (session.resumes, len(server.gateway.identifies)) == (1, 1)


async def test_a_session_that_is_over_begins_anew(
    server: DiscordServer, ana: Person, opened: Opened
) -> None:
    client = await opened()
    (before,) = server.gateway.connected
    server.gateway.invalidate()
    await server.wait_for(lambda: len(server.gateway.identifies) == 2)
    (after,) = server.gateway.connected
    assert after is not before
    await ana.say(ana.here, f"<@{server.app.id}> hello again")
    assert (await soon(client.heard)).content.endswith("hello again")


async def test_a_cut_connection_is_resumed_and_no_event_is_lost(
    server: DiscordServer, ana: Person, opened: Opened
) -> None:
    client = await opened()
    (session,) = server.gateway.connected
    server.gateway.drop_all()
    await ana.say(ana.here, f"<@{server.app.id}> meanwhile")
    assert (await soon(client.heard)).content.endswith("meanwhile")
    assert session.resumes == 1


async def test_a_held_request_goes_on_when_the_gate_opens(
    server: DiscordServer, ana: Person, opened: Opened
) -> None:
    place = (await opened()).get_partial_messageable(ana.here.id)
    gate = server.faults.hold("POST", "/messages$", when="after")
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(place.send("One"))
        await asyncio.wait_for(gate.reached.wait(), 30)
        assert (await server.wait_message(ana.here)).text == "One"
        assert not sending.done()
        gate.open()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"content": 7}, "content"),
        ({"content": "x" * 2001}, "content"),
        ({"embeds": [None]}, "embeds.0"),
        ({"components": [{"type": 17}]}, "components.0.type"),
        ({"content": "x", "message_reference": {"message_id": "1"}}, "message_reference"),
        ({"content": "x", "nonce": "n" * 26}, "nonce"),
        ({"content": "x", "allowed_mentions": {"parse": ["users"], "users": ["1"]}}, "allowed"),
    ],
)
async def test_a_malformed_body_is_refused_by_its_fields(
    ana: Person, opened: Opened, body: Any, field: str
) -> None:
    client = await opened()
    route = Route("POST", "/channels/{channel_id}/messages", channel_id=ana.here.id)
    with pytest.raises(discord.HTTPException) as error:
        await client.http.request(route, json=body)
    assert code(error) == (400, 50035)
    assert f"In {field}" in str(error.value)


# ---- elsewhere ---------------------------------------------------------------------------------


async def test_an_app_that_only_the_person_installed_is_a_guest(
    server: DiscordServer, opened: Opened
) -> None:
    abroad = server.guild("Abroad", has_bot=False)
    client = await opened()
    cleo = server.person("Cleo", abroad)
    with pytest.raises(NotPossible):
        await cleo.slash("ray create", prompt="a red fox")
    cleo.install_app()
    asked = await cleo.slash("ray create", prompt="a red fox")
    interaction = await soon(client.asked)
    assert interaction.is_user_integration()
    assert not interaction.is_guild_integration()
    await interaction.response.send_message("Here")
    for number in range(5):
        await interaction.followup.send(str(number))
    with pytest.raises(discord.HTTPException) as enough:
        await interaction.followup.send("6")
    assert code(enough) == (400, 40094)
    with pytest.raises(discord.Forbidden) as absent:
        await client.get_partial_messageable(cleo.here.id).send("Hello")
    assert code(absent) == (403, 50001)
    assert asked.is_private is False

    abroad.roles[abroad.id].permissions &= ~Permission.USE_EXTERNAL_APPS
    hidden = await cleo.slash("ray create", prompt="a red fox")
    await (await soon(client.asked)).response.send_message("Here")
    assert hidden.is_private


async def test_shards_hear_only_their_servers(server: DiscordServer) -> None:
    guilds = [server.guild(f"G{number}", guild_id=(number + 1) << 22) for number in range(2)]
    people = [server.person(f"P{number}", each) for number, each in enumerate(guilds)]
    server.account.shards = 2
    client = Client(shard_count=None)
    async with running(server, client):
        await server.wait_connected(shards=2)
        for person in people:
            await person.say(person.here, f"<@{server.app.id}>")
            heard = await soon(client.heard)
            assert heard.guild.shard_id == (person.here.guild.id >> 22) % 2  # type: ignore[union-attr]


async def test_a_whole_server_is_told_at_once(server: DiscordServer, opened: Opened) -> None:
    client = await opened()
    joining = asyncio.ensure_future(client.wait_for("guild_join", timeout=30))
    town = server.guild("Town", size=Size(channels=12, roles=6, threads=3))
    joined = await joining
    assert (joined.id, len(joined.roles), len(joined.threads)) == (town.id, 8, 3)
    assert (len(joined.text_channels), len(joined.categories)) == (11, 2)
    inside = joined.text_channels[1]
    assert inside.category is not None
    assert {str(role) for role in inside.overwrites} == {"Role number 1", "Role number 2"}
    [session] = server.gateway.connected
    assert session.heard.count("CHANNEL_CREATE") == 1, "the one that every server has"


# ---- the document ------------------------------------------------------------------------------


async def test_what_discord_py_sends_fits_the_official_document(
    server: DiscordServer, ana: Person, opened: Opened
) -> None:
    client = await opened()
    await ana.slash("ray create", prompt="a red fox", start_frame=PNG)
    interaction = await soon(client.asked)
    await interaction.response.defer(thinking=True, ephemeral=True)
    await interaction.edit_original_response(content="Started", view=Panel("cancel"))
    await interaction.followup.send("And more")
    allowed = discord.AllowedMentions(users=[discord.Object(ana.id)])
    embed = discord.Embed(title="A fox", description="in snow")
    channel: Any = client.get_channel(ana.here.id)
    sent = await channel.send(
        "A clip", embed=embed, file=_clip(), view=Panel("retry"), allowed_mentions=allowed
    )
    await sent.edit(content="Changed", attachments=[*sent.attachments, _clip()])
    await sent.reply("There", mention_author=False)
    await (await sent.create_thread(name="a red fox")).send("In here")
    await client.get_partial_messageable(ana.here.id).typing()
    await sent.delete()
    assert len(server.requests) > 10
    assert check_requests(server.requests) == []


def test_a_slip_of_the_pen_is_found() -> None:
    def request(method: str, path: str, body: Any, **query: str) -> Request:
        return Request(
            method=method, path=path, query=query, headers={}, body=body, files=(),
            at=DiscordServer().clock.now(), status=200,
        )  # fmt: skip

    button = {"type": 2, "style": 1, "custom_id": "a", "label": "x" * 81}
    for wrong in (
        request("POST", "/channels/1/messages", {"contents": "hello"}),
        request("POST", "/channels/1/messages", {"content": "hello", "nonce": "n" * 26}),
        request(
            "POST", "/channels/1/messages", {"components": [{"type": 1, "components": [button]}]}
        ),
        request("POST", "/channels/1/message", {"content": "hello"}),
        request("POST", "/channels/1/messages", {"content": "hello"}, wait="1"),
        request("PUT", "/applications/1/commands", [{"name": "ray", "description": "d" * 101}]),
    ):
        assert len(load_openapi().findings(wrong)) == 1, wrong.body
    right = request("POST", "/channels/1/messages", {"content": "hello", "nonce": "n"})
    assert load_openapi().findings(right) == []


def test_time_passes_only_when_it_is_moved() -> None:
    server = DiscordServer()
    before = server.world.snowflake()
    server.clock.move(days=1)
    passed = (server.world.snowflake() >> 22) - (before >> 22)
    assert timedelta(milliseconds=passed) >= timedelta(days=1)


# ---- in a process of its own -------------------------------------------------------------------


async def test_it_can_be_steered_from_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    async with outside(guild_id=7 << 22) as remote, asyncio.TaskGroup() as group:
        monkeypatch.setattr(Route, "BASE", remote.api_base_url)
        monkeypatch.setattr(DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(remote.gateway_url))
        client = with_commands(Client())
        task = group.create_task(client.start(remote.token))
        await remote.wait("connected")
        here = remote.start["channel"]
        assert remote.start["guild"]["id"] == str(7 << 22)

        asked = await remote.call("Ana", "slash", "ray create", prompt="a fox", start_frame=PNG)
        interaction = await soon(client.asked)
        await interaction.response.defer(ephemeral=True)
        await interaction.edit_original_response(content="Started")
        answer = await remote.wait("answer", interaction=asked)
        assert (answer["text"], answer["is_ephemeral"]) == ("Started", True)

        await remote.call("faults", "error", "POST", "/messages$", 403, 50013)
        place = client.get_partial_messageable(int(here["id"]))
        with pytest.raises(discord.Forbidden):
            await place.send("A clip")
        await place.send("A clip", file=_clip(), view=Panel("retry"))
        clip = await remote.wait("message", channel=here, text="clip", files=True)
        assert await remote.file(clip["files"]["clip.mp4"]) == b"moving"
        await remote.call("Ana", "click", clip, "Retry")
        assert (await soon(client.asked)).custom_id == "ray:retry"
        with pytest.raises(NotPossible):
            await remote.call("Ana", "click", clip, "Delete")
        posts = await remote.requests("POST", "/channels/.*/messages$")
        assert [(each["status"], each["code"]) for each in posts] == [(403, 50013), (200, None)]
        assert (await remote.call("server", "pinged"))["users"] == []

        gate = await remote.call("faults", "hold", "POST", "/messages$", when="after")
        sending = group.create_task(place.send("Later"))
        await remote.wait("gate", gate=gate)
        assert (await remote.wait("message", channel=here))["text"] == "Later"
        assert not sending.done()
        await remote.call(gate, "open")
        await sending
        with pytest.raises(AssertionError):
            await remote.wait("left", seconds=0.01)
        await client.close()
        await remote.wait("left")
        task.cancel()
