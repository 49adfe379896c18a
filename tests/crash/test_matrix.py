"""A sample of `make crash`: killed in front of a whole chat, the bot goes on as if not."""

from __future__ import annotations

from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from tests.crash.books import Kind
from tests.crash.matrix import Stage, processes
from tests.crash.worlds import Chat, tell, world

#: How the names of points begin: after what is paid, and around the end.
PAID, SETTLING, SETTLED = (
    "after POST that is paid",
    "before commit of .*jobs delivered",
    "after commit of .*jobs delivered",
)
#: What PostgreSQL was told to commit, and nobody heard whether it did.
IN_DOUBT = "between COMMIT and its answer, of .*jobs delivered"


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    return processes()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("database", "chat", "sample"),
    [
        ("sqlite", "discord", (PAID, SETTLING, SETTLED)),
        ("sqlite", "slack", (PAID, SETTLING, SETTLED)),
        ("postgresql", "discord", (PAID,)),
        ("postgresql", "slack", (IN_DOUBT,)),
    ],
)
async def test_killed_at_a_sample_of_points(
    database: Kind, chat: Chat, sample: tuple[str, ...], tmp_path: Path, context: ForkServerContext
) -> None:
    stage = Stage(chat=chat, database=database, folder=tmp_path, processes=context)
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
