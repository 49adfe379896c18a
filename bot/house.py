"""The rules of this bot, and whom those that a person talks to tell of a change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from bot.config import AccessTable, LimitsTable, ModerationTable
from bot.job import Job
from bot.notices import Notice
from bot.refs import JobId, MessageRef


async def _leave_post(_message: MessageRef) -> None:
    """Where nothing can be removed."""


@dataclass(frozen=True, kw_only=True)
class House:
    """The rules of this bot, and whom the studio tells of a change.

    `operators` are people at their platform, e.g. `discord:123`, who may act for every place.
    `delete_post` removes a message of ours; raises `DeliveryError`s.
    """

    limits: LimitsTable
    access: AccessTable
    data_dir: Path
    min_free_bytes: int
    announce: Callable[[JobId], None]
    nudge: Callable[[str], None]
    to_notice: Callable[[Job], Awaitable[Notice]]
    cancel_generation: Callable[[Job], Awaitable[bool]]
    moderation: ModerationTable = field(default_factory=ModerationTable)
    operators: frozenset[str] = frozenset()
    delete_post: Callable[[MessageRef], Awaitable[None]] = _leave_post
