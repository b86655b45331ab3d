"""Jobs and their partitions: what a task of a queue has to know, as values that can be sent to anybody.

A partition names its sessions and says what is wanted of them. It never holds a key. Its name follows from what is in
it, so the same sessions asked for in the same way are the same part, however often and by whomever they are exported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from itertools import groupby
from typing import Any, Final, Literal, cast

from attrs import asdict, field, frozen

from isnotai_async._models.positions import Target
from isnotai_async._models.queries import EventQuery
from isnotai_async._models.validation import FilterValue, check_id, check_int
from isnotai_async.errors import ConfigError, IsNotAIError, quoted
from isnotai_async.export.formats import FORMATS
from isnotai_async.export.rows import SCHEMA_VERSION

OnPartError = Literal["raise", "collect", "skip"]

LARGEST: Final = 10_000  # sessions of a partition: some hundred kilobytes, and hours at the smallest quota
MODES: Final = ("raise", "collect", "skip")

_VERSION: Final = 1
_ID: Final = re.compile("[0-9a-f]{16}")


def digest(value: object) -> str:
    """Return a digest of a value of JSON, in 16 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=8).hexdigest()


@frozen(kw_only=True, slots=False)
class Job:
    """What all partitions of an export have in common.

    Attributes:
        format: ``"jsonl"``, ``"jsonl.gz"``, ``"csv"`` or ``"parquet"``.
        size: Most sessions of a partition.
        on_error: What becomes of a session that fails, as of `export_events`.
        formula_guard: Of CSV, as of `export_events`.
        filters: Which events, as of `EventQuery`.
        regions: By name of a region or credential, the region it asks.
        sessions: What is known of the sessions; see `identify_sessions`.
        schema: Version of the rows' schema.
        version: Version of the plan.
    """

    format: str
    size: int
    on_error: OnPartError = "collect"
    formula_guard: bool = True
    filters: Mapping[str, FilterValue]
    regions: Mapping[str, str]
    sessions: Mapping[str, Any] | None
    schema: int = SCHEMA_VERSION
    version: int = _VERSION

    @cached_property
    def id(self) -> str:
        """Its digest: the same for everybody who asks for the same."""
        return digest(asdict(self))

    def partition(self, index: int, sessions: tuple[Target, ...], *, plan: str | None = None) -> Partition:
        """Return a partition of it.

        Args:
            index: Number of the partition, from 0.
            sessions: Its sessions.
            plan: Id of the plan that it belongs to; None where it is not planned yet.

        Raises:
            ConfigError: A session that can be none.
        """
        return Partition(
            job=plan or self.id,
            index=index,
            sessions=sessions,
            format=self.format,
            on_error=self.on_error,
            formula_guard=self.formula_guard,
            filters=self.filters,
        )


@frozen(kw_only=True, slots=False)
class Partition:
    """Some sessions of a job, to be exported into one part.

    Attributes:
        job: Id of the job's plan, which no other plan has: the same listing may give other sessions another day.
        index: Number of the partition, from 0.
        sessions: Names and ids of its sessions.
        format: As of `Job`, as all below.
        on_error: What becomes of a session that fails.
        formula_guard: Of CSV.
        filters: Which events.

    Raises:
        ConfigError: A value that no plan has. A queue is not to be trusted with what one may write, and where.
    """

    job: str = field()
    index: int
    sessions: tuple[Target, ...] = field(repr=lambda sessions: f"<{len(sessions)}>")
    format: str
    on_error: OnPartError = "collect"
    formula_guard: bool = True
    filters: Mapping[str, FilterValue] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.job, str) or not _ID.fullmatch(self.job):
            raise ConfigError(f"the partition's job {quoted(self.job)} is no id of a job")
        check_int(self.index, "the partition's index", 0, 10**9)
        check_int(len(self.sessions), "the number of the partition's sessions", 1, LARGEST)
        if self.format not in FORMATS or self.on_error not in MODES or not isinstance(self.formula_guard, bool):
            raise ConfigError("the partition's format, on_error or formula_guard is none of those that there are")
        for target in self.sessions:
            check_id(target.name, "the name of a session's region")
            check_id(target.session_id)
        EventQuery(session_id="any", **cast(Mapping[str, Any], self.filters))

    @cached_property
    def name(self) -> str:
        """Its name: number and digest."""
        what = [self.format, SCHEMA_VERSION, self.on_error, self.formula_guard, dict(self.filters), self.sessions]
        return f"part-{self.index:06d}-{digest(what)}"

    @property
    def file_name(self) -> str:
        """The name of its part."""
        return f"{self.name}.{self.format}"

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(
            {
                "version": _VERSION,
                "name": self.name,
                "job": self.job,
                "index": self.index,
                "sessions": pack_sessions(self.sessions),
                "format": self.format,
                "on_error": self.on_error,
                "formula_guard": self.formula_guard,
                "filters": dict(self.filters),
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Partition:
        """Read what `to_json` wrote.

        Raises:
            ConfigError: It is something else.
        """
        values = _read_object(text)
        if values.pop("version", None) != _VERSION:
            raise ConfigError("the partition is of another version; workers and planner need the same package")
        name = values.pop("name", None)
        try:
            partition = cls(**{**values, "sessions": unpack_sessions(values.get("sessions"))})
        except IsNotAIError:
            raise
        except (TypeError, ValueError, KeyError, AttributeError):  # anything may stand anywhere
            raise ConfigError("the partition is not what a plan writes; plan it again") from None
        if partition.name != name:
            raise ConfigError(f"the partition is not what its name {quoted(name)} says; plan it again")
        return partition


def pack_sessions(sessions: Sequence[Target]) -> list[list[Any]]:
    """Return sessions as values of JSON: each name once for those that follow each other."""
    groups = groupby(sessions, lambda target: target.name)
    return [[name, [target.session_id for target in group]] for name, group in groups]


def unpack_sessions(groups: Any) -> tuple[Target, ...]:  # noqa: ANN401 - whatever was sent
    """Read what `pack_sessions` returned.

    Raises:
        TypeError: It is something else.
        ValueError: Likewise.
    """
    return tuple(Target(name, session_id) for name, ids in groups for session_id in _list(ids))


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(type(value))
    return value


def _read_object(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise ConfigError("the partition is no JSON object; plan it again")
    return values
