"""The JSON of fal's queue API: what is sent, what a request or a call says, what a refusal means.

Pure. Facts: fal's docs pages, its client's source (fal-client 1.0.3) and its model pages, all read
in November 2026.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bot import http
from bot.dialects import dream_machine
from bot.dialects.dream_machine import part
from bot.job import Failure
from bot.ports import Generation, ModelCapabilities, Submission
from bot.refs import GenerationId
from bot.request import ASPECT_RATIOS, Duration, Resolution, to_video

#: Both models are paths of one app, and what became of a request is asked of the app itself.
APP = "fal-ai/luma-dream-machine"
PATHS = {"ray-flash-2": f"{APP}/ray-2-flash", "ray-2": f"{APP}/ray-2"}
#: What each size and length costs, as a multiple of 5 s at 540p: the model pages.
SIZES: dict[Resolution, int] = {"540p": 1, "720p": 2, "1080p": 4}
LENGTHS: dict[Duration, int] = {"5s": 1, "9s": 2}
RAY_2 = ModelCapabilities(
    model="ray-2",
    durations=tuple(LENGTHS),
    resolutions=tuple(SIZES),
    aspect_ratios=tuple(each for each in ASPECT_RATIOS if each != "1:1"),
    frames={pair: rule for pair, rule in dream_machine.FRAMES.items() if "clip" not in pair},
    image_input="bytes",
)
MODELS = {"ray-flash-2": replace(RAY_2, model="ray-flash-2"), "ray-2": RAY_2}

#: How the `type` of a refusal begins (fal's pages on model errors and request errors): its code.
TYPES = {"content_policy": "moderation", "image_": "image", "file_": "image", "client_": "stopped"}
MEANS = {
    "moderation": "fal's filter refuses it, at times a harmless one. Try it in other words.",
    "image_moderation": "fal's filter refuses the image. Use another one.",
    "image": "fal could not use the image. Attach it again, or use another one.",
    "prompt": "fal needs a prompt of 3 to 5,000 characters for this.",
    "stopped": "It was stopped at fal before it was done.",
    "service": "fal had a fault of its own. Ask again in a while.",
}
ID = re.compile(r"[\w-]{1,120}", re.ASCII)
#: fal's page on webhooks: how old a call may be, and what is signed, in this order.
FRESH = timedelta(minutes=5)
SIGNED = ("request-id", "user-id", "timestamp")


def to_path(submission: Submission) -> str:
    """Where a request goes to; one with images has a path of its own."""
    has_image = submission.start_frame or submission.end_frame
    return PATHS[submission.work.model] + ("/image-to-video" if has_image else "")


def to_payload(
    submission: Submission, *, start: str | None = None, end: str | None = None
) -> dict[str, Any]:
    """The body of a request, with the addresses of its images; fal always wants a prompt."""
    work = to_video(submission.work)
    payload = {
        "prompt": work.prompt.strip(),
        "aspect_ratio": work.aspect_ratio,
        "resolution": work.resolution,
        "duration": work.duration,
        "loop": work.loop,
        "image_url": start,
        "end_image_url": end,
    }
    return {key: value for key, value in payload.items() if value is not None}


def read_request_id(row: object) -> GenerationId | None:
    """The id that fal gave to a request; None where there is none to go on with."""
    text = str(row.get("request_id")) if isinstance(row, dict) and row.get("request_id") else ""
    return GenerationId(text) if ID.fullmatch(text) else None


def read_status(generation_id: GenerationId, row: Mapping[str, Any]) -> Generation | None:
    """A request that is not over yet; None for one that is, whose result tells more."""
    match row.get("status"):
        case "COMPLETED":
            return None
        case "IN_QUEUE":
            return Generation(id=generation_id, state="queued")
        case _:
            return Generation(id=generation_id, state="running")


def read_told(row: Mapping[str, Any]) -> str:
    """The kind of error that the status of a request names; empty where it names none."""
    return str(row.get("error_type") or ("error" if row.get("error") else ""))


def never_ran(row: Mapping[str, Any]) -> bool:
    """Whether a status tells of a request that was stopped before any machine worked on it."""
    has_run = bool(part(row, "metrics").get("inference_time"))
    return row.get("error_type") == "client_cancelled" and not has_run


def read_result(
    generation_id: GenerationId, status: int, body: object, *, told: str = ""
) -> Generation | None:
    """What the result of a request that is over says; None where that is not clear.

    A failed one answers with the error that its model ended with. `told` is what its status
    named; without that, an error that names no kind may as well be trouble on the way.
    """
    if status < 300:
        url = _link(body)
        return Generation(id=generation_id, state="completed", clip_url=url) if url else None
    failure = explain(status, body, told=told)
    if failure is None and (told or status == 422):
        said = read_said(body).rstrip(".") or "it gave no reason"
        failure = Failure(code="unknown", sentence=f"fal made no clip: {said}.")
    if failure is None:
        return None
    is_fault = failure.code == "service"
    return Generation(id=generation_id, state="failed", failure=failure, can_retry=is_fault)


def read_call(row: object) -> Generation | None:
    """The request that a call is about, which is over; None where it is no call of fal's."""
    generation_id = read_request_id(row)
    if generation_id is None or not isinstance(row, dict):
        return None
    match row.get("status"):
        case "OK":
            url = _link(row.get("payload"))
            return Generation(id=generation_id, state="completed", clip_url=url)
        case "ERROR":
            return Generation(id=generation_id, state="failed")
        case _:
            return None


def read_signed(
    headers: Mapping[str, str], body: bytes, now: datetime
) -> tuple[bytes, bytes] | None:
    """What was signed and its signature; None where something is missing, or it is not of now."""
    lowered = {key.lower(): value for key, value in headers.items()}
    lines = [lowered.get(f"x-fal-webhook-{name}", "") for name in SIGNED]
    try:
        age = now.timestamp() - int(lines[-1])
        signature = bytes.fromhex(lowered.get("x-fal-webhook-signature", ""))
    except (ValueError, OverflowError):
        return None
    if abs(age) > FRESH.total_seconds() or not all(lines):
        return None
    message = "\n".join([*lines, hashlib.sha256(body).hexdigest()])
    return message.encode(errors="replace"), signature


def explain(status: int, body: object, *, told: str = "") -> Failure | None:
    """What an error reply says of one request; None where it is new or about something else.

    Only a 5xx is code `service`: fal never charges for one, but may for a 4xx (its FAQ).
    """
    row = body if isinstance(body, dict) else {}
    detail = row.get("detail")
    typed = [each for each in detail if isinstance(each, dict)] if isinstance(detail, list) else []
    first = typed[0] if typed else {}
    kind, where = str(first.get("type") or row.get("error_type") or told), str(first.get("loc"))
    if status >= 500:
        return Failure(code="service", sentence=MEANS["service"]) if kind else None
    code = next((each for start, each in TYPES.items() if kind.startswith(start)), "")
    if "image" in where or status == 413:
        code = "image_moderation" if code == "moderation" else "image"
    elif "prompt" in where:
        code = code or "prompt"
    if code:
        return Failure(code=code, sentence=MEANS[code])
    # What Luma said may come through as it was.
    known = dream_machine.explain(read_said(body))
    return None if known and known.code == "service" else known


def read_said(body: object) -> str:
    """An error reply's own words, made fit for a sentence."""
    detail = body.get("detail") if isinstance(body, dict) else None
    if isinstance(detail, list):
        detail = "; ".join(str(each.get("msg", "")) for each in detail if isinstance(each, dict))
    return http.plain(detail)


def _link(result: object) -> str | None:
    video = result.get("video") if isinstance(result, dict) else None
    url = video.get("url") if isinstance(video, dict) else None
    return url if isinstance(url, str) and re.match("https?://", url) else None
