"""What a start of the bot would refuse in its tables and on this machine; nothing is changed."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bot.config import Config
from bot.disk import has_room, too_little
from bot.errors import ConfigError
from bot.store.database import open_database
from bot.store.replace_file import is_there
from bot.web import to_networks
from bot.wiring.startup import KEY_FILE, check_shared, database_url, secret_key, web_settings
from bot.wiring.supply import table_of


def refusals(config: Config) -> Iterator[str]:
    """Why the bot would not start, a sentence each."""
    for each in (check_shared, _check_listeners, _check_data_dir, _check_folders):
        try:
            each(config)
        except ConfigError as error:
            yield error.sentence


def shortage(config: Config) -> str | None:
    """What is said where the disk has too little room for new jobs."""
    least = config.bot.min_free_bytes
    if has_room(_nearest(config.bot.data_dir), least):
        return None
    return too_little(config.bot.data_dir, least)


def exposure(config: Config) -> str | None:
    """What is said where everybody on this machine may read the database's file."""
    with suppress(ConfigError, OSError):  # The look at the database says so.
        database = open_database(database_url(config))
        path = Path(database.place).absolute()
        is_open = not database.is_shared and path.stat().st_mode & stat.S_IROTH
        if is_open and all(each.stat().st_mode & stat.S_IXOTH for each in path.parents):
            return (
                f"Everybody on this machine may read {database.place}. Let its owner alone: "
                f"`chmod o-rwx {database.place}*`"
            )
    return None


def _check_listeners(config: Config) -> None:
    to_networks(web_settings(config).trusted_proxies)


def _check_data_dir(config: Config) -> None:
    folder = config.bot.data_dir
    _check_folder(folder, "[bot] data_dir")
    if config.bot.secret_key is not None or is_there(folder / KEY_FILE):
        secret_key(config)


def _check_folders(config: Config) -> None:
    for name in config.adapters:
        if (folder := _new_folder(config, name)) is not None:
            _check_folder(folder, f"[adapters.{name}] folder")


def _new_folder(config: Config, name: str) -> Path | None:
    """The folder that an adapter would make; at one that is there it looks itself."""
    with suppress(ConfigError):  # The look at the chats says so.
        folder: Path | None = getattr(table_of(config, name), "folder", None)
        return None if folder is None or is_there(folder) else folder
    return None


def _check_folder(folder: Path, key: str) -> None:
    """Raise `ConfigError` where it could not be made, or not be written to."""
    there = _nearest(folder)
    try:
        if there != folder:
            # Only one that is made there tells for sure that another can be.
            tempfile.TemporaryDirectory(dir=there).cleanup()
        elif not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is no folder")
        elif not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "it cannot be written to")
    except OSError as error:
        raise ConfigError(f"{key}: {folder} cannot be used: {error.strerror}.") from error


def _nearest(folder: Path) -> Path:
    """The folder, or the one above it that is there."""
    for each in (folder, *folder.parents):
        with suppress(ConfigError):
            if is_there(each):
                return each
    return Path()
