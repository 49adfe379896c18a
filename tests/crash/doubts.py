"""What ends in doubt: a job of which nobody knows whether it was taken, and the operator's word.

A submission that was lost twice is not sent a third time. So that is right only where each of them
was looked for, and the service has nothing that the bot does not know.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.crash.books import Book

#: How Ana is told that her job was given up, or a film of several.
RELEASED = (
    "The operator found that the video service never ran it.",
    "None of its shots could be made.",
)
#: A job goes out again after the first doubt.
DOUBTS = 2
LEFT = "SELECT id FROM jobs WHERE state = 'uncertain'"
LOOKED_FOR = "SELECT count(*) FROM attempts WHERE job_id = '{}' AND outcome = 'absent'"
KNOWN = "SELECT count(*) FROM attempts WHERE generation_id IS NOT NULL"
NOTED = "SELECT count(*) FROM operator_notices WHERE sentence LIKE '%raybot resolve {} %'"
END = "SELECT state, cost FROM jobs WHERE id = '{}'"
PAID = "SELECT count(*) FROM jobs WHERE cost > 0"
OPEN = "SELECT count(*) FROM jobs WHERE ended_at IS NULL"
SETTLED = "SELECT count(*) FROM ledger_entries WHERE kind = 'settle'"
#: Also a film of what could be made; it costs nothing beside its shots.
DELIVERED = "SELECT count(*) FROM jobs WHERE state = 'delivered'"


def left(books: Book) -> list[str]:
    """The jobs that wait for the operator's decision."""
    return [job for (job,) in books.read(LEFT)]


def paid(books: Book) -> int:
    """How many jobs somebody paid for."""
    return _number(books, PAID)


def is_told(words: Sequence[str]) -> bool:
    """Whether this says that a job was released."""
    return any(told in each for told in RELEASED for each in words)


def wrong_in_doubt(books: Book, jobs: Sequence[str], *, made: int) -> list[str]:
    """Where the bot could have gone on by itself, or asks nobody; so many the services took."""
    found = [
        f"in doubt after {times} submissions that were looked for: {job}"
        for job in jobs
        if (times := _number(books, LOOKED_FOR.format(job))) < DOUBTS
    ]
    found += [
        f"the operator is not asked: {x}" for x in jobs if not _number(books, NOTED.format(x))
    ]
    if (known := _number(books, KNOWN)) != made:
        found.append(f"in doubt, while the service has {made - known} that nobody found")
    return found


def wrong_once_released(books: Book, jobs: Sequence[str], *, words: Sequence[str]) -> list[str]:
    """What is not over, or was charged, though nothing was made; who was not told."""
    ends = {job: books.read(END.format(job)) for job in jobs}
    found = [f"released: {job} {end}" for job, end in ends.items() if end != [("failed", 0)]]
    if still := _number(books, OPEN):
        found.append(f"{still} jobs still open")
    if (settled := _number(books, SETTLED)) != (many := _number(books, DELIVERED)):
        found.append(f"{settled} settled of {many}")
    if not many and not is_told(words):
        found.append("nobody was told that it was released")
    return found


def _number(books: Book, question: str) -> int:
    [(number,)] = books.read(question)
    return int(number)
