"""What a start asks of whoever shares a database among several processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.config import to_config
from bot.errors import ConfigError
from bot.wiring.startup import check_shared

SERVER = "postgresql+psycopg://raybot@db.example.org/raybot"


def test_the_key_that_was_made_on_one_machine_is_kept_for_several(tmp_path: Path) -> None:
    bot = {"data_dir": str(tmp_path), "database_url": SERVER, "media_url": "s3://clips"}
    with pytest.raises(ConfigError, match="RAYBOT_BOT__SECRET_KEY to a long random text"):
        check_shared(to_config({"bot": bot}))
    (tmp_path / "secret.key").write_text("what-was-sealed-with-it-needs-it", "utf-8")
    with pytest.raises(ConfigError, match=rf"to what {tmp_path}/secret\.key holds\.$"):
        check_shared(to_config({"bot": bot}))
