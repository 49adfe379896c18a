"""On which databases the bench measures what they decide."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench import __main__ as command
from bench.figures import Figure
from bench.options import RunOptions
from tests import postgres_server

SQLITE, THERE = ("", 1), "postgresql+psycopg://raybot@127.0.0.1:1/postgres"
SHARED = [(THERE, count) for count in command.PROCESSES]
Run = Callable[..., list[tuple[str, int]]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the bench with these words; where its one measure was taken, and by how many."""

    def run(*words: str) -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []

        def measure(options: RunOptions) -> list[Figure]:
            found.append((options.database_url, options.processes))
            return []

        def measure_beside(options: RunOptions) -> list[Figure]:
            found.append((options.beside_url, options.processes))
            return []

        measures = {"kill": measure, command.TAKEOVER: measure_beside, "soak": measure}
        monkeypatch.setattr(command, "MEASURES", measures)
        command.main(command.to_options(words))
        return found

    return run


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the script that starts servers was told; it has one at `THERE`."""
    script, told = tmp_path / "postgres", tmp_path / "told"
    script.write_text(f'#!/bin/sh\necho "$1 $3" >> {told}\necho {THERE}\n')
    script.chmod(0o755)
    told.touch()
    monkeypatch.setattr(postgres_server, "SCRIPT", str(script))
    return told


def test_it_brings_a_server_that_writes_with_fsync(run: Run, said: Path) -> None:
    assert run("kill") == [SQLITE, *SHARED]
    assert said.read_text().split() == ["start", "synced", "stop"]


def test_what_needs_a_server_even_beside_sqlite_is_measured_there_once(
    run: Run, said: Path
) -> None:
    assert run("takeover") == [(THERE, 1)]
    assert said.read_text().split() == ["start", "synced", "stop"]
    assert run("takeover", "--sqlite-only") == [SQLITE]


def test_it_brings_none_where_one_is_named_or_none_is_asked_for(run: Run, said: Path) -> None:
    named = THERE.replace("raybot", "bench")
    assert run("kill", "--beside", named) == [SQLITE, *((named, count) for _, count in SHARED)]
    assert run("kill", "--database", named, "--processes", "2") == [(named, 2)]
    assert run("kill", "--sqlite-only") == [SQLITE]
    assert run("soak") == [SQLITE]
    assert said.read_text() == ""


def test_without_postgresql_it_says_so_and_measures_sqlite(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(postgres_server, "SCRIPT", "/bin/false")
    assert run("kill") == [SQLITE]
    assert capsys.readouterr().err.splitlines()[-1] == (
        "No PostgreSQL could be started here: only SQLite is measured."
    )
