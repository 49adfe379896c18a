"""Processes of the true bot that share a database: how they are started, frozen and ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.secrecy import found_in

LOOK_SECONDS = 0.02
#: On a busy machine.
START_SECONDS = 60
ROOT = Path(__file__).parents[2]
#: What each start says that a process of the bot has, or has no more.
ON, OFF = "replica.on_duty", "replica.off_duty"
Line = dict[str, Any]


class Replica:
    """One `raybot run`. Its log is kept as it is written: a line of JSON for each event."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log
        self._file = log.open("rb")
        self._lines: list[Line] = []
        self._rest = b""

    def lines(self, event: str = "", **said: Any) -> list[Line]:
        """What it logged so far, of one event where one is named."""
        *whole, self._rest = (self._rest + self._file.read()).split(b"\n")
        self._lines += [to_line(each.decode()) for each in whole]
        return [
            each
            for each in self._lines
            if (not event or each["event"] == event)
            and all(each.get(name) == value for name, value in said.items())
        ]

    async def wait(self, event: str, *, many: int = 1, seconds: float = 20, **said: Any) -> None:
        """Wait until it logged this so many times."""
        try:
            async with asyncio.timeout(seconds):
                while len(self.lines(event, **said)) < many:
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            told = "\n".join(self.log.read_text("utf-8").splitlines()[-30:])
            raise AssertionError(f"{self.name} never logged {event} {said}:\n{told}") from None

    @property
    def is_alive(self) -> bool:
        return self.process.returncode is None

    @property
    def cpu_seconds(self) -> float:
        """How much it has computed so far, its children left out."""
        said = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(said[11]) + int(said[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def private(self) -> str:
        """The address of its private door."""
        return str(self.lines("web.listening")[-1]["private"])

    @property
    def public(self) -> str:
        """Where others call it."""
        return str(self.lines("web.listening")[-1]["public"])

    @property
    def roles(self) -> set[str]:
        """What it does for all, as far as it knows."""
        held: set[str] = set()
        for each in self.lines():
            if each["event"] == ON:
                held.add(each["role"])
            elif each["event"] == OFF:
                held.discard(each["role"])
        return held if self.is_alive else set()

    def close(self) -> None:
        """Read no more of its log."""
        self._file.close()

    async def kill(self) -> float:
        """End it without a goodbye; when that was."""
        self.process.kill()
        at = time.monotonic()
        await self.process.wait()
        return at

    def freeze(self) -> float:
        """Let it do nothing from now on, and know nothing of it; when that was."""
        self.process.send_signal(signal.SIGSTOP)
        return time.monotonic()

    def thaw(self) -> None:
        """Let it go on as if nothing had been."""
        self.process.send_signal(signal.SIGCONT)

    async def stop(self, *, seconds: float = 20) -> float:
        """End it as a service manager does; how many seconds that took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(self.process.wait(), seconds)
        assert self.process.returncode == 0, self.log.read_text("utf-8")[-4000:]
        return time.monotonic() - began


class Fleet:
    """The processes: each has the same configuration file, and a folder of its own to run in.

    `settings` are what the environment says beside ours.
    """

    def __init__(
        self, folder: Path, tables: Mapping[str, Any], settings: Mapping[str, str]
    ) -> None:
        self.folder = folder
        self._settings = settings
        self.config = folder / "config.toml"
        self.config.write_text("\n".join(to_toml(tables)), "utf-8")
        self.all: list[Replica] = []
        self._numbers = count(1)

    @property
    def living(self) -> list[Replica]:
        return [each for each in self.all if each.is_alive]

    async def start(self, many: int = 1, **own: str) -> list[Replica]:
        """Start so many more; comes back once each of them works.

        `own` is what their environment alone says.
        """
        started = [await self._spawn(f"replica {next(self._numbers)}", own) for _ in range(many)]
        self.all += started
        for each in started:
            await each.wait("web.listening", seconds=START_SECONDS)
        return started

    async def _spawn(self, name: str, own: Mapping[str, str]) -> Replica:
        home = self.folder / name.replace(" ", "-")
        home.mkdir()
        log = home.with_suffix(".log")
        with log.open("wb") as target:
            process = await self.spawn("run", own=own, stderr=target, cwd=home)
        return Replica(name, process, log)

    async def spawn(
        self, *words: str, own: Mapping[str, str] = MappingProxyType({}), **more: Any
    ) -> asyncio.subprocess.Process:
        """One `raybot` command with this configuration."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bot",
            *words,
            "--config",
            str(self.config),
            env={**environment(), **self._settings, **own},
            stdin=asyncio.subprocess.DEVNULL,
            **{"cwd": self.folder, "stdout": PIPE, "stderr": PIPE, **more},
        )

    async def raybot(self, *words: str, seconds: float = 30) -> tuple[int | None, str]:
        """What a command ended with and said."""
        process = await self.spawn(*words, stderr=asyncio.subprocess.STDOUT)
        out, _ = await asyncio.wait_for(process.communicate(), seconds)
        return process.returncode, out.decode()

    def holder(self, role: str, *, but: Replica | None = None) -> Replica | None:
        """Who does this for all."""
        held = [each for each in self.living if role in each.roles and each is not but]
        return held[-1] if held else None

    async def wait_holder(
        self, role: str, *, but: Replica | None = None, seconds: float = 20
    ) -> Replica:
        """Wait until somebody has this role."""
        async with asyncio.timeout(seconds):
            while (found := self.holder(role, but=but)) is None:
                await asyncio.sleep(LOOK_SECONDS)
        return found

    def log(self, *events: str) -> list[Line]:
        """What all of them logged of these events, or of everything worse than a word."""
        lines = [line for each in self.all for line in each.lines()]
        return [
            each
            for each in lines
            if each["event"] in events or (not events and each["level"] in ("error", "critical"))
        ]


@asynccontextmanager
async def fleet(
    folder: Path, tables: Mapping[str, Any], settings: Mapping[str, str]
) -> AsyncIterator[Fleet]:
    """No process of it outlives the block, and the log of none shows what none may."""
    found = Fleet(folder, tables, settings)
    try:
        yield found
    finally:
        for each in found.living:
            each.process.kill()
            await each.process.wait()
        for each in found.all:
            each.close()
    told = [line for each in found.all for line in found_in(each.log.read_text("utf-8"))]
    assert told == [], "no log may show a secret, nor what people wrote"


def environment() -> dict[str, str]:
    """Ours, without any setting of the bot."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAYBOT_")}
    return {**kept, "PYTHONPATH": str(ROOT)}


def to_line(text: str) -> Line:
    """A line of the log; what is none, such as a traceback of Python itself, is an error."""
    try:
        line: Line = json.loads(text)
    except ValueError:
        line = {"event": text, "level": "error"}
    return line


def to_toml(tables: Mapping[str, Any], path: str = "") -> list[str]:
    """The tables as a configuration file has them; JSON's values are TOML's, too."""
    own = [
        f"{name} = {json.dumps(value)}" for name, value in tables.items() if not _is_table(value)
    ]
    lines = [f"[{path}]", *own] if path and own else own
    for name, value in tables.items():
        if _is_table(value):
            lines += to_toml(value, f"{path}.{name}" if path else name)
    return lines


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)
