"""The JSON of Luma's Dream Machine API, which Luma speaks itself and others speak in its name.

What its models can do, what is sent, what a generation says, and what a refusal means. Pure.
Facts: Luma's OpenAPI and docs pages.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from bot import errors, http, ports
from bot.job import Failure
from bot.ports import FrameKind, FrameRule, Generation, ModelCapabilities, Submission
from bot.refs import GenerationId
from bot.request import ASPECT_RATIOS, CONCEPTS, to_video

Row = Mapping[str, Any]
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
#: What makes stills, at Luma's own address alone.
STILLS = {
    model: ModelCapabilities(
        model=model,
        durations=(),
        resolutions=(),
        aspect_ratios=ASPECT_RATIOS,
        frames={("none", "none"): FrameRule()},
        operations=frozenset({"image"}),
        needs_prompt=True,
    )
    for model in ("photon-1", "photon-flash-1")
}
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
    r"no keyframes provided|unknown request type|generation \S+ (not found|is not)": "frames",
    "generation not found|not completed": "source",
    "(duration|resolution) is not supported": "fixed",
    "extend or interpolate is not available": "extend",
    "concepts are not supported": "concepts",
    "frame moderation failed": "image_moderation",
    r"copyright|trademark|celebrit|public figure|work_class|protected (name|person)": "names",
    "blacklisted|moderation failed|prompt not allowed": "moderation",
    "failed to moderate image": "image",
    "failed to read user input frames": "service image",
    "prompt processing failed|dispatching job|job failed|processing callback": "service",
}
MEANS = {
    "prompt": "Luma needs a prompt of 3 to 5,000 characters for this.",
    "loop": "Luma cannot loop with these frames. Leave the loop out.",
    "frames": "Luma did not understand the frames. Use an image, or a clip that was made here.",
    "source": "Luma has this clip no more, or cannot work on it. Take another one.",
    "fixed": "This model chooses length and resolution by itself. Take ray-flash-2 instead.",
    "extend": "This model cannot continue a clip now. Take ray-2, or start from an image.",
    "concepts": "This model takes no camera moves. Describe the move in the prompt.",
    "image_moderation": "Luma's filter refuses the image. Use another one.",
    "names": "Luma's filter refuses a protected name. Describe who or what it is without it.",
    "moderation": "Luma's filter refuses it, at times a harmless one. Try it in other words.",
    "image": "Luma could not fetch the image. Attach it again, or use another one.",
    "service": "Luma had a fault of its own. Ask again in a while.",
}
STATES: tuple[ports.GenerationState, ...] = ("queued", "completed", "failed", "running")


def to_still_payload(submission: Submission) -> dict[str, Any]:
    """The body of `POST /generations/image`."""
    work = submission.work
    payload = {
        "generation_type": "image",
        "model": work.model,
        "prompt": work.prompt.strip(),
        "aspect_ratio": work.aspect_ratio,
        "format": "jpg",
        "callback_url": submission.callback_url,
    }
    return {key: value for key, value in payload.items() if value is not None}


def to_payload(submission: Submission) -> dict[str, Any]:
    """The body of `POST /generations/video`; what may be left out has no documented default."""
    work = to_video(submission.work)
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
            keyframes[key] = {"type": "generation", "id": frame.generation_id.partition("#")[0]}
        elif frame:
            if not frame.url:
                raise errors.ProviderRejected(MEANS["image"], provider="luma", code="image")
            keyframes[key] = {"type": "image", "url": frame.url}
    return keyframes


def read_generation(row: object) -> Generation | None:
    """A generation in any shape that Luma has used; None where there is not even an id."""
    if not isinstance(row, dict) or not re.fullmatch(r"[\w-]+", str(row.get("id") or "")):
        return None
    is_still = row.get("generation_type") == "image"
    link = part(row, "assets").get("image" if is_still else "video")
    url = link if isinstance(link, str) and re.match("https?://", link) else None
    reason = http.plain(row.get("failure_reason"))
    told = row.get("state") or ("failed" if reason else "completed" if url else "queued")
    state = next((each for each in STATES if each == told), STATES[-1])
    if state == "completed" and url is None:
        state = "running"  # The address follows.
    made = "picture" if is_still else "clip"
    failure = to_failure(reason, made) if state == "failed" else None
    return Generation(
        id=GenerationId(str(row["id"])),
        state=state,
        clip_url=url if state == "completed" else None,
        failure=failure,
        can_retry=failure is not None and failure.code == "service",
        created_at=http.read_time(row.get("created_at")),
        token_hash=echoed_token_hash(part(row, "request")),
    )


def to_failure(reason: str, made: str = "clip") -> Failure:
    """A failed generation's reason as a code and a sentence; Luma refunds every one."""
    said = f": {reason}" if reason else " and gave no reason. Ask again, or in other words."
    return explain(reason) or Failure(code="unknown", sentence=f"Luma made no {made}{said}")


def explain(said: str) -> Failure | None:
    """What these words of Luma's mean; None where they are new."""
    for pattern, meaning in SAYS.items():
        if re.search(pattern, said, re.IGNORECASE):
            code, _, sentence = meaning.partition(" ")
            return Failure(code=code, sentence=MEANS[sentence or code])
    return None


def echoed_token_hash(echo: Row) -> str | None:
    """SHA-256 of the attempt's secret: the last part of the echoed callback address."""
    url = echo.get("callback_url")
    if not isinstance(url, str) or not url:
        return None
    # Of each row of every page: to take the whole address apart would cost more than the row.
    path = url.partition("#")[0].partition("?")[0]
    return hashlib.sha256(path.rpartition("/")[2].encode()).hexdigest()


def path_of(url: str) -> str:
    """The path in an address; empty where it is none, for a stranger's call may say anything."""
    try:
        return urlsplit(url).path
    except ValueError:
        return ""


def part(row: Row, key: str) -> Row:
    """An object inside of another; empty where there is none."""
    value = row.get(key)
    return value if isinstance(value, dict) else {}
