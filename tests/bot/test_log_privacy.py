"""Errors end up in logs; none of them quotes what people wrote, nor a secret."""

from __future__ import annotations

import io
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bot.job import JobState
from bot.log import get_logger, redact
from bot.request import GenerationRequest, VideoWork
from bot.store.database import open_database
from bot.store.sqlite import reader_engine, writer_engine
from bot.store.transaction import Tx
from tests.conftest import RunningBot
from tests.fakes import until
from tests.secrecy import read_logs

WORDS = "a red fox in snow"


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    with read_logs() as stream:
        yield stream


def test_a_statement_that_fails_does_not_show_its_values(tmp_path: Path) -> None:
    for to_engine in (writer_engine, reader_engine):
        engine = to_engine(tmp_path / "a.db")
        with engine.connect() as conn, pytest.raises(DBAPIError) as caught:
            conn.execute(text("SELECT :words FROM nowhere"), {"words": WORDS})
        engine.dispose()
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
def test_the_password_of_the_database_is_a_secret(typed: str, password: str) -> None:
    address = f"postgresql+psycopg://raybot:{typed}@db.example/raybot"
    open_database(address)
    assert typed not in redact(address)
    assert password not in redact(f"connection refused for {password}")


@pytest.mark.parametrize("fmt", ["json", "text"])
def test_a_row_that_postgresql_shows_is_hidden(fmt: Literal["json", "text"]) -> None:
    with read_logs(fmt) as said:
        error = ValueError(f'null value\nDETAIL:  Failing row has (r-1, "{WORDS}").\nLINE 1')
        get_logger("bot").error("store.commit_failed", exc_info=error)
    assert "Failing" not in said.getvalue()
    assert "LINE 1" in said.getvalue()


async def test_a_row_of_another_version_ends_nothing_and_is_not_quoted(
    said: io.StringIO, bot: RunningBot
) -> None:
    spoilt = await bot.ask(WORDS)
    await bot.simulator.wait_for_creates(1)
    await bot.until(spoilt, JobState.GENERATING)
    await bot.app.database.write(_spoil)
    await bot.simulator.finish(next(iter(bot.simulator.generations)))
    bot.app._announcer.touch(spoilt)
    other = await bot.ask()
    await bot.simulator.wait_for_creates(2)
    await bot.simulator.finish(list(bot.simulator.generations)[1])
    await bot.delivered(other)
    await until(lambda: f"{spoilt} cannot be read" in said.getvalue())


def _spoil(tx: Tx) -> None:
    tx.conn.execute(text("UPDATE jobs SET plan = json_set(plan, '$.new', prompt)"))
