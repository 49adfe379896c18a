"""Pages as Slack shows them: tables, times in the reader's zone, own jobs and the way to each."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from adapters.slack import pages, render
from adapters.slack.admin import HELP
from bot import notices as n
from bot.overview import Allowance
from bot.ports import FrameRule, ModelCapabilities
from bot.refs import Micros
from bot.studio import Shown
from bot.text import Text, describe_settings, describe_settings_in, describe_usage, help_text
from tests.adapters.slack.block_rules import (
    CLIP,
    HELD,
    JUMP,
    NASTY,
    STAMP,
    STATUS,
    UNIX,
    about,
    check_drawn,
    job_line,
    parts,
    prompts,
    shown,
    usage,
    walk,
)
from tests.notices import JOB, NOW, delivered

MODEL = ModelCapabilities(
    model="ray-flash-2",
    durations=("5s", "9s"),
    resolutions=("540p", "720p"),
    aspect_ratios=("1:1", "9:16"),
    frames={("none", "none"): FrameRule()},
    concepts=("orbit_left", "static"),
)


def table_of(drawn: render.Drawn) -> str:
    tables = [each for each in walk(drawn.blocks) if each.get("type") == "rich_text_preformatted"]
    return "".join(each["text"] for each in tables[0]["elements"])


# ---- tables ----------------------------------------------------------------------------------


def test_usage_is_an_aligned_table_with_the_reset_in_the_readers_zone() -> None:
    left = Allowance(name="A day", used=3, allowed=9, is_money=False, resets_at=NOW)
    drawn = pages.draw_text(describe_usage(usage(left)), times=[NOW])
    check_drawn(drawn)
    assert table_of(drawn).splitlines() == [
        "            asked  delivered  refused  failed  video  charged",
        "today          12          9        1       2   45 s    $1.98",
        "this month     12          9        1       2   45 s    $1.98",
    ]
    assert [each["timestamp"] for each in parts(drawn.blocks, "date")] == [UNIX]
    lines = drawn.text.splitlines()
    assert lines[0] == "*Your usage*"
    assert "today · 12 · 9 · 1 · 2 · 45 s · $1.98" in lines
    assert lines[-1] == f"A day: 3 of 9, 6 left, resets {STAMP}"


cells = st.sampled_from(NASTY) | st.text(max_size=60)


@examples(max_examples=60)
@given(
    st.lists(st.tuples(cells, cells), min_size=1, max_size=8), st.sampled_from([1, 3, 40]), cells
)
def test_a_table_fits_by_whole_rows(rows: list[tuple[str, str]], times: int, line: str) -> None:
    table = (("setting", "value"), *(rows * times))
    drawn = pages.draw_text(Text(title="Your settings", table=table, lines=(line, line, "end")))
    check_drawn(drawn)
    shown_rows = table_of(drawn).split("\n")
    told = re.fullmatch(r"… and (\d+) more", shown_rows[-1])
    assert told is None or int(told[1]) == len(table) - len(shown_rows) + 1
    assert told is not None or len(shown_rows) == len(table)


def test_wide_letters_take_two_columns() -> None:
    block = pages.to_table((("who", "n"), ("火狐", "1"), ("e\u0301é", "10")))
    found = shown([block])
    assert found.replace("\n\n\n", "\n") == "who    n\n火狐   1\ne\u0301é    10"


def test_too_many_lines_are_left_out_last_first() -> None:
    drawn = pages.draw_text(Text(title="Help", lines=("fox & " * 100,) * 30))
    check_drawn(drawn)
    lines = ("fox " * 100,) * 30
    short = pages.draw_text(Text(title="T", table=(("a",), ("b",)), lines=lines))
    check_drawn(short)
    assert short.text.splitlines()[-1] == "… and 23 more", "a short table leaves its room"
    long = pages.draw_text(Text(title="T", table=(("a" * 40,),) * 99, lines=lines))
    check_drawn(long)
    assert long.text.splitlines()[-1] == "… and 28 more"
    assert pages.draw_text(Text(title="Fine")).text == "*Fine*"
    assert pages.draw_text(Text(title="Fine", quote="# a")).text == "*Fine*\n> # a"


def test_settings_with_and_without_a_table() -> None:
    bare = pages.draw_text(describe_settings({}))
    assert bare.text.startswith("*You have no settings of your own*")
    drawn = pages.draw_text(describe_settings_in(HELD))
    check_drawn(drawn)
    assert "duration      9s           you" in table_of(drawn)


def test_help_names_what_the_models_take_and_what_slack_has() -> None:
    drawn = pages.draw_help([MODEL])
    check_drawn(drawn)
    assert "9:16" in table_of(drawn)
    assert "orbit_left, static." in shown(drawn.blocks)
    assert "Animate with Ray" in shown(drawn.blocks)
    crowd = [MODEL] * 40
    check_drawn(pages.draw_help(crowd))


def test_help_begins_with_the_form_and_names_few_camera_moves() -> None:
    many = replace(MODEL, concepts=tuple(f"move_{at}" for at in range(34)))
    drawn = pages.draw_help([many])
    lines = drawn.text.splitlines()
    assert lines[1].startswith("`/ray` alone opens a form")
    told = shown(drawn.blocks)
    assert "move_3 and 30 more, which the form lists" in told
    assert "move_4" not in told


def test_help_writes_commands_as_they_are_typed_in_slack() -> None:
    drawn = pages.draw_help([MODEL])
    codes = [e["text"] for e in parts(drawn.blocks, "text") if e.get("style", {}).get("code")]
    assert all(each.startswith("/ray") for each in codes)
    asked = [line for line in help_text([MODEL]).lines if " · " in line]
    names = {each.split()[0] for line in asked for each in line.split(": ")[-1].split(" · ")}
    assert names <= {each.split()[1] for each in codes if " " in each}
    assert {"/ray usage", "/ray show ID", "/ray redo ID 2"} <= set(codes)


def test_what_admins_can_type_is_there_to_its_end() -> None:
    drawn = pages.draw_choices("Type", *(f"/ray admin {each}" for each in HELP))
    check_drawn(drawn)
    lists = [each for each in walk(drawn.blocks) if each.get("type") == "rich_text_list"]
    assert len(lists[0]["elements"]) == len(HELP)
    assert drawn.text.splitlines()[-1] == "`/ray admin desk`"


# ---- own jobs --------------------------------------------------------------------------------


def test_own_jobs_lead_to_their_messages() -> None:
    lines = [job_line(1, "a *red* fox"), job_line(2, message=None)]
    drawn = pages.draw_jobs(lines, page=1)
    check_drawn(drawn)
    links = [each["url"] for each in parts(drawn.blocks, "link")]
    assert links == [f"{JUMP}&message_ts=11.5&thread_ts=10.1"]
    assert [each["timestamp"] for each in parts(drawn.blocks, "date")] == [UNIX, UNIX]
    assert "a *red* fox" in shown(drawn.blocks)
    assert pages.draw_jobs([], page=3).text.startswith("*No jobs here*")


@examples(max_examples=50)
@given(st.lists(prompts, min_size=1, max_size=12), st.integers(1, 9999))
def test_a_page_of_jobs_is_safe_and_fits(said: list[str], page: int) -> None:
    lines = [job_line(at, each) for at, each in enumerate(said)]
    drawn = pages.draw_jobs(lines, page=page)
    check_drawn(drawn)
    assert len(parts(drawn.blocks, "link")) == len(lines)


def test_more_jobs_than_fit_are_counted() -> None:
    drawn = pages.draw_jobs([job_line(at, "&" * 300) for at in range(40)], page=2)
    check_drawn(drawn)
    assert drawn.text.splitlines()[0] == "*Your jobs* · page 2"
    links = len(parts(drawn.blocks, "link"))
    assert drawn.text.splitlines()[-1] == f"… and {40 - links} more"


def test_a_job_in_full_tells_its_moves_and_calls_nobody() -> None:
    moves = ((NOW, "received"), (NOW + timedelta(seconds=2), "accepted"))
    page = Shown(line=job_line(1), notice=delivered(about()), events=moves)
    drawn = pages.draw_shown(page, now=NOW)
    check_drawn(drawn)
    assert "<@" not in drawn.text
    assert "actions" not in {each["type"] for each in drawn.blocks}
    lines = drawn.text.splitlines()
    assert lines[-3] == f"$0.18 was charged · job {JOB} · AI-generated"
    assert lines[-2].startswith(f"received <!date^{UNIX}^")
    assert lines[-1].endswith("|Go to the message>")


def test_a_job_of_many_moves_tells_the_first_and_the_last() -> None:
    moves = tuple((NOW + timedelta(seconds=at), f"move{at}") for at in range(200))
    notice = n.Done(about=about(), charged=Micros(0), took=timedelta(0), clip=CLIP)
    drawn = pages.draw_shown(
        Shown(line=job_line(1, message=STATUS), notice=notice, events=moves), now=NOW
    )
    check_drawn(drawn)
    assert "move0 " in drawn.text
    assert "move199 " in drawn.text
    assert "move50 " not in drawn.text
    assert drawn.text.count("Go to the") == 1


@examples(max_examples=50)
@given(prompts)
def test_a_job_in_full_is_safe(said: str) -> None:
    moves = ((NOW, said), (NOW, said))
    page = Shown(line=job_line(1, said), notice=delivered(about(said)), events=moves)
    check_drawn(pages.draw_shown(page, now=NOW))
