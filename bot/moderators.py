"""Who checks a request before money is held: the word lists, and a hook of the operator's own.

The hook is a web address. It gets one POST of JSON: `job_id`, `tenant`, `channel`, `person` (a
pseudonym, always the same for one person), `prompt`, `negative_prompt`, and `frames`, each with
`slot`, `content_type` and `base64`. `X-Raybot-Signature: t=<seconds>,v1=<hex>` holds the HMAC
SHA-256 of `<seconds>.<body>` under `hook_secret`. It answers 200 with `{"allow": true}`, or with
`{"allow": false, "kind": "words" | "image" | "names", "sentence": "…"}`; anything else, and
anything later than `hook_timeout_seconds`, is no answer.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import httpx

from bot.clock import Clock
from bot.errors import Filtered, Moderated, NotChecked
from bot.http import create_client, read_json
from bot.log import get_logger, register_secret
from bot.refs import JobId
from bot.request import Requester
from bot.tables import ModerationTable
from bot.wordlist import Blocklist
from bot.words import clean

log = get_logger(__name__)
#: What to change, by what is minded. Which word it was is not said: lists are not for reading.
ADVICE: dict[Filtered, str] = {
    "words": "Something in your words is not allowed here. Say it in other words.",
    "image": "Your image is not allowed here. Use another one.",
    "names": "A name in it is protected and not allowed here. Describe it without the name.",
}
ANSWER_BYTES = 10_000


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """What somebody asks for, before money is held. `frames` are local copies by their slot.

    `blocked` is what their place lets nobody ask for.
    """

    job_id: JobId
    requester: Requester
    channel: str
    prompt: str
    negative_prompt: str
    frames: Mapping[Literal["start", "end"], Path]
    blocked: Blocklist


class Moderator(Protocol):
    """Somebody who may say no to a request."""

    @property
    def asks_others(self) -> bool:
        """Whether that takes a while."""

    async def check(self, asked: Inspected) -> None:
        """Raise `Moderated` where it may not be made, `NotChecked` where that cannot be told."""

    async def aclose(self) -> None:
        """Close connections."""


class WordModerator:
    """The lists of the configuration, and those of the place."""

    asks_others = False

    def __init__(self, blocked: Blocklist) -> None:
        self._blocked = blocked

    async def check(self, asked: Inspected) -> None:
        """Raise `Moderated` where something on a list is asked for."""
        texts = [text for text in (asked.prompt, asked.negative_prompt) if text]
        if any(each.blocks(text) for each in (self._blocked, asked.blocked) for text in texts):
            raise Moderated(ADVICE["words"], kind="words", is_advised=True)

    async def aclose(self) -> None:
        """There is nothing to close."""


class HookModerator:
    """The operator's own check, asked once for each request."""

    asks_others = True

    def __init__(
        self,
        *,
        url: str,
        secret: str,
        seconds: float,
        fails_closed: bool,
        clock: Clock,
        pseudonym: Callable[[str], str],
    ) -> None:
        self._url = url
        self._secret = secret.encode()
        self._seconds = seconds
        self._fails_closed = fails_closed
        self._clock = clock
        self._pseudonym = pseudonym
        # A connection that just idled out would count as no answer.
        self._client = create_client(keep_alive=False)

    async def check(self, asked: Inspected) -> None:
        """Raise `Moderated` where the hook says no; without an answer, what the setting says."""
        body = json.dumps(await asyncio.to_thread(self._to_body, asked)).encode()
        try:
            async with asyncio.timeout(self._seconds):
                said = await self._ask(body)
        except (TimeoutError, httpx.HTTPError) as error:
            log.warning("hook.no_answer", job=asked.job_id, cause=type(error).__name__)
            said = None
        match said:
            case {"allow": True}:
                return
            case {"allow": False}:
                raise _to_refusal(said)
            case _ if self._fails_closed:
                raise NotChecked
            case _:
                log.warning("hook.let_through", job=asked.job_id)

    def _to_body(self, asked: Inspected) -> dict[str, Any]:
        frames = [
            {
                "slot": slot,
                "content_type": "image/jpeg",
                "base64": base64.b64encode(path.read_bytes()).decode(),
            }
            for slot, path in asked.frames.items()
        ]
        return {
            "job_id": asked.job_id,
            "tenant": asked.requester.tenant,
            "channel": asked.channel,
            "person": self._pseudonym(asked.requester.person),
            "prompt": asked.prompt,
            "negative_prompt": asked.negative_prompt,
            "frames": frames,
        }

    async def _ask(self, body: bytes) -> Any:
        """What it answers; None where that is no answer."""
        at = str(int(self._clock.now().timestamp()))
        signed = hmac.new(self._secret, at.encode() + b"." + body, hashlib.sha256).hexdigest()
        headers = {
            "content-type": "application/json",
            "x-raybot-signature": f"t={at},v1={signed}",
        }
        async with self._client.stream(
            "POST", self._url, content=body, headers=headers
        ) as response:
            answer = b""
            async for chunk in response.aiter_bytes():
                answer += chunk
                if len(answer) > ANSWER_BYTES:
                    return None
        if response.status_code != httpx.codes.OK:
            log.warning("hook.no_answer", status=response.status_code)
            return None
        return read_json(answer)

    async def aclose(self) -> None:
        """Close connections."""
        await self._client.aclose()


def _to_refusal(said: dict[str, Any]) -> Moderated:
    """Its own sentence, where it gives one, made fit for a person to read."""
    told = said.get("kind")
    kind: Filtered = next((each for each in get_args(Filtered) if each == told), "words")
    sentence = said.get("sentence")
    own = clean(sentence) if isinstance(sentence, str) else ""
    return Moderated(own or ADVICE[kind], kind=kind, is_advised=not own)


def open_moderators(
    table: ModerationTable, *, clock: Clock, pseudonym: Callable[[str], str]
) -> Sequence[Moderator]:
    """The moderators that the configuration asks for, the quickest first."""
    blocked = Blocklist(words=table.blocked_words, patterns=table.blocked_patterns)
    words = WordModerator(blocked)
    if not table.hook_url or table.hook_secret is None:
        return (words,)
    secret = table.hook_secret.get_secret_value()
    register_secret(secret)
    hook = HookModerator(
        url=table.hook_url,
        secret=secret,
        seconds=table.hook_timeout_seconds,
        fails_closed=table.hook_fails == "closed",
        clock=clock,
        pseudonym=pseudonym,
    )
    return (words, hook)
