"""What those who run a workspace type in Slack: rules and their texts, limits, words, people."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from hypothesis import example, given
from hypothesis import strategies as st

from adapters.slack import render as slack_render
from adapters.slack.admin import Admin, read_admin
from adapters.slack.delivery import Delivery
from adapters.slack.parse import Person
from adapters.slack.render import MAX_CHARS
from bot.errors import BotError
from bot.notices import RulesFirst
from bot.policy import RULES_CHARS, check_policy
from bot.request import Requester
from bot.simulator import Faults, Simulator
from tests.adapters.slack.block_rules import check_blocks, check_drawn, mrkdwns
from tests.conftest import MANUAL, running, to_test_config
from tests.fakes import MovableClock, RecordingAdapter
from tests.fuzz import fuzz
from tests.fuzz.mutations import bounded, phrases, texts
from tests.fuzz.test_discord_wire import Shut
from tests.notices import NOW, to_about

ANA = Requester(adapter="slack", workspace="T1", user="U1", display_name="Ana")
typed = st.tuples(
    st.sampled_from(
        (
            *("rule", "rule rules", "rule rules <#C1|foxes>", "rule review", "rule gallery_stars"),
            *("limit", "words add word", "words remove pattern", "words add pattern", "grant"),
            *("defaults", "channel", "block", "unblock", "pause", "audit", "queue", "RULE remix"),
        )
    ),
    phrases(
        *("<#C1|foxes>", "<#C1>", "<#", "<@U1|ana>", "<@U2>", "own", "ask", "before_post", "off"),
        *("3", "-3", "0.5", "$5", "clips_per_person_per_day", "role", "77", "on", "ar=9:16", "\n"),
        *("Be kind.\nNo people.", "rules", "remix", "moderators_channel", "(a+)+", "²", "9" * 30),
    ),
).map(" ".join)


async def test_what_an_admin_types_is_carried_out_or_refused(tmp_path: Path) -> None:
    said: list[str] = []

    @fuzz
    @example("limit")
    @example("rule rules " + "<!channel> *x* `y` " * 60)
    @example("rule rules <#C1|foxes> \u202e\x00\ud800 be kind")
    @given(typed)
    def collect(text: str) -> None:
        said.append(text)

    collect()
    clock, person = MovableClock(), Person(user="U1", name="Ana", is_admin=True)
    async with Simulator(MANUAL, Faults()) as simulator:
        config = to_test_config(tmp_path, simulator, access={"servers": ["T1"]})
        async with running(config, simulator, RecordingAdapter(), clock) as bot:
            admin = Admin(bot.studio, cast("Delivery", Shut()), clock=clock)
            for number, text in enumerate(said):
                with bounded():
                    read_admin(f"admin {text}")
                with bounded():
                    drawn = await admin.answer(text, ANA, person, key=str(number))
                    assert 0 < len(drawn.text) <= MAX_CHARS
                    check_blocks(drawn.blocks)
                    # Whatever is quoted calls nobody.
                    assert not any("<!" in each for each in (drawn.text, *mrkdwns(drawn.blocks)))
                for channel in ("", "C1"):
                    held = await bot.studio.admin.set_policy(
                        ANA.tenant, {}, actor=ANA, channel=channel
                    )
                    assert check_policy(held, channel=channel) == held
                    assert len(held.get("rules", "")) <= RULES_CHARS


@fuzz
@example("<!channel> *x* `y` " * 60)
@given(st.one_of(texts, phrases("Be kind.", "<!here>", "&lt;", "`", "*", "\n", "<@U1>", "x" * 99)))
def test_rules_are_shown_whatever_is_in_them(text: str) -> None:
    try:
        rules = check_policy({"rules": text})["rules"]
    except BotError:
        return
    with bounded():
        about = to_about(ANA, "a red fox")
        check_drawn(
            slack_render.draw(RulesFirst(about=about, rules=rules, expires_at=NOW), now=NOW)
        )
