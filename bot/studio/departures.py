"""Which places removed the bot, and which have it again."""

from __future__ import annotations

from collections.abc import Callable, Collection

from bot.clock import Clock
from bot.store import places, settings
from bot.store.database import Database
from bot.store.transaction import Also, Tx
from bot.studio.access import LOCAL, Access
from bot.studio.erasure import KEPT_FOR_PLACES


class Departures:
    """Remembers when a place left, so that its content goes some days later."""

    def __init__(
        self, *, database: Database, clock: Clock, access: Access, wake_erasure: Callable[[], None]
    ) -> None:
        self._database = database
        self._clock = clock
        self._access = access
        self._wake_erasure = wake_erasure

    async def left(self, tenant: str) -> None:
        """A place removed the bot: its content goes in seven days, unless it comes back."""
        await self._database.write(self.leaving(tenant))

    def leaving(self, tenant: str) -> Also:
        """The same, to be written together with something else."""
        now, is_configured = self._clock.now(), self._access.is_configured(tenant)

        def write(tx: Tx) -> None:
            if places.leave(tx, tenant, is_configured=is_configured, now=now):
                settings.write_audit(tx, now, actor=tenant, act="left", target=tenant, detail="")
                goes = f"{now + KEPT_FOR_PLACES:%Y-%m-%d}"
                sentence = (
                    f"{tenant} removed Raybot. What is kept of its people goes on {goes}, "
                    "unless it adds Raybot again before."
                )
                settings.note_operator(tx, f"left:{tenant}:{now:%Y-%m-%d}", sentence, now)
                tx.after_commit(self._wake_erasure)

        return write

    async def returned(self, tenant: str) -> None:
        """A place has the bot again; what is still here of it stays."""
        await self._database.write(self.returning(tenant))

    def returning(self, tenant: str) -> Also:
        """The same, to be written together with something else."""
        now = self._clock.now()

        def write(tx: Tx) -> None:
            if places.come_back(tx, tenant):
                settings.write_audit(tx, now, actor=tenant, act="back", target=tenant, detail="")

        return write

    async def present(
        self, adapter: str, tenants: Collection[str], *, is_all: bool = True
    ) -> None:
        """These have the bot; where they are all, other known places removed it meanwhile."""
        known, away = await self._database.read(
            lambda conn: (places.known(conn, adapter), places.away(conn, adapter=adapter))
        )
        gone = known - {*tenants, *away, f"{adapter}:", f"{adapter}:{LOCAL}"}
        for tenant in gone if is_all else ():
            await self.left(tenant)
        for tenant in set(away) & set(tenants):
            await self.returned(tenant)
