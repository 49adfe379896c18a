"""Places: which are served or paused, and the limits of each, with the forms that change them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from adapters.web.desk.tables import Column, Link, Table
from adapters.web.desk.visit import DeskVisit, Handler
from bot.ports import WebCall, WebReply

if TYPE_CHECKING:
    from bot.desk_views import PlaceView
    from bot.studio import PlaceLimit, Studio

HERE = "/desk/places"
COLUMNS = (Column(name="place"), Column(name="name"), Column(name="stands"))
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
        return {("GET", HERE): self._list, ("GET", "/desk/place"): self._one}

    async def _list(self, _call: WebCall, visit: DeskVisit) -> WebReply:
        if visit.sitting.tenant:
            return await self._show(visit, visit.sitting.tenant)
        every = await self._view.every(visit.sitting)
        rows = [
            (Link(words=each.tenant, href=address_of(each.tenant)), each.name, to_words(each))
            for each in every
        ]
        return visit.page(
            "places.html", here=HERE, table=Table(title="Places", columns=COLUMNS, rows=rows)
        )

    async def _one(self, call: WebCall, visit: DeskVisit) -> WebReply:
        return await self._show(visit, call.query.get("id", ""))

    async def _show(self, visit: DeskVisit, tenant: str) -> WebReply:
        place = await self._view.one(visit.sitting, tenant)
        limits, apart = await self._view.limits(place)
        return visit.page(
            "place.html",
            here=HERE,
            place=place,
            stands=to_words(place),
            limits=limits,
            apart=to_apart(apart),
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


def to_apart(rules: tuple[PlaceLimit, ...]) -> Table:
    """The limits for roles and channels."""
    return Table(
        title="For roles and channels",
        columns=EXCEPTIONS,
        rows=[(each.name, each.value, each.role or None, each.channel or None) for each in rules],
        empty="Nothing is set for a role or a channel.",
    )
