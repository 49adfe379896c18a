"""The forms and the Home tab: what Slack takes, what is chosen already, what is read back."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from adapters.command_text import Draft
from adapters.slack import buttons, views
from adapters.slack.tab import home_view
from adapters.slack.views import Place
from bot.errors import InvalidRequest
from bot.overview import Allowance, Offer
from bot.ports import ModelCapabilities
from bot.refs import Attachment, Micros, Price
from bot.request import CONCEPTS, ImageFrame, VideoWork
from tests.adapters.slack.block_rules import (
    HELD,
    check_view,
    job_line,
    prompts,
    shown,
    usage,
    walk,
)
from tests.adapters.slack.test_pages import MODEL
from tests.notices import NOW

BIG = replace(MODEL, model="ray-2", resolutions=("720p", "1080p"), concepts=CONCEPTS)
MODELS = (MODEL, BIG)
PLACE = Place(channel="C1", thread="10.1")
OFFERS = (
    Offer(duration="5s", resolution="540p", price=Price(micros=Micros(140_000)), is_default=True),
    Offer(duration="9s", resolution="540p", price=Price(micros=Micros(900_000)), is_default=False),
)
View = dict[str, Any]


def fields(view: View) -> dict[str, dict[str, Any]]:
    return {each["block_id"]: each for each in view["blocks"] if each["type"] == "input"}


def submit(view: View, **filled: Any) -> View:
    """The form as Slack sends it back: what was chosen already, and what a person changed."""
    values: dict[str, Any] = {}
    for name, block in fields(view).items():
        state = as_opened(block["element"])
        state.update(filled.pop(name, {}))
        values[name] = {block["element"]["action_id"]: state}
    assert not filled
    kept = {name: view[name] for name in ("callback_id", "private_metadata")}
    return {"id": "V1", **kept, "state": {"values": values}}


def as_opened(element: dict[str, Any]) -> dict[str, Any]:
    match element["type"]:
        case "plain_text_input":
            return {"value": element.get("initial_value")}
        case "static_select":
            return {"selected_option": element.get("initial_option")}
        case "multi_static_select" | "checkboxes":
            return {"selected_options": element.get("initial_options", [])}
        case "file_input":
            return {"files": []}
    return {"selected_conversation": None}


def said(text: str) -> dict[str, Any]:
    return {"value": text}


def chose(value: str) -> dict[str, Any]:
    return {"selected_option": {"value": value}}


def chosen(view: View) -> dict[str, str]:
    """What the form has chosen already."""
    every = {name: as_opened(each["element"]) for name, each in fields(view).items()}
    return {
        name: state["selected_option"]["value"]
        for name, state in every.items()
        if state.get("selected_option")
    }


# ---- a clip ----------------------------------------------------------------------------------


def test_an_empty_form_settles_nothing_for_its_person() -> None:
    view = views.create_view(MODELS, OFFERS, PLACE)
    check_view(view)
    assert view["callback_id"] == views.CREATE
    assert chosen(view) == {}
    assert [*fields(view)] == [
        *("prompt", "model", "duration", "resolution", "aspect_ratio", "loop", "concepts"),
        *("draft", "start", "end", "private"),
    ]
    read = views.read_view(submit(view, prompt=said(" a fox ")))
    assert read == views.Filled(draft=Draft(prompt="a fox"), place=read.place)
    assert (read.place.channel, read.place.thread) == ("C1", "10.1")


def test_the_form_tells_the_usual_and_what_all_of_it_costs() -> None:
    view = views.create_view(MODELS, OFFERS, PLACE)
    element = fields(view)["duration"]["element"]
    assert element["placeholder"]["text"] == "As usual: 5s"
    assert "Prices: 5s 540p ≈ $0.14 · 9s 540p ≈ $0.90" in shown(view["blocks"])
    bare = views.create_view(MODELS, (), PLACE)
    assert "Prices" not in shown(bare["blocks"])


def test_everything_that_was_filled_in_is_read() -> None:
    view = views.create_view(MODELS, OFFERS, Place(channel=""), asks_where=True)
    check_view(view)
    where = fields(view)["where"]["element"]
    assert where["default_to_current_conversation"]
    assert where["response_url_enabled"]
    filled = submit(
        view,
        prompt=said("a fox"),
        model=chose("ray-2"),
        duration=chose("9s"),
        resolution=chose("1080p"),
        aspect_ratio=chose("9:16"),
        loop=chose("true"),
        concepts={"selected_options": [{"value": "orbit_left"}, {"value": "static"}]},
        start={"files": [{"id": "F1", "name": "a.png"}]},
        end={"files": [{"id": "F2"}]},
        private={"selected_options": [{"value": "true"}]},
        where={"selected_conversation": "C9"},
    )
    assert views.errors_of(filled) == {}
    read = views.read_view(json.loads(json.dumps(filled)))
    assert read.draft == Draft(
        prompt="a fox",
        model="ray-2",
        duration="9s",
        resolution="1080p",
        aspect_ratio="9:16",
        loop=True,
        concepts=("orbit_left", "static"),
    )
    assert (read.start_file, read.end_file, read.channel) == ("F1", "F2", "C9")
    assert read.is_private


def test_another_try_begins_with_what_was_typed_and_keeps_its_image() -> None:
    frame = ImageFrame(attachment=Attachment(adapter="slack", id="T1/F1"))
    work = VideoWork(
        prompt="a fox",
        duration="9s",
        aspect_ratio="9:16",
        loop=False,
        concepts=("static",),
        start_frame=frame,
        typed=frozenset({"prompt", "duration", "loop", "concepts", "start_frame"}),
    )
    place = replace(PLACE, job="r-00000abcde")
    view = views.create_view(MODELS, OFFERS, place, title="Remix", prompt=work.prompt, work=work)
    check_view(view)
    assert chosen(view) == {"duration": "9s", "loop": "false"}
    read = views.read_view(submit(view))
    assert read.draft == Draft(prompt="a fox", duration="9s", loop=False, concepts=("static",))
    assert read.place.job == "r-00000abcde"
    assert "keep the one it had" in fields(view)["start"]["hint"]["text"]
    # The image that it keeps is enough.
    assert views.errors_of(submit(view, prompt=said(" "))) == {}


def test_a_draft_has_no_other_size_and_another_try_of_it_stays_one() -> None:
    ticked = {"selected_options": [{"value": "true"}]}
    view = views.create_view(MODELS, (), PLACE)
    both = submit(view, prompt=said("a fox"), draft=ticked, resolution=chose("1080p"))
    assert "smallest size" in views.errors_of(both)["resolution"]
    with pytest.raises(InvalidRequest, match="smallest size"):
        views.read_view(both)
    work = VideoWork(
        prompt="a fox", is_draft=True, resolution="540p", typed=frozenset({"prompt", "resolution"})
    )
    view = views.create_view(MODELS, (), PLACE, prompt=work.prompt, work=work)
    check_view(view)
    assert chosen(view) == {}
    assert views.read_view(submit(view)).draft == Draft(prompt="a fox", is_draft=True)


def test_one_of_several_images_is_chosen_and_the_first_is_at_hand() -> None:
    pictures = [("a.png", "F1"), ("b.png", "F2")]
    place = replace(PLACE, images=("F1", "F2"))
    view = views.create_view(
        MODELS,
        (),
        place,
        pictures=pictures,
        title="Animate with Ray",
        is_prompt_needed=False,
        has_start_input=False,
    )
    check_view(view)
    assert "start" not in fields(view)
    assert views.read_view(submit(view)).chosen_picture == "F1"
    read = views.read_view(submit(view, picture=chose("F2")))
    assert (read.chosen_picture, read.draft) == ("F2", Draft())
    one = views.create_view(MODELS, (), replace(PLACE, images=("F1",)), pictures=pictures[:1])
    check_view(one)
    assert "It begins with a.png" in shown(one["blocks"])
    assert views.read_view(submit(one)).chosen_picture is None


def test_an_image_that_is_there_twice_is_one_choice() -> None:
    pictures = [("a.png", "F1"), ("a.png", "F1"), ("", "F2"), ("b.png", "")]
    view = views.create_view(MODELS, (), PLACE, pictures=pictures)
    check_view(view)
    options = fields(view)["picture"]["element"]["options"]
    assert [(each["value"], each["text"]["text"]) for each in options] == [
        ("F1", "a.png"),
        ("F2", "…"),
    ]


def test_what_is_missing_is_said_under_its_field() -> None:
    view = views.create_view(MODELS, (), PLACE, asks_where=True)
    empty = submit(view)
    assert views.errors_of(empty) == {
        "prompt": "Say what you want to see, or add an image.",
        "where": "Say where the clip belongs.",
    }
    with pytest.raises(InvalidRequest, match="or add an image"):
        views.read_view(empty)
    with_image = submit(
        view, start={"files": [{"id": "F1"}]}, where={"selected_conversation": "C1"}
    )
    assert views.errors_of(with_image) == {}


def test_a_prompt_that_is_needed_is_asked_for() -> None:
    view = views.create_view(MODELS, (), PLACE, has_start_input=False)
    assert fields(view)["prompt"]["optional"] is False
    assert views.errors_of(submit(view)) == {
        "prompt": "Say what you want to see, or add an image."
    }
    kept = views.create_view(
        MODELS, (), replace(PLACE, clip="r-00000abcde"), has_start_input=False
    )
    assert views.errors_of(submit(kept)) == {"prompt": "Say what you want to see."}


def test_who_is_alone_with_us_is_not_asked_who_may_see_it() -> None:
    view = views.create_view(MODELS, (), Place(channel="D1"))
    assert "private" not in fields(view)
    assert not views.read_view(submit(view, prompt=said("a fox"))).is_private


def test_a_prompt_that_is_too_long_for_a_field_is_cut_and_told() -> None:
    view = views.create_view(MODELS, (), PLACE, prompt="🦊" * 4000)
    check_view(view)
    prompt = fields(view)["prompt"]
    assert prompt["element"]["initial_value"] == "🦊" * 1500
    assert "no room" in prompt["hint"]["text"]


def test_many_images_are_carried_as_far_as_they_fit() -> None:
    images = tuple(f"F{at:010}" for at in range(400))
    pictures = [("a.png", each) for each in images]
    view = views.create_view(MODELS, (), replace(PLACE, images=images), pictures=pictures)
    check_view(view)
    read = views.read_view(submit(view))
    assert 100 < len(read.place.images) < 400
    assert read.place.channel == "C1"


@examples(max_examples=50)
@given(prompts, st.text(max_size=200), st.lists(st.text(max_size=200), max_size=3))
def test_no_words_break_a_form(prompt: str, title: str, names: list[str]) -> None:
    pictures = [(each, f"F{at}") for at, each in enumerate(names)]
    view = views.create_view(MODELS, OFFERS, PLACE, prompt=prompt, title=title, pictures=pictures)
    check_view(view)
    assert views.read_view(submit(view, prompt=said("x" + prompt))).draft.prompt.startswith("x")


def test_models_that_leave_nothing_to_choose_make_a_form_too() -> None:
    bare = ModelCapabilities(
        model="m" * 200, durations=(), resolutions=(), aspect_ratios=(), frames={}
    )
    view = views.create_view((bare,), (), PLACE)
    check_view(view)
    assert [*fields(view)] == ["prompt", "loop", "start", "end", "private"]
    check_view(views.create_view((), (), PLACE))


# ---- what others might send ------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "value", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)
names = st.sampled_from(["prompt", "model", "duration", "start", "picture", "where", "concepts"])
keys = st.sampled_from(
    ["value", "selected_option", "selected_options", "files", "selected_conversation"]
)
states = st.dictionaries(
    names, st.dictionaries(keys, json_values, max_size=2) | json_values, max_size=3
)


@examples(max_examples=80)
@given(
    states,
    st.sampled_from(["", "{}", "[]", "5", "{", "null", '{"images":7}', '{"x":1}']) | st.text(),
    st.sampled_from([views.CREATE, views.SETTINGS, "", None]),
)
def test_whatever_comes_back_is_read_or_refused(
    state: dict[str, Any], metadata: str, callback: str | None
) -> None:
    values = {name: {name: each} for name, each in state.items()}
    view = {"callback_id": callback, "private_metadata": metadata, "state": {"values": values}}
    for each in (view, {**view, "state": state}, {**view, "state": None}):
        assert all(isinstance(text, str) for text in views.errors_of(each).values())
        assert all(isinstance(text, str) for text in views.read_settings(each).values())
        with suppress(InvalidRequest):
            assert isinstance(views.read_view(each).draft, Draft)


def test_a_form_of_another_version_is_opened_again() -> None:
    view = submit(views.create_view(MODELS, (), PLACE))
    other = {**view, "private_metadata": '{"colour":"red"}'}
    assert "open it again" in views.errors_of(other)["prompt"]
    with pytest.raises(InvalidRequest, match="open it again"):
        views.read_view(other)
    view = submit(
        views.create_view(MODELS, (), PLACE), prompt=said("a fox"), duration=chose("77s")
    )
    with pytest.raises(InvalidRequest, match="open it again"):
        views.read_view(view)


# ---- own settings ----------------------------------------------------------------------------


def test_own_defaults_are_shown_changed_and_taken_back() -> None:
    view = views.settings_view(HELD, MODELS, Place(channel=""))
    check_view(view)
    assert view["callback_id"] == views.SETTINGS
    assert chosen(view) == {
        "model": "default",
        "duration": "9s",
        "resolution": "default",
        "aspect_ratio": "default",
        "loop": "default",
    }
    assert "None of my own: 540p, this channel's" in shown(view["blocks"])
    assert views.errors_of(submit(view)) == {}
    assert views.read_settings(submit(view, loop=chose("true"), duration=chose("default"))) == {
        "model": "",
        "duration": "",
        "resolution": "",
        "aspect_ratio": "",
        "loop": "true",
    }


# ---- the Home tab ----------------------------------------------------------------------------


def home(**more: Any) -> View:
    left = Allowance(name="A day", used=3, allowed=9, is_money=False, resets_at=NOW)
    given = {"usage": usage(left), "open_jobs": (), "last": (), "held": HELD, "now": NOW}
    return home_view(**{**given, **more})


def buttons_in(view: View) -> list[tuple[str, str] | None]:
    found = [each for each in walk(view["blocks"]) if each.get("type") == "button"]
    return [buttons.read_action(each["action_id"]) for each in found]


def test_an_empty_home_tab_says_what_is_left_and_how_to_begin() -> None:
    view = home()
    check_view(view)
    assert view["type"] == "home"
    heads = [each["text"]["text"] for each in view["blocks"] if each["type"] == "header"]
    assert heads == ["Your usage", "What holds here"]
    assert buttons_in(view) == [("create", "own"), ("settings", "own")]
    dates = [each["timestamp"] for each in walk(view["blocks"]) if each.get("type") == "date"]
    assert dates == [int(NOW.timestamp())]


def test_what_is_on_the_way_comes_first_and_can_be_cancelled() -> None:
    running = job_line(1, "a *red* fox")
    ended = job_line(2, state="delivered", created_at=NOW - timedelta(days=1))
    taken_back = job_line(3, state="cancelled")
    view = home(open_jobs=(running, taken_back), last=(taken_back, running, ended))
    check_view(view)
    heads = [each["text"]["text"] for each in view["blocks"] if each["type"] == "header"]
    assert heads == ["On the way", "Your usage", "Your last jobs", "What holds here"]
    assert buttons_in(view) == [
        ("create", "own"),
        ("cancel", running.job_id),
        ("settings", "own"),
    ]
    assert "a *red* fox" in shown(view["blocks"])
    for each in (ended, taken_back):
        assert shown(view["blocks"]).count(each.job_id) == 1


@examples(max_examples=30)
@given(prompts, st.integers(0, 60))
def test_a_home_tab_fits_however_much_there_is(said: str, count: int) -> None:
    jobs = [job_line(at, said) for at in range(count)]
    last = [job_line(100 + at, said) for at in range(count)]
    view = home(open_jobs=jobs, last=last)
    check_view(view)
    assert len([each for each in buttons_in(view) if each and each[0] == "cancel"]) == min(
        count, 20
    )
