"""What a video service says beside its answers: its time, its farewell, how often it is asked."""

from __future__ import annotations

from datetime import timedelta

import httpx
from hypothesis import example, given
from hypothesis import strategies as st

from bot.dialects import predictions
from bot.http import read_retry_after
from bot.providers import luma
from bot.providers.luma_agents import read_reset
from bot.service import LONGEST_DATE, LONGEST_SKEW
from tests.bot.test_service import to_service
from tests.fakes import MovableClock
from tests.fuzz import fuzz
from tests.fuzz.mutations import bounded, phrases, recorded
from tests.fuzz.test_answers import SENT

ROWS = (recorded("luma/completed.json")[0], recorded("replicate/succeeded.json")[0])
#: Longer than any provider looks back from a submission.
FAR = timedelta(days=40)
dates = st.one_of(
    st.sampled_from(
        (
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "Mon, 01 Jan 0100 00:00:00 +1200",
            "Wed, 21 Oct 2026 07:28:00 -0000",
            "Wed, 21 Oct 2026 07:28:00 +9999",
            "99 Feb 2026 99:99:99 GMT",
        )
    ),
    phrases("Wed,", "21", "Oct", "2026", "9999", "100", "07:28:00", "GMT", "-0000", "+1400", "-"),
    st.text(st.characters(codec="latin-1", exclude_characters="\x00\r\n"), max_size=80),
)
headers = st.dictionaries(
    st.sampled_from(
        (
            *("date", "sunset", "deprecation", "retry-after"),
            *("x-ratelimit-reset", "ratelimit-remaining", "x-rate-limit-limit"),
        )
    ),
    dates,
)


async def test_what_a_service_says_of_its_time_can_be_counted_with() -> None:
    told: list[dict[str, str]] = []

    @fuzz
    @example({"date": "Fri, 31 Dec 9999 23:59:59 GMT"})
    @given(headers)
    def collect(head: dict[str, str]) -> None:
        told.append(head)

    collect()
    service = to_service("http://127.0.0.1:9", MovableClock())
    try:
        for head in told:
            raw = [(name.encode(), each.encode("utf-8", "replace")) for name, each in head.items()]
            reply = httpx.Response(200, headers=raw)
            with bounded():
                service._note(reply)
                assert timedelta(0) <= service.clock_skew <= LONGEST_SKEW
                assert SENT.sent_at - FAR - service.clock_skew < SENT.sent_at
                for compare, row in zip((luma.compare, predictions.compare), ROWS, strict=True):
                    compare(row, SENT, clock_skew=service.clock_skew)
                assert service.sunset is None or len(service.sunset) <= LONGEST_DATE
                assert all(len(each) <= LONGEST_DATE for each in service.rate_headers.values())
                assert (read_retry_after(reply.headers) or 0) >= 0
                assert (read_reset(reply.headers) or 0) >= 0
    finally:
        await service.aclose()
