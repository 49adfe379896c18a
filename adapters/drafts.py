"""What was typed as the work of a request, and back. Pure."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from adapters import work_text
from adapters.verbs import Draft
from bot.acts import KEPT, STYLE
from bot.errors import InvalidRequest
from bot.request import Frame, ImageWork, Parameter, VideoWork, Work

#: What a draft and a work name alike.
_ALIKE = frozenset({"model", "aspect_ratio", "resolution", "duration", "loop", "concepts"})


def to_work(
    draft: Draft, *, start_frame: Frame | None = None, end_frame: Frame | None = None
) -> Work:
    """The draft as a request's work; `start` and `end` are what the adapter made of the frames.

    Raises `InvalidRequest` for a still with something that only clips have.
    """
    values: dict[Parameter, Any] = {
        "prompt": draft.prompt.strip(),
        "model": draft.model and draft.model.lower(),
        "aspect_ratio": draft.aspect_ratio,
        "resolution": draft.resolution,
        "duration": draft.duration,
        "loop": draft.loop,
        "concepts": tuple(re.sub(r"[\s-]+", "_", name.lower()) for name in draft.concepts),
        "start_frame": start_frame,
        "end_frame": end_frame,
    }
    typed = {name: value for name, value in values.items() if value not in (None, "", ())}
    if draft.is_draft and draft.resolution is not None:
        raise InvalidRequest(
            f"A draft has the smallest size there is: leave --draft or {draft.resolution} out.",
            field="resolution",
        )
    if draft.shots is not None and draft.is_draft:
        raise InvalidRequest("Give the size of a story with --res.", field="resolution")
    if draft.shots is not None:
        return work_text.to_story(typed, draft.shots)
    if not draft.is_still:
        return VideoWork(**typed, is_draft=draft.is_draft, typed=frozenset(typed))
    if draft.is_draft:
        raise InvalidRequest("A still has one size: leave --draft out.", field="resolution")
    return work_text.to_still(typed)


def to_draft(work: Work) -> Draft:
    """What a person typed for this work, but for the frames."""
    typed = {name: getattr(work, name) for name in work.typed & _ALIKE}
    is_draft = isinstance(work, VideoWork) and work.is_draft
    if is_draft:
        typed.pop("resolution", None)
    if work.kind == "story":
        return Draft(shots=work.shots, **typed)
    is_still = work.kind == "image"
    return Draft(prompt=work.prompt, is_still=is_still, is_draft=is_draft, **typed)


def to_remix(work: Work, draft: Draft, *, is_settled: bool = True) -> Work:
    """A work with what somebody typed changed, and all the rest as it was.

    Where it was never settled how it is made, only what was typed for it stays for sure.
    """
    if not isinstance(work, VideoWork | ImageWork):
        if draft != Draft(prompt=draft.prompt, is_private=draft.is_private):
            raise InvalidRequest("Of this clip only the words can be changed.", field="flags")
        return work.model_copy(update={"prompt": draft.prompt.strip()})
    is_still = work.kind == "image"
    changed = to_work(replace(draft, is_still=draft.is_still or is_still))
    if changed.kind != work.kind:
        raise InvalidRequest("A clip does not become a still. Leave --still out.", field="flags")
    values: dict[str, Any] = {name: getattr(changed, name) for name in changed.typed}
    # What another model cannot do may move, unless it was typed.
    own = {name for name in KEPT if hasattr(work, name)}
    kept = work.typed | own if is_settled and not draft.model else work.typed
    if isinstance(work, VideoWork):
        values["is_draft"] = draft.is_draft or (work.is_draft and draft.resolution is None)
    values["typed"] = kept | STYLE | changed.typed
    return work.model_copy(update=values)
