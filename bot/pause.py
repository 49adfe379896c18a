"""The operator's pause of everything: nothing is started anywhere until it is taken back."""

from __future__ import annotations

from collections.abc import Mapping

from bot.clock import Clock
from bot.store import places, settings, stops
from bot.store.database import Database
from bot.store.transaction import Tx
from bot.words import clean

MESSAGE_CHARS = 300


class Pause:
    """Stops and starts all; jobs that wait stay in line, and what runs goes on."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def act(self, name: str, values: Mapping[str, object], *, actor: str) -> str:
        """`pause`, with a `message` that people read meanwhile, or `resume`; what came of it."""
        is_paused = name == "pause"
        message = clean(str(values.get("message") or ""), limit=MESSAGE_CHARS)
        waiting = await self._set(message if is_paused else "", actor=actor, is_paused=is_paused)
        if not is_paused:
            return "Going on. Places that were paused by themselves stay so."
        stays = "1 job stays" if waiting == 1 else f"{waiting} jobs stay"
        return f"Paused everywhere: nothing is started. {stays} in line; what runs goes on."

    async def _set(self, message: str, *, actor: str, is_paused: bool) -> int:
        now, everywhere = self._clock.now(), places.EVERYWHERE

        def write(tx: Tx) -> None:
            at = now if is_paused else None
            places.pause(tx, everywhere, at=at, by=actor, message=message)
            act = "pause" if is_paused else "resume"
            settings.write_audit(tx, now, actor=actor, act=act, target=everywhere, detail=message)

        await self._database.write(write)
        return len(await self._database.read(lambda conn: stops.in_line(conn, {everywhere})))
