"""What is said beside jobs: to moderators, to whose image it is, of a week, copies of clips.

A card is drawn from its job; none of this can be. So it is kept as it was said last: the words,
what can be pressed, and a copy of the clip that it is about.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from adapters.web import buttons
from adapters.web.buttons import Button
from adapters.web.images import Images
from adapters.web.parse import NAME, TENANT
from bot.clock import Clock
from bot.errors import DeliveryUnavailable, StoreBusy
from bot.log import get_logger
from bot.notices import Aside, Jobless, Operator, Reported, Reviewed, ReviewNeeded, WithFile
from bot.text import Text, describe, open_until

if TYPE_CHECKING:
    from bot.studio import Studio

log = get_logger(__name__)
#: So many are kept for each reader, the latest ones, beside those with something to decide.
MOST_KEPT = 50
#: So begins a message's name on a page.
ASIDE = "said-"
#: That of one which is for those alone who run the place.
MODERATED = "said-to-those-who-run-it-"
_FOR_THEM = Operator | Reported | ReviewNeeded | Reviewed
_KEPT = "asides"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One message under its `key`; `clip` is the id of a file, a picture where it `is_still`.

    `job_id` is empty where it is about no one job; `until` is a time that its words name; `whom`
    is the user whom it is for, empty where it is for everybody.
    """

    key: str
    at: datetime
    text: Text
    job_id: str = ""
    buttons: tuple[Button, ...] = ()
    until: datetime | None = None
    clip: str = ""
    is_still: bool = False
    is_hidden: bool = False
    is_for_moderators: bool = False
    whom: str = ""

    @property
    def name(self) -> str:
        """What it is called on a page."""
        mark = hashlib.sha256(self.key.encode()).hexdigest()[:16]
        return f"{MODERATED if self.is_for_moderators else ASIDE}{mark}"

    @property
    def person(self) -> str:
        """Whose room it is in; empty: everybody's."""
        return f"{TENANT}:{self.whom}" if self.whom else ""


_ROW: TypeAdapter[Kept] = TypeAdapter(Kept)
_ROWS: TypeAdapter[list[Kept]] = TypeAdapter(list[Kept])


class Asides:
    """Keeps them for some days, and as long as something is to be decided."""

    def __init__(self, studio: Studio, images: Images, *, days: int, clock: Clock) -> None:
        self._studio = studio
        self._images = images
        self._days = days
        self._clock = clock
        self._has_warned = False

    async def put(self, key: str, notice: Aside, *, whom: str) -> Kept:
        """Say it, or what it says now; once for each key. Raises `DeliveryUnavailable`."""
        is_for_moderators = isinstance(notice, _FOR_THEM)
        async with self._studio.replicas.turn(_KEPT):
            every = await self._read()
            before = next((each for each in every if each.key == key), None)
            told = Kept(
                key=key,
                at=before.at if before is not None else self._clock.now(),
                text=describe(notice),
                job_id="" if isinstance(notice, Jobless) else notice.about.job_id,
                buttons=buttons.under(notice),
                until=open_until(notice),
                clip=await self._keep_clip(notice, before),
                is_still=isinstance(notice, WithFile) and Path(notice.path).suffix != ".mp4",
                is_hidden=getattr(notice, "is_hidden", False),
                is_for_moderators=is_for_moderators,
                whom="" if is_for_moderators else whom,
            )
            await self._write([*(each for each in every if each.key != key), told])
            if before is not None and before.clip not in ("", told.clip):
                await self._images.delete(before.clip)
            return told

    async def _keep_clip(self, notice: Aside, before: Kept | None) -> str:
        if not isinstance(notice, WithFile):
            return ""
        if before is not None and self._images.has(before.clip):
            return before.clip
        try:
            return await self._images.keep_copy(Path(notice.path))
        except StoreBusy as error:
            raise DeliveryUnavailable(error.sentence) from error

    async def take_away(self, key: str) -> Kept | None:
        """Take one away with its clip, and what it was; None where there is none."""
        async with self._studio.replicas.turn(_KEPT):
            every = await self._read()
            gone = [each for each in every if each.key == key]
            if gone:
                await self._drop(gone, every)
            return gone[0] if gone else None

    async def shown(self, user: str, *, runs_it: bool = True) -> list[Kept]:
        """Those for somebody, oldest first; what is for moderators where they run the place."""
        theirs = [each for each in await self._read() if each.whom in ("", user)]
        return [each for each in theirs if runs_it or not each.is_for_moderators]

    async def sweep(self) -> None:
        """Let go what is old and asks for nothing any more."""
        oldest = self._clock.now() - timedelta(days=self._days)
        async with self._studio.replicas.turn(_KEPT):
            every = await self._read()
            old = [each for each in every if each.at < oldest and not each.buttons]
            if old:
                await self._drop(old, every)

    async def count(self, user: str, *, is_alone: bool) -> int:
        """How many are for somebody, and for everybody where they are alone here."""
        return sum(is_alone or each.whom == user for each in await self._read())

    async def forget(self, user: str, *, is_alone: bool) -> list[Kept]:
        """Let go what `count` counts; what that was."""
        async with self._studio.replicas.turn(_KEPT):
            every = await self._read()
            gone = [each for each in every if is_alone or each.whom == user]
            if gone:
                await self._drop(gone, every)
            return gone

    async def _drop(self, gone: Sequence[Kept], every: Sequence[Kept]) -> None:
        for each in gone:
            await self._images.delete(each.clip)
        await self._write([each for each in every if each not in gone])

    async def _read(self) -> list[Kept]:
        kept = await self._studio.recall(NAME, _KEPT)
        return [row for row in map(self._to_kept, _list_in(kept)) if row is not None]

    def _to_kept(self, row: object) -> Kept | None:
        """A row; None for one that another release wrote, or that was damaged."""
        try:
            return _ROW.validate_python(row)
        except ValidationError as error:
            if not self._has_warned:
                fields = [each["loc"] for each in error.errors()]
                log.warning("web.asides_not_read", fields=fields)
                self._has_warned = True
            return None

    async def _write(self, every: Sequence[Kept]) -> None:
        counts, kept = Counter[str](), list[Kept]()
        in_order = sorted(every, key=lambda each: each.at)
        for each in reversed(in_order):
            counts[each.whom] += not each.buttons
            if each.buttons or counts[each.whom] <= MOST_KEPT:
                kept.append(each)
            else:
                await self._images.delete(each.clip)
        await self._studio.remember(NAME, _KEPT, _ROWS.dump_json(kept[::-1]).decode())


def _list_in(kept: str) -> list[object]:
    try:
        rows = json.loads(kept) if kept else []
    except ValueError:
        rows = kept  # Then it is no row, either.
    return rows if isinstance(rows, list) else [rows]
