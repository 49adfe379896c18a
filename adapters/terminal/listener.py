"""Lines in, commands to the studio out: from a person who types, a pipe, or a list of lines."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from adapters import opinions, own_place
from adapters.command_text import (
    Cancel,
    Confirm,
    Delete,
    Draft,
    Follow,
    Forget,
    Help,
    Jobs,
    Retry,
    SettingsCommand,
    Show,
    Usage,
)
from adapters.follow_ups import follow_up, is_private
from adapters.login import whoami
from adapters.opinions import ANSWERS, VERDICTS, Opinion, Opinions, to_edit
from adapters.own_place import Admin, AdminAct
from adapters.terminal import parse, records, render
from adapters.terminal.delivery import Delivery
from adapters.terminal.sources import Source
from adapters.work_text import Finish, Redo
from bot.clock import Clock
from bot.errors import BotError, Moderated, Refusal
from bot.job import TERMINAL, JobState
from bot.log import get_logger, name_job, naming
from bot.notices import ConfirmNeeded, Delivered, Notice, RulesFirst
from bot.refs import JobId, Micros
from bot.request import frames_of
from bot.text import (
    CONFIRM_TYPED,
    Text,
    describe_error,
    describe_forgetting,
    describe_jobs,
    describe_settings,
    describe_settings_in,
    describe_usage,
    family_lines,
    help_text,
    timeline,
    whole_price,
)

if TYPE_CHECKING:
    from bot.studio import Receipt, Studio

log = get_logger(__name__)
LOOK = timedelta(seconds=30)
#: Nothing comes of it before somebody decides.
UP_TO_SOMEBODY = frozenset({JobState.UNCERTAIN, JobState.REVIEWING})
HELP = (
    "Here: > 3 slow zoom (reply to message 3) · image ./fox.png (something to reply to) · exit",
    *opinions.HELP,
    own_place.IN_SHORT,
    "In a script: one command a line, # for remarks; wait reads on once every job has ended.",
)


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
        self._opinions = Opinions(studio, channel=parse.THREAD.channel)
        self._admin = Admin(studio, self._opinions, clock=clock, opens_desk=True)
        self._assume_yes = assume_yes
        self._requester = whoami(parse.NAME)
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
            waiting = (line.job_id for line in left if line.state in UP_TO_SOMEBODY)
            self._outcomes.update(dict.fromkeys(waiting, False))

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
        begins = False
        if not self._source.has_person:
            self._screen.echo(number, line)
        with naming():
            try:
                read = parse.read_line(line)
                if (job_id := getattr(read.typed, "job_id", None)) is not None:
                    name_job(job_id)
                begins = isinstance(read.typed, Follow | Retry)
                await self._carry_out(read, number)
            except BotError as error:
                self._refuse(error, number=number, job_id=job_id, begins=begins)
            except Exception:
                log.exception("terminal.line_failed")
                sorry = BotError("Raybot made a mistake here; its log says which.")
                self._refuse(sorry, number=number, job_id=job_id)

    def _refuse(
        self, error: BotError, *, number: str, job_id: JobId | None, begins: bool = False
    ) -> None:
        """Say what is wrong; `begins`: of that job something new was asked for."""
        self._has_refused = True
        if not isinstance(error, Refusal):
            log.warning("terminal.not_done", cause=type(error).__name__)
        charged = Micros(0) if begins and isinstance(error, Refusal) else None
        text = describe_error(self._studio.reworded(error), job_id, charged)
        if isinstance(error, Moderated) and error.job_id:
            text = replace(text, lines=(*text.lines, to_edit(error.job_id, error.kind)))
        self._screen.page(text, records.error_record(error, text, job_id=job_id), number=number)

    async def _carry_out(self, line: parse.Line, number: str) -> None:
        match line.typed:
            case Draft() | Retry() | Confirm() | Redo() as command:
                receipt = await self._spend(command, line.reply_to, number)
                await self._follow([receipt], number)
            case Follow() as command:
                await self._follow(await self._follow_up(command, number), number)
            case Help() | Usage() | Forget() | Jobs() | SettingsCommand() as command:
                text, record = await self._answer(command)
                self._screen.page(text, record, number=number)
            case Show(job_id=job_id):
                await self._show(job_id, number)
            case Cancel() | Delete() | Finish() as command:
                self._tell(await self._end(command), number)
            case AdminAct(said=said):
                text = (await self._admin.answer(said, self._requester)).text
                record = {"notice": "admin", "title": text.title, "lines": text.lines}
                self._screen.page(text, {**record, "table": text.table}, number=number)
            case parse.Picture(path=path):
                self._put_picture(path, number)
            case Opinion() as said:
                await self._think(said, number)
            case _:
                assert_never(line.typed)

    async def _end(self, command: Cancel | Delete | Finish) -> Notice:
        match command:
            case Cancel(job_id=job_id):
                return await self._studio.cancel(job_id, self._requester)
            case Delete(job_id=job_id):
                return await self._studio.delete(job_id, self._requester)
            case Finish(job_id=job_id):
                return await self._studio.stories.finish(job_id, self._requester)
        assert_never(command)

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
                    job_id,
                    self._requester,
                    dedupe_key=key,
                    thread=parse.THREAD,
                    is_age_restricted=True,
                    is_private=await is_private(self._studio, job_id, self._requester),
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

    async def _follow_up(self, command: Follow, number: str) -> tuple[Receipt, ...]:
        end = command.end and parse.to_frame(command.end, field="end_frame")
        return await follow_up(
            self._studio,
            command,
            self._requester,
            dedupe_key=f"{parse.NAME}:{self._id}:{number}",
            thread=parse.THREAD,
            frame=end or None,
            is_private=command.is_private
            or await is_private(self._studio, command.job_id, self._requester),
            is_age_restricted=True,
            is_confirmed=self._assume_yes,
        )

    async def _follow(self, receipts: Sequence[Receipt], number: str) -> None:
        for receipt in receipts:
            self._session.add(receipt.job_id)
            # A film that waited for a word goes on.
            self._outcomes.pop(receipt.job_id, None)
            self._tell(receipt.notice, number)
        # To confirm one is to confirm all that were asked for at once.
        if receipts and isinstance(receipts[0].notice, ConfirmNeeded):
            await self._confirm(receipts[0].notice, number)
        elif receipts and isinstance(receipts[0].notice, RulesFirst):
            await self._accept_rules(receipts[0].job_id, number)

    async def _accept_rules(self, job_id: JobId, number: str) -> None:
        if self._assume_yes or await self._source.ask("Accept them? [y/N] "):
            receipt = await self._studio.answer(job_id, self._requester, is_allowed=True)
            await self._follow([receipt], number)
            return
        self._tell(await self._studio.cancel(job_id, self._requester), number)
        if not self._source.has_person:
            raise Refusal("There are rules here, and a script accepts them only with --yes.")

    async def _confirm(self, asks: ConfirmNeeded, number: str) -> None:
        job_id, price = asks.about.job_id, whole_price(asks)
        if self._assume_yes or await self._source.ask(f"Start it for {price}? [y/N] "):
            receipt = await self._studio.confirm(job_id, self._requester)
            await self._follow([receipt], number)
            return
        self._tell(await self._studio.cancel(job_id, self._requester), number)
        if not self._source.has_person:
            what = "This clip costs" if asks.batch_size == 1 else "These clips cost"
            raise Refusal(f"{what} {price}, and a script starts that only with --yes.")

    def _tell(self, notice: Notice, number: str) -> None:
        self._say(notice, number=number)
        self._note(notice)

    async def _think(self, said: Opinion, number: str) -> None:
        """What is thought of a clip, and what becomes of it then."""
        job_id, who = said.job_id, self._requester
        if said.verb in VERDICTS:
            # What is let go is on its way again.
            self._outcomes.pop(job_id, None)
            verdict = VERDICTS[said.verb]
            decided = await self._studio.reviews.decide(
                job_id, verdict, actor=who, reason=said.reason
            )
            self._say(decided, number=number)
        elif said.verb in ANSWERS:
            is_allowed = ANSWERS[said.verb]
            receipt = await self._studio.answer(job_id, who, is_allowed=is_allowed)
            await self._follow([receipt], number)
        else:
            text = await self._opinions.pass_on(said, who)
            record = {"notice": said.verb, "job_id": job_id, "sentence": text.title}
            self._screen.page(text, record, number=number)

    # ---- what is only read ---------------------------------------------------------------

    async def _answer(
        self, command: Help | Usage | Forget | Jobs | SettingsCommand
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
                days = await self._studio.usage_by_day(self._requester)
                return describe_usage(report, days), records.usage_record(report, days)
            case Forget(is_confirmed=is_confirmed):
                page = await self._studio.erasure.forget(
                    self._requester, is_confirmed=is_confirmed
                )
                text = describe_forgetting(page)
                if page.is_begun:
                    self._source.forget()
                if page.can_begin:
                    text = replace(text, lines=(*text.lines, CONFIRM_TYPED))
                return text, {"notice": "forgetting", "is_begun": page.is_begun, **vars(page.what)}
            case Jobs(search=search, page=page):
                found = await self._studio.jobs(self._requester, search=search, page=page)
                rows = [records.job_record(line) for line in found]
                return describe_jobs(found), {"notice": "jobs", "jobs": rows}
            case SettingsCommand(changes=changes):
                return await self._settle(changes)
        assert_never(command)

    async def _settle(self, changes: Mapping[str, str]) -> tuple[Text, dict[str, Any]]:
        """Change own defaults, or say what holds here and whose word it is."""
        of = self._studio.preferences
        if changes:
            own = await of.change(self._requester, changes)
            return describe_settings(own), {"notice": "settings", "settings": dict(own)}
        held = await of.in_channel(self._requester, parse.THREAD.channel)
        record = {
            "notice": "settings",
            "settings": {each.name: each.value for each in held if each.source == "yours"},
            "held": [vars(each) for each in held],
        }
        how = describe_settings({}).lines
        text = describe_settings_in(held)
        return replace(text, lines=(*text.lines, *how)), record

    async def _show(self, job_id: JobId, number: str) -> None:
        shown = await self._studio.show(job_id, self._requester)
        text, path = records.words(shown.notice), None
        if isinstance(shown.notice, Delivered):
            entry, number = await self._keep(shown.notice, key=f"{self._id}:{number}:show")
            path = entry.path
        moves = [{"at": records.plain(when), "event": what} for when, what in shown.events]
        record = {
            "notice": "shown",
            **records.job_record(shown.line),
            "timeline": moves,
            **records.family_record(shown),
        }
        text = replace(text, lines=(*text.lines, *family_lines(shown), *timeline(shown.events)))
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
            if state in TERMINAL | UP_TO_SOMEBODY:
                self._outcomes[job_id] = state == JobState.DELIVERED

    def _say_goodbye(self) -> None:
        waiting = len(self._session - self._outcomes.keys())
        clips = "1 clip is" if waiting == 1 else f"{waiting} clips are"
        lines = (f"{clips} still on the way and will go on at the next start.",)
        self._screen.page(Text(title="Goodbye", lines=lines if waiting else ()), {})
