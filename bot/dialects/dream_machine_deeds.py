"""What Luma's Dream Machine API does to finished clips: upscale, sound, reframe, modify. Pure.

Facts: Luma's OpenAPI 1.1.0, its docs pages on reframing and modifying, and its SDK 1.21.0.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from bot import errors
from bot.dialects.dream_machine import MEANS, MODELS, Row, part, path_of
from bot.ports import Generation, Submission
from bot.refs import GenerationId, Micros
from bot.request import AudioWork, ModifyWork, ReframeWork, UpscaleWork
from bot.tariffs import PerPiece, PerPixel, Tariff

#: Seconds that a clip may have, by Luma's docs: reframe and modify.
LONGEST = {"ray-2": (10, 10), "ray-flash-2": (30, 15)}
#: What Luma's models do at Luma's own address.
MODELS_AND_DEEDS = {
    model: replace(
        can,
        operations=frozenset({"video", "upscale", "audio", "reframe", "modify"}),
        longest={"reframe": LONGEST[model][0], "modify": LONGEST[model][1]},
        targets=can.resolutions,
    )
    for model, can in MODELS.items()
}
#: Micro-dollars per million pixels to modify: Luma's docs. Of upscale and sound they tell none.
MODIFY_RATES = {"ray-2": 15_820, "ray-flash-2": 5_440}
#: What can have a price of the operator's.
PRICED = tuple(
    f"{model}/{kind}"
    for model in MODELS_AND_DEEDS
    for kind in ("reframe", "modify", "upscale", "audio")
)
#: How Luma's echo of a request names what was asked.
TYPES = {
    "video": "video",
    "image": "image",
    "upscale": "upscale_video",
    "audio": "add_audio",
    "reframe": "reframe_video",
    "modify": "modify_video",
}
#: Sets the name of a generation apart from the job that goes on under it.
MARK = "#"


def to_tariffs(rates: dict[str, int], own: dict[str, int]) -> dict[str, Tariff]:
    """The prices of what is done to clips: those known, and those that the operator entered.

    Reframing costs what the model costs; sound is priced by the clip.
    """
    tariffs: dict[str, Tariff] = {}
    for model in MODELS_AND_DEEDS:
        known = {"reframe": rates[model], "modify": MODIFY_RATES[model]}
        for kind in ("reframe", "modify", "upscale"):
            rate = own.get(f"{model}/{kind}", known.get(kind))
            if rate is not None:
                tariffs[f"{model}/{kind}"] = PerPixel(rate=rate)
        if (price := own.get(f"{model}/audio")) is not None:
            tariffs[f"{model}/audio"] = PerPiece(price=Micros(price))
    return tariffs


def to_deed(submission: Submission) -> tuple[str, dict[str, Any]]:
    """The path and the body of the POST."""
    work, source = submission.work, submission.source
    if source is None or source.generation_id is None:
        raise errors.ProviderRejected(MEANS["source"], provider="luma", code="source")
    own = f"generations/{quote(bare(source.generation_id), safe='')}"
    body: dict[str, Any]
    match work:
        case UpscaleWork():
            path, body = f"{own}/upscale", {"resolution": work.resolution}
        case AudioWork():
            negative = work.negative_prompt.strip()
            path, body = f"{own}/audio", {"negative_prompt": negative}
        case ReframeWork():
            path, body = "generations/video/reframe", {"aspect_ratio": work.aspect_ratio}
        case ModifyWork():
            path, body = "generations/video/modify", {"mode": work.mode}
        case _:
            raise AssertionError(work.kind)
    if isinstance(work, ReframeWork | ModifyWork):
        if not source.url:
            raise errors.ProviderRejected(MEANS["source"], provider="luma", code="source")
        body |= {"model": work.model, "media": {"url": source.url}}
    if not isinstance(work, UpscaleWork):
        body["prompt"] = work.prompt.strip()
    body |= {"generation_type": TYPES[work.kind], "callback_url": submission.callback_url}
    return path, {key: value for key, value in body.items() if value not in (None, "")}


# ---- where Luma goes on under the name of the source ------------------------------------------
#
# Whether an upscale or a sound gets a generation of its own is documented nowhere. One generation
# belongs to one job, so ours is then `<its name>#<job>.<which file was there before>`.


def bare(generation_id: GenerationId) -> str:
    """The name as Luma knows it."""
    return generation_id.partition(MARK)[0]


def is_shared(generation_id: GenerationId) -> bool:
    """Whether it goes on under the name of another."""
    return MARK in generation_id


def to_own(generation: Generation, submission: Submission) -> Generation:
    """The generation under a name of its own where Luma answers with that of the source."""
    source = submission.source
    if source is None or source.generation_id is None:
        return generation
    if generation.id != bare(source.generation_id):
        return generation
    name = f"{generation.id}{MARK}{submission.job_id}.{_file_hash(source.url)}"
    return as_shared(generation, GenerationId(name))


def as_shared(generation: Generation, name: GenerationId) -> Generation:
    """What Luma says of it, under our name; the file that was there before is no result."""
    own = replace(generation, id=name)
    was = name.rpartition(".")[2]
    if own.state == "completed" and _file_hash(own.clip_url) == was:
        return replace(own, state="running", clip_url=None)
    return own


def _file_hash(url: str | None) -> str:
    # Another link may lead to the same file; only the path tells which one it is.
    return hashlib.sha256(path_of(url or "").encode()).hexdigest()[:16]


def is_source(row: Row, submission: Submission) -> bool:
    """Whether a listed generation is the one that was to be worked on."""
    source = submission.source
    return bool(source and source.generation_id and row.get("id") == bare(source.generation_id))


def has_moved(row: Row, submission: Submission) -> bool:
    """Whether the source shows that something was begun under its name."""
    assert submission.source is not None
    if part(row, "request").get("generation_type") == TYPES[submission.work.kind]:
        return True
    link = part(row, "assets").get("video")
    is_same = isinstance(link, str) and _file_hash(link) == _file_hash(submission.source.url)
    return row.get("state") != "completed" or not is_same
