"""What people read in Discord: each notice's words and buttons, and that no words do harm."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import discord
import pytest
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from adapters.discord import render
from adapters.discord.render import draw
from bot import errors
from bot import notices as n
from bot.job import Route
from bot.overview import Allowance, JobLine, UsageReport, UsageRow
from bot.refs import Attachment, JobId, MessageRef, Micros, Price, ThreadRef
from bot.request import ImageFrame, LinkFrame, Requester, SourceClip, UpscaleWork
from bot.studio import Receipt, Shown
from bot.text import Text, clean, describe_settings, describe_usage
from tests.notices import JOB, NOW, delivered, every_notice, to_about

UNIX = int(NOW.timestamp())

CHANNEL = ThreadRef(adapter="discord", workspace="10", channel="11")
CLIP = MessageRef(thread=CHANNEL, message="12")
REQUESTER = Requester(adapter="discord", workspace="10", user="5", display_name="Ann")


def about(prompt: str = "a red fox", **more: Any) -> n.About:
    return to_about(more.pop("requester", REQUESTER), prompt, **more)


def actions(drawn: render.Drawn) -> list[str]:
    assert {each.job for each in drawn.buttons} <= {JOB}
    return [each.action for each in drawn.buttons]


# ---- as Discord reads it ---------------------------------------------------------------------

ESCAPED = re.compile(r"\\[^0-9A-Za-z\s]")
#: What Discord would turn into something else, once its escapes are out of the way.
MARKUP = (
    r"[*_~`|\\]",
    r"<",
    r"\[[^\]]*\]\(",
    r"(?:https?|steam)://",
    r"discord(?:app)?\.(?:gg|com)/",
    r":\w+:",
    r"@(?:everyone|here)",
    r"^\s*(?:#{1,3}|-#|[-*+]|\d+\.)\s",
    r"^\s*>",
)


def markup(line: str) -> list[str]:
    """What is not plain text in a line."""
    plain = ESCAPED.sub("\ufffc", line)
    return [found[0] for rule in MARKUP if (found := re.search(rule, plain))]


def called(content: str) -> list[str]:
    """Whom a message would call if no escape held and every mention were allowed."""
    return re.findall(r"(?i)<@[!&]?\d+>|@everyone|@here", content)


def read(line: str) -> str:
    """What a person sees of a line without markup."""
    return ESCAPED.sub(lambda found: found[0][1], line).replace("\u200b", "")


NASTY = (
    *(
        "@everyone",
        "@here",
        "@Everyone",
        "<@5>",
        "<@!5>",
        "<@&7>",
        "<#9>",
        "<t:1:R>",
        "<id:guide>",
    ),
    *(
        "</ray create:1>",
        "<:fox:1>",
        "<a:fox:1>",
        ":smile:",
        "a:b",
        "# ",
        "-# ",
        "- ",
        "* ",
        "1. ",
    ),
    *(
        "> ",
        ">>> ",
        "[a](https://e.vil)",
        "https://e.vil/x_y_",
        "<https://e.vil>",
        "discord.gg/abc",
    ),
    *("||", "|", "`", "```", "**", "__", "~~", "\\", "\\\\", "\n", "\r\n", "\u202e", "\u200b"),
    *(
        "\u2066",
        "\u200f",
        "مرحبا",
        "🦊",
        "👩‍👩‍👧",
        "火狐",
        "¯\\_(ツ)_/¯",
        " ",
        "fox",
        "9:16",
        "\x1b[31m",
    ),
)
prompts = st.lists(st.sampled_from(NASTY) | st.text(max_size=8), max_size=120).map("".join)


@examples(max_examples=300)
@given(prompts)
@example("\\")
@example("@everyone <@5> https://e.vil/a_b [x](https://e.vil)")
@example("1. one")
def test_other_peoples_words_show_as_they_are(said: str) -> None:
    shown = render.escape(clean(said, limit=1000))
    assert markup(shown) == []
    assert called(shown) == []
    assert read(shown) == clean(said, limit=1000)


@examples(max_examples=100)
@given(prompts, prompts, st.sampled_from([500, 2000]), st.booleans())
def test_a_notice_is_safe_and_fits_whatever_people_wrote(
    said: str, remark: str, limit: int, is_spoiler: bool
) -> None:
    attached = Attachment(adapter="discord", id="1", is_spoiler=is_spoiler)
    work = {"start_frame": ImageFrame(attachment=attached), "concepts": (said[:60],)}
    told = about(said, work=work, remarks=(remark, remark, said))
    for notice in every_notice(told, CLIP):
        if isinstance(notice, n.Waiting | n.Failed):
            notice = replace(notice, sentence=remark)
        drawn = draw(notice, now=NOW, max_chars=limit)
        rest = drawn.content
        if isinstance(notice, n.Delivered):
            assert rest.startswith("<@5> ")
            assert render.units(drawn.file.alt if drawn.file else "") <= 1024
            rest = rest.removeprefix("<@5> ")
        assert called(rest) == []
        assert render.units(drawn.content) <= limit
        assert f"job `{JOB}`" in rest
        assert [found for line in foreign(rest) for found in markup(line)] == []
        quotes = [line for line in rest.splitlines() if line.startswith("> ")]
        # The first bars that Discord finds are ours, at both ends.
        assert all(is_spoiler == bool(re.fullmatch(r"> \|\| .+? \|\|", q)) for q in quotes)
        assert all(not re.search(r"\|\|.+?\|\|.", q) for q in quotes)


def foreign(content: str) -> list[str]:
    """The lines without the marks, stamps, links and code that are ours."""
    inside = rf"<t:\d+:\w>|\[[\w ]+\]\(<https://discord\.com/[\w/@]+>\)|`/ray [\w -]+`|`{JOB}`"
    around = r"^(?:-# |> \|\| |> |\*\*)|(?: \|\||\*\*(?: · ready )?)$"
    return [re.sub(around, "", re.sub(inside, "", line)) for line in content.splitlines()]


# ---- notices ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "title", "buttons"),
    [
        (0, "**Reading your request**", ["cancel"]),
        (1, "**This clip costs about $0.22\\. Make it?**", ["confirm", "cancel"]),
        (2, "**Accepted**", ["cancel"]),
        (3, f"**In line, place 3** · ready <t:{UNIX + 40}:R>", ["cancel"]),
        (4, f"**Generating** · ready <t:{UNIX + 40}:R>", ["cancel"]),
        (5, "**Waiting**", ["cancel"]),
        (6, "**Waiting for the operator**", []),
        (7, "**Finished, fetching the clip**", []),
        (8, "<@5> **Your clip is ready**", ["retry", "remix", "delete"]),
        (9, "**Delivered**", []),
        (10, "**No clip this time**", ["retry", "remix"]),
        (11, "**Cancelled**", ["retry"]),
    ],
)
def test_each_notice_has_its_title_its_prompt_its_job_and_its_buttons(
    index: int, title: str, buttons: list[str]
) -> None:
    notice = every_notice(about(remarks=("The shape is the nearest to your image.",)), CLIP)[index]
    drawn = draw(notice, now=NOW)
    lines = drawn.content.splitlines()
    assert lines[:2] == [title, "> a red fox"]
    assert "-# ray-flash-2 · 5s · 540p · 1\\:1" in lines
    assert f"job `{JOB}`" in drawn.content
    assert lines[-1] == "-# The shape is the nearest to your image."
    assert actions(drawn) == buttons
    assert drawn.pings == ((5,) if isinstance(notice, n.Delivered) else ())
    assert (drawn.file is not None) == isinstance(notice, n.Delivered)


def test_a_running_clip_shows_price_and_estimate() -> None:
    drawn = draw(n.Queued(about=about(), position=1, expected=timedelta(minutes=2)), now=NOW)
    assert drawn.content == (
        f"**In line, place 1** · ready <t:{UNIX + 120}:R>\n"
        "> a red fox\n"
        "-# ray-flash-2 · 5s · 540p · 1\\:1\n"
        f"-# ≈ $0.22 · job `{JOB}`"
    )


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
    assert "<t:" not in draw(notice, now=NOW).content


def test_a_price_is_confirmed_until_a_time_in_the_readers_zone() -> None:
    notice = n.ConfirmNeeded(about=about(), expires_at=NOW)
    drawn = draw(notice, now=NOW)
    assert f"Nothing is charged unless you confirm, until <t:{UNIX}:f>." in drawn.content
    assert [each.style for each in drawn.buttons] == ["success", "secondary"]


def test_a_film_is_decided_until_a_time_in_the_readers_zone() -> None:
    notice = n.ShotFailed(about=about(), number=3, sentence="No.", until=NOW, can_finish=True)
    assert f"If you decide nothing by <t:{UNIX}:f>, the shots" in draw(notice, now=NOW).content


def test_a_clip_comes_with_its_facts_its_charge_and_its_name() -> None:
    drawn = draw(delivered(about()), now=NOW)
    assert drawn.content == (
        "<@5> **Your clip is ready**\n"
        "> a red fox\n"
        "-# 960×540 · 5 s · 3.2 MB · took 40 s\n"
        "-# ray-flash-2 · 5s · 540p · 1\\:1\n"
        f"-# $0.18 was charged · job `{JOB}` · AI-generated"
    )
    assert drawn.file == render.FileSpec(
        path=Path("/kept/clip.mp4"),
        filename=f"ray-flash-2_{JOB}_a-red-fox.mp4",
        alt="AI-generated clip: a red fox (ray-flash-2 · 5s · 540p · 1:1)",
        is_spoiler=False,
    )


def test_a_test_says_what_it_would_have_cost() -> None:
    test = about(price=Price(micros=Micros(220_000), is_test=True))
    assert "would have cost ≈ $0.22 (a test, nothing charged)" in (
        draw(delivered(test, charged=Micros(0)), now=NOW).content
    )


def test_a_picture_in_place_of_a_clip_leads_to_the_clip_without_a_preview() -> None:
    link = "https://ray.example/clips/r-00000abcde?until=1&sig=a_b-c"
    notice = delivered(about(), form="poster", filename="x.jpg", original_link=link)
    drawn = draw(notice, now=NOW)
    assert f"-# [Original clip](<{link}>)" in drawn.content.splitlines()
    assert "-# Too large for this place" in drawn.content
    assert drawn.file is not None
    assert drawn.file.filename == "x.jpg"
    assert drawn.file.alt.startswith("Picture of an AI-generated clip: a red fox")


@pytest.mark.parametrize("filename", ["", "clip", "..mp4", "a b/ü.mov", "SPOILER_.mp4", "é" * 300])
def test_discord_sees_a_video_by_its_name(filename: str) -> None:
    file = draw(delivered(about(), filename=filename), now=NOW).file
    assert file is not None
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,90}\.mp4", file.filename)


@pytest.mark.parametrize("end", ["start_frame", "end_frame"])
def test_what_is_made_of_a_spoiler_is_one(end: str, tmp_path: Path) -> None:
    hidden = Attachment(adapter="discord", id="1", is_spoiler=True)
    told = about("who did it || |", work={end: ImageFrame(attachment=hidden)})
    drawn = draw(delivered(told), now=NOW)
    assert r"> || who did it \|\| \| ||" in drawn.content.splitlines()
    assert drawn.file is not None
    assert "who did it" not in drawn.file.alt
    assert drawn.file.filename == f"SPOILER_{JOB}.mp4"
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"")
    sent = discord.File(clip, filename=drawn.file.filename, spoiler=drawn.file.is_spoiler)
    assert sent.filename == drawn.file.filename
    sent.close()


def test_an_open_image_hides_nothing() -> None:
    open_image = ImageFrame(attachment=Attachment(adapter="discord", id="1"))
    link = LinkFrame(url="https://e.vil")
    drawn = draw(delivered(about(work={"start_frame": open_image, "end_frame": link})), now=NOW)
    assert "||" not in drawn.content
    assert drawn.file is not None
    assert not drawn.file.is_spoiler


def test_a_person_who_is_no_number_is_not_called() -> None:
    drawn = draw(delivered(about(requester=replace_user("local> @everyone"))), now=NOW)
    assert drawn.pings == ()
    assert drawn.content.startswith("**Your clip is ready**")


def replace_user(user: str) -> Requester:
    return REQUESTER.model_copy(update={"user": user})


def test_the_last_words_lead_to_the_clip() -> None:
    done = n.Done(about=about(), charged=Micros(180_000), took=timedelta(seconds=40), clip=CLIP)
    lines = draw(done, now=NOW).content.splitlines()
    assert "[Go to the clip](<https://discord.com/channels/10/11/12>)" in lines
    assert f"-# $0.18 was charged · job `{JOB}`" in lines
    assert "Go to" not in draw(replace(done, clip=None), now=NOW).content


def test_what_was_made_of_a_clip_can_be_had_again_but_not_remixed() -> None:
    source = SourceClip(job_id=JOB, width=960, height=540, seconds=5.0, resolution="540p")
    told = replace(about(), work=UpscaleWork(source=source, resolution="1080p"))
    assert actions(draw(delivered(told), now=NOW)) == ["retry", "delete"]


def test_the_same_again_is_offered_only_where_it_can_help() -> None:
    failed = n.Failed(about=about(), code="provider", sentence="It broke.", charged=Micros(0))
    drawn = draw(failed, now=NOW)
    assert actions(drawn) == ["retry", "remix"]
    assert "retry" not in drawn.content
    assert "Nothing was charged." in drawn.content.splitlines()
    assert actions(draw(replace(failed, code="moderation"), now=NOW)) == ["edit"]


def test_what_everybody_may_read_names_a_command_that_works_here() -> None:
    veiled = n.Failed(
        about=about(), code="prompt", sentence="", charged=Micros(0), is_for_all=True
    )
    said = draw(veiled, now=NOW).content
    assert f"Only the person who asked can read why: `/ray show {JOB}`" in said
    sentence = f"To make it again: `redo {JOB} 2`"
    failed = n.Failed(about=about(), code="kept", sentence=sentence, charged=Micros(0))
    assert f"To make it again: mention Raybot with `redo {JOB} 2`" in draw(failed, now=NOW).content


def test_a_failed_shot_names_its_buttons_and_nothing_to_type() -> None:
    failed = n.ShotFailed(about=about(), number=2, sentence="No.", until=NOW, can_finish=True)
    said = draw(failed, now=NOW).content
    assert "Finish takes the shot before it as the film. Cancel stops without a film." in said
    assert all(f"{verb} {JOB}" not in said for verb in ("redo", "finish", "cancel"))
    route = Route(provider="fal", price=Price(micros=Micros(180_000)), work=about().work)
    waiting = n.Waiting(about=about(), sentence="It is full.", offer=route)
    assert "Press Confirm to have it so." in draw(waiting, now=NOW).content


def test_commands_are_named_as_they_are_called_here() -> None:
    sentence = f"The clip is kept: `show {JOB}` gives it to you."
    kept = n.Failed(about=about(), code="kept", sentence=sentence, charged=Micros(180_000))
    content = draw(kept, now=NOW).content
    assert f"The clip is kept: `/ray show {JOB}` gives it to you." in content
    assert "$0.18 was charged." in content.splitlines()


def test_where_there_is_little_room_the_charge_and_the_job_stay() -> None:
    told = about("fox " * 100, remarks=("chosen " * 20,) * 5)
    content = draw(delivered(told), now=NOW, max_chars=120).content
    assert content.splitlines() == [
        "<@5> **Your clip is ready**",
        f"-# $0.18 was charged · job `{JOB}` · AI-generated",
    ]
    content = draw(delivered(told), now=NOW, max_chars=600).content
    assert "\n> fox fox" in content
    assert "chosen" not in content


# ---- the operator ----------------------------------------------------------------------------


def test_the_operator_can_act_at_once() -> None:
    asks = n.Operator(code="place:discord:10", sentence="**Foxes** asks @everyone to be served.")
    drawn = render.draw_operator(asks)
    assert drawn == draw(asks, now=NOW)
    assert drawn.content.splitlines()[0] == "**For the operator**"
    assert called(drawn.content) == []
    assert [(each.action, each.job, each.style) for each in drawn.buttons] == [
        ("approve", "discord:10", "success"),
        ("close", "discord:10", "secondary"),
    ]
    unsure = n.Operator(code=f"uncertain:{JOB}:2", sentence="Nobody can tell.", job_id=JOB)
    assert actions(render.draw_operator(unsure)) == ["charge", "release"]
    assert f"job `{JOB}`" in render.draw_operator(unsure).content


@pytest.mark.parametrize("code", ["broken:r-1", "place", "place:", f"place:{'x' * 80}"])
def test_other_news_has_no_buttons(code: str) -> None:
    assert render.draw_operator(n.Operator(code=code, sentence="Look.")).buttons == ()


# ---- pages -----------------------------------------------------------------------------------


def row(label: str) -> UsageRow:
    return UsageRow(
        label=label,
        asked=12,
        delivered=9,
        refused=1,
        failed=2,
        seconds=45.0,
        charged=Micros(1_980_000),
    )


def test_usage_is_an_aligned_table_with_the_reset_in_the_readers_zone() -> None:
    left = Allowance(name="A day", used=3, allowed=9, is_money=False, resets_at=NOW)
    report = UsageReport(today=row("today"), month=row("this month"), allowances=(left,))
    page = render.draw_text(describe_usage(report), times=[NOW])
    assert page.splitlines() == [
        "**Your usage**",
        "```",
        "            asked  delivered  refused  failed  video  charged",
        "today          12          9        1       2   45 s    $1.98",
        "this month     12          9        1       2   45 s    $1.98",
        "```",
        f"A day: 3 of 9, 6 left, resets <t:{UNIX}:f>",
    ]


@examples(max_examples=100)
@given(st.lists(st.tuples(prompts, prompts), min_size=1, max_size=60), prompts)
def test_a_table_fits_and_never_ends_its_block(cells: list[tuple[str, str]], line: str) -> None:
    table = (("setting", "value"), *cells)
    page = render.draw_text(Text(title="Your settings", table=table, lines=(line, line)))
    before, block, after = page.split("```")
    assert render.units(page) <= 2000
    assert called(page) == []
    assert before == "**Your settings**\n"
    assert "`" not in block
    assert all(not markup(each) for each in foreign(after))
    shown = block.count("\n") - 1
    told = re.search(r"… and (\d+) more\n$", block)
    assert told is None or int(told[1]) == len(table) - shown + 1
    assert told is not None or shown == len(table)


def test_wide_letters_take_two_columns() -> None:
    block = render.to_block((("who", "n"), ("火狐", "1"), ("e\u0301é", "10")), 200)
    assert block == "```\nwho    n\n火狐   1\ne\u0301é    10\n```"


def test_too_many_lines_are_counted() -> None:
    page = render.draw_text(Text(title="Help", lines=("fox " * 30,) * 30), max_chars=500)
    assert render.units(page) <= 500
    assert page.splitlines()[-1] == "… and 27 more"
    assert render.draw_text(Text(title="Fine")) == "**Fine**"
    assert render.draw_text(Text(title="Fine", quote="# a")) == "**Fine**\n> \\# a"


def test_settings_without_a_table() -> None:
    assert render.draw_text(describe_settings({})).startswith(
        "**You have no settings of your own**"
    )


def test_a_block_ends_at_a_time_in_the_readers_zone() -> None:
    until = "You cannot use Raybot here until 22 Nov 14:30 UTC."
    shown = render.draw_error(errors.NotAllowed(until, until=NOW))
    assert f"You cannot use Raybot here until <t:{UNIX}:f>." in shown


def test_a_refusal_says_when_a_limit_resets_and_how_to_look() -> None:
    refused = errors.QuotaExceeded("Your day is used up.", resets_at=NOW)
    assert render.draw_error(refused).splitlines() == [
        "**A limit is reached**",
        "Your day is used up.",
        "Type `/ray usage` to see what is left.",
        f"The limit resets <t:{UNIX}:f>.",
        "Nothing was charged.",
    ]


@examples(max_examples=100)
@given(prompts)
def test_an_error_is_safe_and_names_its_job(said: str) -> None:
    page = render.draw_error(errors.InvalidRequest(said or None), JOB, charged=Micros(180_000))
    assert called(page) == []
    assert render.units(page) <= 2000
    assert page.splitlines()[-2:] == ["$0.18 was charged.", f"job `{JOB}`"]
    assert all(not markup(line) for line in foreign(page)[1:])


# ---- own jobs --------------------------------------------------------------------------------


def job_line(number: int, prompt: str = "a red fox", **more: Any) -> JobLine:
    far = ThreadRef(adapter="discord", workspace="9" * 19, channel="9" * 19, thread="9" * 19)
    return JobLine(
        job_id=JobId(f"r-{number:010}"),
        state="generating",
        prompt=prompt,
        created_at=NOW,
        price=Micros(10_220_000),
        **{"message": MessageRef(thread=far, message="9" * 19), **more},
    )


def test_own_jobs_lead_to_their_messages() -> None:
    page = render.draw_jobs([job_line(1, "a *red* fox", message=CLIP), job_line(2, message=None)])
    assert page.splitlines() == [
        "**Your jobs**",
        f"- `r-0000000001` · generating · $10.22 · <t:{UNIX}:d> · "
        "[open](https://discord.com/channels/10/11/12) · a \\*red\\* fox",
        f"- `r-0000000002` · generating · $10.22 · <t:{UNIX}:d> · a red fox",
    ]
    assert render.draw_jobs([], page=3).startswith("**No jobs here**")


def test_a_full_page_of_jobs_fits_with_every_link() -> None:
    lines = [job_line(at, "|`*_" * 50) for at in range(render.JOBS_A_PAGE)]
    page = render.draw_jobs(lines, page=12)
    assert render.units(page) <= 2000
    assert page.splitlines()[0] == "**Your jobs** · page 12"
    assert all(f"`{line.job_id}`" in page for line in lines)
    assert page.count("[open]") == page.count("· \\|") == render.JOBS_A_PAGE


def test_more_jobs_than_fit_are_counted() -> None:
    page = render.draw_jobs([job_line(at) for at in range(20)])
    assert render.units(page) <= 2000
    shown = page.count("[open]")
    assert page.splitlines()[-1] == f"-# … and {20 - shown} more"


@pytest.mark.parametrize(
    ("workspace", "thread", "path"),
    [
        ("10", None, "10/11/12"),
        ("10", "77", "10/77/12"),
        ("10", "only:99", "10/11/12"),
        ("@me", None, "@me/11/12"),
    ],
)
def test_a_jump_leads_to_the_thread_where_there_is_one(
    workspace: str, thread: str | None, path: str
) -> None:
    place = ThreadRef(adapter="discord", workspace=workspace, channel="11", thread=thread)
    message = MessageRef(thread=place, message="12")
    assert render.jump(message) == f"https://discord.com/channels/{path}"


def test_a_job_in_full_tells_its_moves_and_calls_nobody() -> None:
    moves = [(NOW, "received"), (NOW + timedelta(seconds=2), "accepted")]
    line = job_line(1, message=CLIP)
    shown = Shown(line=line, notice=delivered(about()), events=tuple(moves))
    content = render.draw_shown(shown)
    assert called(content) == []
    assert content.splitlines()[-3:] == [
        f"-# $0.18 was charged · job `{JOB}` · AI-generated",
        f"-# received <t:{UNIX}:f> · accepted <t:{UNIX + 2}:T>",
        "[Go to the message](<https://discord.com/channels/10/11/12>)",
    ]


def test_a_job_of_many_moves_tells_the_first_and_the_last() -> None:
    moves = [(NOW + timedelta(seconds=at), f"move{at}") for at in range(200)]
    notice = n.Done(about=about(), charged=Micros(0), took=timedelta(0), clip=CLIP)
    shown = Shown(line=job_line(1, message=CLIP), notice=notice, events=tuple(moves))
    content = render.draw_shown(shown, now=NOW)
    assert render.units(content) <= 2000
    assert "move0 " in content
    assert "move199 " in content
    assert "move50 " not in content
    assert content.count("Go to the") == 1


def test_the_receipt_of_a_question_names_the_price() -> None:
    asks = n.ConfirmNeeded(about=about(), expires_at=NOW, batch_size=2)
    drawn = render.draw_receipt(Receipt(job_id=JOB, notice=asks), None)
    assert "$0.44 together" in drawn


def test_a_receipt_is_one_line_that_leads_to_the_status() -> None:
    receipt = Receipt(job_id=JOB, notice=n.Accepted(about=about()))
    assert render.draw_receipt(receipt, None) == f"**Accepted** · job `{JOB}`"
    assert render.draw_receipt(receipt, CLIP) == (
        f"**Accepted** · job `{JOB}` · [Follow it here](<https://discord.com/channels/10/11/12>)"
    )
