"""What those who run a place decide about its clips and its people, and how any act is kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from bot.errors import InvalidRequest
from bot.policy import PATTERNS, WORDS, check_policy, decided, is_reviewed
from bot.request import Requester
from bot.store import settings
from bot.store.transaction import Tx
from bot.studio.place_money import Treasury
from bot.wordlist import MAX_ENTRIES, check_pattern, check_word


class Rulings(Treasury):
    """Policies and word lists of places; each act is in the audit log."""

    # ---- clips and people ----------------------------------------------------------------

    async def set_policy(
        self, tenant: str, changes: Mapping[str, str], *, actor: Requester, channel: str = ""
    ) -> Mapping[str, str]:
        """Decide something for a place, or for one channel; returns what then is decided there.

        An empty value takes one back. Raises `InvalidRequest` with the nearest that is known.
        """
        checked = check_policy(changes, channel=channel)
        scope = settings.rules_scope(tenant, channel)

        def choose(tx: Tx, _now: datetime) -> None:
            settings.choose(tx, scope, checked)
            _check_moderators(tx, tenant, checked)

        await self._rights.act(
            tenant,
            actor,
            "policy",
            choose,
            target=f"{tenant}:{channel}" if channel else tenant,
            detail=", ".join(f"{name}={value}" for name, value in checked.items()),
        )
        return decided(await self._database.read(lambda conn: settings.chosen(conn, scope)))

    async def set_words(
        self,
        tenant: str,
        *,
        actor: Requester,
        words: Collection[str] | None = None,
        patterns: Collection[str] | None = None,
    ) -> None:
        """Block these words and patterns in a place, in place of those before; None: no change."""
        changes = {}
        if words is not None:
            changes[WORDS] = _checked(words, check_word, "words")
        if patterns is not None:
            changes[PATTERNS] = _checked(patterns, check_pattern, "patterns")
        scope = settings.rules_scope(tenant)
        counts = (f"{len(each.splitlines())} {name}" for name, each in changes.items())
        await self._rights.act(
            tenant,
            actor,
            "words",
            lambda tx, _: settings.choose(tx, scope, changes),
            detail=", ".join(counts),
        )

    async def words(
        self, tenant: str, *, actor: Requester
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The words and patterns that a place blocks, for those who run it."""
        self.check(tenant, actor=actor)
        held = await self._database.read(
            lambda conn: settings.chosen(conn, settings.rules_scope(tenant))
        )
        return tuple(held.get(WORDS, "").splitlines()), tuple(held.get(PATTERNS, "").splitlines())


def _check_moderators(tx: Tx, tenant: str, changes: Mapping[str, str]) -> None:
    """What waits for moderators needs a channel to reach them; raises `InvalidRequest`."""
    place = settings.chosen(tx.conn, settings.rules_scope(tenant))
    channels = settings.chosen_by_channel(tx.conn, tenant, rules=True)
    if place.get("moderators_channel"):
        return
    if changes.get("review") == "before_post":
        raise InvalidRequest(
            "Your moderators have no channel to look at clips in. Set moderators_channel for the "
            "whole place first, then review.",
            field="review",
        )
    is_needed = any(is_reviewed(place, channels.get(each, {})) for each in ("", *channels))
    if "moderators_channel" in changes and is_needed:
        raise InvalidRequest(
            "Clips wait in that channel before they are posted. Set review to off first, for the "
            "place and for each channel that has it.",
            field="moderators_channel",
        )


def _checked(entries: Collection[str], check: Callable[[str], str], what: str) -> str:
    """A list as it is kept, one a line; raises `InvalidRequest`."""
    if len(entries) > MAX_ENTRIES:
        raise InvalidRequest(f"At most {MAX_ENTRIES} {what} can be blocked.", field=what)
    try:
        return "\n".join(dict.fromkeys(check(" ".join(each.splitlines())) for each in entries))
    except ValueError as error:
        sentence = str(error)
        raise InvalidRequest(f"{sentence[0].upper()}{sentence[1:]}.", field=what) from error
