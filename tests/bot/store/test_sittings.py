"""Links that let in once, and who is signed in."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from bot.overview import Sitting
from bot.store import restoring, sittings
from bot.store.database import Database, open_database
from tests.fakes import to_requester

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
ANA = Sitting(
    who=to_requester("ana"),
    tenant="recording:local",
    has_desk=True,
    ends_at=NOW + timedelta(minutes=10),
    checked_at=NOW,
)


async def test_a_link_is_spent_by_one_of_many_who_try_at_once(
    database: Database, url: str
) -> None:
    """Also where they come to several processes, as PostgreSQL has them."""
    await database.write(lambda tx: sittings.add_link(tx, "a", ANA))
    both = [database]
    if database.is_shared:
        both.append(open_database(url))
        await both[1].start()
    try:
        tries = [each.write(lambda tx: sittings.spend_link(tx, "a", NOW)) for each in both * 3]
        got = [each for each in await asyncio.gather(*tries) if each is not None]
    finally:
        for each in both[1:]:
            await each.stop()
    assert got == [ANA]


async def test_a_person_is_forgotten_with_links_and_sessions(database: Database) -> None:
    ben = Sitting(**{**vars(ANA), "who": to_requester("ben")})
    for hashed, sitting in (("a", ANA), ("b", ben)):
        await database.write(lambda tx: sittings.add_link(tx, hashed, sitting))  # noqa: B023
        await database.write(lambda tx: sittings.sit_down(tx, hashed, sitting))  # noqa: B023
    await database.write(lambda tx: sittings.forget(tx, ANA.who.person))
    left = await database.read(
        lambda conn: [
            (sittings.has_link(conn, each, NOW), sittings.find(conn, each, NOW)) for each in "ab"
        ]
    )
    assert left == [(False, None), (True, ben)]


async def test_what_has_ended_is_forgotten_and_a_restored_copy_lets_nobody_in(
    database: Database,
) -> None:
    await database.write(lambda tx: sittings.add_link(tx, "a", ANA))
    await database.write(lambda tx: sittings.sit_down(tx, "b", ANA))
    await database.write(lambda tx: sittings.sweep(tx, NOW + timedelta(minutes=9)))
    assert await database.read(lambda conn: sittings.has_link(conn, "a", NOW))
    assert await database.read(lambda conn: sittings.find(conn, "b", NOW)) == ANA
    await database.write(lambda tx: restoring.restore(tx.conn, NOW, NOW))
    assert not await database.read(lambda conn: sittings.has_link(conn, "a", NOW))
    await database.write(lambda tx: sittings.sit_down(tx, "b", ANA))
    await database.write(lambda tx: sittings.sweep(tx, ANA.ends_at))
    assert await database.read(lambda conn: sittings.find(conn, "b", NOW)) is None
