"""What Discord sends, as discord.py makes it of payloads: the true client and listener hear it.

Discord's own types hold, which discord.py counts on; what is in them is anybody's. There is no
server: our answers go nowhere, and the studio lets nobody in.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import discord
import pytest
from discord.user import ClientUser
from discord.webhook.async_ import async_context
from hypothesis import given

from adapters.discord import commands
from adapters.discord.buttons import ActionButton, ActionList
from adapters.discord.in_hand import InHand
from adapters.discord.listener import Discord
from adapters.discord.places import Places
from adapters.discord.posted import Posted
from adapters.discord.session import Client, Wire
from adapters.discord.threads import Opening
from bot.errors import BotError, NotAllowed
from bot.ports import FIRST_TRY
from bot.refs import MessageRef, ThreadRef
from bot.studio import Studio
from tests.fakes import Memory, MovableClock, to_requester
from tests.fuzz import fuzz
from tests.fuzz.mutations import bounded, reworded
from tests.fuzz.test_discord import ATTACHMENT, BUTTON, COMPONENTS, EMBED
from tests.notices import JOB, delivered, to_about

ROOT = Path(__file__).resolve().parents[2]
OURS = (str(ROOT / "adapters"), str(ROOT / "bot"))
BOT, ANA, GUILD, GENERAL, APP = "100", "200", "300", "400", "500"
AT = "2026-11-22T14:30:00+00:00"
BOT_USER = {"id": BOT, "username": "ray", "discriminator": "0", "avatar": None, "bot": True}
USER = {
    "id": ANA,
    "username": "ana",
    "global_name": "Ana",
    "discriminator": "0",
    "avatar": None,
    "bot": False,
}
MEMBER = {"roles": ["301"], "joined_at": AT, "nick": "Annie", "permissions": "8", "flags": 0}
ROLE = {
    "id": "301",
    "name": "film team",
    "permissions": "8",
    "position": 1,
    "color": 0,
    "hoist": False,
    "managed": False,
    "mentionable": True,
    "tags": {"bot_id": BOT},
}
CHANNEL = {
    "id": GENERAL,
    "type": 0,
    "name": "general",
    "position": 1,
    "nsfw": False,
    "parent_id": None,
    "permission_overwrites": [],
    "guild_id": GUILD,
}
SERVER = {
    "id": GUILD,
    "name": "Foxes",
    "owner_id": ANA,
    "roles": [{**ROLE, "id": GUILD, "name": "@everyone", "tags": {}}, ROLE],
    "channels": [CHANNEL],
    "threads": [],
    "members": [{**MEMBER, "user": BOT_USER}],
    "member_count": 2,
    "emojis": [],
    "features": [],
    "premium_tier": 0,
}
MESSAGE = {
    "id": "1180000000000000007",
    "channel_id": GENERAL,
    "guild_id": GUILD,
    "author": USER,
    "member": MEMBER,
    "content": f"<@{BOT}> <@&301> a red <:fox:9> for <@200> in <#400> --ar 16:9",
    "timestamp": AT,
    "edited_timestamp": None,
    "tts": False,
    "mention_everyone": False,
    "mentions": [{**BOT_USER, "member": MEMBER}, {**USER, "member": MEMBER}],
    "mention_roles": ["301"],
    "attachments": [ATTACHMENT],
    "embeds": [EMBED],
    "components": COMPONENTS,
    "sticker_items": [{"id": "9", "name": "fox", "format_type": 1}],
    "pinned": False,
    "type": 0,
    "flags": 0,
    "nonce": "n1",
}
BUTTONS = tuple(f"ray:{act}:{JOB}" for act in ("delete", "remix", "retry", "report"))
LIST = f"ray-list:{JOB}"
POSTED: dict[str, Any] = {
    **MESSAGE,
    "author": BOT_USER,
    "content": f"Ana's clip · `{JOB}`",
    "attachments": [{**ATTACHMENT, "filename": f"ray_{JOB}.mp4", "content_type": "video/mp4"}],
    "components": [
        {"type": 1, "components": [{**BUTTON, "custom_id": each} for each in BUTTONS]},
        {"type": 1, "components": [{"type": 3, "custom_id": LIST, "options": [], "values": []}]},
    ],
}
REPLY = {
    **MESSAGE,
    "type": 19,
    "attachments": [],
    "message_reference": {
        "type": 0,
        "message_id": "1180000000000000006",
        "channel_id": GENERAL,
        "guild_id": GUILD,
    },
    "referenced_message": {**POSTED, "id": "1180000000000000006"},
}
FORWARD = {
    **MESSAGE,
    "attachments": [],
    "message_reference": {"type": 1, "message_id": "5", "channel_id": "6"},
    "message_snapshots": [
        {
            "message": {
                **{key: MESSAGE[key] for key in ("content", "embeds", "attachments")},
                "type": 0,
                "timestamp": AT,
                "edited_timestamp": None,
                "flags": 0,
                "mentions": [],
                "mention_roles": [],
                "components": COMPONENTS,
            }
        }
    ],
}
DIRECT = {key: MESSAGE[key] for key in MESSAGE if key not in ("guild_id", "member")}
MESSAGES = (MESSAGE, POSTED, REPLY, FORWARD, {**DIRECT, "content": "show r-0abcd12345"})
REACTION = {
    "user_id": ANA,
    "channel_id": GENERAL,
    "message_id": "1180000000000000006",
    "guild_id": GUILD,
    "member": {**MEMBER, "user": USER},
    "emoji": {"id": None, "name": "⭐"},
    "type": 0,
    "burst": False,
}
ASKED = {
    "id": "1180000000000000009",
    "application_id": APP,
    "token": "aW50",
    "version": 1,
    "guild_id": GUILD,
    "channel_id": GENERAL,
    "channel": CHANNEL,
    "member": {**MEMBER, "user": USER},
    "locale": "de",
    "guild_locale": "en-GB",
    "app_permissions": "8",
    "context": 0,
    "authorizing_integration_owners": {"0": GUILD},
    "attachment_size_limit": 1 << 20,
    "entitlements": [],
}
AWAY = {
    **{key: ASKED[key] for key in ASKED if key not in ("guild_id", "member")},
    "user": USER,
    "context": 2,
    "authorizing_integration_owners": {"1": ANA},
    "channel": {"id": "401", "type": 1, "recipients": [USER]},
}
RESOLVED = {
    "attachments": {ATTACHMENT["id"]: ATTACHMENT},
    "users": {ANA: USER},
    "members": {ANA: MEMBER},
    "roles": {"301": ROLE},
    "channels": {GENERAL: {**CHANNEL, "permissions": "8"}},
    "messages": {MESSAGE["id"]: MESSAGE},
}


def option(name: str, value: Any, kind: int = 3, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "value": value, **more}


def ray(name: str, *options: dict[str, Any]) -> dict[str, Any]:
    """`/ray NAME …`."""
    inner = {"type": 1, "name": name, "options": list(options)}
    data = {"id": "9", "name": "ray", "type": 1, "options": [inner], "resolved": RESOLVED}
    return {**ASKED, "type": 2, "data": data}


def pressed(kind: int, custom_id: str, **data: Any) -> dict[str, Any]:
    told = {"component_type": kind, "custom_id": custom_id, **data}
    return {**ASKED, "type": 3, "message": POSTED, "data": told}


COMMANDS = (
    ray(
        "create",
        option("prompt", "a <@200> in <#400>"),
        option("start_frame", ATTACHMENT["id"], 11),
        option("loop", True, 5),
    ),
    {**ray("create", option("prompt", "a fox"), option("private", True, 5)), **AWAY},
    ray("animate", option("image", ATTACHMENT["id"], 11), option("prompt", "it runs")),
    ray("story", option("lines", "a fox | it runs")),
    ray("show", option("id", JOB)),
    ray("cancel", option("id", JOB)),
    ray("more", option("id", JOB), option("act", "loop")),
    ray("jobs", option("search", "fox"), option("page", 2, 4)),
    {**ray("show", option("id", "r-0", focused=True)), "type": 4},
)
MENU = {
    **ASKED,
    "type": 2,
    "data": {
        "id": "8",
        "name": commands.ANIMATE,
        "type": 3,
        "target_id": MESSAGE["id"],
        "resolved": RESOLVED,
    },
}
PRESSED = (
    *(pressed(2, each) for each in BUTTONS),
    pressed(3, LIST, values=["loop"]),
)
FORM = {
    **ASKED,
    "type": 5,
    "data": {
        "custom_id": "ray-form:m:1",
        "components": [{"type": 18, "component": {"type": 4, "custom_id": "x", "value": "y"}}],
    },
}


class Shut:
    """A studio that lets nobody in."""

    def reworded(self, error: BotError) -> BotError:
        return error

    def __getattr__(self, _name: str) -> Shut:
        return self

    def __call__(self, *_: object, **__: object) -> Any:
        raise NotAllowed("Nobody is let in.")


class Deaf:
    """Discord, as far as our answers go: they are taken, and what they came to is lost."""

    def __init__(self) -> None:
        self.taken = 0

    async def create_interaction_response(self, *_: object, **__: object) -> Any:
        self.taken += 1
        return {"interaction": {"id": "9", "type": 2}}

    async def edit_original_interaction_response(self, *_: object, **__: object) -> Any:
        answer: Any = SimpleNamespace(status=404, reason="gone", headers={})
        raise discord.NotFound(answer, {"code": 10015, "message": "Unknown Webhook"})

    async def request(self, *_: object, **__: object) -> Any:
        answer: Any = SimpleNamespace(status=403, reason="no", headers={})
        raise discord.Forbidden(answer, {"code": 50007, "message": "Cannot send to this user"})


@dataclass(frozen=True, kw_only=True)
class Ear:
    """The true client, and what it makes of payloads."""

    client: Client
    deaf: Deaf

    async def hear(self, event: str, payload: Any) -> bool:
        """Let discord.py read it; False where it does not, and we never hear of it."""
        read = getattr(self.client._connection, f"parse_{event}")
        try:
            read(copy.deepcopy(payload))
        except Exception:  # noqa: BLE001 - discord.py's own, before we hear of it
            return False
        finally:
            while waiting := {each for each in asyncio.all_tasks() if _is_ours(each)}:
                await asyncio.wait(waiting)
        return True


def _is_ours(task: asyncio.Task[Any]) -> bool:
    """Whether a task carries out what was heard, and does not wait for a form's end."""
    name = getattr(task.get_coro(), "__qualname__", "")
    return task is not asyncio.current_task() and "timeout" not in name


@asynccontextmanager
async def ear() -> AsyncIterator[Ear]:
    clock, wire = MovableClock(), Wire(token="x", message_content="on", shard_count=1)
    studio = cast("Studio", Shut())
    listener = Discord(
        studio,
        wire,
        clock=clock,
        upload_limit_bytes=1 << 20,
        can_host=False,
        opening=Opening(is_on=True),
    )
    hand = InHand()
    client = Client(
        listener,
        Places(studio),
        wire,
        reads_messages=True,
        may_identify=lambda: asyncio.sleep(0),
        in_hand=hand,
        clock=clock,
    )
    await client._async_setup_hook()
    client.add_dynamic_items(ActionButton, ActionList)
    commands.build(client.tree, listener, ())
    state: Any = client._connection
    state.user = ClientUser(state=state, data=cast("Any", BOT_USER))
    state._add_guild_from_data(copy.deepcopy(SERVER))
    listener._client = client
    deaf, http = Deaf(), cast("Any", client.http)
    http.request = deaf.request
    kept = async_context.set(cast("Any", deaf))
    try:
        yield Ear(client=client, deaf=deaf)
    finally:
        async_context.reset(kept)
        await client.close()


def faults_of_ours(records: list[logging.LogRecord]) -> list[str]:
    """What was raised by a line of ours and is no error of ours; discord.py's own are its own."""
    found = []
    for each in records:
        error = each.exc_info[1] if each.exc_info else None
        while error is not None:
            where = traceback.extract_tb(error.__traceback__)
            is_ours = where and where[-1].filename.startswith(OURS)
            if is_ours and not isinstance(error, BotError) and not _is_left_out(error):
                found.append("".join(traceback.format_exception(error)))
            error = error.__cause__
    return found


def _is_left_out(error: BaseException) -> bool:
    """Whether discord.py made something of a payload that lacks what Discord always tells."""
    about = error.obj if isinstance(error, AttributeError) else None
    return type(about).__module__.startswith("discord.")


HEARD: dict[str, tuple[str, tuple[Any, ...]]] = {
    "messages": ("message_create", MESSAGES),
    "reactions": ("message_reaction_add", (REACTION, {**REACTION, "emoji": {"name": "✉️"}})),
    "reactions taken back": ("message_reaction_remove", (REACTION,)),
    "commands": ("interaction_create", COMMANDS),
    "the message command": ("interaction_create", (MENU,)),
    "buttons and lists": ("interaction_create", PRESSED),
    "forms": ("interaction_create", (FORM,)),
}


@pytest.mark.parametrize("kind", HEARD)
async def test_what_discord_tells_is_carried_out_or_refused(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    event, seeds = HEARD[kind]
    told: list[Any] = []
    caplog.set_level(logging.INFO)

    @fuzz
    @given(reworded(*seeds))
    def collect(payload: Any) -> None:
        told.append(payload)

    collect()
    async with ear() as it:
        for payload in seeds:
            before = len(caplog.records) + it.deaf.taken
            assert await it.hear(event, payload), payload
            # What we posted ourselves is only remembered.
            assert payload is POSTED or len(caplog.records) + it.deaf.taken > before, payload
        assert not faults_of_ours(caplog.records)
        for payload in told:
            caplog.clear()
            with bounded():
                await it.hear(event, payload)
            assert not faults_of_ours(caplog.records), payload


NOBODY = {key: value for key, value in ASKED.items() if key != "member"}
#: What Discord does not send: an image that it does not show, and something that nobody asked.
NEVER_SENT: tuple[Any, ...] = (
    ray("animate", option("image", "8", 11), option("prompt", "it runs")),
    *({**NOBODY, **{key: each[key] for key in ("type", "data")}} for each in COMMANDS),
    *({**NOBODY, **{key: each[key] for key in ("type", "data", "message")}} for each in PRESSED),
)


async def test_what_discord_never_sends_is_no_fault_of_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with ear() as it:
        for payload in NEVER_SENT:
            await it.hear("interaction_create", payload)
            assert not [each for each in caplog.records if each.levelno > logging.WARNING], payload


# ---- our own past ------------------------------------------------------------------------------

#: What is no page of messages: of whatever stands before Discord.
NOBODYS = {name: value for name, value in POSTED.items() if name not in ("author", "member")}
STRANGE: tuple[Any, ...] = (
    *("<html>", [None], [{}], {"message": "x"}, 1),
    *([{**POSTED, "id": "x"}], [NOBODYS]),
)


async def test_an_earlier_message_is_found_or_is_not() -> None:
    pages: list[Any] = [[MESSAGE, POSTED], *STRANGE]

    @fuzz
    @given(reworded([POSTED], [MESSAGE, POSTED, REPLY]))
    def collect(page: Any) -> None:
        pages.append(page)

    collect()
    notice = delivered(to_about(to_requester()))
    thread = ThreadRef(adapter="discord", workspace=GUILD, channel=GENERAL)
    tried_at = discord.utils.snowflake_time(int(POSTED["id"])).isoformat()
    async with ear() as it:
        http: Any = it.client.http
        for number, page in enumerate(pages):
            http.logs_from = partial(_answer, page)
            memo, found = Memory({FIRST_TRY: tried_at}), None
            posted = Posted(MovableClock(), tried_for=5.0)
            with bounded():
                found = await posted.find(it.client, thread, notice, nonce="n1", memo=memo)
            assert found is None or isinstance(found, MessageRef)
            assert number or found is not None


async def _answer(page: Any, *_: object, **__: object) -> Any:
    return copy.deepcopy(page)
