"""Luma's Dream Machine API: pure JSON, then the calls. Facts: Luma's OpenAPI and docs pages."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

import httpx
from pydantic import BeforeValidator, Field, SecretStr

from bot import errors, http, ports
from bot.budget import TokenBucket
from bot.clock import Clock
from bot.config import Dollars, micros
from bot.job import Failure
from bot.metrics import Metrics
from bot.ports import FrameKind, FrameRule, Generation, ModelCapabilities, Submission
from bot.refs import Frozen, GenerationId, Micros
from bot.request import ASPECT_RATIOS, CONCEPTS
from bot.rounds import Horizon, Rounds, Times, reaches

Row = Mapping[str, Any]
#: Micro-dollars per million output pixels, October 2025.
RATES = {"ray-flash-2": 2200, "ray-2": 6400, "ray-1-6": 3200}
NO_LOOP = "A clip {} cannot loop. Leave the loop out."
#: Which key frames go together, and with which of them Luma refuses to loop.
FRAMES: dict[tuple[FrameKind, FrameKind], FrameRule] = {
    ("none", "none"): FrameRule(),
    ("image", "none"): FrameRule(),
    ("clip", "none"): FrameRule(),
    ("none", "image"): FrameRule(loop_refusal=NO_LOOP.format("with an end frame")),
    ("image", "image"): FrameRule(loop_refusal=NO_LOOP.format("with a start and an end frame")),
    ("none", "clip"): FrameRule(loop_refusal=NO_LOOP.format("that leads to another clip")),
    ("clip", "image"): FrameRule(loop_refusal=NO_LOOP.format("from a clip to an image")),
    ("image", "clip"): FrameRule(loop_refusal=NO_LOOP.format("from an image to a clip")),
    ("clip", "clip"): FrameRule(loop_refusal=NO_LOOP.format("between two clips")),
}
RAY_2 = ModelCapabilities(
    model="ray-2",
    durations=("5s", "9s"),
    resolutions=("540p", "720p", "1080p", "4k"),
    aspect_ratios=ASPECT_RATIOS,
    frames=FRAMES,
    concepts=CONCEPTS,
)
MODELS = {"ray-flash-2": replace(RAY_2, model="ray-flash-2"), "ray-2": RAY_2}
#: Gone from Luma's own SDK since January 2026; it takes neither length nor resolution.
RETIRED = {
    "ray-1-6": replace(
        RAY_2, model="ray-1-6", durations=(), resolutions=(), concepts=(), fixed=("5s", "720p")
    )
}

#: What Luma says (first match) and its code; `service` is worth a retry. A second word: the text.
SAYS = {
    "prompt is (required|too short|too long)": "prompt",
    "loop is not supported": "loop",
    "no keyframes provided|unknown request type": "frames",
    "(duration|resolution) is not supported": "fixed",
    "extend or interpolate is not available": "extend",
    "concepts are not supported": "concepts",
    "frame moderation failed": "image_moderation",
    "blacklisted|moderation failed|prompt not allowed": "moderation",
    "failed to moderate image": "image",
    "failed to read user input frames": "service image",
    "prompt processing failed|dispatching job|job failed|processing callback": "service",
}
MEANS = {
    "prompt": "Luma needs a prompt of 3 to 5,000 characters for this.",
    "loop": "Luma cannot loop with these frames. Leave the loop out.",
    "frames": "Luma did not understand the frames. Use an image, or a clip that was made here.",
    "fixed": "This model chooses length and resolution by itself. Take ray-flash-2 instead.",
    "extend": "This model cannot continue a clip now. Take ray-2, or start from an image.",
    "concepts": "This model takes no camera moves. Describe the move in the prompt.",
    "image_moderation": "Luma's filter refuses the image. Use another one.",
    "moderation": "Luma's filter refuses it, at times a harmless one. Try it in other words.",
    "image": "Luma could not fetch the image. Attach it again, or use another one.",
    "service": "Luma had a fault of its own. Ask again in a while.",
    "credits": "The account at Luma has no credits left; its owner can add some there.",
    "key": "Luma refuses this key. Those of its newer Agents API (luma-api-…) do not work here.",
    "retired": "Luma has closed this address. Set up its newer Agents API, fal or Replicate.",
}
NO_CREDITS = re.compile(r"\b(insufficient|credits?|balance|funds?|billing)\b", re.IGNORECASE)
Address = Annotated[str, Field(pattern=r"^https?://[\w\[]")]
STATES: tuple[ports.GenerationState, ...] = ("queued", "completed", "failed", "running")
PAGE, MAX_PAGES, FEW, STRAGGLERS, BURST = 100, 20, 2, 5, 5
TRAITS = ("model", "aspect_ratio", "duration", "resolution", "loop")
Verdict = Literal["ours", "maybe", "other"]
BEFORE, AFTER, WRONG_CLOCK = timedelta(seconds=60), timedelta(minutes=10), timedelta(days=1)


class Settings(Frozen):
    """`[providers.luma]` with the limits of Luma's Build tier; `prices` are $ per megapixel."""

    api_key: SecretStr | None = None
    base_url: Address = "https://api.lumalabs.ai/dream-machine/v1"
    running_limit: int = Field(default=10, ge=1)
    creates_per_minute: int = Field(default=20, ge=1)
    gets_per_second: float = Field(default=5.0, gt=0)
    first_look_seconds: float = Field(default=15.0, ge=0)
    look_seconds: float = Field(default=1.0, gt=0)
    min_balance_usd: Dollars = 5.0
    prices: Annotated[dict[str, Dollars], BeforeValidator(http.read_json_text)] = Field(default={})
    retired_models: bool = False
    connect_timeout_seconds: float = Field(default=5.0, gt=0)
    read_timeout_seconds: float = Field(default=30.0, gt=0)
    submit_timeout_seconds: float = Field(default=60.0, gt=0)


def to_payload(submission: Submission) -> dict[str, Any]:
    """The body of `POST /generations/video`; what may be left out has no documented default."""
    work = submission.work
    payload: dict[str, Any] = {
        "model": work.model,
        "prompt": work.prompt.strip(),
        "aspect_ratio": work.aspect_ratio,
        "loop": work.loop,
        "keyframes": _to_keyframes(submission),
        "concepts": [{"key": each} for each in work.concepts],
        "callback_url": submission.callback_url,
    }
    if work.model not in RETIRED:
        payload |= {"duration": work.duration, "resolution": work.resolution}
    return {key: value for key, value in payload.items() if value not in (None, "", [], {})}


def _to_keyframes(submission: Submission) -> dict[str, dict[str, str]]:
    keyframes = {}
    for key, frame in (("frame0", submission.start_frame), ("frame1", submission.end_frame)):
        if frame and frame.generation_id:
            keyframes[key] = {"type": "generation", "id": str(frame.generation_id)}
        elif frame:
            if not frame.url:
                raise errors.ProviderRejected(MEANS["image"], provider="luma", code="image")
            keyframes[key] = {"type": "image", "url": frame.url}
    return keyframes


def read_generation(row: object) -> Generation | None:
    """A generation in any shape that Luma has used; None where there is not even an id."""
    if not isinstance(row, dict) or not re.fullmatch(r"[\w-]+", str(row.get("id") or "")):
        return None
    link = _part(row, "assets").get("video")
    url = link if isinstance(link, str) and re.match("https?://", link) else None
    reason = http.plain(row.get("failure_reason"))
    told = row.get("state") or ("failed" if reason else "completed" if url else "queued")
    state = next((each for each in STATES if each == told), STATES[-1])
    if state == "completed" and url is None:
        state = "running"  # The address follows.
    failure = to_failure(reason) if state == "failed" else None
    return Generation(
        id=GenerationId(str(row["id"])),
        state=state,
        clip_url=url if state == "completed" else None,
        failure=failure,
        can_retry=failure is not None and failure.code == "service",
        created_at=http.read_time(row.get("created_at")),
        token_hash=_token_hash(_part(row, "request")),
    )


def to_failure(reason: str) -> Failure:
    """A failed generation's reason as a code and a sentence; Luma refunds every one."""
    said = f": {reason}" if reason else " and gave no reason. Ask again, or in other words."
    return _explain(reason) or Failure(code="unknown", sentence=f"Luma made no clip{said}")


def read_error(response: httpx.Response, *, name: str = "luma") -> errors.ProviderError:
    """The error that a reply other than 2xx stands for."""
    detail, status = http.read_detail(response), response.status_code
    if status in {400, 403, 422} and (known := _explain(detail)):
        return errors.ProviderRejected(known.sentence, provider=name, code=known.code)
    if status == 402 or (status in {400, 403} and NO_CREDITS.search(detail)):
        return errors.ProviderOutOfCredits(MEANS["credits"], provider=name)
    if status in {401, 403}:
        return errors.ProviderAuthError(MEANS["key"], provider=name)
    if status in {404, 405, 410}:
        return errors.ProviderRejected(MEANS["retired"], provider=name, code="retired")
    return http.to_error(response, provider=name)


def _explain(said: str) -> Failure | None:
    for pattern, meaning in SAYS.items():
        if re.search(pattern, said, re.IGNORECASE):
            code, _, sentence = meaning.partition(" ")
            return Failure(code=code, sentence=MEANS[sentence or code])
    return None


def _token_hash(echo: Row) -> str | None:
    """SHA-256 of the attempt's secret: the last part of the echoed callback address."""
    url = echo.get("callback_url")
    if not isinstance(url, str) or not url:
        return None
    return hashlib.sha256(urlsplit(url).path.rpartition("/")[2].encode()).hexdigest()


def _part(row: Row, key: str) -> Row:
    return part if isinstance(part := row.get(key), dict) else {}


def _traits(request: Row) -> Row:
    """What can be compared of a request and its echo; a null is as good as nothing."""
    traits = {key: request.get(key) for key in TRAITS}
    traits["prompt"] = str(request.get("prompt") or "").strip()
    listed = request.get("concepts")
    concepts = listed if isinstance(listed, list) else []
    traits["concepts"] = [each.get("key") for each in concepts if isinstance(each, dict)]
    for key in ("frame0", "frame1"):
        frame = _part(_part(request, "keyframes"), key)
        traits[key] = f"{frame.get('type')} {frame.get('id')}" if frame else None
        traits[f"{key} link"] = str(frame.get("url") or "").partition("?")[0]  # As it is kept.
    return {key: value for key, value in traits.items() if value not in (None, False, "", [])}


def compare(row: Row, submission: Submission, *, slack: timedelta = timedelta(0)) -> Verdict:
    """Whether a listed generation came from this submission; `slack` is doubt about clocks."""
    if (token_hash := _token_hash(_part(row, "request"))) is not None:
        is_same = hmac.compare_digest(token_hash, submission.token_hash)
        return "ours" if is_same and submission.has_callback else "other"
    created_at = http.read_time(row.get("created_at"))
    asked, shown = _traits(to_payload(submission)), _traits(_part(row, "request"))
    # Luma may show its own copy of an image: another link alone proves nothing.
    told = {key for key in asked.keys() & shown.keys() if not key.endswith("link")}
    if any(asked[key] != shown[key] for key in told):
        return "other"
    age = (created_at or submission.sent_at) - submission.sent_at
    is_near = -BEFORE - slack <= age <= AFTER + slack
    # The same but far off in time is ours where a clock was set since: a person has to tell.
    if abs(age) > WRONG_CLOCK or (not is_near and asked != shown):
        return "other"
    is_certain = created_at is not None and is_near and asked == shown
    return "ours" if is_certain and not submission.has_callback else "maybe"


class Luma:
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
        self.capabilities = MODELS | (RETIRED if settings.retired_models else {})
        self.rates = RATES | {model: int(micros(usd)) for model, usd in settings.prices.items()}
        self.limits = ports.ProviderLimits(
            running=settings.running_limit,
            creates_per_minute=settings.creates_per_minute,
            first_look_seconds=settings.first_look_seconds,
            look_seconds=settings.look_seconds,
            submit_seconds=settings.submit_timeout_seconds,
            min_balance=micros(settings.min_balance_usd),
        )
        self._rounds, self._horizon, self._next_straggler = Rounds(pages=MAX_PAGES), Horizon(), 0
        self._api = http.Service(
            name,
            base_url=settings.base_url,
            key=settings.api_key,
            pace=TokenBucket(settings.gets_per_second, burst=BURST),
            clock=clock,
            read_error=partial(read_error, name=name),
            connect_seconds=settings.connect_timeout_seconds,
            read_seconds=settings.read_timeout_seconds,
            metrics=metrics,
        )

    async def submit(self, submission: Submission) -> GenerationId:
        """One POST, never repeated; every error says whether it may have been taken."""
        payload, patience = to_payload(submission), self.limits.submit_seconds
        row = await self._api.post("generations/video", payload, patience)
        if (generation := read_generation(row)) is None:
            raise errors.SubmissionUncertain(provider=self.name)
        self._horizon.remember([generation])
        return generation.id

    async def check(self, ids: Collection[GenerationId]) -> Mapping[GenerationId, Generation]:
        """One by a single GET, many by list; the unknown and those whose turn is next miss."""
        found = await self._sweep(set(ids)) if len(ids) > 1 else {}
        missing = sorted(set(ids) - found.keys())
        turn = self._next_straggler % max(len(missing), 1)
        self._next_straggler = turn + STRAGGLERS
        trouble: errors.ProviderError | None = None
        for each in (missing[turn:] + missing[:turn])[:STRAGGLERS]:
            try:
                row = await self._row(each)
            except errors.ProviderError as error:  # One that cannot be read hides no other.
                trouble, row = error, {}
            if (generation := read_generation(row)) and generation.id == each:
                found[each] = generation
            elif row is None:
                self._horizon.miss(each)
        if trouble is not None and not found:
            raise trouble
        self._horizon.remember(found.values())
        return found

    async def _sweep(self, ids: set[GenerationId]) -> dict[GenerationId, Generation]:
        """What a stretch of the list tells of them; nothing where the list does not work."""
        found: dict[GenerationId, Generation] = {}
        wanted, oldest = self._horizon.of(ids)
        offset: int | None = self._rounds.begin()
        try:
            while offset is not None and (page := await self._page(offset)):
                rows, times, is_last = page
                known = [read_generation(row) for row in rows if str(row.get("id")) in ids]
                found |= {each.id: each for each in known if each}
                if len(wanted - found.keys()) <= FEW:
                    self._rounds.rewind()
                    break
                is_end = is_last or reaches(times, oldest)
                offset = self._rounds.after(len(rows), is_end=is_end)
        except errors.ProviderUnavailable as error:
            if error.retry_after is not None:
                raise
        return found

    async def find(
        self, submission: Submission, owned: Collection[GenerationId]
    ) -> ports.Found | ports.Absent | ports.CannotTell:
        """By the echoed token; without one by the echoed request, if nothing is ambiguous."""
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
                    ours[generation.id] = generation
            is_complete = is_last or reaches(times, submission.sent_at - BEFORE - self._api.slack)
            offset = rounds.after(len(rows), is_end=is_complete)
        if ours:
            return ports.Found(generations=tuple(ours.values()))
        return ports.Absent() if is_complete and not is_doubtful else ports.CannotTell()

    async def _judge(
        self, row: Row, submission: Submission, owned: Collection[GenerationId]
    ) -> Verdict:
        if str(row.get("id")) in owned:
            return "other"
        verdict = compare(row, submission, slack=self._api.slack)
        if verdict != "maybe":
            return verdict
        # A row of the list may tell less than the generation itself.
        whole = await self._row(GenerationId(str(row.get("id"))))
        return compare(whole, submission, slack=self._api.slack) if whole else "other"

    async def _page(self, offset: int) -> tuple[list[Row], Times, bool] | None:
        """A page's rows and their times, and whether the list ends there; None without a list."""
        page = await self._api.get("generations", limit=PAGE, offset=offset)
        if page is None:
            return None
        rows, has_more = page.get("generations"), page.get("has_more")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise errors.ProviderUnavailable(provider=self.name)
        times = [http.read_time(row.get("created_at")) for row in rows]
        return rows, times, not rows if has_more is None else not has_more

    async def _row(self, generation_id: GenerationId) -> Row | None:
        return await self._api.get(f"generations/{quote(generation_id, safe='')}")

    async def cancel(self, generation_id: GenerationId) -> bool:
        """Never: nothing documents that a DELETE stops or refunds, and it may lose the clip."""
        return False

    async def balance(self) -> Micros | None:
        """What is left, from the US cents of `GET /credits`."""
        cents = (await self._api.get("credits") or {}).get("credit_balance")
        if isinstance(cents, int | float) and abs(cents) < 1e12:  # Neither NaN nor infinity.
            return Micros(round(cents * 10_000))
        return None

    def read_callback(
        self, headers: Mapping[str, str], body: bytes, token: str
    ) -> Generation | None:
        """An unsigned, untrusted hint: a generation like that of a GET."""
        generation = read_generation(http.read_json(body))
        token_hash = hashlib.sha256(token.encode()).hexdigest()
        return replace(generation, token_hash=token_hash) if generation else None

    async def aclose(self) -> None:
        """Close connections."""
        await self._api.aclose()


create = Luma
