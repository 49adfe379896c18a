"""A sample of `make crash`: killed in front of a whole chat, the bot goes on as if not."""

from __future__ import annotations

import re
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from tests.crash import matrix
from tests.crash.worlds import Chat, passes, tell

#: Patterns of the names of points: after what is paid, and around the end.
SAMPLE = (
    "after POST that is paid",
    "before commit of .*jobs delivered",
    "after commit of .*jobs delivered",
)


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    return matrix.processes()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("chat", matrix.CHATS)
async def test_killed_at_a_sample_of_points(
    chat: Chat, tmp_path: Path, context: ForkServerContext
) -> None:
    points = await passes(chat, tmp_path / "whole", context)
    for part in SAMPLE:
        die_at = next(at for at, name in enumerate(points, start=1) if re.match(part, name))
        fate = await tell(chat, tmp_path / str(die_at), context, die_at)
        assert fate is not None
        assert fate.wrong == (), fate.point


@pytest.mark.timeout(120)
async def test_the_same_points_show_what_is_wrong_with_a_naive_bot(
    tmp_path: Path, context: ForkServerContext
) -> None:
    fates = [each async for each in matrix.singles("naive", tmp_path, context, first=4, step=4)]
    assert [each.wrong for each in fates] == [("2 generations",), ("2 clips",)]
