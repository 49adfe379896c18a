"""A ComfyUI server of one's own: the calls, against the faithful face and prepared answers."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bot.addresses import Guard
from bot.clock import SystemClock
from bot.dialects.comfy import PRICES, to_uuid
from bot.errors import (
    AddressRefused,
    ProviderAuthError,
    ProviderError,
    ProviderRejected,
    ProviderRetired,
    ProviderUnavailable,
    SubmissionUncertain,
)
from bot.ports import Absent, CannotTell, Found, FrameHandle, Submission
from bot.providers.comfyui import ComfyUI, Settings, create, read_error
from bot.refs import GenerationId, JobId
from bot.request import VideoWork
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.simulator.faces.comfyui import ComfyUIFace
from bot.simulator.pictures import draw_picture
from bot.tariffs import PerClip

RECORDED = Path(__file__).parents[2] / "recorded" / "comfyui"
KEY = "comfyui-0123456789abcdef0123456789"


def recorded(name: str) -> Any:
    return json.loads((RECORDED / f"{name}.json").read_text("utf-8"))


def to_submission(*, attempt: int = 1, **changes: Any) -> Submission:
    values = {
        "job_id": JobId("r-1"),
        "attempt": attempt,
        "work": VideoWork(prompt="a red fox", aspect_ratio="16:9"),
        "sent_at": SystemClock().now(),
        "token_hash": hashlib.sha256(b"secret").hexdigest(),
    }
    return Submission(**{**values, **changes})


@pytest.fixture
async def face() -> AsyncIterator[ComfyUIFace]:
    """One graph runs at a time, as in the real one; the others wait."""
    settings = SimulatorSettings(
        api_key=KEY,
        manual=True,
        same_clip=True,
        full_size=False,
        running_limit=1,
        over_limit="queue",
    )
    async with Simulator(settings, Faults(), face=ComfyUIFace) as server:
        assert isinstance(server.face, ComfyUIFace)
        yield server.face


@pytest.fixture
async def comfyui(face: ComfyUIFace) -> AsyncIterator[ComfyUI]:
    own = to_provider(face.simulator.base_url)
    yield own
    await own.aclose()


def to_provider(url: str, key: str = KEY) -> ComfyUI:
    table = Settings(
        api_key=SecretStr(key), base_url=url, submit_timeout_seconds=2, gets_per_second=1000
    )
    return create(table, clock=SystemClock())


async def running(face: ComfyUIFace) -> None:
    """Wait until the first graph runs."""
    await face.simulator.until(
        lambda: any(each.state == "dreaming" for each in face.simulator.generations.values())
    )


# ---- submit -----------------------------------------------------------------------------------


async def test_a_graph_goes_under_an_id_of_ours(comfyui: ComfyUI, face: ComfyUIFace) -> None:
    sent = to_submission()
    assert (await comfyui.submit(sent)).id == to_uuid(sent)
    assert list(face.prompts) == [to_uuid(sent)]


async def test_the_key_goes_with_the_graph_and_in_no_header() -> None:
    heard: list[dict[str, str]] = []

    class Listening(ComfyUIFace):
        def check_key(self, request: Any) -> None:
            heard.append(dict(request.headers))

    settings = SimulatorSettings(api_key=KEY, manual=True, same_clip=True, full_size=False)
    async with Simulator(settings, Faults(), face=Listening) as server:
        own = to_provider(server.base_url)
        await own.submit(to_submission())
        await own.check([GenerationId("x")])
        await own.aclose()
        assert server.generations
    assert heard
    assert all(KEY not in str(each) and "Authorization" not in each for each in heard)


async def test_the_same_words_twice_are_two_graphs(comfyui: ComfyUI, face: ComfyUIFace) -> None:
    for attempt in (1, 2):
        await comfyui.submit(to_submission(attempt=attempt))
    one, two = (each.graph["1"]["inputs"]["seed"] for each in face.prompts.values())
    assert one != two


async def test_images_and_camera_moves_arrive(
    comfyui: ComfyUI, face: ComfyUIFace, tmp_path: Path
) -> None:
    path = tmp_path / "lake.jpg"
    path.write_bytes(draw_picture())
    frame = FrameHandle(path=str(path), content_type="image/jpeg")
    work = VideoWork(prompt="", concepts=("push_in", "aerial"))
    await comfyui.submit(to_submission(work=work, start_frame=frame, end_frame=frame))
    assert sorted(face.uploads) == [
        "raybot/r-1-1-first_image.jpeg",
        "raybot/r-1-1-last_image.jpeg",
    ]
    [generation] = face.simulator.generations.values()
    order = generation.order
    assert order.start is not None
    assert order.end is not None
    assert order.start.content == order.end.content == draw_picture()
    assert order.concepts == ("push_in", "aerial")


async def test_an_upload_that_fails_submits_nothing(
    comfyui: ComfyUI, face: ComfyUIFace, tmp_path: Path
) -> None:
    path = tmp_path / "lake.jpg"
    path.write_bytes(draw_picture())
    sent = to_submission(start_frame=FrameHandle(path=str(path)))
    face.simulator.faults.server_error("other")
    with pytest.raises(ProviderUnavailable):
        await comfyui.submit(sent)
    assert face.simulator.requests["POST /prompt"] == 0


async def test_an_image_without_a_file_is_refused(comfyui: ComfyUI) -> None:
    with pytest.raises(ProviderRejected) as caught:
        await comfyui.submit(to_submission(start_frame=FrameHandle(url="https://example.org/a")))
    assert caught.value.code == "image"


async def test_a_server_without_lumas_nodes_is_the_operators_matter(
    comfyui: ComfyUI, face: ComfyUIFace
) -> None:
    face.has_nodes = False
    with pytest.raises(ProviderRetired):
        await comfyui.submit(to_submission())
    assert not face.prompts


async def test_a_yes_without_an_id_is_a_doubt(comfyui: ComfyUI, face: ComfyUIFace) -> None:
    face.simulator.faults.refuse("create", 200, "fine")
    with pytest.raises(SubmissionUncertain):
        await comfyui.submit(to_submission())


def refusal(status: int, body: Any = None) -> ProviderError:
    return read_error(httpx.Response(status, json=body))


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, recorded("error_missing"), ProviderRetired),
        (404, None, ProviderRetired),
        (405, None, ProviderRetired),
        (400, recorded("error_inputs"), ProviderRejected),
        (400, {}, ProviderRejected),
        (413, None, ProviderRejected),
        (401, None, ProviderAuthError),
        (403, None, ProviderAuthError),
        (429, None, ProviderUnavailable),
    ],
)
def test_each_refusal_has_its_type(status: int, body: Any, kind: type[ProviderError]) -> None:
    assert type(refusal(status, body)) is kind


def test_a_refused_graph_says_what_the_server_says() -> None:
    assert "resolution: '4k' not in" in refusal(400, recorded("error_inputs")).sentence
    details = "Custom validation failed for node: image - Invalid image file: raybot/a.jpeg"
    image = refusal(400, {"error": {"type": "x", "message": "no", "details": details}})
    assert isinstance(image, ProviderRejected)
    assert image.code == "image"


# ---- what the account is told of late ---------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "balance", "code"), [("wrong", 1e4, "key"), (KEY, 0.0, "credits")]
)
async def test_an_account_in_trouble_fails_the_graph(
    face: ComfyUIFace, key: str, balance: float, code: str
) -> None:
    face.account.balance_cents = balance
    own = to_provider(face.simulator.base_url, key)
    taken = await own.submit(to_submission())
    failed = (await own.check([taken.id]))[taken.id]
    assert failed.failure is not None
    assert (failed.failure.code, failed.can_retry) == (code, False)
    await own.aclose()


# ---- doubt ------------------------------------------------------------------------------------


async def in_doubt(comfyui: ComfyUI, face: ComfyUIFace, *, accepted: bool = True) -> Submission:
    face.simulator.faults.drop("create", accepted=accepted)
    sent = to_submission(attempt=9)
    with pytest.raises(SubmissionUncertain):
        await comfyui.submit(sent)
    return sent


@pytest.mark.parametrize("is_over", [False, True])
async def test_a_lost_graph_is_found_wherever_it_is(
    comfyui: ComfyUI, face: ComfyUIFace, is_over: bool
) -> None:
    sent = await in_doubt(comfyui, face)
    [generation] = face.simulator.generations.values()
    if is_over:
        await face.simulator.finish(generation.id)
    found = await comfyui.find(sent, [])
    assert isinstance(found, Found)
    assert [each.id for each in found.generations] == [to_uuid(sent)]
    assert (found.generations[0].state == "completed") is is_over


async def test_a_server_that_makes_up_ids_shows_ours_by_the_seed(
    comfyui: ComfyUI, face: ComfyUIFace
) -> None:
    sent = await in_doubt(comfyui, face)
    [prompt] = face.prompts.values()
    prompt.id = "11111111-0000-4000-8000-000000000009"
    face.prompts = {prompt.id: prompt}
    found = await comfyui.find(sent, [])
    assert isinstance(found, Found)
    assert found.generations[0].id == prompt.id


async def test_a_server_that_remembers_nothing_proves_nothing(
    comfyui: ComfyUI, face: ComfyUIFace
) -> None:
    sent = await in_doubt(comfyui, face, accepted=False)
    assert await comfyui.find(sent, []) == CannotTell()


@pytest.mark.parametrize(("minutes", "answer"), [(10, Absent()), (0.5, CannotTell())])
async def test_only_an_older_memory_proves_that_it_never_came(
    comfyui: ComfyUI, face: ComfyUIFace, minutes: float, answer: object
) -> None:
    await comfyui.submit(to_submission())
    [other] = face.prompts.values()
    other.created_ms -= int(minutes * 60_000)
    sent = await in_doubt(comfyui, face, accepted=False)
    assert await comfyui.find(sent, []) == answer


async def test_a_server_started_anew_is_no_proof_and_is_not_asked_to_pay_again(
    comfyui: ComfyUI, face: ComfyUIFace
) -> None:
    sent = await in_doubt(comfyui, face)
    face.forget()
    assert await comfyui.find(sent, []) == CannotTell()
    assert await comfyui.check([GenerationId(to_uuid(sent))]) == {}
    assert len(face.simulator.generations) == 1


async def test_a_doubt_waits_for_a_server_that_is_away(
    comfyui: ComfyUI, face: ComfyUIFace
) -> None:
    sent = await in_doubt(comfyui, face)
    face.simulator.faults.down()
    with pytest.raises(ProviderUnavailable):
        await comfyui.find(sent, [])


# ---- looking, taking back ---------------------------------------------------------------------


async def test_one_runs_the_other_waits(comfyui: ComfyUI, face: ComfyUIFace) -> None:
    first = (await comfyui.submit(to_submission())).id
    await running(face)
    second = (await comfyui.submit(to_submission(attempt=2))).id
    before = face.simulator.requests.total()
    seen = await comfyui.check([first, second])
    assert [seen[first].state, seen[second].state] == ["running", "queued"]
    assert face.simulator.requests.total() - before == 1


async def test_what_waits_can_be_taken_back_for_nothing(
    comfyui: ComfyUI, face: ComfyUIFace
) -> None:
    full = face.account.balance_cents
    await comfyui.submit(to_submission())
    await running(face)
    paid_once = face.account.balance_cents
    second = (await comfyui.submit(to_submission(attempt=2))).id
    assert await comfyui.cancel(second) is True
    assert face.account.balance_cents == paid_once < full
    assert await comfyui.check([second]) == {}
    [first, withdrawn] = face.simulator.generations.values()
    await face.simulator.finish(first.id)
    assert (first.state, withdrawn.state) == ("completed", "failed")


async def test_what_runs_or_is_unknown_is_left_alone(comfyui: ComfyUI, face: ComfyUIFace) -> None:
    first = (await comfyui.submit(to_submission())).id
    await running(face)
    assert await comfyui.cancel(first) is False
    assert await comfyui.cancel(GenerationId("11111111-0000-4000-8000-000000000000")) is False
    assert face.simulator.requests["POST /queue"] == 0


async def test_a_server_that_does_not_answer_cancels_nothing(
    comfyui: ComfyUI, face: ComfyUIFace
) -> None:
    await comfyui.submit(to_submission())
    await running(face)
    second = (await comfyui.submit(to_submission(attempt=2))).id
    face.simulator.faults.drop("delete", accepted=False)
    assert await comfyui.cancel(second) is False
    assert (await comfyui.check([second]))[second].state == "queued"


# ---- the rest ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "base_url",
    ["http://192.168.1.20:8188", "http://127.0.0.1:8188", "http://[::1]:8188", "http://comfy.lan"],
)
def test_a_clip_at_an_address_of_ones_own_may_be_opened(base_url: str) -> None:
    host = httpx.URL(base_url).host
    link = f"{base_url}/view?filename=a.mp4"
    assert Guard(trusted=frozenset({host}), needs_tls=True)._vet(link).host == host
    with pytest.raises(AddressRefused):
        Guard(needs_tls=True)._vet(link)


def test_prices_are_those_of_the_nodes() -> None:
    own = create(Settings(prices={"ray-flash-2": 0.1}), clock=SystemClock())
    flash, ray = own.tariffs["ray-flash-2"], own.tariffs["ray-2"]
    assert isinstance(flash, PerClip)
    assert isinstance(ray, PerClip)
    assert flash.clips[("1080p", "9s")] == 710_000
    assert ray.clips == {clip: round(usd * 1e6) for clip, usd in PRICES["ray-2"].items()}
    assert own.limits.running == 1


@given(headers=st.dictionaries(st.text(), st.text()), body=st.binary(), token=st.text())
def test_no_callback_is_believed(headers: dict[str, str], body: bytes, token: str) -> None:
    own = create(Settings(), clock=SystemClock())
    assert asyncio.run(own.read_callback(headers, body, token)) is None


async def test_asking_for_the_balance_tells_whether_the_server_has_the_nodes(
    comfyui: ComfyUI, face: ComfyUIFace
) -> None:
    assert await comfyui.balance() is None
    face.has_nodes = False
    with pytest.raises(ProviderRetired):
        await comfyui.balance()
    await face.simulator.close_port()
    with pytest.raises(ProviderUnavailable):
        await comfyui.balance()


async def test_no_secret_and_no_prompt_is_in_an_error_or_a_log(
    comfyui: ComfyUI, face: ComfyUIFace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="bot")
    face.has_nodes = False
    with pytest.raises(ProviderRetired) as caught:
        await comfyui.submit(to_submission(work=VideoWork(prompt="a very private prompt")))
    for secret in (KEY, "very private"):
        assert secret not in caught.value.sentence + caplog.text


async def test_a_clock_that_is_off_makes_no_proof(comfyui: ComfyUI, face: ComfyUIFace) -> None:
    """What we sent by a clock that is ahead is compared with the server's own times."""
    await comfyui.submit(to_submission())
    ahead = to_submission(attempt=2, sent_at=SystemClock().now() + timedelta(seconds=59))
    assert await comfyui.find(ahead, []) == CannotTell()
