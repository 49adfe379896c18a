"""A Slack of our own on loopback, for the true slack_bolt: Web API, sockets, files and people.

    async with SlackServer(clock) as slack:     # .api_base_url .app_token .file_host
        team = slack.team("Foxes")              # .bot_token
        general = slack.channel(team, "general")
        ana = slack.person("Ana", team, general)
        asked = await ana.slash("/ray", "a fox")
        clip = await slack.wait_message(general, lambda message: message.files)
        await ana.click(clip, "Retry")

Its rules are those of Slack's documentation and of what others observed; none of it was held to
the real service.
"""

from tests.slack_server.asked import Asked, Envelope
from tests.slack_server.calls import Request
from tests.slack_server.faults import Gate
from tests.slack_server.happenings import Submitted
from tests.slack_server.people import Person
from tests.slack_server.problems import NotPossible
from tests.slack_server.server import SlackServer
from tests.slack_server.world import Channel, File, Message, Team, User, View

__all__ = [
    "Asked",
    "Channel",
    "Envelope",
    "File",
    "Gate",
    "Message",
    "NotPossible",
    "Person",
    "Request",
    "SlackServer",
    "Submitted",
    "Team",
    "User",
    "View",
]
