"""What the operator's hook answers: whatever that is, a request is let through or refused."""

from __future__ import annotations

import asyncio
import gzip
import re
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from bot.clock import SystemClock
from bot.errors import Moderated, NotChecked
from bot.moderators import HookModerator, _to_refusal
from tests.bot.test_moderators import to_asked
from tests.fuzz import few, fuzz
from tests.fuzz.mutations import bodies, bounded, spoilt

ALLOW = {"allow": True}
REFUSE = {"allow": False, "kind": "words", "sentence": "Not here."}
SOON = 20.0
ALLOWS = re.compile(rb'allow"\s*:\s*true')


@fuzz
@given(spoilt(REFUSE))
def test_a_refusal_has_a_sentence_that_can_be_shown(said: Any) -> None:
    with bounded():
        refusal = _to_refusal(said if isinstance(said, dict) else {})
        assert refusal.kind in ("words", "image", "names")
        assert refusal.sentence
        assert not {unicodedata.category(each) for each in refusal.sentence} & {"Cc", "Cs"}
        assert len(refusal.sentence) < 2000
        refusal.sentence.encode()


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Nearly HTTP, with a body that is nearly what a hook says."""
    body = draw(bodies(ALLOW, REFUSE))
    status = draw(st.sampled_from(("200 OK", "200 OK", "200 OK", "204 x", "500 x", "99 x", "x")))
    more = draw(
        st.sampled_from(
            ("A: b", "Content-Encoding: gzip", "Transfer-Encoding: chunked", "X: \x00", ": ")
        )
    )
    if "gzip" in more and draw(st.booleans()):
        body = gzip.compress(body)
    length = draw(st.sampled_from((str(len(body)), str(len(body)), "0", "-1", "9" * 30, "x")))
    head = f"HTTP/1.1 {status}\r\n{more}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


@asynccontextmanager
async def hook(says: bytes) -> AsyncIterator[str]:
    """A server that answers once it has heard, and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(says)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}/hook"


async def test_an_answer_lets_through_refuses_or_is_none() -> None:
    said: list[bytes] = []

    @few
    @example(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"[" * 200_000)
    @example(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + b"[" * 9_000)
    @given(answers())
    def collect(answer: bytes) -> None:
        said.append(answer)

    collect()
    for answer in said:
        async with hook(answer) as url:
            moderator = HookModerator(
                url=url,
                secret="a-secret-of-the-hook",
                seconds=SOON,
                fails_closed=True,
                clock=SystemClock(),
                pseudonym=str,
            )
            try:
                with bounded(Moderated, NotChecked):
                    await moderator.check(to_asked())
                    assert ALLOWS.search(answer) or b"gzip" in answer
            finally:
                await moderator.aclose()
