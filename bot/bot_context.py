"""The rules of this bot, and whom those that a person talks to tell of a change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from bot.desk_views import Health
from bot.failover import Failover
from bot.job import Job
from bot.moderators import Moderator
from bot.notices import Notice
from bot.overview import UsageRow
from bot.ports import Finding
from bot.refs import GenerationId, JobId, MessageRef, ThreadRef
from bot.replicas import Replicas
from bot.request import Requester
from bot.tables import AccessTable, Contact, LimitsTable, ModerationTable

#: How an operator answers the open question about a job without naming a generation.
OpenResolution = Literal["charge", "release"]


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
class BotContext:
    """The rules of this bot, and whom the studio tells of a change.

    `has_room` says whether the disk takes what a new job needs.
    `operators` are people at their platform who may act for every place, e.g. `discord:123`, or
    `slack:T0123:U0456` where an id is of one workspace only. `contacts` are who is told what only
    they can mend.
    `delete_post` removes a message of ours; raises `DeliveryError`s. `place` shows a new job where
    a platform wants that first, as `is_placed_first` says; raises `ThreadGone` where it may not be
    shown. `resolve` ends a job that waits for an operator's word, `unpark` lets one that was put
    aside go on. `trouble_of` says why a video service takes nothing. `moderators` check each
    request before it is paid. `chart` draws days as a PNG, where it can.
    `sign` makes a path on the public listener one that may be opened until a time; empty where
    there is none. `replicas` are this process and those beside it. `is_admin` asks a platform
    whether somebody may run their place; raises `DeliveryError`s. `link_to` is where a
    message is read in a browser, empty where nobody knows. `desk_address` is where the desk
    is, empty where there is none; `is_desk_public`: others than this machine reach it.
    `health_of` tells what this process knows of a video service, `chats` why nobody is heard at a
    platform, empty where all is well, and `check` looks at all that `raybot check` does.
    """

    limits: LimitsTable
    access: AccessTable
    has_room: Callable[[], Awaitable[bool]]
    announce: Callable[[JobId], None]
    nudge: Callable[[str], None]
    to_notice: Callable[[Job], Awaitable[Notice]]
    cancel_generation: Callable[[Job], Awaitable[bool]]
    failover: Failover
    replicas: Replicas
    moderation: ModerationTable
    moderators: Sequence[Moderator]
    operators: frozenset[str]
    contacts: Sequence[Contact]
    delete_post: Callable[[MessageRef], Awaitable[None]]
    place: Callable[[Job], Awaitable[None]]
    is_placed_first: Callable[[ThreadRef], bool]
    resolve: Resolve
    unpark: Unpark
    trouble_of: Callable[[str], str | None]
    chart: Callable[[Sequence[UsageRow]], Awaitable[bytes | None]]
    sign: Callable[[str, datetime], str]
    is_admin: Callable[[Requester], Awaitable[bool]]
    link_to: Callable[[MessageRef], str]
    desk_address: str
    is_desk_public: bool
    health_of: Callable[[str], Health]
    chats: Callable[[], Mapping[str, str]]
    check: Callable[[], Awaitable[Sequence[Finding]]]
