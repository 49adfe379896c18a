"""A few of the outages of `make faults`, shorter; and that what is wrong with one is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests import postgres_server
from tests.faults import __main__ as command
from tests.faults import books, hook, keeping, links, slack
from tests.faults.outages import Allowed, Look, Outcome
from tests.faults.rows import ON_POSTGRES
from tests.postgres import SERVER, server

ROWS = {each.name: each for party in (books, hook, keeping, links, slack) for each in party.ROWS}
SAMPLE = (
    "Slack: drop",
    "Slack: 429",
    "Slack: no such name",
    "Slack: certificate ended",
    "Clip host: no such name",
    "Clip host: certificate ended",
    "Bucket: truncate",
    "Hook: 429",
    "Hook: certificate ended",
    "Image link: certificate ended",
)
#: Two minutes.
STEPS, MOMENT = 8, 0.1


@pytest.mark.parametrize("name", SAMPLE)
async def test_an_outage_costs_little_and_loses_nothing(name: str) -> None:
    assert (await ROWS[name].play(steps=STEPS, moment=MOMENT)).wrong == []


async def test_a_database_that_says_nothing_is_waited_for() -> None:
    server()
    assert (await ROWS["PostgreSQL: freeze"].play(steps=STEPS, moment=MOMENT)).wrong == []


# ---- the command -------------------------------------------------------------------------------


def test_no_outage_is_played_without_postgresql_unless_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    played: list[str] = []

    def play(names: list[str]) -> int:
        played.extend(names)
        return 0

    monkeypatch.delenv(SERVER, raising=False)
    monkeypatch.setattr(postgres_server, "SCRIPT", "/bin/false")
    monkeypatch.setattr(command, "_played", play)
    assert command.main(command.to_options([])) == 2
    assert "--sqlite-only" in capsys.readouterr().err
    assert played == []
    assert command.main(command.to_options(["--sqlite-only"])) == 0
    assert ON_POSTGRES.isdisjoint(played)
    assert {"Discord: drop", "Slack: drop", "Bucket: drop"} < set(played)


# ---- what is wrong -----------------------------------------------------------------------------

WELL = Look(share=0.02, status=200, problems=frozenset(), troubles=frozenset())
AWAY = replace(WELL, troubles=frozenset({"luma"}))
NOT_READY = replace(WELL, status=503, problems=frozenset({"database"}))
GOOD = Outcome(
    allowed=Allowed(party="luma", calls=10, posts=2, seconds=60),
    minutes=10,
    calls=110,
    posts=22,
    recovered=60,
    generations=2,
    clips=2,
    broken_rules=0,
    during=AWAY,
    after=WELL,
)


def test_what_is_allowed_is_not_wrong() -> None:
    assert GOOD.wrong == []


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"generations": 3}, "3 generations"),
        ({"clips": 1}, "1 clips"),
        ({"broken_rules": 1}, "books that do not hold"),
        ({"calls": 111}, "111 calls"),
        ({"posts": 23}, "23 POSTs"),
        ({"recovered": 61}, "61 s to go on"),
        ({"during": replace(AWAY, share=1.0)}, "100% of a core"),
        ({"during": WELL}, "readiness meanwhile: 200"),
        ({"during": replace(AWAY, status=503)}, "readiness meanwhile: 503 luma"),
        ({"during": NOT_READY}, "readiness meanwhile: 503 database"),
        ({"after": AWAY}, "readiness after it: 200 luma"),
        ({"after": NOT_READY}, "readiness after it: 503 database"),
    ],
)
def test_what_is_wrong_is_told(changed: dict[str, Any], wrong: str) -> None:
    assert replace(GOOD, **changed).wrong == [wrong]


def test_without_its_database_alone_the_bot_is_not_ready() -> None:
    away = replace(GOOD, allowed=replace(GOOD.allowed, party="database"), during=NOT_READY)
    assert away.wrong == []
    assert replace(away, during=replace(NOT_READY, status=200)).wrong
    silent = replace(GOOD, allowed=replace(GOOD.allowed, is_named=False), during=WELL)
    assert silent.wrong == []
    assert replace(silent, during=AWAY).wrong
