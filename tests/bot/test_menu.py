"""The menu of a clip that is like others is the one that it would have alone."""

from __future__ import annotations

from datetime import UTC, datetime

from bot.clock import SystemClock
from bot.job import Clip, Job, JobState, Plan
from bot.menu import REMEMBERED, Menu
from bot.ports import Provider
from bot.providers import luma, luma_agents
from bot.refs import JobId, MediaKey, Micros, Price
from bot.request import ClipFrame, ImageWork, LinkFrame, VideoWork, Work
from bot.tables import LimitsTable
from tests.fakes import to_request

LIMITS = LimitsTable.model_validate({"resolutions": ["540p", "720p", "1080p"]})
PROVIDERS: dict[str, Provider] = {
    "luma": luma.create(luma.Settings(), clock=SystemClock()),
    "simulator": luma.create(luma.Settings(), clock=SystemClock(), is_test=True),
    "luma_agents": luma_agents.create(luma_agents.Settings(), clock=SystemClock()),
}
LINK, CLIP = LinkFrame(url="https://a.org"), ClipFrame(job_id=JobId("r-1"))
PLAIN = VideoWork(prompt="a fox", model="ray-2")
#: One thing is different from the first, each.
WORKS: list[Work] = [
    PLAIN,
    ImageWork(prompt="a fox"),
    *(
        PLAIN.model_copy(update=change)
        for change in (
            {"prompt": "a fox " * 1000},
            {"suffix": "in ink " * 1000},
            {"model": "ray-flash-2"},
            {"model": "ray-1-6"},
            {"model": "ray-3.2"},
            {"duration": "9s"},
            {"resolution": "1080p"},
            {"aspect_ratio": "21:9"},
            {"loop": True},
            {"is_draft": True},
            {"start_frame": LINK},
            {"start_frame": CLIP},
            {"start_frame": ClipFrame(job_id=JobId("r-1"), is_still=True)},
            {"start_frame": CLIP, "end_frame": CLIP},
            {"end_frame": LINK},
            {"concepts": ("pan_left",)},
            {"typed": frozenset({"duration"})},
        )
    ),
]


def made(work: Work, provider: str | None, side: int, seconds: float, number: int) -> Job:
    price = Price(micros=Micros(0))
    plan = provider and Plan(provider=provider, work=work, price=price, hold=Micros(0))
    return Job(
        id=JobId(f"r-{number}"),
        state=JobState.DELIVERED,
        version=1,
        request=to_request().model_copy(update={"work": work}),
        created_at=datetime(2026, 11, 27, tzinfo=UTC),
        plan=plan or None,
        clip=Clip(
            key=MediaKey("clips/a.mp4"),
            width=side,
            height=side,
            frames=121,
            seconds=seconds,
            bytes=9,
            sha256="0",
        ),
    )


def test_what_was_offered_for_another_clip_is_offered_only_for_one_like_it() -> None:
    jobs = [made(each, "simulator", 720, 5.0, number) for number, each in enumerate(WORKS)]
    jobs += [made(PLAIN, each, 720, 5.0, 100) for each in ("luma", "luma_agents", "gone", None)]
    jobs += [made(PLAIN, "simulator", 1440, 5.0, 101), made(PLAIN, "simulator", 720, 60.0, 102)]
    alone = [Menu(providers=PROVIDERS, limits=LIMITS).of(each) for each in jobs]
    assert len(set(alone)) > len(alone) / 2
    for other in jobs:
        menu = Menu(providers=PROVIDERS, limits=LIMITS)
        menu.of(other)
        assert [menu.of(each) for each in jobs] == alone


def test_menus_remember_nothing_of_people_and_not_for_ever() -> None:
    menu = Menu(providers=PROVIDERS, limits=LIMITS)
    for number in range(REMEMBERED + 5):
        work = VideoWork(
            prompt="a secret" + "!" * number,
            prefix="in secret",
            suffix="secretly",
            start_frame=LinkFrame(url="https://example.org/secret.png"),
        )
        assert menu.of(made(work, "luma", 720, 5.0, number))
    assert 0 < len(menu._remembered) <= REMEMBERED
    assert "secret" not in repr(menu._remembered)
