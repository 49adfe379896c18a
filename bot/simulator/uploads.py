"""Files that somebody uploaded to Luma's Agents API, and what becomes of them. No I/O."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from bot.simulator.order import ApiError

State = Literal["pending", "ready", "failed", "deleted"]
PURPOSES = ("input", "reference")


@dataclass(kw_only=True)
class Upload:
    """One file; it is `pending` until somebody looks at it once it has its `content`.

    `is_complete`: its bytes may be read. `signature` opens the address it may be PUT to.
    """

    mime_type: str
    size_bytes: int
    created_at: datetime
    purpose: str = "input"
    filename: str | None = None
    user_id: str | None = None
    expires_at: datetime | None = None
    content: bytes | None = None
    is_complete: bool = False
    state: State = "pending"
    failure_reason: str | None = None
    deleted_at: datetime | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    signature: str = field(default_factory=secrets.token_hex)

    def to_json(self) -> dict[str, Any]:
        """The file as every reply shows it."""
        return {
            "id": self.id,
            "created_at": self.created_at.isoformat(),
            "mime_type": self.mime_type,
            "purpose": self.purpose,
            "size_bytes": self.size_bytes,
            "state": self.state,
            "filename": self.filename,
            "user_id": self.user_id,
            "expires_at": self.expires_at and self.expires_at.isoformat(),
            "failure_reason": self.failure_reason,
            "deleted_at": self.deleted_at and self.deleted_at.isoformat(),
        }


class Uploads:
    """The files of one key, oldest first."""

    def __init__(self) -> None:
        self.files: dict[str, Upload] = {}

    def add(self, fields: dict[str, Any], now: datetime) -> Upload:
        """Record a file by what was said of it; raises `ApiError`."""
        mime_type, size = fields.get("mime_type"), fields.get("size_bytes")
        if not isinstance(mime_type, str) or not isinstance(size, int):
            raise ApiError(422, "mime_type and size_bytes: Field required")
        purpose = fields.get("purpose") or "input"
        if purpose not in PURPOSES:
            raise ApiError(422, f"purpose: Input should be one of {', '.join(PURPOSES)}")
        upload = Upload(
            mime_type=mime_type,
            size_bytes=size,
            created_at=now,
            purpose=purpose,
            filename=fields.get("filename"),
            user_id=fields.get("user_id"),
            expires_at=_read_time(fields.get("expires_at")),
        )
        self.files[upload.id] = upload
        return upload

    def get(self, id_: str, now: datetime) -> Upload:
        """One file that is still kept; raises `ApiError` 404."""
        upload = self.files.get(id_)
        if upload is None or (upload.expires_at and upload.expires_at <= now):
            raise ApiError(404, "File not found")
        return upload

    def content(self, id_: str, where: str, now: datetime) -> bytes:
        """The bytes of a file that a generation may use; raises `ApiError`."""
        upload = self.get(id_, now)
        if upload.state != "ready" or upload.content is None:
            raise ApiError(422, f"{where}: file is not ready (state {upload.state})")
        return upload.content

    def page(self, *, cursor: str, limit: int, state: str, purpose: str) -> dict[str, Any]:
        """A page of the list, newest first; empty words ask for all."""
        ids = list(reversed(self.files))
        rest = ids[ids.index(cursor) + 1 :] if cursor in ids else ids
        found = [
            each
            for each in map(self.files.__getitem__, rest)
            if state in ("", each.state) and purpose in ("", each.purpose)
        ]
        shown, has_more = found[:limit], len(found) > limit
        return {
            "data": [each.to_json() for each in shown],
            "has_more": has_more,
            "next_cursor": shown[-1].id if has_more else None,
        }


def _read_time(value: Any) -> datetime | None:
    if not value:
        return None
    try:
        time = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise ApiError(422, "expires_at: Input should be a valid datetime") from error
    if time.tzinfo is None:
        raise ApiError(422, "expires_at: Input should have timezone info")
    return time
