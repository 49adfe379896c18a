"""What `raybot check` looks at: the tables, the database, each video service and each chat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from typing import Any, TypeVar

from bot import choice, quota
from bot.cli import handover, orphans, preflight
from bot.clock import SystemClock
from bot.config import Config
from bot.errors import (
    ClipUnavailable,
    ConfigError,
    InvalidRequest,
    NotAllowed,
    ProviderClosed,
    ProviderError,
    ProviderRejected,
    StoreError,
)
from bot.job import Job, JobState
from bot.media import Media, look_at_media
from bot.ports import Finding, ModelCapabilities, Provider
from bot.presets import CHOOSABLE, with_defaults
from bot.refs import GenerationId, Micros, money
from bot.request import VideoWork
from bot.routing.planning import misnamed, to_price
from bot.store import copy_marker, integrity, jobs, places, queues, reports
from bot.store.database import Database, open_database
from bot.text import price_words
from bot.wiring.startup import database_url
from bot.wiring.supply import (
    SIMULATOR,
    Opened,
    check_adapter,
    idle,
    keyed,
    open_provider,
    simulator_table,
    switched_on,
    tells_member_since,
)

#: Who would make a clip, as what, with which remarks.
Way = tuple[Provider, VideoWork, tuple[str, ...]]
R = TypeVar("R")
#: A name that no service ever gave.
NOBODYS = GenerationId("00000000-0000-4000-8000-000000000000")
#: Where the simulator would be, for whoever only asks what it can do.
NOT_SPOKEN_TO = "http://localhost"
NO_MEMBER_SINCE = (
    "nobody tells since when somebody is a member, so [limits] min_member_days does not hold there"
)
NO_ADAPTER = (
    "No adapter is configured: `raybot run` wants a table such as [adapters.terminal], "
    "`raybot chat` wants none."
)
KEYS_OF_BUCKET = " Look at [bot] media_url, and at the bucket's keys in the environment."
#: A service may be slow; an operator who waits is not asked for more patience than this.
ANSWER_WITHIN = 15.0


async def look(config: Config, *, seconds: float = ANSWER_WITHIN) -> list[Finding]:
    """Every finding; each service is asked once, at most so long, and nothing is changed."""
    return [
        *_look_at_tables(config),
        *_look_for_adapters(config),
        *await _look_at_database(config),
        *await _look_at_services(config, seconds),
        *await _look_at_chats(config, seconds),
    ]


async def look_within(config: Config, database: Database, media: Media) -> list[Finding]:
    """What is found from inside the bot that runs on this database and keeps its files there."""
    return [
        *_look_at_tables(config),
        *await inspect(database),
        _well(await database.describe()),
        *await _look_at_files(config, database, media),
        *await _look_at_services(config, ANSWER_WITHIN),
        *await _look_at_chats(config, ANSWER_WITHIN),
    ]


def _well(sentence: str) -> Finding:
    return Finding(is_well=True, sentence=sentence)


def _amiss(sentence: str) -> Finding:
    return Finding(is_well=False, sentence=sentence)


def _look_at_tables(config: Config) -> list[Finding]:
    found = [_amiss(sentence) for sentence in preflight.refusals(config)]
    lacks = (preflight.shortage(config), preflight.exposure(config))
    found += [_amiss(sentence) for sentence in lacks if sentence]
    return found or [_well("The configuration is understood")]


def _look_for_adapters(config: Config) -> list[Finding]:
    """Without a file, nobody means to run a bot."""
    try:
        is_run = bool(switched_on(config))
    except ConfigError:  # The look at the chats says so.
        return []
    if is_run:
        return []
    return [Finding(is_well=not config.tables, sentence=NO_ADAPTER)]


# ---- the database ----------------------------------------------------------------------------


async def _look_at_database(config: Config) -> list[Finding]:
    try:
        database = open_database(database_url(config))
    except ConfigError as error:
        return [_amiss(error.sentence)]
    found: list[Finding] = []
    try:
        if not database.exists():
            new = f"There is no database at {database.place} yet; the first start makes it"
            found.append(_well(new))
            with closing(look_at_media(config.bot.media_url, config.bot.data_dir)) as media:
                return [*found, *await _look_at_files(config, None, media)]
        await database.start_reading()
        found += await inspect(database)
        found.append(_well(await database.describe()))
        if mark := await database.read(copy_marker.read):
            found.append(_amiss(copy_marker.describe(database.place, mark)))
        with closing(look_at_media(config.bot.media_url, config.bot.data_dir)) as media:
            return [*found, *await _look_at_files(config, database, media)]
    except (ConfigError, StoreError) as error:
        return [*found, _amiss(error.sentence)]
    finally:
        await database.stop()


async def _look_at_files(config: Config, database: Database | None, media: Media) -> list[Finding]:
    """Whether what is kept can be listed, and is what is named."""
    now, days = SystemClock().now(), config.bot.clip_retention_days
    try:
        if database is None:
            await media.list(orphans.CLIPS)
            return []
        return await orphans.look(database, media, now, days=days)
    except ClipUnavailable as error:
        hint = KEYS_OF_BUCKET if config.bot.media_url else ""
        return [_amiss(f"The kept files: {error.sentence}{hint}")]


async def inspect(database: Database) -> list[Finding]:
    """What the database itself shows: the books, open questions, jobs put aside."""
    broken = await database.read(integrity.broken_invariants)
    findings = [
        Finding(is_well=False, sentence=f"The books break a rule ({rule}): {', '.join(ids[:5])}")
        for rule, ids in broken.items()
    ] or [Finding(is_well=True, sentence="The books add up")]
    uncertain = await database.read(lambda conn: jobs.open_ids(conn, JobState.UNCERTAIN))
    findings += [
        Finding(is_well=False, sentence=f"{job_id} is uncertain: `raybot resolve {job_id} …`")
        for job_id in uncertain
    ]
    findings += [
        Finding(is_well=False, sentence=_put_aside(job))
        for job in await database.read(jobs.parked)
    ]
    findings += [
        Finding(
            is_well=False,
            sentence=f"{job_id} waits for generation {generation_id}, which its video service "
            f"does not know: `raybot resolve {job_id} charge`, or `… release`",
        )
        for job_id, generation_id in await database.read(reports.lost)
    ]
    return findings


def _put_aside(job: Job) -> str:
    return (
        f"{job.id} was put aside ({job.state}): `raybot unpark {job.id}`, or "
        f"`raybot resolve {job.id} release`"
    )


# ---- the video services ----------------------------------------------------------------------


async def _look_at_services(config: Config, seconds: float) -> list[Finding]:
    """Each in its turn; one without a key is missed only where no other has one."""
    names, left = config.defaults.providers, await _left(config)
    has_any = any(config.has_key(name) for name in names)
    findings: list[Finding] = []
    for name in names:
        findings += await _look_at_service(config, name, seconds, is_needed=not has_any)
    for name, count in left.items():
        what = f"{count} {'generation is' if count == 1 else 'generations are'} left there"
        findings.append(_well(f"{name}: draining, {what}; nothing new goes there"))
        findings += await _look_at_service(config, name, seconds, is_needed=True, is_draining=True)
    findings += [_amiss(sentence) for sentence in idle(config, left)]
    findings += await _look_at_choice(config)
    return findings or [_amiss("[defaults] providers names no video service")]


async def _look_at_choice(config: Config) -> list[Finding]:
    """What each service sells here, and who would make a clip with the defaults, in order."""
    async with _providers(config) as found:
        sold = [_well(words) for each in found if (words := _sold_by(each))]
        if wrong := misnamed(config.defaults, found, config.limits):
            return [*sold, _amiss(wrong)]
        house = config.defaults.model_dump(include=set(CHOOSABLE))
        try:
            ways = choice.candidates(with_defaults(VideoWork(prompt="a clip"), house, {}), found)
        except InvalidRequest as error:
            return [*sold, _amiss(f"[defaults]: {error.sentence}")] if found else []
        ways, refused = _allowed(config, ways)
        if not ways:
            return [*sold, _amiss(f"[limits] refuse a clip with the defaults. {refused}")]
        work = ways[0][1]
        made = [f"{who.name}, {price_words(to_price(fitted, who))}" for who, fitted, _ in ways]
    what = f"{work.model}, {work.duration}, {work.resolution}, {work.aspect_ratio}"
    order = "; else by ".join(made)
    return [*sold, _well(f"A clip with the defaults ({what}) is made by {order}")]


def _allowed(config: Config, ways: list[Way]) -> tuple[list[Way], str]:
    """The ways that the limits of everybody leave, and what is said of the others."""
    left, refused = [], ""
    for way in ways:
        try:
            quota.check_work(config.limits, way[1], way[0].capabilities[way[1].model].resolutions)
            left.append(way)
        except NotAllowed as error:
            refused = refused or error.sentence
    return left, refused


def _sold_by(provider: Provider) -> str:
    """The models of a provider, each with the price of its cheapest clip, or of a still."""
    sold = choice.cheapest(provider).items()
    told = [f"{model} from {money(least.micros)}" for model, least in sold]
    told += [f"{model} at {money(price)} a still" for model, price in choice.stills(provider)]
    return f"{provider.name}: sells {', '.join(told)}" if told else ""


async def _look_at_service(
    config: Config, name: str, seconds: float, *, is_needed: bool, is_draining: bool = False
) -> list[Finding]:
    try:
        address = simulator_table(config).base_url if name == SIMULATOR else ""
        if name == SIMULATOR and not address:
            return [_well("simulator: starts together with Raybot; nothing is charged")]
        opened = open_provider(
            config, name, clock=SystemClock(), simulator_url=address, is_draining=is_draining
        )
    except ConfigError as error:
        return [_amiss(error.sentence)]
    if opened is None:
        where = f"RAYBOT_PROVIDERS__{name.upper()}__API_KEY"
        missing = f"{name}: no api_key, so it is not used ({where})"
        return [Finding(is_well=not is_needed, sentence=missing)]
    try:
        # No more images are given to one that is draining.
        links = [] if is_draining else await handover.look(config, opened, seconds=seconds)
        return [await _ask(opened, seconds), *links]
    finally:
        await opened.provider.aclose()


async def _ask(opened: Opened, seconds: float) -> Finding:
    """Ask for the balance, else for a generation that is nobody's: a wrong key gets no answer."""
    provider = opened.provider
    try:
        async with asyncio.timeout(seconds):
            if (balance := await provider.balance()) is None:
                await provider.check([NOBODYS])
            return _to_finding(provider, balance)
    except TimeoutError:
        return _amiss(f"{provider.name}: {opened.host} did not answer within {seconds:g} s")
    except ProviderError as error:
        return _amiss(f"{provider.name}: {_trouble(error, opened.host)}")


def _trouble(error: ProviderError, host: str) -> str:
    match error:
        case ProviderClosed() | ProviderRejected():
            return error.sentence
        case _ if error.retry_after is not None:
            return f"{host} asks for a pause; check again in {error.retry_after:.0f} s"
        case _:
            return (
                f"{host} cannot be reached. If this machine is online, look at base_url and at "
                "the service's own status page; jobs wait meanwhile"
            )


def _to_finding(provider: Provider, balance: Micros | None) -> Finding:
    least = provider.limits.min_balance
    if balance is None:
        return _well(f"{provider.name}: the key is good; the service tells no balance")
    if balance <= 0 and not choice.is_draining(provider):
        return _amiss(f"{provider.name}: the account has no credits left")
    if balance < least:
        return _amiss(
            f"{provider.name}: {money(balance)} is left, less than the {money(least)} of "
            "min_balance_usd"
        )
    return _well(f"{provider.name}: the key is good, {money(balance)} is left")


# ---- the chat platforms ------------------------------------------------------------------------


async def _look_at_chats(config: Config, seconds: float) -> list[Finding]:
    """Each adapter says what its platform thinks of its account and of the places it serves."""
    findings: list[Finding] = []
    models = await _models(config) if config.adapters else ()
    for name in config.adapters:
        served = await _served(config, name)
        try:
            findings += await check_adapter(
                config, name, served=served, models=models, seconds=seconds
            )
        except ConfigError as error:
            findings.append(_amiss(error.sentence))
        if config.limits.min_member_days and not tells_member_since(name):
            findings.append(_well(f"{name}: {NO_MEMBER_SINCE}"))
    return findings


async def _models(config: Config) -> tuple[ModelCapabilities, ...]:
    """What people can choose, as after the next start."""
    async with _providers(config) as found:
        return (*choice.offered(found), *choice.offered(found, "image"))


@asynccontextmanager
async def _providers(config: Config) -> AsyncIterator[list[Provider]]:
    """The providers of the next start, which are asked nothing; none where it would fail."""
    found: list[Provider] = []
    try:
        for name in config.defaults.providers:
            opened = open_provider(config, name, clock=SystemClock(), simulator_url=NOT_SPOKEN_TO)
            found += [opened.provider] if opened is not None else []
    except ConfigError:  # Its own line says so.
        pass
    try:
        yield found
    finally:
        for provider in found:
            await provider.aclose()


async def _left(config: Config) -> dict[str, int]:
    """How many generations each service has still that is used no more, where it has any."""
    names, nothing = keyed(config), dict[str, int]()
    left = await _read(
        config, lambda conn: {name: queues.left(conn, name) for name in names}, otherwise=nothing
    )
    return {name: count for name, count in left.items() if count}


async def _read(config: Config, work: Callable[[Any], R], *, otherwise: R) -> R:
    """What the rows say, where they can be read; the look at the database tells if not."""
    with suppress(ConfigError, StoreError):
        database = open_database(database_url(config))
        if database.exists():
            try:
                await database.start_reading()
                return await database.read(work)
            finally:
                await database.stop()
    return otherwise


async def _served(config: Config, name: str) -> dict[str, list[str]]:
    """The places of an adapter by their ids, each with its allowed channels; none: all."""
    named = {"discord": config.access.servers, "slack": config.access.workspaces}
    configured = [f"{name}:{place}" for place in named.get(name, ())]
    nowhere: dict[str, list[str]] = {tenant: [] for tenant in configured}
    found = await _read(config, lambda conn: places.served(conn, configured), otherwise=nowhere)
    return {
        tenant.partition(":")[2]: channels
        for tenant, channels in found.items()
        if tenant.startswith(f"{name}:")
    }
