"""Whether this version of Raybot can read a database, by the name of its schema."""

from __future__ import annotations

from bot.errors import SchemaTooNew, StoreError
from bot.store.schema import HEAD


def refuse_other(revision: str | None) -> None:
    """Raise `SchemaTooNew`, or `StoreError` where a migration has to come first."""
    if revision is not None and revision > HEAD:
        raise SchemaTooNew
    if revision != HEAD:
        raise StoreError("The database is not of this version yet. Run `raybot migrate` once.")
