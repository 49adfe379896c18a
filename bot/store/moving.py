"""A community moves from one database to another: all of it in one transaction, or nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Table,
    func,
    inspect,
    literal,
    select,
    table,
    text,
)
from sqlalchemy.exc import SQLAlchemyError

from bot.clock import SystemClock
from bot.errors import BotError, ConfigError, InvalidRequest, StoreError
from bot.store import copy_marker, integrity
from bot.store.database import Database, cause, open_database
from bot.store.plain_text import to_plain
from bot.store.portable import total
from bot.store.schema import ledger_entries, metadata
from bot.store.sqlite import SqliteDatabase

BATCH = 1000
VERSION = "alembic_version"
#: Told a table's name, how many of its rows were moved, and how many there are.
OnProgress = Callable[[str, int, int], None]
Counts = Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Moved:
    """What was moved: rows by table, and those in which a character was replaced.

    `broken` names the rules of the books that held on neither side.
    """

    rows: Counts
    replaced: Counts
    broken: tuple[str, ...]


def open_ends(source: str, target: str) -> tuple[Database, Database]:
    """The two databases of a move, by their addresses; raises `InvalidRequest`."""
    old, new = _open("--from", source), _open("--to", target)
    is_same = source == target
    if isinstance(old, SqliteDatabase) and isinstance(new, SqliteDatabase):
        is_same = old.path.resolve() == new.path.resolve()
    if is_same:
        raise InvalidRequest("--from and --to are the same database.")
    return old, new


def _open(flag: str, url: str) -> Database:
    try:
        return open_database(url)
    except ConfigError as error:
        raise InvalidRequest(error.sentence.replace("[bot] database_url", flag)) from error


def move(source: Database, target: Database, on_progress: OnProgress) -> Moved:
    """Move everything to an empty database and prove it; the source keeps what it has, marked.

    Once more after one that was cut off, it ends that or begins anew. Raises `ConfigError` where
    one of them is used, `InvalidRequest` where one does not fit, `SchemaTooNew`, and `StoreError`
    where something went wrong; nothing was moved then, or the sentence says so.
    """
    if not source.exists():
        raise InvalidRequest(f"There is no database at {source.place}.")
    with _locked(source), _locked(target):
        is_there = _refuse_unfit(source, target)
        # The empty one first: where that cannot be, the other one stays as it is.
        target.migrate()
        source.migrate()
        return _move(source, target, on_progress, is_there=is_there)


@contextlib.contextmanager
def _locked(database: Database) -> Iterator[None]:
    database.lock()
    try:
        yield
    finally:
        database.unlock()


def _refuse_unfit(source: Database, target: Database) -> bool:
    """Before anything is changed; whether a move that was cut off may have brought it there."""
    try:
        with source.alone() as old, target.alone() as new:
            if VERSION not in inspect(old).get_table_names():
                raise InvalidRequest(f"{source.place} holds no Raybot.")
            mark, found = copy_marker.read(old), _filled(new)
    except SQLAlchemyError as error:
        raise StoreError(f"Nothing was moved, because: {cause(error)}.") from error
    if mark is not None and not (mark.is_moving and mark.to == target.place):
        raise InvalidRequest(copy_marker.describe(source.place, mark))
    if mark is None and found is not None:
        raise InvalidRequest(
            f"{target.place} is not empty: there are rows in {found}. "
            "Name an empty database; nothing was changed."
        )
    return found is not None


def _filled(conn: Connection) -> str | None:
    for name in inspect(conn).get_table_names():
        row = select(literal(1)).select_from(table(name)).limit(1)
        if name != VERSION and conn.execute(row).first() is not None:
            return name
    return None


def _move(source: Database, target: Database, on_progress: OnProgress, *, is_there: bool) -> Moved:
    """Bring everything there, unless it `is_there` since a move was cut off; prove and mark it."""
    may_be_there, now = is_there, SystemClock().now()
    try:
        if not is_there:
            with source.alone() as old:
                # First, so that whoever kills this leaves one database at most to begin on.
                copy_marker.leave(old, target.place, now, is_moving=True)
        with source.alone() as old:
            copy_marker.take_away(old)
            with target.alone() as new:
                moved = _recognise(old, new) if is_there else _copy(old, new, on_progress)
                may_be_there = True
            copy_marker.leave(old, target.place, now)
    except SQLAlchemyError as error:
        if not may_be_there:
            raise StoreError(f"Nothing was moved, because: {cause(error)}.") from error
        raise StoreError(
            f"Whether everything was moved is not known, because: {cause(error)}. Run the same "
            "`raybot migrate` again, which finds out and ends it."
        ) from error
    finally:
        if not may_be_there:
            with contextlib.suppress(BotError, SQLAlchemyError), source.alone() as old:
                copy_marker.take_away(old)
    return moved


def _recognise(old: Connection, new: Connection) -> Moved:
    """What a move that was cut off brought there; raises `InvalidRequest` where it is not that."""
    try:
        return Moved(rows=_counts(old), replaced={}, broken=_prove(old, new))
    except StoreError as error:
        raise InvalidRequest(
            "The database after --to is not empty, and holds something else than the one after "
            "--from. Where a bot went on there since, nothing is left to do. Else empty it, and "
            "begin again."
        ) from error


def _copy(old: Connection, new: Connection, on_progress: OnProgress) -> Moved:
    held, replaced = _counts(old), dict[str, int]()
    for each in metadata.sorted_tables:
        replaced[each.name] = _copy_table(old, new, each, held[each.name], on_progress)
    _prepare(new)
    return Moved(
        rows=held,
        replaced={name: count for name, count in replaced.items() if count},
        broken=_prove(old, new),
    )


def _copy_table(
    old: Connection, new: Connection, table: Table, count: int, on_progress: OnProgress
) -> int:
    """Move the rows of one table; in how many of them a character was replaced."""
    replaced = done = 0
    # In the order of the keys, so that the new tables lie as the old ones did.
    query = select(table).order_by(*table.primary_key).execution_options(yield_per=BATCH)
    for rows in old.execute(query).mappings().partitions():
        found = [dict(row) for row in rows]
        plain = [to_plain(row) for row in found]
        replaced += sum(row != before for row, before in zip(plain, found, strict=True))
        for row in plain:
            _refuse_long(table, row)
        new.execute(table.insert(), plain)
        done += len(plain)
        on_progress(table.name, done, count)
    return replaced


def _refuse_long(table: Table, row: Mapping[str, Any]) -> None:
    """SQLite keeps a text of any length, others do not."""
    for column in table.columns:
        value, most = row[column.key], getattr(column.type, "length", None)
        if most is not None and value is not None and len(value) > most:
            key = ", ".join(str(row[each.key]) for each in table.primary_key)
            raise StoreError(
                f"Nothing was moved: {table.name}.{column.name} of {key[:80]} has {len(value):,} "
                f"characters, and {most:,} are possible. Shorten it, and begin again."
            )


def _prepare(new: Connection) -> None:
    """PostgreSQL counts its ids on, and plans by what there is."""
    if new.dialect.name != "postgresql":
        return
    for each in metadata.sorted_tables:
        number = each.autoincrement_column
        if number is not None:
            last = select(func.max(number)).scalar_subquery()
            sequence = func.pg_get_serial_sequence(each.name, number.name)
            new.execute(select(func.setval(sequence, last)))
        new.execute(text(f"ANALYZE {each.name}"))


# ---- proof -----------------------------------------------------------------------------------


def _prove(old: Connection, new: Connection) -> tuple[str, ...]:
    """Raises `StoreError` where the two sides differ; the rules that hold on neither."""
    for each in metadata.sorted_tables:
        _compare(each.name, _sums(old, each), _sums(new, each))
    _compare(ledger_entries.name, _by_kind(old), _by_kind(new))
    before, after = integrity.broken_invariants(old), integrity.broken_invariants(new)
    for rule in {*before, *after}:
        was, would_be = (len(side.get(rule, ())) for side in (before, after))
        _compare(f'the rule "{rule}"', {"breaches": was}, {"breaches": would_be})
    return tuple(after)


def _sums(conn: Connection, table: Table) -> dict[str, int]:
    """How many rows there are, and the sums of money and of ids."""
    numbers = [each for each in table.columns if isinstance(each.type, BigInteger)]
    sums = (total(each).label(each.name) for each in numbers)
    query = select(func.count().label("rows"), *sums).select_from(table)
    return dict(conn.execute(query).mappings().one())


def _by_kind(conn: Connection) -> dict[str, int]:
    kind, micros = ledger_entries.c.kind, ledger_entries.c.micros
    rows = conn.execute(select(kind, total(micros).label("sum")).group_by(kind).order_by(kind))
    return {row.kind: row.sum for row in rows}


def _counts(conn: Connection) -> dict[str, int]:
    return {each.name: _sums(conn, each)["rows"] for each in metadata.sorted_tables}


def _compare(what: str, old: Mapping[str, int], new: Mapping[str, int]) -> None:
    if old != new:
        here, there = (
            ", ".join(f"{name} {number:,}" for name, number in side.items()) for side in (old, new)
        )
        raise StoreError(
            f"Nothing was moved: {what} would differ, {here} in the one and {there} in the other."
        )
