"""From what a person asked to how it will be done: defaults, provider, frames, price. No money."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, assert_never

from bot import choice, pricing, quota, storyline
from bot.deeds import sizes_of
from bot.errors import ConfigError, FrameRejected, InvalidRequest, NotAllowed, Refusal
from bot.frames import Frames
from bot.job import Job, Plan, Route, StoredFrame
from bot.overview import Offer, Setting, Source
from bot.ports import Adapter, ModelCapabilities, Provider
from bot.presets import CHOOSABLE, check_names, shown, with_defaults
from bot.refs import Micros, Price
from bot.request import (
    ClipFrame,
    ClipWork,
    Frame,
    GenerationRequest,
    ImageFrame,
    LinkFrame,
    PreviousShot,
    StoryWork,
    VideoWork,
    Work,
    frames_of,
    to_shots,
)
from bot.routing import failover
from bot.routing.failover import Failover, move
from bot.routing.sources import Sources
from bot.store import allowances, jobs
from bot.store.database import Database
from bot.store.settings import Chosen
from bot.tables import DefaultsTable, LimitsTable, nearest

Slot = Literal["start", "end"]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The images of a request, read and kept, whichever provider will get them."""

    start: StoredFrame | None
    end: StoredFrame | None


class Planner:
    """Settles a request's parameters with the providers in the configured order.

    Raises `ConfigError` for a default model that none of them has; where all are tests, it may be
    meant for others. What limits name besides only makes them narrower.
    """

    def __init__(
        self,
        *,
        database: Database,
        providers: Sequence[Provider],
        adapters: Mapping[str, Adapter],
        frames: Frames,
        defaults: DefaultsTable,
        limits: LimitsTable,
        failover: Failover,
    ) -> None:
        self._database = database
        self._sources = Sources(database)
        self._providers = [each for each in providers if not choice.is_draining(each)]
        self.draining = [each for each in providers if choice.is_draining(each)]
        self.adapters = adapters
        self._frames = frames
        self._defaults = defaults
        self._limits = limits
        self._failover = failover
        wrong = misnamed(defaults, self._providers)
        if wrong and not all(each.is_test for each in self._providers):
            raise ConfigError(wrong)

    @property
    def providers(self) -> Sequence[Provider]:
        """The providers in the configured order."""
        return self._providers

    def served(self, plan: Plan) -> Plan:
        """The plan with a provider that is set up today; raises `InvalidRequest` without one."""
        if plan.shots:
            shots = tuple(self.served(each) for each in plan.shots)
            return plan.model_copy(update={"shots": shots})
        if plan.provider in {each.name for each in self._providers}:
            return plan
        if (route := self._failover.next(plan)) is None:
            raise InvalidRequest(f"{plan.provider} is not set up here any more. Ask again.")
        return move(plan, route)

    async def look_up(self, request: GenerationRequest) -> Work:
        """Its work, with what our book says of the earlier clips in it; raises `Refusal`s."""
        return await self._sources.look_up(request)

    def settle(
        self, work: Work, chosen: Mapping[str, str], limits: LimitsTable | None = None
    ) -> Work:
        """Fill in defaults; raises `InvalidRequest` or `NotAllowed` for what cannot be done.

        `limits` are those that hold for its person; the house's where nobody is named.
        """
        if isinstance(work, StoryWork):
            return storyline.settle(work, lambda shot: self.settle(shot, chosen, limits))
        filled = with_defaults(work, self._house_defaults(), chosen, models=self._models)
        refusals: list[NotAllowed] = []
        allowed = (limits or self._limits).resolutions
        for provider, settled, _ in choice.candidates(filled, self._able(filled), allowed):
            sizes = sizes_of(settled, provider.capabilities[settled.model])
            try:
                quota.check_work(limits or self._limits, settled, sizes)
            except NotAllowed as error:
                refusals.append(error)
            else:
                return filled
        raise refusals[0]

    async def plan(
        self,
        job: Job,
        work: Work,
        *,
        limits: LimitsTable | None = None,
        among: Collection[str] | None = None,
    ) -> Plan:
        """Read the frames, find every way, estimate, take the first; raises `Refusal`s.

        `limits`: those of its person, where they were just read. `among`: only ways of these
        providers.
        """
        limits = limits or await self._limits_of(job)
        if isinstance(work, StoryWork):
            return await self._plan_story(job, work, limits)
        if isinstance(work, ClipWork):  # It may have been deleted since it was looked up.
            await self._sources.source(work, job.request.requester)
        found = choice.candidates(work, self._able(work), limits.resolutions)
        start, end = frames_of(work)
        kept = Kept(
            start=await self._keep(job, "start", start), end=await self._keep(job, "end", end)
        )
        routes: list[Route] = []
        first_refusal: Refusal | None = None
        for provider, settled, remarks in found:
            if among is not None and provider.name not in among:
                continue
            sizes = sizes_of(settled, provider.capabilities[settled.model])
            try:
                quota.check_work(limits, settled, sizes)
                routes.append(await self._route(job, provider, settled, remarks, kept))
            except Refusal as error:
                first_refusal = first_refusal or error
        if not routes:
            raise first_refusal or InvalidRequest("No video service here can make every shot.")
        return self._to_plan(routes, kept)

    async def _plan_story(self, job: Job, work: StoryWork, limits: LimitsTable) -> Plan:
        """Every shot at a provider that can make all: a later one needs most, a frame to start."""
        most = await self.plan(job, to_shots(work)[-1], limits=limits)
        among = {most.provider, *(each.provider for each in most.others)}
        shots = [await self.plan(job, each, limits=limits, among=among) for each in to_shots(work)]
        return storyline.to_plan(work, shots)

    async def _route(
        self,
        job: Job,
        provider: Provider,
        settled: Work,
        remarks: tuple[str, ...],
        kept: Kept,
    ) -> Route:
        """One provider's way, with the shape of the images; raises `Refusal`s."""
        can = provider.capabilities[settled.model]
        for frame, stored in zip(frames_of(settled), (kept.start, kept.end), strict=True):
            if stored is not None:
                await self._check_hand_over(job, stored, can)
            elif isinstance(frame, PreviousShot):
                await self._check_hand_over(job, None, can)
            elif isinstance(frame, ClipFrame):
                await self._check_parent(job, frame, provider)
        shape = kept.start or kept.end
        if shape is not None and "aspect_ratio" not in settled.typed:
            near = pricing.nearest_ratio(shape.width, shape.height)
            settled = settled.model_copy(update={"aspect_ratio": near})
            settled, more = choice.fit_provider(settled, provider)
            remark = f"The aspect ratio is {settled.aspect_ratio}, the nearest to your image."
            remarks = (*remarks, remark, *(each for each in more if each not in remarks))
        return Route(
            provider=provider.name,
            work=settled,
            price=to_price(settled, provider),
            rate=pricing.rate_of(pricing.tariff_of(provider.tariffs, settled)),
            remarks=remarks,
        )

    def _to_plan(self, routes: Sequence[Route], kept: Kept) -> Plan:
        """The first way that is open now; a test stands in for nothing that costs money."""
        first = next((each for each in routes if self._failover.is_open(each.provider)), routes[0])
        if first.price.is_test != routes[0].price.is_test:
            first = routes[0]
        others = [each for each in routes if each.price.is_test == first.price.is_test]
        return Plan(
            **dict(first),
            hold=max(pricing.hold_for(each.price, each.rate) for each in others),
            others=tuple(each for each in others if each is not first),
            detour="" if first is routes[0] else failover.explain(first, routes[0]),
            start_frame=kept.start,
            end_frame=kept.end,
        )

    def check_chosen(self, chosen: Mapping[str, str], *, others: Sequence[str] = ()) -> None:
        """Raise `InvalidRequest` if chosen defaults are nothing a provider can do.

        `others` are names of what can be set besides.
        """
        check_names(chosen, others=others)
        values = {name: value for name, value in chosen.items() if value}
        work = VideoWork.model_validate({"prompt": "settings", "typed": frozenset(values)})
        filled = with_defaults(work, {}, values, is_typed=True, models=self._models)
        self.settle(filled, {})

    def offers(
        self, chosen: Mapping[str, str], limits: LimitsTable | None = None
    ) -> tuple[Offer, ...]:
        """The lengths and sizes of the model that somebody would get, with their prices."""
        work = with_defaults(VideoWork(prompt="offers"), self._house_defaults(), chosen)
        provider, settled, _ = choice.choose(work, self._providers)
        can = provider.capabilities[settled.model]
        return tuple(
            Offer(
                duration=duration,
                resolution=resolution,
                price=to_price(sized, provider),
                is_default=sized == settled,
            )
            for resolution in can.resolutions
            if resolution in (limits or self._limits).resolutions
            for duration in can.durations
            for sized in (
                settled.model_copy(update={"duration": duration, "resolution": resolution}),
            )
            if choice.is_sold(sized, provider)
        )

    def explain(self, chosen: Chosen) -> tuple[Setting, ...]:
        """What holds where nothing is typed, and whose word each is."""
        layers: tuple[tuple[Source, Mapping[str, Any]], ...] = (
            ("yours", chosen.person),
            ("channel", chosen.channel),
            ("place", chosen.place),
            ("house", self._house_defaults()),
        )
        return tuple(
            next(
                Setting(name=name, value=shown(name, values[name]), source=source)
                for source, values in layers
                if name in values
            )
            for name in CHOOSABLE
        )

    def _models(self) -> Sequence[ModelCapabilities]:
        return choice.offered(self._providers)

    def _house_defaults(self) -> dict[str, Any]:
        return self._defaults.model_dump(include=set(CHOOSABLE))

    async def _limits_of(self, job: Job) -> LimitsTable:
        requester, channel = job.request.requester, job.request.thread.channel
        return await self._database.read(
            lambda conn: allowances.of_people(conn, requester, channel, self._limits)
        )

    async def _keep(self, job: Job, slot: Slot, frame: Frame | None) -> StoredFrame | None:
        match frame:
            case ClipFrame(is_still=True):
                parent = await self._sources.parent(frame, job.request.requester)
                assert parent.clip is not None
                return await self._frames.keep_still(job.id, slot, parent.clip.key)
            case None | ClipFrame() | PreviousShot():
                return None
            case ImageFrame():
                return await self._keep_image(job, slot, frame)
            case LinkFrame(url=url):
                return await self._frames.keep_link(job.id, slot, url)
            case _:
                assert_never(frame)

    async def _keep_image(self, job: Job, slot: Slot, frame: ImageFrame) -> StoredFrame:
        is_fleeting = frame.attachment.is_fleeting
        if (kept := await self._kept_before(job, frame)) is not None:
            # Its chat may have it no more.
            copy = await self._frames.keep_copy(job.id, slot, kept, is_fleeting=is_fleeting)
            if copy is not None:
                return copy
        adapter = self.adapters.get(frame.attachment.adapter)
        if adapter is None:
            raise InvalidRequest("This image cannot be read from here.", field=slot)
        source = adapter.read(frame.attachment)
        return await self._frames.keep(job.id, slot, source, is_fleeting=is_fleeting)

    async def _kept_before(self, job: Job, frame: ImageFrame) -> StoredFrame | None:
        """The image of an earlier try, which may be swept by now."""
        earlier = await self._planned_before(job)
        if earlier is None or earlier.plan is None:
            return None
        asked, plan = frames_of(earlier.request.work), earlier.plan
        pairs = zip(asked, (plan.start_frame, plan.end_frame), strict=True)
        return next((stored for given, stored in pairs if given == frame and stored), None)

    async def _planned_before(self, job: Job) -> Job | None:
        """The latest of the tries before this one that got as far as having its images kept."""
        while job.retry_of is not None:
            job = await self._database.read(partial(jobs.get, job_id=job.retry_of))
            if job.plan is not None:
                return job
        return None

    async def images_of(self, plan: Plan) -> dict[Slot, Path]:
        """Local copies of what a plan starts from and ends with; raises `FrameRejected`."""
        slots: tuple[tuple[Slot, StoredFrame | None], ...] = (
            ("start", plan.start_frame),
            ("end", plan.end_frame),
        )
        return {slot: await self._frames.local(kept) for slot, kept in slots if kept is not None}

    async def forget_images(self, job: Job) -> None:
        """Delete what a job's images were kept as; raises `ClipUnavailable`."""
        if any(frames_of(job.request.work)):
            await self._frames.forget(job.id)

    async def _check_hand_over(
        self, job: Job, stored: StoredFrame | None, can: ModelCapabilities
    ) -> None:
        """Refuse before money is held if the provider could not be given this image."""
        has_link = stored is not None and (stored.link or "").startswith("https://")
        if await self._frames.can_hand_over(can.image_input, has_link=has_link):
            return
        adapter = self.adapters.get(job.request.thread.adapter)
        if adapter is None or not adapter.limits(job.request.thread).can_host:
            raise FrameRejected(
                "The video service fetches images by a public link, and Raybot cannot make one "
                "here. Its operator can set [bot] public_url or media_url; or give the image as "
                "an https:// link."
            )

    async def _check_parent(self, job: Job, frame: ClipFrame, provider: Provider) -> None:
        parent = await self._sources.parent(frame, job.request.requester)
        assert parent.plan is not None
        if parent.plan.provider != provider.name:
            raise InvalidRequest(
                f"{frame.job_id} was made by {parent.plan.provider} and can only be continued "
                "there.",
                field="start_frame",
            )

    def _able(self, work: Work) -> Sequence[Provider]:
        """Who may be asked: a finished clip is worked on where it was made."""
        if not isinstance(work, ClipWork):
            return self._providers
        maker = work.source.provider
        able = [each for each in self._providers if each.name == maker]
        if not able:
            raise InvalidRequest(
                f"{work.source.job_id} was made by {maker}, which is not set up here any more.",
                field="source",
            )
        return able


def misnamed(
    defaults: DefaultsTable, providers: Sequence[Provider], limits: LimitsTable | None = None
) -> str | None:
    """What is wrong with a model that the configuration names and no provider here has."""
    clips = [model for each in providers for model in choice.usable(each)]
    every = [model for each in providers for model in each.capabilities]
    is_named = "model" in defaults.model_fields_set
    asked = [("[defaults] model", defaults.model, clips)] if is_named else []
    asked += [("[limits] models", name, every) for name in (limits.models if limits else ())]
    for role in limits.roles if limits else ():
        asked += [("[[limits.roles]] models", name, every) for name in role.models]
    for key, name, known in asked:
        if known and name not in known:
            there = ", ".join(dict.fromkeys(known))
            return f"{key}: no video service here has {name!r}.{nearest(name, known)} Use {there}."
    return None


def to_price(work: Work, provider: Provider) -> Price:
    """What this work costs at list price with this provider."""
    can = provider.capabilities[work.model]
    micros = pricing.estimate(work, pricing.tariff_of(provider.tariffs, work), can=can)
    return Price(micros=micros or Micros(0), is_test=provider.is_test)
