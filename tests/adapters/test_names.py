"""Names that people chose, in what somebody typed: words of a prompt, and nothing else."""

from __future__ import annotations

import pytest

from adapters.command_text import Draft, Follow, Redo
from adapters.names import parse_named

JOB = "r-0y8xk7m2q4"


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("Story\na fox runs\nit sleeps", "\na fox runs\nit sleeps"),
        ("Story a fox | it jumps", " a fox | it jumps"),
        ("draft a fox", " a fox"),
        ("forget me yes a fox", " a fox"),
    ],
)
def test_a_name_makes_no_other_thing_of_a_prompt(text: str, bare: str) -> None:
    asked = parse_named(text, bare)
    assert isinstance(asked, Draft)
    assert "a fox" in asked.prompt
    assert asked.shots is None
    assert not asked.is_draft


def test_a_name_is_a_word_of_the_prompt() -> None:
    assert parse_named("a fox beside Ana", "a fox beside ") == Draft(prompt="a fox beside Ana")
    followed = parse_named(f"extend {JOB} Ana waves", f"extend {JOB}  waves")
    assert isinstance(followed, Follow)
    assert followed.prompt == "Ana waves"
    again = parse_named(f"redo {JOB} 2 Ana waves", f"redo {JOB} 2  waves")
    assert isinstance(again, Redo)
    assert again.prompt == "Ana waves"


def test_in_a_film_a_name_is_a_shot_like_another() -> None:
    film = parse_named("story\nAna\na fox runs", "story\n\na fox runs")
    assert isinstance(film, Draft)
    assert film.shots == ("Ana", "a fox runs")


def test_where_nothing_else_was_said_nothing_is_asked() -> None:
    assert parse_named("Ana", "") == Draft()
