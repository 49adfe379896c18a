"""Buttons that outlive the process, and the form behind Remix and Animate. Decides nothing."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, cast

import discord
from discord import ui

from adapters.discord.choices import Button
from adapters.discord.parse import ACTION_ID, action_id

Interaction = discord.Interaction[Any]
#: Longer than anybody writes, and what Discord leaves open to us at most.
FORM_SECONDS = 900.0
FORM = "ray-form:"
RESTARTED = "I was restarted while this form was open. Nothing was started; please open it again."
ENDED = "This form has ended. Copy your words and open it again."
PROMPT_CHARS = 4000
FLAGS_CHARS = 300
#: A command takes a longer prompt than a form.
CUT = "The end had no room here and is left out."
LABEL_CHARS = 100
STYLES = {
    "primary": discord.ButtonStyle.primary,
    "secondary": discord.ButtonStyle.secondary,
    "success": discord.ButtonStyle.success,
    "danger": discord.ButtonStyle.danger,
}


class HearsActions(Protocol):
    """What the client of a button is told."""

    async def on_action(self, interaction: Interaction, action: str, target: str) -> None:
        """A button was clicked, or an action chosen from a list."""


class ActionButton(ui.DynamicItem[ui.Button[Any]], template=ACTION_ID):
    """A button whose custom id is all there is to know, so it works after any restart."""

    def __init__(self, button: ui.Button[Any], action: str, target: str) -> None:
        super().__init__(button)
        self._action = action
        self._target = target

    @classmethod
    async def from_custom_id(
        cls, _interaction: Interaction, item: ui.Item[Any], match: re.Match[str]
    ) -> Self:
        """The button that was clicked, as the message shows it."""
        return cls(cast("ui.Button[Any]", item), match["action"], match["target"])

    async def callback(self, interaction: Interaction) -> None:
        """Pass it on."""
        await cast("HearsActions", interaction.client).on_action(
            interaction, self._action, self._target
        )


class ActionList(
    ui.DynamicItem[ui.Select[Any]], template=r"ray-list:(?P<target>[a-z0-9:-]{1,60})"
):
    """A list of actions, which works after any restart like a button."""

    def __init__(self, select: ui.Select[Any], target: str) -> None:
        super().__init__(select)
        self._target = target

    @classmethod
    async def from_custom_id(
        cls, _interaction: Interaction, item: ui.Item[Any], match: re.Match[str]
    ) -> Self:
        """The list that was chosen from, as the message shows it."""
        return cls(cast("ui.Select[Any]", item), match["target"])

    async def callback(self, interaction: Interaction) -> None:
        """Pass on what was chosen."""
        given: Any = interaction.data or {}
        chosen = str((given.get("values") or [""])[0])
        await cast("HearsActions", interaction.client).on_action(interaction, chosen, self._target)


def to_view(drawn: Sequence[Button]) -> ui.View:
    """A row of buttons, and a list below them.

    All of them are dynamic and none times out: discord.py 2.7 forgets the pattern of dynamic items
    that share a view with others.
    """
    view = ui.View(timeout=None)
    for each in drawn:
        if each.entries:
            view.add_item(ActionList(_list(each), each.job))
            continue
        button: ui.Button[Any] = ui.Button(
            label=each.label,
            style=STYLES[each.style],
            emoji=each.emoji,
            custom_id=action_id(each.action, each.job),
        )
        view.add_item(ActionButton(button, each.action, each.job))
    return view


def _list(drawn: Button) -> ui.Select[Any]:
    options = [
        discord.SelectOption(
            label=each.label[:LABEL_CHARS],
            value=each.value,
            description=each.description[:LABEL_CHARS] or None,
        )
        for each in drawn.entries[:25]
    ]
    return ui.Select(custom_id=f"ray-list:{drawn.job}", placeholder=drawn.label, options=options)


# ---- the form --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One entry of a list."""

    label: str
    value: str
    is_default: bool = False


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What somebody wrote into the form; empty where they left it."""

    prompt: str
    size: str
    flags: str
    picture: int
    end_frame: discord.Attachment | None


OnFilled = Callable[[Interaction, Filled], Awaitable[None]]


class Form(ui.Modal):
    """Prompt, length and size, a line of flags, an end frame; and which image, of several.

    A still has neither length nor end.
    """

    def __init__(
        self,
        *,
        title: str,
        mark: str,
        on_filled: OnFilled,
        sizes: Sequence[Choice],
        prompt: str = "",
        flags: str = "",
        pictures: Sequence[Choice] = (),
        is_prompt_needed: bool = True,
        is_still: bool = False,
    ) -> None:
        # The default id is by chance, too; in ours the mark tells which client knows it.
        super().__init__(
            title=title[:45],
            timeout=FORM_SECONDS,
            custom_id=f"{FORM}{mark}:{secrets.token_hex(8)}",
        )
        self._on_filled = on_filled
        self._pictures = [each.value for each in pictures]
        self._picture = to_select(pictures)
        self._size = to_select(sizes)
        asked = "What does the picture show?" if is_still else "What happens in the clip?"
        self._prompt = _text(asked, prompt, is_long=True)
        self._prompt.required = is_prompt_needed
        usual = "--ar 16:9" if is_still else "--ar 16:9 --camera orbit_left --loop"
        self._flags = _text(usual, flags)
        self._end: ui.FileUpload[Any] = ui.FileUpload(required=False, min_values=0, max_values=1)
        rows = [
            ("Which image?", "", self._picture if len(pictures) > 1 else None),
            ("Prompt", CUT if len(prompt) > PROMPT_CHARS else "", self._prompt),
            ("Length and size", "", self._size if sizes else None),
            ("Flags", "As in a message.", self._flags),
            ("End frame", "The last picture.", None if is_still else self._end),
        ]
        for label, more, field in rows:
            if field is not None:
                self.add_item(ui.Label(text=label, description=more or None, component=field))

    async def on_submit(self, interaction: Interaction) -> None:
        """Pass on what was filled in."""
        chosen, sizes = self._picture.values, self._size.values
        known = bool(chosen) and chosen[0] in self._pictures
        filled = Filled(
            prompt=self._prompt.value,
            size=sizes[0] if sizes else "",
            flags=self._flags.value,
            picture=self._pictures.index(chosen[0]) if known else 0,
            end_frame=self._end.values[0] if self._end.values else None,
        )
        await self._on_filled(interaction, filled)


def _text(hint: str, written: str, *, is_long: bool = False) -> ui.TextInput[Any]:
    most = PROMPT_CHARS if is_long else FLAGS_CHARS
    return ui.TextInput(
        style=discord.TextStyle.paragraph if is_long else discord.TextStyle.short,
        default=written[:most] or None,
        required=False,
        max_length=most,
        placeholder=hint,
    )


def to_select(choices: Sequence[Choice]) -> ui.Select[Any]:
    """A list in a form, of which one entry or none is chosen."""
    options = [
        discord.SelectOption(
            label=each.label[:LABEL_CHARS], value=each.value, default=each.is_default
        )
        for each in choices[:25]
    ]
    return ui.Select(options=options, required=False, min_values=0, max_values=1)


class OpenForms:
    """The forms of one client; discord.py drops each once it was sent, or after its time.

    What is sent then, or after a restart, would be answered by nobody.
    """

    def __init__(self) -> None:
        #: Part of the id of every form that this client opens.
        self.mark = secrets.token_hex(4)
        self._open: dict[str, ui.Modal] = {}

    def add(self, form: ui.Modal) -> None:
        """Remember a form that was opened."""
        self._open = {key: each for key, each in self._open.items() if not each.is_finished()}
        self._open[form.custom_id] = form

    def why_ended(self, custom_id: str) -> str:
        """What to say where nobody takes this form any more; empty for others."""
        if not custom_id.startswith(FORM):
            return ""
        if not custom_id.startswith(f"{FORM}{self.mark}:"):
            return RESTARTED
        form = self._open.get(custom_id)
        return ENDED if form is None or form.is_finished() else ""
