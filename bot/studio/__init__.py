"""The studio: all that an adapter may call, and the words it hears back in."""

from bot.acts import Act, Offered, Option
from bot.overview import (
    Allowance,
    AuditLine,
    Blocked,
    Document,
    Forgetting,
    Grant,
    Invitation,
    JobLine,
    Offer,
    PlaceLimit,
    PlaceLimits,
    PlaceRules,
    PlaceUsage,
    QueueView,
    Relative,
    Setting,
    Shown,
    Sitting,
    UsageReport,
    UsageRow,
)
from bot.store.transaction import Also
from bot.studio.access import LOCAL
from bot.studio.administration import Administration
from bot.studio.inbox import Inbox, Noted
from bot.studio.receipts import Receipt
from bot.studio.studio import Studio
from bot.studio.works import Works
from bot.vault import Vault

__all__ = [
    "LOCAL",
    "Act",
    "Administration",
    "Allowance",
    "Also",
    "AuditLine",
    "Blocked",
    "Document",
    "Forgetting",
    "Grant",
    "Inbox",
    "Invitation",
    "JobLine",
    "Noted",
    "Offer",
    "Offered",
    "Option",
    "PlaceLimit",
    "PlaceLimits",
    "PlaceRules",
    "PlaceUsage",
    "QueueView",
    "Receipt",
    "Relative",
    "Setting",
    "Shown",
    "Sitting",
    "Studio",
    "UsageReport",
    "UsageRow",
    "Vault",
    "Works",
]
