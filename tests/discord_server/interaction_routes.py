"""The routes that need an interaction's token instead of the bot's."""

from __future__ import annotations

from tests.discord_server import problems as no
from tests.discord_server.application import Application
from tests.discord_server.interactions import Answer, Interaction, Interactions
from tests.discord_server.payloads import Payloads
from tests.discord_server.problems import ApiError, Json
from tests.discord_server.wire import Reply, Request, Router
from tests.discord_server.world import Message

WEBHOOK = "/webhooks/{app}/{token}"


class InteractionRoutes:
    """Answers callbacks and the webhook that each interaction is."""

    def __init__(self, app: Application, payloads: Payloads, interactions: Interactions) -> None:
        self._app = app
        self._payloads = payloads
        self._interactions = interactions

    def add_to(self, router: Router) -> None:
        """Name every route."""
        for method, template, handler in (
            ("POST", "/interactions/{id}/{token}/callback", self._respond),
            ("POST", WEBHOOK, self._follow_up),
            ("GET", f"{WEBHOOK}/messages/{{message}}", self._get),
            ("PATCH", f"{WEBHOOK}/messages/{{message}}", self._edit),
            ("DELETE", f"{WEBHOOK}/messages/{{message}}", self._delete),
        ):
            router.add(method, template, handler, auth=False)

    def _respond(self, request: Request) -> Reply:
        interaction = self._interactions.respond(
            request.id("id"), request.params["token"], request.form, request.files
        )
        if request.query.get("with_response") not in {"1", "true"}:
            return Reply()
        return Reply(self._callback(interaction))

    def _callback(self, interaction: Interaction) -> Json:
        about: Json = {"id": str(interaction.id), "type": int(interaction.type)}
        body: Json = {"interaction": about}
        message = interaction.original
        if message is None or interaction.answer is Answer.DEFERRED_UPDATE:
            return body
        about |= {
            "response_message_id": str(message.id),
            "response_message_loading": message.is_loading,
            "response_message_ephemeral": message.is_ephemeral,
        }
        assert interaction.answer is not None
        body["resource"] = {
            "type": int(interaction.answer),
            "message": self._payloads.message(message),
        }
        return body

    def _found(self, request: Request) -> Interaction:
        if request.params["app"] != str(self._app.id):
            raise ApiError(*no.UNKNOWN_WEBHOOK)
        return self._interactions.by_token(request.params["token"])

    def _message(self, request: Request) -> tuple[Interaction, Message]:
        interaction = self._found(request)
        return interaction, self._interactions.message(interaction, request.params["message"])

    def _follow_up(self, request: Request) -> Reply:
        message = self._interactions.follow_up(self._found(request), request.form, request.files)
        if request.query.get("wait") not in {"1", "true"}:
            return Reply()
        return Reply(self._payloads.message(message))

    def _get(self, request: Request) -> Reply:
        return Reply(self._payloads.message(self._message(request)[1]))

    def _edit(self, request: Request) -> Reply:
        interaction, message = self._message(request)
        self._interactions.edit(interaction, message, request.form, request.files)
        return Reply(self._payloads.message(message))

    def _delete(self, request: Request) -> Reply:
        self._interactions.delete(self._message(request)[1])
        return Reply()
