"""What a client of discord.py in this process has heard so far; one elsewhere is not known."""

from __future__ import annotations

from discord.webhook.async_ import async_context

from tests.discord_server.interactions import Interaction
from tests.fakes import until


async def wait_heard(interaction: Interaction, app_id: int) -> None:
    """Wait until it has heard all that it was answered when it spoke of an interaction.

    It knows a form only then, and no person fills one in before.
    """
    calls = async_context.get()._locks

    def is_heard() -> bool:
        known = [calls.get((each, interaction.token)) for each in (interaction.id, app_id)]
        return not any(each is not None and each.locked() for each in known)

    await until(is_heard)
