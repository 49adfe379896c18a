"""Secrets that adapters were given at run time, sealed at rest with a key made of `secret_key`."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from bot.clock import Clock
from bot.errors import ConfigError
from bot.log import register_secret
from bot.store import vault
from bot.store.database import Database
from bot.store.transaction import Also, Tx

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

LABEL = b"raybot vault"


class Vault:
    """A durable dictionary for each adapter, which nobody reads without the secret key.

    What is got is hidden from the logs from then on. Raises `StoreError`s, and `ConfigError` for
    what another secret key sealed.
    """

    def __init__(self, *, database: Database, clock: Clock, secret_key: str) -> None:
        self._database = database
        self._clock = clock
        self._secret_key = secret_key

    @cached_property
    def _fernet(self) -> Fernet:
        # Imported here: most starts never seal anything.
        from base64 import urlsafe_b64encode

        from cryptography.fernet import Fernet
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=LABEL)
        return Fernet(urlsafe_b64encode(derived.derive(self._secret_key.encode())))

    async def get(self, adapter: str, name: str) -> str | None:
        """What is kept under this name; None where nothing is."""
        sealed = await self._database.read(lambda conn: vault.get(conn, adapter, name))
        value = self._open(adapter, name, sealed)
        if value is not None:
            register_secret(value)
        return value

    async def put(
        self, adapter: str, name: str, value: str, *, also: Also = lambda _: None
    ) -> None:
        """Keep it, durably, before returning; it takes the place of an earlier value."""
        sealed, now = self._fernet.encrypt(value.encode()).decode(), self._clock.now()

        def write(tx: Tx) -> None:
            vault.put(tx, adapter, name, sealed, now)
            also(tx)

        await self._database.write(write)

    async def delete(
        self, adapter: str, name: str, value: str | None, *, also: Also = lambda _: None
    ) -> bool:
        """Keep this value no longer, or go on keeping none; False where another one is there."""
        sealed = await self._database.read(lambda conn: vault.get(conn, adapter, name))
        if self._open(adapter, name, sealed) != value:
            return False

        def write(tx: Tx) -> bool:
            if is_done := vault.remove(tx, adapter, name, sealed):
                also(tx)
            return is_done

        return await self._database.write(write)

    async def names(self, adapter: str, prefix: str = "") -> tuple[str, ...]:
        """The names under which something is kept, in order."""
        return await self._database.read(lambda conn: vault.names(conn, adapter, prefix))

    def _open(self, adapter: str, name: str, sealed: str | None) -> str | None:
        from cryptography.fernet import InvalidToken

        if sealed is None:
            return None
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken as error:
            raise ConfigError(
                f"What {adapter} keeps as {name} was sealed with another [bot] secret_key. Set "
                "the earlier key again, or install the app there once more."
            ) from error
