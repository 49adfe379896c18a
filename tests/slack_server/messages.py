"""The methods that speak and read: `chat.*`, `conversations.*` and `users.info`."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from tests.slack_server import blocks as rules
from tests.slack_server.calls import Call
from tests.slack_server.payloads import Payloads
from tests.slack_server.problems import Json, Refused
from tests.slack_server.world import Channel, Message, World

MOST_TEXT = 40_000
MOST_UPDATED_TEXT = 4_000


class Messages:
    """Posts, changes, deletes and shows messages."""

    def __init__(self, world: World, payloads: Payloads) -> None:
        self._world = world
        self._payloads = payloads
        #: Slack gives so many objects at once at most; fifteen to some apps.
        self.most_at_once = 999

    # ---- chat --------------------------------------------------------------------------------

    async def post(self, call: Call) -> Json:
        """`chat.postMessage`."""
        channel = self._spoken(call, opens=True)
        text, blocks = self._said(call, MOST_TEXT)
        message = Message(
            ts=self._world.ts(),
            channel=channel,
            user=call.team.bot_user,
            bot_id=call.team.bot_id,
            text=text,
            blocks=blocks,
            thread_ts=self._parent(channel, call.text("thread_ts")),
            metadata=call.json("metadata"),
            unfurls=call.text("unfurl_links").lower() != "false",
        )
        self._world.add(message)
        shown = self._payloads.message(message, all_metadata=True)
        return {"channel": channel.id, "ts": message.ts, "message": shown}

    async def post_ephemeral(self, call: Call) -> Json:
        """`chat.postEphemeral`."""
        channel = self._spoken(call)
        user = call.needed("user")
        if user not in channel.members:
            raise Refused("user_not_in_channel")
        text, blocks = self._said(call, MOST_TEXT)
        message = Message(
            ts=self._world.ts(),
            channel=channel,
            user=call.team.bot_user,
            bot_id=call.team.bot_id,
            text=text,
            blocks=blocks,
            thread_ts=call.text("thread_ts") or None,
            seen_by=user,
        )
        self._world.ephemerals.append(message)
        self._world.board.notify()
        return {"message_ts": message.ts}

    async def update(self, call: Call) -> Json:
        """`chat.update`: text without blocks takes the blocks away."""
        message = self._own(call, "cant_update_message")
        text, blocks = self._said(call, MOST_UPDATED_TEXT)
        message.keep_version()
        message.text, message.blocks = text, blocks
        if (metadata := call.json("metadata")) is not None:
            message.metadata = metadata or None
        self._world.board.notify()
        shown = self._payloads.message(message)
        return {"channel": message.channel.id, "ts": message.ts, "text": text, "message": shown}

    async def delete(self, call: Call) -> Json:
        """`chat.delete`."""
        message = self._own(call, "cant_delete_message")
        message.deleted = True
        self._world.board.notify()
        return {"channel": message.channel.id, "ts": message.ts}

    def _spoken(self, call: Call, *, opens: bool = False) -> Channel:
        """The conversation in which the bot may speak."""
        given = call.needed("channel", "channel_not_found")
        channel = self._world.to_channel(call.team, given, opens=opens)
        if not channel.has_bot and "chat:write.public" not in call.team.scopes:
            raise Refused("not_in_channel")
        if channel.is_archived:
            raise Refused("is_archived")
        return channel

    def _said(self, call: Call, most: int) -> tuple[str, list[Json]]:
        text, blocks = call.text("text"), call.json("blocks", "invalid_blocks_format") or []
        if not text and not blocks:
            raise Refused("no_text")
        if len(text) > most:
            raise Refused("msg_too_long")
        rules.check_message(blocks)
        return text, rules.with_ids(blocks, self._world.id)

    def _parent(self, channel: Channel, given: str) -> str | None:
        """The thread's first message; Slack takes a reply's time stamp for its thread's."""
        if not given:
            return None
        parent = channel.messages.get(given)
        if parent is None:
            raise Refused("thread_not_found")
        return parent.thread_ts or parent.ts

    def _own(self, call: Call, not_ours: str) -> Message:
        channel = self._world.to_channel(call.team, call.needed("channel", "channel_not_found"))
        message = channel.messages.get(call.needed("ts", "message_not_found"))
        if message is None or message.deleted:
            raise Refused("message_not_found")
        if message.user != call.team.bot_user:
            raise Refused(not_ours)
        return message

    # ---- conversations -----------------------------------------------------------------------

    async def open(self, call: Call) -> Json:
        """`conversations.open`: the direct conversation with somebody."""
        user = self._world.users.get(call.text("users"))
        if user is None or user.id == call.team.bot_user:
            raise Refused("user_not_found")
        if user.flags.get("deleted"):
            raise Refused("user_disabled")
        return {"channel": {"id": self._world.direct(call.team, user.id).id}}

    async def info(self, call: Call) -> Json:
        """`conversations.info`."""
        channel = self._world.to_channel(call.team, call.needed("channel", "channel_not_found"))
        return {"channel": channel.json}

    async def history(self, call: Call) -> Json:
        """`conversations.history`: the latest first, no replies."""
        channel = self._seen(call)
        found = [each for each in channel.messages.values() if each.thread_ts is None]
        found = self._between(found, call)
        return self._page(sorted(found, key=lambda each: each.ts, reverse=True), call)

    async def replies(self, call: Call) -> Json:
        """`conversations.replies`: a thread, its first message always first."""
        channel = self._seen(call)
        parent = channel.messages.get(call.needed("ts", "thread_not_found"))
        if parent is None:
            raise Refused("thread_not_found")
        if parent.thread_ts:
            return self._page([parent], call)
        shown = [] if parent.deleted else [parent]
        return self._page([*shown, *self._between(parent.replies, call)], call)

    def _seen(self, call: Call) -> Channel:
        channel = self._world.to_channel(call.team, call.needed("channel", "channel_not_found"))
        call.require_history(channel)
        if not channel.has_bot:
            raise Refused("not_in_channel")
        return channel

    def _between(self, messages: Iterable[Message], call: Call) -> list[Message]:
        """Those of the time asked for; its ends belong to it only where `inclusive` says so."""
        oldest, latest = call.text("oldest"), call.text("latest")
        is_inclusive = call.flag("inclusive")

        def is_within(ts: str) -> bool:
            at = float(ts)
            if is_inclusive:
                return (not oldest or at >= float(oldest)) and (not latest or at <= float(latest))
            return (not oldest or at > float(oldest)) and (not latest or at < float(latest))

        return [each for each in messages if not each.deleted and is_within(each.ts)]

    def _page(self, messages: list[Message], call: Call) -> Json:
        size = min(max(call.number("limit", 100), 1), self.most_at_once)
        start = from_cursor(call.text("cursor"))
        told = [
            self._payloads.message(each, all_metadata=call.flag("include_all_metadata"))
            for each in messages[start : start + size]
        ]
        answer: dict[str, Any] = {"messages": told, "has_more": start + size < len(messages)}
        if answer["has_more"]:
            answer["response_metadata"] = {"next_cursor": to_cursor(start + size)}
        return answer

    # ---- people ------------------------------------------------------------------------------

    async def user(self, call: Call) -> Json:
        """`users.info`: of strangers only those whom a conversation has with the bot."""
        user = self._world.users.get(call.needed("user", "user_not_found"))
        if user is None:
            raise Refused("user_not_found")
        is_met = any(
            user.id in each.members and each.has_bot and each.team is call.team
            for each in self._world.channels.values()
        )
        if user.team_id != call.team.id and not is_met:
            raise Refused("user_not_visible")
        told = user.json
        if user.team_id != call.team.id:
            told["is_stranger"] = told.get("is_stranger", True)
        if not call.flag("include_locale"):
            told.pop("locale")
        return {"user": told}


def to_cursor(start: int) -> str:
    """Where the next page begins, as no client should read it."""
    return base64.b64encode(f"next:{start}".encode()).decode()


def from_cursor(cursor: str) -> int:
    """Where a page begins; raises `invalid_cursor` for what was made up."""
    if not cursor:
        return 0
    try:
        return int(base64.b64decode(cursor).decode().removeprefix("next:"))
    except ValueError:
        raise Refused("invalid_cursor") from None
