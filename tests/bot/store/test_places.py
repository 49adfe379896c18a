"""Who is served, and what was decided for a place, as rows."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.store import places, settings
from bot.store.database import Database
from tests.bot.store.conftest import NOW, Books
from tests.fakes import to_requester

ANA = to_requester("ana", workspace="1")
HERE = ANA.tenant
LATER = NOW + timedelta(hours=1)
NAMES = dict.fromkeys(("of_tenant", "who", "now", "key", *settings._SCOPES), "x")


async def test_a_place_asks_once_and_keeps_its_name(books: Books) -> None:
    first = await books.database.write(
        lambda tx: places.ask(tx, HERE, name="Foxes", by=ANA.person, now=NOW)
    )
    again = await books.database.write(
        lambda tx: places.ask(tx, HERE, name="Wolves", by="x", now=LATER)
    )
    assert (first, again) == (True, False)
    assert await books.database.read(lambda conn: places.state(conn, HERE)) == "asked"
    await books.database.write(lambda tx: places.decide(tx, HERE, "approved", by="boss", now=NOW))
    assert await books.rows("SELECT state, name, by FROM places") == [
        ("approved", "Foxes", "boss")
    ]


async def test_a_place_that_never_asked_can_be_decided_about(database: Database) -> None:
    assert await database.read(lambda conn: places.state(conn, HERE)) is None
    await database.write(lambda tx: places.decide(tx, HERE, "closed", by="boss", now=NOW))
    assert await database.read(lambda conn: places.state(conn, HERE)) == "closed"
    is_new = await database.write(lambda tx: places.ask(tx, HERE, name="", by="x", now=NOW))
    assert not is_new


async def test_rules_are_changed_one_by_one(database: Database) -> None:
    assert await database.read(lambda conn: places.rules(conn, HERE)) == places.Rules()
    await database.write(lambda tx: places.allow_channels(tx, HERE, {"1": "#a"}))
    await database.write(lambda tx: places.pause(tx, HERE, at=NOW, by="ana"))
    rules = await database.read(lambda conn: places.rules(conn, HERE))
    assert rules == places.Rules(paused_at=NOW, paused_by="ana", channels={"1": "#a"})
    await database.write(lambda tx: places.pause(tx, HERE, at=None, by="ben"))
    rules = await database.read(lambda conn: places.rules(conn, HERE))
    assert rules == places.Rules(paused_by="ben", channels={"1": "#a"})


async def test_a_standing_holds_all_that_is_asked_for(database: Database) -> None:
    for scope, value in (
        (ANA.person, {"loop": "true"}),
        (settings.channel_scope(HERE, "art"), {"loop": "false", "model": "ray-2"}),
        (settings.place_scope(HERE), {"model": "ray-9", "duration": "9s"}),
        (settings.place_scope("recording:2"), {"resolution": "720p"}),
    ):
        await database.write(lambda tx: settings.choose(tx, scope, value))  # noqa: B023 - awaited here
    await database.write(
        lambda tx: settings.block(tx, ANA.person, until=LATER, reason="spam", now=NOW)
    )
    standing = await database.read(lambda conn: places.standing(conn, ANA, "art", NOW))
    assert (standing.state, standing.rules) == (None, places.Rules())
    assert standing.chosen.merged == {"loop": "true", "model": "ray-2", "duration": "9s"}
    assert standing.block is not None
    assert (standing.block.user, standing.block.until) == ("ana", LATER)
    after = await database.read(lambda conn: places.standing(conn, ANA, "x", LATER))
    assert after.block is None
    assert after.chosen.merged == {"loop": "true", "model": "ray-9", "duration": "9s"}


async def test_a_new_block_takes_the_place_of_the_old(database: Database) -> None:
    for until in (LATER, None):
        await database.write(
            lambda tx: settings.block(tx, ANA.person, until=until, reason="", now=NOW)  # noqa: B023 - awaited here
        )
    await database.write(
        lambda tx: settings.block(tx, "recording:12:x", until=None, reason="", now=NOW)
    )
    [block] = await database.read(lambda conn: settings.blocked_in(conn, HERE, LATER))
    assert (block.person, block.until) == (ANA.person, None)
    removed = [await database.write(lambda tx: settings.unblock(tx, ANA.person)) for _ in range(2)]
    assert removed == [True, False]


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_what_every_submit_looks_up_is_found_by_an_index(books: Books) -> None:
    for statement in (places._STANDING, settings._CHOSEN_IN):
        plan = await books.rows(f"EXPLAIN QUERY PLAN {statement}", **NAMES)
        looks = [str(row[3]) for row in plan]
        assert any("USING INDEX" in look for look in looks)
        of_tables = [look for look in looks if "CONSTANT ROW" not in look and "anon" not in look]
        assert not [look for look in of_tables if look.startswith("SCAN")]
