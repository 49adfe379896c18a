"""A ComfyUI server with Luma's nodes: a queue of graphs, their history, and files by name."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from aiohttp import web

from bot.simulator.account import Generation
from bot.simulator.face import Face
from bot.simulator.faults import Operation
from bot.simulator.order import ApiError, KeyFrame, read_order

if TYPE_CHECKING:
    from bot.simulator.server import Simulator

NODES = ("LoadImage", "LumaConceptsNode", "LumaImageToVideoNode", "LumaVideoNode", "SaveVideo")
FRAMES = {"first_image": "frame0", "last_image": "frame1"}
#: Where Luma fetches an image that a node has uploaded for it.
STORAGE = "https://storage.invalid/"
#: What a node says where Comfy answers with this status.
NODE_SAYS = {
    401: "Unauthorized: Please login first to use this node.",
    402: "Payment Required: Please add credits to your account to use this node.",
    429: "Rate Limit Exceeded: The server returned 429 after all retry attempts.",
}


@dataclass(kw_only=True)
class Prompt:
    """One graph that was taken; it failed with these words, or is Luma's generation."""

    number: int
    id: str
    graph: dict[str, Any]
    created_ms: int
    generation: Generation | None = None
    said: str = ""

    def row(self) -> list[Any]:
        """As the queue and the history show it, without what is secret."""
        extra = {"client_id": "raybot", "create_time": self.created_ms}
        return [self.number, self.id, self.graph, extra, [_find(self.graph, "SaveVideo")]]

    @property
    def is_over(self) -> bool:
        """Whether it is in the history."""
        return self.generation is None or self.generation.is_over


class ComfyUIFace(Face):
    """One server; it learns whether the account may and can pay only when a node runs."""

    links_end: ClassVar[bool] = False
    fails_unpaid: ClassVar[bool] = True
    operations: ClassVar[Mapping[str, Operation]] = {
        "POST /prompt": "create",
        "GET /queue": "list",
        "POST /queue": "delete",
        "GET /history/{id}": "get",
    }

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        self.has_nodes = True
        self.prompts: dict[str, Prompt] = {}
        self.uploads: dict[str, bytes] = {}

    def routes(self) -> list[web.RouteDef]:
        """What it answers to."""
        return [
            web.post("/prompt", self._prompt),
            web.get("/queue", self._queue),
            web.post("/queue", self._change_queue),
            web.get("/history", self._history),
            web.get("/history/{id}", self._one),
            web.get("/object_info/{node}", self._object_info),
            web.get("/view", self._view),
            web.post("/upload/image", self._upload),
        ]

    def check_key(self, request: web.Request) -> None:
        """The server wants none; the account's comes with a graph."""

    def forget(self) -> None:
        """What a new start of the server does; Luma's generations go on without it."""
        self.prompts.clear()

    async def _object_info(self, request: web.Request) -> web.Response:
        """What a node takes; an empty object where there is no such node."""
        node = request.match_info["node"]
        has_node = self.has_nodes and node in NODES
        return web.json_response({node: {"name": node}} if has_node else {})

    # ---- graphs --------------------------------------------------------------------------------

    async def _prompt(self, request: web.Request) -> web.Response:
        body = await request.json()
        graph, own_id = body.get("prompt"), body.get("prompt_id") or str(uuid.uuid4())
        if not isinstance(graph, dict):
            return _refuse("no_prompt", "No prompt provided", "No prompt provided")
        if str(uuid.UUID(own_id)) != own_id:
            return _refuse("invalid_prompt_id", "prompt_id must be a valid UUID", "")
        for name, node in graph.items():
            if node.get("class_type") not in NODES or not self.has_nodes:
                said = f"Node '{node.get('class_type')}' not found."
                return _refuse("missing_node_type", said, f"Node ID '#{name}'")
        if missing := [each for each in _images(graph).values() if each not in self.uploads]:
            details = (
                f"Custom validation failed for node: image - Invalid image file: {missing[0]}"
            )
            return _refuse("prompt_outputs_failed_validation", "Validation failed", details)
        created_ms = int(self.clock.now().timestamp() * 1000)
        prompt = Prompt(number=len(self.prompts), id=own_id, graph=graph, created_ms=created_ms)
        self.prompts[own_id] = prompt
        self._start(prompt, body.get("extra_data") or {}, str(request.url.origin()))
        return web.json_response({"prompt_id": own_id, "number": prompt.number, "node_errors": {}})

    def _start(self, prompt: Prompt, extra: dict[str, Any], origin: str) -> None:
        """Let the node ask Luma; what is refused there ends the graph."""
        if not self.is_key(str(extra.get("api_key_comfy_org"))):
            prompt.said = NODE_SAYS[401]
            return
        luma, images = _to_luma(prompt.graph), _images(prompt.graph)
        start, end = (self._key_frame(images.get(name)) for name in FRAMES)
        try:
            order = replace(read_order(luma), start=start, end=end)
            prompt.generation = self.account.create(order, luma, self.clock.now(), origin)
        except ApiError as error:
            prompt.said = NODE_SAYS.get(error.status, f"API Error: {error.detail}")
        else:
            self.simulator.begin(prompt.generation)

    def _key_frame(self, file: str | None) -> KeyFrame | None:
        if file is None:
            return None
        return KeyFrame(kind="image", value=file, content=self.uploads[file])

    # ---- the queue and the history -------------------------------------------------------------

    async def _queue(self, _: web.Request) -> web.Response:
        open_ones = [each for each in self.prompts.values() if not each.is_over]
        waiting = [each for each in open_ones if _state(each) == "queued"]
        return web.json_response(
            {
                "queue_running": [each.row() for each in open_ones if each not in waiting],
                "queue_pending": [each.row() for each in waiting],
            }
        )

    async def _change_queue(self, request: web.Request) -> web.Response:
        """Delete what waits; 200 whether anything was there or not."""
        for own_id in (await request.json()).get("delete", []):
            prompt = self.prompts.get(own_id)
            if prompt is not None and prompt.generation and _state(prompt) == "queued":
                self.simulator.withdraw(prompt.generation)
                del self.prompts[own_id]
        return web.Response()

    async def _history(self, request: web.Request) -> web.Response:
        over = [each for each in self.prompts.values() if each.is_over]
        newest = over[-int(request.query.get("max_items", "10000")) :]
        return web.json_response({each.id: _entry(each) for each in newest})

    async def _one(self, request: web.Request) -> web.Response:
        prompt = self.prompts.get(request.match_info["id"])
        is_over = prompt is not None and prompt.is_over
        return web.json_response({prompt.id: _entry(prompt)} if prompt and is_over else {})

    # ---- files ---------------------------------------------------------------------------------

    async def _view(self, request: web.Request) -> web.StreamResponse:
        asked = {key: request.query.get(key, "") for key in ("filename", "subfolder", "type")}
        for prompt in self.prompts.values():
            if prompt.generation and prompt.is_over and _file(prompt) == asked:
                return await self.serve(request, prompt.generation)
        raise web.HTTPNotFound

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        image, subfolder = form.get("image"), str(form.get("subfolder") or "")
        if not isinstance(image, web.FileField):
            return web.Response(status=400)
        name = "/".join(part for part in (subfolder, image.filename) if part)
        self.uploads[name] = image.file.read()
        return web.json_response({"name": image.filename, "subfolder": subfolder, "type": "input"})


def _state(prompt: Prompt) -> str:
    return prompt.generation.state if prompt.generation else "failed"


def _find(graph: dict[str, Any], kind: str) -> str:
    """The node of this kind; empty where there is none."""
    return next((name for name, node in graph.items() if node["class_type"] == kind), "")


def _video(graph: dict[str, Any]) -> dict[str, Any]:
    name = _find(graph, "LumaVideoNode") or _find(graph, "LumaImageToVideoNode")
    inputs: dict[str, Any] = graph[name]["inputs"]
    return inputs


def _images(graph: dict[str, Any]) -> dict[str, str]:
    """The files that are to be loaded, by the input they go into."""
    video = _video(graph)
    return {name: graph[video[name][0]]["inputs"]["image"] for name in FRAMES if name in video}


def _to_luma(graph: dict[str, Any]) -> dict[str, Any]:
    """What the node asks Luma for."""
    video = _video(graph)
    body = {key: video[key] for key in ("prompt", "model", "resolution", "duration", "loop")}
    body["aspect_ratio"] = video.get("aspect_ratio", "16:9")
    if "luma_concepts" in video:
        chosen = graph[video["luma_concepts"][0]]["inputs"].values()
        body["concepts"] = [{"key": each} for each in chosen if each != "None"]
    if images := _images(graph):
        body["keyframes"] = {
            FRAMES[name]: {"type": "image", "url": STORAGE + file} for name, file in images.items()
        }
    return body


def _file(prompt: Prompt) -> dict[str, str]:
    prefix = prompt.graph[_find(prompt.graph, "SaveVideo")]["inputs"]["filename_prefix"]
    folder, _, name = prefix.rpartition("/")
    filename = f"{name}_{prompt.number + 1:05}_.mp4"
    return {"filename": filename, "subfolder": folder, "type": "output"}


def _entry(prompt: Prompt) -> dict[str, Any]:
    """What the history keeps of it."""
    generation, save = prompt.generation, _find(prompt.graph, "SaveVideo")
    about = {"prompt_id": prompt.id, "timestamp": prompt.created_ms}
    messages: list[Any] = [["execution_start", about]]
    if generation is not None and generation.state == "completed":
        outputs = {save: {"images": [_file(prompt)], "animated": [True]}}
        messages.append(["execution_success", about])
        status = {"status_str": "success", "completed": True, "messages": messages}
        return {"prompt": prompt.row(), "outputs": outputs, "status": status, "meta": {}}
    said = prompt.said
    if generation is not None:
        dump = json.dumps(generation.to_json())
        said = f"Polling aborted due to error: Task failed: {dump}"
    error = {
        "node_type": "LumaVideoNode",
        "exception_message": said,
        "exception_type": "Exception",
    }
    messages.append(["execution_error", {**about, **error, "traceback": []}])
    status = {"status_str": "error", "completed": False, "messages": messages}
    return {"prompt": prompt.row(), "outputs": {}, "status": status, "meta": {}}


def _refuse(kind: str, message: str, details: str) -> web.Response:
    error = {"type": kind, "message": message, "details": details, "extra_info": {}}
    return web.json_response({"error": error, "node_errors": {}}, status=400)


FACE = ComfyUIFace
