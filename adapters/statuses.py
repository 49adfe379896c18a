"""Where the status messages of jobs are, for whoever leads people there. Knows no platform."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from bot.refs import JobId, MessageRef

#: So many are remembered, the newest ones.
REMEMBERED = 10_000


class Statuses:
    """Remembers where a job's status message was posted, and lets others wait for that."""

    def __init__(self) -> None:
        self._known: OrderedDict[JobId, MessageRef] = OrderedDict()
        self._awaited: dict[JobId, asyncio.Future[MessageRef]] = {}

    def get(self, job_id: JobId) -> MessageRef | None:
        """Where it is, as far as this process posted it."""
        return self._known.get(job_id)

    async def wait(self, job_id: JobId, seconds: float) -> MessageRef | None:
        """Where it is, once it is posted; None where that takes longer."""
        if job_id in self._known:
            return self._known[job_id]
        place = self._awaited.setdefault(job_id, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(place)
        except TimeoutError:
            return None
        finally:
            self._awaited.pop(job_id, None)

    def note(self, job_id: JobId, message: MessageRef) -> None:
        """It was posted there."""
        self._known[job_id] = message
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        if (place := self._awaited.get(job_id)) is not None and not place.done():
            place.set_result(message)
