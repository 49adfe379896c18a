"""The connection to Discord: signing in, intents, coming back, and syncing the commands."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, Protocol

import aiohttp
import discord
import yarl
from discord import app_commands

from adapters.discord import buttons, registered
from adapters.discord.in_hand import InHand
from adapters.discord.opened import opened
from adapters.discord.places import HearsPlaces
from adapters.discord.refusals import SHARDS_REFUSED, read_sign_in
from adapters.discord.replies import tell
from bot.alongside import alongside
from bot.clock import Clock, to_wall
from bot.errors import ConfigError, DeliveryUnavailable, StoreError
from bot.log import get_logger
from bot.send_guard import GuardedConnector

log = get_logger(__name__)
Interaction = discord.Interaction[Any]
RECONNECT, LONGEST_PAUSE = timedelta(seconds=15), timedelta(minutes=5)
AWAY = (aiohttp.ClientError, OSError, discord.DiscordException, DeliveryUnavailable)
#: A client is looked at so often; one that had no connection so many times is replaced.
LOOK, LOST_LOOKS = timedelta(seconds=15), 20
#: A connection that lasted so long was a good one, and a bot that did has begun well.
GOOD_SECONDS = 600.0
#: Discord takes one IDENTIFY of a bot in so many seconds.
IDENTIFY_SECONDS = 5.0
CANCEL_AGAIN_SECONDS = 0.5
REFUSED_LATER = "Then restart Raybot. All but Discord goes on until then."
NOT_CONNECTED = "Raybot is not connected to Discord right now. It tries again by itself."


@dataclass(frozen=True, kw_only=True)
class Wire:
    """How to reach Discord. Empty addresses are Discord's own.

    `connect` signs a client in with the token and stays until it is closed.
    """

    token: str
    api_base_url: str = ""
    gateway_url: str = ""
    message_content: Literal["auto", "on", "off"] = "auto"
    sync_commands: bool = True
    dev_guild_ids: tuple[int, ...] = ()
    shard_ids: tuple[int, ...] = ()
    shard_count: int | None = None
    connect: Callable[[discord.Client, str], Awaitable[None]] = discord.Client.start

    def __post_init__(self) -> None:
        if self.shard_ids and not set(self.shard_ids) <= set(range(self.shard_count or 0)):
            raise ConfigError(
                "[adapters.discord] shard_ids: each is a number below shard_count, which is "
                "needed with them."
            )

    def use(self) -> None:
        """Let discord.py's clients go there."""
        if self.api_base_url:
            discord.http.Route.BASE = self.api_base_url
        if self.gateway_url:
            discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(self.gateway_url)


class GatewayHandler(Protocol):
    """Who hears what comes in."""

    async def on_online(self, client: Client) -> None:
        """Signed in; nothing is heard yet."""

    async def on_message(self, message: discord.Message) -> None:
        """Somebody wrote."""

    async def on_reaction(self, payload: discord.RawReactionActionEvent, *, is_on: bool) -> None:
        """Somebody reacted to a message, or took that back."""

    async def on_action(self, interaction: Interaction, action: str, target: str) -> None:
        """A button was clicked."""

    async def on_command_error(
        self, interaction: Interaction, error: app_commands.AppCommandError
    ) -> None:
        """A command could not be carried out."""


class Client(discord.AutoShardedClient):
    """discord.py's client; what it hears it passes on."""

    def __init__(
        self,
        handler: GatewayHandler,
        places: HearsPlaces,
        wire: Wire,
        *,
        reads_messages: bool,
        may_identify: Callable[[], Awaitable[None]],
        in_hand: InHand,
        clock: Clock,
    ) -> None:
        intents = discord.Intents(
            guilds=True, guild_messages=True, dm_messages=True, guild_reactions=True
        )
        intents.message_content = reads_messages
        shards: dict[str, Any] = {"shard_ids": list(wire.shard_ids)} if wire.shard_ids else {}
        super().__init__(
            intents=intents,
            max_messages=None,
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            allowed_mentions=discord.AllowedMentions.none(),
            max_ratelimit_timeout=60.0,
            shard_count=wire.shard_count,
            connector=GuardedConnector(limit=0),
            **shards,
        )
        self._handler = handler
        self._places = places
        self._may_identify = may_identify
        self.in_hand, self.clock = in_hand, clock
        self.forms = buttons.OpenForms()
        #: The shards that have a session now, and whether any had one.
        self.online: set[int] = set()
        self.has_listened = False
        self.tree = app_commands.CommandTree(self)
        self.tree.error(handler.on_command_error)

    async def setup_hook(self) -> None:
        """Once, after the sign-in and before anything is heard."""
        self.add_dynamic_items(buttons.ActionButton, buttons.ActionList)
        await self._handler.on_online(self)

    async def before_identify_hook(self, _shard_id: int | None, *, initial: bool = False) -> None:
        """Wait for our turn; discord.py's own rule knows nothing of clients before this one."""
        await self._may_identify()

    async def on_ready(self) -> None:
        """All servers are known; some shards alone know nothing of the others' servers."""
        if self.is_closed():  # It waits for the servers of all shards, maybe beyond our end.
            return
        is_all = self.shard_ids is None
        await self._places.on_places([each.id for each in self.guilds], is_all=is_all)

    async def on_guild_join(self, guild: discord.Guild) -> None:
        """A server has the bot."""
        await self._places.on_place(guild.id, is_here=True)

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """A server removed the bot, or is no more; one that is only out of reach did neither."""
        await self._places.on_place(guild.id, is_here=False)

    async def on_shard_connect(self, shard_id: int) -> None:
        """A session began."""
        self.online.add(shard_id)
        self.has_listened = True
        log.info("discord.connected", shard=shard_id)

    async def on_shard_resumed(self, shard_id: int) -> None:
        """A session goes on, and nothing of it was missed."""
        self.online.add(shard_id)
        log.info("discord.resumed", shard=shard_id)

    async def on_shard_disconnect(self, shard_id: int) -> None:
        """A connection ended; discord.py sees to the next one."""
        self.online.discard(shard_id)

    async def on_message(self, message: discord.Message) -> None:
        """Somebody wrote."""
        await self._handler.on_message(message)

    async def on_raw_reaction_add(self, payload: discord.RawReactionActionEvent) -> None:
        """Somebody reacted."""
        await self._handler.on_reaction(payload, is_on=True)

    async def on_raw_reaction_remove(self, payload: discord.RawReactionActionEvent) -> None:
        """Somebody took a reaction back."""
        await self._handler.on_reaction(payload, is_on=False)

    async def on_action(self, interaction: Interaction, action: str, target: str) -> None:
        """A button was clicked."""
        await self._handler.on_action(interaction, action, target)

    async def on_interaction(self, interaction: Interaction) -> None:
        """A form that has ended, or was open when the last process did, is nobody's any more."""
        is_form = interaction.type is discord.InteractionType.modal_submit
        # What was answered already was taken by a form that has ended with it.
        if not is_form or interaction.response.is_done() or self.is_closed():
            return
        given: Any = interaction.data or {}
        if why := self.forms.why_ended(str(given.get("custom_id", ""))):
            await tell(interaction, why)


class Session:
    """Stays connected, with the intents that were granted."""

    def __init__(
        self, handler: GatewayHandler, wire: Wire, *, places: HearsPlaces, clock: Clock
    ) -> None:
        self._handler = handler
        self._places = places
        self._wire = wire
        self._clock = clock
        self.reads_messages = wire.message_content == "on"
        self.client: Client | None = None
        self.in_hand = InHand()
        #: Whether Discord took the token once since this process began, and the shards.
        self.is_proven = False
        self._has_listened, self._began = False, clock.boottime()
        self._refusal: str | None = None
        self._is_refused = False
        self._identify_from = 0.0
        self._failures = 0
        self._is_listening = False

    @property
    def trouble(self) -> str | None:
        """Why nobody is heard just now, or not everybody."""
        if not self._is_listening:
            return None
        client = self.client
        shards = set(client.shards) if client is not None else set()
        if client is None or not shards or not client.online:
            return self._refusal or NOT_CONNECTED
        if away := sorted(shards - client.online):
            return f"Raybot has no connection to Discord for shards {away}. It tries again."
        return None

    async def run(self) -> None:
        """Connect and listen until cancelled; raises `ConfigError` where it was never let in."""
        self._wire.use()
        self._is_listening = True
        try:
            await self._listen()
        finally:
            self._is_listening = False

    async def _listen(self) -> None:
        while True:
            began = self._clock.boottime()
            try:
                await self._connect()
            except discord.PrivilegedIntentsRequired:
                log.warning("discord.no_message_content")
                self._is_refused, self.reads_messages = True, False
            except AWAY as error:
                await self._bear(error)
                await self._rest(began)
            except StoreError as error:
                log.error("discord.store_failed", cause=error.sentence)  # noqa: TRY400
                await self._rest(began)
            except (LookupError, TypeError, ValueError):
                # discord.py trips over an answer of whatever stands before Discord.
                log.exception("discord.strange_answer")
                await self._rest(began)
            else:
                return

    async def _bear(self, error: Exception) -> None:
        """Note why there is no connection; raise `ConfigError` where the bot cannot begin with it.

        A token that was good once may end while other chats and jobs go on, and so may shards once
        the bot is in more servers; another process may have had those until now. Discord may err.
        How many shards it suggests it says each time.
        """
        refusal = read_sign_in(error)
        is_of_shards = refusal == SHARDS_REFUSED
        if refusal is None or (is_of_shards and self._wire.shard_count is None):
            log.warning("discord.not_reachable", cause=type(error).__name__)
            return
        has_begun = self._has_listened or self._clock.boottime() - self._began >= GOOD_SECONDS
        if not (has_begun if is_of_shards else self.is_proven):
            raise ConfigError(refusal) from error
        log.error("discord.shards_refused" if is_of_shards else "discord.token_refused")
        self._refusal = f"{refusal} {REFUSED_LATER}"
        await self._places.on_refused(self._refusal)

    async def _rest(self, began: float) -> None:
        """Pause ever longer between connections that do not last."""
        is_good = self._clock.boottime() - began >= GOOD_SECONDS
        pause = min(RECONNECT * 2 ** (0 if is_good else self._failures), LONGEST_PAUSE)
        pause = LONGEST_PAUSE if self._refusal else pause
        self._failures = 0 if is_good else min(self._failures + 1, 10)
        await self._clock.wait(asyncio.Event(), self._clock.now() + pause)

    async def _connect(self) -> None:
        self._refusal = None
        if self._wire.message_content == "auto" and not self._is_refused:
            self.reads_messages = await self._may_read_messages()
        client = Client(
            self._handler,
            self._places,
            self._wire,
            reads_messages=self.reads_messages,
            may_identify=self._may_identify,
            in_hand=self.in_hand,
            clock=self._clock,
        )
        self.client = client
        try:
            async with opened(client):
                try:
                    await self._stay(client)
                except asyncio.CancelledError:
                    await self.in_hand.end(client)
                    raise
        finally:
            self.client = None
            self.is_proven |= client.user is not None
            self._has_listened |= client.has_listened

    async def _stay(self, client: Client) -> None:
        """Stay connected until cancelled."""
        connecting = self._wire.connect(client, self._wire.token)
        async with (
            alongside(connecting, again_after=CANCEL_AGAIN_SECONDS) as staying,
            alongside(self._until_lost(client)) as watching,
        ):
            await asyncio.wait({staying, watching}, return_when=asyncio.FIRST_COMPLETED)
            is_lost = not staying.done()
        if is_lost:
            raise DeliveryUnavailable("Discord was away for minutes.")
        await staying

    async def _until_lost(self, client: Client) -> None:
        """Return once nothing was connected for minutes: then we knock ourselves, and sooner.

        discord.py waits ever longer, up to a quarter of an hour.
        """
        in_vain = 0
        while in_vain < LOST_LOOKS:
            await self._clock.wait(asyncio.Event(), self._clock.now() + LOOK)
            in_vain = 0 if client.online else in_vain + 1

    async def _may_identify(self) -> None:
        """Wait until Discord takes the next IDENTIFY, of any client and shard here."""
        at = max(self._clock.boottime(), self._identify_from)
        self._identify_from = at + IDENTIFY_SECONDS
        await self._clock.wait(asyncio.Event(), to_wall(self._clock, at))

    async def _may_read_messages(self) -> bool:
        """What the application was granted, before a session asks for it."""
        asking = discord.Client(
            intents=discord.Intents(guilds=True), connector=GuardedConnector(limit=0)
        )
        async with opened(asking) as client:
            await client.login(self._wire.token)
            flags = client.application.flags if client.application else None
        if flags is None:
            return False
        return flags.gateway_message_content or flags.gateway_message_content_limited

    # ---- commands ------------------------------------------------------------------------

    async def sync(self, client: Client, known: str) -> str:
        """Tell Discord of the commands where they changed since `known`; what they are now.

        Another bot's token, or another process with this one, leaves Discord with others.
        A failure is logged: yesterday's commands still work.
        """
        guilds: list[discord.Object | None] = [
            discord.Object(each) for each in self._wire.dev_guild_ids
        ] or [None]
        payload = [each.to_dict(client.tree) for each in client.tree.get_commands()]
        text = json.dumps([payload, self._wire.dev_guild_ids], sort_keys=True, default=str)
        present = hashlib.sha256(text.encode()).hexdigest()
        if not self._wire.sync_commands:
            return known
        try:
            for guild in guilds:
                if present == known and await _has(client, payload, guild):
                    continue
                if guild is not None:
                    client.tree.copy_global_to(guild=guild)
                await client.tree.sync(guild=guild)
        except (discord.HTTPException, discord.RateLimited) as error:
            log.error("discord.sync_failed", cause=str(error))  # noqa: TRY400
            return known
        return present


async def _has(
    client: Client, payload: list[dict[str, Any]], guild: discord.Object | None
) -> bool:
    """Whether Discord has these commands, and no others."""
    theirs = await client.tree.fetch_commands(guild=guild)
    return not registered.differences(payload, theirs, is_global=guild is None)
