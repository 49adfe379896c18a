"""What Slack tells: events, commands, buttons, forms, by socket or by signed calls at our door."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier

from adapters.slack import act_forms, buttons, filled, more, parse
from adapters.slack.addresses import Account
from adapters.slack.app import to_app
from adapters.slack.calls import is_signed, to_request, to_routes
from adapters.slack.events import SlackEvent, action_ids, read, read_files, read_kept
from adapters.slack.people import to_person
from adapters.slack.refusals import read_refusal
from bot.errors import InvalidRequest
from bot.ports import WebCall
from bot.request import Requester
from tests.fuzz import few, fuzz
from tests.fuzz.mutations import bodies, bounded, junk, spoilt, texts, tried
from tests.notices import JOB

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
ACCOUNT = Account(token="xoxb-1", workspace="T1", bot_user="U0BOT", bot_id="B1")
WHO = {"id": "U1", "username": "ana", "team_id": "T1"}
COMMON = {"token": "x", "team": {"id": "T1"}, "user": WHO, "trigger_id": "1.2.3"}
FILE = {"id": "F1", "name": "fox.png", "mimetype": "image/png", "filetype": "png", "size": 9}
MESSAGE = {
    "type": "message",
    "user": "U1",
    "text": "look <@U0BOT>",
    "ts": "10.1",
    "thread_ts": "9.1",
    "files": [FILE],
    "blocks": [{"type": "actions", "elements": [{"action_id": f"ray:delete:{JOB}"}]}],
}
PLACE = filled.write_place(filled.Place(channel="C1", thread="9.1", message="10.1"))
STATE = {
    "values": {
        "prompt": {"prompt": {"type": "plain_text_input", "value": "a red fox"}},
        "duration": {"duration": {"selected_option": {"value": "5s"}}},
        "start": {"start": {"type": "file_input", "files": [FILE]}},
        "draft": {"draft": {"selected_options": [{"value": "draft"}]}},
        "where": {"where": {"selected_conversation": "C1"}},
        "shots": {"shots": {"type": "plain_text_input", "value": "a fox\nit runs"}},
        "choice": {"choice": {"selected_option": {"value": "1080p"}}},
        "other": {"other": {"type": "plain_text_input", "value": "`R-0abcd12345`"}},
        "without": {"without": {"type": "plain_text_input", "value": "voices"}},
        "reason": {"reason": {"type": "plain_text_input", "value": "It shows me."}},
        "end": {"end": {"type": "file_input", "files": [FILE]}},
    }
}
VIEW = {"id": "V1", "type": "modal", "callback_id": filled.CREATE, "private_metadata": PLACE}
#: The forms that are about a clip: what each is called, and what its place says is done.
OF_CLIPS = ((act_forms.DEED, "join"), (act_forms.DEED, "audio"), (more.REPORTING, ""))


def about_a_clip(callback: str, act: str) -> dict[str, Any]:
    place = filled.write_place(filled.Place(channel="C1", job=JOB, act=act))
    return {**VIEW, "callback_id": callback, "private_metadata": place, "state": STATE}


VIEWS = (
    {**VIEW, "state": STATE},
    {**VIEW, "callback_id": filled.STORY, "state": STATE},
    *(about_a_clip(*each) for each in OF_CLIPS),
)


def event(kind: str, /, **more: Any) -> dict[str, Any]:
    told = {"event_ts": "11.1", "user": "U1", "channel": "C1", **more, "type": kind}
    return {"type": "event_callback", "event_id": "Ev1", "team_id": "T1", "event": told}


COMMAND = {
    "command": "/ray",
    "text": "a red fox --ar 16:9",
    "user_id": "U1",
    "channel_id": "C1",
    "team_id": "T1",
    "trigger_id": "1.2.3",
    "response_url": "https://hooks.slack.com/commands/T1/2/aBc",
}
PAYLOADS: tuple[dict[str, Any], ...] = (
    COMMAND,
    event("app_mention", **MESSAGE),
    event("message", **{**MESSAGE, "channel_type": "im"}),
    event("reaction_added", reaction="star", item={"type": "message", "channel": "C1", "ts": "1"}),
    event("app_home_opened", tab="home"),
    event("tokens_revoked", tokens={"bot": ["U0BOT"]}),
    event("app_uninstalled"),
    {
        **COMMON,
        "type": "block_actions",
        "actions": [{"action_id": f"ray:cancel:{JOB}", "action_ts": "12.1"}],
        "container": {"message_ts": "10.1", "channel_id": "C1", "thread_ts": "9.1"},
        "channel": {"id": "C1"},
        "message": MESSAGE,
        "response_url": "https://hooks.slack.com/actions/T1/2/aBc",
    },
    {
        **COMMON,
        "type": "block_actions",
        "actions": [{"action_id": f"ray:edit:{JOB}", "action_ts": "12.1"}],
        "view": {**VIEW, "state": STATE},
    },
    *(
        {
            **COMMON,
            "type": "view_submission",
            "view": view,
            "response_urls": [{"channel_id": "C1", "response_url": "https://hooks.slack.com/x"}],
        }
        for view in VIEWS
    ),
    {**COMMON, "type": "message_action", "callback_id": "animate", "message": MESSAGE},
    {**COMMON, "type": "shortcut", "callback_id": "create"},
)


HEARD = [heard for each in PAYLOADS if (heard := read(each, "T1")) is not None]
KEPT = [heard.model_dump(mode="json") for heard in HEARD]


def test_every_payload_is_one() -> None:
    assert len(HEARD) == len(PAYLOADS)


@fuzz
@given(spoilt(*PAYLOADS))
def test_a_payload_is_heard_or_is_nothing_to_us(body: Any) -> None:
    heard = tried(lambda: read(body, "T1", own="U0BOT")) if isinstance(body, dict) else None
    if heard is not None:
        _attend(heard)


def _attend(heard: SlackEvent) -> None:
    """What the listener asks of it."""
    # What is nested deeper than this cannot be kept: bolt says so to whoever sent it.
    kept = tried(lambda: heard.model_dump(mode="json"), ValueError)
    if kept is None:
        return
    again = read_kept(json.loads(json.dumps(kept)))
    assert again is not None
    assert again.model_dump(mode="json") == kept
    assert heard.is_kept in (True, False)
    requester = Requester(adapter="slack", workspace="T1", user=heard.user, display_name="")
    tried(lambda: parse.to_asked(heard, requester))
    tried(lambda: parse.to_placed(heard))
    tried(lambda: parse.to_frames("T1", heard.files or ()))
    tried(lambda: parse.to_text(heard.text, own="U0BOT"))
    _attend_to_form(heard.view)
    tried(lambda: buttons.clip_of(action_ids(heard.message)))
    shown = heard.message.get("files")
    tried(lambda: read_files(shown if isinstance(shown, list) else ()))


FORMS: tuple[Callable[[dict[str, Any]], Any], ...] = (
    *(filled.read_view, filled.read_story, filled.read_settings, filled.where_of),
    *(act_forms.read_deed, more.read_reason),
)


def _attend_to_form(view: Mapping[str, Any]) -> None:
    """What is asked of any form; what is wrong in it is said at a field, and never raised."""
    for read_form in FORMS:
        tried(lambda read_form=read_form: read_form(dict(view)))  # type: ignore[misc]
    with bounded():
        wrong = filled.errors_of(view) | act_forms.errors_of(view)
        wrong |= filled.story_errors(view, _check_shots)
        assert all(isinstance(each, str) for pair in wrong.items() for each in pair)
    for each in action_ids({"blocks": view.get("blocks")}):
        tried(lambda each=each: buttons.read_action(each))  # type: ignore[misc]


def _check_shots(shots: Sequence[str]) -> None:
    if len(shots) < 2:
        raise InvalidRequest("A film has two shots at least.")


@fuzz
@given(spoilt(*VIEWS))
def test_a_filled_form_is_read_or_refused(view: Any) -> None:
    if isinstance(view, dict):
        _attend_to_form(view)


@fuzz
@given(spoilt({"ok": False, "error": "ratelimited", "needed": "chat:write"}), texts)
def test_a_refusal_of_slack_is_read(told: Any, after: str) -> None:
    answer = SimpleNamespace(data=told, headers={"Retry-After": after}, status_code=429)
    with bounded():
        refused = read_refusal(SlackApiError("no", answer))  # type: ignore[no-untyped-call]
        assert isinstance(refused.code, str)
        assert refused.is_pause in (True, False)


@fuzz
@given(spoilt(*KEPT))
def test_what_another_version_kept_is_read_or_is_none(kept: Any) -> None:
    if isinstance(kept, dict) and (heard := tried(lambda: read_kept(kept))) is not None:
        _attend(heard)


@fuzz
@given(spoilt({**WHO, "real_name": "Ana", "profile": {"display_name": "ana"}, "locale": "en"}))
def test_a_profile_is_read(user: Any) -> None:
    tried(lambda: to_person(user, ACCOUNT))


# ---- calls at the public door ------------------------------------------------------------------


def call(
    body: bytes, headers: Mapping[str, str] | None = None, *, secret: str = SECRET
) -> WebCall:
    at = str(int(time.time()))
    text = body.decode("utf-8", "replace")
    signature = SignatureVerifier(secret).generate_signature(timestamp=at, body=text)
    signed = {"x-slack-request-timestamp": at, "x-slack-signature": signature or ""}
    return WebCall(
        method="POST",
        path="/slack/events",
        query={},
        headers={**signed, **(headers or {})},
        body=body,
    )


@fuzz
@given(bodies(*PAYLOADS), texts, texts)
def test_only_what_slack_signed_is_signed(body: bytes, at: str, signature: str) -> None:
    verifier = SignatureVerifier(SECRET)
    with bounded():
        assert is_signed(call(body), verifier)
        assert not is_signed(call(body, secret="another-secret"), verifier)
        forged = {"x-slack-request-timestamp": at, "x-slack-signature": signature}
        assert not is_signed(call(body, forged), verifier)
        changed = call(body)
        assert not is_signed(WebCall(**{**vars(changed), "body": body + b" "}), verifier)


class Ears:
    """Keeps what is heard."""

    async def on_heard(self, heard: SlackEvent) -> Mapping[str, Any] | None:
        json.dumps(heard.model_dump(mode="json"))
        return None

    async def at(self, workspace: str) -> Account | None:
        return ACCOUNT


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_a_signed_call_is_answered_whatever_is_in_it() -> None:
    ears = Ears()
    routes = to_routes(to_app(ears, ears, signing_secret=SECRET), None, signing_secret=SECRET)
    hear = routes["POST", "/slack/events"]
    calls: list[WebCall] = []
    kinds = st.sampled_from(
        ("application/json", "application/x-www-form-urlencoded", "text/plain", "\x00", "")
    )

    @few
    @given(bodies(*PAYLOADS), kinds, st.booleans())
    def collect(body: bytes, kind: str, is_form: bool) -> None:
        if is_form:
            body = urlencode({"payload": body.decode("utf-8", "replace")}).encode()
        calls.append(call(body, {"content-type": kind}))

    collect()
    for each in calls:
        reply = await hear(each)
        # 500: bolt trips over what only Slack could have signed, and says so itself.
        assert reply.status in (200, 400, 401, 404, 500, 503)


@fuzz
@example(body=b'{"type": "view_submission", "response_urls": [{}, {}]}', headers={})
@given(bodies(*PAYLOADS), st.dictionaries(texts, texts, max_size=3))
def test_a_call_is_read_for_bolt_or_is_refused(body: bytes, headers: dict[str, str]) -> None:
    tried(lambda: to_request(call(body, headers)))


@fuzz
@given(junk)
def test_a_place_that_a_form_carried_is_read_or_refused(value: Any) -> None:
    text = value if isinstance(value, str) else json.dumps(value, default=repr)
    tried(lambda: filled.read_place(text))
