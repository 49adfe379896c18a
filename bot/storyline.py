"""The lines of a film, the shape that all its shots share, and what they cost together. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bot.errors import InvalidRequest
from bot.job import Plan
from bot.refs import Micros, Price
from bot.request import StoryWork, VideoWork, Work, to_shots

LEAST_SHOTS, MOST_SHOTS = 2, 12
SHAPE = frozenset({"model", "duration", "resolution", "aspect_ratio", "prefix", "suffix"})


def to_story(work: StoryWork) -> StoryWork:
    """The story without empty lines; raises `InvalidRequest` where it is none."""
    lines = tuple(line.strip() for line in work.shots if line.strip())
    if not lines:
        raise InvalidRequest(
            "The story is empty. Write what happens, a line for each shot.", field="shots"
        )
    if len(lines) < LEAST_SHOTS:
        raise InvalidRequest(
            "A story has two shots or more, a line for each. For one shot ask for a clip.",
            field="shots",
        )
    if len(lines) > MOST_SHOTS:
        raise InvalidRequest(
            f"A story has at most {MOST_SHOTS} shots; these are {len(lines)}. "
            "Leave some out, or tell it in two films.",
            field="shots",
        )
    return StoryWork.model_validate({**work.model_dump(exclude={"prompt"}), "shots": lines})


def settle(story: StoryWork, settle_one: Callable[[VideoWork], Work]) -> StoryWork:
    """The story in the shape of its first shot; raises `InvalidRequest` where one cannot be made.

    A line that does not do is named.
    """
    story = to_story(story)
    settled: list[Work] = []
    for number, shot in enumerate(to_shots(story), start=1):
        try:
            settled.append(settle_one(shot))
        except InvalidRequest as error:
            if error.field != "prompt":
                raise
            raise InvalidRequest(f"Shot {number}: {error.sentence}", field="shots") from error
    return _like(story, settled[0])


def to_plan(story: StoryWork, shots: Sequence[Plan]) -> Plan:
    """A film's plan: what its shots cost and hold together; it goes to no provider itself."""
    remarks = (remark for each in shots for remark in (each.detour, *each.remarks) if remark)
    price = Micros(sum(each.price.micros for each in shots))
    return Plan(
        provider="",
        work=_like(story, shots[0].work),
        price=Price(micros=price, is_test=shots[0].price.is_test),
        remarks=tuple(dict.fromkeys(remarks)),
        hold=Micros(sum(each.hold for each in shots)),
        shots=tuple(shots),
    )


def _like(story: StoryWork, shot: Work) -> StoryWork:
    return story.model_copy(update={name: getattr(shot, name) for name in SHAPE})
