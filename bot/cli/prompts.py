"""Questions to whoever sets Raybot up: somebody at a terminal, or a script that is never asked."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from bot.errors import ConfigError
from bot.log import register_secret

T = TypeVar("T")
#: Leaves a secret out for which there is one to try again.
NOT_NOW = "no"


@dataclass(frozen=True, kw_only=True)
class Given:
    """What was said with the command; what is empty is asked for, where somebody can be asked.

    `tokens` are those of each chat platform, by the keys of its table.
    """

    provider: str = ""
    key: str = ""
    tokens: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    servers: tuple[str, ...] = ()
    operator: str = ""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question; a script answers it with its `flag`. An empty answer means the `default`."""

    text: str
    flag: str
    default: str = ""
    is_secret: bool = False


class Person(Protocol):
    """Who sets Raybot up; nobody is there where a script does it."""

    is_there: bool

    def say(self, line: str) -> None:
        """Show one line."""

    async def ask(self, question: Question) -> str:
        """The answer or the default; raises `ConfigError` where nobody can answer."""


class Typed:
    """Somebody at the terminal; a secret is shown as stars, or not at all."""

    is_there = True

    def say(self, line: str) -> None:
        """Show one line."""
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    async def ask(self, question: Question) -> str:
        """What was typed, else the default. Ctrl-C and Ctrl-D end the command."""
        from prompt_toolkit import PromptSession
        from prompt_toolkit.utils import is_dumb_terminal

        shown = f" [{question.default}]" if question.default else ""
        words = f"{question.text}{shown}: "
        if question.is_secret and is_dumb_terminal():
            # prompt_toolkit shows there what is typed, whatever it is.
            return getpass.getpass(words) or question.default
        session: PromptSession[str] = PromptSession(words, is_password=question.is_secret)
        return await session.prompt_async() or question.default


class Script:
    """Nobody: what is not given by a flag cannot be asked for."""

    is_there = False

    def say(self, line: str) -> None:
        """Show one line."""
        sys.stdout.write(line + "\n")

    async def ask(self, question: Question) -> str:
        """Raise `ConfigError`, which names the flag."""
        raise ConfigError(f"{question.flag} is missing. {question.text}.")


def refuse(person: Person, sentence: str) -> None:
    """Say it to somebody who can answer anew, or raise `ConfigError`."""
    if not person.is_there:
        raise ConfigError(sentence)
    person.say(sentence)


async def proved(
    person: Person,
    question: Question,
    *,
    given: str,
    variable: str,
    is_set: bool,
    prove: Callable[[str], Awaitable[T]],
    is_needed: bool = True,
) -> tuple[str, T] | None:
    """A secret and what it proved; asked again until it holds. Empty: the environment has it.

    None where it is not needed and left out, at once or after it failed.
    """
    secret, is_asked = given.strip(), not given and not is_set
    while True:
        if is_asked:
            answer = (await person.ask(_worded(question, secret, is_needed=is_needed))).strip()
            if not is_needed and (answer.lower() == NOT_NOW or not (answer or secret)):
                return None
            secret = answer or secret
            if not secret:
                continue
        register_secret(secret)
        try:
            return "" if is_set else secret, await prove(secret)
        except ConfigError as error:
            if is_set:
                raise ConfigError(f"{error.sentence} It was read from {variable}.") from error
            refuse(person, error.sentence)
            is_asked = True


def _worded(question: Question, failed: str, *, is_needed: bool) -> Question:
    """The question, with what Enter does to a secret."""
    hints = ["Enter: the same again"] if failed else []
    if not is_needed:
        hints.append(f"{NOT_NOW if failed else 'Enter'}: not now, in the terminal only")
    return replace(question, text=f"{question.text} ({'; '.join(hints)})") if hints else question
