"""A clip as a graph of ComfyUI's nodes, and what its queue, its history and its nodes say. Pure.

Facts: ComfyUI's server.py, execution.py, comfy_api_nodes (nodes_luma.py, util/client.py) and
comfy_extras/nodes_video.py, as of November 2026.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from bot import http
from bot.dialects.comfy import CREDITS, to_failure
from bot.dialects.dream_machine import MEANS, Row, part
from bot.job import Failure
from bot.ports import Generation, GenerationState, Submission
from bot.refs import GenerationId
from bot.request import to_video

KEY = "Comfy refuses the account's key. The operator can put a good one into the configuration."
TEXT_NODE, IMAGE_NODE = "LumaVideoNode", "LumaImageToVideoNode"
VIDEO, SAVE, CONCEPTS = "1", "2", "5"
#: Inputs of Luma's node for images, and the node that loads each.
IMAGES = {"first_image": "3", "last_image": "4"}
MOST_CONCEPTS = 4
#: Where the server keeps what is ours, in and out.
FOLDER = "raybot"
#: What a node says (first match), as its code and sentence.
SAYS = {
    "payment required|add credits": ("credits", CREDITS),
    "unauthorized|login first|problem with your account": ("key", KEY),
    "rate limit exceeded": ("busy", "Comfy asks for a pause. Ask again in a while."),
    "cannot be (shorter|longer) than": ("prompt", MEANS["prompt"]),
    "invalid image file|cannot identify image": ("image", MEANS["image"]),
}
#: After these words a failed generation of Luma's follows.
LUMA_FAILED = "Task failed: "
INTERRUPTED = Failure(code="interrupted", sentence="Somebody stopped it in ComfyUI.")
NO_FILE = Failure(code="unknown", sentence="ComfyUI ended without a clip.")
VIDEOS = (".mp4", ".webm", ".mkv")
#: What a graph may be called; anybody may call theirs anything.
ID = re.compile(r"[\w.-]{1,120}", re.ASCII)
QUEUES: dict[str, GenerationState] = {"queue_running": "running", "queue_pending": "queued"}
LATEST_MS = 1e14


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One graph in the queue or the history: what became of it, its seed, when it was sent."""

    generation: Generation
    seed: object
    created_at: datetime | None


def to_seed(prompt_id: str) -> int:
    """Luma's result ignores it, but without it ComfyUI would show an earlier clip again."""
    return uuid.UUID(prompt_id).int % (1 << 53)


def to_graph(submission: Submission, images: Mapping[str, str], seed: int) -> dict[str, Any]:
    """The graph of one clip; `images` are files of the server by the input they go into."""
    work = to_video(submission.work)
    video: dict[str, Any] = {
        "prompt": work.prompt.strip(),
        "model": work.model,
        "resolution": work.resolution,
        "duration": work.duration,
        "loop": work.loop,
        "seed": seed,
        **{name: [IMAGES[name], 0] for name in images},
    }
    graph = {IMAGES[name]: _node("LoadImage", image=file) for name, file in images.items()}
    if not images:  # Else the clip has the image's shape.
        video["aspect_ratio"] = work.aspect_ratio
    if work.concepts:
        chosen = [*work.concepts, *["None"] * MOST_CONCEPTS][:MOST_CONCEPTS]
        named = {f"concept{number}": each for number, each in enumerate(chosen, 1)}
        graph[CONCEPTS] = _node("LumaConceptsNode", **named)
        video["luma_concepts"] = [CONCEPTS, 0]
    graph[VIDEO] = _node(IMAGE_NODE if images else TEXT_NODE, **video)
    # Newer servers want the codec by its format's name, too; older ones pass that over.
    form = {"format": "auto", "codec": "auto", "format.codec": "auto"}
    prefix = f"{FOLDER}/{submission.job_id}-{submission.attempt}"
    graph[SAVE] = _node("SaveVideo", video=[VIDEO, 0], filename_prefix=prefix, **form)
    return graph


def _node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def explain(said: str) -> Failure:
    """Why there is no clip, from the words of a node that failed or was refused."""
    _, is_lumas, dump = said.partition(LUMA_FAILED)
    if is_lumas:  # It holds the prompt, too, whose words are no reason.
        return to_failure(http.plain(_read_object(dump).get("failure_reason")))
    for pattern, (code, sentence) in SAYS.items():
        if re.search(pattern, said, re.IGNORECASE):
            return Failure(code=code, sentence=sentence)
    return to_failure(http.plain(said))


def _read_object(text: str) -> Row:
    try:
        found, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return {}
    return _row(found)


def _row(value: object) -> Row:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def read_queue(body: object) -> Iterator[Prompt]:
    """What runs and what waits."""
    for key, state in QUEUES.items():
        for row in _list(_row(body).get(key)):
            own_id = dict(enumerate(_list(row))).get(1)
            if isinstance(own_id, str) and ID.fullmatch(own_id):
                yield _read_prompt(row, Generation(id=GenerationId(own_id), state=state))


def read_history(body: object, base_url: str) -> Iterator[Prompt]:
    """What ended, well or badly; the links are the server's own and do not end."""
    for own_id, entry in _row(body).items():
        if not ID.fullmatch(own_id):
            continue
        generation = _read_end(GenerationId(own_id), _row(entry), base_url)
        yield _read_prompt(_row(entry).get("prompt"), generation)


def _read_prompt(row: object, generation: Generation) -> Prompt:
    told = dict(enumerate(_list(row)))
    video = part(part(_row(told.get(2)), VIDEO), "inputs")
    created_at = _read_time(_row(told.get(3)).get("create_time"))
    return Prompt(generation=generation, seed=video.get("seed"), created_at=created_at)


def _read_time(milliseconds: object) -> datetime | None:
    if isinstance(milliseconds, int | float) and 0 < milliseconds < LATEST_MS:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    return None


def _read_end(own_id: GenerationId, entry: Row, base_url: str) -> Generation:
    status = part(entry, "status")
    messages = (each for each in _list(status.get("messages")) if len(_list(each)) == 2)
    told = {str(name): about for name, about in messages}
    link = _read_link(part(entry, "outputs"), base_url)
    if link is not None and status.get("status_str") != "error":
        return Generation(id=own_id, state="completed", clip_url=link)
    said = str(part(told, "execution_error").get("exception_message") or "")
    if said:
        failure = explain(said)
    else:
        failure = INTERRUPTED if "execution_interrupted" in told else NO_FILE
    # Luma gives back what it failed itself; of other faults nobody knows whether they were paid.
    can_retry = failure.code == "service" and LUMA_FAILED in said
    return Generation(id=own_id, state="failed", failure=failure, can_retry=can_retry)


def _read_link(outputs: Row, base_url: str) -> str | None:
    for file in _read_files(outputs):
        if str(file.get("filename")).endswith(VIDEOS):
            where = {key: str(file.get(key) or "") for key in ("filename", "subfolder", "type")}
            return f"{base_url.rstrip('/')}/view?{urlencode(where)}"
    return None


def _read_files(outputs: Row) -> Iterator[Row]:
    for node in outputs.values():
        for listed in _row(node).values():
            yield from (each for each in _list(listed) if isinstance(each, dict))
