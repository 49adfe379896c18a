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


@pytest.mark.parametrize(
    ("meant", "texts"),
    [
        ("help", ("aide", "Hilfe", "ayuda!", "hepl", "help me", "/help", "?", "...", "help?")),
        ("usage", ("usages", "usge", "Usage.", "my usage", "credits")),
        ("jobs", ("my jobs", "gallery", "jbos", "job", "list jobs", "jobs 0")),
        ("settings", ("setting", "seting", "Settings!", "change settings")),
        ("cancel", ("stop", "cancle", "canceled")),
        ("show r-7k2m9q", ("r-7k2m9q", "`R-7K2M9Q`", "shwo r-7k2m9q")),
        ("delete r-7k2m9q", ("delte r-7k2m9q", "deleet R-7k2m9q")),
        ("extend r-7k2m9q", ("extnd `r-7k2m9q`",)),
    ],
)
def test_a_word_that_is_nearly_an_act_is_refused(meant: str, texts: tuple[str, ...]) -> None:
    for text in texts:
        with pytest.raises(InvalidRequest) as caught:
            parse(text)
        assert f"Did you mean `{meant}`?" in caught.value.sentence, text


@pytest.mark.parametrize(
    "text",
    ["cancel 5", "show r-000", "show r-", "Retry #3", "cancel it", "delete all!", "upscale 4k"],
)
def test_a_verb_with_what_is_no_id_is_refused(text: str) -> None:
    verb = text.lower().split()[0]
    with pytest.raises(InvalidRequest, match=f"{verb} needs a job's id"):
        parse(text)


def test_what_nobody_can_do_with_a_job_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"There is no star\. `help` lists"):
        parse("star r-7k2m9q")


@pytest.mark.parametrize(
    "text",
    [
        *("hello!", "Hi", "hey ray", "thanks!", "Thank you!", "thanks so", "merci", "Danke", "ok"),
        *("good morning", "great job!", "wow", "谢谢", "👍", "+1", "¡Hola!"),
    ],
)
def test_what_is_said_to_somebody_is_no_clip(text: str) -> None:
    with pytest.raises(InvalidRequest, match="That is no clip yet"):
        parse(text)


@pytest.mark.parametrize(
    "prompt",
    [
        *("fox", "usagi", "showers", "river", "snow", "sausage", "kelp", "helmet", "forge"),
        *("finale", "canal", "retro", "shelter", "jazz", "very", "sitting", "🦊", "狐", "1984"),
        *("zoom", "pan", "orbit", "dance", "fly", "move it", "loop it", "slow zoom", "zoom in"),
        *("hello world", "thanks giving", "nice fox", "my cat", "show time", "cancel culture"),
        *("jobs fox", "extend upwards", "the river", "r-rated fox", "good fox", "stop motion"),
        *("hello to the fox", "cancel 5 of them", "thanks for the fish", "list my jobs now"),
        *("help the fox cross", "star of r-7k2m9q", "a?"),
    ],
)
def test_a_short_prompt_is_a_prompt(prompt: str) -> None:
    assert parse(prompt) == Draft(prompt=prompt)


@pytest.mark.parametrize("word", ["hello", "usages", "cancel 5", "?", "my jobs", "stop"])
def test_in_quotes_or_with_a_flag_it_is_meant_so(word: str) -> None:
    assert parse(f'"{word}"') == parse(format_draft(Draft(prompt=word))) == Draft(prompt=word)
    assert parse(f'"{word}" --9s') == Draft(prompt=word, duration="9s")
