"""What is typed to be made of a clip, and that no prompt is taken for it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.command_text import Delete, Draft, Follow, format_draft, parse, to_work
from adapters.drafts import to_draft, to_remix
from bot.acts import Act
from bot.errors import InvalidRequest
from bot.refs import JobId
from bot.request import AudioWork, SourceClip, VideoWork

JOB, OTHER = JobId("r-0ybbj7vnaj"), JobId("r-0ybbj7vnak")


def follows(act: Act, **given: Any) -> Follow:
    return Follow(job_id=JOB, act=act, **given)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"extend {JOB}", follows("extend")),
        ("Extend `R-OYBBJ7VNAJ` a fox leaps", follows("extend", prompt="a fox leaps")),
        (f"extend {JOB} leaps --end ./b.png", follows("extend", prompt="leaps", end="./b.png")),
        (f"prequel {JOB} the wood", follows("prequel", prompt="the wood")),
        (f"join {JOB} {OTHER}", follows("join", other=OTHER)),
        (f"join {JOB} and {OTHER} a storm", follows("join", other=OTHER, prompt="a storm")),
        (f"loop {JOB} --private", follows("loop", is_private=True)),
        (f"vary {JOB}", follows("variation")),
        (f"vary {JOB} x4", follows("variation", choice="4")),
        (f"variation {JOB} 3", follows("variation", choice="3")),
        (f"vary {JOB} ×5", follows("variation", choice="5")),
        (f"final {JOB}", follows("final")),
        (f"final {JOB} 1080", follows("final", choice="1080p")),
        (f"upscale {JOB} to 4K", follows("upscale", choice="4k")),
        (f"sound {JOB} waves", follows("audio", prompt="waves")),
        (
            f"audio {JOB} waves --no voices, music",
            follows("audio", prompt="waves", negative_prompt="voices, music"),
        ),
        (f"reframe {JOB} 9x16", follows("reframe", choice="9:16")),
        (f"modify {JOB} of clay", follows("modify", prompt="of clay")),
        (f"modify {JOB} Flex-2 of clay", follows("modify", choice="flex_2", prompt="of clay")),
        (
            f"remix {JOB} a blue fox --9s",
            follows("remix", prompt="a blue fox", draft=Draft(prompt="a blue fox", duration="9s")),
        ),
        (f"DELETE {JOB}", Delete(JOB)),
        (f"animate {JOB}", Draft(start=str(JOB))),
        (f"Animate {JOB} it flies --9s", Draft(prompt="it flies", start=str(JOB), duration="9s")),
    ],
)
def test_a_verb_with_a_job_makes_something_of_it(text: str, expected: object) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "extend the bridge to the other shore",
        "extend r-rated films into the night",
        "modify r-selected species, drawn in ink",
        f"loop {JOB} slowly",
        f"final {JOB} of the cup",
        f"reframe {JOB} as a poster",
        f"vary {JOB} a little",
        f"delete {JOB} from the sky",
        f"join {JOB} the parade",
        f"a fox, then loop {JOB}",
        "sound of waves on r-0ybbj7vnaj",
    ],
)
def test_what_does_not_fit_is_a_prompt(text: str) -> None:
    assert parse(text) == Draft(prompt=text)


@given(st.sampled_from(("extend", "prequel", "modify", "sound", "remix")), st.text(max_size=40))
def test_no_word_of_a_prompt_is_lost(verb: str, said: str) -> None:
    words = " ".join(said.split())
    quoted = format_draft(Draft(prompt=words)) if words else ""
    try:
        found = parse(f"{verb} {JOB} {quoted}".strip())
    except InvalidRequest:
        return
    if isinstance(found, Follow) and not found.negative_prompt and not found.choice:
        assert found.prompt == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"extend {JOB} a fox --ar 9:16", "Leave --aspect-ratio out"),
        (f"sound {JOB} waves --loop", "Leave --loop out"),
        (f"upscale {JOB} 1000p", "The nearest is 1080p"),
        (f"reframe {JOB} 5:4", "not possible. The nearest is"),
        (f"remix {JOB}", "Say what the remix changes"),
        (f"remix {JOB} a fox --start ./a.png", "Leave --start and --end out"),
        (f"animate {JOB} a fox --start ./a.png", "Leave --start out"),
    ],
)
def test_a_flag_that_is_none_of_its_is_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        parse(text)


def test_a_remix_changes_what_was_typed_and_nothing_else() -> None:
    work = VideoWork(prompt="a fox", model="ray-2", resolution="720p", duration="9s")
    remixed = to_remix(work, Draft(prompt="an owl", aspect_ratio="9:16"))
    assert isinstance(remixed, VideoWork)
    assert (remixed.prompt, remixed.aspect_ratio) == ("an owl", "9:16")
    assert (remixed.model, remixed.resolution, remixed.duration) == ("ray-2", "720p", "9s")
    assert {"model", "resolution", "duration", "prefix", "suffix"} <= remixed.typed
    assert to_remix(work, Draft(loop=True)).prompt == "a fox"
    with pytest.raises(InvalidRequest, match="does not become a still"):
        to_remix(work, Draft(is_still=True))
    sound = AudioWork(prompt="waves", source=SourceClip(job_id=JOB))
    assert to_remix(sound, Draft(prompt="rain")).prompt == "rain"
    with pytest.raises(InvalidRequest, match="only the words"):
        to_remix(sound, Draft(prompt="rain", loop=True))


def test_a_draft_is_of_the_smallest_size() -> None:
    typed = parse("a fox --draft")
    assert typed == Draft(prompt="a fox", is_draft=True)
    assert isinstance(typed, Draft)
    work = to_work(typed)
    assert isinstance(work, VideoWork)
    assert work.is_draft
    assert to_draft(work) == typed
    assert parse(format_draft(typed)) == typed
    for text in ("a fox --draft --1080p", "a fox --draft --still"):
        both = parse(text)
        assert isinstance(both, Draft)
        with pytest.raises(InvalidRequest, match="leave --draft"):
            to_work(both)
