"""One call of the Web API, and what a call needs to be let in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiohttp import web

from tests.slack_server.problems import Json, Refused
from tests.slack_server.world import Channel, Team

#: The scope of each method that needs one; what depends on the conversation is looked at there.
SCOPE_OF = {
    "chat.postMessage": "chat:write",
    "chat.postEphemeral": "chat:write",
    "chat.update": "chat:write",
    "chat.delete": "chat:write",
    "conversations.open": "im:write",
    "conversations.info": "channels:read",
    "users.info": "users:read",
    "files.info": "files:read",
    "files.getUploadURLExternal": "files:write",
    "files.completeUploadExternal": "files:write",
    "files.delete": "files:write",
}
HISTORY = {"channel": "channels:history", "group": "groups:history", "im": "im:history"}


@dataclass(kw_only=True, eq=False)
class Request:
    """A call as it came: `error` is what it was answered, "" for success, "drop" for nothing."""

    method: str
    args: Json
    token: str
    at: datetime
    http_method: str = "POST"
    content_type: str = ""
    authorization: str = ""
    length: int = 0
    error: str = ""
    is_answered: bool = False
    #: Whether the arguments were in the body, not in the address.
    query: Json = field(default_factory=dict)


@dataclass(kw_only=True, eq=False)
class Call:
    """A call that was let in."""

    args: Json
    team: Team

    def text(self, name: str, default: str = "") -> str:
        """An argument as text."""
        value = self.args.get(name)
        return default if value is None else str(value)

    def needed(self, name: str, error: str = "invalid_arguments") -> str:
        """An argument that must be there."""
        if not (value := self.text(name)):
            raise Refused(error, response_metadata={"messages": [f"missing required: {name}"]})
        return value

    def flag(self, name: str) -> bool:
        """A truth value, in any of the ways that clients write one."""
        return self.text(name).lower() in {"1", "true"}

    def number(self, name: str, default: int) -> int:
        """A whole number."""
        try:
            return int(self.text(name) or default)
        except ValueError:
            raise Refused("invalid_arguments") from None

    def json(self, name: str, error: str = "invalid_arguments") -> Any:
        """An argument that is JSON, or JSON within text."""
        value = self.args.get(name)
        if not isinstance(value, str) or not value:
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise Refused(error) from None

    def require_history(self, channel: Channel) -> None:
        """Refuse to show a conversation without the scope of its kind."""
        require_scope(self.team, HISTORY[channel.kind])


def require_scope(team: Team, scope: str) -> None:
    """Refuse what the token may not do."""
    if scope not in team.scopes:
        raise Refused("missing_scope", needed=scope, provided=",".join(sorted(team.scopes)))


async def read_args(request: web.Request) -> Json:
    """Query, form and JSON in one."""
    args: Json = dict(request.query)
    if request.content_type == "application/json":
        if body := await request.text():
            try:
                told = json.loads(body)
            except ValueError:
                raise Refused("invalid_json") from None
            args |= told if isinstance(told, dict) else {}
    elif request.content_type in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        args |= dict((await request.post()).items())
    return args


def token_of(request: web.Request, args: Json) -> str:
    """The token of a call, from its header or its arguments."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else str(args.get("token", ""))
