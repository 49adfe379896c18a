"""What every provider promises, held against a faithful local server of its own.

The server speaks the API of `bot/simulator/faces/<name>.py`, named like the provider's file.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import pkgutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

import bot.providers
from bot import choice, pricing
from bot.clock import SystemClock
from bot.errors import (
    InvalidRequest,
    ProviderAuthError,
    ProviderOutOfCredits,
    ProviderRejected,
    ProviderUnavailable,
    SubmissionUncertain,
)
from bot.job import Failure
from bot.ports import Absent, Found, FrameHandle, Generation, Provider, Submission
from bot.refs import Attachment, GenerationId, JobId
from bot.request import ImageFrame, ImageWork, VideoWork
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.simulator.face import Face
from bot.simulator.pictures import draw_picture

NAMES = [module.name for module in pkgutil.iter_modules(bot.providers.__path__)]


def token_of(attempt: int) -> str:
    return f"token-{attempt}-" + "x" * 40


@dataclass
class Hook:
    """Our own public address: it remembers what it is told."""

    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    async def take(self, request: web.Request) -> web.Response:
        self.calls.append((dict(request.headers), await request.read()))
        return web.Response()


@dataclass
class Stage:
    """A provider, the local server it talks to, and where that server may call.

    `told` is what a service said of its generations that answers at once, and never again.
    """

    provider: Provider
    server: Simulator
    hook: Hook
    told: dict[GenerationId, Generation] = field(default_factory=dict)

    @property
    def face(self) -> Face:
        return self.server.face

    def submission(self, attempt: int = 1, **changes: Any) -> Submission:
        work = VideoWork(prompt="a red fox", model=next(iter(self.provider.capabilities)))
        _, fitted, _ = choice.choose(
            work.model_copy(update=changes.pop("work", {})), [self.provider]
        )
        token = token_of(attempt)
        values = {
            "job_id": JobId("r-0000000001"),
            "attempt": attempt,
            "work": fitted,
            "sent_at": SystemClock().now(),
            "token_hash": hashlib.sha256(token.encode()).hexdigest(),
            "callback_url": f"{self.hook.url}callbacks/{self.provider.name}/{token}",
            "has_callback": True,
        }
        return Submission(**{**values, **changes})

    async def submit(self, attempt: int = 1, **changes: Any) -> GenerationId:
        generation = await self.send(self.submission(attempt, **changes))
        return generation.id

    async def send(self, submission: Submission) -> Generation:
        """Submit; of a service that answers at once, a refusal may be its word on a failed run."""
        try:
            generation = await self.provider.submit(submission)
        except ProviderRejected as refusal:
            if not self.face.answers_at_once:
                raise
            generation = to_failed(refusal, submission)
        if self.face.answers_at_once:
            assert generation.state in ("completed", "failed")
            self.told[generation.id] = generation
        return generation

    async def seen(self, generation_id: GenerationId) -> Generation:
        seen = await self.provider.check([generation_id])
        if self.face.answers_at_once:
            assert seen.get(generation_id) in (None, self.told[generation_id])
            return self.told[generation_id]
        return seen[generation_id]

    async def finish(self) -> None:
        """Let everything that runs at the server end."""
        for each in list(self.server.generations.values()):
            await self.server.finish(each.id)


def to_failed(refusal: ProviderRejected, submission: Submission) -> Generation:
    """A refusal that ends a job, as a generation that ended so."""
    failure = Failure(code=refusal.code, sentence=refusal.sentence)
    name = GenerationId(submission.token_hash)
    return Generation(id=name, state="failed", failure=failure)


@pytest.fixture(params=NAMES)
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """One stage for each file in `bot/providers`."""
    name = request.param
    module = importlib.import_module(f"bot.providers.{name}")
    face = importlib.import_module(f"bot.simulator.faces.{name}").FACE
    settings = SimulatorSettings(
        manual=not face.answers_at_once,
        min_seconds=0.0,
        max_seconds=0.0,
        same_clip=True,
        full_size=False,
    )
    hook, application = Hook(), web.Application()
    application.router.add_post("/{path:.*}", hook.take)
    async with (
        TestServer(application) as ours,
        Simulator(settings, Faults(), face=face) as server,
    ):
        hook.url = str(ours.make_url("/"))
        table = module.Settings(
            api_key=settings.api_key,
            base_url=server.base_url,
            # The answer may have to wait for a clip that is really drawn, or for the machine.
            submit_timeout_seconds=10,
            **face.table,
        )
        provider = module.create(table, clock=SystemClock(), name=name)
        yield Stage(provider, server, hook)
        await provider.aclose()


# ---- from a submission to a clip ---------------------------------------------------------------


async def test_a_generation_is_submitted_seen_and_finished(stage: Stage) -> None:
    generation_id = await stage.submit()
    if not stage.face.answers_at_once:
        assert (await stage.seen(generation_id)).state in ("queued", "running")
    await stage.finish()
    done = await stage.seen(generation_id)
    assert done.state == "completed"
    assert done.clip_url is not None
    assert len(stage.server.generations) == 1


async def test_a_still_is_submitted_seen_and_finished_where_there_are_any(stage: Stage) -> None:
    for number, model in enumerate(choice.usable(stage.provider, "image"), 1):
        asked = ImageWork(prompt="a red fox", model=model, typed=frozenset({"model"}))
        _, work, _ = choice.choose(asked, [stage.provider])
        can, tariff = stage.provider.capabilities[model], stage.provider.tariffs[model]
        assert pricing.estimate(work, tariff, can=can)
        generation = await stage.send(stage.submission(number).model_copy(update={"work": work}))
        await stage.finish()
        done = await stage.seen(generation.id)
        assert (done.state, done.failure) == ("completed", None)
        assert done.clip_url
        assert len(stage.server.generations) == number
        async with aiohttp.ClientSession() as session, session.get(done.clip_url) as reply:
            assert reply.content_type.startswith("image/")


async def test_many_are_checked_with_no_more_than_a_call_for_each(stage: Stage) -> None:
    ids = [await stage.submit(attempt) for attempt in range(1, 9)]
    before = stage.server.requests.total()
    seen = dict(stage.told)  # Nothing, unless nobody can be asked later.
    while len(seen) < len(ids):
        told: list[Generation] = []
        missing = [each for each in ids if each not in seen]
        looked = await stage.provider.check(missing, told.append)
        assert {each.id: each for each in told} == looked, "each is told of as soon as it is known"
        assert len(told) == len(looked)
        seen |= looked
    assert set(seen) == set(ids)
    assert stage.server.requests.total() - before <= len(ids)


async def test_an_image_reaches_the_service_as_its_model_takes_it(
    stage: Stage, tmp_path: Path
) -> None:
    picture = ImageFrame(attachment=Attachment(adapter="recording", id="1"))
    if not stage.face.takes_images:
        with pytest.raises(InvalidRequest):
            stage.submission(work={"start_frame": picture})
        return
    work = stage.submission(work={"start_frame": picture}).work
    path = tmp_path / "start.png"
    path.write_bytes(draw_picture())
    if stage.provider.capabilities[work.model].image_input == "bytes":
        handle = FrameHandle(path=str(path), content_type="image/png")
    else:
        handle = FrameHandle(url="http://127.0.0.1:9/start.png", content_type="image/png")
    await stage.submit(work={"start_frame": picture}, start_frame=handle)
    [generation] = stage.server.generations.values()
    start = generation.order.start
    assert start is not None
    assert draw_picture() == start.content or start.value == handle.url


async def test_a_link_that_ended_is_renewed_by_another_look(stage: Stage) -> None:
    generation_id = await stage.submit()
    await stage.finish()
    first = (await stage.seen(generation_id)).clip_url
    stage.server.expire_links()
    if stage.face.answers_at_once:
        assert await stage.provider.check([generation_id]) == {}, "it makes nothing up"
        return
    second = (await stage.seen(generation_id)).clip_url
    assert first
    assert second
    statuses = []
    async with aiohttp.ClientSession() as session:
        for link in (first, second):
            async with session.get(link) as reply:
                statuses.append(reply.status)
    assert statuses == [403 if stage.face.links_end else 200, 200]


# ---- failures ----------------------------------------------------------------------------------


async def test_a_failed_generation_is_told_in_a_sentence(stage: Stage) -> None:
    stage.server.faults.fail("Job failed")
    generation_id = await stage.submit()
    await stage.finish()
    failed = await stage.seen(generation_id)
    assert failed.state == "failed"
    assert failed.failure is not None
    assert failed.failure.sentence.endswith(".")


async def test_a_moderated_prompt_is_told_as_such_and_not_tried_again(stage: Stage) -> None:
    generation_id = await stage.submit(work={"prompt": "something moderated"})
    await stage.server.until(
        lambda: all(each.is_over for each in stage.server.generations.values())
    )
    failed = await stage.seen(generation_id)
    assert failed.failure is not None
    assert failed.failure.code == "moderation"
    assert not failed.can_retry


async def test_an_unknown_generation_is_left_out(stage: Stage) -> None:
    stranger = GenerationId("11111111-2222-3333-4444-555555555555")
    assert await stage.provider.check([stranger]) == {}


@pytest.mark.parametrize("status", [404, 410])
async def test_one_that_is_gone_is_left_out_and_closes_no_service(
    stage: Stage, status: int
) -> None:
    gone = await stage.submit()
    stage.server.faults.refuse("get", status, "Gone")
    await stage.finish()
    assert await stage.provider.check([gone]) == {}


async def test_one_that_cannot_be_read_hides_no_other(stage: Stage) -> None:
    ids = [await stage.submit(attempt) for attempt in (1, 2)]
    await stage.finish()
    stage.server.faults.server_error("list", times=3)
    stage.server.faults.server_error("get", times=3)
    seen = await stage.provider.check(ids)
    assert len(seen) == (0 if stage.face.answers_at_once else 1)


# ---- what was certainly not taken --------------------------------------------------------------


async def test_a_closed_port_is_certainly_not_accepted(stage: Stage) -> None:
    await stage.server.close_port()
    with pytest.raises(ProviderUnavailable):
        await stage.submit()


async def test_too_many_is_certainly_not_accepted_and_says_when(stage: Stage) -> None:
    stage.server.faults.too_many("create", retry_after=7)
    with pytest.raises(ProviderUnavailable) as refused:
        await stage.submit()
    assert refused.value.retry_after == 7
    assert not stage.server.generations


async def test_a_wrong_key_is_the_operators_matter(stage: Stage) -> None:
    stage.server.faults.refuse("create", 401, "Invalid API key is provided")
    with pytest.raises(ProviderAuthError):
        await stage.submit()
    assert not stage.server.generations


async def test_an_empty_account_is_the_operators_matter(stage: Stage) -> None:
    stage.server.account.balance_cents = 0
    if stage.face.fails_unpaid:
        unpaid = await stage.seen(await stage.submit())
        assert unpaid.failure is not None
        assert (unpaid.state, unpaid.failure.code, unpaid.can_retry) == (
            "failed",
            "credits",
            False,
        )
    else:
        with pytest.raises(ProviderOutOfCredits):
            await stage.submit()
    assert not stage.server.generations


# ---- doubt -------------------------------------------------------------------------------------


async def test_one_submit_is_one_post_whatever_comes_back(stage: Stage) -> None:
    stage.server.faults.server_error("create", accepted=True)
    with pytest.raises(SubmissionUncertain):
        await stage.submit()
    assert len(stage.server.generations) == 1


async def test_a_lost_submission_is_never_taken_for_absent(stage: Stage) -> None:
    submission = stage.submission()
    stage.server.faults.drop("create", accepted=True)
    with pytest.raises(SubmissionUncertain):
        await stage.provider.submit(submission)
    found = await stage.provider.find(submission, owned=[])
    assert not isinstance(found, Absent)
    if isinstance(found, Found):
        assert (await stage.seen(found.generations[0].id)).state in ("queued", "running")
    assert len(stage.server.generations) == 1


async def test_what_never_arrived_takes_nobody_elses(stage: Stage) -> None:
    other = await stage.submit(1)
    lost = stage.submission(2, work={"prompt": "another fox"})
    found = await stage.provider.find(lost, owned=[other])
    assert not isinstance(found, Found) or other not in [each.id for each in found.generations]


async def test_a_cancelled_caller_leaves_the_outcome_open(stage: Stage) -> None:
    stage.server.faults.delay("create", 3600)
    task = asyncio.ensure_future(stage.submit())
    await stage.server.wait_for_creates(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# ---- cancel, callbacks, prices -----------------------------------------------------------------


async def test_a_cancel_says_yes_only_where_it_stops(stage: Stage) -> None:
    generation_id = await stage.submit()
    is_stopped = await stage.provider.cancel(generation_id)
    [generation] = stage.server.generations.values()
    assert generation.is_over is (is_stopped or stage.face.answers_at_once)
    await stage.finish()
    assert (await stage.seen(generation_id)).state == ("failed" if is_stopped else "completed")
    assert await stage.provider.cancel(generation_id) is False


async def test_a_callback_is_read_as_a_hint_of_its_generation(stage: Stage) -> None:
    generation_id = await stage.submit()
    await stage.finish()
    if not stage.face.calls:
        assert not stage.server.callbacks
        return
    await stage.server.until(lambda: any(each.status == 200 for each in stage.server.callbacks))
    headers, body = stage.hook.calls[-1]
    hint = await stage.provider.read_callback(headers, body, token_of(1))
    assert hint is not None
    assert hint.id == generation_id
    assert hint.token_hash == hashlib.sha256(token_of(1).encode()).hexdigest()
    if stage.face.signs_calls:
        assert await stage.provider.read_callback({}, body, token_of(1)) is None
        assert await stage.provider.read_callback(headers, body + b" ", token_of(1)) is None


async def test_a_callback_is_read_or_ignored_and_never_raises(stage: Stage) -> None:
    for body in (b"", b"[]", b"\xff\xfe", b'{"state": 4}', b'{"id": null}', b"[" * 60_000):
        assert await stage.provider.read_callback({}, body, "t") is None


async def test_capabilities_are_whole(stage: Stage) -> None:
    for model, can in stage.provider.capabilities.items():
        assert can.model == model
        assert can.aspect_ratios
        makes_clips = "video" in can.operations
        assert makes_clips == bool(can.durations or can.fixed)
        assert makes_clips == bool(can.resolutions or can.fixed)
        assert ("none", "none") in can.frames


async def test_what_is_sold_has_a_price(stage: Stage) -> None:
    prices = [
        pricing.estimate(
            VideoWork(prompt="fox", model=model, duration=duration, resolution=resolution),
            stage.provider.tariffs[model],
            can=can,
        )
        for model in choice.usable(stage.provider)
        for can in [stage.provider.capabilities[model]]
        for duration in can.durations or (can.fixed or ())[:1]
        for resolution in can.resolutions or (can.fixed or ())[1:]
    ]
    assert [each for each in prices if each is not None]
    assert all(each is None or each > 10_000 for each in prices), "a cent at least"
