"""What a start says, and asks of whoever shares a database among several processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.config import to_config
from bot.errors import ConfigError
from bot.simulator import Simulator
from bot.wiring.startup import check_shared
from tests.conftest import running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter
from tests.secrecy import read_logs

SERVER = "postgresql+psycopg://raybot@db.example.org/raybot"


def test_the_key_that_was_made_on_one_machine_is_kept_for_several(tmp_path: Path) -> None:
    bot = {"data_dir": str(tmp_path), "database_url": SERVER, "media_url": "s3://clips"}
    with pytest.raises(ConfigError, match="RAYBOT_BOT__SECRET_KEY to a long random text"):
        check_shared(to_config({"bot": bot}))
    (tmp_path / "secret.key").write_text("what-was-sealed-with-it-needs-it", "utf-8")
    with pytest.raises(ConfigError, match=rf"to what {tmp_path}/secret\.key holds\.$"):
        check_shared(to_config({"bot": bot}))


async def test_a_start_says_which_limits_hold(
    tmp_path: Path, simulator: Simulator, chat: RecordingAdapter, clock: MovableClock
) -> None:
    limits = {"usd_total_per_month": 12.5, "usd_per_person_per_day": None}
    config = to_test_config(tmp_path, simulator, limits=limits)
    with read_logs("json") as said:
        async with running(config, simulator, chat, clock):
            pass
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    [told] = [line for line in lines if line["event"] == "limits.in_force"]
    assert (told["usd_total_per_month"], told["providers"]) == (12.5, ["luma"])
    assert "usd_per_person_per_day" not in told
