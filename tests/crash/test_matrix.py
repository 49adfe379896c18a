"""A sample of `make crash`: killed in front of a whole chat, the bot goes on as if not."""

from __future__ import annotations

import asyncio
import os
import signal
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from tests import postgres_server
from tests.crash import worlds
from tests.crash.__main__ import main, to_options
from tests.crash.books import Kind, SqliteBook
from tests.crash.chats import world
from tests.crash.doubts import DELIVERED as DELIVERED_JOBS
from tests.crash.doubts import (
    END,
    KNOWN,
    LOOKED_FOR,
    NOTED,
    OPEN,
    RELEASED,
    wrong_in_doubt,
    wrong_once_released,
)
from tests.crash.doubts import SETTLED as SETTLED_IN
from tests.crash.fates import tell
from tests.crash.matrix import Stage
from tests.crash.points import Where
from tests.crash.stories import (
    CANCELLED,
    DECLINED,
    ELSEWHERE,
    FAILURE,
    FILM,
    IMAGE,
    REVIEWED,
    SMALLER,
    TEXT,
    Story,
)
from tests.crash.worlds import FORGOTTEN, Chat
from tests.forked import processes
from tests.postgres import SERVER
from tests.postgres_server import until_ended

#: How the names of points begin: from what is paid to the end.
PAID, CHECKED, PROBED, SETTLING, SETTLED = (
    "after POST that is paid",
    "after check of the generation",
    "after probe of the clip",
    "before commit of .*jobs delivered",
    "after commit of .*jobs delivered",
)
JOINING = "before joining of the film"
FITTED, MOVED = "after smaller POST", "after other POST that is paid"
GIVING_BACK = "before commit of .*jobs failed"
CANCELLING, DECIDED, REJECTED = (
    "after commit of .*jobs cancel asked",
    "before commit of .*audit_log review post",
    "after commit of .*audit_log review reject",
)
#: What PostgreSQL was told to commit, and nobody heard whether it did.
IN_DOUBT = "between COMMIT and its answer, of .*jobs delivered"


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    return processes()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("database", "chat", "story", "sample"),
    [
        ("sqlite", "discord", TEXT, (PAID, SETTLING)),
        ("sqlite", "discord", IMAGE, (CHECKED,)),
        ("sqlite", "slack", TEXT, (PROBED, SETTLED)),
        ("sqlite", "slack", FILM, (JOINING,)),
        ("sqlite", "slack", FAILURE, (GIVING_BACK,)),
        ("sqlite", "discord", CANCELLED, (CANCELLING,)),
        ("sqlite", "slack", REVIEWED, (DECIDED,)),
        ("sqlite", "discord", DECLINED, (REJECTED,)),
        ("sqlite", "discord", SMALLER, (FITTED,)),
        ("sqlite", "slack", ELSEWHERE, (MOVED,)),
        ("postgresql", "discord", TEXT, (PAID,)),
        ("postgresql", "slack", TEXT, (IN_DOUBT,)),
    ],
)
async def test_killed_at_a_sample_of_points(
    database: Kind,
    chat: Chat,
    story: Story,
    sample: tuple[str, ...],
    tmp_path: Path,
    context: ForkServerContext,
) -> None:
    stage = Stage(chat=chat, database=database, folder=tmp_path, processes=context, story=story)
    for number, point in enumerate(sample):
        fate = await stage.tell(str(number), point)
        assert fate is not None, point
        assert fate.wrong == (), fate.point


@pytest.mark.timeout(120)
async def test_the_same_points_show_what_is_wrong_with_a_naive_bot(
    tmp_path: Path, context: ForkServerContext
) -> None:
    stage = Stage(chat="naive", database="sqlite", folder=tmp_path, processes=context)
    fates = [each async for each in stage.singles(first=4, step=4)]
    assert [each.wrong for each in fates] == [("2 generations",), ("2 clips",)]


async def test_a_life_that_fails_before_its_point_is_wrong_though_the_next_one_ends_all(
    tmp_path: Path, context: ForkServerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world("naive", "sqlite", tmp_path / "place") as place:
        given = iter([{}, place.settings()])
        monkeypatch.setattr(place, "settings", lambda: next(given))
        fate = await tell(place, context, 4)
    assert fate is not None
    assert fate.wrong == ("life 1: exit 1",)


async def test_a_life_that_ends_before_its_point_is_looked_at_too(
    tmp_path: Path, context: ForkServerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world("naive", "sqlite", tmp_path / "place") as place:
        assert await tell(place, context, 99) is None
        monkeypatch.setattr(place, "wrong_outside", lambda: ["2 clips"])
        fate = await tell(place, context, 99)
    assert fate is not None
    assert (fate.is_early, fate.wrong) == (True, ("2 clips",))


@pytest.mark.timeout(120)
async def test_essential_points_are_told_by_their_names_and_missed_where_nobody_comes_there(
    tmp_path: Path, context: ForkServerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ("after POST that is paid", "before POST of the clip", "after a long walk")
    monkeypatch.setattr(Story, "essential", lambda *_: wanted)
    stage = Stage(chat="naive", database="sqlite", folder=tmp_path, processes=context)
    paid = await stage.tell("paid", wanted[0])
    assert paid is not None
    told = [each async for each in stage.essentials([paid])]
    assert [each.point for each in told] == ["before POST of the clip"]
    assert stage.missing([paid, *told]) == ["after a long walk"]


@pytest.mark.parametrize(
    ("said", "made", "wrong"),
    [
        ({}, 1, []),
        ({}, 2, ["in doubt, while the service has 1 that nobody found"]),
        ({LOOKED_FOR: 1}, 1, ["in doubt after 1 submissions that were looked for: r-1"]),
        ({NOTED: 0}, 1, ["the operator is not asked: r-1"]),
    ],
)
def test_doubt_is_right_only_where_each_submission_was_looked_for_in_vain(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: dict[str, int],
    made: int,
    wrong: list[str],
) -> None:
    numbers = {LOOKED_FOR: 2, NOTED: 1, KNOWN: 1, **said}
    told = {question.format("r-1"): [(number,)] for question, number in numbers.items()}
    books = SqliteBook(tmp_path)
    monkeypatch.setattr(books, "read", told.__getitem__)
    assert wrong_in_doubt(books, ["r-1"], made=made) == wrong


def test_what_was_released_is_over_costs_nothing_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = {OPEN: 0, SETTLED_IN: 0, DELIVERED_JOBS: 0}
    told: dict[str, list[tuple[object, ...]]] = {each: [(n,)] for each, n in numbers.items()}
    end = END.format("r-1")
    books = SqliteBook(tmp_path)
    monkeypatch.setattr(books, "read", told.__getitem__)
    told[end] = [("failed", 0)]
    assert wrong_once_released(books, ["r-1"], words=RELEASED[:1]) == []
    assert wrong_once_released(books, ["r-1"], words=["Waiting"]) != []
    told[end] = [("failed", 9000)]
    assert wrong_once_released(books, ["r-1"], words=RELEASED) == [
        "released: r-1 [('failed', 9000)]"
    ]


async def test_pairs_are_the_same_each_time_and_have_names_where_nobody_counted_points(
    tmp_path: Path, context: ForkServerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[Where, ...]] = []

    async def tell_none(_stage: Stage, _name: str, *points: Where) -> None:
        drawn.append(points)

    monkeypatch.setattr(Stage, "tell", tell_none)
    names = DECLINED.essential("slack", "postgresql")
    stage = Stage(
        chat="slack", database="postgresql", folder=tmp_path, processes=context, story=DECLINED
    )
    for points, known in ((len(names), range(1, len(names) + 1)), (0, names)):
        drawn.clear()
        for _ in range(2):
            assert [each async for each in stage.pairs(many=10, points=points, seed=7)] == []
        assert drawn[:10] == drawn[10:]
        assert len(set(drawn)) > 5
        assert all(each in known for pair in drawn for each in pair)
    assert all(names.index(str(first)) <= names.index(str(second)) for first, second in drawn)


async def test_what_was_acknowledged_and_is_gone_is_wrong_though_it_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world("slack", "sqlite", tmp_path / "place") as place:
        heard, asked = iter([False, False, True]), list[bool]()

        async def ask() -> None:
            asked.append(True)

        async def connected() -> None:
            """It always is."""

        monkeypatch.setattr(worlds, "ASK_AGAIN_SECONDS", 0)
        monkeypatch.setattr(place, "connected", connected)
        monkeypatch.setattr(place, "ask", ask)
        monkeypatch.setattr(place, "is_promised", lambda: bool(asked))
        monkeypatch.setattr(place, "_is_heard", lambda: next(heard))
        await place._ask_until_heard()
        assert len(asked) == 2
        assert place.trouble == [FORGOTTEN]


async def test_the_matrix_is_not_told_without_postgresql_unless_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(SERVER, raising=False)
    monkeypatch.setattr(postgres_server, "SCRIPT", "/bin/false")
    assert await main(to_options([])) == 2
    assert "--sqlite-only" in capsys.readouterr().err


async def test_the_server_that_it_started_is_stopped_where_it_is_terminated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def told(*_: object) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return int(await asyncio.Event().wait())

    script, done = tmp_path / "postgres", tmp_path / "done"
    script.write_text(f'#!/bin/sh\necho "$1" >> {done}\necho its address\n')
    script.chmod(0o755)
    monkeypatch.delenv(SERVER, raising=False)
    monkeypatch.setattr(postgres_server, "SCRIPT", str(script))
    monkeypatch.setattr("tests.crash.__main__._told", told)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(until_ended(main(to_options([]))))
    assert done.read_text().split() == ["start", "stop"]
