"""Whether what somebody asks for may be made here: what the moderators say of it."""

from __future__ import annotations

from collections.abc import Iterable

from bot.bot_context import BotContext
from bot.errors import ClipUnavailable, NotAllowed, NotChecked
from bot.job import Job, Plan
from bot.moderators import Inspected
from bot.policy import Policy, read_policy
from bot.request import Requester
from bot.routing.planning import Planner
from bot.store.places import Standing


class Screening:
    """Asks the moderators before money is held. Every refusal is a `Moderated` or `NotChecked`."""

    def __init__(self, *, planner: Planner, context: BotContext) -> None:
        self._planner = planner
        self._context = context

    @property
    def asks_others(self) -> bool:
        """Whether a moderator takes a while, so that a request is written down before."""
        return any(each.asks_others for each in self._context.moderators)

    def policy(self, standing: Standing) -> Policy:
        """What holds where somebody asks."""
        chosen = standing.chosen
        return read_policy(self._context.moderation, chosen.rules, chosen.channel_rules)

    def check_remix(self, asking: Requester, policy: Policy, sources: Iterable[Job]) -> None:
        """Raise `NotAllowed` where people may go on from clips of their own only."""
        if policy.remix == "anyone":
            return
        if any(source.request.requester.person != asking.person for source in sources):
            raise NotAllowed("In this channel only those who made a clip may go on from it.")

    async def check(self, job: Job, plan: Plan, policy: Policy) -> None:
        """Raise unless every moderator lets this request pass."""
        work = job.request.work
        try:
            frames = await self._planner.images_of(plan)
        except ClipUnavailable as error:
            raise NotChecked from error
        asked = Inspected(
            job_id=job.id,
            requester=job.request.requester,
            channel=job.request.thread.channel,
            prompt=work.full_prompt,
            negative_prompt=getattr(work, "negative_prompt", ""),
            frames=frames,
            blocked=policy.blocked,
        )
        for moderator in self._context.moderators:
            await moderator.check(asked)
