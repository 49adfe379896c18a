"""What is drawn of notices and lines, which buttons stand there, and what is read; all pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from adapters.command_text import Draft, Follow, Redo, Retry, parse
from adapters.login import whoami
from adapters.opinions import Opinion
from adapters.own_place import AdminAct
from adapters.web import buttons, render
from adapters.web.asides import Kept
from adapters.web.buttons import Pressed, to_typed
from adapters.web.news import REMEMBERED, News
from adapters.web.parse import (
    MOST_FIELDS,
    Said,
    image_type,
    read_text,
    to_request,
    to_said,
)
from adapters.web.site import Site, cookie, is_from_here
from bot import notices as n
from bot import text as words
from bot.acts import ACTS, NEEDS, Offered
from bot.clock import SystemClock
from bot.errors import InvalidRequest
from bot.ports import WebCall
from bot.refs import JobId, Micros, Price
from bot.request import ClipFrame, ImageFrame, VideoWork
from bot.studio import JobLine, Shown
from tests.fakes import to_requester
from tests.rendered import png

NOW = datetime(2026, 11, 5, 14, 0, tzinfo=UTC)
JOB = JobId("r-0yb7k2m9q0")
PRICE = Price(micros=Micros(140_000))
ABOUT = n.About(job_id=JOB, requester=to_requester(), work=VideoWork(prompt="a fox"), price=PRICE)
ACTS_OFFERED = tuple(Offered(act=act, price=PRICE) for act in ACTS if act != "animate")
DONE = n.Done(about=ABOUT, charged=Micros(140_000), took=timedelta(seconds=40))
CLIP = n.Delivered(
    about=ABOUT,
    path="/nowhere/clip.mp4",
    filename="clip.mp4",
    width=960,
    height=540,
    seconds=5,
    bytes=300_000,
    charged=Micros(140_000),
    took=timedelta(seconds=40),
    acts=ACTS_OFFERED,
)


def _shown(notice: n.Notice, prompt: str = "a fox") -> Shown:
    line = JobLine(
        job_id=JOB, state="generating", prompt=prompt, created_at=NOW, price=Micros(140_000)
    )
    return Shown(line=line, notice=notice, events=(), link="/clips/r-0yb7k2m9q0.mp4?exp=1&sig=x")


def _draw(shown: Shown) -> str:
    return render.draw_card(shown, lambda _: True)


@pytest.mark.parametrize(
    ("notice", "labels"),
    [
        (n.Queued(about=ABOUT, position=3, expected=None), ["Cancel"]),
        (n.Generating(about=ABOUT, since=NOW, expected=None), ["Cancel"]),
        (n.ConfirmNeeded(about=ABOUT, expires_at=NOW), ["Confirm", "Cancel"]),
        (
            n.RulesFirst(about=ABOUT, rules="Be kind.", expires_at=NOW),
            ["Accept the rules", "Cancel"],
        ),
        (n.Cancelled(about=ABOUT, charged=Micros(0)), ["Retry"]),
        (n.Failed(about=ABOUT, code="deleted", sentence="Gone.", charged=Micros(0)), []),
        (
            n.Failed(about=ABOUT, code="moderation", sentence="No.", charged=Micros(0)),
            ["Edit and retry"],
        ),
        (
            n.Failed(about=ABOUT, code="internal", sentence="Oh.", charged=Micros(0)),
            ["Retry", "Edit and retry"],
        ),
        (
            n.Failed(about=ABOUT, code="loop", sentence="Oh.", charged=Micros(0)),
            ["Edit and retry"],
        ),
        (replace(CLIP, acts=()), ["Retry", "Edit and retry", "Delete"]),
        (n.Uncertain(about=ABOUT), []),
        (n.Fetching(about=ABOUT), []),
        (CLIP, ["Extend", "Variation", "Remix", "Loop", "Delete"]),
        (DONE, []),
        (
            n.ShotFailed(about=ABOUT, number=2, sentence="No.", until=NOW, can_finish=True),
            ["Redo this shot", "Finish the film", "Cancel"],
        ),
    ],
)
def test_each_notice_has_its_buttons(notice: n.Notice, labels: list[str]) -> None:
    assert [each.label for each in buttons.under(notice)] == labels
    drawn = _draw(_shown(notice))
    assert all(f">{label}</button>" in drawn for label in labels)


def test_every_act_is_offered_and_is_what_one_could_type() -> None:
    shown = {each.action for each in (*buttons.under(CLIP), *buttons.more(CLIP))}
    assert shown == {*ACTS} - {"animate", "retry"} | {"several", "report"}
    for act in ACTS:
        if act in ("animate", "delete", "retry"):
            continue
        needs = NEEDS[act]
        choice = {
            "count": "3",
            "resolution": "1080p",
            "ratio": "9:16",
            "mode": "flex_1",
            "none": "",
        }
        pressed = Pressed(
            action=act,
            job_id=JOB,
            words="a grey owl" if needs.prompt != "none" else "",
            choice=choice[needs.choice],
            other="r-0yb7k2m9q1" if needs.other_clip else "",
        )
        command = parse(to_typed(pressed))
        assert isinstance(command, Follow), act
        assert (command.act, command.job_id) == (act, JOB)
        assert command.choice == choice[needs.choice]
    assert parse(to_typed(Pressed(action="retry", job_id=JOB))) == Retry(JOB)
    said = read_text(to_typed(Pressed(action="reject", job_id=JOB, words="too\nloud")))
    assert said == Opinion(verb="reject", job_id=JOB, reason="too\nloud")
    assert parse(to_typed(Pressed(action="redo", job_id=JOB, target="2"))) == Redo(JOB, 2)


FILE: dict[str, Any] = {"path": "/nowhere/clip.mp4", "filename": "clip.mp4", "bytes": 9}


@pytest.mark.parametrize(
    ("notice", "labels"),
    [
        (n.ReviewNeeded(about=ABOUT, **FILE), ["Post", "Reject"]),
        (n.Reviewed(about=ABOUT, verdict="post"), []),
        (n.Reported(about=ABOUT, count=1), ["Keep", "Remove", "Block"]),
        (n.Reported(about=ABOUT, count=1, outcome="kept"), []),
        (n.ConsentAsked(about=ABOUT, owner="ada", expires_at=NOW), ["Allow", "Do not allow"]),
        (n.ConsentAsked(about=ABOUT, owner="ada", answer="over"), []),
        (n.Gallery(about=ABOUT, stars=3, **FILE), []),
        (n.Letter(about=ABOUT, **FILE), []),
        (n.Operator(code="low", sentence="The balance is <b>low</b>."), []),
    ],
)
def test_what_is_said_beside_jobs_has_its_buttons(notice: n.Aside, labels: list[str]) -> None:
    told = buttons.under(notice)
    assert [each.label for each in told] == labels
    for each in told:
        assert isinstance(read_text(to_typed(Pressed(action=each.action, job_id=JOB))), Opinion)
    kept = Kept(
        key=f"{JOB}:x",
        at=NOW,
        text=words.describe(notice),
        buttons=told,
        until=words.open_until(notice),
        clip="0" * 32,
    )
    drawn = render.draw_aside(kept, lambda _: isinstance(notice, n.WithFile))
    assert all(f">{label}</button>" in drawn for label in labels)
    assert ("<video" in drawn) == isinstance(notice, n.WithFile)
    assert "<b>low" not in drawn


def test_progress_is_shown_as_far_as_it_is_known() -> None:
    known = n.Generating(about=ABOUT, since=NOW, expected=timedelta(seconds=30))
    drawn = _draw(_shown(known))
    assert f'data-since="{NOW.isoformat()}"' in drawn
    assert f'data-until="{(NOW + timedelta(seconds=30)).isoformat()}"' in drawn
    queued = _draw(_shown(n.Queued(about=ABOUT, position=3, expected=None)))
    assert "In line, place 3" in queued
    assert "<progress" in queued
    assert "data-until" not in queued
    assert "<progress" not in _draw(_shown(CLIP))


def test_a_clip_is_a_video_with_its_poster_and_a_still_is_a_picture() -> None:
    drawn = _draw(_shown(CLIP))
    assert 'controls preload="metadata"' in drawn
    assert f'poster="/web/poster?job={JOB}"' in drawn
    assert 'src="/clips/r-0yb7k2m9q0.mp4?exp=1&amp;sig=x"' in drawn
    gone = _draw(replace(_shown(CLIP), link=""))
    assert "<video" not in gone


def test_a_line_names_times_and_jobs_as_what_they_are() -> None:
    parts = render.parts_of(f"Until 5 Nov 14:00 UTC, or show {JOB} <b>", [NOW])
    assert [(each.kind, each.said) for each in parts] == [
        ("words", "Until "),
        ("time", "5 Nov 14:00 UTC"),
        ("words", ", or show "),
        ("job", JOB),
        ("words", " <b>"),
    ]
    assert parts[1].at == NOW.isoformat()


@examples(max_examples=30)
@given(st.text(max_size=200))
def test_whatever_is_typed_is_never_markup(prompt: str) -> None:
    about = replace(ABOUT, work=VideoWork.model_construct(prompt=prompt))
    card = _draw(_shown(n.Fetching(about=about), prompt))
    plain = _draw(_shown(n.Fetching(about=ABOUT), "a fox"))
    tags = [each.count("<") for each in (card, plain)]
    assert tags[0] <= tags[1]
    assert unescape(card).count("\x1b") == 0


def test_a_card_that_says_the_same_has_the_same_mark() -> None:
    first, again = _draw(_shown(CLIP)), _draw(_shown(CLIP))
    assert first == again
    assert _draw(_shown(n.Fetching(about=ABOUT))) != first


# ---- what is read ------------------------------------------------------------------------------


def _said(**changes: Any) -> Said:
    usual: dict[str, Any] = {"text": "", "images": (), "reply_to": None, "nonce": "a" * 16}
    return Said(**{**usual, **changes})


def test_images_and_a_reply_become_frames() -> None:
    image, other = "0" * 32, "1" * 32
    draft = read_text("/ray the waves roll in")
    assert isinstance(draft, Draft)
    one = to_request(draft, _said(images=(image, other)), requester=whoami("web"))
    assert isinstance(one.work, VideoWork)
    assert isinstance(one.work.start_frame, ImageFrame)
    assert isinstance(one.work.end_frame, ImageFrame)
    assert one.dedupe_key == f"web:{whoami('web').user}:{'a' * 16}"
    reply = to_request(draft, _said(images=(image,), reply_to=JOB), requester=whoami("web"))
    assert isinstance(reply.work, VideoWork)
    assert reply.work.start_frame == ClipFrame(job_id=JOB)
    assert isinstance(reply.work.end_frame, ImageFrame)
    with pytest.raises(InvalidRequest, match="one image too many"):
        to_request(draft, _said(images=(image, other), reply_to=JOB), requester=whoami("web"))
    with pytest.raises(InvalidRequest):
        to_request(
            replace(draft, start="https://a.example/x.png"),
            _said(images=(image,)),
            requester=whoami("web"),
        )


@pytest.mark.parametrize(
    "body",
    [
        b"text=a&nonce=" + b"a" * 16 + b"&image=../../etc/passwd",
        b"text=a&nonce=" + b"a" * 16 + b"&reply_to=r-%3Cb%3E",
        b"text=a&nonce=%00",
        b"\xff\xfe",
        b"&".join(b"a=1" for _ in range(MOST_FIELDS + 1)),
        b"text=a&nonce=" + b"a" * 16 + (b"&image=" + b"0" * 32) * 3,
    ],
)
def test_what_no_page_of_ours_sends_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        to_said(body)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("admin", AdminAct("")),
        ("/ray admin pause tea", AdminAct("pause tea")),
        (f"star {JOB}", Opinion(verb="star", job_id=JOB)),
        (f"/ray report {JOB} it is rude", Opinion(verb="report", job_id=JOB, reason="it is rude")),
        ("report on the news", Draft(prompt="report on the news")),
        ("wait for it", Draft(prompt="wait for it")),
        ("exit", None),
        ("image ./fox.png", None),
        ("> 3 slow zoom", None),
        ("star", None),
    ],
)
def test_what_the_terminal_knows_is_known_here(typed: str, expected: object) -> None:
    if expected is None:
        with pytest.raises(InvalidRequest):
            read_text(typed)
        return
    assert read_text(typed) == expected


def test_images_are_known_by_their_first_bytes() -> None:
    assert image_type(png()[:16]) == "image/png"
    assert image_type(b"RIFF\x00\x00\x00\x00WEBPVP8 ") == "image/webp"
    assert image_type(b"RIFX\x00\x00\x00\x00WEBPVP8 ") is None
    assert image_type(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00") == "image/heic"
    assert image_type(b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00") is None
    assert image_type(b"<svg xmlns") is None
    assert image_type(b"") is None


def test_who_calls_is_known_by_host_and_origin() -> None:
    def call(**headers: str) -> WebCall:
        return WebCall(
            method="POST", path="/", query={}, headers=headers, body=b"", client="127.0.0.1"
        )

    for host in ("127.0.0.1:80", "localhost", "[::1]:8080", "LOCALHOST:1"):
        assert is_from_here(call(host=host)), host
    for host in ("", "evil.example", "127.0.0.1.nip.io", "[::1", "127.0.0.2", "a@evil.example"):
        assert not is_from_here(call(host=host)), host
    assert not is_from_here(replace(call(host="localhost"), client="192.0.2.1"))
    assert not is_from_here(replace(call(host="localhost"), client=""))
    brought = 'prefs={"a":"b"}; bad name=x; ;none; raybot_desk=KEY ; raybot_desk=later; b="c=="'
    assert cookie(call(cookie=brought), "raybot_desk") == "KEY"
    assert cookie(call(cookie=brought), "b") == "c=="
    assert cookie(call(cookie=brought), "none") == cookie(call(), "raybot_desk") == ""
    here = Site(address="http://localhost:1", is_public=False)
    assert here.is_own_page(call(host="localhost:1", origin="http://localhost:1"))
    assert not here.is_own_page(call(host="localhost:1", origin="http://localhost:2"))
    assert not here.is_own_page(call(host="localhost:1"))


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("https://Ray.Example/", "https://ray.example"),
        ("https://ray.example:443", "https://ray.example"),
        ("HTTP://ray.example:80", "http://ray.example"),
        ("https://ray.example:8443", "https://ray.example:8443"),
        ("https://räy.example", "https://xn--ry-via.example"),
        ("https://[2001:DB8::1]:443", "https://[2001:db8::1]"),
    ],
)
def test_our_pages_are_known_however_our_address_is_written(address: str, origin: str) -> None:
    def call(origin: str) -> WebCall:
        headers = {"origin": origin}
        return WebCall(method="POST", path="/", query={}, headers=headers, body=b"", client="")

    ours = Site(address=address, is_public=True)
    assert ours.is_own_page(call(origin))
    for foreign in ("https://elsewhere.example", f"{origin}:1", f"{origin}.evil.example"):
        assert not ours.is_own_page(call(foreign))


# ---- news --------------------------------------------------------------------------------------


async def _nothing() -> list[str]:
    return ["all of it"]


async def _stays() -> datetime:
    return datetime.max.replace(tzinfo=UTC)


async def test_of_many_changes_of_a_card_only_the_last_is_told() -> None:
    news = News(clock=SystemClock())
    seen = news.seen
    for state in ("queued", "generating", "generating", "done"):
        news.tell("r-1", state)
    news.tell("r-2", "a\r\nb\nc")
    stream = news.stream(seen, _nothing, _stays)
    told = [await anext(stream) for _ in range(3)]
    process = seen.partition(".")[0]
    assert told[1] == f"id: {process}.3\nevent: card\ndata: done\n\n".encode()
    assert told[2] == f"id: {process}.4\nevent: card\ndata: a\ndata: b\ndata: c\n\n".encode()
    await stream.aclose()


@pytest.mark.parametrize("seen", ["", "nonsense", "0123abcd.1", "{process}.999", "{process}.0"])
async def test_who_saw_too_little_is_told_all(seen: str) -> None:
    news = News(clock=SystemClock())
    process = news.seen.partition(".")[0]
    for each in range(REMEMBERED + 5):
        news.tell(f"r-{each}", "changed")
    stream = news.stream(seen.replace("{process}", process), _nothing, _stays)
    await anext(stream)
    assert b"data: all of it\n" in await anext(stream)
    await stream.aclose()
