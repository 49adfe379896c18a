from __future__ import annotations

from bot.simulator import Faults
from tests.bot.simulator.conftest import Hook, Serve


async def test_every_state_after_queued_is_called_back(serve: Serve, hook: Hook) -> None:
    served = await serve()
    url = f"{hook.url}callbacks/luma/secret"
    made = await served.create(callback_url=url)
    await served.simulator.wait_for_callbacks(1)
    await served.simulator.finish(made["id"])
    await served.simulator.wait_for_callbacks(2)
    assert hook.states == ["dreaming", "completed"]
    assert hook.bodies[1] == await served.get(made["id"])
    assert hook.bodies[1]["request"]["callback_url"] == url
    assert served.simulator.generations[made["id"]].token == "secret"


async def test_a_failure_is_called_back(serve: Serve, hook: Hook) -> None:
    served = await serve()
    made = await served.create(callback_url=hook.url)
    await served.simulator.fail(made["id"], "Job failed")
    await served.simulator.wait_for_callbacks(2)
    assert {body["failure_reason"] for body in hook.bodies} == {None, "Job failed"}


async def test_anything_but_200_is_tried_three_times_more(serve: Serve, hook: Hook) -> None:
    served = await serve()
    hook.statuses = [500, 204, 404, 302]
    await served.create(callback_url=hook.url)
    await served.simulator.wait_for_callbacks(4)
    assert [attempt.status for attempt in served.simulator.callbacks] == [500, 204, 404, 302]
    assert hook.states == ["dreaming"] * 4


async def test_retries_end_with_the_first_200(serve: Serve, hook: Hook) -> None:
    served = await serve()
    hook.statuses = [503]
    made = await served.create(callback_url=hook.url)
    await served.simulator.wait_for_callbacks(2)
    await served.simulator.finish(made["id"])
    await served.simulator.wait_for_callbacks(3)
    assert [attempt.status for attempt in served.simulator.callbacks] == [503, 200, 200]


async def test_an_address_where_nobody_lives_changes_nothing(serve: Serve) -> None:
    served = await serve()
    for url in ("http://127.0.0.1:9/nobody", "no address"):
        made = await served.create(callback_url=url)
        await served.simulator.finish(made["id"])
        assert (await served.get(made["id"]))["state"] == "completed"
    await served.simulator.wait_for_callbacks(16)
    assert {attempt.status for attempt in served.simulator.callbacks} == {None}


async def test_duplicated_callbacks(serve: Serve, hook: Hook) -> None:
    faults = Faults()
    faults.break_callback("duplicated")
    served = await serve(faults)
    await served.create(callback_url=hook.url)
    await served.simulator.wait_for_callbacks(2)
    assert hook.bodies[0] == hook.bodies[1]


async def test_forged_callbacks_come_before_the_true_one(serve: Serve, hook: Hook) -> None:
    faults = Faults()
    faults.break_callback("forged")
    served = await serve(faults)
    made = await served.create(callback_url=hook.url)
    await served.simulator.wait_for_callbacks(2)
    assert hook.states == ["completed", "dreaming"]
    assert hook.bodies[0]["id"] == made["id"]
    assert served.simulator.base_url not in hook.bodies[0]["assets"]["video"]


async def test_lost_callbacks(serve: Serve, hook: Hook) -> None:
    faults = Faults()
    faults.break_callback("lost")
    served = await serve(faults)
    made = await served.create(callback_url=hook.url)
    await served.simulator.finish(made["id"])
    await served.simulator.wait_for_callbacks(1)
    assert hook.states == ["completed"]


async def test_reordered_callbacks_come_after_the_next_one(serve: Serve, hook: Hook) -> None:
    faults = Faults()
    faults.break_callback("reordered", times=2)
    served = await serve(faults)
    made = await served.create(callback_url=hook.url)
    await served.simulator.finish(made["id"])
    await served.simulator.wait_for_callbacks(2)
    assert hook.states == ["completed", "dreaming"]
