"""A sample of `make crash`: killed in front of a whole chat, the bot goes on as if not."""

from __future__ import annotations

import re
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from tests.crash.books import Kind
from tests.crash.matrix import Stage, processes
from tests.crash.worlds import Chat

#: Patterns of the names of points: after what is paid, and around the end.
SAMPLE = (
    "after POST that is paid",
    "before commit of .*jobs delivered",
    "after commit of .*jobs delivered",
)


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    return processes()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("database", "chat", "sample"),
    [
        ("sqlite", "discord", SAMPLE),
        ("sqlite", "slack", SAMPLE),
        ("postgresql", "discord", ("after POST that is paid",)),
        ("postgresql", "slack", ("between COMMIT and its answer, of .*jobs delivered",)),
    ],
)
async def test_killed_at_a_sample_of_points(
    database: Kind, chat: Chat, sample: tuple[str, ...], tmp_path: Path, context: ForkServerContext
) -> None:
    stage = Stage(chat=chat, database=database, folder=tmp_path, processes=context)
    points = await stage.passes()
    for part in sample:
        die_at = next(at for at, name in enumerate(points, start=1) if re.match(part, name))
        fate = await stage.tell(str(die_at), die_at)
        assert fate is not None
        assert fate.wrong == (), fate.point


@pytest.mark.timeout(120)
async def test_the_same_points_show_what_is_wrong_with_a_naive_bot(
    tmp_path: Path, context: ForkServerContext
) -> None:
    stage = Stage(chat="naive", database="sqlite", folder=tmp_path, processes=context)
    fates = [each async for each in stage.singles(first=4, step=4)]
    assert [each.wrong for each in fates] == [("2 generations",), ("2 clips",)]
