"""All that a person can ask of the bot, on the true program against the simulator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select, update

from bot.errors import (
    DeliveryError,
    DeliveryUnavailable,
    FrameRejected,
    InvalidRequest,
    JobNotFound,
    NoRoom,
    NotAllowed,
    NotRemoved,
    PostStays,
    QuotaExceeded,
    Refusal,
    ThreadGone,
)
from bot.job import Job, JobState
from bot.notices import (
    Accepted,
    Cancelled,
    ConfirmNeeded,
    Delivered,
    Failed,
    Generating,
    Queued,
    Received,
)
from bot.refs import Attachment, JobId, MessageRef, ThreadRef
from bot.request import (
    ClipFrame,
    GenerationRequest,
    ImageFrame,
    LinkFrame,
    Requester,
    to_video,
)
from bot.simulator import Faults, Simulator
from bot.store import ledger, schema, settings
from bot.text import describe_error
from tests import rendered
from tests.conftest import MANUAL, House, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter, to_request, to_requester

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: 25 cents: above what these houses let pass without a confirmation.
EXPENSIVE = {"duration": "9s"}
ASKING = {"confirm_above_usd": 0.2}
GENERAL = ThreadRef(adapter="recording", workspace="local", channel="general")


class SlowChat(RecordingAdapter):
    """A platform whose files can be kept waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read = asyncio.Event()
        self.may_read = asyncio.Event()
        self.may_read.set()

    async def read(self, attachment: Attachment) -> AsyncIterator[bytes]:
        self.is_read.set()
        await self.may_read.wait()
        async for chunk in super().read(attachment):
            yield chunk


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(MANUAL, Faults()) as running_simulator:
        yield running_simulator


@asynccontextmanager
async def open_inn(
    simulator: Simulator,
    folder: Path,
    chat: RecordingAdapter | None = None,
    **tables: dict[str, Any],
) -> AsyncIterator[House]:
    """A bot with changed tables."""
    config = to_test_config(folder, simulator, **tables)
    async with running(config, simulator, chat or SlowChat(), MovableClock()) as house:
        yield house


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inn(
    simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """One bot for most tests here; each test comes with persons of its own."""
    folder = tmp_path_factory.mktemp("inn")
    access, luma = {"workspaces": ["elsewhere"]}, {"running_limit": 1000}
    async with open_inn(simulator, folder, access=access, luma=luma, limits=ASKING) as house:
        yield house


def elsewhere(request: GenerationRequest) -> GenerationRequest:
    """The same request from another place that is served."""
    there = to_requester(request.requester.user, workspace="elsewhere")
    return request.model_copy(update={"requester": there})


async def entries(house: House, job_id: JobId) -> list[str]:
    """The kinds of a job's ledger entries."""
    query = select(schema.ledger_entries.c.kind).where(schema.ledger_entries.c.job_id == job_id)
    return await house.app.database.read(lambda conn: list(conn.execute(query).scalars()))


def hold_reads(house: House) -> SlowChat:
    """From now on files are not read before they may be."""
    assert isinstance(house.chat, SlowChat)
    house.chat.is_read.clear()
    house.chat.may_read.clear()
    return house.chat


def attach(
    house: House, content: bytes, name: str = "fox.png", *, is_fleeting: bool = False
) -> ImageFrame:
    attachment_id = f"{name}-{len(house.chat.images)}"
    house.chat.images[attachment_id] = content
    return ImageFrame(
        attachment=Attachment(
            adapter="recording", id=attachment_id, filename=name, is_fleeting=is_fleeting
        )
    )


def kept_images(house: House, job_id: JobId) -> list[Path]:
    """The files that a job's images are kept as."""
    return list((house.config.bot.data_dir / "media").glob(f"*/{job_id}/*.jpg"))


# ---- submit -----------------------------------------------------------------------------------


async def test_a_request_is_accepted_with_its_price_held(inn: House) -> None:
    receipt = await inn.submit("a lake at dawn", user="sub1")
    assert isinstance(receipt.notice, Accepted)
    about = receipt.notice.about
    assert about.price is not None
    assert about.price.micros == 136_858
    job = await inn.job(receipt.job_id)
    assert job.plan is not None
    assert job.cost == job.plan.hold == 153_281
    assert await entries(inn, job.id) == ["hold"]


async def test_the_same_request_again_gets_the_first_answer(inn: House) -> None:
    first = await inn.submit(user="dup1", key="dup")
    await inn.until(first.job_id, JobState.GENERATING)
    again = await inn.submit("something else", user="dup1", key="dup")
    assert again.job_id == first.job_id
    assert isinstance(again.notice, Generating)
    assert again.notice.about.work.prompt == "a red fox in snow"


async def test_many_at_once_make_one_job(inn: House) -> None:
    receipts = await asyncio.gather(*(inn.submit(user="dup2", key="many") for _ in range(10)))
    assert len({receipt.job_id for receipt in receipts}) == 1
    assert sum(isinstance(receipt.notice, Accepted) for receipt in receipts) >= 1
    assert await entries(inn, receipts[0].job_id) == ["hold"]


async def test_a_refusal_is_remembered_as_the_first_answer(inn: House) -> None:
    frame = attach(inn, b"this is no image")
    with pytest.raises(FrameRejected) as refused:
        await inn.submit(user="dup3", key="refused", start_frame=frame)
    again = await inn.submit(user="dup3", key="refused", start_frame=frame)
    assert isinstance(again.notice, Failed)
    assert (again.notice.code, again.notice.charged) == ("refused", 0)
    assert again.notice.sentence == refused.value.sentence


@pytest.mark.parametrize(
    ("prompt", "work", "field", "sentence"),
    [
        ("", {}, "prompt", "Describe the clip"),
        ("  \n ", {}, "prompt", "Describe the clip"),
        ("ab", {}, "prompt", "3 to 5,000"),
        ("x" * 5001, {}, "prompt", "3 to 5,000"),
        ("\x00\x01 garbage \x7f", {}, "prompt", "not text"),
        ("lonely \ud800 half", {}, "prompt", "not text"),
        ("a fox", {"model": "ray-9"}, "model", "nearest is ray-2"),
        ("a fox", {"duration": "10s"}, "duration", "nearest it can is 9s"),
        ("a fox", {"resolution": "360p"}, "resolution", "nearest it can is 540p"),
        ("a fox", {"concepts": ("orbit",)}, "concepts", "nearest is orbit_"),
        (
            "a fox",
            {"loop": True, "duration": "9s", "end_frame": LinkFrame(url="https://example.org/a")},
            "loop",
            "cannot loop",
        ),
    ],
)
async def test_what_cannot_be_done_is_refused_before_anything_is_written(
    inn: House, prompt: str, work: dict[str, Any], field: str, sentence: str
) -> None:
    with pytest.raises(InvalidRequest, match=sentence) as refused:
        await inn.studio.submit(to_request(prompt, key=f"bad {sentence}", **work))
    assert refused.value.field == field
    assert await inn.studio.jobs(to_requester("ana")) == ()


@pytest.mark.parametrize("prompt", ["🦊🦊🦊", "狐狸在雪中", "line\nbreak and a tab\t", "x" * 5000])
async def test_what_is_text_is_taken(inn: House, prompt: str) -> None:
    receipt = await inn.submit(prompt, user="texts")
    assert (await inn.job(receipt.job_id)).work.prompt == prompt


async def test_a_prompt_longer_than_the_model_reads_is_said(inn: House) -> None:
    receipt = await inn.submit("word " * 900, user="texts")
    assert isinstance(receipt.notice, Accepted)
    [remark] = receipt.notice.about.remarks
    assert "may be ignored" in remark


# ---- confirm ----------------------------------------------------------------------------------


async def test_above_the_threshold_nothing_is_held_before_a_confirm(inn: House) -> None:
    receipt = await inn.submit(user="con1", **EXPENSIVE)
    assert isinstance(receipt.notice, ConfirmNeeded)
    assert receipt.notice.about.price is not None
    assert receipt.notice.about.price.micros == 246_344
    job = await inn.job(receipt.job_id)
    assert (job.state, job.cost, job.next_at) == (
        JobState.RECEIVED,
        0,
        receipt.notice.expires_at,
    )
    assert await entries(inn, job.id) == []
    await inn.chat.until(lambda: isinstance(inn.chat.status(job.id), ConfirmNeeded))
    again = await inn.studio.submit(job.request)
    assert again == receipt, "a redelivery gets the same question"


async def test_a_confirm_accepts_once(inn: House) -> None:
    receipt = await inn.submit(user="con2", **EXPENSIVE)
    person = to_requester("con2")
    with pytest.raises(NotAllowed, match="somebody else's"):
        await inn.studio.confirm(receipt.job_id, to_requester("con3"))
    answers = await asyncio.gather(*(inn.studio.confirm(receipt.job_id, person) for _ in range(3)))
    kinds = [type(answer.notice) for answer in answers]
    assert kinds.count(Accepted) == 1
    assert set(kinds) <= {Accepted, Queued, Generating}
    assert await entries(inn, receipt.job_id) == ["hold"]
    await inn.until(receipt.job_id, JobState.GENERATING)


async def test_who_confirmed_beforehand_is_not_asked(inn: House) -> None:
    receipt = await inn.studio.submit(
        to_request(key="yes", user="con4", **EXPENSIVE), is_confirmed=True
    )
    assert isinstance(receipt.notice, Accepted)


async def test_who_waits_for_a_confirm_can_cancel_for_free(inn: House) -> None:
    receipt = await inn.submit(user="con5", **EXPENSIVE)
    notice = await inn.studio.cancel(receipt.job_id, to_requester("con5"))
    assert isinstance(notice, Cancelled)
    assert notice.charged == 0
    late = await inn.studio.confirm(receipt.job_id, to_requester("con5"))
    assert isinstance(late.notice, Cancelled)
    assert await entries(inn, receipt.job_id) == []


async def test_an_unanswered_question_is_gone_after_an_hour(
    simulator: Simulator, tmp_path: Path
) -> None:
    async with open_inn(simulator, tmp_path, limits=ASKING) as house:
        receipt = await house.submit(**EXPENSIVE)
        house.clock.move(minutes=59)
        assert (await house.job(receipt.job_id)).state is JobState.RECEIVED
        house.clock.move(minutes=2)
        job = await house.until(receipt.job_id, JobState.CANCELLED)
        assert job.cost == 0
        late = await house.studio.confirm(receipt.job_id, to_requester())
        assert isinstance(late.notice, Cancelled)
        await house.check_books()


async def test_a_confirm_obeys_the_limits_of_its_moment(
    simulator: Simulator, tmp_path: Path
) -> None:
    limits = {"confirm_above_usd": 0.1, "running_per_person": 1, "usd_per_person_per_day": 9}
    luma = {"running_limit": 1}
    async with open_inn(simulator, tmp_path, limits=limits, luma=luma) as house:
        busy = await house.studio.submit(to_request(user="ben"), is_confirmed=True)
        await house.until(busy.job_id, JobState.GENERATING)
        first, second = await house.submit(key="first"), await house.submit(key="second")
        await house.studio.confirm(first.job_id, to_requester())
        with pytest.raises(QuotaExceeded, match="Wait for one to finish"):
            await house.studio.confirm(second.job_id, to_requester())
        assert (await house.job(second.job_id)).state is JobState.RECEIVED
        await house.studio.cancel(first.job_id, to_requester())
        answer = await house.studio.confirm(second.job_id, to_requester())
        assert isinstance(answer.notice, Accepted)


# ---- settings ---------------------------------------------------------------------------------


async def test_typed_wins_over_chosen_wins_over_the_house(
    simulator: Simulator, tmp_path: Path
) -> None:
    defaults = {"aspect_ratio": "16:9", "resolution": "720p", "loop": True}
    async with open_inn(simulator, tmp_path, defaults=defaults) as house:
        person = to_requester()
        await house.studio.preferences.change(person, {"aspect_ratio": "9:16", "loop": "false"})
        job = await house.job(await house.ask())
        assert (job.work.aspect_ratio, to_video(job.work).resolution) == ("9:16", "720p")
        assert not to_video(job.work).loop
        job = await house.job(await house.ask(aspect_ratio="1:1", resolution="540p", loop=True))
        assert (job.work.aspect_ratio, to_video(job.work).resolution) == ("1:1", "540p")
        assert to_video(job.work).loop
        await house.studio.preferences.change(person, {"aspect_ratio": "", "loop": ""})
        job = await house.job(await house.ask())
        assert (job.work.aspect_ratio, to_video(job.work).loop) == ("16:9", True)


async def test_settings_are_ones_own(inn: House) -> None:
    person = to_requester("set1")
    assert await inn.studio.preferences.own(person) == {}
    both = await inn.studio.preferences.change(person, {"model": "ray-2", "duration": "9s"})
    assert both == {"model": "ray-2", "duration": "9s"}
    left = await inn.studio.preferences.change(person, {"model": ""})
    assert left == await inn.studio.preferences.own(person) == {"duration": "9s"}
    assert await inn.studio.preferences.own(to_requester("set2")) == {}
    assert await inn.studio.preferences.own(to_requester("set1", workspace="elsewhere")) == {}


@pytest.mark.parametrize(
    ("changes", "kind", "sentence"),
    [
        ({"colour": "red"}, InvalidRequest, "no setting 'colour'. You can set model, duration"),
        ({"prompt": "always this"}, InvalidRequest, "no setting 'prompt'.* suffix, animate_mine"),
        ({"model": "ray-22"}, InvalidRequest, "no model 'ray-22' here. The nearest is ray-2"),
        ({"duration": "7s"}, InvalidRequest, r"^7s is not possible\. Choose 5s or 9s\.$"),
        ({"duration": "10s"}, InvalidRequest, "nearest it can is 9s"),
        ({"resolution": "360p"}, InvalidRequest, "nearest it can is 540p"),
        ({"resolution": "4k"}, NotAllowed, "4k is off here. You can use 540p, 720p"),
        ({"aspect_ratio": "16:10"}, InvalidRequest, r"^16:10 is not possible\. Choose 1:1, "),
        ({"loop": "perhaps"}, InvalidRequest, "^perhaps is not possible. Choose true or false.$"),
    ],
)
async def test_a_setting_that_cannot_be_is_refused(
    inn: House, changes: dict[str, str], kind: type[Refusal], sentence: str
) -> None:
    person = to_requester("set3")
    with pytest.raises(kind, match=sentence):
        await inn.studio.preferences.change(person, {"loop": "true", **changes})
    assert await inn.studio.preferences.own(person) == {}


async def test_the_models_that_can_be_asked_for_are_known(inn: House) -> None:
    assert [model.model for model in inn.studio.preferences.models()] == ["ray-flash-2", "ray-2"]


# ---- who may ----------------------------------------------------------------------------------


async def test_only_the_models_and_sizes_of_the_place_may_be_used(
    simulator: Simulator, tmp_path: Path
) -> None:
    limits = {"models": ["ray-flash-2"], "resolutions": ["540p"]}
    async with open_inn(simulator, tmp_path, limits=limits) as house:
        with pytest.raises(NotAllowed, match="Here you can use ray-flash-2"):
            await house.ask(key="model", model="ray-2")
        with pytest.raises(NotAllowed, match=r"720p is off here\. You can use 540p"):
            await house.ask(key="size", resolution="720p")
        await house.ask()


async def test_4k_is_off_unless_the_place_allows_it(inn: House) -> None:
    with pytest.raises(NotAllowed, match="4k is off here"):
        await inn.ask(user="big", key="4k", resolution="4k")


async def test_a_blocked_person_may_ask_for_nothing_until_then(inn: House) -> None:
    now = inn.clock.now()
    for user, until in (
        ("bad1", None),
        ("bad2", now + timedelta(hours=1)),
        ("bad3", now - timedelta(hours=1)),
    ):
        person = to_requester(user).person
        await inn.app.database.write(
            lambda tx: settings.block(tx, person, until=until, reason="spam", now=now)  # noqa: B023 - awaited here
        )
    with pytest.raises(NotAllowed, match=r"You cannot use Raybot here\.$"):
        await inn.ask(user="bad1", key="bad1")
    with pytest.raises(
        NotAllowed, match=r"You cannot use Raybot here until \d+ \w+ \d+:\d+ UTC"
    ) as refused:
        await inn.ask(user="bad2", key="bad2")
    assert refused.value.times == (now + timedelta(hours=1),)
    await inn.ask(user="bad3")


async def test_a_nearly_full_disk_starts_nothing_new_and_finishes_the_old(
    simulator: Simulator, tmp_path: Path
) -> None:
    async with open_inn(simulator, tmp_path) as house:
        old = await house.ask()
        await house.until(old, JobState.GENERATING)
    full = {"min_free_bytes": 10**18}
    async with open_inn(simulator, tmp_path, house.chat, bot=full) as house:
        with pytest.raises(NoRoom) as refused:
            await house.submit(key="new")
        told = describe_error(refused.value)
        assert told.title == "Raybot has no room left"
        assert told.lines == (
            "The disk is nearly full, so nothing new is started.",
            "Tell its operator, and ask again later.",
            "Nothing was charged.",
        )
        assert len(await house.studio.jobs(to_requester())) == 1
        await house.finish(old)


async def test_newcomers_wait_as_many_days_as_the_place_says(
    simulator: Simulator, tmp_path: Path
) -> None:
    async with open_inn(simulator, tmp_path, limits={"min_member_days": 7}) as house:
        now = house.clock.now()

        def since(days: int, key: str) -> GenerationRequest:
            request = to_request(key=key)
            member = {"member_since": now - timedelta(days=days)}
            requester = request.requester.model_copy(update=member)
            return request.model_copy(update={"requester": requester})

        with pytest.raises(NotAllowed, match="7 days after you joined"):
            await house.studio.submit(since(6, "new"))
        await house.studio.submit(since(7, "old"))
        await house.studio.submit(to_request(key="not told"))


# ---- one's own, and others' -------------------------------------------------------------------


async def test_another_place_sees_nothing(inn: House) -> None:
    job_id = await inn.ask(user="own1")
    there = to_requester("own1", workspace="elsewhere")
    for attempt in (
        inn.studio.show(job_id, there),
        inn.studio.cancel(job_id, there),
        inn.studio.confirm(job_id, there),
        inn.studio.retry(job_id, there, dedupe_key="steal", thread=GENERAL),
    ):
        with pytest.raises(JobNotFound, match=f"There is no job {job_id}"):
            await attempt
    with pytest.raises(JobNotFound, match="There is no job r-none"):
        await inn.studio.show(JobId("r-none"), there)
    assert await inn.studio.jobs(there) == ()
    assert (await inn.studio.usage(there)).today.asked == 0


async def test_a_job_is_shown_with_its_clip_to_everyone_in_its_place(inn: House) -> None:
    job_id = await inn.ask("an owl", user="own2")
    waiting = await inn.studio.show(job_id, to_requester("own3"))
    assert not isinstance(waiting.notice, Delivered)
    assert waiting.line.price == 136_858
    assert [state for _, state in waiting.events][:2] == ["received", "accepted"]
    job = await inn.finish(job_id)
    shown = await inn.studio.show(job_id, to_requester("own3"))
    assert isinstance(shown.notice, Delivered)
    assert Path(shown.notice.path).stat().st_size == shown.notice.bytes
    assert shown.notice.charged == job.cost
    assert shown.notice.filename == f"ray-flash-2_{job_id}_an-owl.mp4"
    assert [state for _, state in shown.events] == [
        "received",
        "accepted",
        "submitting",
        "generating",
        "fetching",
        "delivering",
        "delivered",
    ]
    assert (shown.line.prompt, shown.line.price) == ("an owl", job.cost)
    assert shown.line.message == job.message


async def test_a_clip_that_is_no_longer_kept_is_told_by_its_end(inn: House) -> None:
    job_id = await inn.ask(user="own4")
    await inn.finish(job_id)
    shown = await inn.studio.show(job_id, to_requester("own4"))
    assert isinstance(shown.notice, Delivered)
    Path(shown.notice.path).unlink()
    shown = await inn.studio.show(job_id, to_requester("own4"))
    assert type(shown.notice).__name__ == "Done"


async def test_one_lists_and_searches_ones_own(inn: House) -> None:
    person = to_requester("own5")
    for prompt in ("a fox", "an owl", "a second fox"):
        await inn.ask(prompt, user="own5")
        inn.clock.move(seconds=1)
    await inn.ask("a fox of somebody else", user="own6")
    prompts = [line.prompt for line in await inn.studio.jobs(person)]
    assert prompts == ["a second fox", "an owl", "a fox"]
    found = [line.prompt for line in await inn.studio.jobs(person, search="FOX")]
    assert found == ["a second fox", "a fox"]
    assert await inn.studio.jobs(person, page=2) == ()


async def test_usage_counts_what_was_asked_delivered_and_refused(
    simulator: Simulator, tmp_path: Path
) -> None:
    limits = {"usd_per_person_per_day": 0.35, "usd_per_channel_per_day": 100}
    async with open_inn(simulator, tmp_path, limits=limits) as house:
        delivered = await house.finish(await house.ask())
        await house.ask()
        with pytest.raises(QuotaExceeded) as refused:
            await house.ask(duration="9s")
        assert refused.value.resets_at is not None
        report = await house.studio.usage(to_requester(), channel="general")
        assert (report.today.asked, report.today.delivered, report.today.refused) == (3, 1, 1)
        assert report.today.charged == report.month.charged == delivered.cost
        held = delivered.cost + 153_281
        assert [(each.name, each.used) for each in report.allowances] == [
            ("your budget per day", held),
            ("this channel's budget per day", held),
            ("the whole budget per month", held),
        ]
        assert (await house.studio.usage(to_requester("ben"))).today.asked == 0


async def test_a_retry_is_a_new_job_with_what_was_typed(inn: House) -> None:
    first = await inn.ask("a bear", user="re1", aspect_ratio="9:16")
    receipt = await inn.studio.retry(
        first, to_requester("re2"), dedupe_key="retry1", thread=GENERAL
    )
    again = await inn.studio.retry(first, to_requester("re2"), dedupe_key="retry1", thread=GENERAL)
    assert again.job_id == receipt.job_id != first
    job = await inn.job(receipt.job_id)
    assert job.retry_of == first
    assert (job.work.prompt, job.work.aspect_ratio) == ("a bear", "9:16")
    assert job.request.requester.user == "re2"
    assert (await inn.job(first)).request.requester.user == "re1"


async def test_a_remix_is_a_new_job_that_names_the_first(inn: House) -> None:
    first = await inn.ask("a bear", user="mix1", aspect_ratio="9:16")
    request = to_request("a bear, dancing", key="remix1", user="mix2", aspect_ratio="1:1")
    receipt = await inn.studio.submit(request, retry_of=first)
    job = await inn.job(receipt.job_id)
    assert isinstance(receipt.notice, Accepted)
    assert job.retry_of == receipt.notice.about.retry_of == first != job.id
    assert (job.work.prompt, job.work.aspect_ratio) == ("a bear, dancing", "1:1")


async def test_what_is_not_there_cannot_be_remixed(inn: House) -> None:
    first = await inn.ask("a bear", user="mix3")
    for parent, request in (
        (JobId("r-none"), to_request(key="remix2", user="mix3")),
        (first, elsewhere(to_request(key="remix3", user="mix3"))),
    ):
        with pytest.raises(JobNotFound, match=f"There is no job {parent}"):
            await inn.studio.submit(request, retry_of=parent)


async def test_what_has_ended_cannot_be_cancelled(inn: House) -> None:
    job_id = await inn.ask(user="can1")
    await inn.finish(job_id)
    with pytest.raises(InvalidRequest, match="already ended"):
        await inn.studio.cancel(job_id, to_requester("can1"))


async def audited(house: House, job_id: JobId) -> list[tuple[str, str, str]]:
    """Who did what to a job, and whose it is."""
    log = schema.audit_log.c
    query = select(log.actor, log.act, log.detail).where(log.target == job_id).order_by(log.id)
    return await house.app.database.read(lambda conn: [tuple(row) for row in conn.execute(query)])


async def test_a_moderator_may_cancel_which_is_remembered(inn: House) -> None:
    job_id = await inn.ask(user="mod1", key="mod1")
    owner, moderator = to_requester("mod1"), to_requester("mod2")
    with pytest.raises(NotAllowed, match="somebody else's"):
        await inn.studio.cancel(job_id, moderator)
    assert await audited(inn, job_id) == []
    notice = await inn.studio.cancel(job_id, moderator, is_moderator=True)
    assert isinstance(notice, Cancelled)
    assert await audited(inn, job_id) == [(moderator.person, "cancel", owner.person)]
    own = await inn.ask(user="mod2", key="mod2")
    await inn.studio.cancel(own, moderator, is_moderator=True)
    assert await audited(inn, own) == []


@pytest.mark.parametrize("outside", [{"is_direct": True}, {"is_install": True}])
async def test_who_asks_from_outside_moderates_nothing(
    inn: House, outside: dict[str, bool]
) -> None:
    """Their rights are those of another place."""
    job_id = await inn.ask(user="mod3", key=f"mod3 {outside}")
    there = to_requester("mod4").model_copy(update={"home": "recording:local", **outside})
    for attempt in (inn.studio.cancel, inn.studio.delete):
        with pytest.raises(NotAllowed, match="somebody else's"):
            await attempt(job_id, there, is_moderator=True)


async def test_an_operator_acts_for_every_place_and_nobody_else_does(inn: House) -> None:
    """Also on what is private, which they read no more of by that; and from a direct message."""
    host = Requester(adapter="recording", workspace="far", user="host", is_direct=True)
    stranger = host.model_copy(update={"user": "guest"})
    machine = Requester(adapter="operator", workspace="local", user="host")
    studio = inn.studio_with(operators=frozenset({"recording:host"}))
    request = to_request(key="op1", user="op1").model_copy(update={"is_private": True})
    first = (await studio.submit(request)).job_id
    second = await inn.ask(user="op2", key="op2")
    for nobody in (stranger, host.model_copy(update={"adapter": "elsewhere"})):
        for job_id in (first, second):
            with pytest.raises(JobNotFound):
                await studio.cancel(job_id, nobody, is_moderator=True)
    with pytest.raises(JobNotFound):
        await studio.cancel(first, host)
    with pytest.raises(JobNotFound):
        await studio.show(first, host)
    with pytest.raises(JobNotFound):
        await studio.cancel(first, to_requester("op3"), is_moderator=True)
    assert isinstance(await studio.cancel(first, host, is_moderator=True), Cancelled)
    assert isinstance(await studio.cancel(second, machine, is_moderator=True), Cancelled)
    for job_id, actor, owner in ((first, host, "op1"), (second, machine, "op2")):
        assert await audited(inn, job_id) == [(actor.person, "cancel", to_requester(owner).person)]


# ---- retried for others -----------------------------------------------------------------------


async def fail(house: House, job_id: JobId) -> Job:
    job = await house.until(job_id, JobState.GENERATING)
    await house.simulator.fail(str(job.generation_id), "It did not work.")
    return await house.until(job_id, JobState.FAILED)


async def test_what_is_tried_again_for_somebody_is_theirs(inn: House) -> None:
    job = await fail(inn, await inn.ask(user="again1", key="again1"))
    guard, owner = to_requester("guard"), to_requester("again1")
    receipt = await inn.studio.retries.retry(job.id, actor=guard, dedupe_key="desk:1")
    assert isinstance(receipt.notice, Accepted)
    again = await inn.job(receipt.job_id)
    assert (again.request.requester, again.request.thread) == (owner, job.request.thread)
    assert (again.parent, again.retry_of, again.request.relation) == (job.id, job.id, "retry")
    assert (await inn.studio.usage(owner)).today.asked == 2
    assert (await inn.studio.usage(guard)).today.asked == 0
    same = await inn.studio.retries.retry(job.id, actor=guard, dedupe_key="desk:1")
    assert same.job_id == again.id
    with pytest.raises(InvalidRequest, match=f"tried again already: {again.id}"):
        await inn.studio.retries.retry(job.id, actor=guard, dedupe_key="desk:2")
    said = f"{again.id} for {owner.person}"
    assert await audited(inn, job.id) == [(guard.person, "retry", said)]


async def test_nobody_is_made_to_pay_for_what_they_did_not_ask_for(inn: House) -> None:
    guard = to_requester("guard")
    private = to_request(key="again2", user="again2").model_copy(update={"is_private": True})
    job_ids = {
        (await inn.finish(await inn.ask(user="again3", key="again3"))).id: "only what failed",
        (await fail(inn, (await inn.studio.submit(private)).job_id)).id: "in private",
    }
    charged = await fail(inn, await inn.ask(user="again4", key="again4"))
    await inn.app.database.write(
        lambda tx: tx.conn.execute(
            update(schema.jobs).where(schema.jobs.c.id == charged.id).values(cost=5)
        )
    )
    job_ids[charged.id] = "was charged"
    for number, (job_id, why) in enumerate(job_ids.items()):
        with pytest.raises(InvalidRequest, match=why):
            await inn.studio.retries.retry(job_id, actor=guard, dedupe_key=f"desk:no {number}")
        assert await audited(inn, job_id) == []
    await inn.app.database.write(
        lambda tx: tx.conn.execute(
            update(schema.jobs).where(schema.jobs.c.id == charged.id).values(cost=0)
        )
    )
    elsewhere = to_requester("guard", workspace="elsewhere")
    with pytest.raises(JobNotFound):
        await inn.studio.retries.retry(charged.id, actor=elsewhere, dedupe_key="desk:no")


# ---- delete -----------------------------------------------------------------------------------


async def test_a_deleted_clip_is_gone_and_its_cost_stays(inn: House) -> None:
    job = await inn.finish(await inn.ask(user="del1"))
    owner = to_requester("del1")
    shown = await inn.studio.show(job.id, owner)
    assert isinstance(shown.notice, Delivered)
    studio = inn.studio_with(delete_post=inn.chat.delete)
    notice = await studio.delete(job.id, owner)
    assert isinstance(notice, Failed)
    assert (notice.code, notice.charged) == ("deleted", job.cost)
    assert inn.chat.clips(job.id) == []
    assert not list(Path(shown.notice.path).parent.glob(f"{job.id}*"))
    assert await inn.app._links.clip_at(job.id) is None, "links lead nowhere"
    after = await studio.show(job.id, to_requester("del2"))
    assert after.notice == notice
    assert after.line.message is None
    assert "deleted by the person who asked" in notice.sentence
    assert (await inn.job(job.id)).state is JobState.DELIVERED
    assert await entries(inn, job.id) == ["hold", "settle"]
    assert (await inn.studio.usage(owner)).today.delivered == 1
    await inn.chat.until(lambda: inn.chat.status(job.id) == notice)
    assert await studio.delete(job.id, owner) == notice, "once more changes nothing"
    assert await audited(inn, job.id) == []


async def test_a_moderator_may_delete_which_is_remembered(inn: House) -> None:
    job = await inn.finish(await inn.ask(user="del3"))
    moderator = to_requester("del4")
    with pytest.raises(NotAllowed, match="somebody else's"):
        await inn.studio.delete(job.id, moderator)
    notices = await asyncio.gather(
        *(inn.studio.delete(job.id, moderator, is_moderator=True) for _ in range(3))
    )
    assert {type(notice) for notice in notices} == {Failed}
    assert "deleted by a moderator" in str(notices[0])
    owner = to_requester("del3").person
    assert await audited(inn, job.id) == [(moderator.person, "delete", owner)]


async def test_a_post_that_cannot_be_reached_now_is_deleted_when_asked_again(inn: House) -> None:
    job = await inn.finish(await inn.ask(user="del5"))
    owner = to_requester("del5")
    faults: list[DeliveryError] = [DeliveryUnavailable("It is away.")]
    studio = inn.studio_with(delete_post=delete_after(faults, inn))
    with pytest.raises(NotRemoved) as told:
        await studio.delete(job.id, owner)
    assert describe_error(told.value).lines == (
        "It could not be removed now and still stands there. It is away.",
        "Delete it again in a moment.",
    )
    assert isinstance((await studio.show(job.id, owner)).notice, Delivered)
    assert isinstance(await studio.delete(job.id, owner), Failed)
    assert inn.chat.clips(job.id) == []


async def test_a_post_that_its_platform_keeps_is_told_of_and_goes_once_it_may(inn: House) -> None:
    job = await inn.finish(await inn.ask(user="del10", key="del10"))
    owner, why = to_requester("del10"), "The workspace keeps everything."
    shown = (await inn.studio.show(job.id, owner)).notice
    assert isinstance(shown, Delivered)
    studio = inn.studio_with(delete_post=delete_after([ThreadGone(why)], inn))
    with pytest.raises(PostStays) as told:
        await studio.delete(job.id, owner)
    assert describe_error(told.value).lines == (
        f"The clip of {job.id} is deleted, but its message still stands there. {why}",
        "Delete it there yourself, or ask those who run that place to.",
    )
    assert inn.chat.clips(job.id)
    assert not Path(shown.path).exists()
    of = schema.operator_notices.c
    notices = select(of.sentence).where(of.job_id == job.id)
    [sentence] = await inn.app.database.read(lambda conn: conn.execute(notices).scalars().all())
    assert job.message is not None
    assert inn.chat.link_to(job.message) in sentence
    assert why in sentence
    assert isinstance(await studio.delete(job.id, owner), Failed)
    assert inn.chat.clips(job.id) == []


def delete_after(faults: list[DeliveryError], inn: House) -> Callable[..., Awaitable[None]]:
    """Deletes a post once these have happened."""

    async def delete_post(message: MessageRef) -> None:
        if faults:
            raise faults.pop(0)
        await inn.chat.delete(message)

    return delete_post


async def test_only_a_clip_can_be_deleted(inn: House) -> None:
    waiting = await inn.ask(user="del6", key="del6")
    owner = to_requester("del6")
    with pytest.raises(InvalidRequest, match=f"{waiting} is still being made. Cancel it"):
        await inn.studio.delete(waiting, owner)
    dear = await inn.submit(user="del6", key="del7", **EXPENSIVE)
    await inn.studio.cancel(dear.job_id, owner)
    with pytest.raises(InvalidRequest, match=f"{dear.job_id} has no clip"):
        await inn.studio.delete(dear.job_id, owner)
    with pytest.raises(JobNotFound):
        await inn.studio.delete(waiting, to_requester("del6", workspace="elsewhere"))


async def test_a_deleted_clip_is_not_continued(inn: House) -> None:
    job = await inn.finish(await inn.ask(user="del8"))
    await inn.studio.delete(job.id, to_requester("del8"))
    with pytest.raises(InvalidRequest, match=f"The clip of {job.id} was deleted"):
        await inn.ask("go on", user="del8", key="del9", start_frame=ClipFrame(job_id=job.id))


# ---- images -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "ratio"), [((1920, 1080), "16:9"), ((600, 800), "3:4"), ((600, 1400), "9:21")]
)
async def test_an_image_decides_the_ratio_where_nobody_typed_one(
    inn: House, size: tuple[int, int], ratio: str
) -> None:
    receipt = await inn.submit(user="img1", start_frame=attach(inn, rendered.png(*size)))
    assert isinstance(receipt.notice, Accepted)
    assert receipt.notice.about.remarks == (
        f"The aspect ratio is {ratio}, the nearest to your image.",
    )
    job = await inn.job(receipt.job_id)
    assert job.plan is not None
    assert job.plan.start_frame is not None
    assert (job.plan.start_frame.width, job.plan.start_frame.height) == size
    assert job.work.aspect_ratio == ratio


async def test_a_typed_ratio_stays(inn: House) -> None:
    frame = attach(inn, rendered.png(1920, 1080))
    receipt = await inn.submit(user="img2", end_frame=frame, aspect_ratio="1:1")
    assert isinstance(receipt.notice, Accepted)
    assert receipt.notice.about.remarks == ()
    assert (await inn.job(receipt.job_id)).work.aspect_ratio == "1:1"


async def test_an_image_needs_no_words_and_reaches_the_service(inn: House) -> None:
    job_id = await inn.ask("", user="img3", start_frame=attach(inn, rendered.png()))
    job = await inn.until(job_id, JobState.GENERATING)
    order = inn.simulator.generations[str(job.generation_id)].order
    assert order.start is not None
    assert order.start.kind == "image"


async def test_an_image_that_its_chat_forgot_is_at_hand_for_try_after_try(inn: House) -> None:
    images: dict[str, Any] = {
        "start_frame": attach(inn, rendered.png(), is_fleeting=True),
        "end_frame": attach(inn, rendered.png(), is_fleeting=True),
    }
    job = await inn.finish(await inn.ask(user="img8", key="img8", **images))
    inn.chat.images.clear()
    owner = to_requester("img8")
    for again in ("img9", "img10"):
        receipt = await inn.studio.retry(job.id, owner, dedupe_key=again, thread=GENERAL)
        job = await inn.finish(receipt.job_id)
        assert len(kept_images(inn, job.id)) == 2
    await inn.studio.delete(job.id, owner)
    assert kept_images(inn, job.id) == []


async def test_a_try_that_came_to_nothing_keeps_no_image_and_ends_no_chain(inn: House) -> None:
    frame = attach(inn, rendered.png(), is_fleeting=True)
    first = await inn.finish(await inn.ask(user="img11", key="img11", start_frame=frame))
    del inn.chat.images[frame.attachment.id]
    inn.chat.images["none"] = b"no image"
    none = ImageFrame(attachment=Attachment(adapter="recording", id="none"))
    request = to_request(user="img11", key="img12", start_frame=frame, end_frame=none)
    with pytest.raises(FrameRejected):
        await inn.studio.submit(request, retry_of=first.id)
    refused = await inn.studio.submit(request, retry_of=first.id)
    assert kept_images(inn, refused.job_id) == []
    again = to_request(user="img11", key="img13", start_frame=frame)
    receipt = await inn.studio.submit(again, retry_of=refused.job_id)
    [kept] = kept_images(inn, receipt.job_id)
    assert kept.parent.parent.name == "uploads"


async def test_what_was_asked_before_images_could_be_fleeting_is_still_read(inn: House) -> None:
    request = to_request(start_frame=attach(inn, b""))
    old = request.model_dump_json().replace(',"is_fleeting":false', "")
    assert "is_fleeting" not in old
    assert GenerationRequest.model_validate_json(old) == request


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"just text", "image"),
        (b"", "image"),
        (rendered.png(1, 1), "1"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 100, "image"),
    ],
)
async def test_an_image_that_cannot_be_used_ends_the_request_for_free(
    inn: House, content: bytes, sentence: str
) -> None:
    key = f"img4 {len(inn.chat.images)}"
    with pytest.raises(FrameRejected, match=sentence):
        await inn.submit(user="img4", key=key, start_frame=attach(inn, content))
    again = await inn.submit(user="img4", key=key)
    job = await inn.job(again.job_id)
    assert (job.state, job.cost) == (JobState.FAILED, 0)
    assert job.failure is not None
    assert job.failure.code == "refused"
    assert await entries(inn, job.id) == []


async def test_a_refusal_that_was_told_is_not_announced(inn: House) -> None:
    with pytest.raises(FrameRejected):
        await inn.submit(user="img7", key="img7", start_frame=attach(inn, b"no image"))
    again = await inn.submit(user="img7", key="img7")
    assert isinstance(again.notice, Failed)
    later = await inn.ask(user="img7")
    await inn.chat.until(lambda: inn.chat.status(later) is not None)
    assert inn.chat.status(again.job_id) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/fox.png",
        "http://localhost/fox.png",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/fox.png",
        "http://0x7f000001/fox.png",
        "file:///etc/passwd",
        "ftp://example.org/fox.png",
        "not a link",
    ],
)
async def test_a_link_to_no_public_address_is_refused(inn: House, url: str) -> None:
    with pytest.raises(FrameRejected):
        await inn.ask(user="img5", key=url, start_frame=LinkFrame(url=url))
    report = await inn.studio.usage(to_requester("img5"))
    assert report.today.refused == report.today.asked
    assert report.today.charged == 0


async def test_cancelled_while_its_image_is_read_stays_cancelled(inn: House) -> None:
    """The image then turns out to be none, which must not end the job a second time."""
    frame, chat = attach(inn, b"no image"), hold_reads(inn)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_refusal(inn, "img6", frame))
        await chat.is_read.wait()
        [line] = await inn.studio.jobs(to_requester("img6"))
        notice = await inn.studio.cancel(line.job_id, to_requester("img6"))
        assert isinstance(notice, Cancelled)
        chat.may_read.set()
    assert isinstance(task.result(), FrameRejected)
    assert (await inn.job(line.job_id)).state is JobState.CANCELLED
    await inn.check_books()


async def _refusal(house: House, user: str, frame: ImageFrame) -> Refusal | None:
    try:
        await house.submit(user=user, key=user, start_frame=frame)
    except Refusal as error:
        return error
    return None


# ---- restarts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("is_image", [True, False])
async def test_a_request_whose_image_was_being_read_is_taken_up_again(
    simulator: Simulator, tmp_path: Path, is_image: bool
) -> None:
    async with open_inn(simulator, tmp_path) as house:
        frame, slow = attach(house, b""), hold_reads(house)
        task = asyncio.ensure_future(house.submit(start_frame=frame))
        await slow.is_read.wait()
        [line] = await house.studio.jobs(to_requester())
        shown = await house.studio.show(line.job_id, to_requester())
        assert isinstance(shown.notice, Received)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    slow.may_read.set()
    slow.images[frame.attachment.id] = rendered.png(1600, 900) if is_image else b"no image"
    async with open_inn(simulator, tmp_path, slow) as house:
        if is_image:
            job = await house.until(line.job_id, JobState.GENERATING)
            assert job.work.aspect_ratio == "16:9"
        else:
            job = await house.until(line.job_id, JobState.FAILED)
            assert job.failure is not None
            assert job.failure.code == ledger.LATE_REFUSAL
            await slow.until(lambda: isinstance(slow.status(job.id), Failed))
            assert job.cost == 0
            report = await house.studio.usage(to_requester())
            assert (report.today.refused, report.today.failed) == (1, 0)
        await house.check_books()


async def test_an_old_request_is_not_taken_up_but_given_up(
    simulator: Simulator, tmp_path: Path
) -> None:
    """Its person has asked again long ago; paying for both would surprise them."""
    async with open_inn(simulator, tmp_path) as house:
        frame, slow = attach(house, rendered.png()), hold_reads(house)
        task = asyncio.ensure_future(house.submit(start_frame=frame))
        await slow.is_read.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        [line] = await house.studio.jobs(to_requester())
    slow.may_read.set()
    clock = MovableClock()
    clock.move(minutes=11)
    async with running(to_test_config(tmp_path, simulator), simulator, slow, clock) as house:
        await house.ask("another")
        assert (await house.job(line.job_id)).state is JobState.RECEIVED
        clock.move(hours=1)
        job = await house.until(line.job_id, JobState.CANCELLED)
        assert job.cost == 0


# ---- an earlier clip --------------------------------------------------------------------------


async def test_an_earlier_clip_is_continued(inn: House) -> None:
    parent = await inn.finish(await inn.ask(user="ext1"))
    job_id = await inn.ask("and on", user="ext2", start_frame=ClipFrame(job_id=parent.id))
    job = await inn.until(job_id, JobState.GENERATING)
    order = inn.simulator.generations[str(job.generation_id)].order
    assert order.start is not None
    assert (order.start.kind, order.start.value) == ("generation", parent.generation_id)


async def test_a_clip_that_is_not_there_or_not_finished_is_not_continued(inn: House) -> None:
    unfinished = await inn.ask(user="ext3")
    for parent, sentence in (
        (JobId("r-none"), "There is no clip r-none here"),
        (unfinished, f"{unfinished} has no finished clip"),
    ):
        with pytest.raises(InvalidRequest, match=sentence):
            await inn.ask("go on", user="ext3", key=sentence, start_frame=ClipFrame(job_id=parent))
    report = await inn.studio.usage(to_requester("ext3"))
    assert (report.today.asked, report.today.refused) == (3, 2)


async def test_a_clip_of_another_place_looks_like_none(inn: House) -> None:
    parent = await inn.finish(await inn.ask(user="ext4"))
    request = elsewhere(
        to_request(key="ext4", user="ext4", start_frame=ClipFrame(job_id=parent.id))
    )
    with pytest.raises(InvalidRequest, match=f"There is no clip {parent.id} here"):
        await inn.studio.submit(request)


async def test_a_clip_is_continued_only_where_it_was_made(inn: House) -> None:
    parent = await inn.finish(await inn.ask(user="ext5"))
    assert parent.plan is not None
    plan = parent.plan.model_copy(update={"provider": "fal"}).model_dump(mode="json")
    await inn.app.database.write(
        lambda tx: (
            tx.conn.execute(
                schema.jobs.update().where(schema.jobs.c.id == parent.id).values(plan=plan)
            ).rowcount
        )
    )
    with pytest.raises(InvalidRequest, match="was made by fal and can only be continued there"):
        await inn.ask("go on", user="ext5", key="e5", start_frame=ClipFrame(job_id=parent.id))


async def test_the_books_of_this_house_add_up(inn: House) -> None:
    await inn.check_books()


async def test_what_was_asked_in_private_is_nobody_elses_to_read(inn: House) -> None:
    """Neither shown, nor asked for again, nor begun with; its person sees it everywhere."""
    asked = to_request("a secret fox", key="private").model_copy(update={"is_private": True})
    receipt = await inn.studio.submit(asked)
    other = to_requester(user="ben")
    with pytest.raises(JobNotFound):
        await inn.studio.show(receipt.job_id, other)
    with pytest.raises(JobNotFound):
        await inn.studio.work_of(receipt.job_id, other)
    thread = asked.thread
    with pytest.raises(JobNotFound):
        await inn.studio.retry(receipt.job_id, other, dedupe_key="again", thread=thread)
    shown = await inn.studio.show(receipt.job_id, asked.requester)
    assert shown.line.is_private
