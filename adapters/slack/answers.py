"""Pages and acts: what one person reads, and what buttons and typed verbs do."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from adapters.command_text import (
    Cancel,
    Command,
    Confirm,
    Delete,
    Follow,
    Forget,
    Help,
    Jobs,
    Retry,
    SettingsCommand,
    Show,
    Usage,
)
from adapters.slack import buttons, forgetting, pages, parse, render, stories
from adapters.slack.buttons import FOR_GOOD
from adapters.slack.delivery import Delivery
from adapters.slack.events import SlackEvent
from adapters.slack.parse import Person
from adapters.slack.people import People, refuse_others
from adapters.slack.posted import Note
from adapters.slack.render import Drawn
from adapters.work_text import Finish, Redo
from bot.clock import Clock
from bot.errors import BotError, DeliveryUnavailable, InvalidRequest, NotNow
from bot.notices import Delivered
from bot.refs import JobId
from bot.request import Requester
from bot.text import describe_settings_in, describe_usage, thing

if TYPE_CHECKING:
    from bot.studio import Shown, Studio

SENT_DIRECTLY = "I sent the clip to your direct messages."
MAY_COME = (
    "Slack does not say whether the clip arrived. If it is not among your direct messages in a "
    "minute, ask for it again."
)


class Answers:
    """What a person reads, drawn from the studio's pages."""

    def __init__(
        self, studio: Studio, delivery: Delivery, people: People, *, clock: Clock
    ) -> None:
        self._studio = studio
        self._delivery = delivery
        self._people = people
        self._clock = clock

    def refuse(self, error: BotError, heard: SlackEvent) -> Drawn:
        """Why not, for its person's eyes only."""
        return self.give_back(render.draw_error(self._studio.reworded(error)), heard)

    def give_back(self, drawn: Drawn, heard: SlackEvent) -> Drawn:
        """The same, and under it a story that its person would have to write again."""
        names = self._people.known(heard.workspace, parse.unnamed(heard.text, own=""))
        return stories.give_back(drawn, heard, names)

    async def obey(
        self, command: Command, requester: Requester, person: Person, channel: str
    ) -> Drawn:
        """A verb that was typed; what starts something anew is not for here."""
        match command:
            case Help():
                return pages.draw_help(
                    self._studio.preferences.models(), self._studio.preferences.models("image")
                )
            case Usage():
                report = await self._studio.usage(requester, channel=channel)
                return pages.draw_text(describe_usage(report), times=report.times)
            case Forget(is_confirmed=is_confirmed):
                page = await self._studio.erasure.forget(requester, is_confirmed=is_confirmed)
                return forgetting.draw(page, requester)
            case Jobs(search=search, page=page):
                lines = await self._studio.jobs(requester, search=search, page=page)
                return pages.draw_jobs(lines, page=page)
            case SettingsCommand(changes=changes):
                if changes:
                    await self._studio.preferences.change(requester, changes)
                held = await self._studio.preferences.in_channel(requester, channel)
                return pages.draw_text(describe_settings_in(held))
            case Show(job_id=job_id):
                return await self._show(await self._studio.show(job_id, requester), requester)
            case Cancel(job_id=job_id):
                return await self._cancel(job_id, requester, person)
            case Finish(job_id=job_id):
                return await self._finish(job_id, requester)
            case _:
                return await self._change(command, requester)

    async def _change(
        self, command: Confirm | Delete | Retry | Redo | Follow, requester: Requester
    ) -> Drawn:
        match command:
            case Confirm(job_id=job_id):
                return render.draw_receipt(await self._studio.confirm(job_id, requester), None)
            case Delete(job_id=job_id):
                what = thing(await self._studio.work_of(job_id, requester))
                asked = render.draw_sentence(f"Delete the {what} of {job_id}? {FOR_GOOD}")
                button = buttons.row(job_id, "delete", is_asked=True)
                return Drawn(text=asked.text, blocks=[*asked.blocks, *button])
            case Retry() | Redo() | Follow():
                raise InvalidRequest("Use the Retry button under it.")
            case _:
                assert_never(command)

    async def _cancel(self, job_id: JobId, requester: Requester, person: Person) -> Drawn:
        notice = await self._studio.cancel(job_id, requester, is_moderator=person.is_admin)
        return self._draw(render.draw(notice, now=self._clock.now()))

    async def _finish(self, job_id: JobId, requester: Requester) -> Drawn:
        notice = await self._studio.stories.finish(job_id, requester)
        return self._draw(render.draw(notice, now=self._clock.now()))

    def _draw(self, drawn: Drawn) -> Drawn:
        """Without buttons, which belong to the message of the job itself."""
        blocks = [each for each in drawn.blocks if each["type"] != "actions"]
        return Drawn(text=drawn.text, blocks=blocks)

    async def _show(self, shown: Shown, requester: Requester) -> Drawn:
        """A job's page; a clip that stands nowhere comes by direct message."""
        drawn = pages.draw_shown(shown, now=self._clock.now())
        if not isinstance(shown.notice, Delivered) or shown.line.message is not None:
            return drawn
        thread, key = await self._delivery.direct(requester), f"show:{shown.line.job_id}"
        # Each time is a new message, tried once.
        try:
            await self._delivery.post(thread, shown.notice, key=key, memo=Note())
        except DeliveryUnavailable as error:
            raise NotNow(MAY_COME) from error
        return Drawn(
            text=f"{drawn.text}\n{SENT_DIRECTLY}",
            blocks=[*drawn.blocks, *render.draw_sentence(SENT_DIRECTLY).blocks],
        )

    # ---- acts ----------------------------------------------------------------------------

    async def act(self, action: str, target: str, requester: Requester, person: Person) -> Drawn:
        """A button other than those that open a form or start a job."""
        job_id = JobId(target)
        if action in forgetting.ACTS:
            return await forgetting.act(self._studio, action, target, requester, person)
        match action:
            case "cancel":
                return await self._cancel(job_id, requester, person)
            case "finish":
                film, _, _ = target.partition(":")
                return await self._finish(JobId(film), requester)
            case "confirm":
                return render.draw_receipt(await self._studio.confirm(job_id, requester), None)
            case "delete":
                work = await self._studio.work_of(job_id, requester)
                await self._studio.delete(job_id, requester, is_moderator=person.is_admin)
                return render.draw_sentence(f"The {thing(work)} of {job_id} is deleted.")
            case "accept" | "allow" | "deny":
                receipt = await self._studio.answer(job_id, requester, is_allowed=action != "deny")
                return render.draw_receipt(receipt, None)
            case "post":
                refuse_others(self._studio.admin, person, requester)
                decided = await self._studio.reviews.decide(job_id, "post", actor=requester)
                return self._draw(render.draw(decided, now=self._clock.now()))
            case _:
                return await self._operate(action, target, requester)

    async def _operate(self, action: str, target: str, actor: Requester) -> Drawn:
        """The buttons under what the operator is told; the studio knows who that is."""
        admin = self._studio.admin
        match action:
            case "approve":
                await admin.approve(target, actor=actor)
                return render.draw_sentence(f"{target} is served from now on.")
            case "close":
                await admin.close(target, actor=actor)
                return render.draw_sentence(f"{target} is not served.")
            case "charge" | "release":
                notice = await admin.resolve(JobId(target), action, actor=actor)
                return self._draw(render.draw(notice, now=self._clock.now()))
            case _:
                raise InvalidRequest("This button belongs to another version of Raybot.")
