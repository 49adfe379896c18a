"""Socket Mode as Slack is on a bad day: lost, doubled and late words, dead sockets, bad tokens."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from adapters.slack.listener import Slack
from adapters.slack.sockets import DOWN_SECONDS
from bot.errors import ConfigError
from bot.job import JobState
from bot.log import setup_logging
from bot.refs import JobId
from tests.adapters.slack.conftest import Community, LocalSlack
from tests.fakes import until
from tests.slack_server import Message
from tests.slack_server.answers import Answers


def job_of(clip: Message) -> JobId:
    """The job whose clip this is."""
    [delete] = [each["action_id"] for each in clip.elements if "delete" in each["action_id"]]
    return JobId(delete.rpartition(":")[2])


def asked(community: Community) -> int:
    """So many jobs there are."""
    book = f"file:{community.bot.config.bot.data_dir}/raybot.db?mode=ro"
    with closing(sqlite3.connect(book, uri=True)) as open_book:
        [(count,)] = open_book.execute("SELECT count(*) FROM jobs")
    return int(count)


@contextmanager
def closed_inbox(community: Community, table: str = "inbox") -> Iterator[None]:
    """While the block runs nothing that comes in can be kept; or nothing of another table."""
    book = f"{community.bot.config.bot.data_dir}/raybot.db"
    with closing(sqlite3.connect(book, isolation_level=None)) as other:
        other.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
        try:
            yield
        finally:
            other.execute(f"ALTER TABLE elsewhere RENAME TO {table}")


@contextmanager
def log_lines(capsys: pytest.CaptureFixture[str]) -> Iterator[list[str]]:
    """What the bot logs at the usual level while the block runs, as its operator reads it."""
    lines: list[str] = []
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    setup_logging("info", fmt="json")
    try:
        yield lines
    finally:
        root.setLevel(before[0])
        root.handlers = before[1]
        lines += capsys.readouterr().err.splitlines()


# ---- what is told twice ----------------------------------------------------------------------


async def test_a_mention_told_again_because_its_ack_was_lost_makes_one_clip(
    community: Community,
) -> None:
    community.slack.lost_acks = 1
    await community.ana.say(f"{community.team.mention} a fox", community.general)
    await community.clip()
    [again] = await community.slack.redeliver()
    await community.slack.wait_acked()
    assert (again.tries, again.lost) == (2, 1)
    assert len(community.bot.simulator.generations) == asked(community) == 1


async def test_one_message_told_in_three_events_makes_one_clip(community: Community) -> None:
    community.slack.repeat_events = 3
    await community.ana.say(f"{community.team.mention} a fox", community.general)
    await community.slack.wait_acked()
    await community.clip()
    assert len(community.slack.envelopes) == 3
    assert len(community.bot.simulator.generations) == asked(community) == 1


async def test_a_button_told_twice_is_pressed_once(community: Community) -> None:
    await community.ana.slash("/ray", "a fox", community.general)
    pressed = await community.ana.click(await community.clip(), "Variation")
    await pressed.wait_said()
    await community.slack.line.send(pressed.envelopes[0])
    await community.slack.wait_for(lambda: len(community.clips()) == 2)
    assert len(community.bot.simulator.generations) == asked(community) == 2
    assert len(pressed.said) == 1


async def test_a_command_that_cannot_be_kept_is_answered_with_a_sentence(
    community: Community,
) -> None:
    with closed_inbox(community):
        refused = await community.ana.slash("/ray", "a fox", community.general)
    assert refused.is_acked
    [sentence] = refused.said
    assert "The database did not take it" in sentence
    await community.ana.slash("/ray", "a fox", community.general)
    await community.clip()
    assert asked(community) == 1


async def test_a_fault_in_a_refusal_ends_no_more_than_that(
    community: Community, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    adapter = community.bot.app._adapters["slack"]
    assert isinstance(adapter, Slack)

    async def trip(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(adapter._replies, "say", trip)
        assert (await community.ana.slash("/ray", "show r-0000000000", community.general)).is_acked
        await until(lambda: caplog.text.count("slack.fault") >= 2)
    await community.ana.slash("/ray", "a fox", community.general)
    await community.clip()


# ---- sockets ---------------------------------------------------------------------------------


async def test_a_socket_is_renewed_in_the_middle_of_a_job(community: Community) -> None:
    upload = community.slack.faults.hold("files.getUploadURLExternal")
    await community.ana.slash("/ray", "a fox", community.general)
    await asyncio.wait_for(upload.reached.wait(), 30)
    [old] = community.slack.line.sockets
    await community.slack.refresh()
    await community.slack.wait_for(
        lambda: community.slack.line.sockets and old not in community.slack.line.sockets
    )
    usage = await community.ana.slash("/ray", "usage", community.general)
    assert usage.is_acked
    assert "Your usage" in await usage.wait_said()
    upload.open()
    assert job_of(await community.clip())
    assert len(community.bot.simulator.generations) == 1


async def test_a_socket_whose_every_ticket_is_dead_is_replaced(community: Community) -> None:
    community.slack.dead_tickets = 1
    await community.slack.line.cut()
    before = len(community.slack.requests_to("apps.connections.open"))
    await community.hurry(lambda: community.slack.line.sockets, seconds=16)
    assert len(community.slack.requests_to("apps.connections.open")) > before
    assert (await community.ana.slash("/ray", "a fox", community.general)).is_acked
    await community.clip()


async def test_a_first_ticket_that_is_dead_does_not_keep_the_bot_away(
    local_slack: LocalSlack,
) -> None:
    """The SDK would knock with it forever; the proof of the token needs one ticket, too."""
    local_slack.slack.dead_tickets = 2

    async def pass_time() -> None:
        await local_slack.slack.wait_request("apps.connections.open", 2)
        local_slack.clock.move(seconds=DOWN_SECONDS)

    passing = asyncio.ensure_future(pass_time())
    async with local_slack.community() as community:
        await passing
        await community.ana.slash("/ray", "a fox", community.general)
        await community.clip()
    assert len(local_slack.slack.requests_to("apps.connections.open")) == 3


async def test_two_connections_share_what_is_told(local_slack: LocalSlack) -> None:
    async with local_slack.community({"connections": 2}) as community:
        for prompt in ("a fox", "a wolf"):
            assert (await community.ana.slash("/ray", prompt, community.general)).is_acked
        await community.slack.wait_for(lambda: len(community.clips()) == 2)
    await local_slack.slack.wait_left()
    assert len(community.bot.simulator.generations) == 2


# ---- tokens ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "token"), [("bot_token", "xoxb-1-of-nobody"), ("app_token", "xapp-1-of-nobody")]
)
async def test_a_token_that_is_refused_ends_the_start(
    local_slack: LocalSlack, key: str, token: str
) -> None:
    with pytest.RaisesGroup(
        pytest.RaisesExc(ConfigError, match=rf"\[adapters\.slack\] {key}: Slack does not accept"),
        flatten_subgroups=True,
    ):
        async with local_slack.community({key: token}):
            pass
    assert not local_slack.slack.line.sockets


async def test_a_missing_scope_is_named_in_the_log(
    local_slack: LocalSlack, capsys: pytest.CaptureFixture[str]
) -> None:
    local_slack.team.scopes.discard("files:write")
    with log_lines(capsys) as lines:
        async with local_slack.community():
            pass
    [told] = [each for each in map(json.loads, lines) if each["event"] == "slack.scopes_missing"]
    assert told["scopes"] == ["files:write"]
    assert "reinstall" in told["hint"]


async def test_a_clip_is_kept_where_the_token_was_revoked_before_it_came(
    community: Community, capsys: pytest.CaptureFixture[str]
) -> None:
    with log_lines(capsys) as lines:
        upload = community.slack.faults.hold("files.getUploadURLExternal")
        await community.ana.slash("/ray", "a fox", community.general)
        await asyncio.wait_for(upload.reached.wait(), 30)
        await community.slack.revoke(community.team)
        upload.open()
        [job_id] = await community.bot.app.database.read(
            lambda conn: [JobId(each) for (each,) in conn.exec_driver_sql("SELECT id FROM jobs")]
        )
        job = await community.bot.until(job_id, JobState.DELIVERED, JobState.FAILED)
    assert (job.state, (job.cost or 0) > 0) == (JobState.FAILED, True)
    assert not community.clips()
    await community.bot.check_books()
    refused = [each for each in map(json.loads, lines) if each["event"] == "slack.token_refused"]
    assert refused
    assert "BOT_TOKEN" in refused[0]["hint"]
    community.team.token_error = ""
    community.slack.faults.fail("files.getUploadURLExternal", status=503)
    shown = await community.ana.slash("/ray", f"show {job_id}", community.general)
    # Nobody but who asked tries that again.
    assert "in a minute, ask for it again" in await shown.wait_said()
    shown = await community.ana.slash("/ray", f"show {job_id}", community.general)
    assert "I sent the clip to your direct messages" in await shown.wait_said()
    assert [each.files[0].name for each in community.clips(community.ana.direct)]


# ---- what else is around ---------------------------------------------------------------------


async def test_variables_of_other_slack_tools_change_nothing(
    local_slack: LocalSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "SLACK_BOT_TOKEN": "xoxb-of-another-tool",
        "SLACK_APP_TOKEN": "xapp-of-another-tool",
        "SLACK_CLIENT_ID": "1.1",
        "SLACK_CLIENT_SECRET": "of another tool",
        "SLACK_SIGNING_SECRET": "of another tool",
        "SLACK_SCOPES": "admin",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    async with local_slack.community() as community:
        bad = await community.ana.slash("/ray", "a fox --seed 3", community.general)
        await bad.wait_said()
        await community.ana.slash("/ray", "a fox", community.general)
        await community.clip()
    tokens = {each.token for each in local_slack.slack.requests} - {""}
    assert tokens == {local_slack.team.bot_token, local_slack.slack.app_token}


async def test_a_form_that_slack_no_longer_takes_is_answered_with_a_sentence(
    community: Community,
) -> None:
    who = community.slack.faults.hold("users.info")
    opened = await community.ana.slash("/ray", "", community.general)
    await asyncio.wait_for(who.reached.wait(), 30)
    community.bot.clock.move(seconds=4)
    who.open()
    sentence = await opened.wait_said()
    assert opened.view is None
    assert "again" in sentence
    assert "code" not in sentence
    again = await community.ana.slash("/ray", "", community.general)
    assert (await again.wait_view()).is_open


async def test_a_proxys_answer_that_is_no_text_ends_no_bot(
    community: Community, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def garble(request: web.BaseRequest) -> web.Response:
        return web.Response(status=502, body=b"\xe9", content_type="text/html", charset="utf-8")

    async with RawTestServer(garble) as proxy:
        monkeypatch.setattr(Answers, "link", lambda *_: str(proxy.make_url("/")))
        await community.ana.slash("/ray", "usage", community.general)
        told = await community.ana.wait_ephemeral()
        assert "Your usage" in told.plain


async def test_no_words_and_no_tokens_stand_in_the_log(
    local_slack: LocalSlack, capsys: pytest.CaptureFixture[str]
) -> None:
    with log_lines(capsys) as lines:
        async with local_slack.community() as community:
            local_slack.slack.faults.fail("chat.postMessage", "fatal_error", when="after")
            await community.ana.slash("/ray", "a heliotrope fox", community.general)
            await community.hurry(community.clips)
            await community.ana.say(
                f"{community.team.mention} a heliotrope wolf --seed 1", community.general
            )
            await community.ana.wait_ephemeral()
    log = "\n".join(lines)
    assert "job.delivered" in log or "slack." in log
    for secret in (
        "heliotrope",
        local_slack.team.bot_token,
        local_slack.slack.app_token,
        f"{local_slack.slack.base_url}/response",
        "ticket=",
    ):
        assert secret not in log
