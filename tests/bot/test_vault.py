"""Secrets of adapters: sealed at rest, hidden in logs, and opened by the secret key alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from bot.errors import ConfigError
from bot.log import HIDDEN, redact
from bot.store.database import Database, open_database
from bot.vault import Vault
from tests.conftest import RunningBot
from tests.fakes import MovableClock

KEY = "a secret key of this test"
TOKEN = "a-token-that-nobody-else-may-read"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = open_database(f"sqlite+aiosqlite:///{tmp_path / 'raybot.db'}")
    await database.start()
    yield database
    await database.stop()


@pytest.fixture
def vault(database: Database, clock: MovableClock) -> Vault:
    return Vault(database=database, clock=clock, secret_key=KEY)


async def sealed(database: Database) -> list[str]:
    return await database.read(
        lambda conn: list(conn.execute(text("SELECT sealed FROM vault")).scalars())
    )


async def test_what_is_put_is_got_also_after_a_restart(
    vault: Vault, database: Database, clock: MovableClock
) -> None:
    assert await vault.get("slack", "bot:T1") is None
    await vault.put("slack", "bot:T1", TOKEN)
    await vault.put("slack", "bot:T1", TOKEN + " é")
    again = Vault(database=database, clock=clock, secret_key=KEY)
    assert await again.get("slack", "bot:T1") == TOKEN + " é"
    assert await again.get("discord", "bot:T1") is None
    assert not await again.delete("slack", "bot:T1", TOKEN)
    assert await again.delete("slack", "bot:T1", TOKEN + " é")
    assert not await again.delete("slack", "bot:T1", TOKEN + " é")
    assert await again.delete("slack", "bot:T1", None)
    assert await vault.get("slack", "bot:T1") is None


async def test_the_file_holds_nothing_that_can_be_read(
    vault: Vault, database: Database, tmp_path: Path
) -> None:
    await vault.put("slack", "one", TOKEN)
    await vault.put("slack", "two", TOKEN)
    first, second = await sealed(database)
    assert TOKEN not in first + second
    assert first != second
    await database.stop()
    assert TOKEN.encode() not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


async def test_names_are_listed_by_their_beginning(vault: Vault) -> None:
    for name in ("bot:T2", "bot:T1", "state:1", "b_t:T3"):
        await vault.put("slack", name, TOKEN)
    await vault.put("discord", "bot:T9", TOKEN)
    assert await vault.names("slack", "bot:") == ("bot:T1", "bot:T2")
    assert await vault.names("slack", "b_t") == ("b_t:T3",)
    assert len(await vault.names("slack")) == 4
    assert await vault.names("terminal", "bot:") == ()


async def test_another_secret_key_opens_nothing_and_loses_nothing(
    vault: Vault, database: Database, clock: MovableClock
) -> None:
    await vault.put("slack", "bot:T1", TOKEN)
    stranger = Vault(database=database, clock=clock, secret_key=KEY + "!")
    with pytest.raises(ConfigError, match=r"bot:T1 .*another \[bot\] secret_key\. Set"):
        await stranger.get("slack", "bot:T1")
    assert await stranger.names("slack", "bot:") == ("bot:T1",)
    assert await vault.get("slack", "bot:T1") == TOKEN


async def test_what_was_read_is_in_no_log(vault: Vault) -> None:
    await vault.put("slack", "bot:T1", "another value to hide")
    assert await vault.get("slack", "bot:T1") == "another value to hide"
    assert redact("it is another value to hide!") == f"it is {HIDDEN}!"


async def test_a_bot_has_one(bot: RunningBot) -> None:
    await bot.studio.vault.put("slack", "bot:T1", TOKEN)
    assert TOKEN not in (await sealed(bot.app.database))[0]
    assert await bot.studio.vault.get("slack", "bot:T1") == TOKEN
    assert await bot.studio.inbox.note("slack", "k", {})
