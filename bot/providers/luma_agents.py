"""Luma's Agents API at its own address: its uploads, its one paid POST, what it refuses."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping
from datetime import timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import Field

from bot import errors, http, ports
from bot.clock import Clock
from bot.dialects.agents_api import (
    MEANS,
    UNI,
    explain,
    read_generation,
    to_payload,
    to_tariffs,
    to_user,
)
from bot.dialects.agents_api_deeds import RAY_AND_DEEDS, to_deed
from bot.dialects.agents_api_deeds import to_tariffs as to_deed_tariffs
from bot.metrics import Metrics
from bot.ports import Generation, Submission, Tell, to_nobody
from bot.refs import GenerationId, Micros
from bot.request import ClipWork
from bot.service import Address, OverHttp, ServiceTable, open_service
from bot.tariffs import Tariff

FILE_LOOK_SECONDS = 0.5
#: Luma may forget an image after that; its generation has ended long before.
FILE_LASTS = timedelta(days=1)
CREDITS = "The account at Luma's Agents API has no credits left; its owner can add some there."
KEY = (
    "Luma's Agents API refuses this key. Its keys begin with luma-api-; one of the Dream Machine "
    "API belongs into [providers.luma]."
)
SUSPENDED = "Luma has suspended this account of its Agents API. Its owner can ask Luma why."
CLOSED = "Luma has closed this address of its Agents API. Look for a newer one, or Raybot."


class Settings(ServiceTable):
    """`[providers.luma_agents]`; a price is $ for 5 s at 540p, to which the others keep.

    What is done to clips has its own, `"ray-3.2/modify"` and `"ray-3.2/reframe"`. Of uni-1 and
    uni-1-max, which make stills, it is $ for one of them.

    There is no list, so each look asks once for each generation; Luma asks for 2 to 5 s between.
    """

    base_url: Address = "https://agents.lumalabs.ai/v1"
    look_seconds: float = Field(default=3.0, gt=0)

    def priced(self) -> Collection[str]:
        """Whatever has a price."""
        return (*to_tariffs({}), *to_deed_tariffs({}))


def read_error(response: httpx.Response, *, name: str = "luma_agents") -> errors.ProviderError:
    """The error that a reply other than 2xx stands for."""
    detail, status = http.read_detail(response), response.status_code
    if status in {400, 403, 404, 413, 422} and (known := explain(detail)):
        if known.code == "file":
            return errors.ProviderUnavailable(known.sentence, provider=name)
        return errors.ProviderRejected(known.sentence, provider=name, code=known.code)
    if status == 402 or (status in {400, 403} and http.NO_CREDITS.search(detail)):
        return errors.ProviderOutOfCredits(CREDITS, provider=name)
    if status in {401, 403}:
        is_known = re.search("suspended|deactivated", detail, re.IGNORECASE)
        return errors.ProviderAuthError(SUSPENDED if is_known else KEY, provider=name)
    if status in {404, 405, 410}:
        return errors.ProviderRetired(CLOSED, provider=name)
    if status == 413:
        return errors.ProviderRejected(MEANS["image"], provider=name, code="image")
    error = http.to_error(response, provider=name)
    if status == 429 and http.read_retry_after(response.headers) is None:
        error.retry_after = read_reset(response.headers) or error.retry_after
    return error


def read_reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until `X-RateLimit-Reset`, by the clock of the reply itself."""
    try:
        sent_at = parsedate_to_datetime(headers.get("date", "")).timestamp()
        seconds = int(headers.get("x-ratelimit-reset", "")) - sent_at
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 1.0), http.MAX_RETRY_AFTER)


class LumaAgents(OverHttp):
    """`ports.Provider` for the Agents API; connections open with the first call."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        name: str = "luma_agents",
        is_test: bool = False,
        metrics: Metrics | None = None,
    ) -> None:
        self.name, self.is_test = name, is_test
        self.capabilities: Mapping[str, ports.ModelCapabilities] = {
            each.model: each for each in (RAY_AND_DEEDS, *UNI)
        }
        self.tariffs: Mapping[str, Tariff] = {
            **to_tariffs(settings.prices),
            **to_deed_tariffs(settings.prices),
        }
        self.limits = settings.to_limits()
        self._clock = clock
        self._api = open_service(
            name,
            settings,
            base_url=settings.base_url,
            clock=clock,
            read_error=partial(read_error, name=name),
            metrics=metrics,
        )

    async def submit(self, submission: Submission) -> Generation:
        """Its images first, for nothing; then one POST, never repeated."""
        began = self._clock.boottime()
        payload = await self._to_payload(submission)
        patience = self.limits.submit_seconds - (self._clock.boottime() - began)
        row = await self._api.post("generations", payload, max(patience, 1.0))
        if (generation := read_generation(row)) is None:
            raise errors.SubmissionUncertain(provider=self.name)
        return generation

    async def _to_payload(self, submission: Submission) -> dict[str, Any]:
        if isinstance(submission.work, ClipWork):
            return to_deed(submission)
        files = await self._upload(submission) if submission.work.prompt.strip() else {}
        return to_payload(submission, files)

    async def _upload(self, submission: Submission) -> dict[str, str]:
        """The ids of its images at Luma by their path, within half the time of a submission."""
        frames = (submission.start_frame, submission.end_frame)
        given = {each.path: each.content_type for each in frames if each and each.path}
        try:
            async with asyncio.timeout(self.limits.submit_seconds / 2):
                return {
                    path: await self._send(Path(path), kind, submission)
                    for path, kind in given.items()
                }
        except (TimeoutError, OSError) as error:
            raise errors.ProviderUnavailable(provider=self.name) from error

    async def _send(self, path: Path, content_type: str, submission: Submission) -> str:
        """Upload one image and wait until it can be used; whatever fails, nothing was paid."""
        content = await asyncio.to_thread(path.read_bytes)
        until = submission.sent_at + FILE_LASTS
        reply = await self._api.act(
            "POST",
            "files",
            files={"file": ("frame", content, content_type)},
            data={"purpose": "input", "expires_at": until.isoformat(), **to_user(submission)},
        )
        if not reply.is_success:
            raise self._refuse_upload(reply)
        row: object = http.read_json(reply.content)
        file_id = row.get("id") if isinstance(row, dict) else None
        if not isinstance(file_id, str) or not file_id:
            raise errors.ProviderUnavailable(provider=self.name)
        while not self._is_ready(row):
            row = await self._api.get_one(f"files/{quote(file_id, safe='')}")
            if not self._is_ready(row):
                later = self._clock.now() + timedelta(seconds=FILE_LOOK_SECONDS)
                await self._clock.wait(asyncio.Event(), later)
        return file_id

    def _refuse_upload(self, reply: httpx.Response) -> errors.ProviderError:
        if reply.status_code in {401, 402, 403, 429}:
            return read_error(reply, name=self.name)
        if reply.status_code in {400, 413, 415, 422}:
            return self._refuse_image(http.read_detail(reply))
        return errors.ProviderUnavailable(provider=self.name)

    def _refuse_image(self, reason: str) -> errors.ProviderRejected:
        known = explain(reason)
        code = "image_moderation" if known and "moderation" in known.code else "image"
        said = f"Luma does not take this image: {reason.rstrip('.')}. Use another one."
        is_told = reason and known is None
        return errors.ProviderRejected(
            said if is_told else MEANS[code], provider=self.name, code=code
        )

    def _is_ready(self, row: object) -> bool:
        """Whether an uploaded image can be used; raises where it never will be."""
        state = row.get("state") if isinstance(row, dict) else None
        if state == "failed" and isinstance(row, dict):
            raise self._refuse_image(http.plain(row.get("failure_reason")))
        if state not in ("ready", "pending"):
            raise errors.ProviderUnavailable(MEANS["file"], provider=self.name)
        return bool(state == "ready")

    async def check(
        self, ids: Collection[GenerationId], tell: Tell = to_nobody
    ) -> Mapping[GenerationId, Generation]:
        """Each by a GET of its own; one that cannot be read hides no other."""
        looks = await asyncio.gather(*(self._look(each, tell) for each in sorted(ids)))
        found = {each.id: each for each in looks if isinstance(each, Generation)}
        trouble = [each for each in looks if isinstance(each, errors.ProviderError)]
        if trouble and not found:
            raise trouble[0]
        return found

    async def _look(
        self, generation_id: GenerationId, tell: Tell
    ) -> Generation | errors.ProviderError | None:
        try:
            row = await self._api.get_one(f"generations/{quote(generation_id, safe='')}")
        except errors.ProviderError as error:
            return error
        generation = read_generation(row)
        if generation is None or generation.id != generation_id:
            return None
        tell(generation)
        return generation

    async def find(
        self, submission: Submission, owned: Collection[GenerationId]
    ) -> ports.Found | ports.Absent | ports.CannotTell:
        """Nobody can tell: this API has no list, no echo of ours and no idempotency key."""
        return ports.CannotTell()

    async def cancel(self, generation_id: GenerationId) -> bool:
        """Never: this API has no way to stop."""
        return False

    async def balance(self) -> Micros | None:
        """This API tells none; it is asked for a file, which a wrong key does not get."""
        await self._api.get("files", limit=1)
        return None

    async def read_callback(
        self, headers: Mapping[str, str], body: bytes, token: str
    ) -> Generation | None:
        """This API never calls, so whoever does is somebody else."""
        return None


create = LumaAgents
