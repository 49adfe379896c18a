"""One life of the true bot in a process of its own, as the fork server starts it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from adapters import discord, slack
from bot.app import App
from bot.config import to_config
from bot.errors import StoreError
from bot.job import TERMINAL, JobState
from bot.log import setup_logging
from bot.refs import JobId
from bot.request import Requester
from bot.store import migrations
from bot.store.schema import inbox
from bot.store.schema import jobs as jobs_table
from bot.wiring.supply import AdapterFactory
from tests.crash.naive import NaiveBot
from tests.crash.points import Points, Where, watch
from tests.crash.shared_points import watch_nudges, watch_roles
from tests.fakes import MovableClock

#: Loaded once in the fork server: a life that migrates would spend half a second on it.
PRELOADED = (migrations,)
HURRY_SECONDS, LOOK_SECONDS = 1.0, 0.02
PATIENCE_SECONDS = 240


@dataclass(frozen=True, kw_only=True)
class Orders:
    """Which bot lives in front of which chat, and at which point it dies (0: at none).

    It comes so many seconds later than the machine's clock says; where it hurries, time runs fast.
    It may freeze at the point instead, and lingers for so many seconds once all is over; or it
    goes on until there is a file that says that somebody was told. Or it `releases` what waits for
    the operator, and does nothing else. `rules` are what is decided about clips in its workspace.
    """

    folder: str
    tables: dict[str, Any]
    chat: str
    settings: dict[str, Any]
    die_at: Where = 0
    later: int = 0
    hurries: bool = False
    freezes: bool = False
    lingers: float = 0.0
    told: str = ""
    releases: bool = False
    workspace: str = ""
    rules: dict[str, str] = field(default_factory=dict)

    @property
    def is_shared(self) -> bool:
        """Whether the books are PostgreSQL's."""
        return str(self.tables["bot"].get("database_url", "")).startswith("postgresql")


def live(orders: Orders) -> None:
    """Be the bot until all that was asked has ended, or until the point."""
    folder = Path(orders.folder)
    points = Points(folder / "points.json", orders.die_at, freezes=orders.freezes)
    if orders.chat == "naive":
        asyncio.run(NaiveBot(folder, orders.settings, points.cross).run())
        return
    setup_logging("debug", stream=(folder / "bot.log").open("a"))
    watch(points)
    if orders.is_shared:
        watch_nudges(points)
        watch_roles(points)
    asyncio.run(_release(orders) if orders.releases else _live(orders))
    points.write()


async def _live(orders: Orders) -> None:
    clock = MovableClock()
    clock.move(seconds=orders.later)
    adapters = {orders.chat: _to_factory(orders, clock)}
    async with (
        App(to_config(orders.tables), adapters, clock=clock) as app,
        asyncio.TaskGroup() as group,
    ):
        if orders.rules:
            await _decide(app, orders)
        stop = asyncio.Event()
        group.create_task(app.run(stop))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (await _has_ended(app) and Path(orders.told).exists()):
                await asyncio.sleep(LOOK_SECONDS)
                if orders.hurries:
                    clock.move(seconds=HURRY_SECONDS)
        await asyncio.sleep(orders.lingers)
        stop.set()


async def _release(orders: Orders) -> None:
    """What `raybot resolve` does beside no bot, for all that is in doubt."""
    clock = MovableClock()
    clock.move(seconds=orders.later)
    async with App(to_config(orders.tables), {}, clock=clock) as app:
        for job_id in await app.database.read(_in_doubt):
            await app.operations.resolve(job_id, "release", generation_id=None, actor="operator")


def _in_doubt(conn: Connection) -> list[JobId]:
    waiting = select(jobs_table.c.id).where(jobs_table.c.state == JobState.UNCERTAIN)
    return [*conn.execute(waiting).scalars()]


async def _decide(app: App, orders: Orders) -> None:
    """Have the rules before anybody can ask, as somebody who runs the place would set them."""
    boss = Requester(adapter=orders.chat, workspace=orders.workspace, user="1")
    await app.studio.admin.set_policy(boss.tenant, orders.rules, actor=boss)


def _to_factory(orders: Orders, clock: MovableClock) -> AdapterFactory:
    if orders.chat == "discord":
        chat = discord.Settings.model_validate(orders.settings)
        return lambda studio: discord.create(chat, studio, clock=clock)
    work = slack.Settings.model_validate(orders.settings)
    return lambda studio: slack.create(work, studio, clock=clock)


async def _has_ended(app: App) -> bool:
    try:
        return await app.database.read(_is_over)
    except StoreError:
        # What a frozen process was reading, the database has ended.
        return False


def _is_over(conn: Connection) -> bool:
    """Whether something was asked, and all of it has ended or waits for the operator.

    What is in doubt is waited for by all that belongs to the same film.
    """
    asked = conn.execute(select(func.count()).select_from(jobs_table)).scalar_one()
    unread = select(func.count()).select_from(inbox).where(inbox.c.done_at.is_(None))
    still_open = select(func.count()).select_from(jobs_table)
    still_open = still_open.where(
        jobs_table.c.state.not_in([*TERMINAL, JobState.UNCERTAIN]),
        func.coalesce(jobs_table.c.story, "").not_in(
            select(func.coalesce(jobs_table.c.story, "-")).where(
                jobs_table.c.state == JobState.UNCERTAIN
            )
        ),
    )
    open_or_unread = (conn.execute(each).scalar_one() for each in (still_open, unread))
    return bool(asked) and not any(open_or_unread)
