"""The form behind an act on a finished clip, and asking for that act. Decides nothing."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import discord
from discord import ui

from adapters.discord import parse
from adapters.discord.buttons import (
    FORM,
    FORM_SECONDS,
    LABEL_CHARS,
    PROMPT_CHARS,
    Choice,
    to_select,
)
from adapters.discord.interactions import InteractionHost
from adapters.discord.names import spell
from adapters.discord.recent import Recent
from adapters.discord.replies import acknowledge, refuse, show_form
from adapters.follow_ups import AT_ONCE, CHOOSE, WORDS, act_of
from bot.acts import DEFAULT_CHOICES, Act, Offered
from bot.refs import JobId
from bot.request import Frame
from bot.text import act_label, option_line

if TYPE_CHECKING:
    from bot.studio import Studio

Interaction = discord.Interaction[Any]
ID_CHARS = 40


class Deeds:
    """Acts on finished clips: at once, or with a form first."""

    def __init__(self, studio: Studio, host: InteractionHost, recent: Recent) -> None:
        self._studio = studio
        self._host = host
        self._recent = recent

    async def on_act(self, interaction: Interaction, action: str, job_id: JobId) -> None:
        """A button under a clip, or what was chosen from the list there."""
        act = act_of(action)
        assert act is not None
        if action in AT_ONCE:
            await self._carry_out(interaction, act, job_id)
            return
        async with self._host.boundary(partial(refuse, interaction)):
            requester = await self._host.requester(interaction, job=job_id)
            offer = await self._studio.works.offer(job_id, act, requester)
            others: list[Choice] = []
            if offer.needs.other_clip:
                others = await self._recent.clips(interaction, requester, but=job_id)
            form = DeedForm(
                offer,
                mark=interaction.client.forms.mark,
                on_filled=self._on_filled(job_id),
                others=others,
            )
            await show_form(interaction, form)

    def _on_filled(self, job_id: JobId) -> OnDeed:
        async def on_filled(interaction: Interaction, form: DeedForm) -> None:
            await self._carry_out(interaction, form.offer.act, job_id, form)

        return on_filled

    async def _carry_out(
        self, interaction: Interaction, act: Act, job_id: JobId, form: DeedForm | None = None
    ) -> None:
        if not await acknowledge(interaction):
            return
        async with self._host.boundary(partial(refuse, interaction)):
            frame: Frame | None = None
            if form is not None and (image := form.end_frame) is not None:
                upload = parse.to_upload(image, interaction_id=interaction.id)
                frame = parse.to_frame(self._host.keep(upload), None, field="end_frame")
            other = parse.to_job_id(form.other) if form is not None and form.other else None
            asked = await self._host.asked(interaction, job=job_id)
            receipts = await self._studio.works.follow(
                job_id,
                act,
                asked.requester,
                dedupe_key=asked.dedupe_key,
                thread=asked.thread,
                asked_at=asked.asked_at,
                choice=form.choice if form else "",
                prompt=spell(form.prompt, interaction) if form else "",
                negative_prompt=spell(form.without, interaction) if form else "",
                other=other,
                frame=frame,
                is_private=asked.is_private,
                is_age_restricted=asked.is_age_restricted,
            )
            await self._host.follow(interaction, receipts)


OnDeed = Callable[[Interaction, "DeedForm"], Awaitable[None]]


class DeedForm(ui.Modal):
    """What an act needs: a choice with its prices, words, another clip, an image to end on."""

    def __init__(
        self, offer: Offered, *, mark: str, on_filled: OnDeed, others: Sequence[Choice] = ()
    ) -> None:
        super().__init__(
            title=act_label(offer.act),
            timeout=FORM_SECONDS,
            custom_id=f"{FORM}{mark}:{secrets.token_hex(8)}",
        )
        self.offer = offer
        self._on_filled = on_filled
        needs = offer.needs
        self._choice = _select(offer)
        self._words = _text(is_long=True, is_needed=needs.prompt == "needed")
        self._without = _text(is_long=False, is_needed=False)
        self._own = to_select(others)
        self._other = _text(
            is_long=False, is_needed=not others, most=ID_CHARS, hint="r-7k2m9q1x0z"
        )
        self._end: ui.FileUpload[Any] = ui.FileUpload(required=False, min_values=0, max_values=1)
        words = WORDS.get(offer.act, "Words")
        self._add("One of your clips", "", self._own, is_there=bool(others))
        named = "Its job id, if it is none of these." if others else "Its job id."
        self._add("The other clip", named, self._other, is_there=needs.other_clip)
        self._add(CHOOSE.get(needs.choice, ""), "", self._choice, is_there=needs.choice != "none")
        said = "" if needs.prompt == "needed" else "Empty: as it was asked for."
        self._add(words, said, self._words, is_there=needs.prompt != "none")
        is_sound = offer.act == "audio"
        self._add("What should not be heard", "", self._without, is_there=is_sound)
        self._add("An image to end on", "", self._end, is_there=needs.takes_image)

    def _add(self, label: str, more: str, field: ui.Item[Any], *, is_there: bool) -> None:
        if is_there:
            self.add_item(ui.Label(text=label, description=more or None, component=field))

    @property
    def choice(self) -> str:
        """What was chosen; empty: the usual one."""
        return self._choice.values[0] if self._choice.values else ""

    @property
    def prompt(self) -> str:
        """The words."""
        return self._words.value or ""

    @property
    def without(self) -> str:
        """What a sound is to be without."""
        return self._without.value or ""

    @property
    def other(self) -> str:
        """The id of another clip: as it was typed, else as it was picked."""
        picked = self._own.values[0] if self._own.values else ""
        return self._other.value or picked

    @property
    def end_frame(self) -> discord.Attachment | None:
        """The image to end on."""
        return self._end.values[0] if self._end.values else None

    async def on_submit(self, interaction: Interaction) -> None:
        """Pass on what was filled in."""
        await self._on_filled(interaction, self)


def _select(offer: Offered) -> ui.Select[Any]:
    usual = DEFAULT_CHOICES.get(offer.needs.choice) if offer.act != "variation" else None
    options = [
        discord.SelectOption(
            label=option_line(offer, each)[:LABEL_CHARS],
            value=each.value,
            default=each.value == usual,
        )
        for each in offer.options[:25]
    ]
    return ui.Select(options=options, required=True)


def _text(
    *, is_long: bool, is_needed: bool, most: int = PROMPT_CHARS, hint: str = ""
) -> ui.TextInput[Any]:
    return ui.TextInput(
        style=discord.TextStyle.paragraph if is_long else discord.TextStyle.short,
        required=is_needed,
        max_length=most,
        placeholder=hint or None,
    )
