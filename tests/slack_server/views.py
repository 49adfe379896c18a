"""Modals and Home tabs: `views.*`, and the triggers that open a modal."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from tests.slack_server import blocks as rules
from tests.slack_server.calls import Call
from tests.slack_server.problems import Json, Refused
from tests.slack_server.world import Team, View, World

if TYPE_CHECKING:
    from tests.slack_server.asked import Asked

TRIGGER_LIVES = timedelta(seconds=3)


@dataclass(kw_only=True, eq=False)
class Trigger:
    """The right to open one modal, for three seconds."""

    id: str
    team: Team
    user: str
    asked: Asked
    #: How far the clock had been moved then.
    moved: timedelta
    is_used: bool = False
    view: View | None = field(default=None)


class Views:
    """Shows modals to those who did something, and Home tabs to anybody."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._triggers: dict[str, Trigger] = {}

    def trigger(self, team: Team, user: str, asked: Asked, view: View | None = None) -> str:
        """A new trigger; what it opens is told to `asked`."""
        moved = self._world.clock.moved
        found = f"{len(self._triggers) + 1}.{team.id}.{secrets.token_hex(12)}"
        self._triggers[found] = Trigger(
            id=found, team=team, user=user, asked=asked, moved=moved, view=view
        )
        return found

    async def open(self, call: Call) -> Json:
        """`views.open`."""
        view = self._to_view(call)
        if view["type"] != "modal":
            raise Refused("invalid_arguments")
        trigger = self._triggers.get(call.needed("trigger_id", "invalid_trigger_id"))
        if trigger is None or trigger.team is not call.team:
            raise Refused("invalid_trigger_id")
        if trigger.is_used:
            raise Refused("exchanged_trigger_id")
        if self._world.clock.moved - trigger.moved > TRIGGER_LIVES:
            raise Refused("expired_trigger_id")
        trigger.is_used = True
        shown = self.new(call.team, trigger.user, view)
        trigger.asked.views.append(shown)
        self._world.board.notify()
        return {"view": shown.json}

    async def update(self, call: Call) -> Json:
        """`views.update`, refused where the view has changed since the given hash."""
        view = self._to_view(call)
        shown = self._find(call)
        if (given := call.text("hash")) and given != shown.hash:
            raise Refused("hash_conflict")
        self.change(shown, view)
        return {"view": shown.json}

    async def publish(self, call: Call) -> Json:
        """`views.publish`: somebody's Home tab."""
        view = self._to_view(call)
        user = call.needed("user_id")
        if user not in self._world.users:
            raise Refused("user_not_found")
        if view["type"] != "home":
            raise Refused("invalid_arguments")
        shown = self._world.homes.get((call.team.id, user))
        if shown is None:
            shown = self.new(call.team, user, view)
            self._world.homes[call.team.id, user] = shown
        else:
            if (given := call.text("hash")) and given != shown.hash:
                raise Refused("hash_conflict")
            self.change(shown, view)
        self._world.board.notify()
        return {"view": shown.json}

    def new(self, team: Team, user: str, said: Json) -> View:
        """A view that somebody sees from now on."""
        said = {**said, "blocks": rules.with_ids(said["blocks"], self._world.id)}
        shown = View(id=self._world.id("V"), team=team, user=user, said=said, hash=self._hash())
        self._world.views[shown.id] = shown
        return shown

    def change(self, shown: View, said: Json) -> None:
        """Show something else in the same view."""
        shown.said = {**said, "blocks": rules.with_ids(said["blocks"], self._world.id)}
        shown.hash = self._hash()
        self._world.board.notify()

    def _hash(self) -> str:
        return f"{self._world.clock.now().timestamp():.0f}.{secrets.token_hex(4)}"

    def _to_view(self, call: Call) -> Json:
        view: Json = call.json("view")
        rules.check_view(view)
        return view

    def _find(self, call: Call) -> View:
        wanted, outside = call.text("view_id"), call.text("external_id")
        for each in self._world.views.values():
            is_it = each.id == wanted or (outside and each.said.get("external_id") == outside)
            if is_it and each.team is call.team and each.is_open:
                return each
        raise Refused("not_found")
