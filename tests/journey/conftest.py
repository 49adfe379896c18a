"""Whatever a journey does, no log of it may show a secret or what somebody wrote."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.secrecy import read_logs


@pytest.fixture(autouse=True)
def _no_log_tells() -> Iterator[None]:
    with read_logs():
        yield
