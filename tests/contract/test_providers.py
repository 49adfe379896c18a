"""What every provider promises, held against a faithful local server of its own."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import pkgutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

import bot.providers
from bot.clock import SystemClock
from bot.errors import ProviderError, ProviderUnavailable, SubmissionUncertain
from bot.ports import Absent, Found, Provider, Submission
from bot.refs import GenerationId, JobId
from bot.request import VideoWork
from bot.simulator import Faults, Simulator, SimulatorSettings

NAMES = [module.name for module in pkgutil.iter_modules(bot.providers.__path__)]


@dataclass
class Stage:
    """A provider and the local server it talks to."""

    provider: Provider
    server: Simulator

    def submission(self, attempt: int = 1, **changes: Any) -> Submission:
        token = f"token-{attempt}-" + "x" * 40
        values = {
            "job_id": JobId("r-0000000001"),
            "attempt": attempt,
            "work": VideoWork(prompt="a red fox", model=next(iter(self.provider.capabilities))),
            "sent_at": SystemClock().now(),
            "token_hash": hashlib.sha256(token.encode()).hexdigest(),
            "callback_url": f"https://bot.example/callbacks/{self.provider.name}/{token}",
            "has_callback": True,
        }
        return Submission(**{**values, **changes})


@pytest.fixture(params=NAMES)
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """One stage for each file in `bot/providers`."""
    module = importlib.import_module(f"bot.providers.{request.param}")
    settings = SimulatorSettings(manual=True, same_clip=True, full_size=False)
    async with Simulator(settings, Faults()) as server:
        table = module.Settings(
            api_key=settings.api_key, base_url=server.base_url, submit_timeout_seconds=1
        )
        provider = module.create(table, clock=SystemClock(), name=request.param)
        yield Stage(provider, server)
        await provider.aclose()


async def test_a_generation_is_submitted_seen_and_finished(stage: Stage) -> None:
    generation_id = (await stage.provider.submit(stage.submission())).id
    seen = await stage.provider.check([generation_id])
    assert seen[generation_id].state in ("queued", "running")
    await stage.server.finish(generation_id)
    done = (await stage.provider.check([generation_id]))[generation_id]
    assert done.state == "completed"
    assert done.clip_url is not None


async def test_many_are_checked_with_few_calls(stage: Stage) -> None:
    ids = [(await stage.provider.submit(stage.submission(at))).id for at in range(1, 9)]
    before = stage.server.requests.total()
    seen = await stage.provider.check(ids)
    assert set(seen) == set(ids)
    assert stage.server.requests.total() - before <= 2


async def test_a_failed_generation_is_told_in_a_sentence(stage: Stage) -> None:
    generation_id = (await stage.provider.submit(stage.submission())).id
    await stage.server.fail(generation_id, "Frame moderation failed")
    failed = (await stage.provider.check([generation_id]))[generation_id]
    assert failed.state == "failed"
    assert failed.failure is not None
    assert failed.failure.sentence.endswith(".")
    assert not failed.can_retry


async def test_an_unknown_generation_is_left_out(stage: Stage) -> None:
    stranger = GenerationId("11111111-2222-3333-4444-555555555555")
    assert await stage.provider.check([stranger]) == {}


async def test_one_submit_is_one_post_whatever_comes_back(stage: Stage) -> None:
    stage.server.faults.server_error("create", accepted=True)
    with pytest.raises(SubmissionUncertain):
        await stage.provider.submit(stage.submission())
    assert stage.server.requests["POST /generations/video"] == 1


async def test_a_lost_submission_is_found_by_its_token(stage: Stage) -> None:
    submission = stage.submission()
    stage.server.faults.drop("create", accepted=True)
    with pytest.raises(SubmissionUncertain):
        await stage.provider.submit(submission)
    found = await stage.provider.find(submission, owned=[])
    assert isinstance(found, Found)
    assert found.generations[0].id in stage.server.generations


async def test_what_never_arrived_is_absent(stage: Stage) -> None:
    other = (await stage.provider.submit(stage.submission(1))).id
    assert isinstance(await stage.provider.find(stage.submission(2), owned=[other]), Absent)


async def test_a_closed_port_is_certainly_not_accepted(stage: Stage) -> None:
    await stage.server.close_port()
    with pytest.raises(ProviderUnavailable):
        await stage.provider.submit(stage.submission())


async def test_too_many_is_certainly_not_accepted_and_says_when(stage: Stage) -> None:
    stage.server.faults.too_many("create", retry_after=7)
    with pytest.raises(ProviderUnavailable) as refused:
        await stage.provider.submit(stage.submission())
    assert refused.value.retry_after == 7


async def test_a_wrong_key_is_the_operators_matter(stage: Stage) -> None:
    stage.server.faults.refuse("create", 401, "Invalid API key is provided")
    with pytest.raises(ProviderError) as refused:
        await stage.provider.submit(stage.submission())
    assert not isinstance(refused.value, SubmissionUncertain | ProviderUnavailable)


async def test_a_cancelled_caller_leaves_the_outcome_open(stage: Stage) -> None:
    stage.server.faults.delay("create", 1.0)
    task = asyncio.ensure_future(stage.provider.submit(stage.submission()))
    await stage.server.wait_for_creates(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_capabilities_are_whole(stage: Stage) -> None:
    for model, can in stage.provider.capabilities.items():
        assert can.model == model
        assert can.aspect_ratios
        assert can.durations or can.fixed
        assert can.resolutions or can.fixed
        assert ("none", "none") in can.frames


async def test_a_callback_is_read_or_ignored_and_never_raises(stage: Stage) -> None:
    for body in (b"", b"[]", b"\xff\xfe", b'{"state": 4}', b'{"id": null}'):
        assert await stage.provider.read_callback({}, body, "t") is None


async def test_one_that_cannot_be_read_hides_no_other(stage: Stage) -> None:
    ids = [(await stage.provider.submit(stage.submission(at))).id for at in (1, 2)]
    stage.server.faults.server_error("list", times=3)
    stage.server.faults.server_error("get", times=3)
    seen = await stage.provider.check(ids)
    assert len(seen) == 1
