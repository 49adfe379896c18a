"""A server in its own process, steered over HTTP: what a test could call is a POST here.

Objects travel as `{"$": "channel", "id": "C1", …}`; whatever came out may go in again.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from tests.slack_server.asked import Asked, Envelope
from tests.slack_server.calls import Request
from tests.slack_server.faults import Gate
from tests.slack_server.happenings import Submitted
from tests.slack_server.people import Person
from tests.slack_server.problems import Json, NotPossible
from tests.slack_server.server import SlackServer
from tests.slack_server.world import Channel, File, Message, Team, View


class Control:
    """Lets another process act on a server.

    POST /control/call      {"on": "server" | "faults" | "clock" | … | a person's name or an
                            object, "do", "with", "by"}
    POST /control/set       {"on", "name", "value"}: change one public setting
    POST /control/get       {"on", "name"}: read one
    POST /control/wait      {"for": "message" | "request" | "ephemeral" | "said" | "view" | "home"
                            | "gate" | "connected" | "left" | "acked", …, "seconds"}
    GET  /control/requests  what came, as JSON; `method` chooses
    GET  /control/files/ID  the bytes of a file
    """

    def __init__(self, server: SlackServer) -> None:
        self._server = server
        self._kept: list[Any] = []

    def routes(self) -> list[web.RouteDef]:
        """What the server listens to besides its own."""
        return [
            web.post("/control/call", self._json(self._call)),
            web.post("/control/set", self._json(self._set)),
            web.post("/control/get", self._json(self._get)),
            web.post("/control/wait", self._json(self._wait)),
            web.get("/control/requests", self._requests),
            web.get("/control/files/{file}", self._file),
        ]

    def _json(
        self, handle: Callable[[Json], Awaitable[Any]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            try:
                return _reply(self.encode(await handle(await request.json())))
            except (NotPossible, AssertionError) as error:
                return _reply({"error": type(error).__name__, "says": str(error)}, status=409)

        return answer

    # ---- acts --------------------------------------------------------------------------------

    def _target(self, name: str | Json) -> Any:
        if not isinstance(name, str):
            return self.decode(name)
        server = self._server
        known = {
            "server": server,
            "faults": server.faults,
            "line": server.line,
            "files": server.files,
            "messages": server.messages,
            "happenings": server.happenings,
            "oauth": server.oauth,
            "clock": server.clock,
        }
        return known.get(name) or server.people[name]

    async def _call(self, order: Json) -> Any:
        method = getattr(self._target(order["on"]), _public(order["do"]))
        done = method(*self.decode(order.get("with", [])), **self.decode(order.get("by", {})))
        return await done if isinstance(done, Awaitable) else done

    async def _set(self, order: Json) -> None:
        setattr(self._target(order["on"]), _public(order["name"]), self.decode(order["value"]))

    async def _get(self, order: Json) -> Any:
        return getattr(self._target(order["on"]), _public(order["name"]))

    async def _wait(self, order: Json) -> Any:
        server, seconds = self._server, float(order.get("seconds", 30))
        text = re.compile(order.get("text", ""))
        of: Any = self.decode(order["of"]) if "of" in order else None
        waits: dict[str, Callable[[], Awaitable[Any]]] = {
            "message": lambda: server.wait_message(
                self.decode(order["channel"]),
                lambda each: text.search(each.plain) and (each.files or not order.get("files")),
                seconds=seconds,
            ),
            "request": lambda: server.wait_request(
                order["method"], order.get("count", 1), seconds=seconds
            ),
            "ephemeral": lambda: of.wait_ephemeral(
                lambda each: text.search(each.plain), seconds=seconds
            ),
            "said": lambda: of.wait_said(text.search, seconds=seconds),
            "view": lambda: of.wait_view(seconds=seconds),
            "home": lambda: of.wait_home(lambda each: text.search(each.plain), seconds=seconds),
            "gate": lambda: server.wait_gate(of, seconds=seconds),
            "connected": lambda: server.wait_connected(order.get("sockets", 1), seconds=seconds),
            "left": lambda: server.wait_left(seconds=seconds),
            "acked": lambda: server.wait_acked(seconds=seconds),
        }
        return await waits[order["for"]]()

    # ---- looks -------------------------------------------------------------------------------

    async def _requests(self, request: web.Request) -> web.Response:
        method = request.query.get("method")
        found = self._server.requests_to(method) if method else self._server.requests
        return _reply([self.encode(each) for each in found])

    async def _file(self, request: web.Request) -> web.Response:
        return web.Response(body=self._server.world.files[request.match_info["file"]].content)

    # ---- objects on the wire -----------------------------------------------------------------

    def encode(self, value: Any) -> Any:
        """An object as JSON that names it and tells the most of it."""
        match value:
            case list() | tuple():
                return [self.encode(each) for each in value]
            case dict():
                return {key: self.encode(each) for key, each in value.items()}
            case Message() | Asked() | Submitted() | View() | Gate():
                return {**self._name(value), **self._tell(value)}
            case Request():
                return _request(value)
            case Envelope():
                told = {"is_acked": value.is_acked, "error": value.error, "tries": value.tries}
                return {"type": value.type, "payload": value.payload, "ack": value.ack, **told}
            case Person() | Channel() | Team() | File():
                return _thing(value)
        return value

    def _name(self, value: Any) -> Json:
        if isinstance(value, View):
            return {"$": "view", "id": value.id}
        if isinstance(value, Message) and value.seen_by is None:
            return {"$": "message", "id": f"{value.channel.id}/{value.ts}"}
        return {"$": "kept", "id": self._keep(value)}

    def _tell(self, value: Any) -> Json:
        match value:
            case Message():
                return _message(value)
            case View():
                return _view(value)
            case Asked() | Submitted():
                return self._done(value)
        return {}

    def _keep(self, value: Any) -> int:
        if value not in self._kept:
            self._kept.append(value)
        return self._kept.index(value)

    def _done(self, done: Asked | Submitted) -> Json:
        told: Json = {"said": done.said, "error": done.error, "view": self.encode(done.view)}
        if isinstance(done, Submitted):
            return told | {"errors": done.errors, "closed": done.closed}
        return told | {"is_acked": done.is_acked, "messages": self.encode(done.messages)}

    def decode(self, value: Any) -> Any:
        """The object that such JSON names."""
        if isinstance(value, list):
            return [self.decode(each) for each in value]
        if not isinstance(value, dict):
            return value
        if "$" not in value:
            return {key: self.decode(each) for key, each in value.items()}
        return self._named(value["$"], value)

    def _named(self, kind: str, value: Json) -> Any:
        world = self._server.world
        if kind == "message":
            channel, _, ts = value["id"].partition("/")
            return world.channels[channel].messages[ts]
        find: dict[str, Callable[[Any], Any]] = {
            "bytes": lambda _: base64.b64decode(value["base64"]),
            "person": lambda name: self._server.people[name],
            "channel": lambda given: world.channels[given],
            "team": lambda given: world.teams[given],
            "file": lambda given: world.files[given],
            "view": lambda given: world.views[given],
            "kept": lambda number: self._kept[number],
        }
        return find[kind](value.get("id"))


def _public(name: str) -> str:
    if name.startswith("_"):
        raise NotPossible(f"{name} is private")
    return name


def _thing(value: Person | Channel | Team | File) -> Json:
    told: Json = {"$": type(value).__name__.lower(), "id": value.id, "name": value.name}
    match value:
        case Person():
            told |= {"id": value.name, "user_id": value.id}
        case Team():
            told |= {"bot_token": value.bot_token, "bot_user": value.bot_user}
    return told


def _message(message: Message) -> Json:
    return {
        "ts": message.ts,
        "channel": message.channel.id,
        "user": message.user,
        "text": message.text,
        "plain": message.plain,
        "blocks": message.blocks,
        "buttons": message.buttons,
        "files": {each.name: each.id for each in message.files},
        "thread_ts": message.thread_ts,
        "metadata": message.metadata,
        "deleted": message.deleted,
    }


def _view(view: View) -> Json:
    told = {"title": view.title, "plain": view.plain, "buttons": view.buttons}
    return {**told, "is_open": view.is_open, "said": view.said}


def _request(request: Request) -> Json:
    return {
        "method": request.method,
        "args": {name: str(value) for name, value in request.args.items()},
        "error": request.error,
        "is_answered": request.is_answered,
        "at": request.at.isoformat(),
    }


def _reply(body: Any, *, status: int = 200) -> web.Response:
    return web.json_response(body, status=status, dumps=lambda each: json.dumps(each, default=str))
