"""The PostgreSQL of `make crash`: the one that is named, else one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from tests.conftest import ROOT
from tests.postgres import SERVER

SCRIPT = str(ROOT / ".ci" / "postgres")


@contextmanager
def postgres_server() -> Iterator[bool]:
    """Whether there is one while the block runs."""
    if os.environ.get(SERVER):
        yield True
        return
    with TemporaryDirectory(prefix="raybot-crash-") as folder:
        begun = subprocess.run(
            [SCRIPT, "start", folder], capture_output=True, text=True, check=False
        )
        if begun.returncode != 0:
            print(begun.stderr.strip(), file=sys.stderr)
            yield False
            return
        os.environ[SERVER] = begun.stdout.strip()
        try:
            yield True
        finally:
            del os.environ[SERVER]
            subprocess.run([SCRIPT, "stop", folder], check=True)
