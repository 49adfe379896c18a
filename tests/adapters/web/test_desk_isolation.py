"""Who runs one place learns nothing of another and changes nothing there, by whatever route.

Every route that the adapter has is tried with the ids of another place. A new route must say in
`fill` what it is asked with; without that, this fails.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import Connection, select

from bot.job import JobState
from bot.refs import JobId, ThreadRef, money
from bot.request import Requester
from bot.simulator import Faults, Simulator
from bot.store import errands, schema
from tests.adapters.web.sitting import Sitter, nonce, running_place
from tests.adapters.web.visitor import Visitor, browsing, visiting
from tests.conftest import MANUAL, RunningBot
from tests.fakes import MovableClock, to_request, to_requester

pytestmark = pytest.mark.asyncio(loop_scope="module")
Fields = Mapping[str, str]
Asked = list[dict[str, str]]
NOTHING: Asked = [{}]
HERE, THERE = "recording:local", "recording:there"
ANA, BEA = to_requester("ana"), to_requester("bq4411", workspace="there")
USER, NAME = "zq7731", "Zenobia Quill"
PROMPT, REASON, PAUSE = "marmalade zeppelin", "it shows my aunt", "closed for the regatta"
MARKS = (USER, NAME, PROMPT, REASON, PAUSE, "77.31", BEA.user)
#: What the pages are made of; nobody has to be signed in for it, and nothing of anybody is in it.
STATIC = "/web/static/"
#: How long a stream may say nothing before it has said all.
QUIET = 0.2
JOB_TABLES = ("steps", "money", "sent", "shots", "parents", "children")
PLACE_TABLES = ("limits", "apart")
PERSON_TABLES = ("limits", "last", "days", "grants")
#: What is typed about a job.
SPOKEN = ("show", "cancel", "retry", "vary", "report", "star", "mail")
MONEY_TABLES = ("budgets", "models", "people", "places")
MODERATION_TABLES = ("reports", "reviews", "blocks", "paused", "notices")
SESSIONS = {schema.desk_links.name, schema.desk_sessions.name}


@dataclass(frozen=True, kw_only=True)
class There:
    """The other place, and what is in it."""

    jobs: Sequence[JobId]
    amount: str

    @property
    def person(self) -> str:
        return f"{THERE}:{USER}"

    @property
    def marks(self) -> tuple[str, ...]:
        """Whatever of it could be read somewhere."""
        return (*MARKS, self.amount, THERE, *self.jobs)


def fill(there: There) -> dict[tuple[str, str], Asked]:
    """What each route is asked with: the ids of the other place, wherever it takes an id."""
    return {**of_chat(there), **of_pages(there), **of_acts(there)}


def of_chat(there: There) -> dict[tuple[str, str], Asked]:
    """The playground's."""
    of_jobs: Asked = [{"job": each} for each in there.jobs]
    acts = ("cancel", "delete", "retry")
    return {
        ("GET", "/"): NOTHING,
        ("GET", "/web/*"): NOTHING,
        ("GET", "/web/chat"): NOTHING,
        ("GET", "/web/thread"): of_jobs,
        ("GET", "/web/usage"): NOTHING,
        ("GET", "/web/events"): NOTHING,
        ("GET", "/web/image"): [{"id": "0" * 32}],
        ("GET", "/web/poster"): of_jobs,
        ("GET", "/web/ask"): [{**each, "act": "extend"} for each in of_jobs],
        ("POST", "/web/say"): [
            *({"text": f"{said} {each}"} for said in SPOKEN for each in there.jobs),
            *({"text": f"admin {each}"} for each in ("usage", "queue", "rules", "audit")),
        ],
        ("POST", "/web/act"): [{**each, "act": act} for act in acts for each in of_jobs],
        ("POST", "/web/images"): NOTHING,
        ("POST", "/web/image/remove"): [{"image": "0" * 32}],
    }


def of_pages(there: There) -> dict[tuple[str, str], Asked]:
    """The desk's that are read, or that are sent and are no acts."""
    place: Asked = [{}, {"place": THERE}]
    logged: Asked = [*place, {"target": USER}, {"place": THERE, "actor": BEA.user}]
    ids: Asked = [{"id": each} for each in there.jobs]
    words: Asked = [{"q": PROMPT}, {"q": there.jobs[0]}, {"name": NAME}, {"person": there.person}]
    read: dict[str, Asked] = {
        **dict.fromkeys(("", "/*", "/enter", "/checks", "/checks.csv"), NOTHING),
        **dict.fromkeys(("/services.csv", "/services/chats.csv"), NOTHING),
        **dict.fromkeys(("/queue", "/events", "/services", "/services/days.csv"), place),
        "/queue.csv": [*place, {"place": THERE, "of": "services"}],
        **{each: [*place, *words] for each in ("/clips", "/clips.csv", "/people", "/people.csv")},
        "/poster": [{"job": each} for each in there.jobs],
        "/job": ids,
        "/job.csv": [{**each, "of": of} for of in JOB_TABLES for each in ids],
        "/person": [{"key": there.person}],
        "/person.csv": [{"key": there.person, "of": of} for of in PERSON_TABLES],
        **dict.fromkeys(("/places", "/places.csv"), NOTHING),
        "/place": [{}, {"id": THERE}],
        "/place.csv": [{"id": THERE, "of": of} for of in PLACE_TABLES],
        "/days.csv": place,
        **{f"/money/{each}.csv": place for each in MONEY_TABLES},
        **dict.fromkeys(("/moderation", "/moderation/audit.csv"), logged),
        **{f"/moderation/{each}.csv": place for each in MODERATION_TABLES},
    }
    sent: dict[str, Asked] = {"/enter": [{"key": "A" * 43}], "/checks": NOTHING, "/leave": NOTHING}
    return {
        **{("GET", f"/desk{path}"): each for path, each in read.items()},
        **{("POST", f"/desk{path}"): each for path, each in sent.items()},
    }


def of_acts(there: There) -> dict[tuple[str, str], Asked]:
    """The desk's that change something."""
    of_jobs: Asked = [{"job": each} for each in there.jobs]
    person, place = {"person": there.person}, {"place": THERE}
    acts: dict[str, Asked] = {
        **dict.fromkeys(("cancel", "retry", "delete", "unpark"), of_jobs),
        "report": [{**each, "outcome": "removed"} for each in of_jobs],
        "review": [{**each, "verdict": "post"} for each in of_jobs],
        "resolve": [{**each, "how": "release"} for each in of_jobs],
        "block": [{**person, "days": "3"}],
        "unblock": [person],
        "grant": [{**person, "dollars": "5"}],
        **{each: [place] for each in ("pause", "resume", "approve", "close")},
        "limit": [{**place, "name": "usd_per_person_per_day", "value": "1"}],
    }
    return {("POST", f"/desk/acts/{act}"): each for act, each in acts.items()}


@dataclass
class SharedBot:
    """One bot with two places."""

    visitor: Visitor
    there: There
    ana: Sitter
    bea: Sitter

    @property
    def bot(self) -> RunningBot:
        return self.visitor.bot

    @property
    def routes(self) -> list[tuple[str, str]]:
        """All but the files that the pages are made of; signing out comes last."""
        every = self.bot.app._adapters["web"].routes
        found = [each for each in every if not each[1].startswith(STATIC)]
        return sorted(found, key=lambda each: (each[1] == "/desk/leave", each))

    async def rows(self, *marks: str) -> dict[str, list[str]]:
        """The rows of every table; of those that name something, where marks are given."""

        def read(conn: Connection) -> dict[str, list[str]]:
            return {
                table.name: [
                    text
                    for row in conn.execute(select(table).order_by(*table.primary_key))
                    if (text := repr(tuple(row))) and (not marks or any(e in text for e in marks))
                ]
                for table in schema.metadata.sorted_tables
                if table.name not in SESSIONS
            }

        return await self.bot.app.database.read(read)


async def furnish(bot: RunningBot) -> There:
    """A place in which there is one of everything."""
    studio, made = bot.studio, []

    async def finish(job_id: JobId, state: JobState) -> None:
        job = await bot.until(job_id, JobState.GENERATING)
        await bot.simulator.finish(str(job.generation_id))
        await bot.until(job_id, state)

    # What all places share is no secret, and more than what this one used.
    await finish(await bot.ask(user="carl"), JobState.DELIVERED)

    async def ask(key: str, **work: str) -> JobId:
        who = Requester(adapter="recording", workspace="there", user=USER, display_name=NAME)
        thread = ThreadRef(adapter="recording", workspace="there", channel="general")
        request = to_request(PROMPT, key=key, **work)
        request = request.model_copy(update={"requester": who, "thread": thread})
        made.append((await studio.submit(request)).job_id)
        return made[-1]

    await finish(delivered := await ask("there 1", duration="9s"), JobState.DELIVERED)
    failed = await bot.until(await ask("there 2"), JobState.GENERATING)
    await bot.simulator.fail(str(failed.generation_id), "It did not work.")
    await bot.until(failed.id, JobState.FAILED)
    dear = await ask("there 3", model="ray-2", duration="9s", resolution="1080p")
    assert (await bot.job(dear)).state is JobState.RECEIVED, "it waits for a word on its price"
    policy = {"moderators_channel": "mods"}
    await studio.admin.set_policy(THERE, policy, actor=BEA)
    await studio.admin.set_policy(THERE, {"review": "before_post"}, actor=BEA)
    await finish(await ask("there 4"), JobState.REVIEWING)
    await studio.care.report(delivered, BEA, REASON)
    await studio.admin.grant(THERE, USER, 77.31, actor=BEA)
    limits = {"usd_per_person_per_day": "77.31"}
    await studio.admin.set_limits(THERE, limits, actor=BEA)
    await studio.admin.block(THERE, USER, actor=BEA, reason=REASON)
    await studio.admin.pause(THERE, actor=BEA, message=PAUSE)
    charged = (await studio.admin.limits(THERE)).month.charged
    # What is told later would change rows while they are compared.
    async with asyncio.timeout(30):
        while await bot.app.database.read(errands.next_due):
            await asyncio.sleep(0.005)
        announcer = bot.app._announcer
        await announcer.drain(30)
        while announcer._in_hand or announcer._is_due():
            await announcer.drain(30)
    return There(jobs=tuple(made), amount=money(charged))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_bot(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SharedBot]:
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(simulating())
        folder = tmp_path_factory.mktemp("shared")
        visitor = await stack.enter_async_context(
            visiting(folder, simulator, MovableClock(), servers=("there",))
        )
        there = await furnish(visitor.bot)
        ana = await stack.enter_async_context(running_place(visitor, ANA))
        bea = await stack.enter_async_context(running_place(visitor, BEA))
        await ana.visitor.open()
        yield SharedBot(visitor, there, ana, bea)


def simulating() -> Simulator:
    return Simulator(
        MANUAL,
        Faults(),
    )


@dataclass
class Answered:
    """What came back."""

    status: int
    text: str


async def call(who: Visitor, token: str, route: tuple[str, str], fields: Fields) -> Answered:
    """Ask for a route as a page of ours does; what came back, headers and all."""
    method, path = route
    own = {"csrf": token, "nonce": nonce(), "back": "/desk"} if method == "POST" else {}
    headers = {"Origin": who.address, "X-CSRF-Token": who.token} if method == "POST" else {}
    async with who.session.request(
        method,
        who.address + path,
        params=None if method == "POST" else dict(fields),
        data={**own, **fields} if method == "POST" else None,
        headers={name: value for name, value in headers.items() if value},
        allow_redirects=method == "POST",
    ) as answer:
        body, is_stream = b"", answer.content_type == "text/event-stream"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUIET if is_stream else None):
                while chunk := await answer.content.readany():
                    body += chunk
        return Answered(answer.status, f"{dict(answer.headers)} {body.decode('utf-8', 'replace')}")


async def test_every_route_says_what_it_is_asked_with(shared_bot: SharedBot) -> None:
    known = fill(shared_bot.there)
    missing = [each for each in shared_bot.routes if each not in known]
    assert missing == [], "say in `fill` how these routes are asked for what is of another place"


async def test_no_route_shows_or_changes_what_is_of_another_place(shared_bot: SharedBot) -> None:
    known, shown = fill(shared_bot.there), []
    before = await shared_bot.rows(*shared_bot.there.marks)
    for route in shared_bot.routes:
        for fields in known.get(route, [{}]):
            answer = await call(shared_bot.ana.visitor, shared_bot.ana.token, route, fields)
            # What they wrote themselves may be answered with.
            marks = [each for each in shared_bot.there.marks if each not in str(fields)]
            shown += [(route, fields, each) for each in marks if each in answer.text]
            assert answer.status < 500, (route, fields, answer.text)
    assert shown == []
    assert await shared_bot.rows(*shared_bot.there.marks) == before


async def test_to_look_changes_nothing_and_shows_ones_own(shared_bot: SharedBot) -> None:
    """The same pages show those marks to who runs the other place: there is something to hide."""
    before, seen = await shared_bot.rows(), set[str]()
    for route in shared_bot.routes:
        if route[0] == "GET":
            for fields in fill(shared_bot.there).get(route, [{}]):
                answer = await call(shared_bot.bea.visitor, "", route, fields)
                assert answer.status < 500, (route, fields, answer.text)
                seen |= {each for each in shared_bot.there.marks if each in answer.text}
    assert await shared_bot.rows() == before
    assert seen >= {
        shared_bot.there.amount,
        PROMPT,
        NAME,
        PAUSE,
        REASON,
        USER,
        "77.31",
        *shared_bot.there.jobs,
    }


async def test_nobody_is_let_in_from_outside_without_signing_in(tmp_path: Path) -> None:
    """On a public address the playground is closed, too; and its guests are not at the desk."""
    known = fill(There(jobs=(JobId("r-aaaaaaaaaa"),), amount="$0"))
    async with (
        simulating() as simulator,
        visiting(tmp_path, simulator, MovableClock(), public_url="https://ray.example") as visitor,
        browsing(visitor.bot) as stranger,
    ):
        stranger.origin = visitor.origin
        for method, path in visitor.bot.app._adapters["web"].routes:
            for fields in known.get((method, path), [{}]):
                asked = stranger.post(path, fields) if method == "POST" else stranger.get(path)
                allowed = (200,) if path.startswith(STATIC) else (401, 403)
                assert (await asked).status in allowed, (method, path)
                if path.startswith("/desk") and path not in ("/desk/enter", "/desk/leave"):
                    asked = visitor.post(path, fields) if method == "POST" else visitor.get(path)
                    assert (await asked).status == 403, "a guest is not at the desk"
