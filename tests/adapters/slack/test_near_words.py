"""What is nearly an act buys no clip in Slack, wherever it is typed."""

from __future__ import annotations

from tests.adapters.slack.conftest import Lane
from tests.adapters.slack.kit import parts


async def test_an_admins_typo_buys_no_clip(lane: Lane) -> None:
    boss = lane.slack.person("Boss", lane.team, lane.general, is_owner=True)
    for typed, says in (
        ("admin pasue", "There is no"),
        ("admin rules", "admin limits"),
        ("admin help me", "pause"),
    ):
        asked = await boss.slash("/ray", typed, lane.general)
        assert says in await asked.wait_said()
    [shown] = [each for each in boss.ephemerals if "pasue" in each.plain]
    codes = [
        each["text"] for each in parts(shown.blocks, "text") if each.get("style", {}).get("code")
    ]
    assert codes == ["/ray admin pasue", "/ray admin pause", "/ray admin help"]
    told = len(boss.ephemerals)
    await boss.say(f"{lane.team.mention} admin pause", lane.general)
    await lane.slack.wait_for(lambda: len(boss.ephemerals) > told)
    assert "is no mention, but a command" in boss.ephemerals[-1].plain
    assert lane.house.simulator.generations == {}
