"""What Discord accepts as a message: lengths, embeds, files, mentions and the nonce."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tests.discord_server.component_rules import ComponentCheck
from tests.discord_server.problems import EMPTY_MESSAGE, ApiError, Json, Path, Problems
from tests.discord_server.wire import SentFile
from tests.discord_server.world import Flag

MOST_CONTENT = 2000
MOST_FILES = 10
MOST_EMBED_TEXT = 6000
_EMBED_TEXTS = {"title": 256, "description": 4096}
_LEGACY = ("content", "embeds", "poll", "sticker_ids")
#: What a body may set; the rest of the flags is Discord's own.
SETTABLE = Flag.SUPPRESS_EMBEDS | Flag.SUPPRESS_NOTIFICATIONS | Flag.COMPONENTS_V2


def check_message(
    body: Json, problems: Problems, path: Path, *, flags: Flag, names: Collection[str]
) -> None:
    """The fields of a message that are given. `names`: the files it has or brings."""
    is_v2 = bool(flags & Flag.COMPONENTS_V2)
    problems.text(body, "content", path, 0, MOST_CONTENT)
    _check_embeds(body.get("embeds"), problems, (*path, "embeds"), names)
    components = ComponentCheck(problems, names=names)
    components.message(body.get("components"), (*path, "components"), is_v2=is_v2)
    _check_allowed_mentions(body.get("allowed_mentions"), problems, (*path, "allowed_mentions"))
    _check_nonce(body.get("nonce"), problems, (*path, "nonce"))
    if is_v2:
        for key in _LEGACY:
            if body.get(key):
                problems.add(
                    (*path, key),
                    "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
                    f"The '{key}' field cannot be used with IS_COMPONENTS_V2",
                )


def refuse_empty(body: Json, *, has_files: bool, flags: Flag) -> None:
    """Raise 50006 where nothing would be seen; a V2 message shows no file by itself."""
    is_v2 = bool(flags & Flag.COMPONENTS_V2)
    seen = ["components"] if is_v2 else [*_LEGACY, "components"]
    if not any(body.get(key) for key in seen) and (is_v2 or not has_files):
        raise ApiError(*EMPTY_MESSAGE)


def _check_embeds(embeds: Any, problems: Problems, path: Path, names: Collection[str]) -> None:
    total = 0
    for index, each in enumerate(problems.objects(embeds, path, 0, 10)):
        total += _check_embed(each, problems, (*path, index), names)
    if total > MOST_EMBED_TEXT:
        problems.add(path, "MAX_EMBED_SIZE_EXCEEDED", "Embed size exceeds maximum size of 6000")


def _check_embed(embed: Json, problems: Problems, path: Path, names: Collection[str]) -> int:
    total = sum(
        len(problems.text(embed, key, path, 0, most)) for key, most in _EMBED_TEXTS.items()
    )
    for part, key, most in (("footer", "text", 2048), ("author", "name", 256)):
        inner = problems.object(embed.get(part), (*path, part))
        total += len(problems.text(inner, key, (*path, part), 0, most))
    inside = (*path, "fields")
    for index, each in enumerate(problems.objects(embed.get("fields"), inside, 0, 25)):
        total += len(problems.text(each, "name", (*inside, index), 1, 256))
        total += len(problems.text(each, "value", (*inside, index), 1, 1024))
    for key in ("image", "thumbnail"):
        if embed.get(key) is not None:
            _check_image(embed[key], problems, (*path, key), names)
    return total


def _check_image(image: Any, problems: Problems, path: Path, names: Collection[str]) -> None:
    url = problems.text(problems.object(image, path), "url", path, 1, 2048)
    is_image = url.lower().endswith((".png", ".jpg", ".jpeg", ".webp", ".gif"))
    is_ours = url.removeprefix("attachment://") in names and is_image
    if not (url.startswith(("https://", "http://")) or is_ours):
        problems.add((*path, "url"), "URL_TYPE_INVALID_URL", f"Not a well formed URL: {url}")


def check_attachments(attachments: Any, problems: Problems, path: Path) -> None:
    """What is told about files, new and kept ones."""
    for index, each in enumerate(problems.objects(attachments, path, 0, MOST_FILES)):
        problems.text(each, "description", (*path, index), 0, 1024)
        problems.text(each, "filename", (*path, index), 0, 1024)
        problems.snowflake(each.get("id"), (*path, index, "id"))


def _check_allowed_mentions(allowed: Any, problems: Problems, path: Path) -> None:
    allowed = problems.object(allowed, path)
    parse = problems.count(allowed.get("parse"), (*path, "parse"), 0, 3)
    for index, each in enumerate(parse):
        problems.choice(each, (*path, "parse", index), {"everyone", "roles", "users"})
    for key in ("users", "roles"):
        listed = problems.count(allowed.get(key), (*path, key), 0, 100)
        for index, each in enumerate(listed):
            problems.snowflake(each, (*path, key, index))
        if listed and key in parse:
            problems.add(
                path,
                "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE",
                f"parse:[{key}] and {key}: [ids...] are mutually exclusive.",
            )


def _check_nonce(nonce: Any, problems: Problems, path: Path) -> None:
    if isinstance(nonce, str) and len(nonce) > 25:
        problems.add(path, "BASE_TYPE_MAX_LENGTH", "Must be 25 or fewer in length.")
    elif not isinstance(nonce, str | int | None):
        problems.add(path, "NONCE_TYPE_CONVERT", "A nonce is a number or a string.")


def check_files(body: Json, files: Collection[SentFile], problems: Problems, path: Path) -> None:
    """Every file part has a number, and every described one came along."""
    numbers = {each.index for each in files}
    if None in numbers:
        strangers = [each.field for each in files if each.index is None]
        problems.add(path, "UNKNOWN_FILE_FIELD", f"Unknown file fields: {strangers}")
    if len(files) > MOST_FILES:
        problems.add((*path, "attachments"), "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer.")
    for index, each in enumerate(body.get("attachments") or ()):
        if int(each["id"]) < MOST_FILES and int(each["id"]) not in numbers:
            problems.add(
                (*path, "attachments", index, "id"),
                "MESSAGE_ATTACHMENT_NOT_FOUND",
                "There is no file with this number",
            )
