"""`admin …` where who types runs the bot: what they read and decide of this machine's own place.

The terminal and the page in the browser have it in common.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from adapters import command_text, near_words
from adapters.admin_text import (
    DAYS,
    blocked_line,
    change_words,
    limits_line,
    page_in,
    words_line,
)
from adapters.command_text import SettingsCommand
from adapters.opinions import Opinions
from bot.clock import Clock
from bot.errors import InvalidRequest, of_no_clip
from bot.refs import money
from bot.request import Requester
from bot.text import (
    DIGEST,
    Text,
    describe_audit,
    describe_forgetting,
    describe_invitation,
    describe_limits,
    describe_queue,
    describe_rules,
    describe_server_usage,
    moment,
)

if TYPE_CHECKING:
    from bot.studio import Administration, Studio

HELP = (
    "Type admin with one of: usage [today|week|month|year] · limits · limit NAME VALUE · rules · "
    "rule NAME VALUE · defaults ar=9:16 … · words [add word X] · pause [why] · resume · "
    "block PERSON [days] [why] · unblock PERSON · forget PERSON [yes] · grant PERSON USD [days] · "
    "digest on|off · queue · audit [page] · desk. By day, as CSV or as a chart, "
    "and for every place: raybot usage."
)
#: One line of that for a page of help.
IN_SHORT = (
    "To run it: admin usage, limits, rules, words, pause, block, queue, …; admin lists them."
)
#: The last one is typed in a chat alone; here it is answered with what there is.
_ACTS = (
    "usage|limits|limit|rules|rule|defaults|words|pause|resume|block|unblock|forget|grant|"
    "digest|queue|audit|desk|channel"
)
_BLOCK = re.compile(r"(\S+)(?:\s+([1-9][0-9]{0,3}))?(?:\s+(.+))?", re.DOTALL)
_GRANT = re.compile(r"(\S+)\s+\$?([0-9]{1,6}(?:\.[0-9]{1,2})?)(?:\s+([1-9][0-9]{0,2}))?")


@dataclass(frozen=True)
class AdminAct:
    """`admin …`, and what stands behind it."""

    said: str


@dataclass(frozen=True)
class Page:
    """What is answered, and the times that it names, for who can show them in another zone."""

    text: Text
    times: tuple[datetime | None, ...] = ()


Act = Callable[[Requester, str], Coroutine[Any, Any, Page]]


def read_admin(text: str) -> str | None:
    """What follows `admin`; None where it is a prompt. Raises `InvalidRequest` for a typo."""
    return near_words.read_admin(text, _ACTS.split("|"))


class Admin:
    """Carries it out; whoever sits here runs the bot."""

    def __init__(
        self, studio: Studio, opinions: Opinions, *, clock: Clock, opens_desk: bool = False
    ) -> None:
        self._studio = studio
        self._opinions = opinions
        self._opens_desk = opens_desk
        self._clock = clock
        self._acts: dict[str, Act] = {
            "usage": self._usage,
            "limits": self._limits,
            "limit": self._limit,
            "rules": self._rules,
            "rule": self._rule,
            "defaults": self._defaults,
            "words": self._words,
            "pause": self._pause,
            "resume": self._resume,
            "block": self._block,
            "unblock": self._unblock,
            "forget": self._forget,
            "digest": self._digest,
            "queue": self._queue,
            "audit": self._audit,
            "desk": self._desk,
        }

    @property
    def _admin(self) -> Administration:
        return self._studio.admin

    async def answer(self, said: str, actor: Requester, *, form: str | None = None) -> Page:
        """Carry out one act, a grant once for each `form`; raises `InvalidRequest`."""
        with of_no_clip():
            return await self._answer(said, actor, form)

    async def _answer(self, said: str, actor: Requester, form: str | None) -> Page:
        name, _, rest = said.strip().partition(" ")
        if name.lower() == "grant":
            return await self._grant(actor, rest.strip(), form)
        act = self._acts.get(name.lower())
        if act is None:
            raise InvalidRequest(HELP)
        return await act(actor, rest.strip())

    async def _usage(self, actor: Requester, rest: str) -> Page:
        if rest.lower() not in DAYS:
            raise InvalidRequest("Type admin usage today, week, month or year.")
        since, until = self._admin.last_days(DAYS[rest.lower()])
        people = await self._admin.usage(actor.tenant, since, until)
        models = await self._admin.usage_by_model(actor.tenant, since, until)
        text = describe_server_usage(people, models, since=since, until=until)
        return Page(text, (since, until))

    async def _limits(self, actor: Requester, _rest: str) -> Page:
        held = await self._admin.limits(actor.tenant)
        return Page(describe_limits(held), (held.month_ends,))

    async def _rules(self, actor: Requester, _rest: str) -> Page:
        held = await self._admin.rules(actor.tenant)
        times = (held.paused_at, *(each.until for each in held.blocked))
        return Page(describe_rules(held), times)

    async def _limit(self, actor: Requester, rest: str) -> Page:
        name, _, value = rest.partition(" ")
        if not name:
            raise InvalidRequest(f"Names of limits: {', '.join(self._admin.settable())}.")
        every = await self._admin.set_limits(actor.tenant, {name: value.strip()}, actor=actor)
        return _said(limits_line(every))

    async def _rule(self, actor: Requester, rest: str) -> Page:
        name, _, value = rest.partition(" ")
        changes = {name: value.strip()}
        if changes == {"review": "before_post"}:
            await self._opinions.look_here(actor)
        if changes.get("gallery_channel"):
            # Whoever sits here runs the bot, so all that is made here counts as age-restricted.
            changes["gallery_age_restricted"] = "yes"
        held = await self._admin.set_policy(actor.tenant, changes, actor=actor)
        shown = ", ".join(f"{each} {held[each]}" for each in held)
        return _said(f"Decided here: {shown.rstrip('.') or 'nothing of its own'}.")

    async def _defaults(self, actor: Requester, rest: str) -> Page:
        command = command_text.parse(f"settings {rest}")
        if not isinstance(command, SettingsCommand) or not command.changes:
            raise InvalidRequest("Type admin defaults ar=9:16.")
        held = await self._admin.set_defaults(actor.tenant, dict(command.changes), actor=actor)
        shown = ", ".join(f"{name} {value}" for name, value in held.items())
        return _said(f"Defaults here: {shown or 'none of its own'}.")

    async def _words(self, actor: Requester, rest: str) -> Page:
        held = await self._admin.words(actor.tenant, actor=actor)
        if rest:
            words, patterns = change_words(rest, *held)
            await self._admin.set_words(actor.tenant, actor=actor, words=words, patterns=patterns)
            held = await self._admin.words(actor.tenant, actor=actor)
        return _said(words_line(*held))

    async def _pause(self, actor: Requester, rest: str) -> Page:
        await self._admin.pause(actor.tenant, actor=actor, message=rest)
        return _said("Paused: nothing new is started; what runs goes on.")

    async def _resume(self, actor: Requester, _rest: str) -> Page:
        await self._admin.resume(actor.tenant, actor=actor)
        return _said("Raybot takes requests here again.")

    async def _block(self, actor: Requester, rest: str) -> Page:
        if (found := _BLOCK.fullmatch(rest)) is None:
            raise InvalidRequest("Type admin block PERSON, then days and a reason if wanted.")
        who, days, why = found.groups()
        blocked_for = int(days) if days else None
        until = self._clock.now() + timedelta(days=blocked_for) if blocked_for else None
        await self._admin.block(actor.tenant, who, actor=actor, until=until, reason=why or "")
        return _said(blocked_line(who, blocked_for))

    async def _unblock(self, actor: Requester, rest: str) -> Page:
        await self._admin.unblock(actor.tenant, rest, actor=actor)
        return _said(f"{rest} can ask again.")

    async def _forget(self, actor: Requester, rest: str) -> Page:
        who, _, word = rest.partition(" ")
        page = await self._studio.erasure.forget_other(
            actor.tenant, who, actor=actor, is_confirmed=word.strip().lower() == "yes"
        )
        text = describe_forgetting(page)
        ask = f"To let it all go, type: admin forget {who} yes"
        return Page(replace(text, lines=(*text.lines, ask)) if page.can_begin else text)

    async def _grant(self, actor: Requester, rest: str, form: str | None) -> Page:
        if (found := _GRANT.fullmatch(rest)) is None:
            raise InvalidRequest("Type admin grant PERSON 5, then for how many days.")
        until = self._clock.now() + timedelta(days=int(found[3])) if found[3] else None
        try:
            made = await self._admin.grant(
                actor.tenant, found[1], float(found[2]), actor=actor, until=until, form=form
            )
        except InvalidRequest as error:
            if error.field != "form":
                raise
            return _said("That was granted already, when it was sent before; not once more.")
        end = moment(made.until)
        text = f"{found[1]} can spend {money(made.micros)} more, until {end}."
        return replace(_said(text), times=(made.until,))

    async def _digest(self, actor: Requester, rest: str) -> Page:
        if rest.lower() not in ("on", "off"):
            raise InvalidRequest("Type admin digest on, or admin digest off.")
        is_on = rest.lower() == "on"
        await self._admin.set_digest(actor.tenant, actor.adapter if is_on else "", actor=actor)
        return _said(f"The weekly digest comes here. {DIGEST}" if is_on else "It comes no more.")

    async def _queue(self, actor: Requester, _rest: str) -> Page:
        view = await self._admin.queue(actor.tenant)
        return Page(describe_queue(view), tuple(each.since for each in view.lines))

    async def _audit(self, actor: Requester, rest: str) -> Page:
        lines = await self._admin.audit(actor.tenant, page_in(rest))
        return Page(describe_audit(lines), tuple(each.at for each in lines))

    async def _desk(self, actor: Requester, _rest: str) -> Page:
        """To every place: whoever sits at the terminal runs the bot; at a page anybody may."""
        if not self._opens_desk:
            at = f"{self._studio.entry.address.rstrip('/')}/desk"
            opens = "A link that opens it comes from raybot desk-link on the machine."
            return Page(Text(title="The operator's desk", lines=(f"It is at {at}.", opens)))
        invitation = await self._studio.entry.invite_here(actor.user)
        text = describe_invitation(invitation)
        told = replace(text, lines=(*text.lines, invitation.link))
        return Page(told, (invitation.ends_at,))


def _said(sentence: str) -> Page:
    return Page(Text(title=sentence, tone="good"))
