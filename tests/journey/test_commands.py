"""The `raybot` command as a person or a script runs it: real processes, real files."""

from __future__ import annotations

import json
import os
import select
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any
from urllib.parse import urlsplit

import pytest

from bot.simulator import face_of
from tests.forked import ENDS_WITHIN, forked
from tests.rendered import png

ROOT = Path(__file__).parents[2]
SIMULATOR = ("simulator", "--port", "0", "--speed", "60", "--same-clip")


def environment(**values: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAYBOT_")}
    return {**kept, "PYTHONPATH": str(ROOT), **values}


def start(*words: str, cwd: Path, **values: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bot", *words],
        cwd=cwd,
        env=environment(**values),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def raybot(
    *words: str, cwd: Path, said: str = "", **values: str
) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    with NamedTemporaryFile(mode="r") as err:
        env, complaints = environment(**values), Path(err.name)
        with forked("bot", *words, cwd=cwd, env=env, err=complaints, said=said) as running:
            out = running.out.read()
            running.process.join(ENDS_WITHIN)
            code = running.process.exitcode
        assert code is not None
        return subprocess.CompletedProcess(words, code, out, err.read())


@contextmanager
def simulator(*words: str, cwd: Path) -> Iterator[IO[str]]:
    """One in a process of its own, and what it says."""
    with forked("bot", *SIMULATOR, *words, cwd=cwd, env=environment()) as running:
        yield running.out


def notices(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A simulator of its own process, as the environment of the bot."""
    with simulator(cwd=tmp_path) as said:
        address = said.readline().strip()
        yield {
            "RAYBOT_PROVIDERS__LUMA__API_KEY": "luma-simulator",
            "RAYBOT_PROVIDERS__LUMA__BASE_URL": address,
            "RAYBOT_PROVIDERS__LUMA__FIRST_LOOK_SECONDS": "0.2",
            "RAYBOT_PROVIDERS__LUMA__LOOK_SECONDS": "0.2",
            "RAYBOT_PROVIDERS__LUMA__SUBMIT_TIMEOUT_SECONDS": "2",
            "RAYBOT_BOT__MIN_FREE_BYTES": "0",
        }


def test_a_script_gets_its_clips_and_exit_code_zero(
    tmp_path: Path, service: dict[str, str]
) -> None:
    (tmp_path / "lake.png").write_bytes(png(400, 300))
    script = "/ray a red fox --ar 16:9\n/ray slow zoom --start lake.png\nusage\n"
    done = raybot("chat", "--json", cwd=tmp_path, said=script, **service)
    said = notices(done.stdout)
    assert done.returncode == 0, done.stderr
    kinds = [each["notice"] for each in said]
    assert kinds.count("accepted") == 2
    clips = [each for each in said if each["notice"] == "delivered"]
    assert len(clips) == 2
    assert all(Path(tmp_path, each["path"]).read_bytes()[4:8] == b"ftyp" for each in clips)
    assert all(each["charged_usd"] > 0 for each in clips)
    assert "Limits: $1.00 per person and day · $25.00 in all per month" in done.stderr
    used = raybot("usage", "--by", "model", "--json", cwd=tmp_path, **service)
    [row] = json.loads(used.stdout)
    assert (row["model"], row["delivered"]) == ("ray-flash-2", 2)
    assert row["charged_usd"] == pytest.approx(sum(each["charged_usd"] for each in clips))
    checked = raybot("check", cwd=tmp_path, **service)
    assert "The books add up" in checked.stdout
    assert "luma: the key is good" in checked.stdout
    assert checked.returncode == 0, checked.stdout


def test_a_check_without_a_good_key_is_one_line_and_exit_code_one(
    tmp_path: Path, service: dict[str, str]
) -> None:
    wrong = {**service, "RAYBOT_PROVIDERS__LUMA__API_KEY": "luma-wrong-key-0123456789"}
    done = raybot("check", cwd=tmp_path, **wrong)
    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines() if line.startswith("LOOK")] == [
        "LOOK  luma: Luma refuses this key. Those of its newer Agents API (luma-api-…) do not "
        "work here."
    ]
    assert done.stderr == ""


def test_a_wrong_period_and_a_mistyped_table_are_refused_in_a_sentence(tmp_path: Path) -> None:
    done = raybot("usage", "--since", "monday", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "raybot: --since: 'monday' is no day; write 2026-11-30.\n"
    (tmp_path / "config.toml").write_text("[providers.lumma]\n", "utf-8")
    done = raybot("usage", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Did you mean 'luma'?" in done.stderr


def test_a_refused_line_makes_the_exit_code_one_and_charges_nothing(
    tmp_path: Path, service: dict[str, str]
) -> None:
    script = "/ray a fox --ar 16:8\n/ray a fox --seed 4\n/ray x --start missing.png\n"
    done = raybot("chat", "--json", cwd=tmp_path, said=script, **service)
    assert done.returncode == 1
    said = notices(done.stdout)
    assert [each["notice"] for each in said] == ["refused"] * 3
    assert "16:9" in said[0]["sentence"]


def test_killed_in_the_middle_the_next_chat_delivers(
    tmp_path: Path, service: dict[str, str]
) -> None:
    slow = {
        **service,
        "RAYBOT_PROVIDERS__LUMA__FIRST_LOOK_SECONDS": "30",
        "RAYBOT_BOT__PUBLIC_URL": "http://127.0.0.1:9",  # Nobody is called there.
    }
    first = start("chat", "--json", cwd=tmp_path, **slow)
    assert first.stdin is not None
    assert first.stdout is not None
    first.stdin.write("/ray a red fox\n")
    first.stdin.flush()
    while json.loads(first.stdout.readline())["notice"] != "generating":
        pass
    with closing(sqlite3.connect(f"file:{tmp_path}/data/raybot.db?mode=ro", uri=True)) as rows:
        while rows.execute("SELECT state FROM jobs").fetchone()[0] != "generating":
            pass
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=10)
    second = raybot("chat", "--json", cwd=tmp_path, **service)
    assert second.returncode == 0, second.stderr
    kinds = [each["notice"] for each in notices(second.stdout)]
    assert kinds.count("delivered") == 1
    assert len(list((tmp_path / "clips").glob("*.mp4"))) == 1


def test_killed_it_leaves_no_simulator_behind(tmp_path: Path) -> None:
    bot = start("chat", "--json", "--simulator", cwd=tmp_path)
    assert bot.stdin is not None
    assert bot.stdout is not None
    bot.stdin.write("usage\n")
    bot.stdin.flush()
    bot.stdout.readline()
    children = Path(f"/proc/{bot.pid}/task/{bot.pid}/children").read_text().split()
    watched = [os.pidfd_open(int(child)) for child in children]
    bot.kill()
    bot.communicate(timeout=10)
    assert watched
    for each in watched:
        assert select.select([each], [], [], 10)[0], "it runs on"
        os.close(each)


def test_a_simulator_that_cannot_listen_says_so(tmp_path: Path, service: dict[str, str]) -> None:
    port = str(urlsplit(service["RAYBOT_PROVIDERS__LUMA__BASE_URL"]).port)
    for words, says in {
        ("--port", port): f"The simulator cannot listen on 127.0.0.1, port {port}: ",
        ("--host", "192.0.2.1"): "The simulator cannot listen on 192.0.2.1, port 8990: ",
        ("--host", "nowhere.invalid"): "The simulator cannot listen on nowhere.invalid, port",
    }.items():
        done = raybot("simulator", *words, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"raybot: {says}"), done.stderr
        assert done.stderr.count("\n") == 1
    done = raybot("simulator", "--port", "99999", cwd=tmp_path)
    assert done.returncode == 2
    assert "65535" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("api", ["luma", "fal", "mindstudio"])
def test_a_simulator_says_what_a_configuration_of_it_needs(api: str, tmp_path: Path) -> None:
    with simulator("--api", api, cwd=tmp_path) as lines:
        address = lines.readline().strip()
        said = "".join(lines.readline() for _ in range(6 + len(face_of(api).table)))
        (tmp_path / "config.toml").write_text(said)
        done = raybot("check", cwd=tmp_path)
    assert f'base_url = "{address}"' in said
    assert f"ok    {api}: the key is good" in done.stdout, done.stdout + done.stderr


def test_a_second_bot_on_the_same_folder_is_refused(
    tmp_path: Path, service: dict[str, str]
) -> None:
    first = start("chat", "--json", cwd=tmp_path, **service)
    assert first.stdin is not None
    assert first.stdout is not None
    first.stdin.write("usage\n")
    first.stdin.flush()
    first.stdout.readline()
    second = raybot("chat", "--json", cwd=tmp_path, **service)
    assert second.returncode == 2
    assert "Another Raybot" in second.stderr
    first.communicate("", timeout=15)
    assert first.returncode == 0


@pytest.mark.parametrize("folder", ["file/data", "x" * 300])
def test_a_data_folder_that_cannot_be_used_is_one_sentence(folder: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    world = {"RAYBOT_BOT__DATA_DIR": folder, "RAYBOT_DEFAULTS__PROVIDERS": "simulator"}
    for words in ("chat", "check", "usage", "desk-link"):
        done = raybot(words, cwd=tmp_path, **world)
        told = done.stdout if words == "check" else done.stderr
        assert "Traceback" not in done.stderr, words
        assert folder in told or "No Raybot with a desk runs here" in told, told
        assert done.returncode != 0
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file"]


@pytest.mark.parametrize(
    "words",
    [
        ("demo", "--out", "file/out"),
        ("demo", "--out", "folder"),
        ("init", "file/config.toml", "--provider", "simulator"),
        ("init", "x" * 300, "--provider", "simulator"),
        ("init", ".", "--provider", "simulator", "--force"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder" / "sea.png").mkdir(parents=True)
    done = raybot(*words, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert done.stderr.startswith("raybot: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]


def test_the_data_folder_is_made_for_its_owner_alone_and_one_that_is_there_is_kept(
    tmp_path: Path, service: dict[str, str]
) -> None:
    raybot("chat", cwd=tmp_path, said="usage\n", **service)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    (tmp_path / "data").chmod(0o750)
    raybot("chat", cwd=tmp_path, said="usage\n", **service)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o750


def test_others_read_no_database_in_a_folder_that_was_there(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    assert raybot("migrate", cwd=tmp_path).returncode == 0
    with closing(sqlite3.connect(tmp_path / "data" / "raybot.db")) as conn:
        conn.execute("SELECT count(*) FROM jobs").fetchone()
        beside = [each for each in (tmp_path / "data").iterdir() if "raybot.db-" in each.name]
        modes = {stat.S_IMODE(each.stat().st_mode) for each in (*beside, path_of(tmp_path))}
    assert (len(beside), modes) == (2, {0o600})
    assert raybot("backup", "copy.db", cwd=tmp_path).returncode == 0
    assert raybot("restore", "copy.db", cwd=tmp_path).returncode == 0
    assert stat.S_IMODE(path_of(tmp_path).stat().st_mode) == 0o600
    path_of(tmp_path).chmod(0o660)
    raybot("migrate", cwd=tmp_path)
    assert stat.S_IMODE(path_of(tmp_path).stat().st_mode) == 0o660, "it is shared on purpose"


def path_of(folder: Path) -> Path:
    return folder / "data" / "raybot.db"


def test_without_a_key_one_sentence_says_what_to_set(tmp_path: Path) -> None:
    done = raybot("chat", cwd=tmp_path)
    assert done.returncode == 2
    assert "RAYBOT_PROVIDERS__LUMA__API_KEY" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_key_of_a_service_that_is_not_on_the_list_is_named(tmp_path: Path) -> None:
    done = raybot("chat", cwd=tmp_path, RAYBOT_PROVIDERS__LUMA_AGENTS__API_KEY="luma-api-0123")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(
        "raybot: No video service of [defaults] providers has a key; there is one for "
        "luma_agents. Name it there, or set RAYBOT_DEFAULTS__PROVIDERS=luma_agents.\n"
    )


def test_a_run_without_a_configuration_names_what_makes_one(tmp_path: Path) -> None:
    for words in ("run",), ("run", "--config", "config.toml"):
        done = raybot(*words, cwd=tmp_path)
        assert done.returncode == 2
        assert ". `raybot init` (in a checkout: make init) asks for what is" in done.stderr
    (tmp_path / "config.toml").write_text("[bot]\n", "utf-8")
    assert "such as [adapters.terminal]" in raybot("run", cwd=tmp_path).stderr


def test_a_backup_of_what_is_no_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data" / "raybot.db").mkdir(parents=True)
    done = raybot("backup", "copy.db", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "raybot: data/raybot.db is no file, so there is nothing to copy.\n"
    assert [each.name for each in tmp_path.iterdir()] == ["data"]


def test_a_migration_says_that_there_was_no_database(tmp_path: Path) -> None:
    made = "There was no database at data/raybot.db, so an empty one was made.\n"
    assert raybot("migrate", cwd=tmp_path).stdout == made
    assert raybot("migrate", cwd=tmp_path).stdout == "data/raybot.db is up to date.\n"


@pytest.mark.parametrize(
    "words",
    [
        "usage",
        "pause",
        "resume",
        "unpark r-0y8xk7m2q4",
        "review r-0y8xk7m2q4 post",
        "resolve r-0y8xk7m2q4 release",
    ],
)
def test_what_needs_a_database_makes_none(words: str, tmp_path: Path) -> None:
    done = raybot(*words.split(), cwd=tmp_path)
    missing = "raybot: There is no database at data/raybot.db yet. Start the bot once.\n"
    assert (done.returncode, done.stderr) == (2, missing)
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_is_printed_without_any_configuration(tmp_path: Path) -> None:
    plain = raybot("manifest", "slack", cwd=tmp_path)
    assert (plain.returncode, plain.stderr) == (0, "")
    assert json.loads(plain.stdout)["settings"]["socket_mode_enabled"] is True
    called = raybot("manifest", "slack", "--http", "https://video.example.org", cwd=tmp_path)
    settings = json.loads(called.stdout)["settings"]
    assert settings["event_subscriptions"]["request_url"].startswith("https://video.example.org/")
    none = raybot("manifest", "discord", cwd=tmp_path)
    assert (none.returncode, none.stdout) == (2, "")
    assert "discord takes no manifest. `raybot invite discord` says" in none.stderr


def test_init_then_resolve_of_an_unknown_job(tmp_path: Path, service: dict[str, str]) -> None:
    first = ("init", "--provider", "simulator")
    bare = raybot("init", cwd=tmp_path)
    assert (bare.returncode, bare.stdout) == (2, "")
    assert bare.stderr.startswith("raybot: --provider is missing.")
    assert raybot(*first, cwd=tmp_path).returncode == 0
    again = raybot(*first, cwd=tmp_path)
    assert again.returncode == 1
    assert "exists already" in again.stderr
    assert raybot(*first, "--force", cwd=tmp_path).returncode == 0
    assert raybot("migrate", cwd=tmp_path, **service).returncode == 0
    missing = raybot("resolve", "r-0000000000", "release", cwd=tmp_path, **service)
    assert missing.returncode == 1
    assert "no job" in missing.stderr


def test_a_backup_is_a_whole_database(tmp_path: Path, service: dict[str, str]) -> None:
    raybot("chat", "--json", cwd=tmp_path, said="usage\n", **service)
    done = raybot("backup", "copy.db", cwd=tmp_path, **service)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "copy.db").read_bytes()[:15] == b"SQLite format 3"
    done = raybot("restore", "copy.db", cwd=tmp_path, **service)
    assert "is restored. 0 jobs on their way" in done.stdout, done.stderr
    done = raybot("restore", cwd=tmp_path, **service)
    assert "--since" in done.stderr
