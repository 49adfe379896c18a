"""Places: which are served or paused, and the limits of each, with the forms that change them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from adapters.web.desk.addresses import to_path
from adapters.web.desk.tables import Column, Link, Table, as_file
from adapters.web.desk.visit import DeskVisit, Handler
from bot.errors import JobNotFound
from bot.ports import WebCall, WebReply

if TYPE_CHECKING:
    from bot.desk_views import LimitView, PlaceView
    from bot.studio import PlaceLimit, Studio

HERE, FILE = "/desk/places", "/desk/places.csv"
COLUMNS = (Column(name="place"), Column(name="name"), Column(name="stands"))
LIMITS = tuple(
    Column(name=each) for each in ("limit", "in force", "set here", "used", "set by the operator")
)
EXCEPTIONS = (
    Column(name="limit"),
    Column(name="value"),
    Column(name="role"),
    Column(name="channel"),
)


class Places:
    """The list, and one place."""

    def __init__(self, studio: Studio) -> None:
        self._view = studio.desk.places
        self._admin = studio.admin

    @property
    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """Who sees one place alone is led to it."""
        return {
            ("GET", HERE): self._list,
            ("GET", FILE): self._list_file,
            ("GET", "/desk/place"): self._one,
            ("GET", "/desk/place.csv"): self._one_file,
        }

    async def _list(self, _call: WebCall, visit: DeskVisit) -> WebReply:
        if visit.sitting.tenant:
            return await self._show(visit, visit.sitting.tenant)
        table = to_places(await self._view.every(visit.sitting))
        return visit.page("places.html", here=HERE, table=table)

    async def _list_file(self, _call: WebCall, visit: DeskVisit) -> WebReply:
        return await as_file(partial(to_places, await self._view.every(visit.sitting)), "places")

    async def _one(self, call: WebCall, visit: DeskVisit) -> WebReply:
        return await self._show(visit, call.query.get("id", ""))

    async def _one_file(self, call: WebCall, visit: DeskVisit) -> WebReply:
        place = await self._view.one(visit.sitting, call.query.get("id", ""))
        limits, apart = await self._view.limits(place)
        tables = {"limits": to_limits(limits), "apart": to_apart(place, apart)}
        wanted = call.query.get("of", "")
        if (table := tables.get(wanted)) is None:
            raise JobNotFound("There is no such table.")
        return await as_file(lambda: table, f"place-{wanted}")

    async def _show(self, visit: DeskVisit, tenant: str) -> WebReply:
        place = await self._view.one(visit.sitting, tenant)
        limits, apart = await self._view.limits(place)
        return visit.page(
            "place.html",
            here=HERE,
            place=place,
            stands=to_words(place),
            limits=limits,
            limits_file=_file(place, "limits"),
            apart=to_apart(place, apart),
            names=[each.name for each in limits],
            back=address_of(place.tenant),
            is_operator=self._admin.is_operator(visit.sitting.who),
        )


def address_of(tenant: str) -> str:
    """Where a place's page is."""
    return f"/desk/place?id={quote(tenant, safe=':')}"


def to_words(place: PlaceView) -> str:
    """How a place stands."""
    if not place.is_served:
        return "waits for your word" if place.state == "asked" else "not served"
    if place.is_paused_everywhere:
        return "paused by the operator, as every place is"
    return "paused" if place.paused_at is not None else "served"


def to_places(every: Sequence[PlaceView]) -> Table:
    """All places, as a table."""
    rows = [
        (Link(words=each.tenant, href=address_of(each.tenant)), each.name, to_words(each))
        for each in every
    ]
    return Table(title="Places", columns=COLUMNS, rows=rows, file=FILE)


def to_limits(limits: Sequence[LimitView]) -> Table:
    """The limits of a place in rows, for a file."""
    rows = [(each.name, each.in_force, each.own, each.used, each.house) for each in limits]
    return Table(title="Limits", columns=LIMITS, rows=rows)


def to_apart(place: PlaceView, rules: Sequence[PlaceLimit]) -> Table:
    """The limits for roles and channels."""
    return Table(
        title="For roles and channels",
        columns=EXCEPTIONS,
        rows=[(each.name, each.value, each.role or None, each.channel or None) for each in rules],
        file=_file(place, "apart"),
        empty="Nothing is set for a role or a channel.",
    )


def _file(place: PlaceView, of: str) -> str:
    return to_path("/desk/place.csv", id=place.tenant, of=of)
