"""What Slack tells us, in one shape: commands, messages, forms, buttons and shortcuts. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field, ValidationError

from adapters.slack.act_forms import HAS_FORM
from adapters.slack.addresses import NAME, is_direct
from adapters.slack.buttons import MORE, REJECT, REPORT, read_action
from adapters.work_text import is_bare_story
from bot.refs import Frozen

Kind = Literal["command", "message", "form", "button", "shortcut", "reaction", "home", "gone"]
#: What is answered by a form, which Slack takes for three seconds only: it is not kept.
OPENS_FORM = (
    frozenset({"create", "remix", "edit", "animate", "settings", MORE, REPORT, REJECT}) | HAS_FORM
)
#: The reactions that mean something to us, by Slack's names of them, and what is done.
REACTIONS = {"star": "star", "email": "letter", "envelope": "letter"}
KEPT_OF_VIEW = ("id", "callback_id", "private_metadata")
#: A person's words or files; joining, leaving, edits and the like are none.
SPOKEN = frozenset({None, "file_share", "thread_broadcast"})
_IMAGES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "heic", "heif", "avif"})
_STAMP = re.compile(r"[0-9]{1,10}(\.[0-9]{1,9})?")
#: A file of another organisation, of which only its id is told at first.
_STUB = "check_file_info"


class File(Frozen):
    """A file that a message shows or a form was given."""

    id: str
    name: str = ""
    mimetype: str = ""
    filetype: str = ""
    size: int | None = None
    is_stub: bool = False
    user: str = ""

    @property
    def is_image(self) -> bool:
        """Whether it can be a frame; what it is, its bytes will tell."""
        return self.mimetype.startswith("image/") or self.filetype.lower() in _IMAGES

    @property
    def is_video(self) -> bool:
        """Whether it moves, so that no frame is made of it."""
        return self.mimetype.startswith("video/")

    @property
    def is_there(self) -> bool:
        """Whether a message still shows it; of one that was deleted only the id is left."""
        return bool(self.is_stub or self.name or self.mimetype or self.filetype)


class SlackEvent(Frozen):
    """One thing that somebody did, or that Slack tells of our bot.

    `at` is the time of it by Slack's clock, where things may be told in another order.
    `thread` is the time stamp of the thread it was said in. `files` None: Slack did not say.
    `trigger`, `response_url` and `message` are good for a moment and never kept.
    """

    kind: Kind
    key: str
    workspace: str
    user: str
    channel: str = ""
    thread: str = ""
    ts: str = ""
    text: str = ""
    files: tuple[File, ...] | None = None
    at: str = ""
    action: str = ""
    target: str = ""
    view: Mapping[str, Any] = {}
    trigger: str = Field(default="", repr=False, exclude=True)
    response_url: str = Field(default="", repr=False, exclude=True)
    message: Mapping[str, Any] = Field(default={}, repr=False, exclude=True)

    @property
    def asked_at(self) -> datetime | None:
        """When it was said or pressed, by Slack's clock, where it tells."""
        stamp = self.at or (self.ts if self.kind == "message" else "")
        return datetime.fromtimestamp(float(stamp), UTC) if _STAMP.fullmatch(stamp) else None

    @property
    def is_direct(self) -> bool:
        """Whether it was done in a direct conversation."""
        return is_direct(self.channel)

    @property
    def is_kept(self) -> bool:
        """Whether it must survive this process: it is carried out after it was acknowledged."""
        match self.kind:
            case "command":
                return bool(self.text.strip()) and not is_bare_story(self.text)
            case "button":
                return self.action not in OPENS_FORM
            case "message" | "form" | "reaction" | "gone":
                return True
            case _:
                return False


def read(body: Mapping[str, Any], workspace: str, *, own: str = "") -> SlackEvent | None:
    """What a payload of Slack says, for our account in this workspace; None: nothing to us.

    `own` is our user there, where it is known. What is not as Slack documents it is nothing.
    """
    try:
        return _read(body, workspace, own)
    except (AttributeError, LookupError, TypeError, ValueError):
        return None


def _read(body: Mapping[str, Any], workspace: str, own: str) -> SlackEvent | None:
    match body.get("type"):
        case "event_callback":
            event = body["event"]
            if event.get("type") in ("reaction_added", "reaction_removed"):
                return _read_reaction(event, workspace, own)
            return _read_event(event, workspace, told=str(body.get("event_id", "")))
        case "block_actions":
            return _read_button(body, workspace)
        case "view_submission":
            return _read_form(body, workspace)
        case "message_action" | "shortcut":
            return _read_shortcut(body, workspace)
    return _read_command(body, workspace) if body.get("command") else None


def read_kept(payload: Mapping[str, Any]) -> SlackEvent | None:
    """What was kept of it; None where another version kept it otherwise."""
    try:
        return SlackEvent.model_validate(payload)
    except ValidationError:
        return None


def _read_command(body: Mapping[str, Any], workspace: str) -> SlackEvent:
    trigger = str(body.get("trigger_id", ""))
    return SlackEvent(
        kind="command",
        key=f"{NAME}:{workspace}:{trigger}",
        workspace=workspace,
        user=body["user_id"],
        channel=body["channel_id"],
        text=body.get("text") or "",
        trigger=trigger,
        response_url=body.get("response_url") or "",
    )


def _read_event(event: Mapping[str, Any], workspace: str, *, told: str) -> SlackEvent | None:
    match event.get("type"):
        case "app_mention":
            return _read_message(event, workspace)
        case "message" if event.get("channel_type") == "im":
            return _read_message(event, workspace)
        case "app_home_opened" if event.get("tab", "home") == "home":
            user = event["user"]
            return SlackEvent(kind="home", key=f"home:{user}", workspace=workspace, user=user)
        case "app_uninstalled":
            return _read_gone(workspace, told)
        # The tokens of people are none of ours.
        case "tokens_revoked" if (event.get("tokens") or {}).get("bot"):
            return _read_gone(workspace, told)
    return None


def _read_reaction(event: Mapping[str, Any], workspace: str, own: str) -> SlackEvent | None:
    """A star put or taken, or a letter, on what may be a clip of ours in a channel.

    Of some messages Slack does not say who wrote them.
    """
    action, item = REACTIONS.get(str(event.get("reaction")), ""), event.get("item") or {}
    user, channel = str(event.get("user") or ""), str(item.get("channel") or "")
    ts, at = str(item.get("ts") or ""), str(event.get("event_ts") or "")
    is_removed = event["type"] == "reaction_removed"
    if action == "letter" and is_removed:
        return None
    is_others = bool(own) and event.get("item_user") not in (None, "", own)
    if not (action and user and ts) or is_others or user == own or is_direct(channel):
        return None
    action = "unstar" if is_removed else action
    return SlackEvent(
        kind="reaction",
        key=f"{NAME}:{workspace}:{channel}:{ts}:{user}:{action}:{at}",
        workspace=workspace,
        user=user,
        channel=channel,
        ts=ts,
        at=at,
        action=action,
    )


def _read_gone(workspace: str, told: str) -> SlackEvent:
    """It may be said again of the same workspace, once that has installed us anew."""
    return SlackEvent(kind="gone", key=f"gone:{workspace}:{told}", workspace=workspace, user="")


def _read_message(event: Mapping[str, Any], workspace: str) -> SlackEvent | None:
    """Of one message Slack may tell in several events; channel and time stamp are the same."""
    is_own = event.get("bot_id") or not event.get("user")
    if is_own or event.get("subtype") not in SPOKEN or event.get("hidden"):
        return None
    channel, ts = event["channel"], event["ts"]
    return SlackEvent(
        kind="message",
        key=f"{NAME}:{workspace}:{channel}:{ts}",
        workspace=workspace,
        user=event["user"],
        channel=channel,
        thread=event.get("thread_ts") or "",
        ts=ts,
        text=event.get("text") or "",
        files=read_files(event["files"]) if "files" in event else None,
    )


def _read_button(body: Mapping[str, Any], workspace: str) -> SlackEvent | None:
    done = (body.get("actions") or [{}])[0]
    if (action := read_action(str(done.get("action_id", "")))) is None:
        return None
    where, message = body.get("container") or {}, body.get("message") or {}
    view = body.get("view") or {}
    # A Home tab is no form, and stays as it is.
    kept = KEPT_OF_VIEW if view.get("type") == "modal" else ()
    user = body["user"]["id"]
    ts = str(where.get("message_ts") or "")
    return SlackEvent(
        kind="button",
        key=f"{NAME}:{workspace}:{done.get('action_ts', '')}:{user}",
        workspace=workspace,
        user=user,
        channel=(body.get("channel") or {}).get("id") or where.get("channel_id") or "",
        thread=where.get("thread_ts") or message.get("thread_ts") or "",
        ts=ts,
        at=str(done.get("action_ts") or ""),
        action=action[0],
        target=action[1],
        view={name: view.get(name) for name in kept},
        trigger=body.get("trigger_id") or "",
        response_url=body.get("response_url") or "",
        message=message,
    )


def _read_form(body: Mapping[str, Any], workspace: str) -> SlackEvent:
    view = body["view"]
    urls = body.get("response_urls") or [{}]
    return SlackEvent(
        kind="form",
        key=f"{NAME}:{workspace}:{view['id']}",
        workspace=workspace,
        user=body["user"]["id"],
        channel=urls[0].get("channel_id", ""),
        view={name: view.get(name) for name in (*KEPT_OF_VIEW, "state")},
        response_url=urls[0].get("response_url", ""),
    )


def _read_shortcut(body: Mapping[str, Any], workspace: str) -> SlackEvent:
    message = body.get("message") or {}
    trigger = body.get("trigger_id") or ""
    return SlackEvent(
        kind="shortcut",
        key=f"{NAME}:{workspace}:{trigger}",
        workspace=workspace,
        user=body["user"]["id"],
        channel=(body.get("channel") or {}).get("id", ""),
        thread=message.get("thread_ts") or "",
        ts=body.get("message_ts") or message.get("ts") or "",
        action=body["callback_id"],
        trigger=trigger,
        response_url=body.get("response_url") or "",
        message=message,
    )


# ---- files and buttons of messages -----------------------------------------------------------


def read_files(files: Sequence[Mapping[str, Any]], *, is_of_bot: bool = False) -> tuple[File, ...]:
    """The files of a message or of a form's field; a program's are nobody's."""
    found = (_read_file(each, is_of_bot=is_of_bot) for each in files)
    return tuple(each for each in found if each is not None)


def files_in(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a message says of its files."""
    return [each for each in _list(message.get("files")) if isinstance(each, Mapping)]


def _read_file(told: object, *, is_of_bot: bool) -> File | None:
    if not isinstance(told, Mapping) or not told.get("id"):
        return None
    try:
        return File(
            id=told["id"],
            name=told.get("name") or "",
            mimetype=told.get("mimetype") or "",
            filetype=told.get("filetype") or "",
            size=told.get("size") or None,
            is_stub=told.get("file_access") == _STUB,
            user="" if is_of_bot else told.get("user") or "",
        )
    except ValidationError:
        return None


def action_ids(message: Mapping[str, Any]) -> list[str]:
    """The ids of the buttons that a message shows."""
    blocks = message.get("blocks")
    rows = [block.get("elements") for block in _list(blocks) if isinstance(block, dict)]
    return [
        str(element.get("action_id", ""))
        for row in rows
        for element in _list(row)
        if isinstance(element, dict)
    ]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
