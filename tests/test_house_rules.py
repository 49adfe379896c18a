"""The house's rules that no linter knows: sizes, names, what is tracked, what papers promise."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from bot.config import HOUSE, SHARED, load_config, to_config
from bot.tables import DefaultsTable
from bot.wiring.supply import SimulatorTable

ROOT = Path(__file__).resolve().parent.parent
CODE = ("bot", "adapters", "bench")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = {"bot": 40, "adapters": 40, "bench": 60, "tests": 60}
DRAWERS = {"util", "utils", "helper", "helpers", "manager", "managers", "common", "misc", "data"}
#: Where any exception may be caught, and how often: each is the last place that can answer for it.
BOUNDARIES = {
    "bot/store/database.py": 1,
    "bot/tracker.py": 1,
    "bot/announcer.py": 1,
    "bot/courier.py": 1,
    "bot/watcher.py": 1,
    "bot/upkeep.py": 2,
}
#: The packages of `bot` whose modules the map names one by one.
ROOMS = ("cli", "wiring", "studio", "steps", "watching", "routing", "wording", "store")
LISTENERS = re.compile(r"adapters/(\w+/listener|terminal)\.py")


def _tracked() -> list[Path]:
    """What is or would be committed; without git, what lies in the places we know."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        paths = [path for part in (*CODE, "tests", "docs") for path in (ROOT / part).rglob("*.*")]
    return [path for path in paths if path.is_file() and "__pycache__" not in path.parts]


TRACKED = _tracked()
PYTHON = [path for path in TRACKED if path.suffix == ".py"]
IS_TEXT = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".mako", ".ini", ""}


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _part(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


@cache
def _walk(path: Path) -> tuple[ast.AST, ...]:
    """All that a file is made of, its module first."""
    return tuple(ast.walk(ast.parse(path.read_text("utf-8"))))


def _docstring(path: Path) -> str | None:
    module = _walk(path)[0]
    assert isinstance(module, ast.Module)
    return ast.get_docstring(module)


# ---- sizes and names -------------------------------------------------------------------------


def test_a_file_stays_readable() -> None:
    long = {
        _name(path): len(_lines(path))
        for path in PYTHON
        if _part(path) in CODE and len(_lines(path)) > MAX_FILE_LINES
    }
    assert long == {}


def test_a_function_stays_readable() -> None:
    long = {
        f"{_name(path)}:{node.lineno} {node.name}": length
        for path in PYTHON
        if path.parent.name != "versions"  # A migration lists tables.
        for node in _walk(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1)
        > MAX_FUNCTION_LINES.get(_part(path), 60)
    }
    assert long == {}


def test_a_name_says_what_is_inside() -> None:
    named = {(_name(path), path.stem) for path in PYTHON} | {
        (f"{_name(path)}:{node.lineno}", node.name)
        for path in PYTHON
        for node in _walk(path)
        if isinstance(node, ast.ClassDef)
    }
    words = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
    drawers = {
        where: name
        for where, name in named
        if DRAWERS & {word.lower() for word in words.findall(name)}
    }
    assert drawers == {}


def test_a_module_says_what_it_knows() -> None:
    silent = [_name(path) for path in PYTHON if _part(path) in CODE and not _docstring(path)]
    assert silent == []


# ---- what may not stand in the code ------------------------------------------------------------


def test_nothing_is_left_for_later() -> None:
    later = re.compile(
        r"\bTOD[O]\b|\bFIXM[E]\b|\bXX[X]\b|NotImplementedErro[r]|mark\.(skip|xfail)\b"
    )
    found = [
        f"{_name(path)}:{number}"
        for path in PYTHON
        for number, line in enumerate(_lines(path), 1)
        if later.search(line)
    ]
    assert found == []


def test_an_ignored_check_gives_its_code_and_its_reason() -> None:
    bare = [
        f"{_name(path)}:{number}"
        for path in PYTHON
        for number, line in enumerate(_lines(path), 1)
        if (match := re.search(r"# type: ignor[e](\[[a-z-]+(, ?[a-z-]+)*\])?(  # \S+)?", line))
        and not (match[1] and (match[3] or _part(path) == "tests"))
    ]
    assert bare == []


def _catches_all(node: ast.AST) -> bool:
    if not isinstance(node, ast.ExceptHandler):
        return False
    kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    is_broad = any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"})
        for kind in kinds
    )
    # One that always raises again hides nothing.
    return is_broad and not isinstance(node.body[-1], ast.Raise)


def test_the_map_of_the_house_names_every_module() -> None:
    told = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    modules = {path.stem if path.is_file() else path.name for path in (ROOT / "bot").iterdir()}
    parts = {path.stem for room in ROOMS for path in (ROOT / "bot" / room).glob("*.py")}
    wanted = (modules | {each for each in parts if not each.startswith("desk_")}) - {
        *("__init__", "__pycache__", "py"),
    }
    assert {each for each in wanted if f"`{each}`" not in told} == set()


@pytest.mark.parametrize("decision", ["0006-discord-in-files", "0008-slack-in-files"])
def test_a_decision_names_every_file_of_its_adapter(decision: str) -> None:
    told = (ROOT / "docs" / "decisions" / f"{decision}.md").read_text("utf-8")
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"(?m)^\| (`.*?) \|", told))))
    assert named == {each.stem for each in (ROOT / "adapters" / decision[5:-9]).glob("*.py")}


def test_only_boundaries_catch_everything() -> None:
    found: dict[str, int] = {}
    for path in PYTHON:
        if _part(path) in CODE:
            count = sum(map(_catches_all, _walk(path)))
            if count and not (LISTENERS.fullmatch(_name(path)) and count == 1):
                found[_name(path)] = count
    assert found == {name: count for name, count in BOUNDARIES.items() if (ROOT / name).exists()}


def test_no_registry_and_no_machine_is_named() -> None:
    leak = re.compile(
        r"--(extra-)?index-ur[l]|--find-link[s]|pypi\.org/simpl[e]|pythonhoste[d]"
        r"|/(home|Users)/[a-z]|/roo[t]/|/wor[k]/|\.\./share[d]"
    )
    found = [
        f"{_name(path)}:{number}"
        for path in TRACKED
        if path.suffix in IS_TEXT
        for number, line in enumerate(_lines(path), 1)
        if leak.search(line)
    ]
    assert found == []


# ---- requirements ------------------------------------------------------------------------------


def _pins(name: str) -> dict[str, tuple[str, bool]]:
    """Each package's version and whether hashes follow it."""
    text = (ROOT / "requirements" / name).read_text("utf-8")
    blocks = re.split(r"\n(?=[a-z0-9])", text)
    pins = {}
    for block in blocks:
        match = re.match(r"([a-z0-9][a-z0-9._-]*)==(\S+)", block)
        assert match, block
        pins[match[1]] = (match[2], "--hash=sha256:" in block)
    return pins


def test_requirements_are_pinned_with_hashes_and_agree() -> None:
    run = _pins("run.txt")
    assert len(run) > 20
    dev, build = _pins("dev.txt"), _pins("build.txt")
    assert {name: dev.get(name) for name in build} == build
    for larger in (dev, _pins("charts.txt")):
        assert [name for name, (_, is_hashed) in {**run, **larger}.items() if not is_hashed] == []
        assert {name: larger.get(name) for name in run} == run


def _canonical(requirement: str) -> str:
    """A package's name as every index writes it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~!; ]", requirement)[0]).lower()


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = {_canonical(each) for each in project["project"]["dependencies"]}
    assert wanted - set(_pins("run.txt")) == set()
    charts = {_canonical(each) for each in project["project"]["optional-dependencies"]["charts"]}
    assert charts - set(_pins("charts.txt")) == set()
    for name, group in project["dependency-groups"].items():
        asked = {_canonical(each) for each in group if isinstance(each, str)}
        assert asked - set(_pins(f"{name}.txt")) == set()


def test_what_make_lists_stands_in_two_columns() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    [column] = map(int, re.findall(r"expand -t (\d+)", makefile))
    names = re.findall(r"(?m)^([a-z]+):.*## ", makefile)
    assert max(len(f"  make {name}") for name in names) < column


# ---- the example configuration -----------------------------------------------------------------

EXAMPLE = (ROOT / "config.example.toml").read_text("utf-8")
UNCOMMENTED = re.sub(r"(?m)^#(?=[a-z_]+ = |\[)", "", EXAMPLE)
#: Chats that need an account are left out of the example until somebody has one.
NEED_AN_ACCOUNT = {"adapters.discord", "adapters.slack"}


def _settings(path: str) -> type[BaseModel]:
    """The model behind a table: the house's own, or the one its provider or adapter exports."""
    kind, _, name = path.partition(".")
    if path == "providers.simulator":
        model: Any = SimulatorTable
    elif name:
        package = "bot.providers" if kind == "providers" else "adapters"
        model = importlib.import_module(f"{package}.{name}").Settings
    else:
        model = type(getattr(to_config({}), kind))
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    return model


def _modules(folder: str) -> set[str]:
    return {
        each.stem
        for each in (ROOT / folder).iterdir()
        if not each.name.startswith("_")
        and (each.suffix == ".py" or (each / "__init__.py").exists())
    }


TABLES = [
    *HOUSE,
    *(f"providers.{name}" for name in sorted(_modules("bot/providers") | {"simulator"})),
    *(f"adapters.{name}" for name in sorted(_modules("adapters") - SHARED)),
]


def _table(text: str, path: str) -> dict[str, Any]:
    table: Any = tomllib.loads(text)
    for part in path.split("."):
        table = table[part]
    assert isinstance(table, dict)
    return table


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("RAYBOT_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("key", ["aspect_ratio", "resolution", "duration"])
def test_the_example_names_every_value_that_can_be_a_default(key: str) -> None:
    said = re.findall(rf"(?m)^# (.+)\n#{key} = ", EXAMPLE)
    values = get_args(DefaultsTable.model_fields[key].annotation)
    assert values
    assert set(re.findall(r"[\w:]+", said[0])) >= set(values)


def test_the_example_loads_as_it_is_and_changes_nothing() -> None:
    loaded, bare = load_config(ROOT / "config.example.toml"), to_config({})
    assert {name: getattr(loaded, name) for name in HOUSE} == {
        name: getattr(bare, name) for name in HOUSE
    }
    assert set(loaded.adapters) == {
        name.partition(".")[2] for name in set(TABLES) - NEED_AN_ACCOUNT if "adapters." in name
    }


def test_the_example_names_every_table() -> None:
    tables = re.findall(r"(?m)^\[([a-z._]+)\]$", UNCOMMENTED)
    assert sorted(tables) == sorted(TABLES)


@pytest.mark.parametrize("path", TABLES)
def test_the_example_names_every_key_with_its_default(path: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(UNCOMMENTED, "utf-8")
    model = _settings(path)
    loaded = load_config(file).load_table(model, path)
    assert set(_table(UNCOMMENTED, path)) == set(model.model_fields)
    differing = {
        name
        for name, field in model.model_fields.items()
        if getattr(loaded, name) != field.get_default(call_default_factory=True)
    }
    assert _marked(path) == differing


def _marked(path: str) -> set[str]:
    """The keys of a table whose values are said to be no defaults."""
    part = re.search(rf"(?ms)^#?\[{re.escape(path)}\]\n(.*?)(?=^#?\[|\Z)", EXAMPLE)
    assert part is not None
    return set(re.findall(r"(?m)^#([a-z_]+) = .*  # for example$", part[1]))


def test_the_example_explains_every_key() -> None:
    for block in re.split(r"\n(?=\[)", EXAMPLE)[1:]:
        header, _, rest = block.partition("\n")
        assert not rest.startswith("#") or rest.startswith("# "), (
            f"{header}: what is the first key?"
        )
        for key, before in re.findall(r"(?m)^#([a-z_]+) = .*\n\n(#[a-z_]+ =)", rest):
            pytest.fail(f"{header} {before} follows {key} without a word")


def test_the_example_calls_nothing_unlimited_that_has_a_limit() -> None:
    said = re.findall(r"(?m)((?:^# .*\n)+)((?:^#[a-z_]+ = .*\n)+)", EXAMPLE)
    unlimited = [keys for words, keys in said if "Not set: no limit" in words]
    assert len(unlimited) > 1
    limited = [
        line
        for keys in unlimited
        for line in keys.splitlines()
        if not line.endswith("  # for example")
    ]
    assert limited == []


# ---- what the papers promise -------------------------------------------------------------------

PAPERS = [path for path in TRACKED if path.suffix == ".md"]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"(?m)^([a-z]+):", MAKEFILE))


def _code(path: Path) -> str:
    """Only what a paper sets as code: commands are promised there."""
    text = path.read_text("utf-8")
    blocks: list[str] = re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL)
    return "\n".join(blocks)


def test_every_make_target_that_is_named_exists_and_is_explained() -> None:
    named = {target for path in PAPERS for target in re.findall(r"\bmake ([a-z]+)", _code(path))}
    assert {"demo", "test", "check"} <= named
    assert named - TARGETS == set()
    assert set(re.findall(r"(?m)^([a-z]+):.*## ", MAKEFILE)) == TARGETS - {"python"}


def test_every_command_that_is_named_exists() -> None:
    source = (ROOT / "bot" / "cli" / "typed.py").read_text("utf-8")
    commands = {
        node.name.strip("_").replace("_", "-")
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and any("command" in ast.unparse(each) for each in node.decorator_list)
    }
    named = {
        command
        for path in [*PAPERS, ROOT / "compose.yaml", ROOT / "Dockerfile"]
        for command in re.findall(r"\braybot (?!raybot)([a-z][a-z-]*)", _code(path))
    }
    assert "chat" in named
    assert named - commands == set()


def test_every_variable_that_is_named_exists() -> None:
    named = {
        name
        for path in TRACKED
        if path.suffix in {".md", ".yaml", ".toml"} or path.name in {"Dockerfile", "Makefile"}
        for name in re.findall(r"RAYBOT_([A-Z_]+[A-Z])", path.read_text("utf-8"))
    }
    known = {
        f"{path.replace('.', '__')}__{key}".upper()
        for path in TABLES
        for key in _settings(path).model_fields
    }
    assert "BOT__PUBLIC_URL" in named
    assert named - known == set()


def test_every_link_inside_the_project_leads_somewhere() -> None:
    broken = [
        f"{_name(path)}: {target}"
        for path in PAPERS
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", path.read_text("utf-8"))
        if not (path.parent / target).exists()
    ]
    assert broken == []


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs" / "decisions").glob("*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


def test_continuous_integration_runs_the_whole_gate() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert "make check" in _lines(script)
    gate = re.search(r"(?ms)^check:.*?\n\n", MAKEFILE)
    assert gate
    for step in ("ruff check", "ruff format --check", "lint-imports", "mypy", "$(PYTEST)"):
        assert step in gate[0]
