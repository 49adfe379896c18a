"""Which form opens when, with what in it, and which images a filled one speaks of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from adapters.command_text import Draft
from adapters.follow_ups import act_of, check_remix
from adapters.slack import buttons, more, parse, views
from adapters.slack.act_forms import deed_view
from adapters.slack.addresses import Account, channel_of, parent_of
from adapters.slack.events import File, SlackEvent, read_files
from adapters.slack.filled import OTHER_VERSION, PICTURE
from adapters.slack.manifest import ANIMATE, CREATE
from adapters.slack.mentions import clip_in
from adapters.slack.replies import PrivateReplies
from adapters.slack.stories import story_view
from adapters.slack.views import Filled, Place
from bot.acts import Act
from bot.errors import InvalidRequest
from bot.ports import ModelCapabilities
from bot.refs import JobId
from bot.request import ClipFrame, Frame, Requester, frames_of

if TYPE_CHECKING:
    from bot.studio import Offer, Studio

Frames = tuple[Frame | None, Frame | None, JobId | None]


class Forms:
    """Opens forms at once, because Slack takes them for three seconds only."""

    def __init__(self, studio: Studio, replies: PrivateReplies) -> None:
        self._studio = studio
        self._replies = replies

    async def create(self, heard: SlackEvent, requester: Requester) -> None:
        """The whole form, for a clip in this channel."""
        view = views.create_view(
            self._studio.preferences.models(),
            await self._studio.preferences.offers(requester, heard.channel),
            Place(channel=heard.channel, thread=heard.thread or None),
        )
        await self._replies.open(heard, view)

    async def story(self, heard: SlackEvent, requester: Requester, draft: Draft) -> None:
        """The form for a film in this channel, with what was typed of its shape."""
        models = self._studio.preferences.models()
        offers = await self._studio.preferences.offers(requester, heard.channel)
        place = Place(channel=heard.channel, thread=heard.thread or None)
        await self._replies.open(heard, story_view(models, offers, place, draft))

    async def for_shortcut(self, heard: SlackEvent, account: Account) -> None:
        """“Animate with Ray” on a message, or “Create a Ray clip” from anywhere."""
        models = self._studio.preferences.models()
        if heard.action == CREATE:
            await self._anywhere(heard)
            return
        if heard.action != ANIMATE:
            raise InvalidRequest("This shortcut belongs to another version of Raybot.")
        clip = clip_in(heard.message, account)
        shown = [] if clip else _images(heard)
        if not shown and clip is None:
            raise InvalidRequest("There is no image in that message.")
        place = Place(
            channel=heard.channel,
            thread=heard.thread or heard.ts,
            message=heard.ts,
            clip=clip.job_id if clip else "",
            images=tuple(each.id for each in shown),
            author=shown[0].user if shown else "",
        )
        pictures = [(each.name or f"image {at}", each.id) for at, each in enumerate(shown, 1)]
        await self._replies.open(heard, _animating(models, (), place, pictures))

    async def _anywhere(self, heard: SlackEvent) -> None:
        """The whole form, which asks for the channel, too."""
        models = self._studio.preferences.models()
        view = views.create_view(models, (), Place(channel=""), asks_where=True)
        await self._replies.open(heard, view)

    async def for_button(self, heard: SlackEvent, requester: Requester) -> None:
        """Remix or Animate under a clip, or Create and Change on the Home tab."""
        if heard.action == "create":
            await self._anywhere(heard)
            return
        models = self._studio.preferences.models()
        if heard.action == "settings":
            held = await self._studio.preferences.in_channel(requester, "")
            await self._replies.open(heard, views.settings_view(held, models, Place(channel="")))
            return
        job_id = JobId(heard.target)
        if heard.action in (buttons.MORE, buttons.REPORT, buttons.REJECT):
            await self._of_list(heard, job_id, requester)
            return
        if (act := act_of(heard.action)) is not None:
            await self._for_deed(heard, act, job_id, requester)
            return
        work = await self._studio.draft_of(job_id, requester)
        place = Place(channel=heard.channel, thread=heard.thread or heard.ts, message=heard.ts)
        if heard.action == "edit":
            # A letter with this button tells of what was asked for in a channel; what was private
            # is asked for in the direct messages again.
            before = await self._studio.thread_of(job_id, requester)
            place = Place(channel=channel_of(before), thread=parent_of(before))
        offers = await self._studio.preferences.offers(requester, heard.channel)
        if heard.action == "animate":
            view = _animating(models, offers, replace(place, clip=job_id))
        else:
            check_remix(work, job_id)
            known = self._studio.preferences.models("image") if work.kind == "image" else models
            place = replace(place, job=job_id)
            title = buttons.EDIT if heard.action == "edit" else "Remix"
            view = views.create_view(
                known, offers, place, title=title, prompt=work.prompt, work=work
            )
        await self._replies.open(heard, view)

    async def _of_list(self, heard: SlackEvent, job_id: JobId, requester: Requester) -> None:
        """More… under a clip, Report on that list, or Reject under one that waits."""
        place = _place(heard, job_id)
        if heard.action == buttons.REJECT:
            await self._replies.open(heard, more.reject_view(place))
            return
        if heard.action == buttons.REPORT:
            await self._replies.open(heard, more.report_view(place))
            return
        # Where there is no clip any more, that is what is to be said.
        await self._studio.works.offer(job_id, "delete", requester)
        offers = await self._studio.works.offered(job_id, requester)
        await self._replies.open(heard, more.list_view(offers, place))

    async def _for_deed(
        self, heard: SlackEvent, act: Act, job_id: JobId, requester: Requester
    ) -> None:
        """What is on the list under a clip, or Extend."""
        offer = await self._studio.works.offer(job_id, act, requester)
        work = await self._studio.work_of(job_id, requester)
        view = deed_view(offer, _place(heard, job_id), prompt=work.prompt)
        await self._replies.open(heard, view)

    async def frames_of(self, filled: Filled, requester: Requester) -> Frames:
        """Start and end frame of a filled form, and the job that it is another try of."""
        start: Frame | None = None
        end: Frame | None = None
        place, workspace = filled.place, requester.workspace
        if place.job:
            work = await self._studio.work_of(JobId(place.job), requester)
            start, end = frames_of(work)
        if place.clip:
            start = ClipFrame(job_id=JobId(place.clip))
        if place.images:
            chosen = filled.chosen_picture or place.images[0]
            if chosen not in place.images:
                raise InvalidRequest(OTHER_VERSION, field=PICTURE)
            start = parse.to_frame(workspace, File(id=chosen, user=place.author))
        if filled.start_file:
            start = parse.to_frame(workspace, File(id=filled.start_file))
        if filled.end_file:
            end = parse.to_frame(workspace, File(id=filled.end_file))
        return start, end, JobId(place.job) if place.job else None


def _place(heard: SlackEvent, job_id: JobId) -> Place:
    """Where a button was pressed, for what is done with a job."""
    thread = heard.thread or heard.ts
    return Place(channel=heard.channel, thread=thread, message=heard.ts, job=job_id)


def _animating(
    models: Sequence[ModelCapabilities],
    offers: Sequence[Offer],
    place: Place,
    pictures: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """The form for an image that is there already."""
    return views.create_view(
        models,
        offers,
        place,
        pictures=pictures,
        title="Animate with Ray",
        is_prompt_needed=False,
        has_start_input=False,
    )


def _images(heard: SlackEvent) -> list[File]:
    """The images of a message; what another organisation's file is, is not told yet."""
    is_of_bot = bool(heard.message.get("bot_id"))
    files = read_files(heard.message.get("files") or (), is_of_bot=is_of_bot)
    return [each for each in files if each.is_image or each.is_stub]
