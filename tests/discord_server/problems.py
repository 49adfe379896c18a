"""How Discord says no: error bodies with a code, and the tree that names each bad field."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

Json = dict[str, Any]
Path = tuple[str | int, ...]


class ApiError(Exception):
    """An answer other than success, as the API words it."""

    def __init__(
        self,
        status: int,
        code: int,
        message: str,
        *,
        errors: Json | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status}/{code} {message}")
        self.status = status
        self.code = code
        self.headers = dict(headers or {})
        self.body: Json = {"message": message, "code": code}
        if errors is not None:
            self.body["errors"] = errors


class NotPossible(Exception):
    """What the test wants a person to do is not offered by Discord's own program."""


UNAUTHORIZED = (401, 0, "401: Unauthorized")
NOT_FOUND = (404, 0, "404: Not Found")
METHOD_NOT_ALLOWED = (405, 0, "405: Method Not Allowed")
UNKNOWN_CHANNEL = (404, 10003, "Unknown Channel")
UNKNOWN_GUILD = (404, 10004, "Unknown Guild")
UNKNOWN_MEMBER = (404, 10007, "Unknown Member")
UNKNOWN_MESSAGE = (404, 10008, "Unknown Message")
UNKNOWN_USER = (404, 10013, "Unknown User")
UNKNOWN_WEBHOOK = (404, 10015, "Unknown Webhook")
UNKNOWN_INTERACTION = (404, 10062, "Unknown interaction")
UNKNOWN_COMMAND = (404, 10063, "Unknown application command")
NOT_THIS_APPLICATION = (403, 20012, "You are not authorized to perform this action")
TOO_MANY_OLD_EDITS = (
    429,
    30046,
    "Maximum number of edits to messages older than 1 hour reached. Try again later.",
)
FILE_TOO_LARGE = (413, 40005, "Request entity too large")
FORUM_HAS_NO_MESSAGES = (400, 40058, "Cannot send messages in a forum channel")
ALREADY_ACKNOWLEDGED = (400, 40060, "Interaction has already been acknowledged.")
TAG_REQUIRED = (400, 40067, "A tag is required to create a forum post in this channel")
TOO_MANY_FOLLOWUPS = (400, 40094, "Maximum number of follow-up messages reached")
BAD_USER_AGENT = (403, 40333, "internal network error")
MISSING_ACCESS = (403, 50001, "Missing Access")
NOT_YOUR_MESSAGE = (403, 50005, "Cannot edit a message authored by another user")
EMPTY_MESSAGE = (400, 50006, "Cannot send an empty message")
CANNOT_MESSAGE_USER = (403, 50007, "Cannot send messages to this user")
MISSING_PERMISSIONS = (403, 50013, "Missing Permissions")
INVALID_WEBHOOK_TOKEN = (401, 50027, "Invalid Webhook Token")
INVALID_FORM_BODY = (400, 50035, "Invalid Form Body")
THREAD_IS_ARCHIVED = (400, 50083, "Thread is archived")
BAD_JSON = (400, 50109, "The request body contains invalid JSON.")
NO_HISTORY_FOR_REPLY = (400, 160002, "Cannot reply without permission to read message history")
THREAD_EXISTS = (400, 160004, "A thread has already been created for this message")
THREAD_IS_LOCKED = (400, 160005, "Thread is locked")
TOO_MANY_THREADS = (400, 160006, "Maximum number of active threads reached")


class Problems:
    """Collects what is wrong with a body, field by field, and refuses it at the end."""

    def __init__(self) -> None:
        self._tree: Json = {}

    def add(self, path: Path, code: str, message: str) -> None:
        """Something is wrong with the field at this path."""
        node = self._tree
        for part in path:
            node = node.setdefault(str(part), {})
        node.setdefault("_errors", []).append({"code": code, "message": message})

    def refuse_if_any(self) -> None:
        """Raise 50035 with the tree, if there is anything in it."""
        if self._tree:
            raise ApiError(*INVALID_FORM_BODY, errors=self._tree)

    def required(self, path: Path) -> None:
        """The field is missing."""
        self.add(path, "BASE_TYPE_REQUIRED", "This field is required")

    def text(self, body: Json, key: str, path: Path, low: int, high: int) -> str:
        """A string of a length between the two; absent or null counts as empty."""
        value = body.get(key)
        path = (*path, key)
        if value is None:
            value = ""
        if not isinstance(value, str):
            self.add(path, "STRING_TYPE_CONVERT", "Could not interpret as string.")
            return ""
        if not value and low > 0:
            self.required(path)
        elif len(value) > high:
            self.add(
                path,
                "BASE_TYPE_BAD_LENGTH" if low else "BASE_TYPE_MAX_LENGTH",
                f"Must be between {low} and {high} in length."
                if low
                else f"Must be {high} or fewer in length.",
            )
        return value

    def count(self, value: Any, path: Path, low: int, high: int) -> list[Any]:
        """A list of so many things; null counts as none."""
        if value is None:
            value = []
        if not isinstance(value, list):
            self.add(path, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
            return []
        if not low <= len(value) <= high:
            self.add(path, "BASE_TYPE_BAD_LENGTH", f"Must be between {low} and {high} in length.")
        return value

    def snowflake(self, value: Any, path: Path) -> int:
        """An id, as text or as a number."""
        if isinstance(value, int | str) and str(value).isascii() and str(value).isdecimal():
            return int(value)
        self.add(path, "NUMBER_TYPE_COERCE", f'Value "{value}" is not snowflake.')
        return 0

    def object(self, value: Any, path: Path) -> Json:
        """An object; null counts as an empty one."""
        if isinstance(value, dict):
            return value
        if value is not None:
            self.add(path, "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")
        return {}

    def objects(self, value: Any, path: Path, low: int, high: int) -> list[Json]:
        """A list of so many objects."""
        listed = self.count(value, path, low, high)
        for index, each in enumerate(listed):
            if each is None:
                self.required((*path, index))
        return [self.object(each, (*path, index)) for index, each in enumerate(listed)]

    def number(self, body: Json, key: str, path: Path, low: int, high: int) -> int | None:
        """A whole number between the two, where it is given."""
        value = body.get(key)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            self.add((*path, key), "NUMBER_TYPE_COERCE", f'Value "{value}" is not int.')
            return None
        if not low <= value <= high:
            self.add((*path, key), "NUMBER_TYPE_MAX", f"int value should be {low} to {high}.")
        return value

    def choice(self, value: Any, path: Path, allowed: Collection[Any]) -> bool:
        """One of these values."""
        if any(value == each for each in allowed):
            return True
        self.add(path, "BASE_TYPE_CHOICES", f"Value must be one of {_listed(allowed)}.")
        return False

    def unique(self, values: Sequence[tuple[Path, Any]], code: str, message: str) -> None:
        """No value stands twice."""
        seen: set[str] = set()
        for path, value in values:
            if repr(value) in seen:
                self.add(path, code, message)
            seen.add(repr(value))


def _listed(allowed: Collection[Any]) -> str:
    return "{" + ", ".join(sorted(map(str, allowed))) + "}"
