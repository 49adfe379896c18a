"""Clips: all that was asked and what it made, newest first, searched and looked at."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from adapters.web.desk.addresses import job_path, person_path, read_mark, to_mark, to_path
from adapters.web.desk.tables import Column, Table, to_csv
from adapters.web.desk.visit import DeskVisit, Handler
from adapters.web.parse import image_type, to_job_id
from adapters.web.site import FILE_POLICY, reply
from bot.desk_job_views import ClipLine, Search
from bot.errors import InvalidRequest, JobNotFound
from bot.job import JobState
from bot.ports import WebCall, WebReply
from bot.words import clean

if TYPE_CHECKING:
    from bot.studio import Studio

HERE = "/desk/clips"
FIELD_CHARS, MOST_WORDS = 200, 8
PROMPT_CHARS, NAME_CHARS = 240, 80
FIELDS = ("q", "person", "state", "model", "since", "until", "place")
FILE_HEADERS = (("Cache-Control", "private, max-age=3600"),)
_JOB = re.compile(r"r-[0-9a-z]{4,16}")
COLUMNS = (
    Column(name="job"),
    Column(name="state"),
    Column(name="place"),
    Column(name="person"),
    Column(name="name"),
    Column(name="asked", kind="time"),
    Column(name="kind"),
    Column(name="model"),
    Column(name="service"),
    Column(name="seconds"),
    Column(name="price_usd", kind="money"),
    Column(name="charged_usd", kind="money"),
    Column(name="test"),
    Column(name="failure"),
    Column(name="came_of"),
    Column(name="prompt"),
)


class Clips:
    """The page, its posters, and all of it as a file."""

    def __init__(self, studio: Studio) -> None:
        self._clips = studio.desk.clips

    @property
    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """What it answers."""
        return {
            ("GET", HERE): self._page,
            ("GET", "/desk/clips.csv"): self._file,
            ("GET", "/desk/poster"): self._poster,
        }

    async def _page(self, call: WebCall, visit: DeskVisit) -> WebReply:
        asked = {name: call.query.get(name, "").strip()[:FIELD_CHARS] for name in FIELDS}
        if _JOB.fullmatch(asked["q"].lower()):
            return _go(job_path(to_job_id(asked["q"].lower())))
        search, after = self._search(asked), read_mark(call.query.get("after", ""))
        page = await self._clips.page(visit.sitting, search, after)
        older = to_path(HERE, **asked, after=to_mark(page.older)) if page.older else ""
        return visit.page(
            "clips.html",
            here=HERE,
            asked=asked,
            is_asked=any(asked.values()),
            is_later=after is not None,
            clips=[_shown(each) for each in page.lines],
            older=older,
            looked_to=page.looked_to,
            newest=to_path(HERE, **asked),
            without_person=to_path(HERE, **{**asked, "person": ""}),
            file=to_path("/desk/clips.csv", **asked),
            states=[each.value for each in JobState],
            places=await self._clips.tenants(visit.sitting),
            has_places=not visit.sitting.tenant,
            zone=self._clips.zone,
        )

    def _search(self, asked: Mapping[str, str]) -> Search:
        if asked["state"] not in ("", *JobState):
            raise InvalidRequest("There is no such state.", field="state")
        since, until = self._day(asked["since"]), self._day(asked["until"])
        return Search(
            words=tuple(asked["q"].split()[:MOST_WORDS]),
            tenant=asked["place"],
            person=asked["person"],
            state=asked["state"],
            model=asked["model"],
            since=since,
            until=until + timedelta(days=1) if until is not None else None,
        )

    def _day(self, text: str) -> datetime | None:
        """The beginning of a day as it is counted here."""
        if not text:
            return None
        try:
            day = date.fromisoformat(text).replace(year=min(2999, max(2000, int(text[:4]))))
            return datetime.combine(day, time(), ZoneInfo(self._clips.zone))
        except (ValueError, OverflowError):
            raise InvalidRequest("A day looks like 2026-11-27.", field="since") from None

    async def _poster(self, call: WebCall, visit: DeskVisit) -> WebReply:
        try:
            job_id = to_job_id(call.query.get("job", ""))
        except InvalidRequest as error:
            raise JobNotFound(error.sentence) from None
        path = await self._clips.poster(visit.sitting, job_id)
        content = await asyncio.to_thread(path.read_bytes)
        kind = image_type(content[:16]) or "application/octet-stream"
        return reply(content, kind=kind, policy=FILE_POLICY, headers=FILE_HEADERS)

    # ---- as a file -----------------------------------------------------------------------

    async def _file(self, call: WebCall, visit: DeskVisit) -> WebReply:
        asked = {name: call.query.get(name, "").strip()[:FIELD_CHARS] for name in FIELDS}
        search = self._search(asked)
        named = ("Content-Disposition", 'attachment; filename="raybot-clips.csv"')
        answer = reply("", kind="text/csv; charset=utf-8", headers=(named,))
        parts = self._clips.everything(visit.sitting, search)
        return WebReply(headers=answer.headers, stream=self._rows(parts))

    async def _rows(
        self, parts: AsyncIterator[tuple[ClipLine, ...]]
    ) -> AsyncGenerator[bytes, None]:
        """A part at a time, each made beside the loop, which has others to serve."""
        yield to_csv(Table(title="", columns=COLUMNS, rows=())).encode()
        async for lines in parts:
            yield await asyncio.to_thread(_to_lines, lines)


def _go(path: str) -> WebReply:
    return reply("", status=303, headers=(("Location", path),))


def _shown(line: ClipLine) -> Mapping[str, object]:
    """A clip as the page shows it."""
    return {
        "line": line,
        "prompt": clean(line.prompt, limit=PROMPT_CHARS),
        "name": clean(line.name, limit=NAME_CHARS) or line.person.rpartition(":")[2],
        "person": person_path(line.person),
        "job": job_path(line.job_id),
        "parent": job_path(line.parent) if line.parent else "",
        "film": job_path(line.story) if line.story and line.story != line.job_id else "",
        "poster": to_path("/desk/poster", job=line.job_id) if line.has_clip else "",
    }


def _to_lines(lines: Sequence[ClipLine]) -> bytes:
    """Rows of the file without its head."""
    table = Table(title="", columns=COLUMNS, rows=[_row(each) for each in lines])
    return to_csv(table).partition("\n")[2].encode("utf-8", "replace")


def _row(each: ClipLine) -> tuple[object, ...]:
    return (
        each.job_id,
        each.state,
        each.tenant,
        each.person,
        each.name,
        each.asked_at,
        each.kind,
        each.model,
        each.provider,
        f"{each.seconds:.3f}",
        each.price,
        each.charged,
        "yes" if each.is_test else "no",
        each.failure,
        each.parent or "",
        "private" if each.is_private and each.is_hidden else each.prompt,
    )
