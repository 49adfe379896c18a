"""Errors end up in logs; none of them quotes what people wrote, nor a secret."""

from __future__ import annotations

import io
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bot.config import to_config
from bot.job import JobState
from bot.log import redact, setup_logging
from bot.request import GenerationRequest, VideoWork
from bot.store.database import Tx, reader_engine, writer_engine
from bot.supply import database_url
from tests.conftest import House
from tests.secrecy import found_in

WORDS = "a red fox in snow"


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    setup_logging("debug", stream=stream)
    yield stream
    root.handlers = handlers
    root.setLevel(level)


async def test_a_statement_that_fails_does_not_show_its_values(tmp_path: Path) -> None:
    engine = writer_engine(tmp_path / "a.db")
    with engine.connect() as conn, pytest.raises(DBAPIError) as caught:
        conn.execute(text("SELECT :words FROM nowhere"), {"words": WORDS})
    engine.dispose()
    assert WORDS not in "".join(traceback.format_exception(caught.value))
    readers = reader_engine(tmp_path / "a.db")
    async with readers.connect() as read:
        with pytest.raises(DBAPIError) as caught:
            await read.execute(text("SELECT :words FROM nowhere"), {"words": WORDS})
    await readers.dispose()
    assert WORDS not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("value", [{"prompt": WORDS, "new": WORDS}, {"prompt": [WORDS]}])
def test_a_value_that_does_not_fit_is_not_shown(value: object) -> None:
    for model in (VideoWork, GenerationRequest):
        with pytest.raises(ValidationError) as caught:
            model.model_validate(value)
        assert WORDS not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("typed", "password"), [("hunter2-hunter2", "hunter2-hunter2"), ("p%40ss-w%2Frd", "p@ss-w/rd")]
)
def test_the_password_of_the_database_is_a_secret(
    tmp_path: Path, typed: str, password: str
) -> None:
    address = f"postgresql+psycopg://raybot:{typed}@db.example/raybot"
    config = to_config({"bot": {"data_dir": str(tmp_path), "database_url": address}})
    assert database_url(config) == address
    assert typed not in redact(address)
    assert password not in redact(f"connection refused for {password}")


async def test_a_row_of_another_version_ends_nothing_and_is_not_quoted(
    said: io.StringIO, house: House
) -> None:
    spoilt = await house.ask(WORDS)
    await house.simulator.wait_for_creates(1)
    await house.until(spoilt, JobState.GENERATING)
    await house.app.database.write(_spoil)
    await house.simulator.finish(next(iter(house.simulator.generations)))
    house.app._announcer.touch(spoilt)
    other = await house.ask()
    await house.simulator.wait_for_creates(2)
    await house.simulator.finish(list(house.simulator.generations)[1])
    await house.delivered(other)
    log = said.getvalue()
    assert f"{spoilt} cannot be read" in log
    assert found_in(log) == []


def _spoil(tx: Tx) -> None:
    tx.conn.execute(text("UPDATE jobs SET plan = json_set(plan, '$.new', prompt)"))
