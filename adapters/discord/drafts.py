"""From options and the fields of forms to a draft, and back. Pure."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from adapters import command_text
from adapters.command_text import Draft
from adapters.discord.commands import Options
from adapters.work_text import lines_of
from bot.errors import InvalidRequest
from bot.request import Work


def to_draft(options: Options) -> Draft:
    """A command's options, and the flags among its words; raises `InvalidRequest`."""
    given = {
        "--model": options.model,
        "--ar": options.aspect_ratio,
        "--res": options.resolution,
        "--dur": options.duration,
        "--camera": options.camera,
    }
    flags = " ".join(f'{flag} "{value}"' for flag, value in given.items() if value)
    chosen = replace(
        command_text.parse_prompt(flags),
        loop=options.loop,
        is_still=options.is_still,
        is_draft=options.is_draft,
    )
    return _join(command_text.parse_prompt(options.prompt), chosen)


def read_form(prompt: str, flags: str, *, size: str) -> Draft:
    """The fields of a form; flags win over the list of sizes. Raises `InvalidRequest`."""
    return _read_beside(command_text.parse_prompt(prompt), flags, size=size)


def read_story(shots: str, flags: str, *, size: str) -> Draft:
    """The same of a story, a line for each shot; flags of any hold for all."""
    read, said = list[str](), Draft()
    for line in lines_of(shots):
        draft = command_text.parse_prompt(line)
        read.append(draft.prompt)
        said = _join(said, replace(draft, prompt=""))
    return replace(_read_beside(said, flags, size=size), shots=tuple(read))


def _read_beside(said: Draft, flags: str, *, size: str) -> Draft:
    beside = command_text.parse_prompt(flags)
    if beside.prompt:
        raise InvalidRequest("Flags look like --ar 16:9 --loop.", field="flags")
    read = _join(said, beside)
    if not size or read.is_still:
        return read
    duration, _, resolution = size.partition(" ")
    sized = command_text.parse_prompt(f"--dur {duration} --res {resolution}")
    return replace(
        read,
        duration=read.duration or sized.duration,
        resolution=read.resolution or sized.resolution,
    )


def _join(said: Draft, beside: Draft) -> Draft:
    """The words with their flags, and what was chosen beside them, which may not contradict."""
    unset = Draft()
    concepts = tuple(dict.fromkeys((*said.concepts, *beside.concepts)))
    changes: dict[str, Any] = {"concepts": concepts}
    for name in (each.name for each in fields(Draft) if each.name not in {"prompt", "concepts"}):
        typed, chosen = getattr(said, name), getattr(beside, name)
        if chosen == getattr(unset, name):
            continue
        if typed not in (getattr(unset, name), chosen):
            label = name.replace("_", " ")
            raise InvalidRequest(
                f"The {label} in the prompt is another than the one beside it; keep one of them.",
                field=name,
            )
        changes[name] = chosen
    return replace(said, **changes)


def to_prompt(work: Work) -> str:
    """The words of a work for a form; what is no flag there reads as none again."""
    return command_text.format_draft(Draft(prompt=work.prompt))


def to_flags(work: Work) -> str:
    """What was typed for a work, but for what the form has a field for, or knows itself."""
    draft = command_text.to_draft(work)
    typed = replace(draft, prompt="x", duration=None, resolution=None, is_still=False)
    return command_text.format_draft(typed).removeprefix('"x"').removeprefix("x").strip()
