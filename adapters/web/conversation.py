"""What a person says with the composer or a button, carried out by the studio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, assert_never

from adapters import opinions, own_place
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
from adapters.follow_ups import follow_up, is_private
from adapters.opinions import ANSWERS, OUTCOMES, VERDICTS, Opinion, Opinions
from adapters.own_place import Admin, AdminAct
from adapters.typed_frames import end_of
from adapters.web.buttons import EDIT, REASONS, Pressed, to_typed
from adapters.web.images import Images
from adapters.web.parse import THREAD, Said, read_text, to_key, to_request
from adapters.work_text import Finish, Redo
from bot.acts import Offered
from bot.clock import Clock
from bot.errors import InvalidRequest, NotAllowed
from bot.notices import Delivered, Done
from bot.refs import JobId
from bot.request import GenerationRequest, Requester
from bot.text import (
    CONFIRM_TYPED,
    Text,
    describe,
    describe_forgetting,
    describe_jobs,
    describe_settings,
    describe_settings_in,
    describe_usage,
    help_text,
)

if TYPE_CHECKING:
    from bot.studio import Receipt, Studio

HERE = (
    "Drop or paste images to start from one and to end on another; without words they stay in the "
    "channel to be animated.",
    "Enter sends, Shift with Enter begins a new line.",
    *opinions.HELP,
    own_place.IN_SHORT,
)


Obeyed = Command | AdminAct | Opinion


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of it: jobs whose cards changed, a page to read, a thread to go to.

    `is_forgotten`: whoever asked is to be forgotten, and signed out.
    """

    jobs: tuple[JobId, ...] = ()
    text: Text | None = None
    times: Sequence[datetime] = ()
    thread: JobId | None = None
    images: tuple[str, ...] = ()
    is_forgotten: bool = False


class Conversation:
    """One person's, in their channel."""

    def __init__(
        self,
        studio: Studio,
        images: Images,
        requester: Requester,
        *,
        clock: Clock,
    ) -> None:
        self._studio = studio
        self._images = images
        self._who = requester
        self._opinions = Opinions(studio, channel=THREAD.channel, has_buttons=True)
        self._admin = Admin(studio, self._opinions, clock=clock)

    async def say(self, said: Said, *, runs_it: bool) -> Answer:
        """Carry out what was sent; raises `Refusal`s, then nothing is charged.

        `runs_it`: whoever sent it decides for this place.
        """
        if not said.text and said.images and said.reply_to is None:
            await self._images.show(said.images, self._who)
            return Answer(images=said.images)
        read = read_text(said.text)
        if isinstance(read, Draft):
            request = to_request(read, said, requester=self._who)
            return _jobs(await self._studio.submit(request))
        if said.images:
            raise InvalidRequest("Images go with a prompt; this is a command without one.")
        return await self._obey(_allowed(read, runs_it=runs_it), to_key(said.nonce, self._who))

    async def press(self, pressed: Pressed, nonce: str, *, runs_it: bool) -> Answer:
        """Carry out what a button stands for."""
        key, job_id = to_key(nonce, self._who), pressed.job_id
        if pressed.action == EDIT:
            return _jobs(await self._edit(job_id, pressed.words, key))
        command = read_text(to_typed(pressed))
        if isinstance(command, Draft):
            # Nothing is bought that no button says.
            raise InvalidRequest("Something is missing. Fill in what is asked for.")
        return await self._obey(_allowed(command, runs_it=runs_it), key)

    async def offer(self, job_id: JobId, action: str) -> tuple[Offered | None, str]:
        """What a button asks for, and the words to begin with; None: what was asked for, anew."""
        if action == EDIT:
            work = await self._studio.draft_of(job_id, self._who)
            return None, format_draft(to_draft(work))
        if action in REASONS:
            return None, ""
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
        # What a filter refused is its person's alone to change.
        await self._studio.draft_of(job_id, self._who)
        before, is_settled = await self._studio.settled_work_of(job_id, self._who)
        work = to_remix(before, draft, is_settled=is_settled)
        request = GenerationRequest(
            dedupe_key=key,
            requester=self._who,
            thread=THREAD,
            work=work,
            is_age_restricted=True,
            is_private=draft.is_private or await is_private(self._studio, job_id, self._who),
        )
        return await self._studio.submit(request, retry_of=job_id)

    async def _obey(self, command: Obeyed, key: str) -> Answer:
        match command:
            case AdminAct(said=said):
                page = await self._admin.answer(said, self._who, form=key)
                return Answer(text=page.text, times=[each for each in page.times if each])
            case Opinion():
                return await self._think(command)
            case Confirm(job_id=job_id):
                return _jobs(await self._studio.confirm(job_id, self._who))
            case Retry() | Redo() | Follow():
                return _jobs(*await self._go_on(command, key))
            case Cancel() | Delete() | Finish():
                return await self._end(command)
            case _:
                return await self._read(command)

    async def _go_on(self, command: Retry | Redo | Follow, key: str) -> tuple[Receipt, ...]:
        """Make something of an earlier job; of a private one that stays so."""
        studio, who, job_id = self._studio, self._who, command.job_id
        match command:
            case Retry():
                again = studio.retry(
                    job_id,
                    who,
                    dedupe_key=key,
                    thread=THREAD,
                    is_age_restricted=True,
                    is_private=await is_private(studio, job_id, who),
                )
                return (await again,)
            case Redo(shot=shot, prompt=prompt):
                again = studio.stories.redo(job_id, shot, who, prompt=prompt, dedupe_key=key)
                return (await again,)
            case Follow():
                return await follow_up(
                    studio,
                    command,
                    who,
                    dedupe_key=key,
                    thread=THREAD,
                    frame=end_of(command),
                    is_private=command.is_private or await is_private(studio, job_id, who),
                    is_age_restricted=True,
                )
        assert_never(command)

    async def _think(self, said: Opinion) -> Answer:
        """What is thought of a clip, or decided about it, or answered to a question."""
        job_id, who = said.job_id, self._who
        if said.verb in ANSWERS:
            is_allowed = ANSWERS[said.verb]
            return _jobs(await self._studio.answer(job_id, who, is_allowed=is_allowed))
        if said.verb in VERDICTS:
            verdict, why = VERDICTS[said.verb], said.reason
            decided = self._studio.reviews.decide(job_id, verdict, actor=who, reason=why)
            return Answer(text=describe(await decided))
        return Answer(text=await self._opinions.pass_on(said, who))

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
                if changes:
                    return Answer(text=describe_settings(await of.change(self._who, changes)))
                text = describe_settings_in(await of.in_channel(self._who, THREAD.channel))
                how = describe_settings({}).lines
                return Answer(text=replace(text, lines=(*text.lines, *how)))

    async def usage(self) -> tuple[Text, list[datetime]]:
        """What was used, and the times that its lines name."""
        report = await self._studio.usage(self._who, channel=THREAD.channel)
        days = await self._studio.usage_by_day(self._who)
        return describe_usage(report, days), report.times

    async def _forget(self, *, is_confirmed: bool) -> Answer:
        page = await self._studio.erasure.forget(self._who, is_confirmed=is_confirmed)
        text = describe_forgetting(page)
        if page.can_begin:
            text = replace(text, lines=(*text.lines, CONFIRM_TYPED))
        return Answer(text=text, is_forgotten=page.is_begun)


def _allowed(command: Obeyed, *, runs_it: bool) -> Obeyed:
    """The same; raises `NotAllowed` for what is up to those who run this place."""
    decides = isinstance(command, Opinion) and command.verb in {*VERDICTS, *OUTCOMES}
    if not runs_it and (decides or isinstance(command, AdminAct)):
        raise NotAllowed("That is up to those who run this place.")
    return command


def _jobs(*receipts: Receipt) -> Answer:
    return Answer(jobs=tuple(each.job_id for each in receipts))
