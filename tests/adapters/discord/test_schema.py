"""What the bot sends to Discord, held to Discord's own OpenAPI document where it is at hand.

Every test here does so at its end (`conftest.py`); this one makes sure that it looks at enough.
"""

from __future__ import annotations

import re

import pytest

from bot.job import JobState
from bot.refs import JobId
from tests.adapters.discord.conftest import Community, picture
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


async def delivered(community: Community, job_id: str) -> None:
    await community.bot.until(JobId(job_id), JobState.DELIVERED)
    community.later(seconds=6)


async def test_all_that_is_said_in_a_long_day_fits_the_schema(community: Community) -> None:
    asked = await community.ana.slash("ray animate", image=picture(), prompt="slow zoom")
    clip = await community.clip()
    job_id = _job_in((await community.ana.answer(asked)).content)
    await delivered(community, job_id)

    private = await community.ana.slash("ray create", prompt="a secret fox", private=True)
    await community.discord.wait_for(lambda: private.original and private.original.attachments)
    await community.ana.click(clip, "Remix")
    retried = await community.ben.click(clip, "Variation")
    await community.ben.answer(retried)
    await community.discord.wait_for(lambda: len(community.clips()) >= 2)

    thread = await community.ana.open_thread(community.general, "foxes")
    community.discord.faults.drop("POST", rf"^/channels/{thread.id}/messages$", when="after")
    asked = await community.ana.slash("ray create", thread, prompt="a fox in a thread")
    await community.discord.wait_for(lambda: asked.answer)
    await community.hurry(lambda: community.clips(thread), minutes=3)

    await community.delete(community.ana, clip)
    await community.discord.wait_for(lambda: clip.is_deleted)

    seen = {f"{each.method} {each.route}" for each in community.discord.requests}
    assert seen >= ROUTES
    assert check_requests(community.discord.requests) == []


def _job_in(words: str) -> str:
    found = re.search(r"r-[0-9a-z]{10}", words)
    assert found is not None, words
    return found[0]


async def test_a_body_that_does_not_fit_is_found(community: Community) -> None:
    await community.ana.slash("ray create", prompt="a red fox")
    await community.clip()
    sent = community.discord.requests_to("POST", r"^/channels/\d+/messages$")[-1]
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
