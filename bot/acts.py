"""What can be done with a finished clip: the closed vocabulary, what each act needs, its work.

Pure. Whether a provider can do it, and for how much, is in `bot.menu`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from bot.errors import InvalidRequest
from bot.job import Job
from bot.refs import JobId, Price
from bot.request import (
    ASPECT_RATIOS,
    MODES,
    RESOLUTIONS,
    AnyWork,
    AspectRatio,
    AudioWork,
    ClipFrame,
    Frame,
    GenerationRequest,
    ImageWork,
    ModifyWork,
    Parameter,
    ReframeWork,
    Relation,
    Resolution,
    SourceClip,
    UpscaleWork,
    VideoWork,
    Work,
)

#: In the order in which they are offered.
Act = Literal[
    "animate",
    "extend",
    "variation",
    "remix",
    "loop",
    "final",
    "upscale",
    "audio",
    "reframe",
    "modify",
    "prequel",
    "join",
    "retry",
    "delete",
]
ACTS: tuple[Act, ...] = get_args(Act)
#: Acts with a button of their own; the others, but for `delete`, are a list.
FIRST_ROW: tuple[Act, ...] = ("animate", "extend", "variation", "remix", "loop", "retry")
#: Maximum of variations that may be asked for at once.
MOST_VARIATIONS = 4

Prompting = Literal["none", "optional", "needed"]
Choosing = Literal["none", "count", "resolution", "ratio", "mode"]


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What an act asks of a person: words, one of some options, another clip.

    Where an `optional` prompt is left out, the source's is used. `takes_image`: it may be given an
    image to end on.
    """

    prompt: Prompting = "none"
    choice: Choosing = "none"
    other_clip: bool = False
    takes_image: bool = False


NEEDS: Mapping[Act, Needs] = {
    "animate": Needs(prompt="optional", takes_image=True),
    "extend": Needs(prompt="optional", takes_image=True),
    "variation": Needs(choice="count"),
    "remix": Needs(prompt="needed"),
    "loop": Needs(),
    "final": Needs(choice="resolution"),
    "upscale": Needs(choice="resolution"),
    "audio": Needs(prompt="needed"),
    "reframe": Needs(choice="ratio"),
    "modify": Needs(prompt="needed", choice="mode"),
    "prequel": Needs(prompt="optional"),
    "join": Needs(prompt="optional", other_clip=True),
    "retry": Needs(),
    "delete": Needs(),
}
#: What is chosen where a person chooses nothing; of the resolutions, it depends.
DEFAULT_CHOICES: Mapping[Choosing, str] = {"count": "1", "mode": "flex_1", "resolution": "1080p"}
#: What each act makes of a job, for its lineage.
RELATIONS: Mapping[Act, Relation] = {each: each for each in get_args(Relation)}
#: What a clip keeps of the one it came of.
KEPT: frozenset[Parameter] = frozenset(
    {"prompt", "model", "duration", "resolution", "aspect_ratio", "loop", "concepts"}
)
#: What the same again keeps besides, whatever style its person has chosen since.
STYLE: frozenset[Parameter] = frozenset({"prefix", "suffix"})


@dataclass(frozen=True, kw_only=True)
class Option:
    """One value that can be chosen for an act, and its price where it is known beforehand."""

    value: str
    price: Price | None = None


@dataclass(frozen=True, kw_only=True)
class Offered:
    """An act that is possible with a clip. `price` is set where no option decides it."""

    act: Act
    options: tuple[Option, ...] = ()
    price: Price | None = None

    @property
    def needs(self) -> Needs:
        """What it asks of a person."""
        return NEEDS[self.act]


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a person gave with an act; `frame` is the image that an extension ends on."""

    choice: str = ""
    prompt: str = ""
    negative_prompt: str = ""
    other: JobId | None = None
    frame: Frame | None = None


# ---- to works --------------------------------------------------------------------------------


def to_work(act: Act, job: Job, wish: Wish) -> Work:
    """What an act asks for, of a job that has what it made; raises `InvalidRequest`."""
    _check(act, job, wish)
    work = job.work
    match act:
        case "extend" | "prequel" | "join":
            return _to_continuation(act, job, wish)
        case "animate":
            start = ClipFrame(job_id=job.id, is_still=True)
            prompt = wish.prompt or work.prompt
            return VideoWork(
                prompt=prompt,
                start_frame=start,
                end_frame=wish.frame,
                typed=frozenset({"prompt", "start_frame"}),
            )
        case "loop" | "final":
            change = {"loop": True} if act == "loop" else {"resolution": wish.choice}
            return _again(work, is_draft=False, **change)
        case "upscale" | "audio" | "reframe" | "modify":
            return _to_clip_work(act, job, wish)
        case "variation" | "retry":
            return _again(work)
        case "remix":
            return _again(work, prompt=wish.prompt)
        case "delete":
            raise InvalidRequest(f"Nothing is made of {job.id} by that.")


def _again(work: Work, **changes: object) -> Work:
    """A copy of the work that keeps to itself, whatever its person's defaults are now."""
    if not isinstance(work, VideoWork):
        changes.pop("is_draft", None)
        kept = work.typed | STYLE | {"prompt", "model", "aspect_ratio"}
    else:
        kept = work.typed | STYLE | KEPT
    return work.model_copy(update={"typed": kept, **changes})


def _to_continuation(act: Act, job: Job, wish: Wish) -> VideoWork:
    """A clip that goes on from another, leads to it, or joins two."""
    own = ClipFrame(job_id=job.id)
    start: Frame | None = None if act == "prequel" else own
    end: Frame | None = own if act == "prequel" else wish.frame
    if wish.other is not None:
        end = ClipFrame(job_id=wish.other)
    work = job.work
    ratio, resolution = shape_of(job)
    return VideoWork(
        prompt=wish.prompt or work.prompt,
        model=work.model,
        duration=work.duration if isinstance(work, VideoWork) else "5s",
        resolution=resolution,
        aspect_ratio=ratio,
        start_frame=start,
        end_frame=end,
        typed=KEPT - {"concepts"},
    )


def _to_clip_work(
    act: Literal["upscale", "audio", "reframe", "modify"], job: Job, wish: Wish
) -> UpscaleWork | AudioWork | ReframeWork | ModifyWork:
    """What is done to the file itself, at the service that made it."""
    assert job.clip is not None
    clip = job.clip
    ratio, resolution = shape_of(job)
    source = SourceClip(
        job_id=job.id,
        width=clip.width,
        height=clip.height,
        seconds=clip.seconds,
        resolution=resolution,
    )
    values: dict[str, object] = {
        "model": job.work.model,
        "source": source,
        "aspect_ratio": ratio,
        "prompt": wish.prompt,
    }
    typed: set[Parameter] = {"prompt"} if wish.prompt else set()
    match act:
        case "upscale":
            values |= {"resolution": wish.choice, "prompt": job.work.prompt}
            return UpscaleWork.model_validate({**values, "typed": {"resolution"}})
        case "audio":
            values["negative_prompt"] = wish.negative_prompt
            typed |= {"negative_prompt"} if wish.negative_prompt else set()
            return AudioWork.model_validate({**values, "typed": typed})
        case "reframe":
            values |= {"aspect_ratio": wish.choice, "prompt": wish.prompt or job.work.prompt}
            return ReframeWork.model_validate({**values, "typed": typed | {"aspect_ratio"}})
        case "modify":
            return ModifyWork.model_validate(
                {**values, "mode": wish.choice, "typed": typed | {"mode"}}
            )


def to_relation(work: AnyWork, *, retry_of: JobId | None) -> tuple[JobId | None, Relation | None]:
    """The job that a request came of and how, where only its work tells."""
    if retry_of is not None:
        return retry_of, "remix"
    if isinstance(work, UpscaleWork | AudioWork | ReframeWork | ModifyWork):
        return work.source.job_id, work.kind
    if not isinstance(work, VideoWork):
        return None, None
    match work.start_frame, work.end_frame:
        case ClipFrame(job_id=job_id, is_still=True), _:
            return job_id, "animate"
        case ClipFrame(job_id=job_id), ClipFrame(is_still=False):
            return job_id, "join"
        case ClipFrame(job_id=job_id), _:
            return job_id, "extend"
        case _, ClipFrame(job_id=job_id, is_still=is_still):
            return job_id, "animate" if is_still else "prequel"
    return None, None


def to_asked(request: GenerationRequest, work: Work, retry_of: JobId | None) -> GenerationRequest:
    """The request with its settled work, and where it came from."""
    asked = request.model_copy(update={"work": work})
    if request.parent is not None:
        return asked
    parent, relation = to_relation(work, retry_of=retry_of)
    return asked.model_copy(update={"parent": parent, "relation": relation})


# ---- what cannot be ------------------------------------------------------------------------


def is_for(act: Act, job: Job) -> bool:
    """Whether an act is one for what a job made: a picture, or a clip."""
    match act:
        case "animate":
            return job.work.kind == "image"
        case "variation" | "retry" | "delete":
            return True
        case "remix":
            return isinstance(job.work, VideoWork | ImageWork)
        case "loop":
            return isinstance(job.work, VideoWork) and not job.work.loop
        case "final":
            return isinstance(job.work, VideoWork)
        case _:
            return job.work.kind != "image"


def options_of(act: Act, job: Job) -> tuple[str, ...]:
    """What can be chosen for an act with this clip, as far as the clip itself decides that."""
    match NEEDS[act].choice:
        case "none":
            return ()
        case "count":
            return tuple(str(count) for count in range(1, MOST_VARIATIONS + 1))
        case "mode":
            return MODES
        case "ratio":
            own = shape_of(job)[0]
            return tuple(each for each in ASPECT_RATIOS if each != own)
        case "resolution":
            at = RESOLUTIONS.index(shape_of(job)[1])
            return RESOLUTIONS[at + 1 :]


def _check_kind(act: Act, job: Job) -> None:
    if is_for(act, job):
        return
    what = "picture" if job.work.kind == "image" else "clip"
    is_loop = isinstance(job.work, VideoWork) and job.work.loop
    refusal = f"{job.id} loops already." if act == "loop" and is_loop else ""
    raise InvalidRequest(refusal or f"That cannot be done with the {what} {job.id}.")


def _check(act: Act, job: Job, wish: Wish) -> None:
    _check_kind(act, job)
    needs, options = NEEDS[act], options_of(act, job)
    if needs.choice != "none" and wish.choice not in options:
        raise InvalidRequest(_choice_refusal(act, job, wish.choice, options), field="choice")
    if needs.prompt == "needed" and not wish.prompt.strip():
        raise InvalidRequest("Say in a few words what you want.", field="prompt")
    if needs.other_clip and wish.other in (None, job.id):
        raise InvalidRequest("Name two different clips to join.", field="other")
    if wish.frame is not None and not needs.takes_image:
        raise InvalidRequest("Only an extension can end on an image.", field="end_frame")


def _choice_refusal(act: Act, job: Job, chosen: str, options: tuple[str, ...]) -> str:
    ratio, resolution = shape_of(job)
    all_of_them = f"Possible: {', '.join(options)}." if options else "There is nothing larger."
    match NEEDS[act].choice:
        case "count":
            return f"1 to {MOST_VARIATIONS} variations can be made at once."
        case "ratio" if chosen == ratio:
            return f"{job.id} is {ratio} already. {all_of_them}"
        case "resolution" if chosen in RESOLUTIONS:
            return f"{job.id} is {resolution} already. {all_of_them}"
        case _:
            said = f"{chosen} is none of what can be chosen." if chosen else "Say which."
            return f"{said} {all_of_them}"


# ---- the clip itself -------------------------------------------------------------------------


def shape_of(job: Job) -> tuple[AspectRatio, Resolution]:
    """The ratio and resolution of what a job made: as asked, else the nearest to its pixels."""
    work, clip = job.work, job.clip
    if isinstance(work, VideoWork):
        return work.aspect_ratio, work.resolution
    if clip is None:
        return work.aspect_ratio, "540p"
    shape = math.log(clip.width / clip.height)
    lines = math.sqrt(clip.width * clip.height * 9 / 16)
    ratio = min(ASPECT_RATIOS, key=lambda each: abs(math.log(_ratio(each)) - shape))
    asked = work.resolution if isinstance(work, ReframeWork | ModifyWork) else None
    near = min(RESOLUTIONS, key=lambda each: abs(math.log(_lines(each) / lines)))
    return ratio, asked or near


def _ratio(ratio: AspectRatio) -> float:
    width, height = ratio.split(":")
    return int(width) / int(height)


def _lines(resolution: Resolution) -> int:
    return 2160 if resolution == "4k" else int(resolution.removesuffix("p"))
