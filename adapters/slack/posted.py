"""Was it posted before? Told by what our messages carry, where an answer may have been lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from adapters.slack import addresses, refusals
from adapters.slack.addresses import Account
from adapters.slack.clients import Clients
from adapters.slack.events import files_in
from bot.clock import Clock
from bot.errors import DeliveryUnavailable, PostedBefore, ThreadGone
from bot.ports import FIRST_TRY, LAST_TRY, Memo
from bot.refs import MessageRef, ThreadRef

EVENT_TYPE = "ray_job"
#: Around the tries to post, messages are looked through for our own.
CLOCKS_APART = timedelta(minutes=5)
#: What was sent may be shown so much later.
ON_ITS_WAY = timedelta(seconds=10)
#: Slack shows so many messages at once, or only fifteen to some apps.
PAGE, MOST_PAGES = 200, 10
MORE_SECONDS = 5.0
#: In the memo: how far the time of its tries has been looked through.
CURSOR = "cursor"


def to_metadata(key: str, job_id: str) -> dict[str, Any]:
    """What a message carries, so that it is known again. Everybody there may read it."""
    return {"event_type": EVENT_TYPE, "event_payload": {"job_id": job_id, "key": key}}


class Note:
    """A memo for as long as this process lives."""

    def __init__(self) -> None:
        self._kept: dict[str, str] = {}

    def get(self, name: str) -> str | None:
        """What was kept under this name."""
        return self._kept.get(name)

    async def put(self, name: str, value: str) -> None:
        """Keep it."""
        self._kept[name] = value


class Posted:
    """Finds the message of an earlier try whose answer was lost."""

    def __init__(self, clients: Clients, clock: Clock) -> None:
        self._clients = clients
        self._clock = clock

    async def find(
        self, thread: ThreadRef, *, key: str, memo: Memo, job_id: str = ""
    ) -> MessageRef | None:
        """Our own message of an earlier try, or None; notes this try.

        With `job_id` a clip is looked for, which is named after its job.
        """
        now = self._clock.now()
        if not (told := memo.get(FIRST_TRY)):
            await memo.put(FIRST_TRY, now.isoformat())
            return None
        first = datetime.fromisoformat(told)
        last = datetime.fromisoformat(memo.get(LAST_TRY) or told)
        if (left := ON_ITS_WAY - (now - last)) > timedelta(0):
            raise DeliveryUnavailable(
                "It may be on its way to Slack.",
                retry_after=min(left, ON_ITS_WAY).total_seconds(),
            )
        window = (first - CLOCKS_APART, last + CLOCKS_APART)
        try:
            found = await self._look_back(thread, window, key=key, memo=memo, job_id=job_id)
        except ThreadGone as error:
            if refusals.code_of(error) == "invalid_cursor":
                await memo.put(CURSOR, "")
                raise DeliveryUnavailable(retry_after=MORE_SECONDS) from error
            raise PostedBefore(
                "It may have been posted, and Slack does not let Raybot look."
            ) from error
        if found is not None:
            return addresses.to_message(thread, str(found["ts"]), file_id=_clip_in(found, job_id))
        await memo.put(LAST_TRY, now.isoformat())
        return None

    async def _look_back(
        self,
        thread: ThreadRef,
        window: tuple[datetime, datetime],
        *,
        key: str,
        memo: Memo,
        job_id: str,
    ) -> Mapping[str, Any] | None:
        """Our message in this time; an interrupted look is gone on with."""
        account = await self._clients.account(thread.workspace)
        for _ in range(MOST_PAGES):
            page, cursor = await self._page(thread, window, memo.get(CURSOR) or "")
            for message in page:
                if is_ours(message, account, key="" if job_id else key, job_id=job_id):
                    return message
            await memo.put(CURSOR, cursor)
            if not cursor:
                return None
        raise DeliveryUnavailable("Raybot still looks for it in Slack.", retry_after=MORE_SECONDS)

    async def _page(
        self, thread: ThreadRef, window: tuple[datetime, datetime], cursor: str
    ) -> tuple[Sequence[Mapping[str, Any]], str]:
        asked: dict[str, Any] = {
            "channel": addresses.channel_of(thread),
            "oldest": f"{window[0].timestamp():.6f}",
            "latest": f"{window[1].timestamp():.6f}",
            "inclusive": True,
            "include_all_metadata": True,
            "limit": PAGE,
            **({"cursor": cursor} if cursor else {}),
        }
        parent = addresses.parent_of(thread)
        async with self._clients.translated(thread.workspace):
            client = await self._clients.read(thread.workspace)
            if parent:
                got = await client.conversations_replies(ts=parent, **asked)
            else:
                got = await client.conversations_history(**asked)
        return read_page(got.data)


def read_page(told: object) -> tuple[list[Mapping[str, Any]], str]:
    """The messages of a page of the past, and where the next one begins, empty: nowhere.

    Raises `DeliveryUnavailable` for anything else: what is not seen would be posted twice.
    """
    page = told if isinstance(told, Mapping) else {}
    listed, after = page.get("messages") or [], page.get("response_metadata") or {}
    cursor = (after.get("next_cursor") or "") if isinstance(after, Mapping) else None
    if not isinstance(listed, list) or not isinstance(cursor, str) or not _are_messages(listed):
        raise DeliveryUnavailable("Slack does not answer as it should.", retry_after=MORE_SECONDS)
    return listed, cursor


def _are_messages(listed: list[Any]) -> bool:
    return all(isinstance(each, Mapping) and isinstance(each.get("ts"), str) for each in listed)


def _clip_in(message: Mapping[str, Any], job_id: str) -> str:
    """The id of a job's clip in a message; empty where it is not there."""
    for each in files_in(message):
        if job_id and job_id in str(each.get("name")):
            return str(each.get("id"))
    return ""


def is_ours(
    message: Mapping[str, Any], account: Account, *, key: str = "", job_id: str = ""
) -> bool:
    """Whether a message is our own with this key, or clip; anybody may give theirs the same."""
    if account.bot_user != message.get("user") and account.bot_id != message.get("bot_id"):
        return False
    if not key:
        return bool(_clip_in(message, job_id))
    carried = message.get("metadata")
    payload = carried.get("event_payload") if isinstance(carried, Mapping) else None
    if not isinstance(carried, Mapping) or not isinstance(payload, Mapping):
        return False
    return carried.get("event_type") == EVENT_TYPE and payload.get("key") == key
