"""Images are read from Slack's own hosts alone, and whatever is no image is told in words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapters.slack import images
from adapters.slack.addresses import to_attachment
from bot.errors import FrameRejected
from tests.adapters.slack.harness import DeliveryHarness, opened

INFO, GET = "files.info", "download"
CONTENT = bytes(range(256)) * 1000


@dataclass
class Sent:
    """A picture that somebody sent, and how it is read."""

    harness: DeliveryHarness
    id: str

    async def read(self) -> bytes:
        file = to_attachment(self.harness.team.id, self.id, filename="fox.png", size=None)
        source = self.harness.delivery.read(file)

        async def collect() -> bytes:
            return b"".join([chunk async for chunk in source])

        return await self.harness.hurry(collect())

    async def refused(self) -> str:
        with pytest.raises(FrameRejected) as caught:
            await self.read()
        return caught.value.sentence

    def tell(self, times: int = 1, **more: Any) -> None:
        """What Slack says of it when it is asked next."""
        told = {
            "id": self.id,
            "mimetype": "image/png",
            "mode": "hosted",
            "url_private": self.harness.link_to(self.id),
        }
        for _ in range(times):
            self.harness.answer(INFO, {"ok": True, "file": {**told, **more}})


@pytest.fixture
async def sent(tmp_path: Path) -> AsyncIterator[Sent]:
    async with opened(tmp_path) as harness:
        yield Sent(harness, await harness.send(CONTENT))


async def test_an_image_is_read_with_our_token(sent: Sent) -> None:
    assert await sent.read() == CONTENT
    assert [each.token for each in sent.harness.calls(GET)] == [sent.harness.team.bot_token]


async def test_what_the_phone_makes_is_passed_on(sent: Sent) -> None:
    sent.tell(mimetype="image/heic")
    assert await sent.read() == CONTENT


async def test_the_link_for_downloads_is_taken(sent: Sent) -> None:
    url = sent.harness.link_to(sent.id)
    sent.tell(url_private="https://files.slack.com/other", url_private_download=url)
    assert await sent.read() == CONTENT


async def test_a_file_of_another_organisation_is_asked_for(sent: Sent) -> None:
    # What the event had was only a stub; `files.info` says it all.
    assert await sent.read() == CONTENT
    sent.tell(mode="file_access", file_access="check_file_info", url_private=None)
    assert await sent.refused() == images.FOREIGN
    sent.tell(file_access="access_denied")
    assert await sent.refused() == images.FOREIGN


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"is_external": True}, images.EXTERNAL),
        ({"mode": "external"}, images.EXTERNAL),
        ({"mode": "tombstone"}, images.DELETED),
        ({"mode": "hidden_by_limit"}, images.HIDDEN),
    ],
)
async def test_what_slack_does_not_have_is_said(
    sent: Sent, more: dict[str, Any], sentence: str
) -> None:
    sent.tell(**more)
    assert await sent.refused() == sentence
    assert sent.harness.calls(GET) == []


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("file_deleted", images.DELETED),
        ("file_not_found", images.NOT_SHOWN),
        ("missing_scope", images.NO_SCOPE),
        ("token_revoked", images.UNREADABLE),
        ("internal_error", images.UNREADABLE),
    ],
)
async def test_what_slack_refuses_is_said(sent: Sent, code: str, sentence: str) -> None:
    sent.harness.refuse(INFO, code)
    assert await sent.refused() == sentence


async def test_a_dropped_question_is_asked_again(sent: Sent) -> None:
    sent.harness.drop(INFO)
    assert await sent.read() == CONTENT
    assert len(sent.harness.calls(INFO)) == 2


# ---- whom our token is shown to ----------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://files.example.com/fox.png",
        "https://files.slack.com.example.com/fox.png",
        "https://files.slack.com@example.com/fox.png",
        "https://files.slack.com:8443/fox.png",
        "http://files.slack.com/fox.png",
        "http://127.0.0.1:1/fox.png",
        "http://files.slack.com:443/fox.png",
        "file:///etc/passwd",
    ],
)
async def test_no_other_host_is_asked(sent: Sent, url: str) -> None:
    sent.tell(url_private=url)
    assert await sent.refused() == images.EXTERNAL


async def test_a_redirect_is_not_followed(sent: Sent) -> None:
    sent.harness.answer(GET, "", status=302, headers={"Location": "/api/auth.test"})
    assert await sent.refused() == images.NO_SCOPE
    assert sent.harness.calls("auth.test") == []


async def test_without_its_permission_nothing_is_read(sent: Sent) -> None:
    sent.tell()
    sent.harness.team.scopes.remove("files:read")
    assert await sent.refused() == images.NO_SCOPE
    assert len(sent.harness.calls(GET)) == 1


async def test_a_page_is_no_image(sent: Sent) -> None:
    sent.harness.answer(GET, "<html>", content_type="text/html")
    assert await sent.refused() == images.NO_SCOPE


@pytest.mark.parametrize(("status", "sentence"), [(403, images.NO_SCOPE), (500, "try again")])
async def test_a_refusal_is_no_image(sent: Sent, status: int, sentence: str) -> None:
    sent.harness.answer(GET, "", status=status)
    assert sentence in await sent.refused()


# ---- files that were just sent -----------------------------------------------------------------


async def test_a_new_file_is_waited_for(sent: Sent) -> None:
    for _ in range(2):
        sent.harness.answer(GET, "", status=404)
    assert await sent.read() == CONTENT
    assert len(sent.harness.calls(GET)) == 3


async def test_a_file_that_is_never_looked_through_is_given_up(sent: Sent) -> None:
    sent.tell(len(images.PAUSES), mimetype="")
    assert "try again" in await sent.refused()
    assert len(sent.harness.calls(INFO)) == len(images.PAUSES)


async def test_before_it_is_connected_nothing_is_read(sent: Sent) -> None:
    await sent.harness.delivery.clients.__aexit__()
    assert "try again" in await sent.refused()
    async with sent.harness.delivery.clients:
        assert await sent.read() == CONTENT
