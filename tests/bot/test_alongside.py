"""What goes on beside something is over when that is."""

from __future__ import annotations

import asyncio

import pytest

from bot.alongside import alongside


class Work:
    """Begins, and tidies up for a moment once it is given up."""

    def __init__(self) -> None:
        self.begun, self.is_tidy = asyncio.Event(), False

    async def __call__(self) -> None:
        try:
            self.begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.is_tidy = True


async def test_it_has_tidied_up_once_the_block_is_over() -> None:
    work = Work()
    async with alongside(work()):
        await work.begun.wait()
        assert not work.is_tidy
    assert work.is_tidy


async def test_what_ends_the_block_ends_it_too() -> None:
    work = Work()

    async def fail() -> None:
        async with alongside(work()):
            await work.begun.wait()
            raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        await fail()
    assert work.is_tidy


async def test_a_cancel_of_both_leaves_nothing_behind() -> None:
    work = Work()

    async def wait() -> None:
        async with alongside(work()):
            await asyncio.Event().wait()

    waiting = asyncio.ensure_future(wait())
    await work.begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert work.is_tidy


async def test_its_own_end_does_not_end_the_block() -> None:
    async def fail() -> None:
        raise ValueError("It met something.")

    async with alongside(fail()) as task:
        await asyncio.wait({task})
        assert isinstance(task.exception(), ValueError)
