"""Who advances what, and when: in this process alone, or among several on one PostgreSQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from bot.clock import Clock
from bot.dispatch.local import LocalDispatcher
from bot.dispatch.single import SingleProcess
from bot.ports import Dispatcher
from bot.refs import JobId
from bot.replicas import Replicas
from bot.store.database import POSTGRES


@dataclass(frozen=True, kw_only=True)
class Dispatch:
    """What brings jobs to their steps, and what this process is among others."""

    dispatcher: Dispatcher
    replicas: Replicas


async def open_dispatch(
    url: str,
    clock: Clock,
    *,
    due_times: Callable[[], Awaitable[list[tuple[JobId, datetime]]]],
    stalled: Callable[[JobId], Awaitable[datetime | None]],
    grace_seconds: float,
) -> Dispatch:
    """What the database at this address, which is open, asks for; raises `StoreError`.

    `stalled` is called with each job whose worker died or froze; it returns the job's next due
    time, or None where whoever takes it will see.
    """
    if not url.startswith(POSTGRES):
        dispatcher = LocalDispatcher(clock, due_times)
        return Dispatch(dispatcher=dispatcher, replicas=SingleProcess())
    # Only here, because nobody else needs these packages.
    from bot.dispatch.procrastinate import ProcrastinateDispatcher
    from bot.dispatch.replicas import PostgresReplicas
    from bot.store.postgres import postgres_url

    address = postgres_url(url)
    replicas = PostgresReplicas(address)
    shared = ProcrastinateDispatcher(
        address,
        clock,
        due_times,
        stalled=stalled,
        turn=replicas.turn,
        grace_seconds=grace_seconds,
    )
    await shared.open()
    return Dispatch(dispatcher=shared, replicas=replicas)
