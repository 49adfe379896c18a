"""Text that every database keeps: without NUL and halves of surrogate pairs.

PostgreSQL takes neither, SQLite no halves, and people can type both. They are replaced where a
statement leaves for its database, so what is kept, looked for and moved is the same everywhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine, event

#: What stands for a character that cannot be kept.
REPLACED = "\ufffd"
_NOT_KEPT = re.compile("[\x00\ud800-\udfff]")


def is_plain(text: str) -> bool:
    """Whether every database keeps this text as it is."""
    return "\x00" not in text and (text.isascii() or _NOT_KEPT.search(text) is None)


def to_plain(value: Any) -> Any:
    """A value as it can be kept, whatever lists and mappings it is made of."""
    match value:
        case str():
            return value if is_plain(value) else _NOT_KEPT.sub(REPLACED, value)
        case dict():
            return {to_plain(key): to_plain(each) for key, each in value.items()}
        case list() | tuple():
            return type(value)(to_plain(each) for each in value)
        case _:
            return value


def to_json(value: object) -> str:
    """A value as the JSON of a column."""
    written = json.dumps(value)
    # The escapes of what is not kept; `\\u0000` that somebody typed has two backslashes.
    may_hold = "\\u0000" in written or "\\ud" in written
    return json.dumps(to_plain(value)) if may_hold else written


def keep_plain(engine: Engine) -> None:
    """Replace what cannot be kept in everything that is sent to a database."""
    event.listen(engine, "before_cursor_execute", _on_execute, retval=True)


def _on_execute(
    _conn: Connection,
    _cursor: object,
    statement: str,
    parameters: Any,
    _context: object,
    is_many: bool,  # noqa: FBT001 - as SQLAlchemy calls it
) -> tuple[str, Any]:
    rows = parameters if is_many else (parameters,)
    if all(_is_row_plain(row) for row in rows):
        return statement, parameters
    return statement, to_plain(parameters)


def _is_row_plain(row: Any) -> bool:
    values = row.values() if isinstance(row, Mapping) else row
    return all(is_plain(value) for value in values if isinstance(value, str))
