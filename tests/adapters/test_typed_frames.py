"""The images that words name, beside those that a message shows."""

from __future__ import annotations

import pytest

from adapters.command_text import Draft
from adapters.typed_frames import with_typed
from bot.errors import InvalidRequest
from bot.refs import JobId
from bot.request import ClipFrame, LinkFrame

LINK = LinkFrame(url="https://images.example/fox.png")
CLIP = ClipFrame(job_id=JobId("r-00000abcde"))


def test_what_is_typed_stands_beside_what_is_shown() -> None:
    assert with_typed(Draft(), LINK, None) == (LINK, None)
    assert with_typed(Draft(end=CLIP.job_id), LINK, None) == (LINK, CLIP)
    assert with_typed(Draft(start=f"<{LINK.url}>"), None, None) == (LINK, None)


@pytest.mark.parametrize(
    ("draft", "field", "says"),
    [
        (Draft(start=CLIP.job_id), "start_frame", "an image already"),
        (Draft(end="fox.png"), "end_frame", "begins with https://"),
    ],
)
def test_two_of_a_kind_and_other_words_are_refused(draft: Draft, field: str, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as refused:
        with_typed(draft, LINK, None)
    assert refused.value.field == field
