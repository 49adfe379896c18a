"""What was posted where: one row per message of ours, and what its adapter must not forget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, select, union_all, update

from bot.errors import InOtherHands
from bot.job import Job, JobState
from bot.refs import JobId, MessageRef
from bot.store.database import Database
from bot.store.portable import Insert, insert
from bot.store.schema import job_events, messages
from bot.store.transaction import Tx

#: How long before a post that another process took over is looked at again.
TAKEN_SECONDS = 1.0
_BY_KEY = select(messages).where(messages.c.key == bindparam("of_key"))
# Not IN, for which PostgreSQL reads the whole of a table that it does not know yet.
_BY_KEYS = union_all(
    *(select(messages).where(messages.c.key == bindparam(each)) for each in ("one", "other"))
)
_WRITTEN = insert(messages)
_STATUS = ":status"
_IMAGES = ":images"
_REPORT = ":report"
_REVIEW = ":review"
#: Said to those who run a place, so that it is about no clip that people see.
_ASIDE = (_REPORT, _REVIEW)
_POSTED = select(messages).where(
    messages.c.posted >= bindparam("first"), messages.c.posted < bindparam("beyond")
)


def _replacing(*names: str) -> Insert:
    """Write a row, or only these columns where there is one already."""
    replaced = {name: getattr(_WRITTEN.excluded, name) for name in names}
    return _WRITTEN.on_conflict_do_update(index_elements=["key"], set_=replaced)


_UPSERT = _replacing("message", "digest", "posted", "shown")
_GIVEN_UP = _replacing("digest", "shown")
#: Of both of its states the same is said.
_IS_TAKEN = (job_events.c.from_state == JobState.SUBMITTING) & (
    job_events.c.to_state == JobState.GENERATING
)
_BEHIND = (
    select(job_events.c.job_id)
    .outerjoin(messages, messages.c.key == job_events.c.job_id + _STATUS)
    .where(job_events.c.id > bindparam("after"), job_events.c.id <= bindparam("last"), ~_IS_TAKEN)
    .where(messages.c.shown.is_(None) | (messages.c.shown < job_events.c.version))
    .distinct()
)


def status_key(job_id: JobId) -> str:
    """The key of a job's status message."""
    return f"{job_id}{_STATUS}"


def last_key(job_id: JobId) -> str:
    """The key of the message that takes a status message's place for a job's last word."""
    return f"{job_id}:last"


def clip_key(job_id: JobId) -> str:
    """The key of the message that holds a job's clip."""
    return f"{job_id}:clip"


def report_key(job_id: JobId, of: str = "") -> str:
    """The key of the report of a clip, to its moderators, or to one of the operators."""
    return f"{job_id}{_REPORT}{of}"


def gallery_key(job_id: JobId) -> str:
    """The key of a clip's copy in its place's gallery."""
    return f"{job_id}:gallery"


def letter_key(job_id: JobId, of: str) -> str:
    """The key of a clip's copy for one person."""
    return f"{job_id}:letter:{of}"


#: How many times the moderators of a place are asked about a clip.
MOST_ASKED = 3


def review_key(job_id: JobId, at: int = 0) -> str:
    """The key of what asks the moderators of a place about a clip, for the `at`-th time."""
    return f"{job_id}{_REVIEW}:{at}"


def consent_key(job_id: JobId, at: int) -> str:
    """The key of what asks the `at`-th person whether their image may be animated."""
    return f"{job_id}:consent:{at}"


def price_key(job_id: JobId) -> str:
    """The key of what asks one's person directly to confirm a price."""
    return f"{job_id}:price"


def why_key(job_id: JobId) -> str:
    """The key of what tells one's person alone why there is no clip."""
    return f"{job_id}:why"


def images_key(job_id: JobId) -> str:
    """The key of the message that was made to show a job's images to a video service."""
    return f"{job_id}{_IMAGES}"


@dataclass(frozen=True, kw_only=True)
class Posted:
    """Where a message is and the digest of what it says, None where it was not posted yet.

    A digest without a message stands for what could not be said. `kept` is what its adapter must
    not forget. `is_begun`: it was to be posted, and perhaps was.
    """

    message: MessageRef | None = None
    digest: str | None = None
    kept: Mapping[str, str] = field(default_factory=dict)
    is_begun: bool = False


def get(conn: Connection, key: str) -> Posted:
    """What is known of a message."""
    return _to_posted(conn.execute(_BY_KEY, {"of_key": key}).one_or_none())


def get_both(conn: Connection, one: str, other: str) -> tuple[Posted, Posted]:
    """What is known of two messages, in one query."""
    found = {row.key: row for row in conn.execute(_BY_KEYS, {"one": one, "other": other})}
    return _to_posted(found.get(one)), _to_posted(found.get(other))


def _to_posted(row: Row[Any] | None) -> Posted:
    if row is None:
        return Posted()
    message = MessageRef.model_validate(row.message) if row.message else None
    is_begun = row.message is None and row.digest is None
    return Posted(message=message, digest=row.digest, kept=row.memo, is_begun=is_begun)


def job_at(conn: Connection, message: MessageRef) -> JobId | None:
    """The job that a message of ours is about; what moderators are told is about no clip shown.

    A platform may know its message by the first part of the id that we keep.
    """
    wanted, place = message.message, message.thread
    rows = conn.execute(_POSTED, {"first": wanted, "beyond": f"{wanted}\U0010ffff"})
    for row in rows:
        found, rest = MessageRef.model_validate(row.message), row.posted[len(wanted) :]
        is_it = not rest[:1].isalnum() and not any(each in row.key for each in _ASIDE)
        there = found.thread
        is_there = (there.adapter, there.workspace) == (place.adapter, place.workspace)
        if is_it and is_there and place.channel in (there.channel, there.thread):
            return JobId(row.job_id)
    return None


def begin(tx: Tx, key: str, job_id: JobId) -> None:
    """Note that a message is about to be posted."""
    tx.conn.execute(_WRITTEN.on_conflict_do_nothing(), {"key": key, "job_id": job_id, "memo": {}})


def put(
    tx: Tx, key: str, job_id: JobId, message: MessageRef, digest: str, *, shown: int | None = None
) -> None:
    """Remember where a message is and what it says, of which version of its job."""
    placed = message.model_dump(mode="json")
    row: dict[str, Any] = {"key": key, "job_id": job_id, "memo": {}, "message": placed}
    row |= {"digest": digest, "posted": message.message, "shown": shown}
    tx.conn.execute(_UPSERT, row)


def give_up(tx: Tx, key: str, job: Job, unsaid: str) -> None:
    """Remember instead what could not be said, so that nobody tries it again."""
    row = {"key": key, "job_id": job.id, "memo": {}, "digest": unsaid, "shown": job.version}
    tx.conn.execute(_GIVEN_UP, row)


def remove(tx: Tx, key: str) -> None:
    """Forget a message that was deleted."""
    tx.conn.execute(delete(messages).where(messages.c.key == key))


def behind(conn: Connection, after: int, last: int) -> list[JobId]:
    """The jobs that moved after the one event, up to the other, and do not show it yet."""
    rows = conn.execute(_BEHIND, {"after": after, "last": last})
    return [JobId(row.job_id) for row in rows]


def showing_images(conn: Connection) -> list[JobId]:
    """The jobs with a message that was made to show their images, and is not yet deleted."""
    rows = conn.execute(select(messages.c.job_id).where(messages.c.key.endswith(_IMAGES)))
    return [JobId(row.job_id) for row in rows]


class StoredMemo:
    """The durable dictionary of one post."""

    def __init__(
        self, database: Database, key: str, job_id: JobId, kept: Mapping[str, str]
    ) -> None:
        self._database = database
        self._key = key
        self._job_id = job_id
        self._kept = dict(kept)

    def get(self, name: str) -> str | None:
        """What was kept under this name."""
        return self._kept.get(name)

    async def put(self, name: str, value: str) -> None:
        """Keep it, durably, before returning.

        Raises `InOtherHands` where another process kept something meanwhile: it took over.
        """
        known, kept = self._kept, {**self._kept, name: value}

        def write(tx: Tx) -> None:
            if (get(tx.conn, self._key).kept or known) != known:
                raise InOtherHands(retry_after=TAKEN_SECONDS)
            put_memo(tx, self._key, self._job_id, kept)

        await self._database.write(write)
        self._kept = kept


class Forgetful:
    """The memo of a message that may come twice after a crash: better than never."""

    def get(self, name: str) -> str | None:
        """Nothing was kept."""
        del name
        return None

    async def put(self, name: str, value: str) -> None:
        """Keep nothing."""


async def open_memo(database: Database, key: str, job_id: JobId) -> StoredMemo:
    """The memo of one post as it was last written."""
    posted = await database.read(lambda conn: get(conn, key))
    return StoredMemo(database, key, job_id, posted.kept)


def put_memo(tx: Tx, key: str, job_id: JobId, kept: dict[str, str]) -> None:
    """Keep what an adapter must not forget of a message."""
    changed = tx.conn.execute(update(messages).where(messages.c.key == key).values(memo=kept))
    if changed.rowcount == 0:
        tx.conn.execute(messages.insert().values(key=key, job_id=job_id, memo=kept))
