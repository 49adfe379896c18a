"""`/ray story`: its lines as they were given, or the form for them. Decides nothing."""

from __future__ import annotations

import io
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import discord
from discord import ui

from adapters import command_text
from adapters.discord import drafts, parse, render
from adapters.discord.buttons import (
    FLAGS_CHARS,
    FORM,
    FORM_SECONDS,
    PROMPT_CHARS,
    Choice,
    to_select,
)
from adapters.discord.choices import Button
from adapters.discord.commands import Options
from adapters.discord.interactions import InteractionHost
from adapters.discord.names import spell
from adapters.discord.replies import acknowledge, refuse, show_form, tell
from adapters.work_text import lines_of
from bot.errors import BotError, InvalidRequest, Refusal, StoreBusy
from bot.request import Requester, Work

if TYPE_CHECKING:
    from bot.studio import Studio

Interaction = discord.Interaction[Any]
AGAIN = "story"
#: So many stories that were refused are kept for another try, until the process ends.
REMEMBERED = 500
FORGOTTEN = (
    "I have been restarted since and do not have your story any more. Use /ray story again."
)
WRITTEN = "What you wrote:"
EXAMPLE = "A fox wakes in the snow\nIt runs through the wood\nIt finds a friend"


class Sizes(Protocol):
    """Who knows lengths and sizes with their prices."""

    async def sizes(self, requester: Requester, channel: str, work: Work | None) -> list[Choice]:
        """Those to choose from."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """A story as somebody wrote it."""

    shots: str = ""
    size: str = ""
    flags: str = ""
    is_private: bool = False


class Stories:
    """Asks for films; of a story that is refused nothing has to be written again."""

    def __init__(self, studio: Studio, host: InteractionHost, sizes: Sizes) -> None:
        self._studio = studio
        self._host = host
        self._sizes = sizes
        self._kept: OrderedDict[str, Told] = OrderedDict()

    async def on_story(self, interaction: Interaction, options: Options) -> None:
        """With lines they are asked for; without, there is a form for them."""
        async with self._host.boundary(partial(refuse, interaction)):
            told = Told(
                shots=options.prompt, flags=_to_flags(options), is_private=options.is_private
            )
            if told.shots.strip():
                await self._submit(interaction, told)
            else:
                await self._open(interaction, told)

    async def on_again(self, interaction: Interaction, token: str) -> None:
        """The button under a refusal: the form again, as it was filled in."""
        async with self._host.boundary(partial(refuse, interaction)):
            if (told := self._kept.get(token)) is None:
                raise InvalidRequest(FORGOTTEN)
            await self._open(interaction, told)

    async def _open(self, interaction: Interaction, told: Told) -> None:
        requester = await self._host.requester(interaction)
        sizes = await self._sizes.sizes(requester, parse.place_of(interaction.channel), None)
        form = StoryForm(
            told, _chosen(sizes, told), mark=interaction.client.forms.mark, on_filled=self._submit
        )
        await show_form(interaction, form)

    async def _submit(self, interaction: Interaction, told: Told) -> None:
        if not await acknowledge(interaction):
            return
        async with self._host.boundary(partial(self._refuse, interaction, told)):
            shots = spell(told.shots, interaction)
            draft = drafts.read_story(shots, told.flags, size=told.size)
            self._studio.stories.check(draft.shots or ())
            asked = await self._host.asked(interaction, is_private=told.is_private)
            request = parse.to_request(asked, draft)
            await self._host.submit(interaction, request)

    async def _refuse(self, interaction: Interaction, told: Told, error: BotError) -> None:
        """Why not, and the way back to what was written, if surely nothing was started."""
        if not isinstance(error, Refusal | StoreBusy):
            content, files = _give_back(render.draw_error(error), told)
            await tell(interaction, content, files=files)
            return
        token = secrets.token_hex(8)
        self._kept[token] = told
        while len(self._kept) > REMEMBERED:
            self._kept.popitem(last=False)
        again = Button(label="Change the story", action=AGAIN, job=token, style="secondary")
        await tell(interaction, render.draw_error(error), drawn=[again])


OnTold = Callable[[Interaction, Told], Awaitable[None]]


class StoryForm(ui.Modal):
    """A line for each shot, the length and size of each, and a line of flags."""

    def __init__(
        self, told: Told, sizes: Sequence[Choice], *, mark: str, on_filled: OnTold
    ) -> None:
        super().__init__(
            title="Tell a story",
            timeout=FORM_SECONDS,
            custom_id=f"{FORM}{mark}:{secrets.token_hex(8)}",
        )
        self._told = told
        self._on_filled = on_filled
        self._shots = _text(EXAMPLE, told.shots, most=PROMPT_CHARS, is_long=True)
        self._size = to_select(sizes)
        self._flags = _text("--ar 16:9", told.flags, most=FLAGS_CHARS)
        self._add("Shots", "A line for each; each goes on from the one before.", self._shots)
        if sizes:
            self._add("Length and size", "Of each shot, with what that costs.", self._size)
        self._add("Flags", "As in a message.", self._flags)

    def _add(self, label: str, more: str, field: ui.Item[Any]) -> None:
        self.add_item(ui.Label(text=label, description=more, component=field))

    async def on_submit(self, interaction: Interaction) -> None:
        """Pass on what was filled in."""
        sizes = self._size.values
        told = replace(
            self._told,
            shots=self._shots.value,
            size=sizes[0] if sizes else "",
            flags=self._flags.value,
        )
        await self._on_filled(interaction, told)


def _text(hint: str, written: str, *, most: int, is_long: bool = False) -> ui.TextInput[Any]:
    return ui.TextInput(
        style=discord.TextStyle.paragraph if is_long else discord.TextStyle.short,
        default=written[:most] or None,
        required=is_long,
        max_length=most,
        placeholder=hint,
    )


def _chosen(sizes: Sequence[Choice], told: Told) -> list[Choice]:
    """The sizes with what was chosen, or is usual; flags that say another stand for themselves."""
    is_said = "--res" in told.flags or "--dur" in told.flags
    usual = told.size or next((each.value for each in sizes if each.is_default), "")
    return [replace(each, is_default=not is_said and each.value == usual) for each in sizes]


def _give_back(said: str, told: Told) -> tuple[str, list[discord.File]]:
    """What was said, and under it the story; one that has no room there is a file."""
    lines = [f"> {render.within(line, PROMPT_CHARS)}" for line in lines_of(told.shots)]
    content = "\n".join([said, WRITTEN, *lines])
    if render.units(content) <= render.MAX_CHARS:
        return content, []
    words = io.BytesIO(told.shots.encode(errors="replace"))
    return f"{said}\n{WRITTEN}", [discord.File(words, filename="story.txt")]


def _to_flags(options: Options) -> str:
    """What was chosen with the command, as it is typed; raises `InvalidRequest`."""
    draft = replace(drafts.to_draft(replace(options, prompt="")), prompt="x")
    return command_text.format_draft(draft).removeprefix("x").strip()
