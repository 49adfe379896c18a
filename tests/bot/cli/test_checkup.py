"""A check asks each service once, ends in time, changes nothing, and says what needs a person."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from discord.http import Route

from bot.app import App
from bot.cli import checkup, handover
from bot.clock import SystemClock
from bot.config import Config, to_config
from bot.errors import ConfigError
from bot.routing.planning import misnamed
from bot.simulator import Faults, Simulator, SimulatorSettings
from bot.simulator.faces.fal import FACE as FAL
from bot.store import places, settings
from bot.store.database import open_database
from bot.store.schema import COPY
from bot.store.sqlite import wal_flaw
from bot.store.transaction import Tx
from bot.wiring.startup import database_url
from bot.wiring.supply import open_provider, switched_on
from tests.bucket import NAME as BUCKET
from tests.bucket import Bucket
from tests.conftest import running, to_test_config
from tests.discord_server import DiscordServer, Permission
from tests.fakes import MovableClock, RecordingAdapter
from tests.ports import free_port
from tests.secrecy import read_logs
from tests.slack_portal import BOT_TOKEN, WORKSPACE, SlackPortal


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("RAYBOT_"):
            monkeypatch.delenv(name)


async def said(config: Config, *, seconds: float = 5) -> tuple[list[str], list[str]]:
    """What is well, and what needs the operator, chats apart: few here have one."""
    found = await checkup.look(config, seconds=seconds)
    findings = [each for each in found if each.sentence != checkup.NO_ADAPTER]
    well = [each.sentence for each in findings if each.is_well]
    return well, [each.sentence for each in findings if not each.is_well]


def to_config_of(tmp_path: Path, **tables: dict[str, Any]) -> Config:
    return to_config({"bot": {"data_dir": str(tmp_path)}, **tables})


# ---- the video services -----------------------------------------------------------------------


async def test_a_good_key_is_proved_and_the_balance_shown(
    tmp_path: Path, simulator: Simulator
) -> None:
    well, amiss = await said(to_test_config(tmp_path, simulator))
    assert "luma: the key is good, $100.00 is left" in well
    assert amiss == []
    assert simulator.requests == {"GET /credits": 1}, "one question, and no other"


@pytest.mark.parametrize(
    ("luma", "sentence"),
    [
        ({"api_key": "luma-wrong"}, "luma: Luma refuses this key."),
        ({"api_key": "luma-api-0123"}, "luma: Luma refuses this key."),
        (
            {"min_balance_usd": 100.5},
            "luma: $100.00 is left, less than the $100.50 of min_balance",
        ),
        ({"base_url": "ftp://x"}, "[providers.luma] base_url: "),
        ({"runing_limit": 3}, "[providers.luma] has no key 'runing_limit'. Did you mean"),
    ],
)
async def test_what_needs_the_operator_is_said(
    tmp_path: Path, simulator: Simulator, luma: dict[str, Any], sentence: str
) -> None:
    _, [amiss] = await said(to_test_config(tmp_path, simulator, luma=luma))
    assert amiss.startswith(sentence)
    assert str(luma.get("api_key", "never")) not in amiss


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        (
            {"defaults": {"model": "ray-3"}},
            "[defaults] model: no video service here has 'ray-3'. Did you mean 'ray-2'? Use ray-",
        ),
        (
            {"limits": {"models": ["ray-2", "ray-flsh-2"]}},
            "[limits] models: no video service here has 'ray-flsh-2'. Did you mean 'ray-flash-2'?",
        ),
        (
            {"limits": {"roles": [{"role": "9", "models": ["kling"]}]}},
            "[[limits.roles]] models: no video service here has 'kling'. Use ray-",
        ),
        (
            {"limits": {"models": ["ray-2"]}},
            "[limits] refuse a clip with the defaults. Here you can use ray-2.",
        ),
        (
            {"limits": {"resolutions": ["720p"]}},
            "[limits] refuse a clip with the defaults. 540p is off here.",
        ),
    ],
)
async def test_a_model_that_nobody_has_or_may_use_is_said(
    tmp_path: Path, simulator: Simulator, tables: dict[str, Any], sentence: str
) -> None:
    well, [amiss] = await said(to_test_config(tmp_path, simulator, **tables))
    assert amiss.startswith(sentence)
    assert not [each for each in well if "is made by" in each]


async def test_a_model_of_any_service_here_is_no_mistake() -> None:
    keys = {name: {"api_key": "k" * 20} for name in ("luma", "luma_agents")}
    for defaults in (
        {"providers": ["luma", "luma_agents"], "model": "ray-3.2"},
        # Nobody named the model that holds where none is named.
        {"providers": ["luma_agents"]},
    ):
        limits = {"models": ["ray-3.2", "uni-1"]}
        config = to_config({"defaults": defaults, "limits": limits, "providers": keys})
        async with checkup._providers(config) as found:
            assert misnamed(config.defaults, found, config.limits) is None


@pytest.mark.parametrize("cents", [0, -50])
async def test_an_empty_account_is_said(tmp_path: Path, cents: float) -> None:
    async with Simulator(SimulatorSettings(balance_cents=cents), Faults()) as simulator:
        config = to_test_config(tmp_path, simulator, luma={"min_balance_usd": 0})
        assert (await said(config))[1] == ["luma: the account has no credits left"]


async def test_out_of_credits_and_a_closed_address_are_told_in_their_words(
    tmp_path: Path, simulator: Simulator
) -> None:
    config = to_test_config(tmp_path, simulator)
    simulator.faults.refuse("credits", 402, "Insufficient credits")
    assert (await said(config))[1] == [
        "luma: The account at Luma has no credits left; its owner can add some there."
    ]
    simulator.faults.refuse("credits", 410, "Gone")
    [amiss] = (await said(config))[1]
    assert amiss.startswith("luma: Luma has closed this address.")


async def test_a_pause_that_is_asked_for_is_told(tmp_path: Path, simulator: Simulator) -> None:
    simulator.faults.too_many("credits", retry_after=30)
    [amiss] = (await said(to_test_config(tmp_path, simulator)))[1]
    assert amiss == "luma: 127.0.0.1 asks for a pause; check again in 30 s"


async def test_offline_is_one_clear_line_and_the_rest_is_checked(
    tmp_path: Path, simulator: Simulator
) -> None:
    dead = {"base_url": f"http://127.0.0.1:{free_port()}"}
    well, amiss = await said(to_test_config(tmp_path, simulator, luma=dead))
    assert amiss == [
        "luma: 127.0.0.1 cannot be reached. If this machine is online, look at base_url and at "
        "the service's own status page; jobs wait meanwhile"
    ]
    assert "The configuration is understood" in well


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """It takes connections and says nothing."""
    done = asyncio.Event()

    async def listen(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        done.set()


async def test_a_service_that_says_nothing_holds_nobody_up(
    tmp_path: Path, simulator: Simulator
) -> None:
    async with silent_server() as address, asyncio.timeout(30):
        config = to_test_config(tmp_path, simulator, luma={"base_url": address})
        _, amiss = await said(config, seconds=0.1)
    assert amiss == ["luma: 127.0.0.1 did not answer within 0.1 s"]


async def test_a_service_that_tells_no_balance_is_no_trouble(
    tmp_path: Path, simulator: Simulator
) -> None:
    simulator.faults.refuse("credits", 404, "Not Found")
    well, amiss = await said(to_test_config(tmp_path, simulator))
    assert "luma: the key is good; the service tells no balance" in well
    assert amiss == []


async def test_a_key_is_missed_only_where_there_is_no_other(
    tmp_path: Path, simulator: Simulator
) -> None:
    missing = "luma: no api_key, so it is not used (RAYBOT_PROVIDERS__LUMA__API_KEY)"
    _, amiss = await said(to_config_of(tmp_path))
    assert amiss[0] == missing
    assert len(amiss) == 3, "one for each service that is on the list"
    both: dict[str, Any] = {
        "defaults": {"providers": ["luma", "simulator"]},
        "providers": {"simulator": {"base_url": simulator.base_url}},
    }
    well, amiss = await said(to_config_of(tmp_path, **both))
    assert missing in well
    assert "simulator: the key is good, $100.00 is left" in well
    assert amiss == []


async def test_a_key_of_a_service_that_is_not_on_the_list_is_said(
    tmp_path: Path, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYBOT_PROVIDERS__LUMA_AGENTS__API_KEY", "luma-api-0123")
    tables: dict[str, Any] = {"fal": {"api_key": "fal-0123"}, "comfyui": {"running_limit": 2}}
    config = to_test_config(tmp_path, simulator, providers=tables)
    assert (await said(config))[1] == [
        f"{name}: its key has no effect until [defaults] providers names {name}"
        for name in ("fal", "luma_agents")
    ]
    async with App(config, {}):
        pass


async def test_an_address_that_leads_nowhere_is_named(
    tmp_path: Path, simulator: Simulator
) -> None:
    config = to_test_config(tmp_path, simulator, luma={"base_url": "http://here:port/v1"})
    wrong = "[providers.luma] base_url: Invalid port: 'port'."
    assert (await said(config))[1] == [wrong]
    with pytest.raises(ConfigError) as refused:
        async with App(config, {}):
            pass
    assert refused.value.sentence == wrong


async def test_a_wrong_key_in_the_table_of_a_service_that_is_not_used_is_refused(
    tmp_path: Path, simulator: Simulator
) -> None:
    tables: dict[str, Any] = {"luma_agents": {"api_key": "luma-api-0123", "runing_limit": 3}}
    config = to_test_config(tmp_path, simulator, providers=tables)
    [amiss] = (await said(config))[1]
    assert amiss == (
        "[providers.luma_agents] has no key 'runing_limit'. Did you mean 'running_limit'?"
    )
    with pytest.raises(ConfigError) as refused:
        async with App(config, {}):
            pass
    assert refused.value.sentence == amiss
    simulated = to_test_config(tmp_path, simulator, providers={"simulator": {"sped": 2}})
    assert (await said(simulated))[1] == [
        "[providers.simulator] has no key 'sped'. Did you mean 'speed'?"
    ]


async def test_an_address_of_the_simulator_that_is_none_is_named(tmp_path: Path) -> None:
    tables = {"providers": {"simulator": {"base_url": "localhost:8990"}}}
    _, amiss = await said(to_config_of(tmp_path, defaults={"providers": ["simulator"]}, **tables))
    assert amiss[0].startswith("[providers.simulator] base_url: ")


async def test_a_simulator_that_is_not_there_yet_is_no_trouble(tmp_path: Path) -> None:
    well, amiss = await said(to_config_of(tmp_path, defaults={"providers": ["simulator"]}))
    assert "simulator: starts together with Raybot; nothing is charged" in well
    assert amiss == []


async def test_it_says_what_is_sold_and_who_would_make_a_clip(
    tmp_path: Path, simulator: Simulator
) -> None:
    async with Simulator(SimulatorSettings(), Faults(), face=FAL) as fal:
        config = to_test_config(
            tmp_path,
            simulator,
            defaults={"providers": ["luma", "fal", "replicate"]},
            providers={"fal": {"api_key": "luma-simulator", "base_url": fal.base_url}},
        )
        well, amiss = await said(config)
    assert "fal: the key is good; the service tells no balance" in well
    stills = "photon-1 at $0.015 a still, photon-flash-1 at $0.004 a still"
    assert f"luma: sells ray-flash-2 from $0.14, ray-2 from $0.40, {stills}" in well
    assert "fal: sells ray-flash-2 from $0.20, ray-2 from $0.50" in well
    assert well[-1] == (
        "A clip with the defaults (ray-flash-2, 5s, 540p, 1:1) is made by luma, ≈ $0.14; "
        "else by fal, ≈ $0.20"
    )
    assert amiss == []


async def test_a_wrong_key_is_told_although_the_service_tells_no_balance(tmp_path: Path) -> None:
    async with Simulator(SimulatorSettings(), Faults(), face=FAL) as fal:
        table = {"api_key": "wrong", "base_url": fal.base_url}
        config = to_config_of(tmp_path, defaults={"providers": ["fal"]}, providers={"fal": table})
        [amiss] = (await said(config))[1]
    assert amiss.startswith("fal: fal refuses this key.")


@pytest.mark.parametrize(
    ("path", "key", "secret"),
    [
        ("providers.luma", "api_key", "luma-…"),
        ("providers.luma", "api_key", "luma-\u00a0key"),
        ("providers.luma", "api_key", "luma-one\nluma-two"),
        ("adapters.discord", "token", "MTIz…"),
        ("adapters.slack", "bot_token", "xoxb-…"),
        ("adapters.slack", "app_token", "xapp-…"),
    ],
)
async def test_a_key_that_cannot_be_sent_is_named_and_not_shown(
    path: str, key: str, secret: str, tmp_path: Path
) -> None:
    kind, name = path.split(".")
    tables = {kind: {name: {key: secret}}}
    service = name if kind == "providers" else "simulator"
    _, amiss = await said(to_config_of(tmp_path, defaults={"providers": [service]}, **tables))
    assert amiss == [
        f"[{path}] {key}: a character in it can be in no key, such as an ellipsis (…). "
        "Copy the whole key again."
    ]


async def test_a_service_that_does_not_exist_is_named(tmp_path: Path) -> None:
    _, amiss = await said(to_config_of(tmp_path, defaults={"providers": ["lumma", "simulator"]}))
    assert amiss == ["[defaults] providers: there is no provider 'lumma'. Did you mean 'luma'?"]
    assert (await said(to_config_of(tmp_path, defaults={"providers": []})))[1] == [
        "[defaults] providers names no video service"
    ]


@pytest.mark.parametrize(
    ("bot", "is_said"),
    [({}, True), ({"public_url": "https://example.org"}, False), ({"media_url": "s3://b"}, False)],
)
async def test_a_service_that_takes_links_needs_a_way_to_give_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bot: dict[str, str], *, is_said: bool
) -> None:
    sign_with(monkeypatch, "https://storage.example.org")
    config = to_config(
        {"bot": {"data_dir": str(tmp_path), **bot}, "providers": {"luma": {"api_key": "luma-key"}}}
    )
    opened = open_provider(config, "luma", clock=SystemClock())
    assert opened is not None
    found = [each.sentence for each in await handover.look(config, opened, seconds=5)]
    says = "Images cannot be given to luma: set [bot] public_url or media_url, or name a service"
    assert [each.startswith(says) for each in found] == [True] * is_said


def sign_with(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """The cloud's own variables, as an operator sets them."""
    monkeypatch.setenv("AWS_ENDPOINT", endpoint)
    for name, value in Bucket.keys.items():
        monkeypatch.setenv(f"AWS_{name.upper()}", value)


@pytest.mark.parametrize("address", ["", "https://ray.example.org"])
async def test_links_of_a_bucket_inside_are_no_way_to_give_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    sign_with(monkeypatch, "http://minio:9000")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    bot = {"data_dir": str(tmp_path), "media_url": "s3://raybot", "public_url": address}
    config = to_config({"bot": bot, "providers": {"luma": {"api_key": "luma-key"}}})
    opened = open_provider(config, "luma", clock=SystemClock())
    assert opened is not None
    found = [each.sentence for each in await handover.look(config, opened, seconds=5)]
    says = (
        "Images cannot be given to luma: links of the bucket lead to http://minio:9000, which "
        "others cannot open. Set [bot] public_url, or name a service that takes files, such "
        "as fal or replicate, in [defaults] providers"
    )
    assert found == ([] if address else [says])


async def test_a_service_that_takes_no_images_needs_no_way_to_give_them(tmp_path: Path) -> None:
    table = {"api_key": "a-key", "base_url": "https://acme.example.org", "result": "url"}
    config = to_config_of(tmp_path, providers={"intersect": table})
    opened = open_provider(config, "intersect", clock=SystemClock())
    assert opened is not None
    assert await handover.look(config, opened, seconds=5) == []


# ---- tables and the database ------------------------------------------------------------------


async def test_a_wrong_key_of_an_adapter_is_said(tmp_path: Path) -> None:
    _, amiss = await said(
        to_config_of(
            tmp_path,
            defaults={"providers": ["simulator"]},
            adapters={"terminal": {"foldr": "x"}},
        )
    )
    assert amiss == [
        "[adapters.terminal] has no key 'foldr'. Did you mean 'folder'?",
    ]


@pytest.mark.parametrize(
    ("bot", "key"), [({}, "media_url"), ({"media_url": "s3://clips"}, "secret_key")]
)
async def test_what_several_processes_must_share_is_asked_for(
    bot: dict[str, Any], key: str
) -> None:
    url = "postgresql+psycopg://raybot@127.0.0.1:1/raybot"
    table = {"bot": {"database_url": url, **bot}, "defaults": {"providers": ["simulator"]}}
    _, amiss = await said(to_config(table))
    assert amiss[0].startswith(f"[bot] {key}: with PostgreSQL")
    assert "cannot be used" in amiss[1]


async def test_before_the_first_start_nothing_is_made(tmp_path: Path) -> None:
    config = to_config_of(tmp_path / "none", defaults={"providers": ["simulator"]})
    well, amiss = await said(config)
    assert amiss == []
    assert any("the first start makes it" in each for each in well)
    assert not (tmp_path / "none").exists()


async def test_a_bucket_is_asked_before_the_first_start_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {"data_dir": str(tmp_path / "none"), "media_url": f"s3://{BUCKET}"}
    config = to_config({"bot": table, "defaults": {"providers": ["simulator"]}})
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    async with Bucket() as bucket:
        sign_with(monkeypatch, bucket.endpoint)
        assert (await said(config))[1] == []
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-another-bucket")
        assert (await said(config))[1] == [
            "The kept files: Raybot's media store cannot be reached right now. Look at [bot] "
            "media_url, and at the bucket's keys in the environment."
        ]
    table = {**table, "media_url": "az://clips"}
    [amiss] = (await said(to_config({"bot": table, "defaults": {"providers": ["simulator"]}})))[1]
    assert amiss.startswith("media_url cannot be used: ")
    assert not (tmp_path / "none").exists()


async def test_the_books_and_the_library_are_looked_at(tmp_path: Path) -> None:
    config = to_config_of(tmp_path, defaults={"providers": ["simulator"]})
    database = open_database(database_url(config))
    await database.start()
    try:
        well, amiss = await said(config)
    finally:
        await database.stop()
    assert amiss == []
    assert well[1] == "The books add up"
    assert well[2] == wal_flaw(sqlite3.sqlite_version_info) or well[2].startswith("SQLite 3.")


async def test_a_database_of_another_version_is_told(tmp_path: Path) -> None:
    config = to_config_of(tmp_path, defaults={"providers": ["simulator"]})
    database = open_database(database_url(config))
    await database.start()
    await database.stop()
    with closing(sqlite3.connect(database.place)) as conn:
        conn.execute("UPDATE alembic_version SET version_num = '0000'")
        conn.commit()
    _, [amiss] = await said(config)
    assert "raybot migrate" in amiss


async def test_a_database_that_is_none_of_ours_is_told(tmp_path: Path) -> None:
    config = to_config(
        {
            "bot": {"database_url": "mysql://127.0.0.1/x"},
            "defaults": {"providers": ["simulator"]},
        }
    )
    _, [amiss] = await said(config)
    assert "database_url must look like sqlite" in amiss


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"secret_key": "too short"}, "[bot] secret_key needs at least 16 characters."),
        ({"trusted_proxies": ["foo"]}, "[bot] trusted_proxies: 'foo' does not appear to be"),
        (
            {"public_port": 8999, "private_port": 8999},
            "[bot] private_port: 8999 is the public_port, too. Set another one.",
        ),
        ({"data_dir": "file/data"}, "[bot] data_dir: file/data cannot be used: Not a directory."),
    ],
)
async def test_what_a_start_refuses_is_said_before_it(
    table: dict[str, Any],
    says: str,
    tmp_path: Path,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    config = to_test_config(tmp_path, simulator, bot=table)
    [amiss] = (await said(config))[1]
    assert amiss.startswith(says)
    assert [each.name for each in tmp_path.iterdir()] == ["file"], "a look makes nothing"
    with pytest.raises(ConfigError) as refused:
        async with App(config, {}):
            pass
    assert refused.value.sentence == amiss


async def test_a_database_that_everybody_may_read_is_said(simulator: Simulator) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        config = to_test_config(Path(folder), simulator)
        database = open_database(database_url(config))
        (data := Path(folder, "data")).mkdir(mode=0o755)
        database.migrate()
        assert (await said(config))[1] == []
        Path(database.place).chmod(0o644)
        [amiss] = (await said(config))[1]
        assert amiss.startswith(f"Everybody on this machine may read {database.place}.")
        data.chmod(0o750)
        assert (await said(config))[1] == [], "nobody else gets there"


async def test_what_is_missing_in_the_data_folder_is_not_made(
    tmp_path: Path, simulator: Simulator
) -> None:
    config = to_test_config(tmp_path, simulator)
    async with running(config, simulator, RecordingAdapter(), MovableClock()):
        pass
    data = config.bot.data_dir
    for folder in ("media", "tmp"):
        shutil.rmtree(data / folder)
    before = set(data.rglob("*"))
    well, amiss = await said(config)
    assert ("The books add up" in well, amiss) == (True, [])
    # SQLite's own come with whoever reads it, and are for whom the file is.
    beside = {data / f"raybot.db{suffix}" for suffix in ("-wal", "-shm")}
    assert set(data.rglob("*")) - beside == before


async def test_a_look_from_within_leaves_nothing_behind(
    tmp_path: Path, simulator: Simulator
) -> None:
    config = to_test_config(tmp_path, simulator)
    async with running(config, simulator, RecordingAdapter(), MovableClock()) as bot:
        before = set((config.bot.data_dir / "tmp").iterdir())
        await checkup.look_within(config, bot.app.database, bot.app._media)
        assert set((config.bot.data_dir / "tmp").iterdir()) == before


async def test_a_media_folder_that_may_not_be_looked_at_is_said(
    tmp_path: Path, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = to_test_config(tmp_path, simulator)
    async with running(config, simulator, RecordingAdapter(), MovableClock()):
        pass
    exists = Path.exists

    def refuse(path: Path) -> bool:
        if path.name == "media":
            raise PermissionError(errno.EACCES, "Permission denied")
        return exists(path)

    monkeypatch.setattr(Path, "exists", refuse)
    well, [amiss] = await said(config)
    assert amiss == f"[bot] data_dir: {tmp_path}/data/media cannot be used: Permission denied."
    assert "The books add up" in well


async def test_a_disk_that_is_nearly_full_is_said(tmp_path: Path, simulator: Simulator) -> None:
    config = to_test_config(tmp_path, simulator, bot={"min_free_bytes": 10**18})
    [amiss] = (await said(config))[1]
    assert "less free than the 1,000,000,000,000 MB of [bot] min_free_bytes" in amiss
    with read_logs() as log:
        async with running(config, simulator, RecordingAdapter(), MovableClock()) as bot:
            within = await checkup.look_within(config, bot.app.database, bot.app._media)
    assert amiss in [each.sentence for each in within if not each.is_well]
    assert log.getvalue().count("so nothing new is started") == 1, "a start says it once"


@pytest.mark.parametrize("mark", [{}, {"to": "PostgreSQL database fox on this machine"}])
async def test_a_database_that_others_go_on_from_is_said(
    mark: dict[str, str], tmp_path: Path, simulator: Simulator
) -> None:
    config = to_test_config(tmp_path, simulator)
    async with running(config, simulator, RecordingAdapter(), MovableClock()) as bot:
        at = {"at": "2026-11-22T03:00:00+00:00", **mark}
        await bot.app.database.write(lambda tx: settings.choose(tx, COPY, at))
    [amiss] = (await said(config))[1]
    with pytest.raises(ConfigError) as refused:
        async with App(config, {}):
            pass
    assert refused.value.sentence == amiss


async def test_an_adapter_that_the_environment_alone_sets_up_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYBOT_ADAPTERS__WEB__ENABLED", "true")
    config = to_config_of(tmp_path, defaults={"providers": ["simulator"]})
    assert switched_on(config) == ("web",)
    found = await checkup.look(config, seconds=5)
    assert [each.sentence for each in found if not each.is_well] == []
    assert any(each.sentence.startswith("web: ") for each in found)
    monkeypatch.setenv("RAYBOT_ADAPTERS__WEB__ENABLE", "true")
    assert "[adapters.web] has no key 'enable'. Did you mean 'enabled'?" in (await said(config))[1]


async def test_a_run_without_an_adapter_is_said_where_there_is_a_file(tmp_path: Path) -> None:
    tables: dict[str, Any] = {"defaults": {"providers": ["simulator"]}}
    none: dict[str, Any] = {}
    for adapters, is_missing in (none, True), ({"web": none}, True), ({"terminal": none}, False):
        found = await checkup.look(to_config_of(tmp_path, **tables, adapters=adapters))
        amiss = [each.sentence for each in found if not each.is_well]
        assert amiss == [checkup.NO_ADAPTER] * is_missing
    found = await checkup.look(to_config({}))
    assert [each.is_well for each in found if each.sentence == checkup.NO_ADAPTER] == [True]


# ---- the chat platforms -----------------------------------------------------------------------


async def test_the_terminal_says_where_clips_go(tmp_path: Path) -> None:
    tables: dict[str, Any] = {"defaults": {"providers": ["simulator"]}}
    well, _ = await said(to_config_of(tmp_path, **tables, adapters={"terminal": {}}))
    assert "terminal: clips are written into clips" in well
    (tmp_path / "file").touch()
    wrong = {"terminal": {"folder": str(tmp_path / "file")}}
    _, amiss = await said(to_config_of(tmp_path, **tables, adapters=wrong))
    assert amiss == [f"terminal: {tmp_path / 'file'} is no folder"]
    within = tmp_path / "file" / "clips"
    wrong = {"terminal": {"folder": str(within)}}
    _, amiss = await said(to_config_of(tmp_path, **tables, adapters=wrong))
    assert amiss == [f"[adapters.terminal] folder: {within} cannot be used: Not a directory."]


@pytest.fixture
async def discord_server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DiscordServer]:
    monkeypatch.setattr(Route, "BASE", Route.BASE)
    async with DiscordServer() as server:
        yield server


async def test_discord_is_asked_about_the_servers_that_are_served_and_their_channels(
    tmp_path: Path, discord_server: DiscordServer
) -> None:
    discord_server.guild("Foxes", guild_id=4242)
    owls = discord_server.guild("Owls", guild_id=77)
    cellar = discord_server.channel(owls, "cellar")
    discord_server.overwrite(cellar, discord_server.app.bot, deny=Permission.ATTACH_FILES)
    table = {"token": discord_server.token, "api_base_url": discord_server.api_base_url}
    config = to_config_of(
        tmp_path,
        defaults={"providers": ["simulator"]},
        access={"servers": ["4242"]},
        adapters={"discord": table},
    )
    well, amiss = await said(config)
    assert "discord: Foxes (4242): the bot can post in 1 channel" in well
    assert amiss == []

    def let_in(tx: Tx) -> None:
        now = SystemClock().now()
        places.decide(tx, "discord:77", "approved", by="discord:1", now=now)
        places.decide(tx, "discord:88", "closed", by="discord:1", now=now)
        places.decide(tx, "slack:T1", "approved", by="discord:1", now=now)
        places.allow_channels(tx, "discord:77", {str(cellar.id): "cellar"})

    database = open_database(database_url(config))
    await database.start()
    await database.write(let_in)
    await database.stop()
    _, amiss = await said(config)
    assert amiss == ["discord: Owls (77), #cellar: the bot lacks Attach Files"]


async def test_a_chat_without_a_token_is_one_line(tmp_path: Path) -> None:
    config = to_config_of(
        tmp_path, defaults={"providers": ["simulator"]}, adapters={"discord": {}}
    )
    _, [amiss] = await said(config)
    assert amiss.startswith("[adapters.discord] token: missing.")


async def test_slack_is_told_of_its_workspace_and_of_our_address(tmp_path: Path) -> None:
    async with SlackPortal() as portal:
        table = {"bot_token": BOT_TOKEN, "api_base_url": portal.base_url, "mode": "http"}
        config = to_config_of(
            tmp_path,
            defaults={"providers": ["simulator"]},
            access={"workspaces": [WORKSPACE]},
            adapters={"slack": {**table, "signing_secret": "shh-signing"}},
        )
        _, [amiss] = await said(config)
        assert amiss.startswith("slack: [bot] public_url: missing.")
        address = "https://video.example.org"
        well, amiss_all = await said(config.with_changes({"bot": {"public_url": address}}))
    assert amiss_all == []
    assert f"slack: the bot's token is good, this is @ray in Foxes ({WORKSPACE})" in well
    assert any(f"Slack calls {address}/slack/events" in each for each in well)


async def test_a_rule_that_a_platform_cannot_keep_is_said(tmp_path: Path) -> None:
    config = to_config_of(
        tmp_path,
        defaults={"providers": ["simulator"]},
        limits={"min_member_days": 7},
        adapters={"slack": {}, "terminal": {}},
    )
    well, [amiss] = await said(config)
    assert amiss.startswith("[adapters.slack] bot_token: missing; `raybot invite slack` says how")
    [rule] = [each for each in well if "min_member_days" in each]
    assert rule.startswith("slack: nobody tells since when somebody is a member")


@pytest.mark.parametrize(("hosting", "is_said"), [("chat", False), ("off", True)])
async def test_a_chat_that_shows_images_is_a_way_to_give_them(
    tmp_path: Path, hosting: str, *, is_said: bool
) -> None:
    config = to_config_of(
        tmp_path,
        providers={"luma": {"api_key": "luma-key"}},
        adapters={"terminal": {}, "discord": {"hosting": hosting}},
    )
    opened = open_provider(config, "luma", clock=SystemClock())
    assert opened is not None
    [found] = await handover.look(config, opened, seconds=5)
    assert found.is_well is not is_said
    assert is_said or found.sentence.endswith("from Raybot's own messages in discord")


async def test_images_in_slack_need_an_address_or_a_service_that_takes_files(
    tmp_path: Path,
) -> None:
    keys = {"luma": {"api_key": "luma-key"}, "replicate": {"api_key": "r8_key"}}

    async def found(name: str, **chats: dict[str, Any]) -> list[tuple[bool, str]]:
        config = to_config_of(tmp_path, providers=keys, adapters={"terminal": {}, **chats})
        opened = open_provider(config, name, clock=SystemClock())
        assert opened is not None
        seen = await handover.look(config, opened, seconds=5)
        return [(each.is_well, each.sentence) for each in seen]

    cure = "set [bot] public_url or media_url, or name a service that takes files, such as fal or "
    [(is_well, sentence)] = await found("luma", slack={})
    assert not is_well
    assert sentence.startswith(f"Images cannot be given to luma: {cure}")
    lent, (is_well, sentence) = await found("luma", slack={}, discord={})
    assert lent == (True, "luma fetches images from Raybot's own messages in discord")
    assert not is_well
    assert sentence.startswith(f"Images in slack cannot be given to luma: {cure}")
    assert await found("replicate", slack={}) == []
