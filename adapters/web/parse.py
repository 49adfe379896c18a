"""From what a browser sends to a command or a request. Pure; nothing that comes in is trusted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

from adapters import command_text
from adapters.command_text import Command, Draft
from adapters.opinions import Opinion, read_opinion
from adapters.own_place import AdminAct, read_admin
from adapters.typed_frames import with_typed
from bot.errors import FrameRejected, InvalidRequest
from bot.refs import Attachment, JobId, ThreadRef
from bot.request import ClipFrame, Frame, GenerationRequest, ImageFrame, Requester

Typed = Draft | Command | AdminAct | Opinion
NAME = "web"
THREAD = ThreadRef(adapter=NAME, workspace="local", channel="playground")
TENANT = f"{NAME}:{THREAD.workspace}"
_DIRECT = "to "
#: A clip has a picture to start from, and one to end on.
MOST_IMAGES = 2
MOST_FIELDS = 40
IMAGE_BYTES = 20_000_000

_JOB = re.compile(r"r-[0-9a-z]{4,16}")
_IMAGE = re.compile(r"[0-9a-f]{32}")
_NONCE = re.compile(r"[0-9A-Za-z-]{16,64}")
_RAY = re.compile(r"/ray(?:\s+(.*))?", re.DOTALL | re.IGNORECASE)
#: What makes sense where somebody sits at a terminal: a clip of these words would be paid.
_OF_TERMINALS = re.compile(
    r"exit|quit|wait|>\s*[0-9]{1,9}(?:\s.*)?|image\s+(?:\"[^\"]+\"|'[^']+'|\S+\.\w{2,5})",
    re.IGNORECASE | re.DOTALL,
)
_NOT_HERE = (
    "That is for the terminal. Here you drop or paste images, press Animate to reply to one, and "
    "close the page whenever you like: what runs goes on."
)
#: What a file has at an offset, and what it is then; the bot decodes it before it is used.
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypavis", "image/avif"),
    (4, b"ftyphei", "image/heic"),
    (4, b"ftyphev", "image/heic"),
    (4, b"ftypmif1", "image/heic"),
    (4, b"ftypmsf1", "image/heic"),
)


@dataclass(frozen=True, kw_only=True)
class Said:
    """What was sent with the composer: words, images by their ids, and what it replies to.

    `nonce` is made by the page, one for each message.
    """

    text: str
    images: tuple[str, ...]
    reply_to: JobId | None
    nonce: str


def to_key(nonce: str, who: Requester) -> str:
    """The same, when the same person sends a thing again."""
    return f"{NAME}:{who.user}:{nonce}"


def read_form(body: bytes) -> dict[str, list[str]]:
    """The fields of a form; raises `InvalidRequest`."""
    try:
        return parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise InvalidRequest("The page sent something unreadable. Load it again.") from None


def field_of(form: Mapping[str, Sequence[str]], name: str) -> str:
    """One field's first value; empty where it is missing. Lines end as they do here."""
    return next(iter(form.get(name, ())), "").replace("\r\n", "\n").strip()


def to_said(body: bytes) -> Said:
    """What the composer sent; raises `InvalidRequest`."""
    form = read_form(body)
    images = tuple(form.get("image", ()))
    if any(not is_image_id(each) for each in images):
        raise InvalidRequest("That image is not here. Add it again.", field="start_frame")
    if len(images) > MOST_IMAGES:
        raise InvalidRequest(
            f"A clip takes {MOST_IMAGES} images: one to start from and one to end on.",
            field="start_frame",
        )
    reply = field_of(form, "reply_to")
    return Said(
        text=field_of(form, "text"),
        images=images,
        reply_to=to_job_id(reply) if reply else None,
        nonce=to_nonce(field_of(form, "nonce")),
    )


def to_direct(who: Requester) -> ThreadRef:
    """Where somebody is told something that nobody else reads."""
    return THREAD.model_copy(update={"channel": f"{_DIRECT}{who.user}"})


def direct_to(thread: ThreadRef) -> str:
    """The user who is told something there; empty for the channel, which is everybody's."""
    channel = thread.channel
    return channel.removeprefix(_DIRECT) if channel.startswith(_DIRECT) else ""


def to_nonce(text: str) -> str:
    """What tells one thing that was sent from another; raises `InvalidRequest`."""
    if not _NONCE.fullmatch(text):
        raise InvalidRequest("The page is an old one. Load it again.")
    return text


def to_job_id(text: str) -> JobId:
    """A job's id as a page names it; raises `InvalidRequest`."""
    if not _JOB.fullmatch(text):
        raise InvalidRequest("That is no job's id.")
    return JobId(text)


def is_image_id(text: str) -> bool:
    """Whether this could be one of our images; it is part of a path."""
    return _IMAGE.fullmatch(text) is not None


def read_text(text: str) -> Typed:
    """A typed line; `/ray` may stand in front. Raises `InvalidRequest`."""
    ray = _RAY.fullmatch(text)
    bare = (ray[1] or "") if ray else text
    if (act := read_admin(bare)) is not None:
        return AdminAct(act)
    if (opinion := read_opinion(bare)) is not None:
        return opinion
    if _OF_TERMINALS.fullmatch(bare.strip()):
        raise InvalidRequest(_NOT_HERE, field="prompt")
    return command_text.parse(bare)


def file_type(start: bytes) -> str:
    """What kind of file begins like this: an image, or a copy of a clip of ours."""
    other = "video/mp4" if start[4:8] == b"ftyp" else "application/octet-stream"
    return image_type(start) or other


def image_type(start: bytes) -> str | None:
    """What kind of image begins like this; None for what is none."""
    for at, magic, kind in _MAGIC:
        if start[at : at + len(magic)] == magic:
            return None if kind == "image/webp" and start[:4] != b"RIFF" else kind
    return None


def check_image(content: bytes) -> None:
    """Raise `FrameRejected` for what is clearly none; the bot looks closer before it is used."""
    if not content:
        raise FrameRejected("This file is empty.")
    if image_type(content[:16]) is None:
        raise FrameRejected("This file is not an image.")


def to_attachment(image: str, size: int | None = None) -> Attachment:
    """An image that somebody brought."""
    return Attachment(adapter=NAME, id=image, filename="image", size=size)


def to_request(draft: Draft, said: Said, *, requester: Requester) -> GenerationRequest:
    """A draft with its images, and what it replies to, as a request; raises `InvalidRequest`."""
    frames: list[Frame] = [ImageFrame(attachment=to_attachment(each)) for each in said.images]
    if said.reply_to is not None:
        frames.insert(0, ClipFrame(job_id=said.reply_to))
    if len(frames) > MOST_IMAGES:
        raise InvalidRequest(
            "That is one image too many: a reply starts from the clip, so one more is the end.",
            field="end_frame",
        )
    start, end = (*frames, None, None)[:2]
    start, end = with_typed(draft, start, end)
    return GenerationRequest(
        dedupe_key=to_key(said.nonce, requester),
        requester=requester,
        thread=THREAD,
        work=command_text.to_work(draft, start_frame=start, end_frame=end),
        # Whoever is here runs the bot, or was let in by who does.
        is_age_restricted=True,
        is_private=draft.is_private,
    )
