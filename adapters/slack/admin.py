"""`/ray admin`: what those who run a workspace read and decide; the studio carries it out."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from adapters import command_text
from adapters.command_text import SettingsCommand
from adapters.slack import pages, render
from adapters.slack.community import CHANNEL, USER, Community
from adapters.slack.parse import Person
from adapters.slack.render import Drawn
from bot.clock import Clock
from bot.errors import InvalidRequest, NotAllowed
from bot.request import Requester
from bot.text import describe_limits, describe_rules, describe_server_usage

if TYPE_CHECKING:
    from bot.studio import Studio

USAGE = "usage [today|week|month|year]"
HELP = (
    f"Say /ray admin with one of: {USAGE} · limits · channel #name on|off · "
    "defaults [#name] ar=9:16 … · block @person [days] [reason] · unblock @person · "
    "pause [what people read] · resume · rule remix own [#name] · "
    "rule review before_post [#name] · rule animate_others ask [#name] · "
    "rule rules [#name] what everybody accepts · limit NAME VALUE [#name] · "
    "grant @person 5 [days] · words [add word X] · queue · audit [page]"
)
DAYS = {"": 31, "today": 1, "week": 7, "month": 31, "year": 366}
_ACTS = (
    "usage|limits|limit|channel|defaults|block|unblock|pause|resume|rule|grant|words|queue|audit"
)
_TYPED = re.compile(rf"admin(?:\s+(?P<act>(?:{_ACTS})\b.*))?", re.IGNORECASE | re.DOTALL)
_BLOCK = re.compile(rf"{USER.pattern}(?:\s+([0-9]{{1,4}}))?(?:\s+(.+))?", re.DOTALL)
MOST_DAYS = 3650
Act = Callable[[Requester, str], Coroutine[Any, Any, Drawn]]


def read_admin(text: str) -> str | None:
    """What follows `admin`, with Slack's own names of people and channels.

    None where it is no act: an admin can be in a clip, too.
    """
    found = _TYPED.fullmatch(text.strip())
    return (found["act"] or "") if found else None


class Admin:
    """Carries out what the rights of Slack, or of the configuration, allow."""

    def __init__(self, studio: Studio, *, clock: Clock) -> None:
        self._admin = studio.admin
        self._clock = clock
        self._acts: dict[str, Act] = {
            "usage": self._usage,
            "limits": self._limits,
            "channel": self._channel,
            "defaults": self._defaults,
            "block": self._block,
            "unblock": self._unblock,
            "pause": self._pause,
            "resume": self._resume,
            **Community(studio, clock=clock).acts,
        }

    async def answer(self, said: str, actor: Requester, person: Person) -> Drawn:
        """Carry out one act; raises `NotAllowed`, and `InvalidRequest` that says what would do."""
        if not (person.is_admin or self._admin.is_operator(actor)):
            raise NotAllowed("Only admins of this workspace can do that.")
        self._admin.check(actor.tenant, actor=actor)
        name, _, rest = said.strip().partition(" ")
        act = self._acts.get(name.lower())
        if act is None:
            raise InvalidRequest(HELP)
        return await act(actor, rest.strip())

    async def _usage(self, actor: Requester, rest: str) -> Drawn:
        if rest.lower() not in DAYS:
            raise InvalidRequest(f"Say /ray admin {USAGE}.")
        until = self._clock.now()
        since = until - timedelta(days=DAYS[rest.lower()])
        people = await self._admin.usage(actor.tenant, since, until)
        models = await self._admin.usage_by_model(actor.tenant, since, until)
        return pages.draw_text(describe_server_usage(people, models, since=since, until=until))

    async def _limits(self, actor: Requester, _rest: str) -> Drawn:
        limits = pages.draw_text(describe_limits(await self._admin.limits(actor.tenant)))
        rules = pages.draw_text(describe_rules(await self._admin.rules(actor.tenant)))
        return Drawn(text=limits.text, blocks=[*limits.blocks, *rules.blocks])

    async def _channel(self, actor: Requester, rest: str) -> Drawn:
        found, word = CHANNEL.match(rest), rest.rpartition(" ")[2].lower()
        if found is None or word not in ("on", "off"):
            raise InvalidRequest("Say /ray admin channel #name on, or off.")
        rules = await self._admin.rules(actor.tenant)
        channels = {**rules.channels, found[1]: found[2] or found[1]}
        if word == "off":
            channels.pop(found[1])
        await self._admin.set_channels(actor.tenant, channels, actor=actor)
        names = ", ".join(f"#{each}" for each in channels.values()) or "every channel"
        return render.draw_sentence(f"Raybot can be used in {names}.")

    async def _defaults(self, actor: Requester, rest: str) -> Drawn:
        found = CHANNEL.match(rest)
        typed = rest[found.end() :].strip() if found else rest
        command = command_text.parse(f"settings {typed}")
        if not isinstance(command, SettingsCommand) or not command.changes:
            raise InvalidRequest(
                "Say /ray admin defaults ar=9:16, with a channel before if wanted."
            )
        held = await self._admin.set_defaults(
            actor.tenant, dict(command.changes), actor=actor, channel=found[1] if found else ""
        )
        where = f"#{found[2] or found[1]}" if found else "this workspace"
        words = ", ".join(f"{name} {value}" for name, value in held.items())
        return render.draw_sentence(f"Defaults of {where}: {words or 'none of its own'}.")

    async def _block(self, actor: Requester, rest: str) -> Drawn:
        found = _BLOCK.fullmatch(rest)
        if found is None or (found[2] and not 0 < int(found[2]) <= MOST_DAYS):
            raise InvalidRequest("Say /ray admin block @person, then days and a reason if wanted.")
        until = self._clock.now() + timedelta(days=int(found[2])) if found[2] else None
        await self._admin.block(
            actor.tenant, found[1], actor=actor, until=until, reason=found[3] or ""
        )
        how_long = f"for {found[2]} days" if found[2] else "until you unblock them"
        return render.draw_sentence(f"They can ask for nothing more, {how_long}.")

    async def _unblock(self, actor: Requester, rest: str) -> Drawn:
        found = USER.fullmatch(rest)
        if found is None:
            raise InvalidRequest("Say /ray admin unblock @person.")
        await self._admin.unblock(actor.tenant, found[1], actor=actor)
        return render.draw_sentence("They can ask again.")

    async def _pause(self, actor: Requester, rest: str) -> Drawn:
        await self._admin.pause(actor.tenant, actor=actor, message=rest)
        return render.draw_sentence("Paused: nothing new is started; what runs goes on.")

    async def _resume(self, actor: Requester, _rest: str) -> Drawn:
        await self._admin.resume(actor.tenant, actor=actor)
        return render.draw_sentence("Raybot takes requests here again.")
