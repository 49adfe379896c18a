"""What Slack says, read: words without their dress, places, keys that repeat, images."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.command_text import Draft
from adapters.slack import parse
from adapters.slack.addresses import Account, channel_of, parent_of
from adapters.slack.events import File, SlackEvent, read, read_files
from adapters.slack.people import to_person
from bot.errors import InvalidRequest
from bot.refs import ThreadRef
from bot.request import ClipFrame, ImageFrame, LinkFrame, to_video

ACCOUNT = Account(token="xoxb-1", workspace="T1", bot_user="U0BOT", bot_id="B1")
ANA = parse.Person(user="U1", name="Ana")


def said(text: str = "a fox", **more: Any) -> SlackEvent:
    event = {
        "type": "app_mention",
        "user": "U1",
        "text": text,
        "ts": "10.1",
        "channel": "C1",
        **more,
    }
    heard = read({"type": "event_callback", "event": event, "event_id": "Ev1"}, "T1")
    assert heard is not None
    return heard


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("<@U0BOT> a fox", "a fox"),
        ("<@U0BOT>: <@U2|ben> and <#C9|foxes>", ": ben and #foxes"),
        ("a &lt;fox&gt; &amp;amp; co", "a <fox> &amp; co"),
        ("see <http://fox.com|fox.com> run", "see fox.com run"),
        ("x --start <https://a.test/f.png>", "x --start https://a.test/f.png"),
        ("x --start <https://a.test/f.png|a picture>", "x --start https://a.test/f.png"),
        ("<!channel> <!here|here> hello", "hello"),
        ("<!subteam^S1|@film-team> and <!subteam^S2> wave", "film team and some people wave"),
        ("<@U2> and <@U2|> in <#C9|>", "Ben and Ben in a channel"),
        ("<@U9> rides", "somebody rides"),
        ("<@U3> <@U4|--res 4k>", "delete r 0abc1234 res 4k"),
        ("write to <mailto:a@b.test|a@b.test>", "write to a@b.test"),
        ("two  spaces\nand a line", "two  spaces\nand a line"),
    ],
)
def test_words_come_without_slacks_dress(typed: str, meant: str) -> None:
    names = {"U2": "Ben", "U3": "delete r-0abc1234"}
    assert parse.to_text(typed, own="U0BOT", names=names) == meant


@given(st.text(max_size=60))
def test_what_people_type_comes_back_as_they_typed_it(text: str) -> None:
    sent = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert parse.to_text(sent) == parse.to_text(sent, own="U0BOT")
    assert parse.to_text(sent).split() == text.split()


def test_one_message_in_several_events_is_one_thing() -> None:
    mention = said(files=[])
    event = {**mention.message, "type": "message", "channel_type": "im", "user": "U1"}
    event |= {"text": "a fox", "ts": "10.1", "channel": "C1", "files": []}
    again = read({"type": "event_callback", "event": event, "event_id": "Ev2"}, "T1")
    assert again is not None
    assert again.key == mention.key == "slack:T1:C1:10.1"


@pytest.mark.parametrize(
    "event",
    [
        {"type": "message", "channel_type": "channel", "user": "U1", "ts": "1.0", "channel": "C1"},
        {"type": "message", "channel_type": "im", "bot_id": "B2", "ts": "1.0", "channel": "D1"},
        {
            "type": "message",
            "channel_type": "im",
            "subtype": "message_changed",
            "hidden": True,
            "ts": "1.0",
            "channel": "D1",
        },
        {"type": "app_home_opened", "tab": "messages", "user": "U1"},
        {"type": "reaction_added", "user": "U1"},
    ],
)
def test_what_is_not_said_to_us_is_nothing(event: dict[str, Any]) -> None:
    assert read({"type": "event_callback", "event": event}, "T1") is None


def test_what_lives_for_a_moment_is_never_kept() -> None:
    body = {
        "command": "/ray",
        "text": "a fox",
        "team_id": "T1",
        "channel_id": "C1",
        "user_id": "U1",
        "trigger_id": "13.trigger",
        "response_url": "https://hooks.slack.com/commands/secret",
    }
    heard = read(body, "T1")
    assert heard is not None
    kept = heard.model_dump_json()
    assert "secret" not in kept
    assert "secret" not in repr(heard)
    again = SlackEvent.model_validate_json(kept)
    assert (again.key, again.text, again.response_url) == (heard.key, "a fox", "")
    assert heard.is_kept
    assert not heard.model_copy(update={"text": "  "}).is_kept


def test_a_command_begins_a_thread_and_a_mention_is_answered_in_its_own() -> None:
    command = SlackEvent(kind="command", key="k", workspace="T1", user="U1", channel="C1")
    assert parse.to_thread(command).thread is None
    assert parse.to_thread(said()).thread == "10.1"
    assert parse.to_thread(said(thread_ts="9.0")).thread == "9.0"


def test_a_private_answer_goes_to_its_person_by_the_rules_of_the_channel() -> None:
    requester = parse.to_requester(ANA, ACCOUNT, is_typed_directly=False)
    asked = parse.to_asked(said(), requester)
    direct = ThreadRef(adapter="slack", workspace="T1", channel="D7")
    private = parse.to_private(asked, direct)
    assert (private.thread.channel, private.is_private, private.asked_in) == ("C1", True, None)
    assert (channel_of(private.thread), parent_of(private.thread)) == ("D7", "")


def test_who_types_to_us_alone_asks_outside_every_channel() -> None:
    heard = said(channel="D1")
    assert parse.is_typed_directly(heard)
    requester = parse.to_requester(ANA, ACCOUNT, is_typed_directly=True)
    assert (requester.is_direct, requester.home, requester.is_outside) == (True, "slack:T1", True)
    button = SlackEvent(kind="button", key="k", workspace="T1", user="U1", channel="D1")
    assert not parse.is_typed_directly(button)


def test_images_of_a_message_are_start_and_end() -> None:
    files = read_files(
        [
            {"id": "F1", "mimetype": "image/png", "name": "a.png", "size": 9},
            {"id": "F2", "mimetype": "text/plain"},
            {"id": "F3", "filetype": "heic"},
        ]
    )
    start, end = parse.to_frames("T1", files)
    assert isinstance(start, ImageFrame)
    assert isinstance(end, ImageFrame)
    assert (start.attachment.id, end.attachment.id) == ("T1/F1", "T1/F3")
    with pytest.raises(InvalidRequest, match="3 images"):
        parse.to_frames("T1", [File(id=str(at), mimetype="image/png") for at in range(3)])


def test_a_typed_frame_is_a_link_or_an_earlier_clip() -> None:
    asked = parse.to_asked(said(), parse.to_requester(ANA, ACCOUNT, is_typed_directly=False))
    draft = Draft(prompt="a fox", start="https://a.test/f.png", end="r-0abcd1234")
    work = to_video(parse.to_request(asked, draft).work)
    assert isinstance(work.start_frame, LinkFrame)
    assert isinstance(work.end_frame, ClipFrame)
    with pytest.raises(InvalidRequest, match="already"):
        parse.to_request(asked, draft, start=work.start_frame)


@pytest.mark.parametrize(
    ("told", "is_guest", "is_admin"),
    [
        ({"team_id": "T1"}, False, False),
        ({"team_id": "T1", "is_admin": True}, False, True),
        ({"team_id": "T1", "is_restricted": True}, True, False),
        ({"team_id": "T1", "is_ultra_restricted": True}, True, False),
        ({"team_id": "T9", "is_owner": True}, True, False),
        ({"team_id": "T1", "is_stranger": True}, True, False),
        ({"team_id": "T9", "enterprise_user": {"enterprise_id": "E1"}}, True, False),
    ],
)
def test_who_is_a_guest_and_who_runs_the_workspace(
    told: dict[str, Any], *, is_guest: bool, is_admin: bool
) -> None:
    person = to_person({"id": "U1", "name": "ana", **told}, ACCOUNT)
    assert (person.is_guest, person.is_admin, person.name) == (is_guest, is_admin, "ana")


def test_people_of_one_organisation_are_no_guests_in_its_workspaces() -> None:
    account = Account(token="t", workspace="T1", bot_user="U0", bot_id="B1", enterprise="E1")
    told = {"id": "U1", "team_id": "T9", "enterprise_user": {"enterprise_id": "E1"}}
    assert not to_person(told, account).is_guest
