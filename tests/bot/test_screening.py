"""What a place decided, and what is refused because of it, on the true program."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import select

from bot.errors import InvalidRequest, Moderated, NotAllowed, WrongChannel
from bot.policy import check_policy, read_policy
from bot.refs import ThreadRef
from bot.request import ClipFrame, VideoWork
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.store import schema
from bot.tables import ModerationTable
from bot.text import describe_rules
from tests.conftest import House, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter, to_request, to_requester

pytestmark = pytest.mark.asyncio(loop_scope="module")
ADMIN, HERE = to_requester("ada"), "recording:local"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def school(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """One bot for all tests here; each has a channel and people of its own."""
    faults, clock = Faults(), MovableClock()
    settings = SimulatorSettings(
        manual=True, same_clip=True, full_size=False, running_limit=None, creates_per_minute=None
    )
    async with Simulator(settings, faults) as simulator:
        folder = tmp_path_factory.mktemp("school")
        moderation = {"blocked_words": ["nazi"]}
        config = to_test_config(folder, simulator, moderation=moderation)
        async with running(config, simulator, RecordingAdapter(), clock) as house:
            yield house


async def count(house: House, table: str) -> int:
    rows = select(schema.metadata.tables[table])
    return len(await house.app.database.read(lambda conn: conn.execute(rows).all()))


async def test_blocked_words_cost_nothing_and_are_not_told(school: House) -> None:
    await school.studio.admin.set_words(HERE, actor=ADMIN, words=["clown"], patterns=[r"\bgun"])
    for at, prompt in enumerate(("a n4zi fox", "two cl0wns, no: a c l o w n", "a Gunman")):
        with pytest.raises(Moderated) as caught:
            await school.studio.submit(to_request(prompt, key=f"bad{at}"))
        assert caught.value.kind == "words"
    assert await count(school, "ledger_entries") == 0
    await school.studio.admin.set_words(HERE, actor=ADMIN, words=[], patterns=[])
    await school.studio.submit(to_request("a clown", key="good"))


async def test_what_admins_decide_is_shown_and_audited(school: House) -> None:
    admin = school.studio.admin
    held = await admin.set_policy(
        HERE, {"remix": "own", "moderators_channel": "mods"}, actor=ADMIN
    )
    assert held == {"remix": "own", "moderators_channel": "mods"}
    await admin.set_policy(HERE, {"remix": "anyone"}, actor=ADMIN, channel="art")
    await admin.set_words(HERE, actor=ADMIN, words=["clown", "clown"])
    page = " ".join(describe_rules(await admin.rules(HERE)).lines)
    assert "Decided here: remix own, moderators_channel mods." in page
    assert "Decided in channel art: remix anyone." in page
    assert "Blocked here: 1 words and 0 patterns." in page
    assert "clown" not in page
    assert await admin.words(HERE, actor=ADMIN) == (("clown",), ())
    rows = select(schema.audit_log.c.act)
    acts = await school.app.database.read(lambda conn: conn.execute(rows).scalars().all())
    assert {"policy", "words"} <= set(acts)
    gone = await admin.set_policy(HERE, {"remix": "", "moderators_channel": ""}, actor=ADMIN)
    assert gone == {}
    await admin.set_words(HERE, actor=ADMIN, words=[])


async def test_what_cannot_be_decided_changes_nothing(school: House) -> None:
    admin = school.studio.admin
    with pytest.raises(InvalidRequest, match="for the whole place"):
        await admin.set_policy(HERE, {"gallery_stars": "2"}, actor=ADMIN, channel="class")
    with pytest.raises(InvalidRequest, match="cannot be used"):
        await admin.set_words(HERE, actor=ADMIN, patterns=["fox("])
    with pytest.raises(NotAllowed):
        await admin.set_policy("recording:other", {"remix": "own"}, actor=ADMIN)
    assert (await admin.rules(HERE)).channel_policies.get("class") is None


@pytest.mark.parametrize(
    ("changes", "channel", "says"),
    [
        ({"remixes": "own"}, "", "Did you mean 'remix'"),
        ({"remix": "owner"}, "", "remix is anyone or own. Did you mean 'own'"),
        ({"gallery_stars": "0"}, "", "from 1 to 100"),
        ({"gallery_channel": "c1"}, "art", "for the whole place"),
        ({"gallery_channel": "x" * 61}, "", "at most 60"),
    ],
)
async def test_unknown_rules_are_refused_with_the_nearest(
    changes: dict[str, str], channel: str, says: str
) -> None:
    with pytest.raises(InvalidRequest, match=says):
        check_policy(changes, channel=channel)


async def test_a_channel_wins_over_its_place_and_that_over_the_configuration() -> None:
    table = ModerationTable(remix="own")
    assert read_policy(table, {}, {}).remix == "own"
    assert read_policy(table, {"remix": "anyone"}, {}).remix == "anyone"
    assert read_policy(table, {"remix": "anyone"}, {"remix": "own"}).remix == "own"
    assert read_policy(table, {"remix": "what"}, {}).remix == "own"


async def test_where_remix_is_own_nobody_goes_on_from_the_clips_of_others(school: House) -> None:
    await school.studio.admin.set_policy(HERE, {"remix": "own"}, actor=ADMIN, channel="gallery")
    ana, ben = to_requester("ana"), to_requester("ben")
    there = ThreadRef(adapter="recording", workspace="local", channel="gallery")
    asked = to_request("a fox", key="ana:1").model_copy(update={"thread": there})
    first = (await school.studio.submit(asked)).job_id
    with pytest.raises(NotAllowed, match="only those who made a clip"):
        await school.studio.retry(first, ben, dedupe_key="ben:1", thread=there)
    work = VideoWork(prompt="on", start_frame=ClipFrame(job_id=first))
    typed = to_request("on", key="ben:2", user="ben").model_copy(
        update={"thread": there, "work": work}
    )
    with pytest.raises(NotAllowed, match="only those who made a clip"):
        await school.studio.submit(typed)
    await school.studio.retry(first, ana, dedupe_key="ana:2", thread=there)
    elsewhere = there.model_copy(update={"channel": "general"})
    await school.studio.retry(first, ben, dedupe_key="ben:3", thread=elsewhere)


async def test_only_named_channels_are_served(school: House) -> None:
    studio = school.studio_with(moderation=ModerationTable(allow_in_channels=("art",)))
    with pytest.raises(WrongChannel):
        await studio.submit(to_request(key="elsewhere"))
