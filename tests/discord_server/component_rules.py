"""What Discord accepts as components of a message, in both versions, and of a modal."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from tests.discord_server.problems import Json, Path, Problems
from tests.discord_server.world import walk

ROW, BUTTON, SELECT, TEXT_INPUT = 1, 2, 3, 4
SECTION, TEXT, THUMBNAIL, GALLERY, FILE, SEPARATOR, CONTAINER = 9, 10, 11, 12, 13, 14, 17
LABEL, FILE_UPLOAD, RADIO_GROUP, CHECKBOX_GROUP, CHECKBOX = 18, 19, 21, 22, 23
SELECTS = frozenset({3, 5, 6, 7, 8})

IN_MESSAGE = frozenset({ROW})
IN_CONTAINER = frozenset({ROW, SECTION, TEXT, GALLERY, FILE, SEPARATOR})
IN_MESSAGE_V2 = IN_CONTAINER | {CONTAINER}
IN_MODAL = frozenset({ROW, TEXT, LABEL})
IN_ROW = SELECTS | {BUTTON}
IN_LABEL = SELECTS | {TEXT_INPUT, FILE_UPLOAD, RADIO_GROUP, CHECKBOX_GROUP, CHECKBOX}

MOST_COMPONENTS = 40
MOST_TEXT = 4000
LINK_STYLE, PREMIUM_STYLE = 5, 6
_DUPLICATED = ("COMPONENT_CUSTOM_ID_DUPLICATED", "Component custom id cannot be duplicated")
_NO_FILE = "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND"
_REFUSED = "COMPONENT_VALIDATION_FAILED"


class ComponentCheck:
    """Walks one tree and tells all that is wrong with it. `names`: the files it may show."""

    def __init__(
        self, problems: Problems, *, names: Collection[str] = (), modal: bool = False
    ) -> None:
        self._problems = problems
        self._names = names
        self._is_modal = modal
        self._custom_ids: list[tuple[Path, Any]] = []
        self._ids: list[tuple[Path, Any]] = []
        self._count = 0
        self._text = 0
        self._checks: dict[int, Callable[[Json, Path], None]] = {
            ROW: self._row,
            BUTTON: self._button,
            TEXT_INPUT: self._text_input,
            SECTION: self._section,
            TEXT: self._text_display,
            THUMBNAIL: self._thumbnail,
            GALLERY: self._gallery,
            FILE: self._file,
            SEPARATOR: lambda *_: None,
            CONTAINER: self._container,
            LABEL: self._label,
            FILE_UPLOAD: self._file_upload,
            RADIO_GROUP: lambda body, path: self._options(body, path, 2, 10),
            CHECKBOX_GROUP: lambda body, path: self._options(body, path, 1, 10),
            CHECKBOX: self._custom_id,
            **dict.fromkeys(SELECTS, self._select),
        }

    def message(self, components: Any, path: Path, *, is_v2: bool) -> None:
        """The components of a message."""
        allowed = IN_MESSAGE_V2 if is_v2 else IN_MESSAGE
        self._all(components, path, allowed, 0, MOST_COMPONENTS if is_v2 else 5)
        if self._count > MOST_COMPONENTS:
            self._problems.add(path, _REFUSED, "The total number of components is over 40")
        self._finish(path)

    def modal(self, components: Any, path: Path) -> None:
        """The components of a modal."""
        self._all(components, path, IN_MODAL, 1, 5)
        self._finish(path)

    def _finish(self, path: Path) -> None:
        self._problems.unique(self._custom_ids, *_DUPLICATED)
        self._problems.unique(
            self._ids, "COMPONENT_ID_DUPLICATED", "Component id cannot be duplicated"
        )
        if self._text > MOST_TEXT:
            self._problems.add(path, _REFUSED, "The displayable text is over 4000 characters")

    def _all(
        self, components: Any, path: Path, allowed: Collection[int], low: int, high: int
    ) -> None:
        for index, each in enumerate(self._problems.count(components, path, low, high)):
            self._one(each, (*path, index), allowed)

    def _one(self, component: Any, path: Path, allowed: Collection[int]) -> None:
        if not isinstance(component, dict):
            self._problems.add(path, "DICT_TYPE_CONVERT", "Only dictionaries may be used.")
            return
        kind = component.get("type")
        self._count += 1
        if component.get("id"):
            self._ids.append(((*path, "id"), component["id"]))
        if self._problems.choice(kind, (*path, "type"), allowed):
            assert isinstance(kind, int)
            self._checks[kind](component, path)

    # ---- what people press and fill in ------------------------------------------------------

    def _custom_id(self, body: Json, path: Path) -> None:
        self._problems.text(body, "custom_id", path, 1, 100)
        self._custom_ids.append(((*path, "custom_id"), body.get("custom_id")))

    def _row(self, body: Json, path: Path) -> None:
        inner = body.get("components")
        self._all(inner, (*path, "components"), {TEXT_INPUT} if self._is_modal else IN_ROW, 1, 5)
        listed = inner if isinstance(inner, list) else []
        kinds = [each.get("type") for each in listed if isinstance(each, dict)]
        if len(kinds) > 1 and any(each != BUTTON for each in kinds):
            self._problems.add(
                (*path, "components"),
                "COMPONENT_LAYOUT_WIDTH_EXCEEDED",
                "The width of this row is exceeded: one select and nothing else",
            )

    def _button(self, body: Json, path: Path) -> None:
        style: Any = body.get("style")
        if not self._problems.choice(style, (*path, "style"), range(1, 7)):
            return
        self._problems.text(body, "label", path, 0, 80)
        needed = {LINK_STYLE: "url", PREMIUM_STYLE: "sku_id"}.get(style, "custom_id")
        for key in ("custom_id", "url", "sku_id"):
            if (body.get(key) is not None) != (key == needed):
                self._problems.add((*path, key), _REFUSED, f"A button of style {style}: {needed}")
        if needed == "custom_id":
            self._custom_id(body, path)
        elif needed == "url":
            self._problems.text(body, "url", path, 1, 512)
        if style != PREMIUM_STYLE and not (body.get("label") or body.get("emoji")):
            self._problems.required((*path, "label"))

    def _select(self, body: Json, path: Path) -> None:
        self._custom_id(body, path)
        self._problems.text(body, "placeholder", path, 0, 150)
        self._problems.number(body, "min_values", path, 0, 25)
        self._problems.number(body, "max_values", path, 1, 25)
        if body["type"] == SELECT:
            self._check_options(body, path, 1, 25)

    def _options(self, body: Json, path: Path, low: int, high: int) -> None:
        self._custom_id(body, path)
        self._check_options(body, path, low, high)

    def _check_options(self, body: Json, path: Path, low: int, high: int) -> None:
        path = (*path, "options")
        options = self._problems.objects(body.get("options"), path, low, high)
        for index, each in enumerate(options):
            for key, low in (("label", 1), ("value", 1), ("description", 0)):
                self._problems.text(each, key, (*path, index), low, 100)
        self._problems.unique(
            [((*path, index, "value"), each.get("value")) for index, each in enumerate(options)],
            "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED",
            "The specified option value is already used",
        )

    def _text_input(self, body: Json, path: Path) -> None:
        self._custom_id(body, path)
        self._problems.choice(body.get("style"), (*path, "style"), {1, 2})
        self._problems.text(body, "value", path, 0, 4000)
        self._problems.text(body, "placeholder", path, 0, 100)
        self._problems.number(body, "min_length", path, 0, 4000)
        self._problems.number(body, "max_length", path, 1, 4000)
        if len(path) > 1 and path[-1] == "component":
            if body.get("label") is not None:
                self._problems.add(
                    (*path, "label"), _REFUSED, "A text input in a label has no label of its own"
                )
        else:
            self._problems.text(body, "label", path, 1, 45)

    def _label(self, body: Json, path: Path) -> None:
        self._problems.text(body, "label", path, 1, 45)
        self._problems.text(body, "description", path, 0, 100)
        self._one(body.get("component"), (*path, "component"), IN_LABEL)

    def _file_upload(self, body: Json, path: Path) -> None:
        self._custom_id(body, path)
        self._problems.number(body, "min_values", path, 0, 10)
        self._problems.number(body, "max_values", path, 1, 10)

    # ---- what people look at ----------------------------------------------------------------

    def _text_display(self, body: Json, path: Path) -> None:
        self._text += len(self._problems.text(body, "content", path, 1, MOST_TEXT))

    def _section(self, body: Json, path: Path) -> None:
        self._all(body.get("components"), (*path, "components"), {TEXT}, 1, 3)
        self._one(body.get("accessory"), (*path, "accessory"), {BUTTON, THUMBNAIL})

    def _container(self, body: Json, path: Path) -> None:
        self._all(body.get("components"), (*path, "components"), IN_CONTAINER, 1, MOST_COMPONENTS)

    def _thumbnail(self, body: Json, path: Path) -> None:
        self._problems.text(body, "description", path, 0, 1024)
        self._media(body.get("media"), (*path, "media"))

    def _gallery(self, body: Json, path: Path) -> None:
        path = (*path, "items")
        for index, each in enumerate(self._problems.objects(body.get("items"), path, 1, 10)):
            self._thumbnail(each, (*path, index))

    def _file(self, body: Json, path: Path) -> None:
        self._media(body.get("file"), (*path, "file"), only_own=True)

    def _media(self, media: Any, path: Path, *, only_own: bool = False) -> None:
        url = media.get("url") if isinstance(media, dict) else None
        if not isinstance(url, str):
            self._problems.required(path)
            return
        name = url.removeprefix("attachment://")
        is_external = url.startswith(("https://", "http://")) and not only_own
        if not (is_external or (name != url and name in self._names)):
            self._problems.add((*path, "url"), _NO_FILE, f"There is no such attachment: {url}")


def number_components(components: list[Json]) -> None:
    """Give every component without an id the next free one, as Discord does."""
    taken = {each["id"] for each in walk(components) if each.get("id")}
    following = 1
    for each in walk(components):
        if not each.get("id"):
            while following in taken:
                following += 1
            each["id"] = following
            taken.add(following)
