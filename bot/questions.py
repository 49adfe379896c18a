"""Questions to whoever sets Raybot up: somebody at a terminal, or a script that is never asked."""

from __future__ import annotations

import getpass
import sys
from dataclasses import dataclass
from typing import Protocol

from bot.errors import ConfigError


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
