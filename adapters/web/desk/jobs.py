"""One job: all that is known of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from adapters.web.desk.addresses import job_path, person_path, to_path
from adapters.web.desk.tables import Column, Link, Passed, Table, as_file
from adapters.web.desk.visit import DeskVisit, Handler
from adapters.web.parse import to_job_id
from bot.desk_job_views import JobView, Kin, Step
from bot.errors import InvalidRequest, JobNotFound
from bot.job import OPEN
from bot.ports import WebCall, WebReply
from bot.refs import JobId
from bot.request import (
    AnyWork,
    AudioWork,
    ClipFrame,
    ClipWork,
    Frame,
    ImageFrame,
    LinkFrame,
    frames_of,
)
from bot.words import parameters

if TYPE_CHECKING:
    from bot.studio import Studio

HERE = "/desk/job"
PRIVATE = "private"


class JobPage:
    """A page for each job, and its tables as files."""

    def __init__(self, studio: Studio) -> None:
        self._jobs = studio.desk.jobs
        self._acts = studio.desk.acts

    @property
    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """What it answers."""
        return {("GET", HERE): self._page, ("GET", "/desk/job.csv"): self._file}

    async def _read(self, call: WebCall, visit: DeskVisit) -> JobView:
        try:
            job_id = to_job_id(call.query.get("id", ""))
        except InvalidRequest as error:
            raise JobNotFound(error.sentence) from None
        return await self._jobs.job(visit.sitting, job_id)

    async def _page(self, call: WebCall, visit: DeskVisit) -> WebReply:
        job = await self._read(call, visit)
        return visit.page(
            "job.html",
            here="/desk/clips",
            job=job,
            line=job.line,
            acts=await self._acts.of_job(visit.sitting, job.line.job_id),
            back=job_path(job.line.job_id),
            person=person_path(job.line.person),
            parameters=parameters(job.work),
            events=_events(job, visit),
            frames=_frames(job),
            extras=_extras(job.work),
            tables=tuple(to_tables(job).values()),
        )

    async def _file(self, call: WebCall, visit: DeskVisit) -> WebReply:
        job = await self._read(call, visit)
        wanted = call.query.get("of", "")
        table = to_tables(job).get(wanted)
        if table is None:
            raise JobNotFound("There is no such table.")
        return await as_file(lambda: table, f"{job.line.job_id}-{wanted}")


def _events(job: JobView, visit: DeskVisit) -> str:
    """Where its page hears that it moves on, as the queue does; empty once it ended."""
    place = "" if visit.sitting.tenant else job.line.tenant
    return to_path("/desk/events", place=place) if job.line.state in OPEN else ""


def _frames(job: JobView) -> list[tuple[str, Link | str]]:
    pairs = zip(("start", "end"), frames_of(job.work), strict=True)
    found = [(f"{end} image", _frame(frame)) for end, frame in pairs if frame is not None]
    if isinstance(job.work, ClipWork):
        found.append(("made of", _to_job(job.work.source.job_id)))
    return found


def _frame(frame: Frame) -> Link | str:
    """What a clip starts from or ends on; a link that somebody typed is not followed from here."""
    match frame:
        case ClipFrame():
            return _to_job(frame.job_id)
        case LinkFrame():
            return frame.url
        case ImageFrame():
            return frame.attachment.filename or "an image from the chat"
        case _:
            return "the last frame of the shot before"


def _to_job(job_id: JobId) -> Link:
    return Link(words=job_id, href=job_path(job_id))


def _extras(work: AnyWork) -> list[tuple[str, str]]:
    """Words beside the prompt."""
    negative = work.negative_prompt if isinstance(work, AudioWork) else ""
    found = (("before it", work.prefix), ("after it", work.suffix), ("without", negative))
    return [(name, said) for name, said in found if said]


# ---- its tables ------------------------------------------------------------------------------


def to_tables(job: JobView) -> dict[str, Table]:
    """Its tables, by the name that their files go by; what is empty is left out but for two."""
    found = {
        "steps": _steps(job),
        "money": _money(job),
        "sent": _sent(job),
        "shots": _kin(job, "Shots", "shots", job.shots),
        "parents": _kin(job, "What it came of", "parents", job.parents),
        "children": _kin(job, "What came of it", "children", job.children),
    }
    return {name: each for name, each in found.items() if each.rows or name in ("steps", "money")}


def _path(job: JobView, of: str) -> str:
    return to_path("/desk/job.csv", id=job.line.job_id, of=of)


def _steps(job: JobView) -> Table:
    return Table(
        title="Timeline",
        columns=(
            Column(name="state", kind="state"),
            Column(name="reached", kind="time"),
            Column(name="for", kind="seconds"),
        ),
        rows=[(_reached(each), each.at, each.seconds) for each in job.steps],
        file=_path(job, "steps"),
    )


def _reached(step: Step) -> str | Passed:
    return step.state if step.seconds is None else Passed(state=step.state)


def _money(job: JobView) -> Table:
    return Table(
        title="Money",
        columns=(
            Column(name="entry"),
            Column(name="amount", kind="money"),
            Column(name="at", kind="time"),
        ),
        rows=[(each.kind, each.micros, each.at) for each in job.entries],
        file=_path(job, "money"),
        empty="Nothing was held for it.",
    )


def _sent(job: JobView) -> Table:
    return Table(
        title="Sent to a video service",
        columns=(
            Column(name="attempt", kind="number"),
            Column(name="service"),
            Column(name="at", kind="time"),
            Column(name="outcome"),
            Column(name="generation"),
            Column(name="found absent", kind="number"),
        ),
        rows=[
            (
                each.number,
                each.provider,
                each.at,
                each.outcome,
                each.generation_id,
                each.absences or None,
            )
            for each in job.sent
        ],
        file=_path(job, "sent"),
    )


def _kin(job: JobView, title: str, of: str, every: Sequence[Kin]) -> Table:
    return Table(
        title=title,
        columns=(
            Column(name="job", kind="job"),
            Column(name="how"),
            Column(name="state", kind="state"),
            Column(name="prompt"),
        ),
        rows=[(each.job_id, _how(each), each.state, _said(each)) for each in every],
        file=_path(job, of),
    )


def _how(each: Kin) -> str | None:
    return each.relation or (f"shot {each.shot}" if each.shot else None)


def _said(each: Kin) -> str:
    return PRIVATE if each.is_hidden else each.prompt
