"""The places in the reach of a sitting: whether they are served, paused, and their limits."""

from __future__ import annotations

from bot import choice, quota
from bot.bot_context import BotContext
from bot.clock import Clock
from bot.desk_views import LimitView, PlaceView
from bot.errors import InvalidRequest
from bot.limits import BY_KEY, LISTS, Limit, settable
from bot.overview import PlaceLimit, Sitting
from bot.refs import money
from bot.request import RESOLUTIONS
from bot.routing.planning import Planner
from bot.store import desk_acts
from bot.store.database import Database
from bot.store.desk_acts import FoundPlace
from bot.tables import LimitsTable, micros
from bot.words import clean

NAME_CHARS = 80
NOWHERE = "There is no such place here."
_LISTS = {"models": "models that may be used", "resolutions": "sizes that may be used"}


class PlacesView:
    """Reads places; one that is out of reach does not exist."""

    def __init__(
        self, *, database: Database, planner: Planner, clock: Clock, context: BotContext
    ) -> None:
        self._database = database
        self._planner = planner
        self._clock = clock
        self._context = context

    async def every(self, sitting: Sitting) -> tuple[PlaceView, ...]:
        """All that can be seen, by their keys; those that wait for a word first."""
        tenants = {sitting.tenant}
        if not sitting.tenant:
            known = await self._database.read(desk_acts.known_places)
            tenants = known | self._configured
        found = await self._database.read(
            lambda conn: {each: desk_acts.place(conn, each) for each in tenants}
        )
        seen = [self._to_view(tenant, place) for tenant, place in found.items()]
        return tuple(sorted(seen, key=lambda each: (each.state != "asked", each.tenant)))

    async def one(self, sitting: Sitting, tenant: str) -> PlaceView:
        """One place; raises `InvalidRequest`."""
        is_there = sitting.sees(tenant) and (
            sitting.tenant == tenant
            or tenant in self._configured
            or await self._database.read(lambda conn: desk_acts.is_known_place(conn, tenant))
        )
        if not is_there:
            raise InvalidRequest(NOWHERE)
        found = await self._database.read(lambda conn: desk_acts.place(conn, tenant))
        return self._to_view(tenant, found)

    async def limits(
        self, place: PlaceView
    ) -> tuple[tuple[LimitView, ...], tuple[PlaceLimit, ...]]:
        """Each limit that can be set for a place, and those set for a role or a channel of it."""
        house, now = self._context.limits, self._clock.now()
        found = await self._database.read(
            lambda conn: desk_acts.limits(conn, place.tenant, house, now)
        )
        apart = tuple(each for each in found.rules if each.channel or each.role)
        own = {each.name: each.value for each in found.rules if each not in apart}
        names = settable(channel="", role="")
        every = (self._to_limit(each, found.held, own.get(each, ""), found.used) for each in names)
        return tuple(every), apart

    # ---- as they are seen ----------------------------------------------------------------

    @property
    def _configured(self) -> set[str]:
        access = self._context.access
        named = {"discord": access.servers, "slack": access.workspaces}
        return {f"{name}:{each}" for name, ids in named.items() for each in ids}

    def _to_view(self, tenant: str, found: FoundPlace) -> PlaceView:
        access = self._context.access
        always = ("local", *access.servers, *access.workspaces)
        is_configured = tenant.partition(":")[2] in always
        return PlaceView(
            tenant=tenant,
            name=clean(found.name, limit=NAME_CHARS),
            state=found.state or "",
            is_configured=is_configured,
            is_served=is_configured or found.state == "approved",
            paused_at=found.rules.paused_at,
            paused_message=clean(found.rules.paused_message),
            is_paused_everywhere=found.rules.is_everywhere,
        )

    def _to_limit(self, name: str, held: LimitsTable, own: str, used: quota.Used) -> LimitView:
        if name in LISTS:
            models = tuple(each.model for each in choice.offered(self._planner.providers))
            return LimitView(
                name=name,
                title=_LISTS[name],
                unit="names with commas between them",
                in_force=", ".join(getattr(held, name)) or "every one",
                own=own,
                house=", ".join(getattr(self._context.limits, name)) or "every one",
                choices=models if name == "models" else RESOLUTIONS,
            )
        limit = BY_KEY[name]
        ceiling = getattr(self._context.limits, name)
        return LimitView(
            name=name,
            title=limit.title,
            unit="in US dollars" if limit.is_money else "a whole number",
            in_force=_amount(limit, getattr(held, name)),
            own=own,
            used=_used(limit, used),
            house=_amount(limit, ceiling),
            can_only_lower=not limit.is_own and ceiling is not None,
        )


def _amount(limit: Limit, allowed: float | None) -> str:
    if allowed is None:
        return "no limit"
    return money(micros(allowed)) if limit.is_money else str(allowed)


def _used(limit: Limit, used: quota.Used) -> str:
    if limit.key not in used:
        return ""
    return money(used[limit.key]) if limit.is_money else str(used[limit.key])
