"""A server in its own process, steered over HTTP: what a test could call is a POST here.

Objects travel as `{"$": "channel", "id": "1", …}`; whatever came out may go in again.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

from aiohttp import web

from tests.discord_server.cdn import Upload
from tests.discord_server.faults import Gate
from tests.discord_server.interactions import Interaction
from tests.discord_server.people import Person
from tests.discord_server.permissions import Permission
from tests.discord_server.problems import Json, NotPossible
from tests.discord_server.server import DiscordServer
from tests.discord_server.wire import Request
from tests.discord_server.world import Channel, Guild, Kind, Message, Pings, Role, User


class Control:
    """Lets another process act on a server.

    POST /control/call      {"on": "server" | "faults" | … | a person's name, "do", "with", "by"};
                            `on` may be a gate, too
    POST /control/set       {"on", "name", "value"}: change one public setting
    POST /control/wait      {"for": "message" | "request" | "answer" | "gate" | "connected"
                            | "left", …, "seconds"}
    GET  /control/requests  what came, as JSON; `method` and `path` (a regular expression) choose
    GET  /control/files/ID  the bytes of an attachment
    """

    def __init__(self, server: DiscordServer) -> None:
        self._server = server
        self._gates: list[Gate] = []

    def routes(self) -> list[web.RouteDef]:
        """What the server listens to besides its own."""
        return [
            web.post("/control/call", self._json(self._call)),
            web.post("/control/set", self._json(self._set)),
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
            "limits": server.limits,
            "gateway": server.gateway,
            "cdn": server.cdn,
            "clock": server.clock,
            "posting": server.posting,
            "app": server.app,
        }
        return known.get(name) or server.people[name]

    async def _call(self, order: Json) -> Any:
        method = getattr(self._target(order["on"]), _public(order["do"]))
        done = method(*self.decode(order.get("with", [])), **self.decode(order.get("by", {})))
        return await done if isinstance(done, Awaitable) else done

    async def _set(self, order: Json) -> None:
        target = self._target(order["on"])
        now = getattr(target, _public(order["name"]))
        value = self.decode(order["value"])
        setattr(target, order["name"], type(now)(value) if isinstance(now, Enum) else value)

    async def _wait(self, order: Json) -> Any:
        server, seconds = self._server, float(order.get("seconds", 30))
        match order["for"]:
            case "message":
                text = re.compile(order.get("text", ""))
                has_files = bool(order.get("files"))
                return await server.wait_message(
                    self.decode(order["channel"]),
                    lambda each: text.search(each.text) and (each.files or not has_files),
                    seconds=seconds,
                )
            case "request":
                return await server.wait_request(
                    order["method"], order["path"], count=order.get("count", 1), seconds=seconds
                )
            case "answer":
                interaction = self.decode(order["interaction"])
                person = server.people[interaction.user.name]
                return await person.answer(interaction, seconds=seconds)
            case "gate":
                gate: Gate = self.decode(order["gate"])
                return await server.wait_for(gate.reached.is_set, seconds)
            case "left":
                return await server.wait_for(lambda: not server.gateway.sessions, seconds)
            case _:
                return await server.wait_connected(seconds=seconds)

    # ---- looks -------------------------------------------------------------------------------

    async def _requests(self, request: web.Request) -> web.Response:
        found = self._server.requests_to(request.query.get("method", "POST"), "")
        if "method" not in request.query:
            found = self._server.requests
        path = re.compile(request.query.get("path", ""))
        return _reply([self.encode(each) for each in found if path.search(each.path)])

    async def _file(self, request: web.Request) -> web.Response:
        return web.Response(body=self._server.cdn.files[int(request.match_info["file"])].content)

    # ---- objects on the wire -----------------------------------------------------------------

    def encode(self, value: Any) -> Any:
        """An object as JSON that names it and tells the most of it."""
        match value:
            case Message():
                return self._message(value)
            case Interaction():
                return self._interaction(value)
            case Request():
                return _request(value)
            case Person():
                return {"$": "person", "id": value.name, "user_id": str(value.id)}
            case Channel() | Guild() | Role() | User():
                kind = type(value).__name__.lower()
                return {"$": kind, "id": str(value.id), "name": value.name}
            case Pings():
                return {
                    "users": [str(each) for each in sorted(value.users)],
                    "roles": [str(each) for each in sorted(value.roles)],
                    "everyone": value.everyone,
                }
            case Gate():
                self._gates.append(value)
                return {"$": "gate", "id": str(len(self._gates) - 1)}
            case list() | tuple():
                return [self.encode(each) for each in value]
            case dict():
                return {key: self.encode(each) for key, each in value.items()}
        return value

    def _message(self, message: Message) -> Json:
        return {
            "$": "message",
            "id": str(message.id),
            "channel": self.encode(message.channel),
            "author": self.encode(message.author),
            "text": message.text,
            "pings": self.encode(message.pings),
            "files": {each.filename: str(each.id) for each in message.attachments},
            "buttons": list(message.buttons),
            "reply_to": str(message.reference.message_id) if message.reference else None,
            "is_ephemeral": message.is_ephemeral,
            "is_loading": message.is_loading,
            "is_deleted": message.is_deleted,
            "json": self._server.payloads.message(message),
        }

    def _interaction(self, interaction: Interaction) -> Json:
        return {
            "$": "interaction",
            "id": str(interaction.id),
            "answer": interaction.answer and int(interaction.answer),
            "is_late": self._server.interactions.is_late(interaction),
            "replies": [self._message(each) for each in interaction.replies],
            "modal": interaction.modal,
        }

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
        server = self._server
        find: dict[str, Callable[[], Any]] = {
            "bytes": lambda: base64.b64decode(value["base64"]),
            "upload": lambda: Upload(
                name=value["name"], content=base64.b64decode(value["base64"])
            ),
            "permission": lambda: Permission[value["name"]],
            "kind": lambda: Kind[value["name"]],
            "person": lambda: server.people[value["id"]],
            "user": lambda: server.world.users[int(value["id"])],
            "guild": lambda: server.world.guilds[int(value["id"])],
            "channel": lambda: server.world.channels[int(value["id"])],
            "role": lambda: _first(
                each.roles[int(value["id"])]
                for each in server.world.guilds.values()
                if int(value["id"]) in each.roles
            ),
            "message": lambda: _first(
                each
                for each in [*server.posting.all, *server.everything_said()]
                if each.id == int(value["id"])
            ),
            "interaction": lambda: _first(
                each for each in server.interactions.all if each.id == int(value["id"])
            ),
            "gate": lambda: self._gates[int(value["id"])],
        }
        return find[kind]()


def _first(found: Any) -> Any:
    return next(iter(found))


def _public(name: str) -> str:
    if name.startswith("_"):
        raise NotPossible(f"{name} is private")
    return name


def _request(request: Request) -> Json:
    return {
        "method": request.method,
        "path": request.path,
        "query": dict(request.query),
        "body": request.body,
        "files": [{"name": each.filename, "size": len(each.content)} for each in request.files],
        "status": request.status,
        "code": request.code,
        "fault": request.fault,
        "at": request.at.isoformat(),
    }


def _reply(body: Any, *, status: int = 200) -> web.Response:
    return web.json_response(body, status=status, dumps=lambda each: json.dumps(each, default=str))
