"""Who may ask for a clip here and now, by the rows and the configuration. Starts nothing."""

from __future__ import annotations

from datetime import timedelta

from bot import quota
from bot.bot_context import BotContext
from bot.clock import Clock
from bot.errors import NoRoom, NotAllowed, NotOutside, NotServed, Paused, WrongChannel
from bot.request import GenerationRequest, Requester
from bot.store import places, settings
from bot.store.database import Database
from bot.store.places import PlaceState, Standing
from bot.store.transaction import Tx
from bot.words import clean, moment

LOCAL = "local"
NAME_CHARS = 80
NAMES_SHOWN = 10


class Access:
    """Who is served: closed by default. Every refusal is a `NotAllowed` with its reason."""

    def __init__(self, *, database: Database, clock: Clock, context: BotContext) -> None:
        self._database = database
        self._clock = clock
        self._context = context

    def is_served(self, tenant: str, state: PlaceState | None) -> bool:
        """Whether a place is served: this machine, the configuration's, and approved ones."""
        return self.is_configured(tenant) or state == "approved"

    def is_configured(self, tenant: str) -> bool:
        """Whether the configuration names a place, whatever the rows say."""
        access = self._context.access
        return tenant.partition(":")[2] in (LOCAL, *access.servers, *access.workspaces)

    async def served(self, adapter: str) -> list[str]:
        """What is served of an adapter; of what is configured some may be another adapter's."""
        access, own = self._context.access, f"{adapter}:"
        approved = await self._database.read(places.approved)
        let_in = [each.removeprefix(own) for each in approved if each.startswith(own)]
        return list(dict.fromkeys((*access.servers, *access.workspaces, *let_in)))

    async def check_place(
        self, requester: Requester, state: PlaceState | None, *, name: str = ""
    ) -> None:
        """Raise unless somebody's place is served; the first time the operator hears of it.

        After that nothing is written, however often somebody there asks.
        """
        is_served = self.is_served(requester.tenant, state)
        if requester.is_outside:
            self._check_outside(requester, is_served=is_served)
        elif not is_served:
            if state in (None, "listed"):
                await self._database.write(lambda tx: self._ask(tx, requester, name))
            raise NotServed

    def _check_outside(self, requester: Requester, *, is_served: bool) -> None:
        access = self._context.access
        if requester.is_install and not access.user_installs:
            raise NotOutside("I take no requests as a personal app.")
        if not requester.is_install and not access.direct_messages:
            raise NotOutside("I take no requests in direct messages.")
        if not is_served or requester.home != requester.tenant:
            raise NotServed("Raybot answers only members of a place that it serves.")

    def _ask(self, tx: Tx, requester: Requester, name: str) -> None:
        tenant, now = requester.tenant, self._clock.now()
        known_as = clean(name, limit=NAME_CHARS)
        if places.ask(tx, tenant, name=known_as, by=requester.person, now=now):
            who = f"{known_as} ({tenant})" if known_as else tenant
            sentence = f"{who} wants to use Raybot. Nothing is made there unless you approve it."
            settings.note_operator(tx, f"place:{tenant}", sentence, now)

    async def check(
        self, request: GenerationRequest, standing: Standing, *, name: str = ""
    ) -> None:
        """Raise unless this may be asked here and now, by this person, on this machine."""
        requester = request.requester
        await self.check_place(requester, standing.state, name=name)
        self._check_channel(request, standing.rules)
        self._check_person(requester, standing)
        if not await self._context.has_room():
            raise NoRoom

    def _check_channel(self, request: GenerationRequest, rules: places.Rules) -> None:
        if self._context.moderation.require_age_restricted and not request.is_age_restricted:
            raise NotAllowed("Raybot makes clips only in age-restricted channels here.")
        if rules.paused_at is not None:
            raise Paused(clean(rules.paused_message) or None)
        # What lies outside every place is no channel of it; who may ask there is decided before.
        if request.requester.is_outside:
            return
        channel, allowed = request.thread.channel, self._context.moderation.allow_in_channels
        if allowed and channel not in allowed:
            raise WrongChannel(channels=allowed)
        if not rules.channels or channel in rules.channels:
            return
        names = [clean(name, limit=NAME_CHARS) or id_ for id_, name in rules.channels.items()]
        more = ", …" if len(names) > NAMES_SHOWN else ""
        raise WrongChannel(
            "Raybot is not used in this channel. You can use it in "
            f"{', '.join(names[:NAMES_SHOWN])}{more}.",
            channels=tuple(rules.channels),
        )

    def _check_person(self, requester: Requester, standing: Standing) -> None:
        least, since = self._context.limits.min_member_days, requester.member_since
        if since is not None and self._clock.now() - since < timedelta(days=least):
            raise NotAllowed(f"You can use Raybot here {least} days after you joined.")
        if requester.is_guest and quota.keeps_guests_out(self._context.limits):
            raise NotAllowed(quota.NO_GUESTS)
        if (block := standing.block) is not None:
            until = f" until {moment(block.until)}" if block.until else ""
            raise NotAllowed(f"You cannot use Raybot here{until}.", until=block.until)
