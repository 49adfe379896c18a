"""The steps of the Dockerfile, replayed without a container or a network.

Only what it copies is there, and of packages only those of the lock: whatever else the
environment of the tests has cannot be imported.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import site
import sys
import sysconfig
import venv
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker

from bot.simulator import Simulator
from tests.conftest import KEY, MANUAL
from tests.discord_server import DiscordServer
from tests.ports import free_port
from tests.replicas.fleet import to_toml
from tests.secrecy import found_in
from tests.test_container import BUILD, EXTRAS, FINAL, ROOT, copied, health_check, run
from tests.test_lock import RUN, pins

#: On a busy machine; nothing of it was compiled yet.
START_SECONDS = 60.0
ALL_MODULES = """
import importlib, pkgutil, adapters, bot
for package in (bot, adapters):
    for each in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        # What is a program of its own, or alembic's.
        if each.name.endswith(("__main__", ".migrations.env")) or ".versions" in each.name:
            continue
        importlib.import_module(each.name)
"""
NAMES = "from importlib.metadata import distributions as d; print(*(each.name for each in d()))"


@dataclass(frozen=True, kw_only=True)
class Image:
    """An environment as the image has it, and the names of its packages."""

    folder: Path
    packages: frozenset[str]

    @property
    def path(self) -> Path:
        """Where its commands are."""
        return self.folder / "bin"

    @property
    def env(self) -> dict[str, str]:
        """What the image sets, with a folder of ours; modules that were compiled stay so."""
        set_there = dict(re.findall(r"(RAYBOT_\w+)=(\S+)", FINAL))
        return {
            **set_there,
            "PATH": f"{self.path}:{os.environ['PATH']}",
            "PYTHONPYCACHEPREFIX": str(self.folder / "compiled"),
            "RAYBOT_BOT__DATA_DIR": str(self.folder / "data"),
            "RAYBOT_BOT__PUBLIC_HOST": "127.0.0.1",
            "RAYBOT_BOT__PUBLIC_PORT": "0",
            "RAYBOT_BOT__PRIVATE_PORT": str(self._port),
        }

    @property
    def _port(self) -> int:
        kept = self.folder / "port"
        if not kept.exists():
            kept.write_text(str(free_port()))
        return int(kept.read_text())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first stage builds of what it copies."""
    context = tmp_path_factory.mktemp("context")
    leave = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in copied(BUILD):
        source, target = ROOT / name, context / Path(name).name
        if source.is_dir():
            shutil.copytree(source, target, ignore=leave)
        else:
            shutil.copy(source, target)
    order = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "wheels", "."]
    _pip(context, *order)
    [built] = (context / "wheels").glob("*.whl")
    return built


def _pip(folder: Path, *order: str) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    run([*pip, *order, "--no-index"], cwd=folder)


def _to_image(folder: Path, wheel: Path, extras: Iterable[str]) -> Image:
    venv.create(folder, with_pip=False)
    [packages] = folder.glob("lib/*/site-packages")
    locked = _locked(RUN, *(f"{each}.txt" for each in extras))
    for name, version in locked.items():
        _lend(name, version, packages)
    _lend_compiled(folder / "compiled", packages)
    install = ["--python", str(folder / "bin/python"), "install", "--no-compile", "--no-deps"]
    _pip(folder, *install, str(wheel))
    return Image(folder=folder, packages=frozenset({*locked, "raybot"}))


def _plain(name: str) -> str:
    """A package's name as the lock writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _locked(*files: str) -> dict[str, str]:
    """What these files have installed on this machine, with its version."""
    return {
        name: version
        for file in files
        for (name, marker), (version, _) in pins(ROOT / "requirements" / file).items()
        if not marker or Marker(marker.removeprefix(" ; ")).evaluate()
    }


def _lend(name: str, version: str, packages: Path) -> None:
    """The files of one package, which its wheel would bring; ours has the same version."""
    own = metadata.distribution(name)
    assert own.version == version, name
    assert own.files, name
    for file in own.files:
        if ".." in file.parts or "__pycache__" in file.parts:
            continue
        target = packages / file
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            target.symlink_to(Path(str(own.locate_file(file))))


def _lend_compiled(compiled: Path, packages: Path) -> None:
    """Or each test would compile thousands of modules; what they are made of is compared."""
    if sys.pycache_prefix is None:
        return
    [ours], library = site.getsitepackages(), sysconfig.get_path("stdlib")
    for there, here in ((packages, Path(ours)), (Path(library), Path(library))):
        target = compiled.joinpath(*there.parts[1:])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(Path(sys.pycache_prefix).joinpath(*here.parts[1:]))


@asynccontextmanager
async def _started(image: Image, tables: Mapping[str, Any]) -> AsyncIterator[Process]:
    """The image's own command, with this configuration; it ends in order, and its log is clean."""
    config, log = image.folder / "config.toml", image.folder / "log"
    config.write_text("\n".join(to_toml(tables)), "utf-8")
    [words] = re.findall(r"(?m)^CMD (\[.*\])$", FINAL)
    program, *rest = [each.replace("/data/config.toml", str(config)) for each in json.loads(words)]
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            str(image.path / program),
            *rest,
            cwd=image.folder,
            env={**os.environ, **image.env},
            stdout=file,
            stderr=file,
        )
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(START_SECONDS):
            assert await process.wait() == 0, log.read_text("utf-8")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert found_in(log.read_text("utf-8")) == []


async def _until_well(image: Image, process: Process) -> None:
    """Ask as the container's host does, until it is well."""
    program, *words = health_check()
    async with asyncio.timeout(START_SECONDS):
        while True:
            assert process.returncode is None, (image.folder / "log").read_text("utf-8")
            asking = await asyncio.create_subprocess_exec(
                str(image.path / program),
                *words,
                env={**os.environ, **image.env},
                stderr=asyncio.subprocess.DEVNULL,
            )
            if await asking.wait() == 0:
                return
            await asyncio.sleep(0.1)


def _to_tables(luma: Simulator, **more: Any) -> dict[str, Any]:
    return {
        "bot": {"min_free_bytes": 0, "log_level": "debug"},
        "defaults": {"providers": ["luma"]},
        "limits": {"usd_per_person_per_day": 10},
        "providers": {"luma": {"api_key": KEY, "base_url": luma.base_url}},
        **more,
    }


@pytest.mark.timeout(240)
async def test_the_plain_image_runs_in_front_of_a_chat(tmp_path: Path, wheel: Path) -> None:
    image = await asyncio.to_thread(_to_image, tmp_path / "plain", wheel, ())
    python = str(image.path / "python")
    known = run([python, "-c", NAMES], cwd=tmp_path, **image.env).split()
    assert {_plain(each) for each in known} == image.packages
    async with Simulator(MANUAL) as luma, DiscordServer() as discord:
        guild = discord.guild("Foxes")
        chat = {
            "token": discord.token,
            "api_base_url": discord.api_base_url,
            "gateway_url": discord.gateway_url,
            "shard_count": 1,
        }
        access = {"servers": [str(guild.id)]}
        tables = _to_tables(luma, access=access, adapters={"discord": chat})
        async with _started(image, tables) as process:
            await _until_well(image, process)
            await discord.wait_connected(seconds=START_SECONDS)
    assert (tmp_path / "plain/data/raybot.db").exists()


@pytest.mark.timeout(240)
async def test_the_image_with_every_package_has_what_every_module_asks_for(
    tmp_path: Path, wheel: Path
) -> None:
    image = await asyncio.to_thread(_to_image, tmp_path / "full", wheel, EXTRAS)
    python = str(image.path / "python")
    await asyncio.to_thread(run, [python, "-c", ALL_MODULES], cwd=tmp_path, **image.env)
    async with Simulator(MANUAL) as luma:
        page = {"enabled": True, "folder": str(tmp_path / "web")}
        async with _started(image, _to_tables(luma, adapters={"web": page})) as process:
            await _until_well(image, process)
