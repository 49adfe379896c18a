"""What a person asked, frozen and platform-neutral, and the vocabulary it is asked in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import Field, model_validator

from bot.refs import Attachment, Frozen, JobId, MessageRef, ThreadRef

Duration = Literal["5s", "9s", "10s"]
Resolution = Literal["360p", "540p", "720p", "1080p", "4k"]
AspectRatio = Literal["1:1", "16:9", "9:16", "4:3", "3:4", "21:9", "9:21"]
Parameter = Literal[
    "prompt",
    "model",
    "duration",
    "resolution",
    "aspect_ratio",
    "loop",
    "start_frame",
    "end_frame",
    "concepts",
    "mode",
    "negative_prompt",
    "prefix",
    "suffix",
]
#: How far a modified clip may leave its source, from the closest on.
Mode = Literal[
    "adhere_1",
    "adhere_2",
    "adhere_3",
    "flex_1",
    "flex_2",
    "flex_3",
    "reimagine_1",
    "reimagine_2",
    "reimagine_3",
]

DURATIONS: tuple[Duration, ...] = get_args(Duration)
RESOLUTIONS: tuple[Resolution, ...] = get_args(Resolution)
ASPECT_RATIOS: tuple[AspectRatio, ...] = get_args(AspectRatio)
MODES: tuple[Mode, ...] = get_args(Mode)

CONCEPTS: tuple[str, ...] = (
    *("truck_left", "truck_right", "pan_left", "pan_right", "tilt_up", "tilt_down"),
    *("pedestal_up", "pedestal_down", "crane_up", "crane_down", "orbit_left", "orbit_right"),
    *("roll_left", "roll_right", "zoom_in", "zoom_out", "push_in", "pull_out", "dolly_zoom"),
    *("bolt_cam", "static", "handheld", "selfie", "pov", "over_the_shoulder", "low_angle"),
    *("high_angle", "eye_level", "ground_level", "overhead", "aerial", "aerial_drone"),
    *("tiny_planet", "elevator_doors"),
)
"""The camera moves that Ray models know, by every host of theirs."""

DEFAULT_MODEL = "ray-flash-2"
DEFAULT_STILL_MODEL = "uni-1"
CONTEXT_TOKENS = 1000


class ImageFrame(Frozen):
    """A key image somebody attached; its adapter can read the bytes."""

    kind: Literal["image"] = "image"
    attachment: Attachment


class LinkFrame(Frozen):
    """A key image behind a link somebody typed; never trusted."""

    kind: Literal["link"] = "link"
    url: str


class ClipFrame(Frozen):
    """An earlier clip of ours, named by its job; `is_still`: our book says it is a picture."""

    kind: Literal["clip"] = "clip"
    job_id: JobId
    is_still: bool = False


class PreviousShot(Frozen):
    """The last frame of the shot before in the same film, which may still be in the making."""

    kind: Literal["shot"] = "shot"


W = TypeVar("W", bound="AnyWork")
Frame = Annotated[ImageFrame | LinkFrame | ClipFrame | PreviousShot, Field(discriminator="kind")]


#: Words around every prompt, such as "watercolour of"; not so many that they drown it.
Style = Annotated[str, Field(max_length=300)]


class AnyWork(Frozen):
    """What clips and stills have in common.

    `typed` names the parameters that the person gave; only the others may be changed for them.
    `prefix` and `suffix` are a style that goes to the model around the prompt.
    """

    kind: Literal["video", "image", "story", "upscale", "audio", "reframe", "modify"]
    prompt: str = ""
    model: str
    aspect_ratio: AspectRatio = "1:1"
    prefix: Style = ""
    suffix: Style = ""
    typed: frozenset[Parameter] = frozenset()

    @property
    def full_prompt(self) -> str:
        """The prompt in its style, as the model reads it."""
        before = " ".join(part for part in (self.prefix.strip(), self.prompt.strip()) if part)
        after = self.suffix.strip()
        gap = " " if before and after and after[0] not in ",.;:" else ""
        return f"{before}{gap}{after}"


class VideoWork(AnyWork):
    """A clip from text and key images, with the defaults documented for Ray Flash 2.

    `is_draft`: in the smallest size of its model, whatever the resolution says.
    """

    kind: Literal["video"] = "video"
    model: str = DEFAULT_MODEL
    duration: Duration = "5s"
    resolution: Resolution = "540p"
    loop: bool = False
    start_frame: Frame | None = None
    end_frame: Frame | None = None
    concepts: tuple[str, ...] = ()
    is_draft: bool = False


class ImageWork(AnyWork):
    """A still picture from text."""

    kind: Literal["image"] = "image"
    model: str = DEFAULT_STILL_MODEL


class StoryWork(AnyWork):
    """A film of several shots, one for each line, each from the last frame of the one before."""

    kind: Literal["story"] = "story"
    shots: tuple[str, ...] = ()
    model: str = DEFAULT_MODEL
    duration: Duration = "5s"
    resolution: Resolution = "540p"

    @model_validator(mode="before")
    @classmethod
    def _tell(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Its prompt is all its lines, for whoever reads, searches or judges what was asked."""
        return {"prompt": " | ".join(values.get("shots", ())), **values}


class SourceClip(Frozen):
    """A finished clip of ours that is worked on; all but its name is told by our book.

    `provider` and `model` made it, in a `resolution` if that is known. Sizes are in pixels and
    seconds. `is_spoiler`: it is hidden.
    """

    job_id: JobId
    provider: str = ""
    model: str = ""
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    resolution: Resolution | None = None
    is_spoiler: bool = False


class ClipWork(AnyWork):
    """What is done to a finished clip; where no model is named it is the one that made it."""

    model: str = ""
    source: SourceClip


class UpscaleWork(ClipWork):
    """The same clip with more pixels."""

    kind: Literal["upscale"] = "upscale"
    resolution: Resolution = "1080p"


class AudioWork(ClipWork):
    """The same clip with a sound, described by the prompt."""

    kind: Literal["audio"] = "audio"
    negative_prompt: str = ""


class ReframeWork(ClipWork):
    """The same clip in another aspect ratio; what is missing at its sides is made up.

    `resolution` is set where the service wants to be told one.
    """

    kind: Literal["reframe"] = "reframe"
    resolution: Resolution | None = None


class ModifyWork(ClipWork):
    """The same motion with another look; `resolution` as of a reframe."""

    kind: Literal["modify"] = "modify"
    resolution: Resolution | None = None
    mode: Mode = "flex_1"


Work = Annotated[
    VideoWork | ImageWork | StoryWork | UpscaleWork | AudioWork | ReframeWork | ModifyWork,
    Field(discriminator="kind"),
]


#: How a job came of another: what was asked for with it, or of it.
Relation = Literal[
    "retry",
    "remix",
    "variation",
    "final",
    "loop",
    "extend",
    "prequel",
    "join",
    "animate",
    "upscale",
    "audio",
    "reframe",
    "modify",
]


class Requester(Frozen):
    """The person who asked.

    Outside any place of ours, in a direct message (`is_direct`) or through a personal install of
    the bot (`is_install`), `home` is the tenant in which they are known to be a member, and
    `workspace` that tenant's; empty where there is none. `is_guest`: a guest of the place, or
    somebody of another organisation.
    """

    adapter: str
    workspace: str
    user: str
    display_name: str = ""
    roles: tuple[str, ...] = ()
    locale: str = "en"
    member_since: datetime | None = None
    home: str = ""
    is_direct: bool = False
    is_install: bool = False
    is_guest: bool = False

    @property
    def person(self) -> str:
        """One key per person and tenant, for counting."""
        return f"{self.adapter}:{self.workspace}:{self.user}"

    @property
    def tenant(self) -> str:
        """One key per Discord server or Slack workspace."""
        return f"{self.adapter}:{self.workspace}"

    @property
    def is_outside(self) -> bool:
        """Whether they asked outside any place of ours, where they hold no rights of a place."""
        return self.is_direct or self.is_install or bool(self.home)


class GenerationRequest(Frozen):
    """One thing a person asked for; `dedupe_key` is the same when it is delivered again.

    `asked_in` is the message that asked, where it was a message; the answer replies to it.
    `asked_at` is when, by the platform's clock, where it says so.
    `is_private`: only its person may read of it. `parent` is the job that this one came of, by
    `relation`. Several that were asked for at once, `batch_size` of them, share a `batch`.
    """

    dedupe_key: str
    requester: Requester
    thread: ThreadRef
    work: Work
    asked_in: MessageRef | None = None
    asked_at: datetime | None = None
    is_age_restricted: bool = False
    is_private: bool = False
    parent: JobId | None = None
    relation: Relation | None = None
    batch: str = ""
    batch_size: int = 1

    def is_seen_by(self, requester: Requester) -> bool:
        """Whether somebody may read of it: people of its place, of a private one only its own."""
        own = self.requester
        return own.tenant == requester.tenant and (
            not self.is_private or own.person == requester.person
        )


def frames_of(work: AnyWork) -> tuple[Frame | None, Frame | None]:
    """What a work starts from and ends with; a still does neither."""
    return (work.start_frame, work.end_frame) if isinstance(work, VideoWork) else (None, None)


def clips_of(work: AnyWork) -> tuple[JobId, ...]:
    """The earlier clips and stills of ours that a work goes on from."""
    if isinstance(work, ClipWork):
        return (work.source.job_id,)
    return tuple(frame.job_id for frame in frames_of(work) if isinstance(frame, ClipFrame))


def to_shots(work: StoryWork) -> tuple[VideoWork, ...]:
    """The clips of a film; none of them loops, whatever its person likes else."""
    shared = {"model", "duration", "resolution", "aspect_ratio", "prefix", "suffix"}
    shape = work.model_dump(include=shared)
    return tuple(
        VideoWork(
            prompt=line,
            **shape,
            start_frame=PreviousShot() if number else None,
            typed=work.typed | {"prompt", "loop"},
        )
        for number, line in enumerate(work.shots)
    )


def without_words(work: W) -> W:
    """The work without what its person wrote."""
    written = {"prompt": "", "prefix": "", "suffix": "", "negative_prompt": "", "shots": ()}
    held = {name: value for name, value in written.items() if name in type(work).model_fields}
    return work.model_copy(update=held)


def to_video(work: AnyWork) -> VideoWork:
    """The work of a clip, for those whom no still ever reaches."""
    assert isinstance(work, VideoWork)
    return work


def as_sent(work: W) -> W:
    """The work as a video service gets it, its style in its prompt."""
    return work.model_copy(update={"prompt": work.full_prompt, "prefix": "", "suffix": ""})


def is_spoiler(work: AnyWork) -> bool:
    """Whether a key image was hidden by its sender, so that the clip is, and what it becomes."""
    if isinstance(work, ClipWork):
        return work.source.is_spoiler
    frames = frames_of(work)
    return any(isinstance(each, ImageFrame) and each.attachment.is_spoiler for each in frames)


def estimate_tokens(text: str) -> int:
    """About how many model tokens a text takes: four Latin characters each, or one wide one."""
    wide = sum(1 for letter in text if ord(letter) > 0x2E7F)
    return wide + (len(text) - wide + 3) // 4


def has_frames(work: AnyWork) -> bool:
    """Whether it starts from an image or ends with one, or a shot of it does."""
    shots = to_shots(work) if isinstance(work, StoryWork) else (work,)
    return any(frames_of(each) != (None, None) for each in shots)
