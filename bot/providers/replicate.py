"""Replicate's API: images uploaded, one paid POST, lists of predictions, signed calls."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import quote, unquote

import httpx

from bot import errors, http, ports
from bot.clock import Clock
from bot.dialects.dream_machine import Row, part
from bot.dialects.predictions import (
    BEFORE,
    MEANS,
    MODELS,
    PRICES,
    Verdict,
    compare,
    explain,
    is_bare,
    read_generation,
    to_frames,
    to_model,
    to_payload,
    to_tariffs,
)
from bot.dialects.signed_calls import Signing
from bot.list_paging import Turns, reaches
from bot.metrics import Metrics
from bot.ports import FrameHandle, Generation, Submission, Tell, to_nobody
from bot.refs import GenerationId, Micros
from bot.request import to_video
from bot.service import Address, OverHttp, ServiceTable, look_at_each, open_service
from bot.tables import micros

CREDITS = "The account at Replicate has no credit left; its owner can add some there."
KEY = "Replicate refuses this key. Make a new one at replicate.com/account/api-tokens."
CLOSED = "Replicate no longer offers this model. Look there, or use another video service."
#: Larger images are to be uploaded, where they stay for a day (HTTP API, input files, 2025).
INLINE_BYTES = 256_000
MAX_PAGES, SWEEP_PAGES, FEW, STRAGGLERS = 20, 3, 2, 5


class Settings(ServiceTable):
    """`[providers.replicate]`; `prices` are $ a second by Replicate's names: `ray-2-720p`."""

    base_url: Address = "https://api.replicate.com/v1"

    def priced(self) -> Collection[str]:
        """Replicate's models: one for each size of Luma's."""
        return PRICES


def read_error(response: httpx.Response, *, name: str = "replicate") -> errors.ProviderError:
    """The error that a reply other than 2xx stands for."""
    detail, status = http.read_detail(response), response.status_code
    if status == 429:  # Low credit slows an account down; its words must not be taken for a 402.
        sentence, pause = http.to_error(response, provider=name).sentence, _pause(response)
        return errors.ProviderUnavailable(sentence, provider=name, retry_after=pause)
    if status == 402 or (status in {400, 403} and http.NO_CREDITS.search(detail)):
        return errors.ProviderOutOfCredits(CREDITS, provider=name)
    if status in {401, 403}:
        return errors.ProviderAuthError(KEY, provider=name)
    if status in {404, 405, 410}:
        return errors.ProviderRetired(CLOSED, provider=name)
    if status in {400, 422} and (known := explain(detail)):
        return errors.ProviderRejected(known.sentence, provider=name, code=known.code)
    return http.to_error(response, provider=name)


def _pause(response: httpx.Response) -> float:
    """Seconds that a 429 asks for: in its header, in its body, or in its words."""
    if (header := http.read_retry_after(response.headers)) is not None:
        return header
    body = http.read_json(response.content)
    told = body.get("retry_after") if isinstance(body, dict) else None
    if isinstance(told, int | float) and 0 <= told <= http.MAX_RETRY_AFTER:
        return float(told)
    words = re.search(r"resets in ~?(\d{1,3})s", http.read_detail(response))
    return float(words[1]) if words else http.PAUSE_SECONDS


class Replicate(OverHttp):
    """`ports.Provider` for Replicate; connections open with the first call."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        name: str = "replicate",
        is_test: bool = False,
        metrics: Metrics | None = None,
    ) -> None:
        self.name, self.is_test = name, is_test
        self.capabilities = MODELS
        self.tariffs = to_tariffs({each: micros(usd) for each, usd in settings.prices.items()})
        self.limits, self._turns = settings.to_limits(has_list=True), Turns(STRAGGLERS)
        self._api = open_service(
            name,
            settings,
            base_url=settings.base_url,
            clock=clock,
            read_error=partial(read_error, name=name),
            metrics=metrics,
        )
        self._signing = Signing(self._api, clock)

    async def submit(self, submission: Submission) -> Generation:
        """Images first, which costs nothing; then one POST, never repeated."""
        frames = to_frames(submission)
        images = {side: await self._hand_over(frame) for side, frame in frames.items()}
        path = f"models/{to_model(to_video(submission.work))}/predictions"
        payload, patience = to_payload(submission, images), self.limits.submit_seconds
        generation = read_generation(await self._api.post(path, payload, patience))
        if generation is None:
            raise errors.SubmissionUncertain(provider=self.name)
        return generation

    async def _hand_over(self, frame: FrameHandle) -> str:
        """An image as the service takes it: inside of the request, or uploaded beforehand."""
        path = Path(frame.path or "")
        try:
            content = await asyncio.to_thread(path.read_bytes)
        except OSError as error:
            sentence = MEANS["image"]
            raise errors.ProviderRejected(sentence, provider=self.name, code="image") from error
        if len(content) <= INLINE_BYTES:
            return f"data:{frame.content_type};base64,{base64.b64encode(content).decode()}"
        file = (path.name, content, frame.content_type)
        response = await self._api.act("POST", "files", files={"content": file})
        if response.is_client_error:
            raise read_error(response, name=self.name)
        body = http.read_json(response.content)
        link = part(body, "urls").get("get") if isinstance(body, dict) else None
        if not response.is_success or not isinstance(link, str):
            raise errors.ProviderUnavailable(provider=self.name)
        return link

    async def check(
        self, ids: Collection[GenerationId], tell: Tell = to_nobody
    ) -> Mapping[GenerationId, Generation]:
        """One by a single GET, many by list; the unknown and those whose turn is next miss."""
        found = await self._sweep(set(ids), tell) if len(ids) > 1 else {}
        rest = self._turns.take(set(ids) - found.keys())
        return await look_at_each(rest, self._look, tell=tell, known=found)

    async def _look(self, generation_id: GenerationId) -> Generation | None:
        generation = read_generation(await self._row(generation_id))
        return generation if generation and generation.id == generation_id else None

    async def _sweep(self, ids: set[GenerationId], tell: Tell) -> dict[GenerationId, Generation]:
        """What the newest pages of the list tell of them; nothing where it does not work."""
        found: dict[GenerationId, Generation] = {}
        cursor, pages = "", SWEEP_PAGES
        try:
            while pages and (page := await self._page(cursor)):
                rows, cursor, _ = page
                told = [row for row in rows if str(row.get("id")) in ids and not is_bare(row)]
                known = {each.id: each for each in map(read_generation, told) if each}
                found |= known
                for each in known.values():
                    tell(each)
                is_enough = not cursor or len(ids - found.keys()) <= FEW
                pages = 0 if is_enough else pages - 1
        except errors.ProviderUnavailable as error:
            if error.retry_after is not None:
                raise
        return found

    async def find(
        self, submission: Submission, owned: Collection[GenerationId]
    ) -> ports.Found | ports.Absent | ports.CannotTell:
        """By the echoed token; without one by the input, if nothing is ambiguous."""
        ours: dict[str, Generation] = {}
        is_doubtful, is_complete, cursor, pages = False, False, "", MAX_PAGES
        while pages and (page := await self._page(cursor)):
            rows, cursor, is_last = page
            for row in rows:
                verdict = await self._judge(row, submission, owned)
                is_doubtful |= verdict == "maybe"
                if verdict == "ours" and (generation := read_generation(row)):
                    ours[generation.id] = generation
            times = [http.read_time(row.get("created_at")) for row in rows]
            is_complete = is_last or reaches(
                times, submission.sent_at - BEFORE - self._api.clock_skew
            )
            pages = 0 if is_complete or not cursor else pages - 1
        if ours:
            return ports.Found(generations=tuple(ours.values()))
        return ports.Absent() if is_complete and not is_doubtful else ports.CannotTell()

    async def _judge(
        self, row: Row, submission: Submission, owned: Collection[GenerationId]
    ) -> Verdict:
        if str(row.get("id")) in owned:
            return "other"
        clock_skew = self._api.clock_skew
        if (verdict := compare(row, submission, clock_skew=clock_skew)) == "other":
            return verdict
        # A row of the list may tell less than the prediction itself.
        whole = await self._row(GenerationId(str(row.get("id"))))
        return compare(whole, submission, clock_skew=clock_skew) if whole else "other"

    async def _page(self, cursor: str) -> tuple[list[Row], str, bool] | None:
        """A page's rows, the cursor of the next, whether the list ends; None without a list."""
        page = await self._api.get("predictions", **({"cursor": cursor} if cursor else {}))
        if page is None:
            return None
        rows, following = page.get("results"), page.get("next", "")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise errors.ProviderUnavailable(provider=self.name)
        # Only its cursor is taken: a link in a reply leads the key nowhere.
        words = re.search(r"[?&]cursor=([^&#]+)", str(following))
        return rows, unquote(words[1]) if words else "", following is None

    async def _row(self, generation_id: GenerationId) -> Row | None:
        return await self._api.get_one(f"predictions/{quote(generation_id, safe='')}")

    async def cancel(self, generation_id: GenerationId) -> bool:
        """Only before it begins: Replicate bills what it calls `canceled`, not `aborted`.

        So its announcement of deadlines, October 2025. What runs is left to end.
        """
        row = await self._row(generation_id)
        if row is None or row.get("status") != "starting":
            return False
        path = f"predictions/{quote(generation_id, safe='')}/cancel"
        response = await self._api.act("POST", path)
        body = http.read_json(response.content) if response.is_success else None
        return isinstance(body, dict) and body.get("status") == "aborted"

    async def balance(self) -> Micros | None:
        """None: Replicate does not tell. It is asked who we are, which a wrong key ends."""
        await self._api.get("account")
        return None

    async def read_callback(
        self, headers: Mapping[str, str], body: bytes, token: str
    ) -> Generation | None:
        """A signed hint: a prediction like that of a GET; None where the signature is wrong."""
        if not await self._signing.proves(headers, body):
            return None
        generation = read_generation(http.read_json(body))
        token_hash = hashlib.sha256(token.encode(errors="replace")).hexdigest()
        return replace(generation, token_hash=token_hash) if generation else None


create = Replicate
