"""What is said again when an answer of PostgreSQL is lost, and what never is."""

from __future__ import annotations

import psycopg
import pytest
from procrastinate import PsycopgConnector, exceptions, sql

from bot.dispatch.connector import Connector
from bot.store.postgres import postgres_url


@pytest.mark.parametrize(
    ("statement", "times"),
    [("finish_job", 3), ("update_heartbeat", 3), ("retry_job", 1)],
)
async def test_a_task_is_ended_again_but_never_given_away_again(
    monkeypatch: pytest.MonkeyPatch, statement: str, times: int
) -> None:
    """The third answer arrives; a task given away may be in the hands of others by then."""
    said: list[str] = []

    async def lose_two(_: PsycopgConnector, query: str, **_arguments: object) -> None:
        said.append(query)
        if len(said) < 3:
            raise exceptions.ConnectorException from psycopg.OperationalError("cut")

    monkeypatch.setattr(PsycopgConnector, "execute_query_async", lose_two)
    connector = Connector(postgres_url("postgresql+psycopg://raybot@127.0.0.1/raybot"))
    query = sql.queries[statement]
    if times == 1:
        with pytest.raises(exceptions.ConnectorException):
            await connector.execute_query_async(query)
    else:
        await connector.execute_query_async(query)
    assert said == [query] * times
