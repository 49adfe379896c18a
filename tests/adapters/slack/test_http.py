"""Slack's calls at the bot's public listener: signed, forged, repeated, and refused for now."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from adapters.slack.manifest import EVENTS_PATH, INSTALL_PATH
from bot.web import CALL_BYTES
from tests.adapters.slack.conftest import Community, LocalSlack, picture
from tests.adapters.slack.test_wire import asked, closed_inbox

CHALLENGE = json.dumps({"type": "url_verification", "token": "old", "challenge": "3eZbrw1a"})


@asynccontextmanager
async def called(local_slack: LocalSlack) -> AsyncIterator[Community]:
    """Run a bot that Slack calls; no socket is open."""
    settings = {
        "mode": "http",
        "signing_secret": local_slack.slack.signing_secret,
        "app_token": None,
    }
    async with local_slack.community(settings) as community:
        await local_slack.slack.wait_request("auth.test")
        local_slack.slack.http_url = f"{community.bot.app._web.public_address}{EVENTS_PATH}"
        yield community


async def is_open(community: Community) -> None:
    """Wait until the bot knows who it is."""
    async with asyncio.timeout(30):
        while community.bot.app._adapters["slack"]._works is None:  # type: ignore[attr-defined]
            await asyncio.sleep(0.01)


@pytest.fixture
async def door(local_slack: LocalSlack) -> AsyncIterator[Community]:
    async with called(local_slack) as community:
        await is_open(community)
        yield community


async def call(door: Community, body: str = CHALLENGE, **how: Any) -> tuple[int, str]:
    """Call the door; the status and what is said."""
    return await door.slack.line.post_signed(body, **how)


async def test_all_that_slack_tells_comes_in_by_its_calls(door: Community) -> None:
    command = await door.ana.slash("/ray", "a fox", door.general)
    assert command.envelopes[0].status == 200
    clip = await door.clip()
    pressed = await door.ana.click(clip, "Variation")
    assert pressed.is_acked
    await door.slack.wait_for(lambda: len(door.clips()) == 2)
    image = await door.ben.say("look", door.general, files=[("fox.png", picture(), "image/png")])
    await door.ana.say(f"{door.team.mention} slow zoom", door.general, thread=image)
    await door.slack.wait_for(lambda: len(door.clips()) == 3)
    form = await (await door.ana.slash("/ray", "", door.general)).wait_view()
    done = await door.ana.submit(form, {"prompt": "a wolf"})
    assert done.closed
    await door.slack.wait_for(lambda: len(door.clips()) == 4)
    assert not door.slack.line.sockets
    assert not door.slack.requests_to("apps.connections.open")
    await door.bot.check_books()


async def test_the_address_is_proved_by_its_challenge(door: Community) -> None:
    status, said = await call(door)
    assert (status, "3eZbrw1a" in said) == (200, True)


@pytest.mark.parametrize(
    "how",
    [
        {"secret": "of somebody else"},
        {"timestamp": "1500000000"},
        {"timestamp": "yesterday"},
        {"timestamp": "9" * 5000},
        {"timestamp": "²"},
        {"leaves_out": frozenset({"X-Slack-Signature"})},
        {"leaves_out": frozenset({"X-Slack-Request-Timestamp"})},
        {"leaves_out": frozenset({"X-Slack-Signature", "X-Slack-Request-Timestamp"})},
    ],
    ids=["secret", "stale", "no number", "ages", "other digits", "unsigned", "untimed", "bare"],
)
async def test_a_call_that_is_not_of_slack_is_refused(
    door: Community, how: dict[str, Any]
) -> None:
    event = {"type": "app_mention", "user": door.ana.id, "channel": door.general.id, "ts": "1.2"}
    told = {"type": "event_callback", "team_id": door.team.id, "event": {**event, "text": "a fox"}}
    status, _ = await call(door, json.dumps(told), **how)
    assert status == 401
    assert asked(door) == 0


async def test_a_call_that_bolt_stumbles_over_is_refused(door: Community) -> None:
    """Its own reading fails where a payload has two addresses to answer to, or none at 0."""
    for addresses in ("[{}, {}]", '{"id": 1}'):
        status, _ = await call(door, f'{{"type": "block", "response_urls": {addresses}}}')
        assert status == 400
    assert asked(door) == 0


async def test_a_body_beyond_all_measure_is_refused(door: Community) -> None:
    body = io.BytesIO(b"x" * (CALL_BYTES + 1))
    async with (
        aiohttp.ClientSession() as session,
        session.post(door.slack.http_url, data=body) as got,
    ):
        assert got.status == 413


async def test_strangers_words_are_not_even_read(
    door: Community, caplog: pytest.LogCaptureFixture
) -> None:
    for body in ("", "{", "payload=%7B", "[]", '"text"', "payload=5", "a=b"):
        status, _ = await call(door, body, secret="of somebody else")
        assert status == 401, body
        status, _ = await call(door, body)
        assert status in (400, 404), body
    assert not [each for each in caplog.records if each.levelname in ("ERROR", "CRITICAL")]


async def test_other_paths_are_nobody_s(door: Community) -> None:
    own = door.bot.app._web.public_address
    async with aiohttp.ClientSession() as session:
        for path in ("/slack/other", INSTALL_PATH, EVENTS_PATH):
            async with session.get(f"{own}{path}") as got:
                assert got.status in (404, 405), path


async def test_an_event_that_is_told_again_makes_one_clip(door: Community) -> None:
    door.slack.lost_acks = 2
    await door.ana.say(f"{door.team.mention} a fox", door.general)
    await door.slack.redeliver()
    await door.slack.redeliver()
    await door.clip()
    [event] = door.slack.envelopes
    assert (event.tries, event.status) == (3, 200)
    assert len(door.bot.simulator.generations) == asked(door) == 1


async def test_nothing_is_lost_before_the_bot_knows_who_it_is(local_slack: LocalSlack) -> None:
    local_slack.slack.faults.drop("auth.test")
    async with called(local_slack) as community:
        early = await community.ana.slash("/ray", "a fox", community.general)
        assert "just starting" in await early.wait_said()
        await community.ana.say(f"{community.team.mention} a fox", community.general)
        event = community.slack.envelopes[-1]
        assert (event.status, event.is_acked) == (503, False)
        community.later(seconds=6)
        await is_open(community)
        await community.slack.redeliver()
        await community.clip()
        assert asked(community) == 1


async def test_what_cannot_be_kept_is_told_again_by_slack(door: Community) -> None:
    with closed_inbox(door):
        await door.ana.say(f"{door.team.mention} a fox", door.general)
    [event] = door.slack.envelopes
    assert (event.status, event.is_acked) == (503, False)
    await door.slack.redeliver()
    await door.clip()
    assert asked(door) == 1


async def test_a_signature_in_other_letters_is_refused(door: Community) -> None:
    now = str(int(door.bot.clock.now().timestamp()))
    headers = {"X-Slack-Signature": "v0=é", "X-Slack-Request-Timestamp": now}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(door.slack.http_url, data=b"\xff\xfe") as got,
    ):
        assert got.status == 401
