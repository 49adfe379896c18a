"""The forms as Slack's views: to create, animate and remix, for one's own settings. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from adapters.slack import blocks as b
from adapters.slack import fields
from adapters.slack.addresses import is_direct
from adapters.slack.blocks import Block
from adapters.slack.fields import Option
from adapters.slack.filled import (
    AS_HERE,
    CAMERA,
    CHOSEN,
    CREATE,
    DRAFT,
    DURATION,
    END,
    LOOP,
    MINE,
    MODEL,
    NO,
    PICTURE,
    PRIVATE,
    PROMPT,
    RESOLUTION,
    SETTINGS,
    SHAPE,
    START,
    WHERE,
    YES,
    Filled,
    Place,
    errors_of,
    read_settings,
    read_view,
)
from bot.ports import ModelCapabilities
from bot.request import ImageWork, VideoWork, Work, to_video
from bot.studio import Offer, Setting
from bot.text import price_words

__all__ = [
    "CREATE",
    "SETTINGS",
    "Filled",
    "Place",
    "create_view",
    "errors_of",
    "only_me",
    "options_of",
    "prices",
    "read_settings",
    "read_view",
    "settings_view",
]
LABELS = {
    MODEL: "Model",
    DURATION: "Length",
    RESOLUTION: "Size",
    SHAPE: "Shape",
    LOOP: "Loop",
    MINE: "Images that I post",
}
LOOPS: tuple[Option, ...] = (("Ends as it begins", YES), ("Does not loop", NO))
MINES: tuple[Option, ...] = (("Nobody may animate them", "nobody"),)
SOURCES = {
    "yours": "yours",
    "channel": "this channel's",
    "place": "this workspace's",
    "house": "the operator's",
}
MOST_CAMERA = 4
PRICES_CHARS = 1500
Picture = tuple[str, str]


# ---- a clip ----------------------------------------------------------------------------------


def create_view(
    models: Sequence[ModelCapabilities],
    offers: Sequence[Offer],
    place: Place,
    *,
    asks_where: bool = False,
    prompt: str = "",
    work: Work | None = None,
    pictures: Sequence[Picture] = (),
    title: str = "Create a clip",
    is_prompt_needed: bool = True,
    has_start_input: bool = True,
) -> Block:
    """The form behind /ray, Animate and Remix; what `work` did not type keeps its default."""
    if isinstance(work, ImageWork):
        return _still_view(models, place, work, title=title)
    work = to_video(work) if work is not None else None
    goes_on = work is not None and work.start_frame is not None
    place = replace(
        place,
        asks_where=asks_where,
        has_image=place.has_image or goes_on,
        needs_prompt=is_prompt_needed and not has_start_input,
    )
    drawn = [
        *_pictures(pictures),
        _prompt(prompt, is_optional=not place.needs_prompt),
        *([fields.place(WHERE, "Where")] if asks_where else []),
        *_choices(models, offers, work),
        *_draft(models, work),
        *_images(has_start_input=has_start_input, goes_on=goes_on, work=work),
        *([] if is_direct(place.channel) else [only_me()]),
        *prices(offers),
    ]
    return fields.form(title, drawn, callback=CREATE, submit="Create", place=place)


def _still_view(
    models: Sequence[ModelCapabilities], place: Place, work: ImageWork, *, title: str
) -> Block:
    """The form for another picture, which has neither length nor images."""
    typed, options = _typed(work), options_of(models)
    drawn = [_prompt(work.prompt, is_optional=False, placeholder="What does the picture show?")]
    for name in (MODEL, SHAPE):
        drawn += fields.choice(
            name, LABELS[name], options[name], chosen=typed.get(name), placeholder="As usual"
        )
    drawn += [] if is_direct(place.channel) else [only_me()]
    place = replace(place, needs_prompt=True, is_still=True)
    return fields.form(title, drawn, callback=CREATE, submit="Create", place=place)


def _pictures(pictures: Sequence[Picture]) -> list[Block]:
    if len(pictures) == 1:
        return [b.small([[b.said(b.within(f"It begins with {pictures[0][0]}", 200))]])]
    first = pictures[0][1] if pictures else None
    return fields.choice(PICTURE, "Which image?", pictures, chosen=first, is_optional=not pictures)


def _prompt(
    written: str, *, is_optional: bool, placeholder: str = "What happens in the clip?"
) -> Block:
    is_cut = fields.cut(written) != written
    return fields.words(
        PROMPT,
        "Prompt",
        written,
        placeholder=placeholder,
        hint="The end of the prompt had no room here." if is_cut else "",
        is_optional=is_optional,
    )


def _choices(
    models: Sequence[ModelCapabilities], offers: Sequence[Offer], work: VideoWork | None
) -> list[Block]:
    """What may be chosen; only what `work` typed is chosen already."""
    typed = _typed(work)
    usual = next((each for each in offers if each.is_default), None)
    usually = {DURATION: usual.duration, RESOLUTION: usual.resolution} if usual else {}
    drawn: list[Block] = []
    for name, choices in options_of(models).items():
        default = f"As usual: {usually[name]}" if name in usually else "As usual"
        drawn += fields.choice(
            name, LABELS[name], choices, chosen=typed.get(name), placeholder=default
        )
    cameras = _distinct(each for model in models for each in model.concepts)
    most = max((model.max_concepts for model in models if model.concepts), default=MOST_CAMERA)
    return drawn + fields.several(
        CAMERA,
        "Camera",
        [(each.replace("_", " "), each) for each in cameras],
        chosen=work.concepts if work is not None and CAMERA in work.typed else (),
        most=most,
        placeholder=f"Up to {most} moves",
    )


def options_of(models: Sequence[ModelCapabilities]) -> dict[str, tuple[Option, ...]]:
    """What any of the models takes; which of them go together, the studio says."""
    lists = {
        MODEL: _distinct(model.model for model in models),
        DURATION: _distinct(each for model in models for each in model.durations),
        RESOLUTION: _distinct(each for model in models for each in model.resolutions),
        SHAPE: _distinct(each for model in models for each in model.aspect_ratios),
    }
    drawn = {name: tuple((each, each) for each in every) for name, every in lists.items()}
    return {**drawn, LOOP: LOOPS}


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _typed(work: Work | None) -> dict[str, str]:
    if work is None:
        return {}
    is_draft = isinstance(work, VideoWork) and work.is_draft
    names = [name for name in CHOSEN if name in work.typed]
    typed = {name: getattr(work, name) for name in names if not (is_draft and name == RESOLUTION)}
    return {name: str(value).lower() if name == LOOP else value for name, value in typed.items()}


def _images(*, has_start_input: bool, goes_on: bool, work: VideoWork | None) -> list[Block]:
    ends = work is not None and work.end_frame is not None
    kept = "Leave it empty to keep the one it had."
    start = fields.image(START, "Start frame", hint=kept if goes_on else "The first picture.")
    end = fields.image(END, "End frame", hint=kept if ends else "The last picture.")
    return [start, end] if has_start_input else [end]


def _draft(models: Sequence[ModelCapabilities], work: VideoWork | None) -> list[Block]:
    """Whether it is to be a draft, where a model has more sizes than one."""
    if not any(len(model.resolutions) > 1 for model in models):
        return []
    choice = ("A draft in the smallest size", YES)
    more, is_ticked = "Final, under it, makes it large.", work is not None and work.is_draft
    return [fields.tick(DRAFT, "Draft", choice, more=more, is_ticked=is_ticked)]


def only_me() -> Block:
    """Whether others see it."""
    choice = ("Only for me", YES)
    return fields.tick(PRIVATE, "Who sees it", choice, more="It comes as a direct message.")


def prices(offers: Sequence[Offer], of: str = "Prices") -> list[Block]:
    """What each length and size costs, where that is known."""
    if not offers:
        return []
    told = [f"{each.duration} {each.resolution} {price_words(each.price)}" for each in offers]
    return [b.small([[b.said(b.within(f"{of}: " + " · ".join(told), PRICES_CHARS))]])]


# ---- own settings ----------------------------------------------------------------------------


def settings_view(
    held: Sequence[Setting], models: Sequence[ModelCapabilities], place: Place
) -> Block:
    """One's own defaults, each with the way to take it back."""
    options = {**options_of(models), MINE: MINES}
    drawn: list[Block] = []
    for each in held:
        if each.name in options:
            drawn += _setting(each, options[each.name])
    return fields.form("Your defaults", drawn, callback=SETTINGS, submit="Save", place=place)


def _setting(held: Setting, choices: Sequence[Option]) -> list[Block]:
    is_own = held.source == "yours"
    labels = {value: label for label, value in choices}
    shown = labels.get(held.value, held.value)
    none = "None of my own" if is_own else f"None of my own: {shown}, {SOURCES[held.source]}"
    chosen = held.value if is_own and held.value in labels else AS_HERE
    return fields.choice(
        held.name,
        LABELS[held.name],
        [(none, AS_HERE), *choices],
        chosen=chosen,
        is_optional=False,
    )
