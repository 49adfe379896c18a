"""Runs what `raybot check` looks at, one at a time, and keeps what it found."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from bot.alongside import alongside
from bot.bot_context import BotContext
from bot.clock import Clock
from bot.desk_views import Checkup
from bot.errors import BotError, InvalidRequest, NotAllowed
from bot.log import get_logger
from bot.overview import Sitting
from bot.ports import Finding
from bot.store import settings
from bot.store.database import Database
from bot.store.transaction import Tx

log = get_logger(__name__)
#: A scope that no person, channel or place can have: theirs name an adapter.
SCOPE = "checkup"
#: Each service may take its time, and there are several; whatever runs longer hangs.
MOST, SPARE = timedelta(minutes=3), timedelta(seconds=30)
BROKE = "It could not be finished; the log of Raybot says why."
LATE = "It was not finished in time, or Raybot was stopped meanwhile. Run it again."


class ChecksView:
    """The last run, which any process of this bot may have begun."""

    def __init__(self, *, database: Database, clock: Clock, context: BotContext) -> None:
        self._database = database
        self._clock = clock
        self._context = context
        self._wanted = asyncio.Event()

    async def read(self, sitting: Sitting) -> Checkup | None:
        """What was found last, None before the first run. Raises `NotAllowed`."""
        _check_operator(sitting)
        kept = await self._database.read(lambda conn: settings.chosen(conn, SCOPE))
        return _to_checkup(kept, self._clock.now())

    async def begin(self, sitting: Sitting) -> None:
        """Run it now, beside all else. Raises `InvalidRequest` while it runs."""
        _check_operator(sitting)
        now, by = self._clock.now(), sitting.who.person

        def write(tx: Tx) -> None:
            last = _to_checkup(settings.chosen(tx.conn, SCOPE), now)
            if last is not None and last.ended_at is None:
                raise InvalidRequest("It runs already. Wait for what it finds.")
            began = {"began_at": now.isoformat(), "by": by}
            settings.choose(tx, SCOPE, {**began, "ended_at": "", "findings": "", "trouble": ""})
            settings.write_audit(tx, now, actor=by, act="check", target=SCOPE, detail="")

        await self._database.write(write)
        self._wanted.set()

    async def run(self) -> None:
        """Do what was begun here, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            found, trouble = await self._look()
            try:
                await self._keep(found, trouble)
            except BotError as error:
                log.error("check.not_kept", cause=error.sentence)  # noqa: TRY400

    async def _look(self) -> tuple[Sequence[Finding], str]:
        """What it finds; whatever goes wrong in it is told here, and ends nothing else."""
        async with alongside(self._context.desk.check()) as task:
            await asyncio.wait({task}, timeout=MOST.total_seconds())
            if not task.done():
                return (), LATE
        error = task.exception()
        if error is None:
            return task.result(), ""
        if isinstance(error, BotError):
            return (), error.sentence
        log.error("check.failed", exc_info=error)
        return (), BROKE

    async def _keep(self, found: Sequence[Finding], trouble: str) -> None:
        kept = {
            "ended_at": self._clock.now().isoformat(),
            "findings": json.dumps([[each.is_well, each.sentence] for each in found]),
            "trouble": trouble,
        }
        await self._database.write(lambda tx: settings.choose(tx, SCOPE, kept))


def _check_operator(sitting: Sitting) -> None:
    if sitting.tenant or not sitting.has_desk:
        raise NotAllowed("Only the operator of this bot can see that.")


def _to_checkup(kept: Mapping[str, str], now: datetime) -> Checkup | None:
    if "began_at" not in kept:
        return None
    began, ended = datetime.fromisoformat(kept["began_at"]), kept.get("ended_at", "")
    is_left = not ended and now - began > MOST + SPARE
    return Checkup(
        began_at=began,
        by=kept.get("by", ""),
        ended_at=datetime.fromisoformat(ended) if ended else now if is_left else None,
        findings=tuple(
            Finding(is_well=is_well, sentence=sentence)
            for is_well, sentence in json.loads(kept.get("findings", "[]"))
        ),
        trouble=LATE if is_left else kept.get("trouble", ""),
    )
