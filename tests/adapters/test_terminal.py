"""The terminal as a person and as a script see it: real files, pipes and key strokes."""

from __future__ import annotations

import asyncio
import io
import json
import os
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console

from adapters.command_text import Draft, Help
from adapters.login import whoami
from adapters.terminal import Settings, Terminal, create, parse, render
from adapters.terminal.delivery import Delivery, Transcript, keep_clip
from adapters.terminal.sources import Prompted, lines_of
from bot import notices as n
from bot.errors import (
    BotError,
    DeliveryUnavailable,
    FrameRejected,
    InvalidRequest,
    JobNotFound,
    NoSuchValue,
    QuotaExceeded,
    StoreBusy,
)
from bot.job import JobState
from bot.overview import (
    Allowance,
    Belongings,
    Forgetting,
    JobLine,
    Setting,
    UsageReport,
    UsageRow,
)
from bot.ports import Adapter, FrameRule, Memo, ModelCapabilities, Operation
from bot.refs import Attachment, JobId, MessageRef, Micros, Price, ThreadRef
from bot.request import (
    ClipFrame,
    GenerationRequest,
    ImageFrame,
    LinkFrame,
    Requester,
    VideoWork,
    to_video,
)
from bot.studio import Receipt, Shown, Studio
from bot.text import Text
from tests.fakes import MovableClock, until

NOW = datetime(2026, 11, 5, 14, 0, tzinfo=UTC)
WHO = whoami("terminal")
CLIP = b"a clip of moving pictures" * 1000
PRICE = Price(micros=Micros(140_000))
MODEL = ModelCapabilities(
    model="ray-flash-2",
    durations=("5s", "9s"),
    resolutions=("540p", "720p"),
    aspect_ratios=("1:1", "9:16"),
    frames={("none", "none"): FrameRule()},
    concepts=("orbit_left",),
)
ROW = UsageRow(
    label="today", asked=2, delivered=2, refused=0, failed=0, seconds=10, charged=Micros(280_000)
)


class NoMemo:
    """The terminal keeps nothing with the core."""

    def get(self, name: str) -> str | None:
        """Nothing is asked for."""
        raise AssertionError(name)

    async def put(self, name: str, value: str) -> None:
        """Nothing is kept."""
        raise AssertionError(name, value)


MEMO: Memo = NoMemo()


def about(job_id: str = "r-0abcd12345", prompt: str = "a red fox", **work: Any) -> n.About:
    """A job with a price."""
    return n.About(
        job_id=JobId(job_id), requester=WHO, work=VideoWork(prompt=prompt, **work), price=PRICE
    )


def delivered(clip: Path, which: n.About | None = None, filename: str = "fox.mp4") -> n.Delivered:
    """A finished clip to be posted."""
    return n.Delivered(
        about=which or about(),
        path=str(clip),
        filename=filename,
        width=960,
        height=960,
        seconds=5.0,
        bytes=len(CLIP),
        charged=Micros(140_000),
        took=timedelta(seconds=41),
    )


class RecordingStudio:
    """Says what each job shall become by its prompt, and plays that through the terminal."""

    def __init__(self, folder: Path) -> None:
        self.clip = folder / "kept.mp4"
        self.clip.write_bytes(CLIP)
        self.calls: list[tuple[str, Any]] = []
        self.requests: list[GenerationRequest] = []
        self.terminal: Terminal | None = None
        self.may_finish = asyncio.Event()
        self.may_finish.set()
        self.states: dict[JobId, str] = {}
        self.waiting: dict[JobId, GenerationRequest] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, request: GenerationRequest, *, is_confirmed: bool = False) -> Receipt:
        """Accept, refuse or break, as the prompt says."""
        self.calls.append(("submit", is_confirmed))
        self.requests.append(request)
        prompt = request.work.prompt
        if prompt == "refused":
            raise InvalidRequest("A prompt has 3 to 5,000 characters.", field="prompt")
        if prompt == "limit":
            raise QuotaExceeded("You have used 3 of 3 clips per day.", resets_at=NOW)
        if prompt == "busy":
            raise StoreBusy
        if prompt == "bug":
            raise ZeroDivisionError
        job_id = JobId(f"r-0000{len(self.requests):06}")
        which = n.About(job_id=job_id, requester=WHO, work=request.work, price=PRICE)
        if prompt == "dear" and not is_confirmed:
            self.waiting[job_id] = request
            return Receipt(job_id=job_id, notice=n.ConfirmNeeded(about=which, expires_at=NOW))
        self._play(self._journey(which))
        return Receipt(job_id=job_id, notice=n.Accepted(about=which))

    async def confirm(self, job_id: JobId, requester: Requester) -> Receipt:
        """Start what waited for it."""
        self.calls.append(("confirm", (job_id, requester.user)))
        which = n.About(job_id=job_id, requester=WHO, work=self.waiting[job_id].work, price=PRICE)
        self._play(self._journey(which))
        return Receipt(job_id=job_id, notice=n.Accepted(about=which))

    async def cancel(self, job_id: JobId, requester: Requester) -> n.Notice:
        """Take back any job but one."""
        self.calls.append(("cancel", (job_id, requester.user)))
        if job_id == "r-n0b0dy":
            raise JobNotFound(f"There is no job {job_id}.")
        return n.Cancelled(about=about(job_id), charged=Micros(0))

    async def retry(
        self,
        job_id: JobId,
        requester: Requester,
        *,
        dedupe_key: str,
        thread: ThreadRef,
        is_age_restricted: bool,
        is_private: bool,
    ) -> Receipt:
        """Start the same again."""
        del is_age_restricted, is_private
        self.calls.append(("retry", (job_id, requester.user)))
        work = VideoWork(prompt="a red fox")
        return await self.submit(
            GenerationRequest(dedupe_key=dedupe_key, requester=requester, thread=thread, work=work)
        )

    async def show(self, job_id: JobId, requester: Requester) -> Shown:
        """A job in the state that the test gave it."""
        self.calls.append(("show", job_id))
        state = self.states.get(job_id, JobState.DELIVERED)
        notice: n.Notice = delivered(self.clip, about(job_id))
        if state != JobState.DELIVERED:
            notice = n.Generating(about=about(job_id), since=NOW, expected=None)
        line = JobLine(
            job_id=job_id, state=state, prompt="fox", created_at=NOW, price=Micros(140_000)
        )
        events = ((NOW, "received"), (NOW + timedelta(seconds=3), "accepted"))
        return Shown(line=line, notice=notice, events=events)

    async def jobs(
        self, requester: Requester, *, search: str = "", page: int = 1
    ) -> tuple[JobLine, ...]:
        """One job."""
        self.calls.append(("jobs", (search, page)))
        return ((await self.show(JobId("r-0abcd12345"), requester)).line,)

    async def open_jobs(self, requester: Requester) -> tuple[JobLine, ...]:
        """Nothing was left on the way."""
        del requester
        return ()

    async def usage_by_day(self, requester: Requester) -> tuple[UsageRow, ...]:
        """A day without and one with something."""
        counts: Any = {"refused": 0, "failed": 0, "seconds": 5.0}
        return (
            UsageRow(label="2026-11-04", asked=0, delivered=0, charged=Micros(0), **counts),
            UsageRow(label="2026-11-05", asked=2, delivered=2, charged=Micros(280_000), **counts),
        )

    async def usage(self, requester: Requester, *, channel: str = "") -> UsageReport:
        """A report."""
        self.calls.append(("usage", channel))
        limits = (
            Allowance(
                name="your budget per day",
                used=280_000,
                allowed=1_000_000,
                is_money=True,
                resets_at=NOW,
            ),
            Allowance(name="clips per day", used=2, allowed=None, is_money=False, resets_at=None),
        )
        return UsageReport(today=ROW, month=ROW, allowances=limits)

    @property
    def erasure(self) -> RecordingStudio:
        """It forgets by itself."""
        return self

    async def forget(self, requester: Requester, *, is_confirmed: bool) -> Forgetting:
        """Two clips."""
        self.calls.append(("forget", (requester.user, is_confirmed)))
        return Forgetting(what=Belongings(requests=2, clips=2), is_begun=is_confirmed)

    @property
    def preferences(self) -> RecordingStudio:
        """Its defaults are its own."""
        return self

    async def in_channel(self, requester: Requester, channel: str) -> tuple[Setting, ...]:
        """One setting."""
        self.calls.append(("settings", (requester.user, channel)))
        return (
            Setting(name="aspect_ratio", value="9:16", source="yours"),
            Setting(name="model", value="ray-2", source="place"),
        )

    async def change(self, requester: Requester, changes: Mapping[str, str]) -> Mapping[str, str]:
        """Take what was given."""
        self.calls.append(("change_settings", dict(changes)))
        return changes

    def models(self, operation: Operation = "video") -> tuple[ModelCapabilities, ...]:
        """One model."""
        return (MODEL,)

    def reworded(self, error: BotError) -> BotError:
        """Offers what its one model makes."""
        if isinstance(error, NoSuchValue):
            error.among(MODEL.durations)
        return error

    def _play(self, journey: Any) -> None:
        task = asyncio.get_running_loop().create_task(journey)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _journey(self, which: n.About) -> None:
        job_id, prompt, terminal = which.job_id, which.work.prompt, self.terminal
        assert terminal
        hint = timedelta(seconds=38)
        queued = n.Queued(about=which, position=1, expected=hint)
        key = f"{job_id}:status"
        message = await terminal.post(parse.THREAD, queued, key=key, memo=MEMO)
        await terminal.edit(message, n.Generating(about=which, since=NOW, expected=hint))
        await self.may_finish.wait()
        if prompt == "silent":
            return
        if prompt == "fails":
            failed = n.Failed(
                about=which, code="service", sentence="Luma had a fault.", charged=Micros(0)
            )
            await terminal.edit(message, failed)
            return
        if prompt == "doubtful":
            await terminal.edit(message, n.Uncertain(about=which))
            return
        await terminal.edit(message, n.Fetching(about=which))
        clip = delivered(self.clip, which, f"{job_id}.mp4")
        await terminal.post(parse.THREAD, clip, key=f"{job_id}:clip", memo=MEMO)
        done = n.Done(about=which, charged=Micros(140_000), took=timedelta(seconds=41))
        await terminal.edit(message, done)


class Tty(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


class Session:
    """One run of the terminal with what it was given and what it wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.studio = RecordingStudio(folder)
        self.clock = MovableClock()
        self.stdout: io.StringIO = io.StringIO()
        self.exit_code: int | None = None

    def create(
        self, *lines: str, stdin: Any = None, is_listed: bool = True, **settings: Any
    ) -> Terminal:
        """A terminal over lines or a stream."""
        terminal = create(
            Settings(folder=self.folder / "clips", **settings),
            cast("Studio", self.studio),
            clock=self.clock,
            stdin=stdin,
            stdout=self.stdout,
            lines=lines if is_listed else None,
        )
        self.studio.terminal = terminal
        return terminal

    async def play(self, *lines: str, **more: Any) -> str:
        """Run to the end; what was written."""
        terminal = self.create(*lines, **more)
        await terminal.run()
        self.exit_code = terminal.exit_code
        return self.stdout.getvalue()

    async def records(self, *lines: str, **more: Any) -> list[dict[str, Any]]:
        """Run to the end with JSON; every line of standard output."""
        text = await self.play(*lines, is_json=True, **more)
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A session in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return Session(tmp_path)


@pytest.fixture
def fox(tmp_path: Path) -> Path:
    """A local image, as far as the terminal looks at it."""
    path = tmp_path / "my fox.png"
    path.write_bytes(b"\x89PNG" + bytes(200_000))
    return path


# ---- a script ----------------------------------------------------------------------------------


async def test_a_whole_conversation(session: Session, fox: Path) -> None:
    shown = await session.play(
        "/ray a red fox --ar 9:16 --dur 9s",
        "wait",
        "# a remark",
        "",
        f'image "{fox}"',
        "> 3 slow zoom --loop",
        "wait",
        "> 2 and on",
        "usage",
    )
    assert session.exit_code == 0
    first, second, third = session.studio.requests
    assert first.work.prompt == "a red fox"
    assert (first.work.aspect_ratio, to_video(first.work).duration) == ("9:16", "9s")
    assert first.work.typed == {"prompt", "aspect_ratio", "duration"}
    assert first.requester == whoami("terminal")
    assert first.thread == ThreadRef(adapter="terminal", workspace="local", channel="terminal")
    attachment = Attachment(adapter="terminal", id=str(fox), filename="my fox.png", size=200_004)
    assert to_video(second.work).start_frame == ImageFrame(attachment=attachment)
    assert to_video(second.work).loop
    assert to_video(third.work).start_frame == ClipFrame(job_id=JobId("r-0000000001"))
    assert (session.folder / "clips" / "r-0000000002.mp4").read_bytes() == CLIP
    order = [
        "[1] ❯ /ray a red fox",
        "• Accepted  “a red fox”",
        "… In line, place 1 · Your clip is expected in about 40 s. · r-0000000001",
        "… Generating · It usually takes about 40 s.",
        "… Finished, fetching the clip",
        "✓ [2] Your clip is ready",
        f"  {session.folder}/clips/r-0000000001.mp4\n",
        "  960×960 · 5 s · 0.0 MB · took 41 s\n",
        "$0.14 was charged · job r-0000000001",
        "[3] ❯ image",
        "Reply to it: > 3 slow zoom",
        "[4] ❯ > 3 slow zoom --loop",
        "✓ [5] Your clip is ready",
        "[6] ❯ > 2 and on",
        "[7] ❯ usage",
        "Your usage",
        "5 Nov",
        "your budget per day: $0.28 of $1.00, $0.72 left, resets 5 Nov 14:00 UTC",
        "✓ [8] Your clip is ready",
    ]
    at = 0
    for part in order:
        at = shown.find(part, at)
        assert at >= 0, part
    assert "remark" not in shown
    assert "Delivered" not in shown
    assert not any(line != line.rstrip() for line in shown.splitlines())


async def test_every_line_has_a_key_of_its_own(session: Session) -> None:
    await session.play("a fox", "a fox")
    await session.play("a fox")
    keys = {request.dedupe_key for request in session.studio.requests}
    assert len(keys) == 3
    assert all(key.startswith("terminal:") for key in keys)


@pytest.mark.parametrize(
    ("line", "exit_code"),
    [
        ("a red fox", 0),
        ("usage", 0),
        ("", 0),
        ("fails", 1),
        ("doubtful", 1),
        ("refused", 1),
        ("limit", 1),
        ("busy", 1),
        ("bug", 1),
        ("a fox --rez 3", 1),
        ("a fox --start ./nothing.png", 1),
        ("> 9 zoom", 1),
        ("cancel r-n0b0dy", 1),
        ("dear", 1),
    ],
)
async def test_the_exit_code_is_0_only_if_every_clip_came(
    session: Session, line: str, exit_code: int
) -> None:
    await session.play(line, "a last fox")
    assert session.exit_code == exit_code
    assert session.studio.requests[-1].work.prompt == "a last fox"


async def test_a_script_that_is_stopped_has_not_delivered(session: Session) -> None:
    session.studio.may_finish.clear()
    terminal = session.create("a fox")
    running = asyncio.ensure_future(terminal.run())
    await until(lambda: bool(session.studio.requests))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert terminal.exit_code == 1


async def test_wait_reads_on_only_once_every_job_has_ended(session: Session) -> None:
    session.studio.may_finish.clear()
    terminal = session.create("a fox", "another fox", "wait", "a late fox")
    running = asyncio.ensure_future(terminal.run())
    await until(lambda: session.stdout.getvalue().count("Generating") == 2)
    assert len(session.studio.requests) == 2
    session.studio.may_finish.set()
    await running
    assert len(session.studio.requests) == 3
    assert terminal.exit_code == 0


async def test_exit_ends_a_script_early(session: Session) -> None:
    await session.play("a fox", "exit", "never read")
    assert len(session.studio.requests) == 1
    assert session.exit_code == 0


async def test_ray_in_front_makes_a_prompt_of_the_words_of_this_terminal(session: Session) -> None:
    await session.play("/ray wait", "/ray exit", "/RAY image fox.png", "> 0 /ray help")
    prompts = [request.work.prompt for request in session.studio.requests]
    assert prompts == ["wait", "exit", "image fox.png"]
    assert "Ray turns words and images into clips" in session.stdout.getvalue()


async def test_a_private_request_is_asked_for_as_one(session: Session) -> None:
    await session.play("a fox --private", "an owl")
    assert [each.is_private for each in session.studio.requests] == [True, False]
    assert session.studio.requests[0].work.prompt == "a fox"


async def test_a_job_whose_last_word_is_missing_is_looked_up(session: Session) -> None:
    terminal = session.create("silent")
    running = asyncio.ensure_future(terminal.run())
    for looks, state in enumerate((JobState.GENERATING, JobState.DELIVERED), 1):
        session.studio.states[JobId("r-0000000001")] = state

        def is_looked_up(count: int = looks) -> bool:
            session.clock.move(seconds=31)
            return len([1 for call, _ in session.studio.calls if call == "show"]) >= count

        await until(is_looked_up)
    await running
    assert terminal.exit_code == 0


# ---- refusals ----------------------------------------------------------------------------------


async def test_a_refusal_says_what_to_do_once(session: Session) -> None:
    shown = await session.play("refused", "a fox")
    assert shown.count("A prompt has 3 to 5,000 characters.") == 1
    assert "Nothing was charged." in shown
    assert "No clip this time" not in shown


async def test_a_limit_says_when_it_resets(session: Session) -> None:
    shown = await session.play("limit")
    assert "The limit resets 5 Nov 14:00 UTC." in shown


async def test_a_mistake_of_ours_is_told_without_a_traceback(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    shown = await session.play("bug")
    assert "Raybot made a mistake here" in shown
    assert "Traceback" not in shown
    assert "ZeroDivisionError" in caplog.text


async def test_an_uncertain_job_ends_the_wait_and_names_the_command(session: Session) -> None:
    shown = await session.play("doubtful")
    assert "raybot resolve r-0000000001 adopt <generation> | charge | release" in shown


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("a fox --start ./nothing.png", "There is no file ./nothing.png here."),
        ("a fox --end nothing", "There is no file nothing here."),
        ("a fox --start ~nobody-of-that-name/fox.png", "There is no file ~nobody"),
        ("a fox --start .", ". is not a file."),
        ("image ./nothing.png", "There is no file ./nothing.png here."),
        ("> 1 zoom", "Message 1 shows no image and no clip to start from."),
        ("> 7 zoom", "Message 7 is not here."),
        ("a fox --seed 3", "--seed belongs to other tools"),
        ("a fox --12s", "The nearest is 9s; all: 5s, 9s."),
    ],
)
async def test_what_is_not_there_changes_nothing(
    session: Session, line: str, sentence: str
) -> None:
    assert sentence in await session.play(line)
    assert session.studio.calls == []


async def test_a_reply_and_a_start_image_are_one_too_many(session: Session, fox: Path) -> None:
    shown = await session.play(f"image '{fox}'", f'> 1 zoom --start "{fox}"')
    assert "leave out --start" in shown
    assert session.studio.calls == []


async def test_a_reply_to_a_request_starts_from_its_image(session: Session, fox: Path) -> None:
    await session.play(f'a fox --start "{fox}"', "> 1 again", "b --start https://a.example/b.png")
    await session.play("> 1 zoom")
    first, again, link = session.studio.requests
    assert to_video(again.work).start_frame == to_video(first.work).start_frame
    assert to_video(link.work).start_frame == LinkFrame(url="https://a.example/b.png")


async def test_frames_at_both_ends(session: Session, fox: Path) -> None:
    await session.play('a fox --start "my fox.png" --end <https://a.example/b.png>')
    (request,) = session.studio.requests
    work = to_video(request.work)
    assert isinstance(work.start_frame, ImageFrame)
    assert work.start_frame.attachment.id == str(fox)
    assert work.end_frame == LinkFrame(url="https://a.example/b.png")


async def test_an_earlier_job_may_be_a_frame(session: Session) -> None:
    await session.play("a fox --start r-7k2m9q")
    assert to_video(session.studio.requests[0].work).start_frame == ClipFrame(
        job_id=JobId("r-7k2m9q")
    )


# ---- prices ------------------------------------------------------------------------------------


async def test_a_script_does_not_spend_much_unasked(session: Session) -> None:
    shown = await session.play("dear")
    assert "This clip costs about $0.14. Make it?" in shown
    assert "This clip costs ≈ $0.14, and a script starts that only with --yes." in shown
    assert [call for call, _ in session.studio.calls] == ["submit", "cancel"]


async def test_a_script_with_yes_spends(session: Session) -> None:
    await session.play("dear", assume_yes=True)
    assert session.studio.calls == [("submit", True)]
    assert session.exit_code == 0


async def test_a_confirmed_retry_with_yes(session: Session) -> None:
    session.studio.waiting[JobId("r-7k2m9q")] = parse.to_request(
        Draft(prompt="dear"), reply=None, requester=WHO, dedupe_key="k"
    )
    await session.play("confirm r-7k2m9q", "retry r-7k2m9q")
    assert [call for call, _ in session.studio.calls] == ["confirm", "show", "retry", "submit"]
    assert session.exit_code == 0


# ---- verbs -------------------------------------------------------------------------------------


async def test_verbs_reach_the_studio(session: Session) -> None:
    shown = await session.play(
        "help",
        'jobs "red fox" 2',
        "settings",
        "settings ar=1:1",
        "cancel r-7k2m9q",
        "show r-7k2m9q",
        "usage",
    )
    assert [call for call in session.studio.calls if call[0] != "show"] == [
        ("jobs", ("red fox", 2)),
        ("settings", (WHO.user, "terminal")),
        ("change_settings", {"aspect_ratio": "1:1"}),
        ("cancel", (JobId("r-7k2m9q"), WHO.user)),
        ("usage", "terminal"),
    ]
    assert "Camera moves: orbit_left" in shown
    assert "> 3 slow zoom" in shown
    assert "wait reads on once every job has ended" in shown
    assert "+3 s accepted" in shown
    assert "✓ [7] Your clip is ready" in shown
    assert (session.folder / "clips" / "fox.mp4").read_bytes() == CLIP


async def test_who_wants_to_be_forgotten_reads_first_what_goes(session: Session) -> None:
    shown = await session.play("forget me", "forget me yes")
    assert session.studio.calls == [("forget", (WHO.user, each)) for each in (False, True)]
    asked, _, begun = shown.partition("[2] ")
    assert "2 clips with their copies" in asked
    assert "type: forget me yes" in asked
    assert "backups" in asked
    assert "being removed" in begun


async def test_a_job_that_still_runs_is_shown_without_a_clip(session: Session) -> None:
    session.studio.states[JobId("r-7k2m9q")] = JobState.GENERATING
    shown = await session.play("show r-7k2m9q")
    assert "… Generating" in shown
    assert ".mp4" not in shown


# ---- JSON --------------------------------------------------------------------------------------


async def test_json_is_one_object_a_line_for_every_notice(session: Session) -> None:
    records = await session.records("a red fox \u202e --9s")
    assert [record["notice"] for record in records] == [
        "accepted",
        "queued",
        "generating",
        "fetching",
        "delivered",
        "done",
    ]
    for record in records:
        assert {
            *("notice", "job_id", "message", "at", "sentence"),
            *("price_usd", "charged_usd", "is_test", "path"),
        } <= record.keys()
        assert record["job_id"] == "r-0000000001"
        assert record["price_usd"] == 0.14
        assert record["is_test"] is False
        assert datetime.fromisoformat(record["at"]).tzinfo
    accepted, queued, generating, _, clip, done = records
    assert accepted["message"] == "1"
    assert (queued["position"], queued["expected_seconds"]) == (1, 38)
    assert generating["is_slow"] is False
    assert clip["path"] == str(session.folder / "clips" / "r-0000000001.mp4")
    assert (clip["message"], clip["charged_usd"], clip["took_seconds"]) == ("2", 0.14, 41)
    assert done["charged_usd"] == 0.14
    assert session.exit_code == 0


async def test_json_of_refusals_and_pages(session: Session, fox: Path) -> None:
    records = await session.records(
        "refused",
        "limit",
        "busy",
        "a fox --rez 2",
        "usage",
        "jobs",
        "settings",
        "help",
        "show r-7k2m9q",
        f"image '{fox}'",
        "cancel r-7k2m9q",
        "doubtful",
        "fails",
    )
    by = {record["notice"]: record for record in records}
    refused = [record for record in records if record["notice"] == "refused"]
    assert [(each["code"], each["field"], each["message"]) for each in refused] == [
        ("invalid_request", "prompt", "1"),
        ("quota_exceeded", None, "2"),
        ("invalid_request", "flags", "4"),
    ]
    assert refused[1]["resets_at"] == NOW.isoformat()
    assert by["error"]["code"] == "store_busy"
    assert by["usage"]["today"]["charged_usd"] == 0.28
    assert {day: row["asked"] for day, row in by["usage"]["days"].items()} == {"2026-11-05": 2}
    assert by["usage"]["limits"] == [
        {
            "name": "your budget per day",
            "used": 0.28,
            "allowed": 1.0,
            "unit": "usd",
            "resets_at": NOW.isoformat(),
        },
        {"name": "clips per day", "used": 2, "allowed": None, "unit": "clips", "resets_at": None},
    ]
    assert by["jobs"]["jobs"][0]["price_usd"] == 0.14
    assert by["settings"]["settings"] == {"aspect_ratio": "9:16"}
    assert by["settings"]["held"][1] == {"name": "model", "value": "ray-2", "source": "place"}
    assert by["help"]["lines"]
    assert by["shown"]["timeline"][1] == {
        "at": (NOW + timedelta(seconds=3)).isoformat(),
        "event": "accepted",
    }
    assert by["shown"]["path"] == str(session.folder / "clips" / "fox.mp4")
    assert by["image"]["frame"]["attachment"]["id"] == str(fox)
    assert by["cancelled"]["charged_usd"] == 0
    assert "raybot resolve r-" in by["uncertain"]["sentence"]
    assert (by["failed"]["code"], by["failed"]["charged_usd"]) == ("service", 0)
    assert by["failed"]["sentence"] == "Luma had a fault."


@examples(max_examples=50)
@given(st.text())
def test_json_lines_are_plain_ascii_whatever_was_typed(prompt: str) -> None:
    stdout = io.StringIO()
    screen = render.JsonScreen(stdout, clock=MovableClock())
    work = VideoWork.model_construct(prompt=prompt)
    which = n.About(job_id=JobId("r-0"), requester=WHO, work=work)
    screen.show(n.Waiting(about=which, sentence=prompt))
    written = stdout.getvalue()
    assert written.isascii()
    assert written.count("\n") == 1
    assert json.loads(written)["notice"] == "waiting"


def test_a_reader_that_left_ends_a_json_session() -> None:
    class Gone(io.StringIO):
        def flush(self) -> None:
            """The reader is gone."""
            raise BrokenPipeError

    screen = render.JsonScreen(Gone(), clock=MovableClock())
    with pytest.raises(SystemExit):
        screen.page(Text(title="x"), {})


# ---- pipes -------------------------------------------------------------------------------------


@contextmanager
def pipe() -> Iterator[tuple[io.TextIOWrapper, io.FileIO]]:
    """Both ends of a real pipe: what the terminal reads as standard input, and the writer's."""
    reader, writer = os.pipe()
    with (
        io.TextIOWrapper(io.BufferedReader(io.FileIO(reader))) as stdin,
        io.FileIO(writer, "w") as typed,
    ):
        yield stdin, typed


async def test_a_silent_pipe_blocks_nothing(session: Session) -> None:
    with pipe() as (stdin, typed):
        terminal = session.create(stdin=stdin, is_listed=False)
        running = asyncio.ensure_future(terminal.run())
        typed.write(b"\xef\xbb\xbfa f\xc3\xbcx\n")
        await until(lambda: "Your clip is ready" in session.stdout.getvalue())
        assert not running.done()
        typed.write("a fox \xff\n".encode("latin-1") + b"last one without newline")
        typed.close()
        await running
    assert [each.work.prompt for each in session.studio.requests] == [
        "a füx",
        "last one without newline",
    ]
    assert "characters that are no text" in session.stdout.getvalue()
    assert terminal.exit_code == 1


async def test_a_session_that_ends_first_leaves_its_reader_alone(session: Session) -> None:
    others = threading.enumerate()
    with pipe() as (stdin, typed):
        typed.write(b"exit\n")
        await session.play(stdin=stdin, is_listed=False)
        began = [each for each in threading.enumerate() if each not in others]
        readers = [each for each in began if each.name.startswith("terminal")]
        assert [each.daemon for each in readers] == [True]
        typed.close()
        for each in readers:
            await asyncio.to_thread(each.join)


def test_an_endless_line_is_one_refusal_and_not_many_prompts() -> None:
    stream = io.TextIOWrapper(io.BytesIO(b"x" * 1_000_000 + b"\nnext\n"))
    first, second = lines_of(stream)
    assert len(first) == 64 * 1024
    assert second == "next\n"
    with pytest.raises(InvalidRequest):
        parse.read_line(first)


def test_lines_of_a_stream_without_bytes() -> None:
    assert list(lines_of(io.StringIO("a\nb"))) == ["a\n", "b"]
    assert list(lines_of(None)) == []


async def test_a_closed_standard_input_is_an_empty_script(session: Session) -> None:
    stdin = io.StringIO("x")
    stdin.close()
    with pytest.raises(ValueError, match="closed"):
        stdin.isatty()
    terminal = session.create(stdin=io.StringIO(""), is_listed=False)
    await terminal.run()
    assert terminal.exit_code == 0


# ---- what it keeps -----------------------------------------------------------------------------


def desk(folder: Path, stdout: io.StringIO) -> Delivery:
    """The ports alone, as a new process builds them."""
    clock = MovableClock()
    screen = render.PlainScreen(Console(file=stdout, width=100), clock=clock)
    return Delivery(folder=folder, screen=screen, clock=clock)


async def test_a_clip_is_posted_once_for_its_key_also_by_the_next_process(tmp_path: Path) -> None:
    kept = tmp_path / "kept.mp4"
    kept.write_bytes(CLIP)
    folder, stdout = tmp_path / "clips", io.StringIO()
    folder.mkdir()
    first = desk(folder, stdout)
    told = [
        await first.post(parse.THREAD, delivered(kept), key="r-1:clip", memo=MEMO)
        for _ in range(3)
    ]
    at_once = await asyncio.gather(
        *(first.post(parse.THREAD, delivered(kept), key="r-2:clip", memo=MEMO) for _ in range(3))
    )
    kept.unlink()
    again = await desk(folder, stdout).post(
        parse.THREAD, delivered(kept), key="r-1:clip", memo=MEMO
    )
    assert told == [again] * 3
    assert len({each.message for each in at_once}) == 1
    assert at_once[0] != again
    assert stdout.getvalue().count("Your clip is ready") == 2
    assert (folder / "fox.mp4").read_bytes() == CLIP
    assert sorted(path.name for path in folder.iterdir()) == [".transcript.jsonl", "fox.mp4"]


async def test_a_transcript_survives_a_line_that_was_not_finished(tmp_path: Path) -> None:
    file = tmp_path / ".transcript.jsonl"
    notice = n.Accepted(about=about())
    await desk(tmp_path, io.StringIO()).post(parse.THREAD, notice, key="a", memo=MEMO)
    with file.open("ab") as torn:
        torn.write(b'{"key": "b", "mess')
    await desk(tmp_path, io.StringIO()).post(parse.THREAD, notice, key="c", memo=MEMO)
    found = Transcript(tmp_path)
    assert [found.posted(key) is not None for key in "abc"] == [True, False, True]
    assert len(file.read_bytes().splitlines()) == 3


async def test_a_folder_that_cannot_be_written_delays_the_post(tmp_path: Path) -> None:
    kept = tmp_path / "kept.mp4"
    kept.write_bytes(CLIP)
    folder = tmp_path / "clips"
    terminal = desk(folder, io.StringIO())
    folder.write_text("a file is in the way")
    with pytest.raises(DeliveryUnavailable, match="cannot be written to"):
        await terminal.post(parse.THREAD, delivered(kept), key="k", memo=MEMO)
    folder.unlink()
    await terminal.post(parse.THREAD, delivered(kept), key="k", memo=MEMO)
    assert (folder / "fox.mp4").exists()


def test_a_clip_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        keep_clip(tmp_path / "missing.mp4", tmp_path / "clips", "a.mp4")
    assert list((tmp_path / "clips").iterdir()) == []


@pytest.mark.parametrize("name", ["../../etc/fox.mp4", "/fox.mp4", ".."])
def test_a_clip_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    kept = tmp_path / "kept.mp4"
    kept.write_bytes(CLIP)
    folder = tmp_path / "a" / "clips"
    assert keep_clip(kept, folder, name).resolve().parent == folder.resolve()


async def test_delete_removes_the_clip(tmp_path: Path) -> None:
    kept = tmp_path / "kept.mp4"
    kept.write_bytes(CLIP)
    terminal = desk(tmp_path / "clips", io.StringIO())
    message = await terminal.post(parse.THREAD, delivered(kept), key="k", memo=MEMO)
    for _ in range(2):
        await terminal.delete(message)
        await terminal.delete(MessageRef(thread=parse.THREAD, message="unknown"))
    assert not (tmp_path / "clips" / "fox.mp4").exists()
    assert kept.exists()
    # Its name has words of the prompt. That it was posted stays known, to the next process, too.
    assert "fox.mp4" not in (tmp_path / "clips" / ".transcript.jsonl").read_text()
    again = desk(tmp_path / "clips", io.StringIO())
    assert await again.post(parse.THREAD, delivered(kept), key="k", memo=MEMO) == message


async def test_a_clip_whose_name_cannot_be_removed_is_found_again(tmp_path: Path) -> None:
    kept, folder = tmp_path / "kept.mp4", tmp_path / "clips"
    kept.write_bytes(CLIP)
    terminal = desk(folder, io.StringIO())
    message = await terminal.post(parse.THREAD, delivered(kept), key="k", memo=MEMO)
    in_the_way = folder / ".transcript.part"
    in_the_way.mkdir()
    with pytest.raises(DeliveryUnavailable, match="cannot be written to"):
        await terminal.delete(message)
    in_the_way.rmdir()
    await terminal.delete(message)
    assert "fox.mp4" not in (folder / ".transcript.jsonl").read_text()


def test_a_history_that_cannot_be_removed_is_told_to_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Prompted(history=tmp_path, toolbar=str).forget()
    assert "terminal.history_not_removed" in caplog.text


async def test_an_attachment_is_streamed_in_pieces(tmp_path: Path, fox: Path) -> None:
    terminal = desk(tmp_path, io.StringIO())
    frame = parse.to_frame(str(fox), field="start_frame")
    assert isinstance(frame, ImageFrame)
    pieces = [piece async for piece in terminal.read(frame.attachment)]
    assert b"".join(pieces) == b"\x89PNG" + bytes(200_000)
    assert len(pieces) > 1
    await asyncio.to_thread(fox.unlink)
    with pytest.raises(FrameRejected, match=r"my fox\.png cannot be read: No such file"):
        [piece async for piece in terminal.read(frame.attachment)]


async def test_the_terminal_is_an_adapter(session: Session) -> None:
    adapter: Adapter = session.create()
    assert adapter.name == "terminal"
    assert adapter.limits(parse.THREAD).edit_seconds == 0
    assert adapter.limits(parse.THREAD).can_edit
    assert await adapter.direct(WHO) == parse.THREAD


async def test_a_folder_in_the_way_is_a_configuration_error(session: Session) -> None:
    from bot.errors import ConfigError

    (session.folder / "clips").write_text("a file")
    with pytest.raises(ConfigError, match=r"\[adapters\.terminal\] folder"):
        session.create()


def test_without_a_login_name_there_is_still_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7, raising=False)
    assert whoami("terminal") == Requester(
        adapter="terminal", workspace="local", user="you", display_name="you"
    )


# ---- what a person sees ------------------------------------------------------------------------


def plain(width: int = 60) -> tuple[render.PlainScreen, io.StringIO]:
    """A screen without a terminal."""
    stdout = io.StringIO()
    return render.PlainScreen(Console(file=stdout, width=width), clock=MovableClock()), stdout


def test_nothing_typed_reaches_the_terminal_raw() -> None:
    screen, stdout = plain(width=200)
    evil = "[red]fox[/red] \x1b]0;title\x07\x1b[2J\u202e\x9b1m [/]"
    which = n.About(job_id=JobId("r-0"), requester=WHO, work=VideoWork(prompt=evil))
    screen.echo("1", evil)
    screen.show(n.Failed(about=which, code="x", sentence=evil, charged=Micros(0)))
    screen.page(Text(title=evil, lines=(evil,), quote=evil, table=((evil,), (evil,))), {})
    shown = stdout.getvalue()
    assert shown.count("[red]fox[/red]") >= 6
    assert not set(shown) & set("\x1b\x9b\x07\u202e")


def test_a_path_is_never_broken_or_cut() -> None:
    screen, stdout = plain(width=40)
    path = Path("/clips") / ("long-" * 30 + ".mp4")
    screen.show(delivered(path), number="2", path=path)
    assert f"  {path}\n" in stdout.getvalue()


def test_a_line_that_says_nothing_new_is_not_repeated() -> None:
    screen, stdout = plain()
    queued = n.Queued(about=about(), position=2, expected=None)
    screen.show(queued)
    screen.show(queued)
    screen.show(n.Queued(about=about(), position=2, expected=timedelta(seconds=9)))
    screen.show(n.Queued(about=about(), position=1, expected=None))
    screen.show(n.Done(about=about(), charged=Micros(0), took=timedelta()))
    assert stdout.getvalue() == (
        "… In line, place 2 · r-0abcd12345\n… In line, place 1 · r-0abcd12345\n"
    )


def test_what_the_operator_must_know_is_shown_each_time() -> None:
    screen, stdout = plain()
    for _ in range(2):
        screen.show(n.Operator(code="budget", sentence="80 % of the budget is used."))
    assert stdout.getvalue().count("80 % of the budget is used.") == 2


def live() -> tuple[render.LiveScreen, Tty]:
    """A screen on a terminal."""
    stdout = Tty()
    console = Console(file=stdout, force_terminal=True, width=110, color_system=None)
    return render.LiveScreen(console, clock=MovableClock()), stdout


def test_a_running_job_is_a_row_that_goes_away() -> None:
    screen, stdout = live()
    try:
        screen.show(n.Queued(about=about(), position=3, expected=timedelta(seconds=80)))
        assert "In line, place 3" in stdout.getvalue()
        assert "Your clip is expected in about 1 min 20 s." in stdout.getvalue()
        screen.show(n.Accepted(about=about()))
        screen.show(n.Generating(about=about(), since=NOW, expected=None))
        screen.show(n.Received(about=about("r-other")))
        screen.show(n.Failed(about=about(), code="x", sentence="No.", charged=Micros(0)))
        assert not stdout.getvalue().endswith("\x1b[?25h")
    finally:
        screen.close()
    shown = stdout.getvalue()
    assert "Generating" in shown
    assert "“a red fox”" in shown
    assert "%" not in shown
    assert "\x1b[?25h" in shown
    screen.close()


async def test_a_script_on_a_terminal_has_live_rows(session: Session) -> None:
    session.stdout = Tty()
    shown = await session.play("a red fox", "wait", "another")
    assert "\x1b[?25l" in shown
    assert shown.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in shown
    assert shown.count("Your clip is ready") == 2
    assert session.exit_code == 0


def test_a_terminal_without_unicode_shows_question_marks(session: Session) -> None:
    written = io.BytesIO()
    session.stdout = cast("io.StringIO", io.TextIOWrapper(written, encoding="ascii"))
    terminal = session.create()
    terminal._screen.echo("1", "a füx")
    session.stdout.flush()
    assert written.getvalue().strip() == b"[1] ? a f?x"


def test_rows_below_the_line_count_the_seconds() -> None:
    clock = MovableClock()
    screen = render.PromptScreen(Console(file=io.StringIO()), clock=clock)
    assert screen.toolbar() == ""
    screen.show(n.Queued(about=about(), position=1, expected=None))
    clock.move(seconds=75)
    screen.show(n.Generating(about=about(), since=NOW, expected=timedelta(seconds=38)))
    row = screen.toolbar()
    assert "Generating · 1 min 15 s · It usually takes about 40 s. · “a red fox”" in row
    for number in range(9):
        screen.show(n.Received(about=about(f"r-{number}")))
    assert len(screen.toolbar().splitlines()) == 9
    assert screen.toolbar().endswith("… and 2 more")
    screen.show(n.Cancelled(about=about(), charged=Micros(0)))
    assert "Generating" not in screen.toolbar()


# ---- a person who types ------------------------------------------------------------------------


@asynccontextmanager
async def typing(session: Session) -> AsyncIterator[tuple[Terminal, PipeInput]]:
    """A session at a keyboard; what it prints is where standard output goes."""
    session.stdout = Tty()
    with (
        create_pipe_input() as keyboard,
        create_app_session(input=keyboard, output=DummyOutput()),
    ):
        yield session.create(stdin=Tty(), is_listed=False), keyboard


@pytest.mark.parametrize(
    "text",
    ["exitt", "eixt", "/exit", "EXIT!", "exit()", "quit()", "/quit", "q", ":q", ":wq", "logout"],
)
def test_what_ends_other_programs_is_no_clip(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^Type exit to end\. For a clip of that word, "):
        parse.read_line(text)


@pytest.mark.parametrize(
    "text", ["quilt", "exit sign", "an exit", "/ray exit", '"exit"', "> 3 exit"]
)
def test_what_only_looks_like_an_end_is_a_clip(text: str) -> None:
    assert isinstance(parse.read_line(text).typed, Draft)


@pytest.mark.parametrize("keys", ["\x04", "\x03", "exit\r", "quit\r", "half a line\x03"])
async def test_leaving_politely(session: Session, keys: str) -> None:
    async with typing(session) as (terminal, keyboard):
        keyboard.send_text(keys)
        await terminal.run()
    assert terminal.exit_code == 0
    assert session.studio.calls == []


async def test_a_person_types_and_leaves_with_a_clip_on_the_way(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Text] = []
    page = render.PromptScreen.page

    def listen(self: render.PromptScreen, text: Text, *args: Any, **more: Any) -> None:
        said.append(text)
        page(self, text, *args, **more)

    monkeypatch.setattr(render.PromptScreen, "page", listen)
    session.studio.may_finish.clear()
    async with typing(session) as (terminal, keyboard):
        keyboard.send_text("a red fox --9s\r> 1 zoom\r\r\x04")
        await terminal.run()
        session.studio.may_finish.set()
    assert terminal.exit_code == 0
    assert [each.work.prompt for each in session.studio.requests] == ["a red fox"]
    refusal, goodbye = said
    assert "Message 1 shows no image" in refusal.lines[0]
    assert goodbye.lines == ("1 clip is still on the way and will go on at the next start.",)
    assert "a red fox --9s" in (session.folder / "clips" / ".history").read_text()


async def test_who_is_forgotten_leaves_no_lines_behind(session: Session) -> None:
    async with typing(session) as (terminal, keyboard):
        keyboard.send_text("jobs my-secret\rforget me yes\rhelp\r\x04")
        await terminal.run()
    history = (session.folder / "clips" / ".history").read_text()
    assert "+help" in history
    assert "secret" not in history
    assert "forget" not in history


@pytest.mark.parametrize(
    ("answer", "calls"),
    [
        ("y\r", ["submit", "confirm"]),
        ("YES\r", ["submit", "confirm"]),
        ("n\r", ["submit", "cancel"]),
        ("\r", ["submit", "cancel"]),
        ("\x04", ["submit", "cancel"]),
    ],
)
async def test_a_high_price_is_asked_for(session: Session, answer: str, calls: list[str]) -> None:
    async with typing(session) as (terminal, keyboard):
        running = asyncio.ensure_future(terminal.run())
        keyboard.send_text("dear\r")
        await until(lambda: bool(session.studio.waiting))
        keyboard.send_text(answer)
        await until(lambda: len(session.studio.calls) == 2)
        keyboard.send_text("\x04")
        await running
    assert [call for call, _ in session.studio.calls] == calls
    assert terminal.exit_code == 0


# ---- lines -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("help", parse.Line(typed=Help())),
        ("/ray help", parse.Line(typed=Help())),
        ("/ray", parse.Line(typed=Draft())),
        ("/raygun in space", parse.Line(typed=Draft(prompt="/raygun in space"))),
        ("> 3 slow zoom", parse.Line(typed=Draft(prompt="slow zoom"), reply_to=3)),
        (">3", parse.Line(typed=Draft(), reply_to=3)),
        ("> 3 /ray zoom", parse.Line(typed=Draft(prompt="zoom"), reply_to=3)),
        ("> a quote", parse.Line(typed=Draft(prompt="> a quote"))),
        ("image a.png", parse.Line(typed=parse.Picture("a.png"))),
        ("image 'my fox.png'", parse.Line(typed=parse.Picture("my fox.png"))),
        ("image https://a.example/b", parse.Line(typed=parse.Picture("https://a.example/b"))),
        ("image of a fox", parse.Line(typed=Draft(prompt="image of a fox"))),
        ("image fox", parse.Line(typed=Draft(prompt="image fox"))),
    ],
)
def test_lines(text: str, line: parse.Line) -> None:
    assert parse.read_line(text) == line


@examples(max_examples=200)
@given(st.text() | st.text("> 3/ray image.png\"'wait", max_size=30))
def test_any_line_is_read_or_refused(text: str) -> None:
    try:
        parse.read_line(text)
    except InvalidRequest as refused:
        sentence = refused.sentence
        assert len(sentence.splitlines()) == 1
