"""What those who run a workspace decide about clips, people and money."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from adapters.admin_text import change_words, limits_line, page_in, words_line
from adapters.slack import pages, render
from adapters.slack.parse import to_shown
from adapters.slack.render import Drawn
from bot.clock import Clock
from bot.errors import InvalidRequest
from bot.refs import money
from bot.request import Requester
from bot.text import describe_audit, describe_queue, moment

if TYPE_CHECKING:
    from bot.studio import Studio

CHANNEL = re.compile(r"<#([CG][A-Z0-9]+)(?:\|([^>]*))?>")
USER = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>")
_RULE = re.compile(rf"(\w+)(?:\s+({CHANNEL.pattern}|[\w-]+))?(?:\s+{CHANNEL.pattern})?")
_RULES = re.compile(rf"rules(?:\s+{CHANNEL.pattern})?(?:\s+(.*))?", re.DOTALL)
_LIMIT = re.compile(
    rf"(\w+)(?:\s+([$\w.,-]+))?(?:\s+{CHANNEL.pattern})?(?:\s+role\s+([\w-]{{1,40}}))?"
)
_GRANT = re.compile(
    rf"{USER.pattern}\s+\$?([0-9]{{1,6}}(?:\.[0-9]{{1,2}})?)(?:\s+([0-9]{{1,3}}))?"
)
Act = Callable[[Requester, str], Coroutine[Any, Any, Drawn]]


def channel_words(channel: str, label: str | None) -> str:
    """A channel by its name; Slack does not always tell that, but shows it where we say so."""
    return f"#{label}" if label else f"channel {channel}"


class Community:
    """Rules, limits, grants, word lists; the queue and the audit log."""

    def __init__(self, studio: Studio, *, clock: Clock) -> None:
        self._admin = studio.admin
        self._clock = clock
        self.acts: dict[str, Act] = {
            "rule": self._rule,
            "limit": self._limit,
            "words": self._words,
            "queue": self._queue,
            "audit": self._audit,
        }

    async def _rule(self, actor: Requester, rest: str) -> Drawn:
        if (text := _RULES.fullmatch(rest)) is not None:
            return await self._rules(actor, text)
        found = _RULE.fullmatch(rest)
        if found is None:
            raise InvalidRequest("Say /ray admin rule remix own, with a channel behind if wanted.")
        name, value, own_id, _, channel, label = found.groups()
        if name.endswith("_channel") and value and not own_id:
            raise InvalidRequest("Choose a channel of this workspace: type # and pick it.")
        held = await self._admin.set_policy(
            actor.tenant, {name: own_id or value or ""}, actor=actor, channel=channel or ""
        )
        words = ", ".join(f"{each} {held[each]}" for each in held) or "nothing of its own"
        where = channel_words(channel, label) if channel else "this workspace"
        return render.draw_sentence(f"Decided for {where}: {words.rstrip('.')}.")

    async def _rules(self, actor: Requester, said: re.Match[str]) -> Drawn:
        """What everybody accepts once, in a channel where one is named first."""
        channel, label, text = said.groups()
        rules = {"rules": to_shown(text or "").strip()}
        await self._admin.set_policy(actor.tenant, rules, actor=actor, channel=channel or "")
        where = channel_words(channel, label) if channel else "this workspace"
        done = "have to be accepted once by everybody" if rules["rules"] else "are gone"
        return render.draw_sentence(f"The rules of {where} {done}.")

    async def _limit(self, actor: Requester, rest: str) -> Drawn:
        if not rest:
            return pages.draw_choices("Names of limits", *self._admin.settable())
        found = _LIMIT.fullmatch(rest)
        if found is None:
            raise InvalidRequest(
                "Say /ray admin limit NAME VALUE, then a channel or role ID if wanted; without a "
                "value it is taken back. /ray admin limit lists the names."
            )
        name, value, channel, _, role = found.groups()
        every = await self._admin.set_limits(
            actor.tenant, {name: value or ""}, actor=actor, channel=channel or "", role=role or ""
        )
        return render.draw_sentence(limits_line(every))

    async def grant(self, actor: Requester, rest: str, *, form: str) -> Drawn:
        """Let somebody spend more, once for each `form`; raises `InvalidRequest`."""
        found = _GRANT.fullmatch(rest)
        if found is None:
            raise InvalidRequest("Say /ray admin grant @person 5, then for how many days.")
        until = self._clock.now() + timedelta(days=int(found[3])) if found[3] else None
        given = await self._admin.grant(
            actor.tenant, found[1], float(found[2]), actor=actor, until=until, form=form
        )
        end = moment(given.until)
        said = f"{found[1]} can spend {money(given.micros)} more, until {end}."
        return render.draw_sentence(said, found[1])

    async def _words(self, actor: Requester, rest: str) -> Drawn:
        words, patterns = await self._admin.words(actor.tenant, actor=actor)
        if rest:
            changed = change_words(rest, words, patterns)
            await self._admin.set_words(
                actor.tenant, actor=actor, words=changed[0], patterns=changed[1]
            )
            words, patterns = await self._admin.words(actor.tenant, actor=actor)
        return render.draw_sentence(words_line(words, patterns))

    async def _queue(self, actor: Requester, _rest: str) -> Drawn:
        return pages.draw_text(describe_queue(await self._admin.queue(actor.tenant)))

    async def _audit(self, actor: Requester, rest: str) -> Drawn:
        lines = await self._admin.audit(actor.tenant, page_in(rest))
        return pages.draw_text(describe_audit(lines))
