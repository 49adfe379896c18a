"""What Slack's refusals mean for a message of ours; its error codes decide. Sends nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError

from bot.errors import DeliveryError, DeliveryUnavailable, ThreadGone
from bot.log import get_logger

log = get_logger(__name__)
# The codes are those of https://docs.slack.dev/reference/methods, at the methods that we call.
PAUSE_SECONDS = 10.0
LONG_PAUSE_SECONDS = 300.0
#: Of a longer one it is asked again in between: a job that sleeps for hours is woken, anyway.
LONGEST_PAUSE_SECONDS = 3600.0
TOO_MANY = 429
SERVER_ERROR = 500

#: Our token there has ended for good.
ENDED = frozenset({"account_inactive", "token_expired", "token_revoked"})
#: The operator can mend it without a new installation; Slack says it of a forbidden address, too.
NOT_LET_IN = frozenset({"invalid_auth", "not_allowed_token_type", "not_authed"})
RATE_LIMITED = frozenset(
    {"accesslimited", "message_limit_exceeded", "rate_limited", "ratelimited"}
)
#: Something may have been done before these were said.
IN_DOUBT = frozenset({"fatal_error", "internal_error", "service_unavailable"})
#: A workspace or a channel that is being moved takes nothing for a while.
MOVING = frozenset({"external_channel_migrating", "org_login_required", "team_added_to_org"})
MISSING_SCOPE = "missing_scope"
TOO_LARGE = frozenset({"file_too_large", "file_upload_size_restricted"})
BLOCKS_REFUSED = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"})
FAULTS_OF_OURS = BLOCKS_REFUSED | {
    "invalid_arg_name",
    "invalid_arguments",
    "invalid_array_arg",
    "invalid_charset",
    "invalid_form_data",
    "invalid_json",
    "invalid_metadata_format",
    "invalid_metadata_schema",
    "invalid_post_type",
    "metadata_too_large",
    "missing_argument",
    "missing_post_type",
    "msg_too_long",
    "no_text",
    "request_timeout",
}
#: The message to be replied to is not there any more, or takes no replies.
NO_REPLY = frozenset({"cannot_reply_to_message", "message_not_found", "thread_not_found"})
#: What was to be removed is not there any more.
ALREADY_GONE = frozenset({"file_deleted", "file_not_found", "message_not_found"})
#: Nothing is removed in that workspace, whatever is asked.
KEEPS_ALL = "compliance_exports_prevent_deletion"
#: It stands there, but cannot be changed any more.
UNCHANGEABLE = frozenset({"cant_update_message", "edit_window_closed"})

_INVITE = "Invite it with `/invite @ray`."
_POSTING = "The rules of that channel do not let Raybot post there."
_UPLOADS = "That workspace does not let Raybot upload files. Its admins can allow it."
_DIRECT = "Slack does not let Raybot start that conversation."
_LATE = "Raybot was too slow for Slack."
_ACCESS = "That workspace does not let Raybot in. Its admins can allow it."
GONE = {
    "access_denied": _ACCESS,
    "blocked_file_type": "That workspace takes no video files. Its admins can allow them.",
    "cannot_dm_bot": _DIRECT,
    "cannot_reply_to_message": "That message takes no replies.",
    "cant_delete_file": "Slack does not let Raybot delete that file.",
    "cant_delete_message": "Slack does not let Raybot delete that message.",
    "cant_update_message": "Slack does not let Raybot change that message.",
    "channel_not_found": f"Raybot cannot see that channel. {_INVITE}",
    KEEPS_ALL: "That workspace keeps everything; nothing is deleted.",
    "edit_window_closed": "That message is too old to be changed.",
    "ekm_access_denied": "The admins of that workspace have suspended posting there.",
    "enterprise_is_restricted": _ACCESS,
    "exchanged_trigger_id": _LATE,
    "expired_trigger_id": _LATE,
    "file_deleted": "That file was deleted.",
    "file_not_found": "Slack has no such file, or does not show it to Raybot.",
    "file_uploads_disabled": _UPLOADS,
    "file_uploads_except_images_disabled": _UPLOADS,
    "invalid_channel": "That channel no longer exists.",
    "is_archived": "That channel is archived.",
    "is_inactive": "That channel is archived or closed.",
    "malware_detected": "Slack took the file for a harmful one.",
    "message_not_found": "That message no longer exists.",
    "messages_tab_disabled": "Raybot's direct messages are switched off in its app's settings.",
    "method_not_supported_for_channel_type": _POSTING,
    "no_permission": _POSTING,
    "not_in_channel": f"Raybot is not in that channel. {_INVITE}",
    "posting_to_channel_denied": _POSTING,
    "posting_to_general_channel_denied": _POSTING,
    "restricted_action": _POSTING,
    "restricted_action_non_threadable_channel": "That channel takes no replies in threads.",
    "restricted_action_read_only_channel": "That channel is read-only.",
    "restricted_action_thread_locked": "That thread is locked.",
    "restricted_action_thread_only_channel": "That channel takes replies in threads only.",
    "slack_connect_file_upload_sharing_blocked": (
        "That channel is shared with others, and files of Raybot's are not let in there."
    ),
    "storage_limit_reached": (
        "That workspace has no room left for files. Its members can delete some, or it can buy "
        "more."
    ),
    "team_access_not_granted": _ACCESS,
    "team_not_found": "That workspace no longer exists.",
    "thread_not_found": "That thread no longer exists.",
    "two_factor_setup_required": _ACCESS,
    "user_disabled": "That person is not in the workspace any more.",
    "user_is_bot": _DIRECT,
    "user_is_restricted": _DIRECT,
    "user_not_found": "That person is not in the workspace any more.",
    "user_not_visible": _DIRECT,
    "users_not_found": "That person is not in the workspace any more.",
}
REMOVED = "Raybot was removed from that workspace."


@dataclass(frozen=True, kw_only=True)
class Refused:
    """An answer of Slack's that is no success: its code, or none where it did not give one."""

    code: str
    status: int
    retry_after: float | None = None
    needed: str = ""

    @property
    def is_pause(self) -> bool:
        """Whether it only asks to come later."""
        return self.status == TOO_MANY or self.code in RATE_LIMITED

    @property
    def is_certain(self) -> bool:
        """Whether surely nothing was done."""
        if self.is_pause:
            return True
        return bool(self.code) and self.code not in IN_DOUBT and self.status < SERVER_ERROR


def read_refusal(error: SlackApiError) -> Refused:
    """What the SDK was answered; what is not Slack's own answer has no code."""
    response = error.response
    told = getattr(response, "data", None)
    said: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    headers: Mapping[str, str] = getattr(response, "headers", {})
    after = headers.get("Retry-After", "")
    # What the SDK could not read comes as aiohttp's own answer.
    status: int = getattr(response, "status_code", getattr(response, "status", 0))
    return Refused(
        code=str(said.get("error") or ""),
        status=status,
        retry_after=min(float(after), LONGEST_PAUSE_SECONDS) if after.isdecimal() else None,
        needed=str(said.get("needed") or ""),
    )


def code_of(error: DeliveryError) -> str:
    """Slack's code for what caused it; empty where it was something else."""
    cause = error.__cause__
    return read_refusal(cause).code if isinstance(cause, SlackApiError) else ""


def is_certain(error: DeliveryError) -> bool:
    """Whether this says that surely nothing was posted; without a cause nothing was sent."""
    cause = error.__cause__
    if isinstance(cause, SlackApiError):
        return read_refusal(cause).is_certain
    return cause is None or isinstance(cause, aiohttp.ClientConnectorError)


def is_final(error: DeliveryError) -> bool:
    """Whether Slack itself said no, and does not only ask to come later."""
    return bool(code_of(error)) and is_certain(error) and not is_pause(error)


def is_pause(error: DeliveryError) -> bool:
    """Whether Slack only asked to come later."""
    cause = error.__cause__
    return isinstance(cause, SlackApiError) and read_refusal(cause).is_pause


def to_error(refused: Refused, *, is_clip: bool = False) -> DeliveryError:
    """What a refusal means for a message, so that its sender does the right thing next."""
    code = refused.code
    if refused.is_pause:
        pause = refused.retry_after or PAUSE_SECONDS
        return DeliveryUnavailable("Slack asks for a pause.", retry_after=pause)
    if code in ENDED:
        return ThreadGone(REMOVED)
    if code in NOT_LET_IN:
        log.error("slack.token_refused", code=code)
        return DeliveryUnavailable("Slack does not let Raybot in.", retry_after=LONG_PAUSE_SECONDS)
    if code in MOVING:
        return DeliveryUnavailable(
            "Slack is moving that channel or workspace.", retry_after=LONG_PAUSE_SECONDS
        )
    if code == MISSING_SCOPE:
        return _to_missing_scope(refused)
    if code in GONE:
        return ThreadGone(GONE[code])
    if code in TOO_LARGE:
        return ThreadGone("The file is larger than that workspace takes.")
    if not code or code in IN_DOUBT or refused.status >= SERVER_ERROR:
        return DeliveryUnavailable("Slack has a problem right now.")
    # Else it is our own fault, or Slack says something that is new to us.
    log.error("slack.not_taken", code=code, is_ours=code in FAULTS_OF_OURS)
    if is_clip:
        return DeliveryUnavailable(f"Slack does not take this (its code is {code}).")
    return ThreadGone(f"Slack does not take this message (its code is {code}).")


def _to_missing_scope(refused: Refused) -> ThreadGone:
    log.error("slack.scope_missing", scope=refused.needed)
    named = f": {refused.needed}" if refused.needed else ""
    return ThreadGone(
        f"Raybot lacks a permission in that workspace{named}. Its operator can add it to the "
        "app and install it again."
    )
