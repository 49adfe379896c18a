"""What whoever sets the bot up must know: its tokens, its scopes, its workspace and channels.

Asks Slack and changes nothing there. A session that starts asks the same of its token.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from adapters.slack.addresses import Account
from adapters.slack.manifest import EVENTS_PATH, INSTALL_PATH, OPTIONAL, manifest, to_link
from adapters.slack.proof import Line, Met, lacking, line_of, meet, refuse_other_app
from adapters.slack.settings import Settings, refuse_address, refuse_unusable, secret
from bot.errors import BotError, ConfigError
from bot.log import get_logger
from bot.ports import Finding, Introduction
from bot.text import clean

log = get_logger(__name__)
#: A time after the last message there will ever be, so that nobody's words are read.
NEVER = "9999999999.000000"
NOBODY = (
    "no workspace is served. Name yours in [access] workspaces, or approve it where the bot asks "
    "you to"
)
#: Why the bot is not in a channel, by Slack's word for it.
UNSEEN = {
    "not_in_channel": "has not got the bot in it",
    "channel_not_found": "is gone, or private and without the bot",
}


# ---- the tokens ------------------------------------------------------------------------------


async def prove(settings: Settings, *, seconds: float) -> Account:
    """Who we are in the workspace of the tokens; raises `ConfigError` and `DeliveryUnavailable`.

    In Socket Mode both tokens have to hold.
    """
    refuse_unusable(settings)
    account = (await _prove_given(settings, seconds=seconds)).account
    if missing := lacking(account):
        log.warning("slack.scopes_missing", scopes=missing, hint=_cure(missing))
    return account


async def _prove_given(settings: Settings, *, seconds: float) -> Met:
    """The same with the tokens that there are so far; the bot's must be one of them."""
    async with line_of(settings, secret(settings.bot_token), seconds=seconds) as line:
        met = await meet(line)
        if settings.mode == "socket" and secret(settings.app_token):
            await _open_socket(settings, await line.app_of(met.account.bot_id), seconds=seconds)
    return met


async def _open_socket(settings: Settings, app: str, *, seconds: float) -> None:
    """Ask for the address of a socket, which proves the app's token; nobody connects there."""
    refuse_other_app(secret(settings.app_token), app)
    async with line_of(settings, secret(settings.app_token), seconds=seconds) as line:
        await line.ask("app_token", "apps.connections.open")


def _cure(missing: Collection[str]) -> str:
    return (
        f"add {', '.join(missing)} under OAuth & Permissions > Bot Token Scopes in the app's "
        "pages (or paste what `raybot manifest slack` prints under App Manifest), and reinstall it"
    )


# ---- the invitation --------------------------------------------------------------------------


async def introduce(settings: Settings, *, seconds: float) -> Introduction:
    """Who the bot is and where; raises `ConfigError` and `DeliveryUnavailable`."""
    if settings.has_installations:
        raise ConfigError(
            "[adapters.slack] client_id: each workspace brings its own token, so there is none to "
            "look at. Take client_id and client_secret away to use the bot_token of one workspace."
        )
    met = await _prove_given(settings, seconds=seconds)
    account = met.account
    return Introduction(
        name=f"@{met.called}",
        owner="",
        owner_name="",
        places={account.workspace: account.name or account.workspace},
        invitation=draw_invitation(met.called),
    )


def draw_invitation(called: str) -> str:
    """How the bot comes into a channel."""
    return "\n".join(
        (
            "The bot can post where it was invited. In each channel that shall have clips, type",
            f"  /invite @{called}",
        )
    )


def draw_steps(settings: Settings, *, public_url: str) -> str:
    """From nothing to the tokens: a link that makes the app, and where they are shown."""
    link = to_link(manifest(settings.mode, public_url=public_url, command=settings.command))
    keys = (
        "Basic Information > App-Level Tokens > Generate: add the scope connections:write, and "
        "copy the token (xapp-…)."
        if settings.mode == "socket"
        else "Basic Information > App Credentials: copy the Signing Secret."
    )
    return "\n".join(
        (
            "To make an app of your own at Slack:",
            "1. Open this link, choose your workspace, and press Next and Create:",
            f"   {link}",
            "2. Install App > Install. Copy the Bot User OAuth Token (xoxb-…).",
            f"3. {keys}",
        )
    )


def draw_page(public_url: str) -> str:
    """Where workspaces install the bot by themselves; raises `ConfigError`."""
    refuse_address(public_url)
    return "\n".join(
        (
            "Whoever may install apps in a workspace opens",
            f"  {public_url.rstrip('/')}{INSTALL_PATH}",
            "For workspaces other than the app's own, first activate Manage Distribution in the "
            "app's pages. A workspace is served once it is in [access] workspaces, or approved.",
        )
    )


async def install(settings: Settings, *, public_url: str, seconds: float) -> str:
    """How to add the bot; raises `ConfigError` and `DeliveryUnavailable`."""
    if settings.has_installations:
        refuse_unusable(settings)
        return draw_page(public_url)
    if settings.has_account:
        return (await introduce(settings, seconds=seconds)).invitation
    return draw_steps(settings, public_url=public_url)


# ---- the check -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Desired:
    """The served workspaces, each with its allowed channels (none: all), and our address."""

    served: Mapping[str, Collection[str]]
    public_url: str
    seconds: float


async def check(settings: Settings, desired: Desired) -> list[Finding]:
    """Every finding about the tokens, their scopes, the workspace and its allowed channels."""
    refuse_unusable(settings)
    findings = [*_look_at_address(settings, desired)]
    if settings.has_installations:
        return [*findings, *_look_at_installations(desired)]
    found, app = await _look_at_bot(settings, desired)
    if settings.mode == "socket":
        found.append(await _look_at_socket(settings, app, desired))
    return findings + found


def _well(sentence: str) -> Finding:
    return Finding(is_well=True, sentence=f"slack: {sentence}")


def _amiss(sentence: str) -> Finding:
    return Finding(is_well=False, sentence=f"slack: {sentence}")


def _look_at_address(settings: Settings, desired: Desired) -> Iterator[Finding]:
    if settings.mode != "http":
        return
    try:
        refuse_address(desired.public_url)
    except ConfigError as error:
        yield _amiss(error.sentence)
        return
    address = f"{desired.public_url.rstrip('/')}{EVENTS_PATH}"
    yield _well(f"Slack calls {address}, if the app's manifest says so (`raybot manifest slack`)")


def _look_at_installations(desired: Desired) -> Iterator[Finding]:
    yield _well(
        "each workspace brings its own token; the log says what it may not do, when it comes and "
        "after each start"
    )
    if not desired.served:
        yield _amiss(NOBODY)


async def _look_at_bot(settings: Settings, desired: Desired) -> tuple[list[Finding], str]:
    """The findings, and the app of the bot as far as Slack says."""
    async with line_of(settings, secret(settings.bot_token), seconds=desired.seconds) as line:
        try:
            met = await meet(line)
            app = await line.app_of(met.account.bot_id)
        except BotError as error:
            return [_amiss(error.sentence)], ""
        findings = [
            *_look_at_scopes(met),
            *_look_at_workspace(met.account, desired),
            *await _look_at_channels(line, met, desired),
        ]
        return findings, app


async def _look_at_socket(settings: Settings, app: str, desired: Desired) -> Finding:
    try:
        await _open_socket(settings, app, seconds=desired.seconds)
    except BotError as error:
        return _amiss(error.sentence)
    return _well("the app's token is good, so Slack can be listened to")


def _look_at_scopes(met: Met) -> Iterator[Finding]:
    account = met.account
    yield _well(
        f"the bot's token is good, this is @{met.called} in {account.name} ({account.workspace})"
    )
    if missing := lacking(account):
        yield _amiss(f"the bot's token lacks {', '.join(missing)}: {_cure(missing)}")
    elif not account.scopes:
        yield _well("what the bot's token may do is not looked at, as Slack did not say")
    elif left_out := [each for each in OPTIONAL if each not in account.scopes]:
        yield _well(
            f"{', '.join(left_out)} is left out, so mentions in private channels see no images of "
            "their thread"
        )


def _look_at_workspace(account: Account, desired: Desired) -> Iterator[Finding]:
    ours = f"{account.name} ({account.workspace})"
    if account.workspace not in desired.served:
        yield _amiss(
            NOBODY
            if not desired.served
            else f"{ours} is not served, but the bot's token is of it. Put "
            f'"{account.workspace}" into [access] workspaces'
        )
    for other in desired.served:
        if other != account.workspace:
            yield _amiss(
                f"[access] workspaces: {clean(other)} is served, but the bot's token is of {ours}"
            )


async def _look_at_channels(line: Line, met: Met, desired: Desired) -> list[Finding]:
    """Whether the bot is in each allowed channel; of which there are more, nobody tells us."""
    name, findings, fine = met.account.name, [], 0
    for channel in desired.served.get(met.account.workspace, ()):
        try:
            code = await line.refusal(
                "conversations.history", channel=channel, oldest=NEVER, limit="1"
            )
        except BotError as error:
            findings.append(_amiss(f"{name}, channel {clean(channel)}: {error.sentence}"))
            continue
        if code in UNSEEN:
            where = f"the allowed channel {clean(channel)}"
            cure = f"Type /invite @{met.called} there"
            findings.append(_amiss(f"{name}: {where} {UNSEEN[code]}. {cure}"))
        fine += not code
    if fine:
        findings.append(_well(f"{name}: the bot is in {fine} of the allowed channels"))
    return findings
