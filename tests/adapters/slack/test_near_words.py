"""What is nearly an act buys no clip in Slack, wherever it is typed."""

from __future__ import annotations

from tests.adapters.slack.block_rules import parts
from tests.adapters.slack.conftest import Community, picture

PNG = ("fox.png", picture(), "image/png")


async def test_an_admins_typo_buys_no_clip(community: Community) -> None:
    boss = community.slack.person("Boss", community.team, community.general, is_owner=True)
    for typed, says in (
        ("admin pasue", "There is no"),
        ("admin rules", "admin limits"),
        ("admin help me", "pause"),
    ):
        asked = await boss.slash("/ray", typed, community.general)
        assert says in await asked.wait_said()
    [shown] = [each for each in boss.ephemerals if "pasue" in each.plain]
    codes = [
        each["text"] for each in parts(shown.blocks, "text") if each.get("style", {}).get("code")
    ]
    assert codes == ["/ray admin pasue", "/ray admin pause", "/ray admin help"]
    told = len(boss.ephemerals)
    await boss.say(f"{community.team.mention} admin pause", community.general)
    await community.slack.wait_for(lambda: len(boss.ephemerals) > told)
    assert "is no mention, but a command" in boss.ephemerals[-1].plain
    assert community.bot.simulator.generations == {}


async def test_what_is_said_to_the_bot_buys_no_clip(community: Community) -> None:
    for typed, says in (("usages", "/ray usage"), ("cancel 5", "needs a job's id")):
        asked = await community.ana.slash("/ray", typed, community.general)
        assert says in await asked.wait_said()
    image = await community.ben.say("look", community.general, files=[PNG])
    told = len(community.ana.ephemerals)
    await community.ana.say(f"{community.team.mention} thanks!", community.general, thread=image)
    await community.slack.wait_for(lambda: len(community.ana.ephemerals) > told)
    assert "That is no clip yet" in community.ana.ephemerals[-1].plain
    assert community.bot.simulator.generations == {}
    await community.ana.say(f"{community.team.mention} zoom", community.general, thread=image)
    await community.clip()


async def test_an_admin_who_asks_what_there_is_reads_all_of_it(community: Community) -> None:
    boss = community.slack.person("Boss", community.team, community.general, is_owner=True)
    for typed, says in (
        ("admin", "/ray admin audit"),
        ("admin help", "/ray admin desk"),
        ("admin limit", "clips_per_person_per_day"),
    ):
        asked = await boss.slash("/ray", typed, community.general)
        shown = await asked.wait_said()
        assert says in shown
        assert "charged" not in shown
