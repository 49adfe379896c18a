"""`/ray admin`: what those who run a workspace read and decide; the studio carries it out."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from adapters import command_text, near_words
from adapters.admin_text import DAYS, blocked_line
from adapters.command_text import SettingsCommand
from adapters.slack import forgetting, pages, render
from adapters.slack.community import CHANNEL, USER, Community, channel_words
from adapters.slack.delivery import Delivery
from adapters.slack.parse import Person, to_decision, to_shown
from adapters.slack.people import refuse_others
from adapters.slack.render import Drawn
from bot.clock import Clock
from bot.errors import DeliveryError, InvalidRequest, of_no_clip
from bot.request import Requester
from bot.text import (
    DIGEST,
    describe_limits,
    describe_rules,
    describe_server_usage,
    describe_usage_by_day,
)

if TYPE_CHECKING:
    from bot.studio import PlaceUsage, Studio

USAGE = "usage [today|week|month|year]"
HELP = (
    USAGE,
    "digest #name|off",
    "limits",
    "limit NAME VALUE [#name]",
    "channel #name on|off",
    "channel all on",
    "defaults [#name] ar=9:16 …",
    "block @person [days] [reason]",
    "unblock @person",
    "pause [what people read]",
    "resume",
    "rule remix own [#name]",
    "rule review before_post [#name]",
    "rule animate_others ask [#name]",
    "rule rules [#name] what everybody accepts",
    "rule moderators_channel #name",
    "rule gallery_channel #name",
    "rule gallery_stars 3",
    "forget @person",
    "grant @person 5 [days]",
    "words [add word X]",
    "queue",
    "audit [page]",
    "desk",
)
NONE_LEFT = (
    "That would leave no channel on the list, and then all of them are allowed. Allow another one "
    "first, or stop me everywhere with /ray admin pause."
)
FILES = "What this workspace used, as you asked: for your eyes only."
_ACTS = (
    "usage|digest|limits|limit|channel|defaults|block|unblock|forget|pause|resume|rule|"
    "grant|words|queue|audit|desk"
)
_BLOCK = re.compile(rf"{USER.pattern}(?:\s+([0-9]{{1,4}}))?(?:\s+(.+))?", re.DOTALL)
MOST_DAYS = 3650
Act = Callable[[Requester, str], Coroutine[Any, Any, Drawn]]


def read_admin(text: str, names: Mapping[str, str] = MappingProxyType({})) -> str | None:
    """What follows `admin`, with Slack's own names of people and channels.

    None where it is a prompt. Raises `InvalidRequest` for a typo.
    """
    return near_words.read_admin(to_decision(text, names), _ACTS.split("|"))


class Admin:
    """Carries out what the rights of Slack, or of the configuration, allow."""

    def __init__(self, studio: Studio, delivery: Delivery, *, clock: Clock) -> None:
        self._admin = studio.admin
        self._erasure = studio.erasure
        self._entry = studio.entry
        self._delivery = delivery
        self._clock = clock
        self._community = Community(studio, clock=clock)
        self._acts: dict[str, Act] = {
            "usage": self._usage,
            "digest": self._digest,
            "limits": self._limits,
            "channel": self._channel,
            "defaults": self._defaults,
            "block": self._block,
            "unblock": self._unblock,
            "forget": self._forget,
            "pause": self._pause,
            "resume": self._resume,
            "desk": self._desk,
            **self._community.acts,
        }

    async def answer(self, said: str, actor: Requester, person: Person, *, key: str) -> Drawn:
        """Carry out one act, what gives money once for each key.

        Raises `NotAllowed`, and `InvalidRequest` that says what would do.
        """
        with of_no_clip():
            return await self._answer(said, actor, person, key)

    async def _answer(self, said: str, actor: Requester, person: Person, key: str) -> Drawn:
        refuse_others(self._admin, person, actor)
        self._admin.check(actor.tenant, actor=actor)
        name, _, rest = said.strip().partition(" ")
        if name.lower() == "grant":
            return await self._community.grant(actor, rest.strip(), form=key)
        act = self._acts.get(name.lower())
        if act is None:
            choices = (f"/ray admin {each}" for each in HELP)
            return pages.draw_choices("To run Raybot in this workspace, type", *choices)
        return await act(actor, rest.strip())

    async def _usage(self, actor: Requester, rest: str) -> Drawn:
        if rest.lower() not in DAYS:
            raise InvalidRequest(f"Say /ray admin {USAGE}.")
        used = await self._admin.usage_of_days(actor.tenant, DAYS[rest.lower()])
        page = pages.draw_text(
            describe_server_usage(used.people, used.models, since=used.since, until=used.until)
        )
        days = [] if used.chart else [pages.draw_text(describe_usage_by_day(used.days))]
        return _joined([page, *days, render.draw_sentence(await self._hand_over(actor, used))])

    async def _hand_over(self, actor: Requester, used: PlaceUsage) -> str:
        """Send the files directly: in a channel everybody would see them."""
        try:
            await self._delivery.hand_over(actor, used.documents, FILES)
        except DeliveryError as error:
            return f"The files could not be sent to you. {error.sentence}"
        return "The files are in your direct messages."

    async def _digest(self, actor: Requester, rest: str) -> Drawn:
        found = CHANNEL.fullmatch(rest)
        if found is None and rest.lower() != "off":
            raise InvalidRequest("Say /ray admin digest #name, or digest off.")
        await self._admin.set_digest(actor.tenant, found[1] if found else "", actor=actor)
        where = f"in {channel_words(*found.groups())}. {DIGEST}" if found else "nowhere any more."
        return render.draw_sentence(f"The weekly digest comes {where}")

    async def _limits(self, actor: Requester, _rest: str) -> Drawn:
        limits = await self._admin.limits(actor.tenant)
        rules = await self._admin.rules(actor.tenant)
        paused = [*filter(None, [rules.paused_at])]
        held = pages.draw_text(describe_limits(limits), times=[limits.month_ends])
        return _joined([held, pages.draw_text(describe_rules(rules), times=paused)])

    async def _channel(self, actor: Requester, rest: str) -> Drawn:
        found, (which, _, word) = CHANNEL.match(rest), rest.lower().rpartition(" ")
        if (found is None and which.strip() != "all") or word not in ("on", "off"):
            raise InvalidRequest("Say /ray admin channel #name on, or off.")
        channels = dict((await self._admin.rules(actor.tenant)).channels)
        if found is None:
            channels.clear()
        elif word == "on":
            channels[found[1]] = found[2] or ""
        else:
            channels.pop(found[1], None)
        if not channels and word == "off":
            raise InvalidRequest(NONE_LEFT)
        await self._admin.set_channels(actor.tenant, channels, actor=actor)
        names = ", ".join(channel_words(*each) for each in channels.items()) or "every channel"
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
        where = channel_words(*found.groups()) if found else "this workspace"
        words = ", ".join(f"{name} {value}" for name, value in held.items())
        return render.draw_sentence(f"Defaults of {where}: {words or 'none of its own'}.")

    async def _block(self, actor: Requester, rest: str) -> Drawn:
        found = _BLOCK.fullmatch(rest)
        if found is None or (found[2] and not 0 < int(found[2]) <= MOST_DAYS):
            raise InvalidRequest("Say /ray admin block @person, then days and a reason if wanted.")
        days = int(found[2]) if found[2] else None
        until = self._clock.now() + timedelta(days=days) if days else None
        reason = to_shown(found[3] or "")
        await self._admin.block(actor.tenant, found[1], actor=actor, until=until, reason=reason)
        return render.draw_sentence(blocked_line(found[1], days), found[1])

    async def _unblock(self, actor: Requester, rest: str) -> Drawn:
        found = USER.fullmatch(rest)
        if found is None:
            raise InvalidRequest("Say /ray admin unblock @person.")
        await self._admin.unblock(actor.tenant, found[1], actor=actor)
        return render.draw_sentence(f"{found[1]} can ask again.", found[1])

    async def _forget(self, actor: Requester, rest: str) -> Drawn:
        found = USER.fullmatch(rest)
        if found is None:
            raise InvalidRequest("Say /ray admin forget @person.")
        page = await self._erasure.forget_other(actor.tenant, found[1], actor=actor)
        return forgetting.draw(page, actor)

    async def _pause(self, actor: Requester, rest: str) -> Drawn:
        await self._admin.pause(actor.tenant, actor=actor, message=to_shown(rest))
        return render.draw_sentence("Paused: nothing new is started; what runs goes on.")

    async def _resume(self, actor: Requester, _rest: str) -> Drawn:
        await self._admin.resume(actor.tenant, actor=actor)
        return render.draw_sentence("Raybot takes requests here again.")

    async def _desk(self, actor: Requester, _rest: str) -> Drawn:
        return pages.draw_invitation(await self._entry.invite(actor))


def _joined(drawn: Sequence[Drawn]) -> Drawn:
    """Several pages as one message."""
    blocks = [block for each in drawn for block in each.blocks]
    return Drawn(text="\n".join(each.text for each in drawn), blocks=blocks)
