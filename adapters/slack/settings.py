"""`[adapters.slack]`: its keys, and which of them have to be there together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from bot.errors import ConfigError
from bot.log import register_secret
from bot.refs import Frozen

API = "https://slack.com/api/"
#: Where Slack keeps files; the bot's token is shown to no other host.
FILE_HOSTS = ("files.slack.com", "files.slack-gov.com")
Mode = Literal["socket", "http"]
Names = Annotated[tuple[str, ...], BeforeValidator(lambda value: _split(value))]


def _split(value: object) -> object:
    return value.replace(",", " ").split() if isinstance(value, str) else value


def _slash(address: str) -> str:
    return f"{address.rstrip('/')}/" if address else API


def _beginning(start: str, where: str) -> Callable[[SecretStr | None], SecretStr | None]:
    """A token that begins so; people mix up the three that Slack shows them."""

    def look(token: SecretStr | None) -> SecretStr | None:
        if (text := secret(token)) and not text.startswith(start):
            raise ValueError(f"this is another kind of token. It begins with {start}; see {where}")
        return token

    return look


BotToken = Annotated[
    SecretStr | None, AfterValidator(_beginning("xoxb-", "OAuth & Permissions in the app's pages"))
]
AppToken = Annotated[
    SecretStr | None,
    AfterValidator(_beginning("xapp-", "Basic Information > App-Level Tokens in the app's pages")),
]


class Settings(Frozen):
    """`[adapters.slack]`: how Slack reaches us, and the tokens. Sizes are bytes.

    `bot_token` is of one workspace. With `client_id` and `client_secret` instead, and only over
    HTTP, every workspace that installs the bot has its own.
    """

    can_host: ClassVar[bool] = False  # Slack's files need a token.
    tells_member_since: ClassVar[bool] = False
    mode: Mode = "socket"
    bot_token: BotToken = None
    app_token: AppToken = None
    signing_secret: SecretStr | None = None
    client_id: str = ""
    client_secret: SecretStr | None = None
    api_base_url: Annotated[str, AfterValidator(_slash)] = API
    authorize_url: str = ""
    file_hosts: Names = FILE_HOSTS
    command: str = Field("/ray", pattern=r"^/[a-z0-9_-]{1,31}$")
    admins: Names = ()
    connections: int = Field(2, ge=1, le=10)
    upload_limit_bytes: int = Field(100_000_000, ge=1_000_000)

    @property
    def has_account(self) -> bool:
        """Whether there is a token of a workspace."""
        return bool(secret(self.bot_token))

    @property
    def has_installations(self) -> bool:
        """Whether workspaces install the bot by themselves."""
        return bool(self.client_id.strip() or secret(self.client_secret))


def secret(value: SecretStr | None) -> str:
    """A secret as Slack takes it, empty where there is none; no log shows it from now on."""
    text = value.get_secret_value().strip() if value is not None else ""
    if text:
        register_secret(text)
    return text


def refuse_unusable(settings: Settings) -> None:
    """Raise `ConfigError` where something is missing that the others need."""
    if settings.has_installations:
        _refuse_installations(settings)
    elif not settings.has_account:
        raise _missing(
            "bot_token", "`raybot invite slack` says how to make an app, which gives you one"
        )
    if settings.mode == "socket" and not secret(settings.app_token):
        raise _missing(
            "app_token",
            "make one under Basic Information > App-Level Tokens in the app's pages, with the "
            "scope connections:write",
        )
    if settings.mode == "http" and not secret(settings.signing_secret):
        raise _missing(
            "signing_secret", "it stands under Basic Information > App Credentials of your app"
        )


def _refuse_installations(settings: Settings) -> None:
    for key, has in (
        ("client_id", settings.client_id.strip()),
        ("client_secret", secret(settings.client_secret)),
    ):
        if not has:
            raise _missing(key, "client_id and client_secret belong together")
    if settings.has_account:
        raise ConfigError(
            "[adapters.slack] bot_token: with client_id each workspace brings its own token. Take "
            "bot_token away, or client_id and client_secret."
        )
    if settings.mode != "http":
        raise ConfigError(
            "[adapters.slack] mode: workspaces can install the bot over HTTP only. Set mode = "
            '"http" and [bot] public_url, or use the bot_token of one workspace.'
        )


def _missing(key: str, cure: str) -> ConfigError:
    return ConfigError(
        f"[adapters.slack] {key}: missing; {cure}. Set RAYBOT_ADAPTERS__SLACK__{key.upper()}."
    )


def refuse_address(public_url: str) -> None:
    """Raise `ConfigError` where Slack cannot call us, which it does at https addresses only."""
    if not public_url:
        raise ConfigError(
            '[bot] public_url: missing. With mode = "http" Slack calls Raybot there; '
            'mode = "socket" needs no address.'
        )
    if not public_url.startswith("https://"):
        raise ConfigError("[bot] public_url: Slack calls only addresses that begin with https://.")
