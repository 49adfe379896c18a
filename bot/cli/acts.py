"""What an operator does at the command line: through the running bot, else on its database."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Mapping

import aiohttp

from bot.app import ADDRESS_FILE, DESK, App
from bot.clock import SystemClock
from bot.config import Config
from bot.errors import ConfigError, InvalidRequest, StoreError
from bot.pause import Pause
from bot.store import copy_marker
from bot.store.database import open_database
from bot.store.replace_file import is_there
from bot.tables import OPERATOR
from bot.web import act_token
from bot.wiring.reception import DESK_LINK
from bot.wiring.startup import database_url, secret_key
from bot.wiring.supply import load_adapter, switched_on

OK = 200
#: How long a running bot is waited for, which may itself ask a video service.
ACT_SECONDS = 60.0
NOT_RUNNING = (
    "No Raybot with a desk runs here. Start it first: `raybot run` with enabled = true in "
    "[adapters.web], or `raybot playground`."
)
NO_ADDRESS = (
    "On PostgreSQL a link needs [bot] public_url, which leads to one of the processes, and "
    "enabled = true in [adapters.web]."
)


async def act(config: Config, name: str, values: Mapping[str, object]) -> str:
    """An operator's act: through the running bot, or on the database if none runs.

    A database that several processes share takes it from one more. Returns what came of it;
    raises `ConfigError`, `InvalidRequest`, and `StoreError` where the bot says nothing.
    """
    if _is_running(config):
        address = (config.bot.data_dir / ADDRESS_FILE).read_text("utf-8").strip()
        return await _act_through(address, name, values, config)
    if name in ("pause", "resume"):
        return await _pause(config, name, values)
    async with App(config.with_changes({"bot": {"public_port": 0, "private_port": 0}}), {}) as app:
        done = await app.operations.act(name, values)
    return str(done["sentence"])


async def _pause(config: Config, name: str, values: Mapping[str, object]) -> str:
    """What stops the spending needs the database alone, and no key of a video service."""
    database = open_database(database_url(config))
    try:
        await copy_marker.open_for_bot(database)
        paused = Pause(database=database, clock=SystemClock())
        return await paused.act(name, values, actor=OPERATOR)
    finally:
        await database.stop()


async def desk_link(config: Config, name: str, *, has_desk: bool) -> str:
    """A link that lets somebody in once; raises `InvalidRequest` where no bot runs.

    Processes that share a database have an address in common, so it can be written for them.
    """
    values = {"user": login(), "name": name, "has_desk": has_desk}
    if _is_running(config):
        return await act(config, DESK_LINK, values)
    if not open_database(database_url(config)).is_shared:
        raise InvalidRequest(NOT_RUNNING)
    if not config.bot.public_url or DESK not in switched_on(config):
        raise InvalidRequest(NO_ADDRESS)
    factory = load_adapter(config, DESK)
    alone = {"public_host": "127.0.0.1", "public_port": 0, "private_port": 0}
    async with App(config.with_changes({"bot": alone}), {DESK: factory}) as app:
        return str((await app.studio.entry.act(values))["sentence"])


def login() -> str:
    """The name of whoever sits at this machine."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # No such entry in the password database.
        return "operator"


def _is_running(config: Config) -> bool:
    """Whether a bot alone holds the database; a file that a killed one left proves nothing."""
    database = open_database(database_url(config))
    if database.is_shared or not is_there(config.bot.data_dir / ADDRESS_FILE):
        return False
    try:
        database.lock()
    except ConfigError:
        return True
    database.unlock()
    return False


async def _act_through(
    address: str, name: str, values: Mapping[str, object], config: Config
) -> str:
    """Hand an act to the running bot's private listener."""
    bearer = {"Authorization": f"Bearer {act_token(secret_key(config))}"}
    try:
        async with (
            asyncio.timeout(ACT_SECONDS),
            aiohttp.ClientSession(headers=bearer) as session,
            session.post(f"{address}/acts/{name}", json=values) as response,
        ):
            said = await response.json()
    except (aiohttp.ClientError, TimeoutError) as error:
        hint = "Try again, or end it first: nothing is lost by that."
        raise StoreError(f"The bot at {address} does not answer. {hint}") from error
    if response.status != OK:
        raise InvalidRequest(str(said.get("sentence", "It was refused.")))
    return str(said["sentence"])
