"""What is nearly an act is refused, and prompts that look like one are not."""

from __future__ import annotations

import pytest

from adapters import own_place
from adapters.command_text import Draft, format_draft, parse
from adapters.slack import admin
from bot.errors import InvalidRequest

READERS = (admin.read_admin, own_place.read_admin)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("admin pasue", "There is no `admin pasue`. Did you mean `admin pause`?"),
        ("Admin pasue back at noon, we are moving", "Did you mean `admin pause`?"),
        ("admin unpause", "Did you mean `admin resume`?"),
        ("admin stats", "Did you mean `admin usage`?"),
        ("admin settings", "Did you mean `admin defaults`?"),
        ("admin blokc @ben", "Did you mean `admin block`?"),
        ("admin fox", "There is no `admin fox`. `admin help` lists"),
    ],
)
def test_an_admins_typo_is_refused(read: object, text: str, words: str) -> None:
    assert callable(read)
    with pytest.raises(InvalidRequest) as caught:
        read(text)
    assert words in caught.value.sentence
    assert "\n" not in caught.value.sentence


@pytest.mark.parametrize("read", READERS)
def test_an_admins_acts_are_read_as_they_were_typed(read: object) -> None:
    assert callable(read)
    assert read("admin") == ""
    assert read(" ADMIN pause  Back\nat noon. ") == "pause  Back\nat noon."
    assert read("admin help") == read("admin help me") == "help"


@pytest.mark.parametrize(
    "prompt",
    [
        "admin in a server room, neon light",
        "admin in snow",
        "admin help desk of glass in the jungle",
        "administer the oath",
        "an admin audit",
        '"admin pause"',
    ],
)
def test_an_admin_can_be_in_a_clip(prompt: str) -> None:
    assert [read(prompt) for read in READERS] == [None, None]
    assert parse(prompt) == Draft(prompt=prompt.strip('"'))


@pytest.mark.parametrize("text", ["admin", "admin pause", "admin limits of this place"])
def test_an_act_that_was_said_in_a_mention_is_no_prompt(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is no mention, but a command"):
        parse(text)
    assert parse(format_draft(Draft(prompt=text))) == Draft(prompt=text)
