"""The rules of this bot, and whom those that a person talks to tell of a change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from bot.desk_views import Health
from bot.job import Job
from bot.moderators import Moderator
from bot.notices import Notice
from bot.overview import UsageRow
from bot.ports import Finding
from bot.refs import GenerationId, JobId, MessageRef, ThreadRef
from bot.replicas import Replicas
from bot.request import Requester
from bot.routing.failover import Failover
from bot.tables import AccessTable, Contact, LimitsTable, ModerationTable

#: How an operator answers the open question about a job without naming a generation.
OpenResolution = Literal["charge", "release"]


class Announce(Protocol):
    """Shows a job's present state in its thread, at once or some seconds later."""

    def __call__(self, job_id: JobId, *, after: float = 0.0) -> None:
        """Show it after so many seconds."""


class Resolve(Protocol):
    """How an open question about a job is answered."""

    async def __call__(
        self, job_id: JobId, how: OpenResolution, *, generation_id: GenerationId | None, actor: str
    ) -> Job:
        """End the job, and remember who did it."""


class Unpark(Protocol):
    """How a job that was put aside is let go on."""

    async def __call__(self, job_id: JobId, *, actor: str) -> Job:
        """Let it go on, and remember who did it."""


@dataclass(frozen=True, kw_only=True)
class DeskContext:
    """What only the desk asks of this process."""

    #: Where it is, e.g. `https://ray.example`; empty where there is none.
    address: str
    #: Others than this machine reach it.
    is_public: bool
    #: What this process knows of a video service, by its name.
    health_of: Callable[[str], Health]
    #: Why nobody is heard at each platform; empty where all is well.
    chats: Callable[[], Mapping[str, str]]
    #: Looks at all that `raybot check` does.
    check: Callable[[], Awaitable[Sequence[Finding]]]


@dataclass(frozen=True, kw_only=True)
class BotContext:
    """The rules of this bot, and whom the studio tells of a change."""

    #: The house's own; what a place or a grant changes of them is looked up for each request.
    limits: LimitsTable
    access: AccessTable
    moderation: ModerationTable
    #: Each checks every request before it is paid.
    moderators: Sequence[Moderator]
    #: People at their platform who may act for every place: `discord:123`, or
    #: `slack:T0123:U0456` where an id is of one workspace only.
    operators: frozenset[str]
    #: Who is told what only they can mend.
    contacts: Sequence[Contact]
    #: Whether the disk takes what a new job needs.
    has_room: Callable[[], Awaitable[bool]]
    #: Shows how a job stands now.
    announce: Callable[[JobId], None]
    #: Lets a video service look for who waits.
    nudge: Callable[[str], None]
    #: How a job stands, in words for people.
    to_notice: Callable[[Job], Awaitable[Notice]]
    #: Stops a generation where its service can; False where it goes on.
    cancel_generation: Callable[[Job], Awaitable[bool]]
    #: Why a video service takes nothing; None while it does.
    trouble_of: Callable[[str], str | None]
    #: Finds another way for what a video service did not take.
    failover: Failover
    #: This process and those beside it.
    replicas: Replicas
    #: Removes a message of ours; raises `DeliveryError`s.
    delete_post: Callable[[MessageRef], Awaitable[None]]
    #: Shows a new job where a platform wants that first; raises `ThreadGone` where it may not be.
    place: Callable[[Job], Awaitable[None]]
    #: Whether a platform wants that.
    is_placed_first: Callable[[ThreadRef], bool]
    #: Ends a job that waits for an operator's word.
    resolve: Resolve
    #: Lets a job that was put aside go on.
    unpark: Unpark
    #: Draws days as a PNG; None where it cannot.
    chart: Callable[[Sequence[UsageRow]], Awaitable[bytes | None]]
    #: Makes a path on the public listener one that opens until a time; empty where there is none.
    sign: Callable[[str, datetime], str]
    #: Asks a platform whether somebody may run their place; raises `DeliveryError`s.
    is_admin: Callable[[Requester], Awaitable[bool]]
    #: Where a message is read in a browser; empty where nobody knows.
    link_to: Callable[[MessageRef], str]
    desk: DeskContext
