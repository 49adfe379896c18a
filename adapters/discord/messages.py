"""Notices as discord.py sends them, and how a message of ours is known again. Sends nothing."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import discord

from adapters.discord import buttons, render
from bot.notices import ConsentAsked, Digest, Jobless, Notice, Operator, Reported, WithFile
from bot.refs import JobId
from bot.text import describe

NONCE_CHARS = 25


def to_message(notice: Notice, *, now: datetime, is_public: bool) -> dict[str, Any]:
    """What to send; nobody is called but those the notice is for."""
    drawn = render.draw(notice, now=now, is_public=is_public)
    message: dict[str, Any] = {
        "content": drawn.content,
        "suppress_embeds": True,
        "allowed_mentions": discord.AllowedMentions(
            everyone=False,
            roles=False,
            users=[discord.Object(each) for each in drawn.pings],
            replied_user=False,
        ),
    }
    if drawn.buttons:
        message["view"] = buttons.to_view(drawn.buttons)
    if drawn.file is not None:
        message["file"] = to_file(drawn.file)
    return message


def is_told(message: discord.Message, notice: Notice) -> bool:
    """Whether a message of ours says this, by its job and whether it carries the clip."""
    if isinstance(notice, Operator):
        return False
    # Others of the same job may stand beside it; a week's digest is alone with its title.
    titles = _titles(notice)
    if titles and not any(each in message.content for each in titles):
        return False
    if isinstance(notice, Digest):
        return True
    job_id = notice.about.job_id
    if message.content == to_letter(job_id):
        return False
    # A status message may show the images of its job; only a clip is named after it.
    has_clip = any(job_id in each.filename for each in message.attachments)
    return f"`{job_id}`" in message.content and has_clip is isinstance(notice, WithFile)


def _titles(notice: Notice) -> list[str]:
    """What the message of one of these begins with, whatever has become of it."""
    match notice:
        case ConsentAsked():
            stages: list[ConsentAsked] = [replace(notice, answer=each) for each in (None, "over")]
            return [describe(each).title for each in stages]
        case Digest() | Reported():
            return [describe(notice).title]
    return []


def to_letter(job_id: JobId) -> str:
    """What the message says that only shows a job's images."""
    return f"The image for `{job_id}`, so that the video service can fetch it."


def without_prompt(notice: Notice) -> Notice:
    """The same without the person's words."""
    if isinstance(notice, Jobless):
        return notice
    work = notice.about.work.model_copy(update={"prompt": ""})
    bare = replace(notice, about=replace(notice.about, work=work))
    if isinstance(bare, WithFile):
        return replace(bare, filename=f"{bare.about.job_id}{Path(bare.filename).suffix}")
    return bare


def to_nonce(key: str) -> str:
    """A key as Discord's nonce, of at most 25 characters."""
    if len(key) <= NONCE_CHARS:
        return key
    return hashlib.sha256(key.encode()).hexdigest()[:NONCE_CHARS]


def to_file(spec: render.FileSpec) -> discord.File:
    """A file to send, opened anew for each try."""
    return discord.File(
        spec.path, filename=spec.filename, description=spec.alt, spoiler=spec.is_spoiler
    )
