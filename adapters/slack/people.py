"""Who somebody is in a workspace: asked of Slack, and known for some minutes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from adapters.slack import refusals
from adapters.slack.addresses import Account
from adapters.slack.clients import Clients
from adapters.slack.parse import Person
from bot.clock import Clock
from bot.errors import DeliveryError, DeliveryUnavailable, NotAllowed
from bot.log import get_logger
from bot.request import Requester

if TYPE_CHECKING:
    from bot.studio import Administration

log = get_logger(__name__)
KNOWN_FOR = timedelta(minutes=10)
REMEMBERED = 10_000
#: So many people of one message are asked for; a prompt hardly speaks of more.
MOST_NAMED = 20
#: Slack shows nothing of somebody whom no channel of ours has.
STRANGERS = frozenset({"user_not_found", "user_not_visible"})


class People:
    """Knows people. `admins` are ids, alone or as `workspace/id`, who may run every place."""

    def __init__(self, clients: Clients, *, clock: Clock, admins: Collection[str]) -> None:
        self._clients = clients
        self._clock = clock
        self._admins = frozenset(admins)
        self._known: OrderedDict[tuple[str, str], tuple[datetime, Person]] = OrderedDict()

    async def of(self, account: Account, user: str) -> Person:
        """Who this is; raises `NotAllowed` while nobody can tell whether they are a guest."""
        key, now = (account.workspace, user), self._clock.now()
        since, person = self._known.get(key, (None, None))
        if since is not None and person is not None and now - since < KNOWN_FOR:
            return person
        try:
            person = await self._ask(account, user)
        except DeliveryError as error:
            if person is None:
                raise NotAllowed("Slack does not tell right now who you are.") from error
            return person
        self._known[key] = (now, person)
        self._known.move_to_end(key)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return person

    async def names(self, account: Account, users: Sequence[str]) -> Mapping[str, str]:
        """What people are called; who is not known right now is left out."""
        found: dict[str, str] = {}
        for user in users[:MOST_NAMED]:
            try:
                found[user] = (await self.of(account, user)).name
            except NotAllowed:
                log.info("slack.name_unknown")
        return found

    def known(self, workspace: str, users: Sequence[str]) -> Mapping[str, str]:
        """The same of those of whom Slack was asked already."""
        found = ((each, self._known.get((workspace, each))) for each in users)
        return {each: told[1].name for each, told in found if told is not None}

    async def anew(self, account: Account, user: str) -> Person:
        """Who this is now, not some minutes ago; raises `DeliveryError`s."""
        person = await self._ask(account, user)
        self._known[account.workspace, user] = (self._clock.now(), person)
        return person

    async def _ask(self, account: Account, user: str) -> Person:
        try:
            async with self._clients.translated(account.workspace):
                client = await self._clients.read(account.workspace)
                told = await client.users_info(user=user, include_locale=True)
                person = to_person(told.get("user"), account)
        except DeliveryError as error:
            code = refusals.code_of(error)
            if code in STRANGERS:
                return self._with_rights(account, Person(user=user, is_guest=True))
            if code == refusals.MISSING_SCOPE:
                log.warning("slack.scope_missing", scope="users:read", workspace=account.workspace)
                # They may be a guest, so a guest's limits hold.
                return self._with_rights(account, Person(user=user, is_guest=True))
            raise
        return self._with_rights(account, person)

    def _with_rights(self, account: Account, person: Person) -> Person:
        """Those whom the configuration names may run a place, whatever Slack says of them."""
        ids = {person.user, f"{account.workspace}/{person.user}"}
        return replace(person, is_admin=True) if ids & self._admins else person


def refuse_others(rights: Administration, person: Person, requester: Requester) -> None:
    """Raise `NotAllowed` for who runs neither this workspace nor the bot."""
    if not (person.is_admin or rights.is_operator(requester)):
        raise NotAllowed("Only admins of this workspace can do that.")


def to_person(told: object, account: Account) -> Person:
    """What `users.info` says of somebody, as seen from our workspace.

    Raises `DeliveryUnavailable` where that is nobody.
    """
    if not isinstance(told, Mapping) or not isinstance(told.get("id"), str) or not told["id"]:
        raise DeliveryUnavailable("Slack does not answer as it should.")
    profile = _part(told, "profile")
    names = (profile.get("display_name"), profile.get("real_name"), told.get("name"))
    name = next((each for each in names if isinstance(each, str) and each), "")
    locale = told.get("locale")
    has_rights = bool(told.get("is_admin") or told.get("is_owner"))
    is_ours = _is_ours(told, account)
    is_restricted = told.get("is_restricted") or told.get("is_ultra_restricted")
    return Person(
        user=told["id"],
        name=name,
        locale=(locale if isinstance(locale, str) and locale else "en").partition("-")[0],
        is_guest=bool(is_restricted) or not is_ours,
        is_admin=has_rights and is_ours and not told.get("deleted"),
        is_bot=bool(told.get("is_bot")),
    )


def _part(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = told.get(name)
    return value if isinstance(value, Mapping) else {}


def _is_ours(told: Mapping[str, Any], account: Account) -> bool:
    """Whether they belong to our workspace, or to its organisation."""
    if told.get("is_stranger"):
        return False
    grid = _part(told, "enterprise_user").get("enterprise_id", "")
    if account.enterprise and grid == account.enterprise:
        return True
    return bool(told.get("team_id", account.workspace) == account.workspace)
