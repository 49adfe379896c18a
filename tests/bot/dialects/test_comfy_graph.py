"""The graph of a clip, and what a ComfyUI server says of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.dialects.comfy_graph import explain, read_history, read_queue, to_graph, to_seed
from bot.ports import Generation, Submission
from bot.refs import JobId
from bot.request import VideoWork

RECORDED = Path(__file__).parents[2] / "recorded" / "comfyui"
BASE = "http://192.168.1.20:8188"
SEED = 7
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


def recorded(name: str) -> Any:
    return json.loads((RECORDED / f"{name}.json").read_text("utf-8"))


def graph_of(images: dict[str, str] | None = None, **work: Any) -> dict[str, Any]:
    submission = Submission(
        job_id=JobId("r-1"),
        attempt=2,
        work=VideoWork.model_validate({"prompt": " a red fox \n", **work}),
        sent_at=datetime(2026, 11, 22, tzinfo=UTC),
        token_hash="0" * 64,
    )
    return to_graph(submission, images or {}, SEED)


# ---- the graph --------------------------------------------------------------------------------


def test_a_text_becomes_two_nodes() -> None:
    assert graph_of(model="ray-2", duration="9s", resolution="720p", aspect_ratio="9:16") == {
        "1": {
            "class_type": "LumaVideoNode",
            "inputs": {
                "prompt": "a red fox",
                "model": "ray-2",
                "resolution": "720p",
                "duration": "9s",
                "loop": False,
                "seed": SEED,
                "aspect_ratio": "9:16",
            },
        },
        "2": {
            "class_type": "SaveVideo",
            "inputs": {
                "video": ["1", 0],
                "filename_prefix": "raybot/r-1-2",
                "format": "auto",
                "codec": "auto",
                "format.codec": "auto",
            },
        },
    }


def test_images_are_loaded_for_the_node_that_takes_no_shape() -> None:
    graph = graph_of({"first_image": "raybot/a.jpeg", "last_image": "raybot/b.jpeg"}, loop=True)
    assert graph["1"]["class_type"] == "LumaImageToVideoNode"
    assert graph["1"]["inputs"]["first_image"] == ["3", 0]
    assert graph["1"]["inputs"]["last_image"] == ["4", 0]
    assert graph["1"]["inputs"]["loop"] is True
    assert "aspect_ratio" not in graph["1"]["inputs"]
    assert graph["3"] == {"class_type": "LoadImage", "inputs": {"image": "raybot/a.jpeg"}}
    assert graph["4"] == {"class_type": "LoadImage", "inputs": {"image": "raybot/b.jpeg"}}


def test_camera_moves_fill_four_places() -> None:
    graph = graph_of(concepts=("push_in", "aerial"))
    assert graph["1"]["inputs"]["luma_concepts"] == ["5", 0]
    assert graph["5"]["class_type"] == "LumaConceptsNode"
    assert list(graph["5"]["inputs"].values()) == ["push_in", "aerial", "None", "None"]


def test_a_seed_is_a_number_that_json_keeps_everywhere() -> None:
    seed = to_seed("ffffffff-ffff-4fff-bfff-ffffffffffff")
    assert seed == 2**53 - 1
    assert seed != to_seed("ffffffff-ffff-4fff-bfff-fffffffffffe")


# ---- why there is no clip ---------------------------------------------------------------------


def failed(reason: str | None, prompt: str = "a fox") -> str:
    """What a node says of a generation that Luma failed."""
    generation = {
        "id": "g-1",
        "state": "failed",
        "failure_reason": reason,
        "request": {"prompt": prompt},
    }
    return f"Polling aborted due to error: Task failed: {json.dumps(generation)}"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("Payment Required: Please add credits to your account to use this node.", "credits"),
        ("Unauthorized: Please login first to use this node.", "key"),
        ("There is a problem with your account. Please contact support@comfy.org.", "key"),
        ("Rate Limit Exceeded: The server returned 429 after all retry attempts.", "busy"),
        ("Field 'prompt' cannot be shorter than 3 characters; was 2 characters long.", "prompt"),
        ("API Error: Prompt is too long, maximum length is 5000 characters", "prompt"),
        ("API Error: Loop is not supported for keyframes", "loop"),
        ("image - Invalid image file: raybot/a.jpeg", "image"),
        (failed("Contains blacklisted words"), "moderation"),
        (failed("Frame moderation failed"), "image_moderation"),
        (failed("Job failed"), "service"),
        (failed(None), "unknown"),
        (failed("something new", prompt="blacklisted, job failed, add credits"), "unknown"),
        ("Task failed: no JSON", "unknown"),
        ("Unable to connect to https://api.comfy.org/proxy/luma", "unknown"),
        ("", "unknown"),
    ],
)
def test_each_reason_has_its_code_and_a_sentence(said: str, code: str) -> None:
    failure = explain(said)
    assert failure.code == code
    assert failure.sentence.endswith(".")
    assert "://" not in failure.sentence


# ---- the queue and the history ----------------------------------------------------------------


def test_the_queue_tells_what_runs_and_what_waits() -> None:
    running, waiting = read_queue(recorded("queue"))
    assert (running.generation.state, running.seed) == ("running", 11)
    assert (waiting.generation.state, waiting.seed) == ("queued", 12)
    assert running.created_at == datetime(2025, 11, 22, 12, tzinfo=UTC)


def end_of(body: Any) -> Generation:
    [prompt] = read_history(body, f"{BASE}/")
    return prompt.generation


def test_a_clip_is_behind_the_servers_own_address() -> None:
    done = end_of(recorded("history_success"))
    assert done.state == "completed"
    assert done.clip_url == f"{BASE}/view?filename=r-1-1_00001_.mp4&subfolder=raybot&type=output"


def test_an_error_of_a_node_is_a_failure_that_is_not_tried_again() -> None:
    poor = end_of(recorded("history_error"))
    assert poor.failure is not None
    assert (poor.state, poor.failure.code, poor.can_retry) == ("failed", "credits", False)


def changed(name: str, **changes: Any) -> dict[str, Any]:
    [(own_id, entry)] = recorded(name).items()
    return {own_id: {**entry, **changes}}


@pytest.mark.parametrize(
    ("said", "can_retry"),
    [(failed("Job failed"), True), ("Job failed", False), (failed("no"), False)],
)
def test_only_a_fault_that_luma_gave_back_is_tried_again(said: str, can_retry: bool) -> None:
    messages = [["execution_error", {"exception_message": said}]]
    body = changed("history_error", status={"status_str": "error", "messages": messages})
    assert end_of(body).can_retry is can_retry


def test_an_interruption_is_told() -> None:
    messages = [["execution_interrupted", {"node_id": "1"}]]
    body = changed("history_error", status={"status_str": "error", "messages": messages})
    failure = end_of(body).failure
    assert failure is not None
    assert failure.code == "interrupted"


@pytest.mark.parametrize(
    "outputs", [{}, {"2": {"images": []}}, {"2": {"text": ["a.mp4"]}}, {"2": None}]
)
def test_an_end_without_a_clip_is_a_failure(outputs: Any) -> None:
    ended = end_of(changed("history_success", outputs=outputs))
    assert (ended.state, ended.can_retry) == ("failed", False)


def test_a_status_that_is_missing_leaves_the_clip() -> None:
    assert end_of(changed("history_success", status=None)).state == "completed"


@given(ANYTHING)
def test_anything_at_all_is_read_without_a_fault(body: Any) -> None:
    list(read_queue(body))
    list(read_queue({"queue_running": body, "queue_pending": [body]}))
    list(read_history(body, BASE))
    list(read_history({"x": body, "y": {"status": body, "outputs": body, "prompt": body}}, BASE))
