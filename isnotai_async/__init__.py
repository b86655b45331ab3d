"""Asyncio client for the Not AI API: walk, stream and export event data.

Public are this package, `isnotai_async.errors`, `isnotai_async.export`, `isnotai_async.sandbox` and
`isnotai_async.workers`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from isnotai_async._version import __version__
from isnotai_async.analytics_records import (
    Analytics,
    AnalyticsPoint,
    AnalyticsSummary,
    BotDetection,
    DeviceBreakdown,
    TopOrigin,
    Usage,
    UsageEntry,
    UserMatching,
)
from isnotai_async.backoff import Retry
from isnotai_async.client import Client
from isnotai_async.errors import (
    APIError,
    AuthenticationError,
    CheckpointError,
    ConfigError,
    ConnectError,
    DecodeError,
    ExportError,
    ExportLockedError,
    InvalidCursorError,
    InvalidRequestError,
    IsNotAIError,
    IsNotAIWarning,
    LimiterError,
    NotFoundError,
    PaginationError,
    PermissionDeniedError,
    ProtocolError,
    RateLimitedError,
    ServerError,
    SinkError,
    TransportError,
    TransportTimeoutError,
)
from isnotai_async.keyring import Credential
from isnotai_async.limiter import Limiter, SharedLimiter, Unlimited
from isnotai_async.local_limiter import LocalLimiter
from isnotai_async.manager import ManagedEventStream, SessionManager
from isnotai_async.notices import AttemptNotice, Notice, PageNotice, RetryNotice, TierNotice, WaitNotice
from isnotai_async.pages import Page
from isnotai_async.paginator import Paginator
from isnotai_async.permits import Answer, Permit
from isnotai_async.positions import Position
from isnotai_async.queries import EventQuery, SessionQuery
from isnotai_async.records import (
    Event,
    EventCounts,
    Health,
    PageVisit,
    Session,
    SessionDetails,
    TimelineBucket,
    User,
)
from isnotai_async.regions import REGIONS, Region
from isnotai_async.stream_positions import StreamPosition, Taken, Unfinished
from isnotai_async.streaming import EventStream
from isnotai_async.tiers import Tier

if TYPE_CHECKING:
    from isnotai_async.export import (
        ExportEstimate,
        ExportProgress,
        ExportReport,
        SessionFailure,
        estimate_export,
        export_events,
    )
    from isnotai_async.redis_limiter import RedisLimiter
    from isnotai_async.sandbox import Sandbox

# Rooms that many programs do without are imported when they are first asked for: a third of the import time.
_ROOMS = {
    "export": (
        "ExportEstimate",
        "ExportProgress",
        "ExportReport",
        "SessionFailure",
        "estimate_export",
        "export_events",
    ),
    "redis_limiter": ("RedisLimiter",),
    "sandbox": ("Sandbox",),
}
_LATER = {name: room for room, names in _ROOMS.items() for name in names}


if not TYPE_CHECKING:  # or type checkers would take any name for granted

    def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever is asked for
        if name not in _ROOMS and name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        room = importlib.import_module(f"{__name__}.{_LATER.get(name, name)}")
        value = globals()[name] = room if name in _ROOMS else getattr(room, name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "REGIONS",
    "APIError",
    "Analytics",
    "AnalyticsPoint",
    "AnalyticsSummary",
    "Answer",
    "AttemptNotice",
    "AuthenticationError",
    "BotDetection",
    "CheckpointError",
    "Client",
    "ConfigError",
    "ConnectError",
    "Credential",
    "DecodeError",
    "DeviceBreakdown",
    "Event",
    "EventCounts",
    "EventQuery",
    "EventStream",
    "ExportError",
    "ExportEstimate",
    "ExportLockedError",
    "ExportProgress",
    "ExportReport",
    "Health",
    "InvalidCursorError",
    "InvalidRequestError",
    "IsNotAIError",
    "IsNotAIWarning",
    "Limiter",
    "LimiterError",
    "LocalLimiter",
    "ManagedEventStream",
    "NotFoundError",
    "Notice",
    "Page",
    "PageNotice",
    "PageVisit",
    "PaginationError",
    "Paginator",
    "PermissionDeniedError",
    "Permit",
    "Position",
    "ProtocolError",
    "RateLimitedError",
    "RedisLimiter",
    "Region",
    "Retry",
    "RetryNotice",
    "Sandbox",
    "ServerError",
    "Session",
    "SessionDetails",
    "SessionFailure",
    "SessionManager",
    "SessionQuery",
    "SharedLimiter",
    "SinkError",
    "StreamPosition",
    "Taken",
    "Tier",
    "TierNotice",
    "TimelineBucket",
    "TopOrigin",
    "TransportError",
    "TransportTimeoutError",
    "Unfinished",
    "Unlimited",
    "Usage",
    "UsageEntry",
    "User",
    "UserMatching",
    "WaitNotice",
    "__version__",
    "estimate_export",
    "export_events",
]
