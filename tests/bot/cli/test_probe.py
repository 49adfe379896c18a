"""One clip is bought once, with the operator's word; what it shows is kept, and learnt from."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.cli import commands, probe
from bot.clock import SystemClock
from bot.config import Config, to_config
from bot.errors import ConfigError, StoreError, SubmissionUncertain
from bot.http import read_refusal
from bot.log import register_secret
from bot.providers.luma import PAGE, Luma, Settings, read_manner
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.simulator.face import Face
from bot.simulator.faces.fal import FACE as FAL
from bot.simulator.faces.luma import FACE as LUMA
from bot.simulator.faces.replicate import FACE as REPLICATE
from tests.conftest import KEY, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter


def settings(**changes: Any) -> SimulatorSettings:
    quick = {"min_seconds": 0.1, "max_seconds": 0.2, "same_clip": True, "full_size": False}
    return SimulatorSettings(**{**quick, **changes})


def to_config_of(folder: Path, server: Simulator) -> Config:
    return to_test_config(folder, server, luma={"min_balance_usd": 0})


async def test_nothing_is_bought_without_the_operators_word(tmp_path: Path) -> None:
    asked: list[str] = []

    def agrees(question: str) -> bool:
        asked.append(question)
        return False

    async with Simulator(settings(), Faults()) as server:
        config = to_config_of(tmp_path, server)
        told = await probe.probe(config, "luma", agrees=agrees, clock=SystemClock())
        assert told is None
        assert not server.generations
    assert asked == [
        "luma would make one clip: ray-flash-2, 5s, 540p, for about $0.14. It is paid from your "
        "account there and posted nowhere. Go on?"
    ]


async def test_what_it_shows_is_written_down_without_a_key_and_learnt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Simulator(settings(page_limit_max=1), Faults()) as server:
        config = to_config_of(tmp_path, server)
        await probe.probe(config, "luma", agrees=lambda _: True, clock=SystemClock())
        # The second one makes the list longer than a page.
        told = await probe.probe(config, "luma", agrees=lambda _: True, clock=SystemClock())
        assert told is not None
        assert len(server.generations) == 2
        assert await commands.act(config, "learn", {"provider": "luma", "known": told.known}) == 0
    text = told.report.read_text("utf-8")
    report = json.loads(text)
    assert report["state"] == "completed"
    assert report["paid_micros"] > 0
    assert report["clip"]["bytes"] == (told.clip and told.clip.stat().st_size)
    assert report["observed"]["list_page"] == "1"
    assert "prompt" in report["observed"]["echo"]
    assert KEY not in text
    assert "http" not in text
    assert "luma is looked at accordingly from now on." in capsys.readouterr().out


async def test_another_service_is_probed_as_well(tmp_path: Path) -> None:
    async with Simulator(settings(), Faults(), face=FAL) as server:
        table = {"api_key": KEY, "base_url": server.base_url, "look_seconds": 0.05}
        config = to_test_config(tmp_path, server, providers={"fal": table})
        told = await probe.probe(config, "fal", agrees=lambda _: True, clock=SystemClock())
    assert told is not None
    assert json.loads(told.report.read_text("utf-8"))["clip"]["seconds"] > 4


@pytest.mark.parametrize(
    ("name", "face", "message"),
    [
        ("luma", LUMA, "Insufficient credits"),
        ("fal", FAL, "User is locked. Reason: Exhausted balance"),
        ("replicate", REPLICATE, "You have insufficient credit to run this model"),
    ],
)
async def test_the_answer_of_an_empty_account_is_kept(
    tmp_path: Path, name: str, face: type[Face], message: str
) -> None:
    async with Simulator(settings(balance_cents=1), Faults(), face=face) as server:
        table = {"api_key": KEY, "base_url": server.base_url, "min_balance_usd": 0, **face.table}
        config = to_test_config(tmp_path, server, providers={name: table})
        told = await probe.probe(config, name, agrees=lambda _: True, clock=SystemClock())
        assert not [each for each in server.generations.values() if each.state == "completed"]
    assert told is not None
    assert (told.clip, told.known) == (None, {})
    text = told.report.read_text("utf-8")
    refused = json.loads(text)["refused"]
    assert refused["taken_for"] == "ProviderOutOfCredits"
    assert refused["sentence"] == told.refusal
    assert refused["status"] in (402, 403)
    assert refused["message"].startswith(message)
    assert KEY not in text
    assert "http" not in text


async def test_a_refusal_is_written_down_as_the_service_words_it() -> None:
    body = {
        "error": {"code": "insufficient_quota", "message": f"Pay at https://x.example/?k={KEY}"}
    }
    assert read_refusal(httpx.Response(402, json=body)) == {
        "status": 402,
        "code": "insufficient_quota",
        "message": "Pay at (link)",
    }
    bare = {"status": 502, "code": "", "message": ""}
    assert read_refusal(httpx.Response(502, text="<html>Bad gateway")) == bare
    assert read_refusal(httpx.Response(403, json={"error": "No."}))["message"] == "No."
    secret = f"key {KEY} has no credits"
    register_secret(KEY)
    assert KEY not in str(read_refusal(httpx.Response(402, json={"detail": secret})))


async def test_a_lost_answer_is_told_and_not_asked_for_again(tmp_path: Path) -> None:
    async with Simulator(settings(), Faults()) as server:
        server.faults.drop("create", accepted=True)
        with pytest.raises(SubmissionUncertain, match="Look at your account"):
            await probe.probe(
                to_config_of(tmp_path, server),
                "luma",
                agrees=lambda _: True,
                clock=SystemClock(),
            )
        assert len(server.generations) == 1


async def test_a_clip_that_cannot_be_had_is_told_in_the_report(tmp_path: Path) -> None:
    async with Simulator(settings(), Faults()) as server:
        server.faults.break_clip("garbage", times=9)
        told = await probe.probe(
            to_config_of(tmp_path, server), "luma", agrees=lambda _: True, clock=SystemClock()
        )
    assert told is not None
    report = json.loads(told.report.read_text("utf-8"))
    assert (report["state"], told.clip) == ("completed", None)
    assert report["clip_failed"].endswith(".")
    assert report["generation"] in server.generations


async def test_a_service_without_a_key_is_named(tmp_path: Path) -> None:
    async with Simulator(settings(), Faults()) as server:
        with pytest.raises(ConfigError, match="RAYBOT_PROVIDERS__FAL__API_KEY"):
            await probe.probe(
                to_config_of(tmp_path, server), "fal", agrees=lambda _: True, clock=SystemClock()
            )


async def test_a_service_that_there_is_not_is_no_matter_of_the_configuration(
    tmp_path: Path,
) -> None:
    config = to_config({"bot": {"data_dir": str(tmp_path)}})
    with pytest.raises(ConfigError, match=r"^There is no provider 'zzz'\. There are comfy_router"):
        await probe.probe(config, "zzz", agrees=lambda _: True, clock=SystemClock())


async def test_a_simulator_without_an_address_is_no_traceback(tmp_path: Path) -> None:
    async with Simulator(settings(), Faults()) as server:
        config = to_config_of(tmp_path, server)
        with pytest.raises(ConfigError, match=r"base_url is empty.*`raybot simulator` serves"):
            await probe.probe(config, "simulator", agrees=lambda _: True, clock=SystemClock())


async def test_nothing_is_bought_where_no_report_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    async with Simulator(settings(), Faults()) as server:
        with pytest.raises(StoreError, match=r"Not a directory\. Nothing was bought\.$"):
            await probe.probe(
                to_config_of(tmp_path, server), "luma", agrees=lambda _: True, clock=SystemClock()
            )
        assert not server.generations


@pytest.mark.parametrize("is_lost", [False, True])
async def test_a_disk_that_is_full_after_the_purchase_loses_nothing_that_is_known(
    is_lost: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_text

    def write_first(path: Path, text: str, *encoding: str) -> int:
        if "generation" in text or "lost" in text:
            write(path, text[:20], *encoding)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, text, *encoding)

    monkeypatch.setattr(Path, "write_text", write_first)
    async with Simulator(settings(), Faults()) as server:
        if is_lost:
            server.faults.drop("create", accepted=True)
        with pytest.raises(StoreError, match="No space left on device") as refused:
            await probe.probe(
                to_config_of(tmp_path, server), "luma", agrees=lambda _: True, clock=SystemClock()
            )
        [bought] = server.generations
    stake = probe.LOST if is_lost else f"luma was sent one clip, generation {bought}; look for it"
    assert stake in refused.value.sentence
    [report] = (tmp_path / "data" / "probes").iterdir()
    assert json.loads(report.read_text("utf-8"))["provider"] == "luma", "what was there stays"


async def test_a_clip_without_a_folder_to_go_to_is_told_in_the_report(tmp_path: Path) -> None:
    (tmp_path / "data" / "probes").mkdir(parents=True)
    (tmp_path / "data" / "probes" / "media").touch()
    async with Simulator(settings(), Faults()) as server:
        told = await probe.probe(
            to_config_of(tmp_path, server), "luma", agrees=lambda _: True, clock=SystemClock()
        )
    assert told is not None
    report = json.loads(told.report.read_text("utf-8"))
    assert report["clip_failed"].endswith("probes/media cannot be used: File exists.")
    assert "observed" in report


async def test_a_running_bot_learns_and_so_does_the_next(
    tmp_path: Path, simulator: Simulator, chat: RecordingAdapter, clock: MovableClock
) -> None:
    config = to_test_config(tmp_path, simulator)
    known = {"list_page": "7", "list_order": "newest first"}
    async with running(config, simulator, chat, clock) as bot:
        await bot.app.operations.act("learn", {"provider": "luma", "known": known})
        ids = [await bot.ask() for _ in range(9)]
        await simulator.wait_for_creates(9)
        for each in list(simulator.generations):
            await simulator.finish(each)
        for job_id in ids:
            await bot.delivered(job_id)
        assert bot.app._providers["luma"]._page_rows == 7  # type: ignore[attr-defined] # Luma's
    async with running(config, simulator, chat, clock) as bot:
        job_id = await bot.ask(key="later")
        await simulator.wait_for_creates(10)
        assert bot.app._providers["luma"]._page_rows == 7  # type: ignore[attr-defined] # Luma's
        await simulator.finish(list(simulator.generations)[-1])
        await bot.delivered(job_id)


@pytest.mark.parametrize(
    ("times", "order"),
    [
        (("03", "02", "01"), "newest first"),
        (("01", "02", "03"), "oldest first"),
        (("02", "03", "01"), "mixed"),
        (("01",), None),
    ],
)
def test_the_order_of_a_list_is_told_where_it_shows(
    times: tuple[str, ...], order: str | None
) -> None:
    rows = [{"created_at": f"2026-11-{day}T12:00:00Z"} for day in times]
    assert read_manner({"generations": rows, "has_more": False}).get("list_order") == order


async def test_a_list_in_another_order_is_not_relied_on() -> None:
    luma = Luma(Settings(base_url="http://127.0.0.1:9"), clock=MovableClock())
    luma.learn({"list_order": "oldest first", "list_page": "999"})
    assert (luma._has_list, luma._page_rows) == (False, PAGE)
    luma.learn({})
    assert luma._has_list
    await luma.aclose()


def test_a_link_tells_how_long_it_holds_and_not_what_opens_it() -> None:
    url = "https://cdn.example.org/secret-path/clip.mp4?X-Amz-Expires=3600&X-Amz-Signature=abc"
    told = probe.read_link(url)
    assert told == {
        "parameters": ["X-Amz-Expires", "X-Amz-Signature"],
        "lifetime": {"X-Amz-Expires": "3600"},
    }
