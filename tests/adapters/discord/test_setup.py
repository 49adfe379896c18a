"""Who sets the bot up learns what Discord thinks of it: token, portal, commands, permissions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from copy import deepcopy
from typing import Any

import discord
import pytest

from adapters.discord import Settings, check, install, introduce, setup
from adapters.discord.refusals import SIGN_IN_REFUSED
from bot.dialects import dream_machine
from bot.errors import ConfigError, DeliveryUnavailable
from bot.ports import ModelCapabilities
from tests.adapters.discord.conftest import GUILD, Community, hold_closing
from tests.discord_server import DiscordServer, Guild, Intent, Kind, Permission
from tests.discord_server.permissions import BOT
from tests.ports import free_port

NONE: dict[str, Collection[str]] = {}
MODELS = (*dream_machine.MODELS.values(), *dream_machine.STILLS.values())
HERE: dict[str, Collection[str]] = {str(GUILD): ()}


def to_settings(server: DiscordServer, **values: Any) -> Settings:
    table = {"token": server.token, "api_base_url": server.api_base_url, **values}
    return Settings.model_validate(table)


@pytest.fixture
def foxes(discord_server: DiscordServer) -> Guild:
    return discord_server.guild("Foxes", guild_id=GUILD)


async def said(
    server: DiscordServer,
    served: dict[str, Collection[str]] | None = None,
    *,
    models: Sequence[ModelCapabilities] = MODELS,
    **values: Any,
) -> tuple[list[str], list[str]]:
    """What is well, and what needs the operator."""
    given = HERE if served is None else served
    settings = to_settings(server, **values)
    findings = await check(settings, served=given, models=models, seconds=5)
    assert all(each.sentence.startswith("discord: ") for each in findings)
    told = [(each.is_well, each.sentence.removeprefix("discord: ")) for each in findings]
    return [text for is_well, text in told if is_well], [text for ok, text in told if not ok]


# ---- the token and the portal -----------------------------------------------------------------


async def test_a_good_token_is_proved_and_names_its_bot(
    discord_server: DiscordServer, foxes: Guild
) -> None:
    well, amiss = await said(discord_server)
    app = discord_server.app
    assert well[0] == f"the token is good, this is Ray ({app.id}), owned by {app.owner.name}"
    assert well[1].startswith("anybody may add the bot to a server")
    assert well[-1] == f"Foxes ({GUILD}): the bot can post in 1 channel"
    assert amiss == []
    assert {each.method for each in discord_server.requests} == {"GET"}, "nothing is changed"
    assert discord_server.gateway.connected == []


async def test_a_wrong_token_is_one_line_without_the_token(discord_server: DiscordServer) -> None:
    well, [amiss] = await said(discord_server, token="MTIz.wrong.token")
    assert well == []
    assert amiss == SIGN_IN_REFUSED
    with pytest.raises(ConfigError, match="token: missing"):
        await check(to_settings(discord_server, token=" "), served=NONE, models=MODELS)


async def test_offline_is_one_clear_line(discord_server: DiscordServer) -> None:
    dead = f"http://127.0.0.1:{free_port()}/api/v10"
    assert await said(discord_server, api_base_url=dead) == (
        [],
        ["127.0.0.1 cannot be reached. If this machine is online, look at api_base_url"],
    )
    lost = discord_server.base_url + "/nowhere"
    _, [amiss] = await said(discord_server, api_base_url=lost)
    assert amiss == "127.0.0.1 answered 404; check again later"


async def test_a_discord_that_says_nothing_holds_nobody_up(discord_server: DiscordServer) -> None:
    discord_server.faults.hold("GET", "/users/@me")
    settings = to_settings(discord_server)
    found = await check(settings, served=HERE, models=MODELS, seconds=0.1)
    assert [each.sentence for each in found] == ["discord: 127.0.0.1 did not answer in time"]


async def test_a_stop_while_its_client_closes_leaves_no_connection_open(
    discord_server: DiscordServer, foxes: Guild, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing = hold_closing(monkeypatch)
    asking = asyncio.ensure_future(introduce(to_settings(discord_server), seconds=5))
    async with asyncio.timeout(30):
        http = await closing.get()
        asking.cancel()
        await asyncio.wait({asking})
    assert http.connector.closed


async def test_wrong_switches_of_the_portal_are_named(
    discord_server: DiscordServer, foxes: Guild
) -> None:
    app = discord_server.app
    app.interactions_endpoint_url = "https://example.org/interactions"
    app.requires_code_grant, app.installs, app.is_public = True, {"1"}, False
    well, amiss = await said(discord_server)
    assert "only its owner can add the bot to servers (Public Bot is off)" in well
    endpoint, grant, installs = amiss
    assert "Interactions Endpoint URL" in endpoint
    assert "Code Grant" in grant
    assert "Guild Install" in installs


@pytest.mark.parametrize(
    ("wanted", "is_granted", "is_well", "says"),
    [
        ("auto", True, True, "is granted: a reply to an image animates it"),
        ("auto", False, True, "cannot animate them; Apps > Animate with Ray works all the same"),
        ("on", True, True, "is granted"),
        ("on", False, False, "is not granted"),
        ("off", True, True, 'message_content = "off"'),
    ],
)
async def test_whether_messages_may_be_read_and_what_it_means(
    discord_server: DiscordServer,
    foxes: Guild,
    wanted: str,
    says: str,
    *,
    is_granted: bool,
    is_well: bool,
) -> None:
    discord_server.app.granted = Intent.MESSAGE_CONTENT if is_granted else Intent.NONE
    told = await said(discord_server, message_content=wanted)
    assert [each for each in told[0 if is_well else 1] if says in each]


# ---- commands ---------------------------------------------------------------------------------


async def test_commands_are_compared_with_this_versions(
    open_community: Callable[..., Any], discord_server: DiscordServer
) -> None:
    discord_server.guild("Owls")
    well, amiss = await said(discord_server, NONE)
    assert "there are no commands yet; the next start of Raybot brings them up to date" in well
    _, amiss = await said(discord_server, NONE, sync_commands=False)
    assert "there are no commands yet; sync_commands is off" in amiss[0]
    community: Community = await open_community()
    well, amiss = await said(community.discord)
    assert "the commands are those of this version" in well
    assert amiss == []
    community.discord.commands.all(None)[0]["options"].pop(0)
    _, [missing] = await said(community.discord)
    assert missing == (
        "the commands are not those of this version (/ray create is missing); the next start of "
        "Raybot brings them up to date"
    )


def part(command: dict[str, Any], *names: str) -> dict[str, Any]:
    """The part of a command with these names, one within the other."""
    for name in names:
        [command] = [each for each in command["options"] if each["name"] == name]
    return command


def blur(command: dict[str, Any]) -> None:
    """Write a command as Discord may: with fields that nobody sent, without some that were."""
    for each in command.get("options", []):
        blur(each)
    command["name_localizations"] = command["description_localizations"] = None
    if "version" in command:
        command |= {"dm_permission": command["dm_permission"], "integration_types": [0]}
        command["contexts"] = [0, 1, 2] if command["dm_permission"] else [0]
        if command["default_member_permissions"] is not None:
            command["default_member_permissions"] = str(command["default_member_permissions"])
        command["handler"] = 1
    for name in ("required", "nsfw", "autocomplete"):
        if not command.get(name, True):
            del command[name]
    if command.get("options") == []:
        del command["options"]


CHANGES: dict[str, Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], Any]] = {
    "/ray: its description": lambda ray, _, __: ray.update(description="Clips"),
    "/ray show: its description": lambda ray, _, __: part(ray, "show").update(description="One"),
    "/ray create: resolution": lambda ray, _, __: part(ray, "create", "resolution")[
        "choices"
    ].pop(),
    "/ray create: duration": lambda ray, _, __: part(ray, "create", "duration")[
        "choices"
    ].reverse(),
    "/ray animate: image": lambda ray, _, __: part(ray, "animate", "image").update(
        description="Which"
    ),
    "/ray animate: loop": lambda ray, _, __: part(ray, "animate")["options"].remove(
        part(ray, "animate", "loop")
    ),
    "/ray create: camera": lambda ray, _, __: part(ray, "create", "camera").pop("autocomplete"),
    "/ray create: prompt": lambda ray, _, __: part(ray, "create", "prompt").update(max_length=9),
    "/ray jobs: page": lambda ray, _, __: part(ray, "jobs", "page").update(min_value=0),
    "/ray show: id": lambda ray, _, __: part(ray, "show", "id").update(required=False),
    "/ray create: the order of its options": lambda ray, _, __: part(ray, "create")[
        "options"
    ].insert(1, part(ray, "create")["options"].pop()),
    "/ray fly is not of this version": lambda ray, _, __: ray["options"].append(
        {"type": 1, "name": "fly", "description": "Up", "options": []}
    ),
    "/ray-admin: its permissions": lambda _, admin, __: admin.update(
        default_member_permissions=None
    ),
    "/ray-admin: its places": lambda _, admin, __: admin.update(dm_permission=True),
    "Apps > Animate with Ray: its age restriction": lambda _, __, menu: menu.update(nsfw=True),
}


@pytest.mark.parametrize("where", ["everywhere", "one server"])
async def test_every_part_of_a_command_is_compared(
    open_community: Callable[..., Any], foxes: Guild, where: str
) -> None:
    adapter: dict[str, Any] = {"dev_guild_ids": [GUILD]} if where == "one server" else {}
    community: Community = await open_community(adapter)
    scope = GUILD if where == "one server" else None
    kept = deepcopy(community.discord.commands.all(scope))
    for what, change in CHANGES.items():
        if "places" in what and where == "one server":
            continue  # Of a server's own commands Discord tells none.
        community.discord.commands.all(scope)[:] = there = deepcopy(kept)
        change(*there)
        _, [amiss] = await said(community.discord, **adapter)
        assert f" are not those of this version ({what}); the next start" in amiss


async def test_what_discord_adds_of_its_own_is_no_difference(
    open_community: Callable[..., Any],
) -> None:
    community: Community = await open_community()
    for each in community.discord.commands.all():
        blur(each)
    well, amiss = await said(community.discord)
    assert "the commands are those of this version" in well
    assert amiss == []


async def test_choices_are_those_of_the_video_services_of_today(
    open_community: Callable[..., Any],
) -> None:
    community: Community = await open_community()
    _, [amiss] = await said(community.discord, models=(MODELS[0], *MODELS[2:]))
    assert "(/ray create: model; /ray animate: model; /ray story: model)" in amiss
    well, amiss_without = await said(community.discord, models=())
    assert "the commands are not looked at, as no video service can be asked for one" in well
    assert amiss_without == []


async def test_many_differences_are_a_few_words(open_community: Callable[..., Any]) -> None:
    community: Community = await open_community()
    [ray, _, menu] = community.discord.commands.all()
    community.discord.commands.all()[:] = [ray, menu]
    for each in part(ray, "create")["options"]:
        each["description"] = "?"
    _, [amiss] = await said(community.discord)
    assert "(/ray-admin is missing; /ray create: prompt; " in amiss
    assert amiss.count("/ray") == setup.SHOWN
    assert "; …)" in amiss


async def test_commands_of_a_server_for_development_are_looked_at_there(
    discord_server: DiscordServer, foxes: Guild
) -> None:
    well, _ = await said(discord_server, dev_guild_ids=[GUILD])
    assert any(f"there are no commands in server {GUILD} yet" in each for each in well)
    _, amiss = await said(discord_server, dev_guild_ids=[GUILD + 1])
    assert amiss == [
        f"the commands in server {GUILD + 1}: 127.0.0.1 answered 404; check again later"
    ]


# ---- permissions ------------------------------------------------------------------------------


async def test_a_channel_where_it_cannot_post_is_named_with_what_it_lacks(
    discord_server: DiscordServer, foxes: Guild
) -> None:
    art = discord_server.channel(foxes, "art")
    bot = discord_server.app.bot
    discord_server.overwrite(art, bot, deny=Permission.ATTACH_FILES)
    quiet = discord_server.channel(foxes, "quiet")
    discord_server.overwrite(quiet, foxes.roles[foxes.id], deny=Permission.SEND_MESSAGES)
    discord_server.channel(foxes, "posts", Kind.FORUM)
    well, amiss = await said(discord_server)
    assert amiss == [f"Foxes ({GUILD}), #art: the bot lacks Attach Files", amiss[1]]
    assert "#quiet: the bot lacks Send Messages, Attach Files" in amiss[1]
    assert well[-1] == f"Foxes ({GUILD}): the bot can post in 2 channels"


async def test_a_hidden_channel_may_be_meant_so_unless_it_was_allowed(
    discord_server: DiscordServer, foxes: Guild
) -> None:
    staff = discord_server.channel(foxes, "staff")
    discord_server.overwrite(staff, discord_server.app.bot, deny=Permission.VIEW_CHANNEL)
    well, amiss = await said(discord_server)
    assert well[-1] == f"Foxes ({GUILD}): the bot can post in 1 channel; it does not see #staff"
    assert amiss == []
    _, amiss = await said(discord_server, {str(GUILD): [str(staff.id), "77"]})
    assert amiss[0] == f"Foxes ({GUILD}): the allowed channel 77 is gone"
    assert amiss[1].startswith(f"Foxes ({GUILD}), #staff: the bot lacks View Channel")


async def test_a_bot_that_sees_nothing_is_told(discord_server: DiscordServer) -> None:
    discord_server.guild("Owls", guild_id=GUILD, bot_permissions=Permission.NONE)
    _, [amiss] = await said(discord_server)
    assert amiss.startswith(f"Owls ({GUILD}), #general: the bot lacks View Channel")


async def test_threads_need_their_permission_only_where_they_are_opened(
    discord_server: DiscordServer,
) -> None:
    discord_server.guild(
        "Owls", guild_id=GUILD, bot_permissions=BOT & ~Permission.CREATE_PUBLIC_THREADS
    )
    assert (await said(discord_server))[1] == []
    _, [amiss] = await said(discord_server, thread="new")
    assert amiss.endswith("#general: the bot lacks Create Public Threads")


async def test_many_channels_are_a_few_lines(discord_server: DiscordServer) -> None:
    guild = discord_server.guild(
        "Owls", guild_id=GUILD, bot_permissions=BOT & ~Permission.ATTACH_FILES
    )
    for number in range(14):
        discord_server.channel(guild, f"c{number}")
    _, amiss = await said(discord_server)
    assert len(amiss) == setup.SHOWN + 1
    assert amiss[-1] == f"Owls ({GUILD}): the same in 5 more channels"


async def test_servers_that_are_not_there_and_none_at_all_are_said(
    discord_server: DiscordServer, foxes: Guild
) -> None:
    discord_server.guild("Owls", has_bot=False, guild_id=77)
    _, amiss = await said(discord_server, {"77": (), "88": (), "foxes": ()})
    assert amiss == [
        "server 77: the bot is not in it; `raybot invite discord`",
        "server 88: the bot is not in it; `raybot invite discord`",
        "[access] servers: 'foxes' is no server's id",
    ]
    _, [nobody] = await said(discord_server, NONE)
    assert nobody.startswith("no server is served.")


async def test_what_people_call_things_is_cleaned(discord_server: DiscordServer) -> None:
    discord_server.guild("Fo\x1b[31mxes\u202e", guild_id=GUILD)
    well, _ = await said(discord_server)
    assert well[-1].startswith(f"Foxes ({GUILD}): ")


# ---- the invitation ---------------------------------------------------------------------------


def test_the_link_asks_for_what_is_needed_and_nothing_else() -> None:
    # View 1<<10, Send 1<<11, Attach 1<<15, History 1<<16, Threads 1<<38 and 1<<35: all but the
    # 16384 of Embed Links of the usual 309237763072.
    assert setup.PERMISSIONS == 309237763072 - 16384
    asked = discord.Permissions(setup.PERMISSIONS)
    assert not asked.administrator
    assert len(list(filter(lambda each: each[1], asked))) == len(setup.NEEDED)


async def test_an_invitation_has_the_link_and_the_switches(
    discord_server: DiscordServer, foxes: Guild
) -> None:
    app = discord_server.app
    text = await install(to_settings(discord_server))
    assert (
        f"https://discord.com/oauth2/authorize?client_id={app.id}&permissions=309237746688"
        "&scope=bot+applications.commands" in text
    )
    assert f"https://discord.com/developers/applications/{app.id}" in text
    assert "shall animate them (now off)" in text
    assert "Code Grant: off (now off)" in text
    assert app.token not in text
    told = await introduce(to_settings(discord_server))
    assert (told.name, told.owner) == ("Ray", str(app.owner.id))
    assert told.places == {str(GUILD): "Foxes"}


async def test_an_invitation_without_a_good_token_or_offline_is_an_error(
    discord_server: DiscordServer,
) -> None:
    with pytest.raises(ConfigError, match="does not accept it"):
        await install(to_settings(discord_server, token="x"))
    dead = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(DeliveryUnavailable, match="cannot be reached"):
        await install(to_settings(discord_server, api_base_url=dead))
