"""Who sits at this machine."""

from __future__ import annotations

import getpass

from bot.request import Requester


def whoami(adapter: str) -> Requester:
    """The person at this machine, by their login name."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # No such entry in the password database.
        user = "you"
    return Requester(adapter=adapter, workspace="local", user=user, display_name=user)
