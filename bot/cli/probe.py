"""Buys the cheapest clip of one video service, once, to write down what no documentation tells.

The clip and what was seen are kept in files; nothing of it is posted, and no key is written.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from bot import choice
from bot.clips import Clips
from bot.clock import Clock
from bot.codec import Codec
from bot.config import Config, refuse_unknown_part
from bot.errors import (
    ClipError,
    ConfigError,
    ProviderError,
    ProviderUnavailable,
    StoreError,
    SubmissionUncertain,
)
from bot.media import open_media
from bot.ports import Generation, Provider, Submission
from bot.refs import JobId, money
from bot.request import VideoWork
from bot.wiring.supply import SIMULATOR, Opened, open_provider, simulator_table

PROMPT = "A paper boat drifts slowly over calm water"
#: How long the clip is watched; afterwards only its service knows of it.
PATIENCE = timedelta(minutes=30)
#: Parts of a link that say how long it holds; all others may open it, so they are left out.
LIFETIMES = {"expires", "x-amz-expires", "x-amz-date", "x-goog-expires", "ex", "se"}
LOST = (
    "The answer to the one submission was lost, so it may have been taken and paid. Look at your "
    "account there before you probe again."
)
NO_SIMULATOR = (
    f"[providers.{SIMULATOR}] base_url is empty, so there is none to ask. `raybot simulator` "
    "serves one; put the address that it prints there."
)


@dataclass(frozen=True, kw_only=True)
class Told:
    """Where the report is, and what the poller can learn of it.

    `refusal` is the sentence where the service did not take the clip at all.
    """

    report: Path
    clip: Path | None = None
    known: Mapping[str, str] = field(default_factory=dict)
    refusal: str = ""


async def probe(
    config: Config, name: str, *, agrees: Callable[[str], bool], clock: Clock
) -> Told | None:
    """Ask, buy one clip, look at everything; None where nobody agreed.

    Raises `ConfigError` without a key or a price, `ProviderError`s, and `StoreError` where the
    report cannot be written.
    """
    address = simulator_table(config).base_url if name == SIMULATOR else ""
    if name == SIMULATOR and not address:
        raise ConfigError(NO_SIMULATOR)
    refuse_unknown_part("providers", name)
    opened = open_provider(config, name, clock=clock, simulator_url=address)
    if opened is None:
        raise ConfigError(f"{name} has no api_key (RAYBOT_PROVIDERS__{name.upper()}__API_KEY).")
    try:
        work, price = cheapest_work(opened.provider)
        question = (
            f"{name} would make one clip: {work.model}, {work.duration}, {work.resolution}, for "
            f"about {price}. It is paid from your account there and posted nowhere. Go on?"
        )
        return await _buy(config, opened, work, clock) if agrees(question) else None
    finally:
        await opened.provider.aclose()


def cheapest_work(provider: Provider) -> tuple[VideoWork, str]:
    """The cheapest clip of a provider and its price; raises `ConfigError` where none is known."""
    sold = choice.cheapest(provider)
    if not sold:
        raise ConfigError(f"[providers.{provider.name}] prices: no price is known to ask about.")
    model, least = min(sold.items(), key=lambda each: each[1].micros)
    asked = VideoWork(
        prompt=PROMPT, model=model, duration=least.duration, resolution=least.resolution
    )
    work, _ = choice.fit(asked, provider.capabilities[model])
    return work, money(least.micros)


async def _buy(config: Config, opened: Opened, work: VideoWork, clock: Clock) -> Told:
    """Whatever fails, what is known by then is in the report: also why nothing was taken."""
    provider, began = opened.provider, clock.now()
    folder = config.bot.data_dir / "probes"
    stem = f"{provider.name}-{began:%Y%m%d-%H%M%S}"
    report = Report(folder / f"{stem}.json")
    asked = work.model_dump(mode="json", include={"model", "duration", "resolution"})
    await report.add(provider=provider.name, at=began.isoformat(timespec="seconds"), asked=asked)
    try:
        before = await provider.balance()
        generation = await provider.submit(_to_submission(config, provider, work, clock))
    except SubmissionUncertain as error:
        await report.add(lost=LOST)
        raise SubmissionUncertain(LOST, provider=provider.name) from error
    except ProviderError as error:
        await report.add(refused=to_refusal(error))
        return Told(report=report.path, refusal=error.sentence)
    await report.add(generation=generation.id, state=generation.state)
    generation = await _wait(provider, generation, clock)
    took = round((clock.now() - began).total_seconds(), 1)
    failure = generation.failure.model_dump(mode="json") if generation.failure else None
    await report.add(state=generation.state, failure=failure, seconds_until_done=took)
    clip, known = None, dict[str, str]()
    if generation.clip_url is not None:
        await report.add(link=read_link(generation.clip_url))
        clip = await _keep(opened, generation.clip_url, folder, stem, report)
    try:
        known = dict(await provider.observe(generation.id))
        after = await provider.balance()
    except ProviderError as error:
        await report.add(observe_failed=to_refusal(error))
    else:
        paid = before - after if before is not None and after is not None else None
        await report.add(observed=known, paid_micros=paid)
    return Told(report=report.path, clip=clip, known=known)


class Report:
    """What is known so far, in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._told: dict[str, Any] = {}

    async def add(self, **told: Any) -> None:
        """Write this down, too; raises `StoreError`, which says what may be paid by then."""
        self._told |= told
        try:
            await asyncio.to_thread(self._write, json.dumps(self._told, indent=2) + "\n")
        except OSError as error:
            raise StoreError(
                f"{self.path} cannot be written: {error.strerror}. {self._stake()}"
            ) from error

    def _stake(self) -> str:
        if "generation" in self._told:
            name, generation = self._told["provider"], self._told["generation"]
            return f"{name} was sent one clip, generation {generation}; look for it there."
        return str(self._told.get("lost", "Nothing was bought."))

    def _write(self, text: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # What is there already stays where the disk is full now.
        unfinished = self.path.with_suffix(".new")
        try:
            unfinished.write_text(text, "utf-8")
            unfinished.replace(self.path)
        finally:
            unfinished.unlink(missing_ok=True)


def _to_submission(
    config: Config, provider: Provider, work: VideoWork, clock: Clock
) -> Submission:
    token = secrets.token_urlsafe(32)
    public = config.bot.public_url.rstrip("/")
    callback = f"{public}/callbacks/{provider.name}/{token}" if public else None
    return Submission(
        job_id=JobId("r-probe"),
        attempt=1,
        work=work,
        sent_at=clock.now(),
        token_hash=hashlib.sha256(token.encode()).hexdigest(),
        callback_url=callback,
        has_callback=callback is not None,
    )


async def _wait(provider: Provider, generation: Generation, clock: Clock) -> Generation:
    """The generation once it has ended; raises `ProviderUnavailable` where that takes too long."""
    until, pause = clock.now() + PATIENCE, timedelta(seconds=provider.limits.look_seconds)
    while generation.state not in ("completed", "failed"):
        if clock.now() > until:
            raise ProviderUnavailable(
                f"{provider.name} still works on {generation.id}; look for it there.",
                provider=provider.name,
            )
        await clock.wait(asyncio.Event(), clock.now() + pause)
        try:
            seen = await provider.check([generation.id])
        except ProviderError:
            continue
        generation = seen.get(generation.id, generation)
    return generation


async def _keep(opened: Opened, url: str, folder: Path, stem: str, report: Report) -> Path | None:
    """The finished clip, verified and kept beside the report: it is paid for."""
    try:
        media, codec = open_media("", folder), Codec()
    except ConfigError as error:
        await report.add(clip_failed=error.sentence)
        return None
    try:
        clips = Clips(media, codec, allow_hosts=frozenset({opened.host}))
        clip = await clips.fetch(url, JobId(stem))
        await report.add(clip=clip.model_dump(mode="json", exclude={"key", "sha256"}))
        return await clips.local(clip)
    except ClipError as error:
        await report.add(clip_failed=error.sentence)
        return None
    finally:
        await codec.aclose()
        media.close()


def to_refusal(error: ProviderError) -> dict[str, Any]:
    """What Raybot takes a refusal for, and the reply itself, where there was one."""
    return {"taken_for": type(error).__name__, "sentence": error.sentence, **error.reply}


def read_link(url: str) -> dict[str, Any]:
    """What a link tells of its own life; its host and what opens it are nobody's business."""
    parts = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    return {
        "parameters": sorted({name for name, _ in parts}),
        "lifetime": {name: value[:40] for name, value in parts if name.lower() in LIFETIMES},
    }
