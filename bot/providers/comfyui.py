"""A ComfyUI server of the user's own, whose Luma nodes make the clip on a Comfy account.

It takes an id of ours with the graph, so that its queue and history show a lost submission.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from urllib.parse import quote

import httpx
from pydantic import Field

from bot import errors, http, ports
from bot.clock import Clock
from bot.dialects.comfy import PRICES, to_models, to_tariffs, to_uuid
from bot.dialects.comfy_graph import (
    FOLDER,
    IMAGES,
    TEXT_NODE,
    Prompt,
    explain,
    read_history,
    read_queue,
    to_graph,
    to_seed,
)
from bot.dialects.dream_machine import MEANS, part
from bot.log import register_secret
from bot.metrics import Metrics
from bot.ports import FrameHandle, Generation, Submission, Tell, to_nobody
from bot.refs import GenerationId, Micros
from bot.service import Address, OverHttp, ServiceTable, look_at_each, open_service
from bot.tariffs import Tariff

CLOSED = "There is no ComfyUI with Luma's nodes at this address. Update it, and allow API nodes."
#: What a server says of a graph with a node that it does not have.
NO_NODE = {"missing_node_type", "invalid_prompt"}
#: How many of the newest are read of its history, which holds 10,000 with their whole graphs.
NEWEST = 200
#: How much older another one must be to show that nothing was forgotten since.
OLDER = timedelta(seconds=60)


class Settings(ServiceTable):
    """`[providers.comfyui]`; `api_key` is that of the Comfy account which pays for the nodes.

    `prices` are $ for 5 s at 540p, other clips in proportion. A server runs one graph at a time.
    """

    base_url: Address = "http://127.0.0.1:8188"
    running_limit: int = Field(default=1, ge=1)

    def priced(self) -> Collection[str]:
        """The models."""
        return PRICES


def read_error(response: httpx.Response, *, name: str = "comfyui") -> errors.ProviderError:
    """The error that a 4xx stands for; a graph that is refused was not queued."""
    body, status = http.read_json(response.content), response.status_code
    told = part(body, "error") if isinstance(body, dict) else {}
    if status in {404, 405, 410} or str(told.get("type")) in NO_NODE:
        return errors.ProviderRetired(CLOSED, provider=name)
    if status != httpx.codes.BAD_REQUEST or not told:
        return http.to_error(response, provider=name)
    failure = explain(http.plain(told.get("details")) or http.plain(told.get("message")))
    return errors.ProviderRejected(failure.sentence, provider=name, code=failure.code)


class ComfyUI(OverHttp):
    """`ports.Provider` for one ComfyUI server; connections open with the first call."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        name: str = "comfyui",
        is_test: bool = False,
        metrics: Metrics | None = None,
    ) -> None:
        self.name, self.is_test, self._base_url = name, is_test, settings.base_url
        self.capabilities = to_models(image_input="bytes", has_concepts=True)
        self.tariffs: Mapping[str, Tariff] = to_tariffs(settings.prices)
        self.limits = settings.to_limits(has_list=True)
        self._account = settings.api_key.get_secret_value() if settings.api_key else ""
        register_secret(self._account)
        # The key is the account's and goes along with the graph; the server itself wants none.
        self._api = open_service(
            name,
            settings.model_copy(update={"api_key": None}),
            base_url=settings.base_url,
            clock=clock,
            read_error=partial(read_error, name=name),
            metrics=metrics,
        )

    async def submit(self, submission: Submission) -> Generation:
        """The images, which cost nothing, then one POST under an id of our own."""
        frames = (submission.start_frame, submission.end_frame)
        images = {
            slot: await self._upload(frame, f"{submission.job_id}-{submission.attempt}-{slot}")
            for slot, frame in zip(IMAGES, frames, strict=True)
            if frame is not None
        }
        own_id = to_uuid(submission)
        body = {
            "prompt": to_graph(submission, images, to_seed(own_id)),
            "prompt_id": own_id,
            "client_id": FOLDER,
            "extra_data": {"api_key_comfy_org": self._account},
        }
        row = await self._api.post("prompt", body, self.limits.submit_seconds)
        told = row.get("prompt_id") if isinstance(row, dict) else None
        if not isinstance(told, str) or not re.fullmatch(r"[\w-]+", told):
            raise errors.SubmissionUncertain(provider=self.name)
        return Generation(id=GenerationId(told), state="queued")

    async def _upload(self, frame: FrameHandle, name: str) -> str:
        """The image as the server will call it; it stays in its input folder."""
        if frame.path is None:
            raise errors.ProviderRejected(MEANS["image"], provider=self.name, code="image")
        try:
            content = await asyncio.to_thread(Path(frame.path).read_bytes)
        except OSError as error:
            raise errors.ProviderUnavailable(provider=self.name) from error
        filename = f"{name}.{frame.content_type.rpartition('/')[2]}"
        reply = await self._api.act(
            "POST",
            "upload/image",
            files={"image": (filename, content, frame.content_type)},
            data={"subfolder": FOLDER, "type": "input", "overwrite": "true"},
        )
        if reply.is_client_error:
            raise read_error(reply, name=self.name)
        row = http.read_json(reply.content)
        if not reply.is_success or not isinstance(row, dict) or not row.get("name"):
            raise errors.ProviderUnavailable(provider=self.name)
        return "/".join(str(row[key]) for key in ("subfolder", "name") if row.get(key))

    async def check(
        self, ids: Collection[GenerationId], tell: Tell = to_nobody
    ) -> Mapping[GenerationId, Generation]:
        """The queue tells of all that is under way; whatever left it is asked for one by one."""
        found: dict[GenerationId, Generation] = {}
        trouble: errors.ProviderError | None = None
        try:
            queue = {each.generation.id: each.generation for each in await self._queue()}
            found = {own_id: queue[own_id] for own_id in ids if own_id in queue}
            for each in found.values():
                tell(each)
        except errors.ProviderError as error:
            trouble = error
        rest = sorted(set(ids) - found.keys())
        return await look_at_each(rest, self._ended, tell=tell, known=found, trouble=trouble)

    async def _queue(self) -> list[Prompt]:
        return list(read_queue(await self._api.get("queue")))

    async def _history(self, own_id: GenerationId) -> list[Prompt]:
        row = await self._api.get_one(f"history/{quote(own_id, safe='')}")
        return list(read_history(row, self._base_url))

    async def _ended(self, own_id: GenerationId) -> Generation | None:
        history = await self._history(own_id)
        return next((each.generation for each in history if each.generation.id == own_id), None)

    async def find(
        self, submission: Submission, owned: Collection[GenerationId]
    ) -> ports.Found | ports.Absent | ports.CannotTell:
        """By the id that went along, or by the seed where a server made up an id of its own.

        It forgets all when it is started again: only one who remembers older graphs can tell
        that ours never came. The queue is read first, since what leaves it enters the history.
        """
        own_id = GenerationId(to_uuid(submission))
        seen = await self._queue()
        seen += await self._history(own_id)
        newest = await self._api.get("history", max_items=NEWEST)
        seen += read_history(newest, self._base_url)
        for each in seen:
            if each.generation.id == own_id or each.seed == to_seed(own_id):
                return ports.Found(generations=(each.generation,))
        since = submission.sent_at - OLDER - self._api.clock_skew
        has_memory = any(each.created_at and each.created_at < since for each in seen)
        return ports.Absent() if has_memory else ports.CannotTell()

    async def cancel(self, generation_id: GenerationId) -> bool:
        """Only what waits in the queue; True once it is seen to have begun nowhere."""
        try:
            if not await self._is_waiting(generation_id):
                return False
            await self._api.act("POST", "queue", json={"delete": [generation_id]})
            is_there = any(each.generation.id == generation_id for each in await self._queue())
            return not is_there and await self._ended(generation_id) is None
        except errors.ProviderError:
            return False

    async def _is_waiting(self, own_id: GenerationId) -> bool:
        queue = {each.generation.id: each.generation.state for each in await self._queue()}
        return queue.get(own_id) == "queued"

    async def balance(self) -> Micros | None:
        """Not told; but asking for a node shows whether the server is there and has it."""
        if not await self._api.get(f"object_info/{TEXT_NODE}"):
            raise errors.ProviderRetired(CLOSED, provider=self.name)
        return None

    async def read_callback(
        self, headers: Mapping[str, str], body: bytes, token: str
    ) -> Generation | None:
        """The server never calls."""
        return None


create = ComfyUI
