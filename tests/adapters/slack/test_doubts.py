"""What was kept before a restart, tokens in doubt, and answers in direct messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from adapters.slack.events import SlackEvent
from bot.store.schema import grants, inbox
from tests.adapters.slack.conftest import Lane, Town, is_clip
from tests.adapters.slack.test_dialogues import generations, job_of
from tests.adapters.slack.test_installs import House, Open, bot, open_bot
from tests.slack_server import Message

__all__ = ["bot", "open_bot"]

# The SDK's way to send the client's secret.
pytestmark = pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")


def kept(town: Town, key: str, **more: Any) -> SlackEvent:
    """A command of Ana's as it was kept."""
    given = {"workspace": town.team.id, "user": town.ana.id, "channel": town.general.id, **more}
    return SlackEvent(kind="command", key=f"slack:{town.team.id}:{key}", text="a fox", **given)


async def leave(lane: Lane, heard: SlackEvent) -> None:
    """It was kept, and the process ended before it was dealt with."""
    payload = heard.model_dump(mode="json")
    assert await lane.house.studio.inbox.note("slack", heard.key, payload)


async def is_empty(lane: Lane) -> None:
    """Nothing is left to be carried out."""
    async with asyncio.timeout(10):
        while await lane.house.studio.inbox.undone("slack"):
            await asyncio.sleep(0.01)


# ---- what was kept ---------------------------------------------------------------------------


async def test_a_grant_that_is_carried_out_twice_is_given_once(town: Town) -> None:
    heard = SlackEvent(
        kind="command",
        key=f"slack:{town.team.id}:77.1",
        workspace=town.team.id,
        user=town.ana.id,
        channel=town.general.id,
        text=f"admin grant <@{town.ben.id}|ben> 5",
    )
    may = {"admins": [f"{town.team.id}/{town.ana.id}"]}
    query = select(func.count()).select_from(grants)
    for _ in range(2):
        async with town.lane(may) as lane:
            # As if the process had died before it noted that it was done.
            await lane.house.app.database.write(lambda tx: tx.conn.execute(delete(inbox)))
            await leave(lane, heard)
        async with town.lane(may) as lane:
            await is_empty(lane)
            assert (
                await lane.house.app.database.read(lambda conn: conn.execute(query).scalar_one())
                == 1
            )


async def test_what_was_started_is_not_said_to_be_lost_after_a_long_break(town: Town) -> None:
    async with town.lane() as lane:
        asked = await town.ana.slash("/ray", "a fox", town.general)
        await lane.clip()
        job_id = job_of(await lane.status("Delivered"))
        job = await lane.house.delivered(job_id)
        assert asked.is_acked
        # As if the process had ended between the two.
        await is_empty(lane)
        await lane.house.app.database.write(
            lambda tx: tx.conn.exec_driver_sql("DELETE FROM inbox")
        )
        key = job.request.dedupe_key.rpartition(":")[2]
        await leave(lane, kept(town, key))
    town.clock.move(minutes=30)
    async with town.lane() as lane:
        told = await town.ana.wait_ephemeral()
        assert job_id in told.plain
        assert "ask again" not in told.plain
        await is_empty(lane)
    assert len(town.simulator.generations) == 1


async def test_what_was_not_started_is_said_to_be_lost_after_a_long_break(town: Town) -> None:
    async with town.lane() as lane:
        await leave(lane, kept(town, "1.1"))
    town.clock.move(minutes=30)
    async with town.lane() as lane:
        await town.ana.wait_ephemeral(lambda each: "ask again" in each.plain)
        await is_empty(lane)
    assert not town.simulator.generations


async def test_what_another_version_kept_stops_nobody(town: Town) -> None:
    async with town.lane() as lane:
        odd = {"kind": "whisper", "key": "slack:odd"}
        assert await lane.house.studio.inbox.note("slack", "slack:odd", odd)
        await leave(lane, kept(town, "1.1"))
    async with town.lane() as lane:
        await lane.clip()
        await is_empty(lane)


# ---- tokens ----------------------------------------------------------------------------------


async def test_a_mute_slack_does_not_end_an_installation(bot: House, town: Town) -> None:
    await bot.install(town.team)
    slack = bot.lane.slack
    slack.faults.fail("auth.test", "ratelimited", status=429)
    await slack.happenings.event(town.team, {"type": "app_uninstalled"})
    await slack.wait_request("auth.test", 2)
    await is_empty(bot.lane)
    await town.ana.slash("/ray", "a fox", town.general)
    await bot.lane.clip()


async def test_a_token_that_another_key_sealed_is_told_and_ends_nothing(
    town: Town, open_bot: Open
) -> None:
    async with open_bot(bot={"secret_key": "a first key of many letters"}) as first:
        await first.install(town.team)
        await leave(first.lane, kept(town, "1.1"))
    boss = {"slack_user": f"{town.team.id}/{town.ana.id}"}
    async with open_bot(
        bot={"secret_key": "another key of many letters"}, operator=boss
    ) as second:
        await is_empty(second.lane)
        asked = await town.ana.slash("/ray", "a fox", town.general)
        await asked.wait_said(lambda text: "cannot read its token" in text)
        await second.lane.house.app.operations.tell()
        await second.install(town.team)
        await town.ana.slash("/ray", "a fox", town.general)
        await second.lane.clip()


# ---- in direct messages ----------------------------------------------------------------------


async def private(lane: Lane, typed: str) -> Message:
    """What was asked for in the channel and came to Ana alone."""
    await lane.ana.slash("/ray", f"{typed} --private", lane.general)
    direct = lane.ana.direct
    shown = await lane.slack.wait_message(direct, lambda each: "Delete" in each.buttons)
    await lane.house.delivered(job_of(await lane.status("Delivered", direct)))
    return shown


async def test_buttons_in_direct_messages_keep_to_the_channel_that_was_asked_in(
    lane: Lane,
) -> None:
    boss = lane.slack.person("Boss", lane.team, lane.general, is_owner=True)
    asked = await boss.slash("/ray", f"admin channel {lane.general.mention} on", lane.general)
    await asked.wait_said()
    clip = await private(lane, "a fox")
    await lane.ana.click(clip, "Variation")
    await lane.slack.wait_for(lambda: len(lane.clips(lane.ana.direct)) == 2)
    form = await (await lane.ana.click(clip, "Remix")).wait_view()
    await lane.ana.submit(form, {"prompt": "a wolf"})
    await lane.slack.wait_for(lambda: len(lane.clips(lane.ana.direct)) == 3)
    assert [each for each in lane.slack.said(lane.general) if each.metadata] == []


async def test_a_private_still_is_set_in_motion_where_direct_messages_are_closed(
    lane: Lane,
) -> None:
    still = await private(lane, "a fox --still")
    form = await (await lane.ana.click(still, "Animate")).wait_view()
    await lane.ana.submit(form, {"prompt": "it runs"})
    await lane.slack.wait_message(lane.ana.direct, is_clip)
    assert len(generations(lane)) == 2


# ---- who may ---------------------------------------------------------------------------------


async def test_the_home_tab_of_a_workspace_that_is_not_served_keeps_and_tells_nothing(
    open_lane: Callable[..., Any],
) -> None:
    lane = await open_lane(access={"workspaces": ["T000000099"]})
    await lane.ana.open_home()
    home = await lane.ana.wait_home()
    assert "not set up" in str(home.blocks)
    assert home.buttons == []
    assert not await lane.house.studio.recall("slack", f"home:{lane.team.id}:{lane.ana.id}")


async def test_who_may_be_a_guest_has_a_guests_limits(open_lane: Callable[..., Any]) -> None:
    lane = await open_lane(limits={"clips_per_guest_per_day": 0})
    lane.slack.faults.fail("users.info", "missing_scope", needed="users:read")
    asked = await lane.ana.slash("/ray", "a fox", lane.general)
    await asked.wait_said(lambda text: "uests" in text)
    assert generations(lane) == []


async def test_an_answer_that_is_none_of_slacks_ends_nobody(lane: Lane) -> None:
    """A proxy may answer in words; the Home tab and the pages live on without it."""
    await lane.ana.open_home()
    await lane.ana.wait_home()
    for method in ("views.publish", "users.info", "chat.postEphemeral"):
        lane.slack.faults.answer(method, "Bad gateway", content_type="text/plain")
    await lane.ana.say(f"{lane.team.mention} usage", lane.general)
    await lane.ana.slash("/ray", "a fox", lane.general)
    await lane.clip()
    asked = await lane.ben.slash("/ray", "usage", lane.general)
    await asked.wait_said(lambda text: "does not tell right now who you are" in text)
    asked = await lane.ben.slash("/ray", "usage", lane.general)
    await asked.wait_said(lambda text: "Your usage" in text)
