"""Lines in, commands to the studio out: from a person who types, a pipe, or a list of lines."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO, assert_never

from adapters.command_text import (
    Cancel,
    Confirm,
    Draft,
    Help,
    Jobs,
    Retry,
    SettingsCommand,
    Show,
    Usage,
)
from adapters.terminal import parse, render
from adapters.terminal.delivery import Delivery
from adapters.work_text import Finish, Redo
from bot.clock import Clock
from bot.errors import BotError, Refusal
from bot.job import TERMINAL, JobState
from bot.log import get_logger
from bot.notices import About, ConfirmNeeded, Delivered, Notice
from bot.refs import JobId
from bot.request import frames_of
from bot.text import (
    Text,
    describe_error,
    describe_jobs,
    describe_settings,
    describe_usage,
    help_text,
    price_words,
    timeline,
)

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

    from bot.studio import Receipt, Studio

log = get_logger(__name__)
LINE_BYTES = 64 * 1024
LOOK = timedelta(seconds=30)
HELP = (
    "Here: > 3 slow zoom (reply to message 3) · image ./fox.png (something to reply to) · exit",
    "In a script: one command a line, # for remarks; wait reads on once every job has ended.",
)


# ---- where lines come from -------------------------------------------------------------------


class Source(Protocol):
    """Lines, until there are no more."""

    @property
    def has_person(self) -> bool:
        """Whether somebody types them and can be asked."""

    async def read(self, number: Callable[[], str]) -> str | None:
        """The next line, which will get this number; None at the end."""

    async def ask(self, question: str) -> bool:
        """Yes or no; no where nobody is there."""


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


# ---- the session -----------------------------------------------------------------------------


class Terminal(Delivery):
    """One session. `exit_code` after `run`: 0 if every clip came and nothing was refused."""

    def __init__(
        self,
        studio: Studio,
        *,
        folder: Path,
        screen: render.Screen,
        source: Source,
        clock: Clock,
        assume_yes: bool,
    ) -> None:
        super().__init__(folder=folder, screen=screen, clock=clock)
        self._studio = studio
        self._source = source
        self._assume_yes = assume_yes
        self._requester = parse.whoami()
        self._has_refused = False
        self.exit_code = 0

    async def run(self) -> None:
        """Listen until there are no more lines; a script also waits for its clips."""
        try:
            await self._take_up()
            if self._source.has_person:
                await self._listen()
                self._say_goodbye()
                return
            self.exit_code = 1
            await self._listen()
            await self._wait()
            has_all = all(self._outcomes[job_id] for job_id in self._session)
            self.exit_code = 0 if has_all and not self._has_refused else 1
        finally:
            self._screen.close()

    async def _take_up(self) -> None:
        """What an earlier session left on the way belongs to this one, too."""
        with contextlib.suppress(BotError):
            left = await self._studio.open_jobs(self._requester)
            self._session.update(line.job_id for line in left)

    async def _listen(self) -> None:
        while (line := await self._source.read(lambda: str(self._last + 1))) is not None:
            match line.strip().lower():
                case "exit" | "quit":
                    return
                case "wait":
                    await self._wait()
                case word if word and not word.startswith("#"):
                    await self._on_line(line)

    async def _on_line(self, line: str) -> None:
        """The boundary: whatever goes wrong with one line is told, and the next is read."""
        number = self._number()
        job_id: JobId | None = None
        if not self._source.has_person:
            self._screen.echo(number, line)
        try:
            read = parse.read_line(line)
            job_id = getattr(read.typed, "job_id", None)
            await self._carry_out(read, number)
        except BotError as error:
            self._refuse(error, number=number, job_id=job_id)
        except Exception:
            log.exception("terminal.line_failed", job=job_id)
            sorry = "Raybot made a mistake here; its log says which. Type jobs to see what runs."
            self._refuse(BotError(sorry), number=number, job_id=job_id)

    def _refuse(self, error: BotError, *, number: str, job_id: JobId | None) -> None:
        self._has_refused = True
        if not isinstance(error, Refusal):
            log.warning("terminal.not_done", cause=type(error).__name__, job=job_id)
        text = describe_error(error, job_id)
        self._screen.page(text, render.error_record(error, text, job_id=job_id), number=number)

    async def _carry_out(self, line: parse.Line, number: str) -> None:
        match line.typed:
            case Draft() | Retry() | Confirm() | Redo() as command:
                receipt = await self._spend(command, line.reply_to, number)
                await self._follow(receipt, number)
            case Help() | Usage() | Jobs() | SettingsCommand() as command:
                text, record = await self._answer(command)
                self._screen.page(text, record, number=number)
            case Show(job_id=job_id):
                await self._show(job_id, number)
            case Cancel(job_id=job_id):
                self._tell(await self._studio.cancel(job_id, self._requester), number)
            case Finish(job_id=job_id):
                self._tell(await self._studio.stories.finish(job_id, self._requester), number)
            case parse.Picture(path=path):
                self._put_picture(path, number)
            case _:
                assert_never(line.typed)

    # ---- what may cost something ---------------------------------------------------------

    async def _spend(
        self, command: Draft | Retry | Confirm | Redo, reply_to: int | None, number: str
    ) -> Receipt:
        key = f"{parse.NAME}:{self._id}:{number}"
        match command:
            case Confirm(job_id=job_id):
                return await self._studio.confirm(job_id, self._requester)
            case Retry(job_id=job_id):
                return await self._studio.retry(
                    job_id, self._requester, dedupe_key=key, thread=parse.THREAD
                )
            case Redo(job_id=job_id, shot=shot, prompt=prompt):
                return await self._studio.stories.redo(
                    job_id, shot, self._requester, prompt=prompt, dedupe_key=key
                )
            case Draft():
                reply = None if reply_to is None else self._frame_of(reply_to)
                request = parse.to_request(
                    command, reply=reply, requester=self._requester, dedupe_key=key
                )
                if (start := frames_of(request.work)[0]) is not None:
                    self._frames[int(number)] = start
                return await self._studio.submit(request, is_confirmed=self._assume_yes)
        assert_never(command)

    async def _follow(self, receipt: Receipt, number: str) -> None:
        self._session.add(receipt.job_id)
        # A film that waited for a word goes on.
        self._outcomes.pop(receipt.job_id, None)
        self._tell(receipt.notice, number)
        if isinstance(receipt.notice, ConfirmNeeded):
            await self._confirm(receipt.notice.about, number)

    async def _confirm(self, about: About, number: str) -> None:
        price = price_words(about.price) if about.price else "its price"
        if self._assume_yes or await self._source.ask(f"Start it for {price}? [y/N] "):
            await self._follow(await self._studio.confirm(about.job_id, self._requester), number)
            return
        self._tell(await self._studio.cancel(about.job_id, self._requester), number)
        if not self._source.has_person:
            raise Refusal(f"This clip costs {price}, and a script starts that only with --yes.")

    def _tell(self, notice: Notice, number: str) -> None:
        self._say(notice, number=number)
        self._note(notice)

    # ---- what is only read ---------------------------------------------------------------

    async def _answer(
        self, command: Help | Usage | Jobs | SettingsCommand
    ) -> tuple[Text, dict[str, Any]]:
        match command:
            case Help():
                text = help_text(
                    self._studio.preferences.models(), self._studio.preferences.models("image")
                )
                text = replace(text, lines=(*text.lines, *HELP))
                return text, {"notice": "help", "lines": text.lines, "flags": text.table[1:]}
            case Usage():
                report = await self._studio.usage(self._requester, channel=parse.THREAD.channel)
                return describe_usage(report), render.usage_record(report)
            case Jobs(search=search, page=page):
                found = await self._studio.jobs(self._requester, search=search, page=page)
                rows = [render.job_record(line) for line in found]
                return describe_jobs(found), {"notice": "jobs", "jobs": rows}
            case SettingsCommand(changes=changes):
                if changes:
                    values = await self._studio.preferences.change(self._requester, changes)
                else:
                    values = await self._studio.preferences.own(self._requester)
                return describe_settings(values), {"notice": "settings", "settings": dict(values)}
        assert_never(command)

    async def _show(self, job_id: JobId, number: str) -> None:
        shown = await self._studio.show(job_id, self._requester)
        text, path = render.words(shown.notice), None
        if isinstance(shown.notice, Delivered):
            entry, number = await self._keep(shown.notice, key=f"{self._id}:{number}:show")
            path = entry.path
        moves = [{"at": render.plain(when), "event": what} for when, what in shown.events]
        record = {"notice": "shown", **render.job_record(shown.line), "timeline": moves}
        text = replace(text, lines=(*text.lines, *timeline(shown.events)))
        self._screen.page(text, record, number=number, path=path)

    def _put_picture(self, path: str, number: str) -> None:
        frame = parse.to_frame(path, field="start_frame")
        self._frames[int(number)] = frame
        text = Text(title="An image to start from", lines=(f"Reply to it: > {number} slow zoom",))
        record = {"notice": "image", "frame": frame.model_dump(mode="json")}
        self._screen.page(text, record, number=number)

    # ---- the end -------------------------------------------------------------------------

    async def _wait(self) -> None:
        """Return once every job has ended, or is up to the operator."""
        while waiting := self._session - self._outcomes.keys():
            self._changed.clear()
            await self._clock.wait(self._changed, self._clock.now() + LOOK)
            if not self._changed.is_set():
                for job_id in waiting:
                    await self._look(job_id)

    async def _look(self, job_id: JobId) -> None:
        """Read how a job stands, in case that its last word could not be shown."""
        with contextlib.suppress(BotError):
            state = (await self._studio.show(job_id, self._requester)).line.state
            if state in TERMINAL | {JobState.UNCERTAIN}:
                self._outcomes[job_id] = state == JobState.DELIVERED

    def _say_goodbye(self) -> None:
        waiting = len(self._session - self._outcomes.keys())
        clips = "1 clip is" if waiting == 1 else f"{waiting} clips are"
        lines = (f"{clips} still on the way and will go on at the next start.",)
        self._screen.page(Text(title="Goodbye", lines=lines if waiting else ()), {})
