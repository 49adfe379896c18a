"""Pause a place and let it go on, change its limits, let it in and turn it away."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from adapters.web.desk.act import DeskAct, Form
from adapters.web.desk.flash import FlashMessage
from bot.errors import InvalidRequest

if TYPE_CHECKING:
    from bot.studio import Sitting, Studio

_ID = re.compile(r"[\w.-]{1,60}", re.ASCII)


class ActsOnPlaces:
    """Places are named by their keys; each looks first whether it is there for them."""

    def __init__(self, studio: Studio) -> None:
        self._admin = studio.admin
        self._places = studio.desk.places

    @property
    def acts(self) -> Mapping[str, DeskAct]:
        """By their paths."""
        return {
            "/desk/acts/pause": self._pause,
            "/desk/acts/resume": self._resume,
            "/desk/acts/limit": self._limit,
            "/desk/acts/approve": self._approve,
            "/desk/acts/close": self._close,
        }

    async def _pause(self, form: Form, sitting: Sitting) -> FlashMessage:
        place = await self._places.one(sitting, form.text("place"))
        message = form.text("message")
        await self._admin.pause(place.tenant, actor=sitting.who, message=message)
        return FlashMessage(sentence=f"{place.tenant} is paused: nothing new is started there.")

    async def _resume(self, form: Form, sitting: Sitting) -> FlashMessage:
        place = await self._places.one(sitting, form.text("place"))
        await self._admin.resume(place.tenant, actor=sitting.who)
        return FlashMessage(sentence=f"{place.tenant} takes requests again.")

    async def _limit(self, form: Form, sitting: Sitting) -> FlashMessage:
        place = await self._places.one(sitting, form.text("place"))
        name, value = form.text("name"), form.text("value")
        channel, role = form.text("channel"), form.text("role")
        if channel and not _ID.fullmatch(channel):
            raise InvalidRequest("Name the channel by its id.", field="channel")
        await self._admin.set_limits(
            place.tenant, {name: value}, actor=sitting.who, channel=channel, role=role
        )
        limits, _ = await self._places.limits(place)
        found = next(each for each in limits if each.name == name)
        title = f"{found.title[0].upper()}{found.title[1:]}"
        if not (channel or role):
            return FlashMessage(sentence=f"{title}: {found.in_force}, from the next request on.")
        whom = [f"role {role}"] if role else []
        whom += [f"channel {channel}"] if channel else []
        held = value or "no word of their own"
        return FlashMessage(sentence=f"{title}, for {' in '.join(whom)}: {held}.")

    async def _approve(self, form: Form, sitting: Sitting) -> FlashMessage:
        place = await self._places.one(sitting, form.text("place"))
        await self._admin.approve(place.tenant, actor=sitting.who)
        return FlashMessage(sentence=f"{place.tenant} is served from now on.")

    async def _close(self, form: Form, sitting: Sitting) -> FlashMessage:
        place = await self._places.one(sitting, form.text("place"))
        await self._admin.close(place.tenant, actor=sitting.who)
        return FlashMessage(sentence=f"{place.tenant} is not served any more; what runs goes on.")
