"""Blocked words and patterns: no disguise helps, and no harmless word is hit."""

from __future__ import annotations

import contextlib
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.wordlist import MAX_ENTRIES, Blocklist, check_pattern, check_word

LIST = Blocklist(words=("kill", "cunt", "ass", "red fox", "убить", "殺す", "shit", "nazi"))
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u202e\u2066\u115f\ufe0f"
MARKS = "\u0301\u0308\u0336\u0489"
ALIKE = {"k": "kKкКκ𝓴ｋⓚ🅺", "i": "iIіιí1!|ıｉ𝒊", "l": "lL1|ⅼｌł𝗹"}


@pytest.mark.parametrize(
    "text",
    [
        *(
            "Kill",
            "please KILL!",
            "kíll",
            "k1ll",
            "k!ll",
            "k!11",
            "kіll",
            "кιll",
            "ｋｉｌｌ",
            "𝓴𝓲𝓵𝓵",
            "🅺🅸🅻🅻",
        ),
        *("🅺🅸🅻🅻", "k i l l a fox", "k.i.l.l", "k-i-l-l", "k  i  l  l", "ki-ll", "ki_ll", "(kill)"),
        *(
            "a$$",
            "$h!t",
            "red  FOX",
            "r3d-fox",
            "Red\nFox",
            "УБИТЬ",
            "私は殺すよ",
            "a n4z1 flag",
            "k|ll",
        ),
    ],
)
def test_disguised_words_are_found(text: str) -> None:
    assert LIST.blocks(text)


@pytest.mark.parametrize(
    "text",
    [
        *("Scunthorpe", "skill", "killer whale", "classic glass", "grass assassin", "bass"),
        *("as she runs", "ki ll", "a red, then a fox", "red foxes", "shitake", "i ll be", ""),
        *("Nazis", "ashen", "a 455 m tower", "naziism", "klll"),
    ],
)
def test_harmless_words_are_left_alone(text: str) -> None:
    assert not LIST.blocks(text)


@given(
    st.tuples(*(st.sampled_from(ALIKE[letter]) for letter in "kill")),
    st.lists(st.text(alphabet=INVISIBLE + MARKS, max_size=3), min_size=4, max_size=4),
    st.sampled_from(["", " ", ".", "-", " . "]),
)
def test_case_accents_look_alikes_and_invisible_letters_hide_nothing(
    letters: tuple[str, ...], noise: list[str], between: str
) -> None:
    hidden = between.join(letter + more for letter, more in zip(letters, noise, strict=True))
    assert LIST.blocks(f"a fox, {hidden} it")


def test_patterns_see_the_text_as_it_is_meant() -> None:
    found = Blocklist(patterns=(r"\bgun(s|man)?\b", r"\d{3}-\d{4}"))
    assert found.blocks("two GUNS")
    assert found.blocks("a gυnman")
    assert found.blocks("call 555-1234")
    assert not found.blocks("a gunner with 55-12")


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("fox(", "cannot be used"),
        (r"(?=fox)f", "cannot be used"),
        (r"(a)\1", "cannot be used"),
        ("(?:a{1,1000}){1,1000}", "cannot be used"),
        ("(.{1,200}){1,40}x", "takes too long"),
        (".*", "fits every text"),
        ("", "1 to 300"),
    ],
)
def test_patterns_that_cannot_be_trusted_are_refused(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_pattern(pattern)


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|aa)+$", r"(.*a){20}$", r"^(\w+\s?)*$"])
def test_no_pattern_hangs(pattern: str) -> None:
    """What hangs an engine that goes back is refused, or answered at once."""
    began = perf_counter()
    with contextlib.suppress(ValueError):
        Blocklist(patterns=(check_pattern(pattern),)).blocks("a" * 5000 + "!")
    assert perf_counter() - began < 2


def test_a_full_list_is_quick() -> None:
    full = Blocklist(words=tuple(f"blocked{at:x}word" for at in range(MAX_ENTRIES)))
    full.blocks("compiles it")
    began = perf_counter()
    assert not full.blocks("a red fox in snow " * 280)
    assert perf_counter() - began < 1


def test_a_word_needs_a_letter() -> None:
    assert check_word("  red   fox ") == "red fox"
    for word in ("", " - ", "x" * 61):
        with pytest.raises(ValueError, match="a blocked word"):
            check_word(word)
