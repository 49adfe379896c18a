"""What whoever sets the bot up must know: its token, its intents, its link, its permissions.

Asks Discord over REST only; opens no session with the gateway and changes nothing there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import discord
from discord import app_commands

from adapters.discord import commands, registered
from adapters.discord.opened import opened
from adapters.discord.refusals import SIGN_IN_REFUSED
from adapters.discord.session import Wire
from bot.errors import BotError, ConfigError, DeliveryUnavailable
from bot.ports import Finding, Introduction, ModelCapabilities
from bot.send_guard import GuardedConnector
from bot.text import clean

#: What the bot needs, as its settings in a server name it, with the bits of
#: https://docs.discord.com/developers/topics/permissions. Embeds are none of it.
NEEDED = {
    "view_channel": "View Channel",
    "send_messages": "Send Messages",
    "attach_files": "Attach Files",
    "read_message_history": "Read Message History",
    "send_messages_in_threads": "Send Messages in Threads",
    "create_public_threads": "Create Public Threads",
}
PERMISSIONS = discord.Permissions(**dict.fromkeys(NEEDED, True)).value
#: In a forum the bot answers in posts, which are threads that somebody else opened.
NOT_IN_FORUMS = {"send_messages", "create_public_threads"}
SHOWN = 10
PLACE_CHARS = 60
NOT_THERE = {10004, 50001}
Speaking = discord.TextChannel | discord.VoiceChannel | discord.StageChannel | discord.ForumChannel


@dataclass(frozen=True, kw_only=True)
class Desired:
    """What the settings want of Discord, and which servers are served.

    `served` maps a server's id to the ids of the channels that are allowed there; none: all are.
    `models` are those that people can choose.
    """

    served: Mapping[str, Collection[str]]
    models: Sequence[ModelCapabilities]
    opens_threads: bool
    seconds: float


# ---- asking Discord --------------------------------------------------------------------------


@contextmanager
def _told(wire: Wire) -> Iterator[None]:
    """Translate what discord.py raises; `ConfigError`: the token, else `DeliveryUnavailable`."""
    host = urlsplit(wire.api_base_url).hostname or "discord.com"
    try:
        yield
    except discord.LoginFailure as error:
        raise ConfigError(SIGN_IN_REFUSED) from error
    except discord.HTTPException as error:
        raise DeliveryUnavailable(f"{host} answered {error.status}; check again later") from error
    except TimeoutError as error:
        raise DeliveryUnavailable(f"{host} did not answer in time") from error
    except (aiohttp.ClientError, OSError) as error:
        raise DeliveryUnavailable(
            f"{host} cannot be reached. If this machine is online, look at api_base_url"
        ) from error
    except (TypeError, KeyError, ValueError) as error:
        raise DeliveryUnavailable(
            f"{host} does not answer like Discord; look at api_base_url"
        ) from error


@asynccontextmanager
async def _signed_in(
    wire: Wire, *, seconds: float
) -> AsyncIterator[tuple[discord.Client, discord.AppInfo]]:
    """A client that knows who it is; raises `ConfigError` and `DeliveryUnavailable`."""
    wire.use()
    signing_in = discord.Client(
        intents=discord.Intents(guilds=True),  # Without, a warning is logged.
        connector=GuardedConnector(limit=0),
    )
    async with opened(signing_in) as client:
        with _told(wire):
            async with asyncio.timeout(seconds):
                await client.login(wire.token)
        application = client.application
        assert application is not None
        yield client, application


async def introduce(wire: Wire, *, seconds: float) -> Introduction:
    """Who the bot is and where; raises `ConfigError` and `DeliveryUnavailable`."""
    async with _signed_in(wire, seconds=seconds) as (client, application):
        with _told(wire):
            async with asyncio.timeout(seconds):
                guilds = [each async for each in client.fetch_guilds(limit=None)]
        owner = _owner(application)
        return Introduction(
            name=clean(application.name),
            owner=str(owner.id),
            owner_name=clean(owner.display_name),
            places={str(each.id): _name(each.name) for each in guilds},
            invitation=draw_invitation(application),
        )


def _owner(application: discord.AppInfo) -> discord.abc.User:
    team = application.team
    return (team.owner if team is not None else None) or application.owner


def _name(name: str) -> str:
    return clean(name, limit=PLACE_CHARS) or "without a name"


# ---- the invitation --------------------------------------------------------------------------


def to_link(application_id: int) -> str:
    """The link with which somebody adds the bot to a server, with the least permissions."""
    return (
        f"https://discord.com/oauth2/authorize?client_id={application_id}"
        f"&permissions={PERMISSIONS}&scope=bot+applications.commands"
    )


def draw_invitation(application: discord.AppInfo) -> str:
    """The link, and how the switches of the portal should stand and stand now."""
    reads = "on" if _reads_messages(application) else "off"
    grant = "on" if application.bot_require_code_grant else "off"
    endpoint = "set" if application.interactions_endpoint_url else "empty"
    public = "on" if application.bot_public else "off"
    return "\n".join(
        (
            "To add the bot to a server that you manage, open",
            f"  {to_link(application.id)}",
            f"It asks for {', '.join(NEEDED.values())}; nothing else.",
            f"Switches at https://discord.com/developers/applications/{application.id}:",
            f"  Bot > Message Content Intent: on, if a reply to other people's images shall "
            f"animate them (now {reads}). All else works without.",
            f"  Bot > Requires OAuth2 Code Grant: off (now {grant}).",
            f"  Bot > Public Bot: off, if nobody but you shall add it to servers (now {public}).",
            "  Installation > Guild Install: on. User Install: off, unless [access] allows it.",
            f"  General Information > Interactions Endpoint URL: empty (now {endpoint}).",
        )
    )


# ---- the check -------------------------------------------------------------------------------


async def check(wire: Wire, desired: Desired) -> list[Finding]:
    """Every finding about the token, the portal's switches, the commands and the servers."""
    try:
        async with _signed_in(wire, seconds=desired.seconds) as (client, application):
            return [
                *_look_at_application(application),
                _look_at_intent(application, wire),
                *await _look_at_commands(client, wire, desired),
                *await _look_at_servers(client, wire, desired),
            ]
    except BotError as error:
        return [_amiss(error.sentence)]


def _well(sentence: str) -> Finding:
    return Finding(is_well=True, sentence=f"discord: {sentence}")


def _amiss(sentence: str) -> Finding:
    return Finding(is_well=False, sentence=f"discord: {sentence}")


def _look_at_application(application: discord.AppInfo) -> Iterator[Finding]:
    owner = clean(_owner(application).display_name)
    who = f"this is {clean(application.name)} ({application.id}), owned by {owner}"
    yield _well(f"the token is good, {who}")
    if application.interactions_endpoint_url:
        yield _amiss(
            "the portal has an Interactions Endpoint URL, so no command reaches Raybot. Empty it "
            "under General Information"
        )
    if application.bot_require_code_grant:
        yield _amiss(
            "nobody can add the bot: switch Requires OAuth2 Code Grant off (Bot, in the portal)"
        )
    if application.user_integration_config and not application.guild_integration_config:
        yield _amiss(
            "nobody can add the bot: switch Guild Install on (Installation, in the portal)"
        )
    yield _well(
        "anybody may add the bot to a server (Public Bot); it works in those that are served"
        if application.bot_public
        else "only its owner can add the bot to servers (Public Bot is off)"
    )


def _reads_messages(application: discord.AppInfo) -> bool:
    flags = application.flags
    return flags.gateway_message_content or flags.gateway_message_content_limited


def _look_at_intent(application: discord.AppInfo, wire: Wire) -> Finding:
    """Whether replies to other people's images can work, and what to do where they cannot."""
    is_granted = _reads_messages(application)
    instead = f"Apps > {commands.ANIMATE} works all the same"
    if wire.message_content == "off":
        return _well(f'message_content = "off": replies to others\' images do nothing; {instead}')
    if is_granted:
        return _well("the message content intent is granted: a reply to an image animates it")
    missing = (
        "the message content intent is not granted, so a reply to other people's images cannot "
        f"animate them; {instead}"
    )
    if wire.message_content == "on":
        return _amiss(f"{missing}. Switch it on (Bot, in the portal)")
    return _well(missing)


# ---- commands --------------------------------------------------------------------------------


async def _look_at_commands(client: discord.Client, wire: Wire, desired: Desired) -> list[Finding]:
    """Whether Discord has this version's commands, with what these video services can do."""
    if not desired.models:
        return [_well("the commands are not looked at, as no video service can be asked for one")]
    tree: app_commands.CommandTree[Any] = app_commands.CommandTree(client)
    nobody: Any = None  # They are only compared here; nobody carries them out.
    commands.build(tree, nobody, desired.models)
    findings = []
    for guild_id in wire.dev_guild_ids or (None,):
        where = f" in server {guild_id}" if guild_id else ""
        scope = discord.Object(guild_id) if guild_id else None
        try:
            with _told(wire):
                async with asyncio.timeout(desired.seconds):
                    theirs = await tree.fetch_commands(guild=scope)
        except BotError as error:
            findings.append(_amiss(f"the commands{where}: {error.sentence}"))
        else:
            ours = [each.to_dict(tree) for each in tree.get_commands()]
            lacking = registered.differences(ours, theirs, is_global=scope is None)
            findings.append(_judge(lacking, where, has_any=bool(theirs), wire=wire))
    return findings


def _judge(lacking: list[str], where: str, *, has_any: bool, wire: Wire) -> Finding:
    cure = (
        "the next start of Raybot brings them up to date"
        if wire.sync_commands
        else "sync_commands is off, so another process must bring them up to date"
    )
    if not lacking:
        return _well(f"the commands{where} are those of this version")
    if not has_any:
        finding = _well if wire.sync_commands else _amiss
        return finding(f"there are no commands{where} yet; {cure}")
    what = clean("; ".join(lacking[:SHOWN])) + "; …" * (len(lacking) > SHOWN)
    return _amiss(f"the commands{where} are not those of this version ({what}); {cure}")


# ---- servers ---------------------------------------------------------------------------------


async def _look_at_servers(client: discord.Client, wire: Wire, desired: Desired) -> list[Finding]:
    if not desired.served:
        return [
            _amiss(
                "no server is served. Name yours in [access] servers, or approve it where the bot "
                "asks you to"
            )
        ]
    findings = []
    for server, allowed in desired.served.items():
        if not server.isdecimal():
            findings.append(_amiss(f"[access] servers: {clean(server)!r} is no server's id"))
            continue
        try:
            findings += await _look_at_server(client, wire, desired, int(server), allowed)
        except BotError as error:
            findings.append(_amiss(f"server {server}: {error.sentence}"))
    return findings


async def _look_at_server(
    client: discord.Client, wire: Wire, desired: Desired, server: int, allowed: Collection[str]
) -> list[Finding]:
    assert client.user is not None
    with _told(wire):
        try:
            async with asyncio.timeout(desired.seconds):
                guild = await client.fetch_guild(server, with_counts=False)
                found = await guild.fetch_channels()
                own = await guild.fetch_member(client.user.id)
        except (discord.Forbidden, discord.NotFound) as error:
            if error.code not in NOT_THERE:
                raise
            return [_amiss(f"server {server}: the bot is not in it; `raybot invite discord`")]
    speaking = [each for each in found if isinstance(each, Speaking)]
    known = {str(each.id) for each in speaking}
    gone = [each for each in allowed if each not in known]
    channels = [each for each in speaking if not allowed or str(each.id) in allowed]
    name = f"{_name(guild.name)} ({server})"
    return [
        *(_amiss(f"{name}: the allowed channel {clean(each)} is gone") for each in gone),
        *_look_at_channels(name, channels, own, desired, are_chosen=bool(allowed)),
    ]


def _look_at_channels(
    name: str,
    channels: Collection[Speaking],
    own: discord.Member,
    desired: Desired,
    *,
    are_chosen: bool,
) -> list[Finding]:
    """Each channel by discord.py's sum of roles and overwrites; a hidden one may be meant so."""
    lacking = {each: _missing(each, own, desired) for each in channels}
    hidden = [each for each, missing in lacking.items() if NEEDED["view_channel"] in missing]
    if not are_chosen and len(hidden) < len(channels):
        lacking = {each: what for each, what in lacking.items() if each not in hidden}
    amiss = {each: missing for each, missing in lacking.items() if missing}
    findings = [
        _amiss(f"{name}, #{_name(each.name)}: the bot lacks {', '.join(missing)}")
        for each, missing in list(amiss.items())[:SHOWN]
    ]
    if len(amiss) > SHOWN:
        findings.append(_amiss(f"{name}: the same in {len(amiss) - SHOWN} more channels"))
    fine = len(lacking) - len(amiss)
    if fine or not findings:
        unseen = ", ".join(f"#{_name(each.name)}" for each in hidden[:SHOWN])
        is_told = hidden and not are_chosen
        rest = f"; it does not see {unseen}{', …' * (len(hidden) > SHOWN)}" if is_told else ""
        findings.append(_well(f"{name}: the bot can post in {_count(fine)}{rest}"))
    return findings


def _count(channels: int) -> str:
    return "1 channel" if channels == 1 else f"{channels} channels"


def _missing(channel: Speaking, own: discord.Member, desired: Desired) -> list[str]:
    """The names of what the bot lacks in a channel."""
    may = channel.permissions_for(own)
    spared = NOT_IN_FORUMS if isinstance(channel, discord.ForumChannel) else set()
    if not desired.opens_threads:
        spared = spared | {"create_public_threads"}
    return [name for flag, name in NEEDED.items() if flag not in spared and not getattr(may, flag)]
