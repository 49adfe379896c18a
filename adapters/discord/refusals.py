"""What Discord's refusals mean for a message or the sign-in; its codes decide. Sends nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import aiohttp
import discord

from adapters.discord.parse import channel_id
from bot.clock import Clock
from bot.errors import (
    DeliveryError,
    DeliveryUnavailable,
    EditsPaused,
    PostedBefore,
    ThreadGone,
)
from bot.log import get_logger
from bot.refs import MessageRef

log = get_logger(__name__)
# The numbers are those of https://docs.discord.com/developers/topics/opcodes-and-status-codes.
TOO_LARGE = 40005
ARCHIVED = 50083
#: A message with this nonce was posted a moment ago and has been deleted since.
UNKNOWN_MESSAGE = 10008
NO_REPLY = frozenset({160002, 50035})
#: The server's own rules, or Discord's, do not like the words.
WORDS_REFUSED = frozenset({200000, 240000})
BLOCKED = 40333
FAULTS_OF_OURS = frozenset({50006, 50035})
TOO_MANY_EDITS = 30046
BAD_TOKEN, BAD_SHARD, NEEDS_SHARDS = 4004, 4010, 4011
SIGN_IN_REFUSED = (
    "[adapters.discord] token: Discord does not accept it. Reset it at "
    "discord.com/developers and set RAYBOT_ADAPTERS__DISCORD__TOKEN."
)
SHARDS_REFUSED = (
    "[adapters.discord] shard_count: Discord does not accept it. Leave it out, and shard_ids, too."
)

_NOT_THERE = "That channel takes no messages of Raybot's."
GONE = {
    10003: "That channel no longer exists.",
    10004: "Raybot is not in that server any more.",
    UNKNOWN_MESSAGE: "That message no longer exists.",
    10013: "That person is not on Discord any more.",
    10015: "The private answer can no longer be written to.",
    40058: "That channel is a forum; Raybot answers in its posts.",
    40067: "That forum wants a tag for each post.",
    50001: "Raybot cannot see that channel any more.",
    50007: "Your direct messages are closed for Raybot.",
    50008: _NOT_THERE,
    50013: "Raybot lacks a permission in that channel: Send Messages or Attach Files.",
    50024: _NOT_THERE,
    50027: "The private answer can no longer be written to.",
    50278: "Raybot shares no server with you, so it cannot write to you.",
    ARCHIVED: "That thread is archived.",
    160005: "That thread is locked.",
}
#: Discord counts what it turns away, and shuts out an address with too much of it.
SHUT_OUT_SECONDS = 60.0
#: After so long it is asked again in any case: a job that sleeps for hours is woken, anyway.
LONGEST_SHUT_OUT_SECONDS = 3600.0
PAUSE_SECONDS = 10.0
#: Messages older than an hour may be edited three times in six seconds, in all of a channel. What
#: seems a little younger may be that old by Discord's clock.
EDITS_PAUSE_SECONDS = 60.0
OLD = timedelta(minutes=55)


class Breaker:
    """Lets no request out while Discord, or what stands before it, turns all of them away."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = 0.0

    def check(self) -> None:
        """Raise `DeliveryUnavailable` while it is open."""
        if (left := self._until - self._clock.boottime()) > 0:
            raise DeliveryUnavailable("Discord turns Raybot away right now.", retry_after=left)

    def open(self, error: discord.HTTPException) -> DeliveryUnavailable:
        """Stop asking for a while, as long as the refusal says, but for an hour at most."""
        said = error.response.headers.get("Retry-After", "")
        seconds = max(SHUT_OUT_SECONDS, float(said) if said.isdecimal() else 0.0)
        seconds = min(seconds, LONGEST_SHUT_OUT_SECONDS)
        self._until = self._clock.boottime() + seconds
        log.error("discord.turned_away", status=error.status, code=error.code, pause=seconds)
        return DeliveryUnavailable("Discord turns Raybot away right now.", retry_after=seconds)


class OldEdits:
    """Leaves the old messages of a channel alone while Discord wants a pause with them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[int, float] = {}

    @contextmanager
    def spared(self, message: MessageRef) -> Iterator[None]:
        """Edit a message inside; raises `EditsPaused` where old ones have to rest."""
        channel = channel_id(message.thread)
        sent = discord.utils.snowflake_time(int(message.message))
        is_old = self._clock.now() - sent > OLD
        left = self._until.get(channel, 0.0) - self._clock.boottime()
        if is_old and left > 0:
            raise EditsPaused(retry_after=left)
        try:
            yield
        except discord.HTTPException as error:
            if error.code != TOO_MANY_EDITS:
                raise
            raise self._pause(channel, EDITS_PAUSE_SECONDS) from error
        except discord.RateLimited as error:
            # discord.py does not wait for so long, and does not tell the code.
            if not is_old:
                raise
            raise self._pause(channel, pause_of(error)) from error

    def _pause(self, channel: int, seconds: float) -> EditsPaused:
        now = self._clock.boottime()
        self._until = {each: until for each, until in self._until.items() if until > now}
        self._until[channel] = now + seconds
        return EditsPaused(retry_after=seconds)


def pause_of(error: discord.RateLimited) -> float:
    """How long Discord wants to be left alone, but for an hour at most."""
    return min(error.retry_after, LONGEST_SHUT_OUT_SECONDS)


def read_sign_in(error: Exception) -> str | None:
    """What only the operator can mend; None for what passes by itself."""
    code = error.code if isinstance(error, discord.ConnectionClosed) else None
    if isinstance(error, discord.LoginFailure) or code == BAD_TOKEN:
        return SIGN_IN_REFUSED
    return SHARDS_REFUSED if code in (BAD_SHARD, NEEDS_SHARDS) else None


def is_shut_out(error: discord.HTTPException) -> bool:
    """Whether nothing at all would be let in now: the token is refused, or our address is."""
    if error.status == 429:
        # Discord's own proxy names itself; a 429 without that is from the wall before it.
        return "Via" not in error.response.headers
    return error.code == BLOCKED or (error.status in {401, 403} and error.code == 0)


def is_certain(error: BaseException | None) -> bool:
    """Whether this says that surely nothing was posted."""
    if isinstance(error, discord.HTTPException):
        return error.status < 500
    return isinstance(error, discord.RateLimited | aiohttp.ClientConnectorError)


def to_error(error: discord.HTTPException, *, is_post: bool, is_clip: bool) -> DeliveryError:
    """What a refusal means for a message, so that its sender does the right thing next."""
    if error.code == UNKNOWN_MESSAGE and is_post:
        return PostedBefore("The message was posted and has been deleted since.")
    if error.code in GONE:
        return ThreadGone(GONE[error.code])
    if error.code == TOO_MANY_EDITS:
        return EditsPaused(retry_after=EDITS_PAUSE_SECONDS)
    if error.status == 429:
        return DeliveryUnavailable("Discord asks for a pause.", retry_after=PAUSE_SECONDS)
    if error.code in FAULTS_OF_OURS:
        log.error("discord.invalid_form", cause=str(error))
        if not is_clip:
            return ThreadGone("Discord does not take this message.")
    elif error.status in {403, 404} and error.code:
        return ThreadGone(f"Discord does not let Raybot post there (its code is {error.code}).")
    return DeliveryUnavailable("Discord has a problem right now.")
