"""Files: their three calls, their host with its sign-in page, and where they are shown."""

from __future__ import annotations

from typing import Literal

from aiohttp import web

from tests.slack_server import blocks as rules
from tests.slack_server.calls import Call
from tests.slack_server.payloads import Payloads
from tests.slack_server.problems import Json, Refused
from tests.slack_server.world import File, Message, Team, World

Shares = int | Literal["now", "never"]


class Files:
    """Takes and shows files.

    `shares`: when a file's message appears after its last call: "now", after so many looks with
    `files.info`, or "never".
    """

    def __init__(self, world: World, payloads: Payloads) -> None:
        self._world = world
        self._payloads = payloads
        self.base_url = ""
        self.shares: Shares = "now"
        self.most_bytes = 1_000_000_000
        self._coming: dict[str, list[Message]] = {}

    def new(self, name: str, content: bytes, mimetype: str, *, owner: str, team_id: str) -> File:
        """A file that a person has."""
        file = File(
            id=self._world.id("F"),
            name=name,
            mimetype=mimetype,
            owner=owner,
            team_id=team_id,
            content=content,
            length=len(content),
            is_complete=True,
        )
        self._world.files[file.id] = file
        return file

    # ---- the bot's own -----------------------------------------------------------------------

    async def place(self, call: Call) -> Json:
        """`files.getUploadURLExternal`."""
        name, length = call.needed("filename"), call.number("length", 0)
        if length < 1:
            raise Refused("invalid_arguments")
        if length > self.most_bytes:
            raise Refused("file_upload_size_restricted")
        kind = "video/mp4" if name.endswith(".mp4") else "application/octet-stream"
        kind = "image/png" if name.endswith(".png") else kind
        file = File(
            id=self._world.id("F"),
            name=name,
            mimetype=kind,
            owner=call.team.bot_user,
            team_id=call.team.id,
            length=length,
        )
        self._world.files[file.id] = file
        return {"upload_url": f"{self.base_url}/upload/{file.id}", "file_id": file.id}

    async def take(self, request: web.Request) -> web.Response:
        """The bytes, sent to the address that was given for them."""
        file = self._world.files.get(request.match_info["file"])
        content = await request.read()
        if request.content_type == "multipart/form-data":
            content = b""
        if file is None or file.is_complete or file.is_deleted:
            return web.Response(status=404, text="not found")
        if len(content) != file.length:
            return web.Response(status=400, text=f"expected {file.length} bytes")
        file.content = content
        self._world.board.notify()
        return web.Response(text=f"OK - {len(content)}")

    async def complete(self, call: Call) -> Json:
        """`files.completeUploadExternal`: may be called once for a file."""
        given = call.json("files") or []
        if not given:
            raise Refused("invalid_arguments")
        files = [self._uploaded(call.team, each) for each in given]
        messages = self._to_show(call, files)
        for file, each in zip(files, given, strict=True):
            file.title = str(each.get("title") or file.name)
            file.is_complete = True
        self._show(files, messages)
        # What it answers with says nothing of the messages yet.
        return {"files": [{"id": each.id, "title": each.title} for each in files]}

    def _uploaded(self, team: Team, given: Json) -> File:
        file = self._world.files.get(str(given.get("id", "")))
        if file is None or file.owner != team.bot_user or file.is_complete:
            raise Refused("file_not_found")
        if file.is_deleted or file.content is None:
            raise Refused("file_deleted" if file.is_deleted else "file_not_found")
        return file

    def _to_show(self, call: Call, files: list[File]) -> list[Message]:
        """The messages that will show the files, one in each conversation."""
        names = [*filter(None, (call.text("channel_id"), *call.text("channels").split(",")))]
        channels = [self._world.to_channel(call.team, each) for each in names]
        if any(not each.has_bot for each in channels):
            raise Refused("not_in_channel")
        text = call.text("initial_comment")
        blocks = [] if text else call.json("blocks", "invalid_blocks_format") or []
        if any(each.get("type") == "markdown" for each in blocks):
            raise Refused("internal_error")
        rules.check_message(blocks)
        parent = call.text("thread_ts") or None
        if parent and any(parent not in each.messages for each in channels):
            raise Refused("thread_not_found")
        return [
            Message(
                ts="",
                channel=each,
                user=call.team.bot_user,
                bot_id=call.team.bot_id,
                text=text,
                blocks=rules.with_ids(blocks, self._world.id),
                files=list(files),
                thread_ts=parent,
                subtype="file_share" if not blocks else None,
            )
            for each in channels
        ]

    def _show(self, files: list[File], messages: list[Message]) -> None:
        if self.shares == "now":
            self._appear(messages)
        elif self.shares != "never":
            for each in files:
                each.looks = self.shares
                self._coming[each.id] = messages

    def _appear(self, messages: list[Message]) -> None:
        for each in messages:
            if not each.ts and not any(file.is_deleted for file in each.files):
                each.ts = self._world.ts()
                self._world.add(each)

    def appear(self) -> None:
        """Show all that was taken and is not shown yet."""
        for each in self._coming.values():
            self._appear(each)
        self._coming.clear()

    # ---- looking -----------------------------------------------------------------------------

    async def info(self, call: Call) -> Json:
        """`files.info`; a look makes a coming share come nearer."""
        file = self._seen(call, call.needed("file", "file_not_found"))
        told = self._payloads.file(file, seen_by=call.team)
        if file.id in self._coming:
            file.looks -= 1
            if file.looks <= 0:
                self._appear(self._coming.pop(file.id))
        return {"file": told, "comments": [], "response_metadata": {"next_cursor": ""}}

    async def delete(self, call: Call) -> Json:
        """`files.delete`: its message goes too, if there is nothing else in it."""
        file = self._world.files.get(call.needed("file", "file_not_found"))
        if file is None:
            raise Refused("file_not_found")
        if file.is_deleted:
            raise Refused("file_deleted")
        if file.owner != call.team.bot_user:
            raise Refused("cant_delete_file")
        self.remove(file)
        return {}

    def remove(self, file: File) -> None:
        """Delete a file, and the messages that showed nothing else."""
        file.is_deleted = True
        self._coming.pop(file.id, None)
        for message in file.shares:
            has_more = message.text or message.blocks
            if not has_more and all(each.is_deleted for each in message.files):
                message.deleted = True
        self._world.board.notify()

    def _seen(self, call: Call, file_id: str) -> File:
        file = self._world.files.get(file_id)
        if file is None or not self.may_see(call.team, file):
            raise Refused("file_not_found")
        if file.is_deleted:
            raise Refused("file_deleted")
        return file

    def may_see(self, team: Team, file: File) -> bool:
        """Whether the bot of a workspace may see a file: its own, given to it, or where it is."""
        if file.owner == team.bot_user:
            return True
        if file.is_given and file.team_id == team.id:
            return True
        return any(each.channel.team is team and each.channel.has_bot for each in file.shares)

    # ---- their host --------------------------------------------------------------------------

    async def serve(self, request: web.Request) -> web.Response:
        """A private file; whoever may not have it is sent to a page that answers 200."""
        file = self._world.files.get(request.match_info["file"])
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        team = next((each for each in self._world.teams.values() if each.bot_token == token), None)
        is_let_in = (
            kind == "Bearer"
            and team is not None
            and not team.token_error
            and "files:read" in team.scopes
        )
        if file is None or team is None or not is_let_in or not self.may_see(team, file):
            sign_in = f"{self.base_url}/signin?redir={request.path}"
            return web.Response(status=302, headers={"Location": sign_in})
        if file.is_deleted or file.content is None:
            return web.Response(status=404)
        if "/thumb/" in request.path:
            return web.Response(body=file.thumb or b"", content_type="image/png")
        return web.Response(body=file.content, content_type=file.mimetype or None)

    async def sign_in(self, _: web.Request) -> web.Response:
        """The page for those who are nobody."""
        return web.Response(
            text="<html><body>Sign in to Slack</body></html>", content_type="text/html"
        )
