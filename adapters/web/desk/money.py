"""Money: what was asked and charged, against the budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from adapters.web.desk.seat import Handler, Seat
from adapters.web.desk.tables import Column, Table, as_file
from bot.clock import Clock
from bot.ports import WebCall, WebReply

if TYPE_CHECKING:
    from bot.studio import Studio, UsageRow

MEASURES = (
    Column(name="asked", kind="number"),
    Column(name="delivered", kind="number"),
    Column(name="refused", kind="number"),
    Column(name="failed", kind="number"),
    Column(name="video", kind="span"),
    Column(name="charged", kind="money"),
)


class Money:
    """The first page."""

    def __init__(self, studio: Studio, *, clock: Clock) -> None:
        self._view = studio.desk.spending
        self._clock = clock

    @property
    def handlers(self) -> Mapping[tuple[str, str], Handler]:
        """The page, and its days as a file."""
        return {("GET", "/desk"): self._page, ("GET", "/desk/days.csv"): self._days}

    async def _page(self, _call: WebCall, seat: Seat) -> WebReply:
        spent = await self._view.read(seat.sitting)
        return seat.page(
            "money.html",
            here="/desk",
            spent=spent,
            tables=(
                to_table("By model, this month", "model", spent.models),
                to_table("By day", "day", spent.days, file="/desk/days.csv"),
            ),
        )

    async def _days(self, _call: WebCall, seat: Seat) -> WebReply:
        spent = await self._view.read(seat.sitting)
        return as_file(to_table("By day", "day", spent.days), "days")


def to_table(title: str, what: str, rows: Sequence[UsageRow], *, file: str = "") -> Table:
    """Usage as a table."""
    return Table(
        title=title,
        columns=(Column(name=what), *MEASURES),
        rows=[
            (
                each.label,
                each.asked,
                each.delivered,
                each.refused,
                each.failed,
                each.seconds,
                each.charged,
            )
            for each in rows
        ],
        file=file,
    )
