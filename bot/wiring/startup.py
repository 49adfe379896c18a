"""What a start needs of the tables besides its parts: folder, keys, doors, the database."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bot.config import Config
from bot.disk import has_room, too_little
from bot.errors import ConfigError
from bot.log import get_logger, register_secret
from bot.store.database import POSTGRES
from bot.web import WebSettings
from bot.wiring.public_listener import check_ports

log = get_logger(__name__)
SECRET_CHARS = 16
KEY_FILE = "secret.key"


def say_what_holds(config: Config, providers: Iterable[str]) -> None:
    """Log the limits in force, and whether the disk has too little room for new jobs."""
    limits = config.limits.model_dump().items()
    in_force = {name: value for name, value in limits if value is not None}
    log.info("limits.in_force", providers=list(providers), **in_force)
    if not has_room(config.bot.data_dir, config.bot.min_free_bytes):
        sentence = too_little(config.bot.data_dir, config.bot.min_free_bytes)
        log.warning("disk.too_little", sentence=sentence)


def web_settings(config: Config) -> WebSettings:
    """Where the two listeners are; raises `ConfigError` where it is the same place."""
    table = config.bot
    check_ports(table)
    return WebSettings(
        public_host=table.public_host,
        public_port=table.public_port,
        private_host=table.private_host,
        private_port=table.private_port,
        trusted_proxies=table.trusted_proxies,
    )


def database_url(config: Config) -> str:
    """The configured database, else a file in `data_dir`."""
    return config.bot.database_url or f"sqlite+aiosqlite:///{config.bot.data_dir / 'raybot.db'}"


def check_shared(config: Config) -> None:
    """Raise `ConfigError` where several processes would share rows, and not what they name."""
    table = config.bot
    if not database_url(config).startswith(POSTGRES):
        return
    if not table.media_url and not table.single_host:
        raise ConfigError(
            "[bot] media_url: with PostgreSQL, clips belong into a bucket that every process "
            "reaches; or set single_host = true where all of them run on this machine and share "
            "one data_dir."
        )
    if table.secret_key is None and not table.single_host:
        raise ConfigError(
            "[bot] secret_key: with PostgreSQL every process needs the same one. Set "
            f"RAYBOT_BOT__SECRET_KEY to {_to_what(table.data_dir / KEY_FILE)}."
        )


def _to_what(path: Path) -> str:
    """What was signed and sealed with a key that was there before needs that one."""
    return f"what {path} holds" if path.is_file() else "a long random text"


def make_data_dir(config: Config) -> None:
    """The folder for what Raybot keeps, for its owner's eyes only; raises `ConfigError`."""
    folder = config.bot.data_dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"[bot] data_dir: {folder} cannot be used: {error.strerror}.") from error


def secret_key(config: Config) -> str:
    """The configured key, else one made in `data_dir` for its owner's eyes only."""
    if config.bot.secret_key is not None:
        key = config.bot.secret_key.get_secret_value()
    else:
        path = config.bot.data_dir / KEY_FILE
        try:
            key = _made_key(path)
        except OSError as error:
            raise ConfigError(
                f"[bot] data_dir: {path} cannot be used: {error.strerror}."
            ) from error
    if len(key) < SECRET_CHARS:
        raise ConfigError(f"[bot] secret_key needs at least {SECRET_CHARS} characters.")
    register_secret(key)
    return key


def _made_key(path: Path) -> str:
    if not path.exists():
        unfinished = path.with_suffix(".new")
        unfinished.touch(mode=0o600)
        unfinished.write_text(secrets.token_urlsafe(32), "utf-8")
        unfinished.replace(path)
    return path.read_text("utf-8").strip()


def pseudonym(secret: str, person: str) -> str:
    """A name for a person that only the holder of this secret could have made of theirs."""
    return hmac.new(secret.encode(), f"person:{person}".encode(), "sha256").hexdigest()


@contextmanager
def written_down(address: str, path: Path) -> Iterator[None]:
    """Where others find an address while it is good; it stays on a disk that became read-only."""
    path.write_text(address, "utf-8")
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
