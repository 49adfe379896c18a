"""Luma's Dream Machine API at its own address: what it refuses, how a lost POST is found again."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Literal
from urllib.parse import quote

import httpx

from bot import errors, http, ports
from bot.clock import Clock
from bot.dialects.dream_machine import (
    RETIRED,
    STILLS,
    Row,
    echoed_token_hash,
    explain,
    part,
    read_generation,
    to_payload,
    to_still_payload,
)
from bot.dialects.dream_machine_deeds import (
    MODELS_AND_DEEDS,
    PRICED,
    TYPES,
    as_shared,
    bare,
    has_moved,
    is_shared,
    is_source,
    to_deed,
    to_own,
    to_tariffs,
)
from bot.list_paging import Horizon, ReadAhead, Rounds, Times, Turns, reaches
from bot.metrics import Metrics
from bot.ports import Generation, Submission, Tell, to_nobody
from bot.refs import GenerationId, Micros
from bot.service import GONE, Address, OverHttp, ServiceTable, look_at_each, open_service
from bot.tables import Dollars, micros
from bot.tariffs import PerPiece, PerPixel, Tariff

#: Micro-dollars per million output pixels, October 2025.
RATES = {"ray-flash-2": 2200, "ray-2": 6400, "ray-1-6": 3200}
#: Micro-dollars a still of 1920 × 1080, to which the other shapes come close; the same source.
STILL_PRICES = {"photon-1": 15_100, "photon-flash-1": 4_000}
#: What Luma's own address says of itself.
CREDITS = "The account at Luma has no credits left; its owner can add some there."
KEY = "Luma refuses this key. Those of its newer Agents API (luma-api-…) do not work here."
NOT_DONE = "Luma does not do this to clips any more."
CLOSED = "Luma has closed this address. Set up its newer Agents API, fal or Replicate."
#: A deletion that is refused so is worth another try.
TO_TRY_AGAIN = (401, 403, 408, 429)
#: More than a page has, by the documents: how many come shows how long one may be.
ASKED = 150
PAGE, MAX_PAGES, FEW, STRAGGLERS = 100, 20, 2, 5
TRAITS = ("model", "aspect_ratio", "duration", "resolution", "loop", "mode", "negative_prompt")
#: Their echo does not say which clip was worked on.
NAMELESS = ("upscale", "audio")
Verdict = Literal["ours", "maybe", "other"]
BEFORE, AFTER, WRONG_CLOCK = timedelta(seconds=60), timedelta(minutes=10), timedelta(days=1)


class Settings(ServiceTable):
    """`[providers.luma]` with the limits of Luma's Build tier; `prices` are $ per megapixel.

    Of the models that make stills they are $ for one of them. What is done to clips has its own:
    `"ray-2/upscale"` per megapixel, `"ray-2/audio"` per clip; Luma publishes neither.
    """

    base_url: Address = "https://api.lumalabs.ai/dream-machine/v1"
    min_balance_usd: Dollars = 5.0
    retired_models: bool = False

    def priced(self) -> Collection[str]:
        """Clips and stills by their model, and what is done to clips."""
        return (*RATES, *STILL_PRICES, *PRICED)


def read_error(response: httpx.Response, *, name: str = "luma") -> errors.ProviderError:
    """The error that a reply other than 2xx stands for."""
    detail, status = http.read_detail(response), response.status_code
    if status in {400, 403, 404, 422} and (known := explain(detail)):
        return errors.ProviderRejected(known.sentence, provider=name, code=known.code)
    if status == 402 or (status in {400, 403} and http.NO_CREDITS.search(detail)):
        return errors.ProviderOutOfCredits(CREDITS, provider=name)
    if status in {401, 403}:
        return errors.ProviderAuthError(KEY, provider=name)
    if status in {404, 405, 410}:
        return errors.ProviderRetired(CLOSED, provider=name)
    return http.to_error(response, provider=name)


def read_manner(page: Row) -> dict[str, str]:
    """The order of the list, and how many rows a page has where more were asked for."""
    listed = page.get("generations")
    rows = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    times = [time for row in rows if (time := http.read_time(row.get("created_at")))]
    told = {"list_rows": str(len(rows)), "list_has_more": str(page.get("has_more")).lower()}
    if page.get("has_more") and 0 < len(rows) < ASKED:
        told["list_page"] = str(len(rows))
    if len(set(times)) > 1:
        orders = {"newest first": sorted(times, reverse=True), "oldest first": sorted(times)}
        fits = (name for name, ordered in orders.items() if ordered == times)
        told["list_order"] = next(fits, "mixed")
    return told


def _traits(request: Row) -> Row:
    """What can be compared of a request and its echo; a null is as good as nothing."""
    traits = {key: request.get(key) for key in TRAITS}
    traits["prompt"] = str(request.get("prompt") or "").strip()
    listed = request.get("concepts")
    concepts = listed if isinstance(listed, list) else []
    traits["concepts"] = [each.get("key") for each in concepts if isinstance(each, dict)]
    for key in ("frame0", "frame1"):
        frame = part(part(request, "keyframes"), key)
        traits[key] = f"{frame.get('type')} {frame.get('id')}" if frame else None
        traits[f"{key} link"] = str(frame.get("url") or "").partition("?")[0]  # As it is kept.
    traits["media link"] = str(part(request, "media").get("url") or "").partition("?")[0]
    return {key: value for key, value in traits.items() if value not in (None, False, "", [])}


def _to_post(submission: Submission) -> tuple[str, Row]:
    """Where a submission is posted, and its body."""
    match submission.work.kind:
        case "video":
            return "generations/video", to_payload(submission)
        case "image":
            return "generations/image", to_still_payload(submission)
    return to_deed(submission)


def compare(row: Row, submission: Submission, *, clock_skew: timedelta = timedelta(0)) -> Verdict:
    """Whether a listed generation is of this submission; `clock_skew` is doubt about clocks."""
    if (token_hash := echoed_token_hash(part(row, "request"))) is not None:
        is_same = hmac.compare_digest(token_hash, submission.token_hash)
        return "ours" if is_same and submission.has_callback else "other"
    created_at, echo = http.read_time(row.get("created_at")), part(row, "request")
    asked, shown = _traits(_to_post(submission)[1]), _traits(echo)
    kind = echo.get("generation_type")
    if kind is not None and kind != TYPES[submission.work.kind]:
        return "other"
    # Luma may show its own copy of an image: another link alone proves nothing.
    told = {key for key in asked.keys() & shown.keys() if not key.endswith("link")}
    if any(asked[key] != shown[key] for key in told):
        return "other"
    age = (created_at or submission.sent_at) - submission.sent_at
    is_near = -BEFORE - clock_skew <= age <= AFTER + clock_skew
    # Equal but far off in time: ours if a clock was set since, which a person has to tell.
    if age < -WRONG_CLOCK - clock_skew or (not is_near and asked != shown):
        return "other"
    is_certain = created_at is not None and is_near and asked == shown
    is_certain &= abs(age) <= WRONG_CLOCK
    return "ours" if is_certain and not submission.has_callback else "maybe"


class Luma(OverHttp):
    """`ports.Provider` for the Dream Machine API; connections open with the first call."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        name: str = "luma",
        is_test: bool = False,
        metrics: Metrics | None = None,
    ) -> None:
        self.name, self.is_test = name, is_test
        self.capabilities = (
            MODELS_AND_DEEDS | STILLS | (RETIRED if settings.retired_models else {})
        )
        own = {model: int(micros(usd)) for model, usd in settings.prices.items()}
        rates = {model: own.get(model, rate) for model, rate in RATES.items()}
        self.tariffs: Mapping[str, Tariff] = {
            **{model: PerPixel(rate=rate) for model, rate in rates.items()},
            **{
                model: PerPiece(price=Micros(own.get(model, price)))
                for model, price in STILL_PRICES.items()
            },
            **to_tariffs(rates, own),
        }
        self.limits = settings.to_limits(has_list=True)
        self._page_rows, self._has_list = PAGE, True
        self._rounds, self._horizon = Rounds(pages=MAX_PAGES), Horizon()
        self._turns = Turns(STRAGGLERS)
        self._api = open_service(
            name,
            settings,
            base_url=settings.base_url,
            clock=clock,
            read_error=partial(read_error, name=name),
            metrics=metrics,
        )

    async def submit(self, submission: Submission) -> Generation:
        """One POST, never repeated; every error says whether it may have been taken."""
        path, payload = _to_post(submission)
        try:
            row = await self._api.post(path, payload, self.limits.submit_seconds)
        except errors.ProviderRetired as error:
            if submission.source is None:
                raise
            # The rest of the address may well be open.
            raise errors.ProviderRejected(NOT_DONE, provider=self.name, code="retired") from error
        if (generation := read_generation(row)) is None:
            raise errors.SubmissionUncertain(provider=self.name)
        own = to_own(generation, submission)
        self._horizon.remember([own])
        return own

    async def check(
        self, ids: Collection[GenerationId], tell: Tell = to_nobody
    ) -> Mapping[GenerationId, Generation]:
        """One by a single GET, many by list; the unknown and those whose turn is next miss."""
        listed = {each for each in ids if not is_shared(each)}
        found = await self._sweep(listed, tell) if len(listed) > 1 else {}
        stragglers = self._turns.take(set(ids) - found.keys())
        return await look_at_each(stragglers, self._look, tell=tell, known=found)

    async def _look(self, generation_id: GenerationId) -> Generation | None:
        row = await self._row(generation_id)
        if row is None:
            self._horizon.miss(generation_id)
        generation = read_generation(row)
        if generation is None or generation.id != bare(generation_id):
            return None
        own = as_shared(generation, generation_id) if is_shared(generation_id) else generation
        self._horizon.remember([own])
        return own

    async def _sweep(self, ids: set[GenerationId], tell: Tell) -> dict[GenerationId, Generation]:
        """What a stretch of the list tells of them; nothing where the list does not work."""
        found: dict[GenerationId, Generation] = {}
        if not self._has_list:
            return found
        wanted, oldest = self._horizon.of(ids)
        offset: int | None = self._rounds.begin()
        pages, likely = ReadAhead(self._page), self._page_rows
        try:
            while offset is not None:
                is_more = 0 < likely < len(wanted - found.keys()) - FEW
                ahead = self._rounds.ahead() if is_more else None
                if (page := await pages.page(offset, ahead=ahead)) is None:
                    break
                rows, times, is_last = page
                told = [row for row in rows if str(row.get("id")) in ids]
                known = {each.id: each for each in map(read_generation, told) if each}
                found |= known
                likely = len(known)
                self._horizon.remember(known.values())
                for each in known.values():
                    tell(each)
                if len(wanted - found.keys()) <= FEW:
                    self._rounds.rewind()
                    break
                is_end = is_last or reaches(times, oldest)
                offset = self._rounds.after(len(rows), is_end=is_end)
        except errors.ProviderUnavailable as error:
            if error.retry_after is not None:
                raise
        finally:
            await pages.aclose()
        return found

    async def find(
        self, submission: Submission, owned: Collection[GenerationId]
    ) -> ports.Found | ports.Absent | ports.CannotTell:
        """By the echoed token; without one by the echoed request, if nothing is ambiguous."""
        if not self._has_list:
            return ports.CannotTell()
        ours: dict[str, Generation] = {}
        is_doubtful, is_complete = False, False
        rounds = Rounds(pages=MAX_PAGES)
        offset: int | None = rounds.begin()
        while offset is not None and (page := await self._page(offset)):
            rows, times, is_last = page
            for row in rows:
                verdict = await self._judge(row, submission, owned)
                is_doubtful |= verdict == "maybe"
                if verdict == "ours" and (generation := read_generation(row)):
                    ours[generation.id] = to_own(generation, submission)
            is_complete = is_last or reaches(
                times, submission.sent_at - BEFORE - self._api.clock_skew
            )
            offset = rounds.after(len(rows), is_end=is_complete)
        if len(ours) > 1 and submission.work.kind in NAMELESS and not submission.has_callback:
            return ports.CannotTell()
        if ours:
            return ports.Found(generations=tuple(ours.values()))
        return ports.Absent() if is_complete and not is_doubtful else ports.CannotTell()

    async def _judge(
        self, row: Row, submission: Submission, owned: Collection[GenerationId]
    ) -> Verdict:
        if is_source(row, submission):
            return await self._judge_source(row, submission)
        if str(row.get("id")) in owned:
            return "other"
        verdict = compare(row, submission, clock_skew=self._api.clock_skew)
        if verdict != "maybe":
            return verdict
        # A row of the list may tell less than the generation itself.
        whole = await self._row(GenerationId(str(row.get("id"))))
        return compare(whole, submission, clock_skew=self._api.clock_skew) if whole else "other"

    async def _judge_source(self, row: Row, submission: Submission) -> Verdict:
        """What was to be worked on is another's, unless it goes on under the same name."""
        whole = await self._row(GenerationId(str(row.get("id")))) or row
        if not has_moved(whole, submission):
            return "other"
        told = echoed_token_hash(part(whole, "request"))
        is_same = told is not None and hmac.compare_digest(told, submission.token_hash)
        return "ours" if is_same and submission.has_callback else "maybe"

    async def _page(self, offset: int) -> tuple[list[Row], Times, bool] | None:
        """A page's rows and their times, and whether the list ends there; None without a list."""
        page = await self._api.get("generations", limit=self._page_rows, offset=offset)
        if page is None:
            return None
        rows, has_more = page.get("generations"), page.get("has_more")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise errors.ProviderUnavailable(provider=self.name)
        times = [http.read_time(row.get("created_at")) for row in rows]
        return rows, times, not rows if has_more is None else not has_more

    async def _row(self, generation_id: GenerationId) -> Row | None:
        return await self._api.get_one(f"generations/{quote(bare(generation_id), safe='')}")

    async def observe(self, generation_id: GenerationId) -> dict[str, str]:
        """How its list is ordered and how long a page may be, and what it echoes of a request."""
        told = await super().observe(generation_id)
        page = await self._api.get("generations", limit=ASKED, offset=0)
        if page is not None:
            told |= read_manner(page)
        row = await self._row(generation_id) or {}
        echo = part(row, "request")
        told["echo"] = ", ".join(sorted(key for key, value in echo.items() if value is not None))
        return told

    def learn(self, known: Mapping[str, str]) -> None:
        """Ask for pages as long as they come, and for none where the list is in another order."""
        if (rows := known.get("list_page", "")).isdecimal():
            self._page_rows = max(1, min(PAGE, int(rows)))
        self._has_list = known.get("list_order") not in ("oldest first", "mixed")
        self.limits = replace(self.limits, has_list=self._has_list)

    async def cancel(self, generation_id: GenerationId) -> bool:
        """Never: nothing documents that a DELETE stops or refunds, and it may lose the clip."""
        return False

    async def forget(self, generation_id: GenerationId) -> bool:
        """True once it is not there; False where it is another's, or Luma keeps it."""
        if is_shared(generation_id):
            return False
        reply = await self._api.act("DELETE", f"generations/{quote(generation_id, safe='')}")
        if reply.is_success or reply.status_code in GONE:
            return True
        if reply.is_client_error and reply.status_code not in TO_TRY_AGAIN:
            return False
        raise errors.ProviderUnavailable(provider=self.name)

    async def balance(self) -> Micros | None:
        """What is left, from the US cents of `GET /credits`."""
        cents = (await self._api.get("credits") or {}).get("credit_balance")
        if isinstance(cents, int | float) and abs(cents) < 1e12:  # Neither NaN nor infinity.
            return Micros(round(cents * 10_000))
        return None

    async def read_callback(
        self, headers: Mapping[str, str], body: bytes, token: str
    ) -> Generation | None:
        """An unsigned, untrusted hint: a generation like that of a GET."""
        generation = read_generation(http.read_json(body))
        token_hash = hashlib.sha256(token.encode()).hexdigest()
        return replace(generation, token_hash=token_hash) if generation else None


create = Luma
