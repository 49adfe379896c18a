"""`python -m tests.slack_server --port N`: a server of its own, steered under /control."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys

from tests.fakes import MovableClock
from tests.slack_server.control import Control
from tests.slack_server.server import SlackServer


async def serve(port: int) -> None:
    """Print one line of JSON when it listens, and go on until it is told to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = SlackServer(MovableClock())
    team = server.team("Foxes")
    channel = server.channel(team, "general")
    ana = server.person("Ana", team, channel)
    control = Control(server)
    await server.start("127.0.0.1", port, *control.routes())
    start = {
        "base_url": server.base_url,
        "api_base_url": server.api_base_url,
        "file_host": server.file_host,
        "app_token": server.app_token,
        "signing_secret": server.signing_secret,
        "team": control.encode(team),
        "channel": control.encode(channel),
        "person": control.encode(ana),
    }
    sys.stdout.write(json.dumps(start) + "\n")
    sys.stdout.flush()
    await stop.wait()
    await server.stop()
    if server.crashes:
        raise ExceptionGroup("The local Slack itself failed", server.crashes)


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.slack_server")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(given.port))


if __name__ == "__main__":
    main()
