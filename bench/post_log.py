"""The conversation as people see it, in a file: it outlives every process that posts there."""

from __future__ import annotations

from pathlib import Path

UPLOAD_SECONDS = 0.1


class PostLog:
    """One line for each post of a clip, with its key; several processes may write to it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def show(self, clip: str, key: str = "") -> None:
        """A clip is visible; the write is one, so lines do not mix."""
        with self._path.open("a") as file:
            file.write(f"{clip}\t{key}\n")

    def clips(self) -> list[str]:
        """All that people see, one that stands there twice being here twice."""
        return [clip for clip, _ in self._lines()]

    def has(self, key: str) -> bool:
        """Whether something was posted under this key."""
        return any(each == key for _, each in self._lines())

    def _lines(self) -> list[tuple[str, str]]:
        if not self._path.exists():
            return []
        split = (line.partition("\t") for line in self._path.read_text().splitlines())
        return [(clip, key) for clip, _, key in split]
