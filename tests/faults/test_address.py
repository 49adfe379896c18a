"""A video service whose name is not known, or who does not prove who it is."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bot import http
from bot.job import JobState
from bot.notices import Waiting
from bot.refs import JobId
from bot.simulator import Simulator
from tests.conftest import RunningBot
from tests.faults.certificates import Authority
from tests.faults.outages import (
    before,
    finish_all,
    hurry,
    pass_time,
    provider_calls,
    readiness,
    through,
    until,
)

NAME = "video.test"


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """Whom the bot trusts in this test, because its operator says so."""
    own = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(own.file))
    http.tls.cache_clear()
    yield own
    http.tls.cache_clear()


async def waits(bot: RunningBot, words: str) -> None:
    """A job that cannot be submitted; its person and its operator read why."""
    job_id = await bot.ask()
    await hurry(bot, lambda: words in _sentence(bot, job_id))
    asked = provider_calls(bot)
    await pass_time(bot, seconds=60)
    assert provider_calls(bot) - asked <= 20
    status, said = await readiness(bot)
    assert status == 200
    assert words in said["troubles"]["luma"]
    assert bot.simulator.generations == {}


def _sentence(bot: RunningBot, job_id: JobId) -> str:
    """Why it waits; another one while its submission is on its way."""
    notice = bot.chat.status(job_id)
    return notice.sentence if isinstance(notice, Waiting) else ""


async def comes_after_all(bot: RunningBot) -> None:
    [job_id] = bot.jobs
    await until(bot, job_id, JobState.GENERATING)
    await finish_all(bot.simulator)
    await hurry(bot, lambda: bot.chat.clips())
    await bot.delivered(job_id)
    assert len(bot.simulator.generations) == len(bot.chat.clips()) == 1
    await bot.check_books()


async def test_a_certificate_that_is_not_valid_is_named_and_waited_for(
    start_bot: Callable[..., Any], simulator: Simulator, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "stranger").mkdir()
    async with before(simulator.base_url) as wire:
        there = through(wire, simulator.base_url, scheme="https")
        await wire.show(Authority(tmp_path / "stranger").context())
        bot: RunningBot = await start_bot(luma={"base_url": there})
        await waits(bot, "its certificate is not valid")
        for bad in (authority.context("127.0.0.2"), authority.context(ends=-timedelta(days=1))):
            await wire.show(bad)
            asked = provider_calls(bot)
            await hurry(bot, lambda: provider_calls(bot) > asked + 1)  # noqa: B023 - awaited
        assert wire.calls == []
        await wire.show(authority.context())
        await hurry(bot, lambda: simulator.generations)
        # Its clips come from another address.
        for generation in simulator.generations.values():
            generation.origin = simulator.base_url.removesuffix(urlsplit(simulator.base_url).path)
        await comes_after_all(bot)


async def test_a_name_that_nobody_knows_is_waited_for(
    start_bot: Callable[..., Any], simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    true, is_known = socket.getaddrinfo, False

    def getaddrinfo(host: Any, *args: Any, **more: Any) -> Any:
        if host not in (NAME, NAME.encode()):
            return true(host, *args, **more)
        if not is_known:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return true("127.0.0.1", *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    there = simulator.base_url.replace("127.0.0.1", NAME)
    bot: RunningBot = await start_bot(luma={"base_url": there})
    await waits(bot, "address cannot be looked up")
    is_known = True
    await comes_after_all(bot)
