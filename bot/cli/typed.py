"""What can be typed after `raybot`, and the sentence that each known problem becomes."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bot import __version__
from bot.cli import commands
from bot.cli.pages import Form, Period
from bot.cli.prompts import Given
from bot.config import Config, load_config
from bot.errors import BotError, CommitUnknown, ConfigError, InvalidRequest
from bot.store.database import open_database
from bot.store.replace_file import is_there
from bot.store.reports import Grouping
from bot.wiring.startup import database_url

cli = typer.Typer(
    name="raybot",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The configuration file; config.toml if there is one."),
]
JobArgument = Annotated[str, typer.Argument(metavar="ID", help="The job, such as r-0y8xk7m2q4.")]


def _tell_version(is_asked: bool) -> None:  # noqa: FBT001  # Typer calls it so.
    if is_asked:
        typer.echo(f"raybot {__version__}")
        raise typer.Exit


@cli.callback()
def raybot(
    version: Annotated[  # Told before any command runs.
        bool,
        typer.Option(
            "--version", callback=_tell_version, is_eager=True, help="Say which one this is."
        ),
    ] = False,
) -> None:
    """Luma's Ray video models in your community's chat."""


@cli.command()
def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("config.toml"),
    provider: Annotated[
        str, typer.Option(help="luma, fal, replicate, …; or simulator: free, marked TEST.")
    ] = "",
    key: Annotated[str, typer.Option(help="Your key for the video service.")] = "",
    discord_token: Annotated[str, typer.Option(help="The token of your bot at Discord.")] = "",
    slack_bot_token: Annotated[str, typer.Option(help="The bot's token at Slack, xoxb-….")] = "",
    slack_app_token: Annotated[str, typer.Option(help="The app's token at Slack, xapp-….")] = "",
    server: Annotated[
        list[str] | None,
        typer.Option(help="The id of a Discord server that may use it; repeatable."),
    ] = None,
    operator: Annotated[str, typer.Option(help="Your own user id at Discord or Slack.")] = "",
    is_forced: Annotated[bool, typer.Option("--force", help="Overwrite a file.")] = False,
) -> None:
    """Ask for what is needed, prove it live, and write a first configuration.

    A script gives everything by options; keys are safer in the environment, where others on this
    machine do not see them: RAYBOT_PROVIDERS__LUMA__API_KEY, RAYBOT_ADAPTERS__DISCORD__TOKEN,
    RAYBOT_ADAPTERS__SLACK__BOT_TOKEN and RAYBOT_ADAPTERS__SLACK__APP_TOKEN. They are then not
    written into the file.
    """
    given = Given(
        provider=provider,
        key=key,
        tokens={
            "discord": {"token": discord_token},
            "slack": {"bot_token": slack_bot_token, "app_token": slack_app_token},
        },
        servers=tuple(server or ()),
        operator=operator,
    )
    _exit(asyncio.run(commands.init(path, given, is_forced=is_forced)))


@cli.command()
def invite(
    adapter: Annotated[str, typer.Argument(help="The chat platform, such as discord.")],
    config: ConfigOption = None,
) -> None:
    """Print how the bot is made and added to a place: its link, and the platform's switches."""
    _exit(asyncio.run(commands.invite(_load(config), adapter)))


@cli.command()
def manifest(
    adapter: Annotated[str, typer.Argument(help="The chat platform, such as slack.")],
    http: Annotated[
        str, typer.Option(help="The public address at which the platform shall call Raybot.")
    ] = "",
    config: ConfigOption = None,
) -> None:
    """Print the manifest from which a chat platform makes the app; needs no configuration."""
    commands.print_manifest(_load(config), adapter, called_at=http)


@cli.command()
def run(config: ConfigOption = None) -> None:
    """Run every configured adapter until stopped."""
    _exit(asyncio.run(commands.run(_load(config), _stop_signal)))


@cli.command()
def chat(
    config: ConfigOption = None,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    assume_yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Confirm every price in a script.")
    ] = False,
    simulator: Annotated[
        bool, typer.Option("--simulator", help="Use the simulator; nothing is charged.")
    ] = False,
) -> None:
    """Talk to Raybot in this terminal, or pipe one command a line."""
    loaded = commands.for_chat(_load(config), wants_simulator=simulator)
    overrides: dict[str, Any] = {"is_json": True} if is_json else {}
    if assume_yes:
        overrides["assume_yes"] = True
    _exit(asyncio.run(commands.chat(loaded, _stop_signal, **overrides)))


@cli.command()
def pause(
    message: Annotated[str, typer.Argument(help="What people read who ask or wait.")] = "",
    config: ConfigOption = None,
) -> None:
    """Start nothing anywhere from now on: the end of spending, but for what runs already."""
    _act(config, "pause", {"message": message})


@cli.command()
def resume(config: ConfigOption = None) -> None:
    """Go on after `raybot pause`."""
    _act(config, "resume", {})


@cli.command()
def playground(config: ConfigOption = None) -> None:
    """Try Raybot as a page in your browser, on this machine alone; without a key it costs nothing.

    With a key it is the real thing.
    """
    loaded = commands.for_playground(_load(config))
    _exit(asyncio.run(commands.playground(loaded, _stop_signal)))


@cli.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where the clips go.")] = Path("out"),
) -> None:
    """Play one whole conversation with the simulator; needs no key and charges nothing."""
    with tempfile.TemporaryDirectory(prefix="raybot-demo-") as folder:
        _exit(asyncio.run(commands.demo(out, Path(folder), _stop_signal)))


@cli.command()
def check(
    config: ConfigOption = None,
    probe: Annotated[
        str | None,
        typer.Option(help="Buy one clip of this service, and write down what it shows."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Buy it without being asked.")] = False,
) -> None:
    """Look at the configuration, the database, the video services and the chat platforms."""
    if probe is None:
        _exit(asyncio.run(commands.check(_load(config))))

    def agrees(question: str) -> bool:
        return yes or typer.confirm(question)

    _exit(asyncio.run(commands.probe(_load(config), str(probe), agrees=agrees)))


@cli.command()
def resolve(
    job_id: JobArgument,
    how: Annotated[str, typer.Argument(help="adopt, charge or release.")],
    generation: Annotated[str | None, typer.Argument(help="Its id at the provider.")] = None,
    config: ConfigOption = None,
) -> None:
    """End a job that needs you: uncertain, put aside, or its generation is lost at the service.

    Adopt a generation (uncertain jobs only), charge for it, or release the hold.
    """
    values = {"job_id": job_id, "how": how, "generation_id": generation}
    _act(config, "resolve", values)


@cli.command()
def unpark(job_id: JobArgument, config: ConfigOption = None) -> None:
    """Let a job that was put aside after repeated faults go on."""
    _act(config, "unpark", {"job_id": job_id})


@cli.command()
def review(
    job_id: JobArgument,
    how: Annotated[str, typer.Argument(help="post or reject.")],
    reason: Annotated[str, typer.Argument(help="Told to the person who asked.")] = "",
    config: ConfigOption = None,
) -> None:
    """Decide about a clip that waits for a moderator before it is posted."""
    values = {"job_id": job_id, "how": how, "reason": reason}
    _act(config, "review", values)


@cli.command("desk-link")
def desk_link(
    name: Annotated[str, typer.Option(help="Whom it is for; else for you.")] = "",
    is_guest: Annotated[
        bool, typer.Option("--playground-only", help="To the playground alone, under that name.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Print a link that lets you in at the operator's desk, once and within ten minutes.

    With --name Ana --playground-only it lets Ana into the playground, to ask for clips as herself.
    """
    _exit(asyncio.run(commands.desk_link(_load(config), name, has_desk=not is_guest)))


@cli.command()
def usage(
    config: ConfigOption = None,
    by: Annotated[Grouping, typer.Option(help="What a row stands for.")] = "person",
    days: Annotated[int, typer.Option(help="How many days, without --since.", min=1)] = 30,
    since: Annotated[str | None, typer.Option(help="The first day, such as 2026-11-01.")] = None,
    until: Annotated[str | None, typer.Option(help="The last day.")] = None,
    is_csv: Annotated[bool, typer.Option("--csv", help="For a spreadsheet.")] = False,
    is_json: Annotated[bool, typer.Option("--json", help="For a script.")] = False,
    chart: Annotated[Path | None, typer.Option(help="Draw the days, as a PNG file.")] = None,
) -> None:
    """Who used what, and what it cost; days are those of the time zone under limits."""
    if is_csv and is_json:
        raise InvalidRequest("Choose one: --csv or --json.")
    if chart is not None and is_there(chart):
        raise InvalidRequest(f"{chart} exists already.")
    form: Form = "csv" if is_csv else "json" if is_json else "table"
    period = Period(since=since, until=until, days=days)
    _exit(asyncio.run(commands.usage(_load(config), period, by, form, chart)))


@cli.command()
def migrate(
    config: ConfigOption = None,
    source: Annotated[
        str | None, typer.Option("--from", help="Move everything from this database instead …")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--to", help="… to this empty one, such as postgresql://….")
    ] = None,
) -> None:
    """Bring the database to this version's schema, after a backup; or move it to another one."""
    if source is None and target is None:
        commands.migrate(_load(config))
    elif source is None or target is None:
        raise InvalidRequest("A move needs both: --from sqlite:///… --to postgresql://….")
    else:
        commands.move(source, target)


@cli.command()
def backup(target: Path, config: ConfigOption = None) -> None:
    """Copy the database while the bot runs."""
    _exit(asyncio.run(commands.backup(_load(config), target)))


@cli.command()
def restore(
    copy: Annotated[Path | None, typer.Argument(help="What `raybot backup` made.")] = None,
    since: Annotated[
        str | None,
        typer.Option(help="The time of a copy that is in place already, as with pg_restore."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Go on from a backup, without paying or posting again what was done since."""
    _exit(asyncio.run(commands.restore(_load(config), copy, since)))


@cli.command()
def simulator(
    port: Annotated[int, typer.Option(help="0: any free one.", min=0, max=65535)] = 8990,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    speed: Annotated[float, typer.Option(help="How many times faster than real.", min=0.01)] = 1.0,
    is_same_clip: Annotated[
        bool, typer.Option("--same-clip", help="One clip for each size and length.")
    ] = False,
    fault: Annotated[
        list[str] | None, typer.Option(help="A fault to play, such as fail-number=2; repeatable.")
    ] = None,
    api: Annotated[str, typer.Option(help="The service it stands in for, such as fal.")] = "luma",
    is_child: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Serve a stand-in for a video service's API, with real clips and no costs."""
    from bot.simulator import Faults, SimulatorSettings, face_of, run_simulator, snippet

    face = face_of(api)
    settings = SimulatorSettings(speed=speed, same_clip=is_same_clip)
    faults = Faults.parse(fault or [])

    def on_ready(address: str) -> None:
        # The address alone is the first line, for whoever started it to read.
        lines = [address] if is_child else [address, snippet(api, address, settings, face)]
        print(*lines, sep="\n", flush=True)  # noqa: T201 - read by our parent

    async def serve() -> None:
        stop = _stop_signal()
        if is_child:
            _stop_with_parent(stop)
        await run_simulator(settings, host, port, on_ready, stop, faults=faults, face=face)

    asyncio.run(serve())


def _act(path: Path | None, act: str, values: Mapping[str, object]) -> None:
    """An operator's act; a database that is not there is no bot's, and is not made for that."""
    config = _load(path)
    database = open_database(database_url(config))
    if not database.exists():
        raise ConfigError(f"There is no database at {database.place} yet. Start the bot once.")
    _exit(asyncio.run(commands.act(config, act, values)))


def _load(path: Path | None) -> Config:
    default = Path("config.toml")
    return load_config(path or (default if is_there(default) else None))


def _stop_signal() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the second one ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return stop


def _stop_with_parent(stop: asyncio.Event) -> None:
    """Set it also once standard input ends: our parent holds its other end and writes nothing."""
    loop = asyncio.get_running_loop()

    def on_end() -> None:
        loop.remove_reader(sys.stdin)
        stop.set()

    loop.add_reader(sys.stdin, on_end)


def _exit(code: int) -> None:
    raise typer.Exit(code)


def run_typed() -> None:
    """Run what was typed; a known problem becomes one sentence and exit code 2 or 1."""
    try:
        cli()
    except ConfigError as error:
        typer.echo(f"raybot: {error.sentence}", err=True)
        sys.exit(2)
    except BotError as error:
        look = " Look before you do it again." if isinstance(error, CommitUnknown) else ""
        typer.echo(f"raybot: {error.sentence}{look}", err=True)
        sys.exit(1)
