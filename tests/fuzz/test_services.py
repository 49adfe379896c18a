"""What a video service answers, asked by its provider; and its time, its farewell, its pace."""

from __future__ import annotations

import importlib
from datetime import timedelta

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.dialects import predictions
from bot.errors import BotError
from bot.http import read_retry_after
from bot.ports import Absent, CannotTell, Found, Generation
from bot.providers import luma
from bot.providers.luma_agents import read_reset
from bot.service import LONGEST_DATE, LONGEST_SKEW
from tests.bot.test_service import to_service
from tests.fakes import MovableClock
from tests.fuzz import fuzz
from tests.fuzz.answering import answering, answers, outcome, says
from tests.fuzz.mutations import RECORDED, bounded, phrases, recorded
from tests.fuzz.test_answers import ANY, PROVIDERS, SENT

ROWS = (recorded("luma/completed.json")[0], recorded("replicate/succeeded.json")[0])
#: One that asks for a pause is given it, by the clock.
STATUSES = (200, 200, 200, 404, 422)
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


@pytest.mark.parametrize("name", PROVIDERS)
async def test_whatever_a_service_answers_is_an_outcome(name: str) -> None:
    module = importlib.import_module(f"bot.providers.{name}")
    face = importlib.import_module(f"bot.simulator.faces.{name}").FACE
    seeds = recorded(f"{name if (RECORDED / name).is_dir() else 'luma'}/*.json")
    async with answering() as (api, address):
        table = {"api_key": "k" * 20, "gets_per_second": 1000, **face.table, "base_url": address}
        provider = module.create(
            module.Settings.model_validate(table), clock=MovableClock(), name=name, is_test=False
        )
        try:
            for number, body in enumerate(answers(*seeds)):
                says(api, body, status=STATUSES[number % len(STATUSES)])
                begun = await outcome(provider.submit(SENT))
                assert isinstance(begun, Generation | BotError)
                found = await outcome(provider.find(SENT, ()))
                assert isinstance(found, Found | Absent | CannotTell | BotError)
                checked = await outcome(provider.check([ANY]))
                assert isinstance(checked, dict | BotError)
                for free in (provider.cancel, provider.forget):
                    assert isinstance(await outcome(free(ANY)), bool | BotError)
                assert isinstance(await outcome(provider.balance()), int | None | BotError)
        finally:
            await provider.aclose()
