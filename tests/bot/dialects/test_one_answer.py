"""What services that answer with the clip have in common: answers, errors and calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.dialects.one_answer import link_paths, read_error, read_link, read_words, to_rejection
from bot.errors import (
    ProviderAuthError,
    ProviderError,
    ProviderOutOfCredits,
    ProviderRejected,
    ProviderRetired,
    ProviderUnavailable,
    SubmissionUncertain,
)
from bot.ports import CannotTell, Provider, Submission
from bot.providers import intersect, mindstudio
from bot.refs import GenerationId, JobId
from bot.request import VideoWork
from tests.fakes import MovableClock
from tests.ports import free_port

KEY = "a-very-private-key-0123456789"
TOKEN = "SECRET-TOKEN-0001"
LINK = "https://files.example.org/clips/fox.mp4?signature=SECRET-SIGNATURE"
ANSWER = {"result": {"videoUrl": LINK}}
TABLES: dict[str, dict[str, Any]] = {
    "intersect": {},
    "mindstudio": {"app_id": "46f2e54b", "variables": {"prompt": "words"}},
}


def to_submission(**values: Any) -> Submission:
    return Submission(
        **{
            "job_id": JobId("r-0000000001"),
            "attempt": 2,
            "work": VideoWork(prompt="a very private fox"),
            "sent_at": datetime(2026, 11, 22, 12, 0, tzinfo=UTC),
            "token_hash": "0" * 64,
            "callback_url": f"https://bot.example.org/callbacks/x/{TOKEN}",
            "has_callback": True,
            **values,
        }
    )


# ---- where the link is -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "path"),
    [
        ({"result": LINK}, "result"),
        ({"result": f" {LINK}\n"}, "result"),
        (ANSWER, "result.videoUrl"),
        ({"data": [{}, {"url": LINK}]}, "data.1.url"),
    ],
)
def test_a_link_is_found_by_its_path(answer: object, path: str) -> None:
    assert read_link(answer, path) == LINK


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"result": None},
        {"result": {"videoUrl": None}},
        {"result": {"videoUrl": "{{video}}"}},
        {"result": {"videoUrl": "file:///etc/passwd"}},
        {"result": {"videoUrl": f"Here it is: {LINK}"}},
        {"result": [LINK]},
    ],
)
def test_anything_else_is_no_link(answer: object) -> None:
    assert read_link(answer, "result.videoUrl") is None


def test_paths_of_links_are_named_without_the_links() -> None:
    answer = {"a": [{"url": LINK}], "b": "no link", f"odd {TOKEN}": LINK, "c": LINK}
    assert list(link_paths(answer)) == ["a.0.url", "c"]


@pytest.mark.parametrize(
    "said",
    [
        {"error": "No such thing"},
        {"error": {"message": "No such thing", "code": None}},
        {"message": "No such thing", "code": "api_error"},
        {"details": "No such thing"},
        {"detail": "No such thing"},
        {"error": True, "message": "No such thing"},
        "No such thing",
    ],
)
def test_words_of_an_error_are_found_where_they_are(said: object) -> None:
    assert read_words(said) == "No such thing"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.just(LINK),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(json_values)
def test_no_shape_upsets_the_readers(answer: Any) -> None:
    assert read_link(answer, "result.0.url") in (None, LINK)
    assert all(LINK not in path for path in link_paths(answer))
    assert isinstance(read_words(answer), str)
    if isinstance(answer, dict):
        mindstudio.read_failure(answer)
        mindstudio.read_id(answer)


# ---- errors ------------------------------------------------------------------------------------

ERRORS: list[tuple[int, str, type[ProviderError], str]] = [
    (401, "Invalid token", ProviderAuthError, "refuses the key of [providers.acme]"),
    (403, "Forbidden", ProviderAuthError, "refuses the key"),
    (402, "Payment required", ProviderOutOfCredits, "no credits left"),
    (400, "Insufficient credits", ProviderOutOfCredits, "no credits left"),
    (429, "You exceeded your quota, check your billing", ProviderOutOfCredits, "no credits left"),
    (429, "Rate limit exceeded", ProviderUnavailable, "a pause"),
    (404, "App not found", ProviderRetired, "Look at [providers.acme]"),
    (405, "Method Not Allowed", ProviderRetired, "has nothing there"),
    (410, "Gone", ProviderRetired, "has nothing there"),
    (400, "Advanced prompt moderation failed", ProviderRejected, "filter refuses it"),
    (403, "Contains blacklisted words", ProviderRejected, "filter refuses it"),
    (400, "Workflow not found.", ProviderRejected, "Acme made no clip: Workflow not found."),
    (413, "", ProviderRejected, "Acme made no clip and gave no reason."),
]


@pytest.mark.parametrize(("status", "words", "kind", "says"), ERRORS)
def test_every_refusal_has_its_type_and_a_sentence(
    status: int, words: str, kind: type[ProviderError], says: str
) -> None:
    reply = httpx.Response(status, json={"message": words}, headers={"Retry-After": "9"})
    error = read_error(reply, title="Acme", name="acme")
    assert type(error) is kind
    assert says in error.sentence
    assert error.sentence.endswith(".")
    assert error.provider == "acme"
    assert error.retry_after == (9 if kind is ProviderUnavailable else None)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("Advanced prompt moderation failed", "moderation"),
        ("Frame moderation failed", "image_moderation"),
        ("Job failed", "service"),
        ("Something new", "refused"),
        # It would be run once more with a fresh link, and nobody knows what a run costs.
        ("failed to moderate image", "refused"),
    ],
)
def test_words_that_luma_uses_keep_their_meaning(words: str, code: str) -> None:
    assert to_rejection(words, title="Acme", name="acme").code == code


def test_a_page_of_html_is_never_quoted() -> None:
    reply = httpx.Response(400, content=b"<html>blocked</html>")
    assert "blocked" not in read_error(reply, title="Acme", name="acme").sentence


# ---- calls -------------------------------------------------------------------------------------


@dataclass
class Service:
    """A service on loopback that answers whatever it is told to, or nothing."""

    reply: tuple[int, Any] | None = (200, ANSWER)
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    base_url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        self.calls.append((request.method, request.path, body))
        self.keys.add(request.headers.get("Authorization", ""))
        while self.reply is None:
            await asyncio.Event().wait()
        status, body = self.reply
        return web.json_response(body, status=status)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service, application = Service(), web.Application()
    application.router.add_route("*", "/{path:.*}", service.answer)
    async with TestServer(application) as server:
        service.base_url = str(server.make_url("/api"))
        yield service


@pytest.fixture(params=["intersect", "mindstudio"])
async def provider(request: pytest.FixtureRequest, service: Service) -> AsyncIterator[Provider]:
    module: Any = {"intersect": intersect, "mindstudio": mindstudio}[request.param]
    table = module.Settings(
        api_key=KEY,
        base_url=service.base_url,
        result="result.videoUrl",
        submit_timeout_seconds=10,
        **TABLES[request.param],
    )
    provider: Provider = module.create(table, clock=MovableClock())
    assert provider.name == request.param
    yield provider
    await provider.aclose()


async def test_the_answer_is_the_finished_clip(provider: Provider, service: Service) -> None:
    done = await provider.submit(to_submission())
    assert (done.id, done.state, done.clip_url) == ("r-0000000001-2", "completed", LINK)
    [(method, _, _)] = service.calls
    assert method == "POST"
    assert service.keys == {f"Bearer {KEY}"}


async def test_no_address_to_call_is_ever_given_away(provider: Provider, service: Service) -> None:
    await provider.submit(to_submission())
    assert TOKEN not in repr(service.calls)


DOUBTFUL: list[tuple[int, Any]] = [
    (200, {"success": True, "callbackInProgress": True}),
    (200, {"elsewhere": [{"url": LINK}]}),
    (200, [LINK]),
    (200, "fine"),
    (302, {}),
    (408, {}),
    (409, {}),
    (500, {}),
    (524, {}),
]


@pytest.mark.parametrize("reply", DOUBTFUL)
async def test_an_answer_without_a_clip_or_a_failure_is_doubtful(
    provider: Provider,
    service: Service,
    reply: tuple[int, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    service.reply = reply
    with pytest.raises(SubmissionUncertain) as doubt:
        await provider.submit(to_submission())
    assert len(service.calls) == 1
    assert LINK not in f"{doubt.value} {doubt.value!r}"
    assert "SECRET" not in caplog.text
    assert isinstance(await provider.find(to_submission(), owned=[]), CannotTell)


async def test_whoever_sets_it_up_is_told_where_links_are(
    provider: Provider, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.reply = (200, {"elsewhere": [{"url": LINK}]})
    with pytest.raises(SubmissionUncertain, match="without a link where Raybot was told to look"):
        await provider.submit(to_submission())
    assert "elsewhere.0.url" in caplog.text
    assert "SECRET" not in caplog.text


async def test_an_answer_that_does_not_come_is_doubtful(service: Service) -> None:
    service.reply = None
    table = intersect.Settings(base_url=service.base_url, result="x", submit_timeout_seconds=0.3)
    silent = intersect.create(table, clock=MovableClock())
    with pytest.raises(SubmissionUncertain):
        await silent.submit(to_submission())
    await silent.aclose()


async def test_nothing_is_asked_of_what_was_answered(provider: Provider, service: Service) -> None:
    name = GenerationId("r-0000000001-2")
    assert await provider.check([name]) == {}
    assert await provider.cancel(name) is False
    assert service.calls == []


async def test_a_good_key_tells_no_balance_and_a_wrong_one_is_said(
    provider: Provider, service: Service
) -> None:
    assert await provider.balance() is None
    service.reply = (401, {"message": "Unauthorized"})
    with pytest.raises(ProviderAuthError):
        await provider.balance()
    assert {method for method, _, _ in service.calls} == {"GET"}


async def test_a_refused_connection_is_certainly_not_taken() -> None:
    table = intersect.Settings(base_url=f"http://127.0.0.1:{free_port()}", result="x")
    away = intersect.create(table, clock=MovableClock())
    with pytest.raises(ProviderUnavailable):
        await away.submit(to_submission())
    await away.aclose()


@settings(max_examples=25)
@given(st.dictionaries(st.text(max_size=20), st.text(max_size=20)), st.binary(), st.text())
def test_whoever_calls_is_not_believed(headers: dict[str, str], body: bytes, token: str) -> None:
    table = intersect.Settings(base_url="http://127.0.0.1:9")
    provider = intersect.create(table, clock=MovableClock())
    assert asyncio.run(provider.read_callback(headers, body, token)) is None
