"""The playground: Raybot as a page in a browser on this machine. `create` is all the app calls."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from bot.clock import Clock
from bot.errors import ConfigError
from bot.ports import Finding, ModelCapabilities
from bot.refs import Frozen

if TYPE_CHECKING:
    from adapters.web.listener import Playground
    from bot.studio import Studio

__all__ = ["Settings", "check", "create", "install"]
_LACKS = (
    "[adapters.web] needs one more package: install raybot[web], in a checkout with `make web`, "
    "for the image with PACKAGES=web in .env and a new build."
)


class Settings(Frozen):
    """`[adapters.web]`: whether there is a page, and where images that people bring are kept.

    They go after `image_days`.
    """

    can_host: ClassVar[bool] = False
    #: Where others than this machine come.
    asks_to_sign_in: ClassVar[bool] = True
    enabled: bool = False
    folder: Path = Path("data/web")
    image_days: int = Field(default=7, ge=1)


def create(settings: Settings, studio: Studio, *, clock: Clock) -> Playground:
    """The page; raises `ConfigError` where the folder or what draws it is missing."""
    _check_installed()
    from adapters.web.listener import Playground

    try:
        settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(
            f"[adapters.web] folder: {settings.folder} cannot be used"
            f" ({error.strerror or 'unknown cause'})."
        ) from error
    return Playground(studio, folder=settings.folder, image_days=settings.image_days, clock=clock)


async def check(
    settings: Settings,
    *,
    served: Mapping[str, Collection[str]],
    models: Sequence[ModelCapabilities],
    public_url: str = "",
    seconds: float = 0.0,
) -> list[Finding]:
    """Whether there is a page; nobody has to be asked, and this machine is always served."""
    del served, models, seconds
    if not settings.enabled:
        told = "web: off; set enabled = true in [adapters.web] for a page in the browser"
        return [Finding(is_well=True, sentence=told)]
    try:
        _check_installed()
    except ConfigError as error:
        return [Finding(is_well=False, sentence=f"web: {error.sentence}")]
    where = "on this machine, at /web/chat and /desk"
    if public_url.startswith("https://"):
        own = public_url.rstrip("/")
        where = f"at {own}/web/chat and {own}/desk, for whoever is let in: raybot desk-link"
    return [Finding(is_well=True, sentence=f"web: served {where}")]


async def install(settings: Settings, *, public_url: str = "", seconds: float = 0.0) -> str:
    """How to begin: nothing has to be installed."""
    del settings, public_url, seconds
    return "The page needs no invitation: `raybot playground`, or /web/chat of a running bot."


def _check_installed() -> None:
    if importlib.util.find_spec("jinja2") is None:
        raise ConfigError(_LACKS)
