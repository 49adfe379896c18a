from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageStat

from bot.simulator.render import read_frame, read_image
from tests.bot.simulator.conftest import Hook, Serve, Served


def picture(colour: tuple[int, int, int]) -> bytes:
    page = io.BytesIO()
    Image.new("RGB", (320, 180), colour).save(page, "png")
    return page.getvalue()


async def ended(served: Served, **fields: Any) -> dict[str, Any]:
    made = await served.create(**fields)
    await served.simulator.finish(made["id"])
    return await served.get(made["id"])


async def kept(served: Served, generation: dict[str, Any], folder: Path) -> Path:
    path = folder / "clip.mp4"
    path.write_bytes((await served.client.get(generation["assets"]["video"])).content)
    return path


def middle(path: Path, *, last: bool) -> list[float]:
    return ImageStat.Stat(read_image(read_frame(path, last=last)).crop((80, 40, 160, 90))).mean


def image(url: str) -> dict[str, str]:
    return {"type": "image", "url": url}


async def test_key_images_are_fetched_and_seen(serve: Serve, hook: Hook, tmp_path: Path) -> None:
    served = await serve(same_clip=False)
    hook.pages = {"/red": picture((200, 30, 30)), "/blue": picture((30, 30, 200))}
    frames = {"frame0": image(f"{hook.url}red"), "frame1": image(f"{hook.url}blue")}
    done = await ended(served, keyframes=frames)
    path = await kept(served, done, tmp_path)
    assert middle(path, last=False) == pytest.approx([200, 30, 30], abs=12)
    assert middle(path, last=True) == pytest.approx([30, 30, 200], abs=12)
    assert done["request"]["keyframes"] == frames


@pytest.mark.parametrize("page", [b"no picture", b"", None])
async def test_key_images_that_cannot_be_read(
    serve: Serve, hook: Hook, page: bytes | None
) -> None:
    served = await serve()
    hook.pages = {} if page is None else {"/frame": page}
    made = await served.create(keyframes={"frame0": image(f"{hook.url}frame")})
    await served.simulator.until(lambda: served.simulator.generations[made["id"]].is_over)
    failed = await served.get(made["id"])
    assert failed["state"] == "failed"
    assert failed["failure_reason"] == "Failed to read user input frames"
    assert served.simulator.balance_cents == 10_000


async def test_a_host_that_is_not_there(serve: Serve) -> None:
    served = await serve()
    made = await served.create(keyframes={"frame1": image("http://127.0.0.1:9/frame.png")})
    await served.simulator.until(lambda: served.simulator.generations[made["id"]].is_over)
    assert (await served.get(made["id"]))["state"] == "failed"


async def test_an_earlier_clip_goes_on_from_its_last_frame(
    serve: Serve, hook: Hook, tmp_path: Path
) -> None:
    served = await serve(same_clip=False)
    hook.pages = {"/red": picture((200, 30, 30)), "/blue": picture((30, 30, 200))}
    frames = {"frame0": image(f"{hook.url}red"), "frame1": image(f"{hook.url}blue")}
    first = await ended(served, keyframes=frames)
    reference = {"type": "generation", "id": first["id"]}
    path = await kept(served, await ended(served, keyframes={"frame0": reference}), tmp_path)
    assert middle(path, last=False) == pytest.approx([30, 30, 200], abs=15)


async def test_only_completed_clips_can_be_referenced(serve: Serve) -> None:
    served = await serve()
    unknown = {"frame0": {"type": "generation", "id": "nothing"}}
    assert await served.detail(404, keyframes=unknown) == "Generation nothing not found"
    made = await served.create()
    running = {"frame0": {"type": "generation", "id": made["id"]}}
    assert "is not completed" in await served.detail(400, keyframes=running)
    await served.simulator.finish(made["id"])
    await served.create(keyframes=running)
    await served.client.delete(f"/generations/{made['id']}")
    assert "not found" in await served.detail(404, keyframes=running)
    assert len(served.simulator.generations) == 2


async def test_the_server_answers_while_it_draws(serve: Serve) -> None:
    served = await serve(same_clip=False)
    made = await served.create()
    loop = asyncio.get_running_loop()
    waits: list[float] = []
    async with asyncio.TaskGroup() as group:
        finishing = group.create_task(served.simulator.finish(made["id"]))
        while not finishing.done() and len(waits) < 40:
            before = loop.time()
            await served.client.get("/ping")
            waits.append(loop.time() - before)
    assert len(waits) > 10
    assert max(waits) < 1.0
