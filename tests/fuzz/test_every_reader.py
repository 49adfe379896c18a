"""Which test here meets which reader of outside bytes; one without a test is refused."""

from __future__ import annotations

import ast
import importlib
import operator
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: By the test that meets them: a module, then its readers. A new reader takes a place here, with
#: a test that gives it what was spoilt.
MET: Mapping[str, tuple[str, ...]] = {
    "test_admins": ("adapters.slack.admin Admin",),
    "test_answers": (
        "bot.http read_json read_refusal",
        "bot.dialects.dream_machine read_generation",
        "bot.dialects.dream_machine_deeds has_moved is_source",
        "bot.dialects.agents_api read_generation",
        "bot.dialects.predictions read_generation compare",
        "bot.dialects.comfy_graph read_queue read_history",
        "bot.dialects.fal_queue read_request_id read_status read_told read_result read_call",
        "bot.dialects.fal_queue read_said",
        "bot.dialects.one_answer read_link read_words read_error",
        "bot.providers.luma read_error read_manner compare",
        "bot.providers.luma_agents read_error",
        "bot.providers.replicate read_error",
        "bot.providers.comfyui read_error",
        "bot.providers.comfy_router read_error read_answer",
        "bot.providers.fal read_error read_keys",
        "bot.providers.mindstudio read_failure read_id",
    ),
    "test_clips": ("bot.codec.films probe_clip", "bot.codec Codec"),
    "test_discord": ("adapters.discord.parse pictures_of clip_of author_of",),
    "test_discord_wire": (
        "adapters.discord.listener Discord",
        "adapters.discord.posted Posted",
        "adapters.discord.session Client",
    ),
    "test_discord_forms": (
        "adapters.discord.buttons Form ActionButton ActionList OpenForms",
        "adapters.discord.act_forms DeedForm",
        "adapters.discord.reporting ReasonForm",
        "adapters.discord.stories StoryForm",
        "adapters.discord.drafts read_form read_story",
    ),
    "test_doors": ("bot.media LinkSigner", "bot.web Web", "bot.addresses Guard"),
    "test_hook": ("bot.moderators HookModerator",),
    "test_services": (
        "bot.http read_retry_after",
        "bot.providers.comfy_router create",
        "bot.providers.comfyui create",
        "bot.providers.fal create",
        "bot.providers.luma create",
        "bot.providers.luma_agents create read_reset",
        "bot.providers.replicate create",
        "bot.service Service._note",
    ),
    "test_images": ("bot.codec.images sniff normalise_image probe_picture",),
    "test_slack": (
        "adapters.slack.act_forms read_deed errors_of",
        "adapters.slack.buttons read_action clip_of",
        "adapters.slack.calls is_signed to_request",
        "adapters.slack.events read read_kept read_files action_ids",
        "adapters.slack.filled read_place read_view read_story read_settings errors_of",
        "adapters.slack.filled story_errors",
        "adapters.slack.more read_reason",
        "adapters.slack.people to_person",
        "adapters.slack.refusals read_refusal",
    ),
    "test_slack_answers": (
        "adapters.slack.images Images",
        "adapters.slack.mentions Mentions clip_in",
        "adapters.slack.people People",
        "adapters.slack.posted Posted is_ours",
        "adapters.slack.proof line_of meet",
        "adapters.slack.uploads to_share",
    ),
    "test_slack_install": (
        "adapters.slack.calls to_oauth to_routes",
        "adapters.slack.tokens Installations States",
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
    "adapters.slack.addresses.read_ts": "through to_share, in test_slack_answers",
    "adapters.slack.posted.read_page": "through Posted and Mentions, in test_slack_answers",
    "adapters.near_words.read_admin": "through own_place and slack.admin",
    "bot.dialects.fal_queue.read_signed": "through fal's read_callback, in test_answers",
    "bot.dialects.signed_calls.is_signed": "through replicate's read_callback, in test_answers",
    "bot.bodies.read_body": "counts bytes, and looks at none of them",
    "bot.http.read_detail": "through every read_error",
    "bot.http.read_json_text": "reads the operator's environment",
    "bot.http.read_time": "through every read_generation",
    "bot.policy.read_policy": "reads rows of our own",
    "bot.providers.comfy_router.read_reply": "through its read_error",
    "bot.providers.intersect.read_nothing": "looks at nothing",
}
#: The same of what is not called so, but takes something as raw as what is sent.
OWN: Mapping[str, str] = {
    "adapters.discord._split": "reads the operator's configuration",
    "adapters.discord.answers.Answers.page": "through Discord, in test_discord_wire",
    "adapters.discord.care.Care.on_reaction": "through Discord, in test_discord_wire",
    "adapters.discord.parse.can_open_thread": "through Discord, in test_discord_wire",
    "adapters.discord.parse.check_permissions": "through Discord, in test_discord_wire",
    "adapters.discord.parse.is_age_restricted": "through Discord, in test_discord_wire",
    "adapters.discord.private.PrivateAnswers.__contains__": "is asked by our own code",
    "adapters.discord.registered.differences": "compares our own commands as Discord keeps them",
    "adapters.slack.events.files_in": "through is_ours and Mentions, in test_slack_answers",
    "adapters.slack.manifest.to_json": "writes what is ours",
    "adapters.slack.manifest.to_link": "writes what is ours",
    "adapters.slack.render._kind": "draws what is ours",
    "adapters.slack.replies.PrivateReplies.open": "shows a form of ours",
    "adapters.slack.settings._split": "reads the operator's configuration",
    "bot.dialects.fal_queue.never_ran": "through fal, in test_services",
    "bot.dialects.one_answer.OneAnswer.read_callback": "through mindstudio, in test_answers",
    "bot.dialects.one_answer.link_paths": "through one-answer services, in test_services",
    "bot.dialects.predictions.is_bare": "through replicate, in test_services",
    "bot.dialects.signed_calls.Signing.proves": "through replicate's read_callback",
    "bot.http.get_with_retries": "through every provider, in test_services",
    "bot.http.to_error": "through every read_error",
}
#: What a function is called that reads bytes or texts of others, and what a form is made of.
READER = re.compile(r"(?:read|parse|probe|unseal|sniff|is_signed)(?:_\w+)?")
FORMS = {"Modal", "DynamicItem"}
#: The simulator is a service of tests, who types at `raybot` is the operator, and the store reads
#: rows of our own.
OTHERS = ("bot/simulator/", "bot/cli/", "bot/store/")
#: Where what comes in is still as it was sent, and how it is annotated there.
RAW_IN = (
    *("adapters/discord/", "adapters/slack/", "bot/dialects/", "bot/providers/"),
    *("bot/http.py", "bot/moderators.py", "bot/service.py", "bot/web.py"),
)
RAW = {
    *("bytes", "object", "dict[str, Any]", "Mapping[str, Any]", "Message", "Row"),
    *("discord.RawReactionActionEvent", "httpx.Response", "web.Request", "SlackApiError"),
}


def _named(lines: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[str, str, str]]:
    """Each test with a module and one of its readers."""
    for test, modules in lines.items():
        for line in modules:
            module, *names = line.split()
            yield from ((test, module, name) for name in names)


def _readers() -> set[str]:
    """What the names in the code say that it is one."""
    found = set()
    for where in _modules():
        for node in ast.parse((ROOT / where).read_text("utf-8")).body:
            if name := _reader(node):
                found.add(f"{_module(where)}.{name}")
    return found


def _modules() -> Iterator[str]:
    for part in ("adapters", "bot"):
        for path in (ROOT / part).rglob("*.py"):
            if not (where := path.relative_to(ROOT).as_posix()).startswith(OTHERS):
                yield where


def _module(where: str) -> str:
    return where.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


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


# ---- whatever it is called ---------------------------------------------------------------------

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(body: Sequence[ast.stmt], within: str = "") -> Iterator[tuple[str, Function]]:
    """Every function and method, private ones, too, by its name in the module."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{within}{node.name}.")
        elif isinstance(node, Function):
            yield f"{within}{node.name}", node


def _takes_raw(node: Function) -> bool:
    given = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    kinds = (ast.unparse(each.annotation) for each in given if each.annotation is not None)
    return any(kind.removesuffix(" | None") in RAW for kind in kinds)


def _reached(functions: Mapping[str, Function], begin: Set[str]) -> set[str]:
    """What these call of the same module, and what that calls; of a class, all that it has."""
    waiting = [each for each in functions if {each, each.partition(".")[0]} & begin]
    reached: set[str] = set()
    while waiting:
        if (name := waiting.pop()) in reached:
            continue
        reached.add(name)
        called = {
            each.id if isinstance(each, ast.Name) else each.attr
            for each in ast.walk(functions[name])
            if isinstance(each, ast.Name | ast.Attribute)
        }
        waiting += [
            each for each in functions if {each.split(".")[0], each.split(".")[-1]} & called
        ]
    return reached


def _unmet() -> set[str]:
    """What takes something as it was sent, and is met by no test, not even through another."""
    known = {f"{module}.{name}" for _, module, name in _named(MET)} | set(APART) | set(OWN)
    found = set()
    for where in sorted(path for path in _modules() if path.startswith(RAW_IN)):
        module = _module(where)
        tree = ast.parse((ROOT / where).read_text("utf-8"))
        functions = dict(_functions(tree.body))
        begin = {each.removeprefix(f"{module}.") for each in known if each.startswith(module)}
        # As in `create = Luma`.
        begin |= {
            ast.unparse(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in begin
        }
        raw = {name for name, node in functions.items() if _takes_raw(node)}
        found |= {f"{module}.{each}" for each in raw - _reached(functions, begin)}
    return found


def test_whatever_takes_what_was_sent_is_met() -> None:
    assert _unmet() == set()


@pytest.mark.parametrize("name", OWN)
def test_what_is_met_elsewhere_is_still_there(name: str) -> None:
    module = max(
        (each for each in map(_module, _modules()) if name.startswith(f"{each}.")), key=len
    )
    assert operator.attrgetter(name.removeprefix(f"{module}."))(importlib.import_module(module))


def test_every_reader_of_outside_bytes_has_its_fuzz() -> None:
    met = {f"{module}.{name}" for _, module, name in _named(MET)}
    assert _readers() - met - set(APART) == set()
    assert set(APART) - _readers() == set(), "no longer there"
    assert not met & {*APART, *OWN}


@pytest.mark.parametrize(("test", "module", "name"), list(_named(MET)))
def test_what_stands_in_the_table_is_true(test: str, module: str, name: str) -> None:
    assert operator.attrgetter(name)(importlib.import_module(module))
    tree = ast.parse(Path(__file__).with_name(f"{test}.py").read_text("utf-8"))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert name.rpartition(".")[2] in used
