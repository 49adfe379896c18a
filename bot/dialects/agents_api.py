"""What Luma's Agents API takes, says and costs: clips of Ray 3.2 and stills of Uni-1. Pure.

Facts: docs.agents.lumalabs.ai, June to October 2026, and Luma's own client luma-agents 0.5.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bot import errors, http, ports
from bot.job import Failure
from bot.ports import FrameHandle, FrameKind, FrameRule, Generation, Submission
from bot.refs import GenerationId, Micros
from bot.request import ASPECT_RATIOS, Duration, Resolution, VideoWork, to_video
from bot.tables import micros
from bot.tariffs import PerClip, PerPiece, Tariff

#: Micro-dollars a clip in SDR, whatever it starts from: Luma's pricing page, July 2026.
CLIPS: dict[tuple[Resolution, Duration], int] = {
    ("360p", "5s"): 60_000,
    ("360p", "10s"): 180_000,
    ("540p", "5s"): 150_000,
    ("540p", "10s"): 450_000,
    ("720p", "5s"): 300_000,
    ("720p", "10s"): 900_000,
    ("1080p", "5s"): 1_200_000,
    ("1080p", "10s"): 3_600_000,
}
#: The clip whose price an operator gives.
MEASURE: tuple[Resolution, Duration] = ("540p", "5s")
NO_LOOP = "A clip {} cannot loop. Leave the loop out."
ONLY_5S: tuple[Duration, ...] = ("5s",)
#: A clip is continued or led up to on its own, in 5 s; an end image alone has no way in 10 s.
FRAMES: dict[tuple[FrameKind, FrameKind], FrameRule] = {
    ("none", "none"): FrameRule(),
    ("image", "none"): FrameRule(),
    ("clip", "none"): FrameRule(durations=ONLY_5S),
    ("none", "image"): FrameRule(
        loop_refusal=NO_LOOP.format("with an end frame"), durations=ONLY_5S
    ),
    ("image", "image"): FrameRule(loop_refusal=NO_LOOP.format("with a start and an end frame")),
    ("none", "clip"): FrameRule(
        loop_refusal=NO_LOOP.format("that leads to another clip"), durations=ONLY_5S
    ),
}
RAY = ports.ModelCapabilities(
    model="ray-3.2",
    durations=("5s", "10s"),
    resolutions=("360p", "540p", "720p", "1080p"),
    aspect_ratios=tuple(each for each in ASPECT_RATIOS if each != "9:21"),
    frames=FRAMES,
    prompt_chars=(1, 6000),
    image_input="bytes",
    loop_durations=ONLY_5S,
    needs_prompt=True,
)
#: Micro-dollars a still from words, of about 2K: the same page.
STILLS = {"uni-1": 40_400, "uni-1-max": 100_000}
UNI = tuple(
    ports.ModelCapabilities(
        model=model,
        durations=(),
        resolutions=(),
        aspect_ratios=RAY.aspect_ratios,
        frames={("none", "none"): FrameRule()},
        prompt_chars=RAY.prompt_chars,
        image_input="bytes",
        operations=frozenset({"image"}),
        needs_prompt=True,
    )
    for model in STILLS
)
#: Every chat shows one, and it is small enough for it.
STILL_FORMAT = "jpeg"
#: Where the last frame of 10 s is: 24 frames a second, counted from 0.
LAST_OF_10S = 240

#: What Luma says of a request (first match) and its code.
SAYS = {
    r"prompt must be|prompt is": "prompt",
    r"(frame|image|file).*(moderat|flagged|guideline|policy)": "image_moderation",
    r"copyright|trademark|celebrit|public figure|work_class|protected (name|person)": "names",
    r"moderat|flagged|guideline|content policy": "moderation",
    r"generation.*(not found|not (yet )?complete)": "frames",
    r"(source|video).*(too long|longer|or shorter|at most|exceed)": "length",
    r"coming soon|rolling out|1080p.*not (yet )?available": "size",
    r"\bloop\b": "loop",
    r"unknown model|not supported for model": "model",
    r"\bfile.*(not found|not (yet )?ready|pending|expired|deleted)": "file",
    r"base64|fetch|content.type|size limit|too large|corrupt|decode|unsupported.*format": "image",
}
#: Luma's `failure_code`s and ours; `service` is a fault of its own, worth one more attempt.
FAILURES = {
    "content_moderated": "moderation",
    "generation_failed": "service",
    "output_not_found": "service",
    "rate_limited": "service",
    "budget_exhausted": "credits",
    "image_too_large": "image",
    "unsupported_format": "image",
    "corrupt_input": "image",
}
#: Types of work whose input is a clip, not an image.
OF_CLIPS = ("video_edit", "video_reframe")
MEANS = {
    "prompt": "Luma needs a prompt of 1 to 6,000 characters, also beside an image.",
    "image_moderation": "Luma's filter refuses the image. Use another one.",
    "names": "Luma's filter refuses a protected name. Describe who or what it is without it.",
    "moderation": "Luma's filter refuses it, at times a harmless one. Try it in other words.",
    "model": "This account at Luma may not use this model. Its operator can ask Luma for it.",
    "frames": "Luma cannot use this clip any more. Start from an image of it, or make it again.",
    "length": "This clip is too long for Luma. Take a shorter one.",
    "size": "Luma does not make this in this size so far. Take a smaller clip.",
    "loop": "Luma cannot loop this. Leave the loop out.",
    "image": "Luma cannot read the image. Attach it again, or use another one.",
    "service": "Luma had a fault of its own. Ask again in a while.",
    "file": "Luma does not have the image that it was just sent. Raybot sends it again by itself.",
    "credits": "The account at Luma ran out of credits meanwhile. Its operator can add some.",
}
STATES: dict[object, ports.GenerationState] = {
    "queued": "queued",
    "processing": "running",
    "completed": "completed",
    "failed": "failed",
}


def to_tariffs(prices: Mapping[str, float]) -> dict[str, Tariff]:
    """The published prices, or those that stand in the same proportion to the operator's."""
    own = {model: micros(usd) for model, usd in prices.items()}
    scale = own.get(RAY.model, CLIPS[MEASURE]) / CLIPS[MEASURE]
    clips = {key: Micros(round(each * scale)) for key, each in CLIPS.items()}
    stills = {
        model: PerPiece(price=own.get(model, Micros(each))) for model, each in STILLS.items()
    }
    return {RAY.model: PerClip(clips=clips), **stills}


def to_payload(submission: Submission, files: Mapping[str, str]) -> dict[str, Any]:
    """The body of `POST /generations`; `files` are the ids of uploaded images by their path.

    Raises `ProviderRejected` for what Luma certainly would not take.
    """
    work = submission.work
    if not work.prompt.strip():
        raise errors.ProviderRejected(MEANS["prompt"], provider="luma_agents", code="prompt")
    payload = {
        "type": work.kind,
        "model": work.model,
        "prompt": work.prompt.strip(),
        "aspect_ratio": work.aspect_ratio,
        **to_user(submission),
    }
    if work.kind == "image":
        return payload | {"output_format": STILL_FORMAT}
    return payload | {"video": _to_video(to_video(work), submission, files)}


def _to_video(work: VideoWork, submission: Submission, files: Mapping[str, str]) -> dict[str, Any]:
    """What only a clip has."""
    video: dict[str, Any] = {"resolution": work.resolution, "duration": work.duration}
    if work.loop:
        video["loop"] = True
    start, end = (_to_ref(each, files) for each in (submission.start_frame, submission.end_frame))
    if work.duration == "10s" and (start or end):
        anchors = {0: start, LAST_OF_10S: end}
        video["keyframes"] = [each for each in anchors.values() if each]
        video["keyframe_indexes"] = [at for at, each in anchors.items() if each]
    else:
        video |= {"start_frame": start} if start else {}
        video |= {"end_frame": end} if end else {}
    return video


def to_user(submission: Submission) -> dict[str, str]:
    """Whom Luma may hold responsible, as an opaque word."""
    return {"user_id": submission.requester_hash} if submission.requester_hash else {}


def _to_ref(frame: FrameHandle | None, files: Mapping[str, str]) -> dict[str, str] | None:
    if frame is None:
        return None
    if frame.generation_id:
        return {"generation_id": str(frame.generation_id)}
    if frame.path and frame.path in files:
        return {"file_id": files[frame.path]}
    raise errors.ProviderRejected(MEANS["image"], provider="luma_agents", code="image")


def read_generation(row: object) -> Generation | None:
    """What Luma says of a generation; None where there is not even an id."""
    if not isinstance(row, dict) or not re.fullmatch(r"[\w-]+", str(row.get("id") or "")):
        return None
    told = row.get("state")
    state = STATES.get(told if isinstance(told, str) else None, "running")
    url = _read_link(row) if state == "completed" else None
    if state == "completed" and url is None:
        state = "running"  # The address follows.
    failure = to_failure(row) if state == "failed" else None
    return Generation(
        id=GenerationId(str(row["id"])),
        state=state,
        clip_url=url,
        failure=failure,
        can_retry=failure is not None and failure.code == "service",
        created_at=http.read_time(row.get("created_at")),
    )


def _read_link(row: Mapping[str, Any]) -> str | None:
    """The clip's or the still's link, signed for an hour; another look has a fresh one."""
    kind = "image" if row.get("type") == "image" else "video"
    output = row.get("output")
    for each in output if isinstance(output, list) else ():
        url = each.get("url") if isinstance(each, dict) and each.get("type") == kind else None
        if isinstance(url, str) and re.match("https?://", url):
            return url
    return None


def to_failure(row: Mapping[str, Any]) -> Failure:
    """Why a generation failed; Luma gives back what such a one cost."""
    reason = http.plain(row.get("failure_reason"))
    code = FAILURES.get(str(row.get("failure_code")))
    known = explain(reason)
    is_finer = known is not None and known.code in ("image_moderation", "names")
    if code is None or (code == "moderation" and is_finer):
        what = "picture" if row.get("type") == "image" else "clip"
        said = f": {reason.rstrip('.')}." if reason else " and gave no reason. Ask again."
        return known or Failure(code="unknown", sentence=f"Luma made no {what}{said}")
    if code == "image" and row.get("type") in OF_CLIPS:
        code = "frames"
    return Failure(code=code, sentence=MEANS[code])


def explain(said: str) -> Failure | None:
    """What these words of Luma's mean; None where they are new."""
    code = next((code for each, code in SAYS.items() if re.search(each, said, re.IGNORECASE)), "")
    return Failure(code=code, sentence=MEANS[code]) if code else None
