"""What no log may show, whatever happened: secrets, and the words that people wrote."""

from __future__ import annotations

import io
import itertools
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from bot.log import setup_logging
from bot.simulator import SimulatorSettings
from tests.discord_server.application import TOKEN

#: What tests ask for, and hold back from nobody but the log.
WORDS = ("a red fox", "fox number", "slow zoom", "slow push")
SECRETS = re.compile(
    "|".join(
        (
            re.escape(TOKEN),
            re.escape(SimulatorSettings().api_key),
            r"xox[a-z]-\w",
            r"xapp-\w",
            r"aW50ZXJhY3Rpb24[\w-]",  # The token of an interaction.
            r"/callbacks/\w+/[\w-]{20}",
            r"sig(?:nature)?=[\w%-]{6}",
            r"(?:Bearer|Basic|Bot|Key|Token) [\w.-]{8}",
            r"/(?:answers|response)/[0-9a-f]{24}",  # A `response_url`.
            r"a-very-private-\w",  # Keys of tests.
        )
    )
)
Format = Literal["json", "text"]
_formats: Iterator[Format] = itertools.cycle(("json", "text"))
#: What a line may be about besides jobs.
OF_THE_HOUSE = frozenset({"provider.paused", "provider.back"})
#: A step that had read the job before somebody else moved it.
UNKNOWING = "job.stale"
WAY = ("generating", "fetching", "delivering", "delivered")


def found_in(log: str) -> list[str]:
    """The lines that tell what they must not."""
    return [
        line
        for line in log.splitlines()
        if SECRETS.search(line) or any(words in line for words in WORDS)
    ]


@contextmanager
def read_logs(fmt: Format | None = None) -> Iterator[io.StringIO]:
    """Let every logger talk, in one of both formats, and read it all at the end."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    said = io.StringIO()
    chosen: Format = next(_formats) if fmt is None else fmt
    setup_logging("debug", fmt=chosen, stream=said)
    try:
        yield said
    finally:
        root.handlers = handlers
        root.setLevel(level)
    assert found_in(said.getvalue()) == []


def life_of(job_id: str, log: str, *others: str, end: str = "delivered") -> list[str]:
    """What happened in a job's life, from its acceptance to its end; each line names the job.

    And its generation, from when there is one. `others` are the jobs beside it.
    """
    lines = [json.loads(line) for line in log.splitlines()]
    lines = [line for line in lines if line.get("job") not in others]
    events = [line["event"] for line in lines]
    begin, last = events.index("job.accepted"), events.index(f"job.{end}")
    life = [line for line in lines[begin : last + 1] if line["event"] not in OF_THE_HOUSE]
    assert [line for line in life if line.get("job") != job_id] == []
    told = [line["event"] for line in life]
    if "job.generating" in told:
        _names_its_generation(life[told.index("job.generating") :])
    if end == "delivered":
        states = [line["event"] for line in life if "was" in line]
        assert states[-4:] == [f"job.{each}" for each in WAY]
    return told


def _names_its_generation(life: list[dict[str, Any]]) -> None:
    """Each of these lines, of which the first is the one that brings it."""
    generation = life[0]["generation"]
    knowing = [line for line in life if line["event"] != UNKNOWING]
    assert [line for line in knowing if line.get("generation") != generation] == []


def lines_about(event: str, log: str) -> list[dict[str, Any]]:
    """The lines of one event, as they were logged in JSON."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in log.splitlines()]
    return [line for line in lines if line["event"] == event]
