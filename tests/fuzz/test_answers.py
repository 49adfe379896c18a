"""What video services answer and call: each dialect's readers, and each provider's callbacks."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import bot.providers
from bot import errors, http
from bot.dialects import agents_api, comfy_graph, dream_machine, fal_queue, predictions
from bot.dialects import one_answer as single
from bot.dialects.dream_machine_deeds import has_moved, is_source
from bot.ports import FrameHandle, Generation
from bot.providers import comfy_router, comfyui, fal, luma, luma_agents, mindstudio, replicate
from bot.refs import GenerationId
from tests.bot.providers.test_luma import to_submission
from tests.fakes import MovableClock
from tests.fuzz import fuzz
from tests.fuzz.mutations import bodies, recorded, spoilt, texts, to_bytes, tried

Read = Callable[[Any], Any]
ANY = GenerationId("0a1b2c3d-0000-4000-8000-000000000000")
#: Each reader with the true answers that it is made for.
SENT = to_submission(sent_at=datetime(2026, 11, 22, 12, tzinfo=UTC))
SOURCE = FrameHandle(generation_id=ANY, url="https://a.example/source.mp4")
WORKED = SENT.model_copy(update={"source": SOURCE})
READERS: dict[str, tuple[Read, list[Any]]] = {
    "luma": (dream_machine.read_generation, recorded("luma/*.json")),
    "luma pages": (
        lambda row: luma.read_manner(row) if isinstance(row, dict) else None,
        recorded("luma/list*.json"),
    ),
    "luma, compared": (
        lambda row: (
            (luma.compare(row, SENT), has_moved(row, WORKED), is_source(row, WORKED))
            if isinstance(row, dict)
            else None
        ),
        recorded("luma/*.json"),
    ),
    "replicate, compared": (
        lambda row: predictions.compare(row, SENT) if isinstance(row, dict) else None,
        recorded("replicate/*.json"),
    ),
    "luma_agents": (agents_api.read_generation, recorded("luma_agents/*.json")),
    "replicate": (predictions.read_generation, recorded("replicate/*.json")),
    "comfyui queue": (
        lambda row: list(comfy_graph.read_queue(row)),
        recorded("comfyui/queue.json"),
    ),
    "comfyui history": (
        lambda row: list(comfy_graph.read_history(row, "http://a.example")),
        recorded("comfyui/history*.json"),
    ),
    "comfy_router": (
        lambda row: comfy_router.read_answer("x", row),
        recorded("comfy_router/*.json"),
    ),
    "fal id": (fal_queue.read_request_id, recorded("fal/submitted.json")),
    "fal call": (fal_queue.read_call, recorded("fal/call*.json")),
    "fal keys": (fal.read_keys, [{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA"}]}]),
    "fal said": (fal_queue.read_said, recorded("fal/error*.json")),
    "fal result": (
        lambda row: fal_queue.read_result(ANY, 200, row, told=""),
        recorded("fal/result.json", "fal/failed.json"),
    ),
    "one answer": (
        lambda row: single.read_link(row, "result.video"),
        [{"result": {"video": "https://a.example/x.mp4"}}],
    ),
    "one answer, words": (single.read_words, [{"error": {"message": "no"}}]),
}
ERRORS: dict[str, tuple[Callable[[httpx.Response], errors.ProviderError], str]] = {
    "luma": (luma.read_error, "luma/error*.json"),
    "luma_agents": (luma_agents.read_error, "luma_agents/error*.json"),
    "replicate": (replicate.read_error, "replicate/*.json"),
    "fal": (fal.read_error, "fal/error*.json"),
    "comfy_router": (comfy_router.read_error, "comfy_router/error*.json"),
    "comfyui": (comfyui.read_error, "comfyui/*.json"),
    "one answer": (partial(single.read_error, title="X", name="x"), "luma/error*.json"),
}
PROVIDERS = [each.name for each in pkgutil.iter_modules(bot.providers.__path__)]


@pytest.mark.parametrize("name", READERS)
def test_an_answer_is_read_or_is_none(name: str) -> None:
    read, seeds = READERS[name]

    @fuzz
    @given(spoilt(*seeds))
    def holds(row: Any) -> None:
        found = tried(lambda: read(http.read_json(to_bytes(row))))
        for each in found if isinstance(found, list) else [found]:
            generation = getattr(each, "generation", each)
            if isinstance(generation, Generation):
                _is_sound(generation)

    holds()


@fuzz
@given(spoilt(*recorded("fal/in_*.json", "fal/completed.json", "fal/stopped.json")))
def test_a_status_is_read_or_is_none(row: Any) -> None:
    row = http.read_json(to_bytes(row))
    if isinstance(row, dict):
        tried(lambda: fal_queue.read_status(ANY, row))
        tried(lambda: fal_queue.read_told(row))
        tried(lambda: mindstudio.read_failure(row))
        tried(lambda: mindstudio.read_id(row))


def _is_sound(generation: Generation) -> None:
    """It can be written down: texts that a database takes, and links of the web only."""
    for text in (generation.id, generation.clip_url or ""):
        text.encode()
        assert "\x00" not in text
    assert not generation.clip_url or generation.clip_url.startswith(("http://", "https://"))


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_reply_is_an_error_of_ours(name: str) -> None:
    read, pattern = ERRORS[name]
    headers = st.dictionaries(
        st.sampled_from(("retry-after", "date", "content-type", "x-ratelimit-reset")),
        st.one_of(
            st.sampled_from(("1", "-1", "9" * 99, "Wed, 21 Oct 2026 07:28:00 GMT", "x")),
            st.text(st.characters(codec="latin-1"), max_size=20),
        ),
    )

    @fuzz
    @example(400, {}, b'{"error": {"type": [], "code": {}, "message": 1}, "type": {}, "code": []}')
    @given(
        st.sampled_from((400, 401, 402, 403, 404, 409, 422, 429, 499, 500, 503)),
        headers,
        bodies(*recorded(pattern)),
    )
    def holds(status: int, head: dict[str, str], body: bytes) -> None:
        raw = [(key.encode(), value.encode("latin-1")) for key, value in head.items()]
        error = read(httpx.Response(status, headers=raw, content=body))
        assert isinstance(error, errors.ProviderError)
        assert len(error.sentence) < 1000
        assert error.sentence.isprintable()
        assert error.retry_after is None or 0 <= error.retry_after <= http.MAX_RETRY_AFTER
        http.read_refusal(httpx.Response(status, headers=raw, content=body))

    holds()


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_call_of_a_stranger_is_read_or_is_none(name: str) -> None:
    module = importlib.import_module(f"bot.providers.{name}")
    face = importlib.import_module(f"bot.simulator.faces.{name}").FACE
    table = {"api_key": "k" * 20, "base_url": "http://127.0.0.1:9", **face.table}
    provider = module.create(
        module.Settings.model_validate(table), clock=MovableClock(), name=name, is_test=False
    )
    folder = name if (name in ("luma", "fal", "replicate", "luma_agents", "comfyui")) else "luma"
    names = (
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "x-fal-webhook-request-id",
        "x-fal-webhook-user-id",
        "x-fal-webhook-timestamp",
        "x-fal-webhook-signature",
    )
    heads = st.dictionaries(st.sampled_from(names), st.one_of(texts, st.just("1795780000")))

    calls: list[tuple[dict[str, str], bytes]] = []

    @fuzz
    @given(heads, bodies(*recorded(f"{folder}/*.json")))
    def collect(head: dict[str, str], body: bytes) -> None:
        calls.append((head, body))

    collect()
    try:
        for head, body in calls:
            found = await provider.read_callback(head, body, "t" * 43)
            assert found is None or isinstance(found, Generation)
            assert name != "fal" or found is None, "nobody but fal can sign"
    finally:
        await provider.aclose()
