"""The composition root: builds every object, runs them, and stops them in order."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial

from bot.alongside import end
from bot.announcer import Announcer
from bot.bot_context import BotContext, DeskContext
from bot.charts import Charts
from bot.clips import Clips
from bot.clock import Clock, SystemClock
from bot.codec import Codec
from bot.config import Config
from bot.courier import Courier
from bot.digest import Digests
from bot.dispatch import open_dispatch
from bot.errors import StoreError
from bot.frames import Frames
from bot.housekeeping import Housekeeping
from bot.links import Links
from bot.log import get_logger
from bot.media import LinkSigner, open_media
from bot.menu import Menu
from bot.metrics import Metrics
from bot.operations import Operations
from bot.ports import Adapter
from bot.routing.failover import Failover
from bot.routing.planning import Planner
from bot.steps.step import StepContext, StepHooks
from bot.store import copy_marker, jobs, settings
from bot.store.database import open_database
from bot.studio import Studio
from bot.studio.status import Status
from bot.studio.unshown import Unshown
from bot.tracker import JobTracker
from bot.upkeep import keep_going
from bot.vault import Vault
from bot.watcher import ProviderWatcher
from bot.web import Web
from bot.wiring import public_listener, startup, supply
from bot.wiring.gauges import Gauges, Heart
from bot.wiring.platform_calls import Check, Reach, no_check
from bot.wiring.reception import Reception
from bot.wiring.watch_signals import Relay

log = get_logger(__name__)
ADDRESS_FILE = "private.address"
#: The adapter that has the operator's desk.
DESK = "web"


class App:
    """One running Raybot. Use as an async context manager, then `run`."""

    def __init__(
        self,
        config: Config,
        adapters: Mapping[str, supply.AdapterFactory],
        *,
        clock: Clock | None = None,
        check: Check = no_check,
        codec: Codec | None = None,
    ) -> None:
        self._config, self._check, self._codec = config, check, codec or Codec()
        self._factories = adapters
        self._clock, self._stack = clock or SystemClock(), AsyncExitStack()
        self._adapters: dict[str, Adapter] = {}
        self._watchers: dict[str, ProviderWatcher] = {}
        self._metrics = Metrics()
        self._heart = Heart(clock=self._clock, metrics=self._metrics)

    # ---- building ------------------------------------------------------------------------

    async def __aenter__(self) -> App:
        try:
            await self._build()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _build(self) -> None:
        config, table = self._config, self._config.bot
        startup.check_shared(config)
        startup.make_data_dir(config)
        self._secret = startup.secret_key(config)
        await self._open_database()
        media = open_media(table.media_url, table.data_dir, min_free_bytes=table.min_free_bytes)
        self._media = media
        self._stack.callback(media.close)
        self._stack.push_async_callback(self._codec.aclose)
        self._signer = LinkSigner(self._secret.encode())
        supplied = await supply.open_providers(config, self._clock, self._stack, self._metrics)
        self._providers = {provider.name: provider for provider in supplied.providers}
        await self._open_listeners(is_local=supplied.is_local)
        self._frames = Frames(media, self._codec, signer=self._signer, public_url=self.public_url)
        self._clips = Clips(media, self._codec, allow_hosts=supplied.hosts)
        self._links = Links(
            database=self.database,
            frames=self._frames,
            clips=self._clips,
            signer=self._signer,
            clock=self._clock,
            # Our own address is for this machine only; a link to a clip is for people.
            public_url=self.public_url if table.public_url else "",
            clip_days=table.clip_retention_days,
        )
        self._build_work()
        self._adapters.update({name: new(self.studio) for name, new in self._factories.items()})
        self._reception.open(
            links=self._links, operations=self.operations, entry=self.studio.entry
        )

    async def _open_database(self) -> None:
        url, table = startup.database_url(self._config), self._config.bot
        self.database = open_database(url)
        self.database.lock()
        self._stack.push_async_callback(self.database.stop)
        await copy_marker.open_for_bot(self.database)
        dispatch = await open_dispatch(
            url,
            self._clock,
            due_times=lambda: self.database.read(jobs.due_times),
            stalled=lambda job_id: self.operations.blame(job_id),
            grace_seconds=table.shutdown_grace_seconds,
        )
        self._dispatcher, self._replicas = dispatch.dispatcher, dispatch.replicas
        self._relay = Relay(self._replicas, self._watchers)

    async def _open_listeners(self, *, is_local: bool) -> None:
        """Before what lies behind them is built, because frames carry their address."""
        self._reception = Reception(
            database=self.database,
            signer=self._signer,
            metrics=self._metrics,
            providers=self._providers,
            relay=self._relay,
            adapters=self._adapters,
            table=self._config.bot,
            media=self._media,
        )
        self._web = self._build_web()
        await self._web.start()
        self._stack.push_async_callback(self._web.stop)
        self._write_address()
        self.address = self._web.public_address
        self.public_url = self._config.bot.public_url or (self.address if is_local else "")

    def _build_work(self) -> None:
        database, clock = self.database, self._clock
        self._menu = Menu(providers=self._providers, limits=self._config.limits)
        status = Status(database=database, watchers=self._watchers, menu=self._menu)
        self._to_notice = status.to_notice
        self._announcer = Announcer(
            database=database,
            adapters=self._adapters,
            clock=clock,
            to_notice=status.to_notice,
            replicas=self._replicas,
        )
        self._build_watchers()
        hooks = self._step_hooks()
        self._tracker = JobTracker(
            StepContext(
                database=database,
                providers=self._providers,
                adapters=self._adapters,
                frames=self._frames,
                clips=self._clips,
                dispatcher=self._dispatcher,
                clock=clock,
                hooks=hooks,
            )
        )
        self.operations = Operations(
            database=database,
            dispatcher=self._dispatcher,
            clock=clock,
            announce=hooks.announce,
            watch=hooks.watch,
            wake_courier=hooks.wake_courier,
            providers=self._providers,
            adapters=self._adapters,
            contacts=self._config.contacts,
            failover=self._failover,
            replicas=self._replicas,
        )
        self.studio = self._build_studio()

    def _build_watchers(self) -> None:
        self._failover = Failover(
            is_open=lambda name: name in self._watchers and self._watchers[name].admission.is_open,
            is_well=lambda name: name in self._watchers and self._watchers[name].admission.is_well,
            confirm_above_usd=self._config.limits.confirm_above_usd,
            moved=self._on_moved,
        )
        for provider in self._providers.values():
            self._watchers[provider.name] = ProviderWatcher(
                provider,
                database=self.database,
                dispatcher=self._dispatcher,
                clock=self._clock,
                announce=self._announcer.touch,
                failover=self._failover,
            )
        self._courier = Courier(
            database=self.database,
            adapters=self._adapters,
            clips=self._clips,
            clock=self._clock,
            clip_link=self._links.clip_link,
            replicas=self._replicas,
        )

    def _step_hooks(self) -> StepHooks:
        return StepHooks(
            announce=self._announcer.touch,
            watch=self._relay.watch,
            trouble=self._relay.trouble,
            taken=self._relay.taken,
            clip_link=self._links.clip_link,
            pseudonym=partial(startup.pseudonym, self._secret),
            failover=self._failover,
            acts=self._menu.of,
            nudge=self._relay.nudge,
            wake_courier=self._courier.wake,
            public_url=self.public_url,
        )

    def _build_studio(self) -> Studio:
        config, clock = self._config, self._clock
        planner = Planner(
            database=self.database,
            providers=list(self._providers.values()),
            adapters=self._adapters,
            frames=self._frames,
            defaults=config.defaults,
            limits=config.limits,
            failover=self._failover,
        )
        return Studio(
            database=self.database,
            planner=planner,
            clips=self._clips,
            dispatcher=self._dispatcher,
            clock=clock,
            context=self._build_context(),
            courier=self._courier,
            vault=Vault(database=self.database, clock=clock, secret_key=self._secret),
        )

    def _build_context(self) -> BotContext:
        config, clock = self._config, self._clock
        reach = Reach(adapters=self._adapters, providers=self._providers)
        return BotContext(
            limits=config.limits,
            access=config.access,
            has_room=self._media.has_room,
            announce=self._announcer.touch,
            nudge=self._relay.nudge,
            to_notice=self._to_notice,
            cancel_generation=reach.cancel_generation,
            failover=self._failover,
            replicas=self._replicas,
            moderation=config.moderation,
            contacts=config.contacts,
            moderators=supply.moderators(config, self._secret, clock=clock, stack=self._stack),
            operators=frozenset(each.identity for each in config.operators),
            delete_post=reach.delete_post,
            place=self._announcer.place,
            is_placed_first=self._announcer.is_placed_first,
            resolve=self.operations.resolve,
            unpark=self.operations.unpark,
            trouble_of=lambda name: self._watchers[name].admission.trouble_sentence,
            chart=Charts(self._codec, config.bot.data_dir / "charts").try_to_draw,
            sign=self._signer.sign,
            is_admin=reach.is_admin,
            link_to=reach.link_to,
            desk=DeskContext(
                address=self.public_url or self.address if DESK in self._factories else "",
                is_public=public_listener.is_public(config.bot),
                health_of=lambda name: self._watchers[name].admission.health,
                chats=reach.chats,
                check=partial(self._check, config, self.database, self._media),
            ),
        )

    def _build_web(self) -> Web:
        return Web(
            startup.web_settings(self._config),
            self._reception.backend(self._heart.age),
            clock=self._clock,
            secret_key=self._secret,
            providers=self._providers,
        )

    def _write_address(self) -> None:
        if self.database.is_shared:
            return  # Whoever acts needs none of its processes.
        path = self._config.bot.data_dir / ADDRESS_FILE
        self._stack.enter_context(startup.written_down(self._web.private_address, path))

    # ---- running -------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event, *, until: str | None = None) -> None:
        """Work until `stop` is set or, where one is named, that adapter has nothing more to do."""
        startup.say_what_holds(self._config, self._menu.providers)
        await self._recover()
        # What one process does for all, each of these maybe another one.
        roles = {"housekeeping": self._keep_house, **self._relay.roles()}
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._dispatcher.run(self._tracker.advance), name="dispatch"),
                group.create_task(self._announcer.run(), name="announce"),
                group.create_task(self._courier.run(), name="courier"),
                group.create_task(self._heart.run(), name="heartbeat"),
                group.create_task(self._gauges().run(), name="figures"),
                group.create_task(self._replicas.run(), name="replicas"),
                group.create_task(self.studio.take_up(), name="leftovers"),
                *(
                    group.create_task(self._replicas.alone(role, work), name=role)
                    for role, work in roles.items()
                ),
            ]
            listening = [
                group.create_task(self._listen(adapter, stop, until), name=f"adapter {name}")
                for name, adapter in self._adapters.items()
            ]
            await stop.wait()
            self._reception.close()
            left = await self._dispatcher.drain(self._config.bot.shutdown_grace_seconds)
            await self._announcer.drain(left)
            await end(listening, tasks)  # Who was heard is answered while messages still go out.
        try:
            await self.database.write(lambda tx: settings.stop(tx, self._clock.now()))
        except StoreError as error:
            log.error("app.stop_not_noted", cause=error.sentence)  # noqa: TRY400

    async def _keep_house(self) -> None:
        unshown = Unshown(self.database, self._clock, self._announcer.touch)
        chores = (self._housekeeping().run, *self.operations.chores, self._digests().run)
        await keep_going((*chores, self.studio.run, unshown.run), self._clock)

    async def _listen(self, adapter: Adapter, stop: asyncio.Event, until: str | None) -> None:
        await adapter.run()
        if adapter.name == until:
            stop.set()

    async def _recover(self) -> None:
        self._heart.beat()
        await self.operations.recover()
        for watcher in self._watchers.values():
            await watcher.learn()

    def _gauges(self) -> Gauges:
        return Gauges(
            database=self.database,
            metrics=self._metrics,
            clock=self._clock,
            providers=self._providers,
            watchers=self._watchers,
        )

    def _digests(self) -> Digests:
        return Digests(
            database=self.database,
            adapters=self._adapters,
            clock=self._clock,
            limits=self._config.limits,
            serves=self.studio.serves,
        )

    def _housekeeping(self) -> Housekeeping:
        return Housekeeping(
            database=self.database,
            dispatcher=self._dispatcher,
            providers=self._providers.values(),
            clips=self._clips,
            frames=self._frames,
            table=self._config.bot,
            clock=self._clock,
            metrics=self._metrics,
        )

    def exit_code(self, adapter: str) -> int:
        """What an adapter that ended has to say: 0 unless it knows otherwise."""
        return int(getattr(self._adapters[adapter], "exit_code", 0))

    # ---- what the parts ask of one another -----------------------------------------------

    def _on_moved(self, was: str, now: str) -> None:
        self._metrics.failovers.labels(was, now).inc()
        self._relay.nudge(now)
