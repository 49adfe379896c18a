"""Moderation: reports, clips that wait, blocks, what is paused, and who did what to whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from adapters.admin_text import page_in
from adapters.web import render
from adapters.web.desk.addresses import person_path
from adapters.web.desk.tables import Column, Link, Table, as_file
from adapters.web.desk.visit import DeskVisit, Handler
from bot.desk_views import AuditSearch
from bot.desk_views import Moderation as Seen
from bot.errors import JobNotFound
from bot.ports import WebCall, WebReply
from bot.refs import JobId
from bot.text import clean, describe_rules

if TYPE_CHECKING:
    from bot.studio import AuditLine, Studio

HERE = "/desk/moderation"
REASON_CHARS, WORD_CHARS = 300, 80
AUDIT_PAGE = 50
#: So many can be decided about on one page.
MOST_DECIDED = 20
WORDS = ("actor", "act", "target")


class Moderation:
    """The page of those who look after a place."""

    def __init__(self, studio: Studio) -> None:
        self._view = studio.desk.moderation
        self._acts = studio.desk.acts
        self._rules = studio.admin.rules

    @property
    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """The page, and its tables as files."""
        return {
            ("GET", HERE): self._page,
            ("GET", f"{HERE}/audit.csv"): self._audit_file,
            **{("GET", _file(name)): partial(self._file, name) for name in TABLES},
        }

    async def _page(self, call: WebCall, visit: DeskVisit) -> WebReply:
        search, place = to_search(call.query), _place(call.query)
        page = page_in(call.query.get("page", ""))
        seen = await self._view.read(visit.sitting, search=search, page=page, place=place)
        whose = place or visit.sitting.tenant
        held = await self._rules(whose) if whose else None
        rules = describe_rules(held) if held else None
        paused = [held.paused_at] if held and held.paused_at else []
        return visit.page(
            "moderation.html",
            here=HERE,
            back=_with(HERE, call, page=page),
            waiting=[await self._acts.of_job(visit.sitting, each) for each in to_waiting(seen)],
            place=place,
            is_whole=not visit.sitting.tenant,
            rules=rules,
            lines=render.lines_of(rules, paused) if rules else [],
            tables={name: table(seen, place) for name, table in TABLES.items()},
            audit=audit_table(seen.audit[:AUDIT_PAGE], file=_with(f"{HERE}/audit.csv", call)),
            search=search,
            page=page,
            earlier=_with(HERE, call, page=page + 1) if len(seen.audit) > AUDIT_PAGE else "",
            later=_with(HERE, call, page=page - 1) if page > 1 else "",
        )

    async def _file(self, name: str, call: WebCall, visit: DeskVisit) -> WebReply:
        if name == "notices" and visit.sitting.tenant:
            raise JobNotFound("There is nothing here.")
        place = _place(call.query)
        seen = await self._view.every(visit.sitting, place=place)
        return await as_file(partial(TABLES[name], seen, place), name)

    async def _audit_file(self, call: WebCall, visit: DeskVisit) -> WebReply:
        place, search = _place(call.query), to_search(call.query)
        lines = await self._view.audit(visit.sitting, search, place=place)
        return await as_file(partial(audit_table, lines), "audit")


def to_waiting(seen: Seen) -> Sequence[JobId]:
    """The jobs about which somebody can decide here."""
    reported = (each.job_id for each in seen.reports if not each.outcome)
    reviewed = (each.job_id for each in seen.reviews)
    return list(dict.fromkeys((*reported, *reviewed)))[:MOST_DECIDED]


def to_search(query: Mapping[str, str]) -> AuditSearch:
    """What is looked for in the log."""
    return AuditSearch(**{name: clean(query.get(name, ""), limit=WORD_CHARS) for name in WORDS})


def audit_table(lines: Sequence[AuditLine], *, file: str = "") -> Table:
    """Who did what to whom."""
    return Table(
        title="Audit log",
        columns=(
            Column(name="when", kind="time"),
            *(Column(name=each) for each in ("who", "act", "whom or what")),
            Column(name="how", kind="text"),
        ),
        rows=[
            (each.at, each.actor, each.act, each.target, clean(each.detail, limit=REASON_CHARS))
            for each in lines
        ],
        file=file,
        empty="Nothing was done that fits.",
    )


def _reports(seen: Seen, place: str) -> Table:
    return Table(
        title="Reports",
        columns=(
            Column(name="job", kind="job"),
            Column(name="outcome"),
            Column(name="reason", kind="text"),
            Column(name="when", kind="time"),
            Column(name="decided by"),
            Column(name="decided", kind="time"),
        ),
        rows=[
            (
                each.job_id,
                each.outcome or "open",
                clean(each.reason, limit=REASON_CHARS) or None,
                each.at,
                each.decided_by or None,
                each.decided_at,
            )
            for each in seen.reports
        ],
        file=_file("reports", place),
        empty="Nobody reported anything.",
    )


def _reviews(seen: Seen, place: str) -> Table:
    return Table(
        title="Wait for a moderator",
        columns=(
            Column(name="job", kind="job"),
            Column(name="by"),
            Column(name="place"),
            Column(name="since", kind="time"),
        ),
        rows=[(each.job_id, each.person, each.tenant, each.since) for each in seen.reviews],
        file=_file("reviews", place),
        empty="No clip waits to be looked at.",
    )


def _blocks(seen: Seen, place: str) -> Table:
    return Table(
        title="Blocked",
        columns=(
            Column(name="person"),
            Column(name="since", kind="time"),
            Column(name="until", kind="time"),
            Column(name="reason", kind="text"),
        ),
        rows=[
            (
                Link(words=each.person, href=person_path(each.person)),
                each.at,
                each.until,
                clean(each.reason, limit=REASON_CHARS) or None,
            )
            for each in seen.blocked
        ],
        file=_file("blocks", place),
        empty="Nobody is blocked.",
    )


def _paused(seen: Seen, place: str) -> Table:
    return Table(
        title="Paused",
        columns=(
            Column(name="place"),
            Column(name="since", kind="time"),
            Column(name="by"),
            Column(name="people are told", kind="text"),
        ),
        rows=[
            (
                each.tenant if each.tenant != "*" else "everywhere",
                each.at,
                each.by or "the operator",
                clean(each.message, limit=REASON_CHARS) or None,
            )
            for each in seen.paused
        ],
        file=_file("paused", place),
        empty="Nothing is paused.",
    )


def _notices(seen: Seen, place: str) -> Table:
    return Table(
        title="What the operator is told",
        columns=(
            Column(name="since", kind="time"),
            Column(name="what", kind="text"),
            Column(name="job", kind="job"),
            Column(name="told", kind="time"),
            Column(name="over", kind="time"),
        ),
        rows=[
            (
                each.at,
                clean(each.sentence, limit=REASON_CHARS),
                each.job_id,
                each.told_at,
                each.over_at,
            )
            for each in seen.told
        ],
        file=_file("notices", place),
        empty="There is nothing to tell.",
    )


def _place(query: Mapping[str, str]) -> str:
    return clean(query.get("place", ""), limit=WORD_CHARS)


def _with(path: str, call: WebCall, *, page: int = 0) -> str:
    """The same search elsewhere."""
    kept = {name: call.query[name] for name in (*WORDS, "place") if call.query.get(name)}
    query = urlencode({**kept, **({"page": page} if page > 1 else {})})
    return f"{path}?{query}" if query else path


def _file(name: str, place: str = "") -> str:
    return f"{HERE}/{name}.csv" + (f"?{urlencode({'place': place})}" if place else "")


TABLES: Mapping[str, Callable[[Seen, str], Table]] = {
    "reports": _reports,
    "reviews": _reviews,
    "blocks": _blocks,
    "paused": _paused,
    "notices": _notices,
}
