"""The configuration file and the environment, checked once at start. Knows no platform."""

from __future__ import annotations

import copy
import difflib
import importlib.util
import json
import os
import pkgutil
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from bot.errors import ConfigError
from bot.refs import Frozen, Micros, ThreadRef
from bot.request import DEFAULT_MODEL, AspectRatio, Duration, Requester, Resolution, Style
from bot.wordlist import MAX_ENTRIES, check_pattern, check_word

PREFIX = "RAYBOT_"
#: The workspace of a person whose ids are of none.
OPERATOR = "operator"
HOOK_SECRET_CHARS = 16
Names = Annotated[tuple[str, ...], BeforeValidator(lambda value: _split(value))]
#: Entries that may hold commas; the environment gives them one a line.
Lines = Annotated[tuple[str, ...], BeforeValidator(lambda value: _split(value, "\n"))]
Resolutions = Annotated[tuple[Resolution, ...], BeforeValidator(lambda value: _split(value))]
AspectRatios = Annotated[tuple[AspectRatio, ...], BeforeValidator(lambda value: _split(value))]
Durations = Annotated[tuple[Duration, ...], BeforeValidator(lambda value: _split(value))]
Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _split(value: object, mark: str = ",") -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split(mark) if part.strip()]
    return value


def _unpack(value: object) -> object:
    """Tables as the environment has them: one text of JSON."""
    return json.loads(value) if isinstance(value, str) else value


def micros(dollars: float) -> Micros:
    """Dollars of the configuration as the ledger's micro-dollars."""
    return Micros(round(dollars * 1_000_000))


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; use a name such as 'Europe/Berlin'") from None
    return name


def _of_slack(value: str, *, kinds: str, example: str) -> str:
    if value and not re.fullmatch(rf"(?:[TE][A-Z0-9]+/)?[{kinds}][A-Z0-9]+", value):
        raise ValueError(f"{value!r} is no id; they look like {example}, or T0123/{example}")
    return value


SlackUser = Annotated[str, AfterValidator(partial(_of_slack, kinds="UW", example="U0456"))]
SlackChannel = Annotated[str, AfterValidator(partial(_of_slack, kinds="CG", example="C0789"))]


class BotTable(Frozen):
    """`[bot]`: where things are kept and which doors are open."""

    data_dir: Path = Path("data")
    database_url: str = ""
    media_url: str = ""
    single_host: bool = False
    secret_key: SecretStr | None = None
    public_url: str = ""
    public_host: str = "127.0.0.1"
    public_port: int = Field(8080, ge=0, le=65535)
    private_host: str = "127.0.0.1"
    private_port: int = Field(8081, ge=0, le=65535)
    trusted_proxies: Names = ()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    clip_retention_days: int = Field(30, ge=1)
    upload_retention_days: int = Field(180, ge=1)
    prompt_retention_days: int = Field(365, ge=1)
    frame_retention_hours: int = Field(24, ge=1)
    shutdown_grace_seconds: float = Field(65.0, ge=0)
    min_free_bytes: int = Field(200_000_000, ge=0)


class AccessTable(Frozen):
    """`[access]`: only these places are served."""

    servers: Names = ()
    workspaces: Names = ()
    direct_messages: bool = False
    user_installs: bool = False


class OperatorTable(Frozen):
    """`[operator]`: who hears what only the operator can mend."""

    discord_user: str = ""
    slack_user: SlackUser = ""
    slack_channel: SlackChannel = ""


@dataclass(frozen=True, kw_only=True)
class Contact:
    """A person or a channel at a chat platform, in `workspace` where ids are of one only."""

    adapter: str
    id: str
    workspace: str = ""
    is_channel: bool = False

    @property
    def identity(self) -> str:
        """Who that is, e.g. `discord:123` or `slack:T0123:U0456`."""
        return ":".join(part for part in (self.adapter, self.workspace, self.id) if part)

    @property
    def address(self) -> ThreadRef | Requester:
        """The channel, or the person to be written to directly."""
        name, workspace = self.adapter, self.workspace or OPERATOR
        if self.is_channel:
            return ThreadRef(adapter=name, workspace=workspace, channel=self.id)
        return Requester(adapter=name, workspace=workspace, user=self.id)


class DefaultsTable(Frozen):
    """`[defaults]`: the providers in order, and what holds where a person gives no value."""

    providers: Names = ("luma", "fal", "replicate")
    model: str = DEFAULT_MODEL
    aspect_ratio: AspectRatio = "1:1"
    resolution: Resolution = "540p"
    duration: Duration = "5s"
    loop: bool = False
    concepts: Names = ()
    prefix: Style = ""
    suffix: Style = ""


class PersonLimits(Frozen):
    """How much one person may have. None: nothing is said about it."""

    running_per_person: int | None = Field(None, ge=1)
    clips_per_person_per_day: int | None = Field(None, ge=0)
    clips_per_person_per_month: int | None = Field(None, ge=0)
    usd_per_person_per_day: Dollars | None = None
    usd_per_person_per_month: Dollars | None = None


class RoleLimits(PersonLimits):
    """`[[limits.roles]]`: what people with a role have instead of what everybody has."""

    role: Annotated[str, Field(min_length=1, coerce_numbers_to_str=True)]
    adapter: str = ""
    models: Names = ()
    resolutions: Resolutions = ()

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, values: object) -> object:
        known = set(cls.model_fields)
        for key in values if isinstance(values, dict) else ():
            if key not in known:
                raise ValueError(f"there is no key {key!r}.{nearest(key, known)}")
        return values

    def holds_for(self, adapter: str, roles: Collection[str]) -> bool:
        """Whether somebody who has these roles there has this one."""
        return self.role in roles and self.adapter in ("", adapter)


class LimitsTable(PersonLimits):
    """`[limits]`: how much of everything. None: no limit of this kind."""

    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    usd_per_person_per_day: Dollars | None = 1.0
    clips_per_guest_per_day: int | None = Field(None, ge=0)
    usd_per_guest_per_day: Dollars | None = None
    running_per_channel: int | None = Field(None, ge=1)
    clips_per_channel_per_day: int | None = Field(None, ge=0)
    clips_per_channel_per_month: int | None = Field(None, ge=0)
    usd_per_channel_per_day: Dollars | None = None
    usd_per_channel_per_month: Dollars | None = None
    running_per_tenant: int | None = Field(None, ge=1)
    clips_per_tenant_per_day: int | None = Field(None, ge=0)
    clips_per_tenant_per_month: int | None = Field(None, ge=0)
    usd_per_tenant_per_day: Dollars | None = None
    usd_per_tenant_per_month: Dollars | None = None
    usd_total_per_month: Dollars | None = 25.0
    confirm_above_usd: Dollars | None = 1.0
    min_member_days: int = Field(0, ge=0)
    models: Names = ()
    resolutions: Resolutions = ("360p", "540p", "720p", "1080p")
    roles: Annotated[tuple[RoleLimits, ...], BeforeValidator(lambda value: _unpack(value))] = (
        Field(default_factory=tuple)
    )


def _words(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(check_word(word) for word in words)


def _patterns(patterns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(check_pattern(pattern) for pattern in patterns)


def _web_address(value: str) -> str:
    if value and not re.match(r"https?://[^/]", value):
        raise ValueError(f"{value!r} is no address; it looks like https://example.org/check")
    return value


class ModerationTable(Frozen):
    """`[moderation]`: what may be asked, and where; places decide the lower half for themselves.

    `hook_fails` is what holds while the hook gives no answer: closed refuses, open lets through.
    """

    blocked_words: Annotated[Names, Field(max_length=MAX_ENTRIES), AfterValidator(_words)] = ()
    blocked_patterns: Annotated[
        Lines, Field(max_length=MAX_ENTRIES), AfterValidator(_patterns)
    ] = ()
    allow_in_channels: Names = ()
    require_age_restricted: bool = False
    hook_url: Annotated[str, AfterValidator(_web_address)] = ""
    hook_secret: SecretStr | None = None
    hook_timeout_seconds: float = Field(default=3.0, gt=0, le=30)
    hook_fails: Literal["closed", "open"] = "closed"
    remix: Literal["anyone", "own"] = "anyone"
    animate_others: Literal["anyone", "own", "ask"] = "anyone"
    review: Literal["off", "before_post"] = "off"
    rules: str = Field(default="", max_length=1500)

    @model_validator(mode="after")
    def _can_sign(self) -> ModerationTable:
        secret = self.hook_secret.get_secret_value() if self.hook_secret else ""
        if self.hook_url and len(secret) < HOOK_SECRET_CHARS:
            raise ValueError(
                f"hook_url needs a hook_secret of at least {HOOK_SECRET_CHARS} characters"
            )
        return self


#: What can be set for what is still to come, and does nothing yet: a table and its keys.
AHEAD = {"bot": ("single_host",)}


class Config:
    """The whole configuration: the house's tables, and one for each provider and adapter."""

    def __init__(self, tables: Mapping[str, Any]) -> None:
        self._tables = tables
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
        return (*(each for each in self.operators if each.adapter not in served), *channels)

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
        """The adapters that have a table, in the order of the file."""
        return tuple(self._tables.get("adapters", {}))

    def with_changes(self, changes: Mapping[str, Mapping[str, Any]]) -> Config:
        """The same with some keys changed, whatever the file and the environment say."""
        changed = copy.copy(self)
        for name, values in changes.items():
            setattr(changed, name, getattr(self, name).model_copy(update=values))
        return changed

    def has_key(self, provider: str) -> bool:
        """Whether a provider has what it needs; the simulator needs nothing."""
        name = f"{PREFIX}PROVIDERS__{provider.upper()}__API_KEY"
        table = self._tables.get("providers", {}).get(provider, {})
        return provider == "simulator" or bool(table.get("api_key") or os.environ.get(name))

    @property
    def without_effect(self) -> tuple[str, ...]:
        """The keys that were set, as `[table] key`, although nothing looks at them yet."""
        return tuple(
            f"[{name}] {key}"
            for name, keys in AHEAD.items()
            for key in keys
            if getattr(getattr(self, name), key)
            != type(getattr(self, name)).model_fields[key].default
        )

    @property
    def tables(self) -> Mapping[str, Any]:
        """The file as it was read."""
        return self._tables

    def load_table(self, settings: type[T], path: str) -> T:
        """Read one table, e.g. `providers.luma`; raises `ConfigError` that names the key."""
        table: Any = self._tables
        for part in path.split("."):
            table = table.get(part, {})
        values = {**table, **_environment(PREFIX + path.replace(".", "__").upper() + "__")}
        _refuse_unknown(list(values), set(settings.model_fields), path)
        try:
            return settings.model_validate(values)
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False)[0]
            key = ".".join(str(part) for part in problem["loc"])
            reason = problem["msg"].removeprefix("Value error, ")
            raise ConfigError(f"[{path}] {key}: {reason}.") from None


T = TypeVar("T", bound=BaseModel)
HOUSE = ("bot", "access", "operator", "defaults", "limits", "moderation")
#: Tables that hold one table for each part of a kind.
OPEN_ENDED = {"providers": "provider", "adapters": "adapter"}
#: What lies in the folder of the adapters and is none.
SHARED = frozenset(
    {"command_text", "drafts", "follow_ups", "statuses", "typed_frames", "verbs", "work_text"}
)


def _environment(prefix: str) -> dict[str, str]:
    """Texts as they are: the settings turn them into numbers and lists, secrets stay text."""
    return {
        name.upper().removeprefix(prefix).lower(): value
        for name, value in os.environ.items()
        if name.upper().startswith(prefix) and value
    }


def _refuse_unknown(keys: list[str], known: set[str], path: str) -> None:
    for key in keys:
        if key not in known:
            raise ConfigError(f"[{path}] has no key {key!r}.{nearest(key, known)}")


def _refuse_unknown_environment() -> None:
    known = {*HOUSE, *OPEN_ENDED}
    for name in os.environ:
        if not name.upper().startswith(PREFIX):
            continue
        parts = name.upper().removeprefix(PREFIX).lower().split("__")
        if parts[0] not in known or len(parts) != (3 if parts[0] in OPEN_ENDED else 2):
            near = difflib.get_close_matches(parts[0], known, n=1)
            hint = f" Did you mean {PREFIX}{near[0].upper()}__…?" if near else ""
            raise ConfigError(f"The environment variable {name} is not known.{hint}")
        if parts[0] in OPEN_ENDED:
            _refuse_unknown_part(parts[0], parts[1], name)


def _refuse_unknown_part(kind: str, name: str, where: str) -> None:
    known = parts_of(kind)
    if name not in known:
        hint = nearest(name, known)
        raise ConfigError(f"{where}: there is no {OPEN_ENDED[kind]} {name!r}.{hint}")


@cache
def parts_of(kind: str) -> frozenset[str]:
    """The `providers` or `adapters` there are: what their folder holds, and the simulator."""
    if kind == "providers":
        found = pkgutil.iter_modules([str(Path(__file__).parent / kind)])
        return frozenset({"simulator", *(each.name for each in found)})
    package = importlib.util.find_spec(kind)
    places = package.submodule_search_locations if package is not None else None
    return frozenset(each.name for each in pkgutil.iter_modules(places or [])) - SHARED


def nearest(name: str, known: Collection[str]) -> str:
    """The hint that names what was probably meant, if anything is near."""
    near = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def load_config(path: Path | None = None) -> Config:
    """Read `config.toml` (optional) and the environment; raises `ConfigError`."""
    tables: dict[str, Any] = {}
    if path is not None:
        try:
            tables = tomllib.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            raise ConfigError(
                f"There is no configuration at {path}. Copy config.example.toml there."
            ) from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path} cannot be read: {error}.") from error
    return to_config(tables)


def to_config(tables: dict[str, Any]) -> Config:
    """Check tables that are already parsed; the environment wins over them."""
    _refuse_unknown(list(tables), {*HOUSE, *OPEN_ENDED}, "top level")
    for name, table in tables.items():
        inner = table.values() if name in OPEN_ENDED and isinstance(table, dict) else [table]
        if not isinstance(table, dict) or not all(isinstance(each, dict) for each in inner):
            raise ConfigError(f"{name!r} must be a table, written [{name}].")
        for part in table if name in OPEN_ENDED else ():
            _refuse_unknown_part(name, part, f"[{name}.{part}]")
    _refuse_unknown_environment()
    return Config(tables)
