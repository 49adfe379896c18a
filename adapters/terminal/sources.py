"""Where lines come from: a person who types, a pipe, or a list of lines."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from bot.log import get_logger

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

LINE_BYTES = 64 * 1024
log = get_logger(__name__)


class Source(Protocol):
    """Lines, until there are no more."""

    @property
    def has_person(self) -> bool:
        """Whether somebody types them and can be asked."""

    async def read(self, number: Callable[[], str]) -> str | None:
        """The next line, which will get this number; None at the end."""

    async def ask(self, question: str) -> bool:
        """Yes or no; no where nobody is there."""

    def forget(self) -> None:
        """Let go of what was typed before."""


class Listed:
    """Lines that are known beforehand."""

    has_person = False

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)

    async def read(self, number: Callable[[], str]) -> str | None:
        """The next of them."""
        del number
        return next(self._lines, None)

    async def ask(self, question: str) -> bool:
        """Nobody is there."""
        del question
        return False

    def forget(self) -> None:
        """Nothing is kept of it."""


class Piped(Listed):
    """A stream, read in a thread of its own: a pipe may stay silent for hours."""

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__(())
        self._stream = stream
        self._queue: asyncio.Queue[str | None] | None = None

    async def read(self, number: Callable[[], str]) -> str | None:
        """The next line of the stream."""
        del number
        if self._queue is None:
            self._queue = asyncio.Queue()
            arguments = (self._queue, asyncio.get_running_loop())
            # A daemon: a thread that waits for a pipe cannot be ended.
            threading.Thread(
                target=self._pump, args=arguments, name="terminal input", daemon=True
            ).start()
        return await self._queue.get()

    def _pump(self, queue: asyncio.Queue[str | None], loop: asyncio.AbstractEventLoop) -> None:
        # The loop is closed where the session ended first.
        with contextlib.suppress(RuntimeError):
            # A stream that cannot be read any more has ended.
            with contextlib.suppress(OSError, ValueError):
                for line in lines_of(self._stream):
                    loop.call_soon_threadsafe(queue.put_nowait, line)
            loop.call_soon_threadsafe(queue.put_nowait, None)


def lines_of(stream: TextIO | None) -> Iterator[str]:
    """A stream's lines in UTF-8, whatever the locale; of an endless line only the beginning."""
    source: Any = getattr(stream, "buffer", stream)
    while source is not None and (line := source.readline(LINE_BYTES)):
        newline = b"\n" if isinstance(line, bytes) else "\n"
        rest = line
        while len(rest) == LINE_BYTES and not rest.endswith(newline):
            rest = source.readline(LINE_BYTES)
        text = line.decode("utf-8", "replace") if isinstance(line, bytes) else line
        yield text.lstrip("\ufeff")


class Prompted:
    """A person at a keyboard, with a history and rows below the line."""

    has_person = True

    def __init__(self, *, history: Path, toolbar: Callable[[], str]) -> None:
        self._history = history
        self._toolbar = toolbar
        self._session: PromptSession[str] | None = None

    async def read(self, number: Callable[[], str]) -> str | None:
        """What the person types; None on Ctrl-C and Ctrl-D."""
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import FileHistory

        if self._session is None:
            self._session = PromptSession(history=FileHistory(str(self._history)))
        return await self._prompt(self._session, lambda: f"[{number()}] ❯ ")

    async def ask(self, question: str) -> bool:
        """Anything but yes is no."""
        from prompt_toolkit import PromptSession

        answer = await self._prompt(PromptSession(), lambda: question)
        return (answer or "").strip().lower() in {"y", "yes"}

    def forget(self) -> None:
        """Begin a new history."""
        self._session = None
        try:
            self._history.unlink(missing_ok=True)
        except OSError as error:
            # What the bot keeps is being removed all the same.
            log.warning("terminal.history_not_removed", path=str(self._history), cause=str(error))

    async def _prompt(self, session: PromptSession[str], message: Callable[[], str]) -> str | None:
        from prompt_toolkit.patch_stdout import patch_stdout

        with patch_stdout(raw=True):
            try:
                return await session.prompt_async(
                    message,
                    bottom_toolbar=lambda: self._toolbar() or "help · Ctrl-D leaves",
                    refresh_interval=0.25,
                    # SIGINT is the app's.
                    handle_sigint=False,
                )
            except (EOFError, KeyboardInterrupt):
                return None
