"""Whose a message of ours is, for those who see it among many. Pure."""

from __future__ import annotations

from adapters.slack import blocks as b
from bot import notices as n
from bot import text as words

#: Every notice about a job.
Told = words.Running | n.Delivered | n.Done | n.Failed | n.Cancelled | words.Beside
NAME_CHARS = 40


def beside(notice: Told) -> str:
    """What stands behind a job's id: that a machine made it, or who asked.

    The name is written out, since a mention would call its person each time, and a clip does.
    """
    if isinstance(notice, n.WithFile):
        return " · AI-generated"
    name = notice.about.requester.display_name
    is_told = isinstance(notice, words.Beside) or notice.about.requester.is_direct
    return f" · for {b.within(name, NAME_CHARS)}" if name and not is_told else ""


def of_buttons(notice: Told) -> str:
    """What its buttons are for, to those who hear them; empty where its words are not quoted."""
    quoted = words.describe(notice).quote
    return f"the {words.thing(notice.about.work)}: {quoted}" if quoted else ""
