"""A video service whose name is not known, or who does not prove who it is."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import certifi
import pytest

from bot import http
from bot.job import JobState
from bot.notices import Waiting
from bot.refs import JobId
from bot.simulator import Simulator
from tests.conftest import House
from tests.faults.certificates import Authority
from tests.faults.kit import (
    IMPATIENT,
    before,
    finish_all,
    hurry,
    pass_time,
    provider_calls,
    readiness,
    through,
    until,
)
from tests.faults.proxy import FaultProxy

NAME = "video.test"


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    """Whom the bot trusts in this test, as if it came with the list of all authorities."""
    own = Authority(tmp_path)
    monkeypatch.setattr(certifi, "where", lambda: str(own.file))
    http._ssl_context.cache_clear()
    yield own
    http._ssl_context.cache_clear()


async def waits(house: House, words: str) -> None:
    """A job that cannot be submitted; its person and its operator read why."""
    job_id = await house.ask()
    await hurry(house, lambda: words in _sentence(house, job_id))
    asked = provider_calls(house)
    await pass_time(house, seconds=60)
    assert provider_calls(house) - asked <= 20
    status, said = await readiness(house)
    assert status == 200
    assert words in said["troubles"]["luma"]
    assert house.simulator.generations == {}


def _sentence(house: House, job_id: JobId) -> str:
    """Why it waits; another one while its submission is on its way."""
    notice = house.chat.status(job_id)
    return notice.sentence if isinstance(notice, Waiting) else ""


async def comes_after_all(house: House) -> None:
    [job_id] = house.jobs
    await until(house, job_id, JobState.GENERATING)
    await finish_all(house.simulator)
    await hurry(house, lambda: house.chat.clips())
    await house.delivered(job_id)
    assert len(house.simulator.generations) == len(house.chat.clips()) == 1
    await house.check_books()


async def test_a_certificate_that_is_not_valid_is_named_and_waited_for(
    open_house: Callable[..., Any], simulator: Simulator, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "stranger").mkdir()
    async with before(simulator.base_url) as wire:
        there = through(wire, simulator.base_url, scheme="https")
        await serve(wire, Authority(tmp_path / "stranger").context())
        house: House = await open_house(luma={"base_url": there, **IMPATIENT})
        await waits(house, "its certificate is not valid")
        for bad in (authority.context("127.0.0.2"), authority.context(ends=-timedelta(days=1))):
            await serve(wire, bad)
            asked = provider_calls(house)
            await hurry(house, lambda: provider_calls(house) > asked + 1)  # noqa: B023 - awaited
        assert wire.calls == []
        await serve(wire, authority.context())
        await hurry(house, lambda: simulator.generations)
        # Its clips come from another address.
        for generation in simulator.generations.values():
            generation.origin = simulator.base_url.removesuffix(urlsplit(simulator.base_url).path)
        await comes_after_all(house)


async def serve(wire: FaultProxy, tls: ssl.SSLContext) -> None:
    """From now on this is what the server shows."""
    wire.tls = tls
    await wire.break_("refuse")
    await wire.mend()


async def test_a_name_that_nobody_knows_is_waited_for(
    open_house: Callable[..., Any], simulator: Simulator, monkeypatch: pytest.MonkeyPatch
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
    house: House = await open_house(luma={"base_url": there, **IMPATIENT})
    await waits(house, "address cannot be looked up")
    is_known = True
    await comes_after_all(house)
