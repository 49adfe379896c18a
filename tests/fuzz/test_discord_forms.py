"""What Discord tells of forms that were filled in, and of buttons and lists that were used.

Its own types hold, which discord.py counts on; what is in them is anybody's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import discord
import pytest
from discord import ui
from discord.app_commands.namespace import ResolveKey
from hypothesis import given
from hypothesis import strategies as st

from adapters.discord import drafts, parse
from adapters.discord.act_forms import DeedForm
from adapters.discord.buttons import (
    FORM,
    RESTARTED,
    ActionButton,
    ActionList,
    Choice,
    Filled,
    Form,
    OpenForms,
)
from adapters.discord.names import spell
from adapters.discord.reporting import REJECTING, ReasonForm
from adapters.discord.stories import StoryForm, Told
from adapters.follow_ups import act_of
from bot.acts import ACTS, Offered, Option, Wish, to_work
from tests.bot.test_acts import made
from tests.fuzz import fuzz
from tests.fuzz.mutations import bounded, phrases, texts, tried
from tests.fuzz.test_discord import ATTACHMENT, to_message

#: A file among what Discord resolves: its type, and an id as they are.
UPLOAD, FILE_ID = 11, "1180000000000000007"
PICTURES = [Choice(label=each, value=each) for each in ("0", "1")]
SIZES = [Choice(label="5s 720p", value="5s 720p", is_default=True)]
OFFERS = [
    Offered(act=act, options=(Option(value="1"), Option(value="1080p")))
    for act in ACTS
    if act not in ("animate", "remix", "retry", "delete")
]
words = st.one_of(
    texts, phrases("a fox", "<@7>", "<#8>", "<:x:9>", "--ar 16:9", "\n", "1.", "r-0ybbj7vnak", "4")
)
chosen = st.one_of(
    st.sampled_from(("0", "1", "2", "-1", "5s 720p", "1080p", "7", "r-0ybbj7vnak")), texts
)
named = st.dictionaries(
    st.sampled_from(("7", "8", "x")),
    st.fixed_dictionaries({}, optional={"name": texts, "username": texts, "global_name": texts}),
    max_size=2,
)

uploads = st.fixed_dictionaries(
    {"filename": texts, "url": texts, "size": st.integers(0, 2**53)}
).map(lambda told: {**ATTACHMENT, **told})


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """What came in for one field: by its place among them, or under an id that is none of ours."""

    at: int
    stranger: str
    wrapped: str
    value: str
    values: list[str]
    files: list[str]


fields = st.builds(
    Submitted,
    at=st.integers(0, 5),
    stranger=st.one_of(st.just(""), st.just(""), texts),
    wrapped=st.sampled_from(("label", "label", "label", "row", "bare")),
    value=words,
    values=st.lists(chosen, max_size=3),
    files=st.lists(st.sampled_from((FILE_ID, "1")), max_size=3),
)


def to_component(each: Submitted, items: list[Any]) -> dict[str, Any]:
    """One of the components of a submission, as Discord nests them."""
    item = items[each.at % len(items)]
    told: dict[str, Any] = {"custom_id": each.stranger or item.custom_id}
    match item:
        case ui.TextInput():
            told |= {"type": 4, "value": each.value}
        case ui.FileUpload():
            told |= {"type": 19, "values": each.files}
        case _:
            told |= {"type": 3, "values": each.values}
    match each.wrapped:
        case "label":
            return {"type": 18, "component": told}
        case "row":
            return {"type": 1, "components": [told]}
    return told


class Sink:
    """Takes what the forms pass on, and reads it as the bot does."""

    def __init__(self) -> None:
        self.heard = 0

    def _file(self, upload: discord.Attachment | None) -> None:
        if upload is not None:
            picture = tried(lambda: parse.to_upload(upload, interaction_id=9))
            tried(lambda: parse.to_frame(picture, None, field="end_frame"))

    async def on_filled(self, interaction: Any, filled: Filled) -> None:
        self.heard += 1
        assert filled.picture in range(len(PICTURES))
        prompt = spell(filled.prompt, interaction)
        tried(lambda: drafts.read_form(prompt, filled.flags, size=filled.size))
        self._file(filled.end_frame)

    async def on_deed(self, interaction: Any, form: DeedForm) -> None:
        self.heard += 1
        other = tried(lambda: parse.to_job_id(form.other)) if form.other else None
        wish = Wish(
            choice=form.choice,
            prompt=spell(form.prompt, interaction),
            negative_prompt=spell(form.without, interaction),
            other=other,
        )
        tried(lambda: to_work(form.offer.act, made(), wish))
        self._file(form.end_frame)

    async def on_told(self, _: Any, told: Told) -> None:
        self.heard += 1
        tried(lambda: drafts.read_story(told.shots, told.flags, size=told.size))

    async def on_reason(self, interaction: Any, reason: str) -> None:
        self.heard += 1
        assert isinstance(spell(reason, interaction), str)


FORMS: dict[str, Callable[[Sink, Offered], ui.Modal]] = {
    "clip": lambda sink, _: Form(
        title="Animate", mark="m", on_filled=sink.on_filled, sizes=SIZES, pictures=PICTURES
    ),
    "deed": lambda sink, offer: DeedForm(offer, mark="m", on_filled=sink.on_deed, others=PICTURES),
    "story": lambda sink, _: StoryForm(Told(), SIZES, mark="m", on_filled=sink.on_told),
    "reason": lambda sink, _: ReasonForm(REJECTING, mark="m", on_filled=sink.on_reason),
}


@pytest.mark.parametrize("name", FORMS)
async def test_a_form_is_read_whatever_was_filled_in(name: str) -> None:
    told: list[tuple[Offered, list[Submitted], Any, dict[str, Any]]] = []

    @fuzz
    @given(
        st.sampled_from(OFFERS),
        st.lists(fields, max_size=7),
        uploads,
        st.fixed_dictionaries({}, optional={"users": named, "roles": named, "channels": named}),
    )
    def collect(
        offer: Offered, given: list[Submitted], file: Any, resolved: dict[str, Any]
    ) -> None:
        told.append((offer, given, file, resolved))

    collect()
    sink = Sink()
    for offer, given_in, file, resolved in told:
        form = FORMS[name](sink, offer)
        items = [each for each in form.walk_children() if hasattr(each, "custom_id")]
        files = to_message({"attachments": [file]}).attachments
        known: dict[Any, Any] = {ResolveKey(id=FILE_ID, type=UPLOAD): each for each in files}
        interaction: Any = SimpleNamespace(
            id=9, guild=None, user=None, data={"resolved": resolved}
        )
        components: Any = [to_component(each, items) for each in given_in]
        form._refresh(interaction, components, known)
        await _submit(form.on_submit, interaction)
    assert sink.heard == len(told)


async def _submit(submit: Callable[[Any], Awaitable[None]], interaction: Any) -> None:
    with bounded():
        await submit(interaction)


class Client:
    """What a button or list tells, as the listener sorts it."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    async def on_action(self, _: Any, action: str, target: str) -> None:
        self.heard.append((action, target))
        act_of(action)
        tried(lambda: parse.to_job_id(target))
        tried(lambda: parse.to_job_id(target.partition(":")[0]))


custom_ids = st.one_of(
    texts,
    phrases("ray:", "ray-list:", "delete", "cancel", ":", "r-0abcd12345", "slack:T0ABC", "a" * 61)
    .map(lambda text: text.replace(" ", ""))
    .filter(bool),
)


async def test_a_button_or_a_list_is_understood_or_is_none_of_ours() -> None:
    pressed: list[tuple[str, dict[str, Any]]] = []

    @fuzz
    @given(
        custom_ids,
        st.fixed_dictionaries({}, optional={"values": st.lists(chosen, max_size=3)}),
    )
    def collect(custom_id: str, data: dict[str, Any]) -> None:
        pressed.append((custom_id, data))

    collect()
    pressed += [("ray:delete:r-0abcd12345", {}), ("ray-list:r-0abcd12345", {"values": ["loop"]})]
    client = Client()
    for custom_id, data in pressed:
        interaction: Any = SimpleNamespace(data=data, client=client)
        for kind in (ActionButton, ActionList):
            found = kind.__discord_ui_compiled_template__.fullmatch(custom_id)
            if found is None:
                continue
            item: Any = await kind.from_custom_id(interaction, _shown(kind, custom_id), found)
            await _submit(item.callback, interaction)
    assert ("delete", "r-0abcd12345") in client.heard
    assert ("loop", "r-0abcd12345") in client.heard


def _shown(kind: type[ui.DynamicItem[Any]], custom_id: str) -> Any:
    """The button or list as discord.py makes it of the message."""
    return (
        ui.Button(custom_id=custom_id) if kind is ActionButton else ui.Select(custom_id=custom_id)
    )


@fuzz
@given(st.one_of(texts, st.sampled_from((FORM, f"{FORM}:", f"{FORM}m:1"))))
def test_a_form_that_nobody_has_is_ended(custom_id: str) -> None:
    with bounded():
        why = OpenForms().why_ended(custom_id)
        assert why == (RESTARTED if custom_id.startswith(FORM) else "")
