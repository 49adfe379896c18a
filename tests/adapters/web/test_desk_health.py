"""The pages of money, services, moderation and checks, for a place's admin and the operator."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import pytest
from sqlalchemy import text

from adapters.web.desk.charts import Chart, Series, ticks_to
from adapters.web.desk.money import SHOWN, TABLES, dearest
from adapters.web.desk.tables import Column, Table, as_file
from adapters.web.desk.visit import FIELD
from bot.desk_views import Spending
from bot.job import JobState
from bot.refs import JobId, Micros
from bot.simulator import Simulator
from bot.store import reports, settings
from bot.store.transaction import Tx
from tests.adapters.web.test_desk_door import ADMIN, link_of
from tests.adapters.web.visitor import Reply, Visitor, visiting
from tests.fakes import MovableClock

OTHER = "recording:other"
BALANCE = re.compile(r'<dt>Balance</dt><dd>\$[\d,.]+ <small>asked <time datetime="([^"]+)')
SUMS = re.compile(r"<small>(\d+ of \d+) delivered</small>")
FILES = (
    *("days", "money/budgets", "money/models", "money/people", "money/places"),
    *("services", "services/chats", "services/days"),
    *("moderation/reports", "moderation/reviews", "moderation/blocks", "moderation/paused"),
    "moderation/audit",
)
OPERATORS = ("moderation/notices", "checks")
PAGES = ("/desk", "/desk/services", "/desk/moderation")


@pytest.fixture
async def visitor(
    tmp_path: Path, simulator: Simulator, clock: MovableClock
) -> AsyncIterator[Visitor]:
    async with visiting(tmp_path, simulator, clock, usd_per_tenant_per_month=10) as found:
        yield found


async def sit_down(visitor: Visitor, *, is_operator: bool) -> Reply:
    """The first page, as somebody in a browser of their own."""
    visitor.session.cookie_jar.clear()
    entry = visitor.bot.app.studio.entry
    link = (await entry.invite_here("vera", name="Vera")).link if is_operator else ""
    key = (link or await link_of(visitor)).partition("key=")[2]
    return await visitor.post("/desk/enter", {"key": key})


async def asked_elsewhere(visitor: Visitor) -> JobId:
    """A job of another place, reported and written about there."""
    job = await visitor.bot.ask("SECRET-PROMPT of others")
    who = {"id": job, "tenant": OTHER, "person": f"{OTHER}:SECRET-PERSON"}

    def write(tx: Tx) -> None:
        now = visitor.bot.clock.now()
        tx.conn.execute(
            text("UPDATE jobs SET tenant = :tenant, person = :person WHERE id = :id"), who
        )
        tx.conn.execute(
            text(
                "INSERT INTO reports (job_id, person, reason, at) "
                "VALUES (:id, 'SECRET-WITNESS', 'x', :now)"
            ),
            {"id": job, "now": now.isoformat(" ")},
        )
        for target in (OTHER, f"{OTHER}:SECRET-PERSON", job):
            settings.write_audit(
                tx, now, actor="SECRET-MOD", act="block", target=target, detail="SECRET-WORDS"
            )
        settings.block(tx, f"{OTHER}:SECRET-PERSON", until=None, reason="SECRET", now=now)
        settings.note_operator(tx, "k", "SECRET-NOTICE for the operator.", now)

    await visitor.bot.app.database.write(write)
    return job


def rows(reply: Reply) -> list[list[str]]:
    assert reply.status == 200, reply.html
    assert reply.headers["Content-Type"].startswith("text/csv")
    return list(csv.reader(io.StringIO(reply.html)))


async def test_a_place_sees_its_own_alone_and_the_operator_all(visitor: Visitor) -> None:
    job = await asked_elsewhere(visitor)
    await visitor.bot.ask("a red fox in snow")
    await sit_down(visitor, is_operator=False)
    for path in (*PAGES, *(f"/desk/{name}.csv" for name in FILES)):
        seen = await visitor.get(path)
        assert seen.status == 200, path
        for word in ("SECRET", job, OTHER):
            assert word not in seen.html, path
    for path in (
        *(f"/desk/{name}.csv" for name in OPERATORS),
        "/desk/checks",
        f"/desk/moderation?place={OTHER}",
        f"/desk/moderation/reports.csv?place={OTHER}",
        f"/desk/moderation/audit.csv?place={OTHER}",
    ):
        seen = await visitor.get(path)
        assert seen.status in (403, 404), path
        assert "SECRET" not in seen.html
    services = await visitor.get("/desk/services")
    for word in ("Balance", "Slots in use", "Last look"):
        assert word not in services.html
    assert "Waiting here" in services.html
    chats = rows(await visitor.get("/desk/services/chats.csv"))
    assert chats[1:] == [["recording", "yes", ""]]

    await sit_down(visitor, is_operator=True)
    for path, word in (
        ("/desk", f"{OTHER}:SECRET-PERSON"),
        ("/desk/services", "Slots in use"),
        ("/desk/moderation", "SECRET-NOTICE"),
        (f"/desk/moderation?place={OTHER}&actor=secret-mod", "SECRET-WORDS"),
        ("/desk/moderation/audit.csv", job),
        ("/desk/moderation/reports.csv", job),
        ("/desk/moderation/notices.csv", "SECRET-NOTICE"),
        ("/desk/services/chats.csv", "web,yes"),
    ):
        page = (await visitor.get(path)).html
        assert word in page, path
        assert "SECRET-WITNESS" not in page, path


async def test_today_and_this_month_are_of_one_moment(visitor: Visitor) -> None:
    bot = visitor.bot
    job = await bot.ask("a red fox in snow")
    await sit_down(visitor, is_operator=True)
    assert SUMS.findall((await visitor.get("/desk")).html) == ["0 of 1", "0 of 1"]
    found = await bot.until(job, JobState.GENERATING)
    assert found.generation_id
    await bot.simulator.finish(found.generation_id)
    await bot.delivered(job)
    for days in (7, 90):
        page = (await visitor.get(f"/desk?days={days}")).html
        assert SUMS.findall(page) == ["1 of 1", "1 of 1"]
        file = rows(await visitor.get(f"/desk/days.csv?days={days}"))
        assert len(file) == 1 + days


async def test_the_log_is_read_page_by_page_and_searched(visitor: Visitor) -> None:
    def write(tx: Tx) -> None:
        for number in range(55):
            detail = f"<b>{number}</b>"
            at, target = visitor.bot.clock.now(), ADMIN.tenant
            settings.write_audit(tx, at, actor="mod", act="pause", target=target, detail=detail)

    await sit_down(visitor, is_operator=False)
    await visitor.bot.app.database.write(write)
    first = await visitor.get("/desk/moderation?act=pau")
    assert "&lt;b&gt;54&lt;/b&gt;" in first.html
    assert "<b>54" not in first.html
    earlier = re.search(r'<a href="([^"]+)" rel="next">', first.html)
    assert earlier
    second = await visitor.get(unescape(earlier[1]))
    assert "&lt;b&gt;4&lt;/b&gt;" in second.html
    assert 'rel="next"' not in second.html
    assert len(rows(await visitor.get("/desk/moderation/audit.csv?act=pau"))) == 56
    assert "Nothing was done that fits" in (await visitor.get("/desk/moderation?act=none")).html


async def test_money_has_budgets_charts_and_the_same_numbers_as_files(visitor: Visitor) -> None:
    bot = visitor.bot
    job = await bot.ask("a red fox in snow")
    running = await bot.until(job, JobState.GENERATING)
    assert running.generation_id
    await bot.simulator.finish(running.generation_id)
    await bot.delivered(job)
    page = await sit_down(visitor, is_operator=False)
    assert '<meter min="0" max="10000000"' in page.html
    chart = re.search(r'data-chart="([^"]+)"', (await visitor.get("/desk?days=7")).html)
    assert chart
    drawn = json.loads(unescape(chart[1]))
    assert len(drawn["days"]) == 7
    assert drawn["series"][-1]["said"][-1]
    days = rows(await visitor.get("/desk/days.csv?days=90"))
    assert days[0][:2] == ["day", "asked"]
    assert len(days) == 91
    assert days[1][1] == "1"
    [head, budget] = rows(await visitor.get("/desk/money/budgets.csv"))
    assert head[:4] == ["place", "limit", "used", "allowed"]
    assert budget[0] == ADMIN.tenant
    assert budget[3] == "10.000000"
    assert float(budget[2]) > 0
    assert rows(await visitor.get("/desk/money/people.csv"))[1][0] == "ana (recording:local:ana)"


def test_the_page_has_the_dearest_and_the_file_all() -> None:
    nothing = reports.total(())
    people = [
        replace(nothing, label=f"p{n:02}", charged=Micros(n)) for n in range(SHOWN + 1, 0, -1)
    ]
    month = replace(people[0], label="this month")
    spent = Spending(today=month, month=month, month_ends=datetime.now(UTC), people=people)
    table = dearest("people", spent)
    assert table.title == "By person, this month: the 25 dearest of 26"
    assert [row[0] for row in table.rows] == [each.label for each in people[:SHOWN]]
    assert len(TABLES["people"](spent).rows) == SHOWN + 1
    assert dearest("people", replace(spent, people=people[1:])).title == "By person, this month"


async def test_a_balance_is_asked_once_in_five_minutes(
    visitor: Visitor, clock: MovableClock
) -> None:
    await sit_down(visitor, is_operator=True)

    async def asked_at(after: str = "") -> str:
        """When it was asked, once that is later than another time."""
        async with asyncio.timeout(30):
            while True:
                page = await visitor.get("/desk/services")
                found = BALANCE.search(page.html)
                if found is not None and found[1] > after:
                    return found[1]

    first = await asked_at()
    assert await asked_at() == first
    clock.move(minutes=6)
    assert await asked_at(after=first) > first


async def test_the_operator_looks_at_all_that_check_does(visitor: Visitor) -> None:
    await sit_down(visitor, is_operator=True)
    page = await visitor.get("/desk/checks")
    assert "Nobody has looked from here yet" in page.html
    token = re.search(rf'name="{FIELD}" value="([0-9a-f]{{64}})"', page.html)
    assert token
    form = {FIELD: token[1]}
    # One for the watcher, too, which may ask as the bot starts.
    held = [visitor.bot.simulator.faults.hold("credits") for _ in range(2)]
    began = await visitor.post("/desk/checks", form)
    assert "Running since" in began.html
    again = await visitor.post("/desk/checks", form)
    assert again.status == 400
    assert "It runs already" in again.html
    for each in held:
        each.set()
    async with asyncio.timeout(30):
        while "Running since" in (page := await visitor.get("/desk/checks")).html:
            pass
    assert "The books add up" in page.html
    assert "luma: the key is good" in page.html
    assert "asked by operator:local:Vera" in page.html
    found = rows(await visitor.get("/desk/checks.csv"))
    assert ["well", "The books add up"] in found


def test_a_chart_has_round_steps_and_words_for_every_value() -> None:
    assert ticks_to(0, 1) == [0, 1]
    assert ticks_to(4.2, 1) == [0, 2, 4, 6]
    assert ticks_to(1_234_567, 10_000) == [0, 500_000, 1_000_000, 1_500_000]
    chart = Chart(
        title="Charged",
        table="By day",
        unit="money",
        days=["2026-11-01", "2026-11-02"],
        series=[
            Series(name="a", values=[1_500_000, None]),
            Series(name="b", values=[1_000_000, 2]),
        ],
    )
    drawn = json.loads(chart.json)
    assert drawn["labels"][-1] == "$3.00"
    assert drawn["series"][0]["said"] == ["$1.50", "–"]
    assert drawn["days"] == ["1 Nov", "2 Nov"]
    assert not chart.is_empty


async def test_a_file_is_made_beside_the_loop() -> None:
    def to_table() -> Table:
        rows = [(threading.current_thread() is threading.main_thread(),)]
        return Table(title="", columns=[Column(name="holds others up")], rows=rows)

    made = await as_file(to_table, "own")
    assert made.body == b"holds others up\nFalse\n"


async def test_a_notice_of_a_service_is_over_once_it_takes_a_job_again(visitor: Visitor) -> None:
    bot = visitor.bot
    bot.simulator.faults.refuse("create", 401, "Invalid API key is provided")
    job = await bot.ask()
    await sit_down(visitor, is_operator=True)

    async def told() -> list[list[str]]:
        return rows(await visitor.get("/desk/moderation/notices.csv"))[1:]

    async with asyncio.timeout(30):
        while not (notices := await told()):
            await asyncio.sleep(0.01)
    [[_, sentence, _, _, over]] = notices
    assert sentence.startswith("Luma refuses this key.")
    assert over == ""
    bot.clock.move(minutes=10)
    await bot.until(job, JobState.GENERATING)
    [[since, *_, over]] = await told()
    assert over > since
