"""What the desk reads of the rows: pages, searches and people, and nothing beyond its reader."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from bot.desk_job_views import ClipPage, Search, Spot
from bot.job import Job, JobState
from bot.overview import Blocked
from bot.refs import JobId
from bot.store import (
    desk_acts,
    desk_clips,
    desk_jobs,
    desk_money,
    desk_people,
    digests,
    erasing,
    jobs,
    ledger,
    reports,
    settings,
    stars,
)
from tests.bot.store.conftest import NOW, Books
from tests.fakes import to_request

READER = "recording:local:reader"
HOME, AWAY = "recording:local", "recording:away"


async def asked(
    books: Books, prompt: str, *, minute: float = 0, user: str = "ana", **fields: Any
) -> Job:
    """A request of a minute, which may be private, of another place, or made of another."""
    workspace = fields.pop("workspace", "local")
    request = to_request(prompt=prompt, key=f"{prompt}-{minute}-{workspace}", user=user)
    who = request.requester.model_copy(
        update={"workspace": workspace, "display_name": user.title()}
    )
    request = request.model_copy(update={"requester": who, **fields})
    at = NOW + timedelta(minutes=minute)
    return (await books.database.write(lambda tx: jobs.insert(tx, request, at)))[0]


async def look(
    books: Books, search: Search, after: Spot | None = None, *, limit: int = 2, window: int = 3
) -> ClipPage:
    return await books.database.read(
        lambda conn: desk_clips.look(
            conn, search, after, reader=READER, limit=limit, window=window
        )
    )


async def all_of(books: Books, search: Search, **bounds: int) -> list[JobId]:
    """All that is found, page after page."""
    found: list[JobId] = []
    after: Spot | None = None
    while True:
        page = await look(books, search, after, **bounds)
        found += [each.job_id for each in page.lines]
        after = page.older
        if after is None:
            return found


async def test_pages_follow_each_other_without_a_gap_also_in_one_moment(books: Books) -> None:
    every = [await asked(books, f"fox {n}", minute=n // 3) for n in range(7)]
    other = await asked(books, "a fox elsewhere", minute=1, workspace="away")
    newest = [each.id for each in sorted(every, key=lambda e: (e.created_at, e.id), reverse=True)]
    assert await all_of(books, Search(tenant=HOME)) == newest
    assert await all_of(books, Search(tenant=HOME, person=f"{HOME}:ana")) == newest
    assert set(await all_of(books, Search())) == {*newest, other.id}
    since, until = NOW + timedelta(minutes=1), NOW + timedelta(minutes=2)
    assert len(await all_of(books, Search(tenant=HOME, since=since, until=until))) == 3
    assert await books.database.read(desk_clips.tenants) == [AWAY, HOME]


async def test_a_search_says_how_far_it_came_and_goes_on_from_there(books: Books) -> None:
    for minute in range(8):
        word = "Heron_100%" if minute in (0, 6) else "fox"
        await asked(books, f"a {word} at dawn", minute=minute)
    page = await look(books, Search(words=("heron_100%", "dawn")))
    assert [each.prompt for each in page.lines] == ["a Heron_100% at dawn"]
    assert page.looked_to == NOW + timedelta(minutes=5)
    assert len(await all_of(books, Search(words=("heron_100%",)))) == 2
    assert await all_of(books, Search(words=("heronX100",))) == []
    assert len(await all_of(books, Search(state="received"), limit=8, window=9)) == 8
    assert await all_of(books, Search(model="ray-2")) == []


async def test_the_words_of_private_and_forgotten_ones_are_neither_shown_nor_found(
    books: Books,
) -> None:
    secret = await asked(books, "a secret garden", minute=1, is_private=True)
    own = await asked(books, "a secret of mine", minute=2, user="reader", is_private=True)
    child = await asked(books, "a garden again", minute=3, parent=secret.id, relation="remix")
    done = await books.reach(JobState.DELIVERED, user="eve", prompt="a secret to forget")
    page = await look(books, Search(), limit=9)
    shown = {each.job_id: each for each in page.lines}
    assert (shown[secret.id].prompt, shown[secret.id].is_hidden) == ("", True)
    assert shown[own.id].prompt == "a secret of mine"
    assert shown[done.id].has_clip
    assert set(await all_of(books, Search(words=("secret",)))) == {own.id, done.id}
    kin = await books.database.read(lambda conn: desk_jobs.parents(conn, child, READER))
    assert [(each.job_id, each.relation, each.prompt) for each in kin] == [
        (secret.id, "remix", "")
    ]
    young = await books.database.read(lambda conn: desk_jobs.children(conn, secret, READER))
    assert [each.job_id for each in young] == [child.id]

    # From the moment that they ask to be forgotten on.
    await books.database.write(lambda tx: erasing.begin(tx, done.request.requester.person, NOW))
    line = await books.database.read(lambda conn: desk_clips.one(conn, done.id, READER))
    assert line is not None
    assert (line.is_erased, line.has_clip, line.name, line.prompt) == (True, False, "", "")
    assert await all_of(books, Search(words=("forget",))) == []
    await books.database.write(lambda tx: erasing.blank(tx, done.id, NOW, is_gone=False))
    again = await books.database.read(lambda conn: desk_clips.one(conn, done.id, READER))
    assert again is not None
    assert again.is_erased


async def test_who_asked_to_be_forgotten_has_no_name_from_then_on(books: Books) -> None:
    going = await asked(books, "a fox", user="ana")
    stays = await asked(books, "an owl", user="bo")
    ana, bo = going.request.requester.person, stays.request.requester.person

    async def named() -> set[str]:
        def read(conn: Connection) -> list[str]:
            seen, _ = desk_people.seen(conn, HOME, NOW, limit=9)
            queue, _ = desk_jobs.unfinished(conn, HOME, 9)
            found = [desk_acts.job(conn, each.id) for each in (going, stays)]
            every = [each.job for each in found if each] + [job for job, _ in queue]
            people = [desk_acts.person(conn, each, NOW)[0] for each in (ana, bo)]
            who = [*(each.request.requester for each in every), *(each for each in people if each)]
            ends = (NOW, NOW + timedelta(days=1))
            money = [
                *desk_money.names(conn, [ana, bo], []).values(),
                *reports.names(conn, *ends, tenant=HOME).values(),
            ]
            return [*(each.display_name for each in who), *(each.name for each in seen), *money]

        return set(await books.database.read(read))

    assert await named() == {"Ana", "Bo"}
    await books.database.write(lambda tx: erasing.begin(tx, ana, NOW))
    assert await named() == {"", "Bo"}
    found, _ = await books.database.read(
        lambda conn: desk_people.seen(conn, HOME, NOW, named="Ana", limit=9)
    )
    assert [each.name for each in found] == [""], "by the id alone"


async def test_what_is_to_be_forgotten_is_in_no_digest(books: Books) -> None:
    job = await books.reach(JobState.DELIVERED, micros=300)
    who, day = job.request.requester, timedelta(days=1)
    await books.database.write(lambda tx: stars.put(tx, job.id, "recording:local:fan", NOW))

    async def starred() -> int:
        ends = (NOW - day, NOW + day)
        return len(
            await books.database.read(lambda conn: digests.starred(conn, who.tenant, *ends))
        )

    assert await starred() == 1
    await books.database.write(lambda tx: erasing.begin(tx, who.person, NOW))
    assert await starred() == 0


async def test_a_job_is_told_with_its_steps_its_money_and_its_attempts(books: Books) -> None:
    job = await books.received()
    job = await books.accept(job, 700, at=NOW + timedelta(seconds=4))
    steps, entries, sent = await books.database.read(
        lambda conn: (
            desk_jobs.steps(conn, job.id),
            desk_jobs.entries(conn, job.id),
            desk_jobs.sent(conn, job.id),
        )
    )
    assert [(each.state, each.seconds) for each in steps] == [("received", 4), ("accepted", None)]
    assert [(each.kind, each.micros) for each in entries] == [("hold", 700)]
    assert sent == ()
    done = await books.reach(JobState.DELIVERED, micros=300)
    sent = await books.database.read(lambda conn: desk_jobs.sent(conn, done.id))
    assert [(each.number, each.outcome) for each in sent] == [(1, "taken")]
    line = await books.database.read(lambda conn: desk_clips.one(conn, done.id, READER))
    assert line is not None
    assert (line.charged, line.price, line.link) == (300, 300, f"clips/{done.id}.mp4")
    before = await books.database.read(desk_jobs.pulse)
    found, count = await books.database.read(lambda conn: desk_jobs.unfinished(conn, HOME, 5))
    assert ([(each.id, first) for each, first in found], count) == ([(job.id, None)], 1)
    assert await books.database.read(lambda conn: desk_jobs.unfinished(conn, AWAY, 5)) == ([], 0)
    await books.end(job)
    assert await books.database.read(desk_jobs.pulse) > before


async def block(books: Books, person: str, *, until: datetime | None) -> None:
    await books.database.write(
        lambda tx: settings.block(tx, person, until=until, reason="spam", now=NOW)
    )


async def test_people_are_listed_by_when_they_asked_last(books: Books) -> None:
    await asked(books, "one", minute=1, user="ana")
    await asked(books, "two", minute=2, user="bo_b")
    await asked(books, "three", minute=3, user="ana")
    await asked(books, "four", minute=4, user="cy", workspace="away")

    async def seen(tenant: str, **asked_for: Any) -> tuple[list[tuple[str, str, int]], int]:
        found, count = await books.database.read(
            lambda conn: desk_people.seen(conn, tenant, NOW, **{"limit": 9, **asked_for})
        )
        return [(each.person, each.name, each.times) for each in found], count

    ana, bo = (f"{HOME}:ana", "Ana", 2), (f"{HOME}:bo_b", "Bo_B", 1)
    assert await seen(HOME) == ([ana, bo], 2)
    assert await seen(HOME, limit=1, offset=1) == ([bo], 2)
    assert await seen("") == ([(f"{AWAY}:cy", "Cy", 1), ana, bo], 3)
    assert await seen(HOME, named="o_B") == ([bo], 1)
    assert await seen(HOME, named="oxb") == ([], 0)
    never = (f"{HOME}:di", "", 0)
    await block(books, ana[0], until=None)
    await block(books, never[0], until=None)
    await block(books, f"{HOME}:ed", until=NOW)
    assert await seen(HOME, named="d") == ([never], 1)
    assert await seen(HOME) == ([ana, bo, never], 3)
    blocked = await books.database.read(lambda conn: desk_people.blocked(conn, [ana[0]], NOW))
    assert blocked == {ana[0]: Blocked(person=ana[0], at=NOW, reason="spam")}
    who = await books.database.read(lambda conn: desk_people.requester(conn, ana[0]))
    assert who is not None
    assert who.display_name == "Ana"
    used = await books.database.read(
        lambda conn: ledger.usage(conn, NOW, NOW + timedelta(days=1), people=[bo[0]])
    )
    assert [(each.label, each.asked) for each in used] == [(bo[0], 1)]
