"""Who may decide for a place, and the audit log of what they decide."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from bot.bot_context import BotContext
from bot.clock import Clock
from bot.errors import InvalidRequest, NotAllowed, NotServed
from bot.request import Requester
from bot.store import places, settings
from bot.store.database import Database
from bot.store.transaction import Tx
from bot.studio.access import Access
from bot.tables import OPERATOR


class Rights:
    """The adapter has checked that somebody has the platform's right; this says where it counts.

    An act on a place must come from that place, or from an operator.
    """

    def __init__(
        self, *, database: Database, clock: Clock, context: BotContext, access: Access
    ) -> None:
        self._database = database
        self._clock = clock
        self._context = context
        self._access = access

    def check(self, tenant: str, *, actor: Requester) -> None:
        """Raise unless somebody may read and decide for this place, if the platform lets them.

        Rights are held in a place: who asks from outside has none, whatever they hold there.
        """
        if not self.is_operator(actor) and (actor.is_outside or actor.tenant != tenant):
            raise NotAllowed("That can be done only in the place itself.")

    def is_operator(self, actor: Requester) -> bool:
        """Whether somebody may act for every place: the operators, and who sits at the machine."""
        if actor.adapter == OPERATOR:
            return True
        names = {f"{actor.adapter}:{actor.user}", actor.person}
        return not names.isdisjoint(self._context.operators)

    async def act(
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

    async def holds(self, actor: Requester) -> bool:
        """Whether somebody may run their place now, as their platform says, while it is served.

        Raises `DeliveryError`s where it does not answer.
        """
        if self.is_operator(actor):
            return True
        tenant = actor.tenant
        state = await self._database.read(lambda conn: places.state(conn, tenant))
        return self._access.is_served(tenant, state) and await self._context.is_admin(actor)

    def _check_served(self, tx: Tx, tenant: str, actor: Requester) -> None:
        """A place that is not served leaves nothing behind."""
        is_served = self._access.is_served(tenant, places.state(tx.conn, tenant))
        if not is_served and not self.is_operator(actor):
            raise NotServed


def to_person(tenant: str, user: str) -> str:
    """The key of somebody in a place, by their id or that key; raises `InvalidRequest`."""
    own = user.removeprefix(f"{tenant}:")
    if not own or ":" in own:
        raise InvalidRequest(f"Say whom, by an id of somebody in {tenant}.", field="user")
    return f"{tenant}:{own}"
