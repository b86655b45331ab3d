"""Asyncio client for the Not AI API: walk, stream and export event data.

Public are this package, `isnotai_async.errors`, `isnotai_async.export` and `isnotai_async.sandbox`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from isnotai_async._version import __version__

if TYPE_CHECKING:
    from isnotai_async._client import Client
    from isnotai_async._diagnosis.doctor import diagnose
    from isnotai_async._diagnosis.findings import Diagnosis, Finding
    from isnotai_async._http.credentials import Credential
    from isnotai_async._http.retry_policy import Retry
    from isnotai_async._manager import ManagedEventStream, SessionManager
    from isnotai_async._models.analytics import (
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
    from isnotai_async._models.pages import Page, RejectedRecord
    from isnotai_async._models.plain import to_dict, to_json
    from isnotai_async._models.positions import Position
    from isnotai_async._models.records import (
        Event,
        EventCounts,
        Health,
        PageVisit,
        Session,
        SessionDetails,
        TimelineBucket,
        User,
    )
    from isnotai_async._models.regions import REGIONS, Region
    from isnotai_async._models.responses import RawResponse
    from isnotai_async._models.stream_positions import SourceCount, StreamPosition, UnfinishedSession
    from isnotai_async._models.tiers import Tier
    from isnotai_async._notices import (
        AttemptNotice,
        DeviationNotice,
        Notice,
        PageNotice,
        RetryNotice,
        TierNotice,
        WaitNotice,
    )
    from isnotai_async._ratelimit.file.limiter import FileLimiter
    from isnotai_async._ratelimit.limiter import (
        ImmediateLimiter,
        LeasedLimiter,
        Limiter,
        Permit,
        QuotaState,
        ReportingLimiter,
        RequestOutcome,
        SharedLimiter,
        Unlimited,
    )
    from isnotai_async._ratelimit.local import LocalLimiter
    from isnotai_async._ratelimit.redis.limiter import RedisLimiter
    from isnotai_async._streaming.paginator import Paginator
    from isnotai_async._streaming.stream import EventStream
    from isnotai_async.errors import (
        APIError,
        AuthenticationError,
        ConfigError,
        ConnectError,
        DecodeError,
        ExportError,
        ExportLockedError,
        GatewayError,
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
        StoreError,
        TransportError,
        TransportTimeoutError,
    )
    from isnotai_async.export import (
        ExportEstimate,
        ExportProgress,
        ExportReport,
        SessionFailure,
        StoreReport,
        estimate_export,
        export_events,
        export_store,
        update_store,
    )
    from isnotai_async.sandbox import Sandbox

# Each name is imported when it is first asked for: `isnotai --version` needs none of them, few programs need all.
_NAMES_OF = {
    "._client": ("Client",),
    "._diagnosis.doctor": ("diagnose",),
    "._diagnosis.findings": ("Diagnosis", "Finding"),
    "._http.credentials": ("Credential",),
    "._http.retry_policy": ("Retry",),
    "._manager": ("ManagedEventStream", "SessionManager"),
    "._models.analytics": (
        "Analytics",
        "AnalyticsPoint",
        "AnalyticsSummary",
        "BotDetection",
        "DeviceBreakdown",
        "TopOrigin",
        "Usage",
        "UsageEntry",
        "UserMatching",
    ),
    "._models.pages": ("Page", "RejectedRecord"),
    "._models.plain": ("to_dict", "to_json"),
    "._models.positions": ("Position",),
    "._models.stream_positions": ("SourceCount", "StreamPosition", "UnfinishedSession"),
    "._models.records": (
        "Event",
        "EventCounts",
        "Health",
        "PageVisit",
        "Session",
        "SessionDetails",
        "TimelineBucket",
        "User",
    ),
    "._models.regions": ("REGIONS", "Region"),
    "._models.responses": ("RawResponse",),
    "._models.tiers": ("Tier",),
    "._notices": (
        "AttemptNotice",
        "DeviationNotice",
        "Notice",
        "PageNotice",
        "RetryNotice",
        "TierNotice",
        "WaitNotice",
    ),
    "._ratelimit.file.limiter": ("FileLimiter",),
    "._ratelimit.limiter": (
        "ImmediateLimiter",
        "LeasedLimiter",
        "Limiter",
        "Permit",
        "QuotaState",
        "ReportingLimiter",
        "RequestOutcome",
        "SharedLimiter",
        "Unlimited",
    ),
    "._ratelimit.local": ("LocalLimiter",),
    "._ratelimit.redis.limiter": ("RedisLimiter",),
    "._streaming.paginator": ("Paginator",),
    "._streaming.stream": ("EventStream",),
    ".errors": (
        "APIError",
        "AuthenticationError",
        "ConfigError",
        "ConnectError",
        "DecodeError",
        "ExportError",
        "ExportLockedError",
        "GatewayError",
        "InvalidCursorError",
        "InvalidRequestError",
        "IsNotAIError",
        "IsNotAIWarning",
        "LimiterError",
        "NotFoundError",
        "PaginationError",
        "PermissionDeniedError",
        "ProtocolError",
        "RateLimitedError",
        "ServerError",
        "SinkError",
        "StoreError",
        "TransportError",
        "TransportTimeoutError",
    ),
    ".export": (
        "ExportEstimate",
        "ExportProgress",
        "ExportReport",
        "SessionFailure",
        "StoreReport",
        "estimate_export",
        "export_events",
        "export_store",
        "update_store",
    ),
    ".sandbox": ("Sandbox",),
}
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names}
_PUBLIC_MODULES = ("errors", "export", "sandbox")


if not TYPE_CHECKING:  # or type checkers would take any name for granted

    def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever is asked for
        if name in _PUBLIC_MODULES:
            return importlib.import_module(f"{__name__}.{name}")
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(f"{__name__}{_MODULE_OF[name]}"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "REGIONS",
    "APIError",
    "Analytics",
    "AnalyticsPoint",
    "AnalyticsSummary",
    "AttemptNotice",
    "AuthenticationError",
    "BotDetection",
    "Client",
    "ConfigError",
    "ConnectError",
    "Credential",
    "DecodeError",
    "DeviationNotice",
    "DeviceBreakdown",
    "Diagnosis",
    "Event",
    "EventCounts",
    "EventStream",
    "ExportError",
    "ExportEstimate",
    "ExportLockedError",
    "ExportProgress",
    "ExportReport",
    "FileLimiter",
    "Finding",
    "GatewayError",
    "Health",
    "ImmediateLimiter",
    "InvalidCursorError",
    "InvalidRequestError",
    "IsNotAIError",
    "IsNotAIWarning",
    "LeasedLimiter",
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
    "QuotaState",
    "RateLimitedError",
    "RawResponse",
    "RedisLimiter",
    "Region",
    "RejectedRecord",
    "ReportingLimiter",
    "RequestOutcome",
    "Retry",
    "RetryNotice",
    "Sandbox",
    "ServerError",
    "Session",
    "SessionDetails",
    "SessionFailure",
    "SessionManager",
    "SharedLimiter",
    "SinkError",
    "SourceCount",
    "StoreError",
    "StoreReport",
    "StreamPosition",
    "Tier",
    "TierNotice",
    "TimelineBucket",
    "TopOrigin",
    "TransportError",
    "TransportTimeoutError",
    "UnfinishedSession",
    "Unlimited",
    "Usage",
    "UsageEntry",
    "User",
    "UserMatching",
    "WaitNotice",
    "__version__",
    "diagnose",
    "estimate_export",
    "export_events",
    "export_store",
    "to_dict",
    "to_json",
    "update_store",
]
