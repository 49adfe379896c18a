"""Holds recorded requests to Discord's own OpenAPI document, where it lies beside this project.

Four looks: the path and method exist; the body fits the schema; no key and no query parameter is
unknown (the document forbids none, so a slip of the pen would pass); files are named `files[n]`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.discord_server.problems import Json
from tests.discord_server.wire import Request

ROOT = Path(__file__).resolve().parents[2]
_URI = "urn:discord"
_FILE_FIELD = re.compile(r"files\[\d\]")
_UNIONS = ("oneOf", "anyOf")
#: Ids and times differ in every request, and mean nothing to a schema but that they are some.
_NUMBER = re.compile(r"\d{9,}")
_JOB = re.compile(r"\br-[0-9a-z]{10}\b")


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """A finding that is none, and why."""

    method: str
    path: str
    finding: str
    reason: str


DEVIATIONS = (
    Deviation(
        method="(POST|PATCH)",
        path=r".*",
        finding=r"unknown key (data\.|message\.)?tts",
        reason="discord.py sends tts with every message, where it means nothing, too.",
    ),
    Deviation(
        method="POST",
        path=r"/channels/\d+/threads",
        finding=r"unknown (query parameter use_nested_fields|key type)",
        reason="discord.py's way of posting in a forum, older than the document.",
    ),
    Deviation(
        method="(POST|PATCH)",
        path=r".*",
        finding=r"unknown key (.*\.)?embeds\.\d+\.flags",
        reason="discord.py writes its empty flags into every embed; Discord ignores them.",
    ),
    Deviation(
        method="(POST|PATCH)",
        path=r".*",
        finding=r"unknown key (.*\.)?attachments\.\d+\."
        r"(proxy_url|size|url|spoiler|height|width|content_type)",
        reason="discord.py sends a kept attachment back as it got it; only the id counts.",
    ),
    Deviation(
        method="PUT",
        path=r"/applications/.*/commands",
        finding=r"unknown key (\d+\.)?nsfw",
        reason="Documented for commands, not in the document yet.",
    ),
    Deviation(
        method="POST",
        path=r"/attachments/refresh-urls",
        finding=r"unknown path",
        reason="Bots may use it, but it was never documented.",
    ),
)


class OpenApi:
    """One parsed document."""

    def __init__(self, document: Json) -> None:
        _loosen(document)
        self._document = document
        resource = DRAFT202012.create_resource(document)
        self._registry: Registry[Any] = Registry().with_resource(_URI, resource)
        paths = sorted(document["paths"], key=lambda path: path.count("{"))
        self._paths = {path: _to_pattern(path) for path in paths}
        looks = {each: self._one_of(each) for each in _UNIONS}
        self._look_closely = extend(Draft202012Validator, looks)  # type: ignore[no-untyped-call]
        self._validators: dict[int, Draft202012Validator] = {}
        #: What was found before in the same, by schema and content: most requests are alike.
        self._errors: dict[tuple[int, str], list[str]] = {}
        self._fitting: dict[tuple[int, str], bool] = {}

    def findings(self, request: Request) -> list[str]:
        """All that is wrong with a request, known deviations left out."""
        return [each for each in self._look(request) if not _is_known(request, each)]

    def _look(self, request: Request) -> Iterator[str]:
        found = self._operation(request)
        if found is None:
            yield "unknown path"
            return
        path, operation = found
        known = [*path.get("parameters", ()), *operation.get("parameters", ())]
        names = {each["name"] for each in known if each["in"] == "query"}
        for each in request.query.keys() - names:
            yield f"unknown query parameter {each}"
        for file in request.files:
            if not _FILE_FIELD.fullmatch(file.field):
                yield f"unknown file field {file.field}"
        content = operation.get("requestBody", {}).get("content")
        if content is None:
            if request.body is not None:
                yield "a body where none is taken"
        elif request.body is not None or operation["requestBody"].get("required"):
            kind = "multipart/form-data" if request.is_multipart else "application/json"
            yield from self._check(content[kind]["schema"], request.body)

    def _operation(self, request: Request) -> tuple[Json, Json] | None:
        for path, pattern in self._paths.items():
            item = self._document["paths"][path]
            if pattern.fullmatch(request.path) and request.method.lower() in item:
                return item, item[request.method.lower()]
        return None

    def _check(self, schema: Json, body: Any) -> list[str]:
        key = id(schema), _content(body)
        if key not in self._errors:
            self._errors[key] = [*self._look_into(schema, body)]
        return self._errors[key]

    def _look_into(self, schema: Json, body: Any) -> Iterator[str]:
        for error in self._validator(schema).iter_errors(body):
            deepest = min(error.context or [error], key=lambda each: -len(each.absolute_path))
            where = ".".join(map(str, deepest.absolute_path)) or "the body"
            yield f"{where}: {deepest.message[:200]}"
        yield from (f"unknown key {each}" for each in self._unknown(schema, body, ()))

    def _validator(self, schema: Json) -> Draft202012Validator:
        """The one of this part of the document, which stays where it is as long as we are."""
        if id(schema) not in self._validators:
            self._validators[id(schema)] = self._look_closely(
                _absolute(schema), registry=self._registry
            )
        return self._validators[id(schema)]

    def _one_of(self, union: str) -> Callable[..., Iterator[ValidationError]]:
        """The look at a union, which passes over what a body by its own `type` cannot be."""
        look = Draft202012Validator.VALIDATORS[union]

        def look_at_likely(
            validator: Draft202012Validator, shapes: list[Json], body: Any, schema: Json
        ) -> Iterator[ValidationError]:
            likely = [each for each in shapes if self._may_be(each, body)]
            yield from look(validator, likely or shapes, body, schema)

        return look_at_likely

    def _may_be(self, shape: Json, body: Any) -> bool:
        """Whether the body's `type`, where both have one, is one of the shape's."""
        if not isinstance(body, dict) or "type" not in body:
            return True
        kind = self._resolve(shape).get("properties", {}).get("type", {})
        return "enum" not in kind or body["type"] in kind["enum"]

    # ---- keys that nothing allows ------------------------------------------------------------

    def _unknown(self, schema: Json, body: Any, path: tuple[str, ...]) -> Iterator[str]:
        shapes = [each for each in self._shapes(schema) if self._fits(each, body)]
        if isinstance(body, list):
            items = [each["items"] for each in shapes if "items" in each]
            for index, each in enumerate(body):
                if items:
                    yield from self._unknown({"anyOf": items}, each, (*path, str(index)))
        if not isinstance(body, dict):
            return
        shapes = [each for each in shapes if "properties" in each or "allOf" in each]
        if not shapes or any(each.get("additionalProperties") for each in shapes):
            return
        # Of several shapes that fit, the one that leaves least unexplained is meant.
        known = min(
            (self._properties(each) for each in shapes), key=lambda keys: len(body.keys() - keys)
        )
        for key, value in body.items():
            if key in known:
                yield from self._unknown(known[key], value, (*path, key))
            else:
                yield ".".join((*path, key))

    def _shapes(self, schema: Json) -> list[Json]:
        schema = self._resolve(schema)
        for union in _UNIONS:
            if union in schema:
                return [shape for each in schema[union] for shape in self._shapes(each)]
        return [schema]

    def _fits(self, schema: Json, body: Any) -> bool:
        if not self._may_be(schema, body):
            return False
        key = id(schema), _content(body)
        if key not in self._fitting:
            self._fitting[key] = self._validator(schema).is_valid(body)
        return self._fitting[key]

    def _properties(self, schema: Json) -> Json:
        schema = self._resolve(schema)
        known = dict(schema.get("properties", {}))
        for each in schema.get("allOf", ()):
            known |= self._properties(each)
        return known

    def _resolve(self, schema: Json) -> Json:
        while "$ref" in schema:
            target: Any = self._document
            for part in schema["$ref"].rpartition("#/")[2].split("/"):
                target = target[part]
            schema = target
        return schema


def _to_pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)))


def _content(body: Any) -> str:
    """A body as text, with every long number and job as good as any other of its length."""
    text = json.dumps(body, sort_keys=True)
    return _JOB.sub("r-", _NUMBER.sub(lambda found: "1" * len(found[0]), text))


def _document() -> Path | None:
    return next(ROOT.parent.glob("*/specs/discord-openapi.json"), None)


def has_openapi() -> bool:
    """Whether the document lies beside the project."""
    return _document() is not None


@cache
def load_openapi() -> OpenApi:
    """The document; the test is left out where it does not lie beside the project."""
    found = _document()
    if found is None:
        pytest.skip("discord-openapi.json is not beside this project")
    return OpenApi(json.loads(found.read_text("utf-8")))


def check_requests(requests: Iterable[Request]) -> list[str]:
    """What is wrong with those of these requests that Discord accepted."""
    document = load_openapi()
    return [
        f"{each}: {finding}"
        for each in requests
        if each.status is not None and each.status < 300
        for finding in document.findings(each)
    ]


def _is_known(request: Request, finding: str) -> bool:
    return any(
        re.fullmatch(each.method, request.method)
        and re.fullmatch(each.path, request.path)
        and re.fullmatch(each.finding, finding)
        for each in DEVIATIONS
    )


def _loosen(node: Any) -> None:
    """Snowflakes may come as numbers, too: Discord takes them, and discord.py sends them."""
    if isinstance(node, dict):
        if node.get("format") == "snowflake":
            node["type"] = ["string", "integer"]
        for each in node.values():
            _loosen(each)
    elif isinstance(node, list):
        for each in node:
            _loosen(each)


def _absolute(schema: Json) -> Json:
    """A part of the document with its references still leading into the whole."""
    return {"$ref": f"{_URI}{schema['$ref']}"} if set(schema) == {"$ref"} else _rebased(schema)


def _rebased(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: f"{_URI}{value}"
            if key == "$ref" and str(value).startswith("#")
            else _rebased(value)
            for key, value in node.items()
        }
    return [_rebased(each) for each in node] if isinstance(node, list) else node
