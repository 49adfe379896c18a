"""Who checks a request before money is held: lists, and the operator's hook over real HTTP."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bot.clock import SystemClock
from bot.config import to_config
from bot.errors import ConfigError, Moderated, NotChecked
from bot.moderators import HookModerator, Inspected, open_moderators
from bot.refs import JobId
from bot.tables import ModerationTable
from bot.wordlist import Blocklist
from tests.fakes import to_requester

SECRET = "a-secret-of-the-hook"


class Hook:
    """The operator's own check: it says what it is told to say."""

    def __init__(self) -> None:
        self.says: bytes = b'{"allow": true}'
        self.status = 200
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.asked: list[tuple[str, bytes]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked.append((request.headers["x-raybot-signature"], body))
        await self.may_answer.wait()
        return web.Response(body=self.says, status=self.status)


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    served, app = Hook(), web.Application(client_max_size=10**8)
    app.router.add_post("/check", served.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    served.url = f"http://{host}:{port}/check"
    yield served
    served.may_answer.set()
    await runner.cleanup()


async def ask(hook: Hook, *, closed: bool = True, seconds: float = 5, **changes: Any) -> None:
    """One question to the hook, as a request would put it."""
    moderator = HookModerator(
        url=hook.url,
        secret=SECRET,
        seconds=seconds,
        fails_closed=closed,
        clock=SystemClock(),
        pseudonym=lambda person: f"somebody-{len(person)}",
    )
    try:
        await moderator.check(to_asked(**changes))
    finally:
        await moderator.aclose()


def to_asked(prompt: str = "a fox", **changes: Any) -> Inspected:
    values = {
        "job_id": JobId("r-1"),
        "requester": to_requester(),
        "channel": "general",
        "prompt": prompt,
        "negative_prompt": "",
        "frames": {},
        "blocked": Blocklist(),
    }
    return Inspected(**{**values, **changes})


async def test_the_hook_gets_what_it_needs_signed_and_no_name(hook: Hook, tmp_path: Path) -> None:
    image = tmp_path / "start.jpg"
    image.write_bytes(b"jpeg")
    await ask(hook, frames={"start": image})
    ((signature, body),) = hook.asked
    at, signed = (part.split("=")[1] for part in signature.split(","))
    right = hmac.new(SECRET.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
    said = json.loads(body)
    assert signed == right
    assert said["person"] == "somebody-19"
    assert base64.b64decode(said["frames"][0]["base64"]) == b"jpeg"
    assert said.keys() == {
        *("job_id", "tenant", "channel", "person", "prompt", "negative_prompt", "frames")
    }


async def test_the_hook_refuses_in_its_own_cleaned_words(hook: Hook) -> None:
    hook.says = json.dumps(
        {"allow": False, "kind": "image", "sentence": "No\u202e faces,\nplease."}
    ).encode()
    with pytest.raises(Moderated, match=r"^No faces, please\.$") as caught:
        await ask(hook)
    assert caught.value.kind == "image"
    hook.says = b'{"allow": false, "kind": 7, "sentence": []}'
    with pytest.raises(Moderated, match="Something in your words"):
        await ask(hook)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (500, b'{"allow": true}'),
        (302, b""),
        (200, b"yes"),
        (200, b"[1]"),
        (200, b'{"allow": 1.0}'),
    ],
)
async def test_what_is_no_answer_fails_as_it_is_set(hook: Hook, status: int, says: bytes) -> None:
    hook.status, hook.says = status, says
    with pytest.raises(NotChecked):
        await ask(hook)
    await ask(hook, closed=False)


async def test_a_silent_or_endless_hook_is_not_waited_for(hook: Hook) -> None:
    hook.says = b" " * 20_000 + b'{"allow": true}'
    with pytest.raises(NotChecked):
        await ask(hook)
    hook.may_answer.clear()
    with pytest.raises(NotChecked):
        await ask(hook, seconds=0.05)
    await ask(hook, closed=False, seconds=0.05)


async def test_lists_of_the_house_and_the_place_hold_for_every_prompt() -> None:
    table = ModerationTable(blocked_words=("nazi",), blocked_patterns=(r"\bgun",))
    (words,) = open_moderators(table, clock=SystemClock(), pseudonym=str)
    place = Blocklist(words=("clown",))
    await words.check(to_asked("a fox", blocked=place))
    for asked in (
        to_asked("a n4z1 fox"),
        to_asked("GUNS"),
        to_asked("a clown", blocked=place),
        to_asked("rain", negative_prompt="Nazi"),
    ):
        with pytest.raises(Moderated) as caught:
            await words.check(asked)
        assert "nazi" not in caught.value.sentence.lower()


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"blocked_patterns": ["fox("]}, "cannot be used"),
        ({"blocked_words": ["--"]}, "one of them a letter"),
        ({"hook_url": "ftp://x"}, "is no address"),
        ({"hook_url": "http://x", "hook_secret": "short"}, "needs a hook_secret"),
        ({"hook_fails": "ajar"}, "hook_fails"),
    ],
)
def test_a_configuration_that_cannot_be_kept_is_refused(table: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        to_config({"moderation": table})
