"""What each `raybot` command does once its options are read."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bot.addresses import load_early
from bot.app import App
from bot.charts import Charts
from bot.cli import acts, checkup, onboarding
from bot.cli import probe as probing
from bot.cli import restore as restoring
from bot.cli.pages import Form, Period, limits_line, moved_text, usage_text
from bot.cli.prompts import Given, Person, Script, Typed
from bot.clock import SystemClock
from bot.codec import Codec
from bot.config import NOT_SET_UP, Config, load_config, to_config
from bot.errors import ConfigError, InvalidRequest
from bot.log import setup_logging
from bot.overview import UsageRow
from bot.store import moving, reports
from bot.store.database import open_database
from bot.studio import LOCAL
from bot.tables import Contact
from bot.wiring.startup import database_url, make_data_dir, secret_key
from bot.wiring.supply import invitation, key_elsewhere, load_adapter, manifest, switched_on

PROGRESS_SECONDS = 3.0
NO_KEY_YET = "No video service has a key yet (RAYBOT_PROVIDERS__LUMA__API_KEY)."
NO_CHARTS = (
    "Nothing here draws charts. `make charts` installs what does; for the image PACKAGES=charts "
    "in .env and a new build."
)
StopSignal = Callable[[], asyncio.Event]
DEMO = (
    "/ray a red fox trotting through fresh snow, low sun --ar 16:9 --dur 5s --camera orbit_left",
    "wait",
    "image {image}",
    "> 3 the waves roll in, slow push in --camera push_in",
    "wait",
    "/ray usage",
)


def say(sentence: str) -> None:
    """One line for the person at the terminal."""
    sys.stdout.write(sentence + "\n")


async def run(config: Config, stop_signal: StopSignal) -> int:
    """Run every configured adapter until stopped."""
    setup_logging(config.bot.log_level, fmt=config.bot.log_format)
    names = switched_on(config)
    if not names:
        raise ConfigError(checkup.NO_ADAPTER if config.tables else NOT_SET_UP)
    adapters = {name: load_adapter(config, name) for name in names}
    try:
        async with App(config, adapters, check=checkup.look_within) as app:
            await load_early()
            # What is loaded by now stays: searched for garbage again, it holds up all for 0.1 s.
            gc.freeze()
            await app.run(stop_signal())
    except ExceptionGroup as group:
        # What an adapter found wrong with its table, such as a token that is refused.
        if wrong := group.subgroup(ConfigError):
            raise wrong.exceptions[0] from group
        raise
    return 0


def for_chat(config: Config, *, wants_simulator: bool) -> Config:
    """The configuration with any free port, and with the simulator where asked or agreed to."""
    changes: dict[str, Any] = {"bot": {"public_port": 0, "private_port": 0}}
    if wants_simulator or _offers_simulator(config):
        changes["defaults"] = {"providers": ["simulator"]}
    return config.with_changes(changes)


def _offers_simulator(config: Config) -> bool:
    """Without a key, a person at a terminal may agree to the simulator."""
    has_key = any(config.has_key(name) for name in config.defaults.providers)
    if has_key or not sys.stdin.isatty():
        return False
    say(key_elsewhere(config) or NO_KEY_YET)
    say("Use the simulator instead? Its clips are drawn here and cost nothing. [Y/n]")
    return sys.stdin.readline().strip().lower() in ("", "y", "yes")


async def chat(config: Config, stop_signal: StopSignal, **overrides: Any) -> int:
    """One conversation in this terminal; 0 only if everything asked for was delivered."""
    setup_logging("warning", fmt=config.bot.log_format)
    factory = load_adapter(config, "terminal", **overrides)
    async with App(config, {"terminal": factory}) as app:
        whisper(limits_line(config.limits))
        await app.run(stop_signal(), until="terminal")
        return app.exit_code("terminal")


def for_playground(config: Config) -> Config:
    """The configuration on free ports of this machine; with the simulator where no key is set.

    Whoever sits at the page is the operator.
    """
    own = {"public_host": "127.0.0.1", "public_port": 0, "private_port": 0, "public_url": ""}
    changes: dict[str, Any] = {"bot": own}
    if not any(config.has_key(name) for name in config.defaults.providers):
        changes["defaults"] = {"providers": ["simulator"]}
        if said := key_elsewhere(config):
            whisper(f"{said} Until then the simulator draws the clips.")
    page = Contact(adapter="web", workspace=LOCAL, id="playground", is_channel=True)
    return config.with_changes(changes).told_at(page)


async def playground(config: Config, stop_signal: StopSignal) -> int:
    """A page in the browser on this machine, until stopped."""
    setup_logging("warning", fmt=config.bot.log_format)
    factory = load_adapter(config, "web", enabled=True)
    async with App(config, {"web": factory}, check=checkup.look_within) as app:
        whisper(limits_line(config.limits))
        say(f"Open {app.address}/web/chat in your browser. Ctrl-C ends it.")
        invitation = await app.studio.entry.invite_here(acts.login())
        say(f"The operator's desk, once and within ten minutes: {invitation.link}")
        say("Later `raybot desk-link`, typed in this folder, prints another link.")
        sys.stdout.flush()
        await app.run(stop_signal())
    return 0


def whisper(sentence: str) -> None:
    """One quiet line beside the conversation, where a script's output is not disturbed."""
    is_seen = sys.stderr.isatty()
    sys.stderr.write(f"\x1b[2m{sentence}\x1b[0m\n" if is_seen else sentence + "\n")


async def demo(out: Path, folder: Path, stop_signal: StopSignal) -> int:
    """The conversation that a newcomer sees first."""
    from bot.simulator.pictures import draw_picture

    setup_logging("error")
    image = out / "sea.png"
    _make_folder(out)
    _write(image, draw_picture())
    config = to_config(
        {
            "bot": {"data_dir": str(folder), "public_port": 0, "private_port": 0},
            "defaults": {"providers": ["simulator"]},
            "providers": {"simulator": {"speed": 8.0}},
        },
        variables={},  # In the environment may be a key, and a database with true books.
    )
    lines = [line.replace("{image}", str(image)) for line in DEMO]
    factory = load_adapter(config, "terminal", folder=out, lines=lines)
    async with App(config, {"terminal": factory}) as app:
        await app.run(stop_signal(), until="terminal")
        return app.exit_code("terminal")


async def check(config: Config) -> int:
    """0 if nothing needs the operator; every finding is one line."""
    # What is worth a word is a finding; a service that is away would add its own lines.
    setup_logging("error", fmt=config.bot.log_format)
    findings = await checkup.look(config)
    for each in findings:
        say(f"{'ok  ' if each.is_well else 'LOOK'}  {each.sentence}")
    return 0 if all(each.is_well for each in findings) else 1


async def probe(config: Config, name: str, *, agrees: Callable[[str], bool]) -> int:
    """Buy one clip of a video service, write down what it shows, and let the poller learn it."""
    setup_logging("error", fmt=config.bot.log_format)
    told = await probing.probe(config, name, agrees=agrees, clock=SystemClock())
    if told is None:
        say("Nothing was bought.")
        return 1
    say(f"What {name} shows is in {told.report}; no key and no link is in it.")
    if told.refusal:
        say(f"Nothing was bought. {told.refusal}")
        return 1
    if told.clip is not None:
        say(f"The clip is in {told.clip}.")
    return await act(config, "learn", {"provider": name, "known": dict(told.known)})


async def act(config: Config, name: str, values: Mapping[str, object]) -> int:
    """An operator's act, through the running bot or on its database; see `acts.act`."""
    say(await acts.act(config, name, values))
    return 0


async def desk_link(config: Config, name: str, *, has_desk: bool) -> int:
    """Print a link that lets somebody in once; see `acts.desk_link`."""
    say(await acts.desk_link(config, name, has_desk=has_desk))
    return 0


async def usage(
    config: Config, period: Period, by: reports.Grouping, form: Form, chart: Path | None
) -> int:
    """Who used what, read from the file as it is; raises `InvalidRequest` for a wrong period."""
    timezone = config.limits.timezone
    start, end = period.to_times(SystemClock().now(), timezone)
    database = open_database(database_url(config))
    try:
        await database.start_reading()
        rows, borne, days = await database.read(
            lambda conn: (
                reports.usage(conn, start, end, by=by, timezone=timezone),
                reports.borne(conn, start, end),
                reports.by_day(conn, start, end, timezone=timezone) if chart else [],
            )
        )
    finally:
        await database.stop()
    say(usage_text(rows, by=by, form=form, borne=borne))
    if chart is not None:
        await _draw(config, days, chart)
    return 0


async def _draw(config: Config, days: Sequence[UsageRow], target: Path) -> None:
    codec = Codec()
    try:
        drawn = await Charts(codec, config.bot.data_dir / "charts").draw(days)
    finally:
        await codec.aclose()
    if drawn is None:
        raise InvalidRequest(NO_CHARTS)
    _write(target, drawn)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidRequest(f"{folder} cannot be made: {error.strerror}.") from error


def _write(target: Path, content: bytes) -> None:
    try:
        target.write_bytes(content)
    except OSError as error:
        raise InvalidRequest(f"{target} cannot be written: {error.strerror}.") from error


def migrate(config: Config) -> None:
    """Migrate the database, which no bot may have open."""
    database = open_database(database_url(config))
    is_old = database.exists()
    database.lock()
    database.migrate()
    new = f"There was no database at {database.place}, so an empty one was made."
    say(f"{database.place} is up to date." if is_old else new)


def move(source: str, target: str) -> None:
    """Move a community to an empty database, and say what comes next."""
    setup_logging("error")
    old, new = moving.open_ends(source, target)
    moved = moving.move(old, new, _progress())
    say(moved_text(moved, old.place, new.place, is_shared=new.is_shared))


def _progress() -> moving.OnProgress:
    """A quiet line now and then, of what takes long."""
    told_at = time.monotonic()

    def tell(table: str, done: int, count: int) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= PROGRESS_SECONDS:
            told_at = time.monotonic()
            whisper(f"{table}: {done:,} of {count:,}")

    return tell


async def backup(config: Config, target: Path) -> int:
    """An online copy, checked afterwards; raises `InvalidRequest`."""
    say(await open_database(database_url(config)).back_up(target))
    return 0


async def restore(config: Config, copy: Path | None, since: str | None) -> int:
    """Go on from a backup; raises `ConfigError`, `InvalidRequest` and `StoreError`."""
    database = open_database(database_url(config))
    if (copy is None) is (since is None):
        raise InvalidRequest("Say the file that `raybot backup` made, or --since when.")
    if copy is not None:
        say(await asyncio.to_thread(restoring.put_back, database, copy))
    else:
        say(await asyncio.to_thread(restoring.settle, database, str(since)))
    return 0


async def init(path: Path, given: Given, *, is_forced: bool) -> int:
    """Ask, prove, write the file and the secret key, and say what comes next."""
    setup_logging("error")
    if not is_forced:
        onboarding.refuse_to_overwrite(path)
    is_typed = sys.stdin.isatty() and sys.stdout.isatty()
    person: Person = Typed() if is_typed else Script()
    first = await onboarding.Onboarding(given, person).run()
    onboarding.write(path, onboarding.to_toml(first))
    config = load_config(path)
    make_data_dir(config)
    secret_key(config)
    say(f"Wrote {path}, for your eyes only. Raybot looks at it as `raybot check` does:")
    await check(config)
    if first.bot is not None:
        say(first.bot.invitation)
    what = "chat" if first.bot is None else "run"
    is_default = path == Path("config.toml")
    where = f"(in a checkout: make {what})" if is_default else f"--config {path}"
    say(f"Next: raybot {what} {where}")
    return 0


async def invite(config: Config, adapter: str) -> int:
    """How to add the bot to a place; raises `ConfigError` and `DeliveryUnavailable`."""
    setup_logging("error", fmt=config.bot.log_format)
    say(await invitation(config, adapter))
    return 0


def print_manifest(config: Config, adapter: str, *, called_at: str) -> None:
    """What a platform makes our app from, and nothing else, for a pipe; raises `ConfigError`."""
    say(manifest(config, adapter, called_at=called_at))
