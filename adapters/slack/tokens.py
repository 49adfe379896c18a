"""Our bot's tokens: one from the configuration, or one for each workspace that installed it.

The latter come by bolt's OAuth flow and lie sealed in our own database. Slack's user tokens are
not kept; nothing here needs one.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections import OrderedDict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from slack_bolt.error import BoltError
from slack_sdk.oauth.installation_store import Bot, Installation
from slack_sdk.oauth.installation_store.async_installation_store import AsyncInstallationStore
from slack_sdk.oauth.state_store.async_state_store import AsyncOAuthStateStore

from adapters.slack.addresses import NAME, Account
from adapters.slack.manifest import INSTALL_PATH
from adapters.slack.proof import lacking
from bot.clock import Clock
from bot.errors import ConfigError, DeliveryUnavailable, ThreadGone
from bot.log import get_logger, register_secret

if TYPE_CHECKING:
    from adapters.slack.places import Places
    from bot.studio import Vault

log = get_logger(__name__)
REMOVED = "Raybot was removed from that workspace."
RENEWED = "Raybot was installed anew in that workspace."
UNREADABLE = "Raybot cannot read its token of this workspace. Its operator can mend that."
CURE = f"Let one of that workspace install Raybot again: public_url, then {INSTALL_PATH}."
SOON_SECONDS, LATER_SECONDS = 1.0, 300.0
#: So long somebody may take to agree to an installation.
STATE_LIVES = timedelta(minutes=10)
#: So many that came back are known; Slack takes the code beside each only once, too.
MOST_USED = 10_000


class OneWorkspace:
    """The workspace of the bot token in the configuration, once it was proved."""

    def __init__(self) -> None:
        self._account: Account | None = None

    def prove(self, account: Account) -> None:
        """From now on we speak as this."""
        self._account = account

    async def of(self, workspace: str) -> Account:
        """Our account; raises `ThreadGone` for any other workspace."""
        if self._account is None:
            raise DeliveryUnavailable("Raybot is not connected to Slack yet.", retry_after=2.0)
        if workspace not in ("", self._account.workspace):
            raise ThreadGone("Raybot has no token for that workspace.")
        return self._account

    async def at(self, workspace: str) -> Account | None:
        """Ours, whatever workspace is named: a guest's own may be, where two share a channel."""
        del workspace
        return await self.of("")

    async def renewed(self, workspace: str) -> Account:
        """Ours; another one comes with a new start only."""
        return await self.of(workspace)

    async def lose(self, workspace: str, token: str) -> None:
        """The operator has to mend it; the next start refuses the token."""
        del token
        log.error(
            "slack.token_refused",
            workspace=workspace,
            hint="Reinstall the app and set RAYBOT_ADAPTERS__SLACK__BOT_TOKEN.",
        )


class Installations(AsyncInstallationStore):
    """The workspaces that installed the bot, each with its token, for bolt and for ourselves."""

    def __init__(self, vault: Vault, places: Places) -> None:
        self._vault = vault
        self._places = places
        self._known: dict[str, Account] = {}

    # ---- for ourselves -------------------------------------------------------------------

    async def of(self, workspace: str) -> Account:
        """Our account there; raises `ThreadGone` where nobody installed us, or no longer."""
        if (account := await self.at(workspace)) is None:
            raise ThreadGone(REMOVED)
        return account

    async def at(self, workspace: str) -> Account | None:
        """Our account there, if there is one; `DeliveryUnavailable` while its token is sealed."""
        if (known := self._known.get(workspace)) is not None:
            return known
        if not workspace or (kept := await self._kept(workspace)) is None:
            return None
        return self._know(_to_account(json.loads(kept)))

    def _know(self, account: Account) -> Account:
        """From now on we speak as this there; says what its token may not do, once."""
        self._known[account.workspace] = account
        if missing := lacking(account):
            log.warning(
                "slack.scopes_missing", scopes=missing, workspace=account.workspace, hint=CURE
            )
        return account

    async def _kept(self, workspace: str) -> str | None:
        try:
            return await self._vault.get(NAME, _name(workspace))
        except ConfigError as error:
            log.error("slack.token_unreadable", workspace=workspace, cause=error.sentence)  # noqa: TRY400
            raise DeliveryUnavailable(UNREADABLE, retry_after=LATER_SECONDS) from error

    async def renewed(self, workspace: str) -> Account:
        """Our account there as it is kept now: another process may have been installed anew."""
        self._known.pop(workspace, None)
        return await self.of(workspace)

    async def lose(self, workspace: str, token: str) -> None:
        """Forget a token that ended; its workspace can install the bot again.

        Raises `DeliveryUnavailable` where it has done so already, with whichever process.
        """
        self._known.pop(workspace, None)
        kept = await self._kept(workspace)
        if kept is None or json.loads(kept)["token"] == token:
            leaving = self._places.leaving(workspace)
            await self._vault.delete(NAME, _name(workspace), kept, also=leaving)
        # Also one that came just now.
        if await self._kept(workspace) is not None:
            await self._places.on_here(workspace)
            log.info("slack.token_renewed", workspace=workspace)
            raise DeliveryUnavailable(RENEWED, retry_after=SOON_SECONDS)
        log.warning("slack.removed", workspace=workspace)

    # ---- for bolt ------------------------------------------------------------------------

    async def async_save(self, installation: Installation) -> None:
        """Keep the bot's part of an installation; bolt says so where that is not possible."""
        if not installation.team_id:
            log.warning("slack.not_installed", cause="a whole organisation")
            raise BoltError("A whole organisation cannot install Raybot, but each workspace can.")
        await self.async_save_bot(installation.to_bot())

    async def async_save_bot(self, bot: Bot) -> None:
        """Keep a workspace's token; bolt says so where Slack does not tell whose it is."""
        ids = (bot.bot_token, bot.team_id, bot.bot_user_id, bot.bot_id)
        if not all(isinstance(each, str) and each for each in ids):
            log.warning("slack.not_installed", cause="no token, or nobody's")
            raise BoltError("Slack did not tell whose token this is.")
        kept = {
            "token": bot.bot_token,
            "workspace": bot.team_id,
            "bot_user": bot.bot_user_id,
            "bot_id": bot.bot_id,
            "name": bot.team_name or "",
            "enterprise": bot.enterprise_id or "",
            "scopes": list(bot.bot_scopes or ()),
        }
        account = _to_account(kept)
        name, returning = _name(account.workspace), self._places.returning(account.workspace)
        await self._vault.put(NAME, name, json.dumps(kept), also=returning)
        log.info("slack.installed", workspace=account.workspace)
        self._know(account)

    async def async_delete_bot(self, *, enterprise_id: str | None, team_id: str | None) -> None:
        """Forget a workspace's token."""
        del enterprise_id
        if team_id and (account := await self.at(team_id)) is not None:
            await self.lose(team_id, account.token)

    async def async_delete_all(self, *, enterprise_id: str | None, team_id: str | None) -> None:
        """The same: a token is all that is kept."""
        await self.async_delete_bot(enterprise_id=enterprise_id, team_id=team_id)


class States(AsyncOAuthStateStore):
    """The secrets that tie an installation to the browser that began it; each counts once.

    Anybody may ask for them, so nothing is kept of them until they come back signed.
    """

    def __init__(self, key: str, clock: Clock) -> None:
        self._key = key.encode()
        self._clock = clock
        #: Those that came back, as long as they would count, the oldest first.
        self._used: OrderedDict[str, None] = OrderedDict()

    async def async_issue(self, *_args: Any, **_kwargs: Any) -> str:
        """A new one."""
        until = int((self._clock.now() + STATE_LIVES).timestamp())
        told = f"{until}.{secrets.token_urlsafe(32)}"
        return f"{told}.{self._sign(told)}"

    async def async_consume(self, state: str) -> bool:
        """Whether it was issued, not long ago, and not used before."""
        told, _, signature = state.rpartition(".")
        if not state.isascii() or not hmac.compare_digest(self._sign(told), signature):
            return False
        while (oldest := next(iter(self._used), "")) and (
            len(self._used) > MOST_USED or self._is_over(oldest)
        ):
            del self._used[oldest]
        if self._is_over(state) or state in self._used:
            return False
        self._used[state] = None
        return True

    def _sign(self, told: str) -> str:
        return hmac.new(self._key, f"state:{told}".encode(), "sha256").hexdigest()

    def _is_over(self, state: str) -> bool:
        return int(state.partition(".")[0]) < self._clock.now().timestamp()


def _name(workspace: str) -> str:
    return f"bot:{workspace}"


def _to_account(kept: dict[str, Any]) -> Account:
    register_secret(kept["token"])
    return Account(**{**kept, "scopes": frozenset(kept["scopes"])})
