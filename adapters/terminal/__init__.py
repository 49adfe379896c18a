"""The terminal as a chat platform: it needs no account. `create` is all the app calls."""

from __future__ import annotations

import io
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TextIO

from rich.console import Console

from adapters.terminal import render
from adapters.terminal.listener import Terminal
from adapters.terminal.sources import Listed, Piped, Prompted, Source
from bot.clock import Clock
from bot.errors import ConfigError
from bot.ports import Finding, ModelCapabilities
from bot.refs import Frozen

if TYPE_CHECKING:
    from bot.studio import Studio

__all__ = ["Settings", "Terminal", "check", "create", "install"]


class Settings(Frozen):
    """`[adapters.terminal]`: where clips are written, and how a script is answered.

    `is_json`: one JSON object a line. `assume_yes`: start also what costs more than
    `confirm_above_usd`.
    """

    can_host: ClassVar[bool] = False
    folder: Path = Path("clips")
    is_json: bool = False
    assume_yes: bool = False


def create(
    settings: Settings,
    studio: Studio,
    *,
    clock: Clock,
    stdin: TextIO | None = None,
    stdout: TextIO | None = None,
    lines: Iterable[str] | None = None,
) -> Terminal:
    """A session over standard input and output, or over `lines`, which are echoed as if typed.

    Raises `ConfigError` where the folder cannot be used.
    """
    keyboard, shown = stdin or sys.stdin, stdout or sys.stdout
    try:
        settings.folder.mkdir(parents=True, exist_ok=True)
        is_typed = lines is None and not settings.is_json and _is_tty(keyboard) and _is_tty(shown)
        source: Source
        screen: render.Screen
        if is_typed:
            # Without a file: prompt_toolkit replaces sys.stdout while somebody is typing.
            screen = render.PromptScreen(Console(force_terminal=True), clock=clock)
            source = Prompted(history=settings.folder / ".history", toolbar=screen.toolbar)
        else:
            screen = _screen(shown, is_json=settings.is_json, clock=clock)
            source = Piped(keyboard) if lines is None else Listed(lines)
        return Terminal(
            studio,
            folder=settings.folder,
            screen=screen,
            source=source,
            clock=clock,
            assume_yes=settings.assume_yes,
        )
    except OSError as error:
        raise ConfigError(
            f"[adapters.terminal] folder: {settings.folder} cannot be used"
            f" ({error.strerror or 'unknown cause'})."
        ) from error


async def check(
    settings: Settings,
    *,
    served: Mapping[str, Collection[str]],
    models: Sequence[ModelCapabilities],
    public_url: str = "",
    seconds: float = 0.0,
) -> list[Finding]:
    """Where clips go; nobody has to be asked, and this machine is always served."""
    del served, models, public_url, seconds
    is_usable = not settings.folder.exists() or settings.folder.is_dir()
    return [
        Finding(is_well=True, sentence=f"terminal: clips are written into {settings.folder}")
        if is_usable
        else Finding(is_well=False, sentence=f"terminal: {settings.folder} is no folder")
    ]


async def install(settings: Settings, *, public_url: str = "", seconds: float = 0.0) -> str:
    """How to begin: nothing has to be installed."""
    del settings, public_url, seconds
    return "The terminal needs no invitation: `raybot chat`."


def _screen(stdout: TextIO, *, is_json: bool, clock: Clock) -> render.Screen:
    if is_json:
        return render.JsonScreen(stdout, clock=clock)
    if isinstance(stdout, io.TextIOWrapper):
        # A terminal without Unicode shows a question mark, and nothing breaks.
        stdout.reconfigure(errors="replace")
    if _is_tty(stdout):
        return render.LiveScreen(Console(file=stdout, force_terminal=True), clock=clock)
    return render.PlainScreen(Console(file=stdout, width=render.PLAIN_WIDTH), clock=clock)


def _is_tty(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()
