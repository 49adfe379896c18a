"""What belongs to nobody: files and rows without a job, and jobs and payments without a clip."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import PurePosixPath

from bot.media import Media
from bot.ports import Finding
from bot.refs import JobId, MediaKey
from bot.store import integrity
from bot.store.database import Database

CLIPS, FOLDERS = "clips", ("clips", "frames", "uploads")
SHOWN = 5
#: What is removed for its age goes some time before or after.
MARGIN = timedelta(days=1)


async def look(database: Database, media: Media, now: datetime, *, days: int) -> list[Finding]:
    """What there is of that; clips are kept for so many days. Raises `ClipUnavailable`."""
    files = [each.key for folder in FOLDERS for each in await media.list(folder)]
    # After the files: a job's row is there before any file of it.
    jobs = await database.read(integrity.known)
    since = now - timedelta(days=days) + MARGIN
    named = await database.read(partial(integrity.clips, since=since))
    # There may be very many, and the loop has others to serve.
    strays, gone = await asyncio.to_thread(compare, files, jobs, named)
    findings = []
    if strays:
        names = ", ".join(strays[:SHOWN])
        told = f"{len(strays)} kept files belong to no job; they go with their time: {names}"
        findings.append(Finding(is_well=True, sentence=told))
    if jobless := await database.read(integrity.without_job):
        told = f"Rows tell of jobs that there are not: {', '.join(jobless[:SHOWN])}"
        findings.append(Finding(is_well=False, sentence=told))
    if gone:
        told = f"The clips of {len(gone)} jobs are not kept any more: {', '.join(gone[:SHOWN])}"
        findings.append(Finding(is_well=False, sentence=told))
    return findings + [
        Finding(
            is_well=True,
            sentence=f"Generation {generation} of {job_id} was probably paid and went to nobody",
        )
        for job_id, generation in await database.read(integrity.given_up)
    ]


def compare(
    files: Sequence[MediaKey], jobs: Collection[JobId], named: Mapping[JobId, MediaKey]
) -> tuple[list[MediaKey], list[JobId]]:
    """Files that belong to none of these jobs, and jobs whose file is not among them."""
    kept = frozenset(files)
    strays = [key for key in files if _owner(key) not in jobs]
    return strays, [job_id for job_id, key in named.items() if key not in kept]


def _owner(key: MediaKey) -> JobId:
    path = PurePosixPath(key)
    return JobId(path.name.partition(".")[0] if path.parts[0] == CLIPS else path.parts[1])
