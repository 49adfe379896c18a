"""Whether what somebody asks for may be made here: what the moderators say of it."""

from __future__ import annotations

from bot.errors import ClipUnavailable, NotChecked
from bot.house import House
from bot.job import Job, Plan
from bot.planning import Planner
from bot.policy import Policy, read_policy
from bot.ports import Inspected
from bot.store.places import Standing


class Screening:
    """Asks the moderators before money is held. Every refusal is a `Moderated` or `NotChecked`."""

    def __init__(self, *, planner: Planner, house: House) -> None:
        self._planner = planner
        self._house = house

    def policy(self, standing: Standing) -> Policy:
        """What holds where somebody asks."""
        chosen = standing.chosen
        return read_policy(self._house.moderation, chosen.rules, chosen.channel_rules)

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
        for moderator in self._house.moderators:
            await moderator.check(asked)
