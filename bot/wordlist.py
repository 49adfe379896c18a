"""Lists of words and patterns that may not be asked for, and what a text is compared as. Pure.

Every search runs on pydantic's Rust engine, which never goes back: its time grows with the text
and not with the pattern's tricks, so that no pattern can hang the bot.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from time import perf_counter

from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

MAX_ENTRIES, WORD_CHARS, PATTERN_CHARS = 500, 60, 300
#: The longest prompt that is ever compared, and how long a pattern may take for it.
PROBE_CHARS, PROBE_SECONDS = 5000, 0.1
#: Words in one search: a limit of the engine is the size of what it compiles.
AT_ONCE = 100
#: Letters that look like Latin ones (Unicode's confusables), and those that only lost a stroke.
LOOK_ALIKE = str.maketrans(
    {
        **dict(zip("авекмнорстухіјѕԁԛԝһӏѵьг", "abekmhopctyxijsdqwhlvbr", strict=True)),
        **dict(zip("αβγεζηικνορτυχω", "abyezniknoptuxw", strict=True)),
        **dict(zip("øłđħŧıɡɑɩʟɴʀƅƿ", "oldhtigaiinrbp", strict=True)),
        **dict(zip("ᴀʙᴄᴅᴇɢʜᴊᴋᴍᴏᴘꜱᴛᴜᴠᴡʏᴢ", "abcdeghjkmopstuvwyz", strict=True)),
        "æ": "ae",
        "œ": "oe",
        "ϲ": "c",
        "ϳ": "j",
        "ʟ": "l",
        **{chr(0x1F150 + at): chr(97 + at) for at in range(26)},
        **{chr(0x1F170 + at): chr(97 + at) for at in range(26)},
        **{chr(0x1F1E6 + at): chr(97 + at) for at in range(26)},
    }
)
#: What is typed in a letter's place; `1` stands for two of them.
LEET = {"a": "4@", "b": "8", "e": "3", "g": "9", "i": "1!|", "l": "1|", "o": "0", "s": "5$"}
LEET |= {"t": "7", "z": "2"}
_SIGNS = "!$@|"
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u17b4\u17b5")
#: A number that stands alone is no word.
_NUMBER = re.compile(rf"((?:^|[ .])[{_SIGNS}]*)\d{{2,}}(?=[{_SIGNS}]*(?:$|[ .]))")
_EDGE, _INNER = rf"[ .{_SIGNS}]", rf"[.{_SIGNS}]{{0,2}}"
_SPACED = rf"[ .{_SIGNS}]{{1,3}}"


def normalise(text: str) -> str:
    """A text without case, accents, invisible and bidi characters, and styles of letters."""
    if text.isascii() and text.isprintable():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text).casefold()
    kept = (
        letter
        for letter in unicodedata.normalize("NFKD", plain)
        if letter.isspace()
        or (
            (unicodedata.category(letter) not in {"Mn", "Me", "Cf", "Cc", "Cs"})
            and letter not in _BLANK
        )
    )
    return "".join(kept)


def fold(text: str) -> str:
    """Normalise, with letters of other scripts as the Latin ones that they look like."""
    return normalise(text).translate(LOOK_ALIKE)


def check_word(word: str) -> str:
    """A word or phrase as it is kept; raises `ValueError`."""
    word = " ".join(word.split())
    if not any(letter.isalnum() for letter in fold(word)) or len(word) > WORD_CHARS:
        raise ValueError(f"a blocked word has 1 to {WORD_CHARS} characters, one of them a letter")
    return word


def check_pattern(pattern: str) -> str:
    """A pattern as it is kept; raises `ValueError` where it is none, or takes too long."""
    if not 0 < len(pattern) <= PATTERN_CHARS:
        raise ValueError(f"a blocked pattern has 1 to {PATTERN_CHARS} characters")
    try:
        search = _compile(pattern)
    except SchemaError:
        raise ValueError(
            f"the pattern {pattern!r} cannot be used; look-around, back-references and very large "
            "repeats are not understood"
        ) from None
    if search(""):
        raise ValueError(f"the pattern {pattern!r} fits every text")
    for size in (PROBE_CHARS // 20, PROBE_CHARS):
        began = perf_counter()
        for letter in ("a", "a ", "1"):
            search((letter * size)[:size] + "\x00")
        if perf_counter() - began > PROBE_SECONDS:
            raise ValueError(f"the pattern {pattern!r} takes too long; repeat less in it")
    return pattern


@dataclass(frozen=True)
class _Search:
    """Whether a text holds a match."""

    validator: SchemaValidator

    def __call__(self, text: str) -> bool:
        try:
            self.validator.validate_python(text)
        except ValidationError:
            return False
        return True


@lru_cache(maxsize=1000)
def _compile(pattern: str) -> _Search:
    schema = core_schema.str_schema(pattern=f"(?i){pattern}", regex_engine="rust-regex")
    return _Search(SchemaValidator(schema))


@dataclass(frozen=True, kw_only=True)
class Blocklist:
    """Words that match as whole words however they are disguised, and patterns as they are."""

    words: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()

    def blocks(self, text: str) -> bool:
        """Whether a text holds something of it."""
        if not self.words and not self.patterns:
            return False
        folded = fold(text)
        if self.words:
            line = _NUMBER.sub(r"\1#", "".join(_to_ascii_edges(folded)))
            if any(search(line) for search in self._searches):
                return True
        views = (normalise(text), folded, folded.translate(_READ_LEET))
        return any(_compile(each)(view) for each in self.patterns for view in views)

    @cached_property
    def _searches(self) -> tuple[_Search, ...]:
        forms = [_to_form(word) for word in self.words]
        parts = (forms[at : at + AT_ONCE] for at in range(0, len(forms), AT_ONCE))
        return tuple(_compile("|".join(part)) for part in parts)


_READ_LEET = str.maketrans({sign: letter for letter, signs in LEET.items() for sign in signs})


def _to_ascii_edges(folded: str) -> Iterator[str]:
    """All that parts words as a space or a point, so that a search has few letters to know."""
    for letter in folded:
        if letter.isalnum() or letter in _SIGNS:
            yield letter
        else:
            yield " " if letter.isspace() else "."


def _to_form(word: str) -> str:
    """What a word looks like in such a line: in one piece, or every letter for itself."""
    parts = [_letters(part) for part in fold(word).split()]
    whole = _EDGE + "+"
    joined = whole.join(_INNER.join(part) for part in parts if part)
    every = [letter for part in parts for letter in part]
    forms = f"(?:{joined}|{_SPACED.join(every)})"
    if any(unicodedata.east_asian_width(letter) in "WF" for letter in fold(word)):
        return forms  # Such scripts part no words.
    return f"(?:^|{_EDGE}){forms}(?:$|{_EDGE})"


def _letters(part: str) -> list[str]:
    kept = [letter for letter in part if letter.isalnum() or letter in _SIGNS]
    return [
        f"[{letter}{LEET[letter]}]" if letter in LEET else re.escape(letter) for letter in kept
    ]
