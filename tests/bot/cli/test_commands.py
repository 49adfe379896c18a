"""What is said beside a conversation where the simulator would stand in for a video service."""

from __future__ import annotations

import io
import os
import sys

import pytest

from bot.cli.commands import for_chat, for_playground
from bot.config import Config, to_config

KEY = {"api_key": "a-key-0123456789"}
ELSEWHERE = (
    "there is one for comfyui, luma_agents. Name it there, or set "
    "RAYBOT_DEFAULTS__PROVIDERS=comfyui,luma_agents."
)


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("RAYBOT_"):
            monkeypatch.delenv(name)


def config_with(*names: str) -> Config:
    return to_config({"providers": dict.fromkeys(names, KEY)})


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ((), "No video service has a key yet (RAYBOT_PROVIDERS__LUMA__API_KEY)."),
        (("comfyui", "luma_agents"), ELSEWHERE),
    ],
)
def test_the_simulator_is_offered_with_the_reason(
    names: tuple[str, ...],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for answer, providers in (
        ("y\n", ["simulator"]),
        ("n\n", list(to_config({}).defaults.providers)),
    ):
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        config = for_chat(config_with(*names), wants_simulator=False)
        assert list(config.defaults.providers) == providers
        asked = capsys.readouterr().out
        assert says in asked
        assert asked.count("Use the simulator instead?") == 1


def test_the_page_says_why_it_uses_the_simulator(capsys: pytest.CaptureFixture[str]) -> None:
    config = for_playground(config_with("comfyui", "luma_agents"))
    assert list(config.defaults.providers) == ["simulator"]
    assert f"{ELSEWHERE} Until then the simulator draws" in capsys.readouterr().err
    for names in ((), ("luma", "luma_agents")):
        for_playground(config_with(*names))
        assert capsys.readouterr().err == ""
