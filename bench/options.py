"""What one run of the bench is asked for, as each measure gets it."""

from __future__ import annotations

from dataclasses import dataclass

SOAK_MINUTES = 2.0


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Smaller or whole, minutes of soak, the program's database, and how many processes share it.

    With `database_url`, a PostgreSQL server's, each measure has a new database there; without it
    a new SQLite file, which one process opens; `beside_url` is the server for what needs one even
    then. `has_peers`: they are measured beside it.
    """

    is_quick: bool = False
    minutes: float = SOAK_MINUTES
    database_url: str = ""
    beside_url: str = ""
    processes: int = 1
    has_peers: bool = True
