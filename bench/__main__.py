"""`python -m bench [NAME …]`: measure, print a table of what was reached, or write the page.

What the database decides is measured on SQLite, then on PostgreSQL, with a server of its own where
none is named. Where it cannot start one it says so, and measures SQLite alone.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from bench import desk, discord_latency, machine, slack_latency
from bench.accept import measure_accept
from bench.children import ChildFailed
from bench.contest import measure_hundred, measure_thousand
from bench.figures import Figure, show
from bench.guilds import measure_guilds
from bench.killed import measure_kill
from bench.lag import measure_one
from bench.memory import measure_memory
from bench.options import SOAK_MINUTES, RunOptions
from bench.peer_scale import measure_peer_scale
from bench.report import to_markdown
from bench.restart import measure_restart
from bench.soak import measure_soak
from bench.takeover import measure_takeover
from bench.ten_slots import measure_ten
from bench.workspace import DISK
from bot.clock import SystemClock
from tests.postgres_server import NO_SERVER, own_server

Measure = Callable[[RunOptions], list[Figure]]
#: Several processes, which need a server.
TAKEOVER = "takeover"
MEASURES: dict[str, Measure] = {
    "one": measure_one,
    "ten": measure_ten,
    "hundred": measure_hundred,
    "thousand": measure_thousand,
    "peers": measure_peer_scale,
    "restart": measure_restart,
    "kill": measure_kill,
    TAKEOVER: measure_takeover,
    "accept": measure_accept,
    "memory": measure_memory,
    "discord": discord_latency.measure_acknowledgements,
    "slack": slack_latency.measure_acknowledgements,
    "guilds": measure_guilds,
    "desk-pages": desk.measure_desk_pages,
    "desk-streams": desk.measure_desk_streams,
    "soak": measure_soak,
}
#: What the database decides, measured on a server, too, with so many processes that share it.
SHARED = ("accept", "kill", "restart", "hundred", "thousand")
PROCESSES = (1, 2, 4)
QUICK = ("hundred", "kill", "accept", "memory", "restart", "discord", "slack", "guilds")


def main(asked: argparse.Namespace) -> None:
    """Run the measures named, else all (or with `--quick` the quick ones)."""
    load, began = machine.load(), perf_counter()
    options = RunOptions(
        is_quick=asked.quick,
        minutes=asked.minutes,
        database_url=asked.database,
        processes=asked.processes,
    )
    names = asked.names or (QUICK if asked.quick else tuple(MEASURES))
    on_both = [each for each in names if each in SHARED]
    shared: dict[int, list[Figure]] = {}
    with _server(asked, is_needed=bool(on_both) or TAKEOVER in names) as beside:
        since = perf_counter()
        figures = _measure(names, replace(options, beside_url=beside))
        show(figures, title=f"Figures, measured in {perf_counter() - since:.0f} s")
        for processes in PROCESSES if beside and on_both else ():
            there = replace(options, database_url=beside, processes=processes, has_peers=False)
            shared[processes] = _measure(on_both, there)
            show(shared[processes], title=f"On PostgreSQL, processes: {processes}")
    minutes = (perf_counter() - began) / 60
    if asked.write is not None:
        page = to_markdown(
            figures, shared, options, when=SystemClock().now(), minutes=minutes, load=load
        )
        asked.write.write_text(page, "utf-8")


@contextmanager
def _server(asked: argparse.Namespace, *, is_needed: bool) -> Iterator[str]:
    """The address of what is measured beside SQLite: what is named, else one of its own."""
    if asked.database or asked.sqlite_only or not is_needed:
        yield ""
    elif asked.beside:
        yield asked.beside
    else:
        with own_server("synced", parent=DISK) as url:
            if not url:
                print(f"{NO_SERVER}: only SQLite is measured.", file=sys.stderr)
            yield url


def _measure(names: Iterable[str], options: RunOptions) -> list[Figure]:
    figures: list[Figure] = []
    for name in names:
        since = perf_counter()
        print(f"{name} …", end=" ", flush=True)
        try:
            figures += MEASURES[name](options)
        except ChildFailed as error:
            figures.append(Figure(name=name, measured=f"{error}", is_reached=False))
        print(f"{perf_counter() - since:.0f} s", flush=True)
    return figures


def to_options(words: Sequence[str]) -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(MEASURES)}")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller measures")
    parser.add_argument(
        "--minutes", type=float, default=SOAK_MINUTES, help="length of the soak (%(default)g)"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the figures on this page")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--database",
        default="",
        metavar="URL",
        help="a PostgreSQL server, instead of SQLite files",
    )
    where.add_argument(
        "--beside",
        default="",
        metavar="URL",
        help=f"the PostgreSQL server for {TAKEOVER}, and, beside SQLite, for {', '.join(SHARED)}; "
        "else one of its own",
    )
    where.add_argument("--sqlite-only", action="store_true", help="do without PostgreSQL")
    parser.add_argument(
        "--processes", type=int, default=1, help="how many share that database (%(default)d)"
    )
    asked = parser.parse_args(words)
    unknown = [name for name in asked.names if name not in MEASURES]
    if unknown:
        parser.error(f"no measure {unknown[0]!r}; there are {', '.join(MEASURES)}")
    if asked.processes > 1 and not asked.database:
        parser.error("a SQLite file is written by one process; give --database for more")
    return asked


if __name__ == "__main__":
    # An end in order, which takes the children along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main(to_options(sys.argv[1:]))
