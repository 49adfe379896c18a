"""What somebody at the desk may act on, as rows; and a grant that one form gives once."""

from __future__ import annotations

from datetime import timedelta

from bot.overview import Grant
from bot.refs import Micros
from bot.store import allowances, complaints, desk_acts, places
from bot.store.database import Database
from bot.store.transaction import Tx
from tests.bot.store.conftest import NOW, UNLIMITED, Books
from tests.fakes import to_requester

ANA = to_requester("ana")
HERE = ANA.tenant


async def test_a_form_grants_once_and_what_has_no_form_always(database: Database) -> None:
    given = Grant(micros=Micros(5), at=NOW, until=NOW + timedelta(days=1))

    def grant_all(tx: Tx) -> list[bool]:
        forms = ("one", "one", "two", None, None)
        return [allowances.grant(tx, ANA.person, given, by="boss", form=each) for each in forms]

    made = await database.write(grant_all)
    assert made == [True, False, True, True, True]
    found = await database.read(lambda conn: allowances.granted(conn, ANA.person))
    assert found == (given,) * 4


async def test_places_are_those_of_which_there_is_anything(books: Books) -> None:
    database = books.database
    job = await books.received()
    await database.write(lambda tx: places.ask(tx, "recording:new", name="Foxes", by="x", now=NOW))
    await database.write(lambda tx: places.pause(tx, "recording:still", at=NOW, by="x"))
    known = await database.read(desk_acts.known_places)
    assert known == {job.request.requester.tenant, "recording:new", "recording:still"}
    asked = (*known, "recording:none")
    assert await database.read(
        lambda conn: [desk_acts.is_known_place(conn, each) for each in asked]
    ) == [True, True, True, False]
    found = await database.read(lambda conn: desk_acts.place(conn, "recording:new"))
    assert (found.name, found.state, found.rules.paused_at) == ("Foxes", "asked", None)
    limits = await database.read(lambda conn: desk_acts.limits(conn, HERE, UNLIMITED, NOW))
    assert (limits.held, limits.rules, limits.used) == (UNLIMITED, (), {})


async def test_a_job_is_found_with_what_is_open_about_it(books: Books) -> None:
    database, job = books.database, await books.received()
    await database.write(lambda tx: complaints.note(tx, job.id, "somebody", "rude", NOW))
    found = await database.read(lambda conn: desk_acts.job(conn, job.id))
    assert found is not None
    assert (found.job.id, found.is_reported, found.has_clip, found.is_lost) == (
        job.id,
        True,
        False,
        False,
    )
    who, block = await database.read(
        lambda conn: desk_acts.person(conn, job.request.requester.person, NOW)
    )
    assert (who, block) == (job.request.requester, None)
