"""What a place decided, and what is refused because of it, on the true program."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select

from bot.errors import InvalidRequest, JobNotFound, Moderated, NotAllowed, WrongChannel
from bot.job import JobState
from bot.notices import Accepted, ConfirmNeeded, ConsentAsked, ConsentNeeded, Failed, RulesFirst
from bot.policy import check_policy, read_policy
from bot.refs import Attachment, JobId, ThreadRef
from bot.request import ClipFrame, GenerationRequest, ImageFrame, VideoWork
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.store import schema
from bot.studio import Receipt
from bot.tables import ModerationTable
from bot.text import describe, describe_error, describe_rules
from tests import rendered
from tests.conftest import MANUAL, RunningBot, running, to_test_config
from tests.fakes import MovableClock, Post, RecordingAdapter, to_request, to_requester

pytestmark = pytest.mark.asyncio(loop_scope="module")
ADMIN, HERE = to_requester("ada"), "recording:local"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def school(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningBot]:
    """One bot for all tests here; each has a channel and people of its own."""
    faults, clock = Faults(), MovableClock()
    async with Simulator(MANUAL, faults) as simulator:
        folder = tmp_path_factory.mktemp("school")
        moderation = {"blocked_words": ["nazi"]}
        config = to_test_config(folder, simulator, moderation=moderation)
        async with running(config, simulator, RecordingAdapter(), clock) as bot:
            yield bot


async def count(bot: RunningBot, table: str) -> int:
    rows = select(schema.metadata.tables[table])
    return len(await bot.app.database.read(lambda conn: conn.execute(rows).all()))


async def test_blocked_words_cost_nothing_and_are_not_told(school: RunningBot) -> None:
    await school.studio.admin.set_words(HERE, actor=ADMIN, words=["clown"], patterns=[r"\bgun"])
    for at, prompt in enumerate(("a n4zi fox", "two cl0wns, no: a c l o w n", "a Gunman")):
        with pytest.raises(Moderated) as caught:
            await school.studio.submit(to_request(prompt, key=f"bad{at}"))
        assert caught.value.kind == "words"
    assert await count(school, "ledger_entries") == 0
    await school.studio.admin.set_words(HERE, actor=ADMIN, words=[], patterns=[])
    await school.studio.submit(to_request("a clown", key="good"))


async def test_what_admins_decide_is_shown_and_audited(school: RunningBot) -> None:
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
    assert "Blocked here: 1 word and 0 patterns." in page
    assert "clown" not in page
    assert await admin.words(HERE, actor=ADMIN) == (("clown",), ())
    rows = select(schema.audit_log.c.act)
    acts = await school.app.database.read(lambda conn: conn.execute(rows).scalars().all())
    assert {"policy", "words"} <= set(acts)
    gone = await admin.set_policy(HERE, {"remix": "", "moderators_channel": ""}, actor=ADMIN)
    assert gone == {}
    await admin.set_words(HERE, actor=ADMIN, words=[])


async def test_what_cannot_be_decided_changes_nothing(school: RunningBot) -> None:
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


async def test_where_remix_is_own_nobody_goes_on_from_the_clips_of_others(
    school: RunningBot,
) -> None:
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


async def test_only_named_channels_are_served(school: RunningBot) -> None:
    studio = school.studio_with(moderation=ModerationTable(allow_in_channels=("art",)))
    with pytest.raises(WrongChannel) as refused:
        await studio.submit(to_request(key="elsewhere"))
    # "There" is told, or who knows it.
    assert describe_error(refused.value).lines[:2] == (
        "Raybot is not used in this channel. Its operator can say in which it is.",
        "Ask again there.",
    )


# ---- consent and rules -----------------------------------------------------------------------


def with_image_of(
    bot: RunningBot, author: str, *, key: str, channel: str, user: str = "ana", **more: Any
) -> GenerationRequest:
    """A request for somebody's image to move, in a channel."""
    bot.chat.images["fox"] = rendered.png(320, 320)
    image = Attachment(
        adapter="recording", id="fox", author=to_requester(author).person if author else ""
    )
    request = to_request("it moves", key=key, user=user, start_frame=ImageFrame(attachment=image))
    there = request.thread.model_copy(update={"channel": channel})
    return request.model_copy(update={"thread": there, **more})


def asking(bot: RunningBot, job_id: JobId) -> ConsentAsked | None:
    """The question to who posted the image, as it stands."""
    found = [each for each in bot.chat.posts if each.key == f"{job_id}:consent:0"]
    said = found[0].notices[-1] if found else None
    return said if isinstance(said, ConsentAsked) else None


async def test_who_posted_an_image_is_asked_and_says_yes_no_or_nothing(school: RunningBot) -> None:
    studio, ben, eve = school.studio, to_requester("ben"), to_requester("eve")
    await studio.admin.set_policy(HERE, {"animate_others": "ask"}, actor=ADMIN, channel="pics")
    first = await studio.submit(with_image_of(school, "ben", key="ask1", channel="pics"))
    assert isinstance(first.notice, ConsentNeeded)
    await school.chat.until(lambda: asking(school, first.job_id) is not None)
    said = asking(school, first.job_id)
    assert said is not None
    assert (said.owner, said.answer) == ("ben", None)
    assert isinstance((await studio.confirm(first.job_id, to_requester())).notice, ConsentNeeded)
    with pytest.raises(NotAllowed, match="was asked already"):
        await studio.submit(with_image_of(school, "ben", key="ask0", channel="pics"))
    for other in (eve, to_requester()):
        with pytest.raises(NotAllowed, match="Only whoever is asked"):
            await studio.answer(first.job_id, other, is_allowed=True)
    stranger = to_requester("ben", workspace="elsewhere")
    with pytest.raises(JobNotFound):
        await studio.answer(first.job_id, stranger, is_allowed=True)
    await studio.answer(first.job_id, ben, is_allowed=True)
    late = await studio.answer(first.job_id, ben, is_allowed=False)
    assert not isinstance(late.notice, Failed)
    await school.until(first.job_id, JobState.GENERATING)
    await school.chat.until(lambda: answer_of(school, first.job_id) == "allowed")
    second = await studio.submit(with_image_of(school, "ben", key="ask2", channel="pics"))
    await school.chat.until(lambda: asking(school, second.job_id) is not None)
    refused = await studio.answer(second.job_id, ben, is_allowed=False)
    assert isinstance(refused.notice, Failed)
    assert "does not want it animated" in refused.notice.sentence
    await school.chat.until(lambda: answer_of(school, second.job_id) == "denied")
    third = await studio.submit(with_image_of(school, "ben", key="ask3", channel="pics"))
    await school.chat.until(lambda: asking(school, third.job_id) is not None)
    school.clock.move(hours=12, seconds=5)
    ended = await school.until(third.job_id, JobState.FAILED)
    assert ended.failure is not None
    assert "did not answer in time" in ended.failure.sentence
    await school.chat.until(lambda: answer_of(school, third.job_id) == "over")
    with pytest.raises(NotAllowed, match="has to be asked"):
        await studio.submit(
            with_image_of(school, "ben", key="ask4", channel="pics", is_private=True)
        )
    own = await studio.submit(with_image_of(school, "ana", key="ask5", channel="pics"))
    assert isinstance(own.notice, Accepted)
    await school.check_books()


async def test_who_waited_for_an_answer_is_asked_for_the_price_directly_and_has_time(
    school: RunningBot,
) -> None:
    studio, chat, uli = school.studio, school.chat, to_requester("uli")
    await studio.admin.set_policy(HERE, {"animate_others": "ask"}, actor=ADMIN, channel="dear")
    asked = with_image_of(school, "ben", key="dear", channel="dear", user="uli")
    dear = {"model": "ray-2", "resolution": "1080p", "duration": "9s"}
    work = asked.work.model_copy(update={**dear, "typed": frozenset({"prompt", *dear})})
    job_id = (await studio.submit(asked.model_copy(update={"work": work}))).job_id
    await chat.until(lambda: asking(school, job_id) is not None)
    school.clock.move(hours=5)
    await studio.answer(job_id, to_requester("ben"), is_allowed=True)

    def letters() -> list[Post]:
        return [each for each in chat.posts if each.key == f"{job_id}:price"]

    await chat.until(lambda: len(letters()) == 1)
    [letter] = letters()
    asks = letter.notices[0]
    assert isinstance(asks, ConfirmNeeded)
    assert letter.ref.thread == await chat.direct(uli)
    assert asks.expires_at - school.clock.now() > timedelta(hours=11)
    assert isinstance((await studio.confirm(job_id, uli)).notice, Accepted)
    await chat.until(lambda: not letters())
    await school.check_books()


def answer_of(bot: RunningBot, job_id: JobId) -> str | None:
    said = asking(bot, job_id)
    return said.answer if said is not None else None


async def test_nobody_animates_what_somebody_keeps_to_themselves(school: RunningBot) -> None:
    studio, liz = school.studio, to_requester("liz")
    await studio.preferences.change(liz, {"animate_mine": "Nobody"})
    held = await studio.preferences.in_channel(liz, "open")
    assert ("animate_mine", "nobody") in {(each.name, each.value) for each in held}
    with pytest.raises(InvalidRequest, match="anyone or nobody"):
        await studio.preferences.change(liz, {"animate_mine": "friends"})
    with pytest.raises(NotAllowed, match="cannot be animated") as caught:
        await studio.submit(with_image_of(school, "liz", key="no1", channel="open"))
    assert "liz" not in caught.value.sentence
    own = await studio.submit(with_image_of(school, "liz", key="no2", channel="open", user="liz"))
    with pytest.raises(NotAllowed, match="cannot be animated"):
        await studio.retry(
            own.job_id, to_requester(), dedupe_key="no3", thread=to_request().thread
        )
    await studio.preferences.change(liz, {"animate_mine": ""})
    await studio.submit(with_image_of(school, "liz", key="no4", channel="open"))
    await studio.admin.set_policy(HERE, {"animate_others": "own"}, actor=ADMIN, channel="own")
    with pytest.raises(NotAllowed, match="images of their own only"):
        await studio.submit(with_image_of(school, "liz", key="no5", channel="own"))
    with pytest.raises(NotAllowed, match="images of their own only"):
        await studio.retry(
            own.job_id,
            to_requester(),
            dedupe_key="no6",
            thread=to_request().thread.model_copy(update={"channel": "own"}),
        )


async def test_what_somebody_agreed_to_is_forgotten_with_them(school: RunningBot) -> None:
    preferences, max_ = school.studio.preferences, to_requester("max")
    await preferences.change(max_, {"animate_mine": "nobody"})
    await school.studio.erasure.forget(max_, is_confirmed=True)
    held = await preferences.in_channel(max_, "open")
    assert ("animate_mine", "anyone") in {(each.name, each.value) for each in held}


async def test_rules_are_accepted_once_and_again_when_they_change(school: RunningBot) -> None:
    studio, kim = school.studio, to_requester("kim")

    async def ask(key: str) -> Receipt:
        request = to_request("a fox", key=key, user="kim")
        there = request.thread.model_copy(update={"channel": "ruled"})
        return await studio.submit(request.model_copy(update={"thread": there}))

    await studio.admin.set_policy(HERE, {"rules": "Be kind."}, actor=ADMIN, channel="ruled")
    shown = await ask("rules1")
    assert isinstance(shown.notice, RulesFirst)
    assert "Be kind." in describe(shown.notice).lines
    assert (await ask("rules1")).notice == shown.notice
    with pytest.raises(NotAllowed):
        await studio.answer(shown.job_id, to_requester("ben"), is_allowed=True)
    went_on = await studio.answer(shown.job_id, kim, is_allowed=True)
    await school.until(went_on.job_id, JobState.GENERATING)
    again = await studio.answer(shown.job_id, kim, is_allowed=True)
    assert again.job_id == shown.job_id
    assert isinstance((await ask("rules2")).notice, Accepted)
    await studio.admin.set_policy(HERE, {"rules": "Be kinder."}, actor=ADMIN, channel="ruled")
    late = await ask("rules3")
    assert isinstance(late.notice, RulesFirst)
    school.clock.move(hours=12, seconds=5)
    await school.until(late.job_id, JobState.FAILED)
    # Nobody else ever read of it.
    assert school.chat.status(late.job_id) is None
    rows = select(schema.audit_log.c.target).where(schema.audit_log.c.act == "accept rules")
    kept = await school.app.database.read(lambda conn: conn.execute(rows).scalars().all())
    assert list(kept) == [kim.person]
    await school.check_books()


async def test_a_restart_between_question_and_answer_asks_nobody_twice(tmp_path: Path) -> None:
    chat, clock, ben = RecordingAdapter(), MovableClock(), to_requester("ben")
    settings = SimulatorSettings(manual=True, same_clip=True, full_size=False)
    async with Simulator(settings, Faults()) as simulator:
        config = to_test_config(tmp_path, simulator)
        async with running(config, simulator, chat, clock) as bot:
            rules = {"animate_others": "ask", "rules": "Be kind."}
            await bot.studio.admin.set_policy(HERE, rules, actor=ADMIN, channel="pics")
            first = await bot.studio.submit(with_image_of(bot, "ben", key="1", channel="pics"))
            assert isinstance(first.notice, RulesFirst)
        async with running(config, simulator, chat, clock) as bot:
            went_on = await bot.studio.answer(first.job_id, to_requester(), is_allowed=True)
            assert isinstance(went_on.notice, ConsentNeeded)
            await chat.until(lambda: asking(bot, first.job_id) is not None)
        async with running(config, simulator, chat, clock) as bot:
            await bot.studio.answer(first.job_id, ben, is_allowed=True)
            await bot.until(first.job_id, JobState.GENERATING)
            await chat.until(lambda: answer_of(bot, first.job_id) == "allowed")
            assert len([each for each in chat.posts if ":consent:" in each.key]) == 1
            await bot.check_books()
