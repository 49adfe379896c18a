"""The configuration file and the environment, checked once at start. Knows no platform."""

from __future__ import annotations

import copy
import difflib
import importlib.util
import os
import pkgutil
import re
import tomllib
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import (
    BaseModel,
    SecretStr,
    ValidationError,
)

from bot.errors import ConfigError
from bot.tables import (
    AccessTable,
    BotTable,
    Contact,
    DefaultsTable,
    LimitsTable,
    ModerationTable,
    OperatorTable,
    nearest,
)

PREFIX = "RAYBOT_"
MAKE_ONE = (
    "`raybot init` (in a checkout: make init) asks for what is needed and writes one. Or copy "
    "config.example.toml."
)
NOT_SET_UP = f"There is no configuration yet. {MAKE_ONE}"


class Config:
    """The whole configuration: the house's tables, and one for each provider and adapter."""

    def __init__(self, tables: Mapping[str, Any], variables: Mapping[str, str]) -> None:
        self._tables, self._variables = tables, variables
        self.also_told: tuple[Contact, ...] = ()
        self.bot = self.load_table(BotTable, "bot")
        self.access = self.load_table(AccessTable, "access")
        self.operator = self.load_table(OperatorTable, "operator")
        self.defaults = self.load_table(DefaultsTable, "defaults")
        self.limits = self.load_table(LimitsTable, "limits")
        self.moderation = self.load_table(ModerationTable, "moderation")
        _ = self.contacts  # A workspace that is missing is told at once.

    @property
    def operators(self) -> tuple[Contact, ...]:
        """The people who may act for every place."""
        discord = self.operator.discord_user
        own = (Contact(adapter="discord", id=discord),) if discord else ()
        return (*own, *self._at_slack("slack_user"))

    @property
    def contacts(self) -> tuple[Contact, ...]:
        """Who hears what only the operator can mend: a channel where there is one, else people."""
        channels = self._at_slack("slack_channel", is_channel=True)
        served = {each.adapter for each in channels}
        people = (each for each in self.operators if each.adapter not in served)
        return (*people, *channels, *self.also_told)

    def _at_slack(self, key: str, *, is_channel: bool = False) -> tuple[Contact, ...]:
        workspace, _, own = getattr(self.operator, key).rpartition("/")
        if not own:
            return ()
        if not workspace and len(self.access.workspaces) != 1:
            raise ConfigError(
                f"[operator] {key}: say in which workspace, such as T0123/{own}. Only where "
                "[access] names one workspace, it is that one."
            )
        workspace = workspace or self.access.workspaces[0]
        return (Contact(adapter="slack", id=own, workspace=workspace, is_channel=is_channel),)

    @property
    def adapters(self) -> tuple[str, ...]:
        """The adapters that have a table, in the order of the file, or else a variable."""
        return self._named("adapters")

    @property
    def unlisted(self) -> tuple[str, ...]:
        """The services that something is set for, and that [defaults] providers does not name."""
        return tuple(
            each
            for each in self._named("providers")
            if each not in self.defaults.providers and self._values(f"providers.{each}")
        )

    def _named(self, kind: str) -> tuple[str, ...]:
        by_variable = {key.partition("__")[0] for key in self._set(f"{PREFIX}{kind.upper()}__")}
        return tuple(dict.fromkeys((*self._tables.get(kind, {}), *sorted(by_variable))))

    def with_changes(self, changes: Mapping[str, Mapping[str, Any]]) -> Config:
        """A copy with some keys changed, whatever the file and the environment say."""
        changed = copy.copy(self)
        for name, values in changes.items():
            setattr(changed, name, getattr(self, name).model_copy(update=values))
        return changed

    def told_at(self, contact: Contact) -> Config:
        """A copy that tells the operator in one place more."""
        changed = copy.copy(self)
        changed.also_told = (*self.also_told, contact)
        return changed

    def has_key(self, provider: str) -> bool:
        """Whether a provider has what it needs; the simulator needs nothing."""
        table = self._values(f"providers.{provider}")
        return provider == "simulator" or bool(table.get("api_key"))

    @property
    def tables(self) -> Mapping[str, Any]:
        """The file as it was read."""
        return self._tables

    def load_table(self, settings: type[T], path: str) -> T:
        """Read one table, e.g. `providers.luma`; raises `ConfigError` that names the key."""
        values = self._values(path)
        _refuse_unknown(list(values), set(settings.model_fields), path)
        try:
            return settings.model_validate(values)
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False)[0]
            key = ".".join(str(part) for part in problem["loc"])
            reason = problem["msg"].removeprefix("Value error, ")
            end = "" if reason.endswith((".", "?")) else "."
            where = f"[{path}] {key}:" if key else f"[{path}]"
            raise ConfigError(f"{where} {reason}{end}") from None

    def _values(self, path: str) -> dict[str, Any]:
        table: Any = self._tables
        for part in path.split("."):
            table = table.get(part, {})
        return {**table, **self._set(PREFIX + path.replace(".", "__").upper() + "__")}

    def _set(self, prefix: str) -> dict[str, str]:
        """Texts as they are: the settings turn them into numbers and lists, secrets stay text."""
        return {
            name.upper().removeprefix(prefix).lower(): value
            for name, value in self._variables.items()
            if name.upper().startswith(prefix) and value
        }


T = TypeVar("T", bound=BaseModel)
HOUSE = ("bot", "access", "operator", "defaults", "limits", "moderation")
#: Tables that hold one table for each part of a kind.
OPEN_ENDED = {"providers": "provider", "adapters": "adapter"}
#: What lies in the folder of the adapters and is none.
SHARED = frozenset(
    {
        "admin_text",
        "opinions",
        "own_place",
        "command_text",
        "drafts",
        "follow_ups",
        "login",
        "names",
        "near_words",
        "statuses",
        "typed_frames",
        "verbs",
        "work_text",
    }
)


def _refuse_unknown(keys: list[str], known: set[str], path: str) -> None:
    for key in keys:
        if key not in known:
            raise ConfigError(f"[{path}] has no key {key!r}.{nearest(key, known)}")


def _refuse_unknown_variables(variables: Collection[str]) -> None:
    known = {*HOUSE, *OPEN_ENDED}
    for name in variables:
        if not name.upper().startswith(PREFIX):
            continue
        parts = name.upper().removeprefix(PREFIX).lower().split("__")
        if parts[0] not in known or len(parts) != (3 if parts[0] in OPEN_ENDED else 2):
            near = difflib.get_close_matches(parts[0], known, n=1)
            hint = f" Did you mean {PREFIX}{near[0].upper()}__…?" if near else ""
            raise ConfigError(f"The environment variable {name} is not known.{hint}")
        if parts[0] in OPEN_ENDED:
            refuse_unknown_part(parts[0], parts[1], name)


def refuse_unknown_part(kind: str, name: str, where: str = "") -> None:
    """Raise `ConfigError`, with those there are, where there is no such provider or adapter."""
    known = parts_of(kind)
    if name not in known:
        there = f"{where}: there" if where else "There"
        hint = nearest(name, known) or f" There are {', '.join(sorted(known))}."
        raise ConfigError(f"{there} is no {OPEN_ENDED[kind]} {name!r}.{hint}")


@cache
def parts_of(kind: str) -> frozenset[str]:
    """The `providers` or `adapters` there are: what their folder holds, and the simulator."""
    if kind == "providers":
        found = pkgutil.iter_modules([str(Path(__file__).parent / kind)])
        return frozenset({"simulator", *(each.name for each in found)})
    package = importlib.util.find_spec(kind)
    places = package.submodule_search_locations if package is not None else None
    return frozenset(each.name for each in pkgutil.iter_modules(places or [])) - SHARED


def refuse_unsendable(table: BaseModel, path: str) -> None:
    """Raise `ConfigError` that names the secret which no header of HTTP can carry."""
    for key, value in table:
        if isinstance(value, SecretStr) and not _SENDABLE.fullmatch(value.get_secret_value()):
            raise ConfigError(
                f"[{path}] {key}: a character in it can be in no key, such as an ellipsis (…). "
                "Copy the whole key again."
            )


#: Blanks around it are taken off elsewhere.
_SENDABLE = re.compile(r"\s*[\x20-\x7e]*\s*", re.ASCII)


def load_config(path: Path | None = None) -> Config:
    """Read `config.toml` (optional) and the environment; raises `ConfigError`."""
    tables: dict[str, Any] = {}
    if path is not None:
        try:
            tables = tomllib.loads(path.read_text("utf-8-sig"))
        except FileNotFoundError:
            raise ConfigError(f"There is no configuration at {path}. {MAKE_ONE}") from None
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path} cannot be read: save it as UTF-8.") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path} cannot be read: {error}.") from error
    return to_config(tables)


def to_config(tables: dict[str, Any], variables: Mapping[str, str] = os.environ) -> Config:
    """Check tables that are already parsed; the environment, or what is given, wins over them."""
    _refuse_unknown(list(tables), {*HOUSE, *OPEN_ENDED}, "top level")
    for name, table in tables.items():
        inner = table.values() if name in OPEN_ENDED and isinstance(table, dict) else [table]
        if not isinstance(table, dict) or not all(isinstance(each, dict) for each in inner):
            raise ConfigError(f"{name!r} must be a table, written [{name}].")
        for part in table if name in OPEN_ENDED else ():
            refuse_unknown_part(name, part, f"[{name}.{part}]")
    _refuse_unknown_variables(variables)
    return Config(tables, variables)
