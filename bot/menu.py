"""What can be done with a job's clip by those who made it, and what each choice would cost."""

from __future__ import annotations

from collections.abc import Mapping

from bot import choice, pricing
from bot.acts import (
    ACTS,
    NEEDS,
    Act,
    Offered,
    Option,
    Wish,
    is_for,
    options_of,
    shape_of,
    to_work,
)
from bot.errors import InvalidRequest
from bot.job import Clip, Job
from bot.ports import ModelCapabilities, Provider
from bot.refs import JobId, Micros, Price
from bot.request import ImageWork, Parameter, VideoWork, Work
from bot.tables import LimitsTable

#: What stands for words that are not known yet; another clip is as good as this one.
ANY_WORDS, ANY_CLIP = "any words", JobId("another clip")
#: What any service may do, whoever made the clip; their prices depend on who asks, and how.
ANYWHERE: tuple[Act, ...] = ("animate", "remix")
#: How many menus are remembered; most clips of a place are alike.
REMEMBERED = 256


class Menu:
    """Knows the providers that take jobs and the limits, which stay as they are; asks nobody."""

    def __init__(self, *, providers: Mapping[str, Provider], limits: LimitsTable) -> None:
        self.providers = {
            name: each for name, each in providers.items() if not choice.is_draining(each)
        }
        self._limits = limits
        self._remembered: dict[tuple[object, ...], tuple[Offered, ...]] = {}

    def of(self, job: Job) -> tuple[Offered, ...]:
        """What can be done now, in the order to offer it in; none while it is being made."""
        if job.clip is None:
            again: tuple[Act, ...] = ("remix", "retry") if job.ended_at is not None else ()
            return tuple(Offered(act=act) for act in again if is_for(act, job))
        if (work_class := _to_likeness(job, job.clip)) is None:
            return self._of_clip(job)
        if (known := self._remembered.get(work_class)) is None:
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            known = self._remembered[work_class] = self._of_clip(job)
        return known

    def _of_clip(self, job: Job) -> tuple[Offered, ...]:
        provider = self.providers.get(job.plan.provider) if job.plan is not None else None
        offers = (self._offer(act, job, provider) for act in ACTS if is_for(act, job))
        return tuple(offer for offer in offers if offer is not None)

    def _offer(self, act: Act, job: Job, provider: Provider | None) -> Offered | None:
        if act == "delete" or (act in ANYWHERE and self._makes_clips(act)):
            return Offered(act=act)
        # Another try is a variation, where there is a clip.
        if act in ("retry", *ANYWHERE) or provider is None:
            return None
        if NEEDS[act].choice == "none":
            price = self._price(act, job, provider, "")
            return Offered(act=act, price=price) if price is not None else None
        options = tuple(
            Option(value=value, price=price)
            for value in options_of(act, job)
            if (price := self._price(act, job, provider, value)) is not None
        )
        return Offered(act=act, options=options) if options else None

    def _makes_clips(self, act: Act) -> bool:
        return act != "animate" or any(map(choice.usable, self.providers.values()))

    def _price(self, act: Act, job: Job, provider: Provider, value: str) -> Price | None:
        """What it costs, and None where it cannot be done."""
        try:
            work, can = self._fit(act, job, provider, value)
        except InvalidRequest:
            return None
        count = int(value) if NEEDS[act].choice == "count" else 1
        tariff = pricing.tariff_of(provider.tariffs, work)
        micros = pricing.estimate(work, tariff, can=can)
        return Price(micros=Micros((micros or 0) * count), is_test=provider.is_test)

    def _fit(
        self, act: Act, job: Job, provider: Provider, value: str
    ) -> tuple[Work, ModelCapabilities]:
        """What would be asked for; raises `InvalidRequest` where it cannot be done."""
        other = ANY_CLIP if NEEDS[act].other_clip else None
        wish = Wish(choice=value, prompt=ANY_WORDS, other=other)
        work = to_work(act, job, wish)
        if (can := provider.capabilities.get(work.model)) is None:
            raise InvalidRequest(f"{provider.name} has no {work.model} any more.", field="model")
        fitted, _ = choice.fit_provider(firm(work, can), provider)
        if not is_allowed(fitted, self._limits):
            raise InvalidRequest("That model or size is not allowed here.", field="model")
        return fitted, can

    def why_not(self, act: Act, job: Job) -> str:
        """Why an act that is not offered cannot be done with a finished clip."""
        provider = self.providers.get(job.plan.provider) if job.plan is not None else None
        if provider is None:
            return f"The video service that made {job.id} is not in use here any more."
        try:
            self._fit(act, job, provider, (*options_of(act, job), *_own(act, job))[0])
        except InvalidRequest as error:
            return error.sentence
        return f"That is not offered for {job.id}."


def _to_likeness(job: Job, clip: Clip) -> tuple[object, ...] | None:
    """All that decides a menu, and nobody's words or images; None for what is rarely alike."""
    work, kinds = job.work, None
    if not isinstance(work, VideoWork | ImageWork):
        return None
    without: dict[str, object] = {"prompt": "", "prefix": "", "suffix": ""}
    if isinstance(work, VideoWork):
        kinds = choice.frame_kinds(work)
        without |= {"start_frame": None, "end_frame": None}
    provider = job.plan.provider if job.plan is not None else None
    shape = (clip.width, clip.height, clip.seconds)
    return (provider, work.model_copy(update=without), kinds, len(work.full_prompt), *shape)


def _own(act: Act, job: Job) -> tuple[str, ...]:
    """What a clip has already, where there is nothing else to choose."""
    return (shape_of(job)[1],) if NEEDS[act].choice == "resolution" else ("",)


def firm(work: Work, can: ModelCapabilities) -> Work:
    """The work without a claim on what its model lets nobody choose, or not with these frames."""
    if not isinstance(work, VideoWork):
        return work
    loose = set[Parameter]()
    if can.fixed:
        loose |= {"duration", "resolution"}
    rule = can.frames.get(choice.frame_kinds(work))
    if rule is not None and rule.durations is not None and work.duration not in rule.durations:
        loose.add("duration")
    return work.model_copy(update={"typed": work.typed - loose})


def is_allowed(work: Work, limits: LimitsTable) -> bool:
    """Whether the limits let people ask for this model and size."""
    is_model_on = not limits.models or work.model in limits.models
    size = getattr(work, "resolution", None)
    return is_model_on and (size is None or size in limits.resolutions)
