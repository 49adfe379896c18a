"""What the bot sends to Discord, held to Discord's own OpenAPI document where it is at hand.

Every test here does so at its end (`conftest.py`); this one makes sure that it looks at enough.
"""

from __future__ import annotations

import re

import pytest

from bot.job import JobState
from bot.refs import JobId
from tests.adapters.discord.conftest import Street, picture
from tests.discord_server.openapi import check_requests, has_openapi
from tests.discord_server.wire import Request

pytestmark = pytest.mark.skipif(
    not has_openapi(), reason="discord-openapi.json is not beside this project"
)

#: Every way in which the bot speaks to Discord while it makes and posts clips.
ROUTES = {
    "GET /users/@me",
    "GET /oauth2/applications/@me",
    "PUT /applications/{app}/commands",
    "POST /interactions/{id}/{token}/callback",
    "PATCH /webhooks/{app}/{token}/messages/{message}",
    "POST /channels/{channel}/messages",
    "PATCH /channels/{channel}/messages/{message}",
    "DELETE /channels/{channel}/messages/{message}",
}


async def delivered(street: Street, job_id: str) -> None:
    await street.house.until(JobId(job_id), JobState.DELIVERED)
    street.later(seconds=6)


async def test_all_that_is_said_in_a_long_day_fits_the_schema(street: Street) -> None:
    asked = await street.ana.slash("ray animate", image=picture(), prompt="slow zoom")
    clip = await street.clip()
    job_id = _job_in((await street.ana.answer(asked)).content)
    await delivered(street, job_id)

    private = await street.ana.slash("ray create", prompt="a secret fox", private=True)
    await street.discord.wait_for(lambda: private.original and private.original.attachments)
    await street.ana.click(clip, "Remix")
    retried = await street.ben.click(clip, "Variation")
    await street.ben.answer(retried)
    await street.discord.wait_for(lambda: len(street.clips()) >= 2)

    thread = await street.ana.open_thread(street.general, "foxes")
    street.discord.faults.drop("POST", rf"^/channels/{thread.id}/messages$", when="after")
    asked = await street.ana.slash("ray create", thread, prompt="a fox in a thread")
    await street.discord.wait_for(lambda: asked.answer)
    await street.hurry(lambda: street.clips(thread), minutes=3)

    await street.delete(street.ana, clip)
    await street.discord.wait_for(lambda: clip.is_deleted)

    seen = {f"{each.method} {each.route}" for each in street.discord.requests}
    assert seen >= ROUTES
    assert check_requests(street.discord.requests) == []


def _job_in(words: str) -> str:
    found = re.search(r"r-[0-9a-z]{10}", words)
    assert found is not None, words
    return found[0]


async def test_a_body_that_does_not_fit_is_found(street: Street) -> None:
    await street.ana.slash("ray create", prompt="a red fox")
    await street.clip()
    sent = street.discord.requests_to("POST", r"^/channels/\d+/messages$")[-1]
    slips: list[dict[str, object]] = [
        {"nonce": "n" * 26},
        {"contents": "a red fox"},
        {"components": [{"type": 99}]},
    ]
    for wrong in slips:
        assert check_requests([_changed(sent, wrong)]) != []


def _changed(request: Request, wrong: dict[str, object]) -> Request:
    return Request(
        method=request.method,
        path=request.path,
        query=request.query,
        headers=request.headers,
        body={**request.body, **wrong},
        files=request.files,
        at=request.at,
        is_multipart=request.is_multipart,
        status=request.status,
    )
