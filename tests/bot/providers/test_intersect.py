"""Intersect's own rules: a prompt, and nothing to choose."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from bot import choice, pricing
from bot.config import to_config
from bot.dialects.one_answer import OneAnswer
from bot.errors import ConfigError, InvalidRequest
from bot.providers.intersect import DIALECT, Settings, create, to_model
from bot.request import VideoWork
from tests.fakes import MovableClock

KEY = "a-very-private-key-0123456789"


def make(**values: Any) -> OneAnswer[Settings]:
    given = {"api_key": SecretStr(KEY), "base_url": "https://acme.example.org", "result": "url"}
    return create(Settings.model_validate({**given, **values}), clock=MovableClock())


def test_the_paths_are_those_of_the_tenants_own_address() -> None:
    assert (DIALECT.paid_path, DIALECT.key_path) == ("canvas/create-video", "api/v1/models")


def test_it_makes_the_one_kind_of_clip_that_its_operator_tells_of() -> None:
    can = to_model(Settings(durations=("9s",), resolutions=("1080p",), aspect_ratios=("1:1",)))
    assert (can.durations, can.resolutions, can.fixed) == ((), (), ("9s", "1080p"))
    assert can.aspect_ratios == ("1:1",)


def test_a_default_moves_and_a_typed_value_is_refused() -> None:
    provider = make(prices={"ray-flash-2": 0.25})
    _, work, remarks = choice.choose(VideoWork(prompt="fox", loop=True), [provider])
    assert (work.duration, work.resolution, work.aspect_ratio) == ("5s", "720p", "16:9")
    assert not work.loop
    assert len(remarks) == 3
    with pytest.raises(InvalidRequest, match="chooses the resolution by itself"):
        choice.choose(
            VideoWork(prompt="fox", resolution="1080p", typed=frozenset({"resolution"})),
            [provider],
        )


def test_its_price_is_what_the_operator_says() -> None:
    assert choice.usable(make()) == ()
    provider = make(prices={"ray-flash-2": 0.25})
    price = pricing.estimate(
        VideoWork(prompt="fox"),
        provider.tariffs["ray-flash-2"],
        can=provider.capabilities["ray-flash-2"],
    )
    assert price == 250_000


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"result": "url"}, "base_url: give your tenant's address, such as https://acme.i"),
        ({"base_url": "https://acme.example.org"}, "result: say where the answer has the clip's"),
        ({"base_url": "acme", "result": "url"}, "base_url: "),
    ],
)
def test_what_only_the_operator_can_know_is_asked_for(values: dict[str, Any], says: str) -> None:
    config = to_config({"providers": {"intersect": {"api_key": KEY, **values}}})
    with pytest.raises(ConfigError) as refused:
        config.load_table(Settings, "providers.intersect")
    assert str(refused.value).startswith(f"[providers.intersect] {says}")
    assert KEY not in str(refused.value)


def test_without_a_key_nothing_is_asked_for() -> None:
    assert Settings().base_url is None


def test_the_key_is_hidden() -> None:
    assert KEY not in repr(Settings(api_key=SecretStr(KEY), base_url="https://x.org", result="u"))
