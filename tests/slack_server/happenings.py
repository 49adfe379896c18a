"""What the bot is told of what happens: events, commands, presses, shortcuts and forms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.slack_server import blocks as rules
from tests.slack_server.answers import Answers
from tests.slack_server.asked import Asked, Envelope
from tests.slack_server.line import COMMAND, EVENT, INTERACTION, Line
from tests.slack_server.payloads import Payloads
from tests.slack_server.problems import Json
from tests.slack_server.views import Views
from tests.slack_server.world import Channel, Message, Team, View, World

if TYPE_CHECKING:
    from tests.slack_server.people import Person


@dataclass(kw_only=True, eq=False)
class Submitted:
    """What became of a form: `errors` by block id, or `closed`, or `view` shown instead."""

    asked: Asked
    errors: dict[str, str] = field(default_factory=dict)
    closed: bool = False
    view: View | None = None

    @property
    def error(self) -> str:
        """What Slack shows for a failure, e.g. "operation_timeout"."""
        return self.asked.error

    @property
    def said(self) -> list[str]:
        """The words of the private answers that came by the form's conversation field."""
        return self.asked.said


class Happenings:
    """Tells the bot, as Slack words it.

    `tells_files`: whether a mention says its files. `repeat_events`: so many events for one
    message, each with an id of its own.
    """

    def __init__(
        self, world: World, payloads: Payloads, line: Line, views: Views, answers: Answers
    ) -> None:
        self._world = world
        self._payloads = payloads
        self._line = line
        self._views = views
        self._answers = answers
        self.tells_files = False
        self.repeat_events = 1

    # ---- events ------------------------------------------------------------------------------

    async def event(self, team: Team, event: Json) -> Envelope:
        """Tell an event of any kind."""
        at = self._world.clock.now().timestamp()
        payload = {
            "token": "verification",
            "team_id": team.id,
            "api_app_id": self._world.app_id,
            "event": {"event_ts": f"{at:.6f}", **event},
            "type": "event_callback",
            "event_id": self._world.id("Ev"),
            "event_time": int(at),
            "authorizations": [
                {
                    "enterprise_id": team.enterprise_id,
                    "team_id": team.id,
                    "user_id": team.bot_user,
                    "is_bot": True,
                    "is_enterprise_install": False,
                }
            ],
            "is_ext_shared_channel": False,
            "event_context": self._world.id("4-"),
        }
        if team.enterprise_id:
            payload["enterprise_id"] = team.enterprise_id
        return await self._line.tell(EVENT, payload)

    async def said(self, message: Message) -> None:
        """Somebody spoke: in a direct conversation, or with a mention where the bot is."""
        channel, team = message.channel, message.channel.team
        told = self._payloads.message(message)
        event: Json = {**told, "channel": channel.id, "event_ts": message.ts}
        author = self._world.users[message.user]
        if author.team_id != team.id:
            event |= {"user_team": author.team_id, "source_team": author.team_id}
        if channel.kind == "im" and channel.has_bot:
            event |= {"type": "message", "channel_type": "im"}
        elif team.mention in message.text and channel.has_bot:
            event["type"] = "app_mention"
            event.pop("subtype", None)
            if not self.tells_files:
                event.pop("files", None)
        else:
            return
        for _ in range(self.repeat_events):
            await self.event(team, event)

    async def reacted(
        self,
        message: Message,
        user: str,
        emoji: str,
        *,
        is_removed: bool = False,
        at: str | None = None,
    ) -> None:
        """Somebody reacted to a message in a conversation of the bot's, or took that back.

        `at`: so long ago that Slack tells of it late.
        """
        if not message.channel.has_bot:
            return
        item = {"type": "message", "channel": message.channel.id, "ts": message.ts}
        event = {
            "type": "reaction_removed" if is_removed else "reaction_added",
            "event_ts": at or self._world.ts(),
            "user": user,
            "reaction": emoji,
            "item": item,
            "item_user": message.user,
        }
        for _ in range(self.repeat_events):
            await self.event(message.channel.team, event)

    async def opened_home(self, person: Person) -> None:
        """Somebody looks at the Home tab."""
        event: Json = {
            "type": "app_home_opened",
            "user": person.id,
            "channel": person.direct.id,
            "tab": "home",
        }
        if person.home is not None:
            event["view"] = person.home.json
        await self.event(person.team, event)

    # ---- commands and interactions -----------------------------------------------------------

    async def commanded(
        self, person: Person, asked: Asked, command: str, text: str, *, seconds: float
    ) -> None:
        """A slash command."""
        channel = asked.channel
        assert channel is not None
        team = channel.team
        payload: Json = {
            "token": "verification",
            "team_id": team.id,
            "team_domain": team.domain,
            "channel_id": channel.id,
            "channel_name": channel.name if channel.kind == "channel" else "privategroup",
            "user_id": person.id,
            "user_name": person.name.lower(),
            "command": command,
            "text": text,
            "api_app_id": self._world.app_id,
            "is_enterprise_install": "false",
            "response_url": self._answers.link(asked, channel),
            "trigger_id": self._views.trigger(team, person.id, asked),
        }
        if team.enterprise_id:
            payload["enterprise_id"] = team.enterprise_id
        await self._line.tell(COMMAND, payload, asked, seconds=seconds)

    async def pressed(
        self, person: Person, asked: Asked, where: Message | View, element: Json, *, seconds: float
    ) -> None:
        """A button of a message, a modal or a Home tab."""
        action: Json = {
            name: element[name]
            for name in (
                "type",
                "action_id",
                "block_id",
                "text",
                "value",
                "style",
                "selected_option",
            )
            if name in element
        }
        action["action_ts"] = self._world.ts()
        payload = self._common(person, asked, "block_actions") | {
            "actions": [action],
            "state": {"values": {}},
        }
        if isinstance(where, View):
            payload["container"] = {"type": "view", "view_id": where.id}
            payload["view"] = where.json
        else:
            payload |= self._of_message(asked, where)
        await self._line.tell(INTERACTION, payload, asked, seconds=seconds)

    def _of_message(self, asked: Asked, message: Message) -> Json:
        channel = message.channel
        is_ephemeral = message.seen_by is not None
        container: Json = {
            "type": "message",
            "message_ts": message.ts,
            "channel_id": channel.id,
            "is_ephemeral": is_ephemeral,
        }
        if message.thread_ts:
            container["thread_ts"] = message.thread_ts
        told: Json = {
            "container": container,
            "channel": {"id": channel.id, "name": channel.name},
            "response_url": self._answers.link(asked, channel),
        }
        if not is_ephemeral:
            told["message"] = self._payloads.message(message)
        return told

    async def picked(
        self,
        person: Person,
        asked: Asked,
        callback_id: str,
        message: Message | None,
        *,
        seconds: float,
    ) -> None:
        """A shortcut, of a message or of everywhere."""
        kind = "shortcut" if message is None else "message_action"
        payload = self._common(person, asked, kind)
        payload |= {"callback_id": callback_id, "action_ts": self._world.ts()}
        if message is not None:
            payload |= {
                "channel": {"id": message.channel.id, "name": message.channel.name},
                "message_ts": message.ts,
                "message": self._payloads.message(message),
                "response_url": self._answers.link(asked, message.channel),
            }
        await self._line.tell(INTERACTION, payload, asked, seconds=seconds)

    def _common(self, person: Person, asked: Asked, kind: str) -> Json:
        team = asked.channel.team if asked.channel else person.team
        enterprise = {"id": team.enterprise_id, "name": "Grid"} if team.enterprise_id else None
        return {
            "type": kind,
            "token": "verification",
            "team": {"id": team.id, "domain": team.domain},
            "enterprise": enterprise,
            "is_enterprise_install": False,
            "user": {
                "id": person.id,
                "username": person.name.lower(),
                "name": person.name.lower(),
                "team_id": self._world.users[person.id].team_id,
            },
            "api_app_id": self._world.app_id,
            "trigger_id": self._views.trigger(team, person.id, asked),
        }

    # ---- forms -------------------------------------------------------------------------------

    async def submitted(self, person: Person, view: View, *, seconds: float) -> Submitted:
        """A form that is sent."""
        asked = Asked(board=self._world.board, user=person.id)
        payload = self._common(person, asked, "view_submission")
        payload |= {"view": view.json, "response_urls": self._response_urls(asked, view)}
        envelope = await self._line.tell(INTERACTION, payload, asked, seconds=seconds)
        done = Submitted(asked=asked)
        if envelope.is_acked:
            self._follow(done, view, envelope.ack or {})
        return done

    def _follow(self, done: Submitted, view: View, ack: Json) -> None:
        match ack.get("response_action"):
            case "errors":
                done.errors = dict(ack["errors"])
                unknown = set(done.errors) - {each.get("block_id") for each in view.blocks}
                assert not unknown, f"The view has no blocks {unknown}"
            case "update":
                rules.check_view(ack["view"])
                self._views.change(view, ack["view"])
                done.view = view
            case "push":
                rules.check_view(ack["view"])
                done.view = self._views.new(view.team, view.user, ack["view"])
            case _:
                view.is_open, done.closed = False, True
        self._world.board.notify()

    def _response_urls(self, asked: Asked, view: View) -> list[Json]:
        """An address for answers in each conversation that was chosen, where the field has it."""
        found: list[Json] = []
        for element in view.elements:
            if not element.get("response_url_enabled"):
                continue
            held: Any = view.state.get(element["block_id"], {}).get(element["action_id"], {})
            chosen = held.get("selected_conversation") or held.get("selected_channel")
            channel: Channel | None = self._world.channels.get(chosen or "")
            if channel is None:
                continue
            asked.channel = channel
            found.append(
                {
                    "block_id": element["block_id"],
                    "action_id": element["action_id"],
                    "channel_id": channel.id,
                    "response_url": self._answers.link(asked, channel),
                }
            )
        return found
