"""MindStudio: runs an app that the operator built there around Ray Flash 2.

Facts: help.mindstudio.ai/developers/api-reference, read in November 2026. Never tried against the
live service. With a `callbackUrl` the answer names no run, and what is sent there is not said: a
clip could be lost. So none is sent, and the answer itself is waited for.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from bot import errors
from bot.dialects.dream_machine import FRAMES, Row, part
from bot.dialects.one_answer import NO_LOOP, AnswerTable, Dialect, OneAnswer, needed, read_words
from bot.http import read_json_text
from bot.ports import FrameHandle, ModelCapabilities, Submission
from bot.request import to_video
from bot.service import Address

Variable = Literal[
    "prompt", "aspect_ratio", "duration", "resolution", "loop", "start_frame", "end_frame"
]
PROMPT = "name the app's variables for ours, at least the prompt's: { prompt = \"…\" }"
NO_LINK = "The image could not be handed over. Attach it again, or use another one."


class Settings(AnswerTable):
    """`[providers.mindstudio]`, never tried against the live service.

    `variables` maps our words to the app's variables: what is not in it is not sent, and nobody
    can choose it.
    """

    base_url: Address = "https://api.mindstudio.ai/developer/v2"
    app_id: Annotated[str | None, needed("give the id of your app")] = Field(
        default=None, validate_default=True
    )
    workflow: str = ""
    variables: Annotated[
        dict[Variable, str],
        BeforeValidator(read_json_text),
        needed(PROMPT, lambda value: bool(value.get("prompt"))),
    ] = Field(default={}, validate_default=True)


def to_model(table: Settings) -> ModelCapabilities:
    """What people can choose: what the app has a variable for."""
    has = table.variables.keys()
    pairs = {
        pair: rule if "loop" in has else replace(rule, loop_refusal=NO_LOOP)
        for pair, rule in FRAMES.items()
        if pair[0] in ("none", "image" if "start_frame" in has else "none")
        and pair[1] in ("none", "image" if "end_frame" in has else "none")
    }
    first = (table.durations[0], table.resolutions[0])
    is_fixed = has.isdisjoint({"duration", "resolution"})
    durations = table.durations if "duration" in has else first[:1]
    resolutions = table.resolutions if "resolution" in has else first[1:]
    return ModelCapabilities(
        model=table.model,
        durations=() if is_fixed else durations,
        resolutions=() if is_fixed else resolutions,
        aspect_ratios=table.aspect_ratios[: None if "aspect_ratio" in has else 1],
        frames=pairs,
        fixed=first if is_fixed else None,
    )


def to_payload(submission: Submission, table: Settings) -> dict[str, Any]:
    """The body of `POST /apps/run`, without `callbackUrl`: the answer is the result."""
    work = to_video(submission.work)
    values: dict[Variable, Any] = {
        "prompt": work.prompt.strip(),
        "aspect_ratio": work.aspect_ratio,
        "duration": work.duration,
        "resolution": work.resolution,
        "loop": work.loop,
        "start_frame": _link(submission.start_frame),
        "end_frame": _link(submission.end_frame),
    }
    named = {theirs: values[ours] for ours, theirs in table.variables.items()}
    variables = {key: value for key, value in named.items() if value is not None}
    payload = {"appId": table.app_id, "variables": variables, "workflow": table.workflow}
    return {key: value for key, value in payload.items() if value != ""}


def _link(frame: FrameHandle | None) -> str | None:
    if frame is not None and not frame.url:
        raise errors.ProviderRejected(NO_LINK, provider="mindstudio", code="image")
    return frame.url if frame else None


def read_failure(answer: Row) -> str | None:
    """`thread.error` is documented as null of a run that went well, and `success` as true."""
    error = part(answer, "thread").get("error")
    has_failed = error or answer.get("success") is False
    return (read_words(error) or read_words(answer)) if has_failed else None


def read_id(answer: Row) -> str | None:
    """`threadId`, by which the operator finds the run again."""
    told = str(answer.get("threadId") or "")
    return told if re.fullmatch(r"[\w-]{1,100}", told) else None


DIALECT = Dialect(
    title="MindStudio",
    paid_path="apps/run",
    key_path="apps/load",
    to_model=to_model,
    to_payload=to_payload,
    read_failure=read_failure,
    read_id=read_id,
)
create = partial(OneAnswer[Settings], dialect=DIALECT)
