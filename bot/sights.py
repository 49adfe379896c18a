"""What is seen at the operator's desk, as values without words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.overview import Allowance, UsageRow


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What was asked and charged today, this month and on each of the last days.

    `budgets` are the shared limits in force, with what is used of each; `models` and `places`
    are this month's, each place by its key. `is_test`: all of it cost nothing.
    """

    today: UsageRow
    month: UsageRow
    month_ends: datetime
    days: Sequence[UsageRow] = ()
    models: Sequence[UsageRow] = ()
    places: Sequence[UsageRow] = ()
    budgets: Sequence[Allowance] = ()
