"""What people do in Slack and what they see, told as dialogues with the true bolt."""

from __future__ import annotations

from tests.adapters.slack.conftest import Lane, picture

PNG = ("fox.png", picture(), "image/png")


async def test_a_command_becomes_a_clip_in_the_thread_of_its_status_message(lane: Lane) -> None:
    asked = await lane.ana.slash("/ray", "a fox in snow --ar 9:16 --dur 9s", lane.general)
    clip = await lane.clip()
    status = await lane.slack.wait_message(
        lane.general, lambda each: "Delivered" in each.text and not each.files
    )
    assert status.thread_ts is None
    assert clip.thread_ts == status.ts
    assert f"<@{lane.ana.id}>" in str(clip.blocks)
    assert set(clip.buttons) == {"Retry", "Remix", "Delete"}
    assert asked.is_acked
    [job_id] = [each["job_id"] for each in [status.metadata["event_payload"]]]
    job = await lane.house.delivered(job_id)
    assert (job.work.aspect_ratio, job.work.duration) == ("9:16", "9s")
    await lane.house.check_books()


async def test_a_mention_in_the_thread_of_an_image_sets_it_in_motion(lane: Lane) -> None:
    image = await lane.ben.say("look", lane.general, files=[PNG])
    await lane.ana.say(f"<@{lane.team.bot_user}> slow zoom in", lane.general, thread=image)
    clip = await lane.clip()
    assert clip.thread_ts == image.ts
    [generation] = lane.house.simulator.generations.values()
    assert generation is not None
