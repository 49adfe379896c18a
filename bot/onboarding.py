"""`raybot init`: asks for what a first configuration needs, proves it live, and writes it down.

Knows the questions and the file. Who the bot is at a chat platform, its adapter says.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bot.clock import SystemClock
from bot.config import Config, DefaultsTable, nearest, parts_of, to_config
from bot.errors import (
    ConfigError,
    DeliveryError,
    InvalidRequest,
    ProviderError,
    ProviderOutOfCredits,
    ProviderUnavailable,
)
from bot.log import register_secret
from bot.ports import Introduction
from bot.questions import Person, Question
from bot.refs import Micros, money
from bot.supply import SIMULATOR, has_account, introduction, open_provider
from bot.words import clean

T = TypeVar("T")
CHAT = "discord"
LATER = "later"
ANSWER_WITHIN = 15.0
SHOWN = 25
PORTAL = "https://discord.com/developers/applications"


@dataclass(frozen=True, kw_only=True)
class Given:
    """What was said with the command; what is empty is asked for, where somebody can be asked."""

    provider: str = ""
    key: str = ""
    discord_token: str = ""
    servers: tuple[str, ...] = ()
    operator: str = ""


@dataclass(frozen=True, kw_only=True)
class FirstConfig:
    """What was found out: the tables of the file, words to some of their values, and the bot."""

    tables: Mapping[str, Mapping[str, Any]]
    remarks: Mapping[str, str]
    bot: Introduction | None = None


class Onboarding:
    """One first conversation. Nothing is written; `to_toml` and `write` do that."""

    def __init__(self, given: Given, person: Person, *, seconds: float = ANSWER_WITHIN) -> None:
        self._given = given
        self._person = person
        self._seconds = seconds
        self._tables: dict[str, dict[str, Any]] = {}
        self._remarks: dict[str, str] = {}

    async def run(self) -> FirstConfig:
        """Ask and prove; raises `ConfigError` where a script gave too little or a wrong thing."""
        await self._choose_service()
        bot = await self._choose_chat()
        if bot is None:
            self._tables["adapters.terminal"] = {}
        else:
            await self._choose_servers(bot)
            await self._choose_operator(bot)
        return FirstConfig(tables=self._tables, remarks=self._remarks, bot=bot)

    def _config(self, **tables: Mapping[str, Any]) -> Config:
        """These tables as they would be read: the environment wins."""
        return to_config({name: dict(table) for name, table in tables.items()})

    # ---- the video service ---------------------------------------------------------------

    async def _choose_service(self) -> None:
        name = await self._service()
        self._tables["defaults"] = {"providers": [name]}
        if name == SIMULATOR:
            self._remarks["providers"] = "clips are marked TEST, nothing is charged"
            return

        async def prove(key: str) -> None:
            self._person.say(await self._prove_key(name, key))

        key = await self._proved(
            Question(text=f"Your key for {name}", flag="--key", is_secret=True),
            given=self._given.key,
            variable=f"RAYBOT_PROVIDERS__{name.upper()}__API_KEY",
            is_set=self._config().has_key(name),
            prove=prove,
        )
        self._tables[f"providers.{name}"] = {"api_key": key[0]} if key and key[0] else {}

    async def _service(self) -> str:
        """Which one; a key alone means the one that is the default everywhere."""
        known = [each for each in _services() if self._is_set_up_by_key(each)]
        name = self._given.provider
        if not name and (self._given.key or self._config().has_key(known[0])):
            return known[0]
        choice = f"{' or '.join(known)} (paid), or {SIMULATOR} (free, clips marked TEST)"
        question = Question(text=f"Video service: {choice}", flag="--provider", default=known[0])
        while True:
            name = name or (await self._person.ask(question)).strip().lower()
            if name in (*known, SIMULATOR):
                return name
            hint = nearest(name, parts_of("providers"))
            said = f"There is no video service {clean(name)!r}.{hint}"
            if name in _services():
                said = f"{name} wants more than a key: config.example.toml says what."
            self._refuse(said)
            name = ""

    def _is_set_up_by_key(self, name: str) -> bool:
        """Whether a service wants nothing of its operator but a key."""
        settings = importlib.import_module(f"bot.providers.{name}").Settings
        try:
            self._config(providers={name: {"api_key": "any"}}).load_table(
                settings, f"providers.{name}"
            )
        except ConfigError:
            return False
        return True

    async def _prove_key(self, name: str, key: str) -> str:
        """Ask for the balance, which a wrong key does not answer; raises `ConfigError`."""
        table = {"api_key": key} if key else {}
        opened = open_provider(self._config(providers={name: table}), name, clock=SystemClock())
        assert opened is not None
        try:
            async with asyncio.timeout(self._seconds):
                return _balance_words(await opened.provider.balance())
        except ProviderOutOfCredits:
            return _balance_words(Micros(0))
        except (TimeoutError, ProviderUnavailable) as error:
            raise ConfigError(
                f"{opened.host} cannot be reached now, so the key is not proved."
            ) from error
        except ProviderError as error:
            raise ConfigError(error.sentence) from error
        finally:
            await opened.provider.aclose()

    # ---- the chat platform ---------------------------------------------------------------

    async def _choose_chat(self) -> Introduction | None:
        """The bot at Discord; None where somebody leaves it out."""
        is_set = has_account(self._config(), CHAT)
        if not (self._given.discord_token or is_set):
            if not self._person.is_there:
                return None
            self._person.say(f"A token comes from {PORTAL}: New Application, Bot, Reset Token.")

        async def prove(token: str) -> Introduction:
            return await self._meet(token)

        found = await self._proved(
            Question(
                text="Discord token (Enter: not now, in the terminal only)",
                flag="--discord-token",
                is_secret=True,
            ),
            given=self._given.discord_token,
            variable="RAYBOT_ADAPTERS__DISCORD__TOKEN",
            is_set=is_set,
            prove=prove,
            is_needed=False,
        )
        if found is None:
            return None
        token, bot = found
        self._tables["adapters.discord"] = {"token": token} if token else {}
        self._person.say(f"The token is good: this is {bot.name}, owned by {bot.owner_name}.")
        return bot

    async def _meet(self, token: str) -> Introduction:
        config = self._config(adapters={CHAT: {"token": token} if token else {}})
        try:
            return await introduction(config, CHAT, seconds=self._seconds)
        except DeliveryError as error:
            raise ConfigError(f"{error.sentence}. So the token is not proved.") from error

    async def _choose_servers(self, bot: Introduction) -> None:
        servers, places = self._given.servers, bot.places
        if wrong := [each for each in servers if not each.isdecimal()]:
            raise ConfigError(f"--server: {clean(wrong[0])!r} is no id; it has digits only.")
        if not servers and self._person.is_there:
            servers, places = await self._ask_servers(bot)
        self._tables["access"] = {"servers": list(servers)}
        if not servers:
            self._remarks["servers"] = "nobody is served yet: put your server's id here"
        elif names := [places[each] for each in servers if each in places]:
            self._remarks["servers"] = ", ".join(names)

    async def _ask_servers(self, bot: Introduction) -> tuple[tuple[str, ...], Mapping[str, str]]:
        """Which of those it is in, or their ids; asked anew after it was added to one."""
        person = self._person
        while True:
            ids = list(bot.places)
            if not ids:
                person.say(f"{bot.name} is in no server yet.")
                person.say(bot.invitation)
            for at, each in enumerate(ids[:SHOWN], 1):
                person.say(f"  {at}. {bot.places[each]} ({each})")
            default = "1" if len(ids) == 1 else ""
            what = "numbers or ids with commas" if ids else "Enter once it is added, or its id"
            answer = await person.ask(
                Question(
                    text=f"Servers that may use it: {what}, or {LATER}",
                    flag="--server",
                    default=default,
                )
            )
            if answer.strip().lower() == LATER:
                return (), bot.places
            try:
                if found := _read_servers(answer, ids):
                    return found, bot.places
            except InvalidRequest as error:
                person.say(error.sentence)
            bot = await self._meet(str(self._tables[f"adapters.{CHAT}"].get("token", "")))

    async def _choose_operator(self, bot: Introduction) -> None:
        question = Question(
            text=f"Your own Discord user id, for notices (Enter: {bot.owner_name})",
            flag="--operator",
            default=bot.owner,
        )
        user = self._given.operator or ("" if self._person.is_there else bot.owner)
        while not user.isdecimal():
            if user:
                self._refuse(f"{clean(user)!r} is no user id; it has digits only.")
            user = (await self._person.ask(question)).strip()
        self._tables["operator"] = {"discord_user": user}
        if user == bot.owner:
            self._remarks["discord_user"] = bot.owner_name

    # ---- asking --------------------------------------------------------------------------

    def _refuse(self, sentence: str) -> None:
        """Say it to somebody who can answer anew, or raise `ConfigError`."""
        if not self._person.is_there:
            raise ConfigError(sentence)
        self._person.say(sentence)

    async def _proved(
        self,
        question: Question,
        *,
        given: str,
        variable: str,
        is_set: bool,
        prove: Callable[[str], Awaitable[T]],
        is_needed: bool = True,
    ) -> tuple[str, T] | None:
        """A secret and what it proved; asked again until it holds. Empty: the environment has it.

        None where it is not needed and nobody gave one.
        """
        secret, is_asked = given.strip(), not given and not is_set
        while True:
            if is_asked:
                secret = (await self._person.ask(question)).strip() or secret
            if is_asked and not secret:
                if not is_needed:
                    return None
                continue
            register_secret(secret)
            try:
                return "" if is_set else secret, await prove(secret)
            except ConfigError as error:
                if is_set:
                    raise ConfigError(f"{error.sentence} It was read from {variable}.") from error
                self._refuse(error.sentence)
                is_asked = True


def _services() -> list[str]:
    """The paid services, the default one first."""
    default = DefaultsTable().providers[0]
    return sorted(parts_of("providers") - {SIMULATOR}, key=lambda each: (each != default, each))


def _balance_words(balance: Micros | None) -> str:
    if balance is None:
        return "The key is good."
    if balance <= 0:
        return "The key is good, but the account has no credits left."
    return f"The key is good, {money(balance)} is left."


def _read_servers(answer: str, known: list[str]) -> tuple[str, ...]:
    """Ids, or numbers of the list; raises `InvalidRequest`."""
    found = []
    for each in answer.replace(",", " ").split():
        if not each.isdecimal():
            raise InvalidRequest(f"{clean(each)!r} is neither a number of the list nor an id.")
        found.append(known[int(each) - 1] if 0 < int(each) <= len(known) else each)
    return tuple(dict.fromkeys(found))


# ---- the file --------------------------------------------------------------------------------

HEAD = "# Written by `raybot init`. config.example.toml explains every key."
LIMITS = {"usd_per_person_per_day": 1.0, "usd_total_per_month": 25.0}


def to_toml(first: FirstConfig) -> str:
    """The file's text; remarks are cleaned, because some are what people call themselves."""
    tables = {"defaults": {}, "access": {}, "operator": {}, "limits": LIMITS, **first.tables}
    blocks = [HEAD]
    for name, table in tables.items():
        lines = [f"[{name}]"]
        for key, value in table.items():
            remark = clean(first.remarks.get(key, ""))
            # A TOML string is written as JSON writes it.
            line = f"{key} = {json.dumps(value, ensure_ascii=False)}"
            lines.append(f"{line}  # {remark}" if remark else line)
        if table or name not in ("access", "operator"):
            blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def refuse_to_overwrite(path: Path) -> None:
    """Raise `InvalidRequest` where there is a file already."""
    if path.exists():
        raise InvalidRequest(f"{path} exists already. --force overwrites it.")


def write(path: Path, text: str) -> None:
    """Write it whole or not at all, for its owner's eyes only; raises `ConfigError`."""
    unfinished = path.with_name(f"{path.name}.new")
    try:
        unfinished.unlink(missing_ok=True)
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        unfinished.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}).") from error
