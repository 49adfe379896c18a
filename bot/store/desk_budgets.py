"""The limits that people share, and what is used of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import Connection

from bot import quota
from bot.desk_views import Budget
from bot.limits import LIMITS, Whose
from bot.request import Requester
from bot.store import allowances
from bot.tables import LimitsTable


def in_reach(
    conn: Connection, tenant: str, others: Sequence[str], house: LimitsTable, now: datetime
) -> list[Budget]:
    """The budgets of one place; without a `tenant`, the house's own and those of the `others`."""
    if tenant:
        return _of_places(conn, [tenant], house, now)
    return _of_house(conn, house, now) + _of_places(conn, others, house, now)


def _of_house(conn: Connection, house: LimitsTable, now: datetime) -> list[Budget]:
    """What holds for all places together."""
    nobody = Requester(adapter="", workspace="", user="")
    return list(_used(conn, "", nobody, _only(house, "total"), now))


def _of_places(
    conn: Connection, tenants: Sequence[str], house: LimitsTable, now: datetime
) -> list[Budget]:
    """What holds for each of these places by itself."""
    found: list[Budget] = []
    for tenant in tenants:
        adapter, _, workspace = tenant.partition(":")
        anybody = Requester(adapter=adapter, workspace=workspace, user="")
        limits = _only(allowances.of_people(conn, anybody, "", house), "tenant")
        found += _used(conn, tenant, anybody, limits, now)
    return found


def _only(limits: LimitsTable, whose: Whose) -> LimitsTable:
    """So that nothing else is counted."""
    return limits.model_copy(update={each.key: None for each in LIMITS if each.whose != whose})


def _used(
    conn: Connection, tenant: str, who: Requester, limits: LimitsTable, now: datetime
) -> Iterator[Budget]:
    used = allowances.used(conn, who, "", limits, now)
    for each in quota.allowances(limits, used, now):
        if each.allowed is not None:
            yield Budget(tenant=tenant, allowance=each)
