"""What Slack tells of things: messages, files, people and workspaces as JSON."""

from __future__ import annotations

from tests.slack_server.problems import Json
from tests.slack_server.world import File, Message, Team, World


class Payloads:
    """Describes what there is; `base_url` is where the files can be had."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.base_url = ""

    def file(self, file: File, *, seen_by: Team | None = None) -> Json:
        """A file, or of another organisation's only where to ask for it."""
        if file.is_deleted:
            return {"id": file.id, "mode": "tombstone", "created": 0}
        if file.is_stub and seen_by is None:
            return {
                "id": file.id,
                "created": 0,
                "mode": "file_access",
                "file_access": "check_file_info",
            }
        told: Json = {
            "id": file.id,
            "created": int(self._world.clock.now().timestamp()),
            "name": file.name,
            "title": file.title or file.name,
            "mimetype": file.mimetype,
            "filetype": file.filetype,
            "user": file.owner,
            "user_team": file.team_id,
            "size": file.length,
            "mode": file.mode,
            "is_external": file.mode == "external",
            "is_public": False,
            "file_access": "visible",
            **self._links(file),
        }
        if seen_by is not None:
            told["shares"] = self._shares(file)
        return told

    def _links(self, file: File) -> Json:
        if file.url:
            return {"url_private": file.url, "external_type": "unknown"}
        at = f"{self.base_url}/files/{file.id}"
        links = {
            "url_private": f"{at}/{file.name}",
            "url_private_download": f"{at}/download/{file.name}",
            "permalink": f"{self.base_url}/permalink/{file.id}",
        }
        if file.thumb is not None:
            links["thumb_1024"] = f"{at}/thumb/{file.name}.png"
        return links

    def _shares(self, file: File) -> Json:
        shares: Json = {}
        for message in file.shares:
            if message.deleted:
                continue
            channel = message.channel
            kind = shares.setdefault("public" if channel.kind == "channel" else "private", {})
            share = {
                "ts": message.ts,
                "channel_name": channel.name,
                "team_id": channel.team.id,
                "share_user_id": file.owner,
                "reply_users": [],
                "reply_count": 0,
            }
            if message.thread_ts:
                share["thread_ts"] = message.thread_ts
            kind.setdefault(channel.id, []).append(share)
        return shares

    def message(self, message: Message, *, all_metadata: bool = False) -> Json:
        """A message as a conversation shows it."""
        told: Json = {
            "type": "message",
            "ts": message.ts,
            "user": message.user,
            "team": message.channel.team.id,
            "text": message.text,
        }
        user = self._world.users.get(message.user)
        if user is not None:
            told["team"] = user.team_id
        if message.bot_id:
            told |= {"bot_id": message.bot_id, "app_id": self._app(message)}
        if message.subtype:
            told["subtype"] = message.subtype
        if message.blocks:
            told["blocks"] = message.blocks
        if message.files:
            told["files"] = [self.file(each) for each in message.files]
            told["upload"] = bool(message.bot_id)
        if message.versions:
            told["edited"] = {"user": message.user, "ts": message.ts}
        if message.metadata:
            told["metadata"] = (
                message.metadata
                if all_metadata
                else {"event_type": message.metadata.get("event_type", "")}
            )
        return told | self._thread(message)

    def _app(self, message: Message) -> str:
        """The app that a bot's message is of: ours, or that of the other bot."""
        bot_id = message.bot_id or ""
        is_ours = bot_id == message.channel.team.bot_id
        return self._world.app_id if is_ours else f"A{bot_id[1:]}"

    def _thread(self, message: Message) -> Json:
        if message.thread_ts:
            return {"thread_ts": message.thread_ts}
        replies = [each for each in message.replies if not each.deleted]
        if not replies:
            return {}
        return {
            "thread_ts": message.ts,
            "reply_count": len(replies),
            "latest_reply": replies[-1].ts,
        }
