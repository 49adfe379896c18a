"""The machine that a run was measured on, without anything that tells whose it is."""

from __future__ import annotations

import os
import platform
import sqlite3
from pathlib import Path


def describe() -> str:
    """Processor, memory and versions in one sentence."""
    return (
        f"{os.cpu_count()} × {_processor()}, {_memory()}, {platform.system()} "
        f"{platform.release().split('-')[0]}, Python {platform.python_version()}, SQLite "
        f"{sqlite3.sqlite_version}"
    )


def load() -> str:
    """How many processes wanted to run in the last minutes, ours included."""
    return ", ".join(f"{each:.1f}" for each in os.getloadavg())


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    if listed.exists():
        for line in listed.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _memory() -> str:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return "memory unknown"
    return f"{size / 2**30:.0f} GiB"
