"""Rows as an earlier life of the program left them, written by the program's own store."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import timedelta

from bench.program import to_bench_config, to_request
from bench.workspace import Workspace
from bot import pricing
from bot.clock import SystemClock
from bot.config import Config
from bot.dialects.dream_machine import MODELS
from bot.job import Clip, Job, JobState, Plan
from bot.ports import Submission
from bot.providers.luma import RATES
from bot.refs import GenerationId, MediaKey, MessageRef, Micros, Price
from bot.store import attempts, jobs, ledger, settings
from bot.store.database import open_database
from bot.store.transaction import Tx
from bot.tariffs import PerPixel
from bot.wiring.startup import database_url

CHUNK = 100


def bring_to_generating(
    tx: Tx, config: Config, number: int, generation: str, *, age: timedelta
) -> Job:
    """One job from its request to a running generation, submitted so long ago."""
    at = SystemClock().now() - age
    request = to_request(number)
    received, _ = jobs.insert(tx, request, at)
    rate = RATES[request.work.model]
    can = MODELS[request.work.model]
    micros = pricing.estimate(request.work, PerPixel(rate=rate), can=can)
    price = Price(micros=micros or Micros(0))
    hold = pricing.hold_for(price, rate)
    plan = Plan(provider="luma", work=request.work, price=price, hold=hold, rate=rate)
    accepted = ledger.accept(tx, received, plan, config.limits, at)
    admitted = jobs.change(tx, accepted, admitted_at=at)
    submission = Submission(
        job_id=admitted.id,
        attempt=1,
        work=request.work,
        sent_at=at,
        token_hash=secrets.token_hex(32),
        requester_hash=secrets.token_hex(32),
    )
    attempts.begin(tx, "luma", submission)
    sent = jobs.move(tx, admitted, JobState.SUBMITTING, at, attempt=1, submitted_at=at)
    return attempts.adopt(tx, sent, GenerationId(generation), "taken", at)


def _bring_to_delivered(tx: Tx, config: Config, number: int, seconds: float) -> None:
    age = timedelta(hours=1)
    generation = secrets.token_hex(16)
    job = bring_to_generating(tx, config, number, generation, age=age)
    done = SystemClock().now() - age + timedelta(seconds=seconds)
    key = MediaKey(f"clips/{job.id}.mp4")
    clip = Clip(key=key, width=720, height=720, frames=121, seconds=5.0, bytes=1, sha256="0" * 64)
    fetched = jobs.move(tx, job, JobState.FETCHING, done, completed_at=done)
    kept = jobs.move(tx, fetched, JobState.DELIVERING, done, clip=clip, seconds=clip.seconds)
    message = MessageRef(thread=job.request.thread, message="1")
    ledger.end(tx, kept, JobState.DELIVERED, done, charged=job.cost, message=message)


async def add_past(config: Config, seconds: list[float]) -> None:
    """Clips delivered an hour ago, from which the program learns how long they take."""
    database = open_database(database_url(config))
    await database.start()

    def write(tx: Tx) -> None:
        for number, each in enumerate(seconds):
            _bring_to_delivered(tx, config, 1_000_000 + number, each)

    await database.write(write)
    await database.stop()


async def add_generating(workspace: Workspace, url: str, generations: Sequence[str]) -> None:
    """Jobs whose generations run, left by a process that was killed."""
    config = to_bench_config(workspace, url, running=len(generations))
    database = open_database(database_url(config))
    await database.start()
    await database.write(lambda tx: settings.boot(tx, SystemClock().now()))
    for start in range(0, len(generations), CHUNK):
        part = generations[start : start + CHUNK]

        def write(tx: Tx, part: Sequence[str] = part, start: int = start) -> None:
            for number, generation in enumerate(part, start):
                age = timedelta(seconds=15)
                bring_to_generating(tx, config, number, generation, age=age)

        await database.write(write)
    await database.stop()
