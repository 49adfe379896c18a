"""The gateway: sessions that hear what their intents allow, and resume with a replay."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from tests.discord_server.application import (
    KNOWN_INTENTS,
    PRIVILEGED,
    Application,
    Intent,
    shard_of,
)
from tests.discord_server.happenings import Event
from tests.discord_server.payloads import Payloads
from tests.discord_server.problems import Json
from tests.discord_server.world import Guild, World


class Op(IntEnum):
    """Gateway operations."""

    DISPATCH = 0
    HEARTBEAT = 1
    IDENTIFY = 2
    PRESENCE = 3
    VOICE_STATE = 4
    RESUME = 6
    RECONNECT = 7
    REQUEST_MEMBERS = 8
    INVALID_SESSION = 9
    HELLO = 10
    HEARTBEAT_ACK = 11


UNKNOWN_OPCODE, DECODE_ERROR, NOT_AUTHENTICATED, BAD_TOKEN = 4001, 4002, 4003, 4004
ALREADY_AUTHENTICATED, INVALID_SEQUENCE, TIMED_OUT, INVALID_SHARD = 4005, 4007, 4009, 4010
INVALID_VERSION, INVALID_INTENTS, DISALLOWED_INTENTS = 4012, 4013, 4014
#: A client that leaves with one of these ends its session.
FAREWELLS = frozenset({WSCloseCode.OK, WSCloseCode.GOING_AWAY})
MOST_BYTES = 4096


class _Close(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(kw_only=True, eq=False)
class Session:
    """What one shard of the bot has heard; it outlives its connection."""

    id: str
    intents: Intent
    shard: int
    shards: int
    identify: Json
    log: list[tuple[int, str]] = field(default_factory=list)
    connection: Connection | None = None
    heard: list[str] = field(default_factory=list)
    resumes: int = 0

    @property
    def sequence(self) -> int:
        return len(self.log)

    def tell(self, name: str, body: Any) -> None:
        """Number an event and send it, now or at the next resume."""
        frame = {"op": Op.DISPATCH, "s": self.sequence + 1, "t": name, "d": body}
        self.heard.append(name)
        self.log.append((self.sequence + 1, json.dumps(frame)))
        if self.connection is not None:
            self.connection.put(self.log[-1][1])


class Connection:
    """One WebSocket: what goes out waits in a queue, compressed as one stream."""

    def __init__(self, ws: web.WebSocketResponse, request: web.Request) -> None:
        self.ws = ws
        self.transport = request.transport
        self.session: Session | None = None
        self.heartbeats: list[int | None] = []
        is_packed = request.query.get("compress") == "zlib-stream"
        self._stream = zlib.compressobj() if is_packed else None
        self._outgoing: asyncio.Queue[str | int] = asyncio.Queue()

    def put(self, frame: str) -> None:
        """Send a frame after those before it."""
        self._outgoing.put_nowait(frame)

    def send(self, op: Op, body: Any = None) -> None:
        """Send an operation that is no event."""
        self.put(json.dumps({"op": int(op), "d": body, "s": None, "t": None}))

    def close(self, code: int) -> None:
        """Close after what was sent before."""
        self._outgoing.put_nowait(code)

    async def pump(self) -> None:
        """Write until the close."""
        with contextlib.suppress(ConnectionError):
            while True:
                match await self._outgoing.get():
                    case int(code):
                        await self.ws.close(code=code)
                        return
                    case frame:
                        await self._write(frame)

    async def _write(self, frame: str) -> None:
        if self._stream is None:
            await self.ws.send_str(frame)
        else:
            packed = self._stream.compress(frame.encode())
            await self.ws.send_bytes(packed + self._stream.flush(zlib.Z_SYNC_FLUSH))


class Gateway:
    """Accepts connections. What a test steers and asserts on is public."""

    def __init__(
        self, world: World, app: Application, payloads: Payloads, notify: Callable[[], None]
    ) -> None:
        self.url = ""
        self.heartbeat_seconds = 41.25
        #: Without answers to its heartbeats a client takes the connection for dead.
        self.answers_heartbeats = True
        #: Nobody is let in, with this code.
        self.refusal: int | None = None
        self.sessions: dict[str, Session] = {}
        self.connections: list[Connection] = []
        self.identifies: list[Json] = []
        self.closes: list[int] = []
        self._world = world
        self._app = app
        self._payloads = payloads
        self._notify = notify

    # ---- steering ---------------------------------------------------------------------------

    @property
    def connected(self) -> list[Session]:
        """The sessions that somebody listens to."""
        return [each for each in self.sessions.values() if each.connection is not None]

    def listeners(self, guild: Guild | None) -> list[Session]:
        """Who hears what happens in a server, or outside of all."""
        return [each for each in self.connected if shard_of(guild, each.shards) == each.shard]

    def ask_to_reconnect(self) -> None:
        """Tell every client to come back and resume."""
        for each in self.connections:
            each.send(Op.RECONNECT)

    def invalidate(self, *, is_resumable: bool = False) -> None:
        """Tell every client that its session is over (or must be resumed)."""
        for each in self.connections:
            if not is_resumable and each.session is not None:
                self._end(each.session)
            each.send(Op.INVALID_SESSION, is_resumable)

    def forget_sessions(self) -> None:
        """Let every resume fail from now on."""
        for each in list(self.sessions.values()):
            self._end(each)

    def close_all(self, code: int) -> None:
        """Close every connection with this code."""
        for each in self.connections:
            each.close(code)

    def drop_all(self) -> None:
        """Cut every connection without a word."""
        for each in self.connections:
            _detach(each)
            if each.transport is not None:
                each.transport.abort()

    def dispatch(self, event: Event) -> None:
        """Tell every session that may hear this."""
        for each in self.sessions.values():
            is_wanted = each.intents & event.needs == event.needs
            if is_wanted and shard_of(event.guild, each.shards) == each.shard:
                reads = bool(each.intents & Intent.MESSAGE_CONTENT)
                each.tell(event.name, event.to_json(reads))

    # ---- one connection ---------------------------------------------------------------------

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Talk with one client until either leaves."""
        ws = web.WebSocketResponse(max_msg_size=1 << 20, compress=False)
        await ws.prepare(request)
        connection = Connection(ws, request)
        self.connections.append(connection)
        if request.query.get("v") not in {"10", "9"}:
            connection.close(INVALID_VERSION)
        connection.send(Op.HELLO, {"heartbeat_interval": round(self.heartbeat_seconds * 1000)})
        pump = asyncio.ensure_future(connection.pump())
        try:
            await self._listen(connection)
        finally:
            _detach(connection)
            self.connections.remove(connection)
            pump.cancel()
            await asyncio.wait([pump])
            self._notify()
        return ws

    async def _listen(self, connection: Connection) -> None:
        while not connection.ws.closed:
            try:
                message = await connection.ws.receive(timeout=self.heartbeat_seconds * 2)
                self._hear(connection, message)
            except TimeoutError:
                connection.close(TIMED_OUT)
            except _Close as close:
                self.closes.append(close.code)
                connection.close(close.code)
                # The pump says goodbye, and the client's answer ends the connection.
                await connection.ws.receive()
            self._notify()

    def _hear(self, connection: Connection, message: WSMessage) -> None:
        if message.type is not WSMsgType.TEXT:
            left_for_good = message.type is WSMsgType.CLOSE and message.data in FAREWELLS
            if left_for_good and connection.session is not None:
                self._end(connection.session)
            return
        try:
            if len(message.data) > MOST_BYTES:
                raise _Close(DECODE_ERROR)
            frame = json.loads(message.data)
            op, body = frame["op"], frame.get("d")
        except (ValueError, KeyError, TypeError) as error:
            raise _Close(DECODE_ERROR) from error
        self._obey(connection, op, body)

    def _obey(self, connection: Connection, op: Any, body: Any) -> None:
        match op:
            case Op.HEARTBEAT:
                connection.heartbeats.append(body)
                if self.answers_heartbeats:
                    connection.send(Op.HEARTBEAT_ACK)
            case Op.IDENTIFY:
                self._identify(connection, body)
            case Op.RESUME:
                self._resume(connection, body)
            case _ if connection.session is None:
                raise _Close(NOT_AUTHENTICATED)
            case Op.REQUEST_MEMBERS:
                self._chunk(connection.session, body)
            case Op.PRESENCE | Op.VOICE_STATE:
                pass
            case _:
                raise _Close(UNKNOWN_OPCODE)

    def _identify(self, connection: Connection, body: Json) -> None:
        self.identifies.append(body)
        if connection.session is not None:
            raise _Close(ALREADY_AUTHENTICATED)
        if body.get("token") != self._app.token:
            raise _Close(BAD_TOKEN)
        if self.refusal is not None:
            raise _Close(self.refusal)
        shard, shards = body.get("shard") or (0, 1)
        if not 0 <= shard < shards:
            raise _Close(INVALID_SHARD)
        asked = body.get("intents", -1)
        if not 0 <= asked <= KNOWN_INTENTS:
            raise _Close(INVALID_INTENTS)
        intents = Intent(asked)
        if intents & PRIVILEGED & ~self._app.granted:
            raise _Close(DISALLOWED_INTENTS)
        session = Session(
            id=secrets.token_hex(16), intents=intents, shard=shard, shards=shards, identify=body
        )
        self.sessions[session.id] = session
        connection.session, session.connection = session, connection
        self._greet(session)

    def _greet(self, session: Session) -> None:
        guilds = [
            each
            for each in self._world.guilds.values()
            if each.has_bot and shard_of(each, session.shards) == session.shard
        ]
        session.tell(
            "READY",
            {
                "v": 10,
                "user": self._payloads.user(self._app.bot),
                "session_id": session.id,
                "session_type": "normal",
                "resume_gateway_url": self.url,
                "shard": [session.shard, session.shards],
                "guilds": [{"id": str(each.id), "unavailable": True} for each in guilds],
                "application": {"id": str(self._app.id), "flags": self._app.flags},
            },
        )
        if session.intents & Intent.GUILDS:
            for each in guilds:
                session.tell("GUILD_CREATE", self._payloads.whole_guild(each))

    def _resume(self, connection: Connection, body: Json) -> None:
        if body.get("token") != self._app.token:
            raise _Close(BAD_TOKEN)
        session = self.sessions.get(str(body.get("session_id")))
        if session is None:
            connection.send(Op.INVALID_SESSION, body=False)
            return
        sequence = body.get("seq") or 0
        if sequence > session.sequence:
            self._end(session)
            raise _Close(INVALID_SEQUENCE)
        for number, frame in session.log:
            if number > sequence:
                connection.put(frame)
        connection.session, session.connection = session, connection
        session.resumes += 1
        session.tell("RESUMED", {"_trace": []})

    def _chunk(self, session: Session, body: Json) -> None:
        guild = self._world.guilds.get(int(body["guild_id"]))
        members = _asked(guild, body) if guild is not None else []
        session.tell(
            "GUILD_MEMBERS_CHUNK",
            {
                "guild_id": str(body["guild_id"]),
                "members": [
                    self._payloads.whole_member(guild, guild.members[each].user)
                    for each in members
                    if guild is not None
                ],
                "chunk_index": 0,
                "chunk_count": 1,
                "nonce": body.get("nonce"),
            },
        )

    def _end(self, session: Session) -> None:
        self.sessions.pop(session.id, None)


def _asked(guild: Guild, body: Json) -> list[int]:
    if ids := body.get("user_ids"):
        listed = {int(each) for each in (ids if isinstance(ids, list) else [ids])}
        return sorted(listed & guild.members.keys())
    start = (body.get("query") or "").lower()
    found = [
        key for key, each in guild.members.items() if each.user.name.lower().startswith(start)
    ]
    return found[: body.get("limit") or None]


def _detach(connection: Connection) -> None:
    if connection.session is not None and connection.session.connection is connection:
        connection.session.connection = None
