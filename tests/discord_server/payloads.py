"""Messages as Discord's JSON, and what is left of one for an app without the intent."""

from __future__ import annotations

from typing import Any

from tests.discord_server.application import Application
from tests.discord_server.cdn import Cdn
from tests.discord_server.places import PlacePayloads, to_time
from tests.discord_server.problems import Json
from tests.discord_server.world import Attachment, Flag, Message, User

#: Keys of a message that the message content intent guards.
GUARDED = ("embeds", "attachments", "components")


class Payloads(PlacePayloads):
    """Writes what is where as JSON, always with fresh links."""

    def __init__(self, app: Application, cdn: Cdn) -> None:
        super().__init__(app)
        self.cdn = cdn

    def attachment(self, attachment: Attachment) -> Json:
        """An attachment object with a fresh link."""
        link = self.cdn.link(attachment)
        body: Json = {
            "id": str(attachment.id),
            "filename": attachment.filename,
            "size": len(attachment.content),
            "url": link,
            "proxy_url": link,
            "flags": (1 << 3) if attachment.filename.startswith("SPOILER_") else 0,
        }
        if attachment.size_in_pixels is not None:
            body["width"], body["height"] = attachment.size_in_pixels
        for key in ("content_type", "description"):
            if (value := getattr(attachment, key)) is not None:
                body[key] = value
        if attachment.is_ephemeral:
            body["ephemeral"] = True
        return body

    def message(self, message: Message, *, reads_content: bool = True) -> Json:
        """A message object. Each message in it is judged by itself: quoting grants nothing."""
        body = self._envelope(message) | self._content(message)
        if message.reference is not None:
            body |= self._reference(message, reads_content=reads_content)
        if not reads_content and not self._is_for_us(message):
            strip(body)
            for each in body.get("message_snapshots", ()):
                strip(each["message"])
        return body

    def _envelope(self, message: Message) -> Json:
        guild = message.channel.guild
        body: Json = {
            "id": str(message.id),
            "channel_id": str(message.channel.id),
            "author": self.user(message.author),
            "timestamp": to_time(message.at),
            "edited_timestamp": to_time(message.edited_at) if message.edited_at else None,
            "type": message.type,
            "flags": int(message.flags),
            "tts": False,
            "pinned": False,
            "mention_everyone": message.mentions.everyone,
            "mention_roles": [str(each) for each in sorted(message.mentions.roles)],
            "mentions": [self.user(each) for each in self._mentioned(message)],
        }
        if guild is not None and message.interaction is None:
            body["member"] = self.member(guild, message.author)
        if message.interaction is not None:
            body |= {
                "webhook_id": str(self.app.id),
                "application_id": str(self.app.id),
                "interaction_metadata": message.interaction_metadata,
            }
        if message.stickers:
            body["sticker_items"] = [
                {"id": str(message.id + at), "name": name, "format_type": 1}
                for at, name in enumerate(message.stickers)
            ]
        if message.thread is not None:
            body["thread"] = self.channel(message.thread)
        return body

    def _mentioned(self, message: Message) -> list[User]:
        guild = message.channel.guild
        known = {each.id: each for each in message.channel.recipients}
        if guild is not None:
            known |= {each.user.id: each.user for each in guild.members.values()}
        return [known[each] for each in sorted(message.mentions.users) if each in known]

    def _content(self, message: Message) -> Json:
        shown: set[str] = set()
        components = [self._component(each, message, shown) for each in message.components]
        embeds = [self._embed(each, message, shown) for each in message.embeds]
        return {
            "content": message.content,
            "embeds": embeds,
            "components": components,
            # A file that an embed or a component shows is no longer listed.
            "attachments": [
                self.attachment(each) for each in message.attachments if each.filename not in shown
            ],
        }

    def _reference(self, message: Message, *, reads_content: bool) -> Json:
        reference = message.reference
        assert reference is not None
        guild = reference.channel.guild
        body: Json = {
            "message_reference": {
                "type": int(reference.is_forward),
                "message_id": str(reference.message_id),
                "channel_id": str(reference.channel.id),
                **({"guild_id": str(guild.id)} if guild else {}),
            }
        }
        if reference.is_forward:
            assert message.snapshot is not None
            body["message_snapshots"] = [{"message": self._snapshot(message.snapshot)}]
            return body
        found = reference.channel.messages.get(reference.message_id)
        body["referenced_message"] = (
            None if found is None else self._quoted(found, reads_content=reads_content)
        )
        return body

    def _quoted(self, message: Message, *, reads_content: bool) -> Json:
        body = self._envelope(message) | self._content(message)
        if not reads_content and not self._is_for_us(message):
            strip(body)
        return body

    def _snapshot(self, message: Message) -> Json:
        whole = self._envelope(message) | self._content(message)
        kept = ("type", "timestamp", "edited_timestamp", "flags", "mentions", "mention_roles")
        return {key: whole[key] for key in (*kept, "content", *GUARDED)}

    def _is_for_us(self, message: Message) -> bool:
        """The documented exceptions: our own, in our conversation, or addressed to us."""
        bot = self.app.bot
        if message.author is bot or bot in message.channel.recipients:
            return True
        if any(mark in message.content for mark in (f"<@{bot.id}>", f"<@!{bot.id}>")):
            return True
        if message.reference is None or message.reference.is_forward:
            return False
        # A pinging reply counts, but not to what we said as an interaction's response.
        answered = message.reference.channel.messages.get(message.reference.message_id)
        return (
            answered is not None
            and answered.author is bot
            and answered.interaction is None
            and bot.id in message.mentions.users
        )

    # ---- files inside ---------------------------------------------------------------------

    def _component(self, component: Json, message: Message, shown: set[str]) -> Json:
        body = dict(component)
        for key in ("media", "file"):
            if key in body:
                body[key] = self._media(body[key], message, shown)
        if "items" in body:
            body["items"] = [
                {**each, "media": self._media(each["media"], message, shown)}
                for each in body["items"]
            ]
        if "components" in body:
            body["components"] = [
                self._component(each, message, shown) for each in body["components"]
            ]
        if body.get("accessory"):
            body["accessory"] = self._component(body["accessory"], message, shown)
        if body["type"] == 13:
            body["name"] = body["file"]["url"].partition("?")[0].rpartition("/")[2]
        return body

    def _embed(self, embed: Json, message: Message, shown: set[str]) -> Json:
        body = {"type": "rich", **embed}
        for key in ("image", "thumbnail"):
            if key in body:
                body[key] = self._media(body[key], message, shown)
        return body

    def _media(self, media: Json, message: Message, shown: set[str]) -> Json:
        found = find_file(media["url"], message.attachments)
        if found is None:
            return {"proxy_url": media["url"], "content_type": "image/png", **media}
        shown.add(found.filename)
        body = self.attachment(found)
        kept = ("url", "proxy_url", "width", "height", "content_type")
        return {
            **{key: body[key] for key in kept if key in body},
            "attachment_id": body["id"],
            "loading_state": 2,
            "placeholder": "",
            "flags": 0,
        }


def find_file(url: str, attachments: list[Attachment]) -> Attachment | None:
    """The attachment that a component or an embed means, by its name or by its own link."""
    name = url.removeprefix("attachment://")
    for each in attachments:
        is_own_link = f"/{each.folder}/{each.id}/" in url
        if is_own_link or (name != url and name == each.filename):
            return each
    return None


def strip(body: Json) -> None:
    """Empty what the message content intent guards."""
    body["content"] = ""
    for key in GUARDED:
        body[key] = []


def is_v2(flags: Any) -> bool:
    """Whether these flags make a message one of Components V2."""
    return bool(int(flags or 0) & Flag.COMPONENTS_V2)
