"""Socket Mode as Slack is on a bad day: lost, doubled and late words, dead sockets, bad tokens."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from bot.errors import ConfigError
from bot.job import JobState
from bot.log import setup_logging
from bot.refs import JobId
from tests.adapters.slack.conftest import Lane, Town
from tests.slack_server import Message


def job_of(clip: Message) -> JobId:
    """The job whose clip this is."""
    [delete] = [each["action_id"] for each in clip.elements if "delete" in each["action_id"]]
    return JobId(delete.rpartition(":")[2])


def asked(lane: Lane) -> int:
    """So many jobs there are."""
    book = f"file:{lane.house.config.bot.data_dir}/raybot.db?mode=ro"
    with closing(sqlite3.connect(book, uri=True)) as open_book:
        [(count,)] = open_book.execute("SELECT count(*) FROM jobs")
    return int(count)


@contextmanager
def closed_inbox(lane: Lane) -> Iterator[None]:
    """While the block runs nothing that comes in can be kept."""
    book = f"{lane.house.config.bot.data_dir}/raybot.db"
    with closing(sqlite3.connect(book, isolation_level=None)) as other:
        other.execute("ALTER TABLE inbox RENAME TO elsewhere")
        try:
            yield
        finally:
            other.execute("ALTER TABLE elsewhere RENAME TO inbox")


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


async def test_a_mention_told_again_because_its_ack_was_lost_makes_one_clip(lane: Lane) -> None:
    lane.slack.lost_acks = 1
    await lane.ana.say(f"{lane.team.mention} a fox", lane.general)
    await lane.clip()
    [again] = await lane.slack.redeliver()
    await lane.slack.wait_acked()
    assert (again.tries, again.lost) == (2, 1)
    assert len(lane.house.simulator.generations) == asked(lane) == 1


async def test_one_message_told_in_three_events_makes_one_clip(lane: Lane) -> None:
    lane.slack.repeat_events = 3
    await lane.ana.say(f"{lane.team.mention} a fox", lane.general)
    await lane.slack.wait_acked()
    await lane.clip()
    assert len(lane.slack.envelopes) == 3
    assert len(lane.house.simulator.generations) == asked(lane) == 1


async def test_a_button_told_twice_is_pressed_once(lane: Lane) -> None:
    await lane.ana.slash("/ray", "a fox", lane.general)
    pressed = await lane.ana.click(await lane.clip(), "Variation")
    await pressed.wait_said()
    await lane.slack.line.send(pressed.envelopes[0])
    await lane.slack.wait_for(lambda: len(lane.clips()) == 2)
    assert len(lane.house.simulator.generations) == asked(lane) == 2
    assert len(pressed.said) == 1


async def test_a_command_that_cannot_be_kept_is_answered_with_a_sentence(lane: Lane) -> None:
    with closed_inbox(lane):
        refused = await lane.ana.slash("/ray", "a fox", lane.general)
    assert refused.is_acked
    [sentence] = refused.said
    assert "The database did not take it" in sentence
    await lane.ana.slash("/ray", "a fox", lane.general)
    await lane.clip()
    assert asked(lane) == 1


# ---- sockets ---------------------------------------------------------------------------------


async def test_a_socket_is_renewed_in_the_middle_of_a_job(lane: Lane) -> None:
    upload = lane.slack.faults.hold("files.getUploadURLExternal")
    await lane.ana.slash("/ray", "a fox", lane.general)
    await asyncio.wait_for(upload.reached.wait(), 10)
    [old] = lane.slack.line.sockets
    await lane.slack.refresh()
    await lane.slack.wait_for(
        lambda: lane.slack.line.sockets and old not in lane.slack.line.sockets
    )
    usage = await lane.ana.slash("/ray", "usage", lane.general)
    assert usage.is_acked
    assert "Your usage" in await usage.wait_said()
    upload.open()
    assert job_of(await lane.clip())
    assert len(lane.house.simulator.generations) == 1


async def test_a_socket_whose_every_ticket_is_dead_is_replaced(lane: Lane) -> None:
    lane.slack.dead_tickets = 1
    await lane.slack.line.cut()
    before = len(lane.slack.requests_to("apps.connections.open"))
    await lane.hurry(lambda: lane.slack.line.sockets, seconds=16)
    assert len(lane.slack.requests_to("apps.connections.open")) > before
    assert (await lane.ana.slash("/ray", "a fox", lane.general)).is_acked
    await lane.clip()


async def test_a_first_ticket_that_is_dead_does_not_keep_the_bot_away(town: Town) -> None:
    """The SDK would knock with it forever; the proof of the token needs one ticket, too."""
    town.slack.dead_tickets = 2

    async def pass_time() -> None:
        await town.slack.wait_request("apps.connections.open", 2)
        while not town.slack.line.sockets:
            town.clock.move(seconds=16)
            await asyncio.sleep(0.02)

    passing = asyncio.ensure_future(pass_time())
    async with town.lane() as lane:
        await passing
        await lane.ana.slash("/ray", "a fox", lane.general)
        await lane.clip()
    assert len(town.slack.requests_to("apps.connections.open")) == 3


async def test_two_connections_share_what_is_told(town: Town) -> None:
    async with town.lane({"connections": 2}) as lane:
        for prompt in ("a fox", "a wolf"):
            assert (await lane.ana.slash("/ray", prompt, lane.general)).is_acked
        await lane.slack.wait_for(lambda: len(lane.clips()) == 2)
    assert not town.slack.line.sockets
    assert len(lane.house.simulator.generations) == 2


# ---- tokens ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "token"), [("bot_token", "xoxb-1-of-nobody"), ("app_token", "xapp-1-of-nobody")]
)
async def test_a_token_that_is_refused_ends_the_start(town: Town, key: str, token: str) -> None:
    with pytest.RaisesGroup(
        pytest.RaisesExc(ConfigError, match=rf"\[adapters\.slack\] {key}: Slack does not accept"),
        flatten_subgroups=True,
    ):
        async with town.lane({key: token}):
            pass
    assert not town.slack.line.sockets


async def test_a_missing_scope_is_named_in_the_log(
    town: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    town.team.scopes.discard("files:write")
    with log_lines(capsys) as lines:
        async with town.lane():
            pass
    [told] = [each for each in map(json.loads, lines) if each["event"] == "slack.scopes_missing"]
    assert told["scopes"] == ["files:write"]
    assert "reinstall" in told["hint"]


async def test_a_clip_is_kept_where_the_token_was_revoked_before_it_came(
    lane: Lane, capsys: pytest.CaptureFixture[str]
) -> None:
    with log_lines(capsys) as lines:
        upload = lane.slack.faults.hold("files.getUploadURLExternal")
        await lane.ana.slash("/ray", "a fox", lane.general)
        await asyncio.wait_for(upload.reached.wait(), 10)
        await lane.slack.revoke(lane.team)
        upload.open()
        [job_id] = await lane.house.app.database.read(
            lambda conn: [JobId(each) for (each,) in conn.exec_driver_sql("SELECT id FROM jobs")]
        )
        job = await lane.house.until(job_id, JobState.DELIVERED, JobState.FAILED)
    assert (job.state, (job.cost or 0) > 0) == (JobState.FAILED, True)
    assert not lane.clips()
    await lane.house.check_books()
    refused = [each for each in map(json.loads, lines) if each["event"] == "slack.token_refused"]
    assert refused
    assert "BOT_TOKEN" in refused[0]["hint"]
    lane.team.token_error = ""
    shown = await lane.ana.slash("/ray", f"show {job_id}", lane.general)
    assert "direct messages" in await shown.wait_said()
    assert [each.files[0].name for each in lane.clips(lane.ana.direct)]


# ---- what else is around ---------------------------------------------------------------------


async def test_variables_of_other_slack_tools_change_nothing(
    town: Town, monkeypatch: pytest.MonkeyPatch
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
    async with town.lane() as lane:
        bad = await lane.ana.slash("/ray", "a fox --seed 3", lane.general)
        await bad.wait_said()
        await lane.ana.slash("/ray", "a fox", lane.general)
        await lane.clip()
    tokens = {each.token for each in town.slack.requests} - {""}
    assert tokens == {town.team.bot_token, town.slack.app_token}


async def test_a_form_that_slack_no_longer_takes_is_answered_with_a_sentence(lane: Lane) -> None:
    who = lane.slack.faults.hold("users.info")
    opened = await lane.ana.slash("/ray", "", lane.general)
    await asyncio.wait_for(who.reached.wait(), 10)
    lane.house.clock.move(seconds=4)
    who.open()
    sentence = await opened.wait_said()
    assert opened.view is None
    assert "again" in sentence
    assert "code" not in sentence
    again = await lane.ana.slash("/ray", "", lane.general)
    assert (await again.wait_view()).is_open


async def test_no_words_and_no_tokens_stand_in_the_log(
    town: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    with log_lines(capsys) as lines:
        async with town.lane() as lane:
            town.slack.faults.fail("chat.postMessage", "fatal_error", when="after")
            await lane.ana.slash("/ray", "a heliotrope fox", lane.general)
            await lane.hurry(lane.clips)
            await lane.ana.say(f"{lane.team.mention} a heliotrope wolf --seed 1", lane.general)
            await lane.ana.wait_ephemeral()
    log = "\n".join(lines)
    assert "job.delivered" in log or "slack." in log
    for secret in (
        "heliotrope",
        town.team.bot_token,
        town.slack.app_token,
        f"{town.slack.base_url}/response",
        "ticket=",
    ):
        assert secret not in log
