"""What one of several processes of a bot asks of the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol


def watch_role(provider: str) -> str:
    """The role of whoever watches what a provider makes."""
    return f"watch {provider}"


def drain_role(provider: str) -> str:
    """The role of whoever watches what a provider makes that takes nothing new from them.

    Another one: for a while, a process may run that still lets jobs in there.
    """
    return f"drain {provider}"


class Replicas(Protocol):
    """This process among those that work on the same database."""

    @property
    def name(self) -> str:
        """This process's own; a start makes a new one."""

    @property
    def is_single(self) -> bool:
        """Whether there never is another process."""

    async def alone(
        self, role: str, work: Callable[[], Awaitable[None]], *, parts: Sequence[str] = ()
    ) -> None:
        """Do what only one process does; stand by while another one does it.

        Begins anew where the role is lost and comes back; ends when the work does. A role of
        `parts` is had by whoever has all of these, of which other roles may have some, too.
        """

    async def is_held(self, role: str) -> bool:
        """Whether any process has this role now; raises `StoreError`."""

    async def gone(self, names: Collection[str]) -> frozenset[str]:
        """Those of these processes that are not there now: dead, frozen, or cut off.

        One that is only cut off for a moment is back the next time. Raises `StoreError`.
        """

    def turn(self, name: str) -> AbstractAsyncContextManager[None]:
        """Be the only one, in any process, who is busy with this; others wait for their turn.

        Raises `StoreError` where that cannot be known at the beginning. Whoever loses the database
        meanwhile goes on unaware of it, so what is done must bear being done by two: posts have
        keys, and rows have versions.
        """

    def tell(self, subject: str, **said: str) -> None:
        """Let all other processes hear this: soon, and maybe never."""

    def on(self, subject: str, hear: Callable[[Mapping[str, str]], None]) -> None:
        """Hear what others tell of a subject."""

    async def run(self) -> None:
        """Keep the roles, and hear the others, until cancelled."""
