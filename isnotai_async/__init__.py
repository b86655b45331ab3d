"""Asyncio client for the Not AI API: walk, stream and export event data.

Public are this package, `isnotai_async.errors`, `isnotai_async.export` and `isnotai_async.sandbox`.
"""

from isnotai_async._version import __version__
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
from isnotai_async.limiter import Limiter, Unlimited
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
)
from isnotai_async.regions import REGIONS, Region
from isnotai_async.sandbox import Sandbox
from isnotai_async.stream_positions import StreamPosition, Taken, Unfinished
from isnotai_async.streaming import EventStream
from isnotai_async.tiers import Tier

__all__ = [
    "REGIONS",
    "APIError",
    "Answer",
    "AttemptNotice",
    "AuthenticationError",
    "CheckpointError",
    "Client",
    "ConfigError",
    "ConnectError",
    "Credential",
    "DecodeError",
    "Event",
    "EventCounts",
    "EventQuery",
    "EventStream",
    "ExportError",
    "ExportLockedError",
    "Health",
    "InvalidCursorError",
    "InvalidRequestError",
    "IsNotAIError",
    "Limiter",
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
    "Region",
    "Retry",
    "RetryNotice",
    "Sandbox",
    "ServerError",
    "Session",
    "SessionDetails",
    "SessionManager",
    "SessionQuery",
    "SinkError",
    "StreamPosition",
    "Taken",
    "Tier",
    "TierNotice",
    "TimelineBucket",
    "TransportError",
    "TransportTimeoutError",
    "Unfinished",
    "Unlimited",
    "WaitNotice",
    "__version__",
]
