"""What Slack would refuse, or show as something else, in blocks and views of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View

from adapters.slack.blocks import date, to_mrkdwn
from adapters.slack.render import Drawn
from bot import notices as n
from bot.overview import JobLine, Setting, UsageReport, UsageRow
from bot.refs import JobId, MessageRef, Micros, ThreadRef
from bot.request import Requester
from tests.notices import NOW, to_about

UNIX = int(NOW.timestamp())
#: The same as a message shows it.
STAMP = to_mrkdwn([date(NOW)])

THREAD = ThreadRef(adapter="slack", workspace="T1", channel="C1", thread="10.1")
STATUS = MessageRef(thread=THREAD, message="11.5")
CLIP = MessageRef(thread=THREAD, message="12.7/F1")
REQUESTER = Requester(adapter="slack", workspace="T1", user="U5", display_name="Ann")
JUMP = "https://slack.com/app_redirect?team=T1&channel=C1"

# ---- notices and pages -----------------------------------------------------------------------


def about(prompt: str = "a red fox", **more: Any) -> n.About:
    return to_about(more.pop("requester", REQUESTER), prompt, **more)


def job_line(number: int, prompt: str = "a red fox", **more: Any) -> JobLine:
    job_id = JobId(f"r-{number:010}")
    given: dict[str, Any] = {"job_id": job_id, "state": "generating", "prompt": prompt}
    given |= {"created_at": NOW, "price": Micros(10_220_000), "message": STATUS}
    return JobLine(**{**given, **more})


def usage_row(label: str) -> UsageRow:
    counts = {"asked": 12, "delivered": 9, "refused": 1, "failed": 2}
    return UsageRow(label=label, seconds=45.0, charged=Micros(1_980_000), **counts)


def usage(*allowances: Any) -> UsageReport:
    return UsageReport(
        today=usage_row("today"), month=usage_row("this month"), allowances=allowances
    )


HELD = (
    Setting(name="model", value="ray-flash-2", source="house"),
    Setting(name="duration", value="9s", source="yours"),
    Setting(name="resolution", value="540p", source="channel"),
    Setting(name="aspect_ratio", value="1:1", source="house"),
    Setting(name="loop", value="false", source="place"),
)

# ---- what people write -----------------------------------------------------------------------

NASTY = (
    *("<!channel>", "<!here>", "<!everyone>", "<!subteam^S1>", "<@U9>", "<#C1|x>", "@here"),
    *("<https://e.vil|a>", "https://e.vil/x", "http://", "www.e.vil", "a@e.vil", "mailto:"),
    *("*b*", "_i_", "~s~", "`c`", "```", "> ", ">", "&gt;", "&amp;", "&", "<", "|", ":fox:", ":"),
    *("<!date^1^{date}|x>", "\n", "\r\n", "\u202e", "\u200b", "\x1b[31m", "مرحبا", "火狐", "🦊"),
    *("👩‍👩‍👧", "Type usage", "`show r-1`", "9:16", " ", "fox"),
)
prompts = st.lists(st.sampled_from(NASTY) | st.text(max_size=8), max_size=120).map("".join)

# ---- what Slack refuses ----------------------------------------------------------------------

#: Block by block, what a text may hold.
MOST = {"section": 3000, "header": 150, "context": 3000, "actions": 300}


def check_drawn(drawn: Drawn) -> None:
    """A message that Slack takes, whose live parts are all ours."""
    assert 0 < len(drawn.text) <= 4000
    assert len(drawn.blocks) <= 50
    check_blocks(drawn.blocks)
    assert live(drawn.text) == []
    for text in mrkdwns(drawn.blocks):
        assert live(text) == []


def check_view(view: dict[str, Any]) -> None:
    """A view that Slack takes."""
    View(**view).to_dict()
    blocks = view["blocks"]
    assert 1 <= len(blocks) <= 100
    check_blocks(blocks)
    for name in ("title", "submit", "close"):
        assert name not in view or 1 <= len(view[name]["text"]) <= 24
    assert len(view.get("private_metadata", "")) <= 3000
    has_input = any(each["type"] == "input" for each in blocks)
    assert not has_input or "submit" in view
    assert all(live(text) == [] for text in mrkdwns(blocks))


def check_blocks(blocks: list[dict[str, Any]]) -> None:
    for known in Block.parse_all(blocks):
        known.to_dict()
    named = [each["block_id"] for each in blocks if "block_id" in each]
    assert len(named) == len(set(named))
    acts = [each["action_id"] for each in walk(blocks) if "action_id" in each]
    assert len(acts) == len(set(acts))
    for block in blocks:
        for each in walk(block):
            check_object(each, MOST.get(block["type"], 3000))


def check_object(each: dict[str, Any], most: int) -> None:
    kind, text = each.get("type"), each.get("text")
    if kind in ("plain_text", "mrkdwn"):
        assert 1 <= len(text or "") <= most
        assert kind == "plain_text" or each["verbatim"] is True
        assert kind == "mrkdwn" or each["emoji"] is False
    if kind == "text":
        assert 1 <= len(text or "") <= 3000
    if kind == "link":
        assert each["url"].startswith("https://")
        assert text
    if kind == "context":
        assert 1 <= len(each["elements"]) <= 10
    if kind in ("rich_text_section", "rich_text_quote", "rich_text_preformatted"):
        assert each["elements"]
    if kind == "date":
        assert re.search(r"\{\w+\}", each["format"])
        assert each["fallback"]
    if "options" in each:
        check_options(each)
    if "placeholder" in each:
        assert len(each["placeholder"]["text"]) <= 150


def check_options(each: dict[str, Any]) -> None:
    values = [option["value"] for option in each["options"]]
    assert 1 <= len(values) <= 100
    assert len(values) == len(set(values))
    assert all(1 <= len(value) <= 150 for value in values)
    assert all(1 <= len(option["text"]["text"]) <= 75 for option in each["options"])
    first = [*each.get("initial_options", ()), *filter(None, [each.get("initial_option")])]
    assert all(option in each["options"] for option in first)


def walk(within: Any) -> Iterator[dict[str, Any]]:
    """Every object in there."""
    if isinstance(within, dict):
        yield within
    for each in within.values() if isinstance(within, dict) else within:
        if isinstance(each, dict | list):
            yield from walk(each)


def mrkdwns(blocks: list[dict[str, Any]]) -> list[str]:
    return [each["text"] for each in walk(blocks) if each.get("type") == "mrkdwn"]


def parts(blocks: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The parts of rich text of a kind."""
    return [each for each in walk(blocks) if each.get("type") == kind and "elements" not in each]


def shown(blocks: list[dict[str, Any]]) -> str:
    """What a person reads, without what it looks like."""
    found = []
    for each in walk(blocks):
        if isinstance(each.get("text"), str):
            found.append(each["text"])
        elif each.get("type") == "date":
            found.append(each["fallback"])
    return "\n".join(found)


# ---- what is live in mrkdwn ------------------------------------------------------------------

#: What we make: times, ways to messages and originals, the one who asked.
OURS = re.compile(
    r"<!date\^\d+\^[^|<>]+\|[^<>]+>"
    r"|<https://(?:slack\.com/app_redirect\?|ray\.example/)[^|<>]+\|[\w -]+>"
    r"|<@U5>|`/ray[^`]*`|`r-[0-9a-z]+`"
)
MARKUP = (
    r"[<>`]",
    r"(?<!\w)\*\S",
    r"(?<!\w)_[^\s_]",
    r"(?<!\w)~\S",
    r"\w://",
    r":[^\s:\u200b\ufffc]+:",
    r"&(?!(?:amp|lt|gt);)",
    r"^&gt;",
    r"\w\.[A-Za-z]",
    r"\w@\w",
)


def live(text: str) -> list[str]:
    """What Slack would read as a call, a link, an emoji or markup, but for what we made."""
    found = []
    for line in text.split("\n"):
        plain = OURS.sub("\ufffc", line.removeprefix("> "))
        plain = re.sub(r"^(\ufffc )?\*([^*]+)\*", r"\1\2", plain)
        found += [hit[0] for rule in MARKUP if (hit := re.search(rule, plain))]
    return found
