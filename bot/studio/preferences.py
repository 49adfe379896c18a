"""What holds where a person types nothing, what they can choose from, and what it would cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot import choice, consent
from bot.errors import of_no_clip
from bot.limits import of_anybody
from bot.overview import Offer, Setting
from bot.ports import ModelCapabilities, Operation
from bot.presets import choices_made
from bot.request import Requester
from bot.routing.planning import Planner
from bot.store import allowances, lookup, places, settings
from bot.store.database import Database
from bot.store.transaction import Tx
from bot.studio.access import Access
from bot.tables import LimitsTable


class Preferences:
    """The defaults of people, channels and places, as a person meets them."""

    def __init__(
        self, *, database: Database, planner: Planner, access: Access, limits: LimitsTable
    ) -> None:
        self._limits = limits
        self._database = database
        self._planner = planner
        self._access = access

    async def own(self, requester: Requester) -> Mapping[str, str]:
        """A person's own defaults, and who may animate their images where they said it."""
        return await self._database.read(lambda conn: lookup.own_settings(conn, requester.person))

    async def in_channel(self, requester: Requester, channel: str) -> tuple[Setting, ...]:
        """What holds for a person in a channel where they type nothing, and whose word it is."""
        chosen = await self._database.read(
            lambda conn: settings.chosen_in(conn, requester.person, requester.tenant, channel)
        )
        closed = chosen.trust.get(consent.ANIMATE_MINE, "")
        mine = Setting(
            name=consent.ANIMATE_MINE,
            value=closed or consent.ANYONE,
            source="yours" if closed else "house",
        )
        return (*self._planner.explain(chosen), mine)

    async def change(self, requester: Requester, changes: Mapping[str, str]) -> Mapping[str, str]:
        """Change own defaults (an empty value takes one back); raises `InvalidRequest`.

        `animate_mine` says whether others may animate one's images, whatever a place decides.
        """
        trust = {name: value for name, value in changes.items() if name == consent.ANIMATE_MINE}
        with of_no_clip():
            trust = {name: consent.to_choice(value) for name, value in trust.items()}
        changes = {name: value for name, value in changes.items() if name not in trust}
        own, state = await self._database.read(
            lambda conn: (
                settings.chosen(conn, requester.person),
                places.state(conn, requester.tenant),
            )
        )
        with of_no_clip():
            await self._access.check_place(requester, state)
            self._planner.check_chosen({**own, **changes}, others=(consent.ANIMATE_MINE,))

        def write(tx: Tx) -> dict[str, str]:
            if trust:
                settings.choose(tx, settings.trust_scope(requester.person), trust)
            settings.choose(tx, requester.person, changes)
            return lookup.own_settings(tx.conn, requester.person)

        return await self._database.write(write)

    def models(self, operation: Operation = "video") -> tuple[ModelCapabilities, ...]:
        """What can be asked for, by model, in the order of the providers."""
        return choice.offered(self._planner.providers, operation)

    def choices(self, field: str) -> Sequence[str]:
        """What can be chosen of a parameter, by somebody who has every role of the limits."""
        models = [*self.models(), *self.models("image")]
        if self._limits.models:
            allowed = of_anybody(self._limits, "models")
            models = [each for each in models if each.model in allowed]
        made = choices_made(field, models)
        sizes = of_anybody(self._limits, "resolutions")
        return [each for each in made if field != "resolution" or each in sizes]

    async def offers(
        self, requester: Requester, channel: str, *, model: str = ""
    ) -> tuple[Offer, ...]:
        """Lengths and sizes with their prices, as they would hold for a person in a channel."""
        chosen, limits = await self._database.read(
            lambda conn: (
                settings.chosen_in(conn, requester.person, requester.tenant, channel),
                allowances.of_people(conn, requester, channel, self._limits),
            )
        )
        typed = {"model": model} if model else {}
        return self._planner.offers({**chosen.merged, **typed}, limits)
