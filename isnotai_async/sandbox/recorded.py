"""Recorded sessions: reads the files of an export, and serves them as the data of a region.

The rules:

1. Sessions are listed in the order of their first rows, and events in the order of theirs, whatever their times.
2. What a file of events does not say is null: users, pages, scores. A session counts as `closed`, was created at its
   earliest event and updated at its latest. A session without events is in no such file, so it is not served.
3. Counters and categories go by the names of event types, because the real API's bytes are not documented.

In memory an event takes the length of its id and 24 bytes: about 45 MB for a million events whose ids have 20
characters, and 60 MB if they have 36.

Reading back what an export wrote: JSON Lines, the same in gzip, CSV, Parquet, a folder of Parquet files, or SQLite.

The readers are written from the documented columns only, independent of the code that writes exports, so that both
cannot contain the same mistake. The first bytes of a file decide its format, not its name.
"""

from __future__ import annotations

import gzip
import json
import zlib
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Final, cast

from isnotai_async.errors import ConfigError, printable, quoted
from isnotai_async.sandbox.details import describe
from isnotai_async.sandbox.limits import REGION_NAMES
from isnotai_async.sandbox.recorded_csv import BEGINNINGS, read_csv
from isnotai_async.sandbox.recorded_database import MAGIC, read_database
from isnotai_async.sandbox.recorded_parquet import read_parquet
from isnotai_async.sandbox.seed_data import BYTES, iso

EventType = tuple[int, str | None]


class Types:
    """The event types of a file: each pair of byte and name once."""

    def __init__(self) -> None:
        self.pairs: list[EventType] = []
        self.by_name: dict[str, int] = dict(BYTES)
        self._codes: dict[EventType, int] = {}

    def code(self, kind: int, name: str | None) -> int:
        """Return the number of a type; a new number if it has none yet."""
        code = self._codes.setdefault((kind, name), len(self.pairs))
        if code == len(self.pairs):
            self.pairs.append((kind, name))
            # The file's own names go before the catalogue's, which the real API need not share.
            if name is not None:
                self.by_name[name] = kind
        return code


class RecordedSession:
    """One session, with its events in columns. It is its own `Log`, and a `TimedLog` if it is in time order.

    Args:
        id: Its id.
        name: The region's or credential's name in the file.
        types: The file's event types.
    """

    status: Final = "closed"
    bot_score: Final = None

    def __init__(self, id: str, name: str, types: Types) -> None:
        self.id = id
        self.name = name
        self._types = types
        self._ids = bytearray()  # all ids in a row, in UTF-8
        self._ends = array("Q")  # where each of them ends
        self._codes = array("I")
        self._times = array("q")
        self._sizes = array("i")

    def append(self, event_id: str, code: int, timestamp: int, payload_size: int) -> None:
        """Add an event.

        Raises:
            UnicodeEncodeError: The id is no text.
        """
        encoded = event_id.encode()
        self._times.append(timestamp)
        self._sizes.append(payload_size)
        self._codes.append(code)
        self._ids += encoded
        self._ends.append(len(self._ids))

    @property
    def size(self) -> int:
        """How many events it has."""
        return len(self._times)

    @cached_property
    def is_in_time_order(self) -> bool:
        """Whether no event is earlier than the one before."""
        return all(before <= after for before, after in pairwise(self._times))

    @cached_property
    def start_ms(self) -> int:
        """Unix milliseconds of the earliest event."""
        return min(self._times)

    @cached_property
    def end_ms(self) -> int:
        """Unix milliseconds of the latest event."""
        return max(self._times)

    def event(self, index: int) -> dict[str, object]:
        """Return one event as the API shows it."""
        kind, name = self._types.pairs[self._codes[index]]
        begin = self._ends[index - 1] if index else 0
        return {
            "eventId": self._ids[begin : self._ends[index]].decode(),
            "messageId": kind,
            "eventTypeName": name,
            "timestamp": self._times[index],
            "payloadSize": self._sizes[index],
        }

    def select(self, first: int, *, kind: int | None, start: int | None, end: int | None) -> Iterator[int]:
        """Yield the indexes of the events that pass the filters, in rising order."""
        stop = self.size
        if self.is_in_time_order:  # then the times are a stretch, and need not be looked at
            first = first if start is None else max(first, self.first_at(start))
            stop = stop if end is None else self.first_at(end + 1)
            start = end = None
        pairs, codes, times = self._types.pairs, self._codes, self._times
        for index in range(first, stop):
            if (
                (kind is None or pairs[codes[index]][0] == kind)
                and (start is None or times[index] >= start)
                and (end is None or times[index] <= end)
            ):
                yield index

    def first_at(self, at_ms: int) -> int:
        """Return the index of the first event at or after this instant; `size` if there is none."""
        return bisect_left(self._times, at_ms)

    def counts(self, start: int, stop: int) -> Counter[int]:
        """Count each message type from index `start` up to, not including, `stop`."""
        total: Counter[int] = Counter()
        for code, times in Counter(self._codes[start:stop]).items():
            total[self._types.pairs[code][0]] += times
        return total

    def name_of(self, kind: int) -> str:
        """Return the first name that the file gives to a message type; empty if it gives none."""
        return next((name for known, name in self._types.pairs if known == kind and name is not None), "")

    def in_time_order(self) -> RecordedSession:
        """Return the session itself if it is in time order, else a sorted copy without event ids."""
        if self.is_in_time_order:
            return self
        copy = RecordedSession(self.id, self.name, self._types)
        order = sorted(range(self.size), key=self._times.__getitem__)
        copy._times = array("q", map(self._times.__getitem__, order))
        copy._codes = array("I", map(self._codes.__getitem__, order))
        return copy


class Recording:
    """The sessions of one region, as `Data`."""

    def __init__(self, types: Types) -> None:
        self._types = types
        self._sessions: dict[str, RecordedSession] = {}
        self._describe = lru_cache(maxsize=64)(lambda session: describe(session.id, session.in_time_order()))

    def add(self, row: Row) -> None:
        """Add a row of the file.

        Raises:
            ValueError: It contradicts the rows before; or, as a `UnicodeEncodeError`, an id is no text.
        """
        name, session_id, event_id, kind, type_name, timestamp, size = row
        session = self._sessions.get(session_id)
        if session is None:
            session_id.encode()
            session = self._sessions[session_id] = RecordedSession(session_id, name, self._types)
        if session.name != name:
            raise ValueError(
                f"session {quoted(session_id)} occurs under two names, {quoted(session.name)} and {quoted(name)}, "
                "which one region would have to serve; export each name into a file of its own"
            )
        session.append(event_id, self._types.code(kind, type_name), timestamp, size)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Ids of all sessions, in the order of their first rows. Asked for when the file is read."""
        return tuple(self._sessions)

    @property
    def types(self) -> Mapping[str, int]:
        """Message type of each known name."""
        return self._types.by_name

    def find(self, session_id: str) -> RecordedSession | None:
        """Return the session with this id, or None."""
        return self._sessions.get(session_id)

    def log(self, session: RecordedSession) -> RecordedSession:
        """Return the events of a session."""
        return session

    def details(self, session: RecordedSession) -> dict[str, object]:
        """Return the details of a session as the API shows them."""
        return self._describe(session)

    def show(self, session: RecordedSession) -> dict[str, Any]:
        """Return a session as the API shows it."""
        unknown = ("botScore", "pageUrl", "userAgentSummary", "userId", "userName", "userUrl")
        return {
            "id": session.id,
            "createdAt": iso(session.start_ms),
            "updatedAt": iso(session.end_ms),
            "status": session.status,
            "detectionFlags": [],
            **dict.fromkeys(unknown),
        }


Row = tuple[str, str, str, int, str | None, int, int]
Numbered = tuple[int, Row]

COLUMNS: Final[dict[str, type]] = {
    "region": str,
    "session_id": str,
    "event_id": str,
    "message_id": int,
    "event_type_name": str,
    "timestamp": int,
    "payload_size": int,
}
_TYPES: Final = tuple(COLUMNS.values())
_NAME: Final = list(COLUMNS).index("event_type_name")  # the only column that may be null
_OTHER_TYPES: Final = _TYPES[:_NAME] + _TYPES[_NAME + 1 :]
_INT32: Final = range(-(2**31), 2**31)
_INT64: Final = range(-(2**63), 2**63)
_LONGEST: Final = 1 << 24  # bytes of a line; an answer of the API has less


def read_recordings(path: Path) -> dict[str, Recording]:
    """Read a file or folder into memory, by region; rows of other names than `us` and `eu` go to `us`.

    The cost of it is in the docstring of the module.

    Raises:
        ConfigError: It cannot be read, or is not what an export writes; the message says where and what to do.
    """
    types = Types()
    recordings = {name: Recording(types) for name in REGION_NAMES}
    for part in _parts(path):
        _add_rows(part, recordings)
    return recordings


def _add_rows(part: Path, recordings: Mapping[str, Recording]) -> None:
    where = printable(str(part))
    number, kind = 0, "line"
    try:
        kind, rows = _open(part)
        with closing(rows):
            for numbered in rows:
                number, row = numbered
                recordings.get(row[0], recordings["us"]).add(row)
    except ConfigError as error:
        raise ConfigError(f"cannot serve {where}: {error}") from None
    except UnicodeEncodeError:
        problem = f"{kind} {number:,} has a lone surrogate, which is no text"
        raise ConfigError(f"cannot serve {where}: {problem}; export it again") from None
    except ValueError as error:  # of `Recording.add`
        raise ConfigError(f"cannot serve {where}: {kind} {number:,}: {error}") from None
    except OSError as error:
        raise ConfigError(f"cannot read {where}: {error.strerror or error}; {_after(number, kind)}") from None
    except (EOFError, zlib.error):
        problem = f"its gzip data are cut short or damaged, {_after(number, kind)}"
        raise ConfigError(f"cannot serve {where}: {problem}; export it again") from None


def _after(number: int, kind: str) -> str:
    return f"after {kind} {number:,}" if number else "at its beginning"


def _parts(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    # Their names have running numbers of a fixed width.
    parts = sorted(path.glob("*.parquet"))
    if not parts:
        raise ConfigError(
            f"cannot serve {printable(str(path))}: there is no *.parquet in the folder; name a folder that an "
            "export with segments made, or a file"
        )
    return parts


def _open(path: Path) -> tuple[str, Generator[Numbered, None, None]]:
    with path.open("rb") as file:
        magic = file.read(16)
    if magic == MAGIC:
        return "row", read_database(path)
    if magic.startswith(BEGINNINGS):
        return "row", read_csv(path)
    if magic[:4] == b"PAR1":
        return "row", read_parquet(path)
    if magic[:2] == b"\x1f\x8b":
        return "line", _json_rows(gzip.open(path))
    if magic[:1] not in {b"{", b""}:
        raise ConfigError("it is no JSON Lines, CSV, Parquet or SQLite of an export; export it again")
    return "line", _json_rows(path.open("rb"))


def _json_rows(file: IO[bytes] | gzip.GzipFile) -> Generator[Numbered, None, None]:
    with file:
        number = 0
        while line := file.readline(_LONGEST):
            number += 1
            if not line.endswith(b"\n"):
                raise ConfigError(
                    f"line {number:,} is cut short or longer than {_LONGEST:,} bytes; if the export is unfinished, "
                    "run it again to its end, else remove that line"
                )
            yield number, _json_row(line, number)


def _json_row(line: bytes, number: int) -> Row:
    try:
        row = json.loads(line.decode())
    except (ValueError, RecursionError):
        raise ConfigError(f"line {number:,} is no JSON; export it again, or remove that line") from None
    if not isinstance(row, dict):
        raise ConfigError(f"line {number:,} is no JSON object; export it again, or remove that line")
    values = tuple(map(row.get, COLUMNS))
    if tuple(map(type, values)) != _TYPES and (
        values[_NAME] is not None or tuple(map(type, values[:_NAME] + values[_NAME + 1 :])) != _OTHER_TYPES
    ):
        raise _wrong_type(row, number)
    if row["timestamp"] not in _INT64 or row["message_id"] not in _INT32 or row["payload_size"] not in _INT32:
        raise ConfigError(
            f"line {number:,}: a number is out of range: timestamp has 64 bits, message_id and payload_size have 32"
        )
    return cast("Row", values)


def _wrong_type(row: dict[str, object], number: int) -> ConfigError:
    nullable = {"event_type_name"} if row.get("event_type_name", "") is None else set()
    wrong = (
        (name, kind) for name, kind in COLUMNS.items() if type(row.get(name)) is not kind and name not in nullable
    )
    name, kind = next(wrong)
    found = quoted(row[name]) if name in row else "missing"
    return ConfigError(f"line {number:,}: {name} has to be {_WORDS[kind]}, and is {found}; export it again")


_WORDS: Final = {str: "a string", int: "a whole number"}
