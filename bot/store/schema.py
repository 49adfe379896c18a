"""The tables, as SQLAlchemy Core. Money is integer micro-dollars, times are UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator


class UtcTime(TypeDecorator[datetime]):
    """An aware datetime in UTC, on databases that keep a zone and on those that do not."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC before it is stored."""
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware again after it was read."""
        return value.replace(tzinfo=UTC) if value is not None else None


#: The scope of the settings under which a copy says that it is one, and since when.
COPY = "copy"
#: The newest file in `migrations/versions`; a start on this schema need not load Alembic.
HEAD = "0010"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_Id = BigInteger().with_variant(Integer, "sqlite")

# The few jobs that were accepted and have not ended. Both columns are in their index, too, or
# SQLite would take another one.
_IS_RUNNING = text("ended_at IS NULL AND accepted_at IS NOT NULL")

_HAS_ENDED = text("ended_at IS NOT NULL")

#: As a literal, so that SQLite knows a query of it by its index.
HAS_WORDS = text("prompt != ''")
_HAS_ENDED_WITH_WORDS = text("ended_at IS NOT NULL AND prompt != ''")

#: What is summed and counted inside every submit.
_COUNTED = ("accepted_at", "state", "cost", "story", "id")

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("dedupe_key", String(200), nullable=False, unique=True),
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("adapter", String(40), nullable=False),
    Column("tenant", String(120), nullable=False),
    Column("channel", String(200), nullable=False),
    Column("person", String(200), nullable=False),
    Column("prompt", Text, nullable=False),
    Column("request", JSON, nullable=False),
    Column("plan", JSON(none_as_null=True)),
    Column("provider", String(40)),
    Column("model", String(60), nullable=False),
    Column("attempt", Integer, nullable=False, default=0),
    Column("tries", Integer, nullable=False, default=0),
    # Fetches that brought a damaged file, or posts of one that was not made smaller, and faults of
    # our own, in this state.
    Column("broken", Integer, nullable=False, default=0),
    Column("faults", Integer, nullable=False, default=0),
    Column("created_at", UtcTime, nullable=False),
    Column("next_at", UtcTime),
    Column("accepted_at", UtcTime),
    Column("admitted_at", UtcTime),
    Column("submitted_at", UtcTime),
    Column("completed_at", UtcTime),
    Column("ended_at", UtcTime),
    Column("generation_id", String(120)),
    Column("clip_url", Text),
    Column("clip", JSON(none_as_null=True)),
    Column("failure", JSON(none_as_null=True)),
    Column("provider_failure", JSON(none_as_null=True)),
    Column("message", JSON(none_as_null=True)),
    # What counts against budgets now: the hold, then the settled price, then zero if released.
    Column("cost", BigInteger, nullable=False, default=0),
    Column("is_test", Boolean, nullable=False, default=False),
    Column("list_price", BigInteger, nullable=False, default=0),
    # What the provider took for a clip that its person did not pay for.
    Column("provider_cost", BigInteger, nullable=False, default=0),
    Column("seconds", Float, nullable=False, default=0),
    Column("crashes", Integer, nullable=False, default=0),
    Column("parked_at", UtcTime),
    Column("cancel_requested", Boolean, nullable=False, default=False),
    Column("retry_of", String(16)),
    # The process that prepares it, while it is received.
    Column("prepared_by", String(40)),
    # The job whose clip or request this one came of; its film (a film is its own), which shot of
    # it this is, and the shot that comes first.
    Column("parent", String(16), index=True),
    Column("story", String(16), index=True),
    Column("shot", Integer),
    Column("waits_for", String(16)),
    # Since when nothing is left of it but what it cost and counts for.
    Column("erased_at", UtcTime),
    UniqueConstraint("provider", "generation_id"),
    Index("ix_jobs_state_next_at", "state", "next_at"),
    Index("ix_jobs_provider_state", "provider", "state", "admitted_at"),
    Index("ix_jobs_person_created_at", "person", "created_at"),
    # Covering: budgets are summed inside every submit.
    Index("ix_jobs_person_accepted_at", "person", *_COUNTED),
    Index("ix_jobs_channel_accepted_at", "channel", *_COUNTED),
    Index("ix_jobs_tenant_accepted_at", "tenant", *_COUNTED),
    Index("ix_jobs_accepted_at", "accepted_at", "cost"),
    # The desk turns over pages of all that was asked, the newest first.
    Index("ix_jobs_tenant_created_at", "tenant", "created_at", "id"),
    Index("ix_jobs_created_at", "created_at", "id"),
    Index(
        "ix_jobs_running",
        "tenant",
        "ended_at",
        "accepted_at",
        "channel",
        "person",
        sqlite_where=_IS_RUNNING,
        postgresql_where=_IS_RUNNING,
    ),
    # Covering, and written once: usage by day, by model, person and place, and how long it took.
    Index(
        "ix_jobs_asked",
        *("created_at", "tenant", "person", "model", "state", "cost", "seconds"),
        *("accepted_at", "completed_at", "ended_at", "story", "id"),
        sqlite_where=_HAS_ENDED,
        postgresql_where=_HAS_ENDED,
    ),
    # Of the words that are past their time.
    Index(
        "ix_jobs_words",
        "ended_at",
        sqlite_where=_HAS_ENDED_WITH_WORDS,
        postgresql_where=_HAS_ENDED_WITH_WORDS,
    ),
)

job_events = Table(
    "job_events",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False, index=True),
    Column("at", UtcTime, nullable=False),
    Column("from_state", String(16)),
    Column("to_state", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    UniqueConstraint("job_id", "version"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("provider", String(40), nullable=False),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("submission", JSON, nullable=False),
    Column("sent_at", UtcTime, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("generation_id", String(120)),
    Column("absences", Integer, nullable=False, default=0),
    # The fingerprint of the account that was asked.
    Column("account", String(16)),
    # Covering: whose a generation is, is asked for each submission that is looked for.
    Index("ix_attempts_provider_sent_at", "provider", "sent_at", "generation_id"),
)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("micros", BigInteger, nullable=False),
    Column("at", UtcTime, nullable=False),
    # The job again on the entry that ends its hold: settle and release exclude each other.
    Column("closes", String(16), unique=True),
    UniqueConstraint("job_id", "kind"),
)

messages = Table(
    "messages",
    metadata,
    Column("key", String(40), primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False, index=True),
    Column("message", JSON(none_as_null=True)),
    Column("digest", String(64)),
    # The version of its job that it shows.
    Column("shown", Integer),
    # The id of the message, by which a reaction finds it.
    Column("posted", String(200), index=True),
    Column("memo", JSON, nullable=False),
)

settings = Table(
    "settings",
    metadata,
    Column("scope", String(200), primary_key=True),
    Column("chosen", JSON, nullable=False),
)

# Who asked to be served and whom the operator let in; what the configuration names needs no row.
places = Table(
    "places",
    metadata,
    Column("tenant", String(120), primary_key=True),
    Column("state", String(10), nullable=False),
    Column("name", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("by", String(200), nullable=False),
    # When it removed the bot; it may come back for some days.
    Column("left_at", UtcTime),
)

# The jobs of which something is still to be removed for good.
erasures = Table(
    "erasures",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    # Its place removed the bot, so that nothing can be reached there.
    Column("is_gone", Boolean, nullable=False),
)

# What those who run a place decided for it.
place_rules = Table(
    "place_rules",
    metadata,
    Column("tenant", String(120), primary_key=True),
    Column("paused_at", UtcTime),
    Column("paused_by", String(200), nullable=False),
    # What people are told while it is paused.
    Column("paused_message", Text),
    # The allowed channels: ids with their names; empty: all.
    Column("channels", JSON, nullable=False),
)

blocks = Table(
    "blocks",
    metadata,
    Column("person", String(200), primary_key=True),
    Column("until", UtcTime),
    Column("reason", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
)

# Allowances beyond the limits; they only ever grow.
grants = Table(
    "grants",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("person", String(200), nullable=False, index=True),
    Column("micros", BigInteger, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("until", UtcTime, nullable=False),
    Column("by", String(200), nullable=False),
    # The form that gave it, which gives it once.
    Column("form", String(100), unique=True, index=True),
)

# A clip that somebody reported, once by each person, and what was decided.
reports = Table(
    "reports",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("person", String(200), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("outcome", String(16)),
    Column("decided_by", String(200)),
    Column("decided_at", UtcTime),
)

# Who starred a clip, and the copy in its place's gallery.
stars = Table(
    "stars",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("person", String(200), primary_key=True),
    Column("at", UtcTime, nullable=False),
)

# What is to be posted, changed or removed once, beside a job's own messages.
errands = Table(
    "errands",
    metadata,
    # The key of its message.
    Column("key", String(40), primary_key=True),
    Column("job_id", ForeignKey("jobs.id"), nullable=False, index=True),
    Column("kind", String(10), nullable=False),
    # A conversation, or a person to be written to directly.
    Column("to", JSON, nullable=False),
    Column("due_at", UtcTime, index=True),
    Column("version", Integer, nullable=False),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("act", String(40), nullable=False),
    Column("target", String(200), nullable=False),
    Column("detail", Text, nullable=False),
)

operator_notices = Table(
    "operator_notices",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("at", UtcTime, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("job_id", String(16)),
    Column("told_at", UtcTime),
)

boots = Table(
    "boots",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("started_at", UtcTime, nullable=False),
    Column("stopped_at", UtcTime),
)

# What a platform delivered, written before it is acknowledged; emptied once it is dealt with.
inbox = Table(
    "inbox",
    metadata,
    Column("adapter", String(40), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("payload", JSON, nullable=False),
    Column("received_at", UtcTime, nullable=False),
    Column("done_at", UtcTime, index=True),
    # The process that has it in hand.
    Column("held_by", String(40)),
)

# Values that only the secret key opens.
vault = Table(
    "vault",
    metadata,
    Column("adapter", String(40), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("sealed", Text, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
)

# Links that let somebody in at the desk, once; only the hash of what opens is kept. An empty
# tenant is all of them; without the desk they may enter the playground alone.
desk_links = Table(
    "desk_links",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("who", JSON, nullable=False),
    Column("tenant", String(120), nullable=False),
    Column("has_desk", Boolean, nullable=False),
    Column("made_at", UtcTime, nullable=False),
    Column("ends_at", UtcTime, nullable=False),
)

# Who is signed in, and when their rights were last checked.
desk_sessions = Table(
    "desk_sessions",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("who", JSON, nullable=False),
    Column("tenant", String(120), nullable=False),
    Column("has_desk", Boolean, nullable=False),
    Column("ends_at", UtcTime, nullable=False),
    Column("checked_at", UtcTime, nullable=False),
)
