from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from bot.log import HIDDEN, QUIET, get_logger, redact, register_secret, setup_logging

CANARY = "canary-81c2f0"
register_secret(CANARY)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


# ---- shape ------------------------------------------------------------------------------------


def test_json_lines_carry_event_level_logger_time_and_fields(stream: io.StringIO) -> None:
    setup_logging("info", fmt="json", stream=stream)
    get_logger("bot.tracker").info("job.submitted", job="r-1", attempt=2)
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "job.submitted",
        "level": "info",
        "logger": "bot.tracker",
        "job": "r-1",
        "attempt": 2,
    }


def test_text_lines_are_for_people(stream: io.StringIO) -> None:
    setup_logging("info", fmt="text", stream=stream)
    get_logger("bot.tracker").warning("job.slow", job="r-1")
    assert "job.slow" in stream.getvalue()
    assert "job=r-1" in stream.getvalue()
    assert "\x1b" not in stream.getvalue(), "no colours where no terminal is"


def test_other_peoples_loggers_go_the_same_way(stream: io.StringIO) -> None:
    setup_logging("info", fmt="json", stream=stream)
    logging.getLogger("discord.gateway").warning("shard %s resumed", 3)
    (line,) = lines(stream)
    assert (line["event"], line["logger"]) == ("shard 3 resumed", "discord.gateway")


def test_positional_arguments_fill_the_event(stream: io.StringIO) -> None:
    setup_logging("info", fmt="json", stream=stream)
    get_logger("bot").info("%s of %s", 1, 2)
    assert lines(stream)[0]["event"] == "1 of 2"


def test_context_is_added_to_each_line(stream: io.StringIO) -> None:
    setup_logging("info", fmt="json", stream=stream)
    with structlog.contextvars.bound_contextvars(job="r-7"):
        get_logger("bot").info("first")
        logging.getLogger("other").warning("second")
    assert [line["job"] for line in lines(stream)] == ["r-7", "r-7"]


def test_the_level_holds(stream: io.StringIO) -> None:
    setup_logging("warning", fmt="json", stream=stream)
    get_logger("bot").info("quiet")
    get_logger("bot").warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


@pytest.mark.parametrize("name", QUIET)
def test_chatty_libraries_say_nothing_below_warning(name: str, stream: io.StringIO) -> None:
    """At info, httpx logs each address in full."""
    setup_logging("debug", fmt="json", stream=stream)
    logging.getLogger(f"{name}.part").info("GET https://example.org/?token=1")
    logging.getLogger(f"{name}.part").warning("slow")
    assert [line["event"] for line in lines(stream)] == ["slow"]


def test_setting_up_again_replaces_the_first(stream: io.StringIO) -> None:
    first = io.StringIO()
    setup_logging("info", fmt="json", stream=first)
    setup_logging("info", fmt="json", stream=stream)
    get_logger("bot").info("once")
    assert first.getvalue() == ""
    assert len(lines(stream)) == 1


def test_without_setting_up_nothing_goes_to_standard_output(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    get_logger("bot.nobody").warning("job.slow", token=CANARY)
    assert capsys.readouterr().out == ""
    assert "job.slow" in caplog.text
    assert CANARY not in caplog.text


# ---- secrets ----------------------------------------------------------------------------------


class Holder:
    """Shows the secret only when it becomes text."""

    def __str__(self) -> str:
        return f"holder of {CANARY}"


@pytest.mark.parametrize("fmt", ["text", "json"])
def test_a_registered_secret_is_nowhere(fmt: Any, stream: io.StringIO) -> None:
    setup_logging("debug", fmt=fmt, stream=stream)
    log, foreign = get_logger("bot"), logging.getLogger("foreign")
    event = f"event {CANARY}"
    log.info(event, value=CANARY, deep={"a": [CANARY, (CANARY,), {CANARY}]})
    log.info("keys", table={CANARY: 1}, thing=Holder(), raw=CANARY.encode())
    foreign.warning("%s and %s", CANARY, Holder())
    try:
        int(CANARY)
    except ValueError:
        log.exception("crashed")
        foreign.exception("crashed")
    with structlog.contextvars.bound_contextvars(secret=CANARY):
        log.warning("bound")
    text = stream.getvalue()
    assert CANARY not in text
    assert text.count("ValueError") >= 2
    assert text.count(HIDDEN) >= 8


def test_numbers_booleans_and_nothing_stay_what_they_are(stream: io.StringIO) -> None:
    setup_logging("info", fmt="json", stream=stream)
    get_logger("bot").info("kept", a=1, b=1.5, c=True, d=None, e=b"bytes")
    line = lines(stream)[0]
    assert [line[key] for key in "abcde"] == [1, 1.5, True, None, "[5 bytes]"]


def test_very_short_values_are_not_secrets() -> None:
    register_secret("a")
    register_secret("")
    assert redact("a cat") == "a cat"


def test_a_secret_inside_another_leaves_no_rest() -> None:
    register_secret("whole-secret")
    register_secret("whole-secret-and-more")
    assert redact("x whole-secret-and-more y") == f"x {HIDDEN} y"


def test_a_secret_with_special_signs_is_taken_literally() -> None:
    register_secret("a.b*c(d)[e]")
    assert redact("a.b*c(d)[e]") == HIDDEN
    assert redact("aXb*c(d)[e]") == "aXb*c(d)[e]"


DISCORD_TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4OQ" + ".GabcdE." + "x" * 38


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abcdef0123456789ABCDEF", "Authorization: Bearer [hidden]"),
        ("xoxb-" + "1234-5678-abcd", "xoxb-[hidden]"),
        ("xoxe-" + "1-abcd", "xoxe-[hidden]"),
        ("xapp-" + "1-A0-1-ab", "xapp-[hidden]"),
        ("key luma-8f14e45f-ceea-467f-a8b1-0c2", "key luma-[hidden]"),
        ("key luma-api-8f14e45fceea467fa8b10c2", "key luma-[hidden]"),
        (f"token {DISCORD_TOKEN}!", "token [hidden]!"),
        ("POST /callbacks/luma/k7_Zq-0123 200", "POST /callbacks/luma/[hidden] 200"),
        ("GET /frames/eyJhIjoxfQ.sig?x=1 200", "GET /frames/[hidden]?x=1 200"),
        ("https://s3.example/b/f.jpg?X-Amz-Signature=ab", "https://s3.example/b/f.jpg?[hidden]"),
        ("/webhooks/123/aBcD_e/messages", "/webhooks/123/[hidden]/messages"),
        (
            "https://hooks.slack.com/commands/T1/2/aBc",
            "https://hooks.slack.com/commands/[hidden]",
        ),
        ("https://files.slack.com/upload/v1/ABC_d", "https://files.slack.com/upload/[hidden]"),
        ("/interactions/123/aW50/callback", "/interactions/123/[hidden]/callback"),
        ("postgresql+psycopg://bot:pass@db/x", "postgresql+psycopg://bot:[hidden]@db/x"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "job r-7k2m9q submitted to luma with ray-flash-2",
        "generation 6f0c2b1e-5f4a-4d7c-9a51-0d2f3b8e7a10",
        "https://storage.cdn-luma.com/dream_machine/result.mp4",
        "fal-ai/luma-dream-machine/ray-2-flash",
        "[providers.luma] has no key 'prics'. Did you mean 'prices'?",
        "2026-11-22T12:00:01.388000Z",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text
