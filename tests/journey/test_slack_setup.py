"""A newcomer's first commands for Slack, against a Slack next door: `init`, `check`, `invite`."""

from __future__ import annotations

import stat
from pathlib import Path

from tests.journey.test_commands import environment
from tests.journey.test_discord_from_the_shell import raybot
from tests.slack_portal import APP_TOKEN, BOT_TOKEN, WORKSPACE, SlackPortal

BOT, APP = "RAYBOT_ADAPTERS__SLACK__BOT_TOKEN", "RAYBOT_ADAPTERS__SLACK__APP_TOKEN"


async def test_from_two_tokens_to_a_configuration_that_holds(tmp_path: Path) -> None:
    async with SlackPortal() as portal:
        env = environment(
            **{BOT: BOT_TOKEN, APP: APP_TOKEN},
            RAYBOT_ADAPTERS__SLACK__API_BASE_URL=portal.base_url,
            SLACK_BOT_TOKEN="xoxb-of-another-tool",
        )
        init = ("init", "--provider", "simulator", "--operator", "U0ANA")
        code, out, err = await raybot(*init, cwd=tmp_path, env=env)
        assert (code, err) == (0, ""), out
        written = (tmp_path / "config.toml").read_text("utf-8")
        assert f'workspaces = ["{WORKSPACE}"]  # Foxes' in written
        assert 'slack_user = "U0ANA"' in written
        assert stat.S_IMODE((tmp_path / "config.toml").stat().st_mode) == 0o600
        assert f"ok    slack: the bot's token is good, this is @ray in Foxes ({WORKSPACE})" in out
        assert "LOOK" not in out
        assert "  /invite @ray" in out
        assert out.endswith("Next: raybot run (in a checkout: make run)\n")
        for secret in (BOT_TOKEN, APP_TOKEN):
            assert secret not in out + written

        portal.errors["apps.connections.open"] = "missing_scope"
        code, out, _ = await raybot("check", "-c", "config.toml", cwd=tmp_path, env=env)
        assert code == 1
        assert "LOOK  slack: [adapters.slack] app_token: it lacks the scope connections:wr" in out
        code, out, _ = await raybot("invite", "slack", cwd=tmp_path, env={**env, APP: ""})
        assert (code, "/invite @ray" in out) == (0, True)
