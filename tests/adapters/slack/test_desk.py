"""The way to the desk out of Slack, and whether somebody may still be there."""

from __future__ import annotations

import pytest

from bot.errors import DeliveryError
from bot.request import Requester
from tests.adapters.slack.conftest import Community, LocalSlack
from tests.adapters.web.visitor import browsing
from tests.slack_server import Person


async def link_of(community: Community, person: Person) -> str:
    """The link that they are given, which nobody else sees and nothing opens for a preview."""
    asked = await person.slash("/ray", "admin desk", community.general)
    await asked.wait_said(lambda text: "only in a browser on the machine" in text)
    assert asked.messages[-1].seen_by == person.id
    [link] = [each for each in walk(asked.messages[-1].blocks) if each.get("type") == "link"]
    assert link["text"] == "Open the desk"
    assert community.slack.said(community.general) == []
    return str(link["url"])


def walk(within: object) -> list[dict[str, object]]:
    if isinstance(within, list):
        return [each for part in within for each in walk(part)]
    if isinstance(within, dict):
        return [within, *(each for part in within.values() for each in walk(part))]
    return []


async def test_an_admin_gets_a_link_to_the_workspaces_desk_while_they_are_one(
    local_slack: LocalSlack,
) -> None:
    boss = local_slack.slack.person("Boss", local_slack.team, local_slack.general, is_admin=True)
    otto = local_slack.slack.person("Otto", local_slack.team, local_slack.general)
    operator = {"slack_user": otto.id}
    async with (
        local_slack.community(has_desk=True, operator=operator) as community,
        browsing(community.bot) as visitor,
    ):
        refused = await community.ana.slash("/ray", "admin desk", community.general)
        await refused.wait_said(lambda text: "Only admins" in text)
        page = await visitor.enter(await link_of(community, boss))
        assert f"slack:{local_slack.team.id}" in page.html
        community.later(minutes=6)
        assert (await visitor.get("/desk")).status == 200
        boss.flags["is_admin"] = False
        community.later(minutes=5)
        assert (await visitor.get("/desk")).status == 401
        page = await visitor.enter(await link_of(community, otto))
        assert "every place" in page.html


async def test_without_a_desk_it_is_said_how_to_get_one(community: Community) -> None:
    boss = community.slack.person("Boss", community.team, community.general, is_admin=True)
    asked = await boss.slash("/ray", "admin desk", community.general)
    await asked.wait_said(
        lambda text: (
            "The desk is not open here" in text
            and "enabled = true in" in text
            and "charged" not in text
        )
    )


async def test_slack_says_who_runs_a_workspace_now(local_slack: LocalSlack) -> None:
    boss = local_slack.slack.person("Boss", local_slack.team, local_slack.general, is_admin=True)
    owner = local_slack.slack.person("Owner", local_slack.team, local_slack.general, is_owner=True)
    away = local_slack.slack.person(
        "Away", local_slack.team, local_slack.general, is_admin=True, team_id="T9"
    )
    async with local_slack.community(
        {"admins": [f"{local_slack.team.id}/{local_slack.ben.id}"]}
    ) as community:
        adapter = community.bot.app._adapters["slack"]

        async def holds(user: str) -> bool:
            who = Requester(
                adapter="slack", workspace=local_slack.team.id, user=user, display_name="x"
            )
            return await adapter.is_admin(who)

        people = (boss, owner, local_slack.ben, local_slack.ana, away)
        assert [await holds(each.id) for each in people] == [True, True, True, False, False]
        boss.flags["is_admin"] = False
        owner.flags["deleted"] = True
        assert [await holds(each.id) for each in (boss, owner)] == [False, False]
        assert not await holds("U000000000")
        community.slack.faults.fail("users.info", times=20)
        with pytest.raises(DeliveryError):
            await holds(boss.id)
