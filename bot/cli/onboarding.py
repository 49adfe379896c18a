"""`raybot init`: asks for what a first configuration needs, proves it live, and writes it down.

Knows the video services and the file; `chats` knows what each chat platform has to be asked.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.cli.chats import Joining, config_of
from bot.cli.prompts import Given, Person, Question, proved, refuse
from bot.clock import SystemClock
from bot.config import parts_of
from bot.errors import (
    ConfigError,
    InvalidRequest,
    ProviderError,
    ProviderOutOfCredits,
    ProviderUnavailable,
)
from bot.ports import Introduction
from bot.refs import Micros, money
from bot.store.replace_file import is_there
from bot.tables import DefaultsTable, nearest
from bot.wiring.supply import SIMULATOR, open_provider
from bot.words import clean

ANSWER_WITHIN = 15.0


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
        joined = await Joining(self._given, self._person, seconds=self._seconds).run()
        return FirstConfig(
            tables={**self._tables, **joined.tables},
            remarks={**self._remarks, **joined.remarks},
            bot=joined.bot,
        )

    # ---- the video service ---------------------------------------------------------------

    async def _choose_service(self) -> None:
        name = await self._service()
        self._tables["defaults"] = {"providers": [name]}
        if name == SIMULATOR:
            self._remarks["providers"] = "clips are marked TEST, nothing is charged"
            return

        async def prove(key: str) -> None:
            self._person.say(await self._prove_key(name, key))

        key = await proved(
            self._person,
            Question(text=f"Your key for {name}", flag="--key", is_secret=True),
            given=self._given.key,
            variable=f"RAYBOT_PROVIDERS__{name.upper()}__API_KEY",
            is_set=config_of().has_key(name),
            prove=prove,
        )
        self._tables[f"providers.{name}"] = {"api_key": key[0]} if key and key[0] else {}

    async def _service(self) -> str:
        """Which one; a key alone means the one that is the default everywhere."""
        known = [each for each in _services() if self._is_set_up_by_key(each)]
        name = self._given.provider
        if not name and (self._given.key or config_of().has_key(known[0])):
            return known[0]
        choice = f"{' or '.join(known)} (paid), or {SIMULATOR} (free, clips marked TEST)"
        question = Question(text=f"Video service: {choice}", flag="--provider", default=known[0])
        while True:
            name = name or (await self._person.ask(question)).strip().lower()
            if name in (*known, SIMULATOR):
                return name
            there = parts_of("providers")
            hint = nearest(name, there) or f" There are {', '.join(sorted(there))}."
            said = f"There is no video service {clean(name)!r}.{hint}"
            if name in _services():
                said = f"{name} wants more than a key: config.example.toml says what."
            refuse(self._person, said)
            name = ""

    def _is_set_up_by_key(self, name: str) -> bool:
        """Whether a service wants nothing of its operator but a key."""
        settings = importlib.import_module(f"bot.providers.{name}").Settings
        try:
            config_of(providers={name: {"api_key": "any"}}).load_table(
                settings, f"providers.{name}"
            )
        except ConfigError:
            return False
        return True

    async def _prove_key(self, name: str, key: str) -> str:
        """Ask for the balance, which a wrong key does not answer; raises `ConfigError`."""
        table = {"api_key": key} if key else {}
        opened = open_provider(config_of(providers={name: table}), name, clock=SystemClock())
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
    if is_there(path):
        raise InvalidRequest(f"{path} exists already. --force overwrites it.")


def write(path: Path, text: str) -> None:
    """Write it whole or not at all, for its owner's eyes only; raises `ConfigError`."""
    try:
        if path.is_dir():
            raise ConfigError(f"{path} is a folder. Name a file in it.")
        unfinished = path.with_name(f"{path.name}.new")
        unfinished.unlink(missing_ok=True)
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        unfinished.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}).") from error
