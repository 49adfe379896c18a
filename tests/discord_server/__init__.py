"""A Discord of our own on loopback, for the true discord.py: gateway, REST, files and people.

    async with DiscordServer() as discord:      # .api_base_url .gateway_url .token
        ana = discord.person("Ana", discord.guild("Foxes"))
        asked = await ana.slash("ray create", prompt="a fox", start_frame=PNG)
        assert (await ana.answer(asked)).text == "Started"
        clip = await discord.wait_message(ana.here, lambda message: message.files)
        await ana.click(clip, "Retry")

Its rules are those of Discord's documentation and of what others observed; none of it was held
to the real service.
"""

from tests.discord_server.application import Intent
from tests.discord_server.cdn import Upload
from tests.discord_server.furnishing import Size
from tests.discord_server.interactions import Answer, Asked, Interaction
from tests.discord_server.people import Person
from tests.discord_server.permissions import Permission
from tests.discord_server.problems import NotPossible
from tests.discord_server.server import DiscordServer
from tests.discord_server.wire import Request
from tests.discord_server.world import Channel, Flag, Guild, Kind, Message, Pings, Role, User

__all__ = [
    "Answer",
    "Asked",
    "Channel",
    "DiscordServer",
    "Flag",
    "Guild",
    "Intent",
    "Interaction",
    "Kind",
    "Message",
    "NotPossible",
    "Permission",
    "Person",
    "Pings",
    "Request",
    "Role",
    "Size",
    "Upload",
    "User",
]
