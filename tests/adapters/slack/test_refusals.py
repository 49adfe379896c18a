"""Each of Slack's refusals has its outcome, and edits have their pace. Nothing is sent."""

from __future__ import annotations

from typing import Any, cast

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from adapters.slack import refusals
from adapters.slack.pace import MINUTE, MOST, MOST_RUNNING, Pace
from adapters.slack.refusals import Refused, is_certain, read_refusal, to_error
from bot.errors import DeliveryError, DeliveryUnavailable, ThreadGone
from tests.fakes import MovableClock


def to_api_error(response: Any) -> SlackApiError:
    made: SlackApiError = cast("Any", SlackApiError)("refused", response)
    return made


def answer(
    code: str = "", *, status: int = 200, headers: dict[str, str] | None = None, **more: str
) -> SlackApiError:
    data: dict[str, object] = {"ok": False, **({"error": code} if code else {}), **more}
    response = AsyncSlackResponse(
        client=None,
        http_verb="POST",
        api_url="https://slack.invalid/api/chat.postMessage",
        req_args={},
        data=data,
        headers=headers or {},
        status_code=status,
    )
    return to_api_error(response)


def told(error: SlackApiError, *, is_clip: bool = False) -> DeliveryError:
    return to_error(read_refusal(error), is_clip=is_clip)


# ---- what each means ---------------------------------------------------------------------------


@pytest.mark.parametrize("code", sorted(refusals.GONE))
def test_a_place_that_takes_nothing_is_gone_and_a_sentence_says_why(code: str) -> None:
    error = told(answer(code), is_clip=True)
    assert type(error) is ThreadGone
    assert error.sentence.endswith(".")
    assert code not in error.sentence


@pytest.mark.parametrize("code", sorted(refusals.ENDED))
def test_a_token_that_ended_is_final(code: str) -> None:
    assert told(answer(code)).sentence == refusals.REMOVED


@pytest.mark.parametrize(
    "code",
    sorted(refusals.NOT_LET_IN | refusals.RATE_LIMITED | refusals.MOVING | refusals.IN_DOUBT),
)
@pytest.mark.parametrize("is_clip", [True, False])
def test_what_may_pass_is_tried_again(code: str, is_clip: bool) -> None:
    assert isinstance(told(answer(code), is_clip=is_clip), DeliveryUnavailable)


@pytest.mark.parametrize("code", sorted({*refusals.FAULTS_OF_OURS, "new_to_us"}))
def test_a_form_that_is_refused_ends_a_status_message_and_never_a_clip(code: str) -> None:
    assert type(told(answer(code))) is ThreadGone
    assert isinstance(told(answer(code), is_clip=True), DeliveryUnavailable)


@pytest.mark.parametrize("code", sorted(refusals.TOO_LARGE))
def test_a_file_that_is_too_large_says_so(code: str) -> None:
    assert "larger" in told(answer(code)).sentence


@pytest.mark.parametrize("code", ["not_in_channel", "channel_not_found"])
def test_who_is_not_in_a_channel_says_how_to_get_there(code: str) -> None:
    assert "/invite @ray" in told(answer(code)).sentence


def test_the_missing_permission_is_named() -> None:
    error = told(answer("missing_scope", needed="files:write", provided="chat:write"))
    assert type(error) is ThreadGone
    assert "files:write" in error.sentence
    assert "install it again" in error.sentence
    unnamed = told(answer("missing_scope")).sentence
    assert unnamed.startswith("Raybot lacks a permission in that workspace. Its operator")


def test_the_sets_do_not_contradict_each_other() -> None:
    sets = [
        refusals.GONE.keys(),
        refusals.ENDED,
        refusals.NOT_LET_IN,
        refusals.RATE_LIMITED,
        refusals.MOVING,
        refusals.IN_DOUBT,
        refusals.FAULTS_OF_OURS,
        refusals.TOO_LARGE,
        {refusals.MISSING_SCOPE},
    ]
    every = [code for each in sets for code in each]
    assert len(every) == len(set(every))
    assert refusals.GONE.keys() >= refusals.ALREADY_GONE | refusals.UNCHANGEABLE


# ---- pauses and doubts -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (answer("ratelimited", status=429, headers={"Retry-After": "37"}), 37.0),
        (answer(status=429, headers={"Retry-After": "7"}), 7.0),
        (answer("rate_limited"), refusals.PAUSE_SECONDS),
        (answer("ratelimited", status=429, headers={"Retry-After": "soon"}), 10.0),
        (answer(status=429, headers={"Retry-After": "86400"}), refusals.LONGEST_PAUSE_SECONDS),
        (answer(status=429, headers={"Retry-After": "9" * 400}), refusals.LONGEST_PAUSE_SECONDS),
    ],
)
def test_a_pause_is_as_long_as_slack_says_and_an_hour_at_most(
    error: SlackApiError, seconds: float
) -> None:
    said = told(error)
    assert isinstance(said, DeliveryUnavailable)
    assert said.retry_after == seconds


def caused_by(cause: Exception | None) -> DeliveryError:
    error = DeliveryUnavailable()
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "is_sure"),
    [
        (answer("not_in_channel"), True),
        (answer("ratelimited", status=429), True),
        (answer("invalid_blocks"), True),
        (None, True),
        (aiohttp.ClientConnectorError(cast("Any", None), OSError()), True),
        (answer("internal_error"), False),
        (answer("fatal_error"), False),
        (answer(status=503), False),
        (answer(status=404), False),
        (aiohttp.ServerDisconnectedError(), False),
        (TimeoutError(), False),
    ],
)
def test_only_slacks_own_word_or_no_connection_is_certain(
    cause: Exception | None, is_sure: bool
) -> None:
    assert is_certain(caused_by(cause)) is is_sure


def test_an_answer_that_is_none_of_slacks_has_no_code() -> None:
    error = answer(status=502)
    error.response.data = "Bad Gateway"
    assert read_refusal(error) == Refused(code="", status=502)
    error = to_api_error({})
    assert read_refusal(error) == Refused(code="", status=0)
    assert isinstance(told(error), DeliveryUnavailable)


# ---- edits -------------------------------------------------------------------------------------


def fill(pace: Pace, count: int, *, is_last: bool = False) -> None:
    for _ in range(count):
        pace.take("T1", is_last=is_last)


def test_running_jobs_leave_room_for_last_words() -> None:
    pace = Pace(MovableClock())
    fill(pace, MOST_RUNNING)
    with pytest.raises(DeliveryUnavailable) as caught:
        pace.take("T1", is_last=False)
    assert caught.value.retry_after == pytest.approx(MINUTE, abs=6)
    fill(pace, MOST - MOST_RUNNING, is_last=True)
    with pytest.raises(DeliveryUnavailable):
        pace.take("T1", is_last=True)


def test_there_is_room_again_when_the_pause_is_over() -> None:
    clock = MovableClock()
    pace = Pace(clock)
    fill(pace, 10)
    clock.move(seconds=20)
    fill(pace, MOST_RUNNING - 10)
    with pytest.raises(DeliveryUnavailable) as caught:
        pace.take("T1", is_last=False)
    assert caught.value.retry_after == pytest.approx(40, abs=6)
    clock.move(seconds=caught.value.retry_after or 0)
    fill(pace, 10)
    with pytest.raises(DeliveryUnavailable):
        pace.take("T1", is_last=False)


def test_a_running_job_waits_until_there_is_room_for_it() -> None:
    clock = MovableClock()
    pace = Pace(clock)
    fill(pace, 10)
    clock.move(seconds=20)
    fill(pace, 30)
    clock.move(seconds=10)
    fill(pace, 10, is_last=True)
    with pytest.raises(DeliveryUnavailable) as caught:
        pace.take("T1", is_last=False)
    # What was edited first makes room for the last words only.
    assert caught.value.retry_after == pytest.approx(50, abs=6)


def test_each_workspace_has_its_own_pace() -> None:
    pace = Pace(MovableClock())
    fill(pace, MOST, is_last=True)
    pace.take("T2", is_last=False)


def test_a_pause_that_slack_asked_for_holds_for_last_words_too() -> None:
    clock = MovableClock()
    pace = Pace(clock)
    pace.rest("T1", 30)
    with pytest.raises(DeliveryUnavailable) as caught:
        pace.take("T1", is_last=True)
    assert caught.value.retry_after == pytest.approx(30, abs=6)
    clock.move(seconds=31)
    pace.take("T1", is_last=True)
