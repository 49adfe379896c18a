"""The Home tab: one person's usage, jobs and defaults, drawn anew when they change."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from datetime import timedelta
from typing import TYPE_CHECKING

from adapters.slack import parse
from adapters.slack.addresses import NAME, Account, Accounts
from adapters.slack.blocks import Block
from adapters.slack.clients import Clients
from adapters.slack.people import People
from adapters.slack.tab import home_view, shut_view
from bot.clock import Clock
from bot.errors import NotServed
from bot.request import Requester

if TYPE_CHECKING:
    from bot.studio import Studio

#: Changes come in crowds; one picture of them all is enough.
NOT_SOONER = timedelta(seconds=5)
#: So many tabs are kept up to date without a look into the database.
REMEMBERED = 10_000
Person = tuple[str, str]


class Home:
    """Publishes the tabs of those who opened theirs."""

    def __init__(
        self, studio: Studio, clients: Clients, accounts: Accounts, people: People, *, clock: Clock
    ) -> None:
        self._studio = studio
        self._clients = clients
        self._accounts = accounts
        self._people = people
        self._clock = clock
        self._opened: OrderedDict[Person, bool] = OrderedDict()
        self._stale: dict[Person, None] = {}
        self._changed = asyncio.Event()
        self._not_before = clock.now()

    async def open(self, account: Account, user: str) -> None:
        """Somebody looks at theirs; remember that, so that it is republished from now on."""
        who = (account.workspace, user)
        if not await self._studio.serves(f"{NAME}:{account.workspace}"):
            await self._put(who, shut_view(NotServed().sentence))
            return
        if not await self._is_open(who):
            await self._studio.remember(NAME, _name(who), "open")
        self._note(who, is_open=True)
        await self._publish(who)

    def touch(self, requester: Requester) -> None:
        """Something of theirs changed."""
        self._stale[requester.workspace, requester.user] = None
        self._changed.set()

    async def stale(self) -> list[Person]:
        """Wait until something changed, and somewhat longer; whose tabs are to be republished."""
        await self._changed.wait()
        await self._clock.wait(asyncio.Event(), max(self._clock.now(), self._not_before))
        self._changed.clear()
        waiting, self._stale = list(self._stale), {}
        self._not_before = self._clock.now() + NOT_SOONER
        return waiting

    async def refresh(self, who: Person) -> None:
        """Republish a tab, if its person opened it once; raises `BotError`s."""
        if await self._is_open(who):
            await self._publish(who)

    def _note(self, who: Person, *, is_open: bool) -> None:
        self._opened[who] = is_open
        self._opened.move_to_end(who)
        while len(self._opened) > REMEMBERED:
            self._opened.popitem(last=False)

    async def _is_open(self, who: Person) -> bool:
        if who not in self._opened:
            self._note(who, is_open=bool(await self._studio.recall(NAME, _name(who))))
        return self._opened[who]

    async def _publish(self, who: Person) -> None:
        workspace, user = who
        account = await self._accounts.of(workspace)
        person = await self._people.of(account, user)
        requester = parse.to_requester(person, account, is_typed_directly=False)
        view = home_view(
            usage=await self._studio.usage(requester),
            open_jobs=await self._studio.open_jobs(requester),
            last=await self._studio.jobs(requester),
            held=await self._studio.preferences.in_channel(requester, ""),
            now=self._clock.now(),
        )
        await self._put(who, view)

    async def _put(self, who: Person, view: Block) -> None:
        workspace, user = who
        async with self._clients.translated(workspace):
            client = await self._clients.api(workspace)
            await client.views_publish(user_id=user, view=view)


def _name(who: Person) -> str:
    return f"home:{who[0]}:{who[1]}"
