"""What lies behind both listeners; until the bot is built, whoever calls hears that it starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path

from bot.disk import free_bytes
from bot.errors import StoreBusy
from bot.links import Links
from bot.media import LinkSigner, Media
from bot.metrics import Metrics
from bot.operations import Operations
from bot.ports import Adapter, Provider, WebHandler
from bot.store import health
from bot.store.database import Database
from bot.studio.sign_in import Entry
from bot.tables import BotTable
from bot.watching.callbacks import Hint, token_hash
from bot.web import WebBackend
from bot.wiring.watch_signals import Relay

#: The act that lets somebody in at the desk; the others are `bot.operations`'.
DESK_LINK = "desk_link"
#: Seconds in which the database must show that it writes and reads.
READY_WITHIN = 5.0


class Reception:
    """Answers callbacks, links, questions about health, acts and what is meant for adapters.

    Opened once all is built.
    """

    def __init__(
        self,
        *,
        database: Database,
        signer: LinkSigner,
        metrics: Metrics,
        providers: Mapping[str, Provider],
        relay: Relay,
        adapters: Mapping[str, Adapter],
        table: BotTable,
        media: Media,
    ) -> None:
        self._database = database
        self._table = table
        self._media = media
        self._signer = signer
        self._metrics = metrics
        self._providers = providers
        self._relay = relay
        self._adapters = adapters
        self._links: Links | None = None
        self._operations: Operations | None = None
        self._entry: Entry | None = None
        self._is_closing = False

    def open(self, *, links: Links, operations: Operations, entry: Entry) -> None:
        """From now on everything is answered."""
        self._links = links
        self._operations = operations
        self._entry = entry

    def close(self) -> None:
        """What is under way ends; nobody shall send more."""
        self._is_closing = True

    def backend(self, heartbeat_age: Callable[[], float]) -> WebBackend:
        """All of it, as the listeners take it."""
        return WebBackend(
            on_callback=self._on_callback,
            verify_link=self._signer.verify,
            frame_at=self._frame_at,
            clip_at=self._clip_at,
            find_route=self._find_route,
            ready=self._ready,
            troubles=self._troubles,
            heartbeat_age=heartbeat_age,
            render_metrics=self._render_metrics,
            act=self._act,
        )

    async def _on_callback(
        self, provider: str, headers: Mapping[str, str], body: bytes, token: str
    ) -> None:
        generation = await self._providers[provider].read_callback(headers, body, token)
        self._metrics.callbacks.labels(provider, "read" if generation else "unreadable").inc()
        if generation is not None and self._operations is not None:
            hint = Hint(token_hash=token_hash(token), generation=generation)
            self._relay.call_back(provider, hint)

    async def _frame_at(self, job_id: str, attempt: int, slot: str) -> Path | None:
        return await self._links.frame_at(job_id, attempt, slot) if self._links else None

    async def _clip_at(self, job_id: str) -> Path | None:
        return await self._links.clip_at(job_id) if self._links else None

    def _find_route(self, adapter: str, method: str, path: str) -> WebHandler | None:
        if self._operations is None:
            raise StoreBusy
        found = self._adapters.get(adapter)
        asked = [found] if found is not None else self._adapters.values()
        every = [each.routes for each in asked]
        own = (each.get((method, path)) for each in every)
        others = (each.get((method, f"/{adapter}/*")) for each in every)
        return next((each for each in chain(own, others) if each is not None), None)

    async def _act(self, name: str, values: Mapping[str, object]) -> Mapping[str, object]:
        if self._operations is None:
            raise StoreBusy
        if name == DESK_LINK and self._entry is not None:
            return await self._entry.act(values)
        return await self._operations.act(name, values)

    async def _ready(self) -> Mapping[str, str]:
        if self._operations is None:
            return {"bot": "It is still starting."}
        if self._is_closing:
            return {"bot": "It is stopping."}
        problems = {}
        if trouble := await health.check_database(self._database, seconds=READY_WITHIN):
            problems["database"] = trouble
        if not await self._media.has_room():
            problems["disk"] = "It is nearly full, so nothing new is started."
        return problems

    async def _render_metrics(self) -> bytes:
        """The figures; those of health are of this moment, also while no row can be read."""
        metrics = self._metrics
        metrics.ready.set(not await self._ready())
        metrics.disk_free_bytes.set(free_bytes(self._table.data_dir) or 0)
        for name, adapter in self._adapters.items():
            metrics.chat_trouble.labels(name).set(adapter.trouble is not None)
        return metrics.render()

    def _troubles(self) -> Mapping[str, str]:
        """What is away elsewhere: the jobs that need it wait."""
        found = self._relay.troubles() | {
            name: each.trouble for name, each in self._adapters.items()
        }
        found["media"] = self._media.trouble
        return {name: sentence for name, sentence in found.items() if sentence is not None}
