"""How Slack says no, and what a person cannot do."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class Refused(Exception):
    """An answer `{"ok": false, "error": …}`."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.error = error
        self.body: Json = {"ok": False, "error": error, **more}


class NotPossible(Exception):
    """What the test wants a person to do is not offered by Slack's own program."""
