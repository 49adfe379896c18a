"""What `raybot check` says of how images reach a video service that takes links only."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

from bot.addresses import is_link_for_all
from bot.config import Config
from bot.errors import ClipUnavailable, ConfigError
from bot.media import sample_link
from bot.ports import Finding
from bot.wiring.public_listener import LOOPBACK
from bot.wiring.supply import Opened, can_host, needs_account

_ELSE = "or name a service that takes files, such as fal or replicate, in [defaults] providers"


async def look(config: Config, opened: Opened, *, seconds: float) -> list[Finding]:
    """Whether the images that people attach can reach a service; its bucket is asked so long."""
    models = opened.provider.capabilities.values()
    takes_links = any(
        model.image_input == "link" and any("image" in pair for pair in model.frames)
        for model in models
    )
    if not takes_links or config.bot.public_url or opened.host in LOOPBACK:
        return []
    cure = await _cure(config.bot.media_url, seconds)
    if cure is None:
        return []
    name, hosts = opened.provider.name, _hosts(config)
    lend = ", ".join(chat for chat, can in hosts.items() if can)
    lack = ", ".join(chat for chat, can in hosts.items() if not can and needs_account(chat))
    if not lend:
        return [_amiss(f"Images cannot be given to {name}: {cure}")]
    own = f"{name} fetches images from Raybot's own messages in {lend}"
    findings = [Finding(is_well=True, sentence=own)]
    if lack:
        findings.append(_amiss(f"Images in {lack} cannot be given to {name}: {cure}"))
    return findings


async def _cure(media_url: str, seconds: float) -> str | None:
    """What is to be set; None where links of the bucket do."""
    if not media_url:
        return f"set [bot] public_url or media_url, {_ELSE}"
    # Where it cannot be used, or is out of reach, people are told when they ask.
    with suppress(ConfigError, ClipUnavailable, TimeoutError):
        async with asyncio.timeout(seconds):
            link = await sample_link(media_url)
        if not is_link_for_all(link):
            parts = urlsplit(link)
            leads = f"{parts.scheme}://{parts.netloc}"
            return (
                f"links of the bucket lead to {leads}, which others cannot open. "
                f"Set [bot] public_url, {_ELSE}"
            )
    return None


def _hosts(config: Config) -> dict[str, bool]:
    """The chats, and whether images can be handed over by their own links."""
    found = {}
    for name in config.adapters:
        with suppress(ConfigError):  # Its own line says so.
            found[name] = can_host(config, name)
    return found


def _amiss(sentence: str) -> Finding:
    return Finding(is_well=False, sentence=sentence)
