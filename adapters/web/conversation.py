"""What a person says with the composer or a button, carried out by the studio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from adapters.command_text import (
    Cancel,
    Command,
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
    format_draft,
    parse,
    to_draft,
)
from adapters.drafts import to_remix
from adapters.follow_ups import follow_up
from adapters.typed_frames import end_of
from adapters.web.buttons import EDIT, Pressed, to_typed
from adapters.web.images import Images
from adapters.web.parse import THREAD, Said, read_text, to_key, to_request
from adapters.work_text import Finish, Redo
from bot.acts import Offered
from bot.errors import InvalidRequest
from bot.notices import Delivered, Done
from bot.refs import JobId
from bot.request import GenerationRequest, Requester
from bot.text import (
    CONFIRM_TYPED,
    Text,
    describe_forgetting,
    describe_jobs,
    describe_settings,
    describe_usage,
    help_text,
)

if TYPE_CHECKING:
    from bot.studio import Receipt, Studio, UsageReport

HERE = (
    "Drop or paste images to start from one and to end on another; without words they stay in the "
    "channel to be animated.",
    "Enter sends, Shift with Enter begins a new line.",
)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of it: jobs whose cards changed, a page to read, a thread to go to."""

    jobs: tuple[JobId, ...] = ()
    text: Text | None = None
    times: Sequence[datetime] = ()
    thread: JobId | None = None
    images: tuple[str, ...] = ()


class Conversation:
    """One person's, in their channel."""

    def __init__(self, studio: Studio, images: Images, requester: Requester) -> None:
        self._studio = studio
        self._images = images
        self._who = requester

    async def say(self, said: Said) -> Answer:
        """Carry out what was sent; raises `Refusal`s, then nothing is charged."""
        if not said.text and said.images and said.reply_to is None:
            await self._images.show(said.images, self._who)
            return Answer(images=said.images)
        read = read_text(said.text)
        if isinstance(read, Draft):
            request = to_request(read, said, requester=self._who)
            return _jobs(await self._studio.submit(request))
        if said.images:
            raise InvalidRequest("Images go with a prompt; this is a command without one.")
        return await self._obey(read, to_key(said.nonce, self._who))

    async def press(self, pressed: Pressed, nonce: str) -> Answer:
        """Carry out what a button stands for."""
        key, job_id = to_key(nonce, self._who), pressed.job_id
        if pressed.action == "accept":
            return _jobs(await self._studio.answer(job_id, self._who, is_allowed=True))
        if pressed.action == EDIT:
            return _jobs(await self._edit(job_id, pressed.words, key))
        command = parse(to_typed(pressed))
        if isinstance(command, Draft):
            # Nothing is bought that no button says.
            raise InvalidRequest("Something is missing. Fill in what is asked for.")
        return await self._obey(command, key)

    async def offer(self, job_id: JobId, action: str) -> tuple[Offered | None, str]:
        """What a button asks for, and the words to begin with; None: what was asked for, anew."""
        if action == EDIT:
            work = await self._studio.draft_of(job_id, self._who)
            return None, format_draft(to_draft(work))
        act = "variation" if action == "several" else action
        shown = await self._studio.show(job_id, self._who)
        acts = shown.notice.acts if isinstance(shown.notice, Delivered | Done) else ()
        offered = next((each for each in acts if each.act == act), None)
        if offered is None:
            raise InvalidRequest("That cannot be done with this clip any more.")
        if act != "remix":
            return offered, ""
        return offered, (await self._studio.work_of(job_id, self._who)).prompt

    # ---- what may cost something ---------------------------------------------------------

    async def _edit(self, job_id: JobId, typed: str, key: str) -> Receipt:
        draft = parse(typed)
        if not isinstance(draft, Draft):
            raise InvalidRequest("Say what you want to see.", field="prompt")
        work = to_remix(await self._studio.draft_of(job_id, self._who), draft)
        request = GenerationRequest(
            dedupe_key=key,
            requester=self._who,
            thread=THREAD,
            work=work,
            is_age_restricted=True,
            is_private=draft.is_private or await self._is_private(job_id),
        )
        return await self._studio.submit(request, retry_of=job_id)

    async def _is_private(self, job_id: JobId) -> bool:
        """Whether it was for its person alone; what comes of it is, too."""
        return (await self._studio.show(job_id, self._who)).line.is_private

    async def _obey(self, command: Command, key: str) -> Answer:
        match command:
            case Confirm(job_id=job_id):
                return _jobs(await self._studio.confirm(job_id, self._who))
            case Retry(job_id=job_id):
                again = self._studio.retry(
                    job_id,
                    self._who,
                    dedupe_key=key,
                    thread=THREAD,
                    is_age_restricted=True,
                    is_private=await self._is_private(job_id),
                )
                return _jobs(await again)
            case Redo(job_id=job_id, shot=shot, prompt=prompt):
                again = self._studio.stories.redo(
                    job_id, shot, self._who, prompt=prompt, dedupe_key=key
                )
                return _jobs(await again)
            case Follow():
                receipts = await follow_up(
                    self._studio,
                    command,
                    self._who,
                    dedupe_key=key,
                    thread=THREAD,
                    frame=end_of(command),
                    is_private=command.is_private or await self._is_private(command.job_id),
                    is_age_restricted=True,
                )
                return _jobs(*receipts)
            case Cancel() | Delete() | Finish():
                return await self._end(command)
            case _:
                return await self._read(command)

    async def _end(self, command: Cancel | Delete | Finish) -> Answer:
        match command:
            case Cancel(job_id=job_id):
                await self._studio.cancel(job_id, self._who)
            case Delete(job_id=job_id):
                await self._studio.delete(job_id, self._who)
            case Finish(job_id=job_id):
                await self._studio.stories.finish(job_id, self._who)
        return Answer(jobs=(command.job_id,))

    # ---- what is only read ---------------------------------------------------------------

    async def _read(
        self, command: Help | Usage | Forget | Jobs | Show | SettingsCommand
    ) -> Answer:
        match command:
            case Help():
                of = self._studio.preferences
                text = help_text(of.models(), of.models("image"))
                return Answer(text=replace(text, lines=(*text.lines, *HERE)))
            case Usage():
                text, times = await self.usage()
                return Answer(text=text, times=times)
            case Forget(is_confirmed=is_confirmed):
                return await self._forget(is_confirmed=is_confirmed)
            case Jobs(search=search, page=page):
                found = await self._studio.jobs(self._who, search=search, page=page)
                times = [each.created_at for each in found]
                return Answer(text=describe_jobs(found), times=times)
            case Show(job_id=job_id):
                await self._studio.show(job_id, self._who)
                return Answer(thread=job_id)
            case SettingsCommand(changes=changes):
                of = self._studio.preferences
                values = (
                    await of.change(self._who, changes) if changes else await of.own(self._who)
                )
                return Answer(text=describe_settings(values))

    async def usage(self) -> tuple[Text, list[datetime]]:
        """What was used, and the times that its lines name."""
        report = await self._studio.usage(self._who, channel=THREAD.channel)
        days = await self._studio.usage_by_day(self._who)
        return describe_usage(report, days), _times_of(report)

    async def _forget(self, *, is_confirmed: bool) -> Answer:
        page = await self._studio.erasure.forget(self._who, is_confirmed=is_confirmed)
        text = describe_forgetting(page)
        if page.is_begun:
            await self._images.forget(self._who)
        if page.can_begin:
            text = replace(text, lines=(*text.lines, CONFIRM_TYPED))
        return Answer(text=text)


def _times_of(report: UsageReport) -> list[datetime]:
    resets = [each.resets_at for each in report.allowances if each.resets_at is not None]
    ends = [each.until for each in report.grants]
    return [*resets, *ends, *(each.created_at for each in report.last)]


def _jobs(*receipts: Receipt) -> Answer:
    return Answer(jobs=tuple(each.job_id for each in receipts))
