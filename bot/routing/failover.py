"""Where a job goes that its provider certainly did not take: the next way of its plan.

Never after a submission that may have been taken. Nobody pays more than they agreed to without
being asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from bot.errors import ProviderClosed, ProviderError, ProviderUnavailable
from bot.job import Job, Plan, Route
from bot.pricing import hold_for
from bot.refs import Micros, money
from bot.store import jobs
from bot.store.columns import JobColumns
from bot.store.transaction import Tx
from bot.tables import micros


def may_leave(error: ProviderError | None) -> bool:
    """Whether a refusal is the provider's own trouble, and not a pause that it asks for."""
    is_down = isinstance(error, ProviderUnavailable) and error.retry_after is None
    return is_down or isinstance(error, ProviderClosed)


def explain(route: Route, instead_of: Route) -> str:
    """For its person: who makes it now, and what that changes."""
    why = f"{instead_of.provider} takes nothing right now"
    return f"{why}, so {route.provider} makes it{_price_of(route, instead_of)}."


def _price_of(route: Route, instead_of: Route) -> str:
    was, now = instead_of.price.charged, route.price.charged
    return "" if was == now else f", for {money(now)} instead of {money(was)}"


def without_alternatives(plan: Plan) -> Plan:
    """The plan without any other way, and so with no more held than its own price asks for."""
    if plan.shots:
        shots = tuple(without_alternatives(each) for each in plan.shots)
        held = Micros(sum(each.hold for each in shots))
        return plan.model_copy(update={"shots": shots, "hold": held})
    return plan.model_copy(update={"others": (), "hold": hold_for(plan.price, plan.rate)})


@dataclass(frozen=True, kw_only=True)
class Failover:
    """Finds and takes other ways. `is_open` tells whether a provider may be tried now.

    `is_well` tells whether it had no trouble since it took a job. `confirm_above_usd` is the
    price from which on a person is asked first, None: never.
    `moved` is told of each job's old and new provider once that is written.
    """

    is_open: Callable[[str], bool]
    is_well: Callable[[str], bool]
    confirm_above_usd: float | None
    moved: Callable[[str, str], None]

    def next(self, plan: Plan) -> Route | None:
        """The first way that may be tried now and costs no more than its person agreed to."""
        return next((each for each in self._tried(plan) if self._is_agreed(plan, each)), None)

    def next_of_line(self, plan: Plan) -> Route | None:
        """Like `next`, for one of many who wait: a way that works now, so nobody comes back."""
        well = (each for each in self._tried(plan) if self.is_well(each.provider))
        return next((each for each in well if self._is_agreed(plan, each)), None)

    def offer(self, plan: Plan) -> Route | None:
        """The first way that works now, where its person has to agree to its price first."""
        if self.next(plan) is not None:
            return None
        return next((each for each in plan.others if self.is_well(each.provider)), None)

    def may_take_offer(self, plan: Plan) -> bool:
        """Whether what was offered still stands: it works, and the own provider does not."""
        offered = plan.offered
        is_needed = not self.is_well(plan.provider)
        return offered is not None and is_needed and self.is_open(offered.provider)

    def _tried(self, plan: Plan) -> Iterator[Route]:
        return (each for each in plan.others if self.is_open(each.provider))

    def _is_agreed(self, plan: Plan, route: Route) -> bool:
        if self.confirm_above_usd is None:
            return True
        agreed = max(micros(self.confirm_above_usd), plan.price.charged, plan.agreed)
        return route.price.charged <= agreed

    def take(self, tx: Tx, job: Job, route: Route, now: datetime) -> Job:
        """Put a job that waits in line at its provider in line at another."""
        assert job.plan is not None
        was, plan = job.plan.provider, move(job.plan, route)
        values: JobColumns = {
            **columns_of(plan),
            "provider_failure": None,
            "admitted_at": None,
            "next_at": now,
        }
        moved = jobs.change(tx, job, **values)
        tx.after_commit(lambda: self.moved(was, route.provider))
        return moved


def move(plan: Plan, route: Route) -> Plan:
    """The plan with this way taken; the one that was taken comes last of the others."""
    was = Route(**{name: getattr(plan, name) for name in Route.model_fields})
    others = (*(each for each in plan.others if each != route), was)
    return plan.model_copy(
        update={
            **dict(route),
            "others": others,
            "detour": explain(route, was),
            "agreed": Micros(max(plan.agreed, was.price.charged)),
            "offered": None,
        }
    )


def go_back(tx: Tx, job: Job, provider: str) -> Job | None:
    """A job whose earlier provider took it after all, and so made it; None without that way."""
    if job.plan is None or job.plan.provider == provider:
        return job
    route = next((each for each in job.plan.others if each.provider == provider), None)
    if route is None:
        return None
    detour = f"{provider} had taken it after all, so it makes it{_price_of(route, job.plan)}."
    plan = move(job.plan, route).model_copy(update={"detour": detour})
    return jobs.change(tx, job, **columns_of(plan))


def columns_of(plan: Plan) -> JobColumns:
    """What a job's row repeats of its plan."""
    return {
        "plan": plan,
        "provider": plan.provider,
        "model": plan.work.model,
        "list_price": plan.price.micros,
    }
