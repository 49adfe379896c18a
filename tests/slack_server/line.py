"""How the bot is told: over sockets, or by signed calls at its own door."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import secrets
from collections.abc import Callable, Mapping
from datetime import timedelta
from urllib.parse import urlencode

import aiohttp
from aiohttp import WSMsgType, web

from tests.slack_server.asked import Asked, Envelope
from tests.slack_server.problems import Json
from tests.slack_server.world import World

COMMAND, INTERACTION, EVENT = "slash_commands", "interactive", "events_api"
#: So long Slack waits for an acknowledgement, of the time that a test lets pass.
ACK_WITHIN = timedelta(seconds=3)
#: So long we do, of the time that a slow machine takes.
PATIENCE_SECONDS = 30.0


class Line:
    """Tells the bot what happens. With `http_url` it calls there, else it uses the sockets."""

    def __init__(self, world: World, *, on_ack: Callable[[Envelope], None]) -> None:
        self._world = world
        self._on_ack = on_ack
        self.base_url = ""
        self.http_url = ""
        self.signing_secret = f"a-very-private-{secrets.token_hex(8)}"
        self.lost_acks = 0
        self.dead_tickets = 0
        #: A call at the bot's door is given up after that.
        self.patience_seconds = PATIENCE_SECONDS
        self.sockets: list[web.WebSocketResponse] = []
        self.envelopes: list[Envelope] = []
        self._tickets: set[str] = set()
        self._turns = itertools.count()

    # ---- telling -----------------------------------------------------------------------------

    async def tell(
        self,
        kind: str,
        payload: Json,
        asked: Asked | None = None,
        *,
        seconds: float = PATIENCE_SECONDS,
    ) -> Envelope:
        """Send something new. With `asked`, wait so long for what the bot acknowledges."""
        envelope = Envelope(id=secrets.token_hex(16), type=kind, payload=payload, asked=asked)
        self.envelopes.append(envelope)
        if asked is not None:
            asked.envelopes.append(envelope)
        await self.send(envelope)
        if asked is None:
            return envelope
        if not envelope.error and not self.http_url and seconds:
            try:
                await self._world.board.wait_for(lambda: envelope.is_acked, seconds)
            except AssertionError:
                envelope.error = "operation_timeout"
        asked.error = envelope.error
        return envelope

    async def send(self, envelope: Envelope) -> None:
        """Send it once, or again."""
        envelope.tries += 1
        envelope.sent_at, envelope.moved = self._world.clock.now(), self._world.clock.moved
        envelope.error = ""
        if self.http_url:
            await self._call(envelope)
        else:
            await self._push(envelope)
        self._world.board.notify()

    async def redeliver(self) -> list[Envelope]:
        """Send each event again that was not acknowledged; Slack does so three times at most."""
        again = [
            each
            for each in self.envelopes
            if each.type == EVENT and not each.is_acked and each.tries <= 3
        ]
        for each in again:
            await self.send(each)
        return again

    def _acked(self, envelope: Envelope, payload: Json | None) -> None:
        if self.lost_acks > 0:
            self.lost_acks -= 1
            envelope.lost += 1
        elif self._world.clock.moved - envelope.moved > ACK_WITHIN:
            envelope.error = "operation_timeout"
            if envelope.asked is not None:
                envelope.asked.error = envelope.error
        elif not envelope.is_acked:
            envelope.acked_at = self._world.clock.now()
            envelope.ack = payload
            self._on_ack(envelope)
        self._world.board.notify()

    # ---- sockets -----------------------------------------------------------------------------

    def new_address(self) -> str:
        """What `apps.connections.open` tells: an address that is good once."""
        ticket = secrets.token_hex(12)
        if self.dead_tickets > 0:
            self.dead_tickets -= 1
        else:
            self._tickets.add(ticket)
        # http becomes ws, and https wss.
        there = f"ws{self.base_url.removeprefix('http')}"
        return f"{there}/link?ticket={ticket}&app_id={self._world.app_id}"

    async def listen(self, request: web.Request) -> web.StreamResponse:
        """One socket, from hello to goodbye."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            return web.Response(status=408, text="dead ticket")
        self._tickets.discard(ticket)
        socket = web.WebSocketResponse(timeout=0.2)
        await socket.prepare(request)
        number = len(self.sockets) + 1
        info = {"host": "applink-1", "build_number": 1, "approximate_connection_time": 3600}
        await socket.send_json(
            {
                "type": "hello",
                "num_connections": number,
                "debug_info": info,
                "connection_info": {"app_id": self._world.app_id},
            }
        )
        self.sockets.append(socket)
        self._world.board.notify()
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    self._hear(message.data)
        finally:
            if socket in self.sockets:
                self.sockets.remove(socket)
            self._world.board.notify()
        return socket

    def _hear(self, text: str) -> None:
        told = json.loads(text)
        for each in self.envelopes:
            if each.id == told.get("envelope_id"):
                self._acked(each, told.get("payload"))

    async def _push(self, envelope: Envelope) -> None:
        if not self.sockets:
            envelope.error = "dispatch_failed"
            return
        body: Json = {
            "envelope_id": envelope.id,
            "type": envelope.type,
            "payload": envelope.payload,
            "accepts_response_payload": envelope.type != EVENT,
        }
        if envelope.type == EVENT:
            again = envelope.tries - 1
            body |= {"retry_attempt": again, "retry_reason": "timeout" if again else ""}
        socket = self.sockets[next(self._turns) % len(self.sockets)]
        try:
            await socket.send_json(body)
        except (ConnectionError, aiohttp.ClientError):
            envelope.error = "dispatch_failed"

    async def refresh(self, reason: str = "refresh_requested") -> None:
        """Ask each socket to be opened anew."""
        for each in list(self.sockets):
            await each.send_json({"type": "disconnect", "reason": reason, "debug_info": {}})

    async def cut(self) -> None:
        """Lose every socket without a word."""
        for each in list(self.sockets):
            self.sockets.remove(each)
            if (transport := each._req.transport if each._req else None) is not None:
                transport.abort()
        self._world.board.notify()

    async def close(self) -> None:
        """End every socket."""
        for each in list(self.sockets):
            await each.close()

    # ---- calls at the bot's door -------------------------------------------------------------

    async def _call(self, envelope: Envelope) -> None:
        headers: dict[str, str] = {}
        if envelope.type == EVENT:
            body = json.dumps(envelope.payload)
            headers["Content-Type"] = "application/json"
            if envelope.tries > 1:
                headers["X-Slack-Retry-Num"] = str(envelope.tries - 1)
                headers["X-Slack-Retry-Reason"] = "http_timeout"
        else:
            told = envelope.payload
            form = told if envelope.type == COMMAND else {"payload": json.dumps(told)}
            body = urlencode({name: _to_text(value) for name, value in form.items()})
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            status, answer = await self.post_signed(body, headers=headers)
        except (aiohttp.ClientError, OSError):
            envelope.error = "dispatch_failed"
            return
        except TimeoutError:
            envelope.error = "operation_timeout"
            return
        envelope.status = status
        if status == 200:
            self._acked(envelope, _to_payload(answer))
        else:
            envelope.error = "dispatch_failed"

    async def post_signed(
        self,
        body: str,
        *,
        timestamp: str | None = None,
        secret: str | None = None,
        headers: Mapping[str, str] | None = None,
        leaves_out: frozenset[str] = frozenset(),
    ) -> tuple[int, str]:
        """Call the bot's door; a time stamp or a secret of one's own is for forgeries."""
        at = timestamp or str(int(self._world.clock.now().timestamp()))
        key = (secret if secret is not None else self.signing_secret).encode()
        digest = hmac.new(key, f"v0:{at}:{body}".encode(), hashlib.sha256).hexdigest()
        sent = {
            "Content-Type": "application/json",
            **(headers or {}),
            "X-Slack-Request-Timestamp": at,
            "X-Slack-Signature": f"v0={digest}",
        }
        sent = {name: value for name, value in sent.items() if name not in leaves_out}
        async with (
            asyncio.timeout(self.patience_seconds),
            aiohttp.ClientSession() as session,
            session.post(self.http_url, data=body.encode(), headers=sent) as reply,
        ):
            return reply.status, await reply.text()


def _to_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _to_payload(answer: str) -> Json | None:
    """What a call was answered with: JSON, or plain words."""
    if not answer:
        return None
    try:
        told = json.loads(answer)
    except ValueError:
        return {"text": answer}
    return told if isinstance(told, dict) else {"text": answer}
