"""How a job stands, as its status message says it; of a film that is how its shots stand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bot.job import Job, JobState
from bot.notices import Notice
from bot.outlook import Outlook, to_film_status, to_status
from bot.store import stories
from bot.store.database import Database


async def to_notice(
    database: Database, job: Job, outlook_of: Callable[[Job], Awaitable[Outlook]]
) -> Notice:
    """What is so now; `outlook_of` knows what is in no row."""
    outlook = await outlook_of(job)
    if not job.is_film:
        return to_status(job, outlook)
    shots = await database.read(lambda conn: stories.shots(conn, job.id))
    ahead = next((each for each in shots if each.state is not JobState.DELIVERED), job)
    return to_film_status(job, outlook, shots, to_status(ahead, await outlook_of(ahead)))
