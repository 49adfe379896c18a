"""What may be written of a row of `jobs`: each column with the type of what goes in."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from bot.job import Clip, Failure, Plan
from bot.refs import GenerationId, JobId, MessageRef, Micros
from bot.request import GenerationRequest


class Counts(TypedDict, total=False):
    """What is counted within one state and starts anew with every move."""

    crashes: int
    tries: int
    broken: int
    faults: int


class JobColumns(Counts, total=False):
    """All but the state, which only a move changes, and whose job it is, which nothing does."""

    prompt: str
    request: GenerationRequest
    plan: Plan | None
    provider: str | None
    model: str
    attempt: int
    next_at: datetime | None
    accepted_at: datetime | None
    admitted_at: datetime | None
    submitted_at: datetime | None
    completed_at: datetime | None
    ended_at: datetime | None
    generation_id: GenerationId | None
    clip_url: str | None
    clip: Clip | None
    failure: Failure | None
    provider_failure: Failure | None
    message: MessageRef | None
    cost: Micros
    is_test: bool
    list_price: Micros
    provider_cost: Micros
    seconds: float
    parked_at: datetime | None
    cancel_requested: bool
    retry_of: JobId | None
    prepared_by: str | None
    story: JobId | None
    shot: int | None
    waits_for: JobId | None
    erased_at: datetime | None
