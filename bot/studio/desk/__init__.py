"""What those who run a place, and the operator, see at the desk: one subject in each module.

Whoever asks is a `Sitting`, and gets what lies in its reach: one place, or all of them.
"""

from __future__ import annotations

from bot.bot_context import BotContext
from bot.clips import Clips
from bot.clock import Clock
from bot.routing.planning import Planner
from bot.store.database import Database
from bot.studio.desk.acts import ActsView
from bot.studio.desk.checks import ChecksView
from bot.studio.desk.clips import ClipsView
from bot.studio.desk.jobs import JobsView
from bot.studio.desk.moderation import ModerationView
from bot.studio.desk.money import MoneyView
from bot.studio.desk.pace import PaceView
from bot.studio.desk.people import PeopleView
from bot.studio.desk.places import PlacesView
from bot.studio.desk.services import ServicesView
from bot.studio.rights import Rights

__all__ = ["Desk"]


class Desk:
    """The subjects."""

    def __init__(
        self,
        *,
        database: Database,
        planner: Planner,
        clips: Clips,
        clock: Clock,
        context: BotContext,
        rights: Rights,
    ) -> None:
        self.money = MoneyView(database=database, clock=clock, context=context)
        self.acts = ActsView(database=database, clock=clock, rights=rights)
        self.places = PlacesView(database=database, planner=planner, clock=clock, context=context)
        self.clips = ClipsView(database=database, clips=clips, clock=clock, context=context)
        self.jobs = JobsView(database=database, planner=planner, context=context, clips=self.clips)
        self.people = PeopleView(database=database, clock=clock, context=context, clips=self.clips)
        self.pace = PaceView(database=database, clock=clock, context=context)
        self.services = ServicesView(
            database=database, planner=planner, clock=clock, context=context
        )
        self.moderation = ModerationView(database=database, clock=clock)
        self.checks = ChecksView(database=database, clock=clock, context=context)
