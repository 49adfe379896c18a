"""Slack out of order for ten minutes, just as somebody has agreed to have the bot.

They read a page to begin again from, and no workspace is half there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from unittest.mock import patch

from slack_sdk.signature import Clock

from adapters.slack.clients import API_SECONDS
from adapters.slack.listener import Slack
from adapters.slack.manifest import INSTALL_PATH
from bot.refs import JobId
from tests.adapters.slack.conftest import Community
from tests.adapters.slack.test_installs import Visit, to_open
from tests.faults.chats import Scene, to_row
from tests.faults.slack import ALLOWED as OF_SLACK
from tests.faults.slack import WAYS, asked, house, to_scene
from tests.slack_server import Message

#: Whoever is called has nothing that could fall silent.
ALLOWED = replace(OF_SLACK, is_named=False)


@asynccontextmanager
async def scene(way: str, folder: Path, *, scheme: str, host: str) -> AsyncIterator[Scene]:
    """A bot that the second workspace installs again where that failed at first."""
    async with (
        house(folder, scheme=scheme, host=host) as (local_slack, reach),
        to_open(local_slack)() as installable,
    ):
        first = installable.community
        second = replace(
            first, team=installable.wolves, general=installable.den, ana=installable.cleo
        )
        own, homes, visits = to_scene(first, reach), [first, second], list[Visit]()

        def wait(seconds: float | None) -> None:
            own.wait(seconds)
            _client(first).timeout = seconds or API_SECONDS

        async def ask(prompt: str) -> JobId:
            home = homes.pop(0)
            await installable.install(home.team)
            job_id = await asked(home, prompt)
            visits.append(await installable.visit(second.team))
            return job_id

        async def try_() -> None:
            status, page = await visits.pop().arrive()
            kept = await first.bot.studio.vault.names("slack", "bot:")
            assert (status == HTTPStatus.OK) == (len(kept) == 2) == (way == "slow"), page
            assert way == "slow" or f'try again from <a href="{INSTALL_PATH}">' in page

        def clips() -> list[Message]:
            return first.clips() + second.clips()

        # The SDK asks the system how old a call is.
        with patch.object(Clock, "now", lambda _: first.bot.clock.now().timestamp()):
            yield replace(own, clips=clips, ask=ask, try_=try_, wait=wait)


def _client(community: Community) -> Any:
    """By which a code is changed into a token."""
    adapter = community.bot.app._adapters["slack"]
    assert isinstance(adapter, Slack)
    assert adapter._session._oauth is not None
    return adapter._session._oauth.client


ROWS = tuple(
    to_row("Slack's installation", partial(scene, each.name), each, ALLOWED) for each in WAYS
)
