"""Block somebody, let them ask again, and grant them more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from adapters.web.desk.act import DeskAct, Form
from adapters.web.desk.flash import FlashMessage
from bot.clock import Clock
from bot.refs import money
from bot.words import moment

if TYPE_CHECKING:
    from bot.studio import Sitting, Studio

#: As it is typed in a chat, too.
_DOLLARS = re.compile(r"\$?([0-9]{1,6}(?:\.[0-9]{1,2})?)")


class ActsOnPeople:
    """People are named by their keys; each looks first whether theirs is a place to decide for."""

    def __init__(self, studio: Studio, *, clock: Clock) -> None:
        self._admin = studio.admin
        self._acts = studio.desk.acts
        self._clock = clock

    @property
    def acts(self) -> Mapping[str, DeskAct]:
        """By their paths."""
        return {
            "/desk/acts/block": self._block,
            "/desk/acts/unblock": self._unblock,
            "/desk/acts/grant": self._grant,
        }

    async def _block(self, form: Form, sitting: Sitting) -> FlashMessage:
        found = await self._acts.of_person(sitting, form.text("person"))
        days, reason = form.days, form.text("reason")
        until = self._clock.now() + timedelta(days=days) if days else None
        await self._admin.block(
            found.tenant, found.user, actor=sitting.who, until=until, reason=reason
        )
        if until is None:
            return FlashMessage(sentence=f"{found.name} is blocked until somebody unblocks them.")
        return FlashMessage(
            sentence=f"{found.name} is blocked until {moment(until)}.", times=(until,)
        )

    async def _unblock(self, form: Form, sitting: Sitting) -> FlashMessage:
        found = await self._acts.of_person(sitting, form.text("person"))
        await self._admin.unblock(found.tenant, found.user, actor=sitting.who)
        return FlashMessage(sentence=f"{found.name} can ask again.")

    async def _grant(self, form: Form, sitting: Sitting) -> FlashMessage:
        found = await self._acts.of_person(sitting, form.text("person"))
        days = form.days
        until = self._clock.now() + timedelta(days=days) if days else None
        given = await self._admin.grant(
            found.tenant,
            found.user,
            _dollars(form.text("dollars")),
            actor=sitting.who,
            until=until,
            form=form.nonce,
        )
        end = moment(given.until)
        said = f"{found.name} can spend {money(given.micros)} more, until {end}."
        return FlashMessage(sentence=said, times=(given.until,))


def _dollars(typed: str) -> float:
    """What was typed; nothing for what is no amount, which is refused."""
    found = _DOLLARS.fullmatch(typed)
    return float(found[1]) if found else 0.0
