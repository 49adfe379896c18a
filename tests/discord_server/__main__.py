"""`python -m tests.discord_server --port N`: a server of its own, steered under /control."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys

from tests.discord_server.control import Control
from tests.discord_server.server import DiscordServer


async def serve(port: int, guild_id: int | None) -> None:
    """Print one line of JSON when it listens, and go on until it is told to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = DiscordServer()
    guild = server.guild("Foxes", guild_id=guild_id)
    ana = server.person("Ana", guild)
    control = Control(server)
    await server.start("127.0.0.1", port, *control.routes())
    start = {
        "base_url": server.base_url,
        "api_base_url": server.api_base_url,
        "gateway_url": server.gateway_url,
        "token": server.token,
        "app_id": str(server.app.id),
        "guild": control.encode(guild),
        "channel": control.encode(ana.here),
        "person": control.encode(ana),
    }
    sys.stdout.write(json.dumps(start) + "\n")
    sys.stdout.flush()
    await stop.wait()
    await server.stop()
    if server.crashes:
        raise ExceptionGroup("The local Discord itself failed", server.crashes)


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.discord_server")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--guild-id", type=int)
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(given.port, given.guild_id))


if __name__ == "__main__":
    main()
