"""What people send by mistake or malice: a clear sentence, nothing started or paid."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.command_text import Draft, parse, to_work
from bot.errors import ConfigError, FrameRejected, InvalidRequest
from bot.job import JobState
from bot.refs import Attachment
from bot.request import ImageFrame, LinkFrame
from tests import rendered
from tests.conftest import RunningBot
from tests.fakes import to_request


async def say(bot: RunningBot, text: str) -> None:
    """Type one line, as any adapter would hand it on."""
    draft = parse(text)
    assert isinstance(draft, Draft)
    end = LinkFrame(url=draft.end) if draft.end else None
    request = to_request(key=text)
    work = to_work(draft, end_frame=end)
    await bot.studio.submit(request.model_copy(update={"work": work}))


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("", "few words"),
        ("  \n ", "few words"),
        ("ab", "3 to 5,000"),
        ("x" * 5001, "5,001"),
        ("\x00\x01\x02\x03", "no text"),
        ("a fox --ar 16:8", "16:9"),
        ("a fox --duration 8s", "9s"),
        ("a fox --res 8k", "4k"),
        ("a fox --model ray-flash", "ray-flash-2"),
        ("a fox --camera orbit_lef", "orbit_left"),
        ("a fox --lop", "--loop"),
        ("a fox --seed 5", "--seed"),
        ("a fox --dur 9s --loop --end https://example.com/end.png", "oop"),
    ],
)
async def test_a_line_that_cannot_be_done_says_what_can(
    bot: RunningBot, text: str, advice: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await say(bot, text)
    assert advice in refused.value.sentence
    assert "\n" not in refused.value.sentence
    assert bot.simulator.requests["POST /generations/video"] == 0
    assert bot.chat.posts == []


@pytest.mark.parametrize(
    "text", ["🦊 in the snow ❄️", "ein Fuchs im Schnee", "雪の中の赤い狐", "🦊🦊🦊"]
)
async def test_every_script_is_a_prompt(bot: RunningBot, text: str) -> None:
    await say(bot, text)
    await bot.simulator.wait_for_creates(1)
    [generation] = bot.simulator.generations.values()
    assert generation.request["prompt"] == text


async def test_a_prompt_beyond_the_context_is_told_so(bot: RunningBot) -> None:
    receipt = await bot.submit("a very long story " * 250)
    about: Any = receipt.notice
    assert any("ignored" in remark for remark in about.about.remarks)


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (rendered.png_bomb(8000, 5001), "megapixel"),
        (b"just some text, whatever its name is", "image"),
        (rendered.png(1, 1), "1×1"),
        (rendered.jpeg()[:900], "image"),
        (b"", "image"),
    ],
)
async def test_an_image_that_cannot_be_used_is_refused_and_free(
    bot: RunningBot, content: bytes, advice: str
) -> None:
    first = await bot.ask()
    await bot.chat.until(lambda: len(bot.chat.posts) == 1)
    bot.chat.images["a"] = content
    frame = ImageFrame(attachment=Attachment(adapter="recording", id="a", filename="cat.png"))
    with pytest.raises(FrameRejected) as refused:
        await bot.submit("slow zoom", start_frame=frame.model_dump(), key="refused")
    assert advice in refused.value.sentence
    # Nobody but who asked reads of it.
    last = await bot.ask()
    await bot.chat.until(lambda: len(bot.chat.posts) == 2)
    assert {post.key for post in bot.chat.posts} == {f"{first}:status", f"{last}:status"}
    await bot.check_books()


async def test_a_photo_of_a_phone_is_taken(start_bot: Callable[..., Any]) -> None:
    bot: RunningBot = await start_bot(bot={"public_url": "https://bot.example"})
    bot.chat.images["a"] = rendered.encoded(rendered.picture(900, 600), "HEIF")
    frame = ImageFrame(attachment=Attachment(adapter="recording", id="a", filename="IMG_1.HEIC"))
    job_id = await bot.ask("slow zoom", start_frame=frame.model_dump())
    job = await bot.job(job_id)
    assert job.plan is not None
    assert job.plan.start_frame is not None
    assert job.plan.start_frame.content_type == "image/jpeg"
    assert job.work.aspect_ratio in ("4:3", "16:9")


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost/cat.png",
        "http://127.0.0.1:8081/metrics",
        "http://[::1]/cat.png",
        "http://0x7f.1/cat.png",
        "file:///etc/passwd",
        "http://user:secret@example.com/cat.png",
    ],
)
async def test_a_link_into_the_house_is_never_followed(bot: RunningBot, url: str) -> None:
    with pytest.raises(FrameRejected) as refused:
        await bot.submit("slow zoom", start_frame=LinkFrame(url=url).model_dump())
    assert "attach" in refused.value.sentence
    assert "secret" not in refused.value.sentence
    assert bot.simulator.generations == {}


async def test_it_does_not_start_on_a_model_that_nobody_has(
    start_bot: Callable[..., Any],
) -> None:
    with pytest.raises(ConfigError, match=r"has 'ray-3'. Did you mean 'ray-2'\?"):
        await start_bot(defaults={"model": "ray-3"})


async def test_it_starts_with_a_limit_that_names_a_model_of_a_service_it_has_not(
    start_bot: Callable[..., Any],
) -> None:
    bot = await start_bot(limits={"models": ["ray-flash-2", "ray-3"]})
    assert await bot.ask()


async def test_without_a_public_address_an_image_is_refused_before_money(
    start_bot: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bot: RunningBot = await start_bot(luma={"base_url": "https://api.example/v1"})
    bot.chat.images["a"] = rendered.png(400, 300)
    frame = ImageFrame(attachment=Attachment(adapter="recording", id="a"))
    with pytest.raises(FrameRejected) as refused:
        await bot.submit("slow zoom", start_frame=frame.model_dump())
    assert "public_url" in refused.value.sentence
    await bot.check_books()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """The folder for unfinished files on a disk of its own that can be filled."""
    folder = tmp_path / "data" / "tmp"
    folder.mkdir(parents=True)
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=False
    )
    if mounted.returncode != 0:
        pytest.skip("this machine lets nobody mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_full_disk_while_fetching_loses_nothing(
    tiny_disk: Path, start_bot: Callable[..., Any]
) -> None:
    bot: RunningBot = await start_bot()
    job_id = await bot.ask()
    await bot.simulator.wait_for_creates(1)
    await bot.until(job_id, JobState.GENERATING)
    filler = tiny_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    [generation] = bot.simulator.generations
    await bot.simulator.finish(generation)
    async with asyncio.timeout(30):
        while (await bot.job(job_id)).tries < 2:
            await bot.clock.let_pass(seconds=10, moment=0.05)
    filler.unlink()
    async with asyncio.timeout(30):
        while (await bot.job(job_id)).state is not JobState.DELIVERED:
            await bot.clock.let_pass(seconds=30, moment=0.05)
    assert len(bot.simulator.generations) == 1
    assert len(bot.chat.clips()) == 1
    await bot.check_books()
