"""Finds providers and adapters by the names in the configuration; starts the simulator."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from bot.clock import Clock, SystemClock
from bot.config import Config, refuse_unknown_part, refuse_unsendable
from bot.errors import ConfigError
from bot.log import get_logger, register_secret
from bot.metrics import Metrics
from bot.moderators import Moderator, open_moderators
from bot.ports import Adapter, Finding, Introduction, ModelCapabilities, Provider
from bot.refs import Frozen
from bot.studio import Studio
from bot.wiring.public_listener import LOOPBACK, check_tls
from bot.wiring.startup import pseudonym

log = get_logger(__name__)
SIMULATOR = "simulator"
SIMULATOR_KEY = "luma-simulator"
START_SECONDS = 20.0
NO_KEY = (
    "No video service has a key. Set RAYBOT_PROVIDERS__LUMA__API_KEY, or put "
    'providers = ["simulator"] into [defaults] to try Raybot without one.'
)


class SimulatorTable(Frozen):
    """`[providers.simulator]`: where it is (empty: one is started here) and how fast time runs."""

    base_url: str = Field("", pattern=r"^(https?://[\w\[].*)?$")
    speed: float = Field(4.0, gt=0)
    running_limit: int = Field(10, ge=1)
    first_look_seconds: float = Field(0.5, ge=0)
    look_seconds: float = Field(0.5, gt=0)


@dataclass(frozen=True, kw_only=True)
class Supply:
    """The providers in order, those that are draining last, and the hosts of all.

    `is_local`: those that take jobs are on this machine.
    """

    providers: Sequence[Provider]
    hosts: frozenset[str]
    is_local: bool


AdapterFactory = Callable[[Studio], Adapter]


async def open_providers(
    config: Config, clock: Clock, stack: AsyncExitStack, metrics: Metrics
) -> Supply:
    """Every configured provider that has a key; raises `ConfigError` where none has."""
    for name in config.unlisted:
        check_unlisted(config, name)
    found: list[Provider] = []
    hosts: set[str] = set()
    for name in config.defaults.providers:
        base_url = await _simulator_address(config, stack) if name == SIMULATOR else ""
        opened = open_provider(config, name, clock=clock, metrics=metrics, simulator_url=base_url)
        if opened is None:
            log.info("provider.skipped", provider=name, reason="no api_key")
            continue
        stack.push_async_callback(opened.provider.aclose)
        found.append(opened.provider)
        hosts.add(opened.host)
    if not found:
        raise ConfigError(key_elsewhere(config) or NO_KEY)
    is_local = hosts <= LOOPBACK
    for opened in _draining(config, clock, metrics):
        stack.push_async_callback(opened.provider.aclose)
        found.append(opened.provider)
        hosts.add(opened.host)
    return Supply(providers=found, hosts=frozenset(hosts), is_local=is_local)


def _draining(config: Config, clock: Clock, metrics: Metrics) -> Iterator[Opened]:
    """What is off the list and has a key still; one that cannot be used keeps no bot from it."""
    for name in keyed(config):
        try:
            opened = open_provider(config, name, clock=clock, metrics=metrics, is_draining=True)
        except ConfigError as error:
            log.warning("provider.not_drained", provider=name, cause=error.sentence)
            continue
        if opened is not None:
            yield opened


def check_unlisted(config: Config, name: str) -> None:
    """Read the table of a service that is not used; raises `ConfigError`."""
    if name == SIMULATOR:
        simulator_table(config)
    else:
        settings = importlib.import_module(f"bot.providers.{name}").Settings
        config.load_table(settings, f"providers.{name}")


def idle(config: Config, draining: Collection[str]) -> Iterator[str]:
    """What is wrong in the tables of services that are not used, and which keys are in vain."""
    for name in config.unlisted:
        try:
            check_unlisted(config, name)
        except ConfigError as error:
            yield error.sentence
        else:
            if name in keyed(config) and name not in draining:
                yield f"{name}: its key has no effect until [defaults] providers names {name}"


def key_elsewhere(config: Config) -> str:
    """What is said where no service on the list has a key, but others have; else empty."""
    if not (names := keyed(config)):
        return ""
    return (
        "No video service of [defaults] providers has a key; there is one for "
        f"{', '.join(names)}. Name it there, or set RAYBOT_DEFAULTS__PROVIDERS={','.join(names)}."
    )


def keyed(config: Config) -> list[str]:
    """The services off the list that have a key: what they have still is looked after."""
    return [each for each in config.unlisted if each != SIMULATOR and config.has_key(each)]


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A provider, for its opener to close, and the host that it speaks to."""

    provider: Provider
    host: str


def open_provider(
    config: Config,
    name: str,
    *,
    clock: Clock,
    metrics: Metrics | None = None,
    simulator_url: str = "",
    is_draining: bool = False,
) -> Opened | None:
    """One provider; None where it has no key. Raises `ConfigError`; connects nowhere yet.

    One that `is_draining` takes nothing new, so its balance troubles nobody.
    """
    refuse_unknown_part("providers", name, "[defaults] providers")
    module = importlib.import_module(f"bot.providers.{'luma' if name == SIMULATOR else name}")
    if name == SIMULATOR:
        table = module.Settings.model_validate(_simulator_values(config, simulator_url))
    else:
        table = config.load_table(module.Settings, f"providers.{name}")
        refuse_unsendable(table, f"providers.{name}")
    if table.api_key is None or not table.api_key.get_secret_value():
        return None
    register_secret(table.api_key.get_secret_value())
    if is_draining:
        table = table.model_copy(update={"running_limit": 0, "min_balance_usd": 0.0})
    provider: Provider = module.create(
        table, clock=clock, name=name, is_test=name == SIMULATOR, metrics=metrics
    )
    return Opened(provider=provider, host=urlsplit(table.base_url).hostname or "")


def simulator_table(config: Config) -> SimulatorTable:
    """`[providers.simulator]`; raises `ConfigError`."""
    return config.load_table(SimulatorTable, f"providers.{SIMULATOR}")


async def _simulator_address(config: Config, stack: AsyncExitStack) -> str:
    table = simulator_table(config)
    return table.base_url or await _start_simulator(table, stack)


def _simulator_values(config: Config, base_url: str) -> dict[str, object]:
    table = simulator_table(config)
    return {
        "api_key": SecretStr(SIMULATOR_KEY),
        "base_url": base_url,
        "running_limit": table.running_limit,
        "first_look_seconds": table.first_look_seconds,
        "look_seconds": table.look_seconds,
        "min_balance_usd": 0.0,
        "creates_per_minute": 600,
    }


async def _start_simulator(table: SimulatorTable, stack: AsyncExitStack) -> str:
    """Run the simulator as a process of its own, so that drawing clips takes none of our time."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot",
        "simulator",
        "--port",
        "0",
        "--speed",
        str(table.speed),
        "--with-parent",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )

    async def stop() -> None:
        if process.returncode is None:
            process.terminate()
            await process.wait()

    stack.push_async_callback(stop)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            line = await process.stdout.readline()
    except TimeoutError as error:
        raise ConfigError("The simulator did not start.") from error
    address = line.decode().strip()
    if not address.startswith("http://"):
        raise ConfigError("The simulator did not start.")
    return address


def _adapter(name: str) -> Any:
    """An adapter's module; raises `ConfigError` where there is no such one."""
    refuse_unknown_part("adapters", name)
    return importlib.import_module(f"adapters.{name}")


def table_of(config: Config, name: str) -> Any:
    """An adapter's table; raises `ConfigError`."""
    table = config.load_table(_adapter(name).Settings, f"adapters.{name}")
    refuse_unsendable(table, f"adapters.{name}")
    return table


def switched_on(config: Config) -> tuple[str, ...]:
    """The adapters that have a table, but for those that are off until they are `enabled`."""
    return tuple(
        each for each in config.adapters if getattr(table_of(config, each), "enabled", True)
    )


def load_adapter(config: Config, name: str, **overrides: Any) -> AdapterFactory:
    """How to make an adapter from its table; raises `ConfigError` where there is no such one."""
    module, table = _adapter(name), table_of(config, name)
    check_tls(config.bot, name, table)
    extra = {
        key: value for key, value in overrides.items() if key not in module.Settings.model_fields
    }
    settled = table.model_copy(update={k: v for k, v in overrides.items() if k not in extra})

    def create(studio: Studio) -> Adapter:
        adapter: Adapter = module.create(settled, studio, clock=SystemClock(), **extra)
        return adapter

    return create


async def check_adapter(
    config: Config,
    name: str,
    *,
    served: Mapping[str, Collection[str]],
    models: Sequence[ModelCapabilities],
    seconds: float,
) -> list[Finding]:
    """What an adapter finds about its account; raises `ConfigError`. It knows our public address.

    `served` maps the places to their allowed channels, none: all; `models` can be chosen; a
    question may take `seconds`.
    """
    module, table = _adapter(name), table_of(config, name)
    if getattr(table, "enabled", True):
        check_tls(config.bot, name, table)
    found: list[Finding] = await module.check(
        table, served=served, models=models, public_url=config.bot.public_url, seconds=seconds
    )
    return found


def can_host(config: Config, name: str) -> bool:
    """Whether an adapter hands images over by its chat's own links; raises `ConfigError`."""
    return bool(table_of(config, name).can_host)


async def invitation(config: Config, name: str) -> str:
    """How to add the bot to a place; raises `ConfigError` and `DeliveryUnavailable`."""
    module, table = _adapter(name), table_of(config, name)
    said: str = await module.install(table, public_url=config.bot.public_url)
    return said


def manifest(config: Config, name: str, *, called_at: str = "") -> str:
    """What a platform makes our app from, where it takes such a text; raises `ConfigError`.

    `called_at`: the public address at which it shall call us, whatever the tables say.
    """
    module = _adapter(name)
    if not hasattr(module, "to_manifest"):
        raise ConfigError(f"{name} takes no manifest. `raybot invite {name}` says how to begin.")
    table = config.load_table(module.Settings, f"adapters.{name}")
    said: str = module.to_manifest(
        table, public_url=called_at or config.bot.public_url, is_called=bool(called_at)
    )
    return said


def needs_account(name: str) -> bool:
    """Whether an adapter needs an account at a platform, where other people write."""
    return hasattr(_adapter(name).Settings, "has_account")


def tells_member_since(name: str) -> bool:
    """Whether a platform says since when somebody is a member, as `min_member_days` needs."""
    return bool(getattr(_adapter(name).Settings, "tells_member_since", True))


def has_account(config: Config, name: str) -> bool:
    """Whether an adapter has what it signs in with, from the file or the environment."""
    return bool(table_of(config, name).has_account)


def has_secret(config: Config, name: str, key: str) -> bool:
    """Whether one secret of an adapter is there, from the file or the environment."""
    value = getattr(table_of(config, name), key)
    return isinstance(value, SecretStr) and bool(value.get_secret_value().strip())


async def introduction(
    config: Config, name: str, *, seconds: float, without: Collection[str] = ()
) -> Introduction:
    """Who our bot is there, asked live; raises `ConfigError` and `DeliveryUnavailable`.

    The secrets of the keys `without` are not looked at yet.
    """
    module, table = _adapter(name), table_of(config, name)
    table = table.model_copy(update=dict.fromkeys(without))
    said: Introduction = await module.introduce(table, seconds=seconds)
    return said


def moderators(
    config: Config, secret: str, *, clock: Clock, stack: AsyncExitStack
) -> Sequence[Moderator]:
    """Who checks each request; the stack closes them."""
    found = open_moderators(config.moderation, clock=clock, pseudonym=partial(pseudonym, secret))
    for each in found:
        stack.push_async_callback(each.aclose)
    return found
