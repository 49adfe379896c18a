"""What may be written of a job's row is what its table has, and no more."""

from __future__ import annotations

from typing import get_args, get_type_hints

from bot.store.columns import JobColumns
from bot.store.schema import jobs

#: Whose job it is and what it came of is written with its first row.
SET_ONCE = {
    *("id", "dedupe_key", "adapter", "tenant", "channel", "person", "created_at", "parent"),
}
#: Only a move changes these.
MOVED = {"state", "version"}
TYPES = get_type_hints(JobColumns)


def test_each_column_that_may_be_written_has_its_type() -> None:
    assert set(TYPES) == set(jobs.c.keys()) - SET_ONCE - MOVED


def test_a_column_takes_none_where_its_table_does() -> None:
    take_none = {name for name, hint in TYPES.items() if type(None) in get_args(hint)}
    assert take_none == {name for name in TYPES if jobs.c[name].nullable}
