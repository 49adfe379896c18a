"""Checks: what `raybot check` finds, run from here. For the operator alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from adapters.web.desk.tables import Column, Table, as_file
from adapters.web.desk.visit import DeskVisit, Handler
from adapters.web.site import reply
from bot.desk_views import Checkup
from bot.ports import WebCall, WebReply
from bot.text import clean

if TYPE_CHECKING:
    from bot.studio import Studio

HERE = "/desk/checks"
SENTENCE_CHARS = 500


class Checks:
    """The page of findings, and the button that looks again."""

    def __init__(self, studio: Studio) -> None:
        self._view = studio.desk.checks

    @property
    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """The page, its table as a file, and the button."""
        return {
            ("GET", HERE): self._page,
            ("POST", HERE): self._begin,
            ("GET", f"{HERE}.csv"): self._file,
        }

    async def _page(self, _call: WebCall, visit: DeskVisit) -> WebReply:
        last = await self._view.read(visit.sitting)
        return visit.page(
            "checks.html", here=HERE, last=last, table=to_table(last) if last else None
        )

    async def _begin(self, _call: WebCall, visit: DeskVisit) -> WebReply:
        await self._view.begin(visit.sitting)
        return reply("", status=303, headers=(("Location", HERE),))

    async def _file(self, _call: WebCall, visit: DeskVisit) -> WebReply:
        last = await self._view.read(visit.sitting)
        return await as_file(partial(to_table, last), "checks")


def to_table(last: Checkup | None) -> Table:
    """The findings, those first that want somebody."""
    findings = sorted(last.findings, key=lambda each: each.is_well) if last else ()
    return Table(
        title="Findings",
        columns=(Column(name="is"), Column(name="what was found", kind="text")),
        rows=[
            ("well" if each.is_well else "look", clean(each.sentence, limit=SENTENCE_CHARS))
            for each in findings
        ],
        file=f"{HERE}.csv",
        empty="Nothing was found.",
    )
