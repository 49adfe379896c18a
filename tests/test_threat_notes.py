"""The threat notes name what is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_every_file_and_name_in_the_threat_notes_exists() -> None:
    notes = (ROOT / "docs" / "security.md").read_text("utf-8")
    named = re.findall(r"`((?:bot|adapters|tests|requirements)/[\w/.]*)`(?:, `(\w+)`)?", notes)
    assert len(named) > 40
    for path, name in named:
        found = ROOT / path
        assert found.exists(), path
        assert not name or name in found.read_text("utf-8"), (path, name)
