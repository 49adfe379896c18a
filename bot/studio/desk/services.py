"""How video services and chat platforms do."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from bot import choice
from bot.bot_context import BotContext
from bot.clock import Clock
from bot.desk_views import Balance, ChatStatus, Services, ServiceStatus
from bot.errors import ProviderError
from bot.overview import Sitting
from bot.ports import Provider
from bot.refs import Micros
from bot.routing.planning import Planner
from bot.store import desk_services, queues
from bot.store.database import Database
from bot.store.desk_services import Load

#: How long between two questions for a service's balance, however many look.
ASK_EVERY = timedelta(minutes=5)
ANSWER_SECONDS = 5.0
#: How long a page waits for the first answers.
PATIENCE_SECONDS = 1.5
NO_ANSWER = f"It did not answer within {ANSWER_SECONDS:g} s."


class ServicesView:
    """What is known of each service; balances are asked beside the pages."""

    def __init__(
        self, *, database: Database, planner: Planner, clock: Clock, context: BotContext
    ) -> None:
        self._database = database
        self._providers = planner.providers
        self._draining = planner.draining
        self._clock = clock
        self._context = context
        self._balances: dict[str, Balance] = {}
        self._asked_at: datetime | None = None
        self._wanted, self._known = asyncio.Event(), asyncio.Event()

    async def read(self, sitting: Sitting) -> Services:
        """Every service that is configured, in order, and the chats in reach.

        One that is draining comes last, while something is left there.
        """
        tenant = sitting.tenant or None
        every = (*self._providers, *self._draining)
        loads, left = await self._database.read(
            lambda conn: (
                {each.name: desk_services.load(conn, each.name, tenant) for each in every},
                [each for each in self._draining if queues.left(conn, each.name)],
            )
        )
        if tenant is None:
            await self._want_balances()
        return Services(
            services=[
                self._to_service(each, loads[each.name], is_whole=tenant is None)
                for each in (*self._providers, *left)
            ],
            chats=[
                ChatStatus(name=name, trouble=said)
                for name, said in self._context.desk.chats().items()
                if tenant is None or name == tenant.partition(":")[0]
            ],
            is_alone=self._context.replicas.is_single,
        )

    def _to_service(self, provider: Provider, load: Load, *, is_whole: bool) -> ServiceStatus:
        name, health = provider.name, self._context.desk.health_of(provider.name)
        has_slots = is_whole and not health.is_draining
        return ServiceStatus(
            name=name,
            is_test=provider.is_test,
            health=health,
            running=load.running,
            waiting=load.waiting,
            oldest=load.oldest,
            slots=provider.limits.running if has_slots else None,
            balance=self._balances.get(name, Balance()) if has_slots else None,
            success=load.success,
            failure=load.failure,
            detour=self._detour(provider) if health.trouble else "",
            prices={} if health.is_draining else _prices(provider),
        )

    def _detour(self, provider: Provider) -> str:
        """The first other service that works, where its line may go."""
        is_well = self._context.failover.is_well
        others = (each.name for each in self._providers if each is not provider)
        return next((name for name in others if is_well(name)), "")

    # ---- balances ------------------------------------------------------------------------

    async def run(self) -> None:
        """Ask for balances where somebody wants to know them, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                async with asyncio.TaskGroup() as group:
                    for each in self._providers:
                        group.create_task(self._ask(each))
            finally:
                self._known.set()  # Else each page would wait for what does not come.

    async def _want_balances(self) -> None:
        now = self._clock.now()
        if self._asked_at is None or now - self._asked_at >= ASK_EVERY:
            self._asked_at = now
            self._wanted.set()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._known.wait()
        except TimeoutError:
            return

    async def _ask(self, provider: Provider) -> None:
        micros, trouble = None, ""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                micros = await provider.balance()
        except TimeoutError:
            trouble = NO_ANSWER
        except ProviderError as error:
            trouble = error.sentence
        self._balances[provider.name] = Balance(
            micros=micros, asked_at=self._clock.now(), trouble=trouble
        )


def _prices(provider: Provider) -> dict[str, Micros]:
    """Each model that it sells, with the price of its cheapest clip, or of a still."""
    return {model: each.micros for model, each in choice.cheapest(provider).items()} | dict(
        choice.stills(provider)
    )
