"""What people read in Slack: each notice's words and buttons, and that no words do harm."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from adapters.slack import blocks, buttons, render
from adapters.slack.render import draw
from bot import errors
from bot import notices as n
from bot.acts import Offered
from bot.job import Route
from bot.refs import MessageRef, Micros, Price, ThreadRef
from bot.request import SourceClip, UpscaleWork
from bot.studio import Receipt
from bot.text import clean
from tests.adapters.slack.block_rules import (
    CLIP,
    JUMP,
    REQUESTER,
    STAMP,
    STATUS,
    UNIX,
    about,
    check_blocks,
    check_drawn,
    live,
    parts,
    prompts,
    shown,
    walk,
)
from tests.notices import JOB, NOW, delivered, every_notice


def buttons_in(drawn: render.Drawn) -> list[tuple[str, str]]:
    found = [each for each in walk(drawn.blocks) if each.get("type") == "button"]
    read = [buttons.read_action(each["action_id"]) for each in found]
    assert all("value" not in each for each in found)
    return [each for each in read if each is not None]


def actions(drawn: render.Drawn) -> list[str]:
    assert {target for _, target in buttons_in(drawn)} <= {JOB}
    return [action for action, _ in buttons_in(drawn)]


# ---- words of others -------------------------------------------------------------------------


ALIKE = str.maketrans("∗∼ˋˍ", "*~`_")


def read(text: str) -> str:
    """What a person sees of a line of ours in mrkdwn, but for signs that look alike."""
    bare = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return bare.replace("\u200b", "").translate(ALIKE)


@examples(max_examples=300)
@given(prompts)
@example("> quote")
@example("<!channel> <@U9> https://e.vil *b* _i_ :fox: a_b_c")
def test_other_peoples_words_are_never_live_in_mrkdwn(said: str) -> None:
    text = clean(said, limit=1000)
    assert live(blocks.quiet(text)) == []
    assert read(blocks.quiet(text)) == text.translate(ALIKE)
    assert "<" not in blocks.escape(said)
    assert ">" not in blocks.escape(said)


@examples(max_examples=100)
@given(prompts, prompts)
def test_a_notice_is_safe_and_fits_whatever_people_wrote(said: str, remark: str) -> None:
    told = about(said, work={"concepts": (said[:60],)}, remarks=(remark, remark, said))
    for notice in every_notice(told, CLIP):
        if isinstance(notice, n.Waiting | n.Failed):
            notice = replace(notice, sentence=remark)
        drawn = draw(notice, now=NOW)
        check_drawn(drawn)
        assert ("<@U5> " in drawn.text) == isinstance(notice, n.Delivered)
        assert len(re.findall(r"<@", drawn.text)) == isinstance(notice, n.Delivered)
        assert parts(drawn.blocks, "user") == []
        assert f"job {JOB}" in drawn.text
        if drawn.file is not None:
            assert 0 < len(drawn.file.alt) <= 1000
            assert 0 < len(drawn.file.title) <= 120


def test_a_prompt_stands_literally_in_a_quote() -> None:
    said = "<!channel> *fox* & <@U9> https://e.vil"
    drawn = draw(n.Accepted(about=about(said)), now=NOW)
    quotes = [each for each in walk(drawn.blocks) if each.get("type") == "rich_text_quote"]
    assert quotes[0]["elements"] == [{"type": "text", "text": said}]


# ---- notices ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "title", "expected"),
    [
        (0, "*Reading your request*", ["cancel"]),
        (1, "*This clip costs about $0.22. Make it?*", ["confirm", "cancel"]),
        (2, "*Accepted*", ["cancel"]),
        (3, "*In line, place 3* · ready <!date", ["cancel"]),
        (4, "*Generating* · ready <!date", ["cancel"]),
        (5, "*Waiting*", ["cancel"]),
        (6, "*Waiting for the operator*", []),
        (7, "*Finished, fetching the clip*", []),
        (8, "<@U5> *Your clip is ready*", ["retry", "remix", "delete"]),
        (9, "*Delivered*", []),
        (10, "*No clip this time*", ["retry", "remix"]),
        (11, "*Cancelled*", ["retry"]),
    ],
)
def test_each_notice_has_its_title_its_prompt_its_job_and_its_buttons(
    index: int, title: str, expected: list[str]
) -> None:
    notice = every_notice(about(remarks=("The shape is the nearest to your image.",)), CLIP)[index]
    drawn = draw(notice, now=NOW)
    check_drawn(drawn)
    lines = drawn.text.splitlines()
    assert lines[0].startswith(title)
    assert drawn.blocks[0]["text"]["text"] == lines[0]
    assert lines[1] == "> a red fox"
    assert "ray-flash-2 · 5s · 540p · 1:1" in lines
    assert lines[-1] == "The shape is the nearest to your image."
    assert actions(drawn) == expected
    assert (drawn.file is not None) == isinstance(notice, n.Delivered)


def test_a_running_clip_shows_price_and_estimate() -> None:
    drawn = draw(n.Queued(about=about(), position=1, expected=timedelta(minutes=2)), now=NOW)
    until = f"<!date^{UNIX + 120}^{{date_short_pretty}} {{time}}|22 Nov 14:32 UTC>"
    assert drawn.text == (
        f"*In line, place 1* · ready {until}\n"
        "> a red fox\n"
        "ray-flash-2 · 5s · 540p · 1:1\n"
        f"≈ $0.22 · job {JOB} · for Ann"
    )
    kinds = [each["type"] for each in drawn.blocks]
    assert kinds == ["section", "rich_text", "context", "actions"]


@pytest.mark.parametrize(
    "notice",
    [
        n.Queued(about=about(), position=1, expected=None),
        n.Generating(about=about(), since=NOW, expected=None),
        n.Generating(
            about=about(), since=NOW - timedelta(minutes=5), expected=timedelta(minutes=1)
        ),
        n.Generating(about=about(), since=NOW, expected=timedelta(minutes=1), is_slow=True),
    ],
)
def test_nothing_is_foretold_that_is_past_or_unknown(notice: n.Notice) -> None:
    assert "<!date" not in draw(notice, now=NOW).text


def test_a_price_is_confirmed_until_a_time_in_the_readers_zone() -> None:
    drawn = draw(n.ConfirmNeeded(about=about(), expires_at=NOW), now=NOW)
    assert f"Nothing is charged unless you confirm, until {STAMP}." in drawn.text
    failed = n.ShotFailed(about=about(), number=3, sentence="No.", until=NOW, can_finish=True)
    assert f"If you decide nothing by {STAMP}, the shots" in draw(failed, now=NOW).text
    assert [each["timestamp"] for each in parts(drawn.blocks, "date")] == [UNIX]
    found = [each for each in walk(drawn.blocks) if each.get("type") == "button"]
    assert [each.get("style") for each in found] == ["primary", None]


def test_a_clip_comes_with_its_facts_its_charge_and_its_name() -> None:
    drawn = draw(delivered(about()), now=NOW)
    assert drawn.text == (
        "<@U5> *Your clip is ready*\n"
        "> a red fox\n"
        "960×540 · 5 s · 3.2 MB · took 40 s\n"
        "ray-flash-2 · 5s · 540p · 1:1\n"
        f"$0.18 was charged · job {JOB} · AI-generated"
    )
    assert drawn.file == render.FileSpec(
        path=Path("/kept/clip.mp4"),
        filename=f"ray-flash-2_{JOB}_a-red-fox.mp4",
        title="AI-generated clip: a red fox",
        alt="AI-generated clip: a red fox (ray-flash-2 · 5s · 540p · 1:1)",
    )
    assert "markdown" not in {each["type"] for each in drawn.blocks}


def test_a_clip_is_deleted_only_by_who_means_it() -> None:
    drawn = draw(delivered(about()), now=NOW)
    delete = [each for each in walk(drawn.blocks) if each.get("style") == "danger"]
    button = next(each for each in delete if each.get("type") == "button")
    assert button["action_id"] == f"ray:delete:{JOB}"
    assert button["confirm"]["confirm"]["text"] == "Delete"
    assert "stays charged" in button["confirm"]["text"]["text"]


def test_a_picture_in_place_of_a_clip_leads_to_the_clip() -> None:
    address = "https://ray.example/clips/r-00000abcde?until=1&sig=a_b-c"
    notice = delivered(about(), form="poster", filename="x.jpg", original_link=address)
    drawn = draw(notice, now=NOW)
    check_drawn(drawn)
    assert [each["url"] for each in parts(drawn.blocks, "link")] == [address]
    assert f"<{address.replace('&', '&amp;')}|Original clip>" in drawn.text
    assert drawn.file is not None
    assert drawn.file.filename == "x.jpg"
    assert drawn.file.alt.startswith("Picture of an AI-generated clip: a red fox")


@pytest.mark.parametrize("filename", ["", "clip", "..mp4", "a b/ü.mov", ".mp4", "é" * 300])
def test_slack_sees_a_video_by_its_name(filename: str) -> None:
    file = draw(delivered(about(), filename=filename), now=NOW).file
    assert file is not None
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,90}\.mp4", file.filename)


def test_a_clip_of_an_image_alone_has_a_description() -> None:
    file = draw(delivered(about("")), now=NOW).file
    assert file is not None
    assert file.title == "AI-generated clip"
    assert file.alt == "AI-generated clip (ray-flash-2 · 5s · 540p · 1:1)"


@pytest.mark.parametrize("user", ["U5> <!channel", "", "local", "u5"])
def test_who_is_nobody_of_slack_is_not_called(user: str) -> None:
    told = about(requester=REQUESTER.model_copy(update={"user": user}))
    assert draw(delivered(told), now=NOW).text.startswith("*Your clip is ready*")


def test_nobody_of_another_platform_is_called() -> None:
    told = about(requester=REQUESTER.model_copy(update={"adapter": "discord"}))
    assert draw(delivered(told), now=NOW).text.startswith("*Your clip is ready*")


def test_the_last_words_lead_to_the_clip() -> None:
    done = n.Done(about=about(), charged=Micros(180_000), took=timedelta(seconds=40), clip=CLIP)
    drawn = draw(done, now=NOW)
    link = f"{JUMP}&message_ts=12.7&thread_ts=10.1"
    assert [each["url"] for each in parts(drawn.blocks, "link")] == [link]
    assert f"$0.18 was charged · job {JOB} · for Ann" in drawn.text.splitlines()
    assert "Go to" not in draw(replace(done, clip=None), now=NOW).text


def test_what_was_made_of_a_clip_can_be_had_again_but_not_remixed() -> None:
    source = SourceClip(job_id=JOB, width=960, height=540, seconds=5.0, resolution="540p")
    told = replace(about(), work=UpscaleWork(source=source, resolution="1080p"))
    assert actions(draw(delivered(told), now=NOW)) == ["retry", "delete"]


def test_the_same_again_is_offered_only_where_it_can_help() -> None:
    failed = n.Failed(about=about(), code="provider", sentence="It broke.", charged=Micros(0))
    drawn = draw(failed, now=NOW)
    assert actions(drawn) == ["retry", "remix"]
    assert "retry" not in drawn.text
    assert "Nothing was charged." in drawn.text.splitlines()
    assert actions(draw(replace(failed, code="moderation"), now=NOW)) == ["edit"]


def test_a_test_says_what_it_would_have_cost() -> None:
    test = about(price=Price(micros=Micros(220_000), is_test=True))
    text = draw(delivered(test, charged=Micros(0)), now=NOW).text
    assert "would have cost ≈ $0.22 (a test, nothing charged)" in text


def test_what_everybody_may_read_names_a_command_that_works_here() -> None:
    veiled = n.Failed(
        about=about(), code="prompt", sentence="", charged=Micros(0), is_for_all=True
    )
    said = draw(veiled, now=NOW).text
    assert f"Only the person who asked can read why: `/ray show {JOB}`" in said
    sentence = f"To make it again: `redo {JOB} 2`"
    failed = n.Failed(about=about(), code="kept", sentence=sentence, charged=Micros(0))
    assert f"To make it again: `/ray redo {JOB} 2`" in draw(failed, now=NOW).text


def test_a_failed_shot_names_its_buttons_and_nothing_to_type() -> None:
    failed = n.ShotFailed(about=about(), number=2, sentence="No.", until=NOW, can_finish=True)
    said = draw(failed, now=NOW).text
    assert "Finish takes the shot before it as the film. Cancel stops without a film." in said
    assert all(f"{verb} {JOB}" not in said for verb in ("redo", "finish", "cancel"))
    route = Route(provider="fal", price=Price(micros=Micros(180_000)), work=about().work)
    waiting = n.Waiting(about=about(), sentence="It is full.", offer=route)
    assert "Press Confirm to have it so." in draw(waiting, now=NOW).text


def test_commands_are_named_as_they_are_called_here() -> None:
    sentence = f"The clip is kept: `show {JOB}` gives it to you."
    kept = n.Failed(about=about(), code="kept", sentence=sentence, charged=Micros(180_000))
    drawn = draw(kept, now=NOW)
    assert f"The clip is kept: `/ray show {JOB}` gives it to you." in drawn.text
    code = [each["text"] for each in parts(drawn.blocks, "text") if each.get("style")]
    assert code == [f"/ray show {JOB}"]


def test_where_there_is_little_room_the_charge_and_the_job_stay() -> None:
    told = about("fox " * 100, remarks=("&" * 300,) * 30)
    drawn = draw(delivered(told), now=NOW)
    check_drawn(drawn)
    assert "> fox fox" in drawn.text
    assert "&amp;" * 100 in drawn.text
    rows = render.rows_of(delivered(told))
    kept = render.to_drawn(render.fit(rows, 110)).text.splitlines()
    assert kept == [
        "*Your clip is ready*",
        f"$0.18 was charged · job {JOB} · AI-generated",
    ]


# ---- the operator ----------------------------------------------------------------------------


def test_the_operator_can_act_at_once() -> None:
    asks = n.Operator(code="place:slack:T9", sentence="*Foxes* asks <!channel> to be served.")
    drawn = draw(asks, now=NOW)
    check_drawn(drawn)
    assert drawn.text.splitlines()[0] == "*For the operator*"
    assert "*Foxes* asks <!channel> to be served." in shown(drawn.blocks)
    assert buttons_in(drawn) == [("approve", "slack:T9"), ("close", "slack:T9")]
    unsure = n.Operator(code=f"uncertain:{JOB}:2", sentence="Nobody can tell.", job_id=JOB)
    assert actions(draw(unsure, now=NOW)) == ["charge", "release"]
    assert f"job {JOB}" in draw(unsure, now=NOW).text


@pytest.mark.parametrize("code", ["broken:r-1", "place", "place:", f"place:{'x' * 81}"])
def test_other_news_has_no_buttons(code: str) -> None:
    assert buttons_in(draw(n.Operator(code=code, sentence="Look."), now=NOW)) == []


# ---- answers ---------------------------------------------------------------------------------


def test_the_receipt_of_a_question_names_the_price() -> None:
    asks = n.ConfirmNeeded(about=about(), expires_at=NOW, batch_size=2)
    drawn = render.draw_receipt(Receipt(job_id=JOB, notice=asks), None).text
    assert "$0.44 together" in drawn


def test_a_receipt_is_one_line_that_leads_to_the_status() -> None:
    receipt = Receipt(job_id=JOB, notice=n.Accepted(about=about()))
    assert render.draw_receipt(receipt, None).text == f"*Accepted* · job `{JOB}`"
    drawn = render.draw_receipt(receipt, STATUS)
    check_drawn(drawn)
    address = f"{JUMP}&amp;message_ts=11.5&amp;thread_ts=10.1".replace("T1&c", "T1&amp;c")
    assert drawn.text == f"*Accepted* · job `{JOB}` · <{address}|Follow it here>"
    assert len(drawn.blocks) == 1
    assert render.draw_receipts([(receipt, STATUS)]) == drawn
    three = render.draw_receipts([(receipt, STATUS), (receipt, None), (receipt, STATUS)])
    check_drawn(three)
    way = f"<{address}|{JOB}>"
    assert three.text == f"*3 at once* · Accepted · {way} · `{JOB}` · {way}"


def test_a_block_ends_at_a_time_in_the_readers_zone() -> None:
    until = "You cannot use Raybot here until 22 Nov 14:30 UTC."
    shown = render.draw_error(errors.NotAllowed(until, until=NOW)).text
    assert f"You cannot use Raybot here until {STAMP}." in shown


def test_a_refusal_says_when_a_limit_resets_and_how_to_look() -> None:
    refused = errors.QuotaExceeded("Your day is used up.", resets_at=NOW)
    drawn = render.draw_error(refused)
    check_drawn(drawn)
    assert drawn.text.splitlines() == [
        "*A limit is reached*",
        "Your day is used up.",
        "Type `/ray usage` to see what is left.",
        f"The limit resets {STAMP}.",
        "Nothing was charged.",
    ]


@examples(max_examples=100)
@given(prompts)
def test_an_error_is_safe_and_names_its_job(said: str) -> None:
    drawn = render.draw_error(errors.InvalidRequest(said or None), JOB, charged=Micros(180_000))
    check_drawn(drawn)
    assert drawn.text.splitlines()[-2:] == ["$0.18 was charged.", f"job {JOB}"]


@examples(max_examples=100)
@given(prompts | st.text(alphabet="&<>", min_size=3000, max_size=5000))
def test_a_sentence_is_safe_whatever_it_quotes(said: str) -> None:
    check_drawn(render.draw_sentence(said))


# ---- ways to messages ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "message", "asked"),
    [
        ({"channel": "C1"}, "11.5", "team=T1&channel=C1&message_ts=11.5"),
        ({"channel": "C1"}, "11.5/F2", "team=T1&channel=C1&message_ts=11.5"),
        (
            {"channel": "C1", "thread": "10.1"},
            "11.5",
            "team=T1&channel=C1&message_ts=11.5&thread_ts=10.1",
        ),
        ({"channel": "C1", "thread": "only:D7"}, "11.5", "team=T1&channel=D7&message_ts=11.5"),
        ({"channel": "C1"}, "", "team=T1&channel=C1"),
        ({"channel": "C1"}, "<x|&>", "team=T1&channel=C1&message_ts=%3Cx%7C%26%3E"),
    ],
)
def test_a_jump_leads_to_where_the_message_stands(
    place: dict[str, Any], message: str, asked: str
) -> None:
    thread = ThreadRef(adapter="slack", workspace="T1", **place)
    address = blocks.jump(MessageRef(thread=thread, message=message))
    assert address == f"https://slack.com/app_redirect?{asked}"


def test_blocks_are_what_slack_knows() -> None:
    for notice in every_notice(about(), CLIP):
        check_blocks(draw(notice, now=NOW).blocks)


def test_a_status_message_says_who_asked_and_calls_nobody() -> None:
    told = about(requester=REQUESTER.model_copy(update={"display_name": "<!here> *Ann*"}))
    for notice in every_notice(told, CLIP):
        drawn = render.draw(notice, now=NOW)
        check_drawn(drawn)
        if isinstance(notice, n.Received | n.Queued | n.Generating | n.Done | n.Failed):
            assert f"{JOB} · for &lt;!here&gt; ∗Ann∗" in drawn.text
            assert parts(drawn.blocks, "user") == []


def test_nobody_is_named_where_no_name_is_known_or_they_are_alone() -> None:
    for changed in ({"display_name": ""}, {"is_direct": True}):
        told = about(requester=REQUESTER.model_copy(update=changed))
        assert " · for " not in render.draw(n.Accepted(about=told), now=NOW).text


def heard(drawn: render.Drawn) -> list[str]:
    found = [each for each in walk(drawn.blocks) if each.get("type") == "button"]
    return [each["accessibility_label"] for each in found]


def test_who_hears_a_button_is_told_what_it_is_for() -> None:
    acts = tuple(Offered(act=each) for each in ("extend", "delete"))
    ready = draw(replace(delivered(about("a fox in snow")), acts=acts), now=NOW)
    assert heard(ready) == [
        "Extend the clip: a fox in snow",
        "More…: the clip: a fox in snow",
        "Delete the clip: a fox in snow",
    ]
    [label] = heard(draw(n.Accepted(about=about("fox & <owl> " * 20)), now=NOW))
    assert label.startswith("Cancel the clip: fox")
    assert len(label) <= buttons.LABEL_CHARS
    unsaid = heard(draw(n.RulesFirst(about=about(), rules="Be kind.", expires_at=NOW), now=NOW))
    assert unsaid == [f"Accept: {JOB}", f"Cancel: {JOB}"], "its words are not shown there"
