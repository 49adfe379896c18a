"""People: who asks, what they used and may use, and who is blocked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from adapters.admin_text import page_in
from adapters.web.desk.addresses import person_path, to_path
from adapters.web.desk.money import to_usage
from adapters.web.desk.tables import Column, Link, Table, as_file
from adapters.web.desk.visit import DeskVisit, Handler
from bot.desk_job_views import ClipLine, People, PersonLine, PersonSight
from bot.errors import JobNotFound
from bot.ports import WebCall, WebReply
from bot.refs import money
from bot.words import clean

if TYPE_CHECKING:
    from bot.studio import Allowance, Studio

HERE = "/desk/people"
FIELD_CHARS, PAGE = 200, 50
PROMPT_CHARS = 90


class PeoplePage:
    """All of them, and a page for each."""

    def __init__(self, studio: Studio) -> None:
        self._people = studio.desk.people
        self._acts = studio.desk.acts
        self._clips = studio.desk.clips

    @property
    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """What it answers."""
        return {
            ("GET", HERE): self._page,
            ("GET", "/desk/people.csv"): self._file,
            ("GET", "/desk/person"): self._person,
            ("GET", "/desk/person.csv"): self._person_file,
        }

    async def _page(self, call: WebCall, visit: DeskVisit) -> WebReply:
        named, place, page = _asked(call)
        found = await self._people.page(visit.sitting, named=named, tenant=place, page=page)
        has_more = page * PAGE < found.count
        has_places = not visit.sitting.tenant
        table = to_people(
            found,
            has_places=has_places,
            file=to_path("/desk/people.csv", name=named, place=place),
            more=to_path(HERE, name=named, place=place, page=page + 1) if has_more else "",
            empty="Nobody like that asked." if named or place else "Nobody has asked yet.",
        )
        return visit.page(
            "people.html",
            here=HERE,
            named=named,
            place=place,
            places=await self._clips.tenants(visit.sitting),
            count=found.count,
            page=page,
            table=table,
        )

    async def _file(self, call: WebCall, visit: DeskVisit) -> WebReply:
        named, place, _ = _asked(call)
        found = await self._people.everybody(visit.sitting, named=named, tenant=place)
        to_file = partial(to_people, found, has_places=not visit.sitting.tenant)
        return await as_file(to_file, "people")

    async def _person(self, call: WebCall, visit: DeskVisit) -> WebReply:
        person = await self._people.one(visit.sitting, call.query.get("key", "")[:FIELD_CHARS])
        return visit.page(
            "person.html",
            here=HERE,
            person=person,
            line=person.line,
            acts=await self._acts.of_person(visit.sitting, person.line.person),
            # Who never asked has no page any more once they are unblocked.
            back=person_path(person.line.person) if person.line.asked_ever else HERE,
            clips=to_path("/desk/clips", person=person.line.person),
            tables=tuple(to_tables(person).values()),
        )

    async def _person_file(self, call: WebCall, visit: DeskVisit) -> WebReply:
        person = await self._people.one(visit.sitting, call.query.get("key", "")[:FIELD_CHARS])
        wanted = call.query.get("of", "")
        table = to_tables(person).get(wanted)
        if table is None:
            raise JobNotFound("There is no such table.")
        return await as_file(lambda: table, f"person-{wanted}")


def _asked(call: WebCall) -> tuple[str, str, int]:
    """A name, a place, and a page."""
    name, place = (call.query.get(each, "").strip()[:FIELD_CHARS] for each in ("name", "place"))
    return name, place, page_in(call.query.get("page", ""))


def to_people(
    found: People, *, has_places: bool, file: str = "", more: str = "", empty: str = ""
) -> Table:
    """Who asked, as a table."""
    places = (Column(name="place"),) if has_places else ()
    return Table(
        title="Who asked, the last seen first",
        columns=(
            Column(name="name", kind="name"),
            *places,
            Column(name="id", kind="name"),
            Column(name="last seen", kind="time"),
            Column(name="asked ever", kind="number"),
            Column(name="asked this month", kind="number"),
            Column(name="delivered", kind="number"),
            Column(name="charged", kind="money"),
            Column(name="blocked until", kind="time"),
        ),
        rows=[_row(each, has_places=has_places) for each in found.lines],
        file=file,
        more=more,
        empty=empty,
    )


def _row(each: PersonLine, *, has_places: bool) -> tuple[object, ...]:
    month = each.month
    return (
        Link(words=each.name, href=person_path(each.person)),
        *((each.tenant,) if has_places else ()),
        each.person.rpartition(":")[2],
        each.last_seen,
        each.asked_ever,
        month.asked if month else 0,
        month.delivered if month else 0,
        month.charged if month else 0,
        each.block and (each.block.until or "for good"),
    )


# ---- one person ------------------------------------------------------------------------------


def to_tables(person: PersonSight) -> dict[str, Table]:
    """Their tables, by the name that their files go by."""

    def path(of: str) -> str:
        return to_path("/desk/person.csv", key=person.line.person, of=of)

    return {
        "limits": _limits(person.allowances, path("limits")),
        "last": _last(person.last, path("last")),
        "days": to_usage("Each day of this month", "day", person.days, file=path("days")),
        "grants": Table(
            title="Granted beyond the limits",
            columns=(
                Column(name="amount", kind="money"),
                Column(name="given", kind="time"),
                Column(name="until", kind="time"),
            ),
            rows=[(each.micros, each.at, each.until) for each in person.grants],
            file=path("grants"),
            empty="Nothing just now.",
        ),
    }


def _limits(allowances: Sequence[Allowance], file: str) -> Table:
    return Table(
        title="Limits",
        columns=(
            Column(name="limit"),
            Column(name="used"),
            Column(name="allowed"),
            Column(name="begins anew", kind="time"),
        ),
        rows=[
            # As it is told to people themselves it is theirs.
            (
                each.name.removeprefix("your "),
                _amount(each, each.used),
                _amount(each, each.allowed),
                each.resets_at,
            )
            for each in allowances
        ],
        file=file,
        empty="No limit is set.",
    )


def _amount(allowance: Allowance, value: int | None) -> str | None:
    if value is None:
        return None
    return money(value) if allowance.is_money else str(value)


def _last(lines: Sequence[ClipLine], file: str) -> Table:
    return Table(
        title="What they asked for last",
        columns=(
            Column(name="job", kind="job"),
            Column(name="state", kind="state"),
            Column(name="asked", kind="time"),
            Column(name="model"),
            Column(name="charged", kind="money"),
            Column(name="prompt"),
        ),
        rows=[
            (
                each.job_id,
                each.state,
                each.asked_at,
                each.model,
                each.charged,
                "private"
                if each.is_private and each.is_hidden
                else clean(each.prompt, limit=PROMPT_CHARS) or None,
            )
            for each in lines
        ],
        file=file,
    )
