"""Private and public answers: what an acknowledgement says, and what comes by `response_url`."""

from __future__ import annotations

import secrets

from aiohttp import web

from tests.slack_server import blocks as rules
from tests.slack_server.asked import LINK_LIVES, MOST_USES, Asked, Link
from tests.slack_server.problems import Json, Refused
from tests.slack_server.world import Channel, Message, Team, World


class Answers:
    """Hands out links to answer by, and shows what is answered."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.base_url = ""
        self.links: dict[str, Link] = {}

    def link(self, asked: Asked, channel: Channel) -> str:
        """A new address for answers to this."""
        link = Link(
            id=secrets.token_hex(12), asked=asked, channel=channel, at=self._world.clock.now()
        )
        self.links[link.id] = link
        return f"{self.base_url}/response/{link.id}"

    async def respond(self, request: web.Request) -> web.Response:
        """A call at such an address: five times, for half an hour."""
        link = self.links.get(request.match_info["link"])
        if link is None:
            return web.Response(status=404, text="no_service")
        if self._world.clock.now() - link.at > LINK_LIVES:
            return web.json_response({"ok": False, "error": "expired_url"}, status=404)
        if link.uses >= MOST_USES:
            return web.json_response({"ok": False, "error": "used_url"}, status=404)
        link.uses += 1
        try:
            self.show(link.asked, link.channel, await request.json())
        except Refused as error:
            return web.json_response(error.body, status=400)
        return web.json_response({"ok": True})

    def show(self, asked: Asked, channel: Channel, said: Json) -> None:
        """Show an answer; by default the person alone sees it."""
        source = asked.source
        if said.get("delete_original") and source is not None:
            source.deleted = True
        elif said.get("replace_original") and source is not None:
            rules.check_message(said.get("blocks") or [])
            source.keep_version()
            source.text = said.get("text") or ""
            source.blocks = rules.with_ids(said.get("blocks") or [], self._world.id)
        else:
            self._add(asked, channel, said)
        self._world.board.notify()

    def _add(self, asked: Asked, channel: Channel, said: Json) -> None:
        text, blocks = said.get("text") or "", said.get("blocks") or []
        if not text and not blocks:
            raise Refused("no_text")
        rules.check_message(blocks)
        team: Team = channel.team
        message = Message(
            ts=self._world.ts(),
            channel=channel,
            user=team.bot_user,
            bot_id=team.bot_id,
            text=text,
            blocks=rules.with_ids(blocks, self._world.id),
        )
        if said.get("response_type") == "in_channel":
            message.thread_ts = said.get("thread_ts")
            self._world.add(message)
            return
        message.seen_by = asked.user
        asked.messages.append(message)
        self._world.ephemerals.append(message)
