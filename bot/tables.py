"""The house's own tables of the configuration, and the values that all tables are made of."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    model_validator,
)

from bot.refs import Frozen, Micros, ThreadRef
from bot.request import DEFAULT_MODEL, AspectRatio, Duration, Requester, Resolution, Style
from bot.wordlist import MAX_ENTRIES, check_pattern, check_word

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


def _web_address(value: str, *, example: str) -> str:
    if value and not re.match(r"https?://[^/\s]", value):
        meant = "" if "://" in value else f" Did you mean 'https://{value}'?"
        raise ValueError(f"{value!r} is no address; it looks like {example}.{meant}")
    return value


SlackUser = Annotated[str, AfterValidator(partial(_of_slack, kinds="UW", example="U0456"))]
PublicAddress = Annotated[
    str, AfterValidator(partial(_web_address, example="https://video.example.org"))
]
HookAddress = Annotated[
    str, AfterValidator(partial(_web_address, example="https://example.org/check"))
]
SlackChannel = Annotated[str, AfterValidator(partial(_of_slack, kinds="CG", example="C0789"))]


class BotTable(Frozen):
    """`[bot]`: where things are kept and which listeners are open."""

    data_dir: Path = Path("data")
    database_url: str = ""
    media_url: str = ""
    single_host: bool = False
    secret_key: SecretStr | None = None
    public_url: PublicAddress = ""
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
    hook_url: HookAddress = ""
    hook_secret: SecretStr | None = None
    hook_timeout_seconds: float = Field(default=3.0, gt=0, le=30)
    hook_fails: Literal["closed", "open"] = "closed"
    remix: Literal["anyone", "own"] = "anyone"

    @model_validator(mode="after")
    def _can_sign(self) -> ModerationTable:
        secret = self.hook_secret.get_secret_value() if self.hook_secret else ""
        if self.hook_url and len(secret) < HOOK_SECRET_CHARS:
            raise ValueError(
                f"hook_url needs a hook_secret of at least {HOOK_SECRET_CHARS} characters"
            )
        return self


def nearest(name: str, known: Collection[str]) -> str:
    """The hint that names what was probably meant, if anything is near."""
    near = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
