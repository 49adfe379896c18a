"""Comfy's router to Luma's models: a queue where the key has one, else one long answered POST.

Both routes take the same body and the same `Idempotency-Key`, which is charged once at most; so a
doubtful submission is simply sent again. Facts: docs.comfy.org/development/comfy-router and the
router's OpenAPI, read in November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, Literal

import httpx
from pydantic import Field

from bot import errors, http, ports
from bot.clock import Clock
from bot.dialects import dream_machine
from bot.dialects.comfy import CREDITS, PRICES, to_failure, to_models, to_tariffs, to_uuid
from bot.dialects.dream_machine import read_generation
from bot.metrics import Metrics
from bot.ports import Generation, Submission, Tell, to_nobody
from bot.refs import GenerationId, Micros
from bot.service import Address, OverHttp, ServiceTable, look_at_each, open_service
from bot.tariffs import Tariff

KEY = "Comfy refuses this key. Make one at platform.comfy.org that may use its router."
CLOSED = "Comfy does not offer this model at this address any more."
GATE = 'Comfy has not switched this on for the key; delivery = "sync" does without its queue.'
REFUSALS = {400, 413, 422}
#: A key is kept for 24 hours; after that the same POST would be a new one.
KEPT, CLOCKS_APART = timedelta(hours=20), timedelta(minutes=10)
#: How long a fault of theirs is met by asking again; then a person has to look.
PATIENCE = timedelta(hours=1)
QUEUE_SECONDS = 60.0


class Settings(ServiceTable):
    """`[providers.comfy_router]`; `prices` are $ for 5 s at 540p, other clips in proportion."""

    base_url: Address = "https://api.comfy.org"
    delivery: Literal["auto", "queue", "sync"] = "auto"
    look_seconds: float = Field(default=3.0, gt=0)
    submit_timeout_seconds: float = Field(default=630.0, gt=0)

    def priced(self) -> Collection[str]:
        """The models."""
        return PRICES


class NotSwitchedOn(errors.ProviderAuthError):
    """This route is not open to this key, so nothing was dispatched."""


def to_payload(submission: Submission) -> dict[str, Any]:
    """Luma's own body without the model, which is in the path.

    No callback either: its secret is in no row, and a key serves the very same body only.
    """
    silent = submission.model_copy(update={"callback_url": None})
    payload = dream_machine.to_payload(silent)
    del payload["model"]
    return {"prompt": "", **payload}  # Wanted also beside an image that says everything.


def read_reply(response: httpx.Response) -> tuple[str, str]:
    """The router's word for what went wrong, and what Luma, or else the router, says of it.

    Empty where a proxy answered instead of the router.
    """
    body = http.read_json(response.content)
    told = body if isinstance(body, dict) else {}
    bucket = response.headers.get("x-comfy-error-type") or told.get("error_type") or ""
    return str(bucket), http.plain(told.get("upstream_detail")) or http.read_detail(response)


def read_error(response: httpx.Response, *, name: str = "comfy_router") -> errors.ProviderError:
    """The error that a 4xx stands for."""
    (bucket, detail), status = read_reply(response), response.status_code
    if bucket == "not_enabled":
        return NotSwitchedOn(GATE, provider=name)
    if bucket == "insufficient_credits" or status == 402:
        return errors.ProviderOutOfCredits(CREDITS, provider=name)
    if bucket in {"unauthorized", "forbidden"} or status in {401, 403}:
        return errors.ProviderAuthError(KEY, provider=name)
    if bucket == "model_not_found" or status in {404, 405, 410}:
        return errors.ProviderRetired(CLOSED, provider=name)
    if status in REFUSALS:
        failure = to_failure(detail, bucket)
        return errors.ProviderRejected(failure.sentence, provider=name, code=failure.code)
    return http.to_error(response, provider=name)


def read_answer(route: str, row: object) -> Generation | None:
    """What either route says to a POST; None where it names no request, or shows no end."""
    model, is_queue, _ = route.partition("/requests")
    if not is_queue:
        generation = read_generation(row)
        return generation if generation and generation.state in ("completed", "failed") else None
    request = str(row.get("request_id") or "") if isinstance(row, dict) else ""
    if not re.fullmatch(r"[\w-]+", request):
        return None
    return Generation(id=GenerationId(f"{model}:{request}"), state="queued")


def to_route(generation_id: GenerationId) -> str | None:
    """Where a queued generation is; None for one that was answered at once, by Luma's own id."""
    match = re.fullmatch(r"([\w.-]+):([\w-]+)", generation_id)
    return f"v2/models/luma/{match[1]}/requests/{match[2]}" if match else None


class ComfyRouter(OverHttp):
    """`ports.Provider` for Comfy's router; connections open with the first call."""

    finding_may_buy = True

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        name: str = "comfy_router",
        is_test: bool = False,
        metrics: Metrics | None = None,
    ) -> None:
        self.name, self.is_test, self._clock = name, is_test, clock
        # The router's schema of these models knows no concepts.
        self.capabilities = to_models(image_input="link", has_concepts=False)
        self.tariffs: Mapping[str, Tariff] = to_tariffs(settings.prices)
        self.limits = settings.to_limits()
        if settings.delivery == "queue":
            seconds = min(self.limits.submit_seconds, QUEUE_SECONDS)
            self.limits = replace(self.limits, submit_seconds=seconds)
        self._delivery, self._has_queue = settings.delivery, settings.delivery != "sync"
        #: By key, the route and body of a POST that may have been taken.
        self._doubtful: dict[str, tuple[str, dict[str, Any]]] = {}
        self._api = open_service(
            name,
            settings,
            base_url=settings.base_url,
            clock=clock,
            read_error=partial(read_error, name=name),
            metrics=metrics,
            key_header="X-API-Key",
            scheme="",
        )

    async def submit(self, submission: Submission) -> Generation:
        """One POST that may be taken, never repeated; a closed queue certainly took nothing."""
        model, payload, key = submission.work.model, to_payload(submission), to_uuid(submission)
        until = self._clock.boottime() + self.limits.submit_seconds
        if self._has_queue:
            try:
                return await self._post(f"{model}/requests", payload, key, until)
            except (NotSwitchedOn, errors.ProviderRetired):
                if self._delivery == "queue":
                    raise
                self._has_queue = False  # Until the next start.
        return await self._post(model, payload, key, until)

    async def _post(
        self, route: str, payload: dict[str, Any], key: str, until: float
    ) -> Generation:
        left = until - self._clock.boottime()
        if left <= 0:
            raise errors.ProviderUnavailable(provider=self.name)
        patience = min(left, QUEUE_SECONDS) if route.endswith("/requests") else left
        path, headers = f"v2/models/luma/{route}", {"Idempotency-Key": key}
        self._doubtful[key] = route, payload
        try:
            row = await self._api.post(path, payload, patience, headers=headers)
        except errors.ProviderError as error:
            if not isinstance(error, errors.SubmissionUncertain):
                del self._doubtful[key]
            raise
        generation = read_answer(route, row)
        if generation is None:
            raise errors.SubmissionUncertain(provider=self.name)
        del self._doubtful[key]
        if (failure := generation.failure) is not None:  # Nobody could look at it again.
            raise errors.ProviderRejected(failure.sentence, provider=self.name, code=failure.code)
        return generation

    async def find(
        self, submission: Submission, owned: Collection[GenerationId]
    ) -> ports.Found | ports.Absent | ports.CannotTell:
        """The very same POST once more: its key makes it the same generation, or the first."""
        key, age = to_uuid(submission), self._clock.now() - submission.sent_at
        if not -CLOCKS_APART <= age <= KEPT:
            return ports.CannotTell()
        for route, payload in self._sent(submission, key):
            response = await self._api.act(
                "POST",
                f"v2/models/luma/{route}",
                json=payload,
                headers={"Idempotency-Key": key},
                seconds=self.limits.submit_seconds,
            )
            if (verdict := self._judge(route, response, age)) is not None:
                self._doubtful.pop(key, None)
                return verdict
        return ports.CannotTell()

    def _sent(self, submission: Submission, key: str) -> list[tuple[str, dict[str, Any]]]:
        """Where it may have been sent, and how; nothing where its body cannot be made again."""
        if (known := self._doubtful.get(key)) is not None:
            return [known]
        if any(each and each.url for each in (submission.start_frame, submission.end_frame)):
            return []  # A link was sent with the query that opens it, which is in no row.
        payload, model = to_payload(submission), submission.work.model
        queue, sync = (f"{model}/requests", payload), (model, payload)
        return {"auto": [queue, sync], "queue": [queue], "sync": [sync]}[self._delivery]

    def _judge(
        self, route: str, response: httpx.Response, age: timedelta
    ) -> ports.Found | ports.Absent | ports.CannotTell | None:
        """What the reply tells of the first POST; None: that took the other route.

        Raises `ProviderError` where nobody knows yet.
        """
        (bucket, _), status = read_reply(response), response.status_code
        is_queue, wait = route.endswith("/requests"), http.read_retry_after(response.headers)
        if response.is_success:
            run = read_answer(route, http.read_json(response.content))
            if run is not None and run.failure is None:
                return ports.Found(generations=(run,))
            return ports.CannotTell()
        if (status, bucket) == (409, "invalid_input"):  # The other route's key, or one used up.
            return None if is_queue else ports.CannotTell()
        if bucket == "invalid_input" and status in REFUSALS:  # Not sent on, as before.
            return ports.Absent()
        if status == 409 or response.is_server_error:
            if wait is None and age > PATIENCE:
                return ports.CannotTell()
            raise errors.ProviderUnavailable(provider=self.name, retry_after=wait)
        refusal = read_error(response, name=self.name)
        if is_queue and isinstance(refusal, NotSwitchedOn | errors.ProviderRetired):
            return None
        if isinstance(refusal, errors.ProviderRejected):  # It may have run, and been refused then.
            return ports.CannotTell()
        raise refusal

    async def check(
        self, ids: Collection[GenerationId], tell: Tell = to_nobody
    ) -> Mapping[GenerationId, Generation]:
        """One by one; left out are the unknown, and those that were answered at once."""
        return await look_at_each(sorted(ids), self._look, tell=tell)

    async def _look(self, own_id: GenerationId) -> Generation | None:
        route = to_route(own_id)
        row = await self._api.get_one(f"{route}/status") if route else None
        if route is None or row is None:
            return None
        if row.get("status") != "COMPLETED":
            is_waiting = row.get("status") == "IN_QUEUE"
            return Generation(id=own_id, state="queued" if is_waiting else "running")
        if bucket := str(row.get("error_type") or ""):
            reply = await self._api.act("GET", route)  # A failed one's result is its reason.
            failure = to_failure(read_reply(reply)[1], bucket)
            can_retry = failure.code == "service"
            return Generation(id=own_id, state="failed", failure=failure, can_retry=can_retry)
        result = read_generation(await self._api.get_one(route))
        return replace(result, id=own_id) if result else None

    async def cancel(self, generation_id: GenerationId) -> bool:
        """Never: only what still waits is free, and nothing says that it did to the end."""
        return False

    async def balance(self) -> Micros | None:
        """Not told; but asking for a model shows whether the key is good."""
        if await self._api.get("v2/models/luma/ray-flash-2") is None:
            raise errors.ProviderRetired(CLOSED, provider=self.name)
        return None

    async def read_callback(
        self, headers: Mapping[str, str], body: bytes, token: str
    ) -> Generation | None:
        """The router never calls."""
        return None


create = ComfyRouter
