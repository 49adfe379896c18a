"""What the page keeps of people beside their jobs: images they brought, what they were told."""

from __future__ import annotations

from adapters.login import whoami
from adapters.web.parse import NAME, TENANT
from adapters.web.rooms import RoomContext, Rooms


class WebKeeper:
    """Counts it, and lets it go, whoever asked for that; pages that are open see it go."""

    def __init__(self, context: RoomContext, rooms: Rooms) -> None:
        self._images = context.images
        self._asides = context.asides
        self._rooms = rooms
        #: Who reads all that is said here, as nobody else comes.
        self._alone = whoami(NAME).person if context.is_alone else ""

    async def count(self, person: str) -> tuple[int, int]:
        """How many images and messages of somebody there are."""
        if (user := _user_of(person)) is None:
            return 0, 0
        said = await self._asides.count(user, is_alone=person == self._alone)
        return await self._images.count(person), said

    async def forget(self, person: str) -> None:
        """Let all of it go, with its files. Raises `StoreError`."""
        if (user := _user_of(person)) is None:
            return
        for image in await self._images.forget(person):
            await self._rooms.show(image.name, person)
        for aside in await self._asides.forget(user, is_alone=person == self._alone):
            await self._rooms.show(aside.name, aside.person)


def _user_of(person: str) -> str | None:
    """Their id on the page; None for somebody of another place."""
    here, user = person[: len(TENANT) + 1], person[len(TENANT) + 1 :]
    return user if here == f"{TENANT}:" and user else None
