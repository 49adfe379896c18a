"""What people do with commands in a server, over the wire of a local Discord."""

from __future__ import annotations

from tests.adapters.discord.conftest import Street, picture


async def test_a_prompt_becomes_a_clip_in_the_channel(street: Street) -> None:
    asked = await street.ana.slash("ray create", prompt="a red fox in snow")
    answer = await street.ana.answer(asked)
    clip = await street.clip()
    assert answer.is_ephemeral
    assert "a red fox in snow" in clip.content
    assert clip.attachments[0].filename.endswith(".mp4")
    assert clip.pings.users == {street.ana.id}
    [status] = [each for each in street.discord.said(street.general) if not each.attachments]
    assert f"/{status.id}" in answer.content
    await street.house.check_books()


async def test_a_picture_is_animated(street: Street) -> None:
    await street.ana.slash("ray animate", image=picture(), prompt="slow zoom")
    clip = await street.clip()
    assert "16\\:9, the nearest to your image" in clip.content
