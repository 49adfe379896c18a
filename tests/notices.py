"""Notices about one job, as adapters are given them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from bot import notices as n
from bot.refs import JobId, MessageRef, Micros, Price
from bot.request import Requester, VideoWork

NOW = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)
JOB = JobId("r-00000abcde")
PRICE = Price(micros=Micros(220_000))


def to_about(requester: Requester, prompt: str = "a red fox", **more: Any) -> n.About:
    """What notices say of a job of theirs."""
    work = more.pop("work", {})
    return n.About(
        job_id=JOB,
        requester=requester,
        work=VideoWork(prompt=prompt, **work),
        **{"price": PRICE, **more},
    )


def delivered(told: n.About, **more: Any) -> n.Delivered:
    """Its clip."""
    given = {
        "path": "/kept/clip.mp4",
        "filename": f"ray-flash-2_{JOB}_a-red-fox.mp4",
        "width": 960,
        "height": 540,
        "seconds": 5.0,
        "bytes": 3_200_000,
        "charged": Micros(180_000),
        "took": timedelta(seconds=40),
    }
    return n.Delivered(about=told, **{**given, **more})


def every_notice(told: n.About, clip: MessageRef) -> list[n.Notice]:
    """One of each kind about this job, whose clip stands there."""
    soon = timedelta(seconds=40)
    return [
        n.Received(about=told),
        n.ConfirmNeeded(about=told, expires_at=NOW + timedelta(hours=1)),
        n.Accepted(about=told),
        n.Queued(about=told, position=3, expected=soon),
        n.Generating(about=told, since=NOW, expected=soon),
        n.Waiting(about=told, sentence="The video service is down."),
        n.Uncertain(about=told),
        n.Fetching(about=told),
        delivered(told),
        n.Done(about=told, charged=Micros(180_000), took=soon, clip=clip),
        n.Failed(about=told, code="provider", sentence="It broke.", charged=Micros(0)),
        n.Cancelled(about=told, charged=Micros(0)),
        n.RulesFirst(about=told, rules=told.work.prompt, expires_at=NOW),
        n.ConsentNeeded(about=told, expires_at=NOW),
        n.ConsentAsked(about=told, owner="U5", answer="allowed"),
        n.Reviewing(about=told),
        n.ReviewNeeded(about=told, path="/kept/clip.mp4", filename="clip.mp4", bytes=9),
        n.Reviewed(about=told, verdict="reject", decided_by=told.work.prompt),
    ]
