"""What people type: commands, flags, links, patterns; in Discord's forms and in the terminal."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from adapters import admin_text, own_place, verbs, work_text
from adapters.command_text import Draft, format_draft, parse, parse_prompt, read_link, to_work
from adapters.discord import drafts
from adapters.discord import parse as discord_parse
from adapters.discord.commands import Options
from adapters.names import parse_named
from adapters.opinions import read_opinion
from adapters.slack import admin as slack_admin
from adapters.slack import parse as slack_parse
from adapters.terminal import parse as terminal_parse
from bot.text import clean
from bot.wordlist import Blocklist, check_pattern, check_word
from tests.fuzz import few, fuzz
from tests.fuzz.mutations import bounded, phrases, texts, tried

WORDS = phrases(
    *("a red fox", "show", "r-0abcd12345", "cancel", "retry", "--ar", "16:9", "--dur=5s", "—loop"),
    *(
        "--res",
        "720p",
        "--start",
        "https://a.example/f.png",
        "--model",
        "ray-2",
        "vary",
        "x4",
        "--",
    ),
    *(
        "story",
        "1.",
        "\n2. the fox runs\n",
        "settings",
        "duration",
        "9s",
        "extend",
        "join",
        "image",
    ),
    *(
        '"',
        "'",
        "\\",
        "--camera",
        "orbit_left",
        "--draft",
        "still",
        "jobs",
        "usage",
        "help",
        "> 3",
    ),
    *("admin", "limits", "words", "grant", "@ana", "5 USD", "forget me", "redo", "finish", "3"),
)

READERS: tuple[Callable[[str], object], ...] = (
    *(parse, parse_prompt, read_link, read_opinion, own_place.read_admin, slack_admin.read_admin),
    *(terminal_parse.read_line, verbs.read_verb, work_text.read_verb),
)


@fuzz
@given(WORDS)
def test_a_typed_line_is_understood_or_refused_with_a_sentence(text: str) -> None:
    for read in READERS:
        tried(lambda read=read: read(text))  # type: ignore[misc]  # One of several readers.
    tried(lambda: parse_named(f"{text} Ana", text))
    draft = tried(lambda: parse(text))
    if isinstance(draft, Draft):
        assert parse(format_draft(draft)) == draft
        tried(lambda: to_work(draft))


@fuzz
@given(WORDS, WORDS, st.sampled_from(("", "5s 720p", "x", "9s", "\ud800 \x00")))
def test_a_form_is_understood_or_refused(prompt: str, flags: str, size: str) -> None:
    tried(lambda: drafts.read_form(prompt, flags, size=size))
    tried(lambda: discord_parse.to_job_id(flags))
    tried(lambda: discord_parse.said_to(f"<@7> {prompt}", 7))
    tried(lambda: discord_parse.to_frame(None, flags, field="start_frame"))
    tried(lambda: terminal_parse.to_frame(flags, field="start_frame"))
    tried(lambda: admin_text.page_in(flags))
    tried(lambda: work_text.to_job_id(flags))
    options = Options(prompt=prompt, model=flags, camera=size)
    tried(lambda: drafts.to_draft(options))


@fuzz
@given(phrases("<@U1>", "<http://a.example|a>", "<#C1|x>", "<!here>", "&lt;", "<", ">", "|"))
def test_slacks_dress_is_taken_off_any_text(text: str) -> None:
    with bounded():
        bare = slack_parse.to_text(text, own="U1")
        assert len(bare) <= len(text) + len("somebody") * text.count("<")
        clean(text)


@few
@given(
    st.one_of(
        texts, phrases("(a+)+", ".*", "[a-z]{1,500}", "|", "(?i)", "\\b", "(", "x{9999}", "$")
    ),
    texts,
)
def test_a_pattern_is_kept_or_refused_and_never_slow(pattern: str, text: str) -> None:
    kept = tried(lambda: check_pattern(pattern), ValueError)
    word = tried(lambda: check_word(pattern), ValueError)
    blocklist = Blocklist(words=(word,) if word else (), patterns=(kept,) if kept else ())
    with bounded():
        blocklist.blocks(text * 20)
