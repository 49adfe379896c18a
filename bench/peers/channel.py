"""Where a peer posts its clips: takes the time of an upload and notes when each came."""

from __future__ import annotations

import asyncio
from itertools import count

from bench.post_log import UPLOAD_SECONDS, PostLog
from bench.service import to_prompt
from bot.clock import SystemClock

#: What every peer orders, each time with other words.
ORDER = {
    "model": "ray-flash-2",
    "aspect_ratio": "1:1",
    "duration": "5s",
    "resolution": "540p",
}


class Channel:
    """Knows which generations a peer has begun, and when the clip of each was visible."""

    def __init__(self, post_log: PostLog | None = None) -> None:
        self.begun: list[str] = []
        self.visible: dict[str, float] = {}
        self._post_log = post_log
        self._numbers = count()

    def order(self) -> dict[str, str]:
        """What the next job orders; may be called from any thread."""
        return {"prompt": to_prompt(next(self._numbers)), **ORDER}

    def begin(self, generation: str) -> None:
        """The peer knows this generation now; may be called from any thread."""
        self.begun.append(generation)

    async def post(self, generation: str, clip: bytes) -> None:
        """Upload it; then it is visible."""
        await asyncio.sleep(UPLOAD_SECONDS)
        if not clip:
            raise ValueError("there is nothing to upload")
        self.visible[generation] = SystemClock().now().timestamp()
        if self._post_log is not None:
            self._post_log.show(generation)
