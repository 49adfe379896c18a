"""Procrastinate's connections: one answer for each of its calls, and the dead ones replaced."""

from __future__ import annotations

from typing import Any, LiteralString

import psycopg
from procrastinate import PsycopgConnector, exceptions, sql
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from sqlalchemy import URL

from bot.store.postgres import connect_args, conninfo, has_spoken

POOL = 8
_GIVES_AWAY = sql.queries["retry_job"]


class Connector(PsycopgConnector):
    """As procrastinate's own, but with a pool that neither proves nor begins nor commits."""

    def __init__(self, url: URL) -> None:
        super().__init__(
            pool_factory=_pool,
            conninfo=conninfo(url),
            kwargs=connect_args(),
            min_size=1,
            max_size=POOL,
        )

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        """Run a statement, again where its connection was dead; raises `ConnectorException`.

        A task that nobody could end would stay in the hands of a worker that lives, and hold up
        its job. Only giving one away is never said twice: if just the answer was lost, another
        process may have it in hand by then.
        """
        for _ in range(POOL):
            try:
                await super().execute_query_async(query, **arguments)
            except exceptions.ConnectorException as error:
                is_cut = isinstance(error.__cause__, psycopg.OperationalError)
                is_away = isinstance(error.__cause__, PoolTimeout)
                if not is_cut or is_away or query == _GIVES_AWAY:
                    raise
            else:
                return
        # Every connection of the pool was dead, and each was replaced.
        await super().execute_query_async(query, **arguments)


def _pool(**settings: Any) -> AsyncConnectionPool:
    return AsyncConnectionPool(**settings | {"configure": _configure, "check": _check})


async def _configure(conn: psycopg.AsyncConnection[Any]) -> None:
    """Each call is one statement; to begin and to commit would cost as much again each."""
    await conn.set_autocommit(True)


async def _check(conn: psycopg.AsyncConnection[Any]) -> None:
    """Ask the server only where it sent something, such as its farewell; raises psycopg's errors.

    One that died in silence is found by its next statement.
    """
    if has_spoken(conn):
        await AsyncConnectionPool.check_connection(conn)
