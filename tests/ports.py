"""Loopback ports for servers that must come back at the same address."""

from __future__ import annotations

import os
import random
import socket
from collections import deque

#: Below those that systems give to callers (Linux from 32768, others from 49152): there, a port
#: that is free while its server is away may become the near end of somebody's connection.
FIRST, END = 12_000, 32_000
#: Each process of a test run has ports of its own.
WORKERS = 16
#: The latest: who was given one may not listen yet.
_given: deque[int] = deque(maxlen=256)


def free_port() -> int:
    """A port that was free a moment ago, and that nothing else here is given."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
    while True:
        port = random.SystemRandom().randrange(FIRST + worker, END, WORKERS)
        if port in _given:
            continue
        with socket.socket() as probe:
            # As servers do: one that was closed a moment ago is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.append(port)
        return port
