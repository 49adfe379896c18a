"""Which test here meets which reader of outside bytes; one without a test is refused."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: By the test that meets them: a module, then its readers. A new reader takes a place here, with
#: a test that gives it what was spoilt.
MET: Mapping[str, tuple[str, ...]] = {
    "test_answers": (
        "bot.http read_json read_refusal",
        "bot.dialects.dream_machine read_generation",
        "bot.dialects.agents_api read_generation",
        "bot.dialects.predictions read_generation",
        "bot.dialects.comfy_graph read_queue read_history",
        "bot.dialects.fal_queue read_request_id read_status read_told read_result read_call",
        "bot.dialects.fal_queue read_said",
        "bot.dialects.one_answer read_link read_words read_error",
        "bot.providers.luma read_error read_manner",
        "bot.providers.luma_agents read_error",
        "bot.providers.replicate read_error",
        "bot.providers.comfyui read_error",
        "bot.providers.comfy_router read_error read_answer",
        "bot.providers.fal read_error read_keys",
        "bot.providers.mindstudio read_failure read_id",
    ),
    "test_clips": ("bot.codec.films probe_clip", "bot.codec Codec"),
    "test_discord": ("adapters.discord.parse pictures_of clip_of author_of",),
    "test_discord_forms": (
        "adapters.discord.buttons Form ActionButton ActionList OpenForms",
        "adapters.discord.act_forms DeedForm",
        "adapters.discord.reporting ReasonForm",
        "adapters.discord.stories StoryForm",
        "adapters.discord.drafts read_form read_story",
    ),
    "test_doors": ("bot.media LinkSigner", "bot.web Web", "bot.addresses Guard"),
    "test_hook": ("bot.moderators HookModerator",),
    "test_images": ("bot.codec.images sniff normalise_image probe_picture",),
    "test_slack": (
        "adapters.slack.act_forms read_deed errors_of",
        "adapters.slack.buttons read_action clip_of",
        "adapters.slack.calls is_signed to_request",
        "adapters.slack.events read read_kept read_files",
        "adapters.slack.filled read_place read_view read_story read_settings errors_of",
        "adapters.slack.filled story_errors",
        "adapters.slack.more read_reason",
        "adapters.slack.people to_person",
        "adapters.slack.refusals read_refusal",
    ),
    "test_tables": ("bot.config to_config",),
    "test_typed": (
        "adapters.command_text parse parse_prompt read_link",
        "adapters.names parse_named",
        "adapters.opinions read_opinion",
        "adapters.own_place read_admin",
        "adapters.slack.admin read_admin",
        "adapters.terminal.parse read_line",
        "adapters.verbs read_verb",
        "adapters.work_text read_verb",
    ),
    "test_web": (
        "adapters.web.parse read_form to_said read_text check_image",
        "adapters.web.desk.act Form",
        "adapters.web.desk.addresses read_mark",
        "adapters.web.desk.flash unseal",
    ),
}
#: Readers that meet nothing of strangers, or only through one of those above.
APART: Mapping[str, str] = {
    "adapters.discord.refusals.read_sign_in": "reads the type of an error of discord.py",
    "adapters.near_words.read_admin": "through own_place and slack.admin",
    "bot.dialects.fal_queue.read_signed": "through fal's read_callback, in test_answers",
    "bot.dialects.signed_calls.is_signed": "through replicate's read_callback, in test_answers",
    "bot.http.read_detail": "through every read_error",
    "bot.http.read_json_text": "reads the operator's environment",
    "bot.http.read_retry_after": "through every read_error",
    "bot.http.read_time": "through every read_generation",
    "bot.policy.read_policy": "reads rows of our own",
    "bot.providers.comfy_router.read_reply": "through its read_error",
    "bot.providers.intersect.read_nothing": "looks at nothing",
    "bot.providers.luma_agents.read_reset": "through its read_error",
}
#: What a function is called that reads bytes or texts of others, and what a form is made of.
READER = re.compile(r"(?:read|parse|probe|unseal|sniff|is_signed)(?:_\w+)?")
FORMS = {"Modal", "DynamicItem"}
#: The simulator is a service of tests, who types at `raybot` is the operator, and the store reads
#: rows of our own.
OTHERS = ("bot/simulator/", "bot/cli/", "bot/store/")


def _named(lines: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, str, str]]:
    """Each test with a module and one of its readers."""
    for test, modules in lines.items():
        for line in modules:
            module, *names = line.split()
            yield from ((test, module, name) for name in names)


def _readers() -> set[str]:
    """What the names in the code say that it is one."""
    found = set()
    for path in sorted(
        path for part in ("adapters", "bot") for path in (ROOT / part).rglob("*.py")
    ):
        where = path.relative_to(ROOT).as_posix()
        if where.startswith(OTHERS):
            continue
        module = where.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for node in ast.parse(path.read_text("utf-8")).body:
            if name := _reader(node):
                found.add(f"{module}.{name}")
    return found


def _reader(node: ast.stmt) -> str:
    """Its name, if this is one."""
    match node:
        case ast.ClassDef(name=name, bases=bases):
            is_one = any(form in ast.unparse(base) for base in bases for form in FORMS)
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            is_one = READER.fullmatch(name) is not None
        case _:
            return ""
    return name if is_one else ""


def test_every_reader_of_outside_bytes_has_its_fuzz() -> None:
    met = {f"{module}.{name}" for _, module, name in _named(MET)}
    assert _readers() - met - set(APART) == set()
    assert set(APART) - _readers() == set(), "no longer there"
    assert not met & set(APART)


@pytest.mark.parametrize(("test", "module", "name"), list(_named(MET)))
def test_what_stands_in_the_table_is_true(test: str, module: str, name: str) -> None:
    assert hasattr(importlib.import_module(module), name)
    tree = ast.parse(Path(__file__).with_name(f"{test}.py").read_text("utf-8"))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert name in used
