"""Asyncio client for the Not AI API: walk, stream and export event data.

Public are this package, `isnotai_async.errors`, `isnotai_async.export` and `isnotai_async.sandbox`.
"""

import importlib

from isnotai_async._version import __version__ as __version__

TYPE_CHECKING = False  # not the one of typing, which takes most of the time of this import
if TYPE_CHECKING:
    from isnotai_async._client import Client as Client
    from isnotai_async._diagnosis.doctor import diagnose as diagnose
    from isnotai_async._diagnosis.findings import Diagnosis as Diagnosis
    from isnotai_async._diagnosis.findings import Finding as Finding
    from isnotai_async._http.credentials import Credential as Credential
    from isnotai_async._http.retry_policy import Retry as Retry
    from isnotai_async._manager import ManagedEventStream as ManagedEventStream
    from isnotai_async._manager import SessionManager as SessionManager
    from isnotai_async._models.analytics import Analytics as Analytics
    from isnotai_async._models.analytics import AnalyticsPoint as AnalyticsPoint
    from isnotai_async._models.analytics import AnalyticsSummary as AnalyticsSummary
    from isnotai_async._models.analytics import BotDetection as BotDetection
    from isnotai_async._models.analytics import DeviceBreakdown as DeviceBreakdown
    from isnotai_async._models.analytics import TopOrigin as TopOrigin
    from isnotai_async._models.analytics import Usage as Usage
    from isnotai_async._models.analytics import UsageEntry as UsageEntry
    from isnotai_async._models.analytics import UserMatching as UserMatching
    from isnotai_async._models.pages import Page as Page
    from isnotai_async._models.pages import RejectedRecord as RejectedRecord
    from isnotai_async._models.plain import to_dict as to_dict
    from isnotai_async._models.plain import to_json as to_json
    from isnotai_async._models.positions import Position as Position
    from isnotai_async._models.records import Event as Event
    from isnotai_async._models.records import EventCounts as EventCounts
    from isnotai_async._models.records import Health as Health
    from isnotai_async._models.records import PageVisit as PageVisit
    from isnotai_async._models.records import Session as Session
    from isnotai_async._models.records import SessionDetails as SessionDetails
    from isnotai_async._models.records import TimelineBucket as TimelineBucket
    from isnotai_async._models.records import User as User
    from isnotai_async._models.regions import REGIONS as REGIONS
    from isnotai_async._models.regions import Region as Region
    from isnotai_async._models.responses import RawResponse as RawResponse
    from isnotai_async._models.stream_positions import SourceCount as SourceCount
    from isnotai_async._models.stream_positions import StreamPosition as StreamPosition
    from isnotai_async._models.stream_positions import UnfinishedSession as UnfinishedSession
    from isnotai_async._models.tiers import Tier as Tier
    from isnotai_async._notices import AttemptNotice as AttemptNotice
    from isnotai_async._notices import DeviationNotice as DeviationNotice
    from isnotai_async._notices import Notice as Notice
    from isnotai_async._notices import PageNotice as PageNotice
    from isnotai_async._notices import RetryNotice as RetryNotice
    from isnotai_async._notices import TierNotice as TierNotice
    from isnotai_async._notices import WaitNotice as WaitNotice
    from isnotai_async._ratelimit.file.limiter import FileLimiter as FileLimiter
    from isnotai_async._ratelimit.limiter import ImmediateLimiter as ImmediateLimiter
    from isnotai_async._ratelimit.limiter import LeasedLimiter as LeasedLimiter
    from isnotai_async._ratelimit.limiter import Limiter as Limiter
    from isnotai_async._ratelimit.limiter import Permit as Permit
    from isnotai_async._ratelimit.limiter import QuotaState as QuotaState
    from isnotai_async._ratelimit.limiter import ReportingLimiter as ReportingLimiter
    from isnotai_async._ratelimit.limiter import RequestOutcome as RequestOutcome
    from isnotai_async._ratelimit.limiter import SharedLimiter as SharedLimiter
    from isnotai_async._ratelimit.limiter import Unlimited as Unlimited
    from isnotai_async._ratelimit.local import LocalLimiter as LocalLimiter
    from isnotai_async._ratelimit.redis.limiter import RedisLimiter as RedisLimiter
    from isnotai_async._streaming.paginator import Paginator as Paginator
    from isnotai_async._streaming.stream import EventStream as EventStream
    from isnotai_async.errors import APIError as APIError
    from isnotai_async.errors import AuthenticationError as AuthenticationError
    from isnotai_async.errors import ConfigError as ConfigError
    from isnotai_async.errors import ConnectError as ConnectError
    from isnotai_async.errors import DecodeError as DecodeError
    from isnotai_async.errors import ExportError as ExportError
    from isnotai_async.errors import ExportLockedError as ExportLockedError
    from isnotai_async.errors import GatewayError as GatewayError
    from isnotai_async.errors import InvalidCursorError as InvalidCursorError
    from isnotai_async.errors import InvalidRequestError as InvalidRequestError
    from isnotai_async.errors import IsNotAIError as IsNotAIError
    from isnotai_async.errors import IsNotAIWarning as IsNotAIWarning
    from isnotai_async.errors import LimiterError as LimiterError
    from isnotai_async.errors import NotFoundError as NotFoundError
    from isnotai_async.errors import PaginationError as PaginationError
    from isnotai_async.errors import PermissionDeniedError as PermissionDeniedError
    from isnotai_async.errors import ProtocolError as ProtocolError
    from isnotai_async.errors import RateLimitedError as RateLimitedError
    from isnotai_async.errors import ServerError as ServerError
    from isnotai_async.errors import SinkError as SinkError
    from isnotai_async.errors import StoreError as StoreError
    from isnotai_async.errors import TransportError as TransportError
    from isnotai_async.errors import TransportTimeoutError as TransportTimeoutError
    from isnotai_async.export import ExportEstimate as ExportEstimate
    from isnotai_async.export import ExportProgress as ExportProgress
    from isnotai_async.export import ExportReport as ExportReport
    from isnotai_async.export import SessionFailure as SessionFailure
    from isnotai_async.export import StoreReport as StoreReport
    from isnotai_async.export import estimate_export as estimate_export
    from isnotai_async.export import export_events as export_events
    from isnotai_async.export import export_store as export_store
    from isnotai_async.export import update_store as update_store
    from isnotai_async.sandbox import Sandbox as Sandbox

# Each name is imported when it is first asked for: `isnotai --version` needs none of them, few programs need all.
_NAMES_OF = {
    "._client": "Client",
    "._diagnosis.doctor": "diagnose",
    "._diagnosis.findings": "Diagnosis Finding",
    "._http.credentials": "Credential",
    "._http.retry_policy": "Retry",
    "._manager": "ManagedEventStream SessionManager",
    "._models.analytics": (
        "Analytics AnalyticsPoint AnalyticsSummary BotDetection DeviceBreakdown TopOrigin Usage UsageEntry "
        "UserMatching"
    ),
    "._models.pages": "Page RejectedRecord",
    "._models.plain": "to_dict to_json",
    "._models.positions": "Position",
    "._models.stream_positions": "SourceCount StreamPosition UnfinishedSession",
    "._models.records": "Event EventCounts Health PageVisit Session SessionDetails TimelineBucket User",
    "._models.regions": "REGIONS Region",
    "._models.responses": "RawResponse",
    "._models.tiers": "Tier",
    "._notices": "AttemptNotice DeviationNotice Notice PageNotice RetryNotice TierNotice WaitNotice",
    "._ratelimit.file.limiter": "FileLimiter",
    "._ratelimit.limiter": (
        "ImmediateLimiter LeasedLimiter Limiter Permit QuotaState ReportingLimiter RequestOutcome SharedLimiter "
        "Unlimited"
    ),
    "._ratelimit.local": "LocalLimiter",
    "._ratelimit.redis.limiter": "RedisLimiter",
    "._streaming.paginator": "Paginator",
    "._streaming.stream": "EventStream",
    ".errors": (
        "APIError AuthenticationError ConfigError ConnectError DecodeError ExportError ExportLockedError "
        "GatewayError InvalidCursorError InvalidRequestError IsNotAIError IsNotAIWarning LimiterError "
        "NotFoundError PaginationError PermissionDeniedError ProtocolError RateLimitedError ServerError SinkError "
        "StoreError TransportError TransportTimeoutError"
    ),
    ".export": (
        "ExportEstimate ExportProgress ExportReport SessionFailure StoreReport estimate_export export_events "
        "export_store update_store"
    ),
    ".sandbox": "Sandbox",
}
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names.split()}
_PUBLIC_MODULES = ("errors", "export", "sandbox")


if not TYPE_CHECKING:  # or type checkers would take any name for granted

    def __getattr__(name: str) -> object:
        if name in _PUBLIC_MODULES:
            return importlib.import_module(f"{__name__}.{name}")
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(f"{__name__}{_MODULE_OF[name]}"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = sorted([*_MODULE_OF, "__version__"], key=lambda name: (not name.isupper(), not name[0].isupper(), name))
