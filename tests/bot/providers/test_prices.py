"""A price that the operator enters counts, or is refused by its name: budgets rest on it."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import pytest

import bot.providers
from bot.config import to_config
from bot.errors import ConfigError
from tests.fakes import MovableClock

NAMES = [module.name for module in pkgutil.iter_modules(bot.providers.__path__)]


def make(name: str, **prices: float) -> Any:
    module = importlib.import_module(f"bot.providers.{name}")
    table = module.Settings.model_validate({"prices": prices})
    return module.create(table, clock=MovableClock())


@pytest.mark.parametrize("name", NAMES)
def test_every_price_that_can_be_entered_counts(name: str) -> None:
    known = importlib.import_module(f"bot.providers.{name}").Settings().priced()
    assert known
    built_in = make(name).tariffs
    assert [each for each in known if make(name, **{each: 7.77}).tariffs == built_in] == []


@pytest.mark.parametrize(
    ("name", "typed", "says"),
    [
        ("luma", "ray-flash2", "Did you mean 'ray-flash-2'?"),
        ("luma", "ray-2/upscaled", "Did you mean 'ray-2/upscale'?"),
        ("luma", "photon", "Did you mean 'photon-1'?"),
        ("fal", "ray-flash2", "Did you mean 'ray-flash-2'?"),
        ("replicate", "ray-2-1080p", "Did you mean 'ray-2-720p'?"),
        ("comfy_router", "ray2", "Did you mean 'ray-2'?"),
        ("comfyui", "kling", "It can have ray-flash-2, ray-2."),
        ("luma_agents", "ray-3.2/modifies", "Did you mean 'ray-3.2/modify'?"),
        ("luma_agents", "uni-2", "Did you mean 'uni-1'?"),
        ("mindstudio", "ray-flash2", "Did you mean 'ray-flash-2'?"),
        ("intersect", "720p 9s", "Did you mean '720p 5s'?"),
    ],
)
def test_a_price_under_a_name_that_holds_for_nothing_is_refused(
    name: str, typed: str, says: str
) -> None:
    settings = importlib.import_module(f"bot.providers.{name}").Settings
    config = to_config({"providers": {name: {"prices": {typed: 0.0044}}}})
    with pytest.raises(ConfigError) as refused:
        config.load_table(settings, f"providers.{name}")
    assert refused.value.sentence == f"[providers.{name}] prices has no key {typed!r}. {says}"


def test_a_model_of_another_name_has_its_price_under_that() -> None:
    settings = importlib.import_module("bot.providers.intersect").Settings
    table = {"model": "our-canvas", "durations": ["9s"], "prices": {"our-canvas": 0.3}}
    config = to_config({"providers": {"intersect": table}})
    loaded = config.load_table(settings, "providers.intersect")
    assert loaded.priced() == ("our-canvas", "720p 9s")
    config = to_config({"providers": {"intersect": {**table, "prices": {"ray-flash-2": 0.3}}}})
    with pytest.raises(ConfigError, match="It can have our-canvas, 720p 9s"):
        config.load_table(settings, "providers.intersect")
