"""The earlier clips that a request names: looked up in our book, and refused where they are none.

What its person may not see is not there. Nothing of what a request says of a clip is believed.
"""

from __future__ import annotations

from functools import partial
from typing import TypeVar

from bot import deeds, pricing
from bot.acts import shape_of
from bot.errors import InvalidRequest
from bot.job import Job
from bot.refs import JobId
from bot.request import (
    ClipFrame,
    ClipWork,
    Frame,
    GenerationRequest,
    ReframeWork,
    Requester,
    SourceClip,
    Work,
    frames_of,
    is_spoiler,
)
from bot.store import jobs, reviews
from bot.store.database import Database

C = TypeVar("C", bound=ClipWork)


class Sources:
    """Looks up earlier clips. What it refuses is an `InvalidRequest`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def look_up(self, request: GenerationRequest) -> Work:
        """Its work, with what our book says of the clips in it."""
        work = request.work
        if isinstance(work, ClipWork):
            return _fill(work, await self.source(work, request.requester))
        marked = dict[str, Frame]()
        for name, frame in zip(("start_frame", "end_frame"), frames_of(work), strict=True):
            if isinstance(frame, ClipFrame):
                parent = await self._find(frame.job_id)
                is_still = parent is not None and parent.request.work.kind == "image"
                marked[name] = frame.model_copy(update={"is_still": is_still})
        return work.model_copy(update=marked)

    async def source(self, work: ClipWork, requester: Requester) -> Job:
        """The job of the clip that is worked on."""
        named = work.source.job_id
        found = await self._finished(named, requester, field="source")
        if found.work.kind == "image":
            raise InvalidRequest(
                f"{named} is a picture. Animate it first, then work on the clip.", field="source"
            )
        return found

    async def parent(self, frame: ClipFrame, requester: Requester) -> Job:
        """The job of a clip or picture that a new clip starts from or ends with."""
        what = "picture" if frame.is_still else "clip"
        return await self._finished(frame.job_id, requester, field="start_frame", what=what)

    async def _finished(
        self, job_id: JobId, requester: Requester, *, field: str, what: str = "clip"
    ) -> Job:
        found = await self._find(job_id)
        if found is None or not found.request.is_seen_by(requester):
            raise InvalidRequest(f"There is no {what} {job_id} here.", field=field)
        if found.is_film:
            advice = f"Go on from one of its shots: show {job_id}"
            raise InvalidRequest(f"{job_id} is a film. {advice}", field=field)
        if found.failure is not None and found.failure.code == "deleted":
            gone = f"The {what} of {job_id} was deleted, so nothing comes of it."
            raise InvalidRequest(gone, field=field)
        if found.clip is None or found.generation_id is None or found.plan is None:
            advice = "Take one that is delivered, and still kept."
            raise InvalidRequest(f"{job_id} has no finished {what}. {advice}", field=field)
        if await self._database.read(lambda conn: reviews.is_held_back(conn, found)):
            why = f"{job_id} is not posted, because a moderator has not let it be."
            raise InvalidRequest(f"{why} Take another one.", field=field)
        return found

    async def _find(self, job_id: JobId) -> Job | None:
        return await self._database.read(partial(jobs.get_or_none, job_id=job_id))


def _fill(work: C, made: Job) -> C:
    """The work with the size and maker of its clip; its shape is the clip's, if it stays so."""
    assert made.clip is not None
    assert made.plan is not None
    clip, maker = made.clip, made.plan
    source = SourceClip(
        job_id=made.id,
        provider=maker.provider,
        model=maker.work.model,
        width=clip.width,
        height=clip.height,
        seconds=clip.seconds,
        resolution=shape_of(made)[1],
        is_spoiler=is_spoiler(maker.work),
    )
    told: dict[str, object] = {"source": source}
    if "model" not in work.typed:
        told["model"] = source.model
    if not isinstance(work, ReframeWork):
        told["aspect_ratio"] = pricing.nearest_ratio(clip.width, clip.height)
    filled = work.model_copy(update=told)
    deeds.check_model(filled)
    return filled
