"""What those who manage a server decide about clips, people and money."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from adapters.admin_text import limits_line, words_line
from adapters.discord import render
from adapters.discord.admin_commands import LIMIT_WORDS, checked
from bot.clock import Clock
from bot.errors import InvalidRequest
from bot.refs import money
from bot.request import Requester
from bot.text import DIGEST, describe_queue

if TYPE_CHECKING:
    from bot.studio import Studio

Given = Mapping[str, Any]
NAME_CHANNELS = frozenset({"gallery_channel", "moderators_channel"})
#: The longest rule is a text; the others stand beside it.
RULE_CHARS = 1400
ACTS = frozenset({"rule", "limit", "grant", "digest", "words", "queue", "audit"})


class Community:
    """Rules, limits, grants, the digest, word lists; the queue and the audit log."""

    def __init__(self, studio: Studio, *, clock: Clock) -> None:
        self._admin = studio.admin
        self._clock = clock

    async def answer(self, act: str, actor: Requester, given: Given) -> str:
        """Carry out one act, and say what holds then; raises `Refusal`s."""
        match act:
            case "rule":
                return await self._rule(actor, given)
            case "limit":
                return await self._limit(actor, given)
            case "grant":
                return await self._grant(actor, given)
            case "digest":
                return await self._digest(actor, given)
            case "words":
                return await self._words(actor, given)
            case "queue":
                view = await self._admin.queue(actor.tenant)
                return render.draw_text(describe_queue(view))
            case _:
                lines = await self._admin.audit(actor.tenant, int(given["page"]))
                return render.draw_audit(lines)

    async def _rule(self, actor: Requester, given: Given) -> str:
        channel = given["channel"]
        # Typed by hand, it could name a channel of another server, or none at all.
        if given["name"] in NAME_CHANNELS and given["value"] and not given["is_ours"]:
            raise InvalidRequest("Choose a channel of this server: type # and pick it.")
        held = await self._admin.set_policy(
            actor.tenant, {given["name"]: given["value"]}, actor=actor, channel=channel
        )
        words = ", ".join(_rule_line(*each) for each in held.items()) or "nothing of its own"
        where = f"<#{channel}>" if channel else "this server"
        return f"Decided for {where}: {words.rstrip('.')}."

    async def _limit(self, actor: Requester, given: Given) -> str:
        every = await self._admin.set_limits(
            actor.tenant,
            {given["name"]: given["value"]},
            actor=actor,
            channel=given["channel"],
            role=given["role"],
        )
        shown = [
            replace(each, name=f"{each.name} ({LIMIT_WORDS.get(each.name, 'unknown')})")
            for each in every
        ]
        return render.draw_line(limits_line(shown))

    async def _grant(self, actor: Requester, given: Given) -> str:
        days, user = given["days"], given["user"]
        until = self._clock.now() + timedelta(days=days) if days else None
        made = await self._admin.grant(
            actor.tenant, user, given["dollars"], actor=actor, until=until
        )
        end = render.stamp(made.until, "f")
        return f"<@{user}> can spend {money(made.micros)} more, until {end}."

    async def _digest(self, actor: Requester, given: Given) -> str:
        channel = checked(given["place"]).id if given["place"] else ""
        await self._admin.set_digest(actor.tenant, channel, actor=actor)
        where = f"in <#{channel}>. {DIGEST}" if channel else "nowhere any more."
        return f"The weekly digest comes {where}"

    async def _words(self, actor: Requester, given: Given) -> str:
        words, patterns = await self._admin.words(actor.tenant, actor=actor)
        lists = {"word": list(words), "pattern": list(patterns)}
        changed, entry = lists[given["kind"]], given["entry"].strip()
        if entry and entry in changed:
            changed.remove(entry)
        elif entry:
            changed.append(entry)
        if entry:
            await self._admin.set_words(
                actor.tenant, actor=actor, words=lists["word"], patterns=lists["pattern"]
            )
        return render.within(words_line(lists["word"], lists["pattern"]), render.MAX_CHARS)


def _rule_line(name: str, value: str) -> str:
    if name.endswith("_channel") and value.isdecimal():
        return f"{name} <#{value}>"
    return render.within(f"{name} {value}", RULE_CHARS)
