"""What those who run a place look after, and what the operator was told."""

from __future__ import annotations

from collections.abc import Sequence

from bot.clock import Clock
from bot.desk_views import AuditSearch, Moderation
from bot.errors import JobNotFound
from bot.overview import AuditLine, Sitting
from bot.store import desk_moderation, settings
from bot.store.database import Database

#: Maximum of lines on the page of each table, of the log, and in a file.
SHOWN, AUDIT_PAGE, WRITTEN = 20, 50, 10_000


class ModerationView:
    """Reports, reviews, blocks and the audit log of the reach of a sitting."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def read(
        self, sitting: Sitting, *, search: AuditSearch, page: int = 1, place: str = ""
    ) -> Moderation:
        """What there is of it all, of one `place` where one is named. Raises `JobNotFound`."""
        tenant, now = _reach(sitting, place), self._clock.now()
        skip = AUDIT_PAGE * (max(1, page) - 1)
        return await self._database.read(
            lambda conn: Moderation(
                reports=desk_moderation.reported(conn, tenant, SHOWN),
                reviews=desk_moderation.held_back(conn, tenant, SHOWN),
                blocked=settings.blocked_in(conn, tenant, now, SHOWN),
                paused=desk_moderation.paused(conn, tenant),
                # One more tells whether there is a next page.
                audit=settings.audit(conn, tenant, search, limit=AUDIT_PAGE + 1, skip=skip),
                told=() if sitting.tenant else desk_moderation.told(conn, SHOWN),
            )
        )

    async def every(self, sitting: Sitting, *, place: str = "") -> Moderation:
        """What goes into files: every table without the log."""
        tenant, now = _reach(sitting, place), self._clock.now()
        return await self._database.read(
            lambda conn: Moderation(
                reports=desk_moderation.reported(conn, tenant, WRITTEN),
                reviews=desk_moderation.held_back(conn, tenant, WRITTEN),
                blocked=settings.blocked_in(conn, tenant, now, WRITTEN),
                paused=desk_moderation.paused(conn, tenant),
                audit=(),
                told=() if sitting.tenant else desk_moderation.told(conn, WRITTEN),
            )
        )

    async def audit(
        self, sitting: Sitting, search: AuditSearch, *, place: str = ""
    ) -> Sequence[AuditLine]:
        """The latest ten thousand lines at most."""
        tenant = _reach(sitting, place)
        return await self._database.read(
            lambda conn: settings.audit(conn, tenant, search, limit=WRITTEN)
        )


def _reach(sitting: Sitting, place: str) -> str | None:
    """The place that is meant, None: all."""
    if place and not sitting.sees(place):
        raise JobNotFound("There is no such place here.")
    return place or sitting.tenant or None
