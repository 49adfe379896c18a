"""Replicate's JSON: what Luma's models do there, what is sent, what a prediction says. Pure."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

from bot import http, ports, pricing
from bot.dialects import dream_machine
from bot.dialects.dream_machine import Row, echoed_token_hash, part
from bot.job import Failure
from bot.ports import FrameHandle, Generation, Submission
from bot.refs import GenerationId, Micros
from bot.request import VideoWork, to_video
from bot.tariffs import PerClip, Tariff

#: Clips of ours cannot be frames here; Replicate's pages of luma/ray-2-… and luma/ray-flash-2-….
FRAMES = {pair: rule for pair, rule in dream_machine.FRAMES.items() if "clip" not in pair}
RAY_2 = replace(
    dream_machine.RAY_2, resolutions=("540p", "720p"), frames=FRAMES, image_input="bytes"
)
MODELS = {model: replace(RAY_2, model=model) for model in ("ray-flash-2", "ray-2")}
#: Micro-dollars a second of output, by Replicate's name. Lists of others, 2025 and April 2026.
PRICES = {
    "ray-flash-2-540p": 33_000,
    "ray-flash-2-720p": 60_000,
    "ray-2-540p": 100_000,
    "ray-2-720p": 180_000,
}
SIDES = ("start_image", "end_image")
#: The call at the start finds a generation whose submission was not answered.
EVENTS = ("start", "completed")
#: Prediction lifecycle, 2025. Others are read as running.
STATES: dict[str, ports.GenerationState] = {
    "starting": "queued",
    "succeeded": "completed",
    "failed": "failed",
    "canceled": "failed",
    "aborted": "failed",
}
#: A failure in Replicate's own words (first match), and its code. E1000 and E6716 are documented,
#: the others were seen in public reports of 2025 and 2026.
SAYS = {
    r"flagged as sensitive|\bE005\b|nsfw|safety": "moderation",
    r"interrupted; please retry|unexpected error handling|unavailable|timed? ?out": "service",
    r"error occurred while processing|\bE(001|003|004|1000|6716|8765|9825|9828)\b": "service",
    r"\b(start|end)_image\b": "image",
    r"\bprompt\b": "prompt",
}
MEANS = {
    "moderation": "The filter at Replicate refuses it. Try it in other words, or another image.",
    "service": "Replicate had a fault of its own. Ask again in a while.",
    "image": "Replicate could not use the image. Attach it again, or use another one.",
    "prompt": "Replicate did not take the prompt. Try it in other words.",
    "canceled": "It was cancelled at Replicate.",
    "aborted": "Replicate did not begin it, or it was cancelled there beforehand.",
    "expired": "The clip was made, but Replicate keeps a clip for an hour only, and that is over.",
    "empty": "Replicate says that it is done, but shows no clip. Ask again.",
}
Verdict = Literal["ours", "maybe", "other"]
BEFORE, AFTER, WRONG_CLOCK = timedelta(seconds=60), timedelta(minutes=10), timedelta(days=1)


def to_tariffs(prices: Mapping[str, Micros]) -> dict[str, Tariff]:
    """What clips cost: seconds of output at the price of the model that makes their size."""
    rates = {**PRICES, **prices}
    return {
        model: PerClip(
            clips={
                (size, length): Micros(rates[f"{model}-{size}"] * pricing.seconds(length))
                for size in can.resolutions
                for length in can.durations
            }
        )
        for model, can in MODELS.items()
    }


def to_model(work: VideoWork) -> str:
    """Replicate's name of the model that makes this size."""
    return f"luma/{work.model}-{work.resolution}"


def to_frames(submission: Submission) -> dict[str, FrameHandle]:
    """The frames that were asked for, by their names here."""
    frames = (submission.start_frame, submission.end_frame)
    return {side: frame for side, frame in zip(SIDES, frames, strict=True) if frame}


def to_payload(submission: Submission, images: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The body of a new prediction; `images` are the frames as links or data URIs."""
    work = to_video(submission.work)
    asked: dict[str, Any] = {
        "prompt": work.prompt.strip(),
        "duration": pricing.seconds(work.duration),
        "aspect_ratio": work.aspect_ratio,
        "loop": work.loop,
        **(images or {}),
    }
    if work.concepts:
        asked["concepts"] = list(work.concepts)
    if submission.callback_url is None:
        return {"input": asked}
    return {
        "input": asked,
        "webhook": submission.callback_url,
        "webhook_events_filter": list(EVENTS),
    }


def read_generation(row: object) -> Generation | None:
    """A prediction as a generation; None where there is not even an id."""
    if not isinstance(row, dict) or not re.fullmatch(r"[\w-]+", str(row.get("id") or "")):
        return None
    status = str(row.get("status"))
    state, url, failure = STATES.get(status, "running"), _link(row.get("output")), None
    if state == "failed":
        failure = to_failure(status, http.plain(row.get("error")))
    elif state == "completed" and url is None:
        # None will follow: an output is there by the end, and is taken away after an hour.
        state, code = "failed", "expired" if row.get("data_removed") else "empty"
        failure = Failure(code=code, sentence=MEANS[code])
    return Generation(
        id=GenerationId(str(row["id"])),
        state=state,
        clip_url=url if state == "completed" else None,
        failure=failure,
        # Nothing documents that a run that failed costs nothing; one that never began does.
        can_retry=bool(failure and failure.code == "service" and not row.get("started_at")),
        created_at=http.read_time(row.get("created_at")),
        token_hash=_echoed_hash(row),
    )


def _link(output: object) -> str | None:
    first = output[0] if isinstance(output, list) and output else output
    return first if isinstance(first, str) and re.match("https?://", first) else None


def _echoed_hash(row: Row) -> str | None:
    """Of the webhook's address, which replies show although no paper says so."""
    return echoed_token_hash({"callback_url": row.get("webhook")})


def to_failure(status: str, said: str) -> Failure:
    """Why there is no clip, as a code and a sentence; Luma's own words may be passed on."""
    if status in {"canceled", "aborted"}:
        return Failure(code=status, sentence=MEANS[status])
    if known := explain(said):
        return known
    reason = f": {said.rstrip('. ')}." if said else " and gave no reason. Ask again."
    return Failure(code="unknown", sentence=f"Replicate made no clip{reason}")


def explain(said: str) -> Failure | None:
    """What these words of Luma's or Replicate's mean; None where they are new."""
    if known := dream_machine.explain(said):
        return known
    for pattern, code in SAYS.items():
        if re.search(pattern, said, re.IGNORECASE):
            return Failure(code=code, sentence=MEANS[code])
    return None


def is_bare(row: Row) -> bool:
    """Whether a row of the list says that there is a clip and shows none."""
    return row.get("status") == "succeeded" and _link(row.get("output")) is None


def compare(row: Row, submission: Submission, *, clock_skew: timedelta = timedelta(0)) -> Verdict:
    """Whether a prediction came from this submission; `clock_skew` is doubt about clocks."""
    if (told := _echoed_hash(row)) is not None:
        return "ours" if hmac.compare_digest(told, submission.token_hash) else "other"
    if (
        row.get("model") not in (None, to_model(to_video(submission.work)))
        or row.get("source") == "web"
    ):
        return "other"
    created_at = http.read_time(row.get("created_at"))
    age = (created_at or submission.sent_at) - submission.sent_at
    is_near = -BEFORE - clock_skew <= age <= AFTER + clock_skew
    if not part(row, "input"):  # It is taken away after an hour.
        return "maybe" if is_near else "other"
    given = dict.fromkeys(to_frames(submission), "given")
    asked, shown = _traits(to_payload(submission, given)["input"]), _traits(part(row, "input"))
    if any(asked[key] != shown[key] for key in asked.keys() & shown.keys()):
        return "other"
    # Equal but far off in time: ours if a clock was set since, which a person has to tell.
    if age < -WRONG_CLOCK - clock_skew or (not is_near and asked != shown):
        return "other"
    is_certain = created_at is not None and is_near and asked == shown
    is_certain &= abs(age) <= WRONG_CLOCK
    return "ours" if is_certain and not given else "maybe"  # Which images is not to be seen.


def _traits(asked: Row) -> Row:
    """What can be compared of an input; of images only whether there are any."""
    told = {key: asked.get(key) for key in ("duration", "aspect_ratio", "concepts")}
    told["prompt"] = str(asked.get("prompt") or "").strip()
    images = {side: bool(asked.get(side) or asked.get(f"{side}_url")) for side in SIDES}
    told = {key: value for key, value in told.items() if value not in (None, "")}
    return {"concepts": [], **told, **images, "loop": bool(asked.get("loop"))}
