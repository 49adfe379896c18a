"""What people read: plain, true, and without a way to smuggle anything into a chat."""

from __future__ import annotations

import inspect
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import errors
from bot import notices as n
from bot.job import JobState
from bot.overview import Allowance, JobLine, UsageReport, UsageRow
from bot.ports import FrameRule, ModelCapabilities
from bot.refs import Attachment, JobId, Micros, Price
from bot.request import ClipFrame, ImageFrame, ImageWork, Requester, StoryWork, VideoWork
from bot.text import (
    QUOTE_CHARS,
    Text,
    about,
    charge_words,
    clean,
    describe,
    describe_error,
    describe_jobs,
    describe_settings,
    describe_usage,
    help_text,
    moment,
    parameters,
    price_words,
    span,
    timeline,
)
from tests.fakes import digest_of

JOB = JobId("r-0abcd12345")
NOW = datetime(2026, 11, 5, 14, 0, tzinfo=UTC)
WHO = Requester(adapter="terminal", workspace="local", user="ann")
ABOUT = n.About(
    job_id=JOB,
    requester=WHO,
    work=VideoWork(prompt="a red fox in snow", loop=True, concepts=("orbit_left",)),
    price=Price(micros=Micros(140_000)),
    remarks=("The ratio 9:16 is the nearest to your image.",),
)
TEST_ABOUT = n.About(
    job_id=JOB, requester=WHO, work=ABOUT.work, price=Price(micros=Micros(140_000), is_test=True)
)
FORTY = timedelta(seconds=40)
FILM = n.About(
    job_id=JOB,
    requester=WHO,
    work=StoryWork(shots=("a fox wakes", "it runs"), prompt="a fox wakes | it runs"),
    price=Price(micros=Micros(280_000)),
    shots=tuple(
        n.Shot(
            number=number,
            job_id=JobId(f"r-0abcd0000{number}"),
            prompt=line,
            state=state,
            price=Price(micros=Micros(140_000)),
            charged=Micros(140_000 if number == 1 else 0),
            seconds=5.04 if number == 1 else 0.0,
        )
        for number, line, state in (
            (1, "a fox wakes", JobState.DELIVERED),
            (2, "it runs", JobState.FAILED),
        )
    ),
)


def delivered(which: n.About = ABOUT, charged: int = 140_000) -> n.Delivered:
    """A clip that is being posted."""
    return n.Delivered(
        about=which,
        path="/clips/a.mp4",
        filename="a.mp4",
        width=576,
        height=1024,
        seconds=5.04,
        bytes=1_234_567,
        charged=Micros(charged),
        took=timedelta(seconds=81),
    )


EVERY: tuple[n.Notice, ...] = (
    n.Received(about=ABOUT),
    n.ConfirmNeeded(about=ABOUT, expires_at=NOW),
    n.Accepted(about=ABOUT),
    n.Queued(about=ABOUT, position=3, expected=FORTY),
    n.Generating(about=ABOUT, since=NOW, expected=FORTY),
    n.Waiting(about=ABOUT, sentence="The account at Luma has no credits left."),
    n.Uncertain(about=ABOUT),
    n.Fetching(about=ABOUT),
    delivered(),
    n.Done(about=ABOUT, charged=Micros(140_000), took=FORTY),
    n.Failed(about=ABOUT, code="service", sentence="Luma had a fault.", charged=Micros(0)),
    n.Cancelled(about=ABOUT, charged=Micros(0)),
    n.Operator(code="budget", sentence="80 % of the budget is used.", job_id=JOB),
    n.Filming(about=FILM, number=2, shot=n.Queued(about=ABOUT, position=3, expected=FORTY)),
    n.ShotFailed(about=FILM, number=2, sentence="No.", until=NOW, can_finish=True),
    n.Reported(about=ABOUT, count=2, reasons=("not nice",)),
    n.Gallery(about=ABOUT, path="/clips/a.mp4", filename="a.mp4", bytes=9, stars=3),
    n.Letter(about=ABOUT, path="/clips/a.mp4", filename="a.mp4", bytes=9),
    n.RulesFirst(about=ABOUT, rules="Be kind.", expires_at=NOW, is_for_all=True),
    n.ConsentNeeded(about=ABOUT, expires_at=NOW),
    n.ConsentAsked(about=ABOUT, owner="ben", expires_at=NOW),
    n.Reviewing(about=ABOUT),
    n.ReviewNeeded(about=ABOUT, path="/clips/a.mp4", filename="a.mp4", bytes=9),
    n.Reviewed(about=ABOUT, verdict="post", decided_by="mia"),
    digest_of(n.Starred(job_id=JOB, stars=4, name="Ana\u202e")),
)


# ---- notices ---------------------------------------------------------------------------------


def test_a_week_in_words() -> None:
    week = EVERY[-1]
    assert isinstance(week, n.Digest)
    text = describe(week)
    assert text.title == "The week with Raybot, 26 Oct to 1 Nov 2026"
    assert text.lines == (
        "3 clips by 2 people, 15 s of video, $0.42.",
        f"★ 4 · {JOB} by Ana",
        "Left this month: $4.58 and 1 clip.",
    )
    quiet = replace(week, clips=0, charged=Micros(0), starred=(), money_left=None, clips_left=None)
    assert describe(quiet).lines == ("Nobody made a clip. Nothing was charged.",)


def test_every_notice_has_an_example_here() -> None:
    assert {type(each) for each in EVERY} == set(get_args(n.Notice))


@pytest.mark.parametrize("notice", EVERY, ids=lambda notice: type(notice).__name__)
def test_every_notice_says_what_and_for_which_job(notice: n.Notice) -> None:
    text = describe(notice)
    assert text.title
    assert all(text.lines)
    assert JOB in " ".join(text.lines)
    assert "%" not in text.title
    if not isinstance(notice, n.Aside | n.Filming | n.ShotFailed):
        assert text.quote == "a red fox in snow"
        assert "ray-flash-2 · 5s · 540p · 1:1 · loop · camera orbit left" in text.lines
        assert ABOUT.remarks[0] in text.lines


@pytest.mark.parametrize(
    ("notice", "title", "lines", "tone"),
    [
        (EVERY[3], "In line, place 3", ["Your clip is expected in about 40 s."], "wait"),
        (EVERY[4], "Generating", ["It usually takes about 40 s."], "wait"),
        (
            n.Generating(about=ABOUT, since=NOW, expected=FORTY, is_slow=True),
            "Generating, slower than usual",
            ["It takes unusually long; it stays under watch and will be delivered late."],
            "wait",
        ),
        (EVERY[2], "Accepted", ["≈ $0.14 · job r-0abcd12345"], "info"),
        (
            EVERY[1],
            "This clip costs about $0.14. Make it?",
            ["Nothing is charged unless you confirm, until 5 Nov 14:00 UTC."],
            "wait",
        ),
        (
            EVERY[5],
            "Waiting",
            [
                "The account at Luma has no credits left.",
                "Your request stays in line; you can cancel it.",
            ],
            "wait",
        ),
        (
            EVERY[8],
            "Your clip is ready",
            ["576×1024 · 5.04 s · 1.2 MB · took 1 min 21 s", "$0.14 was charged · job r-0abcd"],
            "good",
        ),
        (EVERY[9], "Delivered", ["took 40 s", "$0.14 was charged"], "good"),
        (
            EVERY[10],
            "No clip this time",
            ["Luma had a fault.", "To try again: retry r-0abcd12345", "Nothing was charged."],
            "bad",
        ),
        (EVERY[11], "Cancelled", ["Nothing was charged."], "info"),
        (
            n.Cancelled(about=ABOUT, charged=Micros(140_000)),
            "Cancelled",
            ["does not stop a running generation.", "$0.14 was charged."],
            "info",
        ),
        (
            n.Cancelled(about=ABOUT, charged=Micros(140_000), was_made=True),
            "Cancelled",
            [
                "The clip was already made, so it stays charged; it is not posted.",
                "$0.14 was charged.",
            ],
            "info",
        ),
        (
            n.Cancelled(about=TEST_ABOUT, charged=Micros(0), was_made=True),
            "Cancelled",
            ["The clip was already made; it is not posted.", "Nothing was charged."],
            "info",
        ),
        (EVERY[12], "For the operator", ["80 % of the budget is used.", f"job {JOB}"], "bad"),
    ],
)
def test_words(notice: n.Notice, title: str, lines: list[str], tone: str) -> None:
    text = describe(notice)
    assert (text.title, text.tone) == (title, tone)
    for line in lines:
        assert line in "\n".join(text.lines)


def test_a_price_question_says_the_whole_price_and_what_it_is_for() -> None:
    def asked(told: n.About, size: int = 1) -> str:
        return describe(n.ConfirmNeeded(about=told, expires_at=NOW, batch_size=size)).title

    still = replace(ABOUT, work=ImageWork(prompt="a fox", model="photon-1"))
    assert asked(still) == "This picture costs about $0.14. Make it?"
    assert asked(replace(FILM, price=ABOUT.price)) == "This film costs about $0.14. Make it?"
    assert asked(TEST_ABOUT) == "This test clip would cost about $0.14. Make it?"
    assert asked(ABOUT, 3) == "These 3 clips cost about $0.42 together. Make them?"


def test_nothing_is_expected_where_nothing_is_known() -> None:
    queued = describe(n.Queued(about=ABOUT, position=1, expected=None))
    generating = describe(n.Generating(about=ABOUT, since=NOW, expected=None))
    for text in (queued, generating):
        assert "about" not in " ".join(text.lines)


def test_without_a_price_there_is_none_to_read() -> None:
    unpriced = n.About(job_id=JOB, requester=WHO, work=ABOUT.work)
    assert "$" not in " ".join(describe(n.Received(about=unpriced)).lines)


def test_an_uncertain_job_is_explained_and_costs_nothing_yet() -> None:
    text = describe(n.Uncertain(about=ABOUT))
    assert text.tone == "bad"
    assert "nothing is paid twice" in " ".join(text.lines)


@pytest.mark.parametrize("code", ["moderation", "prompt", "kept", "refused", "late_refusal"])
def test_what_would_fail_again_is_not_offered_again(code: str) -> None:
    failed = n.Failed(about=ABOUT, code=code, sentence="No.", charged=Micros(140_000))
    lines = describe(failed).lines
    assert "retry" not in " ".join(lines)
    assert "$0.14 was charged." in lines


def test_a_deleted_clip_is_said_to_be_deleted() -> None:
    sentence = "The clip was deleted by a moderator."
    text = describe(n.Failed(about=ABOUT, code="deleted", sentence=sentence, charged=Micros(9)))
    assert (text.title, text.tone) == ("Deleted", "info")
    assert sentence in text.lines
    assert "retry" not in " ".join(text.lines)


def test_a_test_clip_never_reads_as_charged() -> None:
    for notice in (
        n.Accepted(about=TEST_ABOUT),
        delivered(TEST_ABOUT, charged=0),
        n.Done(about=TEST_ABOUT, charged=Micros(0), took=FORTY),
    ):
        line = " ".join(describe(notice).lines)
        assert "(a test, nothing charged)" in line
        assert "was charged" not in line
    assert "would cost ≈ $0.14" in " ".join(describe(n.Accepted(about=TEST_ABOUT)).lines)
    assert "would have cost ≈ $0.14" in " ".join(describe(delivered(TEST_ABOUT)).lines)


def test_a_clip_that_was_made_smaller_says_so_and_links_the_original() -> None:
    fitted = n.Delivered(
        about=ABOUT,
        path="a",
        filename="a",
        width=1,
        height=1,
        seconds=5,
        bytes=1,
        charged=Micros(0),
        took=FORTY,
        form="smaller",
        original_link="https://bot.example/clips/1",
    )
    lines = describe(fitted).lines
    assert "Made smaller to fit this place." in lines
    assert "Original: https://bot.example/clips/1" in lines


# ---- values ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "exact", "rounded"),
    [
        (-3, "0 s", "about 5 s"),
        (0, "0 s", "about 5 s"),
        (1.4, "1 s", "about 5 s"),
        (38, "38 s", "about 40 s"),
        (59.6, "1 min", "about 1 min"),
        (80, "1 min 20 s", "about 1 min 20 s"),
        (83, "1 min 23 s", "about 1 min 20 s"),
        (600, "10 min", "about 10 min"),
        (1234, "20 min 34 s", "about 21 min"),
        (7500, "2 h 5 min", "about 2 h 5 min"),
    ],
)
def test_lengths_of_time(seconds: float, exact: str, rounded: str) -> None:
    assert span(timedelta(seconds=seconds)) == exact
    assert about(timedelta(seconds=seconds)) == rounded


def test_moments_are_in_their_own_zone() -> None:
    assert moment(NOW) == "5 Nov 14:00 UTC"
    assert moment(NOW.astimezone(ZoneInfo("Europe/Berlin"))) == "5 Nov 15:00 CET"


def test_money() -> None:
    price = Price(micros=Micros(1_234_560_000))
    assert price_words(price) == "≈ $1,234.56"
    test = Price(micros=Micros(140_000), is_test=True)
    assert price_words(test, is_over=True) == ("would have cost ≈ $0.14 (a test, nothing charged)")
    assert charge_words(Micros(0)) == "Nothing was charged."
    assert charge_words(Micros(140_000)) == "$0.14 was charged."
    assert charge_words(Micros(4_000)) == "$0.004 was charged."
    assert charge_words(Micros(15_100)) == "$0.015 was charged."
    assert charge_words(Micros(40_400)) == "$0.04 was charged."
    assert price_words(Price(micros=Micros(100_000))) == "≈ $0.10"
    assert price_words(Price(micros=Micros(600_000))) == "≈ $0.60"


def test_a_still_is_a_picture_and_no_clip() -> None:
    work = ImageWork(prompt="a fox", model="uni-1", aspect_ratio="16:9")
    assert parameters(work) == "uni-1 · still · 16:9"
    told = n.About(job_id=JOB, requester=WHO, work=work)
    queued = n.Queued(about=told, position=1, expected=timedelta(seconds=20))
    assert "Your picture is expected in about 20 s." in describe(queued).lines
    assert describe(n.Fetching(about=told)).title == "Finished, fetching the picture"
    failed = n.Failed(about=told, code="moderation", sentence="No.", charged=Micros(0))
    assert describe(failed).title == "No picture this time"
    still = ClipFrame(job_id=JOB, is_still=True)
    assert f"start picture {JOB}" in parameters(VideoWork(start_frame=still))


def test_parameters_name_the_frames() -> None:
    work = VideoWork(
        model="ray-2",
        start_frame=ClipFrame(job_id=JOB),
        end_frame=ImageFrame(attachment=Attachment(adapter="terminal", id="/a.png")),
    )
    assert parameters(work) == f"ray-2 · 5s · 540p · 1:1 · start clip {JOB} · end image"


def test_parameters_that_people_typed_are_cleaned() -> None:
    work = VideoWork(model="ray\x1b[31m-2\u202e" + "x" * 99, concepts=("a\nb",))
    shown = parameters(work)
    assert shown.startswith("ray-2xxx")
    assert "camera a b" in shown
    assert len(shown) < 100


# ---- clean -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a fox\n in\tsnow ", "a fox in snow"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]52;c;aGk=\x07copied", "copied"),
        ("\x1b]0;title\x1b\\text", "text"),
        ("\x9b31mred\x00", "31mred"),
        ("\x1b", ""),
        ("\x1bcreset", "reset"),
        ("abc\u202edef\u2066", "abcdef"),
        ("z\u200bw\u200dn\ufeff", "zwn"),
        ("soft\u00adhyphen", "softhyphen"),
        ("\u3164blank\u115f", "blank"),
        ("\ud800lone", "lone"),
        ("flag\U000e0067", "flag"),
        ("👩\u200d🚀 flies", "👩\u200d🚀 flies"),
        ("❤\ufe0f\u200d🔥", "❤\ufe0f\u200d🔥"),
        ("狐 в снегу ثعلب", "狐 в снегу ثعلب"),
    ],
)
def test_clean(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_clean_cuts_with_an_ellipsis() -> None:
    assert clean("a" * 300) == "a" * 300
    assert clean("a" * 301) == "a" * 299 + "…"
    assert clean("fox and hound", limit=5) == "fox…"


@given(st.text(), st.integers(1, 50))
def test_clean_is_always_one_short_visible_line(text: str, limit: int) -> None:
    shown = clean(text, limit=limit)
    assert len(shown) <= limit
    assert len(shown.splitlines()) <= 1
    assert not any(
        unicodedata.category(letter) in {"Cc", "Cs", "Cf"} and letter != "\u200d"
        for letter in shown
    )
    shown.encode()


@given(st.text(min_size=1))
def test_no_notice_lets_a_prompt_through_unclean(prompt: str) -> None:
    work = VideoWork.model_construct(prompt=prompt, model=prompt, concepts=(prompt,))
    which = n.About(job_id=JOB, requester=WHO, work=work, remarks=(prompt,))
    failed = n.Failed(about=which, code="x", sentence=prompt, charged=Micros(0))
    for notice in (n.Accepted(about=which), failed, n.Waiting(about=which, sentence=prompt)):
        text = describe(notice)
        for shown in (text.title, text.quote, *text.lines):
            assert "\x1b" not in shown
            assert len(shown.splitlines()) <= 1
        assert len(text.quote) <= QUOTE_CHARS


# ---- errors ----------------------------------------------------------------------------------

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.BotError)
]


def example(kind: type[errors.BotError]) -> errors.BotError:
    """An error of this kind with its default sentence."""
    given: dict[str, Any] = {
        "provider": "luma",
        "code": "x",
        "max_bytes": 1,
        "kind": "words",
        "field": "duration",
        "choices": ("5s", "9s"),
        "say": " or ".join,
    }
    taken = inspect.signature(kind).parameters
    return kind(**{name: value for name, value in given.items() if name in taken})


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_says_what_to_do_for_which_job_and_what_it_cost(
    kind: type[errors.BotError],
) -> None:
    error = example(kind)
    text = describe_error(error, JOB, Micros(140_000))
    assert text.title
    assert text.tone == "bad"
    assert text.lines[0] == error.sentence
    assert len(text.lines) >= (3 if isinstance(error, errors.NotNow) else 4)
    assert text.lines[-2:] == ("$0.14 was charged.", f"job {JOB}")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_before_there_is_a_job_costs_nothing_where_that_is_known(
    kind: type[errors.BotError],
) -> None:
    lines = describe_error(example(kind)).lines
    if kind in (errors.BotError, errors.StoreError, errors.CommitUnknown):
        assert "charged" not in " ".join(lines)
        assert "operator has to look" in lines[-1]
    elif not kind.is_of_clip:
        assert "charged" not in " ".join(lines)
    else:
        assert lines[-1] == "Nothing was charged."


def test_where_no_clip_was_asked_for_nothing_is_said_of_money() -> None:
    error = errors.InvalidRequest("No.")
    with pytest.raises(errors.InvalidRequest), errors.of_no_clip():
        raise error
    assert describe_error(error).lines == ("No.", "Correct it and send it again.")


def test_who_comes_too_late_is_told_no_more_than_that() -> None:
    told = describe_error(errors.TooLate(f"{JOB} has already ended."))
    assert (told.title, told.lines) == ("Too late for that", (f"{JOB} has already ended.",))
    early = describe_error(errors.NotNow(f"{JOB} is still being made. Cancel it instead."))
    assert early.title == "Not possible now"


def test_who_lost_a_race_is_sent_to_no_operator() -> None:
    told = describe_error(errors.Stale(f"{JOB} cannot go from delivering to cancelled."))
    assert told.title == "Too late for that"
    assert told.lines == ("It has gone on meanwhile.", "Type jobs to see how it stands.")


def test_what_is_not_allowed_is_advised_once() -> None:
    told = "It is not allowed. Say it in other words."
    advised = errors.Moderated(told, kind="words", is_advised=True)
    assert describe_error(advised).lines == (told, "Nothing was charged.")
    bare = describe_error(errors.Moderated("No cats.", kind="words")).lines
    assert bare == ("No cats.", "Change it and ask again.", "Nothing was charged.")


def test_of_a_job_that_goes_on_nothing_is_claimed_about_money() -> None:
    assert "charged" not in " ".join(describe_error(errors.JobNotFound(), JOB).lines)


def test_a_limit_says_when_it_resets() -> None:
    refusal = errors.QuotaExceeded("You have used 3 of 3 clips per day.", resets_at=NOW)
    assert "The limit resets 5 Nov 14:00 UTC." in describe_error(refusal).lines


def test_the_type_decides_the_words() -> None:
    assert describe_error(errors.InvalidRequest()).title != describe_error(errors.Refusal()).title
    auth = describe_error(errors.ProviderAuthError(provider="luma"))
    assert auth.title == describe_error(errors.ProviderError(provider="luma")).title


# ---- pages -----------------------------------------------------------------------------------

ROW = UsageRow(
    label="today", asked=3, delivered=2, refused=1, failed=0, seconds=14.0, charged=Micros(280_000)
)


def test_usage() -> None:
    report = UsageReport(
        today=ROW,
        month=ROW,
        allowances=(
            Allowance(
                name="your budget per day",
                used=280_000,
                allowed=1_000_000,
                is_money=True,
                resets_at=NOW,
            ),
            Allowance(name="clips per day", used=2, allowed=5, is_money=False, resets_at=None),
            Allowance(name="nobody", used=2, allowed=None, is_money=False, resets_at=None),
        ),
        test_clips=1,
        test_micros=Micros(140_000),
    )
    assert describe_usage(report) == Text(
        title="Your usage",
        lines=(
            "your budget per day: $0.28 of $1.00, $0.72 left, resets 5 Nov 14:00 UTC",
            "clips per day: 2 of 5, 3 left",
            "1 test clip would have cost ≈ $0.14 (a test, nothing charged).",
        ),
        table=(
            ("", "asked", "delivered", "refused", "failed", "video", "charged"),
            ("today", "3", "2", "1", "0", "14 s", "$0.28"),
            ("today", "3", "2", "1", "0", "14 s", "$0.28"),
        ),
    )
    shot = JobLine(job_id=JOB, state="delivered", prompt="", created_at=NOW, price=Micros(140_000))
    last = (shot, replace(shot, is_test=True))
    lines = describe_usage(UsageReport(today=ROW, month=ROW, last=last)).lines
    paid = f"{JOB}: delivered, 5 Nov 14:00 UTC, $0.14"
    assert lines == (paid, f"{paid} (test)")
    two = UsageReport(today=ROW, month=ROW, test_clips=2, test_micros=Micros(280_000))
    assert describe_usage(two).lines[0].startswith("2 test clips")
    assert describe_usage(UsageReport(today=ROW, month=ROW)).lines == ()


def test_jobs() -> None:
    line = JobLine(
        job_id=JOB, state="delivered", prompt="fox\n" * 50, created_at=NOW, price=Micros(140_000)
    )
    head, row = describe_jobs([line]).table
    assert head == ("job", "state", "price", "asked", "prompt")
    assert row[:4] == (JOB, "delivered", "$0.14", "5 Nov 14:00 UTC")
    assert len(row[4]) <= 40
    assert describe_jobs([]).table == ()


def test_settings() -> None:
    assert describe_settings({"aspect_ratio": "9:16"}).table == (
        ("setting", "value"),
        ("aspect_ratio", "9:16"),
    )
    assert describe_settings({}).title == "You have no settings of your own"


def test_a_timeline_counts_from_its_first_move() -> None:
    events = [(NOW, "received"), (NOW + FORTY, "generating"), (NOW + 2 * FORTY, "de\x00livered")]
    assert timeline(events) == (
        "5 Nov 14:00 UTC received",
        "+40 s generating",
        "+1 min 20 s delivered",
    )
    assert timeline([]) == ()


def test_help_is_made_of_what_the_models_can_do() -> None:
    def model(name: str, *concepts: str) -> ModelCapabilities:
        return ModelCapabilities(
            model=name,
            durations=("5s", "9s"),
            resolutions=("540p",),
            aspect_ratios=("1:1",),
            frames={("none", "none"): FrameRule()},
            concepts=concepts,
        )

    text = help_text([model("ray-flash-2", "orbit_left"), model("ray-2", "orbit_left", "static")])
    assert ("--model", "ray-flash-2, ray-2", "quality and price") in text.table
    assert ("--dur, or --9s", "5s, 9s", "length") in text.table
    assert "Camera moves: orbit_left, static" in text.lines
    assert not any("Camera" in line for line in help_text([model("ray-1-6")]).lines)


# ---- films -----------------------------------------------------------------------------------


def test_a_film_tells_which_shot_is_at_work_and_how_the_others_stand() -> None:
    shot = n.Queued(about=ABOUT, position=3, expected=FORTY)
    text = describe(n.Filming(about=FILM, number=2, shot=shot))
    assert text.title == "Shot 2 of 2"
    assert text.lines[:2] == ("In line, place 3.", "Your clip is expected in about 40 s.")
    assert text.lines[2] == "1. a fox wakes · done · $0.14 · r-0abcd00001"
    assert "ray-flash-2 · 2 shots of 5s · 540p · 1:1" in text.lines


def test_a_failed_shot_leaves_its_person_the_choice() -> None:
    said = n.ShotFailed(about=FILM, number=2, sentence="Not allowed.", until=NOW, can_finish=True)
    text = describe(said)
    assert text.title == "Shot 2 of 2 failed"
    assert text.lines[0] == "Not allowed."
    for verb in (f"redo {JOB} 2", f"finish {JOB}", f"cancel {JOB}", "$0.14 was charged."):
        assert verb in " ".join(text.lines)
    first = describe(replace(said, number=1, can_finish=False))
    assert "finish" not in " ".join(first.lines)


def test_a_failed_shot_tells_what_becomes_of_the_film_if_nobody_decides() -> None:
    said = n.ShotFailed(about=FILM, number=3, sentence="No.", until=NOW, can_finish=True)
    third, second, first = (
        describe(replace(said, number=number, can_finish=number > 1)).lines for number in (3, 2, 1)
    )
    begin = "If you decide nothing by 5 Nov 14:00 UTC,"
    assert f"{begin} the shots before it become the film." in third
    assert f"{begin} the shot before it becomes the film." in second
    assert f"{begin} it ends without a film." in first


def test_a_film_lists_when_each_shot_begins() -> None:
    shots = tuple(
        replace(shot, state=JobState.DELIVERED, seconds=5.04, number=number)
        for number, shot in enumerate(FILM.shots, start=1)
    )
    lines = describe(delivered(replace(FILM, shots=shots))).lines
    assert "0:00 a fox wakes · r-0abcd00001" in lines
    assert "0:05 it runs · r-0abcd00002" in lines
    assert "Without" not in " ".join(lines)


def test_a_film_of_fewer_shots_than_were_asked_for_says_which_are_missing() -> None:
    lines = describe(delivered(FILM)).lines
    assert "0:00 a fox wakes · r-0abcd00001" in lines
    assert "Without shot 2." in lines
