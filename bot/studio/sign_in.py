"""Who comes in at the desk: by a link that opens once, for twelve hours, while they may.

Links and sessions are known by the hash of their keys alone, so that a copy of the database opens
nothing.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from bot.bot_context import BotContext
from bot.clock import Clock
from bot.errors import DeliveryError, DeskClosed, InvalidRequest, LinkSpent, NotAllowed
from bot.log import get_logger
from bot.overview import Invitation, Sitting
from bot.request import Requester
from bot.store import settings, sittings
from bot.store.database import Database
from bot.store.transaction import Tx
from bot.studio.access import LOCAL
from bot.studio.rights import Rights
from bot.tables import OPERATOR
from bot.wording.page_words import describe_invitation
from bot.words import clean

log = get_logger(__name__)
LINK_FOR = timedelta(minutes=10)
SESSION_FOR = timedelta(hours=12)
CHECKED_FOR = timedelta(minutes=5)
#: How long a platform may not answer before rights that it gave are doubted.
DOUBTED_AFTER = timedelta(minutes=15)
#: Maximum time that whoever signs out reads on.
LOOKED_EVERY = timedelta(seconds=15)
NAME_CHARS = 80
ENTER = "/desk/enter"
#: The adapter that has the playground and the desk.
WEB = "web"
_KEY = re.compile(r"[A-Za-z0-9_-]{43}")
#: How whoever runs Raybot is known in the playground, by where they come from.
_TAKEN = tuple(f"{each}-" for each in (OPERATOR, "discord", "slack"))


class Entry:
    """Invites, lets in, and knows who is in."""

    def __init__(
        self, *, database: Database, clock: Clock, context: BotContext, rights: Rights
    ) -> None:
        self._database = database
        self._clock = clock
        self._context = context
        self._rights = rights

    @property
    def address(self) -> str:
        """Where the desk is, e.g. `https://ray.example`; empty where there is none."""
        return self._context.desk.address

    @property
    def is_public(self) -> bool:
        """Whether others than this machine reach it; then whoever comes must be signed in."""
        return self._context.desk.is_public

    async def invite(self, actor: Requester) -> Invitation:
        """A link for somebody who may run their place, as their platform said just now.

        An operator sees every place. Raises `NotAllowed`, and `DeskClosed` without a desk.
        """
        self._check_open()
        tenant = "" if self._rights.is_operator(actor) else actor.tenant
        key, invitation = self._make_link()
        sitting = self._sitting(actor, tenant=tenant, until=invitation.ends_at, has_desk=True)
        await self._rights.act(
            actor.tenant,
            actor,
            "desk_link",
            lambda tx, _: sittings.add_link(tx, _hashed(key), sitting),
            detail=_scope(sitting),
        )
        return invitation

    async def invite_here(self, user: str, *, name: str = "", has_desk: bool = True) -> Invitation:
        """A link for whoever sits at the machine: to all, or for `name` to the playground.

        Raises `InvalidRequest` where nobody is named or there is no desk.
        """
        self._check_open()
        if not has_desk and not self.is_public:
            raise InvalidRequest(
                "On this machine alone nobody has to sign in at the playground. To let others in, "
                "set public_url in [bot]."
            )
        who = _to_operator(clean(name or user)) if has_desk else _to_guest(name)
        key, invitation = self._make_link()
        sitting = self._sitting(who, tenant="", until=invitation.ends_at, has_desk=has_desk)

        def write(tx: Tx) -> None:
            sittings.add_link(tx, _hashed(key), sitting)
            settings.write_audit(
                tx,
                self._clock.now(),
                actor=OPERATOR,
                act="desk_link",
                target=who.person,
                detail=_scope(sitting),
            )

        await self._database.write(write)
        return invitation

    async def act(self, values: Mapping[str, object]) -> Mapping[str, object]:
        """`invite_here` with its arguments as the command sends them; its answer as a sentence."""
        user, name = str(values.get("user", "")), str(values.get("name", ""))
        has_desk = values.get("has_desk") is not False
        invitation = await self.invite_here(user, name=name, has_desk=has_desk)
        told = describe_invitation(invitation, guest="" if has_desk else name)
        return {"sentence": "\n".join((invitation.link, *told.lines))}

    async def is_open(self, key: str) -> bool:
        """Whether a link's key still lets somebody in. Spends nothing."""
        now = self._clock.now()
        if not _KEY.fullmatch(key):
            return False
        return await self._database.read(lambda conn: sittings.has_link(conn, _hashed(key), now))

    async def enter(self, key: str) -> tuple[str, Sitting]:
        """Spend a link: the key of the session that begins. Raises `LinkSpent`."""
        now, session = self._clock.now(), secrets.token_urlsafe(32)
        if not _KEY.fullmatch(key):
            raise LinkSpent

        def write(tx: Tx) -> Sitting | None:
            invited = sittings.spend_link(tx, _hashed(key), now)
            if invited is None:
                return None
            sitting = replace(invited, ends_at=now + SESSION_FOR)
            sittings.sit_down(tx, _hashed(session), sitting)
            by, where = sitting.who.person, _scope(sitting)
            settings.write_audit(tx, now, actor=by, act="desk_entered", target=by, detail=where)
            return sitting

        sitting = await self._database.write(write)
        if sitting is None:
            raise LinkSpent
        return session, sitting

    async def sitting(self, key: str) -> Sitting | None:
        """Whose session this is, None where it has ended; checks their rights again in time.

        Raises `NotAllowed` while their platform cannot be asked for long.
        """
        if not _KEY.fullmatch(key):
            return None
        now = self._clock.now()
        found = await self._database.read(lambda conn: sittings.find(conn, _hashed(key), now))
        if found is None or now - found.checked_at < CHECKED_FOR:
            return found
        return await self._look_again(key, found, now)

    def looks_again_at(self, sitting: Sitting) -> datetime:
        """When what stays open has to ask for the `sitting` again."""
        return min(sitting.ends_at, self._clock.now() + LOOKED_EVERY)

    async def leave(self, key: str) -> None:
        """End a session; fine if it has ended."""
        await self._database.write(lambda tx: sittings.get_up(tx, _hashed(key)))

    async def _look_again(self, key: str, sitting: Sitting, now: datetime) -> Sitting | None:
        try:
            holds = await self._holds(sitting)
        except DeliveryError as error:
            log.warning("desk.rights_unknown", cause=type(error).__name__)
            if now - sitting.checked_at < DOUBTED_AFTER:
                return sitting
            raise NotAllowed("Whether you may see this cannot be checked right now.") from error
        if not holds:
            log.info("desk.rights_gone")
            await self.leave(key)
            return None
        await self._database.write(lambda tx: sittings.check(tx, _hashed(key), now))
        return replace(sitting, checked_at=now)

    async def _holds(self, sitting: Sitting) -> bool:
        if not sitting.has_desk:
            return True
        if not sitting.tenant:
            return self._rights.is_operator(sitting.who)
        return await self._rights.holds(sitting.who)

    def _check_open(self) -> None:
        if not self._context.desk.address:
            raise DeskClosed(
                "Whoever runs Raybot can open the desk with enabled = true in [adapters.web], and "
                "to others than their own machine with public_url in [bot]."
            )

    def _make_link(self) -> tuple[str, Invitation]:
        key = secrets.token_urlsafe(32)
        return key, Invitation(
            link=f"{self._context.desk.address.rstrip('/')}{ENTER}?key={key}",
            ends_at=self._clock.now() + LINK_FOR,
            is_local=not self._context.desk.is_public,
        )

    def _sitting(self, who: Requester, *, tenant: str, until: datetime, has_desk: bool) -> Sitting:
        now = self._clock.now()
        return Sitting(who=who, tenant=tenant, has_desk=has_desk, ends_at=until, checked_at=now)


def _scope(sitting: Sitting) -> str:
    """What somebody is let in to, for the audit log."""
    return (sitting.tenant or "every place") if sitting.has_desk else "playground"


def _to_operator(name: str) -> Requester:
    return Requester(adapter=OPERATOR, workspace=LOCAL, user=name, display_name=name)


def _to_guest(name: str) -> Requester:
    """Somebody whom the playground knows by the name that the operator gave them."""
    known_as = clean(name, limit=NAME_CHARS)
    if not known_as or ":" in known_as:
        raise InvalidRequest("Say who it is for, such as --name Ana; a name has no colon.")
    if known_as.casefold().startswith(_TAKEN):
        begin = ", ".join(_TAKEN)
        raise InvalidRequest(f"No guest's name begins with {begin}: those run Raybot.")
    return Requester(adapter=WEB, workspace=LOCAL, user=known_as, display_name=known_as)


def _hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
