"""What a browser sends: forms, the composer, addresses of the desk, cookies, files."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_from_bytes, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.admin_text import page_in
from adapters.command_text import Draft
from adapters.login import whoami
from adapters.web import parse
from adapters.web.desk.act import MOST_DAYS, Form
from adapters.web.desk.acts import HOME, to_back
from adapters.web.desk.addresses import read_mark, to_mark
from adapters.web.desk.charts import CHOICES, DAYS, days_of
from adapters.web.desk.flash import FlashMessage, seal, unseal
from adapters.web.desk.moderation import to_search
from adapters.web.site import SAID, SITTING, Site
from bot.desk_job_views import Spot
from bot.errors import FrameRejected
from bot.ports import WebCall
from bot.refs import JobId
from tests.fuzz import fuzz
from tests.fuzz.mutations import bounded, phrases, texts, tried

IMAGE, NONCE, JOB, KEY = "0123456789abcdef" * 2, "a-nonce-of-the-page-1", "r-0abcd12345", "k" * 43
NAMES = ("text", "image", "image", "reply_to", "nonce", "job", "days", "back")
TRUE = ("a red fox --ar 16:9", IMAGE, JOB, NONCE, "7", "/desk/clips?q=fox", "show r-0abcd12345")
fields = st.lists(
    st.tuples(st.one_of(st.sampled_from(NAMES), texts), st.one_of(st.sampled_from(TRUE), texts)),
    max_size=9,
)


@st.composite
def forms(draw: st.DrawFn) -> bytes:
    """A form as a browser sends it, with its bytes mixed, cut, or far too many fields."""
    kept = [(name, value.encode("utf-8", "surrogatepass")) for name, value in draw(fields)]
    body = urlencode(kept, errors="replace").encode()
    match draw(st.sampled_from(("whole", "whole", "whole", "cut", "mixed", "many", "raw"))):
        case "cut":
            return body[: draw(st.integers(0, len(body)))]
        case "mixed":
            at = draw(st.integers(0, len(body)))
            return body[:at] + draw(st.binary(max_size=8)) + body[at:]
        case "many":
            return b"&".join([body or b"a=1"] * draw(st.integers(2, 200)))
        case "raw":
            return quote_from_bytes(draw(st.binary(max_size=40)), safe="=&%;+").encode()
    return body


@fuzz
@example(b"nonce=" + NONCE.encode() + b"&text=a%20fox&image=" + IMAGE.encode())
@example(b"%ff%fe=%00&" * 60)
@example(b"text=\xff")
@given(forms())
def test_a_form_is_read_or_refused(body: bytes) -> None:
    read = tried(lambda: parse.read_form(body))
    if read is not None:
        assert sum(map(len, read.values())) <= parse.MOST_FIELDS
        _attend(Form(fields=read))
    said = tried(lambda: parse.to_said(body))
    if said is not None:
        assert all(parse.is_image_id(each) for each in said.images)
        assert len(said.images) <= parse.MOST_IMAGES
        _ask(said)


def _attend(form: Form) -> None:
    """What an act of the desk asks of a form."""
    readers: tuple[Callable[[Form], Any], ...] = (
        lambda each: each.job,
        lambda each: each.nonce,
        lambda each: each.days,
    )
    for reader in readers:
        tried(lambda reader=reader: reader(form))  # type: ignore[misc]  # One of several.
    days = tried(lambda: form.days)
    assert days is None or 1 <= days <= MOST_DAYS
    back = to_back(form.text("back"))
    assert back.startswith(HOME)
    assert not {"\r", "\n", "\\"} & set(back)


def _ask(said: parse.Said) -> None:
    """What the playground does with what was said."""
    typed = tried(lambda: parse.read_text(said.text))
    if isinstance(typed, Draft):
        tried(lambda: parse.to_request(typed, said, requester=whoami(parse.NAME)))


@fuzz
@given(phrases("/ray", "a red fox", "--ar 16:9", "quit", "> 3", "admin", "report", JOB, "--start"))
def test_a_typed_line_is_understood_or_refused(text: str) -> None:
    _ask(parse.Said(text=text, images=(IMAGE,), reply_to=None, nonce=NONCE))


# ---- addresses ---------------------------------------------------------------------------------

MARK = to_mark(Spot(at=datetime(2026, 11, 27, tzinfo=UTC), job_id=JobId(JOB)))
marks = st.one_of(
    texts,
    phrases(MARK, ".", "-", "9" * 20, "٣", "1_0", JOB).map(lambda text: text.replace(" ", "")),
)


@fuzz
@example("9" * 19)
@example("-" + "9" * 18)
@example("." + JOB)
@given(marks)
def test_a_mark_in_an_address_is_a_spot_or_is_refused(text: str) -> None:
    spot = tried(lambda: read_mark(text))
    if spot is not None:
        assert spot.at.tzinfo is UTC
        assert len(spot.job_id) <= 20
        assert read_mark(to_mark(spot)) == spot


@fuzz
@given(st.datetimes(timezones=st.just(UTC)))
def test_a_spot_is_found_again(at: datetime) -> None:
    """The newest and the oldest that a database holds lie inside."""
    spot = Spot(at=at, job_id=JobId(JOB))
    if abs(at - datetime(2025, 1, 1, tzinfo=UTC)) < timedelta(days=365 * 1000):
        assert read_mark(to_mark(spot)) == spot


@fuzz
@given(texts, st.dictionaries(st.one_of(st.sampled_from(("who", "what", "place")), texts), texts))
def test_what_is_asked_of_a_page_is_read(text: str, query: dict[str, str]) -> None:
    with bounded():
        assert 1 <= page_in(text) < 10_000
        assert days_of(text) in (DAYS, *CHOICES)
        to_search(query)
        tried(lambda: parse.to_job_id(text))
        tried(lambda: parse.to_nonce(text))


# ---- cookies and headers -----------------------------------------------------------------------

SEALED = seal(FlashMessage(sentence="It is cancelled.", times=[datetime.now(UTC)]), KEY)
sealed = st.one_of(
    texts,
    st.tuples(st.sampled_from((SEALED, SEALED.partition(".")[0], "e30")), texts).map("".join),
    st.integers(0, len(SEALED) - 1).map(lambda at: SEALED[:at] + "A" + SEALED[at + 1 :]),
)


@fuzz
@example(".")
@example("é.é")
@given(sealed)
def test_what_was_not_sealed_here_says_nothing(text: str) -> None:
    with bounded():
        told = unseal(text, KEY)
        assert told is None or text == SEALED
        assert unseal(text, "another" * 6) is None


@fuzz
@given(texts, st.lists(st.datetimes(timezones=st.just(UTC)), max_size=3), st.booleans())
def test_what_was_sealed_is_told(sentence: str, times: list[datetime], is_refusal: bool) -> None:
    said = FlashMessage(sentence=sentence, times=times, is_refusal=is_refusal)
    with bounded():
        told = unseal(seal(said, KEY), KEY)
        assert told is not None
        assert (list(told.times), told.is_refusal) == (times, is_refusal)
        assert told.parts is not None


headers = st.dictionaries(
    st.sampled_from(("host", "origin", "cookie", "sec-fetch-site", "referer", "via")),
    st.one_of(
        texts,
        phrases(
            "localhost", "127.0.0.1:8080", "[::1]", "http://", ":", f"{SITTING}=x;", SAID, "="
        ),
    ),
)


@fuzz
@example({"host": "[", "origin": "http://["})
@example({"host": "localhost:99999999", "cookie": f"{SITTING}={SITTING}={SITTING}; ;="})
@given(headers)
def test_a_browser_is_on_a_page_of_ours_or_is_not(given: dict[str, str]) -> None:
    call = WebCall(method="GET", path="/desk", query={}, headers=given, body=b"")
    for site in (
        Site(address="http://127.0.0.1:8080", is_public=False),
        Site(address="https://ray.example", is_public=True),
    ):
        with bounded():
            assert site.lets(call) in (True, False)
            assert site.is_own_page(call) in (True, False)
            assert isinstance(site.session_of(call), str)
            assert unseal(site.said_to(call), KEY) is None


# ---- files -------------------------------------------------------------------------------------


@fuzz
@given(st.one_of(st.binary(max_size=40), st.sampled_from([magic for _, magic, _ in parse._MAGIC])))
def test_a_file_is_an_image_or_is_refused(content: bytes) -> None:
    with bounded():
        kind = parse.image_type(content)
        assert parse.file_type(content)
    if kind is None:
        with pytest.raises(FrameRejected):
            parse.check_image(content)
