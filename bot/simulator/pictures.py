"""A picture to animate, for the demo; drawn, so that none has to be shipped."""

from __future__ import annotations

import io

from bot.simulator.scene import Scene

SIZE = (960, 720)


def draw_picture(prompt: str = "a calm sea in the morning") -> bytes:
    """A 4:3 landscape for a prompt, as PNG."""
    written = io.BytesIO()
    Scene(prompt, SIZE).frame(0.3, 0.0).save(written, "PNG")
    return written.getvalue()
