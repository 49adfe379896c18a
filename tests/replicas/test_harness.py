"""What the stories say is wrong, where something is: no refusal, gap or sum hides it."""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bot import quota
from bot.errors import QuotaExceeded
from bot.refs import Micros
from bot.tables import LimitsTable
from tests import postgres_server
from tests.postgres import SERVER
from tests.replicas import __main__ as command
from tests.replicas.cluster import A_DAY, wrong_ends
from tests.replicas.stories import (
    DEATH_GOALS,
    FEW_CLIPS,
    GATEWAY_BACK,
    JOBS_GO_ON,
    WATCH_BACK,
    Told,
    kill,
    unexcused,
)


def _refused() -> str:
    """What a job says whose person had all of a day's clips."""
    limits, used = LimitsTable.model_validate(FEW_CLIPS), {"clips_per_person_per_day": A_DAY}
    with pytest.raises(QuotaExceeded) as caught:
        quota.check(limits, used, Micros(1), datetime(2026, 1, 1, tzinfo=UTC))
    return f"failed {caught.value.sentence}"


def test_only_a_refusal_counts_as_one() -> None:
    refused, broken = _refused(), "failed Luma made no clip."
    assert wrong_ends([("a", "delivered"), ("b", refused)], refused=1) == []
    assert wrong_ends([("a", "delivered"), ("b", broken)], refused=1) == [
        f"b: {broken}",
        "0 refused instead of 1",
    ]
    assert wrong_ends([("a", refused), ("b", refused)], refused=1) == ["2 refused instead of 1"]
    assert wrong_ends([("a", refused)]) == ["1 refused instead of 0"]


def test_who_is_not_heard_is_excused_by_a_gap_alone() -> None:
    assert unexcused([], []) == []
    assert unexcused([10.0], [(12.0, 13.0)]) == []
    assert unexcused([20.0], [(12.0, 13.0)]) == ["not answered +8.0 s after the last gap began"]
    assert unexcused([10.0], []) == ["1 not answered, and nothing had happened"]


async def test_a_kill_excuses_for_as_long_as_its_own_roles_were_away() -> None:
    """The longest way back of an earlier one excuses nobody after this one."""

    async def died() -> float:
        return time.monotonic()

    async def read(_: object) -> dict[int, int]:
        return {}

    victim: Any = SimpleNamespace(roles=set(), kill=died)
    gateway = SimpleNamespace(connected=[])
    cluster: Any = SimpleNamespace(discord=SimpleNamespace(gateway=gateway), read=read)
    told = Told(story="", measured={GATEWAY_BACK: 30.0})
    await kill(cluster, told, victim)
    [(began, ended)] = told.gaps
    assert ended == began


async def test_no_story_is_told_without_postgresql(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(SERVER, raising=False)
    monkeypatch.setattr(postgres_server, "SCRIPT", "/bin/false")
    assert await command.main([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.endswith("No PostgreSQL could be started here: install it.\n")


KEPT = {GATEWAY_BACK: 1.9, WATCH_BACK: 9.9, JOBS_GO_ON: 9.9}
MISSED = KEPT | {JOBS_GO_ON: 11.0}


def _told(measured: dict[str, float], *wrong: str) -> Told:
    return Told(story="death", wrong=[*wrong], measured=measured, goals=DEATH_GOALS)


def test_a_goal_is_missed_by_what_takes_as_long_or_was_not_measured() -> None:
    assert _told(KEPT).missed == []
    assert _told(KEPT | {GATEWAY_BACK: 2.0}).missed == ["gateway back 2 s, and not < 2 s"]
    assert len(_told({}).missed) == len(DEATH_GOALS)


@pytest.mark.parametrize(
    ("told", "code"),
    [(_told(KEPT), 0), (_told(MISSED), 3), (_told(MISSED, "lost: a fox"), 1)],
    ids=["all is well", "a goal is missed", "something is lost"],
)
async def test_a_goal_that_is_missed_has_an_exit_code_of_its_own(
    told: Told,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def story(_: Path) -> Told:
        return told

    monkeypatch.setenv(SERVER, "named")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(command, "STORIES", {"death": story})
    assert await command.main([]) == code
    said = capsys.readouterr().out
    assert "gateway back 1.9 (< 2)" in said
    assert ("its jobs go on 11 s, and not < 10 s" in said) == (code > 0)
