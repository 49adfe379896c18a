"""What Slack answers when it is asked: its past, a thread, a file, whose a token is.

The SDK asks a true server, which says what was spoilt.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given

from adapters.command_text import Draft
from adapters.slack.clients import Clients
from adapters.slack.images import Images, _refuse_hidden
from adapters.slack.mentions import Mentions, clip_in
from adapters.slack.people import People
from adapters.slack.posted import Note, Posted, is_ours, to_metadata
from adapters.slack.proof import line_of, meet
from adapters.slack.settings import Settings
from adapters.slack.tokens import OneWorkspace
from adapters.slack.uploads import to_share
from bot.errors import BotError
from bot.ports import FIRST_TRY
from bot.refs import MessageRef, ThreadRef
from bot.request import ClipFrame
from tests.adapters.slack.test_parse import said
from tests.fakes import MovableClock
from tests.fuzz import fuzz
from tests.fuzz.answering import answering, answers, outcome, says
from tests.fuzz.mutations import bounded, spoilt, tried
from tests.fuzz.test_slack import ACCOUNT, FILE, MESSAGE
from tests.notices import JOB

KEY = "a-key"
CHANNEL = ThreadRef(adapter="slack", workspace="T1", channel="C1")
THREAD = ThreadRef(adapter="slack", workspace="T1", channel="C1", thread="9.1")
CLIP = {**FILE, "name": f"ray-flash-2_{JOB}_a-red-fox.mp4", "mimetype": "video/mp4"}
OURS = {
    "type": "message",
    "user": "U0BOT",
    "bot_id": "B1",
    "text": "a red fox",
    "ts": "10.2",
    "metadata": to_metadata(KEY, JOB),
}
#: Somebody else's, who gave theirs all that ours has.
FORGED = {**OURS, "user": "U1", "bot_id": "B2", "files": [CLIP]}
PAGE = {
    "ok": True,
    "messages": [MESSAGE, FORGED, {**OURS, "files": [{**CLIP, "id": "F2"}]}],
    "response_metadata": {"next_cursor": "bmV4dA=="},
}
SHARED = {
    "ok": True,
    "file": {
        **CLIP,
        "shares": {"public": {"C1": [{"ts": "10.2", "thread_ts": "9.1"}], "C2": [{"ts": "11.1"}]}},
    },
}
WHO = {
    "ok": True,
    "team_id": "T1",
    "user_id": "U0BOT",
    "bot_id": "B1",
    "team": "Foxes",
    "user": "ray",
    "bot": {"id": "B1", "app_id": "A1"},
}
PERSON = {"ok": True, "user": {"id": "U1", "name": "ana", "profile": {"display_name": "Ana"}}}


@asynccontextmanager
async def asking(address: str) -> AsyncIterator[Clients]:
    """Our connections to it."""
    accounts = OneWorkspace()
    accounts.prove(ACCOUNT)
    async with Clients(accounts, base_url=address) as clients:
        yield clients


# ---- was it posted before? ---------------------------------------------------------------------


async def past() -> Note:
    """A try to post was made, and its answer was lost."""
    note = Note()
    await note.put(FIRST_TRY, (MovableClock().now() - timedelta(minutes=3)).isoformat())
    return note


@pytest.mark.parametrize("thread", [CHANNEL, THREAD])
@pytest.mark.parametrize("job_id", ["", JOB])
async def test_an_earlier_message_is_found_or_is_not(thread: ThreadRef, job_id: str) -> None:
    async with answering() as (api, address), asking(address) as clients:
        posted = Posted(clients, MovableClock())
        for number, body in enumerate(answers(PAGE)):
            says(api, body)
            memo = await past()
            found = await outcome(posted.find(thread, key=KEY, memo=memo, job_id=job_id))
            assert found is None or isinstance(found, MessageRef | BotError)
            if number == 0:
                assert isinstance(found, MessageRef)
                assert found.message == ("10.2/F2" if job_id else "10.2")


@fuzz
@example({**FORGED, "user": None, "bot_id": None})
@given(spoilt(FORGED))
def test_a_message_of_somebody_else_is_never_ours(message: Any) -> None:
    if isinstance(message, dict):
        with bounded():
            assert not is_ours(message, ACCOUNT, key=KEY)
            assert not is_ours(message, ACCOUNT, job_id=JOB)
            assert clip_in(message, ACCOUNT) is None


@fuzz
@given(spoilt(OURS, {**OURS, "files": [CLIP]}))
def test_a_message_is_ours_or_is_not(message: Any) -> None:
    if isinstance(message, dict):
        with bounded():
            assert is_ours(message, ACCOUNT, key=KEY) in (True, False)
            assert is_ours(message, ACCOUNT, job_id=JOB) in (True, False)
            assert isinstance(clip_in(message, ACCOUNT), ClipFrame | None)


@fuzz
@given(spoilt(SHARED["file"]))
def test_a_clips_message_is_found_or_is_not(told: Any) -> None:
    if isinstance(told, dict):
        shown = tried(lambda: to_share(told, THREAD))
        assert shown is None or shown.thread.workspace == "T1"


# ---- mentions ----------------------------------------------------------------------------------

HEARD = (
    said("slow zoom", ts="10.1"),
    said("slow zoom", ts="10.1", thread_ts="9.1"),
    said("slow zoom", ts="10.1", thread_ts="9.1", files=[]),
    said("slow zoom", ts="10.1", files=[{**FILE, "file_access": "check_file_info"}]),
)


@pytest.mark.parametrize("heard", HEARD)
async def test_the_images_of_a_mention_are_found_or_asked_for(heard: Any) -> None:
    async def job_at(_message: MessageRef) -> None:
        return None

    async with answering() as (api, address), asking(address) as clients:
        mentions = Mentions(clients, job_at)
        for body in answers(PAGE, SHARED, {"ok": True, "file": FILE, "messages": [MESSAGE]}):
            says(api, body)
            found = await outcome(mentions.frames_of(heard, ACCOUNT, Draft()))
            assert isinstance(found, tuple | BotError)


# ---- the image of a frame ----------------------------------------------------------------------

IMAGE = {**FILE, "url_private": "https://files.slack.com/files-pri/T1-F1/fox.png"}


@fuzz
@given(spoilt(IMAGE, {**IMAGE, "mode": "hidden_by_limit", "file_access": "access_denied"}))
def test_an_image_is_asked_for_where_slack_keeps_files_or_is_refused(told: Any) -> None:
    images = Images(cast("Clients", None), MovableClock(), hosts=["files.slack.com"])
    if isinstance(told, dict):
        tried(lambda: _refuse_hidden(told))
        url = tried(lambda: images._safe_url(told))
        assert not url or urlsplit(url).hostname == "files.slack.com"


# ---- who is who --------------------------------------------------------------------------------


async def test_a_token_is_somebodys_or_is_refused() -> None:
    async with answering() as (api, address):
        settings = Settings.model_validate({"bot_token": "xoxb-1", "api_base_url": address})
        async with line_of(settings, "xoxb-1", seconds=5.0) as line:
            for body in answers(WHO, {"ok": False, "error": "missing_scope", "needed": "x"}):
                says(api, body)
                met = await outcome(meet(line))
                if not isinstance(met, BotError):
                    ids = (met.account.workspace, met.account.bot_user, met.account.bot_id)
                    said_ids = [
                        json.loads(body)[name] for name in ("team_id", "user_id", "bot_id")
                    ]
                    assert list(ids) == said_ids
                    assert all(ids)
                    assert met.called.isprintable()
                assert isinstance(await outcome(line.refusal("x.y")), str | BotError)
                assert isinstance(await outcome(line.app_of("B1")), str | BotError)


async def test_a_person_is_somebody_or_is_not_known() -> None:
    async with answering() as (api, address), asking(address) as clients:
        for body in answers(PERSON):
            says(api, body)
            people = People(clients, clock=MovableClock(), admins=())
            person = await outcome(people.of(ACCOUNT, "U1"))
            assert isinstance(person, BotError) or person.user
