"""`python -m bench [--quick] [NAME …]`: measure, and print one table of what was reached."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from time import perf_counter

from bench import lane, street
from bench.accept import accepting
from bench.children import ChildFailed
from bench.contest import hundred_running, thousand_running
from bench.figures import Figure, show
from bench.guilds import knowing
from bench.lag import one_running
from bench.memory import holding
from bench.restart import restarting
from bench.ten import ten_running
from bench.terms import Terms
from bench.throng import thronging

Measure = Callable[[Terms], list[Figure]]
MEASURES: dict[str, Measure] = {
    "one": one_running,
    "ten": ten_running,
    "hundred": hundred_running,
    "thousand": thousand_running,
    "throng": thronging,
    "restart": restarting,
    "accept": accepting,
    "memory": holding,
    "discord": street.acknowledging,
    "slack": lane.acknowledging,
    "guilds": knowing,
}
QUICK = ("hundred", "accept", "memory", "restart", "discord", "slack", "guilds")


def main() -> None:
    """Run the measures named, else all (or with `--quick` the quick ones)."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(MEASURES)}")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller measures")
    asked = parser.parse_args()
    unknown = [name for name in asked.names if name not in MEASURES]
    if unknown:
        parser.error(f"no measure {unknown[0]!r}; there are {', '.join(MEASURES)}")
    # An end in order, which takes the children along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    names = asked.names or (QUICK if asked.quick else tuple(MEASURES))
    terms = Terms(is_quick=asked.quick)
    figures: list[Figure] = []
    began = perf_counter()
    for name in names:
        since = perf_counter()
        print(f"{name} …", end=" ", flush=True)
        try:
            figures += MEASURES[name](terms)
        except ChildFailed as error:
            figures.append(Figure(name=name, measured=f"{error}", is_reached=False))
        print(f"{perf_counter() - since:.0f} s", flush=True)
    show(figures, title=f"Figures, measured in {perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
