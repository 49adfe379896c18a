"""docs/benchmarks.md, written from what was measured: comparison first, then every figure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from bench import machine
from bench.figures import PEER, Figure, Score, number
from bench.options import RunOptions
from bench.peer_scale import PATIENCE_SECONDS

HEAD = """\
# Benchmarks

Written by `python -m bench --write`; do not edit. {when}, {minutes:.0f} minutes, on {machine}.
Raybot keeps its rows in {database}. Load average of the machine before it began: {load}.
Absolute figures differ from machine to machine; the ratios, taken in one run on one machine,
differ less.

## Beside what people would use instead

Three small bots as they are commonly written (`bench/peers/`) get the same requests at the same
pace from the same service: the **SDK loop** is the one that Luma's documentation shows, with the
asynchronous client and its retries as they come, and looks every 3 s; **thread per job** looks
every 3 s, too, and **task per job** every 2 s. In brackets: how many times Raybot's by polling.
"""

METHOD = """\
## How it is measured

- The video service is the simulator, in a process of its own, answering after 0.1 s; each
  program under test is another process. A generation takes 20 to 40 s, evenly spread, the same
  for everybody.
- **Lag** is from the moment at which the service completed a generation to its clip in the
  thread: the look that finds it, the download, for Raybot also decoding the whole clip as a
  check and keeping it, and an upload of 0.1 s. **GETs** are looks at generations, by list or one
  by one, per job.
- **Stall** is the 99.9th percentile of how late an event loop comes back to a task that asked
  for 5 ms, above an idle loop of the same run. The thread per job has a loop beside its threads,
  as bots have.
- **Memory per running job** is the growth of the process from ten running jobs to all of them,
  and with ten thousand that of a process that starts with them.
- Up to 1,000 running, all of them are created within seconds and all finish. Of 10,000 running,
  80 finish, five a second; the peers create them in at most {patience:.0f} s, Raybot finds them
  in its database after a kill -9. A peer that does not hold 1,000 is not asked for 10,000. From
  1,000 on clips have a quarter of each side.
- With callbacks each end is looked into before anything is posted. With ten running, ends are
  three seconds apart, so each costs a look of its own: there the goals of one second and of half
  a GET a job cannot both be reached.
- Raybot keeps within a budget of 5 GETs a second, and 10 from 1,000 running on; a thousand with
  callbacks may take 20, since there the goal is GETs per job. The peers have no budget: they ask
  as often as they like, which the real service would answer with 429.
- **kill -9**: a hundred requests, of which five lose the answer to their POST; each process is
  killed once thirty clips are shown, and started again. Raybot does not hear either that the last
  five of the thirty were posted; its chat, as the adapters do, looks for a post that was tried
  before. Counted request by request. Lost: no clip in the thread once Raybot has nothing left to
  do, or after two minutes. Paid twice: more than one generation at the service. Posted twice: more
  than one post with its clip.
- **One of three processes** is measured with three of them on PostgreSQL, before the whole local
  Discord and Slack, where somebody asks for a clip every 0.4 s. Killed with kill -9 and replaced:
  whoever listens to Discord, whoever watches the service, and the listener again. From the kill
  until Discord has another listener; and until the service is watched again and others have all
  that was in the hands of the dead and is due: an order that was under way is looked for only when
  its answer cannot come any more. Then the listener is stopped with SIGSTOP: to the others that
  is a machine which is lost, since nothing is closed and nothing said. The slowest counts.
- The database writes with full fsync, on a disk. No limit of the simulated account binds but
  those of Raybot.

## What the figures do not show

- The real service's own time, its network, and its limits: Luma's usual account runs ten at a
  time, so 1,000 and 10,000 show how cost grows, not what one key can buy.
- The peers do less: no limits, no prices, no check of the clip, nothing durable. Where the
  machine is the limit, that work is in Raybot's lag.
- With thousands of peers' GETs a second the simulator itself is busy; such a row shows that the
  demand is too high, not how fast the peer could be.
- A chat platform's own rate limits. Acknowledgements are measured with the true adapters against
  local Discord and Slack servers; all other rows use a chat that only takes its time.
"""

SHARED = """\
## On both databases

The same on a PostgreSQL server with full fsync, which shares the cores of this machine with
Raybot's processes, the service and the chat; no peers run beside it. Several processes are there
to go on when one dies: here they divide the same cores.
"""

#: Heading, what of a score, and its unit.
COLUMNS: Sequence[tuple[str, Callable[[Score], float], str]] = (
    ("lag p50", lambda score: score.p50, " s"),
    ("lag p95", lambda score: score.p95, " s"),
    ("lag max", lambda score: score.most, " s"),
    ("GETs per job", lambda score: score.looks, ""),
    ("stall", lambda score: max(0.0, score.stall), " ms"),
    ("memory per running job", lambda score: score.job_bytes / 1024, " KiB"),
)
OURS = "Raybot, polling"
GROWTH = """\
## What growth costs

The same programs with ever more running, beside themselves: in brackets, how many times what the
fewest cost. Raybot's budget of GETs stays at 10 a second from 1,000 on.
"""
GROWING = [COLUMNS[0], COLUMNS[1], COLUMNS[5]]


def to_markdown(
    figures: Sequence[Figure],
    shared: Mapping[int, Sequence[Figure]],
    options: RunOptions,
    *,
    when: datetime,
    minutes: float,
    load: str,
) -> str:
    """The whole page; `shared` is what so many processes reached on PostgreSQL."""
    of_several = f"a PostgreSQL database that {options.processes} processes share"
    head = HEAD.format(
        database=of_several if options.database_url else "a SQLite file",
        when=f"{when:%d %B %Y}".lstrip("0"),
        minutes=minutes,
        machine=machine.describe(),
        load=load,
    )
    parts = [head, _comparison(figures), *_growth(figures), "## Figures\n", _table(figures)]
    if shared:
        parts += [SHARED, _both(figures, shared)]
    return "\n".join([*parts, METHOD.format(patience=PATIENCE_SECONDS)])


def _comparison(figures: Sequence[Figure]) -> str:
    scores = [each.score for each in figures if each.score is not None]
    if not scores:
        return "Not measured in this run.\n"
    lines = [_row("running", "", *(name for name, _, _ in COLUMNS)), _rule(2 + len(COLUMNS))]
    for running in sorted({each.running for each in scores}):
        those = [each for each in scores if each.running == running]
        ours = next((each for each in those if each.who == OURS), None)
        those.sort(key=lambda each: not each.who.startswith("Raybot"))
        lines += [_row(f"{running:,}", each.who, *_cells(each, ours)) for each in those]
    return "\n".join(lines) + "\n"


def _growth(figures: Sequence[Figure]) -> list[str]:
    """What grows with how many run: a row for each program and each thing that was measured."""
    scores = [each.score for each in figures if each.score is not None]
    counts = sorted({each.running for each in scores})
    rows = []
    for who in dict.fromkeys(each.who for each in scores):
        own = {each.running: each for each in scores if each.who == who}
        for name, read, unit in GROWING:
            known = [(n, read(own[n])) for n in counts if n in own and math.isfinite(read(own[n]))]
            if len(known) > 1:
                rows.append(_row(f"{who}: {name}", *_grown(counts, dict(known), unit)))
    if not rows:
        return []
    heads = [_row("running", *(f"{count:,}" for count in counts)), _rule(1 + len(counts))]
    return [GROWTH, "\n".join([*heads, *rows]) + "\n"]


def _grown(counts: Sequence[int], known: Mapping[int, float], unit: str) -> list[str]:
    first = next(iter(known.values()))
    cells = []
    for count in counts:
        value = known.get(count, math.nan)
        times = f" ({number(value / first)} ×)" if count in known and first > 0 else ""
        cells.append(f"{number(value)}{unit if count in known else ''}{times}")
    return cells


def _both(figures: Sequence[Figure], shared: Mapping[int, Sequence[Figure]]) -> str:
    """A row for each figure of Raybot's own that was measured on both databases."""
    there = {each.name for column in shared.values() for each in column}
    here = [each for each in figures if each.name in there]
    found = [{each.name: each for each in column} for column in (here, *shared.values())]
    # Also what failed whole, on one of them.
    own = {name: each for column in reversed(found) for name, each in column.items()}
    names = [f"PostgreSQL, {count} process{'es' * (count > 1)}" for count in shared]
    lines = [_row("figure", "goal", "SQLite", *names), _rule(3 + len(names))]
    for name, each in own.items():
        if not name.startswith(PEER):
            cells = [_measured(column.get(name)) for column in found]
            lines.append(_row(name, each.goal, *cells))
    return "\n".join(lines) + "\n"


def _measured(figure: Figure | None) -> str:
    if figure is None:
        return "–"
    verdict = f", **{figure.verdict}**" if figure.is_reached is False else ""
    return f"{figure.measured}{verdict}"


def _cells(score: Score, ours: Score | None) -> list[str]:
    cells = []
    for _, read, unit in COLUMNS:
        value = read(score)
        own = math.nan if ours is None or ours is score else read(ours)
        cell = number(value) + (unit if math.isfinite(value) else "")
        if math.isfinite(value) and own > 0 and math.isfinite(own):
            cell += f" ({number(value / own)} ×)"
        cells.append(cell)
    return cells


def _table(figures: Sequence[Figure]) -> str:
    lines = [_row("figure", "goal", "measured", "", "how"), _rule(5)]
    for each in figures:
        verdict = f"**{each.verdict}**" if each.is_reached is False else each.verdict
        lines.append(_row(each.name.strip(), each.goal, each.measured, verdict, each.remark))
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _rule(count: int) -> str:
    return f"|{'---|' * count}"
