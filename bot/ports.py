"""What chat platforms, video services and dispatchers must do, and what they exchange."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from bot.job import Failure
from bot.notices import Notice
from bot.refs import Attachment, Frozen, GenerationId, JobId, MessageRef, Micros, ThreadRef
from bot.request import AspectRatio, Duration, Requester, Resolution, Work
from bot.tariffs import Tariff
from bot.web_calls import WebCall as WebCall
from bot.web_calls import WebHandler as WebHandler
from bot.web_calls import WebReply as WebReply
from bot.web_calls import WebRoute as WebRoute

FrameKind = Literal["none", "image", "clip"]
Operation = Literal["video", "story", "image", "upscale", "audio", "reframe", "modify"]


# ---- video services --------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class FrameRule:
    """Whether a model takes one pair of key frames, and what goes with them.

    `loop_refusal` is the sentence where it may not loop; `durations` its lengths, None: all.
    """

    loop_refusal: str | None = None
    durations: tuple[Duration, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class ModelCapabilities:
    """What one model of one provider can do, as data. An empty tuple: the model takes none.

    `operations` are the kinds of work it does. `longest` is how many seconds a clip may have that
    is worked on, by operation; `targets` are the sizes to which it upscales, and `sizes` those in
    which it reworks a clip to a ratio, where it wants to be told one.

    `frames` maps (start, end) to its rule; a pair that is missing is not possible.
    `fixed` is the duration and resolution of a model that lets nobody choose them;
    `loop_durations` are the lengths that can loop, where not all can. `needs_prompt`: an image
    alone is not enough.
    """

    model: str
    durations: tuple[Duration, ...]
    resolutions: tuple[Resolution, ...]
    aspect_ratios: tuple[AspectRatio, ...]
    frames: Mapping[tuple[FrameKind, FrameKind], FrameRule]
    concepts: tuple[str, ...] = ()
    max_concepts: int = 4
    prompt_chars: tuple[int, int] = (3, 5000)
    image_input: Literal["link", "bytes"] = "link"
    operations: frozenset[Operation] = frozenset({"video"})
    longest: Mapping[Operation, int] = field(default_factory=dict)
    targets: tuple[Resolution, ...] = ()
    sizes: Mapping[tuple[Operation, AspectRatio], tuple[Resolution, ...]] = field(
        default_factory=dict
    )
    fixed: tuple[Duration, Resolution] | None = None
    loop_durations: tuple[Duration, ...] | None = None
    needs_prompt: bool = False


class FrameHandle(Frozen):
    """What a provider is given: a link, a local file, or an earlier generation and its link."""

    url: str | None = None
    path: str | None = None
    content_type: str = "image/jpeg"
    generation_id: GenerationId | None = None


class Submission(Frozen):
    """One attempt at one job's generation, as it goes to the provider and into `attempts`.

    `callback_url` holds the attempt's secret and is never stored; `token_hash` is its SHA-256 hex,
    and `has_callback` keeps that one was sent. `requester_hash` is a salted one of the person.
    `account` is the provider's then, empty where an older version wrote it.
    """

    job_id: JobId
    attempt: int
    work: Work
    sent_at: datetime
    token_hash: str
    start_frame: FrameHandle | None = None
    end_frame: FrameHandle | None = None
    source: FrameHandle | None = None
    callback_url: str | None = None
    has_callback: bool = False
    requester_hash: str = ""
    account: str = ""


GenerationState = Literal["queued", "running", "completed", "failed"]


@dataclass(frozen=True, kw_only=True)
class Generation:
    """The provider's run as the provider describes it. A failure is data, not an exception.

    `can_retry` marks a failure of the service itself, worth one more attempt; it was refunded.
    """

    id: GenerationId
    state: GenerationState
    clip_url: str | None = None
    failure: Failure | None = None
    can_retry: bool = False
    created_at: datetime | None = None
    token_hash: str | None = None


Tell = Callable[[Generation], None]


def to_nobody(generation: Generation) -> None:
    """For whoever waits for the whole answer."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Reconciling found the generations that fit, the best first."""

    generations: tuple[Generation, ...]


@dataclass(frozen=True, kw_only=True)
class Absent:
    """The provider's list reaches back far enough and holds no such generation."""


@dataclass(frozen=True, kw_only=True)
class CannotTell:
    """The provider has no way to answer."""


@dataclass(frozen=True, kw_only=True)
class ProviderLimits:
    """What the provider allows, when to look first, how often, and how long a POST may take.

    With `has_list` one call tells of many generations. Where none may run, nothing new goes.
    """

    running: int = 10
    creates_per_minute: int = 20
    first_look_seconds: float = 15.0
    look_seconds: float = 1.0
    submit_seconds: float = 60.0
    min_balance: Micros = Micros(0)
    has_list: bool = False


class Provider(Protocol):
    """One video service. Every error it raises is a `ProviderError`."""

    @property
    def name(self) -> str:
        """The name of its table in the configuration."""

    @property
    def account(self) -> str:
        """A fingerprint of the address and key of its calls; another may be another account."""

    @property
    def is_test(self) -> bool:
        """Whether its clips are a test: nothing is charged and clips are marked."""

    @property
    def capabilities(self) -> Mapping[str, ModelCapabilities]:
        """What it can do, by model."""

    @property
    def tariffs(self) -> Mapping[str, Tariff]:
        """What its models cost; one without a tariff is hidden."""

    @property
    def limits(self) -> ProviderLimits:
        """What it allows."""

    @property
    def finding_may_buy(self) -> bool:
        """Whether `find` may start the generation that it does not find."""

    async def submit(self, submission: Submission) -> Generation:
        """Start a paid generation: exactly one paid POST, never repeated here.

        What the service says of it at once; one that is complete is not asked for again.
        """

    async def check(
        self, ids: Collection[GenerationId], tell: Tell = to_nobody
    ) -> Mapping[GenerationId, Generation]:
        """What has become of these; one list call may serve many; the unknown are left out.

        `tell` hears of each as soon as it is known, also where an error is raised in the end.
        """

    async def find(
        self, submission: Submission, owned: Collection[GenerationId]
    ) -> Found | Absent | CannotTell:
        """Look for a submission whose answer was lost; leave out what others own (`owned`)."""

    async def cancel(self, generation_id: GenerationId) -> bool:
        """Stop it where the service can; True only if it then costs nothing."""

    async def forget(self, generation_id: GenerationId) -> bool:
        """Delete one that has ended, where the service can; False where it keeps it."""

    async def balance(self) -> Micros | None:
        """What is left in the account, where the service tells."""

    async def read_callback(
        self, headers: Mapping[str, str], body: bytes, token: str
    ) -> Generation | None:
        """Read an untrusted hint; None where it is none, or its service's signature is wrong."""

    @property
    def sunset(self) -> str | None:
        """What the service says of the end of its address; None where it says nothing."""

    async def observe(self, generation_id: GenerationId) -> Mapping[str, str]:
        """What the service shows, with a finished generation, of what is documented nowhere."""

    def learn(self, known: Mapping[str, str]) -> None:
        """Take what `observe` told once, maybe long ago, to heart."""

    async def aclose(self) -> None:
        """Close connections."""


# ---- chat platforms --------------------------------------------------------------------------


#: In a memo: when a post was tried first and last, as long as it may have arrived. A database
#: that is set back to an earlier time has them, too, for all that may have been posted since.
FIRST_TRY, LAST_TRY = "first_try", "last_try"


class Memo(Protocol):
    """A small durable dictionary per job and post, for what an adapter must not forget."""

    def get(self, name: str) -> str | None:
        """What was kept under this name."""

    async def put(self, name: str, value: str) -> None:
        """Keep it, durably, before returning."""


@dataclass(frozen=True, kw_only=True)
class AdapterLimits:
    """What a platform takes. `edit_seconds` is the least time between edits of one message.

    `can_host`: whether it can show an image so that a video service may fetch it by a link.
    `is_placed_first`: only a first message shows whether one may write there, so the status
    message is posted before anything is paid. `is_shared`: others read along there.
    """

    can_edit: bool
    edit_seconds: float = 5.0
    can_host: bool = False
    is_placed_first: bool = False
    is_shared: bool = True


@dataclass(frozen=True, kw_only=True)
class Hosting:
    """An image that a video service is to fetch from the chat: whose, and where it may be shown.

    `status` is the job's status message, None where it is not posted yet; where `is_hidden`, only
    the requester may see the image. `letter` is the message that was made to show its images.
    """

    job_id: JobId
    slot: Literal["start", "end"]
    requester: Requester
    thread: ThreadRef
    status: MessageRef | None
    is_hidden: bool
    letter: MessageRef | None = None


@dataclass(frozen=True, kw_only=True)
class Hosted:
    """An image's link. `letter`, if any, was made for it and is deleted when its job has ended."""

    url: str
    letter: MessageRef | None = None


class Adapter(Protocol):
    """One chat platform. Its errors while posting are `DeliveryError`s."""

    @property
    def name(self) -> str:
        """The name of its table in the configuration."""

    @property
    def routes(self) -> Mapping[tuple[str, str], WebHandler]:
        """What it answers in public, by method and path; `/…/*`: whatever has no own answer."""

    @property
    def trouble(self) -> str | None:
        """Why nobody is heard just now, for the operator to read; None where all is well."""

    async def run(self) -> None:
        """Connect and listen until cancelled, or until there is nothing more to hear."""

    def limits(self, thread: ThreadRef) -> AdapterLimits:
        """What this place takes."""

    async def max_upload(self, thread: ThreadRef) -> int:
        """The bytes of a file that this place takes at most; `DeliveryError`s."""

    async def post(self, thread: ThreadRef, notice: Notice, *, key: str, memo: Memo) -> MessageRef:
        """Post a message, at most once for this key, however often it is called."""

    async def edit(self, message: MessageRef, notice: Notice) -> None:
        """Replace what an own message says."""

    async def delete(self, message: MessageRef) -> None:
        """Remove an own message; fine if it is gone, `ThreadGone` where it has to stay."""

    async def clear_thread_title(self, asked: ThreadRef, message: MessageRef) -> None:
        """Take a request's words off the thread opened for it: `asked` there, `message` in it."""

    async def direct(self, requester: Requester) -> ThreadRef | None:
        """The conversation with this person alone, where there is one."""

    async def is_admin(self, requester: Requester) -> bool:
        """Whether somebody may run their place, as the platform says now; `DeliveryError`s."""

    def link_to(self, message: MessageRef) -> str:
        """Where an own message is read in a browser; empty where it has no address."""

    async def host(self, image: Path, hosting: Hosting) -> Hosted:
        """A fresh public link to this image by the chat's own means; only where `can_host`."""

    def read(self, attachment: Attachment) -> AsyncIterator[bytes]:
        """Stream an attachment's bytes."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that `raybot check` has to say; where it `is_well`, it needs nobody."""

    is_well: bool
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Introduction:
    """Who our bot is at a chat platform, for whoever sets it up. Names are what people chose.

    `places` names the places it is in by their ids; `invitation` says how to add it to one.
    """

    name: str
    owner: str
    owner_name: str
    places: Mapping[str, str]
    invitation: str


# ---- who advances what, and when -------------------------------------------------------------


class Transaction(Protocol):
    """An open transaction, opaque to everyone but the store."""

    def after_commit(self, call: Callable[[], None]) -> None:
        """Run this once the transaction is durable; never if it is rolled back."""


class Dispatcher(Protocol):
    """Brings each job to `advance` when it is due, one step of one job at a time."""

    def wake(self, tx: Transaction, job_id: JobId, at: datetime) -> None:
        """Let this job be advanced at this time, if the transaction commits."""

    def go_on(self, tx: Transaction, job_id: JobId, at: datetime | None) -> None:
        """Reschedule the job from its own step; work due now continues here.

        None: nothing is to be done until somebody wakes it; what the step said before is void.
        """

    async def run(self, advance: Callable[[JobId, datetime], Awaitable[None]]) -> None:
        """Advance what is due until cancelled; `advance` hears which of the row's times it is."""

    async def drain(self, seconds: float) -> float:
        """Start nothing more, and give the steps in hand this long to end; the seconds left."""
