"""Who may decide for a place, and the audit log of what they did."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from bot.access import Access
from bot.clock import Clock
from bot.errors import InvalidRequest, NotAllowed, NotServed
from bot.house import House
from bot.planning import Planner
from bot.request import Requester
from bot.store import places, settings
from bot.store.database import Database, Tx


class Authority:
    """Acts on places, each in the audit log.

    The adapter has checked that `actor` has the platform's right; here an act on a place must come
    from that place, or from an operator, and `check` says the same before something is read.
    Raises `NotAllowed`, and `InvalidRequest` for bad values.
    """

    def __init__(
        self, *, database: Database, planner: Planner, clock: Clock, house: House, access: Access
    ) -> None:
        self._database = database
        self._planner = planner
        self._clock = clock
        self._house = house
        self._access = access

    def check(self, tenant: str, *, actor: Requester) -> None:
        """Raise unless somebody may read and decide for this place, if the platform lets them.

        Rights are held in a place: who asks from outside has none, whatever they hold there.
        """
        if not self.is_operator(actor) and (actor.is_outside or actor.tenant != tenant):
            raise NotAllowed("That can be done only in the place itself.")

    def is_operator(self, actor: Requester) -> bool:
        """Whether somebody may act for every place."""
        names = {f"{actor.adapter}:{actor.user}", actor.person}
        return not names.isdisjoint(self._house.operators)

    async def _act(
        self,
        tenant: str,
        actor: Requester,
        act: str,
        change: Callable[[Tx, datetime], object],
        *,
        target: str = "",
        detail: str = "",
    ) -> None:
        """Change something and remember who did it, both or neither."""
        now, by = self._clock.now(), actor.person
        self.check(tenant, actor=actor)

        def write(tx: Tx) -> None:
            self._check_served(tx, tenant, actor)
            change(tx, now)
            settings.write_audit(
                tx, now, actor=by, act=act, target=target or tenant, detail=detail
            )

        await self._database.write(write)

    def _check_served(self, tx: Tx, tenant: str, actor: Requester) -> None:
        """A place that is not served leaves nothing behind."""
        is_served = self._access.is_served(tenant, places.state(tx.conn, tenant))
        if not is_served and not self.is_operator(actor):
            raise NotServed


def to_person(tenant: str, user: str) -> str:
    """The key of somebody in a place; raises `InvalidRequest`."""
    if not user or ":" in user:
        raise InvalidRequest("Say whom.", field="user")
    return f"{tenant}:{user}"
