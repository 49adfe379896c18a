"""Codenteam Intersect: its VideoCanvas makes a clip from a prompt, and lets nobody choose more.

Facts: the paths, the bearer key and `{prompt}` as Codenteam's own connector sends them
(github.com/Codenteam/habits, bit-intersect, read in November 2026). No schema is public: neither
what it answers, nor how it says that a clip failed, nor its prices. Never tried against the live
service.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from pydantic import Field

from bot.dialects.dream_machine import Row
from bot.dialects.one_answer import NO_LOOP, AnswerTable, Dialect, OneAnswer, needed
from bot.ports import FrameRule, ModelCapabilities, Submission
from bot.service import Address


class Settings(AnswerTable):
    """`[providers.intersect]`, never tried against the live service.

    `base_url` is your tenant's own address, without a path.
    """

    base_url: Annotated[
        Address | None, needed("give your tenant's address, such as https://acme.intersect.site")
    ] = Field(default=None, validate_default=True)


def to_model(table: Settings) -> ModelCapabilities:
    """One kind of clip, from words alone."""
    return ModelCapabilities(
        model=table.model,
        durations=(),
        resolutions=(),
        aspect_ratios=table.aspect_ratios[:1],
        frames={("none", "none"): FrameRule(loop_refusal=NO_LOOP)},
        fixed=(table.durations[0], table.resolutions[0]),
    )


def to_payload(submission: Submission, table: Settings) -> dict[str, Any]:
    """The body of `POST /canvas/create-video`."""
    return {"prompt": submission.work.prompt.strip()}


def read_nothing(answer: Row) -> str | None:
    """No name and no failure: nothing of the answer is known but what `result` leads to."""
    return None


DIALECT = Dialect(
    title="Intersect",
    paid_path="canvas/create-video",
    key_path="api/v1/models",
    to_model=to_model,
    to_payload=to_payload,
    read_failure=read_nothing,
    read_id=read_nothing,
)
create = partial(OneAnswer[Settings], dialect=DIALECT)
