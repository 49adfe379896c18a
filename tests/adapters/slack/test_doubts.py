"""What was kept before a restart, tokens in doubt, and answers in direct messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from adapters.slack.events import SlackEvent
from bot.store.schema import grants, inbox
from tests.adapters.slack.conftest import Community, LocalSlack, is_clip
from tests.adapters.slack.test_dialogues import generations, job_of
from tests.adapters.slack.test_installs import Installable, Open, bot, open_bot
from tests.slack_server import Message

__all__ = ["bot", "open_bot"]

# The SDK's way to send the client's secret.
pytestmark = pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")


def kept(local_slack: LocalSlack, key: str, **more: Any) -> SlackEvent:
    """A command of Ana's as it was kept."""
    given = {
        "workspace": local_slack.team.id,
        "user": local_slack.ana.id,
        "channel": local_slack.general.id,
        "text": "a fox",
        **more,
    }
    return SlackEvent(kind="command", key=f"slack:{local_slack.team.id}:{key}", **given)


async def leave(community: Community, heard: SlackEvent) -> None:
    """It was kept, and the process ended before it was dealt with."""
    payload = heard.model_dump(mode="json")
    assert await community.bot.studio.inbox.note("slack", heard.key, payload)


async def is_empty(community: Community) -> None:
    """Nothing is left to be carried out."""
    async with asyncio.timeout(30):
        while await community.bot.studio.inbox.undone("slack"):
            await asyncio.sleep(0.01)


# ---- what was kept ---------------------------------------------------------------------------


async def test_a_grant_that_is_carried_out_twice_is_given_once(local_slack: LocalSlack) -> None:
    heard = SlackEvent(
        kind="command",
        key=f"slack:{local_slack.team.id}:77.1",
        workspace=local_slack.team.id,
        user=local_slack.ana.id,
        channel=local_slack.general.id,
        text=f"admin grant <@{local_slack.ben.id}|ben> 5",
    )
    may = {"admins": [f"{local_slack.team.id}/{local_slack.ana.id}"]}
    query = select(func.count()).select_from(grants)
    for _ in range(2):
        async with local_slack.community(may) as community:
            # As if the process had died before it noted that it was done.
            await community.bot.app.database.write(lambda tx: tx.conn.execute(delete(inbox)))
            await leave(community, heard)
        async with local_slack.community(may) as community:
            await is_empty(community)
            assert (
                await community.bot.app.database.read(
                    lambda conn: conn.execute(query).scalar_one()
                )
                == 1
            )


async def test_what_was_started_is_not_said_to_be_lost_after_a_long_break(
    local_slack: LocalSlack,
) -> None:
    async with local_slack.community() as community:
        asked = await local_slack.ana.slash("/ray", "a fox", local_slack.general)
        await community.clip()
        job_id = job_of(await community.status("Delivered"))
        job = await community.bot.delivered(job_id)
        assert asked.is_acked
        # As if the process had ended between the two.
        await is_empty(community)
        await community.bot.app.database.write(
            lambda tx: tx.conn.exec_driver_sql("DELETE FROM inbox")
        )
        key = job.request.dedupe_key.rpartition(":")[2]
        await leave(community, kept(local_slack, key))
    local_slack.clock.move(minutes=30)
    async with local_slack.community() as community:
        told = await local_slack.ana.wait_ephemeral()
        assert job_id in told.plain
        assert "ask again" not in told.plain
        await is_empty(community)
    assert len(local_slack.simulator.generations) == 1


async def test_what_was_not_started_is_said_to_be_lost_after_a_long_break(
    local_slack: LocalSlack,
) -> None:
    async with local_slack.community() as community:
        await leave(community, kept(local_slack, "1.1"))
    local_slack.clock.move(minutes=30)
    async with local_slack.community() as community:
        await local_slack.ana.wait_ephemeral(lambda each: "ask again" in each.plain)
        await is_empty(community)
    assert not local_slack.simulator.generations


async def test_what_another_version_kept_stops_nobody(local_slack: LocalSlack) -> None:
    async with local_slack.community() as community:
        odd = {"kind": "whisper", "key": "slack:odd"}
        assert await community.bot.studio.inbox.note("slack", "slack:odd", odd)
        await leave(community, kept(local_slack, "1.1"))
    async with local_slack.community() as community:
        await community.clip()
        await is_empty(community)


# ---- tokens ----------------------------------------------------------------------------------


async def test_a_mute_slack_does_not_end_an_installation(
    bot: Installable, local_slack: LocalSlack
) -> None:
    await bot.install(local_slack.team)
    slack = bot.community.slack
    slack.faults.fail("auth.test", "ratelimited", status=429)
    await slack.happenings.event(local_slack.team, {"type": "app_uninstalled"})
    await slack.wait_request("auth.test", 2)
    await is_empty(bot.community)
    await local_slack.ana.slash("/ray", "a fox", local_slack.general)
    await bot.community.clip()


async def test_a_token_that_another_key_sealed_is_told_and_ends_nothing(
    local_slack: LocalSlack, open_bot: Open
) -> None:
    async with open_bot(bot={"secret_key": "a first key of many letters"}) as first:
        await first.install(local_slack.team)
        await leave(first.community, kept(local_slack, "1.1"))
    boss = {"slack_user": f"{local_slack.team.id}/{local_slack.ana.id}"}
    async with open_bot(
        bot={"secret_key": "another key of many letters"}, operator=boss
    ) as second:
        await is_empty(second.community)
        asked = await local_slack.ana.slash("/ray", "a fox", local_slack.general)
        await asked.wait_said(lambda text: "cannot read its token" in text)
        await second.community.bot.app.operations.tell()
        await second.install(local_slack.team)
        await local_slack.ana.slash("/ray", "a fox", local_slack.general)
        await second.community.clip()


# ---- in direct messages ----------------------------------------------------------------------


async def private(community: Community, typed: str) -> Message:
    """What was asked for in the channel and came to Ana alone."""
    await community.ana.slash("/ray", f"{typed} --private", community.general)
    direct = community.ana.direct
    shown = await community.slack.wait_message(direct, lambda each: "Delete" in each.buttons)
    await community.bot.delivered(job_of(await community.status("Delivered", direct)))
    return shown


async def test_buttons_in_direct_messages_keep_to_the_channel_that_was_asked_in(
    community: Community,
) -> None:
    boss = community.slack.person("Boss", community.team, community.general, is_owner=True)
    asked = await boss.slash(
        "/ray", f"admin channel {community.general.mention} on", community.general
    )
    await asked.wait_said()
    clip = await private(community, "a fox")
    await community.ana.click(clip, "Variation")
    await community.slack.wait_for(lambda: len(community.clips(community.ana.direct)) == 2)
    form = await (await community.ana.click(clip, "Remix")).wait_view()
    await community.ana.submit(form, {"prompt": "a wolf"})
    await community.slack.wait_for(lambda: len(community.clips(community.ana.direct)) == 3)
    assert [each for each in community.slack.said(community.general) if each.metadata] == []


async def test_a_private_still_is_set_in_motion_where_direct_messages_are_closed(
    community: Community,
) -> None:
    still = await private(community, "a fox --still")
    form = await (await community.ana.click(still, "Animate")).wait_view()
    await community.ana.submit(form, {"prompt": "it runs"})
    await community.slack.wait_message(community.ana.direct, is_clip)
    assert len(generations(community)) == 2


# ---- who may ---------------------------------------------------------------------------------


async def test_the_home_tab_of_a_workspace_that_is_not_served_keeps_and_tells_nothing(
    open_community: Callable[..., Any],
) -> None:
    community = await open_community(access={"workspaces": ["T000000099"]})
    await community.ana.open_home()
    home = await community.ana.wait_home()
    assert "not set up" in str(home.blocks)
    assert home.buttons == []
    assert not await community.bot.studio.recall(
        "slack", f"home:{community.team.id}:{community.ana.id}"
    )


async def test_who_may_be_a_guest_has_a_guests_limits(open_community: Callable[..., Any]) -> None:
    community = await open_community(limits={"clips_per_guest_per_day": 0})
    community.slack.faults.fail("users.info", "missing_scope", needed="users:read")
    asked = await community.ana.slash("/ray", "a fox", community.general)
    await asked.wait_said(lambda text: "uests" in text)
    assert generations(community) == []


async def test_an_answer_that_is_none_of_slacks_ends_nobody(community: Community) -> None:
    """A proxy may answer in words; the Home tab and the pages live on without it."""
    await community.ana.open_home()
    await community.ana.wait_home()
    for method in ("views.publish", "users.info", "chat.postEphemeral"):
        community.slack.faults.answer(method, "Bad gateway", content_type="text/plain")
    await community.ana.say(f"{community.team.mention} usage", community.general)
    await community.ana.slash("/ray", "a fox", community.general)
    await community.clip()
    asked = await community.ben.slash("/ray", "usage", community.general)
    await asked.wait_said(lambda text: "does not tell right now who you are" in text)
    asked = await community.ben.slash("/ray", "usage", community.general)
    await asked.wait_said(lambda text: "Your usage" in text)


async def test_who_cannot_be_told_while_slack_is_away_is_told_once_it_is_back(
    community: Community,
) -> None:
    faults, ben = community.slack.faults, community.ben
    for method in ("users.info", "chat.postEphemeral", "chat.postMessage"):
        faults.fail(method, status=503, times=100)
    await ben.say(f"{community.team.mention} a fox", community.general)
    await community.slack.wait_for(lambda: faults.left < 298)
    faults.clear()
    told = await community.hurry(lambda: ben.ephemerals)
    assert "does not tell right now who you are" in told[0].plain
    assert generations(community) == []
