"""What the Dockerfile and `compose.yaml` say; `test_image` replays the steps of the first."""

from __future__ import annotations

import asyncio
import configparser
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.config import load_config
from bot.dialects.one_answer import AnswerTable
from bot.media import ROOM_FACTOR
from bot.tables import BotTable
from bot.wiring.startup import check_shared

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("charts", "postgres", "web")
GRACE = BotTable.model_fields["shutdown_grace_seconds"].default
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
BUILD, FINAL = re.split(r"(?m)^FROM ", DOCKERFILE)[1:]


def health_check() -> list[str]:
    """The command that asks whether a container is well."""
    [command] = re.findall(r"(?s)HEALTHCHECK.*?CMD (\[.*?\])\n", FINAL)
    found: list[str] = json.loads(command)
    return found


def copied(stage: str) -> list[str]:
    """The paths that a stage takes from here, each as it is written."""
    lines = re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", stage)
    return [path for line in lines for path in line.split()]


def _let_in() -> set[str]:
    """What may be copied from here: rules that name files or whole folders."""
    rules = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in rules
    return {rule.removeprefix("!") for rule in rules if rule.startswith("!")}


def test_all_that_is_copied_is_let_into_the_build() -> None:
    assert set(copied(BUILD)) <= {"requirements", *_let_in()}


@pytest.mark.parametrize("packages", ["", *EXTRAS, " ".join(EXTRAS)])
def test_any_packages_can_be_had_together(packages: str, tmp_path: Path) -> None:
    context, tools = tmp_path / "context", tmp_path / "tools"
    (context / "requirements").mkdir(parents=True)
    tools.mkdir()
    for name in _let_in():
        if name.startswith("requirements/"):
            shutil.copy(ROOT / name, context / name)
    # It stands for pip: each file that it is asked to install must have come in.
    pip = 'for last; do :; done; cat "$last" > /dev/null && echo "$last" >> installed'
    for name, does in {"pip": pip, "python": ":"}.items():
        (tools / name).write_text(f"#!/bin/sh\n{does}\n")
        (tools / name).chmod(0o755)
    [step] = re.findall(r"(?ms)^RUN (set -e;.*?[^\\])$", BUILD)
    path = f"{tools}:{os.environ['PATH']}"
    run(["/bin/sh", "-c", step], cwd=context, PACKAGES=packages, PATH=path)
    names = ["run", *packages.split(), "build"]
    installed = (context / "installed").read_text().split()
    assert installed == [f"requirements/{name}.txt" for name in names]


def test_nothing_that_builds_is_left_in_the_image() -> None:
    assert copied(FINAL) == []
    assert "pip uninstall --yes pip" in FINAL
    assert re.findall(r"(?m)^USER (\d+)", FINAL) == ["10001"]
    assert all("--require-hashes" in line for line in re.findall(r"pip .*-r .*", BUILD))


@pytest.mark.parametrize("host", [None, "", "127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::"])
@pytest.mark.parametrize("status", [200, 503])
async def test_the_health_check_asks_where_the_private_port_is(
    host: str | None, status: int
) -> None:
    async def livez(_: web.Request) -> web.Response:
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/livez", livez)
    async with TestServer(app, host=host or "127.0.0.1") as server:
        told = {} if host is None else {"RAYBOT_BOT__PRIVATE_HOST": host}
        checking = await asyncio.create_subprocess_exec(
            sys.executable,
            *health_check()[1:],
            env={**os.environ, **told, "RAYBOT_BOT__PRIVATE_PORT": str(server.port)},
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert (await checking.wait() == 0) is (status == 200)


def test_replicas_are_told_what_they_must_share(monkeypatch: pytest.MonkeyPatch) -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]
    one, replica = services["raybot"], services["replica"]
    for name, value in {**replica["environment"], "RAYBOT_BOT__SECRET_KEY": "x" * 32}.items():
        monkeypatch.setenv(name, value)
    check_shared(load_config(None))
    assert replica["deploy"]["replicas"] == 3
    assert set(replica["depends_on"]) <= set(services)
    assert one["build"]["args"]["PACKAGES"] == "${PACKAGES:-}"
    assert replica["build"]["args"]["PACKAGES"] == "postgres ${PACKAGES:-}"
    for each in (one, replica):
        assert each["read_only"]
        assert each["cap_drop"] == ["ALL"]
        assert _seconds(each["stop_grace_period"]) > GRACE
    # `docker compose up -d` alone starts what one machine needs.
    assert [name for name, each in services.items() if "profiles" not in each] == ["raybot"]


def test_a_replica_has_memory_for_what_lies_in_it_and_room_for_copies_of_clips() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]
    one, replica = services["raybot"], services["replica"]
    sizes = dict(re.findall(r"(\S+?):size=(\w+)", " ".join(replica["tmpfs"])))
    assert set(sizes) == {"/tmp", "/data"}
    beside = _bytes(replica["mem_limit"]) - sum(map(_bytes, sizes.values()))
    assert beside >= _bytes(one["mem_limit"])
    left_free = ROOM_FACTOR * BotTable.model_fields["min_free_bytes"].default
    assert _bytes(sizes["/data"]) - left_free > 500_000_000
    # Copies leave more than what an alarm goes off at.
    paper = (ROOT / "docs" / "operations.md").read_text("utf-8")
    [alarm] = re.findall(r"raybot_disk_free_bytes < (\S+)", paper)
    assert left_free > float(alarm)


def test_papers_name_services_and_options_that_there_are() -> None:
    """The options are those of Docker's reference that are used; `run` has two with a value."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]
    options = {"logs": {"-f"}, "run": {"--rm", "-v", "--entrypoint"}, "up": {"-d"}}
    papers = [ROOT / "README.md", ROOT / "compose.yaml", *(ROOT / "docs").glob("*.md")]
    told = "".join(each.read_text("utf-8") for each in papers).replace("\\\n", "")
    commands = re.findall(r"docker compose (\w+)([^`\n&]*)", told)
    assert len(commands) > 15
    for command, rest in commands:
        assert command in {"build", "exec", "logs", "run", "stop", "up"}
        words = re.sub(r"(-v|--entrypoint) \S+", r"\1", rest).split()
        first = next((at for at, word in enumerate(words) if not word.startswith("-")), len(words))
        assert set(words[:first]) <= options.get(command, set()), rest
        assert set(words[first : first + 1]) <= set(services), rest


def _bytes(size: str) -> int:
    return int(size[:-1]) * {"m": 1 << 20, "g": 1 << 30}[size[-1]]


def test_no_image_is_whatever_is_the_newest() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]
    images = [each["image"] for each in services.values() if "image" in each]
    images += re.findall(r"(?m)^FROM (\S+)", DOCKERFILE)
    tags = [image.rpartition("/")[2].partition("@")[0].partition(":")[2] for image in images]
    assert len(images) == 5
    assert all(tag and tag != "latest" for tag in tags), images


def test_what_stops_it_waits_until_it_has_stopped() -> None:
    paper = (ROOT / "docs" / "operations.md").read_text("utf-8")
    [told] = re.findall(r"(?s)```ini\n(.*?)```", paper)
    unit = configparser.ConfigParser(interpolation=None)
    unit.read_string(told)
    service = unit["Service"]
    assert int(service["TimeoutStopSec"]) > GRACE
    assert service["ExecStart"].endswith(" -m bot run --config config.toml")
    # Services whose answer is the clip: the words about them name how long that is, and more.
    about = paper.partition("**MindStudio and Intersect**")[2].partition("**A parked job**")[0]
    grace = AnswerTable.model_fields["submit_timeout_seconds"].default
    assert f"({grace:.0f})" in about
    compose, systemd = re.findall(r"STOP_GRACE=(\w+)|TimeoutStopSec=(\w+)", about)
    assert _seconds(compose[0]) > grace
    assert _seconds(systemd[1]) > grace


def _seconds(period: str) -> int:
    """A time to wait, as it is where `.env` says nothing."""
    found = re.fullmatch(r"(?:\$\{STOP_GRACE:-)?(\d+)s?\}?", period)
    assert found, period
    return int(found[1])


def run(command: list[str], *, cwd: Path, **more: str) -> str:
    """What it says; it is to end well."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
