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
from tests.conftest import MANUAL, RunningBot, running, to_test_config
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
) -> AsyncIterator[RunningBot]:
    """A bot with changed tables."""
    config = to_test_config(folder, simulator, **tables)
    async with running(config, simulator, chat or SlowChat(), MovableClock()) as bot:
        yield bot


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_bot(
    simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningBot]:
    """One bot for most tests here; each test comes with persons of its own."""
    folder = tmp_path_factory.mktemp("shared")
    access, luma = {"workspaces": ["elsewhere"]}, {"running_limit": 1000}
    async with open_inn(simulator, folder, access=access, luma=luma, limits=ASKING) as bot:
        yield bot


def elsewhere(request: GenerationRequest) -> GenerationRequest:
    """The same request from another place that is served."""
    there = to_requester(request.requester.user, workspace="elsewhere")
    return request.model_copy(update={"requester": there})


async def entries(bot: RunningBot, job_id: JobId) -> list[str]:
    """The kinds of a job's ledger entries."""
    query = select(schema.ledger_entries.c.kind).where(schema.ledger_entries.c.job_id == job_id)
    return await bot.app.database.read(lambda conn: list(conn.execute(query).scalars()))


def hold_reads(bot: RunningBot) -> SlowChat:
    """From now on files are not read before they may be."""
    assert isinstance(bot.chat, SlowChat)
    bot.chat.is_read.clear()
    bot.chat.may_read.clear()
    return bot.chat


def attach(
    bot: RunningBot, content: bytes, name: str = "fox.png", *, is_fleeting: bool = False
) -> ImageFrame:
    attachment_id = f"{name}-{len(bot.chat.images)}"
    bot.chat.images[attachment_id] = content
    return ImageFrame(
        attachment=Attachment(
            adapter="recording", id=attachment_id, filename=name, is_fleeting=is_fleeting
        )
    )


def kept_images(bot: RunningBot, job_id: JobId) -> list[Path]:
    """The files that a job's images are kept as."""
    return list((bot.config.bot.data_dir / "media").glob(f"*/{job_id}/*.jpg"))


# ---- submit -----------------------------------------------------------------------------------


async def test_a_request_is_accepted_with_its_price_held(shared_bot: RunningBot) -> None:
    receipt = await shared_bot.submit("a lake at dawn", user="sub1")
    assert isinstance(receipt.notice, Accepted)
    about = receipt.notice.about
    assert about.price is not None
    assert about.price.micros == 136_858
    job = await shared_bot.job(receipt.job_id)
    assert job.plan is not None
    assert job.cost == job.plan.hold == 153_281
    assert await entries(shared_bot, job.id) == ["hold"]


async def test_the_same_request_again_gets_the_first_answer(shared_bot: RunningBot) -> None:
    first = await shared_bot.submit(user="dup1", key="dup")
    await shared_bot.until(first.job_id, JobState.GENERATING)
    again = await shared_bot.submit("something else", user="dup1", key="dup")
    assert again.job_id == first.job_id
    assert isinstance(again.notice, Generating)
    assert again.notice.about.work.prompt == "a red fox in snow"


async def test_many_at_once_make_one_job(shared_bot: RunningBot) -> None:
    receipts = await asyncio.gather(
        *(shared_bot.submit(user="dup2", key="many") for _ in range(10))
    )
    assert len({receipt.job_id for receipt in receipts}) == 1
    assert sum(isinstance(receipt.notice, Accepted) for receipt in receipts) >= 1
    assert await entries(shared_bot, receipts[0].job_id) == ["hold"]


async def test_a_refusal_is_remembered_as_the_first_answer(shared_bot: RunningBot) -> None:
    frame = attach(shared_bot, b"this is no image")
    with pytest.raises(FrameRejected) as refused:
        await shared_bot.submit(user="dup3", key="refused", start_frame=frame)
    again = await shared_bot.submit(user="dup3", key="refused", start_frame=frame)
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
    shared_bot: RunningBot, prompt: str, work: dict[str, Any], field: str, sentence: str
) -> None:
    with pytest.raises(InvalidRequest, match=sentence) as refused:
        await shared_bot.studio.submit(to_request(prompt, key=f"bad {sentence}", **work))
    assert refused.value.field == field
    assert await shared_bot.studio.jobs(to_requester("ana")) == ()


@pytest.mark.parametrize("prompt", ["🦊🦊🦊", "狐狸在雪中", "line\nbreak and a tab\t", "x" * 5000])
async def test_what_is_text_is_taken(shared_bot: RunningBot, prompt: str) -> None:
    receipt = await shared_bot.submit(prompt, user="texts")
    assert (await shared_bot.job(receipt.job_id)).work.prompt == prompt


async def test_a_prompt_longer_than_the_model_reads_is_said(shared_bot: RunningBot) -> None:
    receipt = await shared_bot.submit("word " * 900, user="texts")
    assert isinstance(receipt.notice, Accepted)
    [remark] = receipt.notice.about.remarks
    assert "may be ignored" in remark


# ---- confirm ----------------------------------------------------------------------------------


async def test_above_the_threshold_nothing_is_held_before_a_confirm(
    shared_bot: RunningBot,
) -> None:
    receipt = await shared_bot.submit(user="con1", **EXPENSIVE)
    assert isinstance(receipt.notice, ConfirmNeeded)
    assert receipt.notice.about.price is not None
    assert receipt.notice.about.price.micros == 246_344
    job = await shared_bot.job(receipt.job_id)
    assert (job.state, job.cost, job.next_at) == (
        JobState.RECEIVED,
        0,
        receipt.notice.expires_at,
    )
    assert await entries(shared_bot, job.id) == []
    await shared_bot.chat.until(lambda: isinstance(shared_bot.chat.status(job.id), ConfirmNeeded))
    again = await shared_bot.studio.submit(job.request)
    assert again == receipt, "a redelivery gets the same question"


async def test_a_confirm_accepts_once(shared_bot: RunningBot) -> None:
    receipt = await shared_bot.submit(user="con2", **EXPENSIVE)
    person = to_requester("con2")
    with pytest.raises(NotAllowed, match="somebody else's"):
        await shared_bot.studio.confirm(receipt.job_id, to_requester("con3"))
    answers = await asyncio.gather(
        *(shared_bot.studio.confirm(receipt.job_id, person) for _ in range(3))
    )
    kinds = [type(answer.notice) for answer in answers]
    assert kinds.count(Accepted) == 1
    assert set(kinds) <= {Accepted, Queued, Generating}
    assert await entries(shared_bot, receipt.job_id) == ["hold"]
    await shared_bot.until(receipt.job_id, JobState.GENERATING)


async def test_who_confirmed_beforehand_is_not_asked(shared_bot: RunningBot) -> None:
    receipt = await shared_bot.studio.submit(
        to_request(key="yes", user="con4", **EXPENSIVE), is_confirmed=True
    )
    assert isinstance(receipt.notice, Accepted)


async def test_who_waits_for_a_confirm_can_cancel_for_free(shared_bot: RunningBot) -> None:
    receipt = await shared_bot.submit(user="con5", **EXPENSIVE)
    notice = await shared_bot.studio.cancel(receipt.job_id, to_requester("con5"))
    assert isinstance(notice, Cancelled)
    assert notice.charged == 0
    late = await shared_bot.studio.confirm(receipt.job_id, to_requester("con5"))
    assert isinstance(late.notice, Cancelled)
    assert await entries(shared_bot, receipt.job_id) == []


async def test_an_unanswered_question_is_gone_after_an_hour(
    simulator: Simulator, tmp_path: Path
) -> None:
    async with open_inn(simulator, tmp_path, limits=ASKING) as bot:
        receipt = await bot.submit(**EXPENSIVE)
        bot.clock.move(minutes=59)
        assert (await bot.job(receipt.job_id)).state is JobState.RECEIVED
        bot.clock.move(minutes=2)
        job = await bot.until(receipt.job_id, JobState.CANCELLED)
        assert job.cost == 0
        late = await bot.studio.confirm(receipt.job_id, to_requester())
        assert isinstance(late.notice, Cancelled)
        await bot.check_books()


async def test_a_confirm_obeys_the_limits_of_its_moment(
    simulator: Simulator, tmp_path: Path
) -> None:
    limits = {"confirm_above_usd": 0.1, "running_per_person": 1, "usd_per_person_per_day": 9}
    luma = {"running_limit": 1}
    async with open_inn(simulator, tmp_path, limits=limits, luma=luma) as bot:
        busy = await bot.studio.submit(to_request(user="ben"), is_confirmed=True)
        await bot.until(busy.job_id, JobState.GENERATING)
        first, second = await bot.submit(key="first"), await bot.submit(key="second")
        await bot.studio.confirm(first.job_id, to_requester())
        with pytest.raises(QuotaExceeded, match="Wait for one to finish"):
            await bot.studio.confirm(second.job_id, to_requester())
        assert (await bot.job(second.job_id)).state is JobState.RECEIVED
        await bot.studio.cancel(first.job_id, to_requester())
        answer = await bot.studio.confirm(second.job_id, to_requester())
        assert isinstance(answer.notice, Accepted)


# ---- settings ---------------------------------------------------------------------------------


async def test_typed_wins_over_chosen_wins_over_the_house(
    simulator: Simulator, tmp_path: Path
) -> None:
    defaults = {"aspect_ratio": "16:9", "resolution": "720p", "loop": True}
    async with open_inn(simulator, tmp_path, defaults=defaults) as bot:
        person = to_requester()
        await bot.studio.preferences.change(person, {"aspect_ratio": "9:16", "loop": "false"})
        job = await bot.job(await bot.ask())
        assert (job.work.aspect_ratio, to_video(job.work).resolution) == ("9:16", "720p")
        assert not to_video(job.work).loop
        job = await bot.job(await bot.ask(aspect_ratio="1:1", resolution="540p", loop=True))
        assert (job.work.aspect_ratio, to_video(job.work).resolution) == ("1:1", "540p")
        assert to_video(job.work).loop
        await bot.studio.preferences.change(person, {"aspect_ratio": "", "loop": ""})
        job = await bot.job(await bot.ask())
        assert (job.work.aspect_ratio, to_video(job.work).loop) == ("16:9", True)


async def test_settings_are_ones_own(shared_bot: RunningBot) -> None:
    person = to_requester("set1")
    assert await shared_bot.studio.preferences.own(person) == {}
    both = await shared_bot.studio.preferences.change(person, {"model": "ray-2", "duration": "9s"})
    assert both == {"model": "ray-2", "duration": "9s"}
    left = await shared_bot.studio.preferences.change(person, {"model": ""})
    assert left == await shared_bot.studio.preferences.own(person) == {"duration": "9s"}
    assert await shared_bot.studio.preferences.own(to_requester("set2")) == {}
    assert (
        await shared_bot.studio.preferences.own(to_requester("set1", workspace="elsewhere")) == {}
    )


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
    shared_bot: RunningBot, changes: dict[str, str], kind: type[Refusal], sentence: str
) -> None:
    person = to_requester("set3")
    with pytest.raises(kind, match=sentence):
        await shared_bot.studio.preferences.change(person, {"loop": "true", **changes})
    assert await shared_bot.studio.preferences.own(person) == {}


async def test_the_models_that_can_be_asked_for_are_known(shared_bot: RunningBot) -> None:
    assert [model.model for model in shared_bot.studio.preferences.models()] == [
        "ray-flash-2",
        "ray-2",
    ]


# ---- who may ----------------------------------------------------------------------------------


async def test_only_the_models_and_sizes_of_the_place_may_be_used(
    simulator: Simulator, tmp_path: Path
) -> None:
    limits = {"models": ["ray-flash-2"], "resolutions": ["540p"]}
    async with open_inn(simulator, tmp_path, limits=limits) as bot:
        with pytest.raises(NotAllowed, match="Here you can use ray-flash-2"):
            await bot.ask(key="model", model="ray-2")
        with pytest.raises(NotAllowed, match=r"720p is off here\. You can use 540p"):
            await bot.ask(key="size", resolution="720p")
        assert bot.studio.preferences.choices("resolution") == ["540p"]
        await bot.ask()


@pytest.mark.parametrize(
    ("allowed", "says"),
    [(["360p", "720p"], r"\. The nearest it can is 720p\.$"), (["360p"], r"\(resolution\)\.$")],
)
async def test_the_nearest_size_that_is_named_is_one_that_may_be_used(
    simulator: Simulator, tmp_path: Path, allowed: list[str], says: str
) -> None:
    async with open_inn(simulator, tmp_path, limits={"resolutions": allowed}) as bot:
        with pytest.raises(InvalidRequest, match=f"cannot make 360p.*{says}"):
            await bot.ask(resolution="360p")


async def test_what_only_some_role_may_use_is_offered_too(
    simulator: Simulator, tmp_path: Path
) -> None:
    roles = [{"role": "7", "models": ["ray-2"]}, {"role": "8", "resolutions": ["4k", "1080p"]}]
    limits = {"models": ["photon-1"], "resolutions": ["540p"], "roles": roles}
    async with open_inn(simulator, tmp_path, limits=limits) as bot:
        assert bot.studio.preferences.choices("duration") == ["5s", "9s"]
        assert bot.studio.preferences.choices("resolution") == ["540p", "1080p", "4k"]


async def test_4k_is_off_unless_the_place_allows_it(shared_bot: RunningBot) -> None:
    with pytest.raises(NotAllowed, match="4k is off here"):
        await shared_bot.ask(user="big", key="4k", resolution="4k")


async def test_a_blocked_person_may_ask_for_nothing_until_then(shared_bot: RunningBot) -> None:
    now = shared_bot.clock.now()
    for user, until in (
        ("bad1", None),
        ("bad2", now + timedelta(hours=1)),
        ("bad3", now - timedelta(hours=1)),
    ):
        person = to_requester(user).person
        await shared_bot.app.database.write(
            lambda tx: settings.block(tx, person, until=until, reason="spam", now=now)  # noqa: B023 - awaited here
        )
    with pytest.raises(NotAllowed, match=r"You cannot use Raybot here\.$"):
        await shared_bot.ask(user="bad1", key="bad1")
    with pytest.raises(
        NotAllowed, match=r"You cannot use Raybot here until \d+ \w+ \d+:\d+ UTC"
    ) as refused:
        await shared_bot.ask(user="bad2", key="bad2")
    assert refused.value.times == (now + timedelta(hours=1),)
    await shared_bot.ask(user="bad3")


async def test_a_nearly_full_disk_starts_nothing_new_and_finishes_the_old(
    simulator: Simulator, tmp_path: Path
) -> None:
    async with open_inn(simulator, tmp_path) as bot:
        old = await bot.ask()
        await bot.until(old, JobState.GENERATING)
    full = {"min_free_bytes": 10**18}
    async with open_inn(simulator, tmp_path, bot.chat, bot=full) as bot:
        with pytest.raises(NoRoom) as refused:
            await bot.submit(key="new")
        told = describe_error(refused.value)
        assert told.title == "Raybot has no room left"
        assert told.lines == (
            "The disk is nearly full, so nothing new is started.",
            "Tell its operator, and ask again later.",
            "Nothing was charged.",
        )
        assert len(await bot.studio.jobs(to_requester())) == 1
        await bot.finish(old)


async def test_newcomers_wait_as_many_days_as_the_place_says(
    simulator: Simulator, tmp_path: Path
) -> None:
    async with open_inn(simulator, tmp_path, limits={"min_member_days": 7}) as bot:
        now = bot.clock.now()

        def since(days: int, key: str) -> GenerationRequest:
            request = to_request(key=key)
            member = {"member_since": now - timedelta(days=days)}
            requester = request.requester.model_copy(update=member)
            return request.model_copy(update={"requester": requester})

        with pytest.raises(NotAllowed, match="7 days after you joined"):
            await bot.studio.submit(since(6, "new"))
        await bot.studio.submit(since(7, "old"))
        await bot.studio.submit(to_request(key="not told"))


# ---- one's own, and others' -------------------------------------------------------------------


async def test_another_place_sees_nothing(shared_bot: RunningBot) -> None:
    job_id = await shared_bot.ask(user="own1")
    there = to_requester("own1", workspace="elsewhere")
    for attempt in (
        shared_bot.studio.show(job_id, there),
        shared_bot.studio.cancel(job_id, there),
        shared_bot.studio.confirm(job_id, there),
        shared_bot.studio.retry(job_id, there, dedupe_key="steal", thread=GENERAL),
    ):
        with pytest.raises(JobNotFound, match=f"There is no job {job_id}"):
            await attempt
    with pytest.raises(JobNotFound, match="There is no job r-none"):
        await shared_bot.studio.show(JobId("r-none"), there)
    assert await shared_bot.studio.jobs(there) == ()
    assert (await shared_bot.studio.usage(there)).today.asked == 0


async def test_a_job_is_shown_with_its_clip_to_everyone_in_its_place(
    shared_bot: RunningBot,
) -> None:
    job_id = await shared_bot.ask("an owl", user="own2")
    waiting = await shared_bot.studio.show(job_id, to_requester("own3"))
    assert not isinstance(waiting.notice, Delivered)
    assert waiting.line.price == 136_858
    assert [state for _, state in waiting.events][:2] == ["received", "accepted"]
    job = await shared_bot.finish(job_id)
    shown = await shared_bot.studio.show(job_id, to_requester("own3"))
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


async def test_a_clip_that_is_no_longer_kept_is_told_by_its_end(shared_bot: RunningBot) -> None:
    job_id = await shared_bot.ask(user="own4")
    await shared_bot.finish(job_id)
    shown = await shared_bot.studio.show(job_id, to_requester("own4"))
    assert isinstance(shown.notice, Delivered)
    Path(shown.notice.path).unlink()
    shown = await shared_bot.studio.show(job_id, to_requester("own4"))
    assert type(shown.notice).__name__ == "Done"


async def test_one_lists_and_searches_ones_own(shared_bot: RunningBot) -> None:
    person = to_requester("own5")
    for prompt in ("a fox", "an owl", "a second fox"):
        await shared_bot.ask(prompt, user="own5")
        shared_bot.clock.move(seconds=1)
    await shared_bot.ask("a fox of somebody else", user="own6")
    prompts = [line.prompt for line in await shared_bot.studio.jobs(person)]
    assert prompts == ["a second fox", "an owl", "a fox"]
    found = [line.prompt for line in await shared_bot.studio.jobs(person, search="FOX")]
    assert found == ["a second fox", "a fox"]
    assert await shared_bot.studio.jobs(person, page=2) == ()


async def test_usage_counts_what_was_asked_delivered_and_refused(
    simulator: Simulator, tmp_path: Path
) -> None:
    limits = {"usd_per_person_per_day": 0.35, "usd_per_channel_per_day": 100}
    async with open_inn(simulator, tmp_path, limits=limits) as bot:
        delivered = await bot.finish(await bot.ask())
        await bot.ask()
        with pytest.raises(QuotaExceeded) as refused:
            await bot.ask(duration="9s")
        assert refused.value.resets_at is not None
        report = await bot.studio.usage(to_requester(), channel="general")
        assert (report.today.asked, report.today.delivered, report.today.refused) == (3, 1, 1)
        assert report.today.charged == report.month.charged == delivered.cost
        held = delivered.cost + 153_281
        assert [(each.name, each.used) for each in report.allowances] == [
            ("your budget per day", held),
            ("this channel's budget per day", held),
            ("the whole budget per month", held),
        ]
        assert (await bot.studio.usage(to_requester("ben"))).today.asked == 0


async def test_a_retry_is_a_new_job_with_what_was_typed(shared_bot: RunningBot) -> None:
    first = await shared_bot.ask("a bear", user="re1", aspect_ratio="9:16")
    receipt = await shared_bot.studio.retry(
        first, to_requester("re2"), dedupe_key="retry1", thread=GENERAL
    )
    again = await shared_bot.studio.retry(
        first, to_requester("re2"), dedupe_key="retry1", thread=GENERAL
    )
    assert again.job_id == receipt.job_id != first
    job = await shared_bot.job(receipt.job_id)
    assert job.retry_of == first
    assert (job.work.prompt, job.work.aspect_ratio) == ("a bear", "9:16")
    assert job.request.requester.user == "re2"
    assert (await shared_bot.job(first)).request.requester.user == "re1"


async def test_a_remix_is_a_new_job_that_names_the_first(shared_bot: RunningBot) -> None:
    first = await shared_bot.ask("a bear", user="mix1", aspect_ratio="9:16")
    request = to_request("a bear, dancing", key="remix1", user="mix2", aspect_ratio="1:1")
    receipt = await shared_bot.studio.submit(request, retry_of=first)
    job = await shared_bot.job(receipt.job_id)
    assert isinstance(receipt.notice, Accepted)
    assert job.retry_of == receipt.notice.about.retry_of == first != job.id
    assert (job.work.prompt, job.work.aspect_ratio) == ("a bear, dancing", "1:1")


async def test_what_is_not_there_cannot_be_remixed(shared_bot: RunningBot) -> None:
    first = await shared_bot.ask("a bear", user="mix3")
    for parent, request in (
        (JobId("r-none"), to_request(key="remix2", user="mix3")),
        (first, elsewhere(to_request(key="remix3", user="mix3"))),
    ):
        with pytest.raises(JobNotFound, match=f"There is no job {parent}"):
            await shared_bot.studio.submit(request, retry_of=parent)


async def test_what_has_ended_cannot_be_cancelled(shared_bot: RunningBot) -> None:
    job_id = await shared_bot.ask(user="can1")
    await shared_bot.finish(job_id)
    with pytest.raises(InvalidRequest, match="already ended"):
        await shared_bot.studio.cancel(job_id, to_requester("can1"))


async def audited(bot: RunningBot, job_id: JobId) -> list[tuple[str, str, str]]:
    """Who did what to a job, and whose it is."""
    log = schema.audit_log.c
    query = select(log.actor, log.act, log.detail).where(log.target == job_id).order_by(log.id)
    return await bot.app.database.read(lambda conn: [tuple(row) for row in conn.execute(query)])


async def test_a_moderator_may_cancel_which_is_remembered(shared_bot: RunningBot) -> None:
    job_id = await shared_bot.ask(user="mod1", key="mod1")
    owner, moderator = to_requester("mod1"), to_requester("mod2")
    with pytest.raises(NotAllowed, match="somebody else's"):
        await shared_bot.studio.cancel(job_id, moderator)
    assert await audited(shared_bot, job_id) == []
    notice = await shared_bot.studio.cancel(job_id, moderator, is_moderator=True)
    assert isinstance(notice, Cancelled)
    assert await audited(shared_bot, job_id) == [(moderator.person, "cancel", owner.person)]
    own = await shared_bot.ask(user="mod2", key="mod2")
    await shared_bot.studio.cancel(own, moderator, is_moderator=True)
    assert await audited(shared_bot, own) == []


@pytest.mark.parametrize("outside", [{"is_direct": True}, {"is_install": True}])
async def test_who_asks_from_outside_moderates_nothing(
    shared_bot: RunningBot, outside: dict[str, bool]
) -> None:
    """Their rights are those of another place."""
    job_id = await shared_bot.ask(user="mod3", key=f"mod3 {outside}")
    there = to_requester("mod4").model_copy(update={"home": "recording:local", **outside})
    for attempt in (shared_bot.studio.cancel, shared_bot.studio.delete):
        with pytest.raises(NotAllowed, match="somebody else's"):
            await attempt(job_id, there, is_moderator=True)


async def test_an_operator_acts_for_every_place_and_nobody_else_does(
    shared_bot: RunningBot,
) -> None:
    """Also on what is private, which they read no more of by that; and from a direct message."""
    host = Requester(adapter="recording", workspace="far", user="host", is_direct=True)
    stranger = host.model_copy(update={"user": "guest"})
    machine = Requester(adapter="operator", workspace="local", user="host")
    studio = shared_bot.studio_with(operators=frozenset({"recording:host"}))
    request = to_request(key="op1", user="op1").model_copy(update={"is_private": True})
    first = (await studio.submit(request)).job_id
    second = await shared_bot.ask(user="op2", key="op2")
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
        assert await audited(shared_bot, job_id) == [
            (actor.person, "cancel", to_requester(owner).person)
        ]


# ---- retried for others -----------------------------------------------------------------------


async def fail(bot: RunningBot, job_id: JobId) -> Job:
    job = await bot.until(job_id, JobState.GENERATING)
    await bot.simulator.fail(str(job.generation_id), "It did not work.")
    return await bot.until(job_id, JobState.FAILED)


async def test_what_is_tried_again_for_somebody_is_theirs(shared_bot: RunningBot) -> None:
    job = await fail(shared_bot, await shared_bot.ask(user="again1", key="again1"))
    guard, owner = to_requester("guard"), to_requester("again1")
    receipt = await shared_bot.studio.retries.retry(job.id, actor=guard, dedupe_key="desk:1")
    assert isinstance(receipt.notice, Accepted)
    again = await shared_bot.job(receipt.job_id)
    assert (again.request.requester, again.request.thread) == (owner, job.request.thread)
    assert (again.parent, again.retry_of, again.request.relation) == (job.id, job.id, "retry")
    assert (await shared_bot.studio.usage(owner)).today.asked == 2
    assert (await shared_bot.studio.usage(guard)).today.asked == 0
    same = await shared_bot.studio.retries.retry(job.id, actor=guard, dedupe_key="desk:1")
    assert same.job_id == again.id
    with pytest.raises(InvalidRequest, match=f"tried again already: {again.id}"):
        await shared_bot.studio.retries.retry(job.id, actor=guard, dedupe_key="desk:2")
    said = f"{again.id} for {owner.person}"
    assert await audited(shared_bot, job.id) == [(guard.person, "retry", said)]


async def test_nobody_is_made_to_pay_for_what_they_did_not_ask_for(shared_bot: RunningBot) -> None:
    guard = to_requester("guard")
    private = to_request(key="again2", user="again2").model_copy(update={"is_private": True})
    job_ids = {
        (
            await shared_bot.finish(await shared_bot.ask(user="again3", key="again3"))
        ).id: "only what failed",
        (
            await fail(shared_bot, (await shared_bot.studio.submit(private)).job_id)
        ).id: "in private",
    }
    charged = await fail(shared_bot, await shared_bot.ask(user="again4", key="again4"))
    await shared_bot.app.database.write(
        lambda tx: tx.conn.execute(
            update(schema.jobs).where(schema.jobs.c.id == charged.id).values(cost=5)
        )
    )
    job_ids[charged.id] = "was charged"
    for number, (job_id, why) in enumerate(job_ids.items()):
        with pytest.raises(InvalidRequest, match=why):
            await shared_bot.studio.retries.retry(
                job_id, actor=guard, dedupe_key=f"desk:no {number}"
            )
        assert await audited(shared_bot, job_id) == []
    await shared_bot.app.database.write(
        lambda tx: tx.conn.execute(
            update(schema.jobs).where(schema.jobs.c.id == charged.id).values(cost=0)
        )
    )
    elsewhere = to_requester("guard", workspace="elsewhere")
    with pytest.raises(JobNotFound):
        await shared_bot.studio.retries.retry(charged.id, actor=elsewhere, dedupe_key="desk:no")


# ---- delete -----------------------------------------------------------------------------------


async def test_a_deleted_clip_is_gone_and_its_cost_stays(shared_bot: RunningBot) -> None:
    job = await shared_bot.finish(await shared_bot.ask(user="del1"))
    owner = to_requester("del1")
    shown = await shared_bot.studio.show(job.id, owner)
    assert isinstance(shown.notice, Delivered)
    studio = shared_bot.studio_with(delete_post=shared_bot.chat.delete)
    notice = await studio.delete(job.id, owner)
    assert isinstance(notice, Failed)
    assert (notice.code, notice.charged) == ("deleted", job.cost)
    assert shared_bot.chat.clips(job.id) == []
    assert not list(Path(shown.notice.path).parent.glob(f"{job.id}*"))
    assert await shared_bot.app._links.clip_at(job.id) is None, "links lead nowhere"
    after = await studio.show(job.id, to_requester("del2"))
    assert after.notice == notice
    assert after.line.message is None
    assert "deleted by the person who asked" in notice.sentence
    assert (await shared_bot.job(job.id)).state is JobState.DELIVERED
    assert await entries(shared_bot, job.id) == ["hold", "settle"]
    assert (await shared_bot.studio.usage(owner)).today.delivered == 1
    await shared_bot.chat.until(lambda: shared_bot.chat.status(job.id) == notice)
    assert await studio.delete(job.id, owner) == notice, "once more changes nothing"
    assert await audited(shared_bot, job.id) == []


async def test_a_moderator_may_delete_which_is_remembered(shared_bot: RunningBot) -> None:
    job = await shared_bot.finish(await shared_bot.ask(user="del3"))
    moderator = to_requester("del4")
    with pytest.raises(NotAllowed, match="somebody else's"):
        await shared_bot.studio.delete(job.id, moderator)
    notices = await asyncio.gather(
        *(shared_bot.studio.delete(job.id, moderator, is_moderator=True) for _ in range(3))
    )
    assert {type(notice) for notice in notices} == {Failed}
    assert "deleted by a moderator" in str(notices[0])
    owner = to_requester("del3").person
    assert await audited(shared_bot, job.id) == [(moderator.person, "delete", owner)]


async def test_a_post_that_cannot_be_reached_now_is_deleted_when_asked_again(
    shared_bot: RunningBot,
) -> None:
    job = await shared_bot.finish(await shared_bot.ask(user="del5"))
    owner = to_requester("del5")
    faults: list[DeliveryError] = [DeliveryUnavailable("It is away.")]
    studio = shared_bot.studio_with(delete_post=delete_after(faults, shared_bot))
    with pytest.raises(NotRemoved) as told:
        await studio.delete(job.id, owner)
    assert describe_error(told.value).lines == (
        "It could not be removed now and still stands there. It is away.",
        "Delete it again in a moment.",
    )
    assert isinstance((await studio.show(job.id, owner)).notice, Delivered)
    assert isinstance(await studio.delete(job.id, owner), Failed)
    assert shared_bot.chat.clips(job.id) == []


async def test_a_post_that_its_platform_keeps_is_told_of_and_goes_once_it_may(
    shared_bot: RunningBot,
) -> None:
    job = await shared_bot.finish(await shared_bot.ask(user="del10", key="del10"))
    owner, why = to_requester("del10"), "The workspace keeps everything."
    shown = (await shared_bot.studio.show(job.id, owner)).notice
    assert isinstance(shown, Delivered)
    studio = shared_bot.studio_with(delete_post=delete_after([ThreadGone(why)], shared_bot))
    with pytest.raises(PostStays) as told:
        await studio.delete(job.id, owner)
    assert describe_error(told.value).lines == (
        f"The clip of {job.id} is deleted, but its message still stands there. {why}",
        "Delete it there yourself, or ask those who run that place to.",
    )
    assert shared_bot.chat.clips(job.id)
    assert not Path(shown.path).exists()
    of = schema.operator_notices.c
    notices = select(of.sentence).where(of.job_id == job.id)
    [sentence] = await shared_bot.app.database.read(
        lambda conn: conn.execute(notices).scalars().all()
    )
    assert job.message is not None
    assert shared_bot.chat.link_to(job.message) in sentence
    assert why in sentence
    assert isinstance(await studio.delete(job.id, owner), Failed)
    assert shared_bot.chat.clips(job.id) == []


def delete_after(
    faults: list[DeliveryError], shared_bot: RunningBot
) -> Callable[..., Awaitable[None]]:
    """Deletes a post once these have happened."""

    async def delete_post(message: MessageRef) -> None:
        if faults:
            raise faults.pop(0)
        await shared_bot.chat.delete(message)

    return delete_post


async def test_only_a_clip_can_be_deleted(shared_bot: RunningBot) -> None:
    waiting = await shared_bot.ask(user="del6", key="del6")
    owner = to_requester("del6")
    with pytest.raises(InvalidRequest, match=f"{waiting} is still being made. Cancel it"):
        await shared_bot.studio.delete(waiting, owner)
    dear = await shared_bot.submit(user="del6", key="del7", **EXPENSIVE)
    await shared_bot.studio.cancel(dear.job_id, owner)
    with pytest.raises(InvalidRequest, match=f"{dear.job_id} has no clip"):
        await shared_bot.studio.delete(dear.job_id, owner)
    with pytest.raises(JobNotFound):
        await shared_bot.studio.delete(waiting, to_requester("del6", workspace="elsewhere"))


async def test_a_deleted_clip_is_not_continued(shared_bot: RunningBot) -> None:
    job = await shared_bot.finish(await shared_bot.ask(user="del8"))
    await shared_bot.studio.delete(job.id, to_requester("del8"))
    with pytest.raises(InvalidRequest, match=f"The clip of {job.id} was deleted"):
        await shared_bot.ask(
            "go on", user="del8", key="del9", start_frame=ClipFrame(job_id=job.id)
        )


# ---- images -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "ratio"), [((1920, 1080), "16:9"), ((600, 800), "3:4"), ((600, 1400), "9:21")]
)
async def test_an_image_decides_the_ratio_where_nobody_typed_one(
    shared_bot: RunningBot, size: tuple[int, int], ratio: str
) -> None:
    receipt = await shared_bot.submit(
        user="img1", start_frame=attach(shared_bot, rendered.png(*size))
    )
    assert isinstance(receipt.notice, Accepted)
    assert receipt.notice.about.remarks == (
        f"The aspect ratio is {ratio}, the nearest to your image.",
    )
    job = await shared_bot.job(receipt.job_id)
    assert job.plan is not None
    assert job.plan.start_frame is not None
    assert (job.plan.start_frame.width, job.plan.start_frame.height) == size
    assert job.work.aspect_ratio == ratio


async def test_a_typed_ratio_stays(shared_bot: RunningBot) -> None:
    frame = attach(shared_bot, rendered.png(1920, 1080))
    receipt = await shared_bot.submit(user="img2", end_frame=frame, aspect_ratio="1:1")
    assert isinstance(receipt.notice, Accepted)
    assert receipt.notice.about.remarks == ()
    assert (await shared_bot.job(receipt.job_id)).work.aspect_ratio == "1:1"


async def test_an_image_needs_no_words_and_reaches_the_service(shared_bot: RunningBot) -> None:
    job_id = await shared_bot.ask("", user="img3", start_frame=attach(shared_bot, rendered.png()))
    job = await shared_bot.until(job_id, JobState.GENERATING)
    order = shared_bot.simulator.generations[str(job.generation_id)].order
    assert order.start is not None
    assert order.start.kind == "image"


async def test_an_image_that_its_chat_forgot_is_at_hand_for_try_after_try(
    shared_bot: RunningBot,
) -> None:
    images: dict[str, Any] = {
        "start_frame": attach(shared_bot, rendered.png(), is_fleeting=True),
        "end_frame": attach(shared_bot, rendered.png(), is_fleeting=True),
    }
    job = await shared_bot.finish(await shared_bot.ask(user="img8", key="img8", **images))
    shared_bot.chat.images.clear()
    owner = to_requester("img8")
    for again in ("img9", "img10"):
        receipt = await shared_bot.studio.retry(job.id, owner, dedupe_key=again, thread=GENERAL)
        job = await shared_bot.finish(receipt.job_id)
        assert len(kept_images(shared_bot, job.id)) == 2
    await shared_bot.studio.delete(job.id, owner)
    assert kept_images(shared_bot, job.id) == []


async def test_a_try_that_came_to_nothing_keeps_no_image_and_ends_no_chain(
    shared_bot: RunningBot,
) -> None:
    frame = attach(shared_bot, rendered.png(), is_fleeting=True)
    first = await shared_bot.finish(
        await shared_bot.ask(user="img11", key="img11", start_frame=frame)
    )
    del shared_bot.chat.images[frame.attachment.id]
    shared_bot.chat.images["none"] = b"no image"
    none = ImageFrame(attachment=Attachment(adapter="recording", id="none"))
    request = to_request(user="img11", key="img12", start_frame=frame, end_frame=none)
    with pytest.raises(FrameRejected):
        await shared_bot.studio.submit(request, retry_of=first.id)
    refused = await shared_bot.studio.submit(request, retry_of=first.id)
    assert kept_images(shared_bot, refused.job_id) == []
    again = to_request(user="img11", key="img13", start_frame=frame)
    receipt = await shared_bot.studio.submit(again, retry_of=refused.job_id)
    [kept] = kept_images(shared_bot, receipt.job_id)
    assert kept.parent.parent.name == "uploads"


async def test_what_was_asked_before_images_could_be_fleeting_is_still_read(
    shared_bot: RunningBot,
) -> None:
    request = to_request(start_frame=attach(shared_bot, b""))
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
    shared_bot: RunningBot, content: bytes, sentence: str
) -> None:
    key = f"img4 {len(shared_bot.chat.images)}"
    with pytest.raises(FrameRejected, match=sentence):
        await shared_bot.submit(user="img4", key=key, start_frame=attach(shared_bot, content))
    again = await shared_bot.submit(user="img4", key=key)
    job = await shared_bot.job(again.job_id)
    assert (job.state, job.cost) == (JobState.FAILED, 0)
    assert job.failure is not None
    assert job.failure.code == "refused"
    assert await entries(shared_bot, job.id) == []


async def test_a_refusal_that_was_told_is_not_announced(shared_bot: RunningBot) -> None:
    with pytest.raises(FrameRejected):
        await shared_bot.submit(
            user="img7", key="img7", start_frame=attach(shared_bot, b"no image")
        )
    again = await shared_bot.submit(user="img7", key="img7")
    assert isinstance(again.notice, Failed)
    later = await shared_bot.ask(user="img7")
    await shared_bot.chat.until(lambda: shared_bot.chat.status(later) is not None)
    assert shared_bot.chat.status(again.job_id) is None


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
async def test_a_link_to_no_public_address_is_refused(shared_bot: RunningBot, url: str) -> None:
    with pytest.raises(FrameRejected):
        await shared_bot.ask(user="img5", key=url, start_frame=LinkFrame(url=url))
    report = await shared_bot.studio.usage(to_requester("img5"))
    assert report.today.refused == report.today.asked
    assert report.today.charged == 0


async def test_cancelled_while_its_image_is_read_stays_cancelled(shared_bot: RunningBot) -> None:
    """The image then turns out to be none, which must not end the job a second time."""
    frame, chat = attach(shared_bot, b"no image"), hold_reads(shared_bot)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_refusal(shared_bot, "img6", frame))
        await chat.is_read.wait()
        [line] = await shared_bot.studio.jobs(to_requester("img6"))
        notice = await shared_bot.studio.cancel(line.job_id, to_requester("img6"))
        assert isinstance(notice, Cancelled)
        chat.may_read.set()
    assert isinstance(task.result(), FrameRejected)
    assert (await shared_bot.job(line.job_id)).state is JobState.CANCELLED
    await shared_bot.check_books()


async def _refusal(bot: RunningBot, user: str, frame: ImageFrame) -> Refusal | None:
    try:
        await bot.submit(user=user, key=user, start_frame=frame)
    except Refusal as error:
        return error
    return None


# ---- restarts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("is_image", [True, False])
async def test_a_request_whose_image_was_being_read_is_taken_up_again(
    simulator: Simulator, tmp_path: Path, is_image: bool
) -> None:
    async with open_inn(simulator, tmp_path) as bot:
        frame, slow = attach(bot, b""), hold_reads(bot)
        task = asyncio.ensure_future(bot.submit(start_frame=frame))
        await slow.is_read.wait()
        [line] = await bot.studio.jobs(to_requester())
        shown = await bot.studio.show(line.job_id, to_requester())
        assert isinstance(shown.notice, Received)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    slow.may_read.set()
    slow.images[frame.attachment.id] = rendered.png(1600, 900) if is_image else b"no image"
    async with open_inn(simulator, tmp_path, slow) as bot:
        if is_image:
            job = await bot.until(line.job_id, JobState.GENERATING)
            assert job.work.aspect_ratio == "16:9"
        else:
            job = await bot.until(line.job_id, JobState.FAILED)
            assert job.failure is not None
            assert job.failure.code == ledger.LATE_REFUSAL
            await slow.until(lambda: isinstance(slow.status(job.id), Failed))
            assert job.cost == 0
            report = await bot.studio.usage(to_requester())
            assert (report.today.refused, report.today.failed) == (1, 0)
        await bot.check_books()


@pytest.mark.parametrize(
    ("minutes", "state"), [(11, JobState.FAILED), (59, JobState.FAILED), (61, JobState.CANCELLED)]
)
async def test_an_old_request_is_not_taken_up_but_given_up(
    simulator: Simulator, tmp_path: Path, minutes: int, state: JobState
) -> None:
    """Its person may have asked again, and paying for both would surprise them.

    For one of an hour ago nobody waits.
    """
    async with open_inn(simulator, tmp_path) as bot:
        frame, slow = attach(bot, rendered.png()), hold_reads(bot)
        task = asyncio.ensure_future(bot.submit(start_frame=frame))
        await slow.is_read.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        [line] = await bot.studio.jobs(to_requester())
    slow.may_read.set()
    clock = MovableClock()
    clock.move(minutes=minutes)
    async with running(to_test_config(tmp_path, simulator), simulator, slow, clock) as bot:
        job = await bot.until(line.job_id, state)
        assert job.cost == 0
        if state is JobState.FAILED:
            await slow.until(lambda: isinstance(slow.status(job.id), Failed))
            assert job.failure is not None
            assert job.failure.sentence.endswith("too late to start it now. Ask again.")
        await bot.check_books()


# ---- an earlier clip --------------------------------------------------------------------------


async def test_an_earlier_clip_is_continued(shared_bot: RunningBot) -> None:
    parent = await shared_bot.finish(await shared_bot.ask(user="ext1"))
    job_id = await shared_bot.ask("and on", user="ext2", start_frame=ClipFrame(job_id=parent.id))
    job = await shared_bot.until(job_id, JobState.GENERATING)
    order = shared_bot.simulator.generations[str(job.generation_id)].order
    assert order.start is not None
    assert (order.start.kind, order.start.value) == ("generation", parent.generation_id)


async def test_a_clip_that_is_not_there_or_not_finished_is_not_continued(
    shared_bot: RunningBot,
) -> None:
    unfinished = await shared_bot.ask(user="ext3")
    for parent, sentence in (
        (JobId("r-none"), "There is no clip r-none here"),
        (unfinished, f"{unfinished} has no finished clip"),
    ):
        with pytest.raises(InvalidRequest, match=sentence):
            await shared_bot.ask(
                "go on", user="ext3", key=sentence, start_frame=ClipFrame(job_id=parent)
            )
    report = await shared_bot.studio.usage(to_requester("ext3"))
    assert (report.today.asked, report.today.refused) == (3, 2)


async def test_a_clip_of_another_place_looks_like_none(shared_bot: RunningBot) -> None:
    parent = await shared_bot.finish(await shared_bot.ask(user="ext4"))
    request = elsewhere(
        to_request(key="ext4", user="ext4", start_frame=ClipFrame(job_id=parent.id))
    )
    with pytest.raises(InvalidRequest, match=f"There is no clip {parent.id} here"):
        await shared_bot.studio.submit(request)


async def test_a_clip_is_continued_only_where_it_was_made(shared_bot: RunningBot) -> None:
    parent = await shared_bot.finish(await shared_bot.ask(user="ext5"))
    assert parent.plan is not None
    plan = parent.plan.model_copy(update={"provider": "fal"}).model_dump(mode="json")
    await shared_bot.app.database.write(
        lambda tx: (
            tx.conn.execute(
                schema.jobs.update().where(schema.jobs.c.id == parent.id).values(plan=plan)
            ).rowcount
        )
    )
    with pytest.raises(InvalidRequest, match="was made by fal and can only be continued there"):
        await shared_bot.ask(
            "go on", user="ext5", key="e5", start_frame=ClipFrame(job_id=parent.id)
        )


async def test_the_books_of_this_house_add_up(shared_bot: RunningBot) -> None:
    await shared_bot.check_books()


async def test_what_was_asked_in_private_is_nobody_elses_to_read(shared_bot: RunningBot) -> None:
    """Neither shown, nor asked for again, nor begun with; its person sees it everywhere."""
    asked = to_request("a secret fox", key="private").model_copy(update={"is_private": True})
    receipt = await shared_bot.studio.submit(asked)
    other = to_requester(user="ben")
    with pytest.raises(JobNotFound):
        await shared_bot.studio.show(receipt.job_id, other)
    with pytest.raises(JobNotFound):
        await shared_bot.studio.work_of(receipt.job_id, other)
    thread = asked.thread
    with pytest.raises(JobNotFound):
        await shared_bot.studio.retry(receipt.job_id, other, dedupe_key="again", thread=thread)
    shown = await shared_bot.studio.show(receipt.job_id, asked.requester)
    assert shown.line.is_private
