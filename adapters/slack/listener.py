"""What Raybot hears in Slack, kept and acknowledged: `parse` reads it, the studio decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from adapters import typed_frames
from adapters.command_text import Draft, Follow, Retry, SettingsCommand
from adapters.follow_ups import act_of, follow_up
from adapters.names import parse_named
from adapters.slack import act_forms, parse, refusals, render, views
from adapters.slack.addresses import Account
from adapters.slack.admin import Admin, read_admin
from adapters.slack.answers import Answers
from adapters.slack.buttons import REJECT
from adapters.slack.care import OUTCOMES, Care
from adapters.slack.delivery import Delivery
from adapters.slack.events import OPENS_FORM, File, SlackEvent
from adapters.slack.filled import STORY, Place, read_story, story_errors
from adapters.slack.forms import Forms
from adapters.slack.home import Home
from adapters.slack.inbox import TOO_LATE, SlackInbox
from adapters.slack.mentions import Mentions
from adapters.slack.more import LIST, REJECTING, REPORTING
from adapters.slack.parse import Asked
from adapters.slack.places import Places
from adapters.slack.replies import PrivateReplies
from adapters.slack.session import Session
from adapters.slack.settings import Settings
from adapters.slack.tokens import Installations, OneWorkspace
from adapters.work_text import Redo
from bot.clock import Clock
from bot.errors import BotError, DeliveryError, InvalidRequest, NotAllowed, StoreError
from bot.log import get_logger, naming
from bot.notices import Aside, Notice, RulesFirst
from bot.ports import WebHandler
from bot.refs import JobId
from bot.request import Frame, Requester

if TYPE_CHECKING:
    from bot.studio import Receipt, Studio

log = get_logger(__name__)
#: A link to the status message is worth so long a wait.
PLACED_SECONDS = 5.0
#: The forms that say where they were opened.
PLACED = frozenset({views.CREATE, STORY, act_forms.DEED, LIST, REPORTING, REJECTING})
NOTHING_SAID = "Say what you want to see, or mention me in the thread of an image."


class Slack(Delivery):
    """The adapter: its connection, its forms, and what it does with what it hears."""

    def __init__(self, studio: Studio, settings: Settings, *, clock: Clock) -> None:
        self._studio = studio
        self._places = Places(studio)
        is_one = not settings.has_installations
        accounts = OneWorkspace() if is_one else Installations(studio.vault, self._places)
        super().__init__(
            accounts=accounts,
            clock=clock,
            base_url=settings.api_base_url,
            upload_limit_bytes=settings.upload_limit_bytes,
            file_hosts=settings.file_hosts,
            admins=settings.admins,
        )
        self._accounts = accounts
        self._session = Session(self, accounts, settings, clock=clock)
        self._replies = PrivateReplies(self.clients, clock=clock)
        self._answers = Answers(studio, self, self._people, clock=clock)
        self._care = Care(studio, self._people)
        self._admin = Admin(studio, self, clock=clock)
        self._mentions = Mentions(self.clients, studio.job_at)
        self._forms = Forms(studio, self._replies)
        self._home = Home(studio, self.clients, accounts, self._people, clock=clock)
        self._inbox = SlackInbox(
            studio, clock=clock, carry_out=self._carry_out, tell_late=self._tell_late
        )
        self._works: asyncio.TaskGroup | None = None

    # ---- the session ---------------------------------------------------------------------

    @property
    def routes(self) -> Mapping[tuple[str, str], WebHandler]:
        """What Slack calls at our public listener, where it does."""
        return self._session.routes

    @property
    def trouble(self) -> str | None:
        """Why nobody is heard just now."""
        return self._session.trouble

    async def run(self) -> None:
        """Connect and listen until cancelled; raises `ConfigError` for what Slack refuses."""
        async with self.clients, asyncio.TaskGroup() as group:
            await self._session.prove()
            if isinstance(self._accounts, OneWorkspace):
                await self._places.on_here((await self._accounts.of("")).workspace)
            # Read before anything new is kept: what comes in from now on is not among it.
            left = await self._inbox.at_start()
            self._works = group
            group.create_task(self._keep_homes(), name="slack home")
            group.create_task(self._inbox.run(left), name="slack inbox")
            try:
                await self._session.run()
            finally:
                self._works = None

    def on_told(self, notice: Notice) -> None:
        """A message of a job says something new, so its person's Home tab is out of date."""
        if not isinstance(notice, Aside):
            self._home.touch(notice.about.requester)

    async def on_heard(self, heard: SlackEvent) -> Mapping[str, Any] | None:
        """Keep it, so that it can be acknowledged; raises `StoreError` where it cannot be kept."""
        if heard.kind == "form":
            of_story = story_errors(heard.view, self._studio.stories.check)
            if wrong := views.errors_of(heard.view) | act_forms.errors_of(heard.view) | of_story:
                return {"response_action": "errors", "errors": wrong}
        if self._works is None:
            raise StoreError("Raybot is just starting or stopping. Please try again in a moment.")
        is_new = await self._inbox.note(heard)
        # While the bot stops it is left to the next process.
        if is_new and self._works is not None:
            self._works.create_task(self._carry_out(heard), name=f"slack {heard.kind}")
        return None

    async def _keep_homes(self) -> None:
        """Republish the Home tabs of those for whom something changed, until cancelled."""
        while True:
            for workspace, user in await self._home.stale():
                nobody = SlackEvent(kind="home", key="home", workspace=workspace, user="")
                async with self._boundary(nobody):
                    await self._home.refresh((workspace, user))

    async def _tell_late(self, heard: SlackEvent) -> None:
        """That it was not started; where it was, only its end was not noted any more."""
        async with self._boundary(heard):
            receipt = await self._studio.receipt(heard.key)
            late = self._answers.give_back(TOO_LATE, heard)
            drawn = render.draw_receipt(receipt, None) if receipt else late
            await self._replies.say(heard, drawn)

    async def _carry_out(self, heard: SlackEvent) -> None:
        async with self._inbox.in_hand(heard), self._boundary(heard):
            is_placed = heard.view.get("callback_id") in PLACED
            placed = parse.to_placed(heard) if is_placed else heard
            # Who asked in a place is answered there.
            async with self._boundary(placed):
                await self._obey(placed)

    @asynccontextmanager
    async def _boundary(self, heard: SlackEvent) -> AsyncIterator[None]:
        """Whatever happens inside, the person gets a sentence; the bot goes on."""
        with naming():
            with _logged(heard) as faults:
                try:
                    yield
                except BotError as error:
                    log.info("slack.refused", kind=heard.kind, error=type(error).__name__)
                    await self._replies.say(heard, self._answers.refuse(error, heard))
            if faults:
                with _logged(heard):
                    await self._replies.say(heard, self._answers.refuse(BotError(), heard))

    # ---- what was heard ------------------------------------------------------------------

    async def _obey(self, heard: SlackEvent) -> None:
        if heard.kind == "gone":
            await self._leave(heard.workspace)
            return
        account = await self._accounts.of(heard.workspace)
        await self._places.on_heard(heard.workspace)
        match heard.kind:
            case "home":
                await self._home.open(account, heard.user)
            case "reaction":
                await self._care.on_reaction(heard, account)
            case "shortcut":
                await self._forms.for_shortcut(heard, account)
            case "button" if heard.action in OPENS_FORM:
                requester = await self._requester(heard, account)
                if heard.action == REJECT:
                    await self._care.check(requester, account)
                await self._forms.for_button(heard, requester)
            case "button":
                await self._on_button(heard, account)
            case "form":
                await self._on_form(heard, account)
            case _:
                await self._on_words(heard, account)

    async def _leave(self, workspace: str) -> None:
        """Forget a token that ended, unless the workspace has installed us again since."""
        token = ""
        try:
            token = (await self._accounts.renewed(workspace)).token
            async with self.clients.translated(workspace):
                await (await self.clients.api(workspace)).auth_test()
        except DeliveryError as error:
            # One that ended is forgotten already; a mute Slack says nothing of it.
            if refusals.is_final(error):
                await self._places.on_gone(workspace)
                # It knows whether that is so still.
                await self._accounts.lose(workspace, token)

    async def _requester(self, heard: SlackEvent, account: Account) -> Requester:
        person = await self._people.of(account, heard.user)
        is_typed = parse.is_typed_directly(heard)
        return parse.to_requester(person, account, is_typed_directly=is_typed)

    async def _on_words(self, heard: SlackEvent, account: Account) -> None:
        requester = await self._requester(heard, account)
        if heard.kind == "command" and not heard.text.strip():
            await self._forms.create(heard, requester)
            return
        person, own = await self._people.of(account, heard.user), account.bot_user
        names = await self._people.names(account, parse.unnamed(heard.text, own=own))
        said = parse.to_text(heard.text, own=own, names=names)
        called = {**names, own: "Ray"}
        if heard.kind == "command" and (rest := read_admin(heard.text, called)) is not None:
            answer = await self._admin.answer(rest, requester, person, key=heard.key)
            await self._replies.say(heard, answer)
            return
        command = parse_named(said, parse.to_text(heard.text, own=own))
        match command:
            case Draft(shots=()) if heard.trigger:
                await self._forms.story(heard, requester, command)
            case Draft():
                await self._ask(heard, account, requester, command)
            case Retry(job_id=job_id):
                await self._retry(heard, requester, job_id)
            case Redo():
                await self._redo(heard, requester, command)
            case Follow():
                await self._follow_up(heard, requester, command)
            case _:
                drawn = await self._answers.obey(command, requester, person, heard.channel)
                if isinstance(command, SettingsCommand) and command.changes:
                    self._home.touch(requester)
                await self._replies.say(heard, drawn)

    async def _ask(
        self, heard: SlackEvent, account: Account, requester: Requester, draft: Draft
    ) -> None:
        start: Frame | None = None
        end: Frame | None = None
        # A story begins with words: images that others sent before are none of it.
        if heard.kind == "message" and (draft.shots is None or heard.files):
            start, end = await self._mentions.frames_of(heard, account, draft)
        if draft.is_bare and start is None:
            raise InvalidRequest(NOTHING_SAID)
        asked = await self._asked(heard, requester, is_private=draft.is_private)
        request = parse.to_request(asked, draft, start=start, end=end)
        receipt = await self._studio.submit(request, place_name=account.name)
        await self._follow(heard, receipt, is_private=draft.is_private)

    async def _asked(self, heard: SlackEvent, requester: Requester, *, is_private: bool) -> Asked:
        """Where it is answered; in private that is the person's direct messages."""
        asked = parse.to_asked(heard, requester)
        if heard.is_direct and heard.target:
            before = await self._studio.thread_of(JobId(heard.target), requester)
            return parse.to_place_before(asked, before)
        if not is_private or heard.is_direct:
            return asked
        try:
            return parse.to_private(asked, await self.direct(requester))
        except DeliveryError as error:
            raise NotAllowed(f"I cannot write to you directly: {error.sentence}") from error

    async def _on_form(self, heard: SlackEvent, account: Account) -> None:
        requester, form = await self._requester(heard, account), heard.view.get("callback_id")
        if form == views.SETTINGS:
            await self._studio.preferences.change(requester, views.read_settings(heard.view))
            self._home.touch(requester)
            return
        if form in (REPORTING, REJECTING):
            await self._replies.say(heard, await self._care.hear_why(heard, requester, account))
            return
        if form == act_forms.DEED:
            await self._on_deed(heard, requester, act_forms.read_deed(heard.view))
            return
        filled = read_story(heard.view) if form == STORY else views.read_view(heard.view)
        asked = await self._asked(heard, requester, is_private=filled.is_private)
        start, end, retry_of = await self._forms.frames_of(filled, requester)
        request = parse.to_request(asked, filled.draft, start=start, end=end)
        receipt = await self._studio.submit(request, retry_of=retry_of, place_name=account.name)
        await self._follow(heard, receipt, is_private=filled.is_private)

    async def _on_button(self, heard: SlackEvent, account: Account) -> None:
        requester = await self._requester(heard, account)
        if heard.action == "retry":
            await self._retry(heard, requester, JobId(heard.target))
            return
        if heard.action == "redo":
            film, _, shot = heard.target.partition(":")
            number = int(shot) if shot.isdecimal() else 0
            await self._redo(heard, requester, Redo(JobId(film), number))
            return
        if (act := act_of(heard.action)) is not None:
            place = Place(channel=heard.channel, job=heard.target)
            await self._on_deed(heard, requester, act_forms.Deed(act=act, place=place))
            return
        person = await self._people.of(account, heard.user)
        answer = self._care.decide if heard.action in OUTCOMES else self._answers.act
        drawn = await answer(heard.action, JobId(heard.target), requester, person)
        self._home.touch(requester)
        if heard.channel:
            await self._replies.say(heard, drawn)

    async def _retry(self, heard: SlackEvent, requester: Requester, job_id: JobId) -> None:
        is_private = False
        if heard.kind != "button":
            # Where it was typed says nothing of who may read of that job.
            is_private = (await self._studio.show(job_id, requester)).line.is_private
        asked = await self._asked(heard, requester, is_private=is_private)
        receipt = await self._studio.retry(
            job_id,
            requester,
            dedupe_key=asked.dedupe_key,
            thread=asked.thread,
            asked_at=asked.asked_at,
            is_private=asked.is_private,
        )
        await self._follow(heard, receipt, is_private=is_private)

    async def _redo(self, heard: SlackEvent, requester: Requester, redo: Redo) -> None:
        receipt = await self._studio.stories.redo(
            redo.job_id, redo.shot, requester, dedupe_key=heard.key, prompt=redo.prompt
        )
        await self._replies.say(heard, render.draw_receipt(receipt, None))

    async def _on_deed(
        self, heard: SlackEvent, requester: Requester, deed: act_forms.Deed
    ) -> None:
        """What is to be made of a clip, by its buttons, its list, or a form behind them."""
        asked = await self._asked(heard, requester, is_private=False)
        end = File(id=deed.end_file) if deed.end_file else None
        receipts = await self._studio.works.follow(
            JobId(deed.place.job),
            deed.act,
            requester,
            dedupe_key=asked.dedupe_key,
            thread=asked.thread,
            asked_at=asked.asked_at,
            choice=deed.choice,
            prompt=deed.prompt,
            negative_prompt=deed.without,
            other=deed.other,
            frame=parse.to_frame(requester.workspace, end) if end else None,
            is_private=asked.is_private,
        )
        await self._follow(heard, *receipts, is_private=False)

    async def _follow_up(self, heard: SlackEvent, requester: Requester, command: Follow) -> None:
        """What was typed to be made of a clip; of a private one that stays so."""
        shown = await self._studio.show(command.job_id, requester)
        is_private = command.is_private or shown.line.is_private
        asked = await self._asked(heard, requester, is_private=is_private)
        receipts = await follow_up(
            self._studio,
            command,
            requester,
            dedupe_key=asked.dedupe_key,
            thread=asked.thread,
            frame=typed_frames.end_of(command),
            asked_in=asked.asked_in,
            asked_at=asked.asked_at,
            is_private=asked.is_private,
        )
        await self._follow(heard, *receipts, is_private=is_private)

    async def _follow(self, heard: SlackEvent, *receipts: Receipt, is_private: bool) -> None:
        """Tell who asked where it goes on, in one line, where they do not see it happen anyway."""
        if isinstance(first := receipts[0].notice, RulesFirst) and not is_private:
            await self._replies.say(heard, render.draw(first, now=self._clock.now()))
            return
        is_seen = heard.kind in ("command", "message") and not is_private
        places = await asyncio.gather(
            *(self.placed(each.job_id, PLACED_SECONDS) for each in receipts)
        )
        if None in places or not is_seen:
            drawn = render.draw_receipts(list(zip(receipts, places, strict=True)))
            await self._replies.say(heard, drawn)


@contextmanager
def _logged(heard: SlackEvent) -> Iterator[list[Exception]]:
    """A fault of ours inside is logged and in the list, and ends no more than that."""
    faults: list[Exception] = []
    try:
        yield faults
    except Exception as error:
        log.exception("slack.fault", kind=heard.kind)
        faults.append(error)
