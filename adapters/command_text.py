"""The typed grammar, pure: text to a draft or a verb, and back. Knows no platform, no model."""

from __future__ import annotations

import contextlib
import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from adapters import near_words, work_text
from adapters.drafts import to_draft, to_work
from adapters.verbs import (
    OF_JOBS,
    Cancel,
    Command,
    Confirm,
    Deed,
    Delete,
    Draft,
    Follow,
    Forget,
    Help,
    Jobs,
    Retry,
    SettingsCommand,
    Show,
    Usage,
    read_verb,
)
from adapters.work_text import Finish, Redo
from bot.errors import InvalidRequest, NoSuchValue
from bot.request import ASPECT_RATIOS, DURATIONS, RESOLUTIONS, LinkFrame
from bot.text import clean

__all__ = [
    "Cancel",
    "Command",
    "Confirm",
    "Delete",
    "Draft",
    "Finish",
    "Follow",
    "Forget",
    "Help",
    "Jobs",
    "Redo",
    "Retry",
    "SettingsCommand",
    "Show",
    "Usage",
    "format_draft",
    "parse",
    "parse_prompt",
    "read_link",
    "to_draft",
    "to_work",
]

MAX_CHARS = 10_000
_FLAGS = {
    **dict.fromkeys(("aspect-ratio", "aspect", "ar"), "aspect_ratio"),
    **dict.fromkeys(("resolution", "res", "r"), "resolution"),
    **dict.fromkeys(("duration", "dur", "d"), "duration"),
    **dict.fromkeys(("model", "m"), "model"),
    **dict.fromkeys(("camera", "c"), "concepts"),
    **dict.fromkeys(("start", "s"), "start"),
    **dict.fromkeys(("end", "e"), "end"),
    **dict.fromkeys(("loop", "l", "no-loop"), "loop"),
    "private": "is_private",
    "still": "is_still",
    "draft": "is_draft",
}
#: They take no value; how each is written.
_SWITCHES = {
    "loop": "--loop or --no-loop,",
    "is_private": "--private",
    "is_still": "--still",
    "is_draft": "--draft",
}
#: Taken with one dash too: the letters, and what Pika taught people.
_ONE_DASH = frozenset({*(name for name in _FLAGS if len(name) == 1), "ar", "res", "dur", "camera"})
_CHOICES: dict[str, tuple[str, ...]] = {
    "duration": DURATIONS,
    "resolution": RESOLUTIONS,
    "aspect_ratio": ASPECT_RATIOS,
}
_SHORT = {value: name for name, values in _CHOICES.items() for value in values}
_UNITS = {"duration": "s", "resolution": "p", "aspect_ratio": ""}
_VALUE = re.compile(r"[0-9]+(?:(?P<duration>s)|(?P<resolution>[pk])|(?P<aspect_ratio>:[0-9]+))")
#: Flags of Midjourney, Pika and Stable Diffusion bots.
_FOREIGN = re.compile(
    "bs|c|cfg|chaos|cref|cw|fast|fps|gs|guidance|hd|iw|motion|neg|negative|niji|no|p|profile|q"
    "|quality|r|raw|relax|repeat|s|sampler|seed|sref|steps|stop|style|stylize|sw|tile|turbo|v"
    "|version|video|w|weird"
)
_CLOSE = re.compile(r"(?<!\\)(?:\\\\)*([\"“”])(?=\s|\Z)")
_CLOSE_VALUE = re.compile(r"(?<!\\)(?:\\\\)*([\"“”'‘’])(?=\s|\Z)")
_SPOT = re.compile(
    r"(?<!\S)(?:(?P<quote>[\"“”„])|(?P<dash>--|[—–-])(?P<name>[^\W_][^\s=]*)(?P<equals>=?))"
)
_NOT_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffd]")
#: What a sound is to be without stands last.
_WITHOUT = re.compile(r"(?:^|\s)--no\s+(.+)\Z", re.DOTALL)
_PAIR = re.compile(r"\s+(?:--)?([\w-]+)=(\"[^\"]*\"|“[^”]*”|\S*)")
_SETTINGS = re.compile(rf"settings((?:{_PAIR.pattern})*)", re.IGNORECASE)


def parse(text: str) -> Draft | Command:
    """Read what a person typed; raises `InvalidRequest` with one line that says what would do."""
    _check(text)
    text = text.strip()
    if found := _parse_verb(text) or work_text.read_verb(text) or _parse_story(text):
        return found
    near_words.check_no_admin(text)
    near_words.check_prompt(text, OF_JOBS)
    return _parse_draft(text)


def parse_prompt(text: str) -> Draft:
    """Read what is a prompt whatever its words are; raises `InvalidRequest`."""
    _check(text)
    return _parse_draft(text.strip())


def _check(text: str) -> None:
    if len(text) > MAX_CHARS:
        raise InvalidRequest(f"The text is longer than {MAX_CHARS:,} characters.", field="prompt")
    if _NOT_TEXT.search(text):
        raise InvalidRequest(
            "The prompt holds characters that are no text. Paste it as plain text.",
            field="prompt",
        )


def _parse_verb(text: str) -> Draft | Command | None:
    if match := _SETTINGS.fullmatch(text):
        return SettingsCommand(dict(_setting(*pair) for pair in _PAIR.findall(match[1])))
    verb = read_verb(text)
    if isinstance(verb, Deed):
        return _parse_animation(verb) if verb.act == "animate" else _parse_deed(verb)
    return verb


def _parse_animation(deed: Deed) -> Draft:
    """A clip that starts from what a job made, as `--start` with its id says it."""
    draft = _parse_draft(deed.rest)
    if draft.start is not None:
        raise InvalidRequest(
            f"It starts from {deed.job_id} already. Leave --start out.", field="start_frame"
        )
    return replace(draft, start=str(deed.job_id))


def _parse_deed(deed: Deed) -> Follow:
    """A verb with its words and flags; raises `InvalidRequest` for a flag that is none of its."""
    said, choice, negative = deed.rest, deed.choice, ""
    if deed.act == "audio" and (without := _WITHOUT.search(said)):
        said, negative = said[: without.start()], _unquote(without[1].strip())
    if deed.act in {"final", "upscale"} and choice:
        choice = _choose("resolution", choice, typed=choice)
    elif deed.act == "reframe" and choice:
        choice = _choose("aspect_ratio", choice, typed=choice)
    elif deed.act == "modify":
        choice = re.sub(r"[_ -]?([0-9])\Z", r"_\1", choice)
    draft = _parse_draft(said)
    if deed.act == "remix":
        _check_remix(draft)
    else:
        _check_flags(deed, draft)
    return Follow(
        job_id=deed.job_id,
        act=deed.act,
        choice=choice,
        prompt=draft.prompt,
        negative_prompt=negative,
        other=deed.other,
        end=None if deed.act == "remix" else draft.end,
        draft=draft if deed.act == "remix" else None,
        is_private=deed.is_private or draft.is_private,
    )


def _check_flags(deed: Deed, draft: Draft) -> None:
    """Model, shape and size are the clip's own."""
    taken = {"end"} if deed.act == "extend" else set()
    bare = Draft(prompt=draft.prompt, is_private=draft.is_private)
    given = [
        each.name
        for each in fields(Draft)
        if getattr(draft, each.name) != getattr(bare, each.name) and each.name not in taken
    ]
    if given:
        flag = next(name for name, parameter in _FLAGS.items() if parameter == given[0])
        raise InvalidRequest(
            f"{deed.act.capitalize()} takes that from the clip. Leave --{flag} out.", field="flags"
        )


def _check_remix(draft: Draft) -> None:
    if draft in (Draft(), Draft(is_private=True)):
        raise InvalidRequest("Say what the remix changes: words, or flags.", field="prompt")
    if draft.start is not None or draft.end is not None:
        raise InvalidRequest(
            "A remix keeps the images it starts from and ends with. Leave --start and --end out.",
            field="flags",
        )


def _setting(key: str, value: str) -> tuple[str, str]:
    name = _FLAGS.get(key.lower().replace("_", "-"), key)
    if len(value) > 1 and value[0] in '"“':
        return name, value[1:-1]
    if name not in _CHOICES or value.lower() in {"", "default"}:
        return name, "" if value.lower() == "default" else value
    return name, _choose(name, value, typed=f"{key}={value}")


def _parse_story(text: str) -> Draft | None:
    body = work_text.body_of(text)
    if body is None:
        return None
    # Words in quotes are a shot, and one alone is too few: it is not paid as a clip of that word.
    is_quoted = body.lstrip().startswith(('"', "“", "”", "„"))
    if not is_quoted and not work_text.is_story(_parse_draft(body.partition("\n")[0]).prompt):
        return None
    draft = _parse_draft(body, is_lines=True)
    shots = tuple(_unquote(line) for line in work_text.lines_of(draft.prompt))
    return replace(draft, prompt="", shots=shots)


def _parse_draft(text: str, *, is_lines: bool = False) -> Draft:
    given: dict[str, Any] = {}
    pieces: list[str] = []
    begun = at = 0
    may_close = True
    while spot := _SPOT.search(text, at):
        at = spot.end()
        if spot["quote"]:
            close = _CLOSE.search(text, at) if may_close else None
            may_close = close is not None
            at = close.end() if close else at
        elif name := _known_flag(spot["dash"], spot["name"].rstrip(".,;:!?").lower()):
            pieces.append(text[begun : spot.start()])
            begun = at = _take(text, spot, name, given)
    pieces.append(text[begun:])
    prose = [piece.strip() for piece in pieces if piece.strip()]
    if len(prose) == 1:
        return Draft(prompt=_unquote(prose[0]), **given)
    # The end of a line stands before or behind a flag, if it is to be kept.
    return Draft(prompt=" ".join(pieces if is_lines else prose).strip(), **given)


def _known_flag(dash: str, name: str) -> str | None:
    """The flag, or None where it is prose: only `--` always means a flag."""
    if dash == "-":
        if name in _ONE_DASH:
            return name
    elif (len(name) > 1 and name in _FLAGS) or name in _SHORT:
        return name
    if dash == "--" or (len(name) > 2 and dash == "-" and _FOREIGN.fullmatch(name)):
        raise _unknown(dash, name)
    return None


def _unknown(dash: str, name: str) -> InvalidRequest:
    flag = f"{dash}{clean(name, limit=30)}"
    if _FOREIGN.fullmatch(name):
        instead = " Say what you want to see instead." if name in {"no", "neg", "negative"} else ""
        words = f"{flag} belongs to other tools and does nothing here; leave it out.{instead}"
        return InvalidRequest(words, field="flags")
    if value := _VALUE.fullmatch(name):
        _choose(str(value.lastgroup), name, typed=flag)
    known = [each for each in (*_FLAGS, *_SHORT) if len(each) > 1]
    near = difflib.get_close_matches(name[:40], known, n=1)
    hint = f"Did you mean --{near[0]}?" if near else "Type help to see every flag."
    return InvalidRequest(f"There is no flag {flag}. {hint}", field="flags")


def _take(text: str, spot: re.Match[str], name: str, given: dict[str, Any]) -> int:
    """Read one flag's value into `given`; returns where the text goes on."""
    parameter, at = _FLAGS.get(name) or _SHORT[name], spot.end()
    flag = spot["dash"].replace("—", "--").replace("–", "--") + name
    value: Any = name if name in _SHORT else name != "no-loop"
    if parameter in _SWITCHES and spot["equals"]:
        written = _SWITCHES[parameter]
        raise InvalidRequest(f"Write {written} without a value.", field=parameter)
    if name not in _SHORT and parameter not in _SWITCHES:
        value, at = _read_value(text, spot, flag, parameter)
        if parameter in _CHOICES:
            value = _choose(parameter, value, typed=f"{flag} {value}")
    if parameter == "concepts":
        parts = tuple(part.strip() for part in value.split(",") if part.strip())
        value = (*given.get("concepts", ()), *parts)
        if len(value) > 34:
            raise InvalidRequest("That is too many camera moves.", field="concepts")
    elif given.get(parameter, value) != value:
        raise InvalidRequest(f"{flag} is given twice; keep one of them.", field=parameter)
    given[parameter] = value
    return at


def _read_value(text: str, spot: re.Match[str], flag: str, parameter: str) -> tuple[str, int]:
    at = spot.end()
    while not spot["equals"] and at < len(text) and text[at].isspace():
        at += 1
    if text[at : at + 1] in {*"\"“”„'‘’"} and (close := _CLOSE_VALUE.search(text, at + 1)):
        return _unescape(text[at + 1 : close.start(1)]), close.end()
    word = re.compile(r"\S+").match(text, at)
    if not word or re.match(r"--[^\W_]", word[0]):
        choices = ", ".join(_CHOICES.get(parameter, ()))
        needs = f"{flag} needs a value{': ' if choices else ''}{choices}."
        raise InvalidRequest(needs, field=parameter)
    return word[0], word.end()


def _choose(parameter: str, value: str, *, typed: str) -> str:
    choices = _CHOICES[parameter]
    value = re.sub(r"[,;.]\Z", "", value.lower().replace(" ", ""))
    value = re.sub(r"(?<=[0-9])[x×/](?=[0-9])", ":", value)
    if (found := value if value in choices else value + _UNITS[parameter]) in choices:
        return found
    said = f"{clean(typed, limit=40)} is not possible."
    raise NoSuchValue(choices, lambda some: _offer(said, value, some), field=parameter)


def _offer(said: str, value: str, choices: Sequence[str]) -> str:
    near = difflib.get_close_matches(value[:40], choices, n=1, cutoff=0)
    if near and (size := _size(value)):
        near = [min(choices, key=lambda choice: abs(math.log(size / _size(choice))))]
    return f"{said} The nearest is {near[0]}; all: {', '.join(choices)}." if near else said


def _size(value: str) -> float:
    """A ratio, seconds or lines as a number; 0 where it is none."""
    match = re.fullmatch(r"([0-9]{1,5})(?::([0-9]{1,5})|(k)|[a-z]*)", value)
    if not match:
        return 0
    number = int(match[1]) * (540 if match[3] else 1)
    return number / (int(match[2] or 1) or math.inf)


# ---- and back --------------------------------------------------------------------------------


def _unescape(text: str) -> str:
    return re.sub(r"\\([\\\"“”„'‘’])", r"\1", text)


def _unquote(piece: str) -> str:
    close = _CLOSE.search(piece, 1) if piece[0] in '"“”„' else None
    return _unescape(piece[1:-1]) if close and close.end() == len(piece) else piece


def _quote(text: str) -> str:
    return '"' + re.sub(r"([\\\"“”„'‘’])", r"\\\1", text) + '"'


def format_draft(draft: Draft) -> str:
    """The draft as a person would type it; `parse` reads it back."""
    given = (
        ("--model", draft.model),
        ("--ar", draft.aspect_ratio),
        ("--res", draft.resolution),
        ("--dur", draft.duration),
        *(("--camera", concept) for concept in draft.concepts),
        ("--start", draft.start),
        ("--end", draft.end),
    )
    plain = re.compile(r"[\w./:?&%=+#@~][\w./:?&%=+#@~-]*")
    flags = [
        f"{flag} {value if plain.fullmatch(value) else _quote(value)}"
        for flag, value in given
        if value is not None
    ]
    if draft.loop is not None:
        flags.append("--loop" if draft.loop else "--no-loop")
    if draft.is_private:
        flags.append("--private")
    if draft.is_still:
        flags.append("--still")
    if draft.is_draft:
        flags.append("--draft")
    if draft.shots is not None:
        return "\n".join([" ".join(["story", *flags]), *(_quote(line) for line in draft.shots)])
    bare = " ".join([draft.prompt, *flags])
    with contextlib.suppress(InvalidRequest):
        if parse(bare) == draft:
            return bare
    return " ".join([_quote(draft.prompt), *flags])


def read_link(text: str) -> LinkFrame | None:
    """The frame behind a typed link, angle brackets allowed; None where it is no web link."""
    url = text.strip().removeprefix("<").removesuffix(">")
    return LinkFrame(url=url) if re.match(r"https?://\S+\Z", url, re.IGNORECASE) else None
