"""Whose images a request animates, and what must be agreed to before it is accepted. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping

from bot.errors import InvalidRequest, NotAllowed
from bot.job import Job, Question
from bot.policy import Policy
from bot.request import GenerationRequest, ImageFrame, Requester, VideoWork, Work, frames_of

#: What each may set for their own images, and its value that lets nobody animate them.
ANIMATE_MINE, ANYONE, NOBODY = "animate_mine", "anyone", "nobody"
NOT_THEIRS = "This image cannot be animated. Use another one."
ONLY_OWN = "Here people animate images of their own only. Use one that you posted or attach."
#: Why there is no clip, by what was not answered with yes, or not at all.
DENIED = {
    "rules": "The rules of this place were not accepted, so it was not made.",
    "consent": "Whoever posted the image does not want it animated. Use another one.",
}
UNANSWERED = {
    "rules": "The rules of this place were not accepted in time, so it was not made.",
    "consent": "Whoever posted the image did not answer in time, so it was not made.",
}
NOT_IN_PRIVATE = "Whoever posted this image has to be asked first, so ask in the channel."


def with_authors(request: GenerationRequest, earlier: Iterable[Job]) -> Work:
    """Its work, in which each image says who gave it: an earlier request's still is its person's.

    Whose no message tells is its requester's, who attached it.
    """
    known = {
        frame.attachment.id: frame.attachment.author or job.request.requester.person
        for job in earlier
        for frame in frames_of(job.request.work)
        if isinstance(frame, ImageFrame)
    }
    frames = dict(zip(("start_frame", "end_frame"), frames_of(request.work), strict=True))
    own = request.requester.person
    marked = {}
    for name, frame in frames.items():
        if isinstance(frame, ImageFrame):
            image = frame.attachment
            author = image.author or known.get(image.id, own)
            changed = image.model_copy(update={"author": author})
            marked[name] = frame.model_copy(update={"attachment": changed})
    return request.work.model_copy(update=marked) if marked else request.work


def owners(request: GenerationRequest, sources: Iterable[Job]) -> tuple[str, ...]:
    """The other people whose images, or pictures made here, a request sets in motion."""
    if not isinstance(request.work, VideoWork):
        return ()
    images = [
        frame.attachment.author
        for frame in frames_of(request.work)
        if isinstance(frame, ImageFrame)
    ]
    pictures = [
        job.request.requester.person for job in sources if job.request.work.kind == "image"
    ]
    others = (each for each in (*images, *pictures) if each)
    return tuple(dict.fromkeys(each for each in others if not is_same(each, request.requester)))


def is_same(person: str, requester: Requester) -> bool:
    """Whether this is the same human, also where they ask from outside."""
    adapter, _, rest = person.partition(":")
    return (adapter, rest.rpartition(":")[2]) == (requester.adapter, requester.user)


def check(
    request: GenerationRequest,
    policy: Policy,
    others: Collection[str],
    closed: Collection[str],
) -> None:
    """Raise `NotAllowed` where the images of others may not be animated here.

    `closed` are the people who let nobody animate theirs; no more of them is told.
    """
    if not others:
        return
    if any(each in closed for each in others):
        raise NotAllowed(NOT_THEIRS)
    if policy.animate_others == "own":
        raise NotAllowed(ONLY_OWN)
    if policy.animate_others == "ask" and request.is_private:
        raise NotAllowed(NOT_IN_PRIVATE)


def open_question(
    policy: Policy,
    others: Collection[str],
    trust: Mapping[str, str],
    granted: Collection[str],
) -> Question | None:
    """What must be answered before this may be accepted; `trust` is what its person agreed to."""
    if policy.rules and rules_key(policy.rules) not in trust:
        return Question(kind="rules", rules=policy.rules)
    if policy.animate_others != "ask":
        return None
    asked = next((each for each in others if each not in granted), None)
    return Question(kind="consent", person=asked) if asked is not None else None


def to_choice(value: str) -> str:
    """What somebody set for their images, as it is kept; raises `InvalidRequest`."""
    said = value.strip().lower()
    if said not in ("", ANYONE, NOBODY):
        choices = f"{ANIMATE_MINE} is {ANYONE} or {NOBODY}."
        raise InvalidRequest(f"{choices} A place may still ask for more.", field=ANIMATE_MINE)
    return said if said == NOBODY else ""


def check_asked(question: Question | None, waiting: Collection[str]) -> None:
    """Raise `NotAllowed` where somebody would be asked again before they have answered."""
    if question is not None and question.person in waiting:
        raise NotAllowed("Whoever posted this image was asked already. Wait for their answer.")


def rules_key(rules: str) -> str:
    """What is remembered of rules that somebody accepted; other ones are shown anew."""
    return f"rules.{hashlib.sha256(rules.encode()).hexdigest()[:16]}"
