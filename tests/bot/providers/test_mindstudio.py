"""MindStudio's own rules: what the operator tells of the app decides what people can choose."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bot import choice
from bot.config import to_config
from bot.dialects.one_answer import OneAnswer, read_link
from bot.errors import ConfigError, InvalidRequest, ProviderRejected
from bot.ports import FrameHandle, Submission
from bot.providers.mindstudio import (
    Settings,
    create,
    read_failure,
    read_id,
    to_model,
    to_payload,
)
from bot.refs import Attachment, JobId, Micros
from bot.request import ImageFrame, VideoWork
from bot.tariffs import PerClip
from tests.fakes import MovableClock

RECORDED = Path(__file__).parents[2] / "recorded" / "mindstudio"
KEY = "a-very-private-key-0123456789"
CALLBACK = "https://bot.example.org/callbacks/mindstudio/SECRET-TOKEN"
START = FrameHandle(url="https://bot.example.org/frames/start.jpg")
PICTURE = ImageFrame(attachment=Attachment(adapter="recording", id="1"))


def recorded(name: str) -> Any:
    """A reply as MindStudio's API reference shows it, scrubbed, with a clip's link in it."""
    return json.loads((RECORDED / f"{name}.json").read_text("utf-8"))


def table(**values: Any) -> Settings:
    given = {
        "api_key": KEY,
        "app_id": "46f2e54b",
        "variables": {"prompt": "words"},
        "result": "result.videoUrl",
    }
    return Settings.model_validate({**given, **values})


def make(**values: Any) -> OneAnswer[Settings]:
    return create(table(**values), clock=MovableClock())


def to_submission(frames: Any = None, **work: Any) -> Submission:
    return Submission(
        job_id=JobId("r-1"),
        attempt=1,
        work=VideoWork.model_validate({"prompt": " a red fox\n", **work}),
        sent_at=datetime(2026, 11, 22, 12, 0, tzinfo=UTC),
        token_hash="0" * 64,
        callback_url=CALLBACK,
        has_callback=True,
        **(frames or {}),
    )


# ---- what we send -----------------------------------------------------------------------------


def test_only_what_has_a_variable_is_sent() -> None:
    assert to_payload(to_submission(aspect_ratio="9:16"), table()) == {
        "appId": "46f2e54b",
        "variables": {"words": "a red fox"},
    }


def test_everything_that_has_a_variable_is_sent_under_the_apps_names() -> None:
    names = {
        "prompt": "words",
        "aspect_ratio": "shape",
        "duration": "length",
        "resolution": "size",
        "loop": "isLoop",
        "start_frame": "first",
        "end_frame": "last",
    }
    work = {"aspect_ratio": "9:16", "duration": "9s", "resolution": "720p", "loop": True}
    payload = to_payload(
        to_submission({"start_frame": START}, **work), table(variables=names, workflow="Main")
    )
    assert payload == {
        "appId": "46f2e54b",
        "workflow": "Main",
        "variables": {
            "words": "a red fox",
            "shape": "9:16",
            "length": "9s",
            "size": "720p",
            "isLoop": True,
            "first": START.url,
        },
    }


def test_an_image_that_is_only_a_file_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ProviderRejected) as refused:
        to_payload(to_submission({"start_frame": FrameHandle(path="fox.jpg")}), table())
    assert refused.value.code == "image"


# ---- what we read -----------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "path"), [("run", "result.videoUrl"), ("run_text", "result")])
def test_both_documented_results_are_read(name: str, path: str) -> None:
    answer = recorded(name)
    assert read_link(answer, path) == "https://files.example.org/clips/fox.mp4"
    assert read_id(answer) == "9ca06a28-0000-407e-8f5d-000000000001"
    assert read_failure(answer) is None


def test_an_answer_to_come_names_no_run_and_no_failure() -> None:
    answer = recorded("in_progress")
    assert (read_link(answer, "result.videoUrl"), read_id(answer)) == (None, None)
    assert read_failure(answer) is None


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"success": True, "thread": {"error": "Job failed"}}, "Job failed"),
        ({"thread": {"error": {"message": "Job failed"}}}, "Job failed"),
        ({"success": False, "message": "Job failed"}, "Job failed"),
        ({"success": False}, ""),
        ({"success": True, "thread": {"error": ""}}, None),
        ({"success": True, "thread": "odd"}, None),
        ({}, None),
    ],
)
def test_a_failed_run_is_told_from_a_doubtful_one(answer: Any, says: str | None) -> None:
    assert read_failure(answer) == says


@pytest.mark.parametrize("told", [None, "", 7.5, {}, "../load", "x" * 101])
def test_an_odd_name_is_none(told: object) -> None:
    assert read_id({"threadId": told}) is None


# ---- what people can choose --------------------------------------------------------------------


def test_an_app_that_takes_a_prompt_alone_makes_one_kind_of_clip() -> None:
    can = to_model(table(durations=["9s", "5s"], resolutions=["1080p"], aspect_ratios=["1:1"]))
    assert can.fixed == ("9s", "1080p")
    assert (can.durations, can.resolutions, can.aspect_ratios) == ((), (), ("1:1",))
    assert set(can.frames) == {("none", "none")}
    assert can.frames["none", "none"].loop_refusal


@pytest.mark.parametrize(
    ("variables", "durations", "resolutions", "ratios"),
    [
        ({"duration": "d"}, ("5s", "9s"), ("540p",), ("16:9",)),
        ({"resolution": "r"}, ("5s",), ("540p", "720p"), ("16:9",)),
        ({"duration": "d", "aspect_ratio": "a"}, ("5s", "9s"), ("540p",), ("16:9", "1:1")),
    ],
)
def test_what_has_a_variable_can_be_chosen(
    variables: dict[str, str], durations: Any, resolutions: Any, ratios: Any
) -> None:
    can = to_model(
        table(
            variables={"prompt": "words", **variables},
            durations="5s, 9s",  # As in the environment.
            resolutions=["540p", "720p"],
            aspect_ratios=["16:9", "1:1"],
        )
    )
    assert (can.durations, can.resolutions, can.aspect_ratios) == (durations, resolutions, ratios)
    assert can.fixed is None


def test_frames_are_taken_where_they_have_variables() -> None:
    both = {"prompt": "words", "start_frame": "first", "end_frame": "last", "loop": "isLoop"}
    frames = to_model(table(variables=both)).frames
    kinds = ("none", "image")
    assert set(frames) == {(start, end) for start in kinds for end in kinds}
    may_loop = {pair for pair, rule in frames.items() if rule.loop_refusal is None}
    assert may_loop == {("none", "none"), ("image", "none")}
    only_start = {"prompt": "words", "start_frame": "first"}
    assert set(to_model(table(variables=only_start)).frames) == {
        ("none", "none"),
        ("image", "none"),
    }


def test_an_image_for_an_app_without_a_variable_is_refused_in_words() -> None:
    work = VideoWork(prompt="fox", start_frame=PICTURE)
    with pytest.raises(InvalidRequest, match="cannot start with an image"):
        choice.choose(work, [make(prices={"ray-flash-2": 0.2})])


# ---- prices and the table ----------------------------------------------------------------------


def test_without_a_price_the_model_is_hidden() -> None:
    assert choice.usable(make()) == ()
    assert choice.usable(make(prices={"ray-flash-2": 0.2})) == ("ray-flash-2",)


def test_a_price_is_of_every_clip_or_of_one_kind() -> None:
    provider = make(
        variables={"prompt": "words", "duration": "d", "resolution": "r"},
        durations=["5s", "9s"],
        resolutions=["540p", "720p"],
        prices={"540p 5s": 0.2, "540p 9s": 0.36},
    )
    assert provider.tariffs["ray-flash-2"] == PerClip(
        clips={("540p", "5s"): Micros(200_000), ("540p", "9s"): Micros(360_000)}
    )
    every = make(model="ray-2", prices={"ray-2": 0.5}).tariffs["ray-2"]
    assert every == PerClip(clips={("720p", "5s"): Micros(500_000)})


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"app_id": ""}, "app_id"),
        ({"result": ""}, "result"),
        ({"variables": {}}, "variables"),
        ({"variables": {"duration": "d"}}, "variables"),
        ({"variables": {"prompt": "words", "colour": "c"}}, "variables.colour"),
        ({"variables": "words"}, "variables"),
        ({"durations": []}, "durations"),
        ({"base_url": "mindstudio"}, "base_url"),
    ],
)
def test_what_only_the_operator_can_know_is_asked_for(values: dict[str, Any], key: str) -> None:
    given = {"api_key": KEY, **table().model_dump(include={"app_id", "variables", "result"})}
    config = to_config({"providers": {"mindstudio": {**given, **values}}})
    with pytest.raises(ConfigError, match=rf"\[providers\.mindstudio\] {key}"):
        config.load_table(Settings, "providers.mindstudio")


def test_without_a_key_nothing_is_asked_for() -> None:
    assert Settings().app_id is None
    assert Settings.model_validate({"api_key": ""}).variables == {}


def test_the_environment_holds_variables_as_json() -> None:
    assert table(variables='{"prompt": "words"}').variables == {"prompt": "words"}
    with pytest.raises(ValidationError):
        table(variables='{"prompt"')
