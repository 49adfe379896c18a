"""What Raybot hears in Discord: acknowledges in time, lets `parse` read and the studio decide."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import discord
from discord import app_commands

from adapters.discord import commands, drafts, parse, remakes, render
from adapters.discord.act_forms import Deeds
from adapters.discord.admin import Admin
from adapters.discord.answers import Answers
from adapters.discord.buttons import Choice, Filled, Form, OnFilled
from adapters.discord.commands import Options
from adapters.discord.delivery import Delivery
from adapters.discord.homes import Homes
from adapters.discord.mentions import Ears, Mentions
from adapters.discord.names import spell
from adapters.discord.parse import NAME, Asked, Picture
from adapters.discord.places import Places
from adapters.discord.recent import Recent
from adapters.discord.remakes import Remakes
from adapters.discord.replies import acknowledge, refuse, show_form, tell, tell_fault
from adapters.discord.reporting import REJECT, REPORT, Reports
from adapters.discord.rules import RULES, show_rules
from adapters.discord.session import Client, Session, Wire
from adapters.discord.standby import StandBy
from adapters.discord.stories import AGAIN, Stories
from adapters.discord.threads import Opening, Threads
from adapters.follow_ups import act_of
from bot.clock import Clock
from bot.errors import BotError, InvalidRequest, NotAllowed
from bot.log import get_logger, naming
from bot.notices import Aside, Notice, RulesFirst
from bot.ports import Memo
from bot.refs import JobId, MessageRef, ThreadRef
from bot.request import ClipFrame, Frame, GenerationRequest, Requester, Work

if TYPE_CHECKING:
    from bot.studio import Receipt, Studio

log = get_logger(__name__)
Interaction = discord.Interaction[Any]
#: A link to the status message is worth so long a wait.
PLACED_SECONDS = 5.0


class Discord(Delivery):
    """The adapter: one session, its commands, messages and buttons."""

    def __init__(
        self,
        studio: Studio,
        wire: Wire,
        *,
        clock: Clock,
        upload_limit_bytes: int,
        can_host: bool,
        opening: Opening,
    ) -> None:
        super().__init__(clock=clock, upload_limit_bytes=upload_limit_bytes, can_host=can_host)
        self._studio = studio
        self._opening = opening
        self._threads = Threads(studio)
        self._session = Session(self, wire, places=Places(studio), clock=clock)
        self._stand_by = StandBy(wire, studio, self._session, clock=clock, ready=self.stand_by)
        self._homes = Homes(studio, clock=clock)
        self._answers = Answers(studio, clock=clock)
        self._admin = Admin(studio, clock=clock)
        self._recent = Recent(studio)
        self._deeds = Deeds(studio, self, self._recent)
        self._remakes = Remakes(studio, self)
        self._stories = Stories(studio, self, self._answers)
        self._reports = Reports(studio, self, self._answers.care)
        self._mentions = Mentions(studio, self._answers, self._homes, self.images, opening=opening)

    # ---- the session ---------------------------------------------------------------------

    @property
    def trouble(self) -> str | None:
        """Why nobody is heard just now."""
        return self._session.trouble

    async def run(self) -> None:
        """Connect and listen until cancelled; raises `ConfigError` where it was never let in."""
        await self._stand_by.run()

    async def on_online(self, client: Client) -> None:
        """Signed in: posts can go out, and the commands are brought up to date."""
        models = (*self._studio.preferences.models(), *self._studio.preferences.models("image"))
        commands.build(client.tree, self, models)
        self._client = client
        known = await self._studio.recall(NAME, "commands")
        present = await self._session.sync(client, known)
        if present != known:
            await self._studio.remember(NAME, "commands", present)

    async def on_command_error(
        self, interaction: Interaction, error: app_commands.AppCommandError
    ) -> None:
        """A command that this process does not know, or a fault of ours."""
        await tell_fault(interaction, error)

    @property
    def _is_over(self) -> bool:
        """Whether nothing can be said any more, because the connection was closed."""
        return self._client is not None and self._client.is_closed()

    @asynccontextmanager
    async def boundary(self, say: Callable[[BotError], Awaitable[object]]) -> AsyncIterator[None]:
        """Whatever happens inside, the person gets a sentence, while one can be said."""
        with naming(), self._session.in_hand.one():
            try:
                try:
                    yield
                except BotError as error:
                    log.info("discord.refused", kind=type(error).__name__)
                    await say(self._studio.reworded(error))
            except Exception as error:
                if self._is_over:
                    log.warning("discord.cut_off", cause=type(error).__name__)
                    return
                log.exception("discord.fault")
                await say(BotError())

    async def post(self, thread: ThreadRef, notice: Notice, *, key: str, memo: Memo) -> MessageRef:
        """Post a message, at most once for this key, into a thread of its own if it is to be."""
        if parse.is_unopened(thread) and not isinstance(notice, Aside):
            async with self._translated(thread, notice):
                thread = await self._threads.settle(self._online, thread, notice.about)
        return await super().post(thread, notice, key=key, memo=memo)

    # ---- commands ------------------------------------------------------------------------

    async def on_ask(self, interaction: Interaction, options: Options) -> None:
        """`/ray create`, `/ray animate` and `/ray still`."""
        if not await acknowledge(interaction):
            return
        async with self.boundary(partial(refuse, interaction)):
            uploads = [
                self.images.keep(parse.to_upload(each, interaction_id=interaction.id))
                if each is not None
                else None
                for each in (options.start_frame, options.end_frame)
            ]
            start = parse.to_frame(uploads[0], options.start_link, field="start_frame")
            end = parse.to_frame(uploads[1], options.end_link, field="end_frame")
            draft = drafts.to_draft(replace(options, prompt=spell(options.prompt, interaction)))
            asked = await self.asked(interaction, is_private=options.is_private)
            request = parse.to_request(asked, draft, start=start, end=end)
            await self.submit(interaction, request)

    async def on_story(self, interaction: Interaction, options: Options) -> None:
        """`/ray story`."""
        await self._stories.on_story(interaction, options)

    async def on_menu(self, interaction: Interaction, message: discord.Message) -> None:
        """Open the form for the images of a message."""
        async with self.boundary(partial(refuse, interaction)):
            at = f"{message.channel.id}/{message.id}"
            clip = parse.clip_of(message) if message.author.id == self._own_id else None
            is_away = parse.where_asked(interaction) == "away"
            shown = [] if clip else parse.pictures_of(message, at=at, is_fleeting=is_away)
            found = [self.images.keep(each) for each in shown]
            if not found and clip is None:
                raise InvalidRequest("There is no image in that message.")

            async def on_filled(submitted: Interaction, filled: Filled) -> None:
                start: Frame | None = ClipFrame(job_id=clip) if clip else None
                if found:
                    start = parse.to_frame(found[filled.picture], None, field="start_frame")
                await self.on_filled(submitted, filled, start)

            names = [
                Choice(label=f"{at + 1}. {each.attachment.filename}", value=str(at))
                for at, each in enumerate(found[: commands.CHOICES])
            ]
            await self.open_form(
                interaction, "Animate with Ray", on_filled, pictures=names, needs_prompt=False
            )

    async def open_form(
        self,
        interaction: Interaction,
        title: str,
        on_filled: OnFilled,
        *,
        work: Work | None = None,
        pictures: Sequence[Choice] = (),
        needs_prompt: bool = True,
    ) -> None:
        """Show the form, filled in with a work."""
        requester = await self.requester(interaction)
        place = parse.place_of(interaction.channel)
        is_still = work is not None and work.kind == "image"
        form = Form(
            title=title,
            mark=interaction.client.forms.mark,
            on_filled=on_filled,
            sizes=[] if is_still else await self._answers.sizes(requester, place, work),
            prompt=drafts.to_prompt(work) if work else "",
            flags=drafts.to_flags(work) if work else "",
            pictures=pictures,
            is_prompt_needed=needs_prompt,
            is_still=is_still,
        )
        await show_form(interaction, form)

    async def on_filled(
        self,
        interaction: Interaction,
        filled: Filled,
        start: Frame | None,
        end: Frame | None = None,
        *,
        retry_of: JobId | None = None,
        is_still: bool = False,
        place: ThreadRef | None = None,
    ) -> None:
        """Ask for what was filled in, to be answered as `place` was, else where it was said."""
        if not await acknowledge(interaction):
            return
        async with self.boundary(partial(refuse, interaction)):
            prompt = spell(filled.prompt, interaction)
            draft = drafts.read_form(prompt, filled.flags, size=filled.size)
            draft = replace(draft, is_still=is_still or draft.is_still)
            if filled.end_frame is not None:
                upload = parse.to_upload(filled.end_frame, interaction_id=interaction.id)
                end = parse.to_frame(self.images.keep(upload), None, field="end_frame")
            asked = await self.asked(interaction, job=retry_of, place=place)
            request = parse.to_request(asked, draft, start=start, end=end)
            await self.submit(interaction, request, retry_of=retry_of)

    async def submit(
        self,
        interaction: Interaction,
        request: GenerationRequest,
        *,
        retry_of: JobId | None = None,
    ) -> None:
        """Ask for it, and end the acknowledgement with the way to it."""
        name = parse.name_of(interaction.guild)
        receipt = await self._studio.submit(request, retry_of=retry_of, place_name=name)
        await self.follow(interaction, [receipt])

    async def _retry(self, interaction: Interaction, job_id: JobId) -> None:
        asked = await self.asked(interaction, job=job_id)
        receipt = await self._studio.retry(
            job_id,
            asked.requester,
            dedupe_key=asked.dedupe_key,
            thread=asked.thread,
            asked_at=asked.asked_at,
            is_age_restricted=asked.is_age_restricted,
            is_private=asked.is_private,
        )
        await self.follow(interaction, [receipt])

    async def follow(self, interaction: Interaction, receipts: Sequence[Receipt]) -> None:
        """End the acknowledgement as private lines with links to the public messages."""
        if str(interaction.id) in self._private and not receipts[0].is_repeat:
            return
        if isinstance(first := receipts[0].notice, RulesFirst):
            drawn = render.draw(first, now=self._clock.now())
            await tell(interaction, drawn.content, drawn=drawn.buttons)
            return
        placed = [(each, await self.placed(each.job_id, PLACED_SECONDS)) for each in receipts]
        await tell(interaction, "\n".join(render.draw_receipt(*each) for each in placed))

    def keep(self, picture: Picture) -> Picture:
        """Have an uploaded image at hand."""
        return self.images.keep(picture)

    async def asked(
        self,
        interaction: Interaction,
        *,
        is_private: bool | None = None,
        job: JobId | None = None,
        place: ThreadRef | None = None,
    ) -> Asked:
        """Who asks, and where it is answered: at `place` unless only its person may see it."""
        channel, where = interaction.channel, parse.where_asked(interaction)
        if channel is None:
            raise NotAllowed("I cannot see this channel.")
        if is_private is None:
            is_private = remakes.is_kept_private(interaction, place)
        own = self.keep_private(interaction) if is_private or where == "away" else None
        thread = parse.to_thread(
            channel,
            guild_id=interaction.guild_id if where == "here" else None,
            only=own,
        )
        if where == "here" and own is None:
            parse.check_permissions(interaction.app_permissions, channel)
            if self._opening.is_for(channel, interaction.app_permissions):
                thread = parse.to_new_thread(thread, interaction.id)
        asked = Asked(
            dedupe_key=f"{NAME}:{interaction.id}",
            requester=await self.requester(interaction, job=job),
            thread=thread,
            asked_at=interaction.created_at,
            is_age_restricted=parse.is_age_restricted(channel),
        )
        return remakes.to_place_before(asked, place) if place else asked

    async def requester(self, interaction: Interaction, *, job: JobId | None = None) -> Requester:
        """Who asks; outside our places, in the one of theirs where that job is."""
        where, user = parse.where_asked(interaction), interaction.user
        if user is discord.utils.MISSING:
            raise NotAllowed("Discord does not say who asks.")
        locale = str(interaction.locale)
        if where == "here":
            return parse.to_requester(user, guild_id=interaction.guild_id, locale=locale)
        home = await self._homes.of_asking(interaction, job=job)
        return parse.to_requester(
            user, guild_id=None, home=home, is_install=where == "away", locale=locale
        )

    # ---- messages ------------------------------------------------------------------------

    async def on_message(self, message: discord.Message) -> None:
        """A mention, or anything in a direct message; and what we posted ourselves."""
        own_id = self._own_id
        if own_id is not None and message.author.id == own_id:
            self._posted.hear(message)
        if own_id is None or not self._mentions.is_for_us(message, own_id):
            return
        async with self.boundary(partial(self._answers.refuse, message)):
            reads = self._session.reads_messages
            ears = Ears(client=self._online, own_id=own_id, reads_messages=reads)
            await self._mentions.hear(message, ears)

    async def on_reaction(self, payload: discord.RawReactionActionEvent, *, is_on: bool) -> None:
        """A star or a letter, on a clip of ours."""
        await self._answers.care.on_reaction(payload, self._own_id, is_on=is_on)

    # ---- buttons and pages ---------------------------------------------------------------

    async def on_action(self, interaction: Interaction, action: str, target: str) -> None:
        """A button, or `/ray cancel`."""
        forms: dict[str, Callable[[Interaction, JobId], Awaitable[None]]] = {
            **{each: partial(self._remakes.open, action=each) for each in remakes.ACTS},
            AGAIN: self._stories.on_again,
            REPORT: self._reports.on_report,
            REJECT: self._reports.on_reject,
        }
        if action in forms:
            await forms[action](interaction, JobId(target))
            return
        if act_of(action) is not None:
            await self._deeds.on_act(interaction, action, JobId(target))
            return
        if not await acknowledge(interaction):
            return
        async with self.boundary(partial(refuse, interaction)):
            if action == "retry":
                await self._retry(interaction, JobId(target))
                return
            requester = await self.requester(interaction, job=JobId(target.partition(":")[0]))
            if action == RULES:
                job, now = parse.to_job_id(target), self._clock.now()
                await show_rules(interaction, self._studio, job, requester, now)
                return
            await self._answers.act(interaction, action, target, requester)

    async def on_more(self, interaction: Interaction, act: str, job: str) -> None:
        """`/ray more`: what the buttons under that clip would do."""
        async with self.boundary(partial(refuse, interaction)):
            await self.on_action(interaction, act, parse.to_job_id(job))

    async def suggest_jobs(
        self, interaction: Interaction, typed: str, *, is_clip: bool
    ) -> list[app_commands.Choice[str]]:
        """Jobs of theirs, while somebody types an id."""
        return await self._recent.suggest(interaction, self.requester, typed, is_clip=is_clip)

    async def on_page(self, interaction: Interaction, name: str, **given: Any) -> None:
        """Something to read, for this person only."""
        if not await acknowledge(interaction):
            return
        async with self.boundary(partial(refuse, interaction)):
            job = JobId(str(given["job"]).strip()) if "job" in given else None
            requester = await self.requester(interaction, job=job)
            await self._answers.page(interaction, name, requester, given)

    async def on_admin(self, interaction: Interaction, act: str, **given: Any) -> None:
        """Something for who runs this server."""
        if not await acknowledge(interaction):
            return
        async with self.boundary(partial(refuse, interaction)):
            actor = await self.requester(interaction)
            await self._admin.answer(interaction, act, actor, given)
