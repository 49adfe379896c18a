"""All rows of `make faults`, and how one is played in a process that plays several."""

from __future__ import annotations

import asyncio
import logging
import os
import traceback
from multiprocessing.queues import SimpleQueue

from tests.faults import books, discord, hook, installs, keeping, links, luma, slack
from tests.faults.outages import Outcome, Row

ROWS: dict[str, Row] = {
    each.name: each
    for party in (luma, keeping, discord, slack, installs, hook, links, books)
    for each in party.ROWS
}
#: What is played only where there is a server.
ON_POSTGRES = frozenset(each.name for each in books.ROWS)


def begin(numbers: SimpleQueue[int]) -> None:
    """Be a process that takes its ports from a range of its own, as those of the tests do."""
    os.environ["PYTEST_XDIST_WORKER"] = f"gw{numbers.get()}"
    # Slack's library says each of its vain tries, at whatever level.
    logging.disable(logging.ERROR)


def play(name: str) -> Outcome | str:
    """What came of it, or why nothing did."""
    try:
        return asyncio.run(ROWS[name].outcome())
    except Exception:  # noqa: BLE001 - it is told, and ends no other's
        return traceback.format_exc()
