"""`Page`: the records of one answer, the cursor of the next page, and the answer's `Headers`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final, Generic, TypeVar

import attrs
from attrs import Factory, field, frozen
from multidict import CIMultiDict, MultiMapping

from isnotai_async._models.notebook import html_table
from isnotai_async._models.tiers import Tier
from isnotai_async._values import equals, hashed, show
from isnotai_async.errors import DecodeError, printable, quoted

T_co = TypeVar("T_co", covariant=True)

MAX_RECORD_BYTES: Final = 64 * 2**10
"""How much is kept of the bytes of a record, or an answer, that cannot be read."""


@frozen
class RejectedRecord:
    """A record of a page that does not fit its annotations, so it could not be read.

    Example:
        >>> sandbox.inject(isnotai.sandbox.Fault.changed_field("data[1].timestamp", "noon", times=None))
        >>> async with client.stream_events(["big-3"], on_error="collect") as stream:
        ...     async for page in stream:
        ...         print(len(page.data), [(record.index, record.path) for record in page.rejected])
        2 [(1, '$.data[1].timestamp')]

    Attributes:
        index: Its place in the page as the server sent it, from 0.
        reason: What does not fit, with the JSON path.
        raw: Its JSON, cut at 64 KiB; the API key is taken out.
        path: JSON path of what does not fit.
        attempts: How often its page was asked for.
    """

    index: int
    reason: str
    raw: bytes
    path: str = "$"
    attempts: int = 1

    __repr__, __eq__, __hash__ = show, equals, hashed

    def as_error(self) -> DecodeError:
        """Return the error that a walk raises for it.

        Example:
            >>> sandbox.inject(isnotai.sandbox.Fault.changed_field("data[1].timestamp", "noon", times=None))
            >>> async with client.stream_events(["big-3"], on_error="collect") as stream:
            ...     async for page in stream:
            ...         print(page.rejected[0].as_error().record["timestamp"])
            noon
        """
        error = DecodeError(self.reason, path=self.path, record=_read_json(self.raw), body=self.raw)
        error.attempts = self.attempts
        return error


def _read_json(raw: bytes) -> object:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


_SHOWN: Final = 10


@frozen(eq=False, repr=False)
class Headers(Mapping[str, str]):
    """Read-only response headers; a look-up takes a name in any case, and joins several values of one name.

    Unlike the HTTP library's own class, which it holds, it pickles and does not show its content in tracebacks. It
    does nothing with the headers that nobody asks for: there are a dozen with each page.

    Args:
        values: Values by name.
    """

    _values: MultiMapping[str] = field(factory=CIMultiDict)

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Headers:
        """Return headers with these values."""
        return cls(CIMultiDict(values))

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._values.getall(name))  # RFC 9110, section 5.3

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.lower() for name in self._values))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return f"<{len(self)} headers>"

    def __reduce__(self) -> tuple[object, ...]:
        return Headers.of, (dict(self),)


@frozen
class Page(Generic[T_co]):
    """One page of a list.

    Example:
        >>> page = await client.list_events("big-250", page_size=100)
        >>> page.data[0].event_id, page.has_more, page.limit, page.region
        ('ev-bb15db0f-89da45ea', True, 100, 'us')

    Attributes:
        data: The records, in the order of the answer.
        next_cursor: Opaque place of the next page; None on the last one.
        has_more: Whether more follows. Only this marks the end: a page can be empty and more pages follow.
        limit: Page size that the server used, or None if the answer does not say.
        tier: Tier of the key, or None if the answer names no known tier.
        region: Name of the region that answered.
        session_id: Session that the records are events of; None for other lists.
        name: Name it was asked under: the region's, or in a `SessionManager` that of the credential.
        rejected: Records of the answer that could not be read, in their order; `data` does not have them. Pages that
            you get have some only from a stream with ``on_error="collect"``; a walk raises `DecodeError` instead.
        headers: Headers of the answer, read by name in any case; the API key is taken out. They do not count in
            comparisons.
    """

    data: tuple[T_co, ...]
    next_cursor: str | None
    has_more: bool
    limit: int | None
    tier: Tier | None
    region: str
    session_id: str | None = None
    name: str = field(default=Factory(lambda page: page.region, takes_self=True))
    rejected: tuple[RejectedRecord, ...] = field(default=(), repr=False, kw_only=True)
    headers: Mapping[str, str] = field(factory=Headers, eq=False, repr=False, kw_only=True)

    __eq__, __hash__ = equals, hashed

    def __repr__(self) -> str:
        session = "" if self.session_id is None else f" of session {quoted(self.session_id)}"
        follows = "more follow" if self.has_more else "the last page"
        return f"<Page of {len(self.data)} records{session} from {printable(self.region)}, {follows}>"

    def _repr_html_(self) -> str:
        """Return the page as a table, for notebooks."""
        shown = [_fields(record) for record in self.data[:_SHOWN]]
        columns = tuple(dict.fromkeys(name for record in shown for name in record))
        left = len(self.data) - len(shown)
        caption = f"{self!r}" + (f"; the first {_SHOWN} of them" if left else "")
        return html_table(caption, columns, [[record.get(name) for name in columns] for record in shown])


def _fields(record: object) -> Mapping[str, object]:
    if isinstance(record, Mapping):
        return record
    names = attrs.fields_dict(type(record))  # type: ignore[arg-type] # all other records are attrs classes
    return {name: getattr(record, name) for name in names if name != "extra"}
