"""What those who run a place read and decide. Who they are is the adapter's to know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from bot.bot_context import OpenResolution
from bot.errors import BotError, InvalidRequest, NotAllowed
from bot.notices import Notice
from bot.overview import AuditLine, PlaceRules, QueueView
from bot.policy import PATTERNS, WORDS, decided
from bot.refs import JobId
from bot.request import Requester
from bot.store import digests, jobs, places, settings, stops
from bot.store.transaction import Tx
from bot.studio.place_decisions import Rulings
from bot.studio.place_queue import view_queue
from bot.studio.rights import to_person
from bot.words import NAME_CHARS, clean

REASON_CHARS = 300
MAX_CHANNELS = 200
_TENANT = re.compile(r"[a-z_]+:[\w.-]{1,100}")


class Administration(Rulings):
    """Usage, limits and rules of a place, and acts on it, each in the audit log."""

    async def rules(self, tenant: str) -> PlaceRules:
        """What was decided for a place: pause, channels, defaults, blocked people."""
        now = self._clock.now()
        state, rules, defaults, by_channel, blocked, own, theirs = await self._database.read(
            lambda conn: (
                places.state(conn, tenant),
                places.rules(conn, tenant),
                settings.chosen(conn, settings.place_scope(tenant)),
                settings.chosen_by_channel(conn, tenant),
                settings.blocked_in(conn, tenant, now),
                settings.chosen(conn, settings.rules_scope(tenant)),
                settings.chosen_by_channel(conn, tenant, rules=True),
            )
        )
        return PlaceRules(
            tenant=tenant,
            is_served=self._access.is_served(tenant, state),
            paused_at=rules.paused_at,
            paused_message=rules.paused_message,
            is_paused_everywhere=rules.is_everywhere,
            channels=rules.channels,
            defaults=defaults,
            channel_defaults=by_channel,
            blocked=blocked,
            policy=decided(own),
            channel_policies={each: made for each, t in theirs.items() if (made := decided(t))},
            words=len(own.get(WORDS, "").splitlines()),
            patterns=len(own.get(PATTERNS, "").splitlines()),
            digest=await self._database.read(lambda conn: digests.channel_of(conn, tenant)),
        )

    async def queue(self, tenant: str) -> QueueView:
        """What waits and runs for a place, oldest first, and how its video services do."""
        return await view_queue(self._database, self._planner, self._context, tenant)

    async def audit(self, tenant: str, page: int = 1) -> tuple[AuditLine, ...]:
        """A page of who did what to whom in a place, the latest first."""
        skip = settings.AUDIT_PAGE * (max(1, page) - 1)
        return await self._database.read(lambda conn: settings.audit(conn, tenant, skip=skip))

    # ---- what they decide ----------------------------------------------------------------

    async def note_own(self, act: str, job_id: JobId, *, actor: Requester) -> None:
        """Remember what somebody did at the desk to their own job; of others it is already."""
        job = await self._database.read(lambda conn: jobs.get(conn, job_id))
        owner = job.request.requester
        if owner.person == actor.person:
            await self._rights.act(
                owner.tenant, actor, act, lambda _tx, _: None, target=job_id, detail=owner.person
            )

    async def pause(self, tenant: str, *, actor: Requester, message: str = "") -> None:
        """Let nothing be started in a place; what waits stays in line, what runs goes on.

        `message` is what people read who ask meanwhile or wait.
        """
        said = clean(message, limit=REASON_CHARS)

        def change(tx: Tx, now: datetime) -> None:
            here = places.rules(tx.conn, tenant)
            at = now if here.is_everywhere else here.paused_at or now
            places.pause(tx, tenant, at=at, by=actor.person, message=said)

        await self._rights.act(tenant, actor, "pause", change, detail=said)

    async def resume(self, tenant: str, *, actor: Requester) -> None:
        """Let a place go on."""
        await self._rights.act(
            tenant,
            actor,
            "resume",
            lambda tx, _: places.pause(tx, tenant, at=None, by=actor.person),
        )
        here = await self._database.read(lambda conn: places.rules(conn, tenant))
        if here.paused_at is not None:
            raise InvalidRequest(
                "This place is not paused by itself any more. Its operator has paused everything, "
                "though, so it goes on with that."
            )

    async def block(
        self,
        tenant: str,
        user: str,
        *,
        actor: Requester,
        until: datetime | None = None,
        reason: str = "",
    ) -> None:
        """Let somebody ask for nothing more, for good or until a time.

        What waits is taken back and costs nothing, a shot of a film when its turn comes; what
        runs goes on.
        """
        person = to_person(tenant, user)
        why = clean(reason, limit=REASON_CHARS)
        if until is not None and until <= self._clock.now():
            raise InvalidRequest("Choose a time that is still to come.", field="until")
        end = f"until {until:%Y-%m-%d %H:%M %Z}" if until else ""
        await self._rights.act(
            tenant,
            actor,
            "block",
            lambda tx, now: settings.block(tx, person, until=until, reason=why, now=now),
            target=person,
            detail=f"{end} {why}".strip(),
        )
        for job in await self._database.read(lambda conn: stops.unstarted(conn, person)):
            # Their own word is not asked: it may have ended or begun meanwhile.
            with suppress(BotError):
                await self._cancel(job.id, job.request.requester)

    async def unblock(self, tenant: str, user: str, *, actor: Requester) -> None:
        """Let somebody ask again."""
        person = to_person(tenant, user)

        def change(tx: Tx, _: datetime) -> None:
            if not settings.unblock(tx, person):
                raise InvalidRequest("They are not blocked.", field="user")

        await self._rights.act(tenant, actor, "unblock", change, target=person)

    async def set_channels(
        self, tenant: str, channels: Mapping[str, str], *, actor: Requester
    ) -> None:
        """Allow only these channels, ids with the names people know; with none, every channel."""
        if len(channels) > MAX_CHANNELS:
            raise InvalidRequest(f"At most {MAX_CHANNELS} channels can be named.")
        named = {each: clean(name, limit=NAME_CHARS) for each, name in channels.items()}
        await self._rights.act(
            tenant,
            actor,
            "channels",
            lambda tx, _: places.allow_channels(tx, tenant, named),
            detail=", ".join(named) or "all",
        )

    async def set_defaults(
        self, tenant: str, changes: Mapping[str, str], *, actor: Requester, channel: str = ""
    ) -> Mapping[str, str]:
        """Change the defaults of a place, or of one channel; returns what then holds there.

        An empty value takes one back.
        """
        scope = (
            settings.channel_scope(tenant, channel) if channel else settings.place_scope(tenant)
        )
        known = await self._database.read(lambda conn: settings.chosen(conn, scope))
        self._planner.check_chosen({**known, **changes})
        await self._rights.act(
            tenant,
            actor,
            "defaults",
            lambda tx, _: settings.choose(tx, scope, changes),
            target=f"{tenant}:{channel}" if channel else tenant,
            detail=", ".join(f"{name}={value}" for name, value in changes.items()),
        )
        return await self._database.read(lambda conn: settings.chosen(conn, scope))

    # ---- what operators decide -----------------------------------------------------------

    async def approve(self, tenant: str, *, actor: Requester) -> None:
        """Serve a place from now on."""
        await self._decide(tenant, "approved", actor, "approve")

    async def close(self, tenant: str, *, actor: Requester) -> None:
        """Serve a place no more, or never; jobs under way go on."""
        if self._access.is_configured(tenant):
            raise InvalidRequest("This place is named in [access]. Take it out there.")
        await self._decide(tenant, "closed", actor, "close")

    async def resolve(self, job_id: JobId, how: OpenResolution, *, actor: Requester) -> Notice:
        """End a job that nobody can tell about: charge for it, or give its hold back."""
        self._check_operator(actor)
        job = await self._context.resolve(job_id, how, generation_id=None, actor=actor.person)
        return await self._context.to_notice(job)

    async def unpark(self, job_id: JobId, *, actor: Requester) -> Notice:
        """Let a job that was put aside go on."""
        self._check_operator(actor)
        return await self._context.to_notice(
            await self._context.unpark(job_id, actor=actor.person)
        )

    def _check_operator(self, actor: Requester) -> None:
        if not self._rights.is_operator(actor):
            raise NotAllowed("Only the operator of this bot can do that.")

    async def _decide(
        self, tenant: str, state: places.PlaceState, actor: Requester, act: str
    ) -> None:
        self._check_operator(actor)
        if not _TENANT.fullmatch(tenant):
            raise InvalidRequest("A place is named like discord:123.", field="tenant")
        await self._rights.act(
            tenant,
            actor,
            act,
            lambda tx, now: places.decide(tx, tenant, state, by=actor.person, now=now),
        )
