"""The conversation as people see it, in a file: it outlives every process that posts there."""

from __future__ import annotations

from pathlib import Path

UPLOAD_SECONDS = 0.1


class Wall:
    """One line for each clip that became visible; several processes may write to it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def show(self, clip: str, key: str = "") -> None:
        """A clip is visible; the write is one, so lines do not mix."""
        with self._path.open("a") as file:
            file.write(f"{clip} {key}\n")

    def clips(self) -> list[str]:
        """All that people see, one that stands there twice being here twice.

        As on Discord, a post that comes again under its key stays one post.
        """
        if not self._path.exists():
            return []
        lines = self._path.read_text().splitlines()
        keyed = {line for line in lines if not line.endswith(" ")}
        unkeyed = [line for line in lines if line.endswith(" ")]
        return [line.split()[0] for line in (*keyed, *unkeyed)]
