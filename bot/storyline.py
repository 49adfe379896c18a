"""The lines of a film: how many there may be, and the shape that all its shots share. Pure."""

from __future__ import annotations

from bot.errors import InvalidRequest
from bot.request import StoryWork, VideoWork

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


def like(story: StoryWork, shot: VideoWork) -> StoryWork:
    """The story in the shape of its first shot."""
    return story.model_copy(update={name: getattr(shot, name) for name in SHAPE})
