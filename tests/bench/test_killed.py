"""What the figures after `kill -9` count: each request for itself, and every post that stands."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bench.killed import KeyedChat, KillOutcome
from bench.post_log import PostLog
from bench.program import to_request
from bench.service import to_prompt
from bot.about import About
from bot.notices import Delivered
from bot.refs import JobId, Micros
from tests.contract.test_adapters import Pocket

REQUEST = to_request(7)
PROMPTS = [to_prompt(number) for number in range(3)]
WHOLE = KillOutcome(asked=PROMPTS, paid=PROMPTS[::-1], shown=PROMPTS)
CLIP = Delivered(
    about=About(job_id=JobId("r-0000000001"), requester=REQUEST.requester, work=REQUEST.work),
    path="made.mp4",
    filename="made.mp4",
    width=64,
    height=64,
    seconds=1.0,
    bytes=1,
    charged=Micros(0),
    took=timedelta(seconds=40),
)


async def _post(chat: KeyedChat, memo: Pocket, key: str = "r-0000000001:clip") -> None:
    await chat.post(REQUEST.thread, CLIP, key=key, memo=memo)


async def _killed_unheard(post_log: PostLog) -> Pocket:
    """A clip stands there, and its process died before it heard so; what its memo says."""
    memo = Pocket()
    posting = asyncio.create_task(_post(KeyedChat(post_log, answers=0), memo))
    while not post_log.clips():
        await asyncio.sleep(0)
    assert not posting.done()
    posting.cancel()
    await asyncio.wait([posting])
    return memo


@pytest.fixture
def post_log(tmp_path: Path) -> PostLog:
    return PostLog(tmp_path / "post_log")


async def test_the_next_life_finds_what_was_posted_under_its_key(post_log: PostLog) -> None:
    memo = await _killed_unheard(post_log)
    await _post(KeyedChat(post_log), memo)
    assert post_log.clips() == [to_prompt(7)]


async def test_a_life_that_forgot_its_memo_is_seen_to_post_twice(post_log: PostLog) -> None:
    await _killed_unheard(post_log)
    await _post(KeyedChat(post_log), Pocket())
    assert KillOutcome(asked=[to_prompt(7)], paid=[], shown=post_log.clips()).posted_twice == 1


async def test_a_life_that_has_another_key_is_seen_to_post_twice(post_log: PostLog) -> None:
    memo = await _killed_unheard(post_log)
    await _post(KeyedChat(post_log), memo, "r-0000000001:clip:2")
    assert KillOutcome(asked=[to_prompt(7)], paid=[], shown=post_log.clips()).posted_twice == 1


def test_one_for_each_request_is_whole() -> None:
    assert WHOLE.is_whole
    assert (WHOLE.lost, WHOLE.paid_twice, WHOLE.posted_twice) == (0, 0, 0)


@pytest.mark.parametrize(
    ("fate", "counted"),
    [
        (replace(WHOLE, shown=[*PROMPTS, PROMPTS[0]]), (0, 0, 1)),
        (replace(WHOLE, shown=[PROMPTS[0], PROMPTS[0], PROMPTS[1]]), (1, 0, 1)),
        (replace(WHOLE, paid=[PROMPTS[0], PROMPTS[0], PROMPTS[1]]), (0, 1, 0)),
        (replace(WHOLE, paid=[*PROMPTS, "of nobody"]), (0, 1, 0)),
        (replace(WHOLE, shown=PROMPTS[1:]), (1, 0, 0)),
        (replace(WHOLE, paid=PROMPTS[1:]), (0, 0, 0)),
    ],
    ids=["posted twice", "one lost", "one not paid", "for nobody", "lost", "never paid"],
)
def test_one_that_is_missing_makes_up_for_none_that_came_twice(
    fate: KillOutcome, counted: tuple[int, int, int]
) -> None:
    assert (fate.lost, fate.paid_twice, fate.posted_twice) == counted
    assert not fate.is_whole
