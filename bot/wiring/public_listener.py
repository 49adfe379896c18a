"""Who can come to the public listener, and what may be served there to whom."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from bot.errors import ConfigError
from bot.tables import BotTable

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
EVERYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - looked for, not listened on.


def is_public(table: BotTable) -> bool:
    """Whether others than this machine can come, be it through a proxy."""
    address = urlsplit(table.public_url).hostname or ""
    return table.public_host not in LOOPBACK or (bool(address) and address not in LOOPBACK)


def check_ports(table: BotTable) -> None:
    """Raise `ConfigError` where both listeners would be at one place."""
    hosts = {table.public_host, table.private_host}
    is_same = len(hosts) == 1 or bool(hosts & EVERYWHERE)
    if table.public_port and table.public_port == table.private_port and is_same:
        raise ConfigError(
            f"[bot] private_port: {table.private_port} is the public_port, too. Set another one."
        )


def check_tls(table: BotTable, name: str, settings: Any) -> None:
    """Raise `ConfigError` where others could come in and read along on their way.

    A page that spends money asks them to sign in, which needs an address with TLS.
    """
    is_guarded = urlsplit(table.public_url).scheme == "https"
    if not is_public(table) or is_guarded or not getattr(settings, "asks_to_sign_in", False):
        return
    key = "public_url" if table.public_host in LOOPBACK else "public_host"
    raise ConfigError(
        f"[bot] {key}: on another address than this machine's own, [adapters.{name}] asks people "
        'to sign in, which needs TLS. Set public_url = "https://…" to the address of a proxy that '
        "has a certificate, or switch it off: enabled = false."
    )
