"""The typed grammar: what people type, phones and other tools' habits included."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.command_text import (
    MAX_CHARS,
    Cancel,
    Confirm,
    Draft,
    Forget,
    Help,
    Jobs,
    Retry,
    SettingsCommand,
    Show,
    Usage,
    format_draft,
    parse,
    read_link,
    to_draft,
    to_work,
)
from adapters.work_text import Finish, Redo
from bot.errors import InvalidRequest, NoSuchValue
from bot.refs import Attachment, JobId
from bot.request import (
    ASPECT_RATIOS,
    DURATIONS,
    RESOLUTIONS,
    ClipFrame,
    ImageFrame,
    ImageWork,
    LinkFrame,
    StoryWork,
    VideoWork,
)


def refusal(text: str) -> InvalidRequest:
    """The refusal of a text, which is one line."""
    with pytest.raises(InvalidRequest) as caught:
        parse(text)
    assert "\n" not in caught.value.sentence
    return caught.value


# ---- flags -----------------------------------------------------------------------------------


def test_the_whole_grammar_in_one_line() -> None:
    text = (
        "a red fox in snow --ar 9:16 --res 720p --dur 9s --loop --model ray-2"
        " --camera orbit_left --start https://example.org/a.png --end https://example.org/b.png"
    )
    assert parse(text) == Draft(
        prompt="a red fox in snow",
        aspect_ratio="9:16",
        resolution="720p",
        duration="9s",
        loop=True,
        model="ray-2",
        concepts=("orbit_left",),
        start="https://example.org/a.png",
        end="https://example.org/b.png",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fox --aspect-ratio 9:16", Draft(prompt="fox", aspect_ratio="9:16")),
        ("fox --aspect 9:16", Draft(prompt="fox", aspect_ratio="9:16")),
        ("fox -ar 9:16", Draft(prompt="fox", aspect_ratio="9:16")),
        ("fox --ar=9:16", Draft(prompt="fox", aspect_ratio="9:16")),
        ("fox --AR 9x16", Draft(prompt="fox", aspect_ratio="9:16")),
        ("fox --ar 9/16", Draft(prompt="fox", aspect_ratio="9:16")),
        ("fox --9:16", Draft(prompt="fox", aspect_ratio="9:16")),
        ("fox --ar 9:16,", Draft(prompt="fox", aspect_ratio="9:16")),
        ("fox --resolution 720p", Draft(prompt="fox", resolution="720p")),
        ("fox -r 720", Draft(prompt="fox", resolution="720p")),
        ("fox -res 720P", Draft(prompt="fox", resolution="720p")),
        ("fox --4K", Draft(prompt="fox", resolution="4k")),
        ("fox --720p", Draft(prompt="fox", resolution="720p")),
        ("fox --duration 9s", Draft(prompt="fox", duration="9s")),
        ("fox --dur 9", Draft(prompt="fox", duration="9s")),
        ("fox --dur '9 s'", Draft(prompt="fox", duration="9s")),
        ("fox -d 5s", Draft(prompt="fox", duration="5s")),
        ("fox --9s", Draft(prompt="fox", duration="9s")),
        ("fox --loop", Draft(prompt="fox", loop=True)),
        ("fox -l", Draft(prompt="fox", loop=True)),
        ("fox --loop.", Draft(prompt="fox", loop=True)),
        ("fox --no-loop", Draft(prompt="fox", loop=False)),
        ("fox --private", Draft(prompt="fox", is_private=True)),
        ("—private a fox --PRIVATE.", Draft(prompt="a fox", is_private=True)),
        ("a private fox -private", Draft(prompt="a private fox -private")),
        ("a fox --still --ar 4:3", Draft(prompt="a fox", aspect_ratio="4:3", is_still=True)),
        ("—still a fox", Draft(prompt="a fox", is_still=True)),
        ("still water at dawn", Draft(prompt="still water at dawn")),
        ("a -still life", Draft(prompt="a -still life")),
        ("fox -m ray-2", Draft(prompt="fox", model="ray-2")),
        (
            "fox --camera orbit_left,zoom_in",
            Draft(prompt="fox", concepts=("orbit_left", "zoom_in")),
        ),
        ("fox -c orbit_left -c zoom_in", Draft(prompt="fox", concepts=("orbit_left", "zoom_in"))),
        ('fox --camera "orbit left"', Draft(prompt="fox", concepts=("orbit left",))),
        ("fox -camera zoom_in", Draft(prompt="fox", concepts=("zoom_in",))),
        ("fox -s ./a.png -e ./b.png", Draft(prompt="fox", start="./a.png", end="./b.png")),
        ('fox --start "./my fox.png"', Draft(prompt="fox", start="./my fox.png")),
        ("fox --start='./my fox.png'", Draft(prompt="fox", start="./my fox.png")),
        ("fox --start “./my fox.png”", Draft(prompt="fox", start="./my fox.png")),
        ("--ar 1:1", Draft(aspect_ratio="1:1")),
        ("", Draft()),
    ],
)
def test_long_and_short_forms(text: str, expected: Draft) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "--9s a red fox --loop in snow --ar 9:16",
        "a red fox --ar 9:16 in snow --loop --9s",
        "--loop --ar 9:16 --dur 9s a red fox in snow",
        "a red fox\n--loop\n--ar\n9:16 in snow\t--9s",
    ],
)
def test_flags_stand_in_any_order_and_place(text: str) -> None:
    assert parse(text) == Draft(
        prompt="a red fox in snow", aspect_ratio="9:16", duration="9s", loop=True
    )


def test_the_same_value_twice_is_fine_and_two_values_are_not() -> None:
    assert parse("fox --9s --dur 9s") == Draft(prompt="fox", duration="9s")
    assert refusal("fox --9s --dur 5s").field == "duration"
    assert refusal("fox --loop --no-loop").field == "loop"


def test_a_switch_takes_no_value() -> None:
    assert "Write --loop or --no-loop, without a value." in refusal("fox --loop=1").sentence
    assert "Write --private without a value." in refusal("fox --private=yes").sentence


def test_phones_turn_two_dashes_into_one_long_dash() -> None:
    assert parse("a fox —ar 9:16 –loop —9s") == Draft(
        prompt="a fox", aspect_ratio="9:16", loop=True, duration="9s"
    )


@pytest.mark.parametrize(
    "prose",
    [
        "a beach —no people",
        "a fox — loop of life",
        "a fox—loop",
        "it is -20 degrees - and snowing",
        "a fox -- in snow",
        "plan -b of a t-shirt",
        "stop-motion, 9:16 and 4k are words too",
        "a fox ---- a line",
        "well-known--really",
    ],
)
def test_dashes_that_are_prose(prose: str) -> None:
    assert parse(prose) == Draft(prompt=prose)


# ---- quotes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ('"a red fox"', "a red fox"),
        ("“a red fox”", "a red fox"),
        ("„a red fox“", "a red fox"),
        ('"a sign with --loop on it"', "a sign with --loop on it"),
        ('a sign that says "OPEN --now"', 'a sign that says "OPEN --now"'),
        ('"OPEN" and "CLOSED"', '"OPEN" and "CLOSED"'),
        ("don't wake the dogs' house", "don't wake the dogs' house"),
        ('a 6" nail', 'a 6" nail'),
        ('a lone " mark', 'a lone " mark'),
        (r'"say \"hi\" and \\o/"', r'say "hi" and \o/'),
        ('"help"', "help"),
        ('""', ""),
        ("a fox\nin   snow", "a fox\nin   snow"),
        ("‘a fox’", "‘a fox’"),
    ],
)
def test_quotes(text: str, prompt: str) -> None:
    assert parse(text) == Draft(prompt=prompt)


def test_a_flag_behind_an_open_quote_still_counts() -> None:
    assert parse('she says "hello --loop') == Draft(prompt='she says "hello', loop=True)


# ---- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "field", "words"),
    [
        ("fox --rez 720p", "flags", "Did you mean --res?"),
        ("fox --lop", "flags", "Did you mean --loop?"),
        ("fox --stil", "flags", "Did you mean --still?"),
        ("fox --still=yes", "is_still", "Write --still without a value."),
        ("fox --dur-ation 9s", "flags", "Did you mean --duration?"),
        ("fox --720", "flags", "Did you mean --720p?"),
        ("fox --7s", "duration", "--7s is not possible. The nearest is 9s; all: 5s, 9s, 10s."),
        ("fox --8k", "resolution", "--8k is not possible. The nearest is 4k"),
        ("fox --480p", "resolution", "--480p is not possible. The nearest is 540p"),
        ("fox --5:4", "aspect_ratio", "--5:4 is not possible. The nearest is 4:3"),
        ("fox --16x9", "flags", "Did you mean --16:9?"),
        ("fox --xyzzy", "flags", "Type help"),
        ("fox --help", "flags", "Type help"),
        ("fox --größe 3", "flags", "There is no flag --größe."),
        ("fox --ar 16:10", "aspect_ratio", "nearest is 16:9"),
        ("fox --ar 2:3", "aspect_ratio", "nearest is 3:4"),
        ("fox --ar wide", "aspect_ratio", "all: 1:1, 16:9"),
        ("fox --ar 0:0", "aspect_ratio", "not possible"),
        ("fox --ar 1:0", "aspect_ratio", "not possible"),
        ("fox --dur 8s", "duration", "nearest is 9s"),
        ("fox --dur 60s", "duration", "nearest is 10s"),
        ("fox --res 2160p", "resolution", "nearest is 4k"),
        ("fox --res 480", "resolution", "nearest is 540p"),
        ("fox --res 8k", "resolution", "nearest is 4k"),
        ("fox --ar", "aspect_ratio", "--ar needs a value: 1:1"),
        ("fox --ar --loop", "aspect_ratio", "needs a value"),
        ("fox --start", "start", "--start needs a value."),
        ("fox --start= x", "start", "needs a value"),
        ("fox --loop=maybe", "loop", "--no-loop"),
        ("fox " + "-c a " * 40, "concepts", "too many"),
        ("settings ar=5:4", "aspect_ratio", "ar=5:4 is not possible. The nearest is 4:3"),
    ],
)
def test_a_wrong_flag_or_value_names_the_nearest(text: str, field: str, words: str) -> None:
    refused = refusal(text)
    assert refused.field == field
    assert words in refused.sentence


def test_no_value_is_named_where_none_can_be_used() -> None:
    refused = refusal("fox --8k")
    assert isinstance(refused, NoSuchValue)
    refused.among(())
    assert refused.sentence == "--8k is not possible."


@pytest.mark.parametrize(
    "flag",
    [
        "--seed 5",
        "--no people",
        "--neg x",
        "--motion 2",
        "--fps 24",
        "--stylize 50",
        "--s 50",
        "--v 6",
        "--chaos 3",
        "-seed 5",
        "-motion 1",
        "-neg blur",
    ],
)
def test_flags_of_other_tools_are_named(flag: str) -> None:
    refused = refusal(f"a fox {flag}")
    assert refused.sentence.startswith(f"{flag.split()[0]} belongs to other tools")


def test_no_is_told_what_to_do_instead() -> None:
    assert "what you want to see" in refusal("a fox --no people").sentence


@pytest.mark.parametrize(
    "garbage", ["\x00", "\x1b[31mred", "\x89PNG\r\n\x1a", "\ud800", "a\ufffdb"]
)
def test_binary_garbage_is_no_prompt(garbage: str) -> None:
    assert refusal(garbage).field == "prompt"


def test_a_text_without_end_is_refused() -> None:
    assert refusal("a" * (MAX_CHARS + 1)).field == "prompt"


def test_what_a_person_typed_is_shown_without_control_characters() -> None:
    assert "\u202e" not in refusal("fox --rez\u202eevil").sentence
    assert len(refusal("fox --" + "x" * 5000).sentence) < 200


@pytest.mark.parametrize("unit", ['"a ', '-s "x ', "\\", '" ', "--ar=", "— ", "settings a=b "])
def test_hostile_repetition_is_read_in_linear_time(unit: str) -> None:
    text = (unit * MAX_CHARS)[:MAX_CHARS]
    begun = time.thread_time()
    for way in (text, text + '"', "settings " + text):
        with contextlib.suppress(InvalidRequest):
            parse(way[:MAX_CHARS])
    assert time.thread_time() - begun < 2


# ---- verbs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("help", Help()),
        ("  HELP ", Help()),
        ("usage", Usage()),
        ("forget me", Forget()),
        ("Forget  me YES", Forget(is_confirmed=True)),
        ("jobs", Jobs()),
        ("jobs 2", Jobs(page=2)),
        ('jobs "red fox"', Jobs(search="red fox")),
        ("jobs “red fox” 3", Jobs(search="red fox", page=3)),
        ("show r-7k2m9q", Show(JobId("r-7k2m9q"))),
        ("Show R-0ABCD12345", Show(JobId("r-0abcd12345"))),
        ("show `r-7k2m9q`", Show(JobId("r-7k2m9q"))),
        ("show r-OIL123", Show(JobId("r-011123"))),
        ("cancel r-7k2m9q", Cancel(JobId("r-7k2m9q"))),
        ("retry r-7k2m9q", Retry(JobId("r-7k2m9q"))),
        ("confirm  r-7k2m9q", Confirm(JobId("r-7k2m9q"))),
        ("settings", SettingsCommand()),
        (
            'settings suffix="35mm film" camera=',
            SettingsCommand({"suffix": "35mm film", "concepts": ""}),
        ),
        (
            "settings ar=9x16 dur=9 --res=720p model=ray-2",
            SettingsCommand(
                {
                    "aspect_ratio": "9:16",
                    "duration": "9s",
                    "resolution": "720p",
                    "model": "ray-2",
                }
            ),
        ),
        (
            "settings aspect_ratio= duration=default Loop=true colour=red",
            SettingsCommand({"aspect_ratio": "", "duration": "", "loop": "true", "colour": "red"}),
        ),
    ],
)
def test_verbs(text: str, command: object) -> None:
    assert parse(text) == command
    assert type(parse(text)) is type(command)


@pytest.mark.parametrize(
    "prompt",
    [
        "show me a fox",
        "show r-evolution in snow",
        "show r-7k2m9q in snow",
        "help me over the river",
        "admin queen on a throne of wires",
        "usage of light",
        "forget me not in the snow",
        "jobs fox",
        "cancel culture",
        "settings of a castle",
        "settings ar=9:16 please",
    ],
)
def test_a_verb_that_does_not_fit_the_whole_text_is_a_prompt(prompt: str) -> None:
    assert parse(prompt) == Draft(prompt=prompt)


@pytest.mark.parametrize("typed", ["help camera", "Help me", "help story"])
def test_who_asks_for_help_with_something_pays_nothing(typed: str) -> None:
    with pytest.raises(InvalidRequest, match="Did you mean `help`"):
        parse(typed)


@pytest.mark.parametrize("verb", ["show", "Extend", "vary", "final", "redo", "forget"])
def test_a_verb_alone_buys_no_clip(verb: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{verb.lower()} (needs a job's id|me)"):
        parse(verb)


def test_verbs_of_one_shape_stay_apart() -> None:
    one: object = Show(JobId("r-7k2m9q"))
    assert one != Cancel(JobId("r-7k2m9q"))


# ---- and back --------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffd"))
WORDS = (
    "a fox --loop --still --ar 9:16 —9s -s “ ” --no help show r-7k2m9q "
    "settings ar=1:1 = --start= jobs 2"
)
PIECES = st.sampled_from([*WORDS.split(), "--private", "'", '"', "\\", " ", "\n", "-", "--"])
TYPED = st.lists(PIECES).map("".join) | st.lists(PIECES).map(" ".join) | st.text()
PROSE = TEXTS | st.lists(PIECES).map(" ".join)
VALUES = st.none() | PROSE
DRAFTS = st.builds(
    Draft,
    prompt=PROSE,
    model=VALUES,
    aspect_ratio=st.none() | st.sampled_from(ASPECT_RATIOS),
    resolution=st.none() | st.sampled_from(RESOLUTIONS),
    duration=st.none() | st.sampled_from(DURATIONS),
    loop=st.none() | st.booleans(),
    concepts=st.lists(
        PROSE.map(lambda t: t.replace(",", " ").strip()).filter(bool), max_size=4
    ).map(tuple),
    start=VALUES,
    end=VALUES,
    is_private=st.booleans(),
    is_still=st.booleans(),
    is_draft=st.booleans(),
)


@settings(max_examples=400)
@given(TYPED)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except InvalidRequest as refused:
        sentence = refused.sentence
    else:
        sentence = "read"
        if isinstance(found, Draft):
            assert parse(format_draft(found)) == found
            with contextlib.suppress(InvalidRequest):  # A still that is to loop.
                to_work(found)
    assert len(sentence.splitlines()) == 1


@settings(max_examples=400)
@given(DRAFTS)
def test_a_formatted_draft_reads_back(draft: Draft) -> None:
    assert parse(format_draft(draft)) == draft


@pytest.mark.parametrize(
    ("draft", "text"),
    [
        (Draft(prompt="a red fox", aspect_ratio="9:16", loop=True), "a red fox --ar 9:16 --loop"),
        (Draft(prompt="help"), '"help"'),
        (Draft(prompt="a fox", loop=True, is_private=True), "a fox --loop --private"),
        (Draft(prompt="a fox", model="uni-1", is_still=True), "a fox --model uni-1 --still"),
        (Draft(prompt='a sign "OPEN"', loop=False), 'a sign "OPEN" --no-loop'),
        (
            Draft(prompt="fox", concepts=("orbit left", "zoom_in"), end="https://a.example/?x=1"),
            'fox --camera "orbit left" --camera zoom_in --end https://a.example/?x=1',
        ),
    ],
)
def test_a_formatted_draft_is_what_a_person_would_type(draft: Draft, text: str) -> None:
    assert format_draft(draft) == text


def test_a_draft_becomes_work_that_remembers_what_was_typed() -> None:
    start = ImageFrame(attachment=Attachment(adapter="terminal", id="/fox.png"))
    end = ClipFrame(job_id=JobId("r-7k2m9q"))
    draft = Draft(
        prompt=" a fox ", model="RAY-2", loop=False, concepts=("Orbit Left", "dolly-zoom")
    )
    assert to_work(draft, start_frame=start, end_frame=end) == VideoWork(
        prompt="a fox",
        model="ray-2",
        loop=False,
        concepts=("orbit_left", "dolly_zoom"),
        start_frame=start,
        end_frame=end,
        typed=frozenset({"prompt", "model", "loop", "concepts", "start_frame", "end_frame"}),
    )
    assert to_work(Draft(is_private=True)) == to_work(Draft()) == VideoWork()


def test_a_still_becomes_work_of_its_own_and_back() -> None:
    draft = Draft(prompt=" a fox ", model="UNI-1", aspect_ratio="9:16", is_still=True)
    work = to_work(draft)
    assert work == ImageWork(
        prompt="a fox",
        model="uni-1",
        aspect_ratio="9:16",
        typed=frozenset({"prompt", "model", "aspect_ratio"}),
    )
    assert to_draft(work) == replace(draft, prompt="a fox", model="uni-1")


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"duration": "5s"}, "duration", "leave --dur out"),
        ({"resolution": "720p"}, "resolution", "leave --res out"),
        ({"loop": False}, "loop", "leave --loop out"),
        ({"concepts": ("pov",)}, "concepts", "leave --camera out"),
    ],
)
def test_what_only_clips_have_is_refused_of_a_still(
    changes: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words) as refused:
        to_work(Draft(prompt="a fox", is_still=True, **changes))
    assert refused.value.field == field


def test_a_still_starts_from_words_alone() -> None:
    frame = LinkFrame(url="https://a.example/b.png")
    with pytest.raises(InvalidRequest, match="a picture to start from"):
        to_work(Draft(prompt="a fox", is_still=True), start_frame=frame)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://example.org/a.png", "https://example.org/a.png"),
        ("<https://example.org/a.png>", "https://example.org/a.png"),
        ("HTTP://example.org", "HTTP://example.org"),
        ("./fox.png", None),
        ("ftp://example.org/a", None),
        ("https://", None),
        ("https://a b", None),
    ],
)
def test_links(text: str, url: str | None) -> None:
    assert read_link(text) == (LinkFrame(url=url) if url else None)


# ---- stories ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("story", Draft(shots=())),
        ("Story --9s", Draft(shots=(), duration="9s")),
        ("story\na fox wakes\n\n  it runs ", Draft(shots=("a fox wakes", "it runs"))),
        (
            "story --9s --ar 16:9\na | b",
            Draft(shots=("a", "b"), duration="9s", aspect_ratio="16:9"),
        ),
        (
            'story "a fox wakes" | "it runs" --9s',
            Draft(shots=("a fox wakes", "it runs"), duration="9s"),
        ),
        (
            "story\na fox runs --9s\na dog jumps\n--ar 16:9 a cat sleeps",
            Draft(
                shots=("a fox runs", "a dog jumps", "a cat sleeps"),
                duration="9s",
                aspect_ratio="16:9",
            ),
        ),
        ("story a fox | ", Draft(shots=("a fox",))),
        ('story "a fox" --9s', Draft(shots=("a fox",), duration="9s")),
        ("story of a fox", Draft(prompt="story of a fox")),
        ("story of a fox\nwho runs", Draft(prompt="story of a fox\nwho runs")),
        ("storyboard a | b", Draft(prompt="storyboard a | b")),
    ],
)
def test_a_story_is_a_line_for_each_shot(text: str, expected: Draft) -> None:
    assert parse(text) == expected
    assert parse(format_draft(expected)) == expected


def test_what_is_said_of_a_film() -> None:
    assert parse("redo r-0abcdo1234 2") == Redo(JobId("r-0abcd01234"), 2)
    assert parse("redo r-0abcd01234 12 a fox | runs") == Redo(
        JobId("r-0abcd01234"), 12, "a fox | runs"
    )
    assert parse("Finish r-0abcd01234") == Finish(JobId("r-0abcd01234"))
    assert parse("redo the scene") == Draft(prompt="redo the scene")


def test_the_shots_of_a_story_share_one_shape() -> None:
    work = to_work(parse_draft("story --9s --private\na\nb"))
    assert work == StoryWork(shots=("a", "b"), duration="9s", typed=frozenset({"duration"}))
    assert to_draft(work) == Draft(shots=("a", "b"), duration="9s")
    for flag in ("--loop", "--camera orbit_left"):
        with pytest.raises(InvalidRequest, match="leave"):
            to_work(parse_draft(f"story {flag}\na\nb"))


def parse_draft(text: str) -> Draft:
    """A text that asks for something to be made."""
    read = parse(text)
    assert isinstance(read, Draft)
    return read
